"""What a sweep touches and what it leaves, with the process that sweeps alive all the time."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.rig.cancel import cancel_everywhere
from tests.unit.driver.hosted import (
    CONFIG,
    LONG_AGO,
    OWNER,
    Beside,
    Hosted,
    add_port_group,
    host_of,
    hosted,
    seen_file,
    spec,
    until,
    write_note,
)
from tests.unit.driver.sweep.decoys import OLD, place
from vimdriver._driver import ESXDriver
from vimdriver._images.local import LocalImages
from vimdriver._images.sink import temporary_name
from vimdriver._instances.machine import MAKING_KEY, OWNER_KEY, SPAWN_KEY
from vimdriver._instances.types import NICSpec
from vimdriver._journal import (
    AddingPortGroup,
    Destroying,
    Entry,
    MemoryJournal,
    Spawning,
    Uploading,
)
from vimdriver._networks import notes
from vimdriver._sweep import SweepReport, scan
from vimdriver._verbs import Host
from vimdriver.errors import JournalError
from vimlib import vim25
from vimlib._client import Client
from vimlib.errors import UsageError

TOKEN = "00000000000000aa"


async def machine(host: Hosted, client: Client, name: str = "web", **marks: str) -> Any:
    """Make a machine with marks, and a disk in its folder that is not attached."""
    given = {OWNER_KEY: OWNER, SPAWN_KEY: TOKEN, MAKING_KEY: OLD} | marks
    made = vim25.VirtualMachineConfigSpec(
        name=name,
        memoryMB=64,
        files=vim25.VirtualMachineFileInfo(vmPathName="[datastore1]"),
        extraConfig=[vim25.OptionValue(key=k, value=v) for k, v in given.items() if v],
    )
    folder = client.bind(vim25.Folder("ha-folder-vm"))
    vm = await client.wait(await folder.CreateVM_Task(made, vim25.ResourcePool("ha-root-pool")))
    for file in (f"{name}.vmdk", f"{name}-flat.vmdk"):
        (host.folder / name / file).write_bytes(b"x")
    return vm


def file(host: Hosted, name: str, *, age: float = 0.0) -> Path:
    path = host.folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"x")
    os.utime(path, (time.time() - age, time.time() - age))
    return path


def temporary(name: str) -> str:
    """Return a temporary name of ours, old by this computer's clock."""
    return temporary_name(name, OWNER, at=LONG_AGO)


async def journalled(*entries: Entry) -> MemoryJournal:
    """Return a journal in which these are open, and nobody is at them."""
    journal = MemoryJournal()
    for entry in entries:
        await journal.begin(entry)
        journal.abandon(entry.token)
    return journal


def known(client: Client, **more: Any) -> dict[str, Any]:
    return {"host": client.host, "owner": OWNER, **more}


def told(report: SweepReport) -> list[tuple[str, str, str]]:
    return [(item.action, item.kind, item.name) for item in report.items]


def driver_of(client: Client, journal: MemoryJournal | None = None) -> ESXDriver:
    return ESXDriver(client, LocalImages(), CONFIG, journal=journal)


@pytest.mark.parametrize("version", ["4.1", "6.7", "8.0"])
async def test_by_its_mark_alone(version: str, beside: Beside, tmp_path: Path) -> None:
    with hosted(beside, tmp_path / "s", version, legacy_tls=version == "4.1") as host:
        async with host.client() as client:
            decoys = await place(host, client)
            clean = host.state()
            await machine(host, client)
            part = file(host, f"images/{temporary('disk.img')}", age=7200)
            await machine(host, client, "young", **{MAKING_KEY: "2099-01-01T00:00:00Z"})
            young = file(host, temporary("disk.img"))
            report = await driver_of(client).sweep(older_than=3600)
            assert sorted(told(report)) == [
                ("left", "file", f"[datastore1] {young.name}"),
                ("left", "machine", "young"),
                ("removed", "file", f"[datastore1] images/{part.name}"),
                ("removed", "machine", "web"),
            ]
            decoys.check()
            await client.wait(await client.bind(host_machine(host, "young")).Destroy_Task())
            for path in (young, *(host.folder / "young").glob("*")):
                path.unlink()
            assert host.state() == clean


def host_machine(host: Hosted, name: str) -> vim25.VirtualMachine:
    return vim25.VirtualMachine(host.esx.machine(name).moid)


async def test_nothing_of_ours_is_nothing_to_do(host: Hosted) -> None:
    async with host.client() as client:
        decoys = await place(host, client)
        before, asked = host.state(), len(host.methods())
        report = await driver_of(client).sweep(older_than=0)
        assert (report.items, host.state()) == ((), before)
        assert repr(report) == "<SweepReport: 0 removed, 0 finished, 0 left, 0 failed>"
        decoys.check()
        # Nothing was asked of the host but to be read.
        changes = ("Delete", "Destroy_", "PowerO", "Reconfig", "Remove", "Unregister", "Move")
        assert not [m for m in host.methods()[asked:] if m.startswith(changes)]


async def test_a_dry_run_tells_and_does_nothing(host: Hosted) -> None:
    async with host.client() as client:
        await machine(host, client)
        part = f"images/{temporary('disk.img')}"
        file(host, part, age=7200)
        seen = (seen_file(file(host, "x/web.vmdk")),)
        journal = await journalled(
            Destroying(**known(client, name="gone", folder="[datastore1] x", files=seen)),
            Uploading(**known(client, path=f"[datastore1] {part}")),
        )
        before, open_before = host.state(), await journal.abandoned()
        driver = driver_of(client, journal)
        dry = await driver.sweep(older_than=3600, dry_run=True)
        assert (host.state(), await journal.abandoned()) == (before, open_before)
        real = await driver.sweep(older_than=3600)
        assert told(dry) == told(real)
        assert len(real.removed) == 3
        assert (dry.dry_run, real.dry_run) == (True, False)
        assert await journal.abandoned() == ()
        assert not (await driver.sweep(older_than=0)).items


async def test_what_this_process_is_at_is_left(host: Hosted, image: Path) -> None:
    """However old it may seem: a spawn and a sweep of one driver know of each other."""
    async with host.client() as client:
        driver = driver_of(client)
        host.beside.call(lambda: host.esx.faults.hold_task("CreateVirtualDisk_Task"))
        spawning = asyncio.create_task(driver.spawn(spec(image)))
        await until(lambda: "CreateVirtualDisk_Task" in host.state().running)
        report = await driver.sweep(older_than=0)
        assert told(report) == [("left", "machine", "web")]
        host.beside.call(lambda: host.esx.faults.release_task("CreateVirtualDisk_Task"))
        assert (await spawning).power_state == "poweredOn"
        assert (await driver.sweep(older_than=0)).items == ()


async def test_two_at_once_are_as_one(host: Hosted) -> None:
    async with host.client() as client, host.client() as other:
        decoys = await place(host, client)
        clean = replace(host.state(), sessions=0)
        for number in range(4):
            await machine(host, client, f"web-{number}x", **{SPAWN_KEY: f"{number:016}"})
            file(host, f"a/{temporary(str(number))}", age=7200)
        reports = await asyncio.gather(
            *(driver_of(one).sweep(older_than=3600) for one in (client, other, client))
        )
        assert [report.failed for report in reports] == [(), (), ()]
        await host.settled(clean, but=lambda s: replace(s, sessions=0))
        decoys.check()


async def test_cancelled_at_every_await(beside: Beside, tmp_path: Path) -> None:
    with hosted(beside, tmp_path / "s") as host:
        clean = host.state()

        async def prepare() -> None:
            async with host.client() as client:
                if not host.state().machines:
                    await machine(host, client)
                file(host, f"a/{temporary('x')}", age=7200)

        async def attempt() -> None:
            async with host.driver() as driver:
                await driver.sweep(older_than=3600)

        async def check(at: int) -> None:
            async with host.driver() as driver:
                assert not (await driver.sweep(older_than=3600)).failed
            await host.settled(clean)
            await prepare()

        await prepare()
        report = await cancel_everywhere(attempt, check, every=9)
        assert report.cancelled > 5


# -- machines that are not removed -------------------------------------------------------------------


@pytest.mark.parametrize("journal", [True, False])
async def test_a_half_made_machine_that_somebody_runs(journal: bool, host: Hosted) -> None:
    async with host.client() as client:
        vm = await machine(host, client)
        await client.wait(await vm.PowerOnVM_Task())
        entry = Spawning(**known(client, token=TOKEN, uuid="u", name="web"))
        kept = await journalled(*([entry] if journal else []))
        report = await driver_of(client, kept).sweep(older_than=0)
        assert told(report) == [("left", "machine", "web")]
        assert "poweredOn" in report.items[0].reason
        assert host.state().machines == {"web"}


async def test_a_machine_that_is_finished_while_it_is_decided_about(
    host: Hosted, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with host.client() as client:
        vm = await machine(host, client)
        real = Host.idle
        unmark = vim25.VirtualMachineConfigSpec(
            extraConfig=[vim25.OptionValue(key=MAKING_KEY, value="")]
        )

        async def slow(*args: Any, **given: Any) -> None:
            if given.get("of") is not None:
                await client.wait(await vm.ReconfigVM_Task(unmark))
            await real(*args, **given)

        monkeypatch.setattr(Host, "idle", slow)
        report = await driver_of(client).sweep(older_than=0)
        assert told(report) == [("kept", "machine", "web")]
        assert host.state().machines == {"web"}


async def test_a_machine_that_is_gone_before_it_is_read_is_reported_once(
    host: Hosted, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with host.client() as client:
        vm = await machine(host, client)
        real = scan.read_machine

        async def late(*args: Any) -> Any:
            # A killed process had asked for it, and the host does it now.
            await client.wait(await vm.Destroy_Task())
            return await real(*args)

        monkeypatch.setattr(scan, "read_machine", late)
        journal = await journalled(Spawning(**known(client, token=TOKEN, uuid="u", name="web")))
        driver = driver_of(client, journal)
        assert told(await driver.sweep(older_than=0)) == [("kept", "machine", "web")]
        assert await journal.abandoned() == ()


class Meanwhile(MemoryJournal):
    """Another process does something while an entry is written."""

    def __init__(self, does: Callable[[], Awaitable[None]]) -> None:
        super().__init__()
        self.does = does

    async def begin(self, entry: Entry) -> None:
        await super().begin(entry)
        await self.does()


async def test_a_machine_that_is_finished_just_before_it_would_go(host: Hosted) -> None:
    async with host.client() as client:
        vm = await machine(host, client)
        before = host.state()
        unmark = vim25.VirtualMachineConfigSpec(
            extraConfig=[vim25.OptionValue(key=MAKING_KEY, value="")]
        )

        async def finish() -> None:
            await client.wait(await vm.ReconfigVM_Task(unmark))

        journal = Meanwhile(finish)
        report = await driver_of(client, journal).sweep(older_than=0)
        assert told(report) == [("kept", "machine", "web")]
        assert host.state() == before
        assert not journal.running
        assert await journal.abandoned() == ()


async def test_what_another_sweep_has_taken_up_stays_written(host: Hosted) -> None:
    class Late(MemoryJournal):
        async def abandoned(self) -> Sequence[Entry]:
            return (entry,)  # as it was before the other sweep took it up

    async with host.client() as client:
        await machine(host, client)
        entry = Spawning(**known(client, token=TOKEN, uuid="u", name="web"))
        journal = Late()
        await journal.begin(entry)
        report = await driver_of(client, journal).sweep()
        assert told(report) == [("left", "machine", "web")]
        assert journal.running == (entry,)


async def test_it_is_this_machine_that_is_powered_on(host: Hosted) -> None:
    """Names are anybody's: one may be another machine's reference."""
    async with host.client() as client:
        vm = await machine(host, client, **{MAKING_KEY: ""})
        await machine(host, client, vm.moref[1], **{MAKING_KEY: "", OWNER_KEY: ""})
        entry = Spawning(**known(client, token=TOKEN, uuid="u", name="web", power_on=True))
        driver = driver_of(client, await journalled(entry))
        assert told(await driver.sweep()) == [("finished", "machine", "web")]
        states = {one.name: one.power_state for one in await driver.list_instances()}
        assert states == {"web": "poweredOn", vm.moref[1]: "poweredOff"}


async def test_whole_but_not_yet_on(host: Hosted) -> None:
    async with host.client() as client:
        await machine(host, client, **{MAKING_KEY: ""})
        entry = Spawning(**known(client, token=TOKEN, uuid="u", name="web", power_on=True))
        journal = await journalled(entry)
        driver = driver_of(client, journal)
        assert told(await driver.sweep()) == [("finished", "machine", "web")]
        assert (await driver.info("web")).power_state == "poweredOn"
        # Said once: whoever powers it off afterwards has it off.
        await driver.power_off("web")
        assert (await driver.sweep()).items == ()
        assert (await driver.info("web")).power_state == "poweredOff"


async def test_entries_of_others_are_not_ours_to_act_on(host: Hosted) -> None:
    async with host.client() as client:
        await machine(host, client, **{MAKING_KEY: "2099-01-01T00:00:00Z"})
        entry: dict[str, Any] = {"token": TOKEN, "uuid": "u", "name": "web"}
        journal = await journalled(Spawning(host="elsewhere:443", owner=OWNER, **entry))
        assert told(await driver_of(client, journal).sweep()) == [("left", "machine", "web")]
        assert len(await journal.abandoned()) == 1
        journal = await journalled(Spawning(host=client.host, owner="others", **entry))
        assert told(await driver_of(client, journal).sweep()) == [("left", "machine", "web")]
        assert len(await journal.abandoned()) == 1


# -- what has no machine any more --------------------------------------------------------------------


async def test_folders(host: Hosted) -> None:
    async with host.client() as client:
        await machine(host, client, "lives", **{MAKING_KEY: "", OWNER_KEY: ""})
        file(host, "remains/web.vmdk")
        file(host, "moved-in/other.vmx")
        before = host.state()

        seen = (seen_file(host.folder / "remains/web.vmdk"),)

        def destroying(folder: str) -> Destroying:
            return Destroying(**known(client, name="x", folder=folder, files=seen))

        journal = await journalled(
            *map(
                destroying,
                ["[datastore1] remains", "[datastore1] moved-in", "[datastore1] lives",
                 "[datastore1]", "[datastore1] gone", "[nosuch] x"],
            )
        )  # fmt: skip
        report = await driver_of(client, journal).sweep()
        assert told(report) == [
            ("removed", "folder", "[datastore1] remains"),
            ("left", "folder", "[datastore1] moved-in"),
            ("left", "folder", "[datastore1] lives"),
            ("left", "folder", "[datastore1]"),
            ("kept", "folder", "[datastore1] gone"),
            ("failed", "folder", "[nosuch] x"),
        ]
        assert host.state().files == before.files - {"remains/web.vmdk"}
        # Told once, but for what failed: its datastore may come back.
        assert told(await driver_of(client, journal).sweep()) == [
            ("failed", "folder", "[nosuch] x")
        ]
        assert report.failed[0].to_json()["error"]["type"] == "NotFoundError"


async def test_what_was_on_a_datastore_that_never_comes_back(host: Hosted) -> None:
    async with host.client() as client:
        part = temporary("disk.img")
        file(host, f"images/{part}")
        gone = "[nosuch] vimlib-networks/note"
        journal = await journalled(
            Destroying(**known(client, name="x", folder="[nosuch] x")),
            Spawning(**known(client, uuid="u", name="y", folder="[nosuch] y")),
            Uploading(**known(client, path=f"[nosuch] {part}")),
            Uploading(**known(client, path=f"[datastore1] images/{part}")),
            Uploading(**known(client, path=f"[other] {part}")),
            AddingPortGroup(**known(client, name="VM Network", note=gone, spawn="f" * 16)),
            AddingPortGroup(**known(client, name="never", note=gone)),
        )
        driver = driver_of(client, journal)
        forget = {"nosuch", "datastore1"}
        dry = await driver.sweep(forget=forget, dry_run=True)
        assert len(await journal.abandoned()) == 7
        report = await driver.sweep(forget=forget)
        assert told(dry) == told(report)
        assert sorted(told(report)) == [
            ("failed", "file", f"[other] {part}"),
            ("kept", "file", f"[nosuch] {part}"),
            ("kept", "folder", "[nosuch] x"),
            ("kept", "folder", "[nosuch] y"),
            ("kept", "note", gone),
            ("kept", "port group", "VM Network"),
            # One that is there is swept, whatever is said of it.
            ("removed", "file", f"[datastore1] images/{part}"),
        ]
        assert "gone permanently" in report.items[0].reason
        assert [entry.path for entry in await journal.abandoned() if isinstance(entry, Uploading)]
        assert len(await journal.abandoned()) == 1


async def test_a_folder_of_an_odd_name_hides_no_other(host: Hosted) -> None:
    async with host.client() as client:
        part = temporary("disk.img")
        theirs = file(host, f"a\tb/{part}", age=7200)
        ours = file(host, f"images/{part}", age=7200)
        report = await driver_of(client).sweep(older_than=3600)
        assert told(report) == [("removed", "file", f"[datastore1] images/{part}")]
        assert (theirs.exists(), ours.exists()) == (True, False)


async def test_files_that_the_journal_names(host: Hosted) -> None:
    async with host.client() as client:
        ours = temporary("disk.img")
        file(host, f"images/{ours}")
        theirs = file(host, "images/precious.vmdk")
        paths = [f"[datastore1] images/{name}" for name in (ours, theirs.name, "x" + ours)]
        journal = await journalled(*(Uploading(**known(client, path=path)) for path in paths))
        report = await driver_of(client, journal).sweep()
        assert told(report) == [
            ("removed", "file", paths[0]),
            # Whatever the journal says: its name is none that we give.
            ("left", "file", paths[1]),
            ("kept", "file", paths[2]),
        ]
        assert theirs.exists()


class Killed(MemoryJournal):
    """The process ends before an entry is closed."""

    async def done(self, token: str) -> None:
        self.abandon(token)


async def test_port_groups(host: Hosted, image: Path) -> None:
    async with host.client() as client:
        journal = Killed()

        ours = host_of(client, journal=journal)
        await add_port_group(ours, "alone", 1)
        await add_port_group(ours, "for-none", 2, spawn="f" * 16)
        await add_port_group(ours, "for-one", 3, spawn=TOKEN)
        await add_port_group(ours, "in-use", 4, spawn="f" * 16)
        await add_port_group(ours, "not-ours", 5, spawn="f" * 16)
        await machine(host, client, **{MAKING_KEY: ""})
        driver = driver_of(client)
        await driver.spawn(spec(image, name="user", nics=(NICSpec(network="in-use"),)))
        for note in await notes.notes_of(ours, "not-ours"):
            await ours.delete(note.file)
        never = await write_note(ours, "never", 6)
        await journal.begin(
            AddingPortGroup(**known(client, token="n", name="never", note=str(never.path)))
        )
        journal.abandon("n")
        closing = await journalled(*await journal.abandoned())
        report = await driver_of(client, closing).sweep()
        assert told(report) == [
            ("kept", "port group", "alone"),
            ("removed", "port group", "for-none"),
            ("kept", "port group", "for-one"),
            ("kept", "port group", "in-use"),
            ("kept", "port group", "not-ours"),
            ("removed", "note", str(never.path)),
        ]
        assert "for-none" not in host.state().groups
        assert {"alone", "for-one", "in-use", "not-ours"} <= host.state().groups
        assert await closing.abandoned() == ()
        assert len(list((host.folder / "vimlib-networks").iterdir())) == 3


async def test_a_port_group_goes_with_its_machine_and_not_before(host: Hosted) -> None:
    async with host.client() as client:
        await machine(host, client)
        killed = Killed()
        await add_port_group(host_of(client, journal=killed), "vlan-3", 3, spawn=TOKEN)
        journal = await journalled(
            Spawning(**known(client, token=TOKEN, uuid="u", name="web")),
            *await killed.abandoned(),
        )
        host.esx.faults.fail_task("Destroy_Task", vim25.GenericVmConfigFault(reason="on order"))
        driver = driver_of(client, journal)
        assert told(await driver.sweep()) == [
            ("failed", "machine", "web"), ("left", "port group", "vlan-3")
        ]  # fmt: skip
        gone = [("removed", "machine", "web"), ("removed", "port group", "vlan-3")]
        assert told(await driver.sweep(dry_run=True)) == gone
        assert told(await driver.sweep()) == gone
        assert "vlan-3" not in host.state().groups


async def test_a_port_group_that_is_not_as_we_would_have_made_it(host: Hosted) -> None:
    """Killed before the call left; then somebody made one of that name by hand."""
    async with host.client() as client:
        theirs = replace(CONFIG, owner="others")
        await add_port_group(host_of(client, theirs), "vlan-3", 42)
        note = await write_note(host_of(client), "vlan-3", 3)
        entry = AddingPortGroup(**known(client, name="vlan-3", note=str(note.path), spawn="f" * 16))
        journal = await journalled(entry)
        report = await driver_of(client, journal).sweep()
        assert told(report) == [("kept", "port group", "vlan-3")]
        assert "vlan-3" in host.state().groups
        assert not (host.folder / note.file.path).exists()
        assert await journal.abandoned() == ()


async def test_notes_about_port_groups_that_never_were(host: Hosted) -> None:
    async with host.client() as client:
        written = {}
        for owner, name in ((OWNER, "never"), (OWNER, "young"), ("others", "never")):
            by = host_of(client, replace(CONFIG, owner=owner), clock=lambda: LONG_AGO)
            written[owner, name] = await write_note(by, name, 7)
        old = time.time() - 7200
        for owner, name in ((OWNER, "never"), ("others", "never")):
            os.utime(host.folder / written[owner, name].file.path, (old, old))
        # Says that it is ours, under a name that we would not have given it.
        forged = file(host, "vimlib-networks/forged.0", age=7200)
        forged.write_text(f"{OWNER}\n7\nnever\n")
        os.utime(forged, (old, old))
        file(host, f"vimlib-networks/{'0' * 32}.0", age=7200)
        report = await driver_of(client).sweep(older_than=3600)
        assert told(report) == [("removed", "note", str(written[OWNER, "never"].file))]


@pytest.mark.parametrize(
    ("making", "action", "stays"),
    [
        # No machine: its process was killed before it made one.
        (None, ("removed", "port group", "vlan-3"), False),
        # Half-made, and swept itself before.
        (OLD, ("removed", "port group", "vlan-3"), False),
        # Whole: the process was killed before it kept the port group.
        ("", ("kept", "port group", "vlan-3"), True),
    ],
)
async def test_an_unfinished_note_without_a_journal(
    making: str | None, action: tuple[str, str, str], stays: bool, host: Hosted
) -> None:
    async with host.client() as client:
        if making is not None:
            await machine(host, client, **{MAKING_KEY: making})
        by = host_of(client, clock=lambda: LONG_AGO)
        await add_port_group(by, "vlan-3", 3, spawn=TOKEN)
        (note,) = await notes.notes_of(by, "vlan-3")
        note = await notes.turn(by, note, "making")
        if making == OLD:
            host.esx.faults.fail_task("Destroy_Task", vim25.GenericVmConfigFault(reason="no"))
            report = await driver_of(client).sweep(older_than=0)
            assert told(report)[1] == ("left", "port group", "vlan-3")
        assert told(await driver_of(client).sweep(older_than=0))[-1] == action
        assert ("vlan-3" in host.state().groups) is stays
        assert [n.state for n in await notes.notes_of(by, "vlan-3")] == ["kept"] * stays
        # Then there is nothing more to do.
        assert (await driver_of(client).sweep(older_than=0)).items == ()


async def test_an_unfinished_note_of_a_port_group_that_others_use(host: Hosted) -> None:
    async with host.client() as client:
        by = host_of(client, clock=lambda: LONG_AGO)
        await add_port_group(by, "vlan-3", 3)
        await notes.turn(by, await write_note(by, "vlan-3", 3), "leaving")
        report = await driver_of(client).sweep(older_than=0)
        assert [(item.action, item.reason) for item in report.items] == [
            ("kept", "in use by others")
        ]
        assert [n.state for n in await notes.notes_of(by, "vlan-3")] == ["kept"]
        assert "vlan-3" in host.state().groups


# -- what goes wrong ---------------------------------------------------------------------------------


async def test_one_that_fails_does_not_stop_the_others(host: Hosted) -> None:
    async with host.client() as client:
        for number in range(3):
            await machine(host, client, f"web-{number}", **{SPAWN_KEY: f"{number:016}"})
        part = file(host, temporary("a"), age=7200)
        host.esx.faults.fail_task("Destroy_Task", vim25.GenericVmConfigFault(reason="on order"))
        journal = MemoryJournal()
        driver = driver_of(client, journal)
        report = await driver.sweep(older_than=3600)
        assert [len(report.having(a)) for a in ("failed", "removed")] == [1, 3]
        assert not part.exists()
        (failed,) = report.failed
        assert isinstance(failed.error, vim25.GenericVmConfigFault)
        assert failed.to_json()["error"]["type"] == "GenericVmConfigFault"
        # It carries its mark to the last, and this process remembers it, too.
        again = await driver.sweep(older_than=10**9)
        assert told(again) == [("removed", "machine", failed.name)]
        assert host.state().files == frozenset()


async def test_a_datastore_that_cannot_be_searched(host: Hosted) -> None:
    async with host.client() as client:
        await machine(host, client)
        host.esx.faults.fail_task(
            "SearchDatastoreSubFolders_Task", vim25.FileFault(file="[datastore1]")
        )
        report = await driver_of(client).sweep(older_than=0)
        assert told(report) == [
            ("removed", "machine", "web"), ("failed", "folder", "[datastore1]")
        ]  # fmt: skip


async def test_an_age_beyond_all_calendars(host: Hosted) -> None:
    async with host.client() as client:
        await machine(host, client)
        await write_note(host_of(client), "never", 7)
        report = await driver_of(client).sweep(older_than=1e15)
        assert told(report) == [("left", "machine", "web")]


@pytest.mark.parametrize("age", [-1, float("nan"), float("inf")])
async def test_ages_that_are_none(age: float, host: Hosted) -> None:
    async with host.client() as client:
        with pytest.raises(UsageError):
            await driver_of(client).sweep(older_than=age)


async def test_row_77_without_a_journal_entry_nothing_is_begun(
    host: Hosted, image: Path, tmp_path: Path
) -> None:
    config = replace(CONFIG, journal=tmp_path / "no" / "journal")
    async with host.driver(config=config) as driver, driver:
        with pytest.raises(JournalError):
            await driver.spawn(spec(image))
        with pytest.raises(JournalError):
            await driver.ensure_vlan("vlan-1", 1)
        with pytest.raises(JournalError):
            await driver.sweep()
    assert not host.esx.calls("CreateVM_Task")
    assert not host.esx.calls("AddPortGroup")
    assert host.state().files == frozenset()


async def test_row_67_what_could_not_be_undone_is_swept_later(host: Hosted, image: Path) -> None:
    clean = host.state()
    host.esx.faults.fail_task("CreateVirtualDisk_Task", vim25.FileFault(file="x"))
    host.esx.faults.fail_task("Destroy_Task", vim25.GenericVmConfigFault(reason="on order"))
    async with host.driver() as driver:
        with pytest.raises(vim25.FileFault) as caught:
            await driver.spawn(spec(image))
        assert "Left behind: machine web" in caught.value.__notes__[0]
        assert host.state().machines == {"web"}
        # It was begun a moment ago, but nobody is at it any more, and this driver knows.
        assert told(await driver.sweep()) == [("removed", "machine", "web")]
    await host.settled(clean)


async def test_port_groups_that_cannot_be_looked_at_hide_nothing(host: Hosted) -> None:
    async with host.client() as client:
        await machine(host, client)
        await write_note(host_of(client), "never", 7)
        host.esx.faults.deny("HostNetworkSystem", "networkInfo", vim25.NoPermission(
            object=vim25.HostNetworkSystem("networkSystem"), privilegeId="System.Read"
        ))  # fmt: skip
        report = await driver_of(client).sweep(older_than=0)
        assert told(report) == [
            ("removed", "machine", "web"), ("failed", "port group", client.host)
        ]  # fmt: skip
        assert report.failed[0].error is not None


async def test_a_spawn_under_a_journal_cancelled_at_every_await(
    beside: Beside, tmp_path: Path, image: Path
) -> None:
    """What is undone is closed: a sweep has nothing to do, and says nothing of anybody's."""
    config = replace(CONFIG, journal=tmp_path / "journal")
    with hosted(beside, tmp_path / "s") as host:
        clean = host.state()

        async def attempt() -> None:
            async with host.driver(config=config) as driver, driver:
                nics = (NICSpec(network="vlan-3", vlan=3),)
                await driver.spawn(spec(image, nics=nics))

        async def check(at: int) -> None:
            async with host.driver(config=config) as driver, driver:
                assert (await driver.sweep()).items == ()
                if "web" in host.state().machines:
                    await driver.destroy("web")
                    await driver.remove_vlan("vlan-3")
            await host.settled(clean)

        report = await cancel_everywhere(attempt, check, every=11)
        assert report.cancelled > 10
