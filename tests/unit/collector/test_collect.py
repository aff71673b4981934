from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

import vimlib
from tests.rig.login import connected
from tests.unit.collector.host import Host, runtime_info
from tests.unit.collector.virtual import settle, virtual
from vimlib import vim25
from vimlib._collector import INVENTORY, Row, collect, container_view, get, list_view, via
from vimlib._transport import EncodedCall, Reply
from vimlib._transport.base import Exchange
from vimlib.errors import UsageError, VersionError
from vimlib.simulator import ESXHost
from vimlib.simulator._core.session import Face


def host_with(count: int, version: str = "8.0.3.0") -> Host:
    host = Host(version)
    vms = [
        host.add(
            vim25.VirtualMachine, f"vm-{n}", name=f"web-{n}", runtime=runtime_info("poweredOn")
        )
        for n in range(count)
    ]
    host.add(vim25.HostSystem, "ha-host", name="esx", vm=vms[:2])
    host.add(vim25.Folder, "root", name="ha-folder-root", childEntity=vms)
    return host


class Machine(msgspec.Struct):
    obj: vim25.VirtualMachine
    name: str
    state: str = msgspec.field(name="runtime.powerState")
    ip: str | None = msgspec.field(name="guest.ipAddress", default=None)


@pytest.mark.parametrize("version", ["4.0", "4.1", "8.0.3.0"])
@virtual
async def test_collects_all_objects_of_a_type(version: str) -> None:
    host = host_with(5, version)
    rows = await collect(
        host.context(), vim25.VirtualMachine, "name", "runtime.powerState", page=2
    ).all()
    assert [row["name"] for row in rows] == [f"web-{n}" for n in range(5)]
    assert rows[0].props == {"name": "web-0", "runtime.powerState": "poweredOn"}
    assert isinstance(rows[0].obj, vim25.VirtualMachine)
    assert host.count("RetrieveProperties") == (1 if version == "4.0" else 0)
    assert host.count("RetrievePropertiesEx", "ContinueRetrievePropertiesEx") == (
        0 if version == "4.0" else 3
    )
    assert host.leftovers() == []


@virtual
async def test_rows_may_be_of_the_callers_own_type() -> None:
    host = host_with(2)
    rows = await collect(host.context(), vim25.VirtualMachine, Machine).all()
    assert rows[1] == Machine(
        obj=host.ref(vim25.VirtualMachine, "vm-1"), name="web-1", state="poweredOn"
    )


@pytest.mark.parametrize(("limit", "pages"), [(1, 1), (3, 1), (4, 1), (9, 2), (0, 0)])
@virtual
async def test_a_limit_is_told_to_the_host(limit: int, pages: int) -> None:
    host = host_with(20)
    rows = await collect(host.context(), vim25.VirtualMachine, "name", limit=limit, page=5).all()
    assert len(rows) == limit
    assert host.count("RetrievePropertiesEx", "ContinueRetrievePropertiesEx") == pages
    if limit:
        first = next(call for call in host.calls if call.method == "RetrievePropertiesEx")
        assert first.args["options"].maxObjects == min(limit, 5)
    assert host.count("CancelRetrievePropertiesEx") == (1 if limit else 0)
    assert host.leftovers() == []


@virtual
async def test_leaving_the_loop_cancels_the_retrieval() -> None:
    host = host_with(9)
    async for row in collect(host.context(), vim25.VirtualMachine, "name", page=2):
        assert row["name"] == "web-0"
        break
    await settle()
    assert host.count("CancelRetrievePropertiesEx") == 1
    assert host.leftovers() == []


@virtual
async def test_an_error_in_the_loop_cancels_the_retrieval_when_the_block_ends() -> None:
    host = host_with(9)

    async def fails() -> None:
        async with collect(host.context(), vim25.VirtualMachine, "name", page=2) as rows:
            async for _ in rows:
                raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fails()
    assert host.leftovers() == []


@virtual
async def test_first_reads_one() -> None:
    host = host_with(9)
    row = await collect(host.context(), vim25.VirtualMachine, "name").first()
    assert row is not None
    assert row["name"] == "web-0"
    assert await collect(host.context(), vim25.Datastore, "name").first() is None
    assert host.leftovers() == []


@virtual
async def test_nothing_stays_behind_wherever_it_is_cancelled() -> None:
    host = host_with(5)
    host.latency = 1.0
    before = asyncio.get_running_loop().time()
    await collect(host.context(), vim25.VirtualMachine, "name", page=2).all()
    length = asyncio.get_running_loop().time() - before
    steps = int(length * 2)
    assert steps >= 10
    for step in range(steps):
        task = asyncio.create_task(
            collect(host.context(), vim25.VirtualMachine, "name", page=2).all()
        )
        await asyncio.sleep(step / 2 + 0.25)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert host.leftovers() == [], f"cancelled after {step / 2 + 0.25} s"


@pytest.mark.parametrize(
    "method", ["CreateContainerView", "RetrievePropertiesEx", "ContinueRetrievePropertiesEx"]
)
@virtual
async def test_a_failing_call_leaves_nothing_behind(method: str) -> None:
    host = host_with(5)

    async def fail(name: str, this: object, args: object) -> None:
        if name == method:
            raise vim25.HostCommunication

    host.hook = fail
    with pytest.raises(vim25.HostCommunication):
        await collect(host.context(), vim25.VirtualMachine, "name", page=2).all()
    host.forget_tokens()  # the retrieval itself: its token went with the call that failed
    assert host.leftovers() == []


@virtual
async def test_sources() -> None:
    host = host_with(4)
    context = host.context()
    root = host.ref(vim25.Folder, "root")
    vm = host.ref(vim25.VirtualMachine, "vm-3")
    esx = host.ref(vim25.HostSystem, "ha-host")

    async def names(source: Any) -> list[str]:
        return [
            row["name"]
            for row in await collect(context, vim25.VirtualMachine, "name", source=source).all()
        ]

    assert await names(vm) == ["web-3"]
    assert await names([vm, host.ref(vim25.VirtualMachine, "vm-0")]) == ["web-3", "web-0"]
    assert await names([]) == []
    assert await names(root) == ["web-0", "web-1", "web-2", "web-3"]
    assert await names(via(vim25.HostSystem, "vm").start(esx)) == ["web-0", "web-1"]
    assert sorted(await names(INVENTORY.start(root))) == ["web-0", "web-1", "web-2", "web-3"]
    async with container_view(context, vim25.VirtualMachine) as view:
        assert len(await names(view)) == 4
    async with list_view(context, [vm]) as listed:
        assert await names(listed) == ["web-3"]
    assert host.leftovers() == []
    with pytest.raises(UsageError, match="invalid source of objects"):
        await names("root")


@virtual
async def test_an_unset_property_is_none_and_an_unreadable_one_says_why() -> None:
    host = host_with(1)
    vm = host.ref(vim25.VirtualMachine, "vm-0")
    host.denied[vm.moref, "name"] = vim25.NoPermission(object=vm, privilegeId="System.Read")
    row = await get(host.context(), vm, "name", "guest.ipAddress")
    assert row["guest.ipAddress"] is None
    assert row.get("name", "?") == "?"
    assert list(row.missing) == ["name"]
    with pytest.raises(vim25.NoPermission) as caught:
        row["name"]
    assert caught.value is not row.missing["name"]
    assert caught.value.privilegeId == "System.Read"
    with pytest.raises(KeyError):
        row["config"]


@virtual
async def test_a_typed_row_raises_for_what_it_has_no_place_for() -> None:
    host = host_with(1)
    vm = host.ref(vim25.VirtualMachine, "vm-0")

    class Strict(msgspec.Struct):
        name: int

    class Needs(msgspec.Struct):
        ip: str = msgspec.field(name="guest.ipAddress")

    with pytest.raises(UsageError, match="must be int"):
        await get(host.context(), vm, Strict)
    with pytest.raises(UsageError, match="is not set"):
        await get(host.context(), vm, Needs)
    host.denied[vm.moref, "name"] = vim25.NoPermission(object=vm, privilegeId="System.Read")
    with pytest.raises(vim25.NoPermission):
        await get(host.context(), vm, Machine)


@pytest.mark.parametrize("version", ["4.0", "8.0.3.0"])
@virtual
async def test_get_of_many_keeps_the_order_and_says_who_is_gone(version: str) -> None:
    host = host_with(3, version)
    vms = [host.ref(vim25.VirtualMachine, f"vm-{n}") for n in (2, 7, 0)]
    esx = host.ref(vim25.HostSystem, "ha-host")
    rows = await get(host.context(), [*vms, esx], "name")
    assert [row.get("name") for row in rows] == ["web-2", None, "web-0", "esx"]
    assert isinstance(rows[1].missing["name"], vim25.ManagedObjectNotFound)
    assert await get(host.context(), [], "name") == []
    with pytest.raises(vim25.ManagedObjectNotFound):
        await get(host.context(), vms[1], "name")


@virtual
async def test_get_of_everything() -> None:
    host = host_with(1)
    row: Row[vim25.VirtualMachine] = await get(
        host.context(), host.ref(vim25.VirtualMachine, "vm-0"), "*"
    )
    assert set(row.props) == {"name", "runtime"}


@virtual
async def test_what_cannot_be_is_refused_before_anything_is_sent() -> None:
    host = host_with(1, "4.1")
    context = host.context()
    with pytest.raises(UsageError, match="Did you mean 'name'"):
        collect(context, vim25.VirtualMachine, "nmae")
    with pytest.raises(VersionError) as caught:
        collect(context, vim25.VirtualMachine, "config.firmware")
    assert (caught.value.needs, caught.value.speaks) == ("5.0", "4.1")
    with pytest.raises(VersionError):
        collect(context, vim25.StoragePod, "name")
    with pytest.raises(UsageError):
        collect(context, vim25.VirtualMachine, "name", page=0)
    with pytest.raises(UsageError):
        collect(context, vim25.VirtualMachine, "name", Machine)  # type: ignore[call-overload]
    with pytest.raises(UsageError, match="not part of the inventory"):
        await collect(context, vim25.Task, "info").all()
    assert host.calls == []


class Ending:
    """Middleware that ends all sessions of a host behind the first call of a method."""

    def __init__(self, esx: ESXHost, method: str, face: Face) -> None:
        self.esx, self.method, self.face = esx, method, face

    async def __call__(self, call: EncodedCall, exchange: Exchange, /) -> Reply:
        reply = await exchange(call)
        if call.method == self.method:
            self.method = ""
            self.esx.expire_sessions(self.face)
        return reply


@pytest.mark.parametrize("face", ["fault", "empty", "missing"])
@pytest.mark.parametrize(
    ("version", "behind"),
    [
        ("4.0", "CreateContainerView"),
        ("8.0", "CreateContainerView"),
        ("8.0", "RetrievePropertiesEx"),
        ("8.0", "ContinueRetrievePropertiesEx"),
    ],
)
async def test_row_31_a_listing_survives_the_end_of_its_session_and_view(
    version: str, behind: str, face: Face
) -> None:
    async with ESXHost(version=version, vms=6) as esx:
        async with connected(esx, middleware=[ending := Ending(esx, behind, face)]) as client:
            rows = await client.collect(vim25.VirtualMachine, "name", page=2).all()
        assert not ending.method, "the session ended"
        assert [row.get("name") for row in rows] == [f"vm-{n}" for n in range(6)]
        assert {type(row.obj) for row in rows} == {vim25.VirtualMachine}
        assert sum(call.method == "Login" for call in esx.call_log) == 2


@virtual
async def test_rows_are_plain_python_that_msgspec_encodes() -> None:
    host = host_with(1)
    device: list[vim25.VirtualDevice] = [vim25.VirtualCdrom(key=1)]
    config: Any = vim25.VirtualMachineConfigInfo
    host.add(
        vim25.VirtualMachine,
        "typed",
        name="typed",
        runtime=runtime_info("poweredOn"),
        config=config(hardware=vim25.VirtualHardware(numCPU=1, memoryMB=4, device=device)),
    )
    host.set(
        host.ref(vim25.Folder, "root"),
        childEntity=[host.ref(vim25.VirtualMachine, name) for name in ("vm-0", "typed")],
    )
    paths = ("name", "runtime.powerState", "config.hardware.device")
    (row,) = [
        row
        async for row in collect(host.context(), vim25.VirtualMachine, *paths)
        if row["name"] == "typed"
    ]
    assert row.props == dict(zip(paths, ("typed", "poweredOn", device), strict=True))
    assert [type(row[path]) for path in paths] == [str, str, list]
    rows = await collect(host.context(), vim25.VirtualMachine, Machine).all()
    assert [msgspec.json.encode(row.state) for row in rows] == [b'"poweredOn"'] * 2


async def test_changes_are_plain_python_too() -> None:
    async with (
        ESXHost(vms=1) as esx,
        asyncio.timeout(60),
        connected(esx) as client,
        client.watch(vim25.VirtualMachine, "runtime.powerState") as changes,
    ):
        change = await anext(aiter(changes))
        assert type(change.row["runtime.powerState"]) is str
        assert type(change.changed["runtime.powerState"]) is str


async def first_change(client: vimlib.Client, source: Any = None) -> str | None:
    async with client.watch(vim25.VirtualMachine, "name", source=source) as changes:
        async for change in changes:
            return change.kind
    return None


@pytest.mark.parametrize("behind", ["CreateContainerView", "CreateFilter"])
@pytest.mark.parametrize("version", ["4.0", "8.0"])
async def test_row_31_a_watch_survives_the_end_of_its_view_or_its_filter(
    version: str, behind: str
) -> None:
    async with ESXHost(version=version, vms=1) as esx, asyncio.timeout(60):
        async with connected(esx, middleware=[ending := Ending(esx, behind, "fault")]) as client:
            assert await first_change(client) == "enter"
        assert not ending.method


@pytest.mark.parametrize("version", ["4.0", "8.0"])
async def test_a_callers_own_view_that_is_gone_is_an_error(version: str) -> None:
    async with (
        ESXHost(version=version, vms=2) as esx,
        asyncio.timeout(60),
        connected(esx) as client,
    ):
        async with container_view(client._context, vim25.VirtualMachine) as view:
            assert len(await client.collect(vim25.VirtualMachine, source=view).all()) == 2
        with pytest.raises(vim25.ManagedObjectNotFound) as caught:
            await client.collect(vim25.VirtualMachine, source=view).all()
        assert caught.value.obj == view
        before = len(esx.call_log)
        with pytest.raises(vim25.ManagedObjectNotFound) as caught:
            await first_change(client, view)
        assert caught.value.obj == view
        assert len(esx.call_log) - before < 10


@pytest.mark.parametrize("version", ["4.0", "4.1", "8.0.3.0"])
@pytest.mark.parametrize("include", [False, True])
@virtual
async def test_a_walk_whose_start_is_gone_is_an_error_and_not_a_row(
    version: str, include: bool
) -> None:
    host = host_with(2, version)
    esx, gone = host.ref(vim25.HostSystem, "ha-host"), host.ref(vim25.HostSystem, "gone")
    walk = via(vim25.HostSystem, "vm").start(esx, gone, include=include)
    with pytest.raises(vim25.ManagedObjectNotFound) as caught:
        await collect(host.context(), vim25.VirtualMachine, "name", source=walk).all()
    assert caught.value.obj == gone


@pytest.mark.parametrize("version", ["4.0", "8.0"])
async def test_a_walk_on_the_wire_whose_start_is_gone(version: str) -> None:
    async with (
        ESXHost(version=version, vms=1) as esx,
        asyncio.timeout(60),
        connected(esx) as client,
    ):
        gone = client.bind(vim25.Folder("gone"))
        with pytest.raises(vim25.ManagedObjectNotFound) as caught:
            await client.collect(vim25.VirtualMachine, source=INVENTORY.start(gone)).all()
        assert caught.value.obj == gone
        with pytest.raises(vim25.ManagedObjectNotFound) as caught:
            await first_change(client, INVENTORY.start(gone))
        assert caught.value.obj == gone


@pytest.mark.parametrize("version", ["4.0", "8.0.3.0"])
@virtual
async def test_a_view_that_goes_before_it_is_read_is_not_an_empty_inventory(version: str) -> None:
    """Told to report what is missing, a host leaves it out of a retrieval."""
    host = host_with(3, version)
    dropped: list[str] = []

    def reply(method: str, result: Any) -> None:
        if method == "CreateContainerView" and not dropped:
            dropped.append(method)
            host.drop_views()

    host.reply = reply
    rows = await collect(host.context(), vim25.VirtualMachine, "name").all()
    assert dropped
    assert len(rows) == 3
    assert host.leftovers() == []
