"""Run the installed command like a user: in its own process, with its output captured."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.integration.conftest import Host

DEADLINE = 240.0
VIMCTL = Path(sys.executable).with_name("vimctl")


@dataclass(frozen=True)
class Done:
    """The result of a command."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


def environment(host: Host, **more: str) -> dict[str, str]:
    keep = {
        k: v
        for k, v in os.environ.items()
        if not k.startswith(("VIMLIB_", "GOVC_", "VMWARE_", "OS_"))
    }
    keep |= {
        "VIMLIB_URL": host.url,
        "VIMLIB_USERNAME": host.username,
        "VIMLIB_PASSWORD": host.password,
        "VIMLIB_PIN": host.thumbprint,
    }
    return keep | more


@asynccontextmanager
async def started(
    host: Host, *words: str, **more: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a command in the background; on exit it is killed if it still runs."""
    process = await asyncio.create_subprocess_exec(
        VIMCTL, *words, env=environment(host, **more), stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, limit=1 << 24,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGKILL)
            await process.wait()


async def vimctl(host: Host, *words: str, **more: str) -> Done:
    """Run `vimctl WORDS` against `host` to its end."""
    async with started(host, *words, **more) as process, asyncio.timeout(DEADLINE):
        out, err = await process.communicate()
        assert process.returncode is not None
        return Done(process.returncode, out.decode(), err.decode())
