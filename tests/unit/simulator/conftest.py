from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from vimlib import vim25
from vimlib.simulator import ESXHost, ManualClock
from vimlib.simulator._protocol.dispatch import Answer, Incoming, serve_call
from vimlib.soap import decode_response, encode_request


class Caller:
    """Calls a host without a socket: bytes in, bytes out."""

    def __init__(self, esx: ESXHost) -> None:
        self.esx = esx
        self.cookie: str | None = None
        self.content: Any = None

    async def raw(self, body: bytes) -> Answer:
        answer = await serve_call(
            self.esx.registry,
            Incoming(body, self.cookie, "127.0.0.1", "test", ""),
            self.esx.call_log,
        )
        if answer.set_cookie:
            self.cookie = answer.set_cookie
        return answer

    async def __call__(self, method: Any, this: Any, **args: Any) -> Any:
        return decode_response(method, (await self.raw(encode_request(method, this, args))).body)

    async def done(self, method: Any, this: Any, **args: Any) -> Any:
        """Call a method and return its task's result."""
        task = self.esx.registry.find(await self(method, this, **args))
        if task.work is not None:
            await task.work
        if task.error is not None:
            raise task.error
        return task.result

    async def login(self) -> None:
        instance = vim25.ServiceInstance("ServiceInstance")
        self.content = await self(vim25.ServiceInstance.RetrieveServiceContent, instance)
        await self(
            vim25.SessionManager.Login,
            self.content.sessionManager,
            userName=self.esx.credentials.username,
            password=self.esx.credentials.password,
        )

    async def read(self, obj: Any, *paths: str) -> dict[str, Any]:
        spec = vim25.PropertyFilterSpec(
            propSet=[vim25.PropertySpec(type=obj.moref[0], pathSet=list(paths))],
            objectSet=[vim25.ObjectSpec(obj=obj)],
        )
        [found] = await self(
            vim25.PropertyCollector.RetrieveProperties,
            self.content.propertyCollector,
            specSet=[spec],
        )
        return {prop.name: prop.val for prop in found.propSet}


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def make() -> AsyncIterator[Callable[..., Any]]:
    """Start hosts with options; each comes with a caller that is logged in."""
    hosts: list[ESXHost] = []

    async def start(**options: Any) -> Caller:
        esx = ESXHost(**options)
        hosts.append(esx)
        await esx.__aenter__()
        caller = Caller(esx)
        await caller.login()
        return caller

    yield start
    for esx in hosts:
        await esx.aclose()
