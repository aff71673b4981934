"""A small disk, raw and as streamOptimized; made without ours, for it is our own reader that is asked."""

from __future__ import annotations

import struct
import zlib

GRAIN = 65536


def content() -> bytes:
    return b"A" * GRAIN + bytes(GRAIN * 3) + bytes(range(256)) * 256 + bytes(GRAIN * 11)


def stream_optimized(raw: bytes) -> bytes:
    header = struct.pack(
        "<IIIQQQQIQQQBccccH",
        0x564D444B,
        3,
        0x30001,
        len(raw) // 512,
        128,
        1,
        20,
        512,
        0,
        (1 << 64) - 1,
        128,
        0,
        b"\n",
        b" ",
        b"\r",
        b"\n",
        1,
    )
    descriptor = b'# Disk DescriptorFile\ncreateType="streamOptimized"\nRW 1 SPARSE "x"\n'
    out = bytearray(header.ljust(512, b"\0") + descriptor.ljust(127 * 512, b"\0"))
    for at in range(0, len(raw), GRAIN):
        packed = zlib.compress(raw[at : at + GRAIN])
        piece = struct.pack("<QI", at // 512, len(packed)) + packed
        out += piece + bytes(-len(piece) % 512)
    return bytes(out + bytes(512))
