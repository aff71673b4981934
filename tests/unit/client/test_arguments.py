"""Arguments that are mixed up or not set end in one error, with the rule, the value and an advice."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import vimlib
from tests.rig.login import connected
from vimlib import vim25
from vimlib.errors import ArgumentError
from vimlib.simulator import ESXHost

VM = vim25.VirtualMachine("1")
FIND: Any = vim25.VirtualMachine


async def _nothing() -> None:
    """A coroutine where a function is wanted."""


async def _entered(manager: Any) -> None:
    async with manager:
        pass


CALLS: dict[str, tuple[Callable[[Any], Awaitable[Any]], str]] = {
    "get(None)": (
        lambda c: c.get(None),
        "obj must be a managed object or several, got NoneType. Check that the variable",
    ),
    "get([None])": (lambda c: c.get([VM, None]), "obj must be managed objects only, got NoneType"),
    "collect(None)": (
        lambda c: c.collect(None).first(),
        "the kind must be a managed type, got None",
    ),
    "collect(limit=)": (
        lambda c: c.collect(FIND, limit="1").first(),
        r"limit must be int \| None, got str '1'",
    ),
    "wait(text)": (
        lambda c: c.wait("x"),
        "task must be a task, got str 'x'. Methods that return a task have names that end in _Task",
    ),
    "wait(None)": (lambda c: c.wait(None), "task must be a task, got NoneType"),
    "wait_for(None)": (
        lambda c: c.wait_for(None, "name", bool),
        "obj must be a managed object, got NoneType",
    ),
    "wait_for(value)": (
        lambda c: c.wait_for(VM, "name", "x"),
        "predicate must be a function of the value, got str 'x'",
    ),
    "run(coroutine)": (
        lambda c: c.run(_nothing()),
        "start must be a method, such as vm.PowerOnVM_Task, got coroutine. Pass the function itself",
    ),
    "run(None)": (lambda c: c.run(None), "start must be a method.*got NoneType"),
    "find(None)": (
        lambda c: c.find(None),
        "pattern must be a pattern or an InventoryPath, got None",
    ),
    "find(kind=)": (lambda c: c.find("x", 7), "kind must be a managed type.*got int 7"),
    "paths(None)": (lambda c: c.paths(None), "objects must be an iterable.*got NoneType"),
    "lease(None)": (
        lambda c: _entered(c.lease(None)),
        "start must be a lease, or the call that returns one, got NoneType",
    ),
    "stat(None)": (
        lambda c: c.datastore("datastore1").stat(None),
        "path must be a path in the datastore, got NoneType",
    ),
}


@pytest.mark.parametrize("name", CALLS)
async def test_the_message_states_the_rule_the_value_and_what_to_try(name: str) -> None:
    call, message = CALLS[name]
    async with ESXHost(vms=1) as esx, connected(esx) as client:
        with pytest.raises(vimlib.VimlibError, match=message):
            await call(client)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: vimlib.InventoryPath(None), "path must be an inventory path, got NoneType"),  # type: ignore[arg-type]
        (lambda: vimlib.DatastorePath(None), "datastore must be the name of a datastore, got None"),  # type: ignore[arg-type]
        (lambda: vimlib.DatastorePath("a", 5), "path must be a path in the datastore, got int 5"),  # type: ignore[arg-type]
        (lambda: vimlib.DatastorePath.parse(None), "text must be a datastore path, got NoneType"),  # type: ignore[arg-type]
    ],
)
def test_paths_are_text(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        make()


def test_a_refused_argument_is_a_type_error_with_its_name() -> None:
    with pytest.raises(TypeError) as caught:
        vimlib.DatastorePath(5)  # type: ignore[arg-type]
    assert isinstance(caught.value, ArgumentError)
    assert (caught.value.field, caught.value.wanted) == ("datastore", "the name of a datastore")
