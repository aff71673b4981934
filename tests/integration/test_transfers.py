"""Files and sessions on every server that stands for a host."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

import vimlib
from tests.integration.conftest import Host
from tests.integration.peers.vcsim import VCSim
from tests.rig.leaks import leakcheck
from vimlib import vim25
from vimlib.client import Client
from vimlib.errors import CertificateError, LoginError, NotFoundError, PinMismatchError, SourceError

MIB = 1 << 20
GROWTH = 16 * MIB
"""How much the process may grow by while a file of any size passes through."""


@asynccontextmanager
async def client_of(host: Host | VCSim) -> AsyncIterator[Client]:
    async with (
        leakcheck(),
        vimlib.connect(
            host.url, host.username, host.password, tls=vimlib.TLS(pin=host.thumbprint)
        ) as client,
    ):
        yield client


async def test_trust_and_credentials(host: Host) -> None:
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


async def test_files_of_all_names(host: Host) -> None:
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


async def test_a_source_that_fails_leaves_no_whole_file(host: Host) -> None:
    async def short() -> AsyncIterator[bytes]:
        yield bytes(MIB)
        raise OSError(5, "the disk fell out")

    async with client_of(host) as client:
        store = client.datastore(host.datastore)
        with pytest.raises(SourceError):
            await store.upload("x", short(), size=2 * MIB)
        assert not (host.folder / "x").exists() or (host.folder / "x").stat().st_size < 2 * MIB


async def test_many_at_once(host: Host) -> None:
    async with client_of(host) as client:
        store = client.datastore(host.datastore)
        bodies = {f"file-{number}": os.urandom(MIB + number) for number in range(12)}
        async with asyncio.TaskGroup() as group:
            for name, data in bodies.items():
                group.create_task(store.upload(name, data))
        assert {item.name: item.size for item in await store.list()} == {
            name: len(data) for name, data in bodies.items()
        }


async def test_a_vcenter_s_datastores(vcsim_vpx: VCSim) -> None:
    async with client_of(vcsim_vpx) as client:
        store = client.datastore(vcsim_vpx.datastore)
        assert (await store.place()).datacenter_path == "DC0"
        await store.upload("x", b"hello", overwrite=True)
        assert (await store.stat("x")).size == 5
        await store.delete("x")


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
async def test_memory_is_flat_while_2_gib_pass(host: Host) -> None:
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


async def test_the_version_that_is_spoken(host: Host) -> None:
    async with client_of(host) as client:
        assert client.api_version == client.about.apiVersion
        root = client.bind(vim25.ServiceInstance("ServiceInstance"))
        assert (await root.CurrentTime()).tzinfo is not None
