"""Deflating and inflating, with and without ISA-L."""

from __future__ import annotations

import random
import zlib

import pytest

from vimdriver._images.formats import deflate as module
from vimdriver._images.formats.deflate import deflate, inflate, trimmed
from vimdriver.errors import ImageUnacceptableError

GRAIN = b"all work and no play " * 3120 + bytes(16)


@pytest.fixture(autouse=True, params=["isal", "zlib"])
def library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "zlib":
        monkeypatch.setattr(module, "_isal", None)
    else:
        assert module._isal is not None, "the extra `fast` is not installed"


@pytest.mark.parametrize("level", [0, 1, 6, 9])
def test_a_grain_survives_a_round_trip(level: int) -> None:
    assert zlib.decompress(deflate(GRAIN, level)) == GRAIN
    assert inflate(deflate(GRAIN, level), len(GRAIN), at=0, least=len(GRAIN)) == GRAIN


NOISE = random.Random(5).randbytes(len(GRAIN))
BLOCKS = b"".join(NOISE[at : at + 256] + bytes(3840) for at in range(0, len(NOISE), 4096))


@pytest.mark.parametrize("level", [1, 6])
def test_a_grain_that_does_not_shrink_is_stored(level: int) -> None:
    stored = deflate(NOISE, level)
    assert NOISE[:1000] in stored
    assert len(stored) < len(NOISE) + 32
    assert inflate(stored, len(NOISE), at=0, least=len(NOISE), strict=True) == NOISE


@pytest.mark.parametrize(
    ("data", "most"),
    [(NOISE[: len(NOISE) // 2] + bytes(len(NOISE) // 2), 0.6), (BLOCKS, 0.15)],
    ids=["half noise", "blocks that begin with noise"],
)
def test_a_grain_that_shrinks_in_part_is_deflated(data: bytes, most: float) -> None:
    assert len(deflate(data, 1)) < most * len(data)


@pytest.mark.parametrize(
    "data",
    [
        zlib.compress(GRAIN + b"!"),
        zlib.compress(bytes(10 << 20)),
        zlib.compress(GRAIN)[:-1],
        zlib.compress(GRAIN)[:-5],
        zlib.compress(GRAIN[:-1]),
        zlib.compress(b""),
        zlib.compress(GRAIN)[:-4] + b"xxxx",
        b"x" * 100,
        b"",
    ],
    ids=["longer", "bomb", "cut", "no checksum", "shorter", "nothing", "wrong checksum", "noise", "empty"],
)  # fmt: skip
def test_a_grain_of_another_length_is_refused(data: bytes) -> None:
    with pytest.raises(ImageUnacceptableError, match=r"stream\.inflate.*grain at 128"):
        inflate(data, len(GRAIN), at=128, least=len(GRAIN))


def test_a_last_grain_may_be_shorter() -> None:
    assert inflate(zlib.compress(GRAIN[:512]), len(GRAIN), at=0, least=512) == GRAIN[:512]


def test_bytes_behind_a_grain_are_refused_only_strictly() -> None:
    data = zlib.compress(GRAIN) + b"!"
    assert inflate(data, len(GRAIN), at=0, least=1) == GRAIN
    with pytest.raises(ImageUnacceptableError):
        inflate(data, len(GRAIN), at=0, least=1, strict=True)


def test_bytes_behind_a_grain_are_left_out_of_its_copy() -> None:
    stream = zlib.compress(GRAIN)
    assert trimmed(stream + b"more", len(GRAIN), at=0, least=1) == stream
    assert trimmed(stream, len(GRAIN), at=0, least=1) is stream
    with pytest.raises(ImageUnacceptableError, match=r"stream\.inflate"):
        trimmed(stream[:-1], len(GRAIN), at=0, least=1)
