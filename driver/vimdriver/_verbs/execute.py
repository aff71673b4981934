"""The executor of plans: journal, deadlines, shielding, probes, and undo in reverse."""

from __future__ import annotations

import asyncio
import logging
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from vimdriver._journal import MemoryJournal, close
from vimdriver._verbs.plan import Run
from vimdriver.errors import JournalError
from vimlib import vim25
from vimlib._shield import finish
from vimlib._text import printable
from vimlib._transport.budget import urgent
from vimlib.errors import VimlibError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from types import TracebackType

    from vimdriver._journal import Entry, Journal
    from vimdriver._verbs.host import Host
    from vimdriver._verbs.plan import Plan, Step

T = TypeVar("T")

log = logging.getLogger("vimdriver.verbs")


@dataclass(frozen=True, slots=True)
class _Undo:
    title: str
    undo: Callable[[], Awaitable[Any]] | None
    token: str


class Rollback:
    """A stack of undo functions, run in reverse unless all went well.

    ::

        async with Rollback(seconds=120) as rollback:
            rollback.push("the machine", destroy_it)
            await make_it()
            rollback.keep()

    An undo is pushed before its step begins, so whatever ends the step (an error, a cancellation
    between any two awaits) finds it; with a journal it is also written where a killed process does
    not take it along. Rolling back is shielded: a second cancellation waits until it has ended.
    Each undo gets what remains of `seconds`. The error that led here stays the error; what could
    not be undone is added to it as a note.
    """

    def __init__(self, *, seconds: float, journal: Journal | None = None) -> None:
        self._seconds = seconds
        self._journal = journal or MemoryJournal()
        self._stack: list[_Undo] = []
        self._kept: list[_Undo] = []
        self.left_behind: list[str] = []
        """The objects that could not be undone, with the reasons."""

    def push(
        self, title: str, undo: Callable[[], Awaitable[Any]] | None, *, token: str = ""
    ) -> None:
        """Add the undo of the step that begins now. It must bear that the step never began.

        A text that it returns names what it left on purpose, and becomes a note like `left_behind`.

        With `token`, that entry of the journal is closed once the step is undone or kept. Without
        `undo` the entry is left to a sweep unless the step is kept.
        """
        self._stack.append(_Undo(title, undo, token))

    async def begin(
        self, title: str, undo: Callable[[], Awaitable[Any]] | None, entry: Entry
    ) -> None:
        """As `push`, and write an entry of the journal for it; only then begin.

        Raises:
            JournalError: It could not be written.
        """
        self.push(title, undo, token=entry.token)
        try:
            await self._journal.begin(entry)
        except JournalError:
            self._stack.pop()  # neither the entry nor its step has begun
            raise

    def keep(self) -> None:
        """Keep the objects that were made. Leaving the block closes its entries of the journal."""
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
            with urgent():
                await finish(self._unwind(), what="rollback")
        except asyncio.CancelledError as cancelled:
            self._note(cancelled)
            raise
        finally:
            if error is not None:
                self._note(error)

    def _note(self, error: BaseException) -> None:
        if self.left_behind:
            error.add_note("Left behind: " + "; ".join(self.left_behind))

    async def _unwind(self) -> None:
        try:
            await self._undo()
        finally:
            # Whatever ended that: nobody works on the rest any more.
            for item in (*self._stack, *self._kept):
                self._journal.abandon(item.token)

    async def _undo(self) -> None:
        deadline = asyncio.get_running_loop().time() + self._seconds
        while self._stack:
            item = self._stack[-1]
            if item.undo is None:
                self._journal.abandon(item.token)
                self._stack.pop()
                continue
            try:
                async with asyncio.timeout_at(deadline):
                    stays = await item.undo()
            except (VimlibError, TimeoutError) as failure:
                # A failing undo must not hide the error that led here.
                reason = printable(str(failure))
                log.warning("cannot undo %s: %s", item.title, reason)
                self.left_behind.append(f"{item.title} ({reason})")
                self._journal.abandon(item.token)
            else:
                if isinstance(stays, str) and stays:
                    self.left_behind.append(stays)
                await self._close(item)
            self._stack.pop()
        while self._kept:
            await self._close(self._kept[-1])
            self._kept.pop()

    async def _close(self, item: _Undo) -> None:
        if item.token:
            await close(self._journal, item.token)


@contextmanager
def after_change() -> Iterator[None]:
    """Give an error of the block the outcome `applied` where it has `not_sent` or `refused`.

    For calls after a change that stays: one that fails does not revoke the change.
    """
    try:
        yield
    except VimlibError as error:
        if error.outcome in ("not_sent", "refused"):
            error.outcome = "applied"
        raise


async def execute(host: Host, plan: Plan[T], *, left: list[str] | None = None) -> T:
    """Run the steps of a plan and return its result.

    `left` gets the objects that could not be undone, with the reasons.

    When a step fails or the caller is cancelled, a call that has been sent runs to its end first;
    then the steps are undone in reverse, for at most `DriverConfig.cleanup_seconds`. A step without
    an undo stays done.

    Raises:
        JournalError: An entry could not be written; its step was not begun.
        VimlibError: A step failed. All was undone, or a note names the objects that are left.
    """
    work = _Execution(host, plan, [] if left is None else left)
    try:
        return await work.run()
    except VimlibError as error:
        if plan.explain is None or (better := await plan.explain(host, error)) is error:
            raise
        raise better from error


class _Execution(Generic[T]):
    """One plan at work."""

    def __init__(self, host: Host, plan: Plan[T], left: list[str]) -> None:
        self.host = host
        self.plan = plan
        self.left = left
        self.state = Run(host)
        self.open: set[Step[Any]] = set()
        """Steps that were begun, and whose outcome is not known."""
        self.tokens: set[str] = set()

    async def run(self) -> T:
        config = self.host.config
        async with Rollback(seconds=config.cleanup_seconds, journal=self.host.journal) as rollback:
            rollback.left_behind = self.left
            for step in self.plan.steps:
                await self._begin(step, rollback)
                log.debug("%s: %s", self.plan.title, step.title)
                work = self._perform(step)
                async with self.host.others_first() if step.waits else nullcontext():
                    await (work if step.interruptible else finish(work, what=step.title))
            result = await self._result()
            if self.plan.keep:
                rollback.keep()
        return result

    async def _result(self) -> T:
        stays = any(step.undo is None for step in self.plan.steps)
        with after_change() if stays else nullcontext():
            return await self.plan.result(self.state)

    async def _begin(self, step: Step[Any], rollback: Rollback) -> None:
        entry = None if step.entry is None else step.entry(self.state)
        undo = None if step.undo is None else lambda: self._undo(step)
        made = step.makes or step.title
        if entry is None:
            if undo is not None:
                rollback.push(made, undo)
            return
        await self.host.record_session()
        if entry.token in self.tokens:
            # The same entry with more facts.
            await self.host.journal.begin(entry)
        else:
            self.tokens.add(entry.token)
            await rollback.begin(made, undo, entry)

    async def _perform(self, step: Step[Any]) -> None:
        self.open.add(step)
        state, probe = self.state, step.probe
        try:
            state[step] = await self.host.client.tasks.run(
                lambda: step.call(state),
                self.host.config.task_seconds,
                probe=None if probe is None else lambda: probe(state),
                method=step.method,
                of=None if step.of is None else step.of(state),
                idempotent=step.idempotent,
                settle=self.host.config.settle_seconds,
                held=(vim25.TaskInProgress,),
            )
        except vim25.MethodFault as fault:
            if probe is not None:
                # The host refused this one call; a step without a probe may be several.
                self.open.discard(step)
            if step.refused is None:
                raise
            state[step] = step.refused(state, fault)
        self.open.discard(step)

    async def _undo(self, step: Step[Any]) -> Any:
        """Undo a step and return what that returns, once the calls of this plan that the host may still be executing have ended."""
        for method in sorted({other.method for other in self.open if other.method}):
            await self.host.idle(method=method)
        assert step.undo is not None, "it was pushed with one"
        if step in self.open and step.probe is not None:
            probe, state = step.probe, self.state
            found = await self.host.settled(
                lambda: probe(state),
                method=step.method,
                of=None if step.of is None else step.of(state),
            )
            if found is not None:
                self.state[step] = found
        made = None
        if step in self.state:
            made = self.state[step]
        elif step not in self.open or step.probe is not None:
            return None
        try:
            return await step.undo(self.state, made)
        except VimlibError:
            if self.plan.keep:
                raise
            # What is temporary has to go for the verb to be done: once more.
            return await step.undo(self.state, made)
