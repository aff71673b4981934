"""Expat, old and new: what it holds back until more has come makes no difference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.fuzz.codec import disagreement, outcome
from tests.unit.soap.cases import CONTENT, reply
from vimlib.soap import Decoder
from vimlib.soap import _decode as decode
from vimlib.soap._decode import PureDecoder
from vimlib.soap._parser import make_parser

if TYPE_CHECKING:
    from collections.abc import Callable
    from xml.parsers import expat

BODY = reply(
    "RetrievePropertiesEx",
    '<returnval><objects><obj type="VirtualMachine">vm-1</obj><propSet><name>n</name>'
    '<val xsi:type="xsd:string">Gr\u00fcn &amp; ]</val></propSet></objects></returnval>',
)


class HoldingBack:
    """A parser that reads nothing before three times as much has come, or the end."""

    def __init__(self, parser: expat.XMLParserType) -> None:
        vars(self).update(parser=parser, held=b"", last=16)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.parser, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.parser, name, value)

    def Parse(self, data: Any, final: bool) -> None:  # noqa: N802
        held = vars(self)["held"] + bytes(data)
        vars(self)["held"] = held
        if final or len(held) >= 3 * vars(self)["last"]:
            vars(self).update(held=b"", last=len(held))
            self.parser.Parse(held, final)


def pieces(body: bytes, size: int) -> list[int]:
    return list(range(size, len(body), size))


@pytest.mark.parametrize("size", [1, 2, 7, 64, 301])
@pytest.mark.parametrize("decoder", [PureDecoder, Decoder])
def test_a_parser_that_holds_back_makes_the_same_result(
    decoder: Callable[[Any], Any], size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = outcome(PureDecoder(CONTENT), BODY, [])
    monkeypatch.setattr(decode, "make_parser", lambda: HoldingBack(make_parser()))
    assert wanted[0] == "result"
    assert disagreement(wanted, outcome(decoder(CONTENT), BODY, pieces(BODY, size))) == ""


@pytest.mark.parametrize("decoder", [PureDecoder, Decoder])
def test_what_is_cut_off_is_never_a_result_though_it_was_held_back(
    decoder: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decode, "make_parser", lambda: HoldingBack(make_parser()))
    for end in range(len(BODY)):
        kind, _ = outcome(decoder(CONTENT), BODY[:end], pieces(BODY[:end], 13))
        assert kind == "error", end


def test_a_token_that_has_not_ended_holds_nothing_back() -> None:
    seen: list[str] = []
    parser = make_parser()
    parser.StartElementHandler = lambda name, attributes: seen.append(name)
    for piece in (b"<a><b", b"c", b"d", b">", b"<e/"):
        parser.Parse(piece, False)
    assert seen == ["a", "bcd"]
