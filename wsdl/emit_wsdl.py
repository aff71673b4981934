"""Write the WSDL: messages, port type, binding and service over the schema in the same folder."""

from collections.abc import Iterator

from wsdl.emit_xsd import NAMESPACE
from wsdl.schema import SchemaMethod, Service

# Any operation may raise it; the tables do not list it.
_RUNTIME_FAULT = "RuntimeFault"

_DEFINITIONS = (
    f'<definitions targetNamespace="{NAMESPACE}" xmlns="http://schemas.xmlsoap.org/wsdl/"'
    f' xmlns:soap="http://schemas.xmlsoap.org/wsdl/soap/" xmlns:vim25="{NAMESPACE}">'
)
_INLINE_SCHEMA = (
    '  <xsd:schema xmlns:xsd="http://www.w3.org/2001/XMLSchema" elementFormDefault="qualified"'
    f' targetNamespace="{NAMESPACE}">'
)


def wsdl(service: Service, header: str) -> str:
    """The text of the WSDL; `header` goes into a comment at its top."""
    methods = [method for _, method in service.methods]
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f"<!-- {header} -->",
        _DEFINITIONS,
        " <types>",
        _INLINE_SCHEMA,
        '   <xsd:include schemaLocation="vim25.xsd"/>',
        "  </xsd:schema>",
        " </types>",
    ]
    lines += _messages(methods)
    lines += _port_type(methods)
    lines += _binding(methods, f"{NAMESPACE}/{service.api}")
    lines += [
        ' <service name="VimService">',
        '  <port name="VimPort" binding="vim25:VimBinding">',
        '   <soap:address location="https://localhost/sdk"/>',
        "  </port>",
        " </service>",
        "</definitions>",
    ]
    return "\n".join(lines) + "\n"


def _faults(method: SchemaMethod) -> list[str]:
    return [fault for fault in method.faults if fault != _RUNTIME_FAULT] + [_RUNTIME_FAULT]


def _fault_name(fault: str) -> str:
    """The service's own words: every fault `F` is named FFault here, RuntimeFault is not."""
    return fault if fault == _RUNTIME_FAULT else f"{fault}Fault"


def _messages(methods: list[SchemaMethod]) -> Iterator[str]:
    for method in methods:
        for message, element in (("Request", ""), ("Response", "Response")):
            yield (
                f' <message name="{method.name}{message}Msg">'
                f'<part name="parameters" element="vim25:{method.name}{element}"/></message>'
            )
    for fault in sorted({fault for method in methods for fault in _faults(method)}):
        yield (
            f' <message name="{fault}FaultMsg">'
            f'<part name="fault" element="vim25:{fault}Fault"/></message>'
        )


def _port_type(methods: list[SchemaMethod]) -> Iterator[str]:
    yield ' <portType name="VimPortType">'
    for method in methods:
        yield f'  <operation name="{method.name}">'
        yield f'   <input message="vim25:{method.name}RequestMsg"/>'
        yield f'   <output message="vim25:{method.name}ResponseMsg"/>'
        for fault in _faults(method):
            yield f'   <fault name="{_fault_name(fault)}" message="vim25:{fault}FaultMsg"/>'
        yield "  </operation>"
    yield " </portType>"


def _binding(methods: list[SchemaMethod], action: str) -> Iterator[str]:
    yield ' <binding name="VimBinding" type="vim25:VimPortType">'
    yield '  <soap:binding style="document" transport="http://schemas.xmlsoap.org/soap/http"/>'
    for method in methods:
        yield f'  <operation name="{method.name}">'
        yield f'   <soap:operation soapAction="{action}" style="document"/>'
        yield '   <input><soap:body use="literal"/></input>'
        yield '   <output><soap:body use="literal"/></output>'
        for fault in _faults(method):
            name = _fault_name(fault)
            yield f'   <fault name="{name}"><soap:fault name="{name}" use="literal"/></fault>'
        yield "  </operation>"
    yield " </binding>"
