"""Power operations: each says what it found, none pretends."""

from __future__ import annotations

import asyncio
from dataclasses import fields
from typing import TYPE_CHECKING

from vimdriver._instances import lookup
from vimdriver._instances.types import PowerChange
from vimdriver._steps.outcome import run_task
from vimdriver.errors import GuestTimeoutError, GuestToolsError, InstanceStateError
from vimlib import vim25
from vimlib._session.shield import finish
from vimlib.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from vimdriver._config import DriverConfig
    from vimdriver._instances.types import Instance, PowerAction
    from vimlib._client import Client

__all__ = ["power_off", "power_on", "reboot", "resume", "shutdown", "start", "suspend"]

_State = vim25.VirtualMachinePowerState


async def _task(
    client: Client,
    vm: vim25.VirtualMachine,
    start: Callable[[], Awaitable[vim25.Task[None]]],
    config: DriverConfig,
    *,
    done: str,
    tells: bool = True,
) -> None:
    """Run one power task. That the machine is in the wanted state already is as good.

    With `tells` false the state does not tell whether it ran, so a lost answer stays an error.
    """

    async def is_done() -> bool | None:
        row = await client.get(vm, "runtime.powerState")
        return (tells and row.props.get("runtime.powerState") == done) or None

    async def work() -> None:
        try:
            await run_task(client, start, config, look=is_done, of=vm)
        except vim25.InvalidPowerState as fault:
            if fault.existingState != done:
                raise InstanceStateError(
                    name=vm.moref[1],
                    state=str(fault.existingState),
                    needed=str(fault.requestedState),
                ) from None

    await finish(work(), what=f"power of {vm!r}")


async def power_on(client: Client, ref: str, config: DriverConfig) -> Instance:
    """Power on (`PowerOnVM_Task`); a running machine stays as it is. Cancelling waits for the task."""
    vm = await lookup.find(client, ref)
    await start(client, vm, config)
    return await lookup.read(client, vm)


async def start(client: Client, vm: vim25.VirtualMachine, config: DriverConfig) -> None:
    """Power on this very machine; see `power_on`."""
    await _task(client, vm, vm.PowerOnVM_Task, config, done=_State.poweredOn)


async def power_off(client: Client, ref: str, config: DriverConfig) -> Instance:
    """Cut the power (`PowerOffVM_Task`); one that is off stays so. Cancelling waits for the task."""
    vm = await lookup.find(client, ref)
    await _task(client, vm, vm.PowerOffVM_Task, config, done=_State.poweredOff)
    return await lookup.read(client, vm)


async def _demand_state(client: Client, vm: vim25.VirtualMachine, *needed: str) -> str:
    row = await client.get(vm, "runtime.powerState")
    state = str(row["runtime.powerState"])
    if state not in needed:
        raise InstanceStateError(name=vm.moref[1], state=state, needed=" or ".join(needed))
    return state


async def suspend(client: Client, ref: str, config: DriverConfig) -> Instance:
    """Suspend to disk (`SuspendVM_Task`). Cancelling waits for the task.

    Raises:
        InstanceStateError: It is off. A suspended one stays so.
    """
    vm = await lookup.find(client, ref)
    if await _demand_state(client, vm, _State.poweredOn, _State.suspended) == _State.poweredOn:
        await _task(client, vm, vm.SuspendVM_Task, config, done=_State.suspended)
    return await lookup.read(client, vm)


async def resume(client: Client, ref: str, config: DriverConfig) -> Instance:
    """Wake a suspended machine (`PowerOnVM_Task`). Cancelling waits for the task.

    Raises:
        InstanceStateError: It is not suspended.
    """
    vm = await lookup.find(client, ref)
    await _demand_state(client, vm, _State.suspended)
    await _task(client, vm, vm.PowerOnVM_Task, config, done=_State.poweredOn)
    return await lookup.read(client, vm)


async def reboot(
    client: Client, ref: str, config: DriverConfig, *, soft: bool = True, force: bool = False
) -> PowerChange:
    """Ask the guest to reboot (`RebootGuest`). Returns when it was asked, before it has rebooted.

    With `force`, a guest without running tools is reset (`ResetVM_Task`). With `soft` false the
    guest is not asked: it is always a reset. Cancelling waits for the call.

    Raises:
        InstanceStateError: It is not running.
        GuestToolsError: VMware Tools do not run in the guest. The machine is as it was.
    """
    vm = await lookup.find(client, ref)
    await _demand_state(client, vm, _State.poweredOn)
    if soft:
        try:
            await finish(vm.RebootGuest())
        except vim25.ToolsUnavailable as fault:
            if not force:
                raise GuestToolsError(
                    name=ref, action="reboot", instead="reset the machine"
                ) from fault
        else:
            return await _changed(client, vm, "guest_reboot")
    await _task(client, vm, vm.ResetVM_Task, config, done=_State.poweredOn, tells=False)
    return await _changed(client, vm, "reset")


async def shutdown(
    client: Client, ref: str, config: DriverConfig, *, timeout: float = 60.0, force: bool = False
) -> PowerChange:
    """Ask the guest to shut down (`ShutdownGuest`) and wait up to `timeout` seconds until it is off.

    A machine that is off stays so. With `force`, the power is cut (`PowerOffVM_Task`) where the guest
    has no running tools, where it does not shut down in time, and where the machine is suspended,
    which loses the suspended state. Cancelling leaves the guest shutting down.

    Raises:
        UsageError: `timeout` is not positive.
        InstanceStateError: It is suspended. The machine is as it was.
        GuestToolsError: VMware Tools do not run in the guest. The machine is as it was.
        GuestTimeoutError: It was asked and is still on; it may shut down later.
    """
    if not timeout > 0:
        raise UsageError(
            f"timeout must be greater than 0 s, got {timeout:g}",
            hint="To cut the power at once, use power_off (vimctl instance stop).",
        )
    vm = await lookup.find(client, ref)
    # A guest that does not run cannot be asked.
    states = (_State.poweredOn, _State.poweredOff, *((_State.suspended,) if force else ()))
    state = await _demand_state(client, vm, *states)
    if state == _State.poweredOff:
        return await _changed(client, vm, "none")
    if state == _State.poweredOn:
        try:
            await finish(vm.ShutdownGuest())
            await _until_off(client, vm, ref, timeout)
        except vim25.ToolsUnavailable as fault:
            if not force:
                raise GuestToolsError(
                    name=ref, action="shut down", instead="power it off"
                ) from fault
        except GuestTimeoutError:
            if not force:
                raise
        else:
            return await _changed(client, vm, "guest_shutdown")
    await _task(client, vm, vm.PowerOffVM_Task, config, done=_State.poweredOff)
    return await _changed(client, vm, "power_off")


async def _until_off(client: Client, vm: vim25.VirtualMachine, ref: str, timeout: float) -> None:
    try:
        async with asyncio.timeout(timeout) as limit:
            await client.wait_for(
                vm, "runtime.powerState", lambda value: value == _State.poweredOff
            )
    except TimeoutError:
        # The guest had its time. A host that is slow is another error, and no reason to cut the power.
        if not limit.expired():
            raise
        raise GuestTimeoutError(name=ref, seconds=timeout) from None


async def _changed(client: Client, vm: vim25.VirtualMachine, action: PowerAction) -> PowerChange:
    found = await lookup.read(client, vm)
    facts = {field.name: getattr(found, field.name) for field in fields(found)}
    return PowerChange(**facts, action=action)
