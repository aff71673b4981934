"""Operations of a client, and how to see their work on the host."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import vimlib
from tests.attacks.images import Images
from tests.attacks.world import World
from vimdriver import DriverConfig, ESXDriver

Happened: TypeAlias = Literal["yes", "no", "part", "both"]
"""`both`: the host is after the operation as before it."""
IMAGE = hashlib.shake_128(b"image").digest(64 << 10)
CONFIG = DriverConfig(
    owner="attacks", task_seconds=20, cleanup_seconds=40, settle_seconds=2, concurrency=2
)


@dataclass(frozen=True)
class Op:
    """An operation, and how to see its work on the host."""

    work: Callable[[vimlib.Client], Awaitable[Any]]
    happened: Callable[[World], Happened] | None = None
    """None: it only reads."""
    expected: Any = None
    """Its result, where that says more than that it was done."""
    if_lost: tuple[str, Any] | None = None
    """A call, and the other result that is right once the host's answer to it was lost."""
    setup: Callable[[World], Awaitable[None]] | None = None
    once: tuple[str, ...] = ()
    """Calls that must not be executed twice."""
    undoes: bool = False
    """Whether a failure is undone by the operation itself."""
    weight: int = 4
    learn: Callable[[], object] = lambda: None
    """Called once, outside a loop, before `happened` is."""


def driver(client: vimlib.Client) -> ESXDriver:
    return ESXDriver(client, Images(root=IMAGE, raw=IMAGE), CONFIG)


def yes(holds: bool) -> Happened:
    return "yes" if holds else "no"
