"""A simulated host that runs until it is stopped: for a command, or in a thread for blocking clients."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from vimlib.simulator._esx import ESXHost, describe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


async def serve(ready: Callable[[dict[str, Any]], None], **options: Any) -> None:
    """Start an `ESXHost` with `options`, call `ready` with url, username, password and thumbprint, and run.

    Runs until it is cancelled; the host is then stopped in good order.
    """
    async with ESXHost(**options) as esx:
        ready(describe(esx))
        await asyncio.get_running_loop().create_future()


@contextmanager
def in_thread(**options: Any) -> Iterator[ESXHost]:
    """Run an `ESXHost` in a thread of its own; the thread ends with the context.

    Calls that change the host from outside must go through `esx.threadsafe`.
    """
    started = threading.Event()
    found: list[ESXHost] = []
    failed: list[BaseException] = []
    ending: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def main() -> None:
        end = asyncio.Event()
        ending.append((asyncio.get_running_loop(), end))
        async with ESXHost(**options) as esx:
            found.append(esx)
            started.set()
            await end.wait()

    def run() -> None:
        try:
            asyncio.run(main())
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that waits
            failed.append(error)
        finally:
            started.set()

    thread = threading.Thread(target=run, name="vimlib-sim")
    thread.start()
    started.wait()
    try:
        if not failed:
            yield found[0]
    finally:
        if ending and not failed:
            loop, end = ending[0]
            loop.call_soon_threadsafe(end.set)
        thread.join()
    if failed:
        raise failed[0]
