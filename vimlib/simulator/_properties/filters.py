"""One filter of a collector: its selection, the last reported values, and the changes since."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vimlib import vim25
from vimlib.model import MethodFault
from vimlib.simulator._core.messages import invalid_argument, localized, not_found
from vimlib.simulator._core.objects import SimObject, Watcher, prop
from vimlib.simulator._properties.paths import read_path
from vimlib.simulator._properties.traversal import select, walk_names
from vimlib.simulator._properties.typed import as_any

if TYPE_CHECKING:
    import asyncio

    from vimlib.simulator._core.registry import Registry
    from vimlib.simulator._core.session import Session


class PropertyReader:
    """The property specs of a filter spec, applied to objects."""

    def __init__(self, spec: Any, session: Session | None) -> None:
        self.session = session
        self.specs = spec.propSet
        for each in self.specs:
            if vim25.BINDING.find(each.type) is None:
                raise invalid_argument("type", each.type)
        self._paths: dict[type[SimObject], list[str] | None] = {}

    def paths(self, obj: SimObject) -> list[str] | None:
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

    def wants(self, obj: SimObject) -> bool:
        """Whether a spec is for the type of `obj`."""
        return self.paths(obj) is not None

    def values(self, obj: SimObject) -> dict[str, Any]:
        """Return the value, None for unset, or the fault of each path, ready to be encoded.

        Raises `InvalidProperty`: an invalid path fails the whole read.
        """
        found: dict[str, Any] = {}
        denied = obj.registry.faults.denied
        for path in self.paths(obj) or ():
            if denied and (obj.kind, path) in denied:
                found[path] = denied[obj.kind, path]
                continue
            value, field = read_path(obj, path, self.session)
            found[path] = None if value is None else as_any(value, field)
        return found

    def content(self, obj: SimObject) -> Any:
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


class Filter(SimObject, Watcher):
    """A filter."""

    kind = "PropertyFilter"

    def __init__(
        self,
        registry: Registry,
        session: Session | None,
        spec: Any,
        *,
        partial: bool,
        siblings: list[Filter],
        signal: asyncio.Event,
    ) -> None:
        self.session = session
        self.siblings = siblings
        """The filters of the same collector; the new one joins them."""
        self.signal = signal
        """Set when there may be something to report."""
        self.spec = spec
        self.partial = partial
        self.reader = PropertyReader(spec, session)
        self.walk_names = walk_names(spec)
        self.members: dict[SimObject, None] = {}
        self.watched: dict[SimObject, None] = {}
        self.reported: dict[SimObject, dict[str, Any]] = {}
        """The last reported values of each object."""
        self.pending: dict[SimObject, None] = {}
        """Objects that may have something new."""
        self.leaving: dict[SimObject, None] = {}
        self.absent: list[Any] = []
        """References that were reported as missing."""
        self.stale = True
        """Whether the selection is out of date."""
        try:
            self._select(registry, first=True)
            # An unreadable path fails CreateFilter, not the wait.
            for obj in self.members:
                self.reader.values(obj)
                break
        except MethodFault:
            self._unwatch()
            raise
        super().__init__(
            registry, f"session[{session.key if session else ''}]{registry.new_uuid()}"
        )
        siblings.append(self)
        signal.set()

    @prop("spec")
    def _spec(self) -> Any:
        return self.spec

    @prop("partialUpdates")
    def _partial(self) -> bool:
        return self.partial

    def object_changed(self, obj: SimObject, names: tuple[str, ...]) -> None:
        """Note the changed object; values are compared when updates are requested."""
        if obj in self.members:
            self.pending[obj] = None
        if not obj.alive or not names or not self.walk_names.isdisjoint(names):
            self.stale = True
        elif obj not in self.members:
            return
        self.signal.set()

    def restart(self) -> None:
        """Forget the reported values."""
        self.reported.clear()
        self.leaving.clear()
        self.absent.clear()
        self.pending = dict.fromkeys(self.members)
        self.stale = True

    def remove(self) -> None:
        """End the filter."""
        self._unwatch()
        if self in self.siblings:
            self.siblings.remove(self)
        super().remove()

    def _unwatch(self) -> None:
        for obj in self.watched:
            obj.watchers.pop(self, None)

    def _select(self, registry: Registry, *, first: bool = False) -> None:
        self.stale = False
        found = select(registry, self.spec, self.session, tolerant=not first)
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
                if obj in self.reported:
                    self.leaving[obj] = None
        self.members = members
        self.watched = watched
        self._missing = found.missing

    def update(self, limit: int | None) -> tuple[Any, bool]:
        """Return the changes of at most `limit` objects, None if nothing changed; and whether there are more."""
        if self.stale:
            self._select(self.registry)
        updates: list[Any] = []
        gone: list[Any] = []
        for obj in tuple(self.leaving):
            if limit is not None and len(updates) >= limit:
                return self._made(updates, gone), True
            del self.leaving[obj]
            self.reported.pop(obj, None)
            updates.append(vim25.ObjectUpdate(kind="leave", obj=obj.ref))
        for ref in self._missing:
            if ref not in self.absent:
                self.absent.append(ref)
                gone.append(vim25.MissingObject(obj=ref, fault=localized(not_found(ref))))
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

    def _change(self, obj: SimObject) -> Any:
        old = self.reported.get(obj)
        new = self.reader.values(obj)
        self.reported[obj] = new
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
