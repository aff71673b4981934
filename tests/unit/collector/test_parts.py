"""The parts that decide without I/O: paths, traversals, pace; and the shared collector's bounds."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.collector.host import Host, lost
from tests.unit.collector.virtual import settle, virtual
from vimlib import vim25
from vimlib._collector import INVENTORY, UP, shared, via, watch
from vimlib._collector.owned import acquire, release
from vimlib._collector.paths import split_path
from vimlib._collector.poll_policy import BACKOFF, REBUILDS, PollPolicy
from vimlib.errors import ConnectError, OutcomeUnknownError, UsageError


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("name", ["name"]),
        ("config.hardware.device[4000].backing", ["config", "hardware", "device", "backing"]),
        ('config.extraConfig["machine.id"].value', ["config", "extraConfig", "value"]),
    ],
)
def test_paths_are_split_at_dots_outside_of_brackets(path: str, names: list[str]) -> None:
    assert split_path(path) == names


@given(st.text())
def test_any_text_is_a_path_or_refused(text: str) -> None:
    try:
        names = split_path(text)
    except UsageError:
        return
    assert names
    assert all(name.isidentifier() for name in names)


def test_a_traversal_prints_what_it_walks() -> None:
    assert str(UP) == (
        "ManagedEntity.parent -> ManagedEntity.parent, VirtualMachine.parentVApp\n"
        "VirtualMachine.parentVApp -> ManagedEntity.parent"
    )
    walk = (
        via(vim25.ComputeResource, "host")
        .then(via(vim25.HostSystem, "vm"))
        .start(vim25.Folder("f"))
    )
    assert str(walk) == "from Folder:f\nComputeResource.host -> HostSystem.vm\nHostSystem.vm"


def test_every_hop_names_hops_that_exist_and_properties_that_refer_to_objects() -> None:
    for traversal in (UP, INVENTORY):
        names = {hop.name for hop in traversal.hops}
        for hop in traversal.hops:
            via(getattr(vim25, hop.kind), hop.path)
            assert set(hop.then) <= names
            assert set(names) >= {item.name for item in traversal.at("4.0").hops}
    assert [hop.name for hop in UP.at("4.0").hops] == ["ManagedEntity.parent"]
    with pytest.raises(UsageError, match="does not refer"):
        via(vim25.VirtualMachine, "name")


def test_pace_backs_off_and_ends_with_patience() -> None:
    pace = PollPolicy(60, 20, jitter=lambda: 1.0)
    now = 0.0
    delays = []
    while now < 60:
        delays.append(pace.failed(ConnectError("no"), now, now))
        now += delays[-1]
    with pytest.raises(ConnectError):
        pace.failed(ConnectError("no"), now, now)
    assert delays == [1.0, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0, 10.0, 10.0, 10.0]
    pace.fine()
    assert pace.failed(OutcomeUnknownError("?"), now, now) == 1.0
    with pytest.raises(vim25.InvalidProperty):
        pace.failed(vim25.InvalidProperty(name="x"), now, now)


def test_pace_shortens_polls_that_are_cut_and_builds_anew_so_often() -> None:
    pace = PollPolicy(60, 20, jitter=lambda: 0.0)
    pace.failed(lost(), 0.0, 10.0)
    assert pace.longest == 8
    fault = vim25.InvalidCollectorVersion()
    assert [pace.gone(fault, 0.0, 1.0) for _ in range(REBUILDS)] == [0.0, 0.25, 0.5, 1.0, 2.0, 4.0]
    with pytest.raises(vim25.InvalidCollectorVersion):
        pace.gone(fault, 0.0, 1.0)


def test_pace_makes_anew_at_once_only_what_lasted() -> None:
    pace = PollPolicy(60, 20, jitter=lambda: 1.0)
    fault = vim25.ManagedObjectNotFound(obj=vim25.ListView("v"))
    delays = []
    for _ in range(3 * REBUILDS):  # each told of something, and went at once
        pace.fine()
        pace.progressed()
        delays.append(pace.gone(fault, 0.0, 0.1))
    assert delays[:6] == [0.0, 0.5, 1.0, 2.0, 4.0, 8.0]
    assert set(delays[6:]) == {BACKOFF.longest}
    for _ in range(3 * REBUILDS):  # one a day, of a set in which nothing happens
        pace.fine()
        assert pace.gone(fault, 0.0, 86_400.0) == 0.0
    for _ in range(REBUILDS - 1):  # takes long to fail, and never works
        pace.gone(fault, 0.0, 90.0)
    with pytest.raises(vim25.ManagedObjectNotFound):
        pace.gone(fault, 0.0, 90.0)


def test_patience_may_last_for_days() -> None:
    pace = PollPolicy(86_400 * 7, 20, jitter=lambda: 1.0)
    now, failures = 0.0, 0
    while now < 86_400:
        now += pace.failed(ConnectError("no"), now, now)
        failures += 1
    assert failures > 8000


@virtual
async def test_what_a_cancelled_caller_made_is_given_back() -> None:
    made: list[str] = []

    async def make() -> str:
        await asyncio.sleep(5)
        made.append("thing")
        return "thing"

    async def undo(thing: str) -> None:
        await asyncio.sleep(5)
        made.remove(thing)

    task = asyncio.create_task(acquire("a thing", make(), undo))
    await asyncio.sleep(1)
    for _ in range(3):
        task.cancel()
        await settle()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert made == []


@virtual
async def test_giving_back_is_bounded_and_its_failure_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def hang() -> None:
        await asyncio.sleep(1e9)

    async def refuse() -> None:
        raise vim25.NoPermission(object=vim25.Folder("f"), privilegeId="System.View")

    await release("the one", hang())
    await release("the other", refuse())
    assert [record.args[0] for record in caplog.records if record.args] == ["the one", "the other"]  # type: ignore[index]


@virtual
async def test_a_consumer_of_an_old_host_that_does_not_come_reads_all_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shared, "BACKLOG", 50)
    host = Host("4.0")
    vm = host.add(vim25.VirtualMachine, "vm", name="0")
    context = host.context()
    async with (
        watch(context, vim25.VirtualMachine, "name") as slow,
        watch(context, vim25.VirtualMachine, "name") as quick,
    ):
        idle, busy = aiter(slow), aiter(quick)
        await anext(idle)
        await anext(busy)
        for n in range(1, 100):
            host.set(vm, name=str(n))
            assert (await anext(busy)).changed == {"name": str(n)}
        assert (await anext(idle)).changed == {"name": "99"}
    assert host.leftovers() == []
