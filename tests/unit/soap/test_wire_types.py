"""A value that is read and sent back has the types that it had: leaves, lists, unknown subtypes."""

from __future__ import annotations

import copy
import json
import pickle
import random
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from tests.unit.soap.building import DEEPEST, Builder, classes, enumerations
from tests.unit.soap.cases import ANY, DECODERS, any_reply, fault, feed_all, reply
from vimlib import vim25
from vimlib.errors import EncodeError
from vimlib.model import MethodFault
from vimlib.soap import (
    Typed,
    Unknown,
    decode_response,
    encode_fault,
    encode_request,
    encode_response,
)
from vimlib.soap._names import array_name
from vimlib.soap._typed import plain

AREAS = sorted({cls.__module__ for cls in classes()})


def sent_back(body: bytes) -> Iterator[bytes]:
    """Yield what each decoder's result is sent as, from a reply fed whole and in pieces."""
    for decoder in DECODERS:
        for step in (0, 7):
            yield encode_response(ANY, feed_all(decoder(ANY), body, step))


def read(xml: str) -> Any:
    return decode_response(ANY, any_reply(xml))[0].value


LEAVES = [
    '<value xsi:type="xsd:byte">1</value>',
    '<value xsi:type="xsd:short">6</value>',
    '<value xsi:type="xsd:int">-5</value>',
    '<value xsi:type="xsd:long">600</value>',
    '<value xsi:type="xsd:long">-600</value>',
    '<value xsi:type="xsd:long">6000000000</value>',
    '<value xsi:type="xsd:unsignedInt">4294967295</value>',
    '<value xsi:type="xsd:integer">5</value>',
    '<value xsi:type="xsd:float">1.5</value>',
    '<value xsi:type="xsd:float">3.4028235e+38</value>',
    '<value xsi:type="xsd:double">1.5</value>',
    '<value xsi:type="xsd:boolean">true</value>',
    '<value xsi:type="xsd:string">a</value>',
    '<value xsi:type="xsd:anyURI">http://x</value>',
    '<value xsi:type="xsd:token">t</value>',
    '<value xsi:type="xsd:duration">P1D</value>',
    '<value xsi:type="xsd:nonesuch">a</value>',
    '<value xsi:type="xsd:dateTime">2026-01-02T03:04:05Z</value>',
    '<value xsi:type="xsd:base64Binary">AP8Q</value>',
    '<value xsi:type="VirtualMachinePowerState">poweredOn</value>',
    '<value xsi:type="VirtualMachinePowerState">hovering</value>',
    '<value xsi:type="StateOfNextYear">a &lt; b</value>',
    "<value>a text without a type</value>",
    '<value xmlns:t="urn:other" xsi:type="t:int">5</value>',
    '<value type="VirtualMachine" xsi:type="ManagedObjectReference">vm-1</value>',
]
LISTS = [
    '<value xsi:type="ArrayOfInt"></value>',
    '<value xsi:type="ArrayOfInt"><int xsi:type="xsd:int">1</int></value>',
    '<value xsi:type="ArrayOfLong"><long xsi:type="xsd:long">1</long></value>',
    '<value xsi:type="ArrayOfShort"><short xsi:type="xsd:short">1</short></value>',
    '<value xsi:type="ArrayOfFloat"><float xsi:type="xsd:float">1.0</float></value>',
    '<value xsi:type="ArrayOfAnyURI"><anyURI xsi:type="xsd:anyURI">a:b</anyURI></value>',
    '<value xsi:type="ArrayOfAnyType"><anyType xsi:type="xsd:long">1</anyType></value>',
    '<value xsi:type="ArrayOfAnyType"><anyType xsi:type="xsd:string">a</anyType></value>',
    '<value xsi:type="ArrayOfVirtualMachinePowerState"><VirtualMachinePowerState xsi:type="VirtualMachinePowerState">poweredOn</VirtualMachinePowerState></value>',
    '<value xsi:type="ArrayOfVirtualDevice"><VirtualDevice xsi:type="VirtualCdrom"><key>1</key></VirtualDevice></value>',
    '<value xsi:type="ArrayOfFuture"><Future>1</Future></value>',
]
OBJECTS = [
    # Nothing but the type's name is known.
    (
        '<value xsi:type="Future"><a>1</a><b xsi:type="xsd:int">5</b><c><d></d></c>'
        '<e type="Folder" xsi:type="ManagedObjectReference">f</e></value>'
    ),
    # A subtype of a known type.
    (
        '<value xsi:type="ArrayOfVirtualDevice"><VirtualDevice xsi:type="VirtualNewNic"><key>4000</key>'
        "<unitNumber>7</unitNumber><spin>up</spin><spin>down</spin><rack><row>3</row></rack>"
        "</VirtualDevice></value>"
    ),
    # The known type itself has new elements, before its own and between them.
    (
        '<value xsi:type="VirtualDeviceConfigSpec"><device xsi:type="VirtualNewNic"><zone>a</zone>'
        "<key>1</key><spin>b</spin><unitNumber>1</unitNumber><last></last></device></value>"
    ),
    '<value xsi:type="ArrayOfAction"><Action xmlns:t="urn:other" xsi:type="t:Crash"><key>1</key></Action></value>',
    # A fault.
    (
        '<value xsi:type="LocalizedMethodFault"><fault xsi:type="TooHot"><degrees>90</degrees>'
        "<degrees>91</degrees><where><rack>7</rack></where></fault></value>"
    ),
]


@pytest.mark.parametrize("xml", LEAVES + LISTS + OBJECTS)
def test_a_value_is_sent_back_as_it_was_read(xml: str) -> None:
    body = any_reply(xml)
    for sent in sent_back(body):
        assert sent == body


@pytest.mark.parametrize("xml", LEAVES + LISTS + OBJECTS)
def test_copies_keep_the_type(xml: str) -> None:
    body = any_reply(xml)
    options = decode_response(ANY, body)
    value = options[0].value
    for made in (copy.copy(value), copy.deepcopy(value), pickle.loads(pickle.dumps(value))):
        again = [vim25.OptionValue(key="k", value=made)]
        assert again == options
        assert encode_response(ANY, again) == body


def test_a_changed_option_is_sent_as_the_type_that_the_host_gave_it() -> None:
    option = decode_response(ANY, any_reply('<value xsi:type="xsd:long">600</value>'))[0]
    option.value = Typed.like(option.value, 300)
    body = encode_request(
        vim25.OptionManager.UpdateOptions,
        vim25.OptionManager("o"),
        {"changedValue": [option, vim25.OptionValue(key="n", value=Typed("xsd:long", 8))]},
    )
    assert b'<value xsi:type="xsd:long">300</value>' in body
    assert b'<value xsi:type="xsd:long">8</value>' in body


def test_a_typed_value_is_used_as_a_plain_one() -> None:
    number, text = read(LEAVES[3]), read(LEAVES[19])
    assert number == 600
    assert type(number + 1) is int
    assert f"{number:>5}" == "  600"
    assert {number: 1}[600] == 1
    assert text == vim25.VirtualMachinePowerState.poweredOn
    assert text in {"poweredOn"}
    assert json.dumps([number, text, read(LISTS[2])]) == '[600, "poweredOn", [1]]'
    for value in (number, text, read(LEAVES[8]), read(LISTS[2])):
        assert isinstance(value, Typed)
        assert value.plain() == plain(value) == value
        assert msgspec.json.decode(msgspec.json.encode(plain(value))) == value


def test_values_whose_type_follows_from_them_are_plain() -> None:
    for xml, kind in ((LEAVES[2], int), (LEAVES[5], int), (LEAVES[10], float), (LEAVES[12], str)):
        assert type(read(xml)) is kind
    assert type(read(LISTS[1])) is list


def test_a_member_of_an_enumeration_is_its_value() -> None:
    assert read(LEAVES[19]) is read(LEAVES[19])


@pytest.mark.parametrize("type_", ["xsd:int", "", "xsd:string"])
def test_a_value_of_one_type_takes_no_other(type_: str) -> None:
    assert Typed("xsd:boolean", True) is True
    for value in (True, b"", vim25.Folder("f"), None, vim25.Description(label="", summary="")):
        with pytest.raises(EncodeError, match="cannot send a value of type"):
            Typed(type_, value)


def test_like_needs_a_simple_type() -> None:
    assert Typed.like(True, False) is False
    with pytest.raises(EncodeError, match="a value of type Description has no simple type"):
        Typed.like(vim25.Description(label="", summary=""), 1)


@pytest.mark.parametrize("type_", ["x:int", "a:b:c"])
def test_a_prefix_that_nobody_declares_is_refused(type_: str) -> None:
    with pytest.raises(EncodeError, match=r"value: a type must be xsd:NAME"):
        encode_response(ANY, [vim25.OptionValue(key="k", value=Typed(type_, "a"))])


@pytest.mark.parametrize("name", ["", ":", "t:"])
def test_an_empty_type_is_none(name: str) -> None:
    body = any_reply(
        f'<value xsi:type="ArrayOfAction" xmlns:t="urn:t"><Action xsi:type="{name}"/></value>'
    )
    for decoder in DECODERS:
        assert type(feed_all(decoder(ANY), body)[0].value[0]) is vim25.Action


# Every type


def test_every_enumeration() -> None:
    assert len(enumerations()) > 400
    values = "".join(
        f'<returnval><key>k</key><value xsi:type="{name}">a</value></returnval>'
        f'<returnval><key>k</key><value xsi:type="ArrayOf{name}"><{name} xsi:type="{name}">a</{name}></value></returnval>'
        f'<returnval><key>k</key><value xsi:type="ArrayOf{name}"></value></returnval>'
        for name in enumerations()
    )
    body = reply("QueryOptions", values)
    for sent in sent_back(body):
        assert sent == body


@pytest.mark.slow
@pytest.mark.parametrize("area", AREAS)
def test_every_structure_alone_in_lists_and_as_an_unknown_subtype(area: str) -> None:
    builder = Builder(random.Random(area))
    options = []
    for cls in classes():
        if cls.__module__ == area:
            value = builder.value(cls, depth=DEEPEST - 1)
            for one in (value, Typed(array_name(cls.__name__), [value])):
                options.append(vim25.OptionValue(key=cls.__name__, value=one))
    body = encode_response(ANY, options)
    newer = body
    for option in options[::2]:
        name = option.key
        newer = newer.replace(
            f'"ArrayOf{name}"><{name} xsi:type="{name}">'.encode(),
            f'"ArrayOf{name}"><{name} xsi:type="New{name}"><first>1</first>'.encode(),
        )
        newer = newer.replace(
            f"</{name}></value>".encode(), f"<last>2</last></{name}></value>".encode()
        )
    assert newer.count(b"<first>1</first>") == newer.count(b"<last>2</last>") == len(options) / 2
    for expected in (body, newer):
        for sent in sent_back(expected):
            assert sent == expected


# Objects of unknown types


def new_nic() -> Any:
    return read(OBJECTS[1])[0]


def test_an_object_of_an_unknown_subtype_is_one_of_its_known_ancestor() -> None:
    nic = new_nic()
    assert isinstance(nic, vim25.VirtualDevice)
    assert (nic.type_name, nic.key, nic.unitNumber) == ("VirtualNewNic", 4000, 7)
    assert nic.raw_fields == {"spin": ["up", "down"], "rack": Unknown("", "", (("row", "3"),))}
    assert repr(nic) == "VirtualNewNic(key=4000, unitNumber=7, spin=***, spin=***, rack=***)"


def test_an_object_of_a_known_type_has_its_name_and_no_raw_fields() -> None:
    known = vim25.VirtualDevice(key=1)
    assert known.type_name == "VirtualDevice"
    assert known.raw_fields == {}


def test_objects_of_unknown_types_are_equal_by_type_and_all_fields() -> None:
    nic = new_nic()
    assert nic == new_nic()
    other = read(OBJECTS[1].replace("VirtualNewNic", "VirtualNewerNic"))[0]
    slower = read(OBJECTS[1].replace("down", "left"))[0]
    assert nic not in (other, slower, vim25.VirtualDevice(key=4000, unitNumber=7))


def test_a_changed_object_of_an_unknown_type_is_sent_as_that_type() -> None:
    nic = msgspec.structs.replace(new_nic(), key=1)
    spec = vim25.VirtualMachineConfigSpec(
        deviceChange=[vim25.VirtualDeviceConfigSpec(operation="edit", device=nic)]
    )
    vm = vim25.VirtualMachine("vm")
    for version in (None, "4.1"):
        body = encode_request(
            vim25.VirtualMachine.ReconfigVM_Task, vm, {"spec": spec}, version=version
        )
        assert (
            b'<device xsi:type="VirtualNewNic"><key>1</key><unitNumber>7</unitNumber>'
            b"<spin>up</spin><spin>down</spin><rack><row>3</row></rack></device>"
        ) in body


def test_an_unknown_event_shows_its_type() -> None:
    body = reply(
        "ReadNextEvents",
        '<returnval xsi:type="VmDreamedEvent"><key>1</key><chainId>1</chainId>'
        "<createdTime>2026-01-02T03:04:05Z</createdTime><userName>root</userName>"
        '<sheep>7</sheep><vm type="VirtualMachine">12</vm></returnval>',
    )
    method = vim25.EventHistoryCollector.ReadNextEvents
    event = decode_response(method, body)[0]
    assert isinstance(event, vim25.Event)
    assert event.type_name == "VmDreamedEvent"
    assert repr(event).startswith("VmDreamedEvent(key=1")
    assert event.raw_fields["sheep"] == "7"


def test_a_reference_in_an_unknown_object_is_a_proxy() -> None:
    class Client:
        host = "esx1:443"

        async def invoke(self, method: Any, this: Any, args: Any) -> Any: ...

    client = Client()
    body = any_reply(
        '<value xsi:type="Future"><vm serverGuid="7A" type="VirtualMachine">12</vm></value>'
    )
    ((_, vm),) = decode_response(ANY, body, invoker=client)[0].value.children
    assert type(vm) is vim25.VirtualMachine
    assert vm._invoker is client
    assert vm._guid == "7A"


def test_an_element_of_another_namespace_is_kept_and_not_sent() -> None:
    value = read('<value xsi:type="Future"><o:a xmlns:o="urn:other">1</o:a></value>')
    assert value.children == (("{urn:other}a", "1"),)
    with pytest.raises(EncodeError, match=r"cannot send the element '\{urn:other\}a'"):
        encode_response(ANY, [vim25.OptionValue(key="k", value=value)])


@pytest.mark.parametrize("name", ["", "a b", "a><b", "1a", "a/"])
def test_a_name_that_is_none_in_xml_is_not_sent(name: str) -> None:
    for value in (Unknown("T", "", ((name, "1"),)), Unknown('"><x', "", (("a", 1),))):
        with pytest.raises(EncodeError):
            encode_response(ANY, [vim25.OptionValue(key="k", value=value)])


def test_an_unknown_fault_is_raised_and_sent_as_it_was() -> None:
    body = fault(
        "<faultcode>ServerFaultCode</faultcode><faultstring>hot</faultstring><detail>"
        '<TooHotFault xmlns="urn:vim25" xsi:type="TooHot"><degrees>90</degrees></TooHotFault></detail>'
    )
    with pytest.raises(MethodFault) as caught:
        decode_response(ANY, body)
    for found in (caught.value, caught.value.copy(), pickle.loads(pickle.dumps(caught.value))):
        assert found == caught.value
        assert found.raw_fields == {"degrees": "90"}
        assert encode_fault(found) == body


def test_a_subclass_that_a_program_defines_is_sent_as_the_type_that_it_extends() -> None:
    class MyFault(vim25.NotFound):
        pass

    class MyDevice(vim25.VirtualDevice):
        pass

    for value, name in ((MyFault(), b"NotFound"), (MyDevice(key=1), b"VirtualDevice")):
        body = encode_response(ANY, [vim25.OptionValue(key="k", value=value)])
        assert b'<value xsi:type="' + name + b'">' in body


def test_fields_that_a_service_calls_like_ours_get_a_trailing_underscore() -> None:
    from vimlib.model import parse_fields

    assert [field.attribute for field in parse_fields("type_name:string raw_fields:int")] == [
        "type_name_",
        "raw_fields_",
    ]
