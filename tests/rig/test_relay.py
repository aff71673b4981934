"""The relay's actions, on the simulated host with a client of the standard library."""

from __future__ import annotations

import asyncio
import http.client
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.rig import certs
from tests.rig.relay import (
    HTML,
    XML,
    Relay,
    Reply,
    alter,
    answer,
    cut,
    edit,
    lose,
    relay,
    reset_when_idle,
    silence,
    trickle,
)
from vimlib.simulator import ESXHost

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_leaks")]

CALL = (
    b'<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body>'
    b'<RetrieveServiceContent xmlns="urn:vim25"><_this type="ServiceInstance">ServiceInstance</_this>'
    b"</RetrieveServiceContent></e:Body></e:Envelope>"
)
METHOD = "RetrieveServiceContent"


@asynccontextmanager
async def relayed() -> AsyncIterator[tuple[ESXHost, Relay]]:
    tls = certs.make("good").server_context()
    async with ESXHost() as esx, relay("127.0.0.1", esx.port, tls=tls) as between:
        yield esx, between


def connection(port: int, timeout: float = 5) -> http.client.HTTPSConnection:
    context = ssl.create_default_context(cadata=certs.make("good").ca_pem.decode())
    return http.client.HTTPSConnection("127.0.0.1", port, timeout=timeout, context=context)


def post(port: int, timeout: float = 5, times: int = 1) -> list[tuple[int, bytes]]:
    conn = connection(port, timeout)
    try:
        found = []
        for _ in range(times):
            conn.request("POST", "/sdk", CALL, {"Content-Type": "text/xml"})
            reply = conn.getresponse()
            found.append((reply.status, reply.read()))
        return found
    finally:
        conn.close()


async def test_calls_are_forwarded_and_counted() -> None:
    async with relayed() as (esx, between):
        found = await asyncio.to_thread(post, between.stage.port, times=2)
        assert [status for status, _ in found] == [200, 200]
        assert between.calls == [METHOD] * 2 == [record.method for record in esx.call_log]
        assert len(between.stage.connections) == 1
        assert CALL in between.stage.received


@pytest.mark.parametrize(
    ("act", "error", "reached"),
    [
        (lose, OSError, 1),
        (cut(0.5), http.client.IncompleteRead, 1),
        (silence, TimeoutError, 0),
        (trickle(0.05), TimeoutError, 1),
    ],
)
async def test_a_missing_reply_is_an_error_of_the_client(
    act: Any, error: type[Exception], reached: int
) -> None:
    async with relayed() as (esx, between):
        between.on(METHOD, act)

        def ask() -> None:
            # A deadline for the whole test, since the fault is a pause.
            post(between.stage.port, 0.3)

        with pytest.raises(error):
            await asyncio.wait_for(asyncio.to_thread(ask), 5)
        assert len(esx.call_log) == reached
        if act is lose:
            [(status, _)] = await asyncio.to_thread(post, between.stage.port)
            assert status == 200, "a rule strikes as often as it says"


async def test_a_reply_can_be_replaced() -> None:
    async with relayed() as (esx, between):
        between.on(METHOD, answer(503, b"busy", HTML))
        between.on(METHOD, answer(500, b"<x/>", XML, forward=True), nth=1)
        between.on("*", edit(lambda reply: Reply(reply.status, reply.headers, b"new")), nth=2)
        found = await asyncio.to_thread(post, between.stage.port, times=3)
        assert found[0] == (503, b"busy")
        assert found[1][1] == b"new"
        assert found[2][0] == 200
        assert len(esx.call_log) == 2


async def test_a_cut_reply_without_a_length_goes_undetected() -> None:
    async with relayed() as (_, between):
        [(_, whole)] = await asyncio.to_thread(post, between.stage.port)
        between.on(METHOD, cut(0.5, length=False))
        [(status, body)] = await asyncio.to_thread(post, between.stage.port)
        assert (status, body) == (200, whole[: len(whole) // 2])


async def test_the_request_body_can_be_replaced() -> None:
    async with relayed() as (esx, between):
        between.on(METHOD, alter(lambda body: body.replace(METHOD.encode(), b"CurrentTime")))
        await asyncio.to_thread(post, between.stage.port)
        assert [record.method for record in esx.call_log] == ["CurrentTime"]


async def test_an_idle_connection_is_reset() -> None:
    async with relayed() as (_, between):
        between.on(METHOD, reset_when_idle)
        conn = connection(between.stage.port)

        def ask() -> int:
            conn.request("POST", "/sdk", CALL)
            reply = conn.getresponse()
            reply.read()
            return reply.status

        try:
            assert await asyncio.to_thread(ask) == 200
            await asyncio.sleep(0.2)
            with pytest.raises(OSError):
                await asyncio.to_thread(ask)
        finally:
            conn.close()


async def test_the_certificate_can_be_replaced() -> None:
    async with relayed() as (_, between):
        await asyncio.to_thread(post, between.stage.port)
        between.present(certs.make("self-signed").server_context())
        with pytest.raises(ssl.SSLCertVerificationError):
            await asyncio.to_thread(post, between.stage.port)
