"""Resolve the type facts into the wire format: names of types, optionality, release ids.

The result is plain values, sorted by name and ready to be written down. The conversion rules
are listed in README.md; each is one function.
"""

from collections import Counter
from dataclasses import dataclass

from wsdl import typeinfo
from wsdl.typeinfo import Flag, TypeInfoError, VmodlTables
from wsdl.versions import Versions

MOREF = "ManagedObjectReference"

_XSD = {
    "string": "string", "boolean": "boolean", "byte": "byte", "short": "short", "int": "int",
    "long": "long", "float": "float", "double": "double", "anyType": "anyType",
    "vmodl.URI": "anyURI", "vmodl.Binary": "base64Binary", "vmodl.DateTime": "dateTime",
    "vmodl.TypeName": "string", "vmodl.MethodName": "string", "vmodl.PropertyPath": "string",
}  # fmt: skip

# Built into VMODL itself and therefore absent from the tables.
_V0, _V1, _OPT = "vmodl.version.version0", "vmodl.version.version1", Flag.OPTIONAL
_FAULT_ITSELF = "=MethodFault"  # the one field that holds a fault, not a LocalizedMethodFault
_METHOD_FAULT = "vmodl.MethodFault"
_BUILT_IN_DATA = (
    typeinfo.VmodlData(_METHOD_FAULT, "MethodFault", "vmodl.DataObject", _V0, (
        typeinfo.VmodlField("dynamicType", "string", _V0, _OPT),
        typeinfo.VmodlField("dynamicProperty", "vmodl.DynamicProperty[]", _V0, _OPT),
        typeinfo.VmodlField("faultCause", _METHOD_FAULT, _V1, _OPT),
        typeinfo.VmodlField("faultMessage", "vmodl.LocalizableMessage[]", _V1, _OPT),
    )),
    typeinfo.VmodlData("vmodl.RuntimeFault", "RuntimeFault", _METHOD_FAULT, _V0, ()),
    typeinfo.VmodlData("vmodl.LocalizedMethodFault", "LocalizedMethodFault", "vmodl.DynamicData", _V0, (
        typeinfo.VmodlField("fault", _FAULT_ITSELF, _V0, Flag(0)),
        typeinfo.VmodlField("localizedMessage", "string", _V0, _OPT),
    )),
)  # fmt: skip
_BUILT_IN_MANAGED = typeinfo.VmodlManaged("vmodl.ManagedObject", "ManagedObject", "", _V0, (), ())
_NO_BASE = "vmodl.DataObject"


@dataclass(frozen=True, slots=True)
class SchemaField:
    """A field, property, parameter or result as the wire has it.

    `type` is `xsd:NAME` or the bare name of a vim25 type. `ref` names the managed type where
    `type` is ManagedObjectReference; `link` the data type of which a string is the key.
    """

    name: str
    type: str
    array: bool
    optional: bool
    secret: bool
    since: str
    ref: str | None
    link: str | None


@dataclass(frozen=True, slots=True)
class SchemaEnum:
    """An enumeration."""

    name: str
    vmodl: str
    since: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SchemaStruct:
    """A data type or a fault; own fields only, in wire order."""

    name: str
    vmodl: str
    base: str | None
    since: str
    fault: bool
    fields: tuple[SchemaField, ...]


@dataclass(frozen=True, slots=True)
class SchemaMethod:
    """A method, which is an operation of the WSDL. `request` names the type of its request.

    A task method `returns` a reference to Task; `task_result` is the type of its result.
    """

    name: str
    short: str
    request: str
    since: str
    params: tuple[SchemaField, ...]
    returns: SchemaField | None
    task: bool
    task_result: SchemaField | None
    faults: tuple[str, ...]
    privilege: str | None


@dataclass(frozen=True, slots=True)
class SchemaManaged:
    """A managed type; own properties and methods only, in the tables' order."""

    name: str
    vmodl: str
    base: str | None
    since: str
    properties: tuple[SchemaField, ...]
    methods: tuple[SchemaMethod, ...]


@dataclass(frozen=True, slots=True)
class Service:
    """The whole service as one release knows it, every tuple but `versions` sorted by name."""

    api: str
    versions: tuple[typeinfo.Version, ...]
    enums: tuple[SchemaEnum, ...]
    structs: tuple[SchemaStruct, ...]
    managed: tuple[SchemaManaged, ...]

    @property
    def methods(self) -> tuple[tuple[SchemaManaged, SchemaMethod], ...]:
        """Every method with its owner, sorted by name on the wire."""
        pairs = [(owner, method) for owner in self.managed for method in owner.methods]
        return tuple(sorted(pairs, key=lambda pair: pair[1].name))


def resolve(tables: VmodlTables, release: str | None = None) -> Service:
    """The service as `release` (an id such as "4.1"; None: the newest) knows it.

    Raises:
        TypeInfoError: The tables contradict a rule that the conversion rests on.
        ValueError: The release is unknown.
    """
    versions = Versions(tables)
    ids = [version.id for version in versions.releases]
    if release is None:
        release = ids[-1]
    if release not in ids:
        raise ValueError(f"no release {release!r}; there are {', '.join(ids)}")
    return _Resolver(tables, versions, release).service()


class _Resolver:
    """The tables with their built-ins, and one method a rule."""

    def __init__(self, tables: VmodlTables, versions: Versions, release: str) -> None:
        self.versions = versions
        self.release = release
        self.enums = tables.enums
        self.data = tables.data | {data.vmodl: data for data in _BUILT_IN_DATA}
        self.managed = tables.managed | {_BUILT_IN_MANAGED.vmodl: _BUILT_IN_MANAGED}
        if len(self.data) != len(tables.data) + len(_BUILT_IN_DATA):
            raise TypeInfoError("the tables declare a data type that was built into VMODL")
        self.faults = {name for name in self.data if _METHOD_FAULT in self.lineage(name)}
        self._check_names()

    def lineage(self, name: str) -> list[str]:
        """The data type `name` and its bases, nearest first."""
        names: list[str] = []
        base = name
        while base != _NO_BASE:
            if base not in self.data or base in names:
                raise TypeInfoError(f"the bases of {name} lead nowhere: {base}")
            names.append(base)
            base = self.data[base].base
        return names

    def _check_names(self) -> None:
        """One name on the wire means one thing, and no field is declared twice down a lineage."""
        types = [data.wsdl for data in self.data.values()]
        types += [enum.wsdl for enum in self.enums.values()]
        types += [managed.wsdl for managed in self.managed.values()]
        methods = [method for managed in self.managed.values() for method in managed.methods]
        _unique("method", [method.wsdl for method in methods])
        _unique("type", types + [_request(method) for method in methods])
        for name in self.data:
            fields = [field for base in self.lineage(name) for field in self.data[base].fields]
            _unique(f"field of {name}", [field.name for field in fields])
        for managed in self.managed.values():
            if managed.base and managed.base not in self.managed:
                raise TypeInfoError(f"unknown base {managed.base} of {managed.vmodl}")

    def known(self, version: str) -> bool:
        return self.versions.includes(self.release, version)

    def word(self, vmodl: str, flags: Flag) -> tuple[str, str | None, str | None]:
        """The word for a type, the managed type that it refers to, the data type it is a key of."""
        if vmodl == _FAULT_ITSELF:
            return "MethodFault", None, None
        if Flag.LINK in flags:
            if vmodl not in self.data:
                raise TypeInfoError(f"a link to {vmodl}, which is not a data type")
            return "xsd:string", None, self.data[vmodl].wsdl
        if vmodl in _XSD:
            return f"xsd:{_XSD[vmodl]}", None, None
        if vmodl in self.managed:
            return MOREF, self.managed[vmodl].wsdl, None
        if vmodl in self.faults:
            return "LocalizedMethodFault", None, None
        if vmodl in self.enums:
            return self.enums[vmodl].wsdl, None, None
        if vmodl in self.data:
            return self.data[vmodl].wsdl, None, None
        raise TypeInfoError(f"unknown type {vmodl}")

    def field(self, fact: typeinfo.VmodlField, owner_version: str) -> SchemaField:
        """A field that is younger than its owner is optional: older hosts do not send it."""
        word, ref, link = self.word(fact.type.removesuffix("[]"), fact.flags)
        return SchemaField(
            name=fact.name,
            type=word,
            array=fact.type.endswith("[]"),
            optional=Flag.OPTIONAL in fact.flags
            or self.versions.younger(fact.version, owner_version),
            secret=Flag.SECRET in fact.flags,
            since=self.versions.since(fact.version),
            ref=ref,
            link=link,
        )

    def fields(self, facts: tuple[typeinfo.VmodlField, ...], owner: str) -> tuple[SchemaField, ...]:
        return tuple(self.field(fact, owner) for fact in facts if self.known(fact.version))

    def method(self, fact: typeinfo.VmodlMethod) -> SchemaMethod:
        """A task's flags speak of its result; the reference to the task is always there."""
        task = fact.wire_type != fact.result_type
        if task != fact.wsdl.endswith("_Task") or (task and fact.wire_type != "vim.Task"):
            raise TypeInfoError(f"{fact.wsdl} is half a task method")
        unknown = set(fact.faults) - self.faults
        if unknown:
            raise TypeInfoError(
                f"{fact.wsdl} declares types as faults that are not faults: {sorted(unknown)}"
            )
        result = self._result("result", fact.result_type, fact.result_flags, fact.version)
        return SchemaMethod(
            name=fact.wsdl,
            short=fact.name,
            request=_request(fact),
            since=self.versions.since(fact.version),
            params=self.fields(fact.params, fact.version),
            returns=self._result(
                "returnval", fact.wire_type, Flag(0) if task else fact.result_flags, fact.version
            ),
            task=task,
            task_result=result if task else None,
            faults=tuple(
                self.data[fault].wsdl
                for fault in fact.faults
                if self.known(self.data[fault].version)
            ),
            privilege=fact.privilege,
        )

    def _result(self, name: str, vmodl: str, flags: Flag, version: str) -> SchemaField | None:
        if vmodl == "void":
            return None
        return self.field(typeinfo.VmodlField(name, vmodl, version, flags), version)

    def service(self) -> Service:
        """Everything that the release knows."""
        since = self.versions.since
        enums = [
            SchemaEnum(enum.wsdl, enum.vmodl, since(enum.version), enum.values)
            for enum in self.enums.values()
            if self.known(enum.version)
        ]
        structs = [
            SchemaStruct(
                name=data.wsdl,
                vmodl=data.vmodl,
                base=None if data.base == _NO_BASE else self.data[data.base].wsdl,
                since=since(data.version),
                fault=data.vmodl in self.faults,
                fields=self.fields(data.fields, data.version),
            )
            for data in self.data.values()
            if self.known(data.version)
        ]
        managed = [
            SchemaManaged(
                name=item.wsdl,
                vmodl=item.vmodl,
                base=self.managed[item.base].wsdl if item.base else None,
                since=since(item.version),
                properties=self.fields(item.properties, item.version),
                methods=tuple(self.method(m) for m in item.methods if self.known(m.version)),
            )
            for item in self.managed.values()
            if self.known(item.version)
        ]
        return Service(
            api=self.release,
            versions=tuple(v for v in self.versions.releases if self.known(v.name)),
            enums=tuple(sorted(enums, key=lambda item: item.name)),
            structs=tuple(sorted(structs, key=lambda item: item.name)),
            managed=tuple(sorted(managed, key=lambda item: item.name)),
        )


def _request(fact: typeinfo.VmodlMethod) -> str:
    return fact.wsdl.removesuffix("_Task") + "RequestType"


def _unique(what: str, names: list[str]) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise TypeInfoError(f"declared twice: {what} {', '.join(twice)}")
