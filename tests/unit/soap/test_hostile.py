"""Replies that are made to hurt: refused soon, with a typed error, without memory or time to speak of."""

from __future__ import annotations

import gc
import time
import tracemalloc
from collections import deque
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from tests.unit.soap.cases import HEAD, TAIL, envelope, fault, feed_all, reply
from vimlib import vim25
from vimlib.errors import ForbiddenXMLError, LimitError, ProtocolError
from vimlib.soap import Decoder, Limits, backend, decode_response
from vimlib.soap._decode import BROKEN, PureDecoder

METHOD = vim25.PropertyCollector.RetrievePropertiesEx
MIB = 1 << 20


def bomb(declaration: str, text: str = "&x;") -> bytes:
    head = HEAD.replace("?>\n", f"?>\n{declaration}")
    return f'{head}<RetrievePropertiesExResponse xmlns="urn:vim25"><returnval><token>{text}</token></returnval></RetrievePropertiesExResponse>{TAIL}'.encode()


LAUGHS = (
    "<!DOCTYPE a [<!ENTITY x0 'ha'>"
    + "".join(f"<!ENTITY x{i} '&x{i - 1};&x{i - 1};'>" for i in range(1, 40))
    + "]>"
)

FORBIDDEN = {
    "doctype": bomb("<!DOCTYPE Envelope>", "a"),
    "doctype with a file": bomb('<!DOCTYPE a SYSTEM "file:///etc/passwd">', "a"),
    "external entity": bomb('<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>'),
    "parameter entity": bomb('<!DOCTYPE a [<!ENTITY % p SYSTEM "http://127.0.0.1:9/"> %p;]>'),
    "entity": bomb("<!DOCTYPE a [<!ENTITY x 'y'>]>"),
    "a billion laughs": bomb(LAUGHS, "&x39;"),
    "undeclared entity": bomb("", "&x;"),
    "HTML's entity": bomb("", "&nbsp;"),
    "instruction": bomb("<?php x?>", "a"),
    "instruction in a text": bomb("", "a<?b c?>d"),
    "stylesheet": bomb("<?xml-stylesheet href='a'?>", "a"),
}


@pytest.mark.parametrize("body", FORBIDDEN.values(), ids=FORBIDDEN)
def test_row_22_what_soap_forbids(body: bytes) -> None:
    began = time.process_time()
    with pytest.raises(ForbiddenXMLError):
        decode_response(METHOD, body)
    assert time.process_time() - began < 2


def test_xinclude_is_an_unknown_element() -> None:
    body = reply(
        "RetrievePropertiesEx",
        '<returnval><i:include xmlns:i="http://www.w3.org/2001/XInclude" href="file:///etc/passwd"/></returnval>',
    )
    assert decode_response(METHOD, body) == vim25.RetrieveResult(objects=[])


MALFORMED = {
    "latin-1": bomb("", "Gr\u00fc\u00dfe").decode().encode("latin-1"),
    "overlong": bomb("", "A").replace(b">A<", b">\xc0\x80<"),
    "surrogate": bomb("", "A").replace(b">A<", b">\xed\xa0\x80<"),
    "beyond Unicode": bomb("", "A").replace(b">A<", b">\xf5\x80\x80\x80<"),
    "cut character": bomb("", "A").replace(b">A<", b">\xe2\x82<"),
    "not a character": bomb("", "A").replace(b">A<", b">\xef\xbf\xbf<"),
    "NUL": bomb("", "A\x00"),
    "escape": bomb("", "\x1b[31m"),
    "reference to NUL": bomb("", "&#0;"),
    "reference to a surrogate": bomb("", "&#xD800;"),
    "reference beyond": bomb("", "&#x110000;"),
    "reference without end": bomb("", "&#65"),
    "reference of no number": bomb("", "&#xG;"),
    "ampersand": bomb("", "a & b"),
    "CDATA's end": bomb("", "a ]]> b"),
    "two dashes": bomb("", "<!-- a -- b -->"),
    "attribute twice": bomb("", "A").replace(b"<token>", b"<token a='1' a='2'>"),
    "attribute twice by namespace": bomb("", "A").replace(
        b"<token>", b"<token xmlns:p='u:a' xmlns:q='u:a' p:a='1' q:a='2'>"
    ),
    "attribute without quotes": bomb("", "A").replace(b"<token>", b"<token a=1>"),
    "attribute with a tag": bomb("", "A").replace(b"<token>", b"<token a='<'>"),
    "attributes without space": bomb("", "A").replace(b"<token>", b"<token a='1'b='2'>"),
    "wrong end": bomb("", "A").replace(b"</token>", b"</tokens>"),
    "wrong end prefix": bomb("", "A").replace(b"</soapenv:Body>", b"</Body>"),
    "undeclared prefix": bomb("", "A").replace(b"<token>A</token>", b"<x:token>A</x:token>"),
    "undeclared attribute prefix": bomb("", "A").replace(b"<token>", b"<token x:a='1'>"),
    "prefix bound to nothing": bomb("", "A").replace(b"<token>", b"<token xmlns:x=''>"),
    "prefix xml": bomb("", "A").replace(b"<token>", b"<token xmlns:xml='urn:a'>"),
    "prefix xmlns": bomb("", "A").replace(b"<token>", b"<token xmlns:xmlns='urn:a'>"),
    "name with a digit first": bomb("", "<1a/>"),
    "no name": bomb("", "< a/>"),
    "space before the end": bomb("", "A").replace(b"</token>", b"< /token>"),
    "UTF-16": bomb("", "A").decode().encode("utf-16"),
    "UTF-16 without mark": bomb("", "A").decode().encode("utf-16-le"),
    "declared latin-1": bomb("", "A").replace(b'"UTF-8"', b'"ISO-8859-1"'),
    "declared UTF-16": bomb("", "A").replace(b'"UTF-8"', b'"UTF-16"'),
    "XML 1.1": bomb("", "A").replace(b'"1.0"', b'"1.1"'),
    "declaration twice": bomb("", "A").replace(
        b"<soapenv:Env", b"<?xml version='1.0'?><soapenv:Env"
    ),
    "space before the declaration": b" " + bomb("", "A"),
    "text before the root": bomb("", "A").replace(b"?>\n", b"?>\nhello"),
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED)
@pytest.mark.parametrize("step", [0, 1])
def test_what_is_no_xml(body: bytes, step: int) -> None:
    with pytest.raises(ProtocolError) as caught:
        feed_all(Decoder(METHOD), body, step)
    assert ("well-formed" in str(caught.value)) == (caught.value.hint == BROKEN)


HARMLESS = {
    "byte order mark": b"\xef\xbb\xbf" + bomb("", "A"),
    "no declaration": bomb("", "A").partition(b"?>\n")[2],
    "small letters": bomb("", "A").replace(b"UTF-8", b"utf-8"),
    "single quotes": bomb("", "A").replace(b'"', b"'"),
    "comments": bomb("<!-- a -->", "<!-- b -->A<!--c-->"),
    "space in tags": bomb("", "A")
    .replace(b"<token>", b"<token\n >")
    .replace(b"</token>", b"</token\t>"),
    "CDATA": bomb("", "<![CDATA[A]]>"),
    "reference": bomb("", "&#65;"),
}


@pytest.mark.parametrize("body", HARMLESS.values(), ids=HARMLESS)
@pytest.mark.parametrize("step", [0, 1])
def test_what_is_odd_and_harmless(body: bytes, step: int) -> None:
    assert feed_all(Decoder(METHOD), body, step) == vim25.RetrieveResult(token="A", objects=[])


# Limits: too much of anything, endless, in pieces as a peer would send it

SOURCE = Path(__file__).parents[3] / "vimlib" / "soap" / "_accel.pyx"
DECODERS = list(dict.fromkeys((Decoder, PureDecoder)))
END = b"</returnval></RetrievePropertiesExResponse></soapenv:Body></soapenv:Envelope>"
OPEN = (HEAD + '<RetrievePropertiesExResponse xmlns="urn:vim25"><returnval>').encode()


def endless(piece: bytes) -> Iterator[bytes]:
    yield OPEN
    while True:
        yield piece * (65536 // len(piece))


def feed(pieces: Iterable[bytes], limits: Limits = Limits()) -> LimitError:
    decoder = Decoder(METHOD, limits=limits)
    with pytest.raises(LimitError) as caught:
        deque(map(decoder.feed, pieces), maxlen=0)
    return caught.value


SMALL = Limits(elements=10_000, text=MIB, inflated=32 * MIB)

ENDLESS = {
    "known elements": (b"<objects></objects>", "elements"),
    "unknown elements": (b"<x/>", "elements"),
    "unknown depth": (b"<x>", "depth"),
    "known depth": (b"<objects><propSet><val xsi:type='ObjectContent'>", "depth"),
    "text": (b"a", "text"),
    "text in pieces": (b"a&#10;", "text"),
    "white space": (b" ", "text"),
    "commented text": (b"a<!---->", "text"),
    "one comment": (b"<!--" + b"a" * 70000, "text"),
}


@pytest.mark.parametrize(("piece", "limit"), ENDLESS.values(), ids=ENDLESS)
def test_row_23_endless(piece: bytes, limit: str) -> None:
    tracemalloc.start()
    try:
        pieces = (
            endless(piece) if len(piece) < 65536 else iter([OPEN, piece, *[b"a" * 65536] * 600])
        )
        error = feed(pieces, SMALL)
        assert tracemalloc.get_traced_memory()[1] < 16 * MIB
    finally:
        tracemalloc.stop()
    assert error.limit == limit
    assert error.allowed == getattr(SMALL, limit)
    assert f"raise Limits.{limit}" in str(error)


def test_an_endless_unknown_node() -> None:
    error = feed(iter([OPEN + b"<objects><propSet><val>", *[b"<a/>" * 16384] * 20]), SMALL)
    assert error.limit == "elements"


DROPS = {
    "text": (b"<token>", b"x", b"</token>"),
    "text in pieces": (b"<token>", b"x&#10;x", b"</token>"),
    "text of an unknown element": (b"<new>", b"x", b"</new>"),
    "text of an unknown value": (b"<objects><propSet><val xsi:type='N'>", b"x", b"</val></propSet></objects>"),
    "section": (b"<token><![CDATA[", b"x", b"]]></token>"),
    "comment": (b"<!--", b"x", b"-->"),
    "attribute": (b"<token a='", b"x", b"'></token>"),
    "white space": (b"<token/>", b" ", b""),
}  # fmt: skip


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("parts", DROPS.values(), ids=DROPS)
def test_a_long_token_in_drops_takes_no_longer_than_one_at_once(
    decoder: Any, parts: tuple[bytes, bytes, bytes]
) -> None:
    head, drop, tail = parts
    body = OPEN + head + drop * (4 * MIB // len(drop)) + tail + END
    took = []
    for step in (1 << 16, 1 << 10):
        began = time.process_time()
        assert feed_all(decoder(METHOD), body, step) is not None
        took.append(time.process_time() - began)
    # Without care it is some hundred times as long.
    assert took[1] < 10 * took[0] + 0.25
    with pytest.raises(ProtocolError, match="truncated"):
        feed_all(decoder(METHOD), body[:-MIB], 1 << 10)


def test_one_endless_leaf() -> None:
    error = feed(iter([OPEN + b"<token>", *[b"x" * 65536] * 20]), SMALL)
    assert error.limit == "text"


def test_one_endless_attribute() -> None:
    error = feed(iter([OPEN + b"<token a='", *[b"x" * 65536] * 20]), SMALL)
    assert error.limit == "text"


def test_a_short_limit_on_texts() -> None:
    for text, fits in (("x" * 20, True), ("x" * 21, False)):
        body = reply("RetrievePropertiesEx", f"<returnval><token>{text}</token></returnval>")
        if fits:
            assert decode_response(METHOD, body, limits=Limits(text=20)) is not None
        else:
            with pytest.raises(LimitError):
                decode_response(METHOD, body, limits=Limits(text=20))


@pytest.mark.parametrize(
    "element", ["<token {}>a</token>", "<x {}/>", "<x><y {}/></x>", "<objects {}/>"]
)
def test_row_23_attributes(element: str) -> None:
    for count, fits in ((256, True), (257, False)):
        attributes = " ".join(f"a{i}='{i}'" for i in range(count))
        body = reply("RetrievePropertiesEx", f"<returnval>{element.format(attributes)}</returnval>")
        if fits:
            assert decode_response(METHOD, body) is not None
        else:
            with pytest.raises(LimitError) as caught:
                decode_response(METHOD, body)
            assert caught.value.limit == "attributes"


def test_attributes_of_the_envelope() -> None:
    many = " ".join(f"a{i}='{i}'" for i in range(257))
    with pytest.raises(LimitError):
        decode_response(
            METHOD, envelope("").replace(b"<soapenv:Body>", f"<soapenv:Body {many}>".encode())
        )


def test_depth_counts_from_the_envelope() -> None:
    # Envelope, Body, message, returnval, and 124 more
    inside = "<x>" * 124 + "</x>" * 124
    body = reply("RetrievePropertiesEx", f"<returnval>{inside}</returnval>")
    assert decode_response(METHOD, body) is not None
    inside = "<x>" * 125 + "</x>" * 125
    with pytest.raises(LimitError):
        decode_response(METHOD, reply("RetrievePropertiesEx", f"<returnval>{inside}</returnval>"))


def test_elements_are_counted_wherever_they_are() -> None:
    body = reply(
        "RetrievePropertiesEx", "<returnval><objects/><x><y/></x><token>a</token></returnval>"
    )
    assert decode_response(METHOD, body, limits=Limits(elements=8)) is not None
    with pytest.raises(LimitError):
        decode_response(METHOD, body, limits=Limits(elements=7))


def test_the_names_of_types_do_not_fill_memory() -> None:
    before = set(vim25.BINDING._classes)
    names = "".join(
        f'<objects xsi:type="T{i}"><obj type="K{i}">x</obj></objects>' for i in range(9000)
    )
    decoder = Decoder(METHOD)
    decoder.feed(reply("RetrievePropertiesEx", f"<returnval>{names}</returnval>"))
    result = decoder.close()
    assert result is not None
    assert [o.obj.moref for o in result.objects][::4000] == [
        (f"K{i}", "x") for i in range(0, 9000, 4000)
    ]
    assert all(vim25.BINDING.find(name) for name in set(vim25.BINDING._classes) - before)


def test_nothing_long_stays_when_a_reply_is_done() -> None:
    def answer(number: int) -> bytes:
        long = f"{number}{'x' * 200_000}"
        body = f'<returnval><objects xmlns:p="urn:{long}"><obj p:a="" type="K">x</obj></objects></returnval>'
        return reply("RetrievePropertiesEx", body).replace(b"soapenv", b"n" + long.encode())

    def size() -> int:
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    decode_response(METHOD, answer(0))
    tracemalloc.start()
    try:
        before = size()
        for number in range(1, 10):
            assert decode_response(METHOD, answer(number)) is not None
        assert size() - before < MIB
    finally:
        tracemalloc.stop()


def test_kinds_of_references_cost_no_more_than_their_references() -> None:
    if SOURCE.exists() and backend == "accelerated":
        library = Path(import_module("vimlib.soap._accel").__file__ or "")
        if library.stat().st_mtime < SOURCE.stat().st_mtime:
            pytest.skip("the compiled decoder is older than its source")
    names = "".join(f'<objects><obj type="K{i}">x</obj></objects>' for i in range(60_000))
    body = reply("RetrievePropertiesEx", f"<returnval>{names}</returnval>")
    decoder = Decoder(METHOD)
    tracemalloc.start()
    try:
        for at in range(0, len(body), 65536):
            decoder.feed(body[at : at + 65536])
        peak = tracemalloc.get_traced_memory()[1]
        result = decoder.close()
        del decoder
        gc.collect()
        assert peak - tracemalloc.get_traced_memory()[0] < 8 * MIB
    finally:
        tracemalloc.stop()
    assert result is not None


def test_a_fault_with_everything_wrong() -> None:
    with pytest.raises((ProtocolError, vim25.MethodFault)):
        decode_response(METHOD, fault("<detail>" + "<a>" * 200 + "</a>" * 200 + "</detail>"))
