"""Hosts that are full, killed or out of service, and replies that get lost: rows 10, 44, 60, 76."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import vimlib
from tests.rig.leaks import leakcheck
from tests.unit.driver.hosted import CONFIG, QUICK, TIMEOUTS, Beside, Hosted, hosted, spec, until
from vimdriver._driver import ESXDriver
from vimdriver._images.local import LocalImages
from vimdriver.errors import DatastoreUnusableError, NoSpaceError
from vimlib import vim25
from vimlib._transport import EncodedCall, Reply
from vimlib._transport.base import Exchange
from vimlib.errors import (
    ConnectError,
    HostStateError,
    OutcomeUnknownError,
    TransferRejectedError,
    TransportError,
    VimlibError,
)

VM = vim25.VirtualMachine


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "disk.img"
    path.write_bytes(os.urandom((1 << 20) + 4096))
    return path


async def machine(esx: Hosted, image: Path, **how: Any) -> VM:
    """Make a machine that is off."""
    async with esx.driver() as driver:
        await driver.spawn(spec(image, power_on=False, **how))
    made: VM = next(iter(esx.esx.machines.values())).ref
    return made


# -- row 1 ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("changing", [True, False])
async def test_row_01_a_host_that_went_is_tried_three_times_and_told_soon(
    changing: bool, beside: Beside, tmp_path: Path
) -> None:
    """Nothing was sent, so what changes something is tried again as what reads is."""
    sent: list[str] = []

    async def watch(call: EncodedCall, exchange: Exchange, /) -> Reply:
        sent.append(call.method)
        return await exchange(call)

    with hosted(beside, tmp_path / "gone", vms=1) as esx:
        async with leakcheck(), esx.client(middleware=[watch], timeouts=TIMEOUTS) as client:
            vm = await client.collect(VM).first()
            assert vm is not None
            beside.run(esx.esx._restart(-1))  # its port is closed, and so are its connections
            await until(lambda: not client._transport.connections)
            sent.clear()
            root = client.bind(vim25.ServiceInstance("ServiceInstance"))
            with pytest.raises(ConnectError) as caught:
                await (vm.obj.PowerOnVM_Task() if changing else root.CurrentTime())
            assert len(sent) == 3
            assert (caught.value.outcome, caught.value.retryable) == ("not_sent", True)
        assert not esx.esx.calls("PowerOnVM_Task")


# -- row 68 --------------------------------------------------------------------------------------


@pytest.mark.slow
async def test_row_68_a_loop_that_was_blocked_for_longer_than_all_deadlines_fails_nothing(
    esx: Hosted,
) -> None:
    """The replies came while nobody looked: they count, whatever the clock says then."""
    esx.esx.faults.add("CurrentTime", "delay", seconds=0.5, times=None)
    timeouts = replace(TIMEOUTS, read=3, call=3.5)
    async with leakcheck(), esx.client(timeouts=timeouts) as client:
        root = client.bind(vim25.ServiceInstance("ServiceInstance"))
        esx.esx.faults.clear()
        await root.CurrentTime()
        esx.esx.faults.add("CurrentTime", "delay", seconds=1.5, times=None)
        calls = [asyncio.create_task(root.CurrentTime()) for _ in range(8)]
        await until(lambda: len(esx.esx.calls("CurrentTime")) >= 9)
        time.sleep(4)  # noqa: ASYNC251 - the fault
        await asyncio.gather(*calls)
    assert len(esx.esx.calls("Login")) == 1
    assert len(esx.esx.calls("CurrentTime")) == 9, "none was sent again"


# -- row 10 --------------------------------------------------------------------------------------


def power_on(client: vimlib.Client, vm: VM) -> Any:
    return client.bind(vm).PowerOnVM_Task()


def unregister(client: vimlib.Client, vm: VM) -> Any:
    return client.bind(vm).UnregisterVM()


async def move_file(client: vimlib.Client, vm: VM) -> Any:
    center = await client.collect(vim25.Datacenter).first()
    assert center is not None
    assert client.content.fileManager is not None
    return await client.bind(client.content.fileManager).MoveDatastoreFile_Task(
        "[datastore1] web/vmware.log",
        sourceDatacenter=center.obj,
        destinationName="[datastore1] web/moved.log",
        destinationDatacenter=center.obj,
    )


ONCE = {
    "PowerOnVM_Task": power_on,
    "UnregisterVM": unregister,
    "MoveDatastoreFile_Task": move_file,
}


@pytest.mark.parametrize("method", ONCE)
@pytest.mark.parametrize("way", ["lose", "reset", "drop", "truncate", "empty", "html"])
async def test_row_10_a_call_whose_reply_is_lost_is_never_sent_twice(
    method: str, way: Any, esx: Hosted, image: Path
) -> None:
    vm = await machine(esx, image)
    # Without a log there is nothing to move.
    (esx.folder / "web" / "vmware.log").write_bytes(b"x")
    esx.esx.faults.add(method, way)
    async with leakcheck(), esx.client() as client:
        with pytest.raises(OutcomeUnknownError) as caught:
            await ONCE[method](client, vm)
    assert caught.value.outcome == "unknown"
    assert caught.value.method == method
    assert isinstance(caught.value.__cause__, VimlibError)
    assert len(esx.esx.calls(method)) == 1


@pytest.mark.parametrize("lost", [True, False])
async def test_row_10_power_on_is_decided_by_the_state(
    lost: bool, esx: Hosted, image: Path
) -> None:
    await machine(esx, image)
    esx.esx.faults.add("PowerOnVM_Task", "lose" if lost else "reset")
    async with esx.driver() as driver:
        if lost:
            assert (await driver.power_on("web")).power_state == "poweredOn"
        else:
            with pytest.raises(OutcomeUnknownError):
                await driver.power_on("web")
    assert len(esx.esx.calls("PowerOnVM_Task")) == 1


async def test_row_10_a_move_is_decided_by_the_files(esx: Hosted) -> None:
    (esx.folder / "a").write_bytes(b"12345")
    esx.esx.faults.add("MoveDatastoreFile_Task", "lose")
    async with esx.client() as client:
        store = client.datastore("datastore1")
        with suppress(OutcomeUnknownError):
            await store.move("a", "b")
        async with asyncio.timeout(60):
            while not await store.exists("b"):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert not await store.exists("a")
    assert (esx.folder / "b").read_bytes() == b"12345"
    assert len(esx.esx.calls("MoveDatastoreFile_Task")) == 1


@pytest.mark.parametrize("way", ["lose", "reset", "drop", "truncate", "empty", "html"])
async def test_row_09_a_spawn_whose_create_call_lost_its_reply_makes_one_machine_or_none(
    way: Any, esx: Hosted, image: Path
) -> None:
    """Decided by looking for the machine, never by a second call."""
    clean = esx.state()
    esx.esx.faults.add("CreateVM_Task", way)
    async with esx.driver() as driver:
        done = way in {"lose", "truncate", "empty"}
        if done:
            made = await driver.spawn(spec(image, power_on=False))
            assert [vm.uuid for vm in await driver.list_instances()] == [made.uuid]
            await driver.destroy("web")
        else:
            with pytest.raises(OutcomeUnknownError) as caught:
                await driver.spawn(spec(image, power_on=False))
            assert caught.value.method == "CreateVM_Task"
    assert len(esx.esx.calls("CreateVM_Task")) == 1
    await esx.settled(clean)


@pytest.mark.parametrize("way", ["lose", "reset", "drop", "truncate"])
async def test_row_10_a_destroy_whose_call_lost_its_reply_is_decided_by_the_machine(
    way: Any, esx: Hosted, image: Path
) -> None:
    clean = esx.state()
    await machine(esx, image)
    method = "Destroy_Task"
    esx.esx.faults.add(method, way)
    async with esx.driver() as driver:
        try:
            await driver.destroy("web")
        except OutcomeUnknownError:
            assert way in {"reset", "drop"}, "it was done"
            assert await driver.list_instances()
            await driver.destroy("web")
        assert await driver.list_instances() == []
    await esx.settled(clean)


# -- row 44 --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [
        vim25.NoDiskSpace(file="", datastore="datastore1"),
        vim25.InsufficientStorageSpace(),
    ],
    ids=lambda fault: type(fault).__name__,
)
@pytest.mark.parametrize("method", ["CreateVirtualDisk_Task", "CreateVM_Task", "ReconfigVM_Task"])
async def test_row_44_no_space_in_a_task_undoes_all(
    fault: Any, method: str, esx: Hosted, image: Path
) -> None:
    clean = esx.state()
    esx.esx.faults.fail_task(method, fault)
    async with esx.driver() as driver:
        with pytest.raises((NoSpaceError, type(fault))) as caught:
            await driver.spawn(spec(image, disk_gb=1))
    if isinstance(fault, vim25.NoDiskSpace):
        assert isinstance(caught.value, NoSpaceError)
        assert caught.value.hint
    await esx.settled(clean)


async def test_row_44_a_quota_that_is_really_full(
    beside: Beside, tmp_path: Path, image: Path
) -> None:
    with hosted(beside, tmp_path / "small", capacity=3 << 20) as esx:
        clean = esx.state()
        taken = False

        def fill() -> None:
            esx.esx.datastores["datastore1"].grow(5 << 18)

        async with esx.driver() as driver:
            first = None
            for _ in range(8):
                try:
                    await driver.spawn(spec(image))
                    assert not taken
                    taken = True
                    await driver.destroy("web")
                    taken = False
                except (NoSpaceError, TransferRejectedError) as error:
                    first = error
                    break
                beside.call(fill)
        assert first is not None, "it was never full"
        assert first.hint
        await esx.settled(clean)


# -- row 60 --------------------------------------------------------------------------------------

SERVER = """
import asyncio, json, sys
from vimlib.simulator import ESXHost
from vimlib.simulator._esx import describe

async def main():
    folder, state, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
    async with ESXHost(
        datastores={"datastore1": folder}, state=state or None, port=port, password="pass-word-1",
        task_seconds=float(sys.argv[4]),
    ) as esx:
        print(json.dumps(describe(esx)), flush=True)
        await asyncio.get_running_loop().create_future()

asyncio.run(main())
"""


class Process:
    """A host in a process of its own, which can be killed and started again on the same port."""

    def __init__(self, folder: Path, state: Path, task_seconds: float) -> None:
        self.folder, self.state, self.task_seconds = folder, state, task_seconds
        self.process: asyncio.subprocess.Process | None = None
        self.facts: dict[str, Any] = {}
        self.port = 0

    async def start(self, *, keep: bool = True) -> None:
        state = str(self.state) if keep else ""
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", SERVER, str(self.folder), state, str(self.port),
            str(self.task_seconds), stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert self.process.stdout is not None
        self.facts = json.loads(await self.process.stdout.readline())
        self.port = int(self.facts["url"].rpartition(":")[2].partition("/")[0])

    async def kill(self) -> None:
        if self.process is not None:
            with suppress(ProcessLookupError):
                self.process.kill()
            await self.process.communicate()
            self.process = None

    @asynccontextmanager
    async def client(self) -> AsyncIterator[vimlib.Client]:
        async with vimlib.connect(
            self.facts["url"],
            self.facts["username"],
            self.facts["password"],
            tls=vimlib.TLS(pin=self.facts["thumbprint"]),
            timeouts=TIMEOUTS,
            retries=QUICK,
            keepalive=None,
        ) as client:
            yield client


@asynccontextmanager
async def process(tmp_path: Path, task_seconds: float = 0.0) -> AsyncIterator[Process]:
    folder = tmp_path / "datastore1"
    folder.mkdir()
    found = Process(folder, tmp_path / "state.json", task_seconds)
    try:
        await found.start()
        yield found
    finally:
        await found.kill()


@pytest.mark.slow
async def test_row_60_a_host_killed_amid_an_upload(tmp_path: Path) -> None:
    async with process(tmp_path) as host:

        async def body() -> AsyncIterator[bytes]:
            for number in range(64):
                if number == 8:
                    await host.kill()
                yield bytes(1 << 18)

        async def upload() -> None:
            async with host.client() as client:
                await client.datastore("datastore1").upload("x", body(), size=64 << 18)

        async with asyncio.timeout(60):
            with pytest.raises(TransportError) as caught:
                await upload()
            assert caught.value.outcome in {"unknown", "not_sent"}
            await host.start()
            async with host.client() as client:
                # What the host has kept is not taken for the file.
                store = client.datastore("datastore1")
                found = await store.stat("x") if await store.exists("x") else None
                assert found is None or found.size < 64 << 18
                await store.upload("x", bytes(1 << 18), overwrite=True)
                assert (await store.stat("x")).size == 1 << 18


@pytest.mark.slow
@pytest.mark.parametrize("keep", [True, False], ids=["with its state", "empty"])
async def test_row_60_a_host_killed_amid_a_task_and_started_again(
    keep: bool, tmp_path: Path, image: Path
) -> None:
    """The call fails, typed; after the restart the state is read, and the machine is one or none."""
    async with process(tmp_path, task_seconds=0.3) as host, asyncio.timeout(60):

        async def strike() -> None:
            while not (host.folder / "web").exists():  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            await host.kill()

        async def spawn() -> None:
            striker = asyncio.create_task(strike())
            try:
                async with host.client() as client:
                    # The host is gone: looking for what is left to undo is soon given up.
                    config = replace(CONFIG, cleanup_seconds=1)
                    await ESXDriver(client, LocalImages(), config).spawn(spec(image))
            finally:
                await striker

        with pytest.raises(VimlibError):
            await spawn()
        await host.start(keep=keep)
        async with host.client() as client:
            driver = ESXDriver(client, LocalImages(), CONFIG)
            names = [made.name for made in await driver.list_instances()]
            assert names in ([], ["web"])
            if names:
                assert await driver.destroy("web")
                assert await driver.list_instances() == []


# -- row 76 --------------------------------------------------------------------------------------


async def test_row_76_a_host_in_maintenance(esx: Hosted, image: Path) -> None:
    clean = esx.state()
    async with esx.driver() as driver:
        esx.beside.call(lambda: setattr(esx.esx.host, "maintenance", True))
        with pytest.raises(HostStateError) as caught:
            await driver.spawn(spec(image))
        assert caught.value.state == "maintenance"
        assert caught.value.hint
        # What only reads goes on.
        assert await driver.list_instances() == []
        assert (await driver.host_info()).maintenance
    assert not esx.esx.calls("CreateVM_Task")
    await esx.settled(clean)


@pytest.mark.parametrize("state", ["disconnected", "notResponding"])
async def test_row_76_a_host_that_is_not_connected(
    state: str, esx: Hosted, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clean = esx.state()
    host = esx.esx.host
    runtime, kept = host.getters["runtime"]

    def not_connected(host: Any) -> Any:
        found = runtime(host)
        found.connectionState = state
        return found

    monkeypatch.setitem(host.getters, "runtime", (not_connected, kept))
    async with esx.driver() as driver:
        with pytest.raises(HostStateError) as caught:
            await driver.spawn(spec(image))
        assert caught.value.state == state
        assert await driver.list_instances() == []
    assert not esx.esx.calls("CreateVM_Task")
    await esx.settled(clean)


async def test_row_76_a_datastore_that_is_not_accessible(esx: Hosted, image: Path) -> None:
    clean = esx.state()

    def lose() -> None:
        store = esx.esx.datastores["datastore1"]
        store.accessible = False
        store.changed("summary")

    async with esx.driver() as driver:
        esx.beside.call(lose)
        with pytest.raises(DatastoreUnusableError) as caught:
            await driver.spawn(spec(image))
        assert isinstance(caught.value, HostStateError)
        assert caught.value.hint
        assert not (await driver.host_info()).datastores[0].accessible
    assert not esx.esx.calls("CreateVM_Task")
    await esx.settled(clean)


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("VirtualMachine", "runtime.powerState"),
        ("VirtualMachine", "config"),
        ("VirtualMachine", "guest"),
        ("VirtualMachine", "runtime"),
    ],
)
async def test_row_76_properties_that_may_not_be_read(
    kind: str, path: str, esx: Hosted, image: Path
) -> None:
    vm = await machine(esx, image)
    no = vim25.NoPermission(object=vm, privilegeId="System.Read")
    esx.esx.faults.deny(kind, path, no)
    async with esx.client() as client:
        row = await client.get(vm, "name", path)
        assert row["name"] == "web"
        assert path not in row.props
        with pytest.raises(vim25.NoPermission) as caught:
            row[path]
        assert caught.value.privilegeId == "System.Read"
        # Who lists goes on.
        assert [found["name"] async for found in client.collect(VM, "name", path)] == ["web"]
