"""Files of others in a machine's folder: no verb removes or changes one, whatever happens when."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.unit.driver.hosted import (
    CONFIG,
    LONG_AGO,
    OWNER,
    Beside,
    Hosted,
    host_of,
    hosted,
    seen_file,
    spec,
    until,
    write_note,
)
from tests.unit.driver.sweep.test_sweep import driver_of, journalled, known, told
from vimdriver._images.local import LocalImages
from vimdriver._images.push import push_images
from vimdriver._images.sink import temporary_name
from vimdriver._journal import Destroying, Spawning, Uploading
from vimdriver._sweep.sweeping import Sweeping
from vimdriver._verbs import execute
from vimlib import vim25
from vimlib._datastore import DatastorePath

DISK = '# Disk DescriptorFile\nversion=1\ncreateType="vmfs"\nRW 2048 VMFS "customer-db-flat.vmdk"\n'
# Of an unregistered machine, of an image, and names that look like the machine's.
FOREIGN = {
    "customer-db.vmdk": DISK.encode(),
    "customer-db-flat.vmdk": b"precious" * 64,
    "install.iso": b"iso",
    "web-notes.txt": b"notes",
    "vmware-tools.tar": b"tools",
    "other.nvram": b"nvram",
    "photo.png": b"png",
    "web-backup.vmdk": b"backup",
    "web.vmdk.bak": b"backup",
}


def put(folder: Path, files: dict[str, bytes] = FOREIGN) -> dict[Path, str]:
    """Put files into a folder, made if it is missing; return their digests."""
    folder.mkdir(exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return {folder / name: hashlib.sha256(data).hexdigest() for name, data in files.items()}


def check(digests: dict[Path, str]) -> None:
    found = {
        path: hashlib.sha256(path.read_bytes()).hexdigest() for path in digests if path.exists()
    }
    assert found == digests


@pytest.mark.parametrize("version", ["4.1", "6.7", "8.0"])
async def test_destroy(version: str, beside: Beside, tmp_path: Path, image: Path) -> None:
    with hosted(beside, tmp_path / "s", version, legacy_tls=version == "4.1") as host:
        left: list[DatastorePath] = []
        async with host.driver() as driver:
            await driver.spawn(spec(image))
            await driver.snapshot("web", "one")
            theirs = put(host.folder / "web")
            (host.folder / "web" / "sub").mkdir()
            (host.folder / "web" / "vmware-vmx-zdump.000").write_bytes(b"core")
            assert await driver.destroy("web", on_left=left.append) is True
        check(theirs)
        folder = host.folder / "web"
        assert {path.name for path in folder.iterdir()} == {*FOREIGN, "sub"}
        assert {path.name for path in left} == {*FOREIGN, "sub"}


async def test_destroy_beside_a_machine_that_is_not_registered(host: Hosted, image: Path) -> None:
    async with host.driver() as driver:
        await driver.spawn(spec(image))
        theirs = put(host.folder / "web", {"other.vmx": b'config.version = "8"\n', **FOREIGN})
        assert await driver.destroy("web")
    check(theirs)
    names = {path.name for path in (host.folder / "web").iterdir()}
    assert names == {"other.vmx", *FOREIGN}


async def test_destroy_by_force_reports_what_the_host_leaves(host: Hosted, image: Path) -> None:
    left: list[DatastorePath] = []
    async with host.driver(config=replace(CONFIG, owner="another")) as other:
        await other.spawn(spec(image))
    theirs = put(host.folder / "web")
    async with host.driver() as driver:
        assert await driver.destroy("web", foreign=True, on_left=left.append)
    check(theirs)
    assert {path.name for path in left} == set(FOREIGN)


async def test_a_spawn_that_fails(host: Hosted, image: Path) -> None:
    """Somebody puts files into the new folder while the image is on its way."""
    async with host.driver() as driver:
        theirs: dict[Path, str] = {}

        def progress(count: int) -> None:
            theirs.update(put(host.folder / "web"))

        host.esx.faults.fail_task("PowerOnVM_Task", vim25.SystemError(reason="on order"))
        with pytest.raises(vim25.SystemError) as caught:
            await driver.spawn(spec(image), on_progress=progress)
        (note,) = caught.value.__notes__
        assert note.startswith("Left behind: [datastore1] web, with files that are not known")
        assert "customer-db.vmdk" in note
        check(theirs)
        assert {path.name for path in (host.folder / "web").iterdir()} == set(FOREIGN)
        assert host.state().machines == frozenset()
        # The journal has nothing open: what stays is not ours.
        assert (await driver.sweep()).items == ()


async def test_a_spawn_whose_disk_has_the_name_of_somebodys_file(host: Hosted, image: Path) -> None:
    async with host.driver() as driver:
        plan = await driver.spawn.plan(spec(image))
        make = next(step for step in plan.steps if step.method == "CreateVirtualDisk_Task")
        theirs: dict[Path, str] = {}
        call = make.call

        async def late(run: Any) -> Any:
            theirs.update(put(host.folder / "web", {"web.vmdk": b"a disk", "web-flat.vmdk": b"x"}))
            return await call(run)

        object.__setattr__(make, "call", late)
        with pytest.raises(vim25.FileAlreadyExists):
            await execute(driver.host(), plan)
    check(theirs)
    assert host.state().machines == frozenset()


async def test_a_folder_that_was_made_later_under_the_same_name(host: Hosted) -> None:
    """A journal has an open entry about it, and the machine is long gone."""
    async with host.client() as client:
        names = ("web.vmdk", "web-flat.vmdk", "vmware.log", "web.nvram", "web-000001-delta.vmdk")
        theirs = put(host.folder / "web", FOREIGN | dict.fromkeys(names, b"not ours"))
        seen = [replace_size(seen_file(host.folder / "web" / name)) for name in names]
        folder = {"name": "web", "folder": "[datastore1] web"}
        for entry in (
            Destroying(**known(client, **folder)),
            Destroying(**known(client, **folder, files=tuple(seen))),
            Spawning(**known(client, uuid="u", **folder)),
        ):
            journal = await journalled(entry)
            report = await driver_of(client, journal).sweep(older_than=0)
            assert told(report) == [("left", "folder", "[datastore1] web")]
            assert "customer-db.vmdk" in report.items[0].reason
            check(theirs)
            assert await journal.abandoned() == ()


def replace_size(file: Any) -> Any:
    """Return the record of another file of that name."""
    return type(file)(name=file.name, size=file.size + 1, modified=file.modified)


async def test_what_is_still_as_it_was_seen_is_removed_and_nothing_else(host: Hosted) -> None:
    async with host.client() as client:
        theirs = put(host.folder / "web")
        ours = [host.folder / "web" / name for name in ("web.vmdk", "web-flat.vmdk", "vmware.log")]
        for path in ours:
            path.write_bytes(b"ours")
        seen = tuple(map(seen_file, ours))
        entry = Destroying(**known(client, name="web", folder="[datastore1] web", files=seen))
        dry = await driver_of(client, await journalled(entry)).sweep(dry_run=True)
        assert all(path.exists() for path in ours)
        report = await driver_of(client, await journalled(entry)).sweep()
        assert told(report) == told(dry) == [("left", "folder", "[datastore1] web")]
        assert "removed 3 files of the machine" in report.items[0].reason
        assert not any(path.exists() for path in ours)
        check(theirs)


async def test_an_empty_folder_of_that_name_stays(host: Hosted) -> None:
    async with host.client() as client:
        (host.folder / "web").mkdir()
        entry = Destroying(**known(client, name="web", folder="[datastore1] web"))
        report = await driver_of(client, await journalled(entry)).sweep()
        assert told(report) == [("kept", "folder", "[datastore1] web")]
    assert (host.folder / "web").is_dir()


@pytest.mark.parametrize("files", [FOREIGN, {}])
async def test_a_folder_that_was_renamed_by_a_process_that_was_killed(
    files: dict[str, bytes], host: Hosted
) -> None:
    """With files in it, it gets its name again: the journal shows that it was renamed."""
    async with host.client() as client:
        entry = Destroying(**known(client, name="web", folder="[datastore1] web"))
        away = temporary_name("web", OWNER, token=entry.token)
        put(host.folder / away, files)
        report = await driver_of(client, await journalled(entry)).sweep(older_than=0)
        assert told(report) == [("left" if files else "kept", "folder", "[datastore1] web")]
        check({host.folder / "web" / n: hashlib.sha256(d).hexdigest() for n, d in files.items()})
    assert {path.name for path in host.folder.iterdir()} == ({"web"} if files else set())


async def test_without_a_journal_only_an_empty_renamed_folder_is_removed(host: Hosted) -> None:
    async with host.client() as client:
        away = temporary_name("web", OWNER)
        (host.folder / away).mkdir()
        assert [i.action for i in (await driver_of(client).sweep()).items] == ["left"]
        report = await driver_of(client).sweep(older_than=0)
        assert told(report) == [("removed", "folder", f"[datastore1] {away}")]
    assert not (host.folder / away).exists()


@pytest.mark.parametrize("dry_run", [True, False])
async def test_a_folder_with_the_name_of_an_upload_stays_as_it_is(
    dry_run: bool, host: Hosted
) -> None:
    async with host.client() as client:
        (host.folder / "images").mkdir()
        away = f"images/{temporary_name('root.img', OWNER, at=LONG_AGO)}"
        theirs = put(host.folder / away)
        report = await driver_of(client).sweep(older_than=0, dry_run=dry_run)
        assert told(report) == [("left", "folder", f"[datastore1] {away}")]
        assert "customer-db.vmdk" in report.items[0].reason
        check(theirs)


async def test_a_folder_with_the_name_of_an_upload_in_the_journal_stays(host: Hosted) -> None:
    async with host.client() as client:
        (host.folder / "images").mkdir()
        path = f"images/{temporary_name('root.img', OWNER)}"
        theirs = put(host.folder / path)
        journal = await journalled(Uploading(**known(client, path=f"[datastore1] {path}")))
        report = await driver_of(client, journal).sweep(older_than=0)
        assert told(report) == [("left", "file", f"[datastore1] {path}")]
        assert "is a folder" in report.items[0].reason
        assert await journal.abandoned() == ()
        check(theirs)


async def test_a_folder_that_takes_the_name_of_a_note_during_a_sweep_stays(
    host: Hosted, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with host.client() as client:
        note = await write_note(host_of(client), "vlan-2", 2)
        path = host.folder / note.file.path
        theirs: dict[Path, str] = {}

        async def replace_note(_: Sweeping, __: DatastorePath) -> None:
            path.unlink()
            theirs.update(put(path))

        monkeypatch.setattr(Sweeping, "reach", replace_note)
        report = await driver_of(client).sweep(older_than=0)
        assert told(report) == [("left", "note", str(note.file))]
        assert theirs
        check(theirs)


async def test_an_upload_that_fails_leaves_a_folder_of_its_temporary_name(
    host: Hosted, image: Path
) -> None:
    """Somebody replaces the partial file by a folder while the host is asked for its size."""
    theirs: dict[Path, str] = {}

    def replace_part() -> None:
        (part,) = host.folder.rglob("*.part")
        part.unlink()
        theirs.update(put(part))

    async with host.client() as client:
        looks = len(host.esx.calls("SearchDatastore_Task"))
        # The first search is for the name, the second one reads the size back.
        host.esx.faults.add("SearchDatastore_Task", "delay", seconds=1.0, nth=2)
        pushing = asyncio.create_task(
            push_images(
                client,
                LocalImages(),
                [str(image)],
                datastore="datastore1",
                as_is=True,
                config=CONFIG,
            )
        )
        await until(lambda: len(host.esx.calls("SearchDatastore_Task")) == looks + 2)
        replace_part()
        (result,) = await pushing
    assert result.error is not None
    assert theirs
    check(theirs)
