"""Leases: held by a heartbeat, completed or aborted on every way out."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from types import SimpleNamespace
from typing import Any, cast

import pytest

import vimlib
from tests.rig import clock
from tests.rig.cancel import cancel_everywhere
from tests.rig.leaks import leakcheck
from tests.rig.login import connected
from tests.simulator.images import stream_optimized
from vimlib import vim25
from vimlib._client import Client
from vimlib._nfc import Lease, _devices, _heartbeat
from vimlib._tls import TLS
from vimlib._transport import HTTPTransport
from vimlib.errors import (
    ConnectionLostError,
    LeaseError,
    ProtocolError,
    SourceError,
    TransferRejectedError,
    UsageError,
)
from vimlib.simulator import ESXHost
from vimlib.simulator._vm.nfc import Lease as SimulatedLease

CONTENT = os.urandom(1 << 20)
IMAGE = stream_optimized(CONTENT)


@asynccontextmanager
async def client_of(esx: ESXHost) -> AsyncIterator[Client]:
    async with connected(esx, timeouts=vimlib.Timeouts(logout=2)) as client:
        yield client


@pytest.fixture
async def esx() -> AsyncIterator[ESXHost]:
    async with leakcheck(), ESXHost() as host:
        yield host


@pytest.fixture
async def client(esx: ESXHost) -> AsyncIterator[Client]:
    async with client_of(esx) as made:
        yield made


async def import_spec(client: Client, name: str) -> tuple[vim25.ResourcePool, vim25.ImportSpec]:
    pool = await client.collect(vim25.ResourcePool).first()
    assert pool is not None
    disk = vim25.VirtualDisk(
        key=-2,
        controllerKey=-1,
        unitNumber=0,
        capacityInKB=len(CONTENT) // 1024,
        backing=vim25.VirtualDiskFlatVer2BackingInfo(
            fileName="", diskMode="persistent", thinProvisioned=False
        ),
    )
    controller = vim25.VirtualLsiLogicController(key=-1, busNumber=0, sharedBus="noSharing")
    config = vim25.VirtualMachineConfigSpec(
        name=name,
        memoryMB=64,
        numCPUs=1,
        guestId="otherGuest",
        files=vim25.VirtualMachineFileInfo(vmPathName="[datastore1]"),
        deviceChange=[
            vim25.VirtualDeviceConfigSpec(operation="add", device=controller),
            vim25.VirtualDeviceConfigSpec(operation="add", fileOperation="create", device=disk),
        ],
    )
    return pool.obj, vim25.VirtualMachineImportSpec(configSpec=config)


async def names(client: Client) -> list[str]:
    return [row["name"] async for row in client.collect(vim25.VirtualMachine, "name")]


async def do_import(client: Client, name: str = "imported") -> None:
    pool, spec = await import_spec(client, name)
    async with client.lease(pool.ImportVApp(spec)) as lease:
        (device,) = lease.devices
        lease.percent = 50
        await lease.upload(device, IMAGE)
        lease.percent = 100


async def test_an_import_and_an_export(esx: ESXHost, client: Client) -> None:
    await do_import(client)
    assert (esx.datastore_path() / "imported" / "imported-flat.vmdk").read_bytes() == CONTENT
    assert len(esx.calls("HttpNfcLeaseComplete")) == 1
    assert len(esx.calls("HttpNfcLeaseProgress")) >= 1
    machine = await client.collect(vim25.VirtualMachine).first()
    assert machine is not None
    async with client.lease(machine.obj.ExportVm()) as lease:
        (device,) = lease.devices
        assert lease.device(device.key) is device
        with pytest.raises(UsageError):
            lease.device("no such")
        got = b"".join([chunk async for chunk in lease.download(device)])
        assert got.startswith(b"KDMV"), "a streamOptimized disk"
    assert len(esx.calls("HttpNfcLeaseComplete")) == 2
    assert not esx.calls("HttpNfcLeaseAbort")


@pytest.mark.parametrize(
    "error", [ValueError("mine"), asyncio.CancelledError(), KeyboardInterrupt()]
)
async def test_any_exception_aborts(esx: ESXHost, client: Client, error: BaseException) -> None:
    pool, spec = await import_spec(client, "doomed")
    with pytest.raises(type(error)) as caught:  # noqa: PT012
        async with client.lease(pool.ImportVApp(spec)) as lease:
            await lease.upload(lease.devices[0], IMAGE)
            raise error
    assert caught.value is error
    assert len(esx.calls("HttpNfcLeaseAbort")) == 1
    assert not esx.calls("HttpNfcLeaseComplete")
    assert await names(client) == []
    assert not (esx.datastore_path() / "doomed").exists()


async def test_a_source_that_fails_aborts(esx: ESXHost, client: Client) -> None:
    pool, spec = await import_spec(client, "doomed")

    async def short() -> AsyncIterator[bytes]:
        yield IMAGE[:1000]

    with pytest.raises(SourceError):
        async with client.lease(pool.ImportVApp(spec)) as lease:
            await lease.upload(lease.devices[0], short(), size=len(IMAGE))
    assert await names(client) == []


async def test_a_refusal_is_told(esx: ESXHost, client: Client) -> None:
    pool, spec = await import_spec(client, "doomed")
    esx.faults.add("NFC POST", "status", status=507)
    with pytest.raises(TransferRejectedError) as caught:
        async with client.lease(pool.ImportVApp(spec)) as lease:
            await lease.upload(lease.devices[0], IMAGE)
    assert caught.value.status == 507
    assert await names(client) == []


async def test_row_59_a_lease_in_error(esx: ESXHost, client: Client) -> None:
    pool, spec = await import_spec(client, "twice")
    await do_import(client, "twice")
    with pytest.raises(LeaseError) as caught:
        async with client.lease(pool.ImportVApp(spec)):
            raise AssertionError("not reached")
    assert isinstance(caught.value.__cause__, vim25.MethodFault)
    assert await names(client) == ["twice"]


async def test_row_59_an_abort_that_fails_keeps_the_first_error(
    esx: ESXHost, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    pool, spec = await import_spec(client, "doomed")
    esx.faults.add("HttpNfcLeaseAbort", "reset", times=None)
    with pytest.raises(ValueError, match="mine"):
        async with client.lease(pool.ImportVApp(spec)):
            raise ValueError("mine")
    assert "cannot abort" in caplog.text
    esx.faults.clear()


async def test_row_59_a_lost_completion_is_made_up_by_looking(esx: ESXHost, client: Client) -> None:
    esx.faults.add("HttpNfcLeaseComplete", "lose")
    await do_import(client)
    assert len(esx.calls("HttpNfcLeaseComplete")) == 1
    assert not esx.calls("HttpNfcLeaseAbort")
    assert await names(client) == ["imported"]


async def test_row_59_the_host_gives_the_lease_up(esx: ESXHost, client: Client) -> None:
    pool, spec = await import_spec(client, "doomed")
    esx.faults.fail("HttpNfcLeaseProgress", vim25.Timedout())
    with pytest.raises(LeaseError, match="the host ended"):
        async with client.lease(pool.ImportVApp(spec)):
            await asyncio.Event().wait()
    assert await names(client) == []


@pytest.mark.slow
async def test_an_import_cancelled_at_every_await(
    esx: ESXHost, client: Client, record_property: Callable[[str, object], None]
) -> None:
    async def attempt() -> None:
        await do_import(client)

    async def check(at: int) -> None:
        # The machine of an import that was aborted early is made, and deleted, after the abort.
        making = [t for t in asyncio.all_tasks() if t.get_name().startswith("simulated import")]
        if making:
            await asyncio.wait(making)
        states = [lease.state for lease in esx.registry.all("HttpNfcLease").values()]
        assert not {"ready", "initializing"} & set(states), f"cancelled at {at}: {states}"
        for row in await client.collect(vim25.VirtualMachine).all():
            assert at == 0 or len(esx.calls("HttpNfcLeaseComplete")) > 0
            # A host may delete the machine of an aborted import after its answer to the abort.
            with suppress(vim25.ManagedObjectNotFound):
                await client.wait(await row.obj.Destroy_Task())

    report = await cancel_everywhere(attempt, check, every=2)
    record_property("suspensions", str(report))
    assert report.suspensions > 30


async def test_an_abort_during_the_preparation_stays(esx: ESXHost, client: Client) -> None:
    """The machine that the host makes after the abort is deleted, and the lease not ready."""
    await do_import(client)
    (machine,) = esx.registry.all("VirtualMachine").values()
    lease = SimulatedLease(esx.registry, "import")
    await lease.fail(vim25.RequestCanceled())
    await lease.initialized(machine)
    assert lease.state == "error"
    assert await names(client) == []
    assert not (esx.datastore_path() / "imported").exists()


# -- the heartbeat, under a clock that a test can turn ---------------------------------------------


def fake_lease(beat: Callable[[int], object]) -> Lease:
    async def progress(percent: int) -> None:
        beat(percent)

    handle = SimpleNamespace(HttpNfcLeaseProgress=progress)
    return cast("Lease", SimpleNamespace(lease=handle, percent=0))


def test_row_59_69_the_heartbeat_keeps_its_own_time() -> None:
    times: list[float] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        lease = fake_lease(lambda percent: times.append(loop.time()))
        async with _heartbeat(lease, 60):
            await asyncio.sleep(3600)

    clock.run(main())
    pauses = [after - before for before, after in itertools.pairwise(times)]
    assert max(pauses) <= 15.1, "a quarter of the host's patience"
    assert len(times) >= 240


def test_row_59_a_beat_that_fails_is_survived_and_one_that_always_fails_is_not() -> None:
    lost = ConnectionLostError("gone")

    async def main(good: Callable[[int], bool]) -> int:
        beats = 0

        def beat(percent: int) -> None:
            nonlocal beats
            beats += 1
            if not good(beats):
                raise lost

        async with _heartbeat(fake_lease(beat), 60):
            await asyncio.sleep(600)
        return beats

    assert clock.run(main(lambda number: number % 3 == 0)) > 30
    with pytest.raises(LeaseError) as caught:
        clock.run(main(lambda number: False))
    assert caught.value.__cause__ is lost


@pytest.mark.parametrize("patience", [0.001, -5.0])
def test_a_host_without_patience_is_not_flooded(patience: float) -> None:
    beats: list[int] = []

    async def main() -> None:
        async with _heartbeat(fake_lease(beats.append), patience):
            await asyncio.sleep(10)

    clock.run(main())
    assert len(beats) <= 21


def test_a_beat_that_hangs_is_not_waited_for() -> None:
    started: list[float] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()

        async def progress(percent: int) -> None:
            started.append(loop.time())
            if len(started) < 3:
                await asyncio.Event().wait()

        lease = cast(
            "Lease",
            SimpleNamespace(lease=SimpleNamespace(HttpNfcLeaseProgress=progress), percent=0),
        )
        async with _heartbeat(lease, 100):
            await asyncio.sleep(500)

    clock.run(main())
    assert len(started) > 10


# -- where a lease may send us ---------------------------------------------------------------------

DIGEST = "AB:" * 19 + "AB"


def devices(url: str, thumbprint: str = "") -> Any:
    transport = HTTPTransport("https://esx.test:444/sdk", tls=TLS(pin="ab" * 32))
    info = vim25.HttpNfcLeaseInfo(
        lease=vim25.HttpNfcLease("l"),
        entity=vim25.VirtualMachine("1"),
        deviceUrl=[
            vim25.HttpNfcLeaseDeviceUrl(key="k", importKey="i", url=url, sslThumbprint=thumbprint)
        ],
        totalDiskCapacityInKB=1,
        leaseTimeout=300,
    )
    return _devices(info, transport)[0]


@pytest.mark.parametrize(
    "url",
    [
        "https://*/nfc/1/disk.vmdk",
        "https://esx.test:444/nfc/1/disk.vmdk",
        "https://*:443/nfc/1/disk.vmdk",
    ],
)
def test_the_connected_host(url: str) -> None:
    device = devices(url)
    assert device.ours
    assert device.address.netloc == "esx.test:444"
    assert device.target == "/nfc/1/disk.vmdk"


def test_another_host_is_known_by_the_digest_that_came_with_it() -> None:
    device = devices("https://esx2.test/nfc/1/disk.vmdk", DIGEST)
    assert not device.ours
    assert device.address.netloc == "esx2.test:443"
    assert device.trust is not None
    assert [str(pin) for pin in device.trust.pins] == [DIGEST]


@pytest.mark.parametrize(
    ("url", "thumbprint"),
    [("https://esx2.test/nfc/1", ""), ("http://esx2.test/nfc/1", DIGEST), ("file:///etc/passwd", DIGEST),
     ("https://esx2.test/a b", DIGEST), ("", DIGEST), ("https://169.254.169.254/latest", ""),
     ("https://esx2.test/nfc/1", "no digest"), ("https://u:p@esx2.test/nfc/1", DIGEST),
     ("https://esx2.test:99999/nfc/1", DIGEST), ("https://[::1/nfc/1", DIGEST)],
)  # fmt: skip
def test_nobody_sends_us_to_a_host_that_we_cannot_know(url: str, thumbprint: str) -> None:
    with pytest.raises(ProtocolError):
        devices(url, thumbprint)


async def test_leases_are_held_within_their_limit_and_in_turn(esx: ESXHost) -> None:
    started: list[str] = []
    full = asyncio.Event()
    held = most = 0

    async def one(client: Client, name: str) -> None:
        nonlocal held, most
        pool, spec = await import_spec(client, name)

        async def start() -> vim25.HttpNfcLease:
            started.append(name)
            return await pool.ImportVApp(spec)

        async with client.lease(start()) as lease:
            held += 1
            most = max(most, held)
            if held == 3:
                full.set()
            await full.wait()
            (device,) = lease.devices
            await lease.upload(device, IMAGE)
            held -= 1

    async with connected(esx, limits=vimlib.Limits(leases=3), connections=4) as client:
        wanted = [f"imported-{n:02}" for n in range(12)]
        tasks = []
        for name in wanted:
            tasks.append(asyncio.create_task(one(client, name)))
            while len(esx.calls("ImportVApp")) < min(3, len(tasks)):  # noqa: ASYNC110
                await asyncio.sleep(0)
        await asyncio.gather(*tasks)
        assert sorted(await names(client)) == wanted
    assert most == 3
    assert started[:3] == wanted[:3]
    assert sorted(started) == wanted
    assert esx.most_connections <= 4


async def test_who_stops_waiting_for_a_lease_starts_none(esx: ESXHost) -> None:
    async with connected(esx, limits=vimlib.Limits(leases=1)) as client:
        pool, spec = await import_spec(client, "first")
        async with client.lease(pool.ImportVApp(spec)) as lease:
            other, second = await import_spec(client, "second")
            # Never awaited, and closed: a warning would fail this test.
            waiting = asyncio.create_task(client.lease(other.ImportVApp(second)).__aenter__())
            await asyncio.sleep(0)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            await lease.upload(lease.devices[0], IMAGE)
        assert await names(client) == ["first"]
    assert len(esx.calls("ImportVApp")) == 1


def test_at_least_one_lease_may_be_held() -> None:
    with pytest.raises(UsageError, match=r"Limits.leases must be at least 1, got 0"):
        HTTPTransport("https://h/sdk", limits=vimlib.Limits(leases=0))
