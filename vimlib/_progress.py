"""Types of progress callbacks, the same in uploads, downloads, pushes, spawns and task waits.

A callback is called on the event loop and must not block. Its return value is ignored; an exception
that it raises ends the operation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

Progress: TypeAlias = Callable[[int], object]
"""Called with the number of bytes transferred since the last call, never with a running total.
Every transfer uses a callback of this type.
"""

TaskProgress: TypeAlias = Callable[[int | None], object]
"""Called with the percentage of a task, 0 to 100, or None if the host reports none. A host counts
no bytes for a task, so this is the only callback that is not a `Progress`.
"""
