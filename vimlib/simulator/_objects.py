"""What every object of the simulated host has: a reference, properties, methods, watchers.

A class per managed type, its state in plain attributes. A property is a function of that state
(`@prop`); data objects in it are values: one that changes is replaced, never edited, so that a
filter can compare what it reported with what is. A method of the API is a function in the table
of its wire name (`@serves`), in whatever module its noun lives.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeVar

from msgspec.structs import replace

from vimlib import vim25
from vimlib.model import ManagedObject, parse_fields, parse_version

if TYPE_CHECKING:
    from vimlib.model import Field
    from vimlib.simulator._call import Call
    from vimlib.simulator._world import World

__all__ = [
    "METHODS",
    "Declared",
    "Entity",
    "Handler",
    "Served",
    "Watcher",
    "declared",
    "prop",
    "serves",
]

S = TypeVar("S", bound="Served")
Handler = Callable[[Any, "Call"], Any | Awaitable[Any]]

METHODS: dict[str, list[tuple[type[Served], Handler]]] = {}
"""Wire name of a method to who serves it: the class of the object and the function."""


class Watcher:
    """Who wants to hear that an object changed; a filter is one."""

    def object_changed(self, obj: Served, names: tuple[str, ...]) -> None:
        """Take note that the properties `names` of `obj` changed (none named: any may have)."""
        raise NotImplementedError


def prop(
    name: str, *, cached: bool = True
) -> Callable[[Callable[[Any], Any]], Callable[[Any], Any]]:
    """Make a function of an object's state its property `name`, computed once until it changes."""

    def mark(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        function._prop = (name, cached)  # type: ignore[attr-defined]  # noqa: SLF001 - a mark of ours
        return function

    return mark


def serves(
    cls: type[Served], *names: str
) -> Callable[[Callable[[Any, Any], Any]], Callable[[Any, Any], Any]]:
    """Enter a function into the table: it serves the methods `names` of `cls` and its subclasses."""

    def enter(function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        for name in names:
            METHODS.setdefault(name, []).append((cls, function))
        return function

    return enter


class Declared(NamedTuple):
    """What the API says of a managed type."""

    fields: dict[str, Field]
    """Property name to its declaration, with the version that brought it."""
    kinds: frozenset[str]
    """The type and all that it derives from."""


@cache
def declared(kind: str) -> Declared:
    """Return what the API says of the managed type `kind`; loads the area of the API that has it.

    Asked for on use, not where classes are made: a first call needs few areas.
    """
    managed = vim25.BINDING.find(kind)
    if managed is None or not issubclass(managed, ManagedObject):
        raise TypeError(f"unknown managed type: {kind}")
    fields: dict[str, Field] = {}
    kinds = []
    for base in reversed(managed.__mro__):
        if not issubclass(base, ManagedObject):
            continue
        kinds.append(base.__name__)
        since = base.__dict__.get("_since_", "")
        for field in parse_fields(base.__dict__.get("_properties_", "")):
            fields[field.name] = field if field.since or not since else replace(field, since=since)
    return Declared(fields, frozenset(kinds))


class Served:
    """An object that the host serves."""

    kind: ClassVar[str] = "ManagedObject"
    """Name of its managed type."""
    getters: ClassVar[dict[str, tuple[Callable[[Any], Any], bool]]] = {}
    """Property name to the function that computes it, and whether its result is kept."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.getters = dict(cls.getters)
        for value in vars(cls).values():
            mark = getattr(value, "_prop", None)
            if mark is not None:
                cls.getters[mark[0]] = (value, mark[1])

    def __init__(self, world: World, moid: str) -> None:
        self.world = world
        self.moid = moid
        self._cache: dict[str, Any] = {}
        self.watchers: dict[Watcher, None] = {}
        world.add(self)

    @property
    def fields(self) -> dict[str, Field]:
        """Property name to its declaration in the API."""
        return declared(self.kind).fields

    @property
    def kinds(self) -> frozenset[str]:
        """The managed type and all that it derives from."""
        return declared(self.kind).kinds

    @property
    def ref(self) -> Any:
        """The reference of the object, as it travels."""
        found = self.__dict__.get("_ref")
        if found is None:
            found = self.__dict__["_ref"] = vim25.BINDING.find(self.kind)(self.moid)  # type: ignore[misc]
        return found

    def read(self, name: str) -> Any:
        """Return the value of a property; None if it has none. Raises `KeyError` for no such property."""
        try:
            return self._cache[name]
        except KeyError:
            pass
        found = self.getters.get(name)
        if found is None:
            field = self.fields[name]
            return [] if field.array else None
        value = found[0](self)
        if found[1]:
            self._cache[name] = value
        return value

    def knows(self, name: str) -> Field | None:
        """Return the declaration of a property if the host's version has it."""
        field = self.fields.get(name)
        if field is None or (field.since and parse_version(field.since) > self.world.version):
            return None
        return field

    def changed(self, *names: str) -> None:
        """Forget computed properties and tell the watchers that `names` (none: any) changed."""
        self._cache.clear()
        for watcher in tuple(self.watchers):
            watcher.object_changed(self, names)

    def interrupt(self, fault: Exception) -> None:
        """Fail a call that hangs on the object, if one does."""

    def remove(self) -> None:
        """Take the object out of the world; whoever watches it hears of it."""
        self.world.forget(self)
        self.changed()

    @property
    def alive(self) -> bool:
        """Whether the object is still served."""
        return self.world.objects.get((self.kind, self.moid)) is self

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.moid}>"


class Entity(Served):
    """An object of the inventory tree: has a name, a parent, tasks."""

    kind = "ManagedEntity"

    def __init__(self, world: World, moid: str, name: str, parent: Entity | None) -> None:
        self.name = name
        self.parent = parent
        self.recent_tasks: list[Any] = []
        super().__init__(world, moid)

    @prop("name")
    def _name(self) -> str:
        return escape_name(self.name)

    @prop("parent")
    def _parent(self) -> Any:
        return self.parent.ref if self.parent else None

    @prop("overallStatus")
    def _overall(self) -> str:
        return "green"

    @prop("configStatus")
    def _config_status(self) -> str:
        return "green"

    @prop("effectiveRole")
    def _role(self) -> list[int]:
        return [-1]  # the administrator's role

    @prop("alarmActionsEnabled")
    def _alarms(self) -> bool:
        return True

    @prop("recentTask")
    def _recent(self) -> list[Any]:
        return [task.ref for task in self.recent_tasks]

    def children(self) -> list[Entity]:
        """Return the entities right below, as SearchIndex walks them."""
        return []


def escape_name(name: str) -> str:
    """Return `name` as the API shows it: slash, backslash and percent are written `%2f`, `%5c`, `%25`."""
    return (
        name.replace("%", "%25").replace("/", "%2f").replace("\\", "%5c")
        if set(name) & set("%/\\")
        else name
    )


def unescape_name(name: str) -> str:
    """Return the name that `escape_name` wrote."""
    for code, char in (("%2f", "/"), ("%2F", "/"), ("%5c", "\\"), ("%5C", "\\"), ("%25", "%")):
        name = name.replace(code, char)
    return name
