"""Objects and their XML, one table for encoder and decoder, and small helpers of the tests here."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from vimlib import vim25
from vimlib.soap import Decoder, Typed
from vimlib.soap._backend import _lacking
from vimlib.soap._decode import PureDecoder

DECODERS: list[Any] = [PureDecoder]
if not _lacking():
    from vimlib.soap._accelerated import AcceleratedDecoder

    DECODERS.append(AcceleratedDecoder)

HEAD = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    '<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"'
    ' xmlns:xsd="http://www.w3.org/2001/XMLSchema"'
    ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soapenv:Body>'
)
TAIL = "</soapenv:Body></soapenv:Envelope>"


def envelope(body: str) -> bytes:
    return f"{HEAD}{body}{TAIL}".encode()


def reply(method: str, body: str) -> bytes:
    return envelope(f'<{method}Response xmlns="urn:vim25">{body}</{method}Response>')


def fault(body: str) -> bytes:
    return envelope(f"<soapenv:Fault>{body}</soapenv:Fault>")


# Any value can travel as the value of an OptionValue; QueryOptions returns an array of them.
ANY = vim25.OptionManager.QueryOptions


def feed_all(decoder: Decoder[Any], body: bytes, step: int = 0) -> Any:
    """Feed `body` in pieces of `step` bytes (0: whole) and return the result."""
    for at in range(0, len(body), step or max(1, len(body))):
        decoder.feed(body[at : at + (step or len(body))])
    return decoder.close()


def any_reply(val: str) -> bytes:
    return reply("QueryOptions", f"<returnval><key>k</key>{val}</returnval>")


CONTENT = vim25.PropertyCollector.RetrievePropertiesEx
UTC_NOON = datetime(2026, 11, 24, 12, 30, 15, 123456, UTC)
INDIA = timezone(timedelta(hours=5, minutes=30))

# name, value, XML that the encoder writes for it and the decoder reads as an equal value
ANY_VALUES: list[tuple[str, Any, str]] = [
    ("true", True, '<value xsi:type="xsd:boolean">true</value>'),
    ("false", False, '<value xsi:type="xsd:boolean">false</value>'),
    ("int", 5, '<value xsi:type="xsd:int">5</value>'),
    ("smallest int", -(2**31), '<value xsi:type="xsd:int">-2147483648</value>'),
    ("long", 2**31, '<value xsi:type="xsd:long">2147483648</value>'),
    ("float", 0.5, '<value xsi:type="xsd:double">0.5</value>'),
    ("tiny float", 5e-324, '<value xsi:type="xsd:double">5e-324</value>'),
    ("infinity", float("inf"), '<value xsi:type="xsd:double">INF</value>'),
    ("minus infinity", float("-inf"), '<value xsi:type="xsd:double">-INF</value>'),
    ("str", "a < b & c > d", '<value xsi:type="xsd:string">a &lt; b &amp; c &gt; d</value>'),
    ("empty str", "", '<value xsi:type="xsd:string"></value>'),
    (
        "not ASCII",
        "Grüße, 世界 \U0001f600",
        '<value xsi:type="xsd:string">Grüße, 世界 \U0001f600</value>',
    ),
    ("line ends", "a\r\nb\tc ", '<value xsi:type="xsd:string">a&#13;\nb\tc </value>'),
    ("bytes", b"\x00\xff\x10", '<value xsi:type="xsd:base64Binary">AP8Q</value>'),
    ("no bytes", b"", '<value xsi:type="xsd:base64Binary"></value>'),
    ("UTC", UTC_NOON, '<value xsi:type="xsd:dateTime">2026-11-24T12:30:15.123456Z</value>'),
    (
        "zone",
        datetime(2026, 1, 2, 3, 4, 5, tzinfo=INDIA),
        '<value xsi:type="xsd:dateTime">2026-01-02T03:04:05+05:30</value>',
    ),
    (
        "data object",
        vim25.OptionValue(key="a", value=1),
        '<value xsi:type="OptionValue"><key>a</key><value xsi:type="xsd:int">1</value></value>',
    ),
    (
        "fault",
        vim25.InvalidPowerState(requestedState="poweredOn", existingState="poweredOff"),
        (
            '<value xsi:type="InvalidPowerState"><requestedState>poweredOn</requestedState>'
            "<existingState>poweredOff</existingState></value>"
        ),
    ),
    (
        "reference",
        vim25.VirtualMachine("a&b"),
        '<value type="VirtualMachine" xsi:type="ManagedObjectReference">a&amp;b</value>',
    ),
    (
        "reference elsewhere",
        vim25.VirtualMachine("vm-1", guid="7A-\"'"),
        '<value serverGuid="7A-&quot;\'" type="VirtualMachine" xsi:type="ManagedObjectReference">vm-1</value>',
    ),
    (
        "ints",
        [1, -2],
        '<value xsi:type="ArrayOfInt"><int>1</int><int>-2</int></value>',
    ),
    (
        "ints and longs",
        [1, 2**40],
        '<value xsi:type="ArrayOfLong"><long>1</long><long>1099511627776</long></value>',
    ),
    (
        "strs",
        ["a", ""],
        '<value xsi:type="ArrayOfString"><string>a</string><string></string></value>',
    ),
    (
        "anything",
        [1, "a"],
        (
            '<value xsi:type="ArrayOfAnyType"><anyType xsi:type="xsd:int">1</anyType>'
            '<anyType xsi:type="xsd:string">a</anyType></value>'
        ),
    ),
    (
        "references",
        [vim25.Datastore("ds-1"), vim25.Network("net-1")],
        (
            '<value xsi:type="ArrayOfManagedObjectReference">'
            '<ManagedObjectReference type="Datastore">ds-1</ManagedObjectReference>'
            '<ManagedObjectReference type="Network">net-1</ManagedObjectReference></value>'
        ),
    ),
    (
        "one kind of object",
        [vim25.Description(label="a", summary="b")],
        (
            '<value xsi:type="ArrayOfDescription"><Description><label>a</label>'
            "<summary>b</summary></Description></value>"
        ),
    ),
    (
        "kinds of object",
        [
            vim25.VirtualIDEController(key=200, busNumber=0),
            vim25.VirtualPCIController(key=100, busNumber=1),
        ],
        (
            '<value xsi:type="ArrayOfVirtualController">'
            '<VirtualController xsi:type="VirtualIDEController"><key>200</key><busNumber>0</busNumber>'
            '</VirtualController><VirtualController xsi:type="VirtualPCIController"><key>100</key>'
            "<busNumber>1</busNumber></VirtualController></value>"
        ),
    ),
]

# What `Typed` says, its XML, and what the decoder makes of it
TYPED: list[tuple[Typed, str, Any]] = [
    (Typed("xsd:short", 5), '<value xsi:type="xsd:short">5</value>', 5),
    (Typed("xsd:byte", -128), '<value xsi:type="xsd:byte">-128</value>', -128),
    (Typed("xsd:long", 5), '<value xsi:type="xsd:long">5</value>', 5),
    (Typed("xsd:float", 2), '<value xsi:type="xsd:float">2.0</value>', 2.0),
    (Typed("xsd:anyURI", "a:b"), '<value xsi:type="xsd:anyURI">a:b</value>', "a:b"),
    (Typed("ArrayOfString", []), '<value xsi:type="ArrayOfString"></value>', []),
    (
        Typed("VirtualMachinePowerState", "poweredOn"),
        '<value xsi:type="VirtualMachinePowerState">poweredOn</value>',
        "poweredOn",
    ),
    (
        Typed("ArrayOfVirtualDevice", [vim25.VirtualIDEController(key=200, busNumber=0)]),
        (
            '<value xsi:type="ArrayOfVirtualDevice"><VirtualDevice xsi:type="VirtualIDEController">'
            "<key>200</key><busNumber>0</busNumber></VirtualDevice></value>"
        ),
        [vim25.VirtualIDEController(key=200, busNumber=0)],
    ),
]
