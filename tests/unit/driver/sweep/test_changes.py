"""A sweep after a process that ended during a resize, a rescue or a rebuild."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace as revised

from tests.unit.driver.hosted import CONFIG, Hosted, spec
from tests.unit.driver.sweep.test_sweep import driver_of, journalled, known, told
from tests.unit.driver.test_disks import paths
from tests.unit.driver.test_rescuing import RESCUE, bootable
from tests.unit.driver.test_sizing import marks, sizes
from vimdriver._driver import ESXDriver
from vimdriver._images.local import LocalImages
from vimdriver._instances.pending import PENDING_KEY, Pending
from vimdriver._journal import Changing
from vimdriver._verbs import Plan, execute, returns
from vimlib import vim25

ROOT = "[datastore1] web/web.vmdk"
VERBS: dict[str, tuple[tuple[Any, ...], dict[str, Any], int]] = {
    "resize": ((), {"cpus": 2, "disk_gb": 1}, 3),
    "rescue": ((ROOT,), {}, 2),
    "rebuild": ((ROOT,), {}, 3),
}


def pending(host: Hosted) -> Pending:
    return msgspec.json.decode(marks(host)[PENDING_KEY], type=Pending)


async def end_after(driver: ESXDriver, verb: str, steps: int) -> None:
    """Do the first steps of a verb, and no more."""
    arguments, options, _ = VERBS[verb]
    plan = await getattr(driver, verb).plan("web", *arguments, **options)
    await execute(driver.host(), Plan(plan.title, plan.steps[:steps], returns(None)))


@pytest.mark.parametrize(
    ("verb", "steps"),
    [(verb, n) for verb, (_, _, most) in VERBS.items() for n in range(1, most + 1)],
)
async def test_by_its_mark_alone(verb: str, steps: int, host: Hosted, image: Path) -> None:
    async with host.client() as client:
        driver = driver_of(client)
        await driver.spawn(spec(image, power_on=False))
        clean, before = host.state(), await sizes(driver)
        await end_after(driver, verb, steps)
        made = host.state().files - clean.files
        assert bool(made) == (steps > 1)
        (young,) = (await driver.sweep(older_than=3600)).items
        assert (young.action, young.kind, young.name) == ("left", "change", "web")
        dry = await driver.sweep(older_than=0, dry_run=True)
        assert host.state().files - clean.files == made
        assert told(await driver.sweep(older_than=0)) == told(dry) == [("removed", "change", "web")]
        assert host.state() == clean
        assert await sizes(driver) == before
        assert PENDING_KEY not in marks(host)
        assert (await driver.sweep(older_than=0)).items == ()


async def test_by_the_journal_without_an_age(host: Hosted, image: Path) -> None:
    async with host.client() as client:
        driver = driver_of(client)
        await driver.spawn(spec(image, power_on=False))
        clean = host.state()
        await end_after(driver, "resize", 2)
        entry = Changing(
            **known(
                client, name="web", machine="1", token=pending(host).token, disk=pending(host).disk
            )
        )
        journal = await journalled(entry)
        report = await driver_of(client, journal).sweep(older_than=3600)
        assert told(report) == [("removed", "change", "web")]
        assert await journal.abandoned() == ()
        assert host.state() == clean


async def test_the_disk_of_a_machine_that_is_gone(host: Hosted, image: Path) -> None:
    async with host.client() as client:
        driver = driver_of(client)
        clean = host.state()
        await driver.spawn(spec(image, power_on=False))
        await end_after(driver, "rescue", 2)
        found = pending(host)
        await client.bind(vim25.VirtualMachine(host.esx.machine("web").moid)).UnregisterVM()
        entry = Changing(
            **known(client, name="web", machine="1", token=found.token, disk=found.disk)
        )
        report = await driver_of(client, await journalled(entry)).sweep()
        assert told(report) == [("removed", "change", "web")]
        left = {name.partition("/")[2] for name in host.state().files - clean.files}
        assert left == {"web.vmx", "web.vmdk", "web-flat.vmdk"}


async def test_a_complete_change_is_kept(host: Hosted, image: Path) -> None:
    async with host.client() as client:
        driver = driver_of(client)
        await driver.spawn(spec(image, power_on=False))
        await driver.resize("web", disk_gb=1)
        state, found = host.state(), pending(host)
        assert (await driver.sweep(older_than=0)).items == ()
        entry = Changing(
            **known(client, name="web", machine="1", token=found.token, disk=found.disk)
        )
        journal = await journalled(entry)
        report = await driver_of(client, journal).sweep(older_than=0)
        assert told(report) == [("kept", "change", "web")]
        assert host.state() == state
        await driver.confirm_resize("web")
        # The entry is still open elsewhere: the disk is the machine's now.
        report = await driver_of(client, await journalled(entry)).sweep(older_than=0)
        assert told(report) == [("kept", "change", "web")]
        assert (await paths(driver)) == [found.disk]


async def test_a_resize_that_was_being_confirmed_is_confirmed(host: Hosted, image: Path) -> None:
    async with host.client() as client:
        driver = driver_of(client)
        await driver.spawn(spec(image, power_on=False))
        await driver.resize("web", cpus=2, disk_gb=1)
        for _ in range(2):
            plan = await driver.confirm_resize.plan("web")
            await execute(driver.host(), replace(plan, steps=plan.steps[:1]))
            assert pending(host).phase == "confirming"
        assert told(await driver.sweep(older_than=0)) == [("finished", "change", "web")]
        assert "web/web.vmdk" not in host.state().files
        assert PENDING_KEY not in marks(host)
        assert (await sizes(driver))[0] == 2


async def test_a_change_of_a_machine_of_another_owner_is_known_by_the_journal(
    host: Hosted, image: Path
) -> None:
    async with host.client() as client:
        await ESXDriver(client, LocalImages(), replace(CONFIG, owner="another")).spawn(
            spec(image, power_on=False)
        )
        clean = host.state()
        plan = await driver_of(client).resize.plan("web", cpus=2, disk_gb=1, foreign=True)
        await execute(driver_of(client).host(), Plan(plan.title, plan.steps[:2], returns(None)))
        found = pending(host)
        assert (await driver_of(client).sweep(older_than=0)).items == ()
        entry = Changing(
            **known(client, name="web", machine="1", token=found.token, disk=found.disk)
        )
        report = await driver_of(client, await journalled(entry)).sweep()
        assert told(report) == [("removed", "change", "web")]
        assert PENDING_KEY not in marks(host)
        assert host.state() == clean


async def test_a_mark_that_names_a_disk_elsewhere_as_the_former_one_deletes_nothing(
    host: Hosted, image: Path
) -> None:
    async with host.client() as client:
        driver = driver_of(client)
        await driver.spawn(spec(image, power_on=False))
        await driver.resize("web", cpus=2, disk_gb=1)
        bootable(host)
        state = host.state()
        forged = revised(pending(host), phase="confirming", former=RESCUE)
        vm = client.bind(vim25.VirtualMachine(host.esx.machine("web").moid))
        change = vim25.VirtualMachineConfigSpec(extraConfig=[forged.option()])
        await client.wait(await vm.ReconfigVM_Task(change))
        assert told(await driver.sweep(older_than=0)) == [("left", "change", "web")]
        await driver.confirm_resize("web")
        assert host.state().files == state.files
        assert PENDING_KEY not in marks(host)


@pytest.mark.parametrize(
    "disk",
    ["[datastore1] tools/rescue.vmdk", "nonsense", "[datastore1] a-resize-0000000000000000.vmdk"],
)
async def test_a_mark_that_names_somebodys_file_deletes_nothing(
    disk: str, host: Hosted, image: Path
) -> None:
    """Every user who may change the machine may write any path into its settings."""
    async with host.client() as client:
        driver = driver_of(client)
        await driver.spawn(spec(image, power_on=False))
        forged = Pending(what="resize", phase="begun", token="f" * 16, began="", disk=disk)
        vm = client.bind(vim25.VirtualMachine(host.esx.machine("web").moid))
        change = vim25.VirtualMachineConfigSpec(extraConfig=[forged.option()])
        await client.wait(await vm.ReconfigVM_Task(change))
        theirs = host.folder / "a-resize-0000000000000000.vmdk"
        theirs.write_bytes(b"x")
        entry = Changing(**known(client, name="web", machine="1", token="f" * 16, disk=disk))
        report = await driver_of(client, await journalled(entry)).sweep(older_than=0)
        assert told(report) == [("left", "change", "web")]
        assert theirs.exists()
