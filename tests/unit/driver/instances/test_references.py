"""References that were resolved before, and machines that a verb holds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from msgspec import structs

from tests.unit.driver.hosted import Beside, Hosted, hosted, until
from vimdriver._driver import ESXDriver
from vimdriver._instances.machine import find
from vimlib import vim25
from vimlib.errors import NotFoundError


@pytest.fixture
def host(beside: Beside, tmp_path: Path) -> Iterator[Hosted]:
    with hosted(beside, tmp_path / "s", owned=True, vms=3) as found:
        yield found


@pytest.fixture
async def driver(host: Hosted) -> AsyncIterator[ESXDriver]:
    async with host.driver() as found:
        yield found


def calls(host: Hosted, since: int) -> list[str]:
    return host.methods()[since:]


@pytest.mark.parametrize("by", ["uuid", "name"])
async def test_a_reference_is_resolved_once_and_checked_by_each_read(
    by: str, host: Hosted, driver: ESXDriver
) -> None:
    ref = getattr((await driver.list_instances())[0], by)
    seen = len(host.methods())
    first = await driver.info(ref)
    search = "FindByUuid" if by == "uuid" else "FindByInventoryPath"
    assert calls(host, seen) == [search, "RetrievePropertiesEx"]
    seen = len(host.methods())
    assert await driver.info(ref) == first
    assert calls(host, seen) == ["RetrievePropertiesEx"]


async def test_no_look_up_reads_the_other_machines(host: Hosted, driver: ESXDriver) -> None:
    one = (await driver.list_instances())[0]
    for ref in (one.uuid, one.name, one.moref):
        seen = len(host.methods())
        await driver.info(ref)
        assert "CreateContainerView" not in calls(host, seen)
        assert len(calls(host, seen)) <= 3


async def test_a_stale_reference_is_resolved_again(host: Hosted, driver: ESXDriver) -> None:
    assert (await driver.info("vm-0")).moref == host.esx.machine("vm-0").moid
    was, now = host.esx.machine("vm-0"), host.esx.machine("vm-1")
    uuid = (await driver.info("vm-0")).uuid
    await driver.info(uuid)

    def swap() -> None:
        was.set_config(structs.replace(was.config, name="old", instanceUuid=None))
        now.set_config(structs.replace(now.config, name="vm-0", instanceUuid=uuid))

    host.beside.call(swap)
    assert (await driver.info("vm-0")).moref == now.moid
    assert (await driver.info(uuid)).moref == now.moid
    await driver.destroy("vm-0", foreign=True)
    for ref in ("vm-0", uuid):
        with pytest.raises(NotFoundError):
            await driver.info(ref)


async def test_a_uuid_that_nova_wrote_into_extra_config_is_found(
    host: Hosted, driver: ESXDriver
) -> None:
    uuid = "5021e9d8-7d2f-4b8c-9f8a-0c5b3d1f2a10"
    machine = host.esx.machine("vm-2")
    option = vim25.OptionValue(key="nvp.vm-uuid", value=uuid)
    config = structs.replace(machine.config, extraConfig=[*machine.config.extraConfig, option])
    host.beside.call(lambda: machine.set_config(config))
    assert (await driver.info(uuid)).name == "vm-2"
    assert (await driver.info(uuid.upper())).name == "vm-2"


async def test_verbs_on_one_machine_go_one_after_another(host: Hosted, driver: ESXDriver) -> None:
    await driver.info("vm-0")
    await asyncio.gather(
        driver.power_on("vm-0"),
        driver.suspend("vm-0"),
        driver.resume("vm-0"),
        driver.power_off("vm-0"),
    )
    made = [method for method in host.methods() if method.endswith("VM_Task")]
    assert made == ["PowerOnVM_Task", "SuspendVM_Task", "PowerOnVM_Task", "PowerOffVM_Task"]


async def test_a_destroy_goes_before_those_that_wait(host: Hosted, driver: ESXDriver) -> None:
    host.esx.registry.task_seconds = 0.05
    verbs = [asyncio.create_task(driver.power_on("vm-0"))]
    await until(lambda: "PowerOnVM_Task" in host.methods())
    verbs += [asyncio.create_task(driver.suspend("vm-0")) for _ in range(3)]
    removal = asyncio.create_task(driver.destroy("vm-0", foreign=True))
    assert await removal
    results = await asyncio.gather(*verbs, return_exceptions=True)
    assert "SuspendVM_Task" not in host.methods()
    assert [type(result) for result in results[1:]] == [NotFoundError] * 3


async def test_a_guest_that_shuts_down_slowly_holds_up_no_destroy(
    host: Hosted, driver: ESXDriver
) -> None:
    host.esx.machine("vm-0").guest.tools_installed = True
    host.esx.registry.guest_seconds = 3600
    await driver.power_on("vm-0")
    waiting = asyncio.create_task(driver.shutdown("vm-0", timeout=600))
    await until(lambda: "ShutdownGuest" in host.methods())
    assert await driver.destroy("vm-0", foreign=True)
    with pytest.raises(vim25.ManagedObjectNotFound):
        await waiting


async def test_look_ups_of_a_verb_give_the_machine_that_it_holds(
    host: Hosted, driver: ESXDriver
) -> None:
    seen = len(host.methods())
    async with driver.host().held("vm-1"):
        held = await find(driver.client, "vm-1")
        assert calls(host, seen) == ["FindByInventoryPath"]
    assert held.moref[1] == host.esx.machine("vm-1").moid
