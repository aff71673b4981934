"""The objects that a filter spec selects: starting objects and traversals from them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from vimlib import vim25
from vimlib.model import ManagedObject
from vimlib.simulator._core.messages import invalid_argument
from vimlib.simulator._properties.paths import read_path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vimlib.simulator._core.objects import SimObject
    from vimlib.simulator._core.registry import Registry
    from vimlib.simulator._core.session import Session


@dataclass
class Selection:
    """The result of a walk."""

    members: dict[SimObject, None] = field(default_factory=dict)
    """The objects to report, in the order in which they were found."""
    walked: dict[SimObject, None] = field(default_factory=dict)
    """All objects that were visited; a change in one of them may change the members."""
    missing: list[Any] = field(default_factory=list)
    """References of starting objects that are not there."""


def select(
    registry: Registry, spec: Any, session: Session | None, *, tolerant: bool = False
) -> Selection:
    """Walk a `PropertyFilterSpec`.

    A missing starting object raises `ManagedObjectNotFound`; with
    `reportMissingObjectsInResults`, or if `tolerant`, it is returned as missing.
    """
    found = Selection()
    for start in spec.objectSet:
        obj = registry.objects.get(start.obj.moref)
        if obj is None:
            if tolerant or spec.reportMissingObjectsInResults:
                found.missing.append(start.obj)
                continue
            obj = registry.find(start.obj)
        if not start.skip:
            found.members[obj] = None
        if start.selectSet:
            _walk(registry, obj, start.selectSet, _named(start.selectSet), session, found)
        else:
            found.walked[obj] = None
    return found


def _walk(
    registry: Registry,
    start: SimObject,
    selections: list[Any],
    named: dict[str, Any],
    session: Session | None,
    found: Selection,
) -> None:
    # A stack of iterators, so that the order is that of a recursive walk at any depth.
    done: set[tuple[int, int]] = set()
    stack = [_steps(registry, start, selections, named, session, found, done)]
    while stack:
        step = next(stack[-1], None)
        if step is None:
            stack.pop()
            continue
        obj, spec = step
        if not spec.skip:
            found.members[obj] = None
        if spec.selectSet:
            stack.append(_steps(registry, obj, spec.selectSet, named, session, found, done))
        else:
            found.walked[obj] = None


def _steps(
    registry: Registry,
    obj: SimObject,
    selections: list[Any],
    named: dict[str, Any],
    session: Session | None,
    found: Selection,
    done: set[tuple[int, int]],
) -> Iterator[tuple[SimObject, Any]]:
    found.walked[obj] = None
    for selection in selections:
        spec = selection
        if not isinstance(spec, vim25.TraversalSpec):
            spec = named.get(selection.name)
            if spec is None:
                raise invalid_argument("selectSet")
        if spec.type not in obj.kinds or (id(obj), id(spec)) in done:
            continue
        done.add((id(obj), id(spec)))
        value, _ = read_path(obj, spec.path, session)
        for ref in value if isinstance(value, list) else (value,):
            if isinstance(ref, ManagedObject):
                target = registry.objects.get(ref.moref)
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
