"""esxcli: the commands of a host's shell, run by calls.

A client asks a host for its ManagedMethodExecuter and has it call a method of an object for each name
space. Arguments and results are XML in a text; an error of a command is in the result. Names of
elements and commands are those of an ESXi, as govmomi's code and tests and published output have them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from xml.sax.saxutils import escape

from vimlib.model import ManagedObject
from vimlib.simulator._core.handlers import handles
from vimlib.simulator._core.messages import not_found
from vimlib.simulator._core.objects import SimObject
from vimlib.simulator._host.host_system import HostSystem
from vimlib.simulator._managers.esxcli_commands import COMMANDS, CliError, Command
from vimlib.simulator._properties import internal_api

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vimlib.model import Field
    from vimlib.simulator._core.call import Call
    from vimlib.simulator._core.registry import Registry

_INFO: Final = "ha-dynamic-type-manager-local-cli-cliinfo"
_HANDLER: Final = "ha-cli-handler-"
_PREFIX: Final = "vim.EsxCLI."
_XSI: Final = "http://www.w3.org/2001/XMLSchema-instance"
_XSD: Final = "http://www.w3.org/2001/XMLSchema"
_VERSION: Final = "vim.version.version5"


class _Unlisted(SimObject):
    """An object of a type that is not in the public interface description."""

    @property
    def fields(self) -> dict[str, Field]:
        """No properties."""
        return {}

    @property
    def kinds(self) -> frozenset[str]:
        """The type alone."""
        return frozenset({self.kind, "ManagedObject"})

    @property
    def ref(self) -> Any:
        """The reference of the object."""
        return ManagedObject(self.moid, kind=self.kind)


class MethodExecuter(_Unlisted):
    """Calls methods of the objects of commands."""

    kind = "ReflectManagedMethodExecuter"


class DynamicTypeManager(_Unlisted):
    """Knows the objects and types of commands."""

    kind = "InternalDynamicTypeManager"


def _one(registry: Registry, cls: type[_Unlisted], moid: str) -> Any:
    """Return the one object of a class, made when it is first asked for."""
    found = registry.all(cls)
    return next(iter(found.values()), None) or cls(registry, moid)


@handles(HostSystem, "RetrieveManagedMethodExecuter")
def retrieve_executer(host: HostSystem, call: Call) -> Any:
    """Return the object that runs commands."""
    return _one(host.registry, MethodExecuter, "ha-managed-method-executer").ref


@handles(HostSystem, "RetrieveDynamicTypeManager")
def retrieve_type_manager(host: HostSystem, call: Call) -> Any:
    """Return the object that knows the commands."""
    return _one(host.registry, DynamicTypeManager, "ha-dynamic-type-manager").ref


def _spaces() -> dict[str, list[Command]]:
    """Return the commands by name space."""
    found: dict[str, list[Command]] = {}
    for command in COMMANDS.values():
        found.setdefault(command.space, []).append(command)
    return found


@handles(MethodExecuter, "ExecuteSoap")
def execute(executer: MethodExecuter, call: Call) -> Any:
    """Call a method of an object of commands."""
    moid, method = call.args["moid"], call.args["method"]
    try:
        arguments = {each.name: _values(each.val) for each in call.args["argument"]}
        if moid == _INFO and method == "vim.CLIInfo.FetchCLIInfo":
            return _result(_describe("".join(arguments.get("typeName", []))))
        if not moid.startswith(_HANDLER):
            raise not_found(ManagedObject(moid, kind="ManagedObject"))
        command = COMMANDS.get(method.removeprefix(_PREFIX))
        if command is None or moid != _HANDLER + command.space.replace(".", "-"):
            raise CliError(f"Unknown command or namespace {method.removeprefix(_PREFIX)}")
        command.check(arguments)
        found = command.run(executer.registry, arguments)
    except CliError as error:
        detail = f'<obj xmlns="urn:vim25"><errMsg>{escape(str(error))}</errMsg></obj>'
        fault = internal_api.ReflectManagedMethodExecuterSoapFault(
            faultMsg=f"EsxCLI.CLIFault.summary: {error}", faultDetail=detail
        )
        return internal_api.ReflectManagedMethodExecuterSoapResult(fault=fault)
    return _result(_render(command, found))


def _result(text: str) -> Any:
    return internal_api.ReflectManagedMethodExecuterSoapResult(response=text)


def _values(text: str) -> list[str]:
    """Return the values of an argument: `<name>value</name>`, repeated for a list."""
    from lxml import etree  # on first use, so that a host starts without it

    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, remove_comments=True, remove_pis=True
    )
    try:
        root = etree.fromstring(f"<a>{text}</a>".encode(), parser)
    except etree.XMLSyntaxError as error:
        raise CliError(f"Invalid argument: {error}") from None
    return ["".join(child.itertext()) for child in root]


def _root(type_: str) -> Any:
    from lxml import etree  # on first use, so that a host starts without it

    root = etree.Element("obj", nsmap={None: "urn:vim25", "xsd": _XSD, "xsi": _XSI})
    root.set(f"{{{_XSI}}}type", type_)
    return root


def _text(root: Any) -> str:
    from lxml import etree  # on first use, so that a host starts without it

    found: str = etree.tostring(root, encoding="unicode")
    return found


def _child(parent: Any, name: str) -> Any:
    element = parent.makeelement(name)
    parent.append(element)
    return element


def _add(parent: Any, name: str, value: Any) -> None:
    for each in value if isinstance(value, list) else [value]:
        element = _child(parent, name)
        element.text = ("true" if each else "false") if isinstance(each, bool) else str(each)


def _render(command: Command, found: Any) -> str:
    """Return a result as hosts write it."""
    if isinstance(found, bool):
        root = _root("xsd:boolean")
        root.text = "true" if found else "false"
        return _text(root)
    if isinstance(found, str):
        root = _root("xsd:string")
        root.text = found
        return _text(root)
    if isinstance(found, list):
        root = _root("ArrayOfDataObject")
        for row in found:
            item = _child(root, "DataObject")
            item.set(f"{{{_XSI}}}type", command.type)
            _fill(item, row)
        return _text(root)
    root = _root(command.type)
    _fill(root, found)
    return _text(root)


def _fill(element: Any, row: Mapping[str, Any]) -> None:
    for name, value in row.items():
        _add(element, name, value)


def _describe(type_name: str) -> str:
    """Return the commands of a name space with their parameters and the forms of their output."""
    space = type_name.removeprefix(_PREFIX)
    commands = _spaces().get(space)
    if not type_name.startswith(_PREFIX) or commands is None:
        raise CliError(f"Unknown command or namespace {space}")
    root = _root("VimCLIInfoCommandInfo")
    _fill(root, {"name": type_name, "displayName": space.rpartition(".")[2], "help": space})
    for command in commands:
        method = _child(root, "method")
        name = command.name.rpartition(".")[2]
        _fill(method, {"name": name, "displayName": name, "help": command.help})
        for parameter in command.parameters:
            item = _child(method, "param")
            aliases = [f"-{parameter.short}", f"--{parameter.name}"]
            _fill(
                item,
                {
                    "name": parameter.key,
                    "displayName": parameter.name,
                    "help": parameter.name,
                    "aliases": aliases,
                    "flag": parameter.flag,
                },
            )
        hints = {"formatter": command.formatter}
        if command.columns:
            hints[f"fields:{command.name}"] = ",".join(command.columns)
        for key, value in hints.items():
            _fill(_child(method, "hints"), {"key": key, "value": value})
    return _text(root)


@handles(DynamicTypeManager, "DynamicTypeMgrQueryMoInstances")
def query_instances(manager: DynamicTypeManager, call: Call) -> list[Any]:
    """Return the objects of commands."""
    spec = call.get("filterSpec")
    wanted, part = getattr(spec, "id", None), getattr(spec, "typeSubstr", None) or ""
    rows = [(_INFO, "vim.CLIInfo")]
    rows += [(_HANDLER + space.replace(".", "-"), _PREFIX + space) for space in _spaces()]
    return [
        internal_api.DynamicTypeMgrMoInstance(id=moid, moType=kind)
        for moid, kind in rows
        if wanted in (None, moid) and part in kind
    ]


@handles(DynamicTypeManager, "DynamicTypeMgrQueryTypeInfo")
def query_types(manager: DynamicTypeManager, call: Call) -> Any:
    """Return the types of commands with their methods."""
    part = getattr(call.get("filterSpec"), "typeSubstr", None) or ""
    return internal_api.DynamicTypeMgrAllTypeInfo(
        managedTypeInfo=[
            internal_api.DynamicTypeMgrManagedTypeInfo(
                name=_PREFIX + space,
                wsdlName="VimEsxCLI" + space.replace(".", ""),
                version=_VERSION,
                method=[_method_info(command) for command in commands],
            )
            for space, commands in _spaces().items()
            if part in _PREFIX + space
        ]
    )


def _method_info(command: Command) -> Any:
    name = command.name.rpartition(".")[2]
    return internal_api.DynamicTypeMgrMethodTypeInfo(
        name=name,
        wsdlName=command.type,
        version=_VERSION,
        paramTypeInfo=[
            internal_api.DynamicTypeMgrParamTypeInfo(
                name=parameter.key,
                version=_VERSION,
                type="boolean" if parameter.flag else "string",
            )
            for parameter in command.parameters
        ],
    )
