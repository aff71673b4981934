"""One filter of a collector: what it selects, what it last said, what it has to say now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vimlib import vim25
from vimlib.model import MethodFault
from vimlib.simulator._objects import Served, Watcher, prop
from vimlib.simulator._properties import read_path
from vimlib.simulator._traversal import select, walk_names
from vimlib.simulator._typed import as_any
from vimlib.simulator._world import localized, missing, say

if TYPE_CHECKING:
    from vimlib.simulator._collector import PropertyCollector
    from vimlib.simulator._sessions import Session
    from vimlib.simulator._world import World

__all__ = ["Filter", "Reader"]


class Reader:
    """The property specs of a filter spec, applied to objects."""

    def __init__(self, spec: Any, session: Session | None, world: World) -> None:
        self.session = session
        self.specs = spec.propSet
        for each in self.specs:
            if vim25.BINDING.find(each.type) is None:
                raise say(
                    vim25.InvalidArgument(invalidProperty="type"),
                    f"A specified parameter was not correct: type ({each.type})",
                )
        self._paths: dict[type[Served], list[str] | None] = {}

    def paths(self, obj: Served) -> list[str] | None:
        """Return the paths to read of `obj`, None if no spec is for its type."""
        cls = type(obj)
        if cls in self._paths:
            return self._paths[cls]
        specs = [each for each in self.specs if each.type in obj.kinds]
        paths: dict[str, None] = {}
        for each in specs:
            if each.all:
                paths.update({name: None for name in obj.fields if obj.knows(name)})
            else:
                paths.update(dict.fromkeys(each.pathSet))
        self._paths[cls] = found = list(paths) if specs else None
        return found

    def wants(self, obj: Served) -> bool:
        """Whether a spec is for the type of `obj`."""
        return self.paths(obj) is not None

    def values(self, obj: Served) -> dict[str, Any]:
        """Return value, None for unset, or the fault of each path, ready to travel.

        Raises `InvalidProperty`: a path that cannot be fails the whole read.
        """
        found: dict[str, Any] = {}
        denied = obj.world.faults.denied
        for path in self.paths(obj) or ():
            if denied and (obj.kind, path) in denied:
                found[path] = denied[obj.kind, path]
                continue
            value, field = read_path(obj, path, self.session)
            found[path] = None if value is None else as_any(value, field)
        return found

    def content(self, obj: Served) -> Any:
        """Return `obj` with its properties as data."""
        props = []
        absent = []
        for path, value in self.values(obj).items():
            if isinstance(value, MethodFault):
                absent.append(_missing(path, value))
            elif value is not None:
                props.append(vim25.DynamicProperty(name=path, val=value))
        return vim25.ObjectContent(obj=obj.ref, propSet=props, missingSet=absent)

    def all_missing(self, fault: MethodFault) -> list[Any]:
        """Return every path as missing for one reason."""
        paths = dict.fromkeys(path for each in self.specs for path in each.pathSet)
        return [_missing(path, fault) for path in paths]


def _missing(path: str, fault: MethodFault) -> Any:
    return vim25.MissingProperty(path=path, fault=localized(fault))


class Filter(Served, Watcher):
    """A filter."""

    kind = "PropertyFilter"

    def __init__(self, collector: PropertyCollector, spec: Any, partial: bool) -> None:
        self.collector = collector
        self.spec = spec
        self.partial = partial
        self.reader = Reader(spec, collector.session, collector.world)
        self.walk_names = walk_names(spec)
        self.members: dict[Served, None] = {}
        self.watched: dict[Served, None] = {}
        self.said: dict[Served, dict[str, Any]] = {}
        """What each object was last reported with."""
        self.pending: dict[Served, None] = {}
        """Objects that may have something new."""
        self.leaving: dict[Served, None] = {}
        self.absent: list[Any] = []
        """References that were reported as missing."""
        self.stale = True
        """Whether the selection has to be made anew."""
        try:
            self._select(first=True)
            # What cannot be read is told to who makes the filter, not to who waits.
            for obj in self.members:
                self.reader.values(obj)
                break
        except MethodFault:
            self._unwatch()
            raise
        super().__init__(
            collector.world,
            f"session[{collector.session.key if collector.session else ''}]{collector.world.new_uuid()}",
        )

    @prop("spec")
    def _spec(self) -> Any:
        return self.spec

    @prop("partialUpdates")
    def _partial(self) -> bool:
        return self.partial

    def object_changed(self, obj: Served, names: tuple[str, ...]) -> None:
        """Note who changed; the comparison is made when somebody asks."""
        if obj in self.members:
            self.pending[obj] = None
        if not obj.alive or not names or not self.walk_names.isdisjoint(names):
            self.stale = True
        elif obj not in self.members:
            return
        self.collector.signal.set()

    def restart(self) -> None:
        """Forget what was said."""
        self.said.clear()
        self.leaving.clear()
        self.absent.clear()
        self.pending = dict.fromkeys(self.members)
        self.stale = True

    def remove(self) -> None:
        """End the filter."""
        self._unwatch()
        if self in self.collector.filters:
            self.collector.filters.remove(self)
        super().remove()

    def _unwatch(self) -> None:
        for obj in self.watched:
            obj.watchers.pop(self, None)

    def _select(self, *, first: bool = False) -> None:
        self.stale = False
        found = select(self.collector.world, self.spec, self.collector.session, tolerant=not first)
        members = {obj: None for obj in found.members if self.reader.wants(obj)}
        watched = found.walked | members
        for obj in self.watched:
            if obj not in watched:
                obj.watchers.pop(self, None)
        for obj in watched:
            obj.watchers[self] = None
        for obj in members:
            if obj not in self.members:
                self.pending[obj] = None
                self.leaving.pop(obj, None)
        for obj in self.members:
            if obj not in members:
                self.pending.pop(obj, None)
                if obj in self.said:
                    self.leaving[obj] = None
        self.members = members
        self.watched = watched
        self._missing = found.missing

    def update(self, limit: int | None) -> tuple[Any, bool]:
        """Return what is new, at most `limit` objects, None if nothing is; and whether there is more."""
        if self.stale:
            self._select()
        updates: list[Any] = []
        gone: list[Any] = []
        for obj in tuple(self.leaving):
            if limit is not None and len(updates) >= limit:
                return self._made(updates, gone), True
            del self.leaving[obj]
            self.said.pop(obj, None)
            updates.append(vim25.ObjectUpdate(kind="leave", obj=obj.ref))
        for ref in self._missing:
            if ref not in self.absent:
                self.absent.append(ref)
                gone.append(vim25.MissingObject(obj=ref, fault=localized(missing(ref))))
        for obj in tuple(self.pending):
            if limit is not None and len(updates) >= limit:
                return self._made(updates, gone), True
            del self.pending[obj]
            change = self._change(obj)
            if change is not None:
                updates.append(change)
        return self._made(updates, gone), False

    def _made(self, updates: list[Any], gone: list[Any]) -> Any:
        if not updates and not gone:
            return None
        return vim25.PropertyFilterUpdate(filter=self.ref, objectSet=updates, missingSet=gone)

    def _change(self, obj: Served) -> Any:
        old = self.said.get(obj)
        new = self.reader.values(obj)
        self.said[obj] = new
        if old is None:
            changes = [
                _assign(path, value)
                for path, value in new.items()
                if value is not None and not isinstance(value, MethodFault)
            ]
        else:
            changes = [
                _assign(path, value)
                for path, value in new.items()
                if value != old[path] and not isinstance(value, MethodFault)
            ]
            if not changes:
                return None
        absent = [
            _missing(path, value) for path, value in new.items() if isinstance(value, MethodFault)
        ]
        return vim25.ObjectUpdate(
            kind="enter" if old is None else "modify",
            obj=obj.ref,
            changeSet=changes,
            missingSet=absent,
        )


def _assign(path: str, value: Any) -> Any:
    return vim25.PropertyChange(name=path, op="assign", val=value)
