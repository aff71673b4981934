"""Changes on a host, as nova's lifecycle events, and whether the host can be reached."""

from __future__ import annotations

import asyncio
import logging
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from vimdriver._instances.machine import OWNER_KEY
from vimlib import vim25

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from vimdriver._driver import ESXDriver

log = logging.getLogger("vimdriver.nova")

Transition: TypeAlias = Literal["STARTED", "STOPPED", "SUSPENDED", "RESUMED"]

_UUID: Final = "config.instanceUuid"
_POWER: Final = "runtime.powerState"
_MARK: Final = f'config.extraConfig["{OWNER_KEY}"]'
_ON: Final = vim25.VirtualMachinePowerState.poweredOn
_SUSPENDED: Final = vim25.VirtualMachinePowerState.suspended


@dataclass(frozen=True, slots=True)
class HostAway:
    """A host does not answer, or refuses the login."""

    node: str
    reason: str


@dataclass(frozen=True, slots=True)
class HostBack:
    """A host answers, for the first time or again."""

    node: str


@dataclass(frozen=True, slots=True)
class PowerMoved:
    """The power state of one of our machines has changed, whatever the cause."""

    uuid: str
    transition: Transition
    """The end of the name of nova's `EVENT_LIFECYCLE_*`."""


Report: TypeAlias = HostAway | HostBack | PowerMoved


def transition(before: str | None, after: str | None) -> Transition | None:
    """Return nova's name for a change of power state; None for one that is not reported.

    Machines that appear or disappear are not: nova makes and removes them, or they are not nova's.
    """
    if before is None or after is None or before == after:
        return None
    if after == _ON:
        return "RESUMED" if before == _SUSPENDED else "STARTED"
    return "SUSPENDED" if after == _SUSPENDED else "STOPPED"


class PowerStates:
    """The power states of our machines on one host, kept by a watch.

    Args:
        owner: Their mark.
        report: Called with each change, in the loop; must not block.
    """

    def __init__(self, owner: str, report: Callable[[Report], object]) -> None:
        self._owner = owner
        self._report = report
        self._known: dict[str, tuple[str, str]] = {}
        self._built: set[str] = set()

    @contextmanager
    def building(self, uuid: str) -> Iterator[None]:
        """Report no change of a machine within the block.

        Nova reads the state of a machine when it is built, and ignores what is reported before.
        """
        self._built.add(uuid)
        try:
            yield
        finally:
            self._built.discard(uuid)

    def state(self, uuid: str) -> str | None:
        """Return a machine's power state; None while it is not known."""
        return next((state for known, state in self._known.values() if known == uuid), None)

    async def follow(self, driver: ESXDriver) -> None:
        """Report changes until cancelled. Cancelling releases its objects on the host.

        Raises:
            TransportError: The host was away for longer than `Timeouts.outage`.
        """
        self._known.clear()
        try:
            async with driver.client.watch(vim25.VirtualMachine, _UUID, _POWER, _MARK) as changes:
                async for change in changes:
                    props = change.row.props
                    mark = str(getattr(props.get(_MARK), "value", ""))
                    gone = change.kind == "leave" or mark != self._owner
                    self._take(
                        change.obj.moref[1], props.get(_UUID), None if gone else props.get(_POWER)
                    )
        finally:
            self._known.clear()

    def _take(self, moref: str, uuid: str | None, state: str | None) -> None:
        _, before = self._known.pop(moref, ("", None))
        if uuid is None or state is None:
            return
        self._known[moref] = (uuid, state)
        moved = transition(before, state)
        if moved is not None and uuid not in self._built:
            self._report(PowerMoved(uuid, moved))


async def pause_until(wanted: asyncio.Event, seconds: float) -> None:
    """Return after some seconds, or as soon as `wanted` is set."""
    try:
        async with asyncio.timeout(seconds):
            await wanted.wait()
    except TimeoutError:
        return
