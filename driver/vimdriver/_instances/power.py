"""Power operations: each says what it found, none pretends."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from vimdriver._instances import lookup
from vimdriver._steps.outcome import run_task
from vimdriver.errors import InstanceStateError
from vimlib import vim25
from vimlib._session.shield import finish

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from vimdriver._config import DriverConfig
    from vimdriver._instances.types import Instance
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


async def _tools_run(client: Client, vm: vim25.VirtualMachine) -> bool:
    row = await client.get(vm, "guest.toolsRunningStatus", "guest.toolsStatus")
    return row.props.get("guest.toolsRunningStatus") == "guestToolsRunning" and row.props.get(
        "guest.toolsStatus"
    ) in ("toolsOk", "toolsOld", None)


async def reboot(client: Client, ref: str, config: DriverConfig, *, soft: bool = True) -> Instance:
    """Ask the guest to reboot where its tools run (`RebootGuest`), else reset (`ResetVM_Task`).

    With `soft` false it is always a reset. Cancelling waits for the call.

    Raises:
        InstanceStateError: It is not running.
    """
    vm = await lookup.find(client, ref)
    await _demand_state(client, vm, _State.poweredOn)
    if soft and await _tools_run(client, vm):
        await finish(vm.RebootGuest())
    else:
        await _task(client, vm, vm.ResetVM_Task, config, done=_State.poweredOn, tells=False)
    return await lookup.read(client, vm)


async def shutdown(
    client: Client, ref: str, config: DriverConfig, *, timeout: float = 60.0
) -> Instance:
    """Ask the guest to shut down (`ShutdownGuest`); cut the power where it does not in `timeout` s.

    Without running tools the power is cut at once. Cancelling leaves the guest shutting down.
    """
    vm = await lookup.find(client, ref)
    state = await _demand_state(client, vm, _State.poweredOn, _State.poweredOff, _State.suspended)
    if state == _State.poweredOn and timeout > 0 and await _tools_run(client, vm):
        await finish(vm.ShutdownGuest())
        try:
            async with asyncio.timeout(timeout) as limit:
                await client.wait_for(
                    vm, "runtime.powerState", lambda value: value == _State.poweredOff
                )
        except TimeoutError:
            # The guest had its time. A host that is slow is no reason to cut the power.
            if not limit.expired():
                raise
        else:
            return await lookup.read(client, vm)
    await _task(client, vm, vm.PowerOffVM_Task, config, done=_State.poweredOff)
    return await lookup.read(client, vm)
