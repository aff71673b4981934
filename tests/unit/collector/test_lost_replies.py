"""Replies that get lost, of each call that a collect, a watch, a wait and their kin are made of.

What they make on the host belongs to the session alone, so a second one harms nobody: the verb
goes on, no error comes, and what is left over is little and goes with the session. The clock is
fake, the host and the connections are not.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, get_args

import pytest

import vimlib
from tests.rig import clock
from tests.rig.leaks import leakcheck
from tests.rig.login import connected
from vimlib import vim25
from vimlib._session import HARMLESS, READ_ONLY
from vimlib._session.policy import Backoff, RetryPolicy
from vimlib.errors import OutcomeUnknownError
from vimlib.simulator import ESXHost
from vimlib.simulator._core.injection import What

VM = vim25.VirtualMachine
QUICK = RetryPolicy(backoff=Backoff(first=0.01, longest=0.1))
MADE = frozenset(
    "ListView ContainerView InventoryView PropertyFilter EventHistoryCollector".split()
)
WAYS: tuple[What, ...] = ("drop", "reset", "lose", "truncate")
MACHINES = 5
# The session's own: it logs in and out by them.
OWN = frozenset({"RetrieveServiceContent", "Login", "Logout"})

# What the verbs do to the host themselves, whose lost reply is the caller's to know of.
CHANGES = frozenset({"ReconfigVM_Task", "LogUserEvent"})
_number = itertools.count()

Verb = Callable[[vimlib.Client], Awaitable[object]]


async def collect(client: vimlib.Client) -> None:
    rows = await client.collect(VM, "name", page=2).all()
    names = [row["name"] for row in rows]
    assert sorted(names) == [f"vm-{n}" for n in range(MACHINES)], names


async def first(client: vimlib.Client) -> None:
    assert await client.collect(VM, "name", page=2).first() is not None


async def read(client: vimlib.Client) -> None:
    machines = [vm.obj for vm in await client.collect(VM, "name").all()]
    rows = await client.get(machines, "name")
    assert len(rows) == MACHINES


async def change(client: vimlib.Client, vm: VM) -> vim25.Task[None]:
    spec = vim25.VirtualMachineConfigSpec(annotation="changed")
    return await client.bind(vm).ReconfigVM_Task(spec)


async def watch(client: vimlib.Client) -> None:
    seen: Counter[str] = Counter()
    async with client.watch(VM, "name", "config.annotation") as changes:
        async for item in changes:
            seen[item.kind] += 1
            if changes.synced and item.row.get("config.annotation") == "changed":
                break
            if changes.synced and seen["enter"] == MACHINES and not seen["modify"]:
                await change(client, item.obj)
    assert seen == {"enter": MACHINES, "modify": 1}, "each is told of once"


async def wait(client: vimlib.Client) -> None:
    vm = await client.collect(VM).first()
    assert vm is not None
    await client.wait(await change(client, vm.obj))


async def wait_for(client: vimlib.Client) -> None:
    vm = await client.collect(VM).first()
    assert vm is not None
    await change(client, vm.obj)
    await client.wait_for(vm.obj, "config.annotation", lambda value: value == "changed", 60)


async def events(client: vimlib.Client) -> None:
    manager = client.content.eventManager
    assert manager is not None
    root = client.content.rootFolder
    number = next(_number)
    keys: list[int] = []
    ours: list[str] = []
    await client.bind(manager).LogUserEvent(root, f"{number} first")
    async with client.events() as stream:
        async for event in stream:
            keys.append(event.key)
            if isinstance(event, vim25.GeneralUserEvent) and event.message.startswith(f"{number} "):
                ours.append(event.message.partition(" ")[2])
                if len(ours) == 2:
                    break
                await client.bind(manager).LogUserEvent(root, f"{number} second")
    assert ours == ["first", "second"]
    assert len(keys) == len(set(keys)), "none comes twice"


async def views(client: vimlib.Client) -> None:
    from vimlib._collector import container_view, list_view

    context = client._context
    async with (
        container_view(context, VM) as all_of_them,
        list_view(context) as some,
    ):
        machines: list[vim25.ManagedObject] = [
            row.obj for row in await client.collect(VM, source=all_of_them).all()
        ]
        assert await some.ModifyListView(add=machines[:2]) == []
        assert len(await client.collect(VM, source=some).all()) == 2


async def find(client: vimlib.Client) -> None:
    assert len(await client.find("/**/vm-*")) == MACHINES


VERBS: dict[str, Verb] = {
    verb.__name__: verb
    for verb in (collect, first, read, watch, wait, wait_for, events, views, find)
}


def left(esx: ESXHost) -> Counter[str]:
    """Count what clients have made on the host and not given back."""
    found = Counter(obj.kind for obj in list(esx.registry.objects.values()) if obj.kind in MADE)
    collectors = [o for o in esx.registry.objects.values() if o.kind == "PropertyCollector"]
    # The well-known one, and what each session has of it.
    found["PropertyCollector"] = sum("ha-property-collector" not in o.moid for o in collectors)
    return +found


class Runs:
    """One host, one verb, a session for each run."""

    def __init__(self, esx: ESXHost, verb: Verb) -> None:
        self.esx = esx
        self.verb = verb
        self.over: Counter[str] = Counter()
        """Most that was left of each kind when a verb had ended and the session had not."""

    async def run(self, method: str = "", way: What = "drop", times: int = 1) -> list[str]:
        """Run the verb; return the calls that it made."""
        esx = self.esx
        await self.settled()
        before, log = left(esx), len(esx.call_log)
        for machine in esx.machines.values():
            machine.config.annotation = ""
        async with connected(esx, retries=QUICK) as client:
            rule = esx.faults.add(method, way, times=times) if method else None
            began = asyncio.get_running_loop().time()
            await self.verb(client)
            took = asyncio.get_running_loop().time() - began
            assert took < 60, f"{took} s"
            # The waiter for tasks keeps what it has for the next wait, until the client is left.
            await client.tasks.aclose()
            over = left(esx) - before
            assert over.total() <= (times if method else 0), f"{over} is left"
            self.over |= over
            if rule is not None:
                assert rule.hits == times, f"{method} was not called"
                esx.faults.clear()
        assert left(esx) == before, "it outlives its session"
        assert not esx.sessions.by_cookie
        calls = [record.method for record in esx.call_log[log:]]
        assert calls.count("ReconfigVM_Task") <= 1
        return calls

    async def settled(self) -> None:
        """Let the host's tasks end that nobody waited for."""
        while any(o.kind == "Task" and not o.done for o in self.esx.registry.objects.values()):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def hosted(work: Callable[[ESXHost], Awaitable[None]], version: str = "8.0") -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, clock.HostedClockLoop)
        # Longer than tasks are read directly, so that they are polled for too.
        async with leakcheck(), ESXHost(version, vms=MACHINES, task_seconds=0.2) as esx:
            loop.others = lambda: len(esx.registry._jobs)
            await work(esx)

    clock.run_hosted(main())


@pytest.mark.parametrize("version", ["4.0", "8.0"])
@pytest.mark.parametrize("verb", VERBS)
def test_a_lost_reply_of_any_call_stops_nothing_and_leaves_little(
    verb: str, version: str, record_property: Callable[[str, object], None]
) -> None:
    async def work(esx: ESXHost) -> None:
        runs = Runs(esx, VERBS[verb])
        calls = await runs.run()
        methods = sorted(set(calls) - OWN - CHANGES)
        assert methods
        for method in methods:
            for way in WAYS:
                try:
                    await runs.run(method, way)
                except Exception as error:
                    raise AssertionError(f"{method}, {way}: {error!r}") from error
        record_property("calls", len(methods))
        record_property("left until logout", str(dict(runs.over)))

    hosted(work, version)


@pytest.mark.parametrize("verb", ["collect", "watch", "wait"])
def test_twice_in_a_row_is_borne_too(verb: str) -> None:
    async def work(esx: ESXHost) -> None:
        runs = Runs(esx, VERBS[verb])
        for method in sorted(set(await runs.run()) - OWN - CHANGES):
            if method in HARMLESS | {"CreateFilter"}:
                await runs.run(method, "lose", 2)

    hosted(work)


def test_a_reply_that_is_always_lost_ends_in_an_error() -> None:
    async def work(esx: ESXHost) -> None:
        for verb, method in (
            ("collect", "CreateContainerView"),
            ("collect", "ContinueRetrievePropertiesEx"),
            ("watch", "CreateFilter"),
            ("watch", "CreatePropertyCollector"),
            ("wait", "CreateListView"),
            ("wait", "CreateFilter"),
        ):
            runs = Runs(esx, VERBS[verb])
            before = len(esx.calls(method))
            esx.faults.add(method, "lose", times=None)
            with pytest.raises(OutcomeUnknownError) as caught:
                await runs.run()
            assert caught.value.method == method
            assert len(esx.calls(method)) - before < 60
            esx.faults.clear()
            assert not left(esx)

    hosted(work)


def test_what_is_made_again_is_no_more_than_what_the_policy_names() -> None:
    """Each name is the API's, none is a read, and each is the session's own affair."""
    assert set(get_args(What)) >= set(WAYS)
    binding = vim25.ServiceInstance._binding_
    assert set(binding.method_names()) >= HARMLESS
    assert not HARMLESS & READ_ONLY
    own = {
        "View", "ManagedObjectView", "ListView", "ViewManager", "PropertyCollector", "PropertyFilter",
        "HistoryCollector", "EventManager", "TaskManager",
    }  # fmt: skip
    for name in HARMLESS:
        method: Any = binding.method(name)
        assert method.owner.__name__ in own, name
    assert not {"CreateFilter", "ReadNextEvents", "Logout", "Login", "CreateTask"} & HARMLESS
