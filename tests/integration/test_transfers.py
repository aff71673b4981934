"""Files and sessions on every server that simulates a host."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

import vimlib
from tests.integration.conftest import Host
from tests.integration.peers.vcsim import VCSim
from tests.rig.leaks import leakcheck
from tests.rig.login import connected
from vimlib import vim25
from vimlib._client import Client
from vimlib._secret import reveal
from vimlib._transport import EncodedCall, Reply
from vimlib._transport.base import Exchange
from vimlib.errors import CertificateError, LoginError, NotFoundError, PinMismatchError, SourceError
from vimlib.simulator import ESXHost
from vimlib.soap import decode_request, encode_response

MIB = 1 << 20
GROWTH = 16 * MIB
"""Maximum growth of the process during the transfer of a file of any size."""


@asynccontextmanager
async def client_of(host: Host | VCSim) -> AsyncIterator[Client]:
    async with (
        leakcheck(),
        vimlib.connect(
            host.url, host.username, host.password, tls=vimlib.TLS(pin=host.thumbprint)
        ) as client,
    ):
        yield client


async def test_wrong_certificates_and_credentials_are_refused(host: Host) -> None:
    for tls, refusal in (
        (vimlib.TLS(), CertificateError),
        (vimlib.TLS(pin="ab" * 32), PinMismatchError),
    ):
        with pytest.raises(refusal) as caught:
            async with vimlib.connect(host.url, host.username, host.password, tls=tls):
                pass
        assert caught.value.sha256 == host.thumbprint
    with pytest.raises(LoginError):
        async with vimlib.connect(
            host.url, host.username, "wrong", tls=vimlib.TLS(pin=host.thumbprint)
        ):
            pass


async def test_files_with_all_kinds_of_names_survive(host: Host) -> None:
    data = os.urandom(3 * MIB + 5)
    async with client_of(host) as client:
        store = client.datastore(host.datastore)
        await store.mkdir("a/b c", parents=True)
        for name in ("plain.vmdk", "with space", "100%.img", "ü+é'.iso", "a#b&c=d"):
            entry = await store.upload(f"a/b c/{name}", data)
            assert (entry.name, entry.size) == (name, len(data))
            assert (host.folder / "a" / "b c" / name).read_bytes() == data
            async with store.download(f"a/b c/{name}", (100, 2 * MIB)) as body:
                assert await body.read() == data[100 : 2 * MIB]
        assert len(await store.list("a/b c")) == 5
        await store.move("a/b c/100%.img", "a/moved.img")
        await store.copy("a/moved.img", "a/copied.img")
        await store.delete("a/moved.img")
        assert [item.name for item in await store.list("a")] == ["b c", "copied.img"]
        await store.delete("a")
        with pytest.raises(NotFoundError):
            await store.list("a")


async def test_a_failed_source_leaves_no_complete_file(host: Host) -> None:
    async def short() -> AsyncIterator[bytes]:
        yield bytes(MIB)
        raise OSError(5, "the disk fell out")

    async with client_of(host) as client:
        store = client.datastore(host.datastore)
        with pytest.raises(SourceError):
            await store.upload("x", short(), size=2 * MIB)
        assert not (host.folder / "x").exists() or (host.folder / "x").stat().st_size < 2 * MIB


async def test_many_transfers_run_in_parallel(host: Host) -> None:
    async with client_of(host) as client:
        store = client.datastore(host.datastore)
        bodies = {f"file-{number}": os.urandom(MIB + number) for number in range(12)}
        async with asyncio.TaskGroup() as group:
            for name, data in bodies.items():
                group.create_task(store.upload(name, data))
        assert {item.name: item.size for item in await store.list()} == {
            name: len(data) for name, data in bodies.items()
        }


async def test_datastores_of_a_vcenter_are_found(vcsim_vpx: VCSim) -> None:
    async with client_of(vcsim_vpx) as client:
        store = client.datastore(vcsim_vpx.datastore)
        assert (await store.place()).datacenter_path == "DC0"
        await store.upload("x", b"hello", overwrite=True)
        assert (await store.stat("x")).size == 5
        await store.delete("x")


class Desk:
    """Intercepts the calls for tickets to a vCenter, and may let a host answer them.

    vcsim returns tickets that name itself and have no certificate. A real vCenter asks a host that
    mounts the datastore; this class does the same: the ticket is a real one of the simulated host.
    """

    def __init__(self, esx: ESXHost | None = None, **changes: Any) -> None:
        self.esx = esx
        self.changes = changes
        self.asked: list[vim25.SessionManagerHttpServiceRequestSpec] = []
        self.given: list[vim25.SessionManagerGenericServiceTicket] = []

    async def __call__(self, call: EncodedCall, exchange: Exchange, /) -> Reply:
        if call.method != "AcquireGenericServiceTicket":
            return await exchange(call)
        spec = decode_request(vim25.SessionManager._binding_, call.body).args["spec"]
        self.asked.append(spec)
        if self.esx is None:
            return await exchange(call)
        esx = self.esx
        async with connected(esx) as host:
            assert host.content.sessionManager is not None
            ticket = await host.content.sessionManager.AcquireGenericServiceTicket(spec)
        ticket.hostName = f"127.0.0.1:{esx.port}"
        for name, value in self.changes.items():
            setattr(ticket, name, value)
        self.given.append(ticket)
        answer = encode_response(vim25.SessionManager.AcquireGenericServiceTicket, ticket)
        call.receive(answer)
        return Reply(200, len(answer))


@asynccontextmanager
async def vcenter(peer: VCSim, desk: Desk) -> AsyncIterator[Client]:
    async with vimlib.connect(
        peer.url,
        peer.username,
        peer.password,
        tls=vimlib.TLS(pin=peer.thumbprint),
        middleware=[desk],
    ) as client:
        yield client


async def test_a_vcenters_ticket_without_a_certificate_is_not_used(
    vcsim_vpx: VCSim, caplog: pytest.LogCaptureFixture
) -> None:
    """With vcsim's own ticket, the host is selected and queried, but the vCenter transfers the
    file."""
    desk, data = Desk(), os.urandom(MIB)
    async with leakcheck(), vcenter(vcsim_vpx, desk) as client:
        hosts = {row["name"] for row in await client.collect(vim25.HostSystem, "name").all()}
        store = client.datastore(vcsim_vpx.datastore)
        with caplog.at_level("INFO", "vimlib.datastore"):
            await store.upload("direct", data, overwrite=True, direct=True, verify="hash")
        await store.delete("direct")
    assert [spec.method for spec in desk.asked] == ["httpPut", "httpGet"]
    for spec in desk.asked:
        url = urlsplit(spec.url)
        assert url.hostname in {name.lower() for name in hosts}
        assert parse_qs(url.query) == {"dcPath": ["ha-datacenter"], "dsName": [vcsim_vpx.datastore]}
    assert caplog.text.count("without a certificate digest") == 2
    assert caplog.text.count("transferring through") == 2


async def test_a_vcenters_ticket_leads_straight_to_the_host(vcsim_vpx: VCSim) -> None:
    """A vCenter (vcsim) and a host (the simulator) over one datastore's files.

    The body goes only to the host, with the ticket and pinned by the digest in it; the vCenter then
    lists the stored file.
    """
    name, data = vcsim_vpx.datastore, os.urandom(3 * MIB + 1)
    folder = vcsim_vpx.datastores[name]
    async with leakcheck(), ESXHost(datastores={name: folder}) as esx:
        desk = Desk(esx)
        async with vcenter(vcsim_vpx, desk) as client:
            store = client.datastore(name)
            await store.place()
            through: list[str] = []
            passed = client._transport.http

            def watched(request: Any, **how: Any) -> Any:
                address = how.get("address") or client._transport.address
                through.append(f"{request.method} {address.netloc}")
                assert "vmware_soap_session" not in "".join(map(reveal, request.headers.values()))
                return passed(request, **how)

            client._transport.http = watched  # type: ignore[method-assign]
            entry = await store.upload("straight", data, overwrite=True, direct=True, verify="hash")
            assert entry.size == len(data)
            host = f"127.0.0.1:{esx.port}"
            assert through == [f"PUT {host}", f"GET {host}"]
            assert (folder / "straight").read_bytes() == data
            await store.delete("straight")
        assert len(desk.given) == 2
        assert not esx.sessions.tickets, "each is good for one request, and was used"


@pytest.mark.parametrize("digest", ["ab" * 20, "ab" * 32])
async def test_a_host_other_than_the_tickets_receives_no_byte(
    vcsim_vpx: VCSim, digest: str
) -> None:
    name = vcsim_vpx.datastore
    async with leakcheck(), ESXHost(datastores={name: vcsim_vpx.datastores[name]}) as esx:
        desk = Desk(
            esx, sslThumbprint=":".join(digest[i : i + 2] for i in range(0, len(digest), 2))
        )
        async with vcenter(vcsim_vpx, desk) as client:
            store = client.datastore(name)
            with pytest.raises(PinMismatchError) as caught:
                await store.upload("stolen", b"secret", overwrite=True, direct=True)
            assert caught.value.outcome == "not_sent"
            assert not (vcsim_vpx.datastores[name] / "stolen").exists()
            assert esx.sessions.tickets, "the ticket was not shown to whom it is not for"


def _status(field: str) -> int:
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(field))


def _forget_peak() -> None:
    with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
        file.write("5")


async def _source(mib: int) -> AsyncIterator[bytes]:
    block = os.urandom(MIB)
    for _ in range(mib):
        yield block


@pytest.mark.vcsim_only("the simulator's memory would be counted as the client's")
async def test_memory_stays_constant_for_2_gib(host: Host) -> None:
    size = 2048 * MIB
    async with client_of(host) as client:
        store = client.datastore(host.datastore)
        await store.upload("warm-up", bytes(8 * MIB))
        before = _status("VmRSS")
        _forget_peak()
        await store.upload("big", _source(2048), size=size)
        assert _status("VmHWM") - before < GROWTH
        got = 0
        async with store.download("big") as body:
            async for chunk in body:
                got += len(chunk)
        assert got == size
        assert _status("VmHWM") - before < GROWTH
        await store.delete("big")


async def test_the_api_version_is_negotiated(host: Host) -> None:
    async with client_of(host) as client:
        assert client.api_version == client.about.apiVersion
        root = client.bind(vim25.ServiceInstance("ServiceInstance"))
        assert (await root.CurrentTime()).tzinfo is not None
