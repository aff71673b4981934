"""Maintenance mode, reboot and shutdown of the host."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final

from vimdriver._host.identity import only_host
from vimdriver._verbs import Host, Plan, Run, Step, Within, verb
from vimlib import vim25
from vimlib._collector import INVENTORY
from vimlib._text import printable
from vimlib.errors import (
    HostStateError,
    TaskTimeoutError,
    TaskVanishedError,
    TransportError,
    UsageError,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_ON: Final = vim25.VirtualMachinePowerState.poweredOn
_MODE: Final = "runtime.inMaintenanceMode"


@dataclass(frozen=True, slots=True, kw_only=True)
class HostMode:
    """The host after a change of its mode."""

    host: str
    """Its name."""
    maintenance: bool
    requested: str = ""
    """`reboot` or `shutdown`: the host took the request and may be gone any moment."""

    def to_json(self) -> dict[str, Any]:
        """Return the output of the command with `--json`."""
        return {"host": self.host, "maintenance": self.maintenance, "requested": self.requested}


@dataclass(frozen=True, slots=True)
class _Found:
    system: vim25.HostSystem
    name: str
    maintenance: bool
    running: tuple[str, ...]


async def _gather(host: Host) -> _Found:
    """Return the host and the machines that run, in one call."""
    client = host.client
    wanted: dict[type[vim25.ManagedObject], tuple[str, ...]] = {
        vim25.HostSystem: ("name", _MODE),
        vim25.VirtualMachine: ("name", "runtime.powerState"),
    }
    rows = await client.gather(wanted, source=INVENTORY.start(client.content.rootFolder))
    row = only_host(client, rows[vim25.HostSystem])
    running = [
        str(vm.props.get("name"))
        for vm in rows[vim25.VirtualMachine]
        if vm.props.get("runtime.powerState") == _ON
    ]
    return _Found(
        client.bind(row.obj),
        str(row.props.get("name") or ""),
        bool(row.props.get(_MODE)),
        tuple(sorted(running)),
    )


def _mode_step(
    found: _Found, method: str, call: Callable[[], Awaitable[Any]], wanted: bool
) -> Step[Any]:
    async def probe(run: Run) -> bool | None:
        row = await run.host.client.get(found.system, _MODE)
        return (bool(row.props.get(_MODE)) == wanted) or None

    return Step[Any](
        title=f"{'enter' if wanted else 'leave'} maintenance mode ({method})",
        call=lambda run: call(),
        probe=probe,
        method=method,
        interruptible=wanted,
    )


def _result(found: _Found) -> Callable[[Run], Awaitable[HostMode]]:
    async def result(run: Run) -> HostMode:
        row = await run.host.client.get(found.system, _MODE)
        return HostMode(host=found.name, maintenance=bool(row.props.get(_MODE)))

    return result


@verb
async def enter_maintenance(host: Host, *, drain: Annotated[int, Within(0)] = 0) -> Plan[HostMode]:
    """Put the host into maintenance mode, in which no machine runs (`EnterMaintenanceMode_Task`).

    Cancelling leaves the host's task, which ends by itself.

    Args:
        drain: Seconds to wait until no machine runs; 0 refuses while one does.

    Raises:
        UsageError: `drain` is negative.
        HostStateError: Machines run, and `drain` is 0.
        Timedout: They still run after `drain` seconds.
        TaskTimeoutError: They still run after `DriverConfig.task_seconds`; the host goes on waiting.
    """
    if drain < 0:
        raise UsageError(f"drain must be at least 0 s, got {drain}", field="drain")
    found = await _gather(host)
    if found.running and not drain and not found.maintenance:
        raise HostStateError(
            f"no machine may run, {len(found.running)} run: {printable(', '.join(found.running), 200)}",
            state="busy",
            hint="Stop them first, or wait for them (--drain SECONDS).",
        )
    step = _mode_step(
        found,
        "EnterMaintenanceMode_Task",
        lambda: found.system.EnterMaintenanceMode_Task(max(drain, 1)),
        True,
    )
    steps = () if found.maintenance else (step,)
    return Plan(f"put {found.name} into maintenance mode", steps, _result(found))


@verb
async def exit_maintenance(host: Host) -> Plan[HostMode]:
    """Take the host out of maintenance mode (`ExitMaintenanceMode_Task`). Cancelling waits for the task."""
    found = await _gather(host)
    step = _mode_step(
        found,
        "ExitMaintenanceMode_Task",
        lambda: found.system.ExitMaintenanceMode_Task(0),
        False,
    )
    steps = (step,) if found.maintenance else ()
    return Plan(f"take {found.name} out of maintenance mode", steps, _result(found))


async def _take_down(host: Host, action: str, confirm: str, force: bool) -> Plan[HostMode]:
    found = await _gather(host)
    if confirm != found.name:
        raise UsageError(
            f"confirm must be the host's name, {found.name!r}, got {printable(confirm, 80)!r}",
            hint="All machines of the host lose power.",
            field="confirm",
        )
    if not found.maintenance and not force:
        raise HostStateError(
            f"{found.name} is not in maintenance mode",
            state="operating",
            hint="Enter it first (vimctl host enter-maintenance), or force it (--force).",
        )
    system = found.system
    method = "RebootHost_Task" if action == "reboot" else "ShutdownHost_Task"

    async def call(run: Run) -> None:
        task = await (
            system.RebootHost_Task(force) if action == "reboot" else system.ShutdownHost_Task(force)
        )
        try:
            await run.host.client.wait(task, run.host.config.settle_seconds)
        except (TransportError, TaskVanishedError, TaskTimeoutError):
            # It took the request, and went down before the task's end was read. A refusal comes at once.
            return

    async def result(run: Run) -> HostMode:
        return HostMode(host=found.name, maintenance=found.maintenance, requested=action)

    step = Step[Any](title=f"{action} the host ({method})", call=call)
    return Plan(f"{action} {found.name}", (step,), result)


@verb
async def reboot_host(host: Host, confirm: str, *, force: bool = False) -> Plan[HostMode]:
    """Reboot the host (`RebootHost_Task`); all of its machines lose power.

    Returns when the host took the request, before it is down. Cancelling waits for that.

    Args:
        confirm: The host's name, as `vimctl host show` prints it.
        force: Also outside of maintenance mode.

    Raises:
        UsageError: `confirm` is not the host's name; nothing was done.
        HostStateError: It is not in maintenance mode, and `force` is false.
    """
    return await _take_down(host, "reboot", confirm, force)


@verb
async def shutdown_host(host: Host, confirm: str, *, force: bool = False) -> Plan[HostMode]:
    """Shut the host down (`ShutdownHost_Task`); all of its machines lose power.

    Returns when the host took the request, before it is down. Cancelling waits for that.

    Args:
        confirm: The host's name, as `vimctl host show` prints it.
        force: Also outside of maintenance mode.

    Raises:
        UsageError: `confirm` is not the host's name; nothing was done.
        HostStateError: It is not in maintenance mode, and `force` is false.
    """
    return await _take_down(host, "shutdown", confirm, force)
