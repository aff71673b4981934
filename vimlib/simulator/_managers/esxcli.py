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
from vimlib.simulator._host.host_system import HostSystem
from vimlib.simulator._managers.esxcli_commands import COMMANDS, CliError, Command
from vimlib.simulator._managers.esxcli_types import (
    HANDLER,
    INFO,
    PREFIX,
    DynamicTypeManager,
    Unlisted,
    describe,
    text_of,
)
from vimlib.simulator._properties import internal_api

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vimlib.simulator._core.call import Call

_XSI: Final = "http://www.w3.org/2001/XMLSchema-instance"
_XSD: Final = "http://www.w3.org/2001/XMLSchema"


class MethodExecuter(Unlisted):
    """Calls methods of the objects of commands."""

    kind = "ReflectManagedMethodExecuter"


@handles(HostSystem, "RetrieveManagedMethodExecuter")
def retrieve_executer(host: HostSystem, call: Call) -> Any:
    """Return the object that runs commands."""
    found = host.registry.all(MethodExecuter).values()
    executer = next(iter(found), None)
    return (executer or MethodExecuter(host.registry, "ha-managed-method-executer")).ref


@handles(HostSystem, "RetrieveDynamicTypeManager")
def retrieve_type_manager(host: HostSystem, call: Call) -> Any:
    """Return the object that knows the commands."""
    return host.registry.one(DynamicTypeManager).ref


@handles(MethodExecuter, "ExecuteSoap")
def execute(executer: MethodExecuter, call: Call) -> Any:
    """Call a method of an object of commands."""
    moid, method = call.args["moid"], call.args["method"]
    try:
        arguments = {each.name: _values(each.val) for each in call.args["argument"]}
        if moid == INFO and method == "vim.CLIInfo.FetchCLIInfo":
            found = describe(executer.registry.release, "".join(arguments.get("typeName", [])))
            return _result(_text(_filled(_root("VimCLIInfoCommandInfo"), found)))
        if not moid.startswith(HANDLER):
            raise not_found(ManagedObject(moid, kind="ManagedObject"))
        command = COMMANDS.get(method.removeprefix(PREFIX))
        if command is None or moid != HANDLER + command.space.replace(".", "-"):
            raise CliError(f"Unknown command or namespace {method.removeprefix(PREFIX)}")
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
            _filled(item, row)
        return _text(root)
    return _text(_filled(_root(command.type), found))


def _filled(element: Any, row: Mapping[str, Any]) -> Any:
    """Return an element with the fields of a row as its children."""
    for name, value in row.items():
        for each in value if isinstance(value, list) else [value]:
            child = _child(element, name)
            if isinstance(each, dict):
                _filled(child, each)
            else:
                child.text = text_of(each)
    return element
