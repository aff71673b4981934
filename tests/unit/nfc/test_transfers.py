"""Bodies of a lease: complete only by the host's own size, and never without end. On a fake clock."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

import vimlib
from tests.rig.between import drip, drip_body, run_between
from tests.rig.relay import HTML, Act, Relay, Reply, answer, edit
from tests.unit.nfc.test_nfc import IMAGE, import_spec
from vimlib import vim25
from vimlib.errors import (
    DeadlineError,
    ProtocolError,
    TransferCorruptError,
    TransferRejectedError,
    VimlibError,
)
from vimlib.simulator import ESXHost

RAW = ("Content-Type", "application/x-vnd.vmware-streamVmdk")


async def do_import(client: vimlib.Client, source: object = IMAGE, **how: float) -> None:
    pool, spec = await import_spec(client, "imported")
    async with client.lease(pool.ImportVApp(spec)) as lease:
        await lease.upload(lease.devices[0], source, size=len(IMAGE), **how)  # type: ignore[arg-type]


async def do_export(client: vimlib.Client, **how: float) -> bytes:
    machine = await client.collect(vim25.VirtualMachine).first()
    assert machine is not None
    async with client.lease(machine.obj.ExportVm()) as lease:
        return b"".join([chunk async for chunk in lease.download(lease.devices[0], **how)])


async def states(esx: ESXHost) -> list[str]:
    return [lease.state for lease in esx.registry.all("HttpNfcLease").values()]


@pytest.mark.parametrize("timeout", [None, 5])
@pytest.mark.parametrize(
    ("act", "rule", "wanted"), [(drip, "call", 30.0), (drip_body, "rate", 20.0)]
)
def test_row_86_an_export_at_one_byte_a_second_ends(
    act: Act, rule: str, wanted: float, timeout: float | None
) -> None:
    if timeout is not None:
        rule, wanted = "timeout", timeout

    async def work(client: vimlib.Client, esx: ESXHost, between: Relay) -> None:
        await do_import(client)
        between.on("GET", act, times=None)
        loop = asyncio.get_running_loop()
        began = loop.time()
        with pytest.raises(DeadlineError) as caught:
            await do_export(client, **({} if timeout is None else {"timeout": timeout}))
        assert wanted <= loop.time() - began < wanted + 3
        assert (caught.value.rule, caught.value.seconds) == (rule, wanted)
        assert await states(esx) == ["done", "error"], "the lease is aborted"

    run_between(work)


@pytest.mark.parametrize("timeout", [None, 5])
def test_row_86_an_import_that_is_answered_slowly_ends(timeout: float | None) -> None:
    rule, wanted = ("call", 30.0) if timeout is None else ("timeout", timeout)

    async def work(client: vimlib.Client, esx: ESXHost, between: Relay) -> None:
        between.on("POST", drip, times=None)
        loop = asyncio.get_running_loop()
        began = loop.time()
        with pytest.raises(DeadlineError) as caught:
            await do_import(client, **({} if timeout is None else {"timeout": timeout}))
        assert wanted <= loop.time() - began < wanted + 3
        assert (caught.value.rule, caught.value.seconds) == (rule, wanted)
        assert await states(esx) == ["error"]

    run_between(work)


def test_row_86_an_import_whose_source_never_yields_ends() -> None:
    async def never() -> AsyncIterator[bytes]:
        yield IMAGE[:10]
        await asyncio.Event().wait()

    async def work(client: vimlib.Client, esx: ESXHost, between: Relay) -> None:
        with pytest.raises(DeadlineError) as caught:
            await do_import(client, never(), timeout=7)
        assert (caught.value.rule, caught.value.bytes) == ("timeout", 10)
        assert await states(esx) == ["error"]

    run_between(work)


def short(reply: Reply) -> Reply:
    reply.body = reply.body[:-512]
    return reply


@pytest.mark.parametrize(
    ("act", "kind"),
    [
        (answer(200, b"<html>log in</html>", HTML), ProtocolError),
        (answer(200, b"<html>log in</html>", RAW, forward=True), TransferCorruptError),
        (answer(200, b"<html>log in</html>", RAW), TransferCorruptError),
        (answer(200, b"", RAW, forward=True), TransferCorruptError),
        (edit(short), TransferCorruptError),
        (answer(502, b"sorry", HTML), TransferRejectedError),
    ],
)
def test_row_83_an_export_has_the_size_of_the_leases_manifest(
    act: Act, kind: type[VimlibError]
) -> None:
    async def work(client: vimlib.Client, esx: ESXHost, between: Relay) -> None:
        await do_import(client)
        between.on("GET", act)
        with pytest.raises(kind) as caught:
            await do_export(client)
        if isinstance(caught.value, TransferCorruptError) and caught.value.expected is not None:
            assert caught.value.expected > caught.value.actual
        assert await states(esx) == ["done", "error"]
        assert (await do_export(client)).startswith(b"KDMV")

    run_between(work)


@pytest.mark.parametrize("kind", [HTML, RAW])
@pytest.mark.parametrize("body", [b"", b"<html>log in</html>"])
def test_row_83_an_import_is_in_the_leases_manifest(kind: tuple[str, str], body: bytes) -> None:
    """A proxy answers the POST itself, with status 200."""

    async def work(client: vimlib.Client, esx: ESXHost, between: Relay) -> None:
        between.on("POST", answer(200, body, kind))
        with pytest.raises(TransferCorruptError) as caught:
            await do_import(client)
        assert (caught.value.expected, caught.value.actual) == (len(IMAGE), None)
        assert await states(esx) == ["error"]
        assert not (esx.datastore_path() / "imported").exists()

    run_between(work)


@pytest.mark.parametrize("status", [500, 502])
def test_row_85_an_import_that_is_answered_by_5xx_is_of_unknown_outcome(status: int) -> None:
    async def work(client: vimlib.Client, esx: ESXHost, between: Relay) -> None:
        between.on("POST", answer(status, b"sorry", HTML, forward=True))
        with pytest.raises(TransferRejectedError) as caught:
            await do_import(client)
        assert (caught.value.status, caught.value.outcome) == (status, "unknown")
        assert await states(esx) == ["error"], "the host removes what was imported"
        assert not (esx.datastore_path() / "imported").exists()

    run_between(work)
