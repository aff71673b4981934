"""Methods of hosts that are not in the public interface description: esxcli's, and one of disks.

Their types are declared here by hand, from what clients send and take (govmomi, `internal/types.go` and `object/virtual_disk_manager_internal.go`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vimlib import vim25
from vimlib.model import Binding, ManagedObject, operation
from vimlib.model import required as _required
from vimlib.soap._typed import Unknown

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vimlib.model import Method


class ReflectManagedMethodExecuterSoapArgument(vim25.DynamicData):
    """An argument: its name, and its value as XML in a text."""

    _wire_ = "name:string! val:string!"
    _since_ = "5.0"
    name: str = _required()
    val: str = _required()


class ReflectManagedMethodExecuterSoapFault(vim25.DynamicData):
    """An error of a command, which is a value and no fault of the call."""

    _wire_ = "faultMsg:string! faultDetail:string"
    _since_ = "5.0"
    faultMsg: str = _required()
    faultDetail: str | None = None


class ReflectManagedMethodExecuterSoapResult(vim25.DynamicData):
    """The result of a command: XML in a text, or an error."""

    _wire_ = "response:string fault:ReflectManagedMethodExecuterSoapFault"
    _since_ = "5.0"
    response: str | None = None
    fault: ReflectManagedMethodExecuterSoapFault | None = None


class DynamicTypeMgrFilterSpec(vim25.DynamicData):
    """Selects the types or objects to list."""

    _wire_ = ""
    _since_ = "4.1"


class DynamicTypeMgrTypeFilterSpec(DynamicTypeMgrFilterSpec):
    """Types whose name has a text in it."""

    _wire_ = "typeSubstr:string"
    _since_ = "4.1"
    typeSubstr: str | None = None


class DynamicTypeMgrMoFilterSpec(DynamicTypeMgrFilterSpec):
    """Objects of an id, or of types whose name has a text in it."""

    _wire_ = "id:string typeSubstr:string"
    _since_ = "4.1"
    id: str | None = None
    typeSubstr: str | None = None


class DynamicTypeMgrMoInstance(vim25.DynamicData):
    """An object: its id and type."""

    _wire_ = "id:string! moType:string!"
    _since_ = "4.1"
    id: str = _required()
    moType: str = _required()


class DynamicTypeMgrAnnotation(vim25.DynamicData):
    """A mark, such as `optional`."""

    _wire_ = "name:string! parameter:string*"
    _since_ = "4.1"
    name: str = _required()
    parameter: list[str] = []


class DynamicTypeMgrParamTypeInfo(vim25.DynamicData):
    """A parameter of a method, or its result."""

    _wire_ = "name:string! version:string! type:string! annotation:DynamicTypeMgrAnnotation*"
    _since_ = "4.1"
    name: str = _required()
    version: str = _required()
    type: str = _required()
    annotation: list[DynamicTypeMgrAnnotation] = []


class DynamicTypeMgrPropertyTypeInfo(vim25.DynamicData):
    """A field of a data object."""

    _wire_ = "name:string! version:string! type:string! annotation:DynamicTypeMgrAnnotation*"
    _since_ = "4.1"
    name: str = _required()
    version: str = _required()
    type: str = _required()
    annotation: list[DynamicTypeMgrAnnotation] = []


class DynamicTypeMgrMethodTypeInfo(vim25.DynamicData):
    """A method."""

    _wire_ = (
        "name:string! wsdlName:string! version:string! paramTypeInfo:DynamicTypeMgrParamTypeInfo* "
        "returnTypeInfo:DynamicTypeMgrParamTypeInfo fault:string*"
    )
    _since_ = "4.1"
    name: str = _required()
    wsdlName: str = _required()
    version: str = _required()
    paramTypeInfo: list[DynamicTypeMgrParamTypeInfo] = []
    returnTypeInfo: DynamicTypeMgrParamTypeInfo | None = None
    fault: list[str] = []


class DynamicTypeMgrManagedTypeInfo(vim25.DynamicData):
    """A type with its methods."""

    _wire_ = (
        "name:string! wsdlName:string! version:string! base:string* "
        "property:DynamicTypeMgrPropertyTypeInfo* method:DynamicTypeMgrMethodTypeInfo*"
    )
    _since_ = "4.1"
    name: str = _required()
    wsdlName: str = _required()
    version: str = _required()
    base: list[str] = []
    property: list[DynamicTypeMgrPropertyTypeInfo] = []
    method: list[DynamicTypeMgrMethodTypeInfo] = []


class DynamicTypeMgrDataTypeInfo(vim25.DynamicData):
    """A type of data objects."""

    _wire_ = (
        "name:string! wsdlName:string! version:string! base:string* "
        "property:DynamicTypeMgrPropertyTypeInfo*"
    )
    _since_ = "4.1"
    name: str = _required()
    wsdlName: str = _required()
    version: str = _required()
    base: list[str] = []
    property: list[DynamicTypeMgrPropertyTypeInfo] = []


class DynamicTypeMgrAllTypeInfo(vim25.DynamicData):
    """All types."""

    _wire_ = (
        "managedTypeInfo:DynamicTypeMgrManagedTypeInfo* dataTypeInfo:DynamicTypeMgrDataTypeInfo*"
    )
    _since_ = "4.1"
    managedTypeInfo: list[DynamicTypeMgrManagedTypeInfo] = []
    dataTypeInfo: list[DynamicTypeMgrDataTypeInfo] = []


class VimEsxCLICLIFault(vim25.MethodFault):
    """A command that is called directly failed."""

    _wire_ = "errMsg:string*"
    _since_ = "4.1"
    errMsg: list[str] = []


def disk_infos(rows: Sequence[tuple[str, str, str | None]]) -> Any:
    """Return name, type and parent of disks as `VirtualDiskInfo`.

    They are the result of a task, which is encoded by the public types: so they are objects of a type
    that those do not have.
    """
    found = []
    for name, kind, parent in rows:
        children: list[tuple[str, Any]] = [("unit", Unknown("", "", (("name", name),)))]
        children.append(("diskType", kind))
        if parent is not None:
            children.append(("parent", parent))
        found.append(("VirtualDiskInfo", Unknown("VirtualDiskInfo", "", tuple(children))))
    return Unknown("ArrayOfVirtualDiskInfo", "", tuple(found))


_TYPES: dict[str, type[Any]] = {
    cls.__name__: cls
    for cls in (
        ReflectManagedMethodExecuterSoapArgument,
        ReflectManagedMethodExecuterSoapFault,
        ReflectManagedMethodExecuterSoapResult,
        DynamicTypeMgrFilterSpec,
        DynamicTypeMgrTypeFilterSpec,
        DynamicTypeMgrMoFilterSpec,
        DynamicTypeMgrMoInstance,
        DynamicTypeMgrAnnotation,
        DynamicTypeMgrParamTypeInfo,
        DynamicTypeMgrPropertyTypeInfo,
        DynamicTypeMgrMethodTypeInfo,
        DynamicTypeMgrManagedTypeInfo,
        DynamicTypeMgrDataTypeInfo,
        DynamicTypeMgrAllTypeInfo,
        VimEsxCLICLIFault,
    )
}


class _InternalBinding(Binding):
    """The types and methods of this module, and all of `vim25`."""

    def __init__(self) -> None:
        super().__init__(__name__, vim25.BINDING.namespace, areas={}, methods={})

    @property
    def where(self) -> dict[str, str]:
        """Type name to module."""
        return vim25.BINDING.where

    def find(self, name: str) -> type[Any] | None:
        """Return the class of that name."""
        return _TYPES.get(name) or vim25.BINDING.find(name)

    def method(self, name: str) -> Method[..., Any] | None:
        """Return the method of that wire name."""
        return METHODS.get(name)

    def names(self) -> Iterator[str]:
        """Yield the names of all types."""
        yield from _TYPES
        yield from vim25.BINDING.names()


INTERNAL = _InternalBinding()


class _Internal(ManagedObject):
    """Declares the methods; each is of one kind of object."""

    __slots__ = ()
    _binding_ = INTERNAL
    _since_ = "5.0"

    @operation(returns="ref", since="5.0")
    async def RetrieveManagedMethodExecuter(self) -> Any:
        """Return the object that runs commands."""

    @operation(returns="ref", since="5.0")
    async def RetrieveDynamicTypeManager(self) -> Any:
        """Return the object that knows the commands."""

    @operation(
        "moid:string! version:string! method:string! argument:ReflectManagedMethodExecuterSoapArgument*",
        "ReflectManagedMethodExecuterSoapResult",
        since="5.0",
    )
    async def ExecuteSoap(self, moid: str, version: str, method: str, *, argument: Any = ()) -> Any:
        """Run a command."""

    @operation("filterSpec:DynamicTypeMgrFilterSpec", "DynamicTypeMgrMoInstance*", since="4.1")
    async def DynamicTypeMgrQueryMoInstances(self, *, filterSpec: Any = None) -> Any:
        """Return the objects of commands."""

    @operation("filterSpec:DynamicTypeMgrFilterSpec", "DynamicTypeMgrAllTypeInfo", since="4.1")
    async def DynamicTypeMgrQueryTypeInfo(self, *, filterSpec: Any = None) -> Any:
        """Return the types of commands."""


class _InternalDisks(ManagedObject):
    """Declares the method of a VirtualDiskManager."""

    __slots__ = ()
    _binding_ = INTERNAL
    _since_ = "2.5"

    @operation(
        "name:string! datacenter:ref includeParents:boolean!",
        "ref(Task)",
        task="anyType",
        since="2.5",
    )
    async def QueryVirtualDiskInfo_Task(
        self, name: str, *, datacenter: Any = None, includeParents: bool = False
    ) -> Any:
        """Return the type of a disk, and the disks that it is a delta of."""


METHODS: dict[str, Method[..., Any]] = {
    method.name: method
    for method in (
        _Internal.RetrieveManagedMethodExecuter,
        _Internal.RetrieveDynamicTypeManager,
        _Internal.ExecuteSoap,
        _Internal.DynamicTypeMgrQueryMoInstances,
        _Internal.DynamicTypeMgrQueryTypeInfo,
        _InternalDisks.QueryVirtualDiskInfo_Task,
    )
}


def declare(owner: str, method: str, params: str, returns: str) -> None:
    """Declare a method of a type that only the host names: of a name space of commands."""

    async def call(self: Any) -> Any:
        """Run a command."""

    members = {"__slots__": (), method: operation(params, returns, since="4.1")(call)}
    METHODS[method] = getattr(type(owner, (_Internal,), members), method)
