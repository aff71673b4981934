"""Images that each stretch or break one rule, with that rule.

`CASES` are refused where their bytes reach a host unchanged, by `rule`; those with `converted` None
are accepted where they are converted. `GOOD` are accepted either way unless `unchanged` is a rule.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from tests.unit.driver.images import foreign
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


def packed(data: bytes) -> bytes:
    """Return a stream whose first grain is stored as `data`."""
    first = [data]
    return foreign.stream(
        RAW, deflate=lambda plain: first.pop() if first else zlib.compress(plain, 1)
    )


@dataclass(frozen=True)
class Case:
    rule: str
    """The rule that refuses it unchanged."""
    name: str
    build: Callable[[], bytes] = field(repr=False)
    converted: str | None
    """The rule that refuses it where it is converted; None if it is accepted there."""
    claim: str | None = "vmdk"
    disk_type: str | None = None
    container: str | None = None
    file_name: str | None = None
    early: bool = True
    """Detected before a byte may be sent."""


def case(rule: str, name: str, build: Callable[[], bytes], **more: Any) -> Case:
    """Return a case; `~RULE` refuses it only unchanged, `RULE/OTHER` by another rule if converted."""
    unchanged, _, other = rule.removeprefix("~").partition("/")
    converted = None if rule.startswith("~") else other or unchanged
    return Case(unchanged, name, build, converted, **more)


@dataclass(frozen=True)
class Good:
    name: str
    build: Callable[[], bytes] = field(repr=False)
    disk: bytes = field(repr=False)
    """The disk that it holds."""
    kind: str
    claim: str | None = "vmdk"
    disk_type: str | None = None
    unchanged: str | None = None
    """The rule that refuses it unchanged."""


def _named(rule: str) -> str:
    return f"~header.{rule[1:]}" if rule.startswith("~") else f"header.{rule}"


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
        ("descriptor", {"descriptor_size": 2048}),
        ("descriptor", {"descriptor_size": 1 << 60}),
        ("~overhead", {"overhead": 20}),
        ("~overhead", {"overhead": 1 << 40}),
        ("directory", {"gd": 0}),
        ("directory", {"gd": 5}),
        ("directory", {"gd": 1 << 50}),
        ("~directory", {"rgd": 1 << 50}),
        ("~directory", {"rgd": header.unpack(SPARSE).gd}),
        ("directory", {"gd": header.GD_AT_END}),
        ("~compression", {"compression": 1}),
        ("~compression", {"compression": 7}),
        ("unclean", {"unclean": 1}),
    ]
    cases = [
        case(_named(rule), f"{rule} {change}", partial(head, SPARSE, **change))
        for rule, change in fields
    ]
    stream = {"flags": 0x30003}
    lost = "descriptor.first_line"
    return [
        *cases,
        case(lost, "descriptor elsewhere", lambda: head(SPARSE, descriptor_offset=2)),
        case("format.split", "no descriptor", lambda: head(SPARSE, descriptor_offset=0)),
        case("format.split", "empty descriptor", lambda: head(SPARSE, descriptor_size=0)),
        case("header.compression", "stream not deflated", lambda: head(STREAM, compression=0)),
        case(
            "header.directory/stream.footer",
            "stream with redundancy",
            lambda: head(STREAM, **stream),
        ),
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
        ("~descriptor.ascii", "# Extent description", "# Extent d\u00e9scription"),
        ("~descriptor.ascii", "# Extent description", "# Extent\x07"),
        ("extent.count", "# Extent description", "# Extent\0description"),
        ("~descriptor.first_line", "# Disk DescriptorFile", "# Disk Descriptorfile"),
        ("~descriptor.first_line", "# Disk DescriptorFile", "\n# Disk DescriptorFile"),
        ("~descriptor.grammar", "version=1", "version=1\nhello"),
        ("~descriptor.grammar", "version=1", "version=1\n=1"),
        ("~descriptor.grammar", "version=1", "version=1\rversion=1"),
        ("descriptor.create_type", create, 'createType="monolithicSparse" "x"'),
        ("descriptor.grammar", extent, "RW SPARSE"),
        ("~descriptor.grammar", extent, extent + extent),
        ("descriptor.create_type", create, f'{create}\nCREATETYPE="monolithicFlat"'),
        ("~descriptor.duplicate", "version=1", "version=1\nversion=1"),
        ("~descriptor.unknown_key", "version=1", "version=1\nfoo=1"),
        ("~descriptor.unknown_key", "version=1", f'version=1\nextentPath="{other}"'),
        ("~descriptor.version", "version=1", "version=4"),
        ("~descriptor.version", "version=1\n", ""),
        ("~descriptor.cid", "CID=", "CID=zz"),
        ("descriptor.parent", "parentCID=ffffffff", "parentCID=12345678"),
        ("~descriptor.parent", "parentCID=ffffffff\n", ""),
        ("descriptor.parent", "version=1", f'version=1\nparentFileNameHint="{other}"'),
        ("descriptor.parent", "version=1", 'version=1\nPARENTFILENAMEHINT="x.vmdk"'),
        ("descriptor.parent", "version=1", 'version=1\nisNativeSnapshot="yes"'),
        ("~descriptor.change_track", "version=1", f'version=1\nchangeTrackPath="{other}"'),
        ("descriptor.encryption", "version=1", 'version=1\nencryption.keySafe="vmware:key/list/x"'),
        ("descriptor.encryption", "version=1", 'version=1\nddb.encryptedKey="x"'),
        ("descriptor.create_type", create, f'# {create}\ncreateType="monolithicFlat"'),
        ("~descriptor.create_type", create, f"# {create}"),
        ("~descriptor.create_type", create, 'createType="streamOptimized"'),
        ("descriptor.create_type", create, 'createType="vmfs"'),
        ("~descriptor.create_type", create, 'createType="MonolithicSparse"'),
        ("~descriptor.ddb", "#DDB", 'ddb.deletable = "true"'),
        ("~descriptor.ddb", "#DDB", f'ddb.uuid = "{other}"'),
        ("~descriptor.ddb", '"lsilogic"', '"scsi"'),
        ("extent.count", extent, f'{extent}\nRW 1 SPARSE "b.vmdk"'),
        ("extent.count", extent, ""),
        ("extent.count", extent, f'{extent}\nrw 1 FLAT "victim-flat.vmdk" 0'),
        ("extent.access", extent, 'NOACCESS 4096 SPARSE "disk.vmdk"'),
        ("~extent.access", extent, 'RDONLY 4096 SPARSE "disk.vmdk"'),
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
                "C:x",
                "[ds] x",
            )
        ),
        *(
            ("~extent.name", extent, f'RW 4096 SPARSE "{name}"')
            for name in (".x", "", "a\tb", "Bob's VM.vmdk", "disk#1.vmdk", "a" * 300)
        ),
        ("~descriptor.ascii", '"disk.vmdk"', '"r\u00e9sum\u00e9 \u78c1\u76d8.vmdk"'),
        ("~extent.name", extent, f"{extent} 128"),
        ("~extent.sectors", extent, 'RW 4000 SPARSE "disk.vmdk"'),
        ("~descriptor.ddb", "#DDB", 'ddb.logicalSectorSize = "512"'),
        ("~descriptor.ddb", "#DDB", 'ddb.nativeParentCID = "x"'),
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
            "tables.entry",
            "table beyond the file",
            lambda: word(SPARSE, gd, 0, size + 9),
            **late,
        ),
        case("~tables.entry", "table before it", lambda: word(SPARSE, rgd, 0, 1), **late),
        case(
            "tables.entry",
            "table amid grains",
            lambda: word(SPARSE, gd, 0, parsed.overhead),
            **late,
        ),
        case(
            "tables.entry", "grain beyond the file", lambda: word(SPARSE, gd + 1, 3, size), **late
        ),
        case(
            "~tables.entry",
            "grain far beyond",
            lambda: word(SPARSE, rgd + 1, 0, 0xFFFFFFFF),
            **late,
        ),
        case(
            "tables.entry/tables.order",
            "grain among the tables",
            lambda: word(SPARSE, gd + 1, 0, 21),
            **late,
        ),
        case("tables.entry", "grain in the header", lambda: word(SPARSE, gd + 1, 0, 20), **late),
        case("header.overhead/tables.end", "cut in its tables", lambda: EMPTY[: 29 * SECTOR]),
        case("tables.end", "cut in a grain", lambda: SPARSE[:-1], **late),
        case(
            "tables.entry",
            "zeroed grain without the flag",
            lambda: word(SPARSE, gd + 1, 0, 1),
            **late,
        ),
    ]


QEMU = foreign.stream(RAW, front=True)
WIDE = foreign.stream(bytes(5 << 20) + b"x", grain=8, front=True)


def cut_at_a_grain(image: bytes) -> bytes:
    """Return a stream with tables in front without its last grain, as if its table had no such grain."""
    return image[: markers(image)[-1][0]] + bytes(SECTOR)


def long_progress() -> bytes:
    image = foreign.stream(RAW, progress=True)
    return patch(image, marker(image, 4), struct.pack("<Q", 1 << 40))


def twice(disk: bytes) -> bytes:
    image = foreign.stream(disk, front=True)
    first, second = marker(image, -1, 0), marker(image, -1, 1)
    return image + image[first:second]


def streams() -> list[Case]:
    late = {"early": False}
    first, second = marker(STREAM, -1, 0), marker(STREAM, -1, 1)
    table, directory = marker(STREAM, 1), marker(STREAM, 2)
    footer, end = marker(STREAM, 3), marker(STREAM, 0)
    plain = bytes(64 << 10)
    changes: list[tuple[str, str, Callable[[], bytes]]] = [
        ("stream.grain", "falls", lambda: patch(STREAM, second, bytes(8))),
        ("stream.grain", "not aligned", lambda: patch(STREAM, first, struct.pack("<Q", 1))),
        ("stream.grain", "beyond", lambda: patch(STREAM, first, struct.pack("<Q", 4096))),
        ("stream.grain_size", "huge", lambda: patch(STREAM, first + 8, struct.pack("<I", 1 << 30))),
        ("stream.inflate", "no deflate", lambda: packed(b"x" * 100)),
        ("stream.inflate", "bomb", lambda: packed(zlib.compress(bytes(10 << 20)))),
        ("stream.inflate", "one byte more", lambda: packed(zlib.compress(plain + b"!"))),
        ("stream.inflate", "cut", lambda: packed(zlib.compress(plain)[:-5])),
        ("~stream.inflate", "bytes behind", lambda: packed(zlib.compress(RAW[: 64 << 10]) + b"!")),
        ("stream.inflate", "nothing", lambda: packed(zlib.compress(b""))),
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
        ("tables.entry", "entry forward", lambda: word(STREAM, table // SECTOR + 1, 0, 1 << 31)),
        ("tables.entry", "entry in the header", lambda: word(STREAM, table // SECTOR + 1, 0, 5)),
        (
            "tables.entry",
            "directory forward",
            lambda: word(STREAM, directory // SECTOR + 1, 0, 1 << 31),
        ),
        ("stream.table", "a grain not listed", lambda: word(STREAM, table // SECTOR + 1, 0, 0)),
        (
            "stream.table",
            "a table not listed",
            lambda: word(STREAM, directory // SECTOR + 1, 0, 0),
        ),
        (
            "stream.table",
            "no table there",
            lambda: word(STREAM, directory // SECTOR + 1, 0, first // SECTOR),
        ),
        (
            "tables.directory",
            "tables in front, not in order",
            lambda: word(word(WIDE, 21, 0, 26), 21, 1, 22),
        ),
        ("stream.table", "qemu's, a grain not listed", lambda: word(QEMU, 22, 0, 0)),
        ("stream.table", "qemu's, cut at a grain", lambda: cut_at_a_grain(QEMU)),
        ("stream.trailing", "qemu's, text behind", lambda: QEMU + bytes(SECTOR) + b"x" * 512),
        ("stream.trailing", "qemu's, long padding", lambda: QEMU + bytes(66 << 10)),
        ("stream.marker", "qemu's, a footer", lambda: QEMU + STREAM[footer:]),
        ("~stream.marker", "progress", lambda: foreign.stream(RAW, progress=True)),
        ("stream.marker", "long progress", long_progress),
        (
            "~stream.grain",
            "neighbours exchanged",
            lambda: foreign.stream(RAW, shuffle=lambda grains: [1, 0, *grains[2:]]),
        ),
        ("stream.grain", "a grain twice", lambda: twice(RAW)),
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
    ]
    return [case(rule, name, build, **late) for rule, name, build in changes]


def tarred(name: str, data: bytes = b"x") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        member = tarfile.TarInfo(name)
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("disk.img", b"x" * 5000)
    return buffer.getvalue()


ISO = bytes(0x8001) + b"CD001" + bytes(60 << 10)
LINES = b"# Disk DescriptorFile\nversion=1\n"
UNREAD: dict[str, bytes] = {
    "qcow": b"QFI\xfb\0\0\0\1",
    "qed": b"QED\0",
    "vhd": b"conectix",
    "vhdx": b"vhdxfile",
    "vdi": b"<<< Oracle VM VirtualBox Disk Image >>>\n".ljust(0x40, b"\0") + b"\x7f\x10\xda\xbe",
    "parallels": b"WithoutFreeSpace",
    "parallels, extended": b"WithouFreSpacExt",
    "bochs": b"Bochs Virtual HD Image",
    "COWD": b"COWD",
    "seSparse": b"\xbe\xba\xfe\xca\0\0\0\0",
    "luks": b"LUKS\xba\xbe\0\2",
    "a web page": b"<!DOCTYPE html><title>404</title>",
    "an OVF alone": b"<?xml version='1.0'?><Envelope/>",
    "a pointer of git-lfs": b"version https://git-lfs.github.com/spec/v1\n",
    **{
        f"descriptor after {prefix!r}": prefix + LINES
        for prefix in (b"", b"\n", b"\xef\xbb\xbf", b"  ")
    },
    "encrypted descriptor": LINES + b'encryption.keySafe = "vmware:key/list/(pair)"\n',
}
ARCHIVES: dict[str, bytes] = {
    "bzip2": bz2.compress(b"x" * 9000),
    "lz4": b"\x04\x22\x4d\x18" + bytes(100),
    "lzip": b"LZIP\1" + bytes(100),
    "7z": b"7z\xbc\xaf\x27\x1c" + bytes(100),
    "rar": b"Rar!\x1a\x07\x01\0" + bytes(100),
    "zip": zipped(),
    "tar": tarred("etc/passwd"),
}


def formats() -> list[Case]:
    flat = {"disk_type": "preallocated"}
    cases = [
        case("size.empty", "nothing", lambda: b""),
        case("format.claim", "claims qcow2", lambda: RAW, claim="qcow2"),
        case("format.claim", "claims ami", lambda: RAW, claim="ami"),
        case("format.claim", "claims ova", lambda: RAW, container="ova"),
        case("format.claim", "OVA under raw", lambda: tarred("web.ovf"), claim="raw"),
        case("format.claim", "OVA under vmdk", lambda: tarred("web-disk1.vmdk")),
        case("format.claim", "claims compressed", lambda: RAW, container="compressed"),
        case("~format.archive", "gzip", lambda: gzip.compress(SPARSE), claim=None),
        case("~format.archive", "gzip of a raw disk", lambda: gzip.compress(RAW), claim=None),
        case("~format.archive", "xz", lambda: lzma.compress(STREAM), claim=None),
        case("format.claim", "gzip under raw", lambda: gzip.compress(RAW), claim="raw"),
        case("format.claim", "xz under vmdk", lambda: lzma.compress(SPARSE)),
        case(
            "format.archive/compressed.damaged",
            "gzip, cut",
            lambda: gzip.compress(RAW)[:-9],
            claim=None,
        ),
        case(
            "format.archive/compressed.damaged",
            "gzip, wrong checksum",
            lambda: gzip.compress(RAW)[:-8] + bytes(8),
            claim=None,
        ),
        case(
            "format.archive/compressed.damaged",
            "gzip, bytes behind",
            lambda: gzip.compress(RAW) + b"more",
            claim=None,
        ),
        case(
            "format.archive", "gzip in gzip", lambda: gzip.compress(gzip.compress(RAW)), claim=None
        ),
        case("format.unsupported", "VHDX in gzip", lambda: gzip.compress(b"vhdxfile"), claim=None),
        case("size.empty", "nothing in gzip", lambda: gzip.compress(b""), claim=None),
        case("format.container", "claims docker", lambda: SPARSE, container="docker"),
        case("format.claim", "no iso", lambda: RAW, claim="iso"),
        case("format.claim", "sparse under iso", lambda: SPARSE, claim="iso"),
        case("format.claim", "iso under vmdk", lambda: ISO),
        case("format.claim", "iso under flat vmdk", lambda: ISO, **flat),
        case("format.claim", "iso under raw", lambda: ISO, claim="raw"),
        case("format.claim", "sparse under raw", lambda: SPARSE, claim="raw"),
        case("format.claim", "stream under raw", lambda: STREAM, claim="raw"),
        case("format.disk_type", "raw under sparse", lambda: RAW, disk_type="sparse"),
        case("format.disk_type", "raw under stream", lambda: RAW, disk_type="streamOptimized"),
        case("format.disk_type", "raw under another", lambda: RAW, disk_type="rdm"),
        case("format.disk_type", "sparse as flat", lambda: SPARSE, **flat),
        case("format.disk_type", "stream as flat", lambda: STREAM, disk_type="thick"),
        case(
            "format.disk_type", "sparse under stream", lambda: SPARSE, disk_type="streamOptimized"
        ),
        case("format.disk_type", "stream under sparse", lambda: STREAM, disk_type="sparse"),
        case(
            "format.unsupported",
            "VHD of fixed size",
            lambda: RAW + b"conectix".ljust(512, b"\0"),
            claim="raw",
            early=False,
        ),
        case("format.unsupported", "DMG", lambda: RAW + b"koly".ljust(512, b"\0"), early=False),
        *(
            case("format.name", f"raw named {name}", lambda: RAW, claim=None, file_name=name)
            for name in ("web.vmdk", "web.iso", "web.qcow2", "web.img.gz", "WEB.OVA", "web.vhd")
        ),
        case("format.name", "sparse named iso", lambda: SPARSE, claim=None, file_name="web.iso"),
        case("format.name", "iso named vmdk", lambda: ISO, claim=None, file_name="web.vmdk"),
    ]
    for rule, found in (("format.unsupported", UNREAD), ("format.archive", ARCHIVES)):
        for name, magic in found.items():
            data = magic.ljust(50 << 10, b"\0")
            cases += [
                case(rule, name, partial(bytes, data)),
                case(rule, f"{name} raw", partial(bytes, data), claim="raw"),
                case(rule, f"{name} flat", partial(bytes, data), **flat),
                case(rule, f"{name} unclaimed", partial(bytes, data), claim=None),
            ]
    return cases


def good() -> list[Good]:
    found = [
        Good(f"raw under {claim} {disk_type}", lambda: RAW, RAW, "raw", claim, disk_type)
        for claim, disk_type in (
            (None, None),
            ("raw", None),
            ("vmdk", None),
            ("vmdk", "preallocated"),
            ("vmdk", "thin"),
            ("vmdk", "thick"),
            ("vmdk", "eagerZeroedThick"),
            ("raw", "sparse"),
        )
    ]
    gpt = (bytes(512) + b"EFI PART").ljust(60 << 10, b"\0")
    found += [
        Good("one byte", lambda: b"x", b"x", "raw", "raw"),
        Good("GPT", lambda: gpt, gpt, "raw"),
        Good("GPT, unclaimed", lambda: gpt, gpt, "raw", None),
        Good("boot sector", lambda: RAW[:510] + b"\x55\xaa", RAW[:510] + b"\x55\xaa", "raw", None),
        Good("ISO", lambda: ISO, ISO, "iso", "iso"),
        Good("ISO, unclaimed", lambda: ISO, ISO, "iso", None),
        *(
            Good(
                f"{kind} under {claim} {disk_type}",
                partial(bytes, data),
                RAW,
                kind,
                claim,
                disk_type,
            )
            for kind, data, disk_types in (
                ("monolithicSparse", SPARSE, (None, "sparse", "monolithicSparse")),
                ("streamOptimized", STREAM, (None, "streamOptimized")),
            )
            for claim in ("vmdk", None)
            for disk_type in disk_types
        ),
    ]
    sparse, stream = "monolithicSparse", "streamOptimized"
    found += [
        Good(f"{kind} {options}", partial(build, RAW, **options), RAW, kind)
        for kind, build, choices in (
            (sparse, foreign.sparse, ({"version": 2}, {"version": 3}, {"grain": 8}, {"grain": 16},
                                      {"grain": 2048}, {"zeroed": True})),
            (stream, foreign.stream, ({"version": 1}, {"version": 2}, {"grain": 8}, {"grain": 64},
                                      {"grain": 2048}, {"zeroed": True}, {"tables_last": True},
                                      {"level": 0}, {"level": 9}, {"front": True},
                                      {"front": True, "grain": 16}, {"front": True, "padded": False},
                                      {"front": True, "end": bytes(512)},
                                      {"front": True, "end": bytes(60 << 10)})),
        )
        for options in choices
    ]  # fmt: skip
    odd = RAW[: -512 * 3]
    found += [
        Good("sparse, odd capacity", lambda: foreign.sparse(odd), odd, sparse),
        Good("stream, odd capacity", lambda: foreign.stream(odd), odd, stream),
        Good("stream, short last grain", lambda: foreign.stream(odd, short=True), odd, stream),
        *(
            Good(f"{old!r} -> {new!r}", partial(text, data, old, new), RAW, kind)
            for kind, data, old, new in (
                (
                    stream,
                    STREAM,
                    'RW 4096 SPARSE "disk.vmdk"',
                    'RDONLY 4096 SPARSE "a-stream.vmdk"',
                ),
                (sparse, SPARSE, '"disk.vmdk"', '"Windows 7 (2).vmdk"'),
                (
                    sparse,
                    SPARSE,
                    "version=1",
                    'version=1\r\nencoding="windows-1252"\r\nisNativeSnapshot="no"\r',
                ),
                (sparse, SPARSE, "#DDB", 'ddb.longContentID = "0123456789abcdef0123456789abcdef"'),
                (
                    sparse,
                    SPARSE,
                    "#DDB",
                    'ddb.uuid = "60 00 C2 9b 3f 6d ea 9e-7a 5b 8f 2c 11 22 33 44"',
                ),
                (sparse, SPARSE, "#DDB", 'ddb.comment=""\nddb.toolsInstallType = "4"'),
                (sparse, SPARSE, "parentCID=ffffffff", "parentCID=FFFFFFFF"),
            )
        ),
    ]
    return found


CASES = [*formats(), *headers(), *descriptors(), *tables(), *streams()]
GOOD = good()
