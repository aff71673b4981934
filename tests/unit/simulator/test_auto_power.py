"""Machines start and stop with the host, and when a client asks for it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.unit.simulator.conftest import Caller
from vimlib import vim25
from vimlib.simulator import ManualClock

AUTOSTART = vim25.HostAutoStartManager


class Stage:
    """A host with three machines that are off."""

    def __init__(self, call: Caller, clock: ManualClock) -> None:
        self.call = call
        self.clock = clock
        self.esx = call.esx

    async def configure(self, *entries: Any, enabled: bool = True, **defaults: Any) -> None:
        spec = vim25.HostAutoStartManagerConfig(
            defaults=vim25.AutoStartDefaults(
                enabled=enabled, **({"startDelay": 10, "stopDelay": 20} | defaults)
            ),
            powerInfo=list(entries),
        )
        await self.ask(AUTOSTART.ReconfigureAutostart, spec=spec)

    async def ask(self, method: Any, **args: Any) -> None:
        found = await self.call.read(self.esx.host.ref, "configManager.autoStartManager")
        await self.call(method, found["configManager.autoStartManager"], **args)
        await self.settled()

    async def settled(self) -> None:
        """Return when all work waits for the clock: no file work for some turns of the loop."""
        idle = 0
        while idle < 10:
            jobs = [asyncio.wrap_future(job) for job in tuple(self.esx.registry._jobs)]
            if jobs:
                await asyncio.wait(jobs)
            idle = 0 if jobs else idle + 1
            await asyncio.sleep(0)

    async def later(self, seconds: float) -> None:
        for _ in range(round(seconds)):
            await self.clock.advance(1)
            await self.settled()

    def entry(self, name: str, order: int, **more: Any) -> Any:
        given: dict[str, Any] = {
            "startDelay": -1, "startAction": "powerOn", "waitForHeartbeat": "systemDefault",
            "stopDelay": -1, "stopAction": "systemDefault"}  # fmt: skip
        key = self.esx.machine(name).ref
        return vim25.AutoStartPowerInfo(key=key, startOrder=order, **(given | more))

    @property
    def running(self) -> list[str]:
        return [vm.name for vm in self.esx.machines.values() if vm.power == "poweredOn"]

    @property
    def events(self) -> list[str]:
        found = self.esx.registry.one("EventManager").events
        return [type(event).__name__ for event, _ in found if isinstance(event, vim25.VmEvent)]


@pytest.fixture
async def stage(make: Callable[..., Awaitable[Caller]], clock: ManualClock) -> Stage:
    return Stage(await make(vms=3, clock=clock), clock)


async def test_machines_start_one_after_the_other_with_their_delays(stage: Stage) -> None:
    await stage.configure(
        stage.entry("vm-2", 1, startDelay=3), stage.entry("vm-0", 2), stage.entry("vm-1", -1)
    )
    await stage.ask(AUTOSTART.AutoStartPowerOn)
    assert stage.running == ["vm-2"]
    await stage.later(2)
    assert stage.running == ["vm-2"]
    await stage.later(1)
    assert stage.running == ["vm-0", "vm-2"]
    await stage.later(9)
    assert stage.running == ["vm-0", "vm-2"]
    await stage.later(1)
    assert stage.running == ["vm-0", "vm-1", "vm-2"]
    assert stage.events == ["VmPoweredOnEvent"] * 3


@pytest.mark.parametrize(("wait", "default"), [("yes", False), ("systemDefault", True)])
async def test_a_heartbeat_ends_the_delay(stage: Stage, wait: str, default: bool) -> None:
    await stage.configure(
        stage.entry("vm-0", 1, waitForHeartbeat=wait),
        stage.entry("vm-1", 2),
        waitForHeartbeat=default,
    )
    await stage.ask(AUTOSTART.AutoStartPowerOn)
    await stage.later(2)
    assert stage.running == ["vm-0"]
    stage.esx.set_guest("vm-0", tools=True)
    await stage.later(1)
    assert stage.running == ["vm-0", "vm-1"]


async def test_a_machine_that_fails_or_runs_holds_up_no_other(stage: Stage) -> None:
    await stage.configure(*(stage.entry(f"vm-{n}", n + 1, startDelay=0) for n in range(3)))
    broken, runs = stage.esx.machine("vm-0"), stage.esx.machine("vm-1")
    runs.set_power("poweredOn")
    store, path = broken.disk_files()[0]
    store.local(path).unlink()
    await stage.ask(AUTOSTART.AutoStartPowerOn)
    assert stage.running == ["vm-1", "vm-2"]
    assert stage.events == ["VmFailedToPowerOnEvent", "VmPoweredOnEvent"]


async def test_machines_stop_in_the_reverse_order_by_their_actions(stage: Stage) -> None:
    esx = stage.esx
    esx.registry.guest_seconds = 5
    for name in ("vm-0", "vm-1", "vm-2"):
        esx.set_guest(name, tools=True)
        esx.machine(name).set_power("poweredOn")
        esx.set_guest(name, tools=True)
    await stage.configure(
        stage.entry("vm-0", 1, stopAction="suspend"),
        stage.entry("vm-1", 2, stopAction="guestShutdown"),
        stage.entry("vm-2", 3),
        stopAction="PowerOff",
    )
    await stage.ask(AUTOSTART.AutoStartPowerOff)
    assert stage.running == ["vm-0", "vm-1"]
    await stage.later(4)
    assert stage.running == ["vm-0", "vm-1"]
    await stage.later(2)  # the guest is down: the host does not wait for the rest of the 20 s
    assert stage.running == []
    assert esx.machine("vm-0").power == "suspended"
    assert stage.events == ["VmPoweredOffEvent", "VmGuestShutdownEvent", "VmSuspendedEvent"]


async def test_a_guest_that_does_not_stop_is_waited_for_as_long_as_its_delay(stage: Stage) -> None:
    esx = stage.esx
    esx.registry.guest_seconds = 1000
    for name in ("vm-0", "vm-1"):
        esx.machine(name).set_power("poweredOn")
    esx.set_guest("vm-1", tools=True)
    await stage.configure(
        stage.entry("vm-0", 1), stage.entry("vm-1", 2, stopAction="guestShutdown", stopDelay=7)
    )
    await stage.ask(AUTOSTART.AutoStartPowerOff)
    await stage.later(6)
    assert stage.running == ["vm-0", "vm-1"]
    await stage.later(1)
    assert stage.running == ["vm-1"]


async def test_a_machine_without_tools_is_passed_over(stage: Stage) -> None:
    for name in ("vm-0", "vm-1"):
        stage.esx.machine(name).set_power("poweredOn")
    await stage.configure(
        stage.entry("vm-0", 1), stage.entry("vm-1", 2, stopAction="guestShutdown")
    )
    await stage.ask(AUTOSTART.AutoStartPowerOff)
    assert stage.running == ["vm-1"]
    assert stage.events == ["VmFailedToShutdownGuestEvent", "VmPoweredOffEvent"]


async def test_nothing_starts_or_stops_unless_it_is_enabled(stage: Stage) -> None:
    await stage.configure(stage.entry("vm-0", 1), enabled=False)
    await stage.ask(AUTOSTART.AutoStartPowerOn)
    assert stage.running == []
    stage.esx.machine("vm-0").set_power("poweredOn")
    await stage.ask(AUTOSTART.AutoStartPowerOff)
    assert stage.running == ["vm-0"]


async def test_a_stop_ends_a_start_that_is_under_way(stage: Stage) -> None:
    await stage.configure(*(stage.entry(f"vm-{n}", n + 1) for n in range(3)))
    await stage.ask(AUTOSTART.AutoStartPowerOn)
    await stage.ask(AUTOSTART.AutoStartPowerOff)
    await stage.later(30)
    assert stage.running == []


async def test_machines_start_again_after_a_reboot(stage: Stage) -> None:
    await stage.configure(stage.entry("vm-1", 1))
    stage.esx.machine("vm-0").set_power("poweredOn")
    await stage.esx.reboot()
    await stage.settled()
    assert stage.running == ["vm-1"]
