from __future__ import annotations

import asyncio
import itertools
import pickle
from collections.abc import Mapping
from typing import Any

import pytest

from tests.unit.collector.host import Host, lost, runtime_info
from tests.unit.collector.virtual import settle, virtual
from vimlib import vim25
from vimlib._tasks import TaskWaiter
from vimlib.errors import (
    ClosedError,
    ConnectionLostError,
    HTTPStatusError,
    TaskError,
    TaskQuestionError,
    TaskTimeoutError,
    TaskVanishedError,
    UsageError,
)
from vimlib.model import ManagedObject

HOSTS = pytest.mark.parametrize(
    ("version", "views"),
    [("4.0", True), ("4.0", False), ("4.1", True), ("8.0.3.0", True), ("8.0.3.0", False)],
)


def made(version: str = "8.0.3.0", views: bool = True) -> Host:
    host = Host(version)
    host.has_views = views
    return host


def later(host: Host, task: vim25.Task[Any], state: str, **info: Any) -> None:
    """End a task when it is no longer read directly."""
    asyncio.get_running_loop().call_later(0.1, lambda: host.update_task(task, state, **info))


def fault(what: vim25.MethodFault, message: str = "") -> vim25.LocalizedMethodFault:
    return vim25.LocalizedMethodFault(fault=what, localizedMessage=message)


@HOSTS
@virtual
async def test_returns_the_result_of_a_task_that_ends_later(version: str, views: bool) -> None:
    host = made(version, views)
    vm = host.add(vim25.VirtualMachine, "vm-1", name="new")
    async with TaskWaiter(host.context()) as tasks:
        for _ in range(3):
            task = host.task("queued")
            waiter = asyncio.create_task(tasks.wait(task))
            await asyncio.sleep(50)
            host.update_task(task, "running")
            await asyncio.sleep(50)
            assert not waiter.done()
            host.update_task(task, "success", result=vm)
            before = asyncio.get_running_loop().time()
            assert await waiter == vm
            assert asyncio.get_running_loop().time() == before
    assert host.leftovers() == []
    assert host.most_waiting == 1


@HOSTS
@virtual
async def test_a_task_that_has_ended_already_costs_one_call(version: str, views: bool) -> None:
    host = made(version, views)
    async with TaskWaiter(host.context()) as tasks:
        for n in range(3):
            calls = len(host.calls)
            assert await tasks.wait(host.task("success", result=n)) == n
            assert len(host.calls) - calls == 1
            await settle()
    assert host.leftovers() == []


@HOSTS
@virtual
async def test_a_task_that_ends_while_it_is_polled_for_costs_six_calls(
    version: str, views: bool
) -> None:
    host = made(version, views)
    async with TaskWaiter(host.context()) as tasks:
        for n in range(4):
            calls = len(host.calls)
            task = host.task("running")
            later(host, task, "success", result=n)
            assert await tasks.wait(task) == n
            assert n == 0 or len(host.calls) - calls <= (6 if views else 8)
            await settle()
    assert host.leftovers() == []


@virtual
async def test_a_short_task_does_not_wait_for_a_host_that_reports_rarely() -> None:
    host = made()
    host.registry.update_interval = 0.25
    clock = asyncio.get_running_loop().time
    async with TaskWaiter(host.context()) as tasks:
        slow = asyncio.create_task(tasks.wait(host.task("running")))
        await asyncio.sleep(1)  # the long poll waits for it
        for seconds in (0.0, 0.004, 0.012, 0.03):
            task, began = host.task("running"), clock()
            asyncio.get_running_loop().call_later(seconds, host.update_task, task, "success")
            await tasks.wait(task)
            assert clock() - began <= 2 * seconds + 0.0051
        assert host.most_waiting == 1
        slow.cancel()


@virtual
async def test_short_tasks_that_start_together_are_read_together() -> None:
    host = made()
    async with TaskWaiter(host.context()) as tasks:
        items = [host.task("success", result=n) for n in range(200)]
        found = await asyncio.gather(*[tasks.wait(task) for task in items])
        assert found == list(range(200))
        assert len(host.calls) == 1


@virtual
async def test_a_direct_read_that_fails_leaves_the_task_to_the_poll() -> None:
    host = made()

    def reply(method: str, result: Any) -> None:
        if method == "RetrievePropertiesEx":
            raise lost()

    host.reply = reply
    async with TaskWaiter(host.context()) as tasks:
        assert await tasks.wait(host.task("success", result=1)) == 1
    assert host.count("RetrievePropertiesEx") == 1
    assert host.leftovers() == []


@virtual
async def test_closing_ends_waits_for_fresh_tasks() -> None:
    host = made()
    tasks = TaskWaiter(host.context())
    waiter = asyncio.create_task(tasks.wait(host.task("running")))
    await asyncio.sleep(0.001)
    await tasks.aclose()
    with pytest.raises(ClosedError):
        await waiter
    assert host.calls == []


@virtual
async def test_a_thousand_waits_take_one_long_poll_and_few_calls() -> None:
    host = made()
    items = [host.task("running") for _ in range(1000)]
    async with TaskWaiter(host.context()) as tasks:
        waits = asyncio.gather(*[tasks.wait(task) for task in items])
        await asyncio.sleep(0.1)
        for at in range(0, 1000, 200):
            for n in range(at, at + 200):
                props = host.objects[items[n].moref]
                props["info"].state = "success"
                props["info"].result = n
            host.touch()
            await asyncio.sleep(0.1)
        assert await waits == list(range(1000))
        assert host.count("ModifyListView") == 1
        assert len(host.calls) < 20
        assert host.most_waiting == 1
    assert host.leftovers() == []


@virtual
async def test_many_may_wait_for_the_same_task() -> None:
    host = made()
    task = host.task("running")
    async with TaskWaiter(host.context()) as tasks:
        waits = [asyncio.create_task(tasks.wait(task)) for _ in range(3)]
        await settle()
        late = asyncio.create_task(tasks.wait(task, on_progress=lambda _: None))
        await settle()
        waits[0].cancel()
        host.update_task(task, "error", error=fault(vim25.InvalidState()))
        results = await asyncio.gather(*waits, late, return_exceptions=True)
        assert isinstance(results[0], asyncio.CancelledError)
        assert all(isinstance(result, vim25.InvalidState) for result in results[1:])
        assert len({id(result) for result in results[1:]}) == 3, "each has an exception of its own"
        with pytest.raises(vim25.InvalidState):
            await tasks.wait(task)
    assert host.leftovers() == []


@virtual
async def test_a_failed_task_raises_a_copy_of_its_fault() -> None:
    host = made()
    known = vim25.InvalidPowerState(requestedState="poweredOn", existingState="poweredOn")
    task = host.task("error", error=fault(known, "is on already"))
    async with TaskWaiter(host.context()) as tasks:
        with pytest.raises(vim25.InvalidPowerState) as caught:
            await tasks.wait(task)
        assert caught.value is not known
        assert caught.value == known
        assert caught.value.task == task  # type: ignore[attr-defined]
        assert caught.value.outcome == "refused"
        assert "is on already" in str(caught.value)
        assert pickle.loads(pickle.dumps(known)) == known
        with pytest.raises(TaskError, match="failed without a readable fault"):
            await tasks.wait(host.task("error"))


@virtual
async def test_row_38_a_hostile_message_is_escaped_and_capped() -> None:
    host = made()
    message = "\x9b31mfehlgeschlagen: Größe\r\nroot: ok " + "x" * 2**20
    async with TaskWaiter(host.context()) as tasks:
        with pytest.raises(vim25.FileNotFound) as caught:
            await tasks.wait(
                host.task("error", error=fault(vim25.FileNotFound(file="[ds] a"), message))
            )
    for text in (str(caught.value), caught.value.localized_message):
        assert len(text) < 3000
        assert "\x9b" not in text
        assert "\n" not in text
        assert "Größe" in text


@virtual
async def test_row_37_a_task_that_is_gone_amid_the_wait_has_vanished() -> None:
    host = made()
    task = host.task("running")
    async with TaskWaiter(host.context()) as tasks:
        waiter = asyncio.create_task(tasks.wait(task))
        await asyncio.sleep(30)
        host.remove(task)
        with pytest.raises(TaskVanishedError) as caught:
            await waiter
        assert caught.value.outcome == "unknown"
        assert caught.value.task == task


@HOSTS
@virtual
async def test_row_37_a_task_that_is_gone_before_the_wait_has_vanished(
    version: str, views: bool
) -> None:
    host = made(version, views)
    gone, here = host.task("success"), host.task("success", result="here")
    host.remove(gone)
    async with TaskWaiter(host.context()) as tasks:
        results = await asyncio.gather(tasks.wait(gone), tasks.wait(here), return_exceptions=True)
        assert isinstance(results[0], TaskVanishedError)
        assert results[1] == "here"


@virtual
async def test_row_37_a_host_that_refuses_the_lot_for_one_that_is_gone() -> None:
    host = made()
    gone, here = host.task("running"), host.task("running")
    later(host, here, "success", result="here")

    async def hook(method: str, this: object, args: Mapping[str, Any]) -> None:
        if method == "ModifyListView" and gone in args["add"]:
            if gone.moref in host.objects:
                host.remove(gone)
            raise vim25.ManagedObjectNotFound(obj=gone)

    host.hook = hook
    async with TaskWaiter(host.context()) as tasks:
        results = await asyncio.gather(tasks.wait(gone), tasks.wait(here), return_exceptions=True)
        assert isinstance(results[0], TaskVanishedError)
        assert results[1] == "here"


@pytest.mark.parametrize("state", ["running", "queued", "meditating"])
@virtual
async def test_row_39_a_task_that_does_not_end_times_out(state: str) -> None:
    host = made()
    task = host.task(state, progress=0)
    async with TaskWaiter(host.context()) as tasks:
        progress: list[int | None] = []
        waiter = asyncio.create_task(tasks.wait(task, 300, progress.append))
        for percent in (40, 10, 10, None, 30):
            await asyncio.sleep(10)
            host.update_task(task, state, progress=percent)
        with pytest.raises(TaskTimeoutError) as caught:
            await waiter
        assert isinstance(caught.value, TimeoutError)
        assert state in str(caught.value)
        assert "30 %" in str(caught.value)
        assert progress == [0, 40, 10, None, 30]
        assert host.count("CancelTask") == 0
        host.update_task(task, "success", result=1)
        assert await tasks.wait(task) == 1


@virtual
async def test_row_39_a_wait_that_times_out_cancels_the_task_if_asked_to() -> None:
    host = made()
    task = host.task("running")
    async with TaskWaiter(host.context()) as tasks:
        with pytest.raises(TaskTimeoutError, match="cancellation was requested"):
            await tasks.wait(task, 5, cancel=True)
        with pytest.raises(vim25.RequestCanceled):
            await tasks.wait(task)
        other = host.task("running")

        async def hook(method: str, this: object, args: Mapping[str, Any]) -> None:
            if method == "CancelTask":
                raise vim25.NotSupported

        host.hook = hook
        with pytest.raises(TaskTimeoutError, match="NotSupported"):
            await tasks.wait(other, 5, cancel=True)


@pytest.mark.parametrize("cancel", [True, False])
@virtual
async def test_cancelling_the_wait_leaves_the_task_alone_unless_asked(cancel: bool) -> None:
    host = made()
    task = host.task("running")
    async with TaskWaiter(host.context()) as tasks:
        waiter = asyncio.create_task(tasks.wait(task, cancel=cancel))
        await settle()
        waiter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiter
        assert host.count("CancelTask") == int(cancel)


@virtual
async def test_row_40_no_permission_to_read_the_state_is_raised() -> None:
    host = made()
    task = host.task("running")
    host.denied[task.moref, "info.state"] = vim25.NoPermission(
        object=task, privilegeId="System.Read"
    )
    async with TaskWaiter(host.context()) as tasks:
        with pytest.raises(vim25.NoPermission) as caught:
            await tasks.wait(task, 5)
        assert caught.value.privilegeId == "System.Read"
        assert caught.value.task == task  # type: ignore[attr-defined]


@virtual
async def test_row_41_no_end_is_lost_in_truncated_sets() -> None:
    host = made()
    host.update_limit = 7
    items = [host.task("running") for _ in range(100)]
    async with TaskWaiter(host.context()) as tasks:
        waits = asyncio.gather(*[tasks.wait(task) for task in items])
        await asyncio.sleep(1)
        for n, task in enumerate(items):
            host.update_task(task, "success", result=n)
        assert await waits == list(range(100))


@HOSTS
@virtual
async def test_row_32_a_session_that_ends_loses_no_task(version: str, views: bool) -> None:
    host = made(version, views)
    items = [host.task("running") for _ in range(5)]
    async with TaskWaiter(host.context()) as tasks:
        waits = asyncio.gather(*[tasks.wait(task) for task in items], return_exceptions=True)
        await asyncio.sleep(10)
        for n in range(3):  # they end while nobody watches
            host.objects[items[n].moref]["info"].state = "success"
        del host.objects[items[3].moref]
        host.expire()
        await asyncio.sleep(10)
        host.update_task(items[4], "success", result="last")
        results = await waits
        assert results[:3] == [None, None, None]
        assert isinstance(results[3], TaskVanishedError)
        assert results[4] == "last"
    assert host.leftovers() == []


@HOSTS
@virtual
async def test_row_32_a_session_that_ends_before_the_first_filter_loses_no_task(
    version: str, views: bool
) -> None:
    host = made(version, views)
    task = host.task("running")
    later(host, task, "success", result="done")
    ended: list[str] = []

    async def hook(method: str, this: ManagedObject, args: Mapping[str, Any]) -> None:
        if method == "CreateFilter" and not ended:
            ended.append(method)
            host.expire()

    host.hook = hook
    async with TaskWaiter(host.context()) as tasks:
        assert await tasks.wait(task) == "done"
    assert ended
    assert host.leftovers() == []


@virtual
async def test_row_42_polls_that_are_cut_and_replies_that_are_lost() -> None:
    host = made()
    task = host.task("running")
    cuts = 0

    def reply(method: str, result: Any) -> None:
        nonlocal cuts
        if method == "WaitForUpdatesEx" and cuts < 4:
            cuts += 1
            raise lost()

    host.reply = reply
    async with TaskWaiter(host.context()) as tasks:
        waiter = asyncio.create_task(tasks.wait(task))
        await asyncio.sleep(5)
        host.update_task(task, "success", result=5)
        assert await waiter == 5
    assert cuts == 4
    assert host.count("CreatePropertyCollector") == 1


@virtual
async def test_a_host_that_stays_away_fails_all_waits_and_a_later_one_begins_anew() -> None:
    host = made()
    items = [host.task("running") for _ in range(3)]
    away = [False]

    async def hook(method: str, this: object, args: Mapping[str, Any]) -> None:
        if away[0]:
            raise lost()

    host.hook = hook
    async with TaskWaiter(host.context(patience=30)) as tasks:
        waits = [asyncio.create_task(tasks.wait(task)) for task in [*items, items[0]]]
        await asyncio.sleep(5)
        away[0] = True
        host.touch()
        results = await asyncio.gather(*waits, return_exceptions=True)
        assert all(isinstance(result, ConnectionLostError) for result in results)
        assert len({id(result) for result in results}) == 4
        away[0] = False
        host.update_task(items[0], "success", result=1)
        assert await tasks.wait(items[0]) == 1


@pytest.mark.parametrize(
    "error",
    [
        vim25.TaskInProgress(task=vim25.Task("other")),
        vim25.ConcurrentAccess(),
        vim25.ResourceInUse(),
    ],
)
@virtual
async def test_row_43_somebody_elses_hold_is_waited_out_and_then_raised(
    error: vim25.MethodFault,
) -> None:
    host = made()
    starts: list[float] = []
    refusals = 3

    async def start() -> vim25.Task[int]:
        starts.append(asyncio.get_running_loop().time())
        if len(starts) == 1:
            raise error.copy()  # refused by the call
        if len(starts) <= refusals:
            return host.task("error", error=fault(error))  # refused by the task
        return host.task("success", result=7)

    async with TaskWaiter(host.context()) as tasks:
        assert await tasks.run(start) == 7
        assert len(starts) == 4
        pauses = [b - a for a, b in itertools.pairwise(starts)]
        assert all(0.25 <= pause <= 10 for pause in pauses)
        assert pauses[0] < pauses[2] * 2
        starts.clear()
        refusals = 99
        with pytest.raises(type(error)):
            await tasks.run(start, attempts=4)
        assert len(starts) == 4


@virtual
async def test_run_does_not_repeat_what_may_have_been_done() -> None:
    host = made()
    starts = 0

    async def start() -> vim25.Task[None]:
        nonlocal starts
        starts += 1
        return host.task("error", error=fault(vim25.HostCommunication()))

    async with TaskWaiter(host.context()) as tasks:
        with pytest.raises(vim25.HostCommunication):
            await tasks.run(start)
        assert starts == 1
        with pytest.raises(UsageError):
            await tasks.run(start, attempts=0)


@virtual
async def test_a_task_that_could_not_be_followed_is_read_before_the_probe() -> None:
    """Of two who remove an object, the one whose task failed did not do it, though it is gone."""
    host = made()
    broken = True

    def reply(method: str, result: Any) -> None:
        nonlocal broken
        if method == "WaitForUpdatesEx" and broken:
            broken = False
            raise HTTPStatusError("HTTP 500", status=500, outcome="unknown")

    async def gone() -> bool:
        raise AssertionError("the probe was called")

    host.reply = reply
    async with TaskWaiter(host.context()) as tasks:
        task = host.task("running")
        ended = fault(vim25.ManagedObjectNotFound(obj=vim25.Task("x")))
        later(host, task, "error", error=ended)

        async def start() -> vim25.Task[bool]:
            return task

        with pytest.raises(vim25.ManagedObjectNotFound):
            await tasks.run(start, probe=gone)
    assert not broken


@virtual
async def test_a_pending_question_ends_the_wait() -> None:
    host = made()
    question = vim25.VirtualMachineQuestionInfo(
        id="1", text="Was it \x9bmoved?", choice=vim25.ChoiceOption(choiceInfo=[])
    )
    vm = host.add(vim25.VirtualMachine, "vm-1")
    task = host.task("running", entity=vm)
    async with TaskWaiter(host.context()) as tasks:
        waiter = asyncio.create_task(tasks.wait(task))
        await asyncio.sleep(30)
        host.set(vm, runtime=runtime_info("poweredOn", question=question))
        with pytest.raises(TaskQuestionError) as caught:
            await waiter
        assert caught.value.question == question
        assert "\x9b" not in str(caught.value)
        assert "AnswerVM" in str(caught.value)
        # A task that has ended is not held up by what its machine asks.
        host.update_task(task, "success", result=3)
        assert await tasks.wait(task) == 3
    assert host.leftovers() == []


@virtual
async def test_row_65_a_deadline_that_falls_together_with_the_end() -> None:
    """The result or the timeout; whichever, the next wait works."""
    host = made()
    outcomes = set()
    async with TaskWaiter(host.context()) as tasks:
        for n in range(20):
            task = host.task("running")
            waiter = asyncio.create_task(tasks.wait(task, 10.0))
            await settle()
            loop = asyncio.get_running_loop()
            loop.call_later(10.0 + (n - 10) * 1e-9, host.update_task, task, "success")
            try:
                await waiter
                outcomes.add("result")
            except TaskTimeoutError:
                outcomes.add("timeout")
                assert await tasks.wait(task) is None
    assert outcomes == {"result", "timeout"}


@virtual
async def test_an_error_in_the_callback_ends_that_wait_alone() -> None:
    host = made()
    task = host.task("running", progress=1)

    def fail(percent: int | None) -> None:
        raise TimeoutError("mine")

    async with TaskWaiter(host.context()) as tasks:
        other = asyncio.create_task(tasks.wait(task, 100))
        with pytest.raises(TimeoutError, match="mine"):
            await tasks.wait(task, 100, fail)
        host.update_task(task, "success")
        await other


@virtual
async def test_progress_is_asked_for_only_where_somebody_listens() -> None:
    host = made()
    task = host.task("running", progress=1)
    async with TaskWaiter(host.context()) as tasks:
        waiter = asyncio.create_task(tasks.wait(task))
        await asyncio.sleep(1)
        polls = host.count("WaitForUpdatesEx")
        for percent in range(2, 9):
            host.update_task(task, "running", progress=percent)
            await asyncio.sleep(0.1)
        assert host.count("WaitForUpdatesEx") == polls
        host.update_task(task, "success")
        await waiter


@virtual
async def test_a_host_that_does_not_tell_of_a_task_is_asked() -> None:
    host = made()
    deaf = [True]

    async def hook(method: str, this: object, args: Mapping[str, Any]) -> Any:
        return [] if method == "ModifyListView" and deaf[0] else None

    host.hook = hook
    async with TaskWaiter(host.context()) as tasks:
        task, before = host.task("running"), asyncio.get_running_loop().time()
        later(host, task, "success", result=1)
        assert await tasks.wait(task) == 1
        assert 1 < asyncio.get_running_loop().time() - before < 3


@virtual
async def test_a_task_that_is_waited_for_again_is_read() -> None:
    host = made()
    task, other = host.task("running"), host.task("running")

    async def once_more(tasks: TaskWaiter, result: int) -> None:
        host.update_task(task, "running")
        later(host, task, "success", result=result)
        assert await tasks.wait(task) == result

    async with TaskWaiter(host.context()) as tasks:
        for n in range(3):
            await once_more(tasks, n)  # in the filter set still
        later(host, other, "success")
        await tasks.wait(other)  # lets it out
        await once_more(tasks, 4)


@virtual
async def test_closing_ends_waits_and_refuses_more() -> None:
    host = made()
    task = host.task("running")
    tasks = TaskWaiter(host.context())
    waiter = asyncio.create_task(tasks.wait(task))
    await settle()
    await tasks.aclose()
    with pytest.raises(ClosedError):
        await waiter
    with pytest.raises(ClosedError):
        await tasks.wait(task)
    await tasks.aclose()
    assert host.leftovers() == []
    with pytest.raises(UsageError):
        await TaskWaiter(host.context()).wait("task-1")  # type: ignore[arg-type]


@HOSTS
@virtual
async def test_nothing_stays_behind_wherever_closing_or_cancelling_comes(
    version: str, views: bool
) -> None:
    for step in range(30):
        host = made(version, views)
        host.latency = 1.0
        task = host.task("running")

        async def work(host: Host = host, task: vim25.Task[Any] = task) -> None:
            async with TaskWaiter(host.context()) as tasks:
                await tasks.wait(task)

        running = asyncio.create_task(work())
        await asyncio.sleep(step / 2 + 0.25)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert host.leftovers() == [], f"cancelled after {step / 2 + 0.25} s"


@virtual
async def test_a_view_that_the_host_drops_is_made_anew() -> None:
    host = made()
    task = host.task("running")
    async with TaskWaiter(host.context()) as tasks, asyncio.timeout(120):
        waiter = asyncio.create_task(tasks.wait(task))
        await asyncio.sleep(40)
        host.drop_views()
        await asyncio.sleep(40)
        host.update_task(task, "success", result="done")
        assert await waiter == "done"
    assert host.leftovers() == []
