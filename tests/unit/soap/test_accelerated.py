"""The compiled decoder against its oracle; `tests/fuzz/codec.py` does the same for hours."""

from __future__ import annotations

import random
import re
from importlib.util import find_spec
from typing import Any
from xml.parsers import expat

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.fuzz.codec import difference, disagreement, make_case, outcome, read_fast, seeds
from tests.fuzz.mutate import TEXTS
from tests.unit.soap.cases import ANY, CONTENT, any_reply, fault, feed_all, reply
from vimlib import vim25
from vimlib.errors import LimitError
from vimlib.soap import Limits
from vimlib.soap import _native as native
from vimlib.soap._decode import PureDecoder
from vimlib.soap._tables import tables_of

if find_spec("vimlib.soap._accel") is None:
    pytest.skip("the compiled decoder is not built here", allow_module_level=True)
try:
    from vimlib.soap._accelerated import AcceleratedDecoder
except (ImportError, AttributeError):  # left from another build
    pytest.skip("the compiled decoder is of another revision", allow_module_level=True)

TIME = vim25.ServiceInstance.CurrentTime
MOMENT = "<returnval>2026-01-02T03:04:05Z</returnval>"


def agree(method: Any, body: bytes, cuts: list[int], **options: Any) -> str:
    pure = outcome(PureDecoder(method, **options), body, cuts)
    return disagreement(pure, outcome(AcceleratedDecoder(method, **options), body, cuts))


@pytest.mark.parametrize("seed", range(4))
def test_mutated_replies(seed: int) -> None:
    samples = seeds(random.Random(seed))
    remembered = 0
    for number in range(150):
        case = make_case(samples, f"{seed}:{number}")
        strict = bool(number % 2)
        pure = outcome(PureDecoder(case.method, strict=strict), case.body, case.cuts)
        fast, known = read_fast(AcceleratedDecoder, case, strict=strict)
        assert disagreement(pure, fast) == "", f"{seed}:{number}"
        remembered += known
    assert remembered


@pytest.mark.parametrize(
    "type_", ["string", "int", "boolean", "dateTime", "double", "base64Binary", "long", "byte"]
)
def test_every_text_in_every_type(type_: str) -> None:
    for text in TEXTS:
        body = any_reply(f'<value xsi:type="xsd:{type_}">@</value>').replace(b"@", text)
        for cuts in ([], list(range(1, len(body)))):
            assert agree(ANY, body, cuts) == "", text


@pytest.mark.parametrize(
    "before", ["<?pi?>", "&nope;", "&#0;", "a]]>b", "\uffff", "<![CDATA[a]]>", ""]
)
def test_of_two_things_wrong_in_a_value_the_first_is_told(before: str) -> None:
    for markup in ("<!DOCTYPE a>", "<!a", "<!>", "<![CDATa[]]>"):
        body = any_reply(f'<value xsi:type="xsd:string">x{before}y{markup}</value>')
        for cuts in ([], list(range(1, len(body)))):
            assert agree(ANY, body, cuts) == "", markup


@pytest.mark.parametrize("lead", [b"\xc3", b"\xe5", b"\xf0"])
@pytest.mark.parametrize(
    "flaw", [b"</returnval@>", b"<a @>", b"<a @/>", b"<token><a@y></a></token>", b"<a b='@'<", b"a@<b/>", b"<token>@</token>", b"<a>@<b/></a>", b"<!@-"]
)  # fmt: skip
def test_an_error_waits_for_the_rest_of_a_character(flaw: bytes, lead: bytes) -> None:
    flaw = flaw.replace(b"@", lead)
    body = reply("RetrievePropertiesEx", "<returnval>@</returnval>").replace(b"@", flaw)
    flawed = body.index(flaw)
    everywhere = list(range(1, len(body)))
    for cuts in ([], everywhere, *([at] for at in range(flawed, flawed + len(flaw) + 5))):
        assert agree(CONTENT, body, cuts) == "", cuts
        kind, error = outcome(AcceleratedDecoder(CONTENT), body, cuts)
        assert kind == "error"
        assert re.search(r"line \d+, column \d+", str(error)), cuts
    for end in range(flawed, flawed + len(flaw) + 5):
        assert agree(CONTENT, body[:end], list(range(1, end))) == "", end


@pytest.mark.parametrize(
    "body", [reply("CurrentTime", MOMENT), fault("<faultstring>no</faultstring>")]
)
@pytest.mark.parametrize(
    "behind",
    [b"</a>", b"<!-- > -->", b"<?pi?>", b"<a/>", b"\r\n", b"x", b"<", b"\r\n<a/>", b"\xc3\x80</a>"],
)
def test_what_stands_behind_a_reply_may_come_in_pieces(body: bytes, behind: bytes) -> None:
    whole = body + behind
    kind, _ = outcome(PureDecoder(TIME), whole, [])
    for cuts in (*([cut] for cut in range(len(body) - 5, len(whole))), list(range(1, len(whole)))):
        assert agree(TIME, whole, cuts) == "", cuts
        assert outcome(AcceleratedDecoder(TIME), whole, cuts)[0] == kind, cuts


def test_cut_off_anywhere_with_the_same_path() -> None:
    body = reply(
        "RetrievePropertiesEx",
        '<returnval><objects><obj type="VirtualMachine">vm-1</obj><propSet><name>Gr\u00fcn &amp; ]</name>'
        '<val xmlns:q="urn:vim25" xsi:type="q:ArrayOfVirtualDevice"><!-- c --><VirtualDevice xsi:type="VirtualCdrom">'
        "<key>3000</key><unknown a='>'><x/>t<![CDATA[u]]></unknown></VirtualDevice></val></propSet></objects></returnval>",
    )
    for end in range(len(body) + 1):
        for cuts in ([], [end // 2] if end > 1 else [], list(range(1, end))):
            assert agree(CONTENT, body[:end], cuts) == "", end


def test_names_longer_and_deeper_than_there_was_room_for() -> None:
    names = [f"n{'x' * 300}{level}" for level in range(100)]
    inside = "".join(f"<{name}>" for name in names) + "".join(
        f"</{name}>" for name in reversed(names)
    )
    body = reply("RetrievePropertiesEx", f"<returnval>{inside}<token>t</token></returnval>")
    assert agree(CONTENT, body, []) == ""
    assert feed_all(AcceleratedDecoder(CONTENT), body).token == "t"


def test_a_text_at_its_limit() -> None:
    for length in (10, 11):
        body = reply(
            "RetrievePropertiesEx", f"<returnval><token>{'x' * length}</token></returnval>"
        )
        assert agree(CONTENT, body, [], limits=Limits(text=10)) == ""
    with pytest.raises(LimitError):
        feed_all(AcceleratedDecoder(CONTENT, limits=Limits(text=10)), body)


def test_no_result_behind_a_result() -> None:
    wait = vim25.PropertyCollector.WaitForUpdatesEx
    body = reply("WaitForUpdatesEx", "<returnval><version>1</version></returnval><returnval/>")
    assert agree(wait, body, []) == ""
    assert feed_all(AcceleratedDecoder(wait), body) is None


def test_equal_references_of_one_reply_are_one_object_and_of_two_decoders_are_not() -> None:
    two = '<objects><obj type="HostSystem">h</obj></objects>' * 2
    body = reply("RetrievePropertiesEx", f"<returnval>{two}</returnval>")
    first = feed_all(AcceleratedDecoder(CONTENT), body).objects
    second = feed_all(AcceleratedDecoder(CONTENT), body).objects
    assert first[0].obj is first[1].obj
    assert first[0].obj is not second[0].obj
    assert difference(first, second) == ""


def beginnings(method: Any, limits: Limits) -> list[Any]:
    found: list[Any] = tables_of(method.binding).beginnings.get((method, limits), [])
    return found


def test_a_reply_that_begins_as_one_before_is_read_as_one_that_does_not() -> None:
    limits = Limits(elements=1_000_001)  # nobody else's
    body = reply("CurrentTime", MOMENT)
    moment = feed_all(AcceleratedDecoder(TIME, limits=limits), body)
    (known,) = beginnings(TIME, limits)
    assert known.head == body[: body.index(MOMENT.encode())]
    assert feed_all(AcceleratedDecoder(TIME, limits=limits), body) == moment
    assert len(beginnings(TIME, limits)) == 1
    tail = body[body.index(MOMENT.encode()) + len(MOMENT) :]
    for behind in (
        MOMENT.encode() + tail,
        MOMENT.encode(),
        MOMENT.encode() + tail + b" \n",
        MOMENT.encode() + tail + b"<more/>",
        MOMENT.encode() + tail[1:],
        tail,
        b"",
        b"<returnval>soon</returnval>" + tail,
        b"<q:returnval>2026-01-02T03:04:05Z</q:returnval>" + tail,
        b'<returnval xmlns:x="urn:x" x:y="&undefined;">2026-01-02T03:04:05Z</returnval>' + tail,
        b"<!-- c --><other/>" + MOMENT.encode() + tail,
        b"<!DOCTYPE x>" + tail,
    ):
        for cuts in ([], [len(known.head)], [len(known.head) + 3]):
            whole = known.head + behind
            cuts = [cut for cut in cuts if cut < len(whole)]
            assert agree(TIME, whole, cuts, limits=limits) == "", behind
    for more in (b" \n", b"<more/>", b"x", b"<!-- c -->"):
        assert agree(TIME, body + more, [len(body)], limits=limits) == "", more
    assert agree(TIME, body, [], limits=Limits(inflated=len(body) - 1)) == ""


@pytest.mark.parametrize(
    "body",
    [
        reply("CurrentTime", MOMENT).replace(b"<CurrentTimeResponse", b"<!--" + b"x" * 1100 + b"--><CurrentTimeResponse"),
        reply("CurrentTime", MOMENT).replace(b":Body>", b":Header><id>1</id></soapenv:Header><soapenv:Body>", 1),
    ],
    ids=["long", "with a header"],
)  # fmt: skip
def test_a_beginning_that_is_long_or_has_a_header_is_not_remembered(body: bytes) -> None:
    limits = Limits(elements=1_000_002)
    for _ in range(2):
        assert agree(TIME, body, [], limits=limits) == ""
    assert not beginnings(TIME, limits)


def test_a_server_that_begins_anew_each_time_fills_no_memory() -> None:
    limits = Limits(elements=1_000_003)
    for number in range(20):
        body = reply("CurrentTime", MOMENT).replace(b"?>", b"?><!--%d-->" % number)
        assert agree(TIME, body, [], limits=limits) == ""
    assert len(beginnings(TIME, limits)) == 4


@pytest.mark.parametrize(
    "content",
    [
        b"<!---->", b"<!-- a -->", b"<!-- a-b - c -->", b"<!--\r\n\t-->", b"<!-- <a>&x;]]> -->", b"<!--\x7f-->",
        b"<!-- a -- b -->", b"<!--a--->", b"<!----->", b"<!--->", b"<!--\x00-->", b"<!--\x0b-->", b"<!--\xff-->",
        "<!-- \u00fc -->".encode(), b"<!--\xef\xbf\xbf-->", b"<!--a--><!--b-->", b"<!--a-->b-->", b"x<!--a-->",
        b"<![CDATA[]]>", b"<![CDATA[a<b&c>d]]>", b"<![CDATA[ \n\t]]>", b"<![CDATA[a\r\nb]]>", b"<![CDATA[a]b]]>",
        b"<![CDATA[]]]>", b"<![CDATA[a]]>b]]>", b"<![CDATA[\x01]]>", "<![CDATA[\u00fc]]>".encode(), b"<![CDATA[\xff]]>",
        b"<![CDATA[a]]><![CDATA[b]]>", b"<![cdata[a]]>", b"<!-- " + b"x" * 5000 + b"-->",
    ],
)  # fmt: skip
def test_markup_that_needs_no_parser_means_the_same(
    content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read() -> str:
        try:
            return repr(native.read_text(b"<r>", content))
        except expat.ExpatError:
            return "malformed"

    short = read()
    monkeypatch.setattr(native, "_SHORT", -1)
    assert short == read()


@pytest.mark.parametrize("blank", ["\n", "\r\n", " \t\n"])
def test_a_server_that_breaks_lines_is_remembered_too(blank: str) -> None:
    # as ESX and vCenter do: a line for each tag of the envelope
    limits = Limits(elements=1_000_004)
    body = re.sub(
        rb">(?=</?(soapenv|CurrentTimeR))", b">" + blank.encode(), reply("CurrentTime", MOMENT)
    )
    body = (
        body.replace(
            b"</CurrentTimeResponse>" + blank.encode(),
            b"</CurrentTimeResponse>" + blank.encode() * 2,
        )
        + blank.encode()
    )
    for number in range(3):
        decoder = AcceleratedDecoder(TIME, limits=limits)
        decoder.feed(body)
        assert (decoder._message is None) == bool(number)
        assert decoder.close() == feed_all(PureDecoder(TIME), body)
    for behind in (b"\xa0", b"\x0b", b"x", b"<!-- c -->"):
        for whole in (body + behind, body.replace(b"</soapenv:Env", behind + b"</soapenv:Env")):
            assert agree(TIME, whole, [], limits=limits) == "", whole


def test_a_beginning_is_remembered_once() -> None:
    limits = Limits(elements=1_000_005)
    body = reply("CurrentTime", MOMENT)
    for _ in range(3):
        feed_all(AcceleratedDecoder(TIME, limits=limits), body, len(body) - 1)
    assert len(beginnings(TIME, limits)) == 1


def test_short_texts_that_come_again_are_one_object_in_a_long_reply() -> None:
    pairs = "".join(
        f'<propSet><name>n{number % 7}</name><val xsi:type="xsd:int">{number}</val></propSet>'
        for number in range(100)
    )
    objects = f'<objects><obj type="HostSystem">h</obj>{pairs}</objects>'
    body = reply("RetrievePropertiesEx", f"<returnval>{objects}</returnval>")
    assert agree(CONTENT, body, []) == ""
    (found,) = feed_all(AcceleratedDecoder(CONTENT), body).objects
    assert found.propSet[60].name is found.propSet[67].name


PIECES = st.sampled_from(
    ["<token>t</token>", "\n", "\r\n", "\r", "  ", "\t", "<x>\u20ac</x>", "<x a='\n\u00fc'/>", "<!-- \n -->",
     "<token>\r\n\u00e9 &lt;</token>", "<a><b>\n</b></a>", "<a xmlns:q='urn:q'>\n<q:b/></a>"]
)  # fmt: skip
FLAWS = st.sampled_from(
    ["</nope>", "<a></b>", "&nope;", "\0", "<token>\n\u00fc&#0;</token>", "<1/>", "<q:a/>", "<a b=c/>",
     "<!a>", "]]>", "<a", "</", "<!--", "<x b='\n'b='c'/>", "\uffff"]
)  # fmt: skip


@given(st.lists(PIECES, max_size=8), FLAWS, st.lists(PIECES, max_size=3), st.data())
@example(["\n"] * 5, "</nope>", [], None)
def test_an_error_names_the_line_and_column_that_the_pure_decoder_names(
    before: list[str], flaw: str, behind: list[str], data: st.DataObject | None
) -> None:
    inside = f"<returnval>{''.join([*before, flaw, *behind])}</returnval>"
    body = reply("RetrievePropertiesEx", inside)
    size = len(body) - 1
    cuts = sorted(data.draw(st.sets(st.integers(1, size), max_size=4))) if data else []
    assert agree(CONTENT, body, cuts) == ""
    kind, error = outcome(AcceleratedDecoder(CONTENT), body, cuts)
    assert kind == "error"
    assert re.search(r"line \d+, column \d+", str(error))
