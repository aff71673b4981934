"""Hosts that send or take one byte a second: every transfer ends by a deadline, on a fake clock."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

import vimlib
from tests.rig.between import LIMITS, drip, drip_body, interim, run_between, took
from tests.rig.relay import HTML, Act, Relay, Turn, answer
from vimlib import vim25
from vimlib._datastore import Datastore
from vimlib.errors import HTTPStatusError, TransferRejectedError
from vimlib.simulator import ESXHost

DATA = bytes(range(256)) * 4
Work = Callable[[vimlib.Client, Datastore, Relay], Awaitable[None]]


def hosted(work: Work, timeouts: vimlib.Timeouts = LIMITS) -> None:
    """Run `work` on a host with the file `x`."""

    async def inside(client: vimlib.Client, esx: ESXHost, between: Relay) -> None:
        esx.datastore_path().joinpath("x").write_bytes(DATA)
        store = client.datastore("datastore1", settle=0.05)
        await store.place()
        await work(client, store, between)

    run_between(inside, timeouts)


async def download(store: Datastore, **how: Any) -> None:
    async with store.download("x", **how) as body:
        await body.read()


async def upload(store: Datastore, **how: Any) -> None:
    await store.upload("new", DATA, **how)


# Verb, HTTP method, how the host behaves, and by which limit that ends by default.
SLOW: dict[str, tuple[Callable[..., Awaitable[None]], str, Act, str, float]] = {
    "download, body": (download, "GET", drip_body, "rate", 20),
    "download, head": (download, "GET", drip, "call", 30),
    "download, interim": (download, "GET", interim, "call", 30),
    "upload, head": (upload, "PUT", drip, "call", 30),
    "upload, interim": (upload, "PUT", interim, "call", 30),
}


@pytest.mark.parametrize("case", SLOW)
def test_row_86_one_byte_a_second_ends_by_default(case: str) -> None:
    verb, method, act, rule, wanted = SLOW[case]

    async def work(client: vimlib.Client, store: Datastore, between: Relay) -> None:
        between.on(method, act, times=None)
        error, seconds = await took(verb(store))
        assert wanted <= seconds < wanted + 2
        assert (error.rule, error.seconds) == (rule, wanted)
        assert error.bytes is not None
        assert error.bytes <= len(DATA)
        assert between.count(method) <= 2  # the list of API versions, and no second attempt

    hosted(work)


@pytest.mark.parametrize("case", SLOW)
def test_row_86_one_byte_a_second_ends_by_the_timeout_of_the_verb(case: str) -> None:
    verb, method, act, _, _ = SLOW[case]

    async def work(client: vimlib.Client, store: Datastore, between: Relay) -> None:
        between.on(method, act, times=None)
        error, seconds = await took(verb(store, timeout=5))
        assert 5 <= seconds < 6
        assert (error.rule, error.seconds, error.phase) == ("timeout", 5, case.partition(",")[0])
        assert error.outcome == "unknown"

    hosted(work)


def test_row_86_a_total_deadline_ends_what_is_just_fast_enough() -> None:
    async def work(client: vimlib.Client, store: Datastore, between: Relay) -> None:
        between.on("GET", drip_body, times=None)
        error, seconds = await took(download(store))
        assert 200 <= seconds < 201
        assert (error.rule, error.phase) == ("transfer", "download")

    hosted(work, vimlib.Timeouts(rate=0.5, transfer=200))


def test_row_86_a_connection_that_breaks_after_each_byte_does_not_start_the_window_again() -> None:
    async def one_byte(turn: Turn) -> None:
        raw = (await turn.forward()).raw()
        at = raw.index(b"\r\n\r\n") + 4
        await turn.conn.send(raw[: at + 1])
        await asyncio.sleep(1)
        turn.conn.close()

    async def work(client: vimlib.Client, store: Datastore, between: Relay) -> None:
        between.on("GET", one_byte, times=None)
        error, seconds = await took(download(store))
        assert error.rule == "rate"
        assert seconds < 25

    hosted(work)


def test_row_86_pauses_within_reason_and_a_slow_consumer_do_no_harm() -> None:
    async def pausing(turn: Turn) -> None:
        raw = (await turn.forward()).raw()
        for at in range(0, len(raw), 300):
            await asyncio.sleep(8)
            await turn.conn.send(raw[at : at + 300])

    async def work(client: vimlib.Client, store: Datastore, between: Relay) -> None:
        between.on("GET", pausing)
        await download(store)
        between.on("PUT", pausing)
        await upload(store)
        got = b""
        async with store.download("x") as body:
            async for piece in body:
                await asyncio.sleep(60)
                got += piece
        assert got == DATA

    hosted(work, vimlib.Timeouts(read=9, write=9, call=60, window=20, rate=30, transfer=200))


def test_row_86_a_source_that_never_yields_ends_by_the_total_deadline() -> None:
    async def never() -> AsyncIterator[bytes]:
        yield DATA[:10]
        await asyncio.Event().wait()

    async def work(client: vimlib.Client, store: Datastore, between: Relay) -> None:
        error, seconds = await took(store.upload("new", never(), size=len(DATA), timeout=7))
        assert 7 <= seconds < 8
        assert (error.rule, error.bytes, error.outcome) == ("timeout", 10, "unknown")
        error, seconds = await took(store.upload("new", never(), size=len(DATA), overwrite=True))
        assert 200 <= seconds < 201
        assert error.rule == "transfer"

    hosted(work)


# -- calls ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("act", [drip, drip_body, interim])
def test_row_12_49_a_call_whose_reply_drips_ends_by_its_deadline(act: Act) -> None:
    async def work(client: vimlib.Client, store: Datastore, between: Relay) -> None:
        between.on("CurrentTime", act, times=None)
        root = client.bind(vim25.ServiceInstance("ServiceInstance"))
        error, seconds = await took(root.CurrentTime())
        # A read-only call is sent again within the deadline of a call, and has one for itself.
        assert 30 <= seconds < 62
        assert error.phase == "call"

    hosted(work)


@pytest.mark.parametrize("status", [429, 503])
def test_row_14_a_retry_after_of_days_stays_within_the_deadline_of_a_call(status: int) -> None:
    late = ("Retry-After", "999999")

    async def work(client: vimlib.Client, store: Datastore, between: Relay) -> None:
        loop = asyncio.get_running_loop()
        between.on("CurrentTime", answer(status, b"busy", HTML, late), times=None)
        began = loop.time()
        with pytest.raises(HTTPStatusError) as caught:
            await client.bind(vim25.ServiceInstance("ServiceInstance")).CurrentTime()
        assert caught.value.status == status
        assert loop.time() - began <= 30
        for method, verb in (("GET", download), ("PUT", upload)):
            between.on(method, answer(status, b"busy", HTML, late), times=None)
            began = loop.time()
            with pytest.raises(TransferRejectedError) as refused:
                await verb(store)
            assert refused.value.status == status
            assert loop.time() - began <= 30

    hosted(work)
