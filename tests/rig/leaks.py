"""Compare descriptors and tasks before and after a block; the difference is a leak."""

from __future__ import annotations

import asyncio
import gc
import os
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


def descriptors() -> dict[int, str]:
    """Return the open sockets and pipes of this process by number."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            number = int(name)
            mode = os.fstat(number).st_mode
            if stat.S_ISSOCK(mode) or stat.S_ISFIFO(mode):
                found[number] = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue  # the listing's own descriptor
    return found


@asynccontextmanager
async def leakcheck(*, settle: float = 2.0) -> AsyncIterator[None]:
    """Fail if the block leaves a socket, a pipe or a task behind."""
    loop = asyncio.get_running_loop()
    # The default executor's threads are not a leak, and their first use opens no descriptor.
    fds, tasks = descriptors(), asyncio.all_tasks()
    yield
    end = loop.time() + settle
    rounds = 0  # a busy machine takes time from us, but not loop iterations
    while True:
        rounds += 1
        more = {fd: what for fd, what in descriptors().items() if fds.get(fd) != what}
        left = asyncio.all_tasks() - tasks - {asyncio.current_task()}
        if not more and not left:
            return
        gc.collect()  # takes a tenth of a second on our heap, so only if something is left
        if loop.time() > end and rounds > 50:
            raise AssertionError(f"left behind: descriptors {more}, tasks {left}")
        await asyncio.sleep(0.01)  # transports close in a later loop iteration
