"""Verbs on files whose host task never ends: each ends by its own deadline, and says how far it came."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

import vimlib
from tests.rig import clock
from tests.rig.between import took
from tests.rig.leaks import leakcheck
from tests.rig.login import connected
from vimlib import vim25
from vimlib._datastore import Datastore
from vimlib._transport.pace import Deadline
from vimlib.errors import DeadlineError, UsageError
from vimlib.simulator import ESXHost

DATA = bytes(range(256)) * 3000
TIMEOUTS = vimlib.Timeouts(listing=120, files=600)
Work = Callable[[vimlib.Client, Datastore, ESXHost], Awaitable[None]]

SEARCH = "SearchDatastore_Task"
LONG = Deadline(math.inf, math.inf, "timeout")
LOOKING: dict[str, Callable[..., Awaitable[object]]] = {
    "list": lambda store, **how: store.list(**how),
    "stat": lambda store, **how: store.stat("x", **how),
    "exists": lambda store, **how: store.exists("x", **how),
}
CHANGING: dict[str, tuple[str, Callable[..., Awaitable[object]]]] = {
    "delete": ("DeleteDatastoreFile_Task", lambda store, **how: store.delete("x", **how)),
    "move": ("MoveDatastoreFile_Task", lambda store, **how: store.move("x", "y", **how)),
    "copy": ("CopyDatastoreFile_Task", lambda store, **how: store.copy("x", "y", **how)),
}

MAKING: dict[str, tuple[str, Callable[..., Awaitable[object]]]] = {
    "mkdir": ("MakeDirectory", lambda store, **how: store.mkdir("d", **how)),
}


def hosted(work: Work) -> None:
    """Run `work` against a host with the file `x`, the clock of both being fake."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, clock.HostedClockLoop)
        async with leakcheck(), ESXHost() as esx:
            loop.others = lambda: len(esx.registry._jobs)
            root(esx).joinpath("x").write_bytes(DATA)
            async with connected(esx, timeouts=TIMEOUTS) as client:
                store = client.datastore("datastore1")
                await store.place()
                await work(client, store, esx)
                esx.faults.clear()
            assert not esx.sessions.by_cookie

    clock.run_hosted(main())


def root(esx: ESXHost) -> Path:
    return esx.datastore_path("datastore1")


@pytest.mark.parametrize("timeout", [None, 7])
@pytest.mark.parametrize("verb", LOOKING)
def test_row_39_looking_ends_by_its_deadline_and_nothing_was_changed(
    verb: str, timeout: float | None
) -> None:
    async def work(client: vimlib.Client, store: Datastore, esx: ESXHost) -> None:
        esx.faults.hold_task(SEARCH)
        error, seconds = await took(LOOKING[verb](store, timeout=timeout))
        wanted = 120 if timeout is None else timeout
        assert wanted <= seconds < wanted + 1
        assert (error.outcome, error.retryable, error.seconds) == ("not_sent", True, wanted)
        assert error.phase == ("list" if verb == "list" else "stat")
        # The search is the host's to end; who wants to can wait for it.
        esx.faults.release_task(SEARCH)
        assert isinstance(error.task, vim25.Task)
        await client.wait(error.task, timeout=5)
        await LOOKING[verb](store)
        assert len(esx.calls(SEARCH)) == 2

    hosted(work)


@pytest.mark.parametrize("timeout", [None, 7])
@pytest.mark.parametrize("verb", CHANGING)
def test_row_39_changing_ends_by_its_deadline_and_its_outcome_is_unknown(
    verb: str, timeout: float | None
) -> None:
    method, act = CHANGING[verb]

    async def work(client: vimlib.Client, store: Datastore, esx: ESXHost) -> None:
        esx.faults.hold_task(method)
        error, seconds = await took(act(store, timeout=timeout))
        wanted = 600 if timeout is None else timeout
        assert wanted <= seconds < wanted + 1
        assert (error.outcome, error.retryable, error.phase) == ("unknown", False, verb)
        assert "client.wait" in str(error)
        assert root(esx).joinpath("x").read_bytes() == DATA
        # Nothing was called back: the task does what it was asked to when it goes on.
        esx.faults.release_task(method)
        await client.wait(error.task, timeout=5)
        assert await store.exists("x") == (verb == "copy")
        assert await store.exists("y") == (verb != "delete")
        assert len(esx.calls(method)) == 1

    hosted(work)


@pytest.mark.parametrize("verb", ["mkdir", *CHANGING])
def test_a_change_that_had_not_left_is_told_from_one_that_had(verb: str) -> None:
    """The look for the datastore hangs: nothing was sent. The call hangs: nobody knows."""
    method, act = (CHANGING | MAKING)[verb]

    async def work(client: vimlib.Client, store: Datastore, esx: ESXHost) -> None:
        esx.faults.add(method, "hang")
        error, seconds = await took(act(store, timeout=5))
        assert 5 <= seconds < 6
        assert (error.outcome, error.task, error.retryable) == ("unknown", None, False)
        assert "check the file" in str(error)
        fresh = client.datastore("datastore1")
        esx.faults.add("RetrievePropertiesEx", "hang", times=None)
        error, seconds = await took(act(fresh, timeout=5))
        assert (error.outcome, error.task, error.retryable) == ("not_sent", None, True)
        assert len(esx.calls(method)) == 1

    hosted(work)


def test_an_upload_sends_nothing_while_it_is_not_known_whether_the_name_is_taken() -> None:
    async def work(client: vimlib.Client, store: Datastore, esx: ESXHost) -> None:
        esx.faults.hold_task(SEARCH)
        error, seconds = await took(store.upload("new", DATA, timeout=9))
        assert 9 <= seconds < 10
        assert (error.outcome, error.phase, error.rule) == ("not_sent", "upload", "timeout")
        assert not root(esx).joinpath("new").exists()

    hosted(work)


def test_an_upload_whose_folder_is_not_listed_is_no_success() -> None:
    """The listing alone decides: the search that reads the size back stands still."""

    async def work(client: vimlib.Client, store: Datastore, esx: ESXHost) -> None:
        async def chunks() -> AsyncIterator[bytes]:
            esx.faults.hold_task(SEARCH)
            yield DATA

        error, seconds = await took(store.upload("new", chunks(), size=len(DATA)))
        assert 120 <= seconds < 121
        assert (error.outcome, error.rule, error.bytes) == ("unknown", "listing", len(DATA))
        esx.faults.release_task(SEARCH)
        assert (await store.confirm("new", len(DATA))).size == len(DATA)
        esx.lie("datastore1", "new", 5)
        with pytest.raises(vimlib.errors.TransferCorruptError) as caught:
            await store.confirm("new", len(DATA))
        assert (caught.value.expected, caught.value.actual) == (len(DATA), 5)

    hosted(work)


def test_deadlines_that_cannot_be_and_one_that_never_passes() -> None:
    async def work(client: vimlib.Client, store: Datastore, esx: ESXHost) -> None:
        for bad in (0, -1, math.nan):
            with pytest.raises(UsageError):
                await store.list(timeout=bad)
        held = esx.faults.hold_task(SEARCH)
        asyncio.get_running_loop().call_later(2000, held.set)
        assert [entry.name for entry in await store.list(timeout=math.inf)] == ["x"]
        assert asyncio.get_running_loop().time() >= 2000

    with pytest.raises(UsageError):
        vimlib.Timeouts(listing=0)
    hosted(work)


async def test_a_deadline_does_not_swallow_a_cancellation() -> None:
    from vimlib._datastore import DatastorePath
    from vimlib._datastore.deadline import within

    async def work() -> Any:
        async with within(LONG, "list", DatastorePath("d"), "h"):
            await asyncio.sleep(1000)

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_error_of_its_own_kind_from_within_stays_itself() -> None:
    from vimlib._datastore import DatastorePath
    from vimlib._datastore.deadline import within

    own = DeadlineError("x", phase="read")
    with pytest.raises(DeadlineError) as caught:
        async with within(LONG, "list", DatastorePath("d"), "h"):
            raise own
    assert caught.value is own
