"""Network cards of machines that exist: attached, changed, detached."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.driver.hosted import (
    CONFIG,
    MAC,
    Beside,
    Hosted,
    add_port_group,
    host_of,
    hosted,
    spec,
)
from vimdriver._driver import ESXDriver
from vimdriver._instances.device_list import DeviceInfo
from vimdriver._verbs import Run, execute
from vimdriver.errors import ForeignInstanceError, InstanceStateError, NetworkNotFoundError
from vimlib.errors import NotFoundError, OutcomeUnknownError, UsageError, VersionError

OTHER = "00:50:56:00:00:02"


async def macs(driver: ESXDriver) -> list[str]:
    return [one.mac for one in await driver.devices("web") if one.kind == "nic"]


@pytest.mark.parametrize("version", ["4.1", "8.0"])
async def test_a_card_is_attached_to_a_running_machine_and_detached(
    version: str, beside: Beside, tmp_path: Path, image: Path
) -> None:
    with hosted(beside, tmp_path / "s", version, legacy_tls=version == "4.1") as host:
        async with host.driver() as driver:
            await driver.spawn(spec(image))
            card = await driver.attach_interface("web", "VM Network", model="vmxnet3", mac=OTHER)
            assert (card.mac, card.network, card.model, card.connected) == (
                OTHER, "VM Network", "vmxnet3", True
            )  # fmt: skip
            assert await macs(driver) == [MAC, OTHER]
            for which in (OTHER.upper(), card.label, str(card.key)):
                plan = await driver.detach_interface.plan("web", which)
                assert OTHER in str(plan)
            await driver.detach_interface("web", OTHER)
            assert await macs(driver) == [MAC]


async def test_the_host_chooses_a_mac_address(host: Hosted, image: Path) -> None:
    async with host.driver() as driver:
        await driver.spawn(spec(image))
        card = await driver.attach_interface("web", "VM Network")
        assert card.mac.startswith("00:0c:29:")
        assert card.model == "e1000"


async def test_a_card_is_moved_and_disconnected_and_connected(host: Hosted, image: Path) -> None:
    async with host.driver() as driver:
        await driver.spawn(spec(image))
        await add_port_group(host_of(driver.client), "blue", 42)
        moved = await driver.change_interface("web", MAC, network="blue", connected=False)
        assert (moved.network, moved.connected, moved.mac) == ("blue", False, MAC)
        back = await driver.change_interface("web", MAC, connected=True)
        assert (back.network, back.connected) == ("blue", True)
        # Nothing to do is nothing to ask the host for.
        plan = await driver.change_interface.plan("web", MAC, network="blue", connected=True)
        assert plan.steps == ()


async def test_an_answer_that_is_lost(beside: Beside, tmp_path: Path, image: Path) -> None:
    with hosted(beside, tmp_path / "s", task_seconds=0.05) as host:
        async with host.driver() as driver:
            await driver.spawn(spec(image))
            before = len(host.esx.calls("ReconfigVM_Task"))
            host.esx.faults.add("ReconfigVM_Task", "lose")
            card = await driver.attach_interface("web", "VM Network")
            host.esx.faults.add("ReconfigVM_Task", "lose")
            assert not (await driver.change_interface("web", card.mac, connected=False)).connected
            host.esx.faults.add("ReconfigVM_Task", "lose")
            await driver.detach_interface("web", card.mac)
            assert await macs(driver) == [MAC]
            assert len(host.esx.calls("ReconfigVM_Task")) - before == 3


async def test_a_call_that_never_arrived_is_not_reported_as_done(
    beside: Beside, tmp_path: Path, image: Path
) -> None:
    with hosted(beside, tmp_path / "s") as host:
        async with host.driver() as driver:
            await driver.spawn(spec(image))
            for call in (
                driver.attach_interface("web", "VM Network"),
                driver.change_interface("web", MAC, connected=False),
                driver.detach_interface("web", MAC),
            ):
                host.esx.faults.add("ReconfigVM_Task", "reset")
                with pytest.raises(OutcomeUnknownError):
                    await call
            assert await macs(driver) == [MAC]


async def test_a_result_that_cannot_be_read_takes_the_card_away_again(
    host: Hosted, image: Path
) -> None:
    async with host.driver() as driver:
        await driver.spawn(spec(image))
        plan = await driver.attach_interface.plan("web", "VM Network")

        async def fail(run: Run) -> DeviceInfo:
            raise UsageError("on order")

        with pytest.raises(UsageError, match="on order"):
            await execute(driver.host(), replace(plan, result=fail))
        assert await macs(driver) == [MAC]


async def test_a_card_that_somebody_removes_at_once_is_a_typed_error(
    host: Hosted, image: Path
) -> None:
    async with host.driver() as driver:
        await driver.spawn(spec(image))
        plan = await driver.attach_interface.plan("web", "VM Network")

        async def meanwhile(run: Run) -> DeviceInfo:
            (card,) = [mac for mac in await macs(driver) if mac != MAC]
            async with host.driver() as other:
                await other.detach_interface("web", card)
            return await plan.result(run)

        with pytest.raises(NotFoundError, match="the new network card of web is gone"):
            await execute(driver.host(), replace(plan, result=meanwhile))
        assert await macs(driver) == [MAC]


async def test_refusals_state_the_rule_and_change_nothing(host: Hosted, image: Path) -> None:
    async with host.driver() as driver:
        await driver.spawn(spec(image))
        state, seen = host.state(), len(host.esx.calls("ReconfigVM_Task"))
        with pytest.raises(UsageError, match="model must be one of e1000, e1000e"):
            await driver.attach_interface("web", "VM Network", model="ne2000")  # type: ignore[arg-type]
        with pytest.raises(UsageError, match="invalid MAC address: 'xx'"):
            await driver.attach_interface("web", "VM Network", mac="xx")
        with pytest.raises(UsageError, match=f"has a network card with MAC address {MAC} already"):
            await driver.attach_interface("web", "VM Network", mac=MAC)
        with pytest.raises(UsageError, match="a network or a state is required"):
            await driver.change_interface("web", MAC)
        for call in (
            driver.detach_interface("web", OTHER),
            driver.change_interface("web", OTHER, connected=True),
        ):
            with pytest.raises(
                NotFoundError,
                match=f"machine web has no network card '{OTHER}'. It has: Network adapter 1",
            ):
                await call
        with pytest.raises(NotFoundError):
            await driver.attach_interface("nobody", "VM Network")
        assert len(host.esx.calls("ReconfigVM_Task")) == seen
        for call in (
            driver.attach_interface("web", "red"),
            driver.change_interface("web", MAC, network="red"),
        ):
            with pytest.raises(
                NetworkNotFoundError, match=r"port group not found: 'red'.*VM Network"
            ):
                await call
        await driver.suspend("web")
        with pytest.raises(
            InstanceStateError, match="must be poweredOn or poweredOff, is suspended"
        ):
            await driver.attach_interface("web", "VM Network")
        assert await macs(driver) == [MAC]
        assert host.state().machines == state.machines


async def test_a_machine_of_another_owner_is_changed_on_demand_only(
    host: Hosted, image: Path
) -> None:
    async with host.driver(config=replace(CONFIG, owner="another")) as other:
        await other.spawn(spec(image))
    async with host.driver() as driver:
        for call in (
            driver.attach_interface("web", "VM Network"),
            driver.detach_interface("web", MAC),
            driver.change_interface("web", MAC, connected=False),
        ):
            with pytest.raises(ForeignInstanceError, match="its owner mark is 'another'"):
                await call
        assert await macs(driver) == [MAC]  # it is shown
        await driver.attach_interface("web", "VM Network", mac=OTHER, foreign=True)
        assert await macs(driver) == [MAC, OTHER]


async def test_a_model_that_the_host_is_too_old_for(
    beside: Beside, tmp_path: Path, image: Path
) -> None:
    with hosted(beside, tmp_path / "s", "4.1", legacy_tls=True) as host:
        async with host.driver() as driver:
            await driver.spawn(spec(image))
            with pytest.raises(VersionError, match=r"e1000e needs API 5\.0"):
                await driver.attach_interface("web", "VM Network", model="e1000e")
