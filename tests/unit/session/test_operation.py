"""Names of operations, as the host sees them."""

from __future__ import annotations

import asyncio

import pytest

import vimlib
from tests.rig.login import connected
from vimlib import vim25
from vimlib._transport.base import EncodedCall, Exchange, Middleware, Reply
from vimlib.errors import UsageError
from vimlib.simulator import ESXHost


def remembering(seen: list[str]) -> Middleware:
    async def remember(call: EncodedCall, exchange: Exchange) -> Reply:
        if b"<operationID>" + call.operation_id.encode() + b"</" in call.body:
            seen.append(call.operation_id)
        return await exchange(call)

    return remember


async def test_the_calls_of_an_operation_carry_its_name(esx_host: ESXHost) -> None:
    seen: list[str] = []
    async with connected(esx_host, middleware=[remembering(seen)]) as client:
        service = client.bind(vim25.ServiceInstance("ServiceInstance"))
        del seen[:]
        await service.CurrentTime()
        with vimlib.operation("req-1"):
            await service.CurrentTime()
            await asyncio.create_task(service.CurrentTime())
        await service.CurrentTime()
    before, named, inherited, after = seen[:4]
    assert before.startswith("vimlib-")
    assert named.startswith("req-1-vimlib-")
    assert inherited.startswith("req-1-vimlib-")
    assert after.startswith("vimlib-")
    assert len(set(seen)) == len(seen)


@pytest.mark.parametrize("name", ["", "x" * 101, "two\nlines", "caf\u00e9"])
def test_a_name_is_short_printable_ascii(name: str) -> None:
    with (
        pytest.raises(UsageError, match="must be 1 to 100 printable ASCII"),
        vimlib.operation(name),
    ):
        pytest.fail("the block ran")
