"""Machines that start and stop with the host, one after the other.

After the text of AutoPowerInfo in the API reference. The call that begins a sequence does not wait for
it: lamw's `ghettoUPSHostShutdown.pl` calls AutoStartPowerOff, then reads power states until all are off.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vimlib.model import MethodFault
from vimlib.simulator._core.handlers import handles
from vimlib.simulator._core.messages import localized
from vimlib.simulator._host.autostart import AutoStartManager
from vimlib.simulator._host.host_system import HostSystem
from vimlib.simulator._service.events import EventManager
from vimlib.simulator._vm import power

if TYPE_CHECKING:
    from collections.abc import Callable

    from vimlib.simulator._core.call import Call
    from vimlib.simulator._core.registry import Registry
    from vimlib.simulator._vm.virtual_machine import VirtualMachine

_LOOK = 1.0
"""Seconds between two looks at a machine that is waited for."""


@handles(AutoStartManager, "AutoStartPowerOn", "AutoStartPowerOff")
def auto_start_power(manager: AutoStartManager, call: Call) -> None:
    """Begin to start or to stop the configured machines; ends a sequence that still runs."""
    registry = manager.registry
    registry.require_licence()
    if manager.sequence is not None:
        manager.sequence.cancel()
    work = start_machines if call.method == "AutoStartPowerOn" else stop_machines
    manager.sequence = registry.spawn(work(registry), f"simulated {call.method}")


async def start_machines(registry: Registry) -> None:
    """Start the configured machines in their order, if that is enabled; one that fails holds up no other.

    After each the host waits for its delay, or for its first heartbeat where that is asked for and
    comes earlier.
    """
    manager = registry.one(AutoStartManager)
    if not manager.defaults.enabled:
        return
    for entry in manager.to_start():
        machine = registry.objects.get(entry.key.moref)
        if machine is None or machine.power == "poweredOn":
            continue
        try:
            await power.power_on(machine)
        except MethodFault as fault:
            _report(
                machine, "VmFailedToPowerOnEvent", "failed to power on", reason=localized(fault)
            )
            continue
        _report(machine, "VmPoweredOnEvent", "is powered on")
        beats = entry.waitForHeartbeat.lower() == "yes" or (
            entry.waitForHeartbeat.lower() == "systemdefault" and manager.defaults.waitForHeartbeat
        )
        delay = entry.startDelay if entry.startDelay >= 0 else manager.defaults.startDelay
        await _wait(machine, delay, _beats if beats else _never)


async def stop_machines(registry: Registry) -> None:
    """Stop the configured machines in the reverse order, if that is enabled.

    After each the host waits until it is off, for its delay at most ("vSphere Virtual Machine
    Administration": the delay applies only if the machine has not shut down before).
    """
    manager = registry.one(AutoStartManager)
    if not manager.defaults.enabled:
        return
    for entry in manager.to_stop():
        machine = registry.objects.get(entry.key.moref)
        if machine is None or machine.power != "poweredOn":
            continue
        action = entry.stopAction.lower()
        if action == "systemdefault":
            action = (manager.defaults.stopAction or "powerOff").lower()
        try:
            await _stop(machine, action)
        except MethodFault as fault:
            _report(
                machine, "VmFailedToShutdownGuestEvent", "failed to stop", reason=localized(fault)
            )
            continue
        delay = entry.stopDelay if entry.stopDelay >= 0 else manager.defaults.stopDelay
        await _wait(machine, delay, _stopped)


async def _stop(machine: VirtualMachine, action: str) -> None:
    if action == "guestshutdown":
        power.end_guest(machine)
    elif action == "suspend":
        await power.suspend(machine)
        _report(machine, "VmSuspendedEvent", "is suspended")
    elif action == "poweroff":
        power.power_off(machine)
        _report(machine, "VmPoweredOffEvent", "is powered off")


def _beats(machine: VirtualMachine) -> bool:
    return machine.guest.tools_running


def _never(machine: VirtualMachine) -> bool:
    return False


def _stopped(machine: VirtualMachine) -> bool:
    return machine.power != "poweredOn"


async def _wait(
    machine: VirtualMachine, seconds: float, ready: Callable[[VirtualMachine], bool]
) -> None:
    await machine.registry.persist()
    clock = machine.registry.clock
    end = clock.monotonic() + seconds
    while machine.alive and not ready(machine) and (left := end - clock.monotonic()) > 0:
        await clock.sleep(min(left, _LOOK))


def _report(machine: VirtualMachine, name: str, text: str, **fields: Any) -> None:
    registry = machine.registry
    text = f"{machine.name} on {registry.one(HostSystem).name} {text}"
    registry.one(EventManager).post(name, text, machine=machine, **fields)
