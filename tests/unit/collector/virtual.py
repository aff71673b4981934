"""Coroutine tests under the fake clock, and what they wait by."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec

from tests.rig import clock

P = ParamSpec("P")


def virtual(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run a coroutine test under the fake clock; it must leave no task behind."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        async def checked() -> None:
            await test(*args, **kwargs)
            left = asyncio.all_tasks() - {asyncio.current_task()}
            assert not left, f"tasks left running: {left}"

        clock.run(checked())

    return run


async def settle(rounds: int = 20) -> None:
    """Let everything run that can run without the clock."""
    for _ in range(rounds):
        await asyncio.sleep(0)
