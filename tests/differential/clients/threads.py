"""Parallel callers, for clients with blocking calls."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from tests.differential.clients.base import attempt, describe


def in_threads(count: int, call: Callable[[], Any]) -> list[Any]:
    """Call in `count` threads in parallel; return values or names of exceptions."""
    found: list[Any] = [None] * count
    barrier = threading.Barrier(count)

    def one(index: int) -> None:
        barrier.wait()
        outcome = attempt(call)
        found[index] = outcome["raised"] if "raised" in outcome else describe(outcome["returned"])

    threads = [threading.Thread(target=one, args=(index,)) for index in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found
