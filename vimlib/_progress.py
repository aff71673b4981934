"""What a progress callback is told, the same in uploads, downloads, pushes, spawns and task waits.

A callback is called on the event loop and must not block. What it returns is ignored; what it raises
ends the operation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

__all__ = ["Progress", "TaskProgress"]

Progress: TypeAlias = Callable[[int], object]
"""Called with the bytes that have moved since the last call, never with a running total: the sum of all
calls is the bytes that have moved. Wherever bytes move, a callback is of this kind."""

TaskProgress: TypeAlias = Callable[[int | None], object]
"""Called with the percentage that a task has reached, 0 to 100, or None where the host gives none. A
host counts no bytes for a task, so this is the one callback that is not a `Progress`."""
