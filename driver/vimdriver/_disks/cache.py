"""The cache of a datastore: images that became disks, under names that stand for their content.

`[ds] vimlib-cache/sha512-<hash>.vmdk` is the disk of the image with that hash, `.iso` an ISO image.
A file `.used` next to it is written again with each use that comes an hour or more after the last one;
entries that nobody used for long are removed (`vimctl image cache prune`). A disk is only ever copied, or the
base of linked disks; machines write to neither.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

from vimdriver._disks.lookup import stored_disks
from vimdriver._disks.manager import datacenter_of, disk_manager
from vimdriver._images.hashing import algorithm_name
from vimdriver._images.sink import temporary_name
from vimdriver._instances.machine import used_files
from vimdriver._journal import Uploading, written
from vimdriver._verbs import after_change
from vimlib import vim25
from vimlib._datastore import DatastorePath
from vimlib._shield import finish
from vimlib.errors import NotFoundError, UsageError

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from vimdriver._disks.lookup import StoredDisk
    from vimdriver._images.source import ImageInfo
    from vimdriver._verbs import Host
    from vimlib._client import Client

FOLDER: Final = "vimlib-cache"
FRESH: Final = 3600.0
"""Seconds after which a use is written down again: prune takes days, so an hour does no harm."""
WEEK: Final = 7 * 86400.0

_KEY: Final = re.compile(r"[a-z0-9_]{4,10}-[0-9a-f]{56,128}")
# With these, somebody can make two images of one hash.
_WEAK: Final = frozenset({"md5", "sha1"})


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheEntry:
    """One image in the cache of a datastore."""

    path: DatastorePath
    """Of the disk, or the ISO image."""
    capacity: int | None
    """Bytes of the disk; None for an ISO image, and where the host does not report it."""
    size: int
    """Bytes that it takes on the datastore."""
    used: datetime | None
    """When it was last used, to the hour, by the host's clock."""
    users: tuple[str, ...] = ()
    """Names of the machines that stand on it, in `list_cache`."""

    @property
    def key(self) -> str:
        """The algorithm and the hash of the image."""
        return self.path.name.rpartition(".")[0]

    def to_json(self) -> dict[str, Any]:
        """Return the row that `vimctl image cache ls --json` prints."""
        algorithm, _, digest = self.key.partition("-")
        return {
            "datastore_path": str(self.path),
            "hash_algo": algorithm,
            "hash": digest,
            "capacity": self.capacity,
            "size": self.size,
            "used": self.used.isoformat() if self.used else None,
            "users": list(self.users),
        }


def cache_folder(datastore: str) -> DatastorePath:
    """Return the folder of the cache."""
    return DatastorePath(datastore, FOLDER)


def cache_key(info: ImageInfo) -> str | None:
    """Return the name of an image's content; None if its source has no hash that stands for it."""
    algorithm = algorithm_name(info.hash_algo)
    if info.hash_value is None or algorithm in _WEAK:
        return None
    key = f"{algorithm}-{info.hash_value.strip().lower()}"
    return key if _KEY.fullmatch(key) else None


def _entries(files: list[StoredDisk]) -> list[CacheEntry]:
    """Return the entries among the files of the folder. Pure."""
    used = {
        file.path.name.removesuffix(".used"): file.modified
        for file in files
        if file.path.suffix == ".used"
    }
    found = []
    for file in files:
        key = file.path.name.rpartition(".")[0]
        if file.path.suffix not in (".vmdk", ".iso") or not _KEY.fullmatch(key):
            continue
        times = [time for time in (file.modified, used.get(key)) if time is not None]
        found.append(
            CacheEntry(
                path=file.path,
                capacity=file.capacity,
                size=file.size,
                used=max(times, default=None),
            )
        )
    return sorted(found, key=lambda entry: entry.path)


# By client: the entries that were used within the hour, by datastore and key. Nobody prunes those.
_KNOWN: WeakKeyDictionary[Client, dict[tuple[str, str], CacheEntry]] = WeakKeyDictionary()


def known(host: Host, datastore: str, key: str, now: datetime | None) -> CacheEntry | None:
    """Return an entry that was looked up before and used within the hour, without a call.

    It may have been removed by name since: then the host finds no file, and the caller has to
    `forget` it.
    """
    entry = _KNOWN.get(host.client, {}).get((datastore, key))
    return entry if entry is not None and _is_fresh(entry, now) else None


def remember(host: Host, entry: CacheEntry) -> None:
    """Record an entry that the datastore now has."""
    _KNOWN.setdefault(host.client, {})[entry.path.datastore, entry.key] = entry


def forget(host: Host, datastore: str, key: str) -> None:
    """Drop an entry that was looked up before."""
    _KNOWN.get(host.client, {}).pop((datastore, key), None)


async def look_up(host: Host, datastore: str, key: str) -> CacheEntry | None:
    """Return the entry of an image; None if it is not cached. One search; see `stored_disks`."""
    forget(host, datastore, key)
    found = _entries(await stored_disks(host, cache_folder(datastore), f"{key}.*"))
    entry = next(iter(found), None)
    if entry is not None:
        remember(host, entry)
    return entry


def _is_fresh(entry: CacheEntry, now: datetime | None) -> bool:
    """Return whether an entry was used within the hour. Pure."""
    last = entry.used
    return now is not None and last is not None and (now - last).total_seconds() < FRESH


async def use(host: Host, entry: CacheEntry, now: datetime | None) -> None:
    """Write down that an entry is used now, unless that was done within the hour.

    Cancelling may leave it written.
    """
    if _is_fresh(entry, now):
        return
    mark = entry.path.with_name(f"{entry.key}.used")
    await host.datastore(mark.datastore).upload(mark, b"", overwrite=True)


async def list_cache(host: Host, datastore: str) -> list[CacheEntry]:
    """Return the entries of a datastore's cache, with the machines that use them.

    Cancelling loses nothing. Raises `NotFoundError` for a missing datastore.
    """
    found = _entries(await stored_disks(host, cache_folder(datastore)))
    users: dict[str, list[str]] = {}
    if found:
        for path, name in (await used_files(host.client)).items():
            users.setdefault(path, []).append(name)
    return [
        CacheEntry(
            path=entry.path,
            capacity=entry.capacity,
            size=entry.size,
            used=entry.used,
            users=tuple(users.get(str(entry.path), ())),
        )
        for entry in found
    ]


async def prune_cache(
    host: Host,
    datastore: str,
    *,
    older_than: float = WEEK,
    keys: Collection[str] | None = None,
    dry_run: bool = False,
) -> list[CacheEntry]:
    """Remove entries that nobody used for `older_than` seconds, and return them.

    Entries that machines stand on are never removed. `keys` names entries, by their key or their path:
    these alone are removed. Cancelling ends after the entry that is being removed.

    Raises:
        UsageError: `older_than` is negative.
        NotFoundError: A key is not in the cache.
    """
    if not older_than >= 0:
        raise UsageError(
            f"older_than must be at least 0 seconds, got {older_than:g}", field="older_than"
        )
    entries = await list_cache(host, datastore)
    wanted = entries if keys is None else [_named(entries, key, datastore) for key in keys]
    now = (await host.now()).host
    removed = []
    for entry in wanted:
        if entry.users or not _is_old(entry, now, older_than):
            continue
        if dry_run or await finish(_remove(host, entry), what=f"removing {entry.path}"):
            removed.append(entry)
    return removed


def _is_old(entry: CacheEntry, now: datetime | None, older_than: float) -> bool:
    """Return whether nobody used an entry for so many seconds; one of unknown age is not old. Pure."""
    if older_than == 0:
        return True  # whatever the clocks: that of the datastore may be ahead of the host's
    if now is None or entry.used is None:
        return False
    return (now - entry.used).total_seconds() >= older_than


def _named(entries: list[CacheEntry], key: str, datastore: str) -> CacheEntry:
    for entry in entries:
        if key in (entry.key, str(entry.path)):
            return entry
    raise NotFoundError(
        f"not in the cache of {datastore}: {key!r}",
        hint=f"List it: vimctl image cache ls --datastore {datastore}.",
        kind="cache entry",
        name=key,
    )


async def _remove(host: Host, entry: CacheEntry) -> bool:
    """Remove an entry; False if somebody used it in between.

    It first gets a name that nobody looks for; then what began to use it before that shows.
    """
    path = entry.path
    forget(host, path.datastore, entry.key)
    store = host.datastore(path.datastore)
    away = path.with_name(temporary_name(path.name, host.owner) + path.suffix)
    await host.idle(method="CopyVirtualDisk_Task")
    manager, center = disk_manager(host), await datacenter_of(host, path)

    async def move(source: DatastorePath, target: DatastorePath) -> None:
        if path.suffix == ".iso":
            await store.move(source, target)
            return
        task = await manager.MoveVirtualDisk_Task(
            str(source), sourceDatacenter=center, destName=str(target), destDatacenter=center
        )
        await host.client.tasks.wait(task, host.config.task_seconds)

    entry_of = Uploading(host=host.client.host, owner=host.owner, path=str(away))
    await host.record_session()
    async with written(host.journal, entry_of):
        try:
            await move(path, away)
        except (vim25.FileNotFound, NotFoundError):
            return False
        used = await used_files(host.client)
        again = await look_up(host, path.datastore, entry.key)
        marks = [
            file.modified
            for file in await stored_disks(host, path.parent, f"{entry.key}.used")
            if file.modified is not None
        ]
        if again is None and (
            str(path) in used or any(entry.used is None or mark > entry.used for mark in marks)
        ):
            await move(away, path)
            return False
        if path.suffix == ".iso":
            await host.delete(away)
        else:
            task = await manager.DeleteVirtualDisk_Task(str(away), datacenter=center)
            await host.client.tasks.wait(task, host.config.task_seconds)
        if again is None:
            with after_change():
                await host.delete(path.with_name(f"{entry.key}.used"))
    return True
