"""vimlib, as in its README."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any, Literal

import vimlib
from tests.differential.clients.base import Channel, Job, NotOffered, attempt, describe, run, show
from vimlib import vim25
from vimlib._client import Client
from vimlib._transport import Timeouts


class Ours:
    def __init__(self, job: Job, channel: Channel) -> None:
        self.job, self.channel = job, channel
        self.tls = vimlib.TLS(
            ca=job.ca if job.trust == "ca" else None, pin=job.pin if job.trust == "pin" else None
        )

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        job, wait = self.job, self.job.deadline
        timeouts = Timeouts(
            connect=wait, handshake=wait, read=wait, write=wait, call=wait, logout=wait
        )
        url = f"https://{job.host}:{job.port}/sdk"
        async with vimlib.connect(
            url, job.username, job.password, tls=self.tls, timeouts=timeouts
        ) as client:
            show(client, client.about)
            yield client

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run(work)

    # -- actions -------------------------------------------------------------------------------

    def login(self) -> Any:
        async def work() -> None:
            async with self.client():
                pass

        return self._run(work())

    def login_again(self) -> Any:
        attempt(self.login)
        return self.login()

    async def _now(self, client: Client) -> Any:
        return await vim25.ServiceInstance("ServiceInstance", invoker=client).CurrentTime()

    def now(self) -> Any:
        async def work() -> Any:
            async with self.client() as client:
                await self._now(client)
                await asyncio.to_thread(self.channel.checkpoint, "between")
                return describe(await self._now(client))

        return self._run(work())

    async def _names(self, client: Client) -> Any:
        return [row["name"] async for row in client.collect(vim25.VirtualMachine, "name")]

    def names(self) -> Any:
        async def work() -> Any:
            async with self.client() as client:
                await asyncio.to_thread(self.channel.checkpoint, "between")
                return describe(await self._names(client))

        return self._run(work())

    def callers(self, count: int) -> Any:
        async def work() -> Any:
            async with self.client() as client:
                await self._names(client)
                await asyncio.to_thread(self.channel.checkpoint, "between")
                found = await asyncio.gather(
                    *(self._names(client) for _ in range(count)), return_exceptions=True
                )
                return [
                    type(x).__name__ if isinstance(x, Exception) else describe(x) for x in found
                ]

        return self._run(work())

    def create(self, name: str) -> Any:
        async def work() -> Any:
            async with self.client() as client:
                [folder] = await client.find("/*/vm")
                pool = (await client.find("/*/host/*/Resources"))[0]
                [store] = (await client.find("*", vim25.Datastore))[:1]
                spec = vim25.VirtualMachineConfigSpec(
                    name=name,
                    guestId="otherGuest64",
                    memoryMB=64,
                    numCPUs=1,
                    files=vim25.VirtualMachineFileInfo(
                        vmPathName=f"[{store.path.rpartition('/')[2]}]"
                    ),
                )
                home: Any = client.bind(folder.obj)
                made = await client.wait(await home.CreateVM_Task(config=spec, pool=pool.obj))
                return describe(made)

        return self._run(work())

    async def _machine(self, client: Client) -> Any:
        [found] = await client.find("vm-0", vim25.VirtualMachine)
        return client.bind(found.obj)

    def power_on(self) -> Any:
        async def work() -> Any:
            async with self.client() as client:
                vm = await self._machine(client)
                return describe(await client.wait(await vm.PowerOnVM_Task()))

        return self._run(work())

    def snapshot(self, name: str) -> Any:
        async def work() -> Any:
            async with self.client() as client:
                vm = await self._machine(client)
                task = await vm.CreateSnapshot_Task(name=name, memory=False, quiesce=False)
                return describe(await client.wait(task))

        return self._run(work())

    def upload(self, name: str, size: int, give: int, door: str = "careful") -> Any:
        if door == "handle":
            raise NotOffered("has one way to upload")

        async def source() -> AsyncIterator[bytes]:
            left = give
            while left > 0:
                yield b"x" * min(left, 1 << 16)
                left -= 1 << 16

        async def work() -> Any:
            async with self.client() as client:
                store = client.datastore("datastore1")
                await asyncio.to_thread(self.channel.checkpoint, "between")
                verify: Literal["hash", "size"] = "hash" if door == "read back" else "size"
                return describe((await store.upload(name, source(), size=size, verify=verify)).size)

        return self._run(work())

    def download(self, name: str) -> Any:
        async def work() -> Any:
            async with (
                self.client() as client,
                client.datastore("datastore1").download(name) as body,
            ):
                return len(await body.read())

        return self._run(work())


if __name__ == "__main__":
    run(Ours, version("vimlib-esx"))
