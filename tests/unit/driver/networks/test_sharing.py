"""Several who need one new port group: none takes it from another, and the last one removes it.

Each user here has a client, a journal and a host object of its own: nothing in this process is common
to them, as if they ran on different computers.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.driver.hosted import (
    CONFIG,
    Beside,
    Hosted,
    host_of,
    hosted,
    spec,
    until,
    write_note,
)
from vimdriver._instances.types import NICSpec
from vimdriver._networks import making, notes
from vimdriver._networks.making import ensure_vlan, port_group_steps
from vimdriver._networks.port_groups import Network, gather_network, remove_vlan
from vimdriver._verbs import Host, Plan, Run, Step, execute, returns
from vimlib import vim25
from vimlib.errors import HostStateError

BLUE = "blue"


class User:
    """One who makes a port group, works with it for a while, and succeeds or fails."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.works, self.end = asyncio.Event(), asyncio.Event()
        self.fails = False

    async def run(self) -> bool:
        network = await gather_network(self.host, BLUE)
        *made, kept = port_group_steps(self.host, network, BLUE, 42, interface="vmnic0")

        async def work(run: Run) -> None:
            self.works.set()
            await self.end.wait()
            if self.fails:
                raise HostStateError("on order", state="failed")

        steps = (*made, Step[None](title="work", call=work), kept)
        try:
            await execute(self.host, Plan("use it", steps, returns(None)))
        except HostStateError:
            return False
        return True

    async def start(self) -> asyncio.Task[bool]:
        task = asyncio.create_task(self.run())
        waiting = asyncio.create_task(self.works.wait())
        await asyncio.wait([task, waiting], return_when=asyncio.FIRST_COMPLETED)
        assert self.works.is_set(), task
        return task

    async def finish(self, task: asyncio.Task[bool], *, fails: bool) -> None:
        self.fails = fails
        self.end.set()
        assert await task is not fails


@asynccontextmanager
async def users(host: Hosted, count: int) -> AsyncIterator[list[User]]:
    async with AsyncExitStack() as stack:
        yield [User(host_of(await stack.enter_async_context(host.client()))) for _ in range(count)]


async def test_one_fails_while_the_other_works(host: Hosted) -> None:
    async with users(host, 2) as (one, two):
        first, second = await one.start(), await two.start()
        await one.finish(first, fails=True)
        assert BLUE in host.state().groups
        await two.finish(second, fails=False)
        assert BLUE in host.state().groups
        # It is ours, though its maker is gone.
        await remove_vlan.run(two.host, BLUE)
    assert (BLUE in host.state().groups, host.state().files) == (False, frozenset())


async def test_one_who_fails_before_it_is_made_leaves_what_somebody_else_makes_then(
    host: Hosted, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def looked(of: Host) -> Network:
        found = await gather_network(of)
        spec = vim25.HostPortGroupSpec(
            name=BLUE, vlanId=42, vswitchName="vSwitch0", policy=vim25.HostNetworkPolicy()
        )
        await found.system.AddPortGroup(spec)
        return found

    async with host.client() as client:
        ours = host_of(client)
        network = await gather_network(ours, BLUE)
        folder, noted, *_ = port_group_steps(ours, network, BLUE, 42, interface="vmnic0")

        async def fail(run: Run) -> None:
            monkeypatch.setattr(making, "gather_network", looked)
            raise HostStateError("on order", state="failed")

        plan = Plan("use it", (folder, noted, Step[None](title="fail", call=fail)), returns(None))
        with pytest.raises(HostStateError, match="on order"):
            await execute(ours, plan)
    assert (BLUE in host.state().groups, host.state().files) == (True, frozenset())


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
async def test_the_last_of_those_who_fail_removes_it(order: tuple[int, int], host: Hosted) -> None:
    clean = replace(host.state(), sessions=0)
    async with users(host, 2) as both:
        tasks = [await user.start() for user in both]
        for at in order:
            assert BLUE in host.state().groups
            await both[at].finish(tasks[at], fails=True)
    assert replace(host.state(), sessions=0) == clean


async def test_one_who_succeeds_keeps_it_from_those_who_fail(host: Hosted) -> None:
    async with users(host, 3) as (one, two, three):
        tasks = [await user.start() for user in (one, two, three)]
        await two.finish(tasks[1], fails=False)
        await one.finish(tasks[0], fails=True)
        await three.finish(tasks[2], fails=True)
        assert BLUE in host.state().groups
        await remove_vlan.run(one.host, BLUE)
    assert host.state().files == frozenset()


async def test_one_who_comes_waits_for_one_who_leaves(host: Hosted) -> None:
    async with users(host, 2) as (one, two):
        first = await one.start()
        host.beside.call(lambda: host.esx.faults.add("RemovePortGroup", "delay", seconds=0.5))
        one.fails = True
        one.end.set()
        await until(lambda: bool(host.esx.calls("RemovePortGroup")))
        # It is still there, and about to go.
        assert BLUE in host.state().groups
        second = await two.start()
        assert not await first
        assert BLUE in host.state().groups
        calls = [c for c in host.methods() if c in ("AddPortGroup", "RemovePortGroup")]
        assert calls == ["AddPortGroup", "RemovePortGroup", "AddPortGroup"]
        await two.finish(second, fails=False)
    assert BLUE in host.state().groups


async def test_one_who_was_killed_while_leaving_is_waited_for_a_while_only(host: Hosted) -> None:
    async with host.client() as client:
        note = await write_note(host_of(client), BLUE, 42)
        await notes.turn(host_of(client), note, "leaving")
        user = User(host_of(client, replace(CONFIG, cleanup_seconds=0.2)))
        task = await user.start()
        await user.finish(task, fails=False)
    assert BLUE in host.state().groups


async def test_ensuring_it_keeps_it_from_a_spawn_that_fails(host: Hosted) -> None:
    async with users(host, 2) as (one, two):
        first = await one.start()
        await ensure_vlan.run(two.host, BLUE, 42)
        await one.finish(first, fails=True)
    assert BLUE in host.state().groups


async def test_a_port_group_that_is_whole_costs_no_note(host: Hosted) -> None:
    async with users(host, 2) as (one, two):
        await ensure_vlan.run(one.host, BLUE, 42)
        before = host.state().files
        assert not (await ensure_vlan.function(two.host, BLUE, 42)).steps
    assert host.state().files == before


@pytest.mark.parametrize("seed", range(6))
async def test_any_order_of_many(seed: int, beside: Beside, tmp_path: Path) -> None:
    chance = random.Random(seed)
    with hosted(beside, tmp_path / "s") as host:
        clean = replace(host.state(), sessions=0)
        async with users(host, 5) as all_of_them:
            for user in all_of_them:
                user.fails = chance.random() < 0.7
                user.end.set()

            async def later(user: User, turns: int) -> bool:
                for _ in range(turns):
                    await asyncio.sleep(0)
                return await user.run()

            done = await asyncio.gather(
                *(later(user, chance.randrange(400)) for user in all_of_them)
            )
            assert done == [not user.fails for user in all_of_them]
            state = host.state()
            assert (BLUE in state.groups) is any(done)
            if any(done):
                assert {Path(name).suffix for name in state.files} & {
                    ".making",
                    ".leaving",
                } == set()
                await remove_vlan.run(all_of_them[0].host, BLUE)
        assert replace(host.state(), sessions=0) == clean


async def test_a_port_group_that_somebody_is_making_is_not_removed_by_hand(host: Hosted) -> None:
    async with users(host, 2) as (one, two):
        first = await one.start()
        before = host.state()
        with pytest.raises(HostStateError, match="is being made") as caught:
            await remove_vlan.run(two.host, BLUE)
        assert (caught.value.state, caught.value.outcome) == ("busy", "refused")
        assert "vimctl sweep" in str(caught.value.hint)
        assert host.state() == before
        await one.finish(first, fails=False)
        assert BLUE in host.state().groups
        await remove_vlan.run(two.host, BLUE)
    assert (BLUE in host.state().groups, host.state().files) == (False, frozenset())


async def test_two_spawns_on_one_new_vlan_of_which_one_fails(host: Hosted, image: Path) -> None:
    nics = (NICSpec(network=BLUE, vlan=42),)
    async with host.driver() as one, host.driver() as two:
        faults = host.esx.faults
        host.beside.call(lambda: faults.hold_task("CreateVirtualDisk_Task"))
        first = asyncio.create_task(one.spawn(spec(image, "one", nics=nics)))
        await until(lambda: "CreateVirtualDisk_Task" in host.state().running)
        # The second one has seen the port group, and nothing of it uses the port group yet.
        host.beside.call(lambda: faults.add("CreateVM_Task", "delay", seconds=1))
        second = asyncio.create_task(two.spawn(spec(image, "two", nics=nics)))
        await until(lambda: len(host.esx.calls("CreateVM_Task")) == 2)
        first.cancel()
        host.beside.call(lambda: faults.release_task("CreateVirtualDisk_Task"))
        with pytest.raises(asyncio.CancelledError):
            await first
        made = await second
        assert made.power_state == "poweredOn"
        assert host.state().machines == {"two"}
        assert BLUE in host.state().groups
        vm = one.client.bind(vim25.VirtualMachine(made.moref))
        assert (await one.client.get(vm, "network"))["network"]
        await one.destroy("two")
        await one.remove_vlan(BLUE)
    assert host.state().files == frozenset()
