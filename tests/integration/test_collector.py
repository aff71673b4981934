"""Collector, tasks, inventory and events against real servers: each simulator release, and
vcsim."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass

import pytest

import vimlib
from tests.integration.conftest import needed_tools
from tests.integration.peers.vcsim import vcsim
from vimlib import vim25
from vimlib._client import Client
from vimlib._collector import INVENTORY, Context
from vimlib._events import events
from vimlib._inventory import find, paths_of
from vimlib.errors import TaskTimeoutError
from vimlib.simulator import ESXHost
from vimlib.simulator._core.session import Face

VM = vim25.VirtualMachine
SIMULATORS = ["simulator-4.0", "simulator-4.1", "simulator-8.0"]
ALL = [*SIMULATORS, "vcsim-esx", "vcsim-vpx"]


@dataclass
class Peer:
    client: Client
    context: Context
    esx: ESXHost | None


@pytest.fixture
async def peer(request: pytest.FixtureRequest) -> AsyncIterator[Peer]:
    """A client of a server with five machines; checks at the end that its session left nothing."""
    kind, _, what = request.param.partition("-")
    async with AsyncExitStack() as stack:
        esx = None
        if kind == "simulator":
            esx = await stack.enter_async_context(ESXHost(version=what, vms=5))
            url, username, password = esx.url, esx.credentials.username, esx.credentials.password
            pin = esx.thumbprint
        else:
            with needed_tools():
                server = stack.enter_context(vcsim(what, vms=5))
            url, username, password, pin = (
                server.url,
                server.username,
                server.password,
                server.thumbprint,
            )
        client = await stack.enter_async_context(
            vimlib.connect(url, username, password, tls=vimlib.TLS(pin=pin))
        )
        context = Context(client, client.content, client.api_version)
        yield Peer(client, context, esx)


def on(*peers: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("peer", peers, indirect=True)


async def machines(client: Client) -> list[VM]:
    rows = await client.collect(VM, "name").all()
    return [row.obj for row in sorted(rows, key=lambda row: str(row["name"]))]


async def toggle(client: Client, vm: VM) -> str:
    """Power a machine on or off; return its new state."""
    on_now = (await client.get(vm, "runtime.powerState"))["runtime.powerState"] == "poweredOn"
    await client.wait(await (vm.PowerOffVM_Task() if on_now else vm.PowerOnVM_Task()))
    return "poweredOff" if on_now else "poweredOn"


@on(*ALL)
async def test_collect_works_by_view_by_traversal_and_by_page(peer: Peer) -> None:
    client = peer.client
    by_view = await client.collect(VM, "name", "runtime.powerState", page=2).all()
    walk = INVENTORY.start(client.content.rootFolder)
    by_walk = await client.collect(VM, "name", source=walk).all()
    assert len(by_view) >= 5
    assert {row.obj for row in by_view} == {row.obj for row in by_walk}
    assert len(await client.collect(VM, "name", limit=3, page=2).all()) == 3
    rows = await client.get([row.obj for row in by_view], "name")
    assert [row["name"] for row in rows] == [row["name"] for row in by_view]


@on(*ALL)
async def test_watch_reports_a_change(peer: Peer) -> None:
    client = peer.client
    vms = await machines(client)
    async with client.watch(VM, "name", "runtime.powerState") as watch, asyncio.timeout(60):
        changes = aiter(watch)
        assert {(await anext(changes)).obj for _ in vms} == set(vms)
        state = await toggle(client, vms[2])
        change = await anext(changes)
        assert (change.obj, change.row["runtime.powerState"]) == (vms[2], state)
        assert (
            await client.wait_for(vms[2], "runtime.powerState", lambda value: value == state, 10)
            == state
        )


@on(*ALL)
async def test_a_task_can_be_awaited_often_and_again(peer: Peer) -> None:
    client = peer.client
    vms = await machines(client)
    spec = vim25.VirtualMachineConfigSpec(annotation="changed")
    async with asyncio.timeout(60):
        for _ in range(3):
            tasks = [await vm.ReconfigVM_Task(spec) for vm in vms]
            await asyncio.gather(*map(client.wait, tasks))
        await client.wait(tasks[0])
        progress: list[int | None] = []
        await client.wait(tasks[1], on_progress=progress.append)
    assert len(progress) == 1


@on(*ALL)
async def test_a_failed_task_raises_its_fault(peer: Peer) -> None:
    client = peer.client
    manager = client.content.virtualDiskManager
    assert manager is not None
    datacenter = (await client.collect(vim25.Datacenter).all())[0].obj
    store = (await client.collect(vim25.Datastore, "name").all())[0]["name"]
    task = await client.bind(manager).DeleteVirtualDisk_Task(
        f"[{store}] no/such.vmdk", datacenter=datacenter
    )
    with pytest.raises(vim25.FileNotFound) as caught:
        await client.wait(task, 60)
    assert caught.value.task == task  # type: ignore[attr-defined]


@on(*ALL)
async def test_paths_and_patterns_find_objects(peer: Peer) -> None:
    client, context = peer.client, peer.context
    vms = await machines(client)
    paths = await paths_of(context, vms * 10)  # more than a request lists one by one
    assert paths == paths[: len(vms)] * 10
    found = await find(context, "/*/vm/*", VM)
    assert {item.path: item.obj for item in found} == dict(zip(paths, vms, strict=False))
    assert [item.obj for item in await find(context, paths[0] or "")] == [vms[0]]
    assert {item.obj for item in await find(context, "*", VM)} == set(vms)
    everything = await find(context, "/**")
    assert {item.path for item in everything} >= {"/", *map(str, paths)}
    index = client.content.searchIndex
    assert index is not None
    assert await client.bind(index).FindByInventoryPath(str(paths[1])) == vms[1]


@on(*ALL)
async def test_events_are_followed(peer: Peer) -> None:
    client, context = peer.client, peer.context
    vms = await machines(client)
    await toggle(client, vms[0])
    old = [event async for event in events(context, follow=False)]
    assert any(isinstance(event, vim25.VmEvent) for event in old)
    async with events(context) as stream, asyncio.timeout(60):
        found = aiter(stream)
        assert [(await anext(found)).key for _ in old] == [event.key for event in old]
        reader = asyncio.ensure_future(anext(found))
        await asyncio.sleep(0)
        await toggle(client, vms[1])
        assert (await reader).key not in {event.key for event in old}


@pytest.mark.parametrize("face", ["fault", "empty", "missing"])
@on(*SIMULATORS)
async def test_row_32_everything_survives_an_expired_session(peer: Peer, face: Face) -> None:
    """Watch, task and events continue; the host has one session and nothing of the old one."""
    client, esx = peer.client, peer.esx
    assert esx is not None
    vms = await machines(client)
    esx.faults.hold_task("PowerOnVM_Task")
    task = await vms[0].PowerOnVM_Task()
    async with asyncio.timeout(90):
        async with (
            client.watch(VM, "name", "runtime.powerState") as watch,
            events(peer.context) as stream,
        ):
            changes, found = aiter(watch), aiter(stream)
            for _ in vms:
                await anext(changes)
            waiter = asyncio.create_task(client.wait(task))
            reader = asyncio.ensure_future(anext(changes))
            poster = asyncio.ensure_future(_until(found, vim25.VmPoweredOnEvent))
            await asyncio.sleep(0.3)
            esx.expire_sessions(face=face)
            await asyncio.sleep(0.3)
            esx.faults.release_task("PowerOnVM_Task")
            await waiter
            change = await reader
            assert (change.obj, change.changed) == (vms[0], {"runtime.powerState": "poweredOn"})
            await poster
    assert sum(entry.method == "PowerOnVM_Task" for entry in esx.call_log) == 1
    logins = [entry for entry in esx.call_log if entry.method == "Login"]
    assert len(logins) == 2, "one login for all that waited"


async def _until(found: AsyncIterator[vim25.Event], kind: type[vim25.Event]) -> vim25.Event:
    async for event in found:
        if isinstance(event, kind):
            return event
    raise AssertionError("the events ended")


@on(*SIMULATORS)
async def test_row_39_a_hanging_task_is_cancelled_on_request(peer: Peer) -> None:
    client, esx = peer.client, peer.esx
    assert esx is not None
    vms = await machines(client)
    esx.faults.hold_task("PowerOnVM_Task")
    task = await vms[0].PowerOnVM_Task()
    with pytest.raises(TaskTimeoutError):
        await client.wait(task, 0.3)
    esx.faults.release_task("PowerOnVM_Task")
    await client.wait(task, 60)
