"""Power: what is asked for comes about, or it is said why not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.unit.driver.hosted import Beside, Hosted, hosted, until
from vimdriver._driver import ESXDriver
from vimdriver.errors import (
    GuestTimeoutError,
    GuestToolsError,
    HostReadOnlyError,
    InstanceStateError,
)
from vimlib import vim25
from vimlib.errors import NotFoundError, OutcomeUnknownError, UsageError, VimlibError


@pytest.fixture(params=["task", "call"])
def host(request: pytest.FixtureRequest, beside: Beside, tmp_path: Path) -> Iterator[Hosted]:
    """A host that refuses by a failed task, as real ones do, and one that refuses the call."""
    with hosted(beside, tmp_path / "s", owned=True, vms=1, refusals=request.param) as found:
        yield found


@pytest.fixture
async def driver(host: Hosted) -> AsyncIterator[ESXDriver]:
    async with host.driver() as found:
        yield found


VERBS = {
    # verb: (state before, state after or None where it cannot be, calls)
    ("power_on", "poweredOff"): ("poweredOn", ["PowerOnVM_Task"]),
    ("power_on", "poweredOn"): ("poweredOn", ["PowerOnVM_Task"]),
    ("power_on", "suspended"): ("poweredOn", ["PowerOnVM_Task"]),
    ("power_off", "poweredOn"): ("poweredOff", ["PowerOffVM_Task"]),
    ("power_off", "poweredOff"): ("poweredOff", ["PowerOffVM_Task"]),
    ("power_off", "suspended"): ("poweredOff", ["PowerOffVM_Task"]),
    ("suspend", "poweredOn"): ("suspended", ["SuspendVM_Task"]),
    ("suspend", "suspended"): ("suspended", []),
    ("suspend", "poweredOff"): (None, []),
    ("resume", "suspended"): ("poweredOn", ["PowerOnVM_Task"]),
    ("resume", "poweredOn"): (None, []),
    ("resume", "poweredOff"): (None, []),
    ("send_nmi", "poweredOn"): ("poweredOn", []),
    ("send_nmi", "poweredOff"): (None, []),
    ("send_nmi", "suspended"): (None, []),
    ("reboot", "poweredOff"): (None, []),
    ("reboot", "suspended"): (None, []),
    ("shutdown", "poweredOff"): ("poweredOff", []),
    ("shutdown", "suspended"): (None, []),
}


async def bring(driver: ESXDriver, state: str) -> None:
    if state != "poweredOff":
        await driver.power_on("vm-0")
    if state == "suspended":
        await driver.suspend("vm-0")


@pytest.mark.parametrize(("verb", "before"), VERBS)
async def test_each_verb_in_each_state(
    verb: str, before: str, host: Hosted, driver: ESXDriver
) -> None:
    after, calls = VERBS[verb, before]
    await bring(driver, before)
    seen = len(host.esx.call_log)
    if after is None:
        with pytest.raises(InstanceStateError) as caught:
            await getattr(driver, verb)("vm-0")
        assert caught.value.state == before
        after = before
    else:
        assert (await getattr(driver, verb)("vm-0")).power_state == after
    assert host.esx.machine("vm-0").power == after
    made = [m for m in host.methods()[seen:] if "VM_Task" in m]
    assert made == calls


@pytest.mark.parametrize(
    ("verb", "before", "after", "method"),
    [
        ("power_on", "poweredOff", "poweredOn", "PowerOnVM_Task"),
        ("power_off", "poweredOn", "poweredOff", "PowerOffVM_Task"),
        ("suspend", "poweredOn", "suspended", "SuspendVM_Task"),
        ("resume", "suspended", "poweredOn", "PowerOnVM_Task"),
    ],
)
async def test_an_answer_that_is_lost_is_read_from_the_state(
    verb: str, before: str, after: str, method: str, host: Hosted, driver: ESXDriver
) -> None:
    await bring(driver, before)
    calls = len(host.esx.calls(method))
    host.esx.faults.add(method, "lose")
    assert (await getattr(driver, verb)("vm-0")).power_state == after
    assert len(host.esx.calls(method)) == calls + 1
    await driver.power_off("vm-0")
    await bring(driver, before)
    host.esx.faults.add(method, "reset")
    calls = len(host.esx.calls(method))
    with pytest.raises(OutcomeUnknownError):
        await getattr(driver, verb)("vm-0")
    assert len(host.esx.calls(method)) == calls + 1


async def test_whether_a_reset_ran_cannot_be_read(host: Hosted, driver: ESXDriver) -> None:
    await driver.power_on("vm-0")
    host.esx.faults.add("ResetVM_Task", "lose")
    with pytest.raises(OutcomeUnknownError):
        await driver.reboot("vm-0", soft=False)
    assert len(host.esx.calls("ResetVM_Task")) == 1


async def test_an_interrupt_is_sent_once_and_the_host_logs_it(
    host: Hosted, driver: ESXDriver
) -> None:
    await driver.power_on("vm-0")
    await driver.send_nmi("vm-0")
    assert len(host.esx.calls("SendNMI")) == 1
    machine = host.esx.machine("vm-0")
    assert "sent an NMI" in (machine.store.local(machine.folder) / "vmware.log").read_text()
    host.esx.faults.add("SendNMI", "lose")
    with pytest.raises(OutcomeUnknownError):
        await driver.send_nmi("vm-0")
    assert len(host.esx.calls("SendNMI")) == 2


@pytest.mark.parametrize(
    ("verb", "call"), [("shutdown", "ShutdownGuest"), ("reboot", "RebootGuest")]
)
async def test_a_guest_without_tools_is_asked_and_the_machine_left_as_it_is(
    verb: str, call: str, host: Hosted, driver: ESXDriver
) -> None:
    await driver.power_on("vm-0")
    booted = host.esx.machine("vm-0").booted
    with pytest.raises(GuestToolsError) as caught:
        await getattr(driver, verb)("vm-0")
    assert isinstance(caught.value.__cause__, vim25.ToolsUnavailable)
    assert (caught.value.name, caught.value.outcome) == ("vm-0", "refused")
    assert [entry.fault for entry in host.esx.calls(call)] == ["ToolsUnavailable"]
    assert not host.esx.calls("PowerOffVM_Task")
    assert not host.esx.calls("ResetVM_Task")
    assert host.esx.machine("vm-0").power == "poweredOn"
    assert host.esx.machine("vm-0").booted == booted


async def test_force_cuts_the_power_or_resets_where_there_are_no_tools(
    host: Hosted, driver: ESXDriver
) -> None:
    await driver.power_on("vm-0")
    assert (await driver.reboot("vm-0", force=True)).action == "reset"
    assert host.methods()[-10:].count("ResetVM_Task") == 1
    done = await driver.shutdown("vm-0", force=True)
    assert (done.action, done.power_state) == ("power_off", "poweredOff")
    assert len(host.esx.calls("PowerOffVM_Task")) == 1
    assert (await driver.shutdown("vm-0", force=True)).action == "none"


async def test_force_asks_a_guest_with_tools(host: Hosted, driver: ESXDriver) -> None:
    await driver.power_on("vm-0")
    host.beside.call(lambda: host.esx.set_guest("vm-0", tools=True))
    assert (await driver.shutdown("vm-0", force=True)).action == "guest_shutdown"
    assert not host.esx.calls("PowerOffVM_Task")


async def test_only_force_gives_up_a_suspended_state(host: Hosted, driver: ESXDriver) -> None:
    await bring(driver, "suspended")
    with pytest.raises(InstanceStateError):
        await driver.shutdown("vm-0")
    assert host.esx.machine("vm-0").power == "suspended"
    assert (await driver.shutdown("vm-0", force=True)).action == "power_off"


async def test_a_guest_has_a_positive_time(host: Hosted, driver: ESXDriver) -> None:
    await driver.power_on("vm-0")
    for timeout in (0, -1, float("nan")):
        with pytest.raises(UsageError, match="greater than 0 s"):
            await driver.shutdown("vm-0", timeout=timeout, force=True)
    assert not host.esx.calls("ShutdownGuest")


async def test_a_guest_that_listens(host: Hosted, driver: ESXDriver) -> None:
    await driver.power_on("vm-0")
    host.beside.call(lambda: host.esx.set_guest("vm-0", tools=True))
    done = await driver.reboot("vm-0")
    assert (done.action, done.power_state) == ("guest_reboot", "poweredOn")
    assert host.esx.calls("RebootGuest")
    assert not host.esx.calls("ResetVM_Task")
    await until(lambda: host.esx.machine("vm-0").guest.tools_running)
    assert (await driver.reboot("vm-0", soft=False)).action == "reset"
    assert host.esx.calls("ResetVM_Task")
    done = await driver.shutdown("vm-0")
    assert (done.action, done.power_state) == ("guest_shutdown", "poweredOff")
    assert done.to_json()["action"] == "guest_shutdown"
    assert host.esx.calls("ShutdownGuest")
    assert not host.esx.calls("PowerOffVM_Task")


async def test_a_guest_that_does_not_listen(host: Hosted, driver: ESXDriver) -> None:
    await driver.power_on("vm-0")
    host.beside.call(lambda: host.esx.set_guest("vm-0", tools=True))
    host.esx.registry.guest_seconds = 3600
    with pytest.raises(GuestTimeoutError) as caught:
        await driver.shutdown("vm-0", timeout=0.1)
    assert (caught.value.seconds, caught.value.outcome) == (0.1, "unknown")
    assert host.esx.calls("ShutdownGuest")
    assert not host.esx.calls("PowerOffVM_Task")
    assert host.esx.machine("vm-0").power == "poweredOn"
    done = await driver.shutdown("vm-0", timeout=0.1, force=True)
    assert (done.action, done.power_state) == ("power_off", "poweredOff")
    assert host.esx.calls("PowerOffVM_Task")


async def test_a_host_that_fails_is_no_reason_to_cut_the_power(
    host: Hosted, driver: ESXDriver
) -> None:
    await driver.power_on("vm-0")
    host.beside.call(lambda: host.esx.set_guest("vm-0", tools=True))
    host.esx.registry.guest_seconds = 3600
    host.esx.faults.fail("CreateFilter", vim25.NoPermission(privilegeId="x"), times=None)
    with pytest.raises(VimlibError):
        await driver.shutdown("vm-0", timeout=30, force=True)
    assert not host.esx.calls("PowerOffVM_Task")


async def test_cancelling_waits_for_the_task(host: Hosted, driver: ESXDriver) -> None:
    host.beside.call(lambda: host.esx.faults.hold_task("PowerOnVM_Task"))
    work = asyncio.ensure_future(driver.power_on("vm-0"))
    await until(lambda: bool(host.esx.calls("PowerOnVM_Task")))
    work.cancel()
    await asyncio.sleep(0)
    assert not work.done()
    host.beside.call(lambda: host.esx.faults.release_task("PowerOnVM_Task"))
    with pytest.raises(asyncio.CancelledError):
        await work
    assert host.esx.machine("vm-0").power == "poweredOn"


async def test_a_machine_that_is_not_there(driver: ESXDriver) -> None:
    for verb in ("power_on", "power_off", "suspend", "resume", "reboot", "shutdown"):
        with pytest.raises(NotFoundError):
            await getattr(driver, verb)("nobody")


async def test_a_licence_that_allows_reading_only_lets_no_guest_be_asked(
    host: Hosted, driver: ESXDriver
) -> None:
    await driver.power_on("vm-0")
    host.beside.call(lambda: host.esx.set_guest("vm-0", tools=True))
    host.esx.registry.licensed = False
    for verb in ("shutdown", "reboot"):
        with pytest.raises(HostReadOnlyError):
            await getattr(driver, verb)("vm-0", force=True)
    assert host.esx.machine("vm-0").power == "poweredOn"


async def test_a_licence_that_allows_reading_only(beside: Beside, tmp_path: Path) -> None:
    with hosted(beside, tmp_path / "t", owned=True, vms=1) as host:
        host.esx.registry.licensed = False
        async with host.driver() as driver:
            for verb in ("power_on", "power_off"):
                with pytest.raises(HostReadOnlyError):
                    await getattr(driver, verb)("vm-0")
            with pytest.raises(HostReadOnlyError):
                await driver.destroy("vm-0", foreign=True)
