"""The last known state of watched objects; turns updates into changes. No I/O.

Servers repeat themselves: after a resync, after a re-login, and some whenever a view changes.
The cache compares, so that a consumer hears of each change once, and after a resync of exactly
the changes since then.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from msgspec import Struct, field

from vimlib import vim25
from vimlib._collector.row import fault_of
from vimlib._collector.typed import EVERYTHING
from vimlib.model import MethodFault
from vimlib.soap._typed import plain

if TYPE_CHECKING:
    from vimlib._collector.typed import Shape

T = TypeVar("T")

_UNSET = frozenset({vim25.PropertyChangeOp.remove, vim25.PropertyChangeOp.indirectRemove})

log = logging.getLogger("vimlib.collector")


class Change(Struct, Generic[T]):
    """Something happened to a watched object."""

    kind: Literal["enter", "modify", "leave"]
    """`enter`: it joined the watched objects; `leave`: it left them, or no longer exists."""
    obj: Any
    """The object, as a proxy to call."""
    row: T
    """Its current state; for `leave`, the last known one."""
    changed: dict[str, Any] = field(default_factory=dict)
    """Paths whose values are new, with these values; None where the property is now unset."""


class InconsistentError(Exception):
    """An update contradicts the cache; everything must be read again. Internal."""


class _Known(Struct):
    obj: Any
    props: dict[str, Any]
    missing: dict[str, MethodFault]


class ObjectCache(Generic[T]):
    """Applies updates in order and returns the changes."""

    def __init__(self, shape: Shape[T]) -> None:
        self._shape = shape
        self._known: dict[tuple[str, str], _Known] = {}
        self._paths = None if shape.paths == (EVERYTHING,) else frozenset(shape.paths)
        self._unseen: set[tuple[str, str]] | None = None
        self._expected: dict[tuple[str, str], vim25.ManagedObject] = {}
        self._named: frozenset[tuple[str, str]] = frozenset()
        # Those of the named objects that were reported as gone.
        self._told_lost: set[tuple[str, str]] = set()

    def expect(self, objects: list[vim25.ManagedObject]) -> None:
        """Note objects that were named one by one: `settle` reports those that do not exist."""
        self._expected = {obj.moref: obj for obj in objects}
        self._named = frozenset(self._expected)

    def begin_resync(self) -> None:
        """Expect the full state again: until `settle`, it is compared with the cache."""
        self._unseen = set(self._known)

    def settle(self) -> list[Change[T]]:
        """The full state has arrived: objects that are not in it have left."""
        unseen, self._unseen = self._unseen or set(), None
        changes = [change for key in unseen if (change := self._leave(key)) is not None]
        expected, self._expected = self._expected, {}
        for key, obj in expected.items():
            if key not in self._known:
                changes.extend(self.lost(obj, vim25.ManagedObjectNotFound(obj=obj)))
        return changes

    def apply(self, update: vim25.ObjectUpdate) -> Change[T] | None:
        """Take one update; None if it brings nothing new.

        Raises:
            InconsistentError: It changes an object that is not in the cache.
        """
        key = update.obj.moref
        if update.kind == vim25.ObjectUpdateKind.leave:
            return self._leave(key)
        if self._unseen is not None:
            self._unseen.discard(key)
        self._told_lost.discard(key)
        known = self._known.get(key)
        if known is None and update.kind != vim25.ObjectUpdateKind.enter:
            raise InconsistentError(key)
        fresh = update.kind == vim25.ObjectUpdateKind.enter
        props = {} if known is None or fresh else dict(known.props)
        missing = {} if known is None or fresh else dict(known.missing)
        self._merge(update, props, missing)
        self._known[key] = now = _Known(update.obj, props, missing)
        if known is None:
            return Change("enter", update.obj, self._row(now), dict(props))
        changed = _difference(known.props, props)
        if not changed and known.missing == missing:
            return None
        return Change("modify", update.obj, self._row(now), changed)

    def lost(self, obj: vim25.ManagedObject, fault: MethodFault) -> list[Change[T]]:
        """Note that an object does not exist; the row of one never seen has the reason. Once."""
        key = obj.moref
        change = self._leave(key)
        if change is None and key not in self._told_lost:
            row = self._shape.make(obj, {}, dict.fromkeys(self._shape.paths, fault))
            change = Change("leave", obj, row)
        self._told_lost.add(key)
        return [] if change is None else [change]

    def _merge(
        self, update: vim25.ObjectUpdate, props: dict[str, Any], missing: dict[str, MethodFault]
    ) -> None:
        for change in update.changeSet:
            name = change.name
            if self._paths is not None and name not in self._paths:
                log.debug("%r: the host sent %s, which was not requested", update.obj, name)
                continue
            missing.pop(name, None)
            if change.val is None or change.op in _UNSET:
                props.pop(name, None)
            else:
                props[name] = plain(change.val)
        for item in update.missingSet:
            props.pop(item.path, None)
            missing[item.path] = fault_of(item.fault)

    def _leave(self, key: tuple[str, str]) -> Change[T] | None:
        if self._unseen is not None:
            self._unseen.discard(key)
        known = self._known.pop(key, None)
        if known is not None and key in self._named:
            self._told_lost.add(key)
        return None if known is None else Change("leave", known.obj, self._row(known))

    def _row(self, known: _Known) -> T:
        return self._shape.make(known.obj, known.props, dict(known.missing))


def _difference(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    changed = {
        name: value for name, value in after.items() if name not in before or before[name] != value
    }
    changed.update((name, None) for name in before if name not in after)
    return changed
