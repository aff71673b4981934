"""The content of a WSDL as plain values: types, enumerations, operations, in the schema's order."""

from __future__ import annotations

from dataclasses import dataclass, field

from vimlib.errors import UsageError


class CodegenError(UsageError):
    """The WSDL has a construct that is not supported; the error names the item and its location."""

    where: str = ""


@dataclass(frozen=True, slots=True)
class Element:
    """A field, parameter, property or result.

    `type` is a word of `vimlib.model._wire.PRIMITIVES` or a type name; `referent` the managed
    type of a `ref`; `since` the API version that brought it, "" if unknown.
    """

    name: str
    type: str
    array: bool = False
    optional: bool = False
    secret: bool = False
    since: str = ""
    referent: str = ""


@dataclass(slots=True)
class DataType:
    """A data object or a fault, own fields only."""

    name: str
    base: str | None
    fields: tuple[Element, ...]
    since: str = ""
    origin: str = ""
    """The dotted name that the vendor's reference files it under; "" if there is none."""
    fault: bool = False


@dataclass(slots=True)
class Enum:
    """An enumeration of strings."""

    name: str
    values: tuple[str, ...]
    since: str = ""
    origin: str = ""


@dataclass(slots=True)
class Operation:
    """One operation; `task` is the type of the result of the Task that it returns."""

    name: str
    params: tuple[Element, ...]
    returns: Element | None
    faults: tuple[str, ...] = ()
    addressed: bool = True
    since: str = ""
    is_task: bool = False
    task: Element | None = None


@dataclass(slots=True)
class ManagedType:
    """A type of objects on the server, own properties and operations only."""

    name: str
    base: str | None
    properties: tuple[Element, ...]
    operations: tuple[str, ...]
    since: str = ""
    origin: str = ""


@dataclass(slots=True)
class Schema:
    """A whole service."""

    namespace: str
    service: str
    types: dict[str, DataType] = field(default_factory=dict)
    enums: dict[str, Enum] = field(default_factory=dict)
    operations: dict[str, Operation] = field(default_factory=dict)
    managed: dict[str, ManagedType] = field(default_factory=dict)
    fault_elements: dict[str, str] = field(default_factory=dict)
    """Element name to type name of the faults that are not named `NAME` or `NAMEFault`."""
    versions: tuple[str, ...] = ()
    digest: str = ""
    """SHA-256 over the files that were read."""
