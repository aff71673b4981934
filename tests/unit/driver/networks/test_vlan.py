"""VLAN networks: each check in its order, made once, removed only if ours and unused."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.unit.driver.hosted import CONFIG, Beside, Hosted, hosted, spec, until
from vimdriver._instances.types import NICSpec
from vimdriver._networks.port_groups import PortGroup, list_port_groups
from vimdriver._verbs import execute
from vimdriver.errors import (
    ForeignPortGroupError,
    NetworkNotFoundError,
    PhysicalNICNotFoundError,
    PortGroupInUseError,
    PortGroupMismatchError,
)
from vimlib import vim25
from vimlib.errors import NotFoundError, OutcomeUnknownError, UsageError
from vimlib.simulator._core.objects import prop
from vimlib.simulator._host.network import PortGroup as SimulatedGroup
from vimlib.simulator._host.network import Switch
from vimlib.simulator._storage.datastore import Datastore

BLUE = PortGroup(name="blue", vlan=42, vswitch="vSwitch0")


def network(host: Hosted) -> Any:
    return host.esx.networks


def add(host: Hosted, name: str, vlan: int, switch: str = "vSwitch0") -> None:
    host.beside.call(lambda: network(host).add_group(SimulatedGroup(name, switch, vlan)))


@pytest.fixture
def two_switches(host: Hosted) -> Hosted:
    network(host).switches["vSwitch1"] = Switch("vSwitch1", ["vmnic1"])
    return host


@pytest.mark.parametrize("version", ["4.1", "6.7", "8.0"])
async def test_made_once_and_removed(version: str, beside: Beside, tmp_path: Path) -> None:
    with hosted(beside, tmp_path / "s", version) as host:
        clean = host.state()
        async with host.driver() as driver:
            assert await driver.ensure_vlan("blue", 42) == BLUE
            assert await driver.ensure_vlan("blue", 42) == BLUE
            assert len(host.esx.calls("AddPortGroup")) == 1
            assert BLUE in await list_port_groups(driver.client)
            await driver.remove_vlan("blue")
            with pytest.raises(NetworkNotFoundError):
                await driver.remove_vlan("blue")
        await host.settled(clean)


async def test_each_check_in_its_order(two_switches: Hosted) -> None:
    host = two_switches
    add(host, "blue", 7, "vSwitch1")
    async with host.driver() as driver:
        with pytest.raises(UsageError):
            await driver.ensure_vlan("blue", 4095, interface="vmnic9")
        with pytest.raises(UsageError):
            await driver.ensure_vlan("\n", 42, interface="vmnic9")
        with pytest.raises(PhysicalNICNotFoundError, match="physical NIC") as no_nic:
            await driver.ensure_vlan("blue", 42, interface="vmnic9")
        assert no_nic.value.known == ("vmnic0", "vmnic1", "vmnic10")
        with pytest.raises(PhysicalNICNotFoundError, match="no virtual switch") as no_switch:
            await driver.ensure_vlan("blue", 42, interface="vmnic10")
        assert no_switch.value.known == ("vmnic0", "vmnic1")
        # Its switch before its VLAN id: both differ.
        with pytest.raises(PortGroupMismatchError) as switch:
            await driver.ensure_vlan("blue", 42)
        assert (switch.value.fact, switch.value.expected, switch.value.actual) == ("vswitch", "vSwitch0", "vSwitch1")  # fmt: skip
        with pytest.raises(PortGroupMismatchError) as vlan:
            await driver.ensure_vlan("blue", 42, interface="vmnic1")
        assert (vlan.value.fact, vlan.value.expected, vlan.value.actual) == ("vlan", 42, 7)
        assert (await driver.ensure_vlan("blue", 7, interface="vmnic1")).vswitch == "vSwitch1"
    assert not host.esx.calls("AddPortGroup")
    assert host.state().files == frozenset()


async def test_a_nic_whose_name_begins_another(host: Hosted) -> None:
    # vmnic10 is on a switch, vmnic1 is not: the original looked for the name within the key.
    network(host).switches["vSwitch1"] = Switch("vSwitch1", ["vmnic10"])
    async with host.driver() as driver:
        with pytest.raises(PhysicalNICNotFoundError):
            await driver.ensure_vlan("blue", 42, interface="vmnic1")


@pytest.mark.parametrize("vlan", [42, 43])
async def test_somebody_is_quicker(vlan: int, host: Hosted) -> None:
    async with host.driver() as driver:
        host.esx.faults.add("AddPortGroup", "delay", seconds=1)
        work = asyncio.ensure_future(driver.ensure_vlan("blue", 42))
        await until(lambda: bool(host.esx.calls("AddPortGroup")))
        add(host, "blue", vlan)
        if vlan == 42:
            assert await work == BLUE
        else:
            with pytest.raises(PortGroupMismatchError):
                await work
        # It is theirs: neither undone nor removed.
        with pytest.raises(ForeignPortGroupError):
            await driver.remove_vlan("blue")
    assert "blue" in host.state().groups
    assert host.state().files == frozenset()


async def test_somebody_is_quicker_and_the_answer_that_says_so_is_lost(host: Hosted) -> None:
    async with host.driver() as driver:
        plan = await driver.ensure_vlan.plan("blue", 42)
        add(host, "blue", 7)
        host.esx.faults.add("AddPortGroup", "lose")
        with pytest.raises(PortGroupMismatchError):
            await execute(driver.host(), plan)
    # It is not what was asked for, so this driver did not make it.
    assert "blue" in host.state().groups
    assert host.state().files == frozenset()


async def test_two_of_us_at_once(host: Hosted) -> None:
    clean = host.state()
    async with host.driver() as one, host.driver() as two:
        found = await asyncio.gather(*(d.ensure_vlan("blue", 42) for d in (one, two, one, two)))
        assert found == [BLUE] * 4
        # Whoever was quicker: it is ours, and remembered so.
        await two.remove_vlan("blue")
    await host.settled(clean)


async def test_a_note_without_its_port_group_does_no_harm(host: Hosted) -> None:
    async with host.driver() as driver:
        await driver.ensure_vlan("blue", 42)
        host.beside.call(lambda: network(host).groups.pop("blue"))
        assert await driver.ensure_vlan("blue", 42) == BLUE
        await driver.remove_vlan("blue")
    assert host.state().files == frozenset()


async def test_what_another_made_under_the_name_of_ours_stays(host: Hosted) -> None:
    async with host.driver() as driver:
        await driver.ensure_vlan("blue", 42)
        # By hand: ours is removed, and one of that name made for another VLAN.
        host.beside.call(lambda: network(host).groups.pop("blue"))
        add(host, "blue", 7)
        with pytest.raises(ForeignPortGroupError):
            await driver.remove_vlan("blue")
    assert host.state().groups == {"VM Network", "Management Network", "blue"}


@pytest.mark.parametrize("name", ["a/b", "50%", "a\\b", "a%2fb"])
async def test_a_name_that_the_api_escapes(name: str, host: Hosted, image: Path) -> None:
    clean = host.state()
    async with host.driver() as driver:
        await driver.ensure_vlan(name, 42)
        await driver.spawn(spec(image, nics=(NICSpec(network=name),)))
        with pytest.raises(PortGroupInUseError) as used:
            await driver.remove_vlan(name)
        assert used.value.users == ("web",)
        with pytest.raises(NetworkNotFoundError) as missing:
            await driver.spawn(spec(image, name="other", nics=(NICSpec(network=name + "x"),)))
        assert name in missing.value.known
        await driver.destroy("web")
        await driver.remove_vlan(name)
    await host.settled(clean)


async def test_the_answer_is_lost(host: Hosted) -> None:
    clean = host.state()
    async with host.driver() as driver:
        host.esx.faults.add("AddPortGroup", "lose")
        assert await driver.ensure_vlan("blue", 42) == BLUE
        host.esx.faults.add("RemovePortGroup", "lose")
        await driver.remove_vlan("blue")
        assert replace(host.state(), sessions=0) == clean
        host.esx.faults.add("AddPortGroup", "reset")
        with pytest.raises(OutcomeUnknownError):
            await driver.ensure_vlan("blue", 42)
        assert replace(host.state(), sessions=0) == clean
        host.esx.faults.fail("AddPortGroup", vim25.HostConfigFault())
        with pytest.raises(vim25.HostConfigFault):
            await driver.ensure_vlan("blue", 42)
    await host.settled(clean)
    assert len(host.esx.calls("AddPortGroup")) == 3


async def test_what_is_used_stays(host: Hosted, image: Path) -> None:
    clean = host.state()
    async with host.driver() as driver:
        await driver.spawn(spec(image, nics=(NICSpec(network="blue", vlan=42),)))
        with pytest.raises(PortGroupInUseError) as caught:
            await driver.remove_vlan("blue")
        assert caught.value.users == ("web",)
        await driver.destroy("web")
        await driver.remove_vlan("blue")
    await host.settled(clean)


async def test_the_note_is_on_a_datastore_that_takes_it(beside: Beside, tmp_path: Path) -> None:
    class ReadOnly(Datastore):
        @prop("host")
        def _host(self) -> list[Any]:
            info = vim25.HostMountInfo(path="/vmfs/volumes/iso", accessMode="readOnly")
            return [
                vim25.DatastoreHostMount(key=self.registry.one("HostSystem").ref, mountInfo=info)
            ]

    folder = tmp_path / "s"
    (tmp_path / "iso").mkdir()
    # By its name it would be the first one.
    datastores = {"ISO": tmp_path / "iso", "datastore1": folder}
    with hosted(beside, folder, datastores=datastores) as host:
        host.esx.datastores["ISO"].__class__ = ReadOnly
        async with host.driver() as driver:
            await driver.ensure_vlan("blue", 42)
            assert len(host.state().files) == 1
            await driver.remove_vlan("blue")
            host.esx.datastores["datastore1"].__class__ = ReadOnly
            host.beside.call(host.esx.datastores["datastore1"].changed)
            with pytest.raises(NotFoundError, match="no accessible datastore"):
                await driver.ensure_vlan("blue", 42)
        assert host.state().files == frozenset()
        assert not list((tmp_path / "iso").iterdir())


async def test_what_others_made_stays(host: Hosted) -> None:
    async with host.driver() as driver:
        for name in ("VM Network", "Management Network"):
            with pytest.raises(ForeignPortGroupError):
                await driver.remove_vlan(name)
    async with host.driver(config=replace(CONFIG, owner="another")) as other:
        await other.ensure_vlan("blue", 42)
    async with host.driver() as driver:
        with pytest.raises(ForeignPortGroupError):
            await driver.remove_vlan("blue")
    assert host.state().groups == {"VM Network", "Management Network", "blue"}


async def test_a_spawn_that_fails_takes_back_what_it_made_and_no_more(
    host: Hosted, image: Path
) -> None:
    async with host.driver() as driver:
        await driver.ensure_vlan("there", 1)
        before = host.state()
        host.esx.faults.fail_task("PowerOnVM_Task", vim25.SystemError(reason="on order"))
        nics = (NICSpec(network="there", vlan=1), NICSpec(network="blue", vlan=42))
        with pytest.raises(vim25.SystemError):
            await driver.spawn(spec(image, nics=nics))
        assert host.state() == before
        # The second one cannot be made: the first one goes.
        nics = (
            NICSpec(network="blue", vlan=42),
            NICSpec(network="red", vlan=1, interface="vmnic9"),
        )
        with pytest.raises(PhysicalNICNotFoundError):
            await driver.spawn(spec(image, nics=nics))
        assert host.state() == before
        assert len(host.esx.calls("CreateVM_Task")) == 1
