"""Recorded replies of vcsim, read by us and by pyVmomi: equal objects. See `record.py`."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from tests.unit.soap.building import BINDING
from tests.unit.soap.cases import feed_all
from tests.unit.soap.peers import difference, plain, pyvmomi_reply
from vimlib.errors import ProtocolError
from vimlib.model import MethodFault
from vimlib.soap import Decoder, Typed, decode_response, encode_fault, encode_response

FILES = sorted(Path(__file__).with_name("recorded").glob("*.xml"))
NAMES = [file.name.removesuffix(".xml") for file in FILES]


def ours(method: Any, body: bytes, step: int = 0) -> Any:
    try:
        return feed_all(Decoder(method), body, step)
    except MethodFault as fault:
        return fault


@pytest.fixture(params=FILES, ids=NAMES)
def recorded(request: pytest.FixtureRequest) -> tuple[Any, bytes]:
    file: Path = request.param
    return BINDING.method(file.name.partition(".")[0]), file.read_bytes()


def test_pyvmomi_reads_the_same(recorded: tuple[Any, bytes]) -> None:
    method, body = recorded
    assert difference(plain(ours(method, body)), plain(pyvmomi_reply(method, body))) == ""


def test_pieces_make_no_difference(recorded: tuple[Any, bytes]) -> None:
    method, body = recorded
    assert ours(method, body, 1) == ours(method, body, 1000) == ours(method, body)


def test_what_was_read_can_be_sent(recorded: tuple[Any, bytes]) -> None:
    method, body = recorded
    result = ours(method, body)
    if isinstance(result, MethodFault):
        assert ours(method, encode_fault(result)) == result
    else:
        sent = copy.deepcopy(result)
        for content in getattr(sent, "objects", []):
            for prop in content.propSet:
                if prop.val == []:  # its type is lost with its items
                    prop.val = Typed("ArrayOfString", [])
        assert decode_response(method, encode_response(method, sent)) == result


@pytest.mark.slow
def test_no_part_of_a_reply_is_a_reply(recorded: tuple[Any, bytes]) -> None:
    method, body = recorded
    for end in range(0, len(body.rstrip()), 1 + len(body) // 200):
        with pytest.raises(ProtocolError):
            feed_all(Decoder(method), body[:end])


def test_the_recordings_are_of_many_kinds() -> None:
    assert len({name.replace("esx", "").replace("vpx", "") for name in NAMES}) >= 40
