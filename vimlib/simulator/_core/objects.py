"""The base of managed objects: a reference, properties, handlers, watchers.

A class per managed type, its state in plain attributes. A property is a function of that state
(`@prop`); data objects in it are values: a changed one is replaced, never edited, so that a
filter can compare the reported value with the current one. A method of the API is a function in
the table of handlers (`@handles`), in the module of its managed type.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from msgspec.structs import replace

from vimlib import vim25
from vimlib._repr import robust
from vimlib.model import ManagedObject, parse_fields, parse_version

if TYPE_CHECKING:
    from vimlib.model import Field
    from vimlib.simulator._core.registry import Registry


class Watcher:
    """An observer of objects, such as a filter."""

    def object_changed(self, obj: SimObject, names: tuple[str, ...]) -> None:
        """Handle a change of the properties `names` of `obj` (none named: any property)."""
        raise NotImplementedError


def prop(
    name: str, *, cached: bool = True
) -> Callable[[Callable[[Any], Any]], Callable[[Any], Any]]:
    """Make a function of an object's state its property `name`, computed once until it changes."""

    def mark(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        function._prop = (name, cached)  # type: ignore[attr-defined]  # noqa: SLF001 - our own marker
        return function

    return mark


class Declared(NamedTuple):
    """The declaration of a managed type in the API."""

    fields: dict[str, Field]
    """Property name to its declaration, with the version that brought it."""
    kinds: frozenset[str]
    """The type and all that it derives from."""


@cache
def declared(kind: str) -> Declared:
    """Return the declaration of the managed type `kind`; loads the area of the API that has it.

    Called on use, not when a class is made: a first call needs few areas.
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


class SimObject:
    """A managed object of the host."""

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

    def __init__(self, registry: Registry, moid: str) -> None:
        self.registry = registry
        self.moid = moid
        self._cache: dict[str, Any] = {}
        self.watchers: dict[Watcher, None] = {}
        registry.add(self)

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
        """The reference of the object."""
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
        if field is None or (field.since and parse_version(field.since) > self.registry.version):
            return None
        return field

    def changed(self, *names: str) -> None:
        """Drop cached properties and notify the watchers that `names` (none: any) changed."""
        self._cache.clear()
        for watcher in tuple(self.watchers):
            watcher.object_changed(self, names)

    def changed_in_host(self, *names: str) -> None:
        """Do as `changed` for properties that the host's `config` shows too."""
        self.changed(*names)
        self.registry.one("HostSystem").changed("config")

    def interrupt(self, fault: Exception) -> None:
        """Fail the call that waits on the object, if there is one."""

    def remove(self) -> None:
        """Remove the object from the registry and notify its watchers."""
        self.registry.forget(self)
        self.changed()

    @property
    def alive(self) -> bool:
        """Whether the object is still registered."""
        return self.registry.objects.get((self.kind, self.moid)) is self

    @robust
    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.moid}>"


class Entity(SimObject):
    """An object of the inventory tree, with a name, a parent and tasks."""

    kind = "ManagedEntity"

    def __init__(self, registry: Registry, moid: str, name: str, parent: Entity | None) -> None:
        self.name = name
        self.parent = parent
        self.recent_tasks: list[Any] = []
        super().__init__(registry, moid)

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

    @prop("permission", cached=False)
    def _permission(self) -> list[Any]:
        granted = self.registry.one("AuthorizationManager").granted
        return list(granted.get(self.ref.moref, {}).values())

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
