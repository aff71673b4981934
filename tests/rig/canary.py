"""Secrets, searched for in everything that a program shows."""

from __future__ import annotations

import functools
import logging
import traceback
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from vimlib._secret import Secret

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


TESTS = str(Path(__file__).resolve().parents[1])
# What the event loop and the interpreter hold leads to everything, also to the simulated host.
_NOT_ENTERED = (
    "asyncio", "_asyncio", "selectors", "ssl", "_ssl", "socket", "_socket", "threading", "_thread",
    "concurrent", "logging", "weakref", "_weakref", "_contextvars", "re", "enum", "types",
    "builtins", "vimlib.simulator", "tests",
)  # fmt: skip
_DEEP = 7


def secrets_in_frames(error: BaseException, secrets: Iterable[str]) -> list[str]:
    """Return where local variables of the frames of an error, and of its causes, hold a secret.

    Frames of tests are passed over, `Secret` holds its text on purpose, and everything else is
    entered: containers, data objects, ordinary objects.
    """
    wanted = tuple(filter(None, secrets))
    found: list[str] = []
    errors: list[BaseException | None] = [error]
    seen: set[int] = set()
    while errors:
        at = errors.pop()
        if at is None or id(at) in seen:
            continue
        seen.add(id(at))
        errors += [at.__cause__, at.__context__, *getattr(at, "exceptions", ())]
        _enter(at.args, f"{type(at).__name__}.args", wanted, found, seen, 0)
        _enter(vars(at), type(at).__name__, wanted, found, seen, 0)
        for frame, line in traceback.walk_tb(at.__traceback__):
            if frame.f_code.co_filename.startswith(TESTS):
                continue
            place = f"{Path(frame.f_code.co_filename).name}:{line} {frame.f_code.co_name}"
            for name, value in list(frame.f_locals.items()):
                _enter(value, f"{place} {name}", wanted, found, seen, 0)
    return found


def _enter(
    value: Any, path: str, wanted: tuple[str, ...], found: list[str], seen: set[int], depth: int
) -> None:
    if isinstance(value, str | bytes | bytearray | memoryview):
        text = value if isinstance(value, str) else bytes(value).decode("latin-1")
        if any(secret in text for secret in wanted):
            found.append(path)
        return
    if depth > _DEEP or id(value) in seen or isinstance(value, Secret | BaseException):
        return
    seen.add(id(value))
    for name, item in _parts(value):
        _enter(item, f"{path}{name}", wanted, found, seen, depth + 1)


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        yield from ((f"[{key!r:.40}]", item) for key, item in list(value.items()))
    elif isinstance(value, list | tuple | set | frozenset | deque):
        yield from ((f"[{number}]", item) for number, item in enumerate(list(value)))
    elif isinstance(value, functools.partial):
        yield from ((".func", value.func), (".args", value.args), (".keywords", value.keywords))
    elif not isinstance(value, type | ModuleType | FunctionType) and not _is_outside(type(value)):
        names = {
            name
            for kind in type(value).__mro__
            for name in (vars(kind).get("__slots__") or ())
            if isinstance(vars(kind).get("__slots__"), tuple | list)
        } | set(getattr(type(value), "__struct_fields__", ()))
        for name in sorted(names | set(getattr(value, "__dict__", ()))):
            try:
                yield f".{name}", getattr(value, name)
            except AttributeError:
                continue


def _is_outside(kind: type) -> bool:
    return any(
        kind.__module__ == name or kind.__module__.startswith(f"{name}.") for name in _NOT_ENTERED
    )
