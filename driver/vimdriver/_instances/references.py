"""References of machines: which were resolved before, and which a running verb holds.

A reference that was resolved before is used at once and checked by the properties read with it. A verb
holds its machine while it works: verbs on one machine go one after another, and all of the verb's
look-ups give the machine that it holds.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

from vimdriver._verbs.turns import Turns

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from vimlib import vim25
    from vimlib._client import Client

# The oldest are forgotten first, and resolved again.
_REMEMBERED: Final = 10_000


class References:
    """The references of one client's machines."""

    def __init__(self) -> None:
        self._known: dict[str, vim25.VirtualMachine] = {}
        self._held: dict[str, list[vim25.VirtualMachine]] = {}
        self._turns: Turns[str] = Turns()

    def known(self, ref: str) -> vim25.VirtualMachine | None:
        """Return the machine that a uuid or name was resolved to; it may be stale."""
        return self._known.get(ref)

    def remember(self, ref: str, vm: vim25.VirtualMachine) -> None:
        """Remember the machine that a uuid or name was resolved to."""
        self._known.pop(ref, None)
        self._known[ref] = vm
        while len(self._known) > _REMEMBERED:
            del self._known[next(iter(self._known))]

    def forget(self, ref: str) -> None:
        """Drop a reference that is stale."""
        self._known.pop(ref, None)

    def held(self, ref: str) -> vim25.VirtualMachine | None:
        """Return the machine that a running verb holds by this reference."""
        machines = self._held.get(ref)
        return machines[-1] if machines else None

    @asynccontextmanager
    async def hold(
        self, ref: str, vm: vim25.VirtualMachine, *, resolved: bool, first: bool
    ) -> AsyncIterator[HeldMachine]:
        """Hold a machine while the block runs, after those who hold it.

        `resolved`: the host was just asked about the reference; `first`: before all that wait.
        Cancelling gives it up.
        """
        turn = HeldMachine(self._turns, vm.moref[1])
        waited = await turn.take(first=first)
        # The verb that held it before may have renamed or removed it.
        known = resolved and not waited
        if known:
            self._held.setdefault(ref, []).append(vm)
        try:
            yield turn
        finally:
            if known:
                self._held[ref].remove(vm)
                if not self._held[ref]:
                    del self._held[ref]
            turn.give()


class HeldMachine:
    """A turn at a machine."""

    def __init__(self, turns: Turns[str], key: str) -> None:
        self._turns = turns
        self._key = key
        self._mine = False

    async def take(self, *, first: bool) -> bool:
        """Wait for the turn; return whether somebody had it."""
        waited = await self._turns.take(self._key, first=first)
        self._mine = True
        return waited

    def give(self) -> None:
        """End the turn, if it is ours."""
        if self._mine:
            self._mine = False
            self._turns.give(self._key)

    @asynccontextmanager
    async def others_first(self) -> AsyncIterator[None]:
        """Let others work on the machine while the block runs; an error in it gives the turn up."""
        self.give()
        yield
        await self.take(first=True)


_OF: WeakKeyDictionary[Client, References] = WeakKeyDictionary()


def references(client: Client) -> References:
    """Return the references of a client, the same object each time."""
    found = _OF.get(client)
    if found is None:
        found = _OF[client] = References()
    return found
