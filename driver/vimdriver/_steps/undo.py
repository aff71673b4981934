"""Steps that are undone on the way out, in reverse, unless all went well.

What a step makes is written down before the step begins, so whatever ends it (an error, a
cancellation between any two awaits) finds the way back. With a journal it is also written where
the end of the process does not reach. Undoing is shielded: a second cancellation waits until it has
ended.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from vimdriver._journal import MemoryJournal, close
from vimlib._session.shield import finish
from vimlib.errors import VimlibError, printable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType

    from vimdriver._journal import Entry, Journal

__all__ = ["Undo"]

log = logging.getLogger("vimdriver.steps")


@dataclass(frozen=True, slots=True)
class _Step:
    what: str
    back: Callable[[], Awaitable[Any]]
    token: str


class Undo:
    """A stack of ways back.

    ::

        async with Undo(seconds=120) as undo:
            undo.push("the machine", destroy_it)
            await make_it()
            undo.keep()

    Leaving with an error runs the stack in reverse; each way back gets what remains of `seconds`.
    The error that led here stays the error; what could not be undone is added to it as a note.
    """

    def __init__(self, *, seconds: float, journal: Journal | None = None) -> None:
        self._seconds = seconds
        self._journal = journal or MemoryJournal()
        self._stack: list[_Step] = []
        self._kept: list[_Step] = []
        self.left_behind: list[str] = []
        """What could not be undone, in words."""

    def push(self, what: str, back: Callable[[], Awaitable[Any]], *, token: str = "") -> None:
        """Note how to undo the step that begins now. `back` must bear that it never began.

        With `token`, that entry of the journal is closed once the step is undone or kept.
        """
        self._stack.append(_Step(what, back, token))

    async def begin(self, what: str, back: Callable[[], Awaitable[Any]], entry: Entry) -> None:
        """As `push`, and write an entry of the journal for it; only then begin.

        Raises:
            JournalError: It could not be written.
        """
        self.push(what, back, token=entry.token)
        await self._journal.begin(entry)

    def keep(self) -> None:
        """All went well: what was made stays. Leaving the block closes what the journal has of it."""
        self._kept += self._stack
        self._stack.clear()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self._stack and not self._kept:
            return
        try:
            await finish(self._run(), what="undoing")
        except asyncio.CancelledError as cancelled:
            self._note(cancelled)
            raise
        finally:
            if error is not None:
                self._note(error)

    def _note(self, error: BaseException) -> None:
        if self.left_behind:
            error.add_note("Left behind: " + "; ".join(self.left_behind))

    async def _run(self) -> None:
        try:
            await self._back()
        finally:
            # Whatever ended that: nobody is at what is left.
            for step in (*self._stack, *self._kept):
                self._journal.abandon(step.token)

    async def _back(self) -> None:
        deadline = asyncio.get_running_loop().time() + self._seconds
        while self._stack:
            step = self._stack[-1]
            try:
                async with asyncio.timeout_at(deadline):
                    await step.back()
            except (VimlibError, TimeoutError) as failure:
                # The reason that led here must not be hidden by a failing clean-up.
                log.warning("cannot undo %s: %s", step.what, printable(str(failure)))
                self.left_behind.append(f"{step.what} ({printable(str(failure))})")
                self._journal.abandon(step.token)
            else:
                await self._close(step)
            self._stack.pop()
        while self._kept:
            await self._close(self._kept[-1])
            self._kept.pop()

    async def _close(self, step: _Step) -> None:
        if step.token:
            await close(self._journal, step.token)
