"""What a host takes through a lease, and how much of it at once."""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress

import pytest

from tests.rig.login import connected
from tests.simulator import trust
from tests.simulator.images import stream_optimized
from tests.unit.nfc.test_nfc import CONTENT, IMAGE, import_spec
from vimlib.errors import TransferRejectedError
from vimlib.simulator import ESXHost
from vimlib.simulator._vm.nfc import Lease


def changed(at: int, number: int) -> bytes:
    """Return the image with another number in its header."""
    return IMAGE[:at] + number.to_bytes(4, "little") + IMAGE[at + 4 :]


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (CONTENT, "Not a supported disk format (invalid sparse VMDK header)"),
        (b"", "Not a supported disk format (invalid sparse VMDK header)"),
        # monolithicSparse: neither compressed nor with markers.
        (changed(8, 3), "Not a supported disk format (invalid sparse VMDK header)"),
        (changed(4, 1), "Not a supported disk format (sparse VMDK version too old)"),
        (changed(4, 9), "missing sparse header"),
        (IMAGE[:-100000], "the stream has no end marker"),
        (stream_optimized(bytes(1) + CONTENT[1:] * 2), "bytes exceed the disk"),
        (IMAGE + bytes(20 << 20), "The stream exceeds the disk"),
    ],
    ids=["flat", "empty", "sparse", "old", "unknown", "cut", "larger", "padded"],
)
async def test_a_host_takes_nothing_but_streamoptimized_disks(image: bytes, reason: str) -> None:
    async with ESXHost() as esx, connected(esx) as client:
        pool, spec = await import_spec(client, "m")
        async with client.lease(pool.ImportVApp(spec)) as lease:
            with pytest.raises(TransferRejectedError, match=re.escape(reason)) as caught:
                await lease.upload(lease.devices[0], image)
            assert caught.value.status == 500
            await lease.upload(lease.devices[0], IMAGE)


@pytest.mark.parametrize(("version", "limit"), [("4.1", 11), ("5.5", 32), ("8.0", 48)])
async def test_a_host_carries_so_many_transfers_at_once(version: str, limit: int) -> None:
    async with ESXHost(version) as esx, connected(esx) as client:
        assert esx.registry.release.nfc_connections == limit
        pool, spec = await import_spec(client, "m")
        async with client.lease(pool.ImportVApp(spec)) as lease:
            [simulated] = esx.registry.all(Lease).values()
            device = lease.devices[0]
            path = f"/{simulated.root}/{simulated.id}/{simulated.devices[0].name}"
            line = f"PUT {path} HTTP/1.1\r\nHost: esx\r\nContent-Length: 1000\r\n\r\n".encode()
            context, writers = trust.context(esx), []
            for _ in range(limit):
                _, writer = await asyncio.open_connection("127.0.0.1", esx.port, ssl=context)
                writer.write(line)
                writers.append(writer)
            while simulated.transfers < limit:  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0)
            with pytest.raises(TransferRejectedError) as caught:
                await lease.upload(device, IMAGE)
            assert caught.value.status == 503
            for writer in writers:
                writer.transport.abort()
                with suppress(ConnectionError):
                    await writer.wait_closed()
            while simulated.transfers:  # noqa: ASYNC110 - the same
                await asyncio.sleep(0)
            await lease.upload(device, IMAGE)
