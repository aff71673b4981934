"""Machines that the host starts when it boots, their order, and its action when it goes down."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeAlias

from vimdriver._host.managers import read_manager
from vimdriver._instances.machine import claim
from vimdriver._verbs import Host, Plan, Run, Step, Within, query, verb
from vimlib import vim25
from vimlib.errors import HostStateError, UsageError

StopAction: TypeAlias = Literal["systemDefault", "none", "suspend", "powerOff", "guestShutdown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Autostart:
    """The host's actions on a machine at boot and at shutdown."""

    moref: str
    name: str
    order: int
    """Place in the order, from 1; -1: after those with a place, in any order."""
    start: bool
    start_delay: int
    """Seconds; -1 is the host's default."""
    stop_action: str
    stop_delay: int
    """Seconds; -1 is the host's default."""

    def to_json(self) -> dict[str, Any]:
        """Return its row of `vimctl instance autostarts --json`."""
        return {name: getattr(self, name) for name in self.__slots__}


async def _read(
    host: Host,
) -> tuple[vim25.HostAutoStartManager, vim25.HostAutoStartManagerConfig]:
    row = await read_manager(host.client, vim25.HostAutoStartManager, "autoStartManager", "config")
    return host.client.bind(row.obj), row.require("config")


@query
async def autostarts(host: Host) -> list[Autostart]:
    """List the machines that the host starts at boot, in their order. Cancelling loses nothing."""
    _, config = await _read(host)
    entries = config.powerInfo or []
    names = {}
    if entries:
        rows = await host.client.get([entry.key for entry in entries], "name")
        names = {row.obj.moref: str(row.props.get("name") or "") for row in rows}
    found = [
        Autostart(
            moref=entry.key.moref[1],
            name=names.get(entry.key.moref, ""),
            order=entry.startOrder,
            start=entry.startAction.casefold() == "poweron",
            start_delay=entry.startDelay,
            stop_action=entry.stopAction,
            stop_delay=entry.stopDelay,
        )
        for entry in entries
    ]
    return sorted(found, key=lambda one: (one.order < 1, one.order, one.moref))


def _check(order: int, **delays: int) -> None:
    if order != -1 and order < 1:
        raise UsageError(f"order must be -1 or at least 1, got {order}", field="order")
    for name, seconds in delays.items():
        if seconds < -1:
            raise UsageError(f"{name} must be at least 0 s, or -1, got {seconds}", field=name)


def _took(now: Autostart | None, wanted: vim25.AutoStartPowerInfo) -> bool:
    """Return whether the host does with a machine what is wanted. It may forget one that it no longer starts."""
    if wanted.startAction == "none":
        return now is None or not now.start
    return now is not None and now.start and now.order == wanted.startOrder


def _absent(vm: vim25.VirtualMachine, name: str) -> Autostart:
    """Return the setting of a machine that the host does not have in its list."""
    return Autostart(
        moref=vm.moref[1],
        name=name,
        order=-1,
        start=False,
        start_delay=-1,
        stop_action="none",
        stop_delay=-1,
    )


@verb
async def set_autostart(
    host: Host,
    ref: str,
    *,
    order: Annotated[int, Within(-1)] = -1,
    start_delay: Annotated[int, Within(-1)] = -1,
    stop_action: StopAction = "systemDefault",
    stop_delay: Annotated[int, Within(-1)] = -1,
    off: bool = False,
    foreign: bool = False,
) -> Plan[Autostart]:
    """Have the host start a machine when it boots (`ReconfigureAutostart`); this also enables autostart itself.

    Cancelling waits for the call.

    Args:
        ref: uuid, name or moref's value.
        order: Place from 1, at most one after the last; others move. -1: after those with a place.
        start_delay: Seconds before the next machine starts; -1 is the host's default.
        stop_action: The host's action on it when the host goes down.
        stop_delay: Seconds that it has then; -1 is the host's default.
        off: No longer start it.
        foreign: Act on a machine of another owner too.

    Raises:
        UsageError: A number is out of range.
        NotFoundError: The machine does not exist.
        ForeignInstanceError: Another made the machine, and `foreign` is false.
        HostStateError: The host has another setting afterwards.
    """
    _check(order, start_delay=start_delay, stop_delay=stop_delay)
    vm = (await claim(host, ref, foreign=foreign)).obj
    system, config = await _read(host)
    placed = [e for e in config.powerInfo or [] if e.startOrder > 0 and e.key != vm]
    if order > len(placed) + 1:
        raise UsageError(
            f"order must be at most {len(placed) + 1}, one after the last, got {order}",
            field="order",
        )
    entry = vim25.AutoStartPowerInfo(
        key=vm,
        startOrder=-1 if off else order,
        startDelay=start_delay,
        waitForHeartbeat="systemDefault",
        startAction="none" if off else "powerOn",
        stopDelay=stop_delay,
        stopAction=stop_action,
    )
    spec = vim25.HostAutoStartManagerConfig(
        defaults=None if off else vim25.AutoStartDefaults(enabled=True), powerInfo=[entry]
    )

    async def now(run: Run) -> Autostart | None:
        found = await autostarts.function(run.host)
        return next((one for one in found if one.moref == vm.moref[1]), None)

    async def probe(run: Run) -> bool | None:
        return _took(await now(run), entry) or None

    step = Step[Any](
        title="set its autostart (ReconfigureAutostart)",
        call=lambda run: system.ReconfigureAutostart(spec),
        probe=probe,
        of=lambda run: vm,
        idempotent=True,
    )

    async def result(run: Run) -> Autostart:
        one = await now(run)
        if one is None and off:
            return _absent(vm, ref)
        if one is None or one.start == off:
            raise HostStateError(
                f"the host did not take the autostart of {ref}",
                state="unchanged",
                outcome="applied",
            )
        return one

    return Plan(f"set autostart of {ref}", (step,), result)
