"""Disk images that break one rule each, for the tests of the inspector and of the uploaders."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from vimdriver._images.formats import header
from vimdriver._images.make import Kind, Pattern, make

SECTOR = 512
PATTERN = Pattern(11, 2 << 20)


def built(kind: Kind, pattern: Pattern = PATTERN) -> bytes:
    return b"".join(make(kind, pattern))


SPARSE = built("monolithicSparse")
STREAM = built("streamOptimized")
RAW = built("raw")
EMPTY = built("monolithicSparse", Pattern(11, 2 << 20, hole_every=1))


def patch(image: bytes, at: int, data: bytes) -> bytes:
    return image[:at] + data + image[at + len(data) :]


def head(image: bytes, **fields: Any) -> bytes:
    """Return `image` with fields of its header replaced."""
    return patch(image, 0, header.pack(replace(header.unpack(image), **fields)))


def text(image: bytes, old: str, new: str) -> bytes:
    """Return `image` with its descriptor changed and its length kept."""
    size = header.unpack(image).descriptor_size * SECTOR
    descriptor = image[SECTOR : SECTOR + size].rstrip(b"\0")
    assert old.encode() in descriptor
    changed = descriptor.replace(old.encode(), new.encode("utf-8"), 1)
    return patch(image, SECTOR, changed.ljust(size, b"\0"))


def add(image: bytes, line: str) -> bytes:
    """Return `image` with one more line in its descriptor."""
    return text(image, "\n# Extent description", f"{line}\n# Extent description")


def word(image: bytes, sector: int, index: int, value: int) -> bytes:
    """Return `image` with one entry of a table or directory replaced."""
    return patch(image, sector * SECTOR + 4 * index, struct.pack("<I", value))


def markers(image: bytes) -> list[tuple[int, int]]:
    """Return (offset, type) of each marker of a stream; grains have type -1."""
    at = header.unpack(image).overhead * SECTOR
    found = []
    while at < len(image):
        value, size, kind = struct.unpack_from("<QII", image, at)
        found.append((at, -1 if size else kind))
        if size:
            at += -(-(12 + size) // SECTOR) * SECTOR
        else:
            at += SECTOR + (value * SECTOR if kind else 0)
    return found


def marker(image: bytes, kind: int, nth: int = 0) -> int:
    """Return the offset of the nth marker of a type."""
    return [at for at, found in markers(image) if found == kind][nth]


def without(image: bytes, kind: int, length: int) -> bytes:
    """Return `image` without its first marker of a type and the sectors it announces."""
    at = marker(image, kind)
    return image[:at] + image[at + length * SECTOR :]


def grain(image: bytes, data: bytes, *, lba: int = 0) -> bytes:
    """Return a stream whose first grain has other compressed bytes."""
    first, second = marker(image, -1, 0), marker(image, -1, 1)
    piece = struct.pack("<QI", lba, len(data)) + data
    piece = piece.ljust(-(-len(piece) // SECTOR) * SECTOR, b"\0")
    return image[:first] + piece + image[second:]


@dataclass(frozen=True)
class Case:
    rule: str
    name: str
    build: Callable[[], bytes] = field(repr=False)
    claim: str | None = "vmdk"
    disk_type: str | None = None
    early: bool = True
    """Detected before a byte may be sent."""


def case(rule: str, name: str, build: Callable[[], bytes], **more: Any) -> Case:
    return Case(rule, name, build, **more)


def headers() -> list[Case]:
    fields: list[tuple[str, dict[str, Any]]] = [
        ("version", {"version": 0}),
        ("version", {"version": 4}),
        ("flags", {"flags": 3 | 1 << 5}),
        ("flags", {"flags": 3 | header.FLAG_MARKERS}),
        ("flags", {"flags": 3 | header.FLAG_COMPRESSED}),
        ("newlines", {"newlines": b"\n \n\n"}),
        ("grain_size", {"grain": 0}),
        ("grain_size", {"grain": 4}),
        ("grain_size", {"grain": 96}),
        ("grain_size", {"grain": 4096}),
        ("gtes", {"gtes": 0}),
        ("gtes", {"gtes": 1024}),
        ("capacity", {"capacity": 0}),
        ("capacity", {"capacity": 1 << 62}),
        ("descriptor", {"descriptor_offset": 2}),
        ("descriptor", {"descriptor_offset": 0}),
        ("descriptor", {"descriptor_size": 0}),
        ("descriptor", {"descriptor_size": 2048}),
        ("descriptor", {"descriptor_size": 1 << 60}),
        ("overhead", {"overhead": 20}),
        ("overhead", {"overhead": 1 << 40}),
        ("directory", {"gd": 0}),
        ("directory", {"gd": 5}),
        ("directory", {"gd": 1 << 50}),
        ("directory", {"rgd": 1 << 50}),
        ("directory", {"rgd": header.unpack(SPARSE).gd}),
        ("directory", {"gd": header.GD_AT_END}),
        ("compression", {"compression": 1}),
        ("compression", {"compression": 7}),
        ("unclean", {"unclean": 1}),
    ]
    cases = [
        case(f"header.{rule}", f"{rule} {change}", partial(head, SPARSE, **change))
        for rule, change in fields
    ]
    stream = {"flags": 0x30003}
    return [
        *cases,
        case("header.compression", "stream not deflated", lambda: head(STREAM, compression=0)),
        case("header.directory", "stream with redundancy", lambda: head(STREAM, **stream)),
        case("header.short", "cut in the header", lambda: SPARSE[:300]),
        case(
            "header.short",
            "cut in the descriptor",
            lambda: head(STREAM, overhead=21)[: 21 * SECTOR - 1],
        ),
    ]


def descriptors() -> list[Case]:
    extent = 'RW 4096 SPARSE "disk.vmdk"'
    other = "/vmfs/volumes/other/victim-flat.vmdk"
    create = 'createType="monolithicSparse"'
    changes: list[tuple[str, str, str]] = [
        ("descriptor.ascii", "# Extent description", "# Extent d\u00e9scription"),
        ("descriptor.ascii", "# Extent description", "# Extent\x07"),
        ("descriptor.ascii", "# Extent description", "# Extent\0description"),
        ("descriptor.first_line", "# Disk DescriptorFile", "# Disk Descriptorfile"),
        ("descriptor.first_line", "# Disk DescriptorFile", "\n# Disk DescriptorFile"),
        ("descriptor.grammar", "version=1", "version=1\nhello"),
        ("descriptor.grammar", "version=1", "version=1\n=1"),
        ("descriptor.grammar", "version=1", "version=1\rversion=1"),
        ("descriptor.grammar", create, 'createType="monolithicSparse" "x"'),
        ("descriptor.grammar", extent, "RW SPARSE"),
        ("descriptor.grammar", extent, extent + extent),
        ("descriptor.duplicate", create, f'{create}\nCREATETYPE="monolithicFlat"'),
        ("descriptor.duplicate", "version=1", "version=1\nversion=1"),
        ("descriptor.unknown_key", "version=1", "version=1\nfoo=1"),
        ("descriptor.unknown_key", "version=1", f'version=1\nextentPath="{other}"'),
        ("descriptor.version", "version=1", "version=4"),
        ("descriptor.version", "version=1\n", ""),
        ("descriptor.cid", "CID=", "CID=zz"),
        ("descriptor.parent", "parentCID=ffffffff", "parentCID=12345678"),
        ("descriptor.parent", "parentCID=ffffffff\n", ""),
        ("descriptor.parent", "version=1", f'version=1\nparentFileNameHint="{other}"'),
        ("descriptor.parent", "version=1", 'version=1\nPARENTFILENAMEHINT="x.vmdk"'),
        ("descriptor.parent", "version=1", 'version=1\nisNativeSnapshot="yes"'),
        ("descriptor.change_track", "version=1", f'version=1\nchangeTrackPath="{other}"'),
        ("descriptor.encryption", "version=1", 'version=1\nencryption.keySafe="vmware:key/list/x"'),
        ("descriptor.encryption", "version=1", 'version=1\nddb.encryptedKey="x"'),
        ("descriptor.create_type", create, f'# {create}\ncreateType="monolithicFlat"'),
        ("descriptor.create_type", create, f"# {create}"),
        ("descriptor.create_type", create, 'createType="streamOptimized"'),
        ("descriptor.create_type", create, 'createType="vmfs"'),
        ("descriptor.create_type", create, 'createType="MonolithicSparse"'),
        ("descriptor.ddb", "#DDB", 'ddb.deletable = "true"'),
        ("descriptor.ddb", "#DDB", f'ddb.uuid = "{other}"'),
        ("descriptor.ddb", '"lsilogic"', '"scsi"'),
        ("extent.count", extent, f'{extent}\nRW 1 SPARSE "b.vmdk"'),
        ("extent.count", extent, ""),
        ("extent.count", extent, f'{extent}\nrw 1 FLAT "victim-flat.vmdk" 0'),
        ("extent.access", extent, 'NOACCESS 4096 SPARSE "disk.vmdk"'),
        ("extent.access", extent, 'RDONLY 4096 SPARSE "disk.vmdk"'),
        *(
            ("extent.type", extent, f'RW 4096 {kind} "disk.vmdk"')
            for kind in "FLAT VMFS VMFSSPARSE VMFSRDM VMFSRAW VMFSTHIN SESPARSE".split()
        ),
        ("extent.type", extent, "RW 4096 ZERO"),
        *(
            ("extent.name", extent, f'RW 4096 SPARSE "{name}"')
            for name in (
                other,
                r"..\..\x.vmdk",
                "../x.vmdk",
                "..",
                ".x",
                "C:x",
                "[ds] x",
                "",
                "a\tb",
            )
        ),
        ("extent.name", extent, f"{extent} 128"),
        ("extent.sectors", extent, 'RW 4097 SPARSE "disk.vmdk"'),
    ]
    return [
        case(rule, f"{old!r} -> {new!r}", partial(text, SPARSE, old, new))
        for rule, old, new in changes
    ]


def tables() -> list[Case]:
    parsed = header.unpack(SPARSE)
    gd, rgd = parsed.gd, parsed.rgd
    size = len(SPARSE) // SECTOR
    late = {"early": False}
    return [
        case(
            "tables.directory",
            "table beyond the file",
            lambda: word(SPARSE, gd, 0, size + 9),
            **late,
        ),
        case("tables.directory", "table before it", lambda: word(SPARSE, rgd, 0, 1), **late),
        case(
            "tables.directory",
            "table amid grains",
            lambda: word(SPARSE, gd, 0, parsed.overhead),
            **late,
        ),
        case(
            "tables.entry", "grain beyond the file", lambda: word(SPARSE, gd + 1, 3, size), **late
        ),
        case(
            "tables.entry", "grain far beyond", lambda: word(SPARSE, rgd + 1, 0, 0xFFFFFFFF), **late
        ),
        case("tables.entry", "grain in the header", lambda: word(SPARSE, gd + 1, 0, 21), **late),
        case("tables.end", "cut at its tables", lambda: EMPTY[:-100], **late),
    ]


def streams() -> list[Case]:
    late = {"early": False}
    first, second = marker(STREAM, -1, 0), marker(STREAM, -1, 1)
    table, directory = marker(STREAM, 1), marker(STREAM, 2)
    footer, end = marker(STREAM, 3), marker(STREAM, 0)
    plain = bytes(64 << 10)
    qemu_like = SPARSE[: header.unpack(SPARSE).overhead * SECTOR]
    qemu_like = text(
        head(qemu_like, flags=0x30003, compression=1, version=3),
        "monolithicSparse",
        "streamOptimized",
    )
    qemu_tables = b"".join(
        qemu_like[at * SECTOR : (at + 1) * SECTOR]
        if at not in range(22, 26) and at not in range(27, 31)
        else bytes(SECTOR)
        for at in range(len(qemu_like) // SECTOR)
    )
    piece = zlib.compress(plain)
    packed = struct.pack("<QI", 0, len(piece)) + piece
    packed = packed.ljust(-(-len(packed) // SECTOR) * SECTOR, b"\0")
    changes: list[tuple[str, str, Callable[[], bytes]]] = [
        ("stream.grain", "falls", lambda: patch(STREAM, second, bytes(8))),
        ("stream.grain", "not aligned", lambda: patch(STREAM, first, struct.pack("<Q", 1))),
        ("stream.grain", "beyond", lambda: patch(STREAM, first, struct.pack("<Q", 4096))),
        ("stream.grain_size", "huge", lambda: patch(STREAM, first + 8, struct.pack("<I", 1 << 30))),
        ("stream.inflate", "no deflate", lambda: grain(STREAM, b"x" * 100)),
        ("stream.inflate", "bomb", lambda: grain(STREAM, zlib.compress(bytes(10 << 20)))),
        ("stream.inflate", "one byte more", lambda: grain(STREAM, zlib.compress(plain + b"!"))),
        ("stream.inflate", "cut", lambda: grain(STREAM, zlib.compress(plain)[:-5])),
        ("stream.inflate", "bytes behind", lambda: grain(STREAM, zlib.compress(plain) + b"!")),
        ("stream.inflate", "nothing", lambda: grain(STREAM, zlib.compress(b""))),
        ("stream.marker", "unknown", lambda: patch(STREAM, table + 12, struct.pack("<I", 9))),
        ("stream.marker", "long table", lambda: patch(STREAM, table, struct.pack("<Q", 5))),
        ("stream.marker", "long directory", lambda: patch(STREAM, directory, struct.pack("<Q", 2))),
        ("stream.marker", "no directory", lambda: without(STREAM, 2, 2)),
        ("stream.marker", "no footer", lambda: without(STREAM, 3, 2)),
        (
            "stream.marker",
            "grain behind",
            lambda: STREAM[:footer] + STREAM[first:second] + STREAM[footer:],
        ),
        (
            "stream.marker",
            "table behind",
            lambda: STREAM[:footer] + STREAM[table:directory] + STREAM[footer:],
        ),
        ("stream.marker", "two footers", lambda: STREAM[:end] + STREAM[footer:end] + STREAM[end:]),
        ("stream.marker", "end with a count", lambda: patch(STREAM, end, b"\1")),
        ("stream.marker", "end at once", lambda: STREAM[:first] + bytes(SECTOR)),
        ("stream.table", "entry forward", lambda: word(STREAM, table // SECTOR + 1, 0, 1 << 31)),
        ("stream.table", "entry in the header", lambda: word(STREAM, table // SECTOR + 1, 0, 5)),
        (
            "stream.table",
            "directory forward",
            lambda: word(STREAM, directory // SECTOR + 1, 0, 1 << 31),
        ),
        ("stream.footer", "no header", lambda: patch(STREAM, footer + SECTOR, b"VMDK")),
        ("stream.footer", "other capacity", lambda: patch(STREAM, footer + SECTOR + 12, b"\xff")),
        (
            "stream.footer",
            "other directory",
            lambda: patch(STREAM, footer + SECTOR + 56, struct.pack("<Q", 7)),
        ),
        ("stream.end", "cut before its end", lambda: STREAM[:end]),
        ("stream.end", "cut in a grain", lambda: STREAM[: second + 100]),
        ("stream.trailing", "a sector behind", lambda: STREAM + bytes(SECTOR)),
        (
            "stream.trailing",
            "qemu's, text behind",
            lambda: qemu_tables + packed + bytes(SECTOR) + b"x" * 512,
        ),
        ("stream.trailing", "qemu's, long padding", lambda: qemu_tables + packed + bytes(66 << 10)),
        ("stream.marker", "qemu's, a footer", lambda: qemu_tables + packed + STREAM[footer:]),
    ]
    return [case(rule, name, build, **late) for rule, name, build in changes]


def formats() -> list[Case]:
    iso = bytes(0x8001) + b"CD001" + bytes(60 << 10)
    gpt = bytes(512) + b"EFI PART" + bytes(60 << 10)
    flat = {"disk_type": "preallocated"}
    foreign = {
        "qcow2": b"QFI\xfb",
        "qed": b"QED\0",
        "vhd": b"conectix",
        "vhdx": b"vhdxfile",
        "vdi": bytes(0x40) + b"\x7f\x10\xda\xbe",
    }
    cases = [
        case("size.empty", "nothing", lambda: b""),
        case("format.unsupported", "claims qcow2", lambda: RAW, claim="qcow2"),
        case("format.claim", "no iso", lambda: RAW, claim="iso"),
        case("format.claim", "iso under vmdk", lambda: iso),
        case("format.claim", "gpt under vmdk", lambda: gpt),
        case("format.disk_type", "raw under sparse", lambda: RAW, disk_type="sparse"),
        case("format.disk_type", "raw under stream", lambda: RAW, disk_type="streamOptimized"),
        case(
            "format.disk_type", "sparse under stream", lambda: SPARSE, disk_type="streamOptimized"
        ),
        case("format.disk_type", "stream under sparse", lambda: STREAM, disk_type="sparse"),
        case("format.cowd", "COWD", lambda: b"COWD" + bytes(9000)),
        case("format.cowd", "COWD under raw", lambda: b"COWD" + bytes(9000), claim="raw"),
        case("format.foreign_magic", "sparse under raw", lambda: SPARSE, claim="raw"),
        case("format.foreign_magic", "sparse as flat", lambda: SPARSE, **flat),
    ]
    lines = b"# Disk DescriptorFile\nversion=1\n"
    for prefix in (b"", b"\n", b"\xef\xbb\xbf", b"  "):
        for claim in ("vmdk", "raw", None):
            cases.append(
                case(
                    "format.descriptor",
                    f"{prefix!r} under {claim}",
                    partial(bytes, prefix + lines),
                    claim=claim,
                )
            )
    for name, magic in foreign.items():
        data = magic + bytes(50 << 10)
        cases += [
            case("format.claim", name, partial(bytes, data)),
            case("format.foreign_magic", f"{name} raw", partial(bytes, data), claim="raw"),
            case("format.foreign_magic", f"{name} flat", partial(bytes, data), **flat),
            case("format.unsupported", f"{name} unclaimed", partial(bytes, data), claim=None),
        ]
    return cases


CASES = [*formats(), *headers(), *descriptors(), *tables(), *streams()]
