from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from tests.rig.host import session_of
from tests.unit.collector.host import Host, lost, runtime_info
from tests.unit.collector.virtual import settle, virtual
from vimlib import vim25
from vimlib._collector import Change, Row, via, wait_for, watch
from vimlib.errors import ConnectionLostError, DeadlineError

VM = vim25.VirtualMachine
VERSIONS = pytest.mark.parametrize("version", ["4.0", "4.1", "8.0.3.0"])


def host_with(count: int, version: str = "8.0.3.0") -> Host:
    host = Host(version)
    for n in range(count):
        host.add(VM, f"vm-{n}", name=f"web-{n}", runtime=runtime_info("poweredOff"))
    return host


def power(host: Host, n: int, state: str) -> None:
    host.set(host.ref(VM, f"vm-{n}"), runtime=runtime_info(state))


def told(change: Change[Row[VM]]) -> tuple[str, str, dict[str, Any]]:
    return change.kind, change.obj.moref[1], change.changed


async def take(
    changes: AsyncIterator[Change[Row[VM]]], count: int
) -> list[tuple[str, str, dict[str, Any]]]:
    return [told(await anext(changes)) for _ in range(count)]


@VERSIONS
@virtual
async def test_tells_what_there_is_and_then_what_happens(version: str) -> None:
    host = host_with(2, version)
    async with watch(host.context(), VM, "name", "runtime.powerState") as w:
        changes = aiter(w)
        assert [kind for kind, *_ in await take(changes, 2)] == ["enter", "enter"]
        reader = asyncio.create_task(take(changes, 1))
        await settle()
        assert w.synced
        assert not reader.done()
        power(host, 1, "poweredOn")
        assert await reader == [("modify", "vm-1", {"runtime.powerState": "poweredOn"})]
        host.remove(host.ref(VM, "vm-0"))
        assert await take(changes, 1) == [("leave", "vm-0", {})]
        host.add(VM, "vm-9", name="late", runtime=runtime_info("suspended"))
        change = await anext(changes)
        assert change.row["name"] == "late"
        assert change.kind == "enter"
    assert host.leftovers() == []
    ex = host.count("WaitForUpdatesEx")
    assert (ex == 0) if version == "4.0" else (host.count("WaitForUpdates") == 0)


@virtual
async def test_row_41_truncated_sets_are_drained() -> None:
    host = host_with(25)
    host.update_limit = 4
    async with watch(host.context(), VM, "name") as w:
        changes = aiter(w)
        first = await take(changes, 25)
        assert sorted(name for _, name, _ in first) == sorted(f"vm-{n}" for n in range(25))
    assert host.count("WaitForUpdatesEx") == 7


@virtual
async def test_row_41_an_empty_set_and_what_is_told_twice_are_no_news() -> None:
    host = host_with(1)
    vm = host.ref(VM, "vm-0")
    name = vim25.PropertyChange(name="name", op="assign", val="web-0")
    again = vim25.ObjectUpdate(kind="enter", obj=vm, changeSet=[name])
    script = [
        vim25.UpdateSet(version="a", filterSet=[]),
        vim25.UpdateSet(
            version="b",
            filterSet=[
                vim25.PropertyFilterUpdate(
                    filter=host.ref(vim25.PropertyFilter, "f"), objectSet=[again]
                )
            ],
        ),
        vim25.UpdateSet(
            version="b",
            filterSet=[
                vim25.PropertyFilterUpdate(
                    filter=host.ref(vim25.PropertyFilter, "f"), objectSet=[again, again]
                )
            ],
        ),
        vim25.UpdateSet(
            version="c",
            filterSet=[vim25.PropertyFilterUpdate(filter=host.ref(vim25.PropertyFilter, "f"))],
        ),
        vim25.UpdateSet(
            version="d",
            filterSet=[
                vim25.PropertyFilterUpdate(
                    filter=host.ref(vim25.PropertyFilter, "f"),
                    objectSet=[
                        vim25.ObjectUpdate(
                            kind="modify",
                            obj=vm,
                            changeSet=[vim25.PropertyChange(name="name", op="assign", val="new")],
                        )
                    ],
                )
            ],
        ),
    ]

    async def hook(method: str, this: object, args: Mapping[str, Any]) -> Any:
        return script.pop(0) if method == "WaitForUpdatesEx" and script else None

    host.hook = hook
    async with watch(host.context(), VM, "name") as w:
        assert await take(aiter(w), 2) == [
            ("enter", "vm-0", {"name": "web-0"}),
            ("modify", "vm-0", {"name": "new"}),
        ]


@virtual
async def test_row_41_a_change_of_an_object_never_told_of_reads_all_anew() -> None:
    host = host_with(2)

    def named(kind: str, n: int, name: str) -> vim25.ObjectUpdate:
        change = vim25.PropertyChange(name="name", op="assign", val=name)
        return vim25.ObjectUpdate(kind=kind, obj=host.ref(VM, f"vm-{n}"), changeSet=[change])

    updates = [named("enter", 0, "early"), named("modify", 1, "?")]
    part = vim25.PropertyFilterUpdate(filter=host.ref(vim25.PropertyFilter, "f"), objectSet=updates)
    script = [vim25.UpdateSet(version="x", filterSet=[part])]

    async def hook(method: str, this: object, args: Mapping[str, Any]) -> Any:
        return script.pop() if method == "WaitForUpdatesEx" and script else None

    host.hook = hook
    async with watch(host.context(), VM, "name") as w:
        assert await take(aiter(w), 3) == [
            ("enter", "vm-0", {"name": "early"}),
            ("modify", "vm-0", {"name": "web-0"}),
            ("enter", "vm-1", {"name": "web-1"}),
        ]
    assert host.leftovers() == []


@VERSIONS
@virtual
async def test_row_41_when_the_version_is_gone_only_what_differs_is_told(version: str) -> None:
    host = host_with(4, version)
    async with watch(host.context(), VM, "name", "runtime.powerState") as w:
        changes = aiter(w)
        await take(changes, 4)
        await settle()
        reader = asyncio.create_task(take(changes, 3))
        await settle()
        # All at once: the session ends, and while nobody watched one changed, one left, one came.
        host.objects["VirtualMachine", "vm-2"]["runtime"] = runtime_info("poweredOn")
        del host.objects["VirtualMachine", "vm-0"]
        host.objects["VirtualMachine", "vm-8"] = {"name": "new", "runtime": None}
        host.expire()
        assert sorted(await reader) == [
            ("enter", "vm-8", {"name": "new"}),
            ("leave", "vm-0", {}),
            ("modify", "vm-2", {"runtime.powerState": "poweredOn"}),
        ]
        await asyncio.sleep(0)
        assert w.synced
    assert host.leftovers() == []


@virtual
async def test_row_42_a_long_poll_that_is_cut_goes_on_at_its_version() -> None:
    host = host_with(1)
    lengths = []

    async def hook(method: str, this: object, args: Mapping[str, Any]) -> Any:
        if method == "WaitForUpdatesEx" and args["version"] is not None:
            lengths.append(args["options"].maxWaitSeconds)
            if lengths[-1] >= 60:  # a proxy that lets no connection be silent for a minute
                await asyncio.sleep(60)
                raise lost()

    host.hook = hook
    async with watch(host.context(max_wait=300), VM, "name") as w:
        changes = aiter(w)
        await take(changes, 1)
        reader = asyncio.create_task(take(changes, 1))
        await asyncio.sleep(1000)
        host.set(host.ref(VM, "vm-0"), name="renamed")
        assert await reader == [("modify", "vm-0", {"name": "renamed"})]
    assert lengths[0] == 300
    assert set(lengths[1:]) == {48}
    versions = {call.args["version"] for call in host.calls if call.method == "WaitForUpdatesEx"}
    assert (
        len(versions) == 2
    )  # None for the start, and one that was repeated until it told something
    assert host.count("CreateFilter") == 1


@virtual
async def test_row_42_a_reply_that_is_lost_is_told_again() -> None:
    host = host_with(1)
    lose = [False]

    def reply(method: str, result: Any) -> None:
        if method == "WaitForUpdatesEx" and lose[0]:
            lose[0] = False
            raise lost()

    host.reply = reply
    async with watch(host.context(), VM, "name") as w:
        changes = aiter(w)
        await take(changes, 1)
        lose[0] = True
        host.set(host.ref(VM, "vm-0"), name="renamed")
        assert await take(changes, 1) == [("modify", "vm-0", {"name": "renamed"})]


@virtual
async def test_row_42_a_host_that_never_waits_is_asked_once_a_second() -> None:
    host = host_with(1)

    async def hook(method: str, this: object, args: Mapping[str, Any]) -> Any:
        if method == "WaitForUpdatesEx" and args["version"] is not None:
            return vim25.UpdateSet(version="", filterSet=[])  # as an empty element is decoded
        return None

    host.hook = hook
    async with watch(host.context(), VM, "name") as w:
        changes = aiter(w)
        await take(changes, 1)
        reader = asyncio.ensure_future(anext(changes))
        await asyncio.sleep(60)
        assert host.count("WaitForUpdatesEx") <= 62
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader


@virtual
async def test_row_31_a_session_that_answers_polls_with_nothing_is_looked_at() -> None:
    host = host_with(1)
    host.add(vim25.SessionManager, "sessions", currentSession=session_of("me"))
    expired = [False]

    async def hook(method: str, this: object, args: Mapping[str, Any]) -> Any:
        if not expired[0]:
            return None
        if method == "RetrievePropertiesEx":  # the session below finds out by this and logs in
            expired[0] = False
            host.expire()
        elif method == "WaitForUpdatesEx":
            return vim25.UpdateSet(version="", filterSet=[])
        return None

    host.hook = hook
    context = host.context()
    context.content.sessionManager = host.ref(vim25.SessionManager, "sessions")
    async with watch(context, VM, "name") as w:
        changes = aiter(w)
        await take(changes, 1)
        expired[0] = True
        reader = asyncio.create_task(take(changes, 1))
        await asyncio.sleep(10)
        host.set(host.ref(VM, "vm-0"), name="renamed")
        assert await reader == [("modify", "vm-0", {"name": "renamed"})]
    assert host.count("RetrievePropertiesEx") == 1
    assert host.leftovers() == []


@virtual
async def test_closing_ends_the_wait_of_another_task() -> None:
    host = host_with(1)
    async with watch(host.context(), VM, "name") as w:

        async def read() -> list[str]:
            return [change.kind async for change in w]

        reader = asyncio.create_task(read())
        await settle()
    assert await reader == ["enter"]
    assert reader.cancelling() == 0
    assert host.leftovers() == []


@virtual
async def test_patience_with_a_host_that_is_away_ends() -> None:
    host = host_with(1)
    away = [False]

    async def hook(method: str, this: object, args: Mapping[str, Any]) -> None:
        if away[0]:
            raise lost()

    host.hook = hook
    async with watch(host.context(patience=60), VM, "name") as w:
        changes = aiter(w)
        await take(changes, 1)
        away[0] = True
        before = asyncio.get_running_loop().time()
        with pytest.raises(ConnectionLostError):
            await anext(changes)
        assert 60 <= asyncio.get_running_loop().time() - before < 75
        assert host.count("WaitForUpdatesEx") < 20


@virtual
async def test_a_host_that_cannot_be_had_at_first_is_no_watch() -> None:
    host = host_with(1)

    async def hook(method: str, this: object, args: Mapping[str, Any]) -> None:
        raise lost()

    host.hook = hook
    with pytest.raises(ConnectionLostError):
        await anext(aiter(watch(host.context(), VM, "name")))
    assert len(host.calls) == 1


@virtual
async def test_row_40_what_cannot_be_read_is_in_missing() -> None:
    host = host_with(1)
    vm = host.ref(VM, "vm-0")
    host.denied[vm.moref, "runtime.powerState"] = vim25.NoPermission(
        object=vm, privilegeId="System.Read"
    )
    async with watch(host.context(), VM, "name", "runtime.powerState") as w:
        changes = aiter(w)
        change = await anext(changes)
        assert isinstance(change.row.missing["runtime.powerState"], vim25.NoPermission)
        assert change.row.props == {"name": "web-0"}
        del host.denied[vm.moref, "runtime.powerState"]
        host.touch()
        assert await take(changes, 1) == [("modify", "vm-0", {"runtime.powerState": "poweredOff"})]


@pytest.mark.parametrize("forever", [False, True])
@virtual
async def test_row_31_not_logged_in_inside_missing_builds_anew_once(forever: bool) -> None:
    host = host_with(1)
    vm = host.ref(VM, "vm-0")
    host.denied[vm.moref, "name"] = vim25.NotAuthenticated(object=vm, privilegeId="System.Read")
    built = 0

    async def hook(method: str, this: object, args: Mapping[str, Any]) -> None:
        nonlocal built
        if method == "CreatePropertyCollector":
            built += 1
            if built == 2 and not forever:
                host.denied.clear()

    host.hook = hook
    async with watch(host.context(), VM, "name") as w:
        change = await anext(aiter(w))
    assert built == 2
    assert (change.row.get("name") == "web-0") is not forever
    assert isinstance(change.row.missing.get("name"), vim25.NotAuthenticated) is forever


@virtual
async def test_the_host_waits_less_than_it_is_told_to_read() -> None:
    host = host_with(1)
    async with watch(host.context(max_wait=7), VM, "name", batch=3) as w:
        await take(aiter(w), 1)
    options = next(call.args["options"] for call in host.calls if call.method == "WaitForUpdatesEx")
    assert (options.maxWaitSeconds, options.maxObjectUpdates) == (7, 3)


@virtual
async def test_a_slow_consumer_is_not_overrun() -> None:
    host = host_with(1)
    async with watch(host.context(), VM, "name") as w:
        changes = aiter(w)
        await take(changes, 1)
        polls = host.count("WaitForUpdatesEx")
        for n in range(100):
            host.set(host.ref(VM, "vm-0"), name=f"n{n}")
            await asyncio.sleep(1)
        assert host.count("WaitForUpdatesEx") == polls
        assert await take(changes, 1) == [("modify", "vm-0", {"name": "n99"})]


@VERSIONS
@virtual
async def test_two_watches_and_a_third_that_starts_amid_their_poll(version: str) -> None:
    host = host_with(2, version)
    context = host.context()
    async with watch(context, VM, "name") as a, watch(context, VM, "runtime.powerState") as b:
        first, second = aiter(a), aiter(b)
        await take(first, 2)
        await take(second, 2)
        readers = [asyncio.create_task(take(it, 1)) for it in (first, second)]
        await settle()
        assert (
            await wait_for(context, host.ref(VM, "vm-1"), "name", lambda name: name == "web-1")
            == "web-1"
        )
        power(host, 0, "poweredOn")
        host.set(host.ref(VM, "vm-1"), name="x")
        assert await readers[0] == [("modify", "vm-1", {"name": "x"})]
        assert await readers[1] == [("modify", "vm-0", {"runtime.powerState": "poweredOn"})]
    assert host.leftovers() == []
    if version == "4.0":
        assert host.most_waiting == 1


@VERSIONS
@virtual
async def test_nothing_stays_behind_wherever_it_is_cancelled(version: str) -> None:
    host = host_with(3, version)
    host.latency = 1.0
    host.update_limit = 2
    context = host.context()

    async def work() -> None:
        async with watch(context, VM, "name") as w:
            async for _ in w:
                pass

    for step in range(40):
        task = asyncio.create_task(work())
        await asyncio.sleep(step / 2 + 0.25)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert host.leftovers() == [], f"cancelled after {step / 2 + 0.25} s"


@VERSIONS
@virtual
async def test_wait_for_returns_the_value_that_fits(version: str) -> None:
    host = host_with(1, version)
    vm = host.ref(VM, "vm-0")
    waiter = asyncio.create_task(
        wait_for(
            host.context(),
            vm,
            "runtime.powerState",
            lambda state: state == "poweredOn",
            timeout=500,
        )
    )
    await asyncio.sleep(300)
    power(host, 0, "poweredOn")
    assert await waiter == "poweredOn"
    assert host.leftovers() == []


@pytest.mark.parametrize("reports", [True, False])
@VERSIONS
@virtual
async def test_wait_for_ends_at_its_deadline_and_when_the_object_goes(
    version: str, reports: bool
) -> None:
    host = host_with(1, version)
    host.reports_missing = reports
    vm = host.ref(VM, "vm-0")
    with pytest.raises(DeadlineError) as caught:
        await wait_for(host.context(), vm, "name", lambda _: False, timeout=90)
    assert (caught.value.phase, caught.value.seconds) == ("wait", 90)
    waiter = asyncio.create_task(wait_for(host.context(), vm, "name", lambda _: False))
    await settle()
    host.remove(vm)
    with pytest.raises(vim25.ManagedObjectNotFound):
        await waiter
    with pytest.raises(vim25.ManagedObjectNotFound):
        await wait_for(host.context(), vm, "name", lambda _: False, timeout=5)
    assert host.leftovers() == []


@virtual
async def test_a_walk_whose_start_goes_ends_the_watch() -> None:
    host = host_with(2)
    esx = host.add(vim25.HostSystem, "ha-host", vm=[host.ref(VM, "vm-0"), host.ref(VM, "vm-1")])
    async with watch(
        host.context(), VM, "name", source=via(vim25.HostSystem, "vm").start(esx)
    ) as w:
        changes = aiter(w)
        assert [kind for kind, *_ in await take(changes, 2)] == ["enter", "enter"]
        host.remove(esx)
        assert sorted(await take(changes, 2)) == [("leave", "vm-0", {}), ("leave", "vm-1", {})]
        with pytest.raises(vim25.ManagedObjectNotFound) as caught:
            await anext(changes)
        assert caught.value.obj == esx
    assert host.leftovers() == []


@virtual
async def test_a_host_that_drops_views_at_once_is_asked_at_a_walking_pace() -> None:
    host = host_with(2)

    async def hook(method: str, this: object, args: Mapping[str, Any]) -> None:
        if method == "WaitForUpdatesEx" and args["version"] is not None:
            host.drop_views()  # each told of its members once

    host.hook = hook
    found: list[tuple[str, str, dict[str, Any]]] = []

    async def read() -> None:
        async for change in watch(host.context(), VM, "name"):
            found.append(told(change))

    reader = asyncio.create_task(read())
    await asyncio.sleep(600)
    assert 30 <= host.count("CreateContainerView") <= 120
    host.set(host.ref(VM, "vm-1"), name="new")
    await asyncio.sleep(20)
    assert not reader.done(), "as long as it tells of something"
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    assert [kind for kind, *_ in found] == ["enter", "enter", "modify"]
