"""A field that vimlib reads must be in the reply, and a result must be of the declared kind."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.soap.building import BINDING
from vimlib import vim25
from vimlib._session.essential import ESSENTIAL, check_result
from vimlib.errors import InvalidFieldError
from vimlib.model import wire_fields
from vimlib.soap import encode_response
from vimlib.soap._accelerated import AcceleratedDecoder
from vimlib.soap._decode import PureDecoder

PAIRS = [(name, field) for name, fields in ESSENTIAL.items() for field in sorted(fields)]
DECODERS = pytest.mark.parametrize("decoder", [PureDecoder, AcceleratedDecoder])


def read(decoder: type[PureDecoder[Any]], method: Any, body: bytes, **how: Any) -> Any:
    found = decoder(method, **how)
    found.feed(body)
    return found.close()


@pytest.mark.parametrize(("name", "field"), PAIRS)
def test_each_listed_field_is_one_that_the_api_requires(name: str, field: str) -> None:
    cls = BINDING.find(name)
    assert cls is not None
    assert [item.required for item in wire_fields(cls) if item.name == field] == [True]


@DECODERS
def test_its_absence_is_refused_with_type_field_and_place(decoder: type[PureDecoder[Any]]) -> None:
    body = encode_response(
        vim25.PropertyCollector.RetrievePropertiesEx,
        vim25.RetrieveResult(
            objects=[
                vim25.ObjectContent(
                    obj=vim25.VirtualMachine("1"),
                    propSet=[vim25.DynamicProperty(name="name", val="web")],
                )
            ]
        ),
    ).replace(b"<name>name</name>", b"")
    method = vim25.PropertyCollector.RetrievePropertiesEx
    assert read(decoder, method, body).objects[0].propSet[0].name is None
    with pytest.raises(InvalidFieldError) as caught:
        read(decoder, method, body, essential=ESSENTIAL)
    error = caught.value
    assert (error.type, error.field) == ("DynamicProperty", "name")
    assert error.path == "returnval.objects[0].propSet[0].name"
    assert str(error).startswith(
        "invalid reply: DynamicProperty.name must be string, got nothing. "
    )


@DECODERS
def test_a_field_of_the_base_counts_for_subtypes(decoder: type[PureDecoder[Any]]) -> None:
    value = [vim25.VirtualE1000(key=7)]
    options: Any = vim25.OptionManager.QueryOptions
    body = encode_response(options, [vim25.OptionValue(key="k", value=value)])
    body = body.replace(b"<key>7</key>", b"")
    with pytest.raises(InvalidFieldError, match=r"VirtualE1000\.key must be int"):
        read(decoder, options, body, essential=ESSENTIAL)


@DECODERS
def test_a_field_that_nobody_here_reads_may_be_absent(decoder: type[PureDecoder[Any]]) -> None:
    content = vim25.ServiceInstance.RetrieveServiceContent
    body = (
        b'<Envelope xmlns="http://schemas.xmlsoap.org/soap/envelope/"><Body>'
        b'<RetrieveServiceContentResponse xmlns="urn:vim25"><returnval>'
        b'<rootFolder type="Folder">f</rootFolder><propertyCollector type="PropertyCollector">p'
        b"</propertyCollector><about><fullName>x</fullName><apiType>HostAgent</apiType>"
        b"<apiVersion>8.0.3.0</apiVersion></about></returnval></RetrieveServiceContentResponse>"
        b"</Body></Envelope>"
    )
    assert read(decoder, content, body, essential=ESSENTIAL).about.vendor is None


@DECODERS
def test_a_required_result_must_be_there(decoder: type[PureDecoder[Any]]) -> None:
    method: Any = vim25.VirtualMachine.PowerOnVM_Task
    body = encode_response(method, vim25.Task("t"))
    start, end = body.index(b"<returnval"), body.index(b"</returnval>") + len(b"</returnval>")
    with pytest.raises(InvalidFieldError) as caught:
        read(decoder, method, body[:start] + body[end:], essential=ESSENTIAL)
    assert (caught.value.type, caught.value.field) == ("PowerOnVM_TaskResponse", "returnval")


def test_a_result_of_another_kind_is_refused_and_one_of_a_newer_kind_is_not() -> None:
    create: Any = vim25.PropertyCollector.CreatePropertyCollector
    with pytest.raises(InvalidFieldError, match="must be PropertyCollector, got HostSystem"):
        check_result(create, vim25.HostSystem("h"))
    check_result(create, vim25.PropertyCollector("p"))
    check_result(create, vim25.PropertyCollector("p", kind="FutureCollector"))
    check_result(vim25.SearchIndex.FindByUuid, vim25.VirtualMachine("1"))
