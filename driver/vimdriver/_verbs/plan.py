"""A verb's plan: a printable list of steps. No I/O; the calls in a step are made by `execute`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from vimdriver._journal import Entry
    from vimdriver._verbs.host import Host
    from vimlib import vim25
    from vimlib.errors import VimlibError

T = TypeVar("T")


@dataclass(frozen=True, eq=False, kw_only=True)
class Step(Generic[T]):
    """One call to the host, its undo, and a probe that reads whether it was executed."""

    title: str
    """An imperative sentence, with the API's method in parentheses."""
    call: Callable[[Run], Awaitable[Any]]
    """Makes the call. A task that it returns is waited for, and the task's result is the step's."""
    makes: str = ""
    """The object that it makes, as named to the user if it cannot be undone; the title if empty."""
    probe: Callable[[Run], Awaitable[T | None]] | None = None
    """Reads the step's result from the host where the answer got lost; None if it was not executed.
    Only for a step that is a single call. Without it, a lost answer ends the run."""
    undo: Callable[[Run, T], Awaitable[Any]] | None = None
    """Takes it back, given its result; may return what it left on purpose. Without a probe it is also called, with None, when the
    outcome is not known, and must bear that the step was never executed."""
    refused: Callable[[Run, vim25.MethodFault], T] | None = None
    """Given the fault of a refusal: returns the result if it is as good as success, else raises."""
    entry: Callable[[Run], Entry] | None = None
    """Written to the journal before the step begins, and closed when it is kept or undone."""
    method: str = ""
    """The wire name, to find its task among all of the host; or:"""
    of: Callable[[Run], vim25.ManagedEntity] | None = None
    """The machine whose tasks these are."""
    idempotent: bool = False
    """Executing it twice is as executing it once, so an unanswered call may be sent again."""
    interruptible: bool = False
    """A cancellation reaches it at once: it cleans up by itself, or changes nothing. Else it runs
    to its end first."""
    waits: bool = False
    """It only waits for the guest or the user: other verbs may work on the machine meanwhile."""

    def __str__(self) -> str:
        notes = [
            note
            for note, given in (("journal", self.entry), ("probe", self.probe), ("undo", self.undo))
            if given is not None
        ]
        return self.title + (f" [{', '.join(notes)}]" if notes else "")


class Run:
    """The results of the steps that have ended, for those that come after: ``run[step]``."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self._results: dict[Step[Any], Any] = {}

    def __getitem__(self, step: Step[T]) -> T:
        """Return a step's result. Raises `KeyError` before it has ended well."""
        result: T = self._results[step]
        return result

    def __setitem__(self, step: Step[T], result: T) -> None:
        self._results[step] = result

    def get(self, step: Step[T]) -> T | None:
        """Return a step's result, None before it has ended well."""
        return self._results.get(step)

    def __contains__(self, step: Step[Any]) -> bool:
        return step in self._results


@dataclass(frozen=True, eq=False)
class Plan(Generic[T]):
    """The steps of a verb. Prints as a numbered list."""

    title: str
    steps: tuple[Step[Any], ...]
    result: Callable[[Run], Awaitable[T]]
    """Reads the verb's result from the host, or returns it from the run, before the steps are kept."""
    keep: bool = True
    """False: the objects that the steps make are temporary, and are undone on success too; an undo that fails is
    tried once more."""
    explain: Callable[[Host, VimlibError], Awaitable[VimlibError]] | None = None
    """Returns the error to raise for the one that ended the run, once all is undone."""
    stale: Callable[[VimlibError], bool] | None = None
    """Whether the run ended since something that was remembered is so no more, and is forgotten now:
    then the verb gathers and runs once more."""

    def __str__(self) -> str:
        lines = [f"{number}. {step}" for number, step in enumerate(self.steps, 1)]
        return "\n".join([f"{self.title}:" if lines else f"{self.title}: nothing to do", *lines])

    def to_json(self) -> dict[str, Any]:
        """Return the document that `vimctl VERB --dry-run --json` prints."""
        return {
            "plan": self.title,
            "steps": [
                {
                    "title": step.title,
                    "journal": step.entry is not None,
                    "probe": step.probe is not None,
                    "undo": step.undo is not None,
                }
                for step in self.steps
            ],
        }


def already(fault: type[vim25.MethodFault]) -> Callable[[Run, vim25.MethodFault], bool]:
    """Return the `Step.refused` of a step that a fault of this type shows to be done: True."""

    def refused(run: Run, given: vim25.MethodFault) -> bool:
        if isinstance(given, fault):
            return True
        raise given

    return refused


def returns(value: T) -> Callable[[Run], Awaitable[T]]:
    """Return the `Plan.result` of a verb whose result is known when it is planned."""

    async def result(run: Run) -> T:
        return value

    return result
