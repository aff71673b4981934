"""Secrets, searched for in everything that a program shows."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

PASSWORD = "canary-Pa55word-6f1d"
COOKIE = "canary-c00kie-91b2"
PROXY = "canary-pr0xy-33aa"
TICKET = "canary-t1cket-77ce"
ALL = (PASSWORD, COOKIE, PROXY, TICKET)


class _Keeper(logging.Handler):
    def __init__(self, into: list[str]) -> None:
        super().__init__(logging.DEBUG)
        self.into = into

    def emit(self, record: logging.LogRecord) -> None:
        self.into.append(record.getMessage())
        self.into.append(repr(record.args))
        if record.exc_info:
            self.into.append("".join(traceback.format_exception(*record.exc_info)))


@dataclass
class Canary:
    """Collects all output of a test."""

    shown: list[str] = field(default_factory=list)

    def look_at(self, *things: Any) -> None:
        """Collect `str` and `repr` of objects; of exceptions also the traceback with local
        variables."""
        for thing in things:
            self.shown += [str(thing), repr(thing), repr(getattr(thing, "__dict__", ""))]
            if isinstance(thing, BaseException):
                full = traceback.TracebackException.from_exception(thing, capture_locals=True)
                self.shown.append("".join(full.format()))

    def check(self) -> None:
        """Fail if the collected output contains a secret."""
        for text in self.shown:
            for secret in ALL:
                if secret in text:
                    at = text.index(secret)
                    raise AssertionError(
                        f"a secret was shown: ...{text[max(0, at - 300) : at + 60]}..."
                    )


@contextmanager
def canary() -> Iterator[Canary]:
    """Collect all log records, at every level; check them for secrets at the end."""
    kept = Canary()
    handler = _Keeper(kept.shown)
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        yield kept
    finally:
        root.removeHandler(handler)
        root.setLevel(before)
    kept.check()
