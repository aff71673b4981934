"""Converts retrieved properties to a `Row` or to a Struct of the caller."""

from __future__ import annotations

import types
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Generic,
    Literal,
    Protocol,
    TypeVar,
    Union,
    get_args,
    get_origin,
)

import msgspec

from vimlib._collector.paths import check_kind, check_path
from vimlib._collector.row import Row
from vimlib.errors import UsageError
from vimlib.model import ManagedObject, MethodFault

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

M = TypeVar("M", bound=ManagedObject)
S = TypeVar("S", bound=msgspec.Struct)
T_co = TypeVar("T_co", covariant=True)

EVERYTHING = "*"
"""In place of paths: every property that the object has. Convenient at a prompt, slow on many objects."""


class Shape(Protocol[T_co]):
    """What to read of an object, and what to make of it."""

    @property
    def paths(self) -> tuple[str, ...]:
        """Property paths to ask for."""
        ...

    def make(self, obj: Any, props: Mapping[str, Any], missing: dict[str, MethodFault]) -> T_co:
        """Build one result. `props` are the properties from the host, without unset paths."""
        ...


class RowShape(Generic[M]):
    """Makes `Row` objects."""

    def __init__(self, paths: Sequence[str]) -> None:
        self.paths = tuple(dict.fromkeys(paths))
        self._all = self.paths == (EVERYTHING,)

    def make(self, obj: M, props: Mapping[str, Any], missing: dict[str, MethodFault]) -> Row[M]:
        """Build a row in which every asked path is in `props` or in `missing`."""
        if self._all:
            return Row(obj, dict(props), missing)
        get = props.get
        if not missing:
            return Row(obj, {path: get(path) for path in self.paths}, missing)
        return Row(obj, {path: get(path) for path in self.paths if path not in missing}, missing)


class StructShape(Generic[S]):
    """Makes instances of a Struct whose fields name properties.

    A field's wire name is the path: ``state: str = msgspec.field(name="runtime.powerState")``.
    A field called `obj` gets the object's proxy, one called `missing` the paths that could not
    be read.
    """

    def __init__(self, cls: type[S]) -> None:
        self.cls = cls
        self._plain: list[tuple[str, str, tuple[type, ...], bool, bool]] = []
        self._obj = self._missing = False
        for info in msgspec.structs.fields(cls):
            if info.encode_name == "obj":
                self._obj = True
            elif info.encode_name == "missing":
                self._missing = True
            else:
                accepts = _accepts(info.type)
                nullable = not accepts or type(None) in accepts
                self._plain.append(
                    (info.name, info.encode_name, accepts, nullable, not info.required)
                )
        self.paths = tuple(path for _, path, *_ in self._plain)

    def make(self, obj: Any, props: Mapping[str, Any], missing: dict[str, MethodFault]) -> S:
        """Build one instance.

        Raises:
            MethodFault: A path could not be read, and its field has neither a default nor None.
            UsageError: A value is unset or of another type than the field's annotation.
        """
        values: dict[str, Any] = {}
        for name, path, accepts, nullable, default in self._plain:
            value = props.get(path)
            if value is None:
                if default:
                    continue
                if not nullable:
                    raise self._absent(obj, name, path, missing)
            elif accepts and not isinstance(value, accepts):
                raise UsageError(
                    f"{self.cls.__name__}.{name} must be {_names(accepts)}, but {path} of {obj!r} is "
                    f"{type(value).__name__}",
                    hint="Change the field's annotation.",
                )
            values[name] = value
        if self._obj:
            values["obj"] = obj
        if self._missing:
            values["missing"] = missing
        return self.cls(**values)

    def _absent(
        self, obj: Any, name: str, path: str, missing: Mapping[str, MethodFault]
    ) -> MethodFault | UsageError:
        if path in missing:
            return missing[path].copy()
        return UsageError(
            f"{path} of {obj!r} is not set, and {self.cls.__name__}.{name} is required",
            hint="Annotate the field with `| None`, or give it a default.",
        )


def shape_of(kind: type[ManagedObject], what: Sequence[Any], version: str) -> Shape[Any]:
    """Return the shape for `what`: property paths, or one Struct class.

    Raises:
        UsageError: Invalid path, or the type has no such property.
        VersionError: The host is too old for the type or for a path.
    """
    check_kind(kind, version)
    shape: Shape[Any]
    if len(what) == 1 and isinstance(what[0], type) and issubclass(what[0], msgspec.Struct):
        shape = StructShape(what[0])
    elif all(isinstance(path, str) for path in what):
        shape = RowShape(what)
        if shape.paths == (EVERYTHING,):
            return shape
    else:
        raise UsageError(
            "the properties must be given as paths or as one Struct class",
            hint='Write collect(vim25.VirtualMachine, "name") or collect(vim25.VirtualMachine, MyRow).',
        )
    for path in shape.paths:
        check_path(kind, path, version)
    return shape


def _accepts(annotation: Any) -> tuple[type, ...]:
    """Return the runtime classes that an annotation allows; empty if they are unknown."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _accepts(get_args(annotation)[0])
    if origin is Literal:
        return tuple({type(value) for value in get_args(annotation)})
    if origin in (Union, types.UnionType):
        found: list[type] = []
        for part in get_args(annotation):
            accepted = _accepts(part)
            if not accepted:
                return ()
            found.extend(accepted)
        return tuple(found)
    cls = origin or annotation
    if cls is None:
        return (type(None),)
    if cls is float:
        return (float, int)
    return (cls,) if isinstance(cls, type) and cls is not object else ()


def _names(accepts: tuple[type, ...]) -> str:
    return " | ".join("None" if item is type(None) else item.__name__ for item in accepts)
