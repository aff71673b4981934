"""qcow2 images that each stretch or break one rule, with that rule: see `corpus`.

No qcow2 reaches a host unchanged. QEMU sees the same disk in whatever is accepted, by Range where it must be;
it opens none of `UNREAD_BY_QEMU`.
"""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Callable
from functools import partial
from typing import Any

from tests.unit.driver.images import foreign
from tests.unit.driver.images.corpus import Case, Good, patch
from vimdriver._images.formats import zstd as zstd_module

DISK = foreign.disk(384 << 10, grain=4096).ljust(2 << 20, b"\0") + b"end" * 512
"""For two tables of clusters of 4 KiB."""
SMALL = DISK[: 300 * 512]
"""For clusters of 512 bytes: a table lists 32 KiB of the disk."""
CLUSTER = 4096
L1 = CLUSTER
UNCHANGED = "format.unsupported"
DIRTY, CORRUPT, DATA_FILE, COMPRESSION, EXTENDED = (1 << bit for bit in range(5))
COPIED, PACKED = 1 << 63, 1 << 62
deflated = foreign.raw_deflate


def zstd(data: bytes) -> bytes:
    assert zstd_module._zstd is not None
    return bytes(zstd_module._zstd.compress(data))


ZSTD: dict[str, Any] = {"compress": zstd, "compression": 1, "incompatible": COMPRESSION}
Change = Callable[[bytes], bytes]


def built(data: bytes = DISK, *changes: Change, **options: Any) -> bytes:
    """Return an image of a disk, changed afterwards."""
    image = foreign.qcow2(data, **options)
    for change in changes:
        image = change(image)
    return image


def value(image: bytes, at: int) -> int:
    return int.from_bytes(image[at : at + 8], "big")


def word(image: bytes, at: int, number: int) -> bytes:
    return patch(image, at, number.to_bytes(8, "big"))


def l2(image: bytes, nth: int = 0) -> int:
    """Return the offset of the nth entry of the first table that is not 0."""
    first = value(image, L1) & ~COPIED
    return [at for at in range(first, first + CLUSTER, 8) if value(image, at)][nth]


def entry(number: int, nth: int = 0) -> Change:
    """Replace the nth entry of the first table."""
    return lambda image: word(image, l2(image, nth), number)


def bits_of_entry(number: int, nth: int = 0) -> Change:
    """Set bits of the nth entry of the first table."""
    return lambda image: word(image, l2(image, nth), value(image, l2(image, nth)) | number)


def table(number: int, nth: int = 0) -> Change:
    """Replace the nth entry of the first table of all."""
    return lambda image: word(image, L1 + 8 * nth, number)


def at_end(kind: int = 0) -> Change:
    """Have an entry point to the first cluster behind the file."""
    return lambda image: entry(-(-len(image) // CLUSTER) * CLUSTER | kind)(image)


def field(at: int, number: int) -> Change:
    """Replace a 32-bit field of the header."""
    return lambda image: patch(image, at, number.to_bytes(4, "big"))


def cut(end: int) -> Change:
    return lambda image: image[:end]


def extension(kind: int, data: bytes, *, length: int | None = None, at: int = 112) -> Change:
    """Add an extension to the header."""
    packed = struct.pack(">II", kind, len(data) if length is None else length) + data
    return lambda image: patch(image, at, packed)


def no_gap(image: bytes) -> bytes:
    """Cut a file at the last byte of its last compressed cluster."""
    return image.rstrip(b"\0")


def first_table_last(image: bytes) -> bytes:
    """Move the first table behind the clusters."""
    end = -(-len(image) // CLUSTER) * CLUSTER
    moved = image.ljust(end, b"\0") + image[L1 : L1 + CLUSTER]
    return word(patch(moved, L1, bytes(CLUSTER)), 40, end)


def swapped(image: bytes) -> bytes:
    """Exchange two neighbours, in the file and in their table."""
    one, two = l2(image), l2(image, 1)
    a, b = (value(image, at) & ~COPIED for at in (one, two))
    first, second = image[a : a + CLUSTER], image[b : b + CLUSTER]
    image = patch(patch(image, a, second), b, first)
    return word(word(image, one, b | COPIED), two, a | COPIED)


def kept_zeros(image: bytes) -> bytes:
    """Have each cluster of zeros of the first table keep a cluster of the file."""
    first = value(image, L1) & ~COPIED
    for at in range(first, first + CLUSTER, 8):
        if value(image, at) == 1:
            image = word(image, at, first | COPIED | 1)
    return image


def case(rule: str, name: str, build: Callable[[], bytes], *, unchanged: str | None = None) -> Case:
    """Return a case; `unchanged` is the rule that refuses it unchanged, if that is another one."""
    rule = f"qcow2.{rule}"
    return Case(unchanged or rule, f"qcow2, {name}", build, rule, claim="qcow2")


def headers() -> list[Case]:
    fields: list[tuple[str, str, dict[str, Any]]] = [
        ("version", "0", {"version": 0}),
        ("version", "4", {"version": 4}),
        ("version", "2^32 - 1", {"version": (1 << 32) - 1}),
        ("backing", "a backing file", {"backing": 1024, "name": 9}),
        ("backing", "a backing file without a name", {"backing": 1024}),
        ("backing", "a name far away", {"backing": 1 << 62, "name": 1023}),
        ("backing", "of version 2", {"backing": 256, "name": 8, "version": 2}),
        ("encryption", "AES", {"crypt": 1}),
        ("encryption", "AES of version 2", {"crypt": 1, "version": 2}),
        ("encryption", "LUKS", {"crypt": 2}),
        ("encryption", "an unknown method", {"crypt": 1 << 31}),
        ("data_file", "its data elsewhere", {"incompatible": DATA_FILE}),
        ("data_file", "its data elsewhere, raw", {"incompatible": DATA_FILE, "autoclear": 2}),
        ("corrupt", "marked", {"incompatible": CORRUPT}),
        ("corrupt", "marked, and not closed", {"incompatible": CORRUPT | DIRTY}),
        ("features", "extended entries", {"incompatible": EXTENDED}),
        ("features", "the first unknown bit", {"incompatible": 1 << 5}),
        ("features", "the last bit", {"incompatible": 1 << 63}),
        ("compression", "an unknown method", {"incompatible": COMPRESSION, "compression": 2}),
        ("compression", "no method", {"incompatible": COMPRESSION}),
        ("compression", "no field", {"incompatible": COMPRESSION, "compression": 1, "length": 104}),
        ("compression", "a method without its feature", {"compression": 1}),
        ("refcounts", "of 128 bits", {"order": 7}),
        ("refcounts", "of 2^(2^32 - 1) bits", {"order": (1 << 32) - 1}),
        ("header", "of no bytes", {"length": 0}),
        ("header", "of version 2's length", {"length": 72}),
        ("header", "a byte short", {"length": 103}),
        ("header", "longer than a cluster", {"length": CLUSTER + 8}),
        ("header", "of 4 GiB", {"length": (1 << 32) - 8}),
        ("capacity", "nothing", {"size": 0}),
        ("capacity", "no whole sector", {"size": 511}),
        ("capacity", "a byte too many", {"size": len(DISK) + 1}),
        ("capacity", "too much for a host", {"size": 1 << 60}),
        ("capacity", "2^64 - 512", {"size": (1 << 64) - 512}),
        ("tables", "a disk larger than its table", {"size": 1 << 40}),
        ("tables", "no entries", {"l1_size": 0}),
        ("tables", "2^32 - 1 entries", {"l1_size": (1 << 32) - 1}),
        ("tables", "none", {"l1": 0}),
        ("tables", "between clusters", {"l1": CLUSTER + 8}),
        ("tables", "behind the file", {"l1": 1 << 40}),
        ("tables", "at the end of numbers", {"l1": (1 << 64) - CLUSTER}),
    ]
    changes: list[tuple[str, str, Change]] = [
        *(("cluster_size", f"2^{bits}", field(20, bits)) for bits in (0, 8, 22, 63, (1 << 32) - 1)),
        ("extensions", "of 4 GiB", extension(0xE2792ACA, b"qcow2", length=(1 << 32) - 1)),
        ("extensions", "a byte too long", extension(0x1234, b"", length=CLUSTER - 120 + 1)),
        ("extensions", "an end that is long", extension(0, b"", length=CLUSTER)),
        (
            "extensions",
            "the second too long",
            extension(0x1234, b"12345\0\0\0" + struct.pack(">II", 0x5678, CLUSTER), length=5),
        ),
        ("short", "cut in the header", cut(60)),
        ("short", "cut in its last field", cut(111)),
        ("tables", "cut in front of the first table", cut(L1)),
        ("tables", "cut in the first table", cut(L1 + 4)),
    ]
    return [
        *(case(rule, f"{rule}: {name}", partial(built, **given)) for rule, name, given in fields),
        *(case(rule, f"{rule}: {name}", partial(built, DISK, change)) for rule, name, change in changes),
    ]  # fmt: skip


def contents() -> list[Case]:
    """Return images whose tables or clusters break a rule."""
    packed: dict[str, Any] = {"compress": deflated}
    found: list[tuple[str, str, dict[str, Any], list[Change]]] = [
        ("tables", "a table behind the file", {}, [table(1 << 50)]),
        ("tables", "a table at the end of numbers", {}, [table((1 << 56) - CLUSTER)]),
        ("tables", "a table between clusters", {}, [table(2 * CLUSTER + 512)]),
        ("tables", "the second table behind the file", {}, [table(1 << 40 | COPIED, 1)]),
        ("tables", "a cluster behind the file", {}, [entry(1 << 50)]),
        ("tables", "a cluster at the end of the file", {}, [at_end()]),
        ("tables", "a cluster between clusters", {}, [entry(3 * CLUSTER + 512)]),
        ("tables", "zeros between clusters", {}, [entry(3 * CLUSTER + 512 | 1)]),
        ("tables", "zeros in version 2", {"version": 2}, [entry(1)]),
        ("tables", "zeros that are stored in version 2", {"version": 2}, [bits_of_entry(1)]),
        ("tables", "compressed, behind the file", packed, [entry(PACKED | 1 << 50)]),
        ("tables", "compressed, at the end of the file", packed, [at_end(PACKED)]),
        ("tables", "compressed, in the header", packed, [entry(PACKED | 5)]),
        ("inflate", "compressed, but a table", packed, [entry(PACKED | 2 * CLUSTER)]),
        ("inflate", "short", {"compress": lambda data: deflated(data[:-1])}, []),
        ("inflate", "nothing", {"compress": lambda data: deflated(b"")}, []),
        ("inflate", "with a header of zlib", {"compress": zlib.compress}, []),
        ("inflate", "noise", {"compress": lambda data: b"\xff" * 600}, []),
        ("inflate", "Zstandard, declared as deflated", {"compress": zstd}, []),
        ("inflate", "deflated, declared as Zstandard", ZSTD | packed, []),
        ("inflate", "Zstandard, short", ZSTD | {"compress": lambda data: zstd(data[:-1])}, []),
        ("inflate", "Zstandard, a byte more", ZSTD | {"compress": lambda data: zstd(data + b"!")}, []),
        ("inflate", "Zstandard, a bomb", ZSTD | {"compress": lambda data: zstd(data + bytes(1 << 20))}, []),
        ("end", "cut in its last cluster", {}, [lambda image: image[: -CLUSTER - 512]]),
        ("end", "cut in its last table", {}, [lambda image: image[: (value(image, L1 + 8) & ~COPIED) + 100]]),
        ("order", "a cluster in front of its table", {}, [entry(L1)]),
        ("order", "one cluster twice", {}, [lambda image: entry(value(image, l2(image)), 9)(image)]),
        ("order", "the first table behind the clusters", {}, [first_table_last]),
    ]  # fmt: skip
    return [
        case(rule, f"{rule}: {name}", partial(built, _of(given), *changes, **given), unchanged=UNCHANGED)
        for rule, name, given, changes in found
    ]  # fmt: skip


def _of(given: dict[str, Any]) -> bytes:
    return DISK if given.get("bits", 12) > 9 else SMALL


def good() -> list[Good]:
    def shuffled(found: list[int]) -> list[int]:
        return random.Random(1).sample(found, len(found))

    packed: dict[str, Any] = {"compress": deflated}
    found: list[tuple[str, dict[str, Any], list[Change]]] = [
        ("version 2", {"version": 2}, []),
        *((f"clusters of 2^{bits}", {"bits": bits}, []) for bits in (9, 10, 12, 16, 21)),
        *((f"deflated, clusters of 2^{bits}", packed | {"bits": bits}, []) for bits in (9, 12, 16, 21)),
        *((f"Zstandard, clusters of 2^{bits}", ZSTD | {"bits": bits}, []) for bits in (9, 16, 21)),
        ("deflated, version 2", packed | {"version": 2}, []),
        ("zeros", {"zeroed": True}, []),
        ("zeros that keep a cluster", {"zeroed": True}, [kept_zeros]),
        ("tables in front", {"tables_first": True}, []),
        ("deflated, tables in front", packed | {"tables_first": True}, []),
        ("any order", {"shuffle": shuffled}, []),
        ("deflated, any order", packed | {"shuffle": shuffled}, []),
        ("neighbours exchanged", {}, [swapped]),
        ("not closed", {"incompatible": DIRTY}, []),
        ("unknown compatible features", {"compatible": 1 << 40 | 1}, []),
        ("unknown features that a writer clears", {"autoclear": 1 << 40}, []),
        ("a short header", {"length": 104}, []),
        ("a long header", {"length": 512}, []),
        ("a header of a cluster", {"length": CLUSTER}, []),
        ("a header of no whole words", {"length": 109}, []),
        *((f"reference counts of 2^{order} bits", {"order": order}, []) for order in (0, 3, 6)),
        ("the name's length without a name", {"name": 1023}, []),
        ("entries for a larger disk", {"l1_size": 200}, []),
        ("an unknown extension", {}, [extension(0x12345678, b"odd" * 21)]),
        ("the format of no backing file", {}, [extension(0xE2792ACA, b"raw")]),
        ("names of features", {}, [extension(0x6803F857, struct.pack(">BB46s", 0, 0, b"dirty bit"))]),
        ("a data file's name without its feature", {}, [extension(0x44415441, b"/etc/passwd")]),
        ("an extension that fills the header", {}, [extension(0x12345678, bytes(CLUSTER - 120))]),
        ("text behind the extensions", {}, [extension(0, b""), lambda image: patch(image, 128, b"text" * 99)]),
        ("reserved bits of an entry", {}, [bits_of_entry(0x3F << 56 | 0xF8)]),
        ("reserved bits of a table's entry", {}, [lambda image: table(value(image, L1) | 0x3F << 56 | 0xFF)(image)]),
        ("a cluster that is shared", {}, [lambda image: word(image, l2(image), value(image, l2(image)) & ~COPIED)]),
        ("deflated with more than a cluster", {"compress": lambda data: deflated(data + b"y" * 99_999)}, []),
        ("deflated without its last sector", packed, [no_gap]),
        ("bytes behind", {}, [lambda image: image + b"more" * 5000]),
    ]  # fmt: skip
    odd = DISK[: -512 * 5]
    empty = bytes(3 << 20)
    return [
        *(
            Good(f"qcow2: {name}", partial(built, _of(given), *changes, **given), _of(given), "qcow2", "qcow2",
                 unchanged=UNCHANGED)
            for name, given, changes in found
        ),
        *(
            Good(f"qcow2: {name}", partial(built, disk, **given), disk, "qcow2", claim,
                 unchanged=UNCHANGED)
            for name, disk, claim, given in (
                ("a disk of no whole clusters", odd, "qcow2", {"bits": 16}),
                ("deflated, of no whole clusters", odd, "qcow2", packed | {"bits": 16}),
                ("one sector", b"x" * 512, "qcow2", {}),
                ("one sector in a large cluster", b"x" * 512, "qcow2", {"bits": 21}),
                ("unclaimed", DISK, None, {}),
                ("an empty disk", empty, "qcow2", {}),
                ("an empty disk, with its tables", empty, "qcow2", {"zeroed": True}),
            )
        ),
    ]  # fmt: skip


def unread_by_qemu() -> list[Good]:
    """Return images in which QEMU needs what a reader of the disk does not."""
    found: list[tuple[str, dict[str, Any], list[Change]]] = [
        ("no reference counts", {"refcounts": 0, "clusters": 0}, []),
        ("reference counts behind the file", {"refcounts": (1 << 63) + CLUSTER}, []),
        ("snapshots at the end of numbers", {"snapshots": 1, "at": (1 << 64) - CLUSTER}, []),
        ("2^32 - 1 snapshots", {"snapshots": (1 << 32) - 1, "at": CLUSTER}, []),
        ("a key's place without encryption", {}, [extension(0x0537BE77, bytes(16))]),
        ("damaged bitmaps", {"autoclear": 1}, [extension(0x23852875, bytes(3))]),
    ]
    return [
        Good(f"qcow2: {name}", partial(built, DISK, *changes, **given), DISK, "qcow2", "qcow2",
             unchanged=UNCHANGED)
        for name, given, changes in found
    ]  # fmt: skip


CASES = [*headers(), *contents()]
UNREAD_BY_QEMU = unread_by_qemu()
GOOD = [*good(), *UNREAD_BY_QEMU]
