"""A client of a simulated host, logged in as its user with the certificate pinned; the end of the host's tasks."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import vimlib
from vimlib.simulator import ESXHost
from vimlib.simulator._service.tasks import Task


def connected(
    esx: ESXHost, password: str | Path | None = None, *, url: str | None = None, **how: Any
) -> AbstractAsyncContextManager[vimlib.Client]:
    """Connect to a host, or to what stands before it at `url`; `how` is `vimlib.connect`'s."""
    given = esx.credentials.password if password is None else password
    how.setdefault("tls", vimlib.TLS(pin=esx.thumbprint))
    return vimlib.connect(url or esx.url, esx.credentials.username, given, **how)


async def tasks_ended(esx: ESXHost) -> None:
    """Return when the tasks that the host has begun have ended, also those of which a client knows nothing."""
    for task in tuple(esx.registry.all(Task).values()):
        if task.work is not None:
            await asyncio.wait([task.work])
