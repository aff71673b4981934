"""A small disk, raw and as streamOptimized; made without ours, for it is our own reader that is asked."""

from __future__ import annotations

import struct
import zlib

CONTENT = b"A" * 65536 + bytes(65536 * 3) + bytes(range(256)) * 256 + bytes(65536 * 11)


def stream_optimized(content: bytes) -> bytes:
    """Return a streamOptimized file of `content`, written by the book, apart from the simulator's own writer."""
    grain = 65536
    text = (
        f'# Disk DescriptorFile\nversion=1\nCID=1234abcd\nparentCID=ffffffff\ncreateType="streamOptimized"\n'
        f'RW {len(content) // 512} SPARSE "x.vmdk"\nddb.adapterType = "lsilogic"\n'
    ).encode()
    header = struct.pack(
        "<IIIQQQQIQQQBccccH",
        0x564D444B,
        3,
        0x30001,
        len(content) // 512,
        128,
        1,
        20,
        512,
        0,
        0xFFFFFFFFFFFFFFFF,
        128,
        0,
        b"\n",
        b" ",
        b"\r",
        b"\n",
        1,
    ).ljust(512, b"\0")
    out = bytearray(header + text.ljust(127 * 512, b"\0"))
    places = []
    for at in range(0, len(content), grain):
        data = content[at : at + grain]
        places.append(0)
        if any(data):
            places[-1] = len(out) // 512
            packed = zlib.compress(data)
            piece = struct.pack("<QI", at // 512, len(packed)) + packed
            out += piece + bytes(-len(piece) % 512)
    out += struct.pack("<QII", 4, 0, 1).ljust(512, b"\0")
    table = len(out) // 512
    out += struct.pack("<512I", *(places + [0] * (512 - len(places))))
    out += struct.pack("<QII", 1, 0, 2).ljust(512, b"\0")
    directory = len(out) // 512
    out += struct.pack("<I", table).ljust(512, b"\0")
    footer = header[:56] + struct.pack("<Q", directory) + header[64:]
    out += struct.pack("<QII", 1, 0, 3).ljust(512, b"\0") + footer + bytes(512)
    return bytes(out)
