"""Fault injection, apart from the code that works.

A test adds rules to `ESXHost.faults`; the server and the tasks look for a rule that matches and
act on it. A rule counts the calls that it matches.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vimlib.model import MethodFault

What = Literal[
    "fault", "delay", "drop", "reset", "html", "status", "lose", "empty", "truncate", "hang"
]
"""`fault`: answer with it, undone. `delay`: wait first. `drop`: close without an answer, undone.
`reset`: the same with a TCP reset. `html`: answer a page, undone. `status`: answer an HTTP status,
undone. `lose`: do the work, then close without an answer. `empty`: do the work, answer no body.
`truncate`: do the work, send half of the answer, close. `hang`: never answer, undone."""


@dataclass
class Rule:
    """One injected failure."""

    method: str
    """Wire name, `*` for any call; `GET`, `PUT`, `HEAD`, `DELETE` for requests to `/folder`."""
    what: What
    fault: MethodFault | None = None
    seconds: float = 0.0
    status: int = 503
    headers: dict[str, str] = field(default_factory=dict)
    nth: int = 1
    """The first matching call that it hits, counted from 1 after the order."""
    times: int | None = 1
    """How many calls it hits; None for all that follow."""
    after: int = 0
    """For a request to `/folder`: bytes of the body that pass before it strikes."""
    seen: int = 0
    hits: int = 0

    def take(self) -> bool:
        """Count a matching call; return whether the rule applies to it."""
        self.seen += 1
        if self.seen < self.nth or (self.times is not None and self.hits >= self.times):
            return False
        self.hits += 1
        return True

    @property
    def spent(self) -> bool:
        """Whether it has applied as often as it may."""
        return self.times is not None and self.hits >= self.times


class Faults:
    """The rules of one host."""

    def __init__(self) -> None:
        self.rules: list[Rule] = []
        self.latency = 0.0
        """Seconds that every call waits before it is handled."""
        self.denied: dict[tuple[str, str], MethodFault] = {}
        """SimObject type and path of properties that nobody may read, with the reason."""
        self._tasks: dict[str, list[Any]] = {}
        self._held: dict[str, asyncio.Event] = {}

    def add(self, method: str, what: What, **details: Any) -> Rule:
        """Add a rule for calls of `method`; see `Rule`."""
        rule = Rule(method, what, **details)
        self.rules.append(rule)
        return rule

    def fail(self, method: str, fault: MethodFault, *, nth: int = 1, times: int | None = 1) -> Rule:
        """Answer the `nth` call of `method` from now on (and `times` in all) with `fault`."""
        return self.add(method, "fault", fault=fault, nth=nth, times=times)

    def fail_task(self, method: str, fault: MethodFault, *, times: int = 1) -> None:
        """Make the next `times` tasks of `method` end with `fault`."""
        self._tasks.setdefault(method, []).extend([fault] * times)

    def hold_task(self, method: str) -> asyncio.Event:
        """Suspend tasks of `method` until the returned event is set."""
        return self._held.setdefault(method, asyncio.Event())

    def release_task(self, method: str) -> None:
        """Resume the suspended tasks of `method`, and stop suspending new ones."""
        held = self._held.pop(method, None)
        if held is not None:
            held.set()

    def deny(self, kind: str, path: str, fault: MethodFault | None) -> None:
        """Report `path` of objects of the managed type `kind` in missingSet; None allows reads again."""
        if fault is None:
            self.denied.pop((kind, path), None)
        else:
            self.denied[kind, path] = fault

    def clear(self) -> None:
        """Remove all rules."""
        self.rules.clear()
        self.denied.clear()
        self._tasks.clear()
        for method in tuple(self._held):
            self.release_task(method)

    # For the code that handles calls.

    def matching(self, method: str) -> Iterator[Rule]:
        """Yield the rules that apply to this call, and count it."""
        for rule in tuple(self.rules):
            if rule.method in (method, "*") and rule.take():
                if rule.spent and rule in self.rules:
                    self.rules.remove(rule)
                yield rule

    def hold_for(self, method: str) -> asyncio.Event | None:
        """Return the event that a new task of `method` must wait for."""
        return self._held.get(method)

    def check_task(self, method: str) -> None:
        """Raise the fault that is injected into a task of `method`, if there is one."""
        faults = self._tasks.get(method)
        if faults:
            raise faults.pop(0).copy()
