"""Read pyVmomi's type tables as data, without interpreting them for the wire.

The tables are Python modules of flat calls with literal arguments. They are parsed with `ast`;
pyVmomi is neither imported nor executed. Every statement and every argument must have a shape
known here, so that a table of another make fails loudly rather than losing items.
"""

import ast
import enum
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

FILES = ("_typeinfo_core.py", "_typeinfo_query.py", "_typeinfo_vim.py")

# Bookkeeping lists of the tables (which version is newest, ...): no type facts.
_IGNORED_LISTS = {"newestVersions", "ltsVersions", "oldestVersions"}

_T = TypeVar("_T")


class TypeInfoError(Exception):
    """The tables are not of the shape that this reader knows."""


class Flag(enum.IntFlag):
    """Facts in the tables about a field, parameter or result, apart from its type."""

    LINK = 1  # the wire carries the key of the object, not the object
    LINKABLE = 2  # the wire carries the object all the same
    OPTIONAL = 4
    SECRET = 8


_FLAG_NAMES = {f"F_{flag.name}": int(flag) for flag in Flag}


@dataclass(frozen=True, slots=True)
class Version:
    """A version tag: `namespace/id` is the text that a client of that version sends in SOAPAction."""

    name: str
    namespace: str
    id: str
    legacy: bool
    service: str


@dataclass(frozen=True, slots=True)
class VmodlField:
    """A field of a data object, a property of a managed type, or a parameter. `X[]` is an array."""

    name: str
    type: str
    version: str
    flags: Flag


@dataclass(frozen=True, slots=True)
class VmodlEnum:
    """An enumeration with its values in the tables' order. Values carry no version."""

    vmodl: str
    wsdl: str
    version: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class VmodlData:
    """A data type (faults are data types below MethodFault); own fields only, in wire order."""

    vmodl: str
    wsdl: str
    base: str
    version: str
    fields: tuple[VmodlField, ...]


@dataclass(frozen=True, slots=True)
class VmodlMethod:
    """A method: `wire_type` is the type of its reply, `result_type` that of a task's result."""

    name: str
    wsdl: str
    version: str
    params: tuple[VmodlField, ...]
    result_flags: Flag
    wire_type: str
    result_type: str
    privilege: str | None
    faults: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class VmodlManaged:
    """A managed type; own properties and methods only."""

    vmodl: str
    wsdl: str
    base: str
    version: str
    properties: tuple[VmodlField, ...]
    methods: tuple[VmodlMethod, ...]


@dataclass(slots=True)
class VmodlTables:
    """The whole content of the tables, by VMODL name and in their order."""

    versions: dict[str, Version] = field(default_factory=dict)
    parents: dict[str, set[str]] = field(default_factory=dict)
    enums: dict[str, VmodlEnum] = field(default_factory=dict)
    data: dict[str, VmodlData] = field(default_factory=dict)
    managed: dict[str, VmodlManaged] = field(default_factory=dict)


def read(directory: Path) -> VmodlTables:
    """Read the vim25 tables in `directory` (pyVmomi's package folder).

    Raises:
        TypeInfoError: A statement has a shape that is not known here.
        OSError: A table cannot be read.
    """
    tables = VmodlTables()
    for name in FILES:
        _read_module(tables, (directory / name).read_text(encoding="utf-8"), name)
    return tables


def _read_module(tables: VmodlTables, source: str, name: str) -> None:
    for statement in ast.parse(source, name).body:
        where = f"{name}:{statement.lineno}"
        match statement:
            case ast.ImportFrom(module="VmomiSupport", level=1):
                continue
            case ast.Expr(value=ast.Call(func=ast.Name(id=function), args=args, keywords=[])):
                _apply(tables, function, [_literal(arg, where) for arg in args], where)
            case ast.Expr(
                value=ast.Call(func=ast.Attribute(value=ast.Name(id=target), attr="Add"))
            ) if target in _IGNORED_LISTS:
                continue
            case _:
                raise TypeInfoError(f"{where}: unknown statement {ast.unparse(statement)[:120]!r}")


def _literal(node: ast.expr, where: str) -> object:
    """The value of a literal; like ast.literal_eval, with the F_* names and their `|`."""
    match node:
        case ast.Constant(value=value):
            return value
        case ast.List(elts=items) | ast.Tuple(elts=items):
            return [_literal(item, where) for item in items]
        case ast.Name(id=name) if name in _FLAG_NAMES:
            return _FLAG_NAMES[name]
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            both = (_literal(left, where), _literal(right, where))
            if isinstance(both[0], int) and isinstance(both[1], int):
                return both[0] | both[1]
    raise TypeInfoError(f"{where}: not a literal: {ast.unparse(node)[:120]!r}")


def _apply(tables: VmodlTables, function: str, args: list[object], where: str) -> None:
    """Take in one call of a table."""
    match function, args:
        case "AddVersion", [str(name), str(namespace), str(id_), int(legacy), str(service)]:
            # Each table repeats the versions that it builds on.
            version = Version(name, namespace, id_, bool(legacy), service)
            if tables.versions.setdefault(name, version) != version:
                raise TypeInfoError(f"{where}: version {name} is declared twice, differently")
        case "AddVersionParent", [str(child), str(parent)]:
            tables.parents.setdefault(child, set()).add(parent)
        case "CreateEnumType", [str(vmodl), str(wsdl), str(version), list(values)]:
            _add(
                tables.enums, vmodl, VmodlEnum(vmodl, wsdl, version, _strings(values, where)), where
            )
        case "CreateDataType", [str(vmodl), str(wsdl), str(base), str(version), fields]:
            data = VmodlData(vmodl, wsdl, base, version, _fields(fields, where))
            _add(tables.data, vmodl, data, where)
        case "CreateManagedType", [
            str(vmodl), str(wsdl), str(base), str(version), properties, methods
        ]:  # fmt: skip
            own = tuple(_method(item, where) for item in _items(methods, where))
            managed = VmodlManaged(vmodl, wsdl, base, version, _fields(properties, where), own)
            _add(tables.managed, vmodl, managed, where)
        case _:
            raise TypeInfoError(f"{where}: unknown call {function}({str(args)[:120]})")


def _add(table: dict[str, _T], name: str, item: _T, where: str) -> None:
    if name in table:
        raise TypeInfoError(f"{where}: {name} is declared twice")
    table[name] = item


def _items(value: object, where: str) -> list[object]:
    """A list; the tables write an empty one as None."""
    if value is None:
        return []
    if isinstance(value, list):
        return value
    raise TypeInfoError(f"{where}: a list was expected, not {str(value)[:120]!r}")


def _strings(values: Iterable[object], where: str) -> tuple[str, ...]:
    strings = tuple(value for value in values if isinstance(value, str))
    if strings != tuple(values):
        raise TypeInfoError(f"{where}: a list of strings was expected, not {values!r:.120}")
    return strings


def _flags(value: int, where: str) -> Flag:
    if not 0 <= value <= sum(Flag):
        raise TypeInfoError(f"{where}: unknown flags {value}")
    return Flag(value)


def _fields(value: object, where: str) -> tuple[VmodlField, ...]:
    fields = []
    for item in _items(value, where):
        match item:
            # Properties and parameters have a fifth item, the privilege to read or use them.
            case [str(name), str(type_), str(version), int(flags)] | [
                str(name), str(type_), str(version), int(flags), str() | None
            ]:  # fmt: skip
                fields.append(VmodlField(name, type_, version, _flags(flags, where)))
            case _:
                raise TypeInfoError(f"{where}: unknown field {str(item)[:120]!r}")
    return tuple(fields)


def _method(value: object, where: str) -> VmodlMethod:
    match value:
        case [
            str(name), str(wsdl), str(version), params,
            [int(flags), str(wire_type), str(result_type)],
            str() | None as privilege, faults,
        ]:  # fmt: skip
            return VmodlMethod(
                name, wsdl, version, _fields(params, where),
                _flags(flags, where), wire_type, result_type,
                privilege, _strings(_items(faults, where), where),
            )  # fmt: skip
    raise TypeInfoError(f"{where}: unknown method {str(value)[:120]!r}")
