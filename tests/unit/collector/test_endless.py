"""A host that never comes to an end is told by its pages: the call fails, and gives back what it holds."""

from __future__ import annotations

import asyncio
import copy
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from tests.rig import clock
from tests.rig.host import service_content
from tests.rig.login import connected
from vimlib import vim25
from vimlib._client import Client
from vimlib._collector import Context, collect, get, watch
from vimlib._collector.bounds import PageCheck, bounded_items
from vimlib._collector.collect import FORGET_SECONDS
from vimlib._events import events
from vimlib._inventory import find, paths_of
from vimlib._tasks import TaskWaiter
from vimlib.errors import DeadlineError, LimitError, ProtocolError, UsageError, VimlibError
from vimlib.model import Method
from vimlib.simulator import ESXHost

RETRIEVALS = frozenset({"RetrievePropertiesEx", "ContinueRetrievePropertiesEx"})


class Hostile:
    """An invoker whose replies are changed before the helpers see them."""

    def __init__(self, client: Client) -> None:
        self._session = client._session
        self.host = client.host
        self.change: Callable[[str, Any], Any] = lambda name, result: result
        self.calls: list[str] = []
        self.canned: dict[str, Any] = {}
        """Replies to methods that do not reach the host."""

    async def invoke(self, method: Method[..., Any], this: Any, args: Any) -> Any:
        self.calls.append(method.name)
        if method.name == "ContinueRetrievePropertiesEx":
            return self.change(method.name, None)  # the host does not know these tokens
        if method.name == "CancelRetrievePropertiesEx":
            return None
        if method.name in self.canned:
            await asyncio.sleep(0)
            found = self.canned[method.name]
            return found() if callable(found) else found
        result = await self._session.invoke(method, self._session.bind(this), args)
        return self.change(method.name, result)


@pytest.fixture
async def esx() -> AsyncIterator[ESXHost]:
    async with ESXHost(vms=3) as host:
        yield host


@pytest.fixture
async def hostile(esx: ESXHost) -> AsyncIterator[tuple[Hostile, Context]]:
    async with connected(esx, keepalive=None) as client:
        invoker = Hostile(client)
        yield invoker, Context(invoker, client.content, client.api_version, most_objects=50)


def same_token(name: str, result: Any, seen: list[Any]) -> Any:
    page = seen[0]
    return vim25.RetrieveResult(objects=page.objects, token="again")


def same_objects(name: str, result: Any, seen: list[Any]) -> Any:
    return vim25.RetrieveResult(objects=seen[0].objects, token=f"token-{len(seen)}")


def nothing(name: str, result: Any, seen: list[Any]) -> Any:
    return vim25.RetrieveResult(objects=[], token=f"token-{len(seen)}")


def made_up(name: str, result: Any, seen: list[Any]) -> Any:
    first = seen[0].objects[0]
    kind = type(first.obj)
    made = vim25.ObjectContent(obj=kind(f"made-up-{len(seen)}"), propSet=first.propSet)
    return vim25.RetrieveResult(objects=[made], token=f"token-{len(seen)}")


Page = Callable[[str, Any, list[Any]], Any]
PAGES: dict[str, tuple[Page, type[VimlibError]]] = {
    "the same token": (same_token, ProtocolError),
    "the same objects": (same_objects, ProtocolError),
    "empty pages": (nothing, ProtocolError),
    "made-up objects": (made_up, LimitError),
}


def endless(page: Page) -> Callable[[str, Any], Any]:
    seen: list[Any] = []

    def change(name: str, result: Any) -> Any:
        if name not in RETRIEVALS or (name == "RetrievePropertiesEx" and result is None):
            return result
        if name == "RetrievePropertiesEx":
            seen.clear()
            result.token = "token-0"
            seen.append(result)
            return result
        seen.append(page(name, result, seen))
        return seen[-1]

    return change


async def drain(stream: Any, into: list[Any] | None = None) -> None:
    """Iterate to the end, and release what it holds on every way out."""
    async with stream:
        async for item in stream:
            if into is not None:
                into.append(item)


async def all_of(context: Context) -> Any:
    return await collect(context, vim25.VirtualMachine, "name").all()


async def each_of(context: Context) -> Any:
    async with collect(context, vim25.VirtualMachine, "name") as rows:
        return [row async for row in rows]


async def get_one(context: Context) -> Any:
    return await get(context, context.bind(context.content.rootFolder), "name")


async def find_all(context: Context) -> Any:
    return await find(context, "/*/vm/*")


async def paths(context: Context) -> Any:
    return await paths_of(context, [context.content.rootFolder])


VERBS: tuple[Callable[[Context], Awaitable[Any]], ...] = (all_of, each_of, get_one, find_all, paths)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("kind", PAGES)
async def test_pages_that_get_nowhere_are_an_error(
    hostile: tuple[Hostile, Context], kind: str, verb: Callable[[Context], Awaitable[Any]]
) -> None:
    invoker, context = hostile
    page, error = PAGES[kind]
    invoker.change = endless(page)
    with pytest.raises(error):
        await verb(context)
    assert invoker.calls.count("ContinueRetrievePropertiesEx") <= 60
    assert "CancelRetrievePropertiesEx" in invoker.calls, "the token was given back"
    invoker.change = lambda name, result: result
    made = sum(name.startswith("Create") for name in invoker.calls)
    assert invoker.calls.count("DestroyView") == made


async def test_get_takes_no_more_objects_than_it_asked_for(
    hostile: tuple[Hostile, Context],
) -> None:
    invoker, context = hostile
    invoker.change = endless(made_up)
    with pytest.raises(LimitError):
        await get(context, context.bind(context.content.rootFolder), "name")
    assert invoker.calls.count("ContinueRetrievePropertiesEx") == 1


async def test_a_limit_ends_a_listing_that_does_not(hostile: tuple[Hostile, Context]) -> None:
    invoker, context = hostile
    invoker.change = endless(made_up)
    assert len(await collect(context, vim25.VirtualMachine, "name", limit=7).all()) == 7
    assert "CancelRetrievePropertiesEx" in invoker.calls


class Silent:
    """An invoker of a host that sends one page and is silent then."""

    host = "silent:443"

    def __init__(self) -> None:
        self.calls: list[str] = []

    async def invoke(self, method: Method[..., Any], this: Any, args: Any) -> Any:
        self.calls.append(method.name)
        if method.name == "RetrievePropertiesEx":
            found = vim25.ObjectContent(
                obj=vim25.VirtualMachine("1"), propSet=[vim25.DynamicProperty(name="name", val="a")]
            )
            return vim25.RetrieveResult(objects=[found], token="1")
        if method.name == "ContinueRetrievePropertiesEx":
            await asyncio.Event().wait()
        return vim25.ContainerView("view") if method.name == "CreateContainerView" else None


@pytest.mark.parametrize("verb", ["all", "each", "get", "find", "paths"])
def test_a_timeout_bounds_the_whole_operation(verb: str) -> None:
    async def main() -> None:
        invoker = Silent()
        context = Context(invoker, service_content(), "8.0.3.0")
        machine = context.bind(vim25.VirtualMachine("1"))
        rows = collect(context, vim25.VirtualMachine, "name", timeout=30)
        works: dict[str, Callable[[], Awaitable[Any]]] = {
            "all": rows.all,
            "each": lambda: drain(rows),
            "get": lambda: get(context, machine, "name", timeout=30),
            "find": lambda: find(context, "/*/vm/*", timeout=30),
            "paths": lambda: paths_of(context, [machine], timeout=30),
        }
        with pytest.raises(DeadlineError) as caught:
            await works[verb]()
        assert caught.value.seconds == 30
        assert (caught.value.outcome, caught.value.retryable) == ("not_sent", True)
        # The page that does not come is waited for a little, to give back its token.
        assert asyncio.get_running_loop().time() == 30 + FORGET_SECONDS
        assert invoker.calls.count("DestroyView") == invoker.calls.count("CreateContainerView")

    clock.run(main())


def test_the_first_row_needs_no_second_page() -> None:
    async def main() -> None:
        invoker = Silent()
        context = Context(invoker, service_content(), "8.0.3.0")
        assert await collect(context, vim25.VirtualMachine, "name", timeout=30).first() is not None
        assert invoker.calls[-2:] == ["CancelRetrievePropertiesEx", "DestroyView"]

    clock.run(main())


def test_what_the_caller_does_meanwhile_is_not_cut_off() -> None:
    async def main() -> None:
        async def items() -> AsyncIterator[int]:
            for number in itertools.count():
                await asyncio.sleep(1)
                yield number

        class Nobody:
            host = "h:443"

        context: Any = type("C", (), {"invoker": Nobody})
        got = []
        source: Any = items()

        async def consume() -> None:
            async for number in bounded_items(context, "collect", 10, source):
                got.append(number)
                await asyncio.sleep(6)  # seven seconds a round

        with pytest.raises(DeadlineError):
            await consume()
        assert got == [0, 1]
        assert asyncio.get_running_loop().time() == 14

    clock.run(main())


@pytest.mark.parametrize("timeout", [0, -1])
async def test_a_timeout_is_positive(hostile: tuple[Hostile, Context], timeout: float) -> None:
    _, context = hostile
    with pytest.raises(UsageError, match="timeout must be above 0"):
        collect(context, vim25.VirtualMachine, "name", timeout=timeout)
    with pytest.raises(UsageError):
        await find(context, "/*", timeout=timeout)
    with pytest.raises(UsageError):
        events(context, timeout=timeout)


def test_pages_that_get_on_are_let_through() -> None:
    check = PageCheck("h:443", 1000)
    for number in range(100):
        # Objects that move between pages may come twice.
        check.page([("VirtualMachine", str(number + n)) for n in range(5)], f"token-{number}")


# -- events --------------------------------------------------------------------------------------


async def happen(esx: ESXHost, context: Context) -> None:
    """Make an event."""
    machine = (await collect(context, vim25.VirtualMachine, "name").all())[0].obj
    async with TaskWaiter(context) as waiter:
        await waiter.run(context.bind(machine).PowerOnVM_Task)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("follow", [False, True])
async def test_events_that_repeat_without_end_are_an_error(
    esx: ESXHost, hostile: tuple[Hostile, Context], follow: bool
) -> None:
    invoker, context = hostile
    await happen(esx, context)

    def change(name: str, result: Any) -> Any:
        if name == "ReadNextEvents" and result:
            invoker.canned[name] = result
        return result

    invoker.change = change
    got: list[Any] = []
    with pytest.raises(ProtocolError, match="repeats its events"):
        await drain(events(context, follow=follow), got)
    assert len(got) == len({event.key for event in got}) > 0
    assert "DestroyCollector" in invoker.calls


async def test_events_are_read_for_their_timeout(
    esx: ESXHost, hostile: tuple[Hostile, Context]
) -> None:
    invoker, context = hostile
    await happen(esx, context)
    numbers = itertools.count(10_000)

    def change(name: str, result: Any) -> Any:
        if name == "ReadNextEvents" and result:
            first = result[0]

            def another() -> list[Any]:
                made = copy.copy(first)
                made.key = next(numbers)
                made.createdTime = first.createdTime + timedelta(seconds=made.key)
                return [made]

            invoker.canned[name] = another
        return result

    invoker.change = change
    with pytest.raises(DeadlineError):
        await drain(events(context, follow=False, timeout=0.05))
    assert "DestroyCollector" in invoker.calls


# -- update sets ---------------------------------------------------------------------------------


def repeated(invoker: Hostile, *, truncated: bool) -> Callable[[str, Any], Any]:
    """Answer all polls with the first update set."""

    def change(name: str, result: Any) -> Any:
        if name == "WaitForUpdatesEx" and result is not None:
            result.truncated = truncated
            invoker.canned[name] = result
        return result

    return change


@pytest.mark.timeout(20)
async def test_a_watch_ends_when_an_update_set_does_not(hostile: tuple[Hostile, Context]) -> None:
    invoker, context = hostile
    invoker.change = repeated(invoker, truncated=True)
    seen: list[Any] = []
    with pytest.raises(ProtocolError, match="repeats a part of an update set"):
        await drain(watch(context, vim25.VirtualMachine, "name"), seen)
    assert sorted(change.row["name"] for change in seen) == ["vm-0", "vm-1", "vm-2"]
    assert "DestroyPropertyCollector" in invoker.calls


@pytest.mark.timeout(20)
async def test_a_wait_ends_when_an_update_set_does_not(
    esx: ESXHost, hostile: tuple[Hostile, Context]
) -> None:
    invoker, context = hostile
    esx.faults.hold_task("PowerOnVM_Task")
    machine = (await collect(context, vim25.VirtualMachine, "name").all())[0].obj
    task = await context.bind(machine).PowerOnVM_Task()
    invoker.change = repeated(invoker, truncated=True)
    async with TaskWaiter(context) as waiter:
        with pytest.raises(ProtocolError, match="repeats a part of an update set"):
            await waiter.wait(task)
    esx.faults.release_task("PowerOnVM_Task")


@pytest.mark.timeout(20)
async def test_a_host_that_repeats_itself_is_asked_once_a_second(
    hostile: tuple[Hostile, Context],
) -> None:
    invoker, context = hostile
    invoker.change = repeated(invoker, truncated=False)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await drain(watch(context, vim25.VirtualMachine, "name"))
    assert invoker.calls.count("WaitForUpdatesEx") <= 3
