"""The cache of a datastore: entries by content, aged by last use, never removed while in use."""

from __future__ import annotations

import os
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.unit.driver.hosted import LONG_AGO, Beside, Hosted, glance, host_of, spec, store
from vimdriver._disks import cache
from vimdriver._disks.cache import FOLDER, CacheEntry, cache_key, list_cache, prune_cache, use
from vimdriver._images.embedded import EmbeddedImage
from vimdriver._images.source import ImageInfo
from vimlib import vim25
from vimlib.errors import NotFoundError, UsageError

OLD = LONG_AGO.timestamp()


def image(data: bytes = b"\1" * 4096, **given: Any) -> EmbeddedImage:
    given.setdefault("disk_format", "raw")
    return EmbeddedImage(name="img", chunks=lambda: iter([data]), **given)


async def filled(beside: Beside, host: Hosted, *specs: dict[str, Any]) -> str:
    """Put an image into the cache, by machines that come from it; return its name there."""
    source = image()
    with glance(beside, source) as service:
        async with store(service) as images, host.driver(images) as driver:
            for given in specs:
                await driver.spawn(spec("img", nics=(), power_on=False, **given))
    return f"sha512-{source.sha512}"


def age(host: Hosted) -> None:
    for path in (host.folder / FOLDER).iterdir():
        os.utime(path, (OLD, OLD))


async def pruned(host: Hosted, **how: Any) -> list[CacheEntry]:
    async with host.client() as client:
        return await prune_cache(host_of(client), "datastore1", **how)


async def test_cached_images_are_listed_with_their_users(beside: Beside, host: Hosted) -> None:
    key = await filled(beside, host, {"name": "a"}, {"name": "b", "clone": "linked"})
    async with host.client() as client:
        (entry,) = await list_cache(host_of(client), "datastore1")
    assert (entry.key, entry.capacity, entry.users) == (key, 4096, ("b",))
    assert entry.to_json()["datastore_path"] == f"[datastore1] {FOLDER}/{key}.vmdk"


async def test_an_entry_that_nobody_used_for_long_is_removed(beside: Beside, host: Hosted) -> None:
    key = await filled(beside, host, {"name": "a"})
    assert not await pruned(host)
    age(host)
    (found,) = await pruned(host, dry_run=True)
    assert (host.folder / FOLDER / f"{key}.vmdk").exists()
    assert await pruned(host) == [found]
    assert not list((host.folder / FOLDER).iterdir())
    assert not await pruned(host)


async def test_an_entry_in_use_stays(beside: Beside, host: Hosted) -> None:
    await filled(beside, host, {"name": "a", "clone": "linked"})
    age(host)
    assert not await pruned(host, older_than=0)
    async with host.driver() as driver:
        await driver.destroy("a")
    assert len(await pruned(host, older_than=0)) == 1


async def test_an_entry_of_a_clock_that_is_ahead_is_removed_where_all_are(
    beside: Beside, host: Hosted
) -> None:
    key = await filled(beside, host, {"name": "a"})
    ahead = time.time() + 7200
    for path in (host.folder / FOLDER).iterdir():
        os.utime(path, (ahead, ahead))
    assert not await pruned(host, older_than=1)
    assert [entry.key for entry in await pruned(host, older_than=0)] == [key]


async def test_a_use_is_written_down_once_an_hour(beside: Beside, host: Hosted) -> None:
    key = await filled(beside, host, {"name": "a"})
    mark = host.folder / FOLDER / f"{key}.used"
    assert not mark.exists()
    age(host)
    await filled(beside, host, {"name": "b"})
    first = mark.stat().st_mtime
    assert first > OLD
    assert not await pruned(host)
    async with host.client() as client:
        (entry,) = await list_cache(host_of(client), "datastore1")
        assert entry.used is not None
        mark.unlink()
        await use(host_of(client), entry, entry.used + timedelta(minutes=59))
        assert not mark.exists()
        await use(host_of(client), entry, entry.used + timedelta(minutes=61))
        assert mark.exists()


async def test_an_entry_used_during_its_removal_gets_its_name_again(
    beside: Beside, host: Hosted
) -> None:
    key = await filled(beside, host, {"name": "a"})
    before = host.state().files
    age(host)
    async with host.client() as client:
        work = host_of(client)
        (entry,) = await list_cache(work, "datastore1")
        await use(work, entry, None)
        assert not await cache._remove(work, entry)
    assert host.state().files == before | {f"{FOLDER}/{key}.used"}


async def test_an_error_after_the_disk_is_gone_does_not_claim_that_nothing_was_done(
    beside: Beside, host: Hosted
) -> None:
    await filled(beside, host, {"name": "a"})
    host.esx.faults.fail_task("DeleteDatastoreFile_Task", vim25.SystemError(reason="on order"))
    with pytest.raises(vim25.SystemError) as caught:
        await pruned(host, older_than=0)
    assert caught.value.outcome == "applied"
    assert not list((host.folder / FOLDER).glob("*.vmdk"))


async def test_entries_are_removed_by_name(beside: Beside, host: Hosted) -> None:
    key = await filled(beside, host, {"name": "a"})
    with pytest.raises(NotFoundError):
        await pruned(host, older_than=0, keys=["sha512-00"])
    with pytest.raises(UsageError):
        await pruned(host, older_than=-1)
    assert [e.key for e in await pruned(host, older_than=0, keys=[key])] == [key]


@pytest.mark.parametrize(
    ("algorithm", "value", "key"),
    [
        ("sha512", "AB" * 64, "sha512-" + "ab" * 64),
        ("SHA-256", "cd" * 32, "sha256-" + "cd" * 32),
        ("md5", "ab" * 16, None),
        ("sha1", "ab" * 20, None),
        ("sha512", "../" * 30, None),
        (None, None, None),
    ],
)
def test_only_a_hash_that_stands_for_the_content_is_a_name(
    algorithm: str | None, value: str | None, key: str | None
) -> None:
    info = ImageInfo(id="i", name="i", size=1, hash_algo=algorithm, hash_value=value)
    assert cache_key(info) == key


async def test_a_datastore_without_a_cache(host: Hosted, tmp_path: Path) -> None:
    async with host.client() as client:
        assert await list_cache(host_of(client), "datastore1") == []
        with pytest.raises(NotFoundError):
            await list_cache(host_of(client), "nowhere")
