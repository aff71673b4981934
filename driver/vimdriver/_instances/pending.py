"""A change of a machine that is not final: a resize to confirm, a rescue to end, a copy under way.

It is written in the machine's extraConfig by the call that begins it, so that any process, and a
sweep after a crash, finds it. A machine has at most one. No I/O.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import msgspec

from vimdriver.errors import PendingChangeError
from vimlib import vim25
from vimlib._datastore import DatastorePath
from vimlib.errors import InvalidPathError

if TYPE_CHECKING:
    from vimdriver._instances.change import MachineState

PENDING_KEY: Final = "vimlib.pending"
"""extraConfig key of a machine's change that is not final."""

What: TypeAlias = Literal["resize", "rescue", "rebuild"]
Phase: TypeAlias = Literal["begun", "done", "confirming"]
_NAME: Final = re.compile(r".*-(?:resize|rescue|rebuild)-([0-9a-f]{16})\.vmdk", re.DOTALL)


class Pending(msgspec.Struct, frozen=True, kw_only=True):
    """A change that is not final."""

    what: What
    phase: Phase
    """`begun`: its disk is being copied; `done`: it can be confirmed, reverted or ended;
    `confirming`: the former disk is being deleted."""
    token: str
    """Names the change, and its disk."""
    began: str
    """By `vimdriver._verbs.host.stamp`."""
    disk: str = ""
    """Datastore path of the disk that was made for it; "" if none."""
    former: str = ""
    """Datastore path of the root disk before."""
    keeps_former: bool = False
    """Whether the former root disk stays: it is an image of the host, or linked to one."""
    cpus: int = 0
    """Before a resize."""
    memory_mb: int = 0
    """Before a resize, in MiB."""

    def option(self) -> vim25.OptionValue:
        """Return it as the machine's extraConfig has it."""
        return vim25.OptionValue(key=PENDING_KEY, value=msgspec.json.encode(self).decode())

    def path(self) -> DatastorePath:
        """Return the path of the disk that was made for it. Raises `InvalidPathError`."""
        return DatastorePath.parse(self.disk)

    @property
    def owns_its_disk(self) -> bool:
        """Whether the disk has the name that this change gives it, so that nobody else made it.

        Any user with the right to change the machine can write any path there.
        """
        match = _NAME.fullmatch(self.disk)
        try:
            return match is not None and match[1] == self.token and bool(self.path().path)
        except InvalidPathError:
            return False


NOTHING_PENDING: Final = vim25.OptionValue(key=PENDING_KEY, value="")
"""Removes the key."""


def disk_for(vmx: DatastorePath, what: What, token: str) -> DatastorePath:
    """Return the path of the disk that a change makes in the machine's folder."""
    return vmx.with_name(f"{vmx.name.removesuffix('.vmx')}-{what}-{token}.vmdk")


def parse_pending(text: str | None) -> Pending | None:
    """Return the change in an extraConfig; None for no text, and for text that this driver did not write."""
    if not text:
        return None
    try:
        return msgspec.json.decode(text, type=Pending)
    except msgspec.DecodeError:
        return None


def pending_of(machine: MachineState) -> Pending | None:
    """Return a machine's change that is not final."""
    return parse_pending(machine.marks.get(PENDING_KEY))


def require_nothing_pending(machine: MachineState) -> None:
    """Raise `PendingChangeError` if a change of the machine is not final."""
    found = pending_of(machine)
    if found is not None:
        raise PendingChangeError(name=machine.ref, pending=found.what, phase=found.phase)


def require_pending(machine: MachineState, what: What, *phases: Phase) -> Pending:
    """Return the change that is to be ended. Raises `PendingChangeError` if there is not."""
    found = pending_of(machine)
    if found is None or found.what != what or found.phase not in phases:
        raise PendingChangeError(
            name=machine.ref,
            wanted=what,
            pending="" if found is None else found.what,
            phase="" if found is None else found.phase,
        )
    return found
