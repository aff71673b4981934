"""Checks that the value of a property has the type that the API declares for it. No I/O.

A property travels as anyType, so the decoder takes the type that the host states. Each listing and each
update passes through here before anything reads it.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from vimlib._collector.paths import properties_of, split_path
from vimlib._text import printable
from vimlib.errors import InvalidFieldError, UsageError
from vimlib.model import DataObject, Enumeration, ManagedObject, wire_fields
from vimlib.soap import Unknown
from vimlib.soap._typed import plain

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vimlib import vim25
    from vimlib.model import Field

_PRIMITIVES: Final[dict[str, tuple[type[Any], ...]]] = {
    "anyURI": (str,),
    "base64Binary": (bytes,),
    "boolean": (bool,),
    "byte": (int,),
    "dateTime": (datetime,),
    "double": (float, int),
    "float": (float, int),
    "int": (int,),
    "long": (int,),
    "short": (int,),
    "string": (str,),
}
# Paths remembered for a type: they come from callers, and may be made up for each object.
_REMEMBERED: Final = 4096


class _Declared:
    """The type that a path is declared with, and the classes that have passed."""

    __slots__ = ("accepts", "array", "items", "name", "passed")

    def __init__(self, name: str, array: bool, accepts: tuple[type[Any], ...]) -> None:
        self.name = name
        self.array = array
        self.accepts = accepts
        """Classes of the value, or of its items; empty if anything goes."""
        self.passed: set[type[Any]] = set()
        """Classes of values that were accepted; of an array's items, in `items`."""
        self.items: set[type[Any]] = set()

    def refuses(self, value: Any) -> bool:
        """Whether the value is of another type."""
        if not self.accepts:
            self.passed.add(type(value))
            return False
        if not self.array:
            return not self._fits(value, self.passed)
        return not (isinstance(value, list) and all(self._fits(item, self.items) for item in value))

    def _fits(self, value: Any, passed: set[type[Any]]) -> bool:
        kind = type(value)
        if kind in passed:
            return True
        fits = isinstance(value, self.accepts) and not (kind is bool and bool not in self.accepts)
        # A type that a newer host has, of which no more is known.
        newer = isinstance(value, ManagedObject) and kind.__name__ == "ManagedObject"
        fits = fits or (newer and issubclass(self.accepts[0], ManagedObject))
        if fits:
            passed.add(kind)
        return fits


class _Passed(dict[str, set[type[Any]]]):
    """By path, the classes of values that were accepted for one managed type."""

    def __init__(self, kind: type[ManagedObject]) -> None:
        super().__init__()
        self.kind = kind
        self.declared: dict[str, _Declared] = {}

    def __missing__(self, path: str) -> set[type[Any]]:
        if len(self) >= _REMEMBERED:
            self.clear()
            self.declared.clear()
        found = self.declared[path] = _look_up(self.kind, path)
        self[path] = found.passed
        return found.passed


_ANYTHING: Final = _Declared("anyType", False, ())
_passed: dict[type[Any], _Passed] = {}


def accepted(kind: type[ManagedObject]) -> _Passed:
    """Return the classes of values that need no further look, by path.

    A value of another class is to be given to `check`. This and one look-up is all that a row costs.
    """
    found = _passed.get(kind)
    if found is None:
        found = _passed[kind] = _Passed(kind)
    return found


def check(obj: ManagedObject, path: str, value: Any) -> None:
    """Check one property.

    Raises:
        InvalidFieldError: It is not of its declared type.
    """
    passed = accepted(type(obj))
    passed[path]  # looks the declaration up, where it is not known yet
    declared = passed.declared[path]
    # Without the note of its wire type: that class must not pass, or rows would have it.
    if value is None or not declared.refuses(plain(value)):
        return
    actual = type(value).__name__
    if isinstance(value, list):
        actual = f"a list of {', '.join(sorted({type(item).__name__ for item in value})[:5])}"
    raise InvalidFieldError(
        type=obj.moref[0],
        field=path,
        wanted=f"a list of {declared.name}" if declared.array else declared.name,
        actual=actual,
        path=f"{printable(repr(obj))}.{path}",
    )


def check_contents(contents: Iterable[vim25.ObjectContent]) -> None:
    """Check the properties of a listing, as `check`."""
    for content in contents:
        for item in content.propSet:
            check(content.obj, item.name, item.val)


def check_updates(update: vim25.UpdateSet) -> None:
    """Check the properties of an update, as `check`."""
    for part in update.filterSet:
        for found in part.objectSet:
            for change in found.changeSet:
                check(found.obj, change.name, change.val)


def check_task_result(method: str, result: Any, task: ManagedObject) -> None:
    """Check what a task of `method` ended with; of an unknown method nothing is known.

    Raises:
        InvalidFieldError: It is not of the type that the API declares, or nothing where that is a
            reference: what was made.
    """
    found = type(task)._binding_.method(method) if method else None
    item = None if found is None else found.task_result
    if found is None or item is None:
        return
    # Who gives the method reads the result's fields, which an object of an unknown type has not.
    classes = tuple(one for one in _classes(type(task), item) if one is not Unknown)
    declared = _Declared(item.referent or item.type, item.array, classes)
    value = plain(result)
    if item.type == "ref" if value is None else declared.refuses(value):
        raise InvalidFieldError(
            type=method,
            field="info.result",
            wanted=declared.name,
            actual="nothing" if value is None else type(value).__name__,
            path=f"{task!r}.info.result",
        )


def _look_up(kind: type[ManagedObject], path: str) -> _Declared:
    """Return the declaration; anything goes where the path leads into a subtype or a key."""
    try:
        first, *rest = split_path(path)
    except UsageError:
        return _ANYTHING
    item = properties_of(kind).get(first)
    for name in rest:
        cls = None if item is None else kind._binding_.find(item.type)
        if cls is None or not issubclass(cls, DataObject):
            return _ANYTHING
        item = next((field for field in wire_fields(cls) if field.name == name), None)
    if item is None or "[" in path:
        return _ANYTHING
    # Servers refer to objects of other types than declared: vcsim's Task.info.entity is a FileManager.
    classes = (ManagedObject,) if item.type == "ref" else _classes(kind, item)
    return _Declared(item.referent or item.type, item.array, classes)


def _classes(kind: type[ManagedObject], item: Field) -> tuple[type[Any], ...]:
    if item.type in _PRIMITIVES:
        return _PRIMITIVES[item.type]
    cls = kind._binding_.find(item.referent if item.type == "ref" else item.type)
    if item.type == "ref":
        return (cls if cls is not None and issubclass(cls, ManagedObject) else ManagedObject,)
    if cls is None:
        return ()
    if issubclass(cls, Enumeration):
        return (str,)
    # An object of a type that only a newer host has is kept as it came.
    return (cls, Unknown) if issubclass(cls, DataObject) else (cls,)
