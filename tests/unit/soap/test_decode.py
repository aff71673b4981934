from __future__ import annotations

import gc
import logging
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.unit.soap.cases import (
    ANY,
    ANY_VALUES,
    CONTENT,
    DECODERS,
    HEAD,
    TAIL,
    TYPED,
    any_reply,
    envelope,
    fault,
    feed_all,
    reply,
)
from vimlib import vim25
from vimlib.errors import ProtocolError, UnexpectedReplyError, UsageError
from vimlib.model import MethodFault
from vimlib.soap import Decoder, Limits, Typed, Unknown, decode_response, encode_request

FIND = vim25.SearchIndex.FindByUuid
VOID = vim25.SessionManager.Logout
TIME = vim25.ServiceInstance.CurrentTime
WAIT = vim25.PropertyCollector.WaitForUpdatesEx


def decode_content(body: bytes, **options: Any) -> vim25.RetrieveResult:
    result = decode_response(CONTENT, body, **options)
    assert result is not None
    return result


def content(val: str, declarations: str = "") -> bytes:
    return reply(
        "RetrievePropertiesEx",
        f'<returnval{declarations}><objects><obj type="VirtualMachine">vm-1</obj>'
        f"<propSet><name>p</name>{val}</propSet></objects></returnval>",
    )


def value_of(val: str, declarations: str = "", **options: Any) -> Any:
    return decode_content(content(val, declarations), **options).objects[0].propSet[0].val


def plain_class(value: Any) -> type[Any]:
    """Return the class of a value without its XML type."""
    return type(value.plain()) if isinstance(value, Typed) else type(value)


ROWS = [(row[0], row[2], row[1]) for row in ANY_VALUES] + [
    (row[0].type, row[1], row[2]) for row in TYPED
]


@pytest.mark.parametrize(("xml", "value"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_what_the_encoder_writes_is_read_whole_and_byte_by_byte(xml: str, value: Any) -> None:
    body = any_reply(xml)
    for step in (len(body), 1, 7):
        options = feed_all(Decoder(ANY, strict=True), body, step)
        assert options[0].value == value
        assert isinstance(options[0].value, plain_class(value))
        sent = encode_request(
            vim25.OptionManager.UpdateOptions, ("OptionManager", "o"), {"changedValue": options}
        )
        assert xml.encode() in sent


@pytest.mark.parametrize(
    "junk", [b"<", b"x", b"<a/>", b"\x00", b"]]>", b"&amp;", b"<?p?>", b"</a>"]
)
def test_junk_behind_the_envelope(junk: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode_response(VOID, reply("Logout", "") + junk)


@pytest.mark.parametrize("behind", [b"", b"\n", b" \r\n\t", b"<!-- done -->"])
def test_what_may_stand_behind_the_envelope(behind: bytes) -> None:
    assert decode_response(VOID, reply("Logout", "") + behind) is None


def test_a_reply_cut_off_anywhere_is_an_error_and_never_a_result() -> None:
    body = content(
        '<val xsi:type="ArrayOfVirtualDevice"><VirtualDevice xsi:type="VirtualCdrom"><key>3000</key>'
        "<deviceInfo><label>Gr&#252;n</label><summary>ü</summary></deviceInfo></VirtualDevice></val>"
    )
    for end in range(len(body)):
        with pytest.raises(ProtocolError):
            decode_response(CONTENT, body[:end])
        with pytest.raises(ProtocolError):
            feed_all(Decoder(CONTENT), body[:end], 13)
    assert decode_content(body).objects[0].propSet[0].val[0].key == 3000


# Structure


def test_a_void_method() -> None:
    assert decode_response(VOID, reply("Logout", "")) is None
    assert decode_response(VOID, envelope('<LogoutResponse xmlns="urn:vim25"/>')) is None


def test_prefixes_of_any_name() -> None:
    body = (
        b'<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Header/><e:Body>'
        b'<v:CurrentTimeResponse xmlns:v="urn:vim25"><v:returnval>2026-01-02T03:04:05Z</v:returnval>'
        b"</v:CurrentTimeResponse></e:Body></e:Envelope>"
    )
    assert decode_response(TIME, body) == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    "val",
    [
        '<val xmlns:XMLSchema-instance="http://www.w3.org/2001/XMLSchema-instance" XMLSchema-instance:type="xsd:int">5</val>',
        '<val xmlns:x="http://www.w3.org/2001/XMLSchema" xsi:type="x:int">5</val>',
        '<val xmlns:xsd="urn:vim25" xmlns:y="http://www.w3.org/2001/XMLSchema" xsi:type="y:int">5</val>',
        '<val xsi:type=" xsd:int ">5</val>',
        '<val other="x" xsi:type="xsd:int" xmlns:q="urn:q" q:type="xsd:string">5</val>',
        "<val xsi:type='xsd:int'><![CDATA[5]]></val>",
        "<val xsi:type='xsd:int'>\n 5\t</val>",
        "<val xsi:type='xsd:int'><!-- a -->5<!-- b --></val>",
        "<val xsi:type='xsd:int'>&#53;</val>",
        "<val xsi:type='xsd:int'>&#x35;</val >",
    ],
)
def test_xsi_type_is_matched_by_namespace(val: str) -> None:
    assert value_of(val) == 5


def test_prefixes_are_looked_up_where_they_stand() -> None:
    two = (
        '<returnval><objects xmlns:t="http://www.w3.org/2001/XMLSchema"><obj type="Folder">f</obj>'
        '<propSet><name>a</name><val xsi:type="t:int">1</val></propSet>'
        '<propSet xmlns:t="urn:vim25"><name>b</name><val xsi:type="t:Description"><label>l</label><summary>s</summary></val></propSet>'
        '<propSet><name>c</name><val xsi:type="t:string">1</val></propSet></objects></returnval>'
    )
    result = decode_content(reply("RetrievePropertiesEx", two))
    assert [p.val for p in result.objects[0].propSet] == [
        1,
        vim25.Description(label="l", summary="s"),
        "1",
    ]


def test_row_25_a_type_of_another_namespace_is_not_ours() -> None:
    assert value_of('<val xmlns:o="urn:other" xsi:type="o:int">5</val>') == "5"
    assert value_of('<val type="xsd:int">5</val>') == "5"
    assert value_of('<val xsi:type="int">5</val>') == "5"  # of urn:vim25, which has none


def test_an_undeclared_prefix() -> None:
    with pytest.raises(ProtocolError):
        value_of('<val xsi:type="nope:int">5</val>')


def test_a_subtype_narrows() -> None:
    info = decode_response(
        vim25.EnvironmentBrowser.QueryConfigOption,
        reply(
            "QueryConfigOption",
            "<returnval><version>vmx-07</version><description>d</description>"
            '<hardwareOptions><virtualDeviceOption xsi:type="VirtualIDEControllerOption"><type>VirtualIDEController</type>'
            "</virtualDeviceOption></hardwareOptions></returnval>",
        ),
    )
    assert info is not None
    option = info.hardwareOptions.virtualDeviceOption[0]
    assert type(option) is vim25.VirtualIDEControllerOption
    assert option.type == "VirtualIDEController"


@pytest.mark.parametrize(
    ("returnval", "path"),
    [
        ('<objects xsi:type="Description"/>', "returnval.objects[0]"),
        ('<objects><obj type="Folder">f</obj></objects><objects xsi:type="VirtualMachinePowerState"/>', "returnval.objects[1]"),
        ('<objects xsi:type="DynamicData"/>', "returnval.objects[0]"),
        ('<token xsi:type="Description"/>', "returnval.token"),
        ('<objects xsi:type="xsd:string"/>', "returnval.objects[0]"),
        ('<objects xsi:type="ManagedObjectReference"/>', "returnval.objects[0]"),
        ('<objects><obj xsi:type="xsd:string" type="Folder">f</obj></objects>', "returnval.objects[0].obj"),
        ('<objects><obj type="Folder">f</obj><propSet><name xsi:type="xsd:int">1</name></propSet></objects>', "returnval.objects[0].propSet[0].name"),
        ('<objects><obj>f</obj></objects>', "returnval.objects[0].obj"),
        ('<objects><obj type="Folder">f<x/></obj></objects>', "returnval.objects[0].obj"),
        ('<token>a<b/></token>', "returnval.token"),
        ('<objects><obj type="Folder">f</obj><propSet><name>a</name><val xsi:type="xsd:int">x</val></propSet></objects>', "returnval.objects[0].propSet[0].val"),
        ('<objects><obj type="Folder">f</obj><propSet><name>a</name><val xsi:type="ArrayOfInt"><int>1</int><int>_</int></val></propSet></objects>', "returnval.objects[0].propSet[0].val[1]"),
        ('<objects><obj type="Folder">f</obj><propSet><name>a</name><val xsi:type="VirtualDisk"><key>1_0</key></val></propSet></objects>', "returnval.objects[0].propSet[0].val.key"),
        ('<objects><obj type="Folder">f</obj><propSet><name>a</name><val xsi:type="VirtualDisk"><key>1</key><backing xsi:type="VirtualDisk"><key>1</key></backing></val></propSet></objects>', "returnval.objects[0].propSet[0].val.backing"),
    ],
)  # fmt: skip
def test_row_25_type_confusion_is_refused_with_its_path(returnval: str, path: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        decode_response(
            CONTENT, reply("RetrievePropertiesEx", f"<returnval>{returnval}</returnval>")
        )
    assert caught.value.path == path


def test_a_leaf_may_say_the_type_that_it_has() -> None:
    result = decode_response(
        CONTENT,
        reply(
            "RetrievePropertiesEx",
            '<returnval xsi:type="RetrieveResult"><token xsi:type="xsd:string">t</token></returnval>',
        ),
    )
    assert result is not None
    assert result.token == "t"


def test_row_25_an_unknown_type_leaves_the_declared_one() -> None:
    result = decode_response(
        CONTENT,
        reply(
            "RetrievePropertiesEx",
            '<returnval xsi:type="RetrieveResult2030"><token xsi:type="NewString">t</token></returnval>',
        ),
    )
    assert isinstance(result, vim25.RetrieveResult)
    assert result.type_name == "RetrieveResult2030"
    assert result.token == "t"


def test_row_27_unknown_elements_are_skipped() -> None:
    result = decode_response(
        CONTENT,
        reply(
            "RetrievePropertiesEx",
            "<returnval><newThing a='b'><deep>x<deeper/></deep>y</newThing><token>t</token><x/>"
            '<o:token xmlns:o="urn:other">other</o:token></returnval>',
        ),
        strict=True,
    )
    assert result == vim25.RetrieveResult(token="t", objects=[])


def test_row_27_the_order_of_elements_does_not_matter() -> None:
    fields = ["<key>1</key>", "<unitNumber>2</unitNumber>", "<capacityInKB>3</capacityInKB>"]
    one, two = (
        value_of(f'<val xsi:type="VirtualDisk">{"".join(order)}</val>')
        for order in (fields, fields[::-1])
    )
    assert one == two


def test_row_25_an_abstract_type_has_its_own_fields_alone() -> None:
    found = value_of(
        '<val xsi:type="VirtualDevice"><key>7</key><capacityInKB>9</capacityInKB></val>'
    )
    assert type(found) is vim25.VirtualDevice
    assert found.key == 7


def test_nil_is_absent() -> None:
    body = reply(
        "RetrievePropertiesEx",
        '<returnval><token xsi:nil="true"/><objects xsi:nil="1"/></returnval>',
    )
    assert decode_response(CONTENT, body) == vim25.RetrieveResult(token=None, objects=[])


# anyType


def test_any_type_without_a_type() -> None:
    assert value_of("<val>text</val>") == "text"
    assert value_of("<val/>") == ""
    assert value_of("<val><a>1</a></val>") == Unknown("", "", (("a", "1"),))


def test_row_25_any_type_of_an_unknown_type() -> None:
    assert value_of('<val xsi:type="Future">text</val>') == "text"
    assert value_of('<val xsi:type="Future"><a>1</a><b xsi:type="C"><d/> </b>x</val>') == Unknown(
        "Future", "", (("a", "1"), ("b", Unknown("C", "", (("d", ""),))))
    )
    assert value_of('<val xsi:type="ArrayOfFuture"><Future>1</Future></val>') == Unknown(
        "ArrayOfFuture", "", (("Future", "1"),)
    )


def test_an_array_of_an_unknown_subtype() -> None:
    value = value_of(
        '<val xsi:type="ArrayOfDescription"><Description xsi:type="X"><label>l</label><summary>s</summary></Description><other/></val>'
    )
    assert [(type(one).__mro__[1], one.type_name, one.label) for one in value] == [
        (vim25.Description, "X", "l")
    ]


def test_an_empty_array() -> None:
    assert value_of('<val xsi:type="ArrayOfManagedObjectReference"/>') == []


def test_enumerations_are_interned_strings() -> None:
    first, second = (
        value_of('<val xsi:type="VirtualMachinePowerState">poweredOn</val>') for _ in range(2)
    )
    assert first is second
    assert first == vim25.VirtualMachinePowerState.poweredOn
    assert value_of('<val xsi:type="VirtualMachinePowerState">hovering</val>') == "hovering"
    # Nothing keeps what no enumeration has.
    one, other = (
        value_of(f'<val xsi:type="VirtualMachinePowerState">{"h" * 65}</val>') for _ in range(2)
    )
    assert one == other == "h" * 65
    assert one is not other


# Leaves

LEAVES: list[tuple[str, str, Any]] = [
    ("boolean", "1", True), ("boolean", "0", False), ("boolean", " true\n", True),
    ("int", "+7", 7), ("int", "007", 7), ("int", "-0", 0), ("byte", "-128", -128), ("short", "32767", 32767),
    ("long", "-9223372036854775808", -(2**63)), ("unsignedInt", "4294967295", 2**32 - 1),
    ("double", "1e3", 1000.0), ("double", ".5", 0.5), ("double", "5.", 5.0), ("float", "-INF", float("-inf")),
    ("double", " 2 ", 2.0),
    ("dateTime", "2026-01-02T03:04:05.123456789Z", datetime(2026, 1, 2, 3, 4, 5, 123456, UTC)),
    ("dateTime", "2026-01-02T03:04:05.1Z", datetime(2026, 1, 2, 3, 4, 5, 100000, UTC)),
    ("dateTime", "2026-01-02T03:04:05.000Z", datetime(2026, 1, 2, 3, 4, 5, 0, UTC)),
    ("dateTime", "2026-01-02T03:04:05", datetime(2026, 1, 2, 3, 4, 5)),
    ("dateTime", "2026-01-02T03:04:05+02:00", datetime(2026, 1, 2, 1, 4, 5, tzinfo=UTC)),
    ("dateTime", "2026-12-31T24:00:00Z", datetime(2027, 1, 1, tzinfo=UTC)),
    ("dateTime", " 2026-01-02T03:04:05Z ", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
    ("base64Binary", " A P\n8 Q ", b"\x00\xff\x10"),
    ("string", "  a  ", "  a  "), ("token", "t", "t"),
]  # fmt: skip


@pytest.mark.parametrize(("type_", "text", "value"), LEAVES)
def test_leaves(type_: str, text: str, value: Any) -> None:
    read = value_of(f'<val xsi:type="xsd:{type_}">{text}</val>')
    assert read == value
    assert plain_class(read) is type(value)


BAD_LEAVES = [
    ("boolean", "True"), ("boolean", "yes"), ("boolean", ""), ("boolean", "2"),
    ("int", ""), ("int", "1_0"), ("int", "1.0"), ("int", "0x1"), ("int", "١"), ("int", "1 2"),
    ("int", "--1"), ("int", "\u00a01"), ("long", "1" * 5000),
    ("double", "inf"), ("double", "nan"), ("double", "infinity"), ("double", "1_0"), ("double", ""), ("double", "0x1p3"),
    ("double", "1e"), ("double", "1" * 600),
    ("dateTime", ""), ("dateTime", "NaN"), ("dateTime", "2026-13-01T00:00:00Z"), ("dateTime", "2026-02-30T00:00:00Z"),
    ("dateTime", "2026-01-02"), ("dateTime", "2026-01-02 03:04:05Z"), ("dateTime", "20260102T030405Z"),
    ("dateTime", "2026-01-02T03:04:05.Z"), ("dateTime", "2026-01-02T03:04:05,5Z"), ("dateTime", "2026-01-02T03:04:05z"),
    ("dateTime", "2026-W01-2T03:04:05Z"), ("dateTime", "2026-01-02T03:04:60Z"), ("dateTime", "2026-01-02T25:00:00Z"),
    ("dateTime", "2026-01-02T24:00:01Z"), ("dateTime", "2026-01-02T03:04Z"), ("dateTime", "0000-01-01T00:00:00Z"),
    ("dateTime", "-2026-01-02T03:04:05Z"), ("dateTime", "12026-01-02T03:04:05Z"), ("dateTime", "9999-12-31T24:00:00Z"),
    ("dateTime", "2026-01-02T03:04:05+14:01"), ("dateTime", "2026-01-02T03:04:05+0200"), ("dateTime", "٢026-01-02T03:04:05Z"),
    ("base64Binary", "A"), ("base64Binary", "A==="), ("base64Binary", "AP8Q="), ("base64Binary", "ä"), ("base64Binary", "AP8Q!"),
]  # fmt: skip


@pytest.mark.parametrize(("type_", "text"), BAD_LEAVES)
def test_row_27_leaves_that_are_none(type_: str, text: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        value_of(f'<val xsi:type="xsd:{type_}">{text}</val>')
    assert caught.value.path == "returnval.objects[0].propSet[0].val"


def test_line_ends_are_xml_s() -> None:
    assert value_of('<val xsi:type="xsd:string">a\r\nb\rc&#13;&#10;d</val>') == "a\nb\nc\r\nd"


# References


def test_references_decode_as_proxies() -> None:
    class Client:
        host = "esx1:443"

        async def invoke(self, method: Any, this: Any, args: Any) -> Any: ...

    client = Client()
    body = reply("FindByUuid", '<returnval serverGuid="7A" type="VirtualMachine">vm-1</returnval>')
    found: Any = decode_response(FIND, body, invoker=client)
    assert type(found) is vim25.VirtualMachine
    assert found._invoker is client
    assert found._guid == "7A"
    found = decode_response(FIND, body)
    assert found._invoker is None


def test_a_kind_that_is_not_known() -> None:
    found = decode_response(FIND, reply("FindByUuid", '<returnval type="SuperVM">x</returnval>'))
    assert type(found) is vim25.ManagedEntity  # what the method declares
    assert found.moref == ("SuperVM", "x")
    found = value_of('<val xsi:type="ManagedObjectReference" type="SuperVM">x</val>')
    assert type(found) is vim25.ManagedObject
    assert found.moref == ("SuperVM", "x")
    # A data object's name is no kind either.
    found = value_of('<val xsi:type="ManagedObjectReference" type="VirtualDisk">x</val>')
    assert type(found) is vim25.ManagedObject


def test_a_kind_other_than_the_declared() -> None:
    found: Any = decode_response(
        FIND, reply("FindByUuid", '<returnval type="FileManager">f</returnval>')
    )
    assert type(found) is vim25.FileManager


@pytest.mark.parametrize(
    "body", ["", "<returnval></returnval>", "<returnval/>", '<returnval type="VirtualMachine"/>']
)
def test_no_reference(body: str) -> None:
    assert decode_response(FIND, reply("FindByUuid", body), strict=True) is None


@pytest.mark.parametrize(
    "body", ["", "<returnval></returnval>", "<returnval/>", "<returnval> </returnval>"]
)
def test_no_result(body: str) -> None:
    assert decode_response(WAIT, reply("WaitForUpdatesEx", body), strict=True) is None


# Tolerance


def test_row_27_a_required_field_absent(caplog: pytest.LogCaptureFixture) -> None:
    fresh_tables()
    body = reply("RetrievePropertiesEx", "<returnval><objects/><objects/></returnval>")
    with caplog.at_level(logging.WARNING, "vimlib.soap"):
        result = decode_response(CONTENT, body)
        assert result == decode_response(CONTENT, body)
    nobody: Any = None
    assert result == vim25.RetrieveResult(objects=[vim25.ObjectContent(obj=nobody)] * 2)
    assert [record.getMessage() for record in caplog.records] == [
        "ObjectContent: invalid reply, obj: required element missing; decoded as None (logged once per type)"
    ]
    with pytest.raises(ProtocolError) as caught:
        decode_response(CONTENT, body, strict=True)
    assert caught.value.path == "returnval.objects[0].obj"


def test_an_empty_enumeration(caplog: pytest.LogCaptureFixture) -> None:
    fresh_tables()
    shares = '<val xsi:type="SharesInfo"><shares>1</shares><level></level></val>'
    with caplog.at_level(logging.WARNING, "vimlib.soap"):
        assert value_of(shares) == vim25.SharesInfo(shares=1, level=None)  # type: ignore[arg-type]
    assert len(caplog.records) == 1
    with pytest.raises(ProtocolError) as caught:
        value_of(shares, strict=True)
    assert caught.value.path == "returnval.objects[0].propSet[0].val.level"


def test_no_result_where_one_is_due() -> None:
    # An absent field can be None; an absent result would be passed on as one.
    for strict in (False, True):
        with pytest.raises(ProtocolError) as caught:
            decode_response(TIME, reply("CurrentTime", ""), strict=strict)
        assert caught.value.path == "returnval"


def fresh_tables() -> None:
    vim25.BINDING.codec.clear()


# Whatever else comes back


@pytest.mark.parametrize(
    "body",
    [
        b"", b" \r\n ", b"\xef\xbb\xbf", b"<html><body>Log in</body></html>", b"<!DOCTYPE html>\n<html>",
        b"<!doctype HTML PUBLIC '-//W3C//DTD HTML 4.01//EN' 'http://x/y'>", b"Service Unavailable", b"{}", b'{"a": 1}',
        b"<html><p>a<br>b</html>", envelope(""), reply("Login", "<returnval/>"),
        b'<Envelope xmlns="http://www.w3.org/2003/05/soap-envelope"><Body/></Envelope>',
        b"<Envelope><Body/></Envelope>", envelope('<LogoutResponse xmlns="urn:other"/>'), envelope('<Fault/>'),
        b"<?xml version='1.0'?>",
    ],
)  # fmt: skip
def test_what_is_no_reply_to_the_call(body: bytes) -> None:
    kind = ProtocolError if body.startswith(b"<?xml version='1.0'?>") else UnexpectedReplyError
    with pytest.raises(kind) as caught:
        decode_response(VOID, body)
    assert caught.value.outcome == "unknown"


def test_the_excerpt_is_escaped() -> None:
    with pytest.raises(UnexpectedReplyError) as caught:
        decode_response(VOID, b"\x1b[31mred\nalert" + b"x" * 1000)
    assert caught.value.excerpt.startswith("\\x1b[31mred\\nalert")
    assert len(caught.value.excerpt) < 260


@pytest.mark.parametrize(
    "body",
    [
        HEAD + '<LogoutResponse xmlns="urn:vim25"/><LogoutResponse xmlns="urn:vim25"/>' + TAIL,
        HEAD
        + '<LogoutResponse xmlns="urn:vim25"/></soapenv:Body><soapenv:Body/></soapenv:Envelope>',
        HEAD.replace("<soapenv:Body>", "<other/><soapenv:Body>")
        + '<LogoutResponse xmlns="urn:vim25"/>'
        + TAIL,
        HEAD
        + '<LogoutResponse xmlns="urn:vim25"/></soapenv:Body><soapenv:Header/></soapenv:Envelope>',
    ],
)
def test_an_envelope_with_more_than_it_may_have(body: str) -> None:
    with pytest.raises(ProtocolError):
        decode_response(VOID, body.encode())


def test_a_decoder_that_failed_stays_failed() -> None:
    decoder = Decoder(VOID)
    with pytest.raises(ProtocolError) as first:
        decoder.feed(b"<html/>aaaaa")
    with pytest.raises(ProtocolError) as second:
        decoder.feed(reply("Logout", ""))
    with pytest.raises(ProtocolError) as third:
        decoder.close()
    assert first.value is second.value is third.value


def test_any_buffer_can_be_fed() -> None:
    body = reply("Logout", "")
    for data in (bytearray(body), memoryview(body)):
        assert decode_response(VOID, data) is None


def test_limits_are_an_argument() -> None:
    with pytest.raises(ProtocolError):
        decode_response(VOID, reply("Logout", ""), limits=Limits(inflated=10))


def test_a_fault_is_raised() -> None:
    with pytest.raises(vim25.NotAuthenticated) as caught:
        decode_response(
            VOID,
            fault(
                "<faultcode>ServerFaultCode</faultcode><faultstring>Not in</faultstring><detail>"
                '<NotAuthenticatedFault xmlns="urn:vim25" xsi:type="NotAuthenticated"><object type="Folder">f</object>'
                "<privilegeId>System.View</privilegeId></NotAuthenticatedFault></detail>"
            ),
        )
    assert isinstance(caught.value, MethodFault)
    assert caught.value == vim25.NotAuthenticated(
        object=vim25.Folder("f"), privilegeId="System.View"
    )
    assert caught.value.localized_message == "Not in"
    assert caught.value.outcome == "refused"


@pytest.mark.parametrize(
    "body",
    [
        reply("CurrentTime", "<returnval>2026-01-01T00:00:00Z</returnval>"),
        fault("<faultstring>no</faultstring>"),
        fault('<detail><XFault xmlns="urn:vim25" xsi:type="Future"><a>1</a></XFault></detail>'),
    ],
    ids=["reply", "fault", "unknown fault"],
)
def test_a_decoder_that_is_done_leaves_nothing_to_the_cycle_collector(body: bytes) -> None:
    def read() -> None:
        decoder = Decoder(TIME)
        decoder.feed(body)
        try:
            decoder.close()
        except MethodFault as error:
            error.__traceback__ = None

    read()  # tables are made by the first
    # What earlier tests left with finalizers goes in the next round.
    while gc.collect():
        pass
    gc.disable()
    try:
        read()
        assert gc.collect() == 0
    finally:
        gc.enable()


@pytest.mark.parametrize("decoder", DECODERS)
def test_unknown_types_leave_nothing_to_the_cycle_collector(decoder: Any) -> None:
    def read(name: str) -> None:
        future = f'<value xsi:type="ArrayOfEvent"><Event xsi:type="{name}"><a>1</a></Event></value>'
        feed_all(decoder(ANY), any_reply(future))

    read("Before")
    gc.collect()
    gc.disable()
    try:
        for number in range(3):
            read(f"Future{number}")
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_a_decoder_closes_twice_and_takes_no_more() -> None:
    for _ in range(2):  # the second may know how the reply begins
        decoder = Decoder(VOID)
        decoder.feed(reply("Logout", ""))
        assert decoder.close() is None
        assert decoder.close() is None
        with pytest.raises(UsageError):
            decoder.feed(b"<")


@pytest.mark.parametrize("times", [1, 2])
def test_what_comes_behind_a_reply_that_looked_whole(times: int) -> None:
    body = reply("CurrentTime", "<returnval>2026-01-02T03:04:05Z</returnval>")
    for _ in range(times):  # the second may know how the reply begins
        for blank in (b"\n", b"<!-- c -->", b""):
            decoder = Decoder(TIME)
            decoder.feed(body)
            decoder.feed(blank)
            decoder.feed(b" ")
            assert decoder.close().year == 2026
        for more in (b"<more/>", b"more", b"<?more?>", body):
            decoder = Decoder(TIME)
            decoder.feed(body)
            with pytest.raises(ProtocolError):  # noqa: PT012 - it may wait for more
                decoder.feed(more)
                decoder.close()
