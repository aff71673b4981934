"""Which objects a filter spec selects: starting objects and the specs that walk on from them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from vimlib import vim25
from vimlib.model import ManagedObject
from vimlib.simulator._properties import read_path
from vimlib.simulator._world import say

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vimlib.simulator._objects import Served
    from vimlib.simulator._sessions import Session
    from vimlib.simulator._world import World

__all__ = ["Selection", "select", "walk_names"]


@dataclass
class Selection:
    """What a walk found."""

    members: dict[Served, None] = field(default_factory=dict)
    """The objects to report, in the order in which they were found."""
    walked: dict[Served, None] = field(default_factory=dict)
    """All objects that were visited; a change in one of them may change the members."""
    missing: list[Any] = field(default_factory=list)
    """References of starting objects that are not there."""


def select(
    world: World, spec: Any, session: Session | None, *, tolerant: bool = False
) -> Selection:
    """Walk a `PropertyFilterSpec`.

    A starting object that is not there raises `ManagedObjectNotFound`; with
    `reportMissingObjectsInResults`, or if `tolerant`, it is noted as missing.
    """
    found = Selection()
    for start in spec.objectSet:
        obj = world.objects.get(start.obj.moref)
        if obj is None:
            if tolerant or spec.reportMissingObjectsInResults:
                found.missing.append(start.obj)
                continue
            obj = world.find(start.obj)
        if not start.skip:
            found.members[obj] = None
        if start.selectSet:
            _walk(world, obj, start.selectSet, _named(start.selectSet), session, found)
        else:
            found.walked[obj] = None
    return found


def _walk(
    world: World,
    start: Served,
    selections: list[Any],
    named: dict[str, Any],
    session: Session | None,
    found: Selection,
) -> None:
    # A stack of iterators, so that the order is that of a recursive walk at any depth.
    done: set[tuple[int, int]] = set()
    stack = [_steps(world, start, selections, named, session, found, done)]
    while stack:
        step = next(stack[-1], None)
        if step is None:
            stack.pop()
            continue
        obj, spec = step
        if not spec.skip:
            found.members[obj] = None
        if spec.selectSet:
            stack.append(_steps(world, obj, spec.selectSet, named, session, found, done))
        else:
            found.walked[obj] = None


def _steps(
    world: World,
    obj: Served,
    selections: list[Any],
    named: dict[str, Any],
    session: Session | None,
    found: Selection,
    done: set[tuple[int, int]],
) -> Iterator[tuple[Served, Any]]:
    found.walked[obj] = None
    for selection in selections:
        spec = selection
        if not isinstance(spec, vim25.TraversalSpec):
            spec = named.get(selection.name)
            if spec is None:
                raise say(
                    vim25.InvalidArgument(invalidProperty="selectSet"),
                    "A specified parameter was not correct: selectSet",
                )
        if spec.type not in obj.kinds or (id(obj), id(spec)) in done:
            continue
        done.add((id(obj), id(spec)))
        value, _ = read_path(obj, spec.path, session)
        for ref in value if isinstance(value, list) else (value,):
            if isinstance(ref, ManagedObject):
                target = world.objects.get(ref.moref)
                if target is not None:
                    yield target, spec


def _named(selections: list[Any]) -> dict[str, Any]:
    """Return all traversal specs of a tree that have a name."""
    named: dict[str, Any] = {}
    todo = list(selections)
    while todo:
        spec = todo.pop()
        if isinstance(spec, vim25.TraversalSpec):
            if spec.name:
                named[spec.name] = spec
            todo.extend(spec.selectSet)
    return named


def walk_names(spec: Any) -> frozenset[str]:
    """Return the top-level properties that the walk of a filter spec reads."""
    names = set()
    todo = [selection for start in spec.objectSet for selection in start.selectSet]
    while todo:
        each = todo.pop()
        if isinstance(each, vim25.TraversalSpec):
            names.add(each.path.partition(".")[0].partition("[")[0])
            todo.extend(each.selectSet)
    return frozenset(names)
