"""vimlib, as in its README."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any, Literal

import vimlib
from tests.differential.clients.base import Actions, NotOffered, describe, run, show
from tests.simulator.clients.vimlib import Vimlib, running
from vimlib import vim25
from vimlib._transport import Timeouts


class Ours(Actions):
    @contextmanager
    def session(self) -> Iterator[Vimlib]:
        job, wait, target = self.job, self.job.deadline, self.job.target()
        tls = vimlib.TLS(
            ca=job.ca if job.trust == "ca" else None, pin=job.pin if job.trust == "pin" else None
        )
        timeouts = Timeouts(
            connect=wait, handshake=wait, read=wait, write=wait, call=wait, logout=wait
        )
        connection = vimlib.connect(
            target.url, job.username, job.password, tls=tls, timeouts=timeouts
        )
        with running(target, connection) as client:
            show(client.client, client.client.about)
            yield client

    def listed(self, client: Vimlib) -> list[str]:
        async def names() -> list[str]:
            return [
                row["name"] async for row in client.client.collect(vim25.VirtualMachine, "name")
            ]

        return client.run(names())

    def upload(self, name: str, size: int, give: int, door: str = "careful") -> Any:
        if door == "handle":
            raise NotOffered("has one way to upload")

        async def source() -> AsyncIterator[bytes]:
            left = give
            while left > 0:
                yield b"x" * min(left, 1 << 16)
                left -= 1 << 16

        with self.session() as client:
            self.channel.checkpoint("between")
            verify: Literal["hash", "size"] = "hash" if door == "read back" else "size"
            stored = client.run(client.files.upload(name, source(), size=size, verify=verify))
            return describe(stored.size)

    def download(self, name: str) -> Any:
        with self.session() as client:
            return len(client.download(name))


if __name__ == "__main__":
    run(Ours, version("vimlib-esx"))
