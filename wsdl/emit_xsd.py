"""Write the schema: enumerations, data types, faults, arrays, and the bodies of requests and replies.

Facts that XML Schema cannot express stand in attributes of our own namespace, which any schema reader
passes over: `v:since`, `v:vmodl`, `v:ref`, `v:link` and `v:secret` (see README.md).
"""

from collections.abc import Iterable, Iterator
from xml.sax.saxutils import quoteattr

from wsdl.schema import (
    MOREF,
    SchemaEnum,
    SchemaField,
    SchemaManaged,
    SchemaMethod,
    SchemaStruct,
    Service,
)

NAMESPACE = "urn:vim25"
ANNOTATIONS = "urn:x-vimlib:annotations"

_SCHEMA = (
    f'<xsd:schema xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns:vim25="{NAMESPACE}"'
    f' xmlns:v="{ANNOTATIONS}" targetNamespace="{NAMESPACE}" elementFormDefault="qualified">'
)
_MOREF = f"""\
 <xsd:complexType name="{MOREF}">
  <xsd:simpleContent>
   <xsd:extension base="xsd:string">
    <xsd:attribute name="type" type="xsd:string"/>
    <xsd:attribute name="serverGuid" type="xsd:string"/>
   </xsd:extension>
  </xsd:simpleContent>
 </xsd:complexType>"""


def schema(service: Service, header: str) -> str:
    """The text of the XSD; `header` goes into a comment at its top."""
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f"<!-- {header} -->",
        _SCHEMA,
        _MOREF,
    ]
    for enum in service.enums:
        lines += _enum(enum)
    for struct in service.structs:
        lines += _struct(struct)
    for name, item, type_ in sorted(set(_arrays(service))):
        element = f'<xsd:element name="{item}" type="{_qname(type_)}" minOccurs="0" maxOccurs="unbounded"/>'
        lines += _complex_type(f'name="{name}"', [f"   {element}"])
    for owner, method in service.methods:
        lines += _request(owner, method)
    for _, method in service.methods:
        lines += _messages(method)
    lines += [
        f' <xsd:element name="{struct.name}Fault" type="vim25:{struct.name}"/>'
        for struct in service.structs
        if struct.fault
    ]
    lines.append("</xsd:schema>")
    return "\n".join(lines) + "\n"


def _qname(word: str) -> str:
    return word if word.startswith("xsd:") else f"vim25:{word}"


def _element(field: SchemaField) -> str:
    parts = [f"<xsd:element name={quoteattr(field.name)}", f'type="{_qname(field.type)}"']
    if field.optional:
        parts.append('minOccurs="0"')
    if field.array:
        parts.append('maxOccurs="unbounded"')
    parts.append(f'v:since="{field.since}"')
    if field.ref:
        parts.append(f'v:ref="{field.ref}"')
    if field.link:
        parts.append(f'v:link="{field.link}"')
    if field.secret:
        parts.append('v:secret="true"')
    return " ".join(parts) + "/>"


def _complex_type(attributes: str, elements: list[str], base: str | None = None) -> Iterator[str]:
    yield f" <xsd:complexType {attributes}>"
    if base:
        yield f'  <xsd:complexContent><xsd:extension base="vim25:{base}">'
    if elements:
        yield "  <xsd:sequence>"
        yield from elements
        yield "  </xsd:sequence>"
    else:
        yield "  <xsd:sequence/>"
    if base:
        yield "  </xsd:extension></xsd:complexContent>"
    yield " </xsd:complexType>"


def _enum(enum: SchemaEnum) -> Iterator[str]:
    yield f' <xsd:simpleType name="{enum.name}" v:since="{enum.since}" v:vmodl="{enum.vmodl}">'
    yield '  <xsd:restriction base="xsd:string">'
    for value in enum.values:
        yield f"   <xsd:enumeration value={quoteattr(value)}/>"
    yield "  </xsd:restriction>"
    yield " </xsd:simpleType>"


def _struct(struct: SchemaStruct) -> Iterator[str]:
    attributes = f'name="{struct.name}" v:since="{struct.since}" v:vmodl="{struct.vmodl}"'
    elements = [f"   {_element(field)}" for field in struct.fields]
    return _complex_type(attributes, elements, struct.base)


def _request(owner: SchemaManaged, method: SchemaMethod) -> Iterator[str]:
    elements = [f'   <xsd:element name="_this" type="vim25:{MOREF}" v:ref="{owner.name}"/>']
    elements += [f"   {_element(param)}" for param in method.params]
    return _complex_type(f'name="{method.request}" v:since="{method.since}"', elements)


def _messages(method: SchemaMethod) -> Iterator[str]:
    yield f' <xsd:element name="{method.name}" type="vim25:{method.request}"/>'
    yield f' <xsd:element name="{method.name}Response">'
    returns = _element(method.returns) if method.returns else ""
    yield f"  <xsd:complexType><xsd:sequence>{returns}</xsd:sequence></xsd:complexType>"
    yield " </xsd:element>"


def _arrays(service: Service) -> Iterator[tuple[str, str, str]]:
    """(array type, item element, item type) of every array that may travel inside an anyType."""
    for field in _all_fields(service):
        if field.array:
            # An array of faults holds them bare, unlike a field of faults.
            type_ = "MethodFault" if field.type == "LocalizedMethodFault" else field.type
            item = type_.removeprefix("xsd:")
            yield f"ArrayOf{item[0].upper()}{item[1:]}", item, type_


def _all_fields(service: Service) -> Iterable[SchemaField]:
    for struct in service.structs:
        yield from struct.fields
    for managed in service.managed:
        yield from managed.properties
    for _, method in service.methods:
        yield from method.params
        yield from (field for field in (method.returns, method.task_result) if field)
