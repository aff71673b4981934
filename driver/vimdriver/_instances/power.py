"""Power operations. Each reads the result from the host; none assumes it."""

from __future__ import annotations

import asyncio
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from vimdriver._instances.machine import claim, read, reads
from vimdriver._instances.types import Instance, PowerAction, PowerChange
from vimdriver._verbs import Host, Plan, Run, Step, verb
from vimdriver.errors import GuestTimeoutError, GuestToolsError, InstanceStateError
from vimlib import vim25
from vimlib.errors import HostStateError, UsageError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_ON: Final = vim25.VirtualMachinePowerState.poweredOn
_OFF: Final = vim25.VirtualMachinePowerState.poweredOff
_SUSPENDED: Final = vim25.VirtualMachinePowerState.suspended


_Call: TypeAlias = "Callable[[vim25.VirtualMachine], Awaitable[vim25.Task[None]]]"
_CALLS: Final[dict[str, tuple[str, _Call]]] = {
    _ON: ("power it on (PowerOnVM_Task)", lambda vm: vm.PowerOnVM_Task()),
    _OFF: ("cut its power (PowerOffVM_Task)", lambda vm: vm.PowerOffVM_Task()),
    _SUSPENDED: ("suspend it (SuspendVM_Task)", lambda vm: vm.SuspendVM_Task()),
}
_RESET: Final[tuple[str, _Call]] = ("reset it (ResetVM_Task)", lambda vm: vm.ResetVM_Task())


def power_step(
    machine: Callable[[Run], vim25.VirtualMachine],
    state: str,
    given: tuple[str, _Call] | None = None,
    *,
    unless: Step[bool] | None = None,
    name: str = "",
) -> Step[Any]:
    """Return the step that brings a machine into a power state. One that is in it already is fine.

    Another call may be `given`, whose execution the state does not show. It is skipped if `unless`
    was run and found that it need not be.
    """
    title, call = given or _CALLS[state]

    async def start(run: Run) -> vim25.Task[None] | None:
        return None if unless is not None and run.get(unless) else await call(machine(run))

    async def probe(run: Run) -> bool | None:
        row = await run.host.client.get(machine(run), "runtime.powerState")
        return (given is None and row.props.get("runtime.powerState") == state) or None

    def refused(run: Run, fault: vim25.MethodFault) -> None:
        shown = name or machine(run).moref[1]
        if type(fault) is vim25.InvalidState:
            raise HostStateError(
                f"the host refuses to bring {shown} into the state {state}",
                state="refused",
                hint="It may be in maintenance mode: vimctl host capacity.",
            ) from fault
        if not isinstance(fault, vim25.InvalidPowerState):
            raise fault
        if fault.existingState != state:
            raise InstanceStateError(
                name=shown,
                state=str(fault.existingState),
                needed=str(fault.requestedState),
            ) from None

    return Step[Any](
        title=title + (", unless the guest does it" if unless else ""),
        call=start,
        probe=probe,
        refused=refused,
        of=machine,
    )


@verb
async def power_on(host: Host, ref: str, *, foreign: bool = False) -> Plan[Instance]:
    """Power a machine on (`PowerOnVM_Task`); a running machine stays as it is.

    Cancelling waits for the task.

    Args:
        ref: uuid, name or moref's value.
        foreign: Act on a machine of another owner too.

    Raises:
        NotFoundError: The machine does not exist.
        ForeignInstanceError: Another made the machine, and `foreign` is false.
    """
    vm = (await claim(host, ref, foreign=foreign)).obj
    return Plan(f"power on {ref}", (power_step(lambda run: vm, _ON, name=ref),), reads(vm))


@verb
async def power_off(host: Host, ref: str, *, foreign: bool = False) -> Plan[Instance]:
    """Cut a machine's power (`PowerOffVM_Task`); one that is off stays so.

    Cancelling waits for the task.

    Args:
        ref: uuid, name or moref's value.
        foreign: Act on a machine of another owner too.

    Raises:
        NotFoundError: The machine does not exist.
        ForeignInstanceError: Another made the machine, and `foreign` is false.
    """
    vm = (await claim(host, ref, foreign=foreign)).obj
    return Plan(f"power off {ref}", (power_step(lambda run: vm, _OFF, name=ref),), reads(vm))


async def _gather(
    host: Host, ref: str, *allowed: str, foreign: bool
) -> tuple[vim25.VirtualMachine, str]:
    """Return a machine and its power state.

    Raises as `machine.claim`, and:
        InstanceStateError: The power state is not an allowed one.
    """
    row = await claim(host, ref, "runtime.powerState", foreign=foreign)
    vm, state = row.obj, str(row.require("runtime.powerState"))
    if state not in allowed:
        raise InstanceStateError(name=ref, state=state, needed=" or ".join(allowed))
    return vm, state


@verb
async def suspend(host: Host, ref: str, *, foreign: bool = False) -> Plan[Instance]:
    """Suspend a machine to disk (`SuspendVM_Task`); a suspended one stays so.

    Cancelling waits for the task.

    Args:
        ref: uuid, name or moref's value.
        foreign: Act on a machine of another owner too.

    Raises:
        NotFoundError: The machine does not exist.
        ForeignInstanceError: Another made the machine, and `foreign` is false.
        InstanceStateError: It is off.
    """
    vm, state = await _gather(host, ref, _ON, _SUSPENDED, foreign=foreign)
    step = power_step(lambda run: vm, _SUSPENDED, name=ref)
    return Plan(f"suspend {ref}", (step,) if state == _ON else (), reads(vm))


@verb
async def resume(host: Host, ref: str, *, foreign: bool = False) -> Plan[Instance]:
    """Resume a suspended machine (`PowerOnVM_Task`). Cancelling waits for the task.

    Args:
        ref: uuid, name or moref's value.
        foreign: Act on a machine of another owner too.

    Raises:
        NotFoundError: The machine does not exist.
        ForeignInstanceError: Another made the machine, and `foreign` is false.
        InstanceStateError: It is not suspended.
    """
    vm, _ = await _gather(host, ref, _SUSPENDED, foreign=foreign)
    return Plan(f"resume {ref}", (power_step(lambda run: vm, _ON, name=ref),), reads(vm))


@verb
async def reboot(
    host: Host, ref: str, *, soft: bool = True, force: bool = False, foreign: bool = False
) -> Plan[PowerChange]:
    """Ask the guest to reboot (`RebootGuest`). Returns when it was asked, before it has rebooted.

    With `force`, a guest without running tools is reset (`ResetVM_Task`). With `soft` false the
    guest is not asked: it is always a reset. Cancelling waits for the call.

    Args:
        ref: uuid, name or moref's value.
        soft: Ask the guest.
        force: Reset the machine where the guest cannot reboot.
        foreign: Act on a machine of another owner too.

    Raises:
        NotFoundError: The machine does not exist.
        ForeignInstanceError: Another made the machine, and `foreign` is false.
        InstanceStateError: It is not running.
        GuestToolsError: VMware Tools do not run in the guest. The machine is as it was.
    """
    vm, _ = await _gather(host, ref, _ON, foreign=foreign)
    ask = _ask_step(
        "ask the guest to reboot (RebootGuest)",
        vm.RebootGuest,
        None if force else GuestToolsError(name=ref, action="reboot", instead="reset the machine"),
    )
    # The machine is on before and after a reset, so its state shows nothing.
    reset = power_step(lambda run: vm, _ON, _RESET, unless=ask if soft else None, name=ref)
    steps = ((ask, reset) if force else (ask,)) if soft else (reset,)
    return Plan(f"reboot {ref}", steps, _changed(vm, ask, "guest_reboot", "reset"))


@verb
async def shutdown(
    host: Host, ref: str, *, timeout: float = 60.0, force: bool = False, foreign: bool = False
) -> Plan[PowerChange]:
    """Ask the guest to shut down (`ShutdownGuest`) and wait up to `timeout` seconds until it is off.

    A machine that is off stays so. With `force`, the power is cut (`PowerOffVM_Task`) where the guest
    has no running tools, where it does not shut down in time, and where the machine is suspended,
    which loses the suspended state. Cancelling leaves the guest shutting down.

    Args:
        ref: uuid, name or moref's value.
        timeout: Seconds to wait for the guest.
        force: Power the machine off where the guest cannot shut down, or does not in time.
        foreign: Act on a machine of another owner too.

    Raises:
        UsageError: `timeout` is not positive.
        NotFoundError: The machine does not exist.
        ForeignInstanceError: Another made the machine, and `foreign` is false.
        InstanceStateError: It is suspended. The machine is as it was.
        GuestToolsError: VMware Tools do not run in the guest. The machine is as it was.
        GuestTimeoutError: It was asked and is still on; it may shut down later.
    """
    if not timeout > 0:
        raise UsageError(
            f"timeout must be greater than 0 s, got {timeout:g}",
            hint="To cut the power at once, use power_off (vimctl instance stop).",
        )
    # A guest that does not run cannot be asked.
    vm, state = await _gather(
        host, ref, _ON, _OFF, *((_SUSPENDED,) if force else ()), foreign=foreign
    )
    ask = _ask_step(
        "ask the guest to shut down (ShutdownGuest)",
        vm.ShutdownGuest,
        None if force else GuestToolsError(name=ref, action="shut down", instead="power it off"),
    )

    async def wait_for_off(run: Run) -> bool:
        if not run[ask]:
            return False
        try:
            async with asyncio.timeout(timeout) as limit:
                await run.host.client.wait_for(vm, "runtime.powerState", lambda now: now == _OFF)
        except TimeoutError:
            # The guest had its time. A host that is slow is another error, and not a reason to cut
            # the power.
            if not limit.expired():
                raise
            if not force:
                raise GuestTimeoutError(name=ref, seconds=timeout) from None
            return False
        return True

    wait = Step[bool](
        title=f"wait until it is off, for at most {timeout:g} s",
        call=wait_for_off,
        interruptible=True,
        waits=True,
    )
    steps: tuple[Step[Any], ...] = () if state == _OFF else (ask, wait) if state == _ON else ()
    if force and state != _OFF:
        steps += (
            power_step(lambda run: vm, _OFF, unless=wait if state == _ON else None, name=ref),
        )
    otherwise: PowerAction = "none" if state == _OFF else "power_off"
    return Plan(f"shut down {ref}", steps, _changed(vm, wait, "guest_shutdown", otherwise))


@verb
async def send_nmi(host: Host, ref: str, *, foreign: bool = False) -> Plan[Instance]:
    """Send a running machine a non-maskable interrupt (`SendNMI`, since API 6.0).

    Its guest decides what to do with it; many write a crash dump and restart. Cancelling waits for the
    call.

    Args:
        ref: uuid, name or moref's value.
        foreign: Act on a machine of another owner too.

    Raises:
        NotFoundError: The machine does not exist.
        ForeignInstanceError: Another made the machine, and `foreign` is false.
        InstanceStateError: It is not running.
        VersionError: The API of the host is older than 6.0.
    """
    vm, _ = await _gather(host, ref, _ON, foreign=foreign)
    # Whether it was sent cannot be read: an answer that is lost is an unknown outcome.
    send = Step[None](
        title="send a non-maskable interrupt (SendNMI)", call=lambda run: vm.SendNMI()
    )
    return Plan(f"send {ref} a non-maskable interrupt", (send,), reads(vm))


def _ask_step(
    title: str, call: Callable[[], Awaitable[None]], error: GuestToolsError | None
) -> Step[bool]:
    """Return the step that asks a guest; its result is whether it was asked.

    `error` is raised where VMware Tools do not run in the guest; None lets the next step go on.
    """

    async def start(run: Run) -> bool:
        await call()
        return True

    def refused(run: Run, fault: vim25.MethodFault) -> bool:
        if not isinstance(fault, vim25.ToolsUnavailable):
            raise fault
        if error is not None:
            raise error from fault
        return False

    return Step(title=title, call=start, refused=refused)


def _changed(
    vm: vim25.VirtualMachine, by_guest: Step[bool], action: PowerAction, otherwise: PowerAction
) -> Callable[[Run], Awaitable[PowerChange]]:
    async def result(run: Run) -> PowerChange:
        found = await read(run.host.client, vm)
        facts = {field.name: getattr(found, field.name) for field in fields(found)}
        return PowerChange(**facts, action=action if run.get(by_guest) else otherwise)

    return result
