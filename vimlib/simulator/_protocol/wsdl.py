"""The WSDL of the simulated release, written from the binding, without items that are newer than the host.

Three documents, as hosts have them: `vimService.wsdl` with the service, `vim.wsdl` with the
operations, `vim-types.xsd` with the types.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from vimlib import vim25
from vimlib.model import DataObject, Enumeration, MethodFault, parse_fields
from vimlib.simulator._core.versions import namespaces
from vimlib.simulator._properties.paths import known_since
from vimlib.soap._names import array_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from vimlib.model import Field, Method
    from vimlib.simulator._core.versions import Release

_NS = "urn:vim25"
_HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'
_DEFINITIONS = (
    '<definitions targetNamespace="{target}" xmlns="http://schemas.xmlsoap.org/wsdl/" '
    'xmlns:soap="http://schemas.xmlsoap.org/wsdl/soap/" xmlns:vim25="urn:vim25" xmlns:xsd="http://www.w3.org/2001/XMLSchema">\n'
)
# The two fields with which every type begins, and which no client fills.
_DYNAMIC = (
    '<xsd:element name="dynamicType" type="xsd:string" minOccurs="0"/>'
    '<xsd:element name="dynamicProperty" type="vim25:DynamicProperty" minOccurs="0" maxOccurs="unbounded"/>'
)
_ROOTS = {
    "DynamicData": _DYNAMIC,
    "MethodFault": _DYNAMIC,
    "DynamicProperty": "",
    "DynamicArray": _DYNAMIC,
}
_REFERENCE = (
    '<xsd:complexType name="ManagedObjectReference"><xsd:simpleContent><xsd:extension base="xsd:string">'
    '<xsd:attribute name="type" type="xsd:string"/><xsd:attribute name="serverGuid" type="xsd:string"/>'
    "</xsd:extension></xsd:simpleContent></xsd:complexType>\n"
)


def document(name: str, release: Release) -> bytes | None:
    """Return a document of the WSDL, None if the name is unknown."""
    if name == "vimService.wsdl":
        return _service().encode()
    if name == "vim.wsdl":
        return _operations(release).encode()
    if name == "vim-types.xsd":
        return _types(release).encode()
    return None


def _service() -> str:
    return (
        f"{_HEAD}{_DEFINITIONS.format(target='urn:vim25Service')}"
        f' <import namespace="{_NS}" location="vim.wsdl"/>\n'
        ' <service name="VimService"><port name="VimPort" binding="vim25:VimBinding">'
        '<soap:address location="https://localhost/sdk/vimService"/></port></service>\n</definitions>\n'
    )


@lru_cache(maxsize=8)
def _methods(release: Release) -> list[Method[..., Any]]:
    found = []
    for name in sorted(vim25.BINDING.method_names()):
        method = vim25.BINDING.method(name)
        assert method is not None
        if known_since(method.since or method.owner._since_, release.numbers):
            found.append(method)
    return found


def _faults(method: Method[..., Any], release: Release) -> list[str]:
    names = [name for name in method.faults if _known(vim25.BINDING.find(name), release)]
    return [*names, "RuntimeFault"]


def _known(cls: Any, release: Release) -> bool:
    return cls is not None and known_since(cls.__dict__.get("_since_", ""), release.numbers)


def _fault_element(name: str) -> str:
    return "RuntimeFault" if name == "RuntimeFault" else f"{name}Fault"


def _operations(release: Release) -> str:
    methods = _methods(release)
    out = [_HEAD, _DEFINITIONS.format(target=_NS)]
    out.append(
        f' <types><xsd:schema elementFormDefault="qualified" targetNamespace="{_NS}">'
        '<xsd:include schemaLocation="vim-types.xsd"/></xsd:schema></types>\n'
    )
    for method in methods:
        for kind, element in (("Request", method.name), ("Response", f"{method.name}Response")):
            out.append(
                f' <message name="{method.name}{kind}Msg"><part name="parameters" element="vim25:{element}"/></message>\n'
            )
    for name in sorted({fault for method in methods for fault in _faults(method, release)}):
        element = _fault_element(name)
        out.append(
            f' <message name="{element}Msg"><part name="fault" element="vim25:{element}"/></message>\n'
        )
    out.append(' <portType name="VimPortType">\n')
    out.extend(_port(method, release) for method in methods)
    out.append(' </portType>\n <binding name="VimBinding" type="vim25:VimPortType">\n')
    out.append(
        '  <soap:binding style="document" transport="http://schemas.xmlsoap.org/soap/http"/>\n'
    )
    action = f"{_NS}/{namespaces(release)[0]}"
    out.extend(_bound(method, release, action) for method in methods)
    out.append(" </binding>\n</definitions>\n")
    return "".join(out)


def _port(method: Method[..., Any], release: Release) -> str:
    faults = "".join(
        f'<fault name="{_fault_element(name)}" message="vim25:{_fault_element(name)}Msg"/>'
        for name in _faults(method, release)
    )
    return (
        f'  <operation name="{method.name}"><input message="vim25:{method.name}RequestMsg"/>'
        f'<output message="vim25:{method.name}ResponseMsg"/>{faults}</operation>\n'
    )


def _bound(method: Method[..., Any], release: Release, action: str) -> str:
    faults = "".join(
        f'<fault name="{_fault_element(name)}"><soap:fault name="{_fault_element(name)}" use="literal"/></fault>'
        for name in _faults(method, release)
    )
    return (
        f'  <operation name="{method.name}"><soap:operation soapAction="{action}" style="document"/>'
        f'<input><soap:body use="literal"/></input><output><soap:body use="literal"/></output>{faults}</operation>\n'
    )


def _types(release: Release) -> str:
    out = [
        _HEAD,
        '<xsd:schema xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns:vim25="urn:vim25" ',
        'targetNamespace="urn:vim25" elementFormDefault="qualified">\n',
        _REFERENCE,
    ]
    arrays: set[str] = {"ManagedObjectReference", "string", "int", "anyType", "MethodFault"}
    faults = []
    for name in sorted(vim25.BINDING.names()):
        cls: Any = vim25.BINDING.find(name)
        if not _known(cls, release):
            continue
        if issubclass(cls, Enumeration):
            out.append(_enumeration(cls))
        elif issubclass(cls, (DataObject, MethodFault)):
            fields = _fields(cls, release)
            arrays.update(_item(field) for field in fields if field.array)
            out.append(_complex(cls, fields))
            if issubclass(cls, MethodFault):
                faults.append(name)
    for method in _methods(release):
        arrays.update(
            _item(f) for f in (*method.params, method.returns, method.task_result) if f and f.array
        )
        out.append(_request(method, release))
    for cls in _managed(release):
        arrays.update(_item(f) for f in parse_fields(cls._properties_) if f.array)
    out.extend(_array(item) for item in sorted(arrays) if _exists(item, release))
    out.extend(
        f'<xsd:element name="{_fault_element(name)}" type="vim25:{name}"/>\n' for name in faults
    )
    out.append("</xsd:schema>\n")
    return "".join(out)


def _managed(release: Release) -> Iterator[Any]:
    for name in vim25.BINDING.names():
        cls = vim25.BINDING.find(name)
        if _known(cls, release) and hasattr(cls, "_properties_"):
            yield cls


def _exists(item: str, release: Release) -> bool:
    found = vim25.BINDING.find(item)
    return found is None or _known(found, release)


def _fields(cls: Any, release: Release) -> list[Field]:
    return [
        field
        for field in parse_fields(cls.__dict__.get("_wire_", ""))
        if known_since(field.since, release.numbers) and _exists(field.type, release)
    ]


def _item(field: Field) -> str:
    return "ManagedObjectReference" if field.type == "ref" else field.type


def _type(item: str) -> str:
    return (
        f"vim25:{item}"
        if item == "ManagedObjectReference" or vim25.BINDING.find(item)
        else f"xsd:{item}"
    )


def _element(field: Field) -> str:
    occurs = ("" if field.required else ' minOccurs="0"') + (
        ' maxOccurs="unbounded"' if field.array else ""
    )
    return f'<xsd:element name="{field.name}" type="{_type(_item(field))}"{occurs}/>'


def _complex(cls: Any, fields: Iterable[Field]) -> str:
    name = cls.__name__
    body = "".join(_element(field) for field in fields)
    if name in _ROOTS:
        return f'<xsd:complexType name="{name}"><xsd:sequence>{_ROOTS[name]}{body}</xsd:sequence></xsd:complexType>\n'
    base = cls.__bases__[0].__name__
    return (
        f'<xsd:complexType name="{name}"><xsd:complexContent><xsd:extension base="vim25:{base}">'
        f"<xsd:sequence>{body}</xsd:sequence></xsd:extension></xsd:complexContent></xsd:complexType>\n"
    )


def _enumeration(cls: type[Enumeration]) -> str:
    values = "".join(f'<xsd:enumeration value="{value}"/>' for value in cls.__values__())
    return (
        f'<xsd:simpleType name="{cls.__name__}"><xsd:restriction base="xsd:string">{values}'
        "</xsd:restriction></xsd:simpleType>\n"
    )


def _array(item: str) -> str:
    name = array_name(item)
    return (
        f'<xsd:complexType name="{name}"><xsd:sequence><xsd:element name="{item}" type="{_type(item)}" '
        'minOccurs="0" maxOccurs="unbounded"/></xsd:sequence></xsd:complexType>\n'
    )


def _request(method: Method[..., Any], release: Release) -> str:
    name = method.name.removesuffix("_Task")
    params = "".join(
        _element(field)
        for field in method.params
        if known_since(field.since, release.numbers) and _exists(field.type, release)
    )
    returns = _element(method.returns) if method.returns is not None else ""
    return (
        f'<xsd:complexType name="{name}RequestType"><xsd:sequence>'
        f'<xsd:element name="_this" type="vim25:ManagedObjectReference"/>{params}</xsd:sequence></xsd:complexType>\n'
        f'<xsd:element name="{method.name}" type="vim25:{name}RequestType"/>\n'
        f'<xsd:element name="{method.name}Response"><xsd:complexType><xsd:sequence>{returns}'
        "</xsd:sequence></xsd:complexType></xsd:element>\n"
    )
