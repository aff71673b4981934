"""esxcli's commands as methods of objects, and the manager that describes them.

A client that speaks to a host itself calls a command as a method of the object of its name space. It
has to learn of objects, methods and types first, from the DynamicTypeManager: a 4.1 has that under a name
which clients know, and is not asked for it (rbvmomi, `vim/HostSystem.rb`: RetrieveDynamicTypeManager ends
there with MethodNotFound); from 5.0 on the host returns it. Types are those of rbvmomi's `vmodl.db`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from vimlib.model import ManagedObject
from vimlib.simulator._core.handlers import handles
from vimlib.simulator._core.messages import with_message
from vimlib.simulator._core.objects import SimObject
from vimlib.simulator._managers.esxcli_commands import COMMANDS, CliError, Command, commands_of
from vimlib.simulator._properties import internal_api
from vimlib.soap import Unknown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vimlib.model import Field
    from vimlib.simulator._core.call import Call
    from vimlib.simulator._core.registry import Registry
    from vimlib.simulator._core.versions import Release

INFO: Final = "ha-dynamic-type-manager-local-cli-cliinfo"
HANDLER: Final = "ha-cli-handler-"
PREFIX: Final = "vim.EsxCLI."
_INFO_TYPE: Final = "vim.CLIInfo"
_VERSION: Final = "vim.version.version5"
_FAULT: Final = "vim.EsxCLI.CLIFault"
# Parts of the description of a name space: type, and fields with the types of parts.
_DESCRIPTION: Final = {
    "VimCLIInfoCommandInfo": {
        "name": "string",
        "displayName": "string",
        "help": "string",
        "method": "VimCLIInfoMethodInfo[]",
    },
    "VimCLIInfoMethodInfo": {
        "name": "string",
        "displayName": "string",
        "help": "string",
        "param": "VimCLIInfoParamInfo[]",
        "hints": "VimCLIInfoHint[]",
    },
    "VimCLIInfoParamInfo": {
        "name": "string",
        "displayName": "string",
        "help": "string",
        "aliases": "string[]",
        "flag": "boolean",
    },
    "VimCLIInfoHint": {"key": "string", "value": "string"},
}


class Unlisted(SimObject):
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


class DynamicTypeManager(Unlisted):
    """Knows the objects and types of commands."""

    kind = "InternalDynamicTypeManager"


class CommandInfo(Unlisted):
    """Describes the commands of a name space."""

    kind = "VimCLIInfo"


class NameSpace(Unlisted):
    """The object of a name space: its commands are methods."""

    def __init__(self, registry: Registry, space: str) -> None:
        self.kind = _wire(space)  # type: ignore[misc] # each is of a type of its own
        super().__init__(registry, HANDLER + space.replace(".", "-"))


def _wire(space: str) -> str:
    return "VimEsxCLI" + space.replace(".", "")


def make_esxcli(registry: Registry) -> None:
    """Make the objects of commands that the release has."""
    spaces = spaces_of(registry.release)
    if spaces:
        DynamicTypeManager(registry, "ha-dynamic-type-manager")
        CommandInfo(registry, INFO)
    for space in spaces:
        NameSpace(registry, space)


def spaces_of(release: Release) -> dict[str, list[Command]]:
    """Return the commands of a release by name space."""
    found: dict[str, list[Command]] = {}
    for command in commands_of(release).values():
        found.setdefault(command.space, []).append(command)
    return found


def describe(release: Release, type_name: str) -> dict[str, Any]:
    """Return the commands of a name space with their parameters and the forms of their output.

    Raises `CliError` for a name space that the release has not got.
    """
    space = type_name.removeprefix(PREFIX)
    commands = spaces_of(release).get(space)
    if not type_name.startswith(PREFIX) or commands is None:
        raise CliError(f"Unknown command or namespace {space}")
    methods = []
    for command in commands:
        name = command.name.rpartition(".")[2]
        hints = {"formatter": command.formatter}
        if command.columns:
            hints[f"fields:{command.name}"] = ",".join(command.columns)
        parameters = [
            {
                "name": parameter.key,
                "displayName": parameter.name,
                "help": parameter.name,
                "aliases": [f"-{parameter.short}", f"--{parameter.name}"],
                "flag": parameter.flag,
            }
            for parameter in command.parameters
        ]
        methods.append(
            {
                "name": name,
                "displayName": name,
                "help": command.help,
                "param": parameters,
                "hints": [{"key": key, "value": value} for key, value in hints.items()],
            }
        )
    label = space.rpartition(".")[2]
    return {"name": type_name, "displayName": label, "help": space, "method": methods}


def text_of(value: Any) -> str:
    """Return a value as a text of XML."""
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def _node(row: Mapping[str, Any], type_: str) -> Unknown:
    """Return a row as an element whose type the public interface description does not have."""
    children: list[tuple[str, Any]] = []
    for name, value in row.items():
        for each in value if isinstance(value, list) else [value]:
            children.append((name, _node(each, "") if isinstance(each, dict) else text_of(each)))
    return Unknown(type_, "", tuple(children))


@handles(CommandInfo, "VimCLIInfoFetchCLIInfo")
def fetch_info(info: CommandInfo, call: Call) -> Any:
    """Return the description of a name space."""
    try:
        found = describe(info.registry.release, call.args["typeName"])
    except CliError as error:
        raise _failed(error) from None
    return _node(found, "VimCLIInfoCommandInfo")


def _failed(error: CliError) -> Any:
    fault = internal_api.VimEsxCLICLIFault(errMsg=[str(error)])
    return with_message(fault, f"EsxCLI.CLIFault.summary: {error}")


def _run(space: NameSpace, call: Call) -> Any:
    """Run a command."""
    release = space.registry.release
    command = next(each for each in commands_of(release).values() if each.type == call.method)
    given = {name: value for name, value in call.args.items() if value is not None}
    try:
        arguments = {name: [text_of(value)] for name, value in given.items()}
        command.check(arguments)
        found = command.run(space.registry, arguments)
    except CliError as error:
        raise _failed(error) from None
    if isinstance(found, (bool, str)):
        return found
    if isinstance(found, list):
        return [_node(row, command.type) for row in found]
    return _node(found, command.type)


def _declare() -> None:
    """Declare each command as a method, under its name of 4.1 too."""
    for command in COMMANDS.values():
        for name in filter(None, (command.name, command.classic)):
            parameters = " ".join(
                f"{each.key}:{'boolean' if each.flag else 'string'}" for each in command.parameters
            )
            returns = {"[": "anyType*", "{": "anyType"}.get(command.returns[0], command.returns)
            internal_api.declare(_wire(name.rpartition(".")[0]), _wire(name), parameters, returns)
            handles(NameSpace, _wire(name))(_run)
    internal_api.declare("VimCLIInfo", "VimCLIInfoFetchCLIInfo", "typeName:string!", "anyType")


_declare()


@handles(DynamicTypeManager, "DynamicTypeMgrQueryMoInstances")
def query_instances(manager: DynamicTypeManager, call: Call) -> list[Any]:
    """Return the objects of commands."""
    spec = call.get("filterSpec")
    wanted, part = getattr(spec, "id", None), getattr(spec, "typeSubstr", None) or ""
    rows = [(INFO, _INFO_TYPE)]
    rows += [
        (HANDLER + space.replace(".", "-"), PREFIX + space)
        for space in spaces_of(manager.registry.release)
    ]
    return [
        internal_api.DynamicTypeMgrMoInstance(id=moid, moType=kind)
        for moid, kind in rows
        if wanted in (None, moid) and part in kind
    ]


@handles(DynamicTypeManager, "DynamicTypeMgrQueryTypeInfo")
def query_types(manager: DynamicTypeManager, call: Call) -> Any:
    """Return the types of commands with their methods, and those of the rows."""
    part = getattr(call.get("filterSpec"), "typeSubstr", None) or ""
    spaces = spaces_of(manager.registry.release)
    managed = [
        _managed(PREFIX + space, _wire(space), [_method(each) for each in commands])
        for space, commands in spaces.items()
    ]
    fetch = internal_api.DynamicTypeMgrMethodTypeInfo(
        name="FetchCLIInfo",
        wsdlName="VimCLIInfoFetchCLIInfo",
        version=_VERSION,
        paramTypeInfo=[_parameter("typeName", "string")],
        returnTypeInfo=_parameter("return", "VimCLIInfoCommandInfo"),
    )
    managed.append(_managed(_INFO_TYPE, "VimCLIInfo", [fetch]))
    data = [
        _data(command.type, command.fields)
        for commands in spaces.values()
        for command in commands
        if command.fields
    ]
    data += [_data(name, fields) for name, fields in _DESCRIPTION.items()]
    fault = _data("VimEsxCLICLIFault", {"errMsg": "string[]"}, name=_FAULT)
    fault.base = ["vmodl.MethodFault"]
    return internal_api.DynamicTypeMgrAllTypeInfo(
        managedTypeInfo=[each for each in managed if part in each.name],
        dataTypeInfo=[each for each in (*data, fault) if part in each.name],
    )


def _managed(name: str, wire: str, methods: list[Any]) -> Any:
    return internal_api.DynamicTypeMgrManagedTypeInfo(
        name=name, wsdlName=wire, version=_VERSION, base=["vmodl.ManagedObject"], method=methods
    )


def _data(wire: str, fields: Mapping[str, str], name: str = "") -> Any:
    return internal_api.DynamicTypeMgrDataTypeInfo(
        name=name or wire,
        wsdlName=wire,
        version=_VERSION,
        base=["vmodl.DynamicData"],
        property=[
            internal_api.DynamicTypeMgrPropertyTypeInfo(name=key, version=_VERSION, type=kind)
            for key, kind in fields.items()
        ],
    )


def _method(command: Command) -> Any:
    returns = command.returns
    if command.fields:
        returns = command.type + ("[]" if returns[0] == "[" else "")
    return internal_api.DynamicTypeMgrMethodTypeInfo(
        name=command.name.rpartition(".")[2],
        wsdlName=command.type,
        version=_VERSION,
        paramTypeInfo=[
            _parameter(each.key, "boolean" if each.flag else "string", optional=not each.needed)
            for each in command.parameters
        ],
        returnTypeInfo=_parameter("return", returns),
        fault=[_FAULT],
    )


def _parameter(name: str, kind: str, *, optional: bool = False) -> Any:
    marks = [internal_api.DynamicTypeMgrAnnotation(name="optional")] if optional else []
    return internal_api.DynamicTypeMgrParamTypeInfo(
        name=name, version=_VERSION, type=kind, annotation=marks
    )
