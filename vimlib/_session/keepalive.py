"""A beat that keeps an idle session from ending."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from vimlib._shield import stopped
from vimlib.errors import ClosedError, LoginError, VimlibError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

log = logging.getLogger("vimlib.session")


class Keepalive:
    """Calls `beat` whenever nothing else was called for `idle` seconds of the loop's clock.

    A failed beat is logged and the next one comes in its time; only a refused login ends it, since
    to try again would lock the account. With `idle=None` it does nothing.
    """

    def __init__(self, beat: Callable[[], Awaitable[None]], idle: float | None) -> None:
        self._beat = beat
        self._idle = idle
        self._last = 0.0
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, in a task of its own on the running loop."""
        if self._idle is not None and self._task is None:
            self.busy()
            self._task = asyncio.create_task(self._run(self._idle), name="vimlib keepalive")

    def busy(self) -> None:
        """Say that the session was just used."""
        if self._idle is not None:
            self._last = asyncio.get_running_loop().time()

    async def stop(self) -> None:
        """End it and wait for its end."""
        task, self._task = self._task, None
        if task is not None:
            await stopped(task)

    @property
    def running(self) -> bool:
        """Whether beats will come."""
        return self._task is not None and not self._task.done()

    async def _run(self, idle: float) -> None:
        loop = asyncio.get_running_loop()
        while True:
            rest = self._last + idle - loop.time()
            if rest > 0:
                await asyncio.sleep(rest)
                continue
            try:
                await self._beat()
            except LoginError as exc:
                log.error("keepalive stopped, the login was refused: %s", exc)  # noqa: TRY400
                return
            except ClosedError:
                return
            except VimlibError as exc:
                log.warning("keepalive failed, next in %g s: %s", idle, exc)
            except Exception:
                # A middleware's own; it must not end the session that it was to look at.
                log.exception("keepalive failed, next in %g s", idle)
            self._last = loop.time()
