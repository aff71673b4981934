"""Steps that are undone on the way out, in reverse, unless all went well.

What a step makes is written down before the step begins, so whatever ends it (an error, a
cancellation between any two awaits) finds the way back. Undoing is shielded: a second
cancellation waits until it has ended.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Self

from vimlib.errors import VimlibError, printable
from vimlib.session.shield import finish

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType

__all__ = ["Undo"]

log = logging.getLogger("driver.steps")


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

    def __init__(self, *, seconds: float) -> None:
        self._seconds = seconds
        self._stack: list[tuple[str, Callable[[], Awaitable[Any]]]] = []
        self.left_behind: list[str] = []
        """What could not be undone, in words."""

    def push(self, what: str, back: Callable[[], Awaitable[Any]]) -> None:
        """Write down how to undo the step that begins now. `back` must bear that it never began."""
        self._stack.append((what, back))

    def keep(self) -> None:
        """All went well: what was made stays."""
        self._stack.clear()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self._stack:
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
        deadline = asyncio.get_running_loop().time() + self._seconds
        while self._stack:
            what, back = self._stack.pop()
            try:
                async with asyncio.timeout_at(deadline):
                    await back()
            except (VimlibError, TimeoutError) as failure:
                # The reason that led here must not be hidden by a failing clean-up.
                log.warning("could not undo %s: %s", what, printable(str(failure)))
                self.left_behind.append(f"{what} ({printable(str(failure))})")
