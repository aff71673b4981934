"""Our objects as pyVmomi's and zeep's, to hear what those two make of the same call.

Both are other people's clients that read the schema in their own way.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import zeep
from lxml import etree
from pyVmomi import SoapAdapter as _SoapAdapter
from pyVmomi import VmomiSupport as _VmomiSupport

from tests.unit.soap.building import is_value
from vimlib import vim25
from vimlib.model import Field, ManagedObject, wire_fields
from vimlib.model._wire import attribute_name

if TYPE_CHECKING:
    from vimlib.model import Method

# They have no annotations.
SoapAdapter: Any = _SoapAdapter
VmomiSupport: Any = _VmomiSupport

NAMESPACE: Final = "urn:vim25"
WSDL: Final = Path(__file__).parents[3] / "wsdl" / "vim25" / "vim25.wsdl"
XSI_TYPE: Final = "{http://www.w3.org/2001/XMLSchema-instance}type"
XSD: Final = "http://www.w3.org/2001/XMLSchema"

# pyVmomi


@cache
def stub() -> Any:
    newest = VmomiSupport.newestVersions.GetName("vim")
    return SoapAdapter.SoapStubAdapter(host="127.0.0.1", version=newest)


def pyvmomi_type(name: str) -> Any:
    return VmomiSupport.GetWsdlType(NAMESPACE, name)


def name_real_things(cls: type[Any], fields: dict[str, Any]) -> None:
    """Put names of types and methods where pyVmomi takes no others, though the schema says string."""
    for info in pyvmomi_type(cls.__name__)._GetPropertyList():
        name = attribute_name(info.name)
        real = {type: "VirtualMachine", VmomiSupport.ManagedMethod: "PowerOnVM_Task"}
        if name in fields and info.type in real:
            fields[name] = real[info.type]
        elif name in fields and getattr(info.type, "Item", None) in real:
            fields[name] = [real[info.type.Item]]
    if cls is vim25.FileQueryFlags:
        # Required by pyVmomi, which sends false for it; older hosts do not have it.
        fields.setdefault("fileOwner", False)


def name_real_arguments(method: Method[..., Any], args: dict[str, Any]) -> None:
    """Do the same for the arguments of a call."""
    for info in VmomiSupport.GetWsdlMethod(NAMESPACE, method.name).info.params:
        if info.type is type:
            args[info.name] = "VirtualMachine"
        elif getattr(info.type, "Item", None) is type:
            args[info.name] = ["VirtualMachine"]


def to_pyvmomi(value: Any, wanted: Any) -> Any:
    """Return `value` as pyVmomi's, which wants it to be of its type `wanted`."""
    if value is None:
        return None
    if isinstance(value, list):
        if wanted is object:
            wanted = pyvmomi_type("ArrayOfString" if isinstance(value[0], str) else "ArrayOfInt")
        return wanted([to_pyvmomi(item, wanted.Item) for item in value])
    if isinstance(value, ManagedObject):
        kind, id_ = value.moref
        return pyvmomi_type(kind)(id_, stub())
    if type(value) is vim25.LocalizedMethodFault and wanted is not object:
        # There the message is an attribute of the fault itself.
        fault = pyvmomi_object(value.fault)
        if value.localizedMessage is not None:
            fault.msg = value.localizedMessage
        return fault
    if is_value(type(value)):
        return pyvmomi_object(value)
    if wanted is type:
        return pyvmomi_type(value)
    if wanted is VmomiSupport.ManagedMethod:
        return VmomiSupport.GetWsdlMethod(NAMESPACE, value)
    if wanted is object:
        return pyvmomi_any(value)
    if issubclass(wanted, VmomiSupport.Link):
        return value
    return value if isinstance(value, bool | datetime) else wanted(value)


def pyvmomi_any(value: Any) -> Any:
    if isinstance(value, bool | str | datetime):
        return value
    if isinstance(value, int):
        return value if -(2**31) <= value < 2**31 else VmomiSupport.long(value)
    return VmomiSupport.double(value) if isinstance(value, float) else VmomiSupport.binary(value)


def pyvmomi_object(value: Any) -> Any:
    made = pyvmomi_type(type(value).__name__)()
    for field in wire_fields(type(value)):
        inner = getattr(value, field.attribute)
        if inner is not None and inner != []:
            setattr(made, field.name, to_pyvmomi(inner, made._GetPropertyInfo(field.name).type))
    return made


def pyvmomi_request(method: Method[..., Any], this: ManagedObject, args: dict[str, Any]) -> bytes:
    info = VmomiSupport.GetWsdlMethod(NAMESPACE, method.name).info
    values = [to_pyvmomi(args[param.name], param.type) for param in info.params]
    target = pyvmomi_type(this.moref[0])(this.moref[1], stub())
    body: bytes = stub().SerializeRequest(target, info, values)
    return body


def pyvmomi_reply(method: Method[..., Any], body: bytes) -> Any:
    """Return what pyVmomi makes of a reply; a fault as an object."""
    info = VmomiSupport.GetWsdlMethod(NAMESPACE, method.name).info
    reader = SoapAdapter.SoapResponseDeserializer(stub())
    return reader.Deserialize(body, info.result)


def plain(value: Any) -> Any:
    """Return an object of ours or of pyVmomi's as builtins that can be compared."""
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, ManagedObject):
        return value.moref
    if isinstance(value, VmomiSupport.ManagedObject):
        return VmomiSupport.GetWsdlName(type(value)), value._moId
    if type(value) is vim25.LocalizedMethodFault:
        return plain(value.fault)  # in pyVmomi the message is the fault's
    if is_value(type(value)):
        names = {field.name: field.attribute for field in wire_fields(type(value))}
        return type(value).__name__, {name: plain(getattr(value, a)) for name, a in names.items()}
    if isinstance(value, VmomiSupport.DataObject):
        fields = {info.name: plain(getattr(value, info.name)) for info in value._GetPropertyList()}
        return VmomiSupport.GetWsdlName(type(value)), fields
    if isinstance(value, type):
        return VmomiSupport.GetWsdlName(value)
    if isinstance(value, VmomiSupport.UnknownManagedMethod):
        return value.name
    if isinstance(value, VmomiSupport.ManagedMethod):
        return value.info.wsdlName
    if isinstance(value, datetime):
        return value.astimezone(UTC)
    leaf: Any
    for leaf in (bool, int, float, bytes, str):  # pyVmomi's are subclasses
        if isinstance(value, leaf):
            return leaf(value)
    assert value is None, type(value)
    return None


def difference(ours: Any, theirs: Any, path: str = "") -> str:
    """Return where two plain values differ and how; "" if they do not.

    pyVmomi has "", 0 or False for a required leaf that is absent, and None for an absent array of
    an optional field; the fields that it adds to all types do not count.
    """
    if isinstance(ours, tuple) and isinstance(theirs, tuple) and isinstance(ours[1], dict):
        if ours[0] != theirs[0]:
            return f"{path}: {ours[0]} and {theirs[0]}"
        fields = theirs[1].keys() - {"dynamicType", "dynamicProperty", "msg"}
        if fields != ours[1].keys():
            return f"{path}: fields {fields ^ ours[1].keys()}"
        found = (difference(ours[1][name], theirs[1][name], f"{path}.{name}") for name in fields)
        return next(filter(None, found), "")
    if isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        found = (
            difference(*pair, f"{path}[{at}]")
            for at, pair in enumerate(zip(ours, theirs, strict=True))
        )
        return next(filter(None, found), "")
    if ours == theirs or (ours in (None, []) and not theirs):
        return ""
    return f"{path}: {ours!r} and {theirs!r}"


# zeep


@cache
def client() -> zeep.Client:
    return zeep.Client(str(WSDL), settings=zeep.Settings(strict=True))


def zeep_type(name: str) -> Any:
    return client().get_type(f"{{{NAMESPACE}}}{name}")


def like_one(field: Field) -> Field:
    return Field(field.name, field.attribute, field.type, field.referent, required=True)


def to_zeep(value: Any, field: Field) -> Any:
    if field.array:
        return [to_zeep(item, like_one(field)) for item in value]
    if isinstance(value, ManagedObject):
        kind, id_ = value.moref
        made = zeep_type("ManagedObjectReference")(id_, type=kind)
        if field.type == "anyType":
            return zeep.xsd.AnyObject(zeep_type("ManagedObjectReference"), made)
        return made
    if is_value(type(value)):
        made = zeep_object(value)
        if field.type == "anyType":
            return zeep.xsd.AnyObject(zeep_type(type(value).__name__), made)
        return made
    if field.type == "anyType":
        return zeep_any(value)
    return value


def zeep_any(value: Any) -> Any:
    if isinstance(value, list):
        name, item = (
            ("ArrayOfString", "string") if isinstance(value[0], str) else ("ArrayOfInt", "int")
        )
        array = zeep_type(name)
        return zeep.xsd.AnyObject(array, array(**{item: value}))
    kind: Any
    if isinstance(value, bool):
        kind = zeep.xsd.Boolean()
    elif isinstance(value, int):
        kind = zeep.xsd.Int() if -(2**31) <= value < 2**31 else zeep.xsd.Long()
    elif isinstance(value, float):
        kind = zeep.xsd.Double()
    elif isinstance(value, bytes):
        kind = zeep.xsd.Base64Binary()
    elif isinstance(value, str):
        kind = zeep.xsd.String()
    else:
        kind = zeep.xsd.DateTime()
    return zeep.xsd.AnyObject(kind, value)


def zeep_object(value: Any) -> Any:
    fields = {}
    for field in wire_fields(type(value)):
        inner = getattr(value, field.attribute)
        if inner is not None and inner != []:
            fields[field.name] = to_zeep(inner, field)
    return zeep_type(type(value).__name__)(**fields)


def zeep_request(method: Method[..., Any], this: ManagedObject, args: dict[str, Any]) -> bytes:
    values = {
        field.name: to_zeep(args[field.name], field)
        for field in method.params
        if args[field.name] is not None
    }
    values["_this"] = to_zeep(this, Field("_this", "_this", "ref"))
    message = client().create_message(client().service, method.name, **values)
    body: bytes = etree.tostring(message)
    return body


# What a message says, whatever its prefixes

_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T")
_FLOAT = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?")

Canon = tuple[str, tuple[tuple[str, str], ...], str, tuple[Any, ...]]


def canon(body: bytes) -> Canon:
    """Return the call of a request as nested tuples: names, attributes, QNames resolved, texts, in order."""
    root = etree.fromstring(body)
    (call,) = root.find("{http://schemas.xmlsoap.org/soap/envelope/}Body")
    return _canon(call)


def _canon(element: Any) -> Canon:
    attributes = []
    for name, value in element.attrib.items():
        if name == "versionId":  # pyVmomi's own, of no schema
            continue
        if name == XSI_TYPE:
            prefix, _, local = value.rpartition(":")
            # pyVmomi names the class of a reference's type, of which the schema has none.
            local = "ManagedObjectReference" if local == "ManagedObject" else local
            value = f"{{{element.nsmap.get(prefix or None)}}}{local}"
        attributes.append((name, value))
    children = tuple(_canon(child) for child in element)
    text = "" if children else _leaf(element.text or "")
    return element.tag, tuple(sorted(attributes)), text, children


def _leaf(text: str) -> str:
    """Return one spelling for numbers and times that are equal."""
    if _TIME.match(text):
        return datetime.fromisoformat(text).astimezone(UTC).isoformat()
    return repr(float(text)) if _FLOAT.fullmatch(text) else text
