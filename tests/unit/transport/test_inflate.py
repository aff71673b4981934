from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vimlib._transport.inflate import Inflater
from vimlib.errors import LimitError, ProtocolError
from vimlib.soap import Limits


def gzipped(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=16 + zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


def through(encoding: str, body: bytes, cuts: list[int], limits: Limits | None = None) -> bytes:
    out: list[bytes] = []
    inflater = Inflater(encoding, limits or Limits(), out.append)
    last = 0
    for cut in [*sorted(cut % (len(body) + 1) for cut in cuts), len(body)]:
        inflater.feed(body[last:cut])
        last = cut
    inflater.close()
    assert inflater.wire == len(body)
    assert inflater.inflated == sum(map(len, out))
    return b"".join(out)


@given(
    st.binary(max_size=3000),
    st.lists(st.integers(0, 5000), max_size=5),
    st.sampled_from(["", "identity", "gzip", "GZip ", "x-gzip"]),
)
def test_bytes_come_through_however_they_are_cut(
    data: bytes, cuts: list[int], encoding: str
) -> None:
    body = gzipped(data) if "gzip" in encoding.lower() else data
    assert through(encoding, body, cuts) == data


@given(st.binary(min_size=1, max_size=200), st.integers(1, 400))
def test_cut_gzip_is_never_taken_for_whole(data: bytes, keep: int) -> None:
    body = gzipped(data)
    with pytest.raises(ProtocolError):
        through("gzip", body[: min(keep, len(body) - 1)], [])


def test_limits_by_name() -> None:
    for limits, name in (
        (Limits(wire=10), "wire"),
        (Limits(inflated=10), "inflated"),
    ):
        with pytest.raises(LimitError) as caught:
            through("", b"x" * 11, [], limits)
        assert (caught.value.limit, caught.value.allowed) == (name, 10)


def test_a_bomb_is_stopped_before_it_takes_memory() -> None:
    bomb = gzipped(bytes(200 << 20))
    seen = 0

    def sink(data: bytes) -> None:
        nonlocal seen
        seen += len(data)

    inflater = Inflater("gzip", Limits(), sink)
    with pytest.raises(LimitError):
        inflater.feed(bomb)
    assert seen <= 48 << 20
