"""One executor for all verbs: journal, shielding, probes, and undo in reverse."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from vimdriver._config import DriverConfig
from vimdriver._journal import Entry, MemoryJournal, Uploading
from vimdriver._verbs import Host, Plan, Run, Step, execute
from vimlib import vim25
from vimlib.errors import ConnectError, OutcomeUnknownError

FAULT = vim25.SystemError(reason="on order")
LOST = OutcomeUnknownError("no answer came")


class Tasks:
    """Calls what is to be called; the host shows nothing of what it did not answer."""

    def __init__(self) -> None:
        self.idle_for: list[str] = []
        self.late: Any = None

    async def run(self, start: Callable[[], Awaitable[Any]], *_: Any, **given: Any) -> Any:
        return await start()

    async def idle(self, *, method: str, of: Any, timeout: float) -> None:
        self.idle_for.append(method)

    async def settled(self, probe: Callable[[], Awaitable[Any]], **given: Any) -> Any:
        return await probe()


class Client:
    host = "h:443"

    def __init__(self) -> None:
        self.tasks = Tasks()


class Work:
    """Steps that note what they do."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.journal = MemoryJournal()
        self.client = Client()
        self.host = Host(self.client, DriverConfig(owner="o"), self.journal)  # type: ignore[arg-type]
        self.there: Any = None

    def step(
        self,
        name: str,
        error: BaseException | None = None,
        *,
        probe: bool = False,
        entry: Entry | None = None,
        **given: Any,
    ) -> Step[str]:
        async def call(run: Run) -> str:
            await asyncio.sleep(0)
            self.log.append(name)
            if error is not None:
                raise error
            return f"<{name}>"

        async def undo(run: Run, made: str | None) -> None:
            self.log.append(f"undo {name} {made}")

        async def look(run: Run) -> str | None:
            self.log.append(f"probe {name}")
            found: str | None = self.there
            return found

        usual: dict[str, Any] = {"undo": undo, "title": name, "call": call}
        return Step[str](
            **usual
            | given
            | {
                "probe": look if probe else None,
                "entry": None if entry is None else lambda run: entry,
            }
        )

    async def run(self, *steps: Step[Any], **given: Any) -> Any:
        async def result(run: Run) -> list[Any]:
            return [run.get(step) for step in steps]

        return await execute(self.host, Plan("work", steps, result, **given))


@pytest.fixture
def work() -> Work:
    return Work()


def entry(path: str) -> Uploading:
    return Uploading(host="h", owner="o", path=path)


async def test_a_later_step_has_the_results_of_earlier_ones(work: Work) -> None:
    first = work.step("a")

    async def call(run: Run) -> str:
        return run[first] + "!"

    assert await work.run(first, Step[str](title="b", call=call)) == ["<a>", "<a>!"]
    assert work.log == ["a"]


async def test_a_failing_step_undoes_what_was_done_in_reverse(work: Work) -> None:
    with pytest.raises(vim25.SystemError):
        await work.run(work.step("a"), work.step("b"), work.step("c", FAULT, probe=True))
    # The host refused c, so there is nothing of it.
    assert work.log == ["a", "b", "c", "undo b <b>", "undo a <a>"]


async def test_a_step_that_may_be_several_calls_is_undone_whatever_failed(work: Work) -> None:
    with pytest.raises(vim25.SystemError):
        await work.run(work.step("a", FAULT))
    assert work.log == ["a", "undo a None"]


@pytest.mark.parametrize("there", [None, "<found>"])
async def test_an_unknown_outcome_is_probed_before_it_is_undone(
    there: str | None, work: Work
) -> None:
    work.there = there
    with pytest.raises(OutcomeUnknownError):
        await work.run(work.step("a", LOST, probe=True, method="CreateVM_Task"))
    undone = [] if there is None else ["undo a <found>"]
    assert work.log == ["a", "probe a", *undone]
    # What the host may still be executing has ended before anything is undone.
    assert work.client.tasks.idle_for == ["CreateVM_Task"]


async def test_a_refusal_can_be_as_good_as_success(work: Work) -> None:
    step = work.step("a", FAULT, probe=True, refused=lambda run, fault: "<was there>")
    assert await work.run(step) == ["<was there>"]


async def test_the_journal_has_a_step_before_it_begins_and_until_it_is_kept(work: Work) -> None:
    open_: list[list[str]] = []
    one = entry("1")

    async def call(run: Run) -> None:
        open_.append([e.token for e in work.journal.running])

    first = Step[None](title="a", call=call, entry=lambda run: one)
    again = Step[None](title="b", call=call, entry=lambda run: one)
    await work.run(first, again)
    assert open_ == [[one.token]] * 2
    assert not work.journal.running
    assert not await work.journal.abandoned()


async def test_an_entry_is_closed_when_undone_and_left_to_a_sweep_when_not(work: Work) -> None:
    undone, stays = entry("1"), entry("2")
    steps = work.step("a", entry=undone), work.step("b", entry=stays, undo=None)
    with pytest.raises(ConnectError):
        await work.run(*steps, work.step("c", ConnectError("away"), undo=None))
    assert await work.journal.abandoned() == (stays,)


async def test_what_cannot_be_undone_is_named_in_a_note(work: Work) -> None:
    async def undo(run: Run, made: object) -> None:
        raise ConnectError("away")

    with pytest.raises(vim25.SystemError) as caught:
        await work.run(
            work.step("a", undo=undo, makes="machine web"), work.step("b", FAULT, probe=True)
        )
    assert caught.value.__notes__ == ["Left behind: machine web (away)"]


@pytest.mark.parametrize("interruptible", [False, True])
async def test_cancelling_lets_a_call_end_unless_it_is_interruptible(
    interruptible: bool, work: Work
) -> None:
    reached, go = asyncio.Event(), asyncio.Event()

    async def call(run: Run) -> str:
        reached.set()
        await go.wait()
        work.log.append("ended")
        return "<b>"

    slow = work.step("b", call=call, interruptible=interruptible)
    running = asyncio.create_task(work.run(work.step("a"), slow))
    await reached.wait()
    running.cancel()
    await asyncio.sleep(0)
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await running
    ended = ["undo b None"] if interruptible else ["ended", "undo b <b>"]
    assert work.log == ["a", *ended, "undo a <a>"]


async def test_what_is_temporary_is_undone_on_success_too(work: Work) -> None:
    assert await work.run(work.step("a"), keep=False) == ["<a>"]
    assert work.log == ["a", "undo a <a>"]


async def test_a_plan_explains_the_error_that_ended_it_once_all_is_undone(work: Work) -> None:
    async def explain(host: Host, error: Exception) -> Exception:
        work.log.append("explain")
        return ConnectError("better")

    with pytest.raises(ConnectError, match="better"):
        await work.run(work.step("a"), work.step("b", FAULT, probe=True), explain=explain)
    assert work.log == ["a", "b", "undo a <a>", "explain"]


def test_a_plan_prints_as_a_list_of_steps(work: Work) -> None:
    async def result(run: Run) -> None:
        return None

    steps = work.step("a", probe=True, entry=entry("1")), work.step("b", undo=None)
    plan = Plan("spawn web", steps, result)
    assert str(plan) == "spawn web:\n1. a [journal, probe, undo]\n2. b"
    assert plan.to_json()["steps"][1] == {
        "title": "b",
        "journal": False,
        "probe": False,
        "undo": False,
    }
    assert str(Plan("suspend web", (), result)) == "suspend web: nothing to do"
