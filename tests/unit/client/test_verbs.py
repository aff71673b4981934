"""The verbs of a client, on the simulated host: that each reaches its part with what was asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

import vimlib
from tests.rig.login import connected
from vimlib import vim25
from vimlib._client import Client
from vimlib.errors import InvalidPathError, UsageError
from vimlib.simulator import ESXHost

VM = vim25.VirtualMachine
HOME = "/ha-datacenter/vm"


@pytest.fixture
def esx_options() -> dict[str, Any]:
    return {"vms": 3}


@pytest.fixture
async def client(esx_host: ESXHost) -> AsyncIterator[Client]:
    async with connected(esx_host) as client:
        yield client
    assert not esx_host.sessions.by_cookie, "a session was left"


@pytest.fixture
async def vm(client: Client) -> vim25.VirtualMachine:
    [found] = await client.find("vm-1", VM)
    return client.bind(VM(found.obj.moref[1]))


async def test_find_by_pattern_by_kind_and_in_vain(client: Client) -> None:
    assert [item.path for item in await client.find(f"{HOME}/vm-[02]")] == [
        f"{HOME}/vm-0",
        f"{HOME}/vm-2",
    ]
    assert [item.path for item in await client.find("vm-1", VM)] == [f"{HOME}/vm-1"]
    assert await client.find("vm-1", vim25.Datastore) == []
    with pytest.raises(InvalidPathError):
        await client.find("[")


async def test_paths_come_in_the_order_asked_and_none_for_what_is_gone(client: Client) -> None:
    found = await client.find("*", VM)
    ghost = client.bind(VM("no-such"))
    objects = [found[2].obj, ghost, found[0].obj]
    assert await client.paths(objects) == [f"{HOME}/vm-2", None, f"{HOME}/vm-0"]


async def test_events_since_a_moment_and_of_a_kind(client: Client, vm: VM) -> None:
    now = await vim25.ServiceInstance("ServiceInstance", invoker=client).CurrentTime()
    await client.run(vm.PowerOnVM_Task)
    spec = vim25.EventFilterSpec(eventTypeId=["VmPoweredOnEvent"])
    found = [event async for event in client.events(spec, follow=False)]
    assert [type(event) for event in found] == [vim25.VmPoweredOnEvent]
    later = client.events(since=now + timedelta(hours=1), follow=False)
    assert [event async for event in later] == []


async def test_events_that_come_later_are_followed(client: Client, vm: VM) -> None:
    spec = vim25.EventFilterSpec(eventTypeId=["VmPoweredOnEvent"])
    async with client.events(spec) as events:
        reader = asyncio.ensure_future(anext(aiter(events)))
        await client.run(vm.PowerOnVM_Task)
        assert type(await reader) is vim25.VmPoweredOnEvent


async def test_run_returns_the_result_and_tells_of_progress(client: Client) -> None:
    [folder] = await client.find(HOME)
    [pool] = await client.find("/ha-datacenter/host/*/Resources")
    spec = vim25.VirtualMachineConfigSpec(
        name="made",
        guestId="otherGuest64",
        files=vim25.VirtualMachineFileInfo(vmPathName="[datastore1]"),
    )
    told: list[int | None] = []
    home: Any = client.bind(folder.obj)
    made = await client.run(
        lambda: home.CreateVM_Task(config=spec, pool=pool.obj), 30.0, told.append
    )
    assert await client.paths([made]) == [f"{HOME}/made"]
    assert told


async def test_more_watches_than_connections_hold_up_no_call(esx_host: ESXHost) -> None:
    async with asyncio.timeout(60), connected(esx_host, connections=3) as client:
        client._context.max_wait = 300  # a call that waits for the end of a long poll times out
        async with (
            client.watch(VM, "name") as first,
            client.watch(VM, "name") as second,
            client.watch(VM, "name") as third,
        ):
            told = [aiter(changes) for changes in (first, second, third)]
            for changes in told:
                assert [(await anext(changes)).kind for _ in range(3)] == ["enter"] * 3
            async with asyncio.TaskGroup() as group:
                waiting = [group.create_task(anext(changes)) for changes in told]
                while len(esx_host.calls("WaitForUpdatesEx")) < 4:  # noqa: ASYNC110 - a log has no event
                    await asyncio.sleep(0.01)
                [folder] = await client.find(HOME)
                assert (await client.get(folder.obj, "name"))["name"] == "vm"
                for task in waiting:
                    task.cancel()


async def test_a_password_that_is_none_is_not_sent_as_the_word(esx_host: ESXHost) -> None:
    password: Any = None
    who, tls = esx_host.credentials, vimlib.TLS(pin=esx_host.thumbprint)
    with pytest.raises(UsageError, match="NoneType"):
        async with vimlib.connect(esx_host.url, who.username, password, tls=tls):
            raise AssertionError("not reached")
    assert not esx_host.calls("Login")
