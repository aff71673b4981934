"""Mutated disk images through the stages, compared with each other and with other programs.

    python -m tests.fuzz.images --count 1000000

A mutant is refused by `ImageUnacceptableError` or read; whatever else happens is a finding. A mutant that is
read in the order of its file, by Range, by the strict rules of a host, in gzip, or through the stage that
copies its grains must be the same disk. Those of VMDKs are compared with libvmdk in this process, and where that sees
another disk with qemu-img; every n-th is compared with qemu-img anyway. The survey of its tables must end too.

The images have a few grains of 8 KiB that deflate well, so that a case takes well below a millisecond.
"""

from __future__ import annotations

import argparse
import io
import random
import shutil
import subprocess
import sys
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from tests.unit.driver.images import foreign
from vimdriver._disks.stage import GrainStage
from vimdriver._images.formats import (
    PREFIX,
    DiskReader,
    Extent,
    ImageFormat,
    StreamOptimizedWriter,
    open_image,
)
from vimdriver._images.formats.header import FLAG_ZERO_GRAIN
from vimdriver.errors import ImageUnacceptableError

try:
    import pyvmdk
except ImportError:  # it is built for Linux alone
    pyvmdk = None

_GRAIN = 8192
"""The smallest that libvmdk reads."""
_BLOCK = 64 << 10
_ZEROS = bytes(_BLOCK)
_LARGEST = 16 << 20
"""Bytes of a disk that is compared with other programs."""
_SMALL = 1 << 20
"""Bytes of a disk of which libvmdk reads each mutant; of larger ones, which take it 16 ms, some."""
_LIMIT = 4 << 20
"""Bytes of data that a mutant may yield before it is abandoned."""
_MANY_TABLES = 1 << 12
"""Tables of a disk above which few mutants are read: each costs milliseconds."""

Blocks: TypeAlias = dict[int, bytes]
"""Blocks of 64 KiB that are not zero, by index."""


def _disk(*grains: int, tail: int = 1536) -> bytes:
    """Return a disk with data in some grains and at its end, which deflates well."""
    chance = random.Random(15)
    data = bytearray(max(grains) * _GRAIN + tail)
    for grain in grains:
        at = grain * _GRAIN + chance.choice((0, 0, 512, 1000))
        piece = chance.randbytes(64) * chance.choice((20, 64, 80))
        data[at : at + len(piece)] = piece[: len(data) - at]
    return bytes(data)


_DISK = _disk(0, 2, 3, 6, 7, 11)
_WIDE = _disk(0, 511, 512, 520)
"""Of two tables."""


def _text(create_type: str, disk: bytes) -> bytes:
    """Return a descriptor with the comment that libvmdk needs."""
    text = foreign.descriptor(create_type, len(disk) // 512)
    return (
        text.replace(b"#DDB", b"\n# The Disk Data Base\n#DDB").rstrip(b"\0").ljust(len(text), b"\0")
    )


def _sparse(disk: bytes, **options: Any) -> Callable[[], bytes]:
    text = _text("monolithicSparse", disk)
    return lambda: foreign.sparse(disk, grain=_GRAIN // 512, text=text, **options)


def _stream(disk: bytes, **options: Any) -> Callable[[], bytes]:
    text = _text("streamOptimized", disk)
    return lambda: foreign.stream(disk, grain=_GRAIN // 512, text=text, **options)


def _reversed(grains: list[int]) -> list[int]:
    return grains[::-1]


def _exchanged(grains: list[int]) -> list[int]:
    return [grains[1], grains[0], *grains[2:]]


SEEDS: dict[str, Callable[[], bytes]] = {
    "sparse": _sparse(_DISK),
    "sparse zeroed": _sparse(_DISK, zeroed=True),
    "sparse reversed": _sparse(_DISK, shuffle=_reversed),
    "sparse wide": _sparse(_WIDE),
    "stream": _stream(_DISK),
    "stream wide": _stream(_WIDE),
    "stream front": _stream(_DISK, front=True),
    "stream front wide": _stream(_WIDE, front=True, shuffle=_exchanged),
    "stream tables last": _stream(_DISK, tables_last=True, zeroed=True),
    "stream progress": _stream(_DISK, progress=True),
    "qcow2": lambda: foreign.qcow2(_DISK),
    "qcow2 version 2": lambda: foreign.qcow2(_DISK, version=2, tables_first=True),
    "qcow2 deflated": lambda: foreign.qcow2(_DISK, compress=foreign.raw_deflate),
    "qcow2 zeros": lambda: foreign.qcow2(_DISK, zeroed=True, shuffle=_reversed),
}

_WORDS = (
    0,
    1,
    2,
    7,
    21,
    127,
    128,
    255,
    512,
    4096,
    0xFFFF,
    1 << 31,
    (1 << 32) - 1,
    (1 << 62),
    (1 << 64) - 1,
)


class _TooMuch(Exception):
    """A mutant yields more than is worth comparing."""


@dataclass
class Tally:
    """What became of the mutants."""

    rules: Counter[str] = field(default_factory=Counter)
    cases: int = 0
    compared: Counter[str] = field(default_factory=Counter)
    """By program, the mutants that it read too."""
    findings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Seed:
    """An image whose mutants are read."""

    name: str
    data: bytes
    places: list[int]
    """Offsets of its words that are not zero."""

    @classmethod
    def of(cls, name: str, data: bytes) -> Seed:
        """Return the seed of an image."""
        return cls(name, data, [at for at in range(0, len(data), 4) if any(data[at : at + 4])])


def mutant(chance: random.Random, seed: Seed) -> bytes:
    """Return a mutant of an image: words replaced, bits turned, parts cut, repeated or moved."""
    data = bytearray(seed.data)
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        kind = chance.randrange(8)
        match chance.randrange(4):
            case 0:
                at = chance.randrange(28) * 4  # the header
            case 1:
                at = chance.randrange(len(data) // 4) * 4
            case _:
                at = min(chance.choice(seed.places), len(data) - 4)
        if kind < 2:
            size = chance.choice((1, 2, 4, 8))
            value = chance.choice(_WORDS) % (1 << 8 * size)
            data[at : at + size] = value.to_bytes(size, chance.choice(("little", "big")))
        elif kind < 4:
            data[at + chance.randrange(4)] ^= 1 << chance.randrange(8)
        elif kind == 4:
            data[at : at + 4] = chance.randbytes(4)
        elif kind == 5:
            other = chance.choice(seed.places)
            data[at : at + 4] = data[other : other + 4].ljust(4, b"\0")
        elif kind == 6:
            del data[max(chance.randrange(len(data)) // 512 * 512, 512) :]
        else:
            start = chance.randrange(len(data)) // 512 * 512
            data[start:start] = data[start : start + 512 * chance.randrange(1, 5)]
    return bytes(data)


def _blocks(extents: Iterable[Extent], capacity: int | None) -> Blocks:
    """Return the data of a disk; check the promises of a reader."""
    found: dict[int, bytearray] = {}
    size = end = 0
    for extent in extents:
        assert extent.data, "an empty extent"
        assert capacity is None or extent.end <= capacity, "an extent behind the disk"
        assert extent.offset >= end, "extents do not ascend"
        end = extent.end
        size += len(extent.data)
        if size > _LIMIT:
            raise _TooMuch
        at, data = extent.offset, memoryview(extent.data)
        while data:
            index, skipped = divmod(at, _BLOCK)
            part = data[: _BLOCK - skipped]
            block = found.setdefault(index, bytearray(_BLOCK))
            block[skipped : skipped + len(part)] = part
            at, data = at + len(part), data[len(part) :]
    return _without_zeros(found)


def _without_zeros(blocks: dict[int, bytearray]) -> Blocks:
    return {index: bytes(block) for index, block in blocks.items() if block != _ZEROS}


def _split(disk: bytes) -> Blocks:
    blocks = (disk[at : at + _BLOCK].ljust(_BLOCK, b"\0") for at in range(0, len(disk), _BLOCK))
    return {index: block for index, block in enumerate(blocks) if block != _ZEROS}


def _extents(reader: DiskReader, data: bytes, step: int) -> Iterator[Extent]:
    if reader.wanted is None:
        for at in range(0, len(data), step):
            yield from reader.feed(data[at : at + step])
    while (wanted := reader.wanted) is not None:
        assert 0 <= wanted.start < wanted.stop <= len(data), f"wanted {wanted}"
        yield from reader.feed(data[wanted.start : min(wanted.stop, wanted.start + step)])
    yield from reader.finish()


def _copied(image: ImageFormat, data: bytes, step: int) -> bytes:
    """Return the file of the same grains behind a header and tables of ours."""
    assert image.capacity is not None, "a VMDK states it"
    assert image.grain_bytes is not None, "a VMDK states it"
    writer = StreamOptimizedWriter(image.capacity, grain_bytes=image.grain_bytes)
    stage = GrainStage(image.grain_reader(), writer)
    pieces = [
        bytes(p) for at in range(0, len(data), step) for p in stage.feed(data[at : at + step])
    ]
    return b"".join([*pieces, *map(bytes, stage.finish())])


def _survey(image: ImageFormat, data: bytes, step: int) -> None:
    """Read the tables of a mutant as they are before a transfer."""
    with suppress(ImageUnacceptableError):
        survey = image.survey()
        if survey is not None:
            assert not list(_extents(survey, data, step)), "a survey with extents"


def _by_libvmdk(data: bytes) -> Blocks | None:
    """Return the disk that libvmdk sees; None if it refuses the image."""
    handle: Any = pyvmdk.handle()
    try:
        handle.open_file_object(io.BytesIO(data))
        handle.open_extent_data_files_as_file_objects([io.BytesIO(data)])
        size = handle.get_media_size()
        disk = handle.read_buffer_at_offset(size, 0) if size <= _LARGEST else None
        handle.close()
    except OSError:
        return None
    return None if disk is None else _split(disk)


def _by_qemu_img(data: bytes, kind: str, folder: Path) -> Blocks | None:
    """Return the disk that qemu-img sees; None if it refuses the image."""
    image, raw = folder / "image", folder / "raw"
    image.write_bytes(data)
    raw.unlink(missing_ok=True)
    command = ["qemu-img", "convert", "-f", kind, "-O", "raw", str(image), str(raw)]
    if subprocess.run(command, capture_output=True, check=False, timeout=60).returncode:
        return None
    return _split(raw.read_bytes())


class Fuzzer:
    """Reads mutants.

    Args:
        seed: Of the random generator.
        oracle_every: Which of the mutants that are read are compared with qemu-img in any case; 0 for none.
        folder: For files of qemu-img.
    """

    def __init__(self, seed: int, oracle_every: int, folder: Path) -> None:
        self.tally = Tally()
        self._seed = seed
        self._chance = random.Random(seed)
        self._seeds = [Seed.of(name, build()) for name, build in SEEDS.items()]
        self._every = oracle_every if shutil.which("qemu-img") else 0
        self._folder = folder
        self._accepted = 0

    def one(self) -> None:
        """Read the next mutant."""
        tally = self.tally
        tally.cases += 1
        seed = self._chance.choice(self._seeds)
        data = mutant(self._chance, seed)
        if data[:4] not in (b"KDMV", b"QFI\xfb"):
            return
        step = self._chance.choice((500, 4096, 1 << 20, 1 << 20))
        try:
            finding = self._read(data, step)
        except Exception as error:  # noqa: BLE001 - a finding
            finding = f"{type(error).__name__}: {error}"
        if finding is not None:
            where = f"mutant {tally.cases} of seed {self._seed} ({seed.name}, crc {zlib.crc32(data):08x})"
            tally.findings.append(f"{where}: {finding}")

    def _read(self, data: bytes, step: int) -> str | None:
        """Read a mutant in each way; return what is wrong."""
        tally = self.tally
        try:
            image = open_image(data[:PREFIX], size=len(data))
        except ImageUnacceptableError as error:
            tally.rules[error.rule] += 1
            return None
        if image.header and image.header.tables > _MANY_TABLES and self._chance.randrange(50):
            tally.rules["(many tables)"] += 1
            return None
        disk = self._blocks(image.reader, data, step)
        other = self._blocks(lambda: image.reader(ranges=True), data, step)
        if disk is not None and other is not None and disk != other:
            return "two disks"
        _survey(image, data, step)
        seen = other if disk is None else disk
        if seen is None:
            return None
        tally.rules["(read)"] += 1
        self._accepted += 1
        if image.kind != "qcow2" and image.refusal is None:
            strict = self._blocks(lambda: image.reader(strict=True), data, step, count=False)
            if strict is not None and strict != seen:
                return "another disk by the strict rules"
        if image.kind == "streamOptimized" and disk is not None and not self._accepted % 4:
            copy = _copied(image, data, step)
            ours = open_image(copy[:PREFIX], size=len(copy))
            if (
                not ours.importable
                or _blocks(_extents(ours.reader(strict=True), copy, step), None) != seen
            ):
                return "its copied grains are another disk"
        if disk is not None and self._accepted % 8 == 1:
            packed = zlib.compress(data, 1, zlib.MAX_WBITS | 16)
            inside = open_image(packed[:PREFIX], size=len(packed))
            if self._blocks(inside.reader, packed, step) != seen:
                return "another disk in gzip"
        return self._compare(image, data, seen)

    def _blocks(
        self, reader: Callable[[], DiskReader], data: bytes, step: int, *, count: bool = True
    ) -> Blocks | None:
        rule = "(too much)"
        try:
            made = reader()
            return _blocks(_extents(made, data, step), made.capacity)
        except ImageUnacceptableError as error:
            rule = error.rule
        except _TooMuch:
            pass
        self.tally.rules[rule] += count
        return None

    def _read_by_libvmdk(self, image: ImageFormat) -> bool:
        if pyvmdk is None or image.header is None or image.header.flags & FLAG_ZERO_GRAIN:
            return False  # it takes zeroed grains for the first sector of the file
        return (image.capacity or 0) <= _SMALL or self._accepted % 16 == 0

    def _compare(self, image: ImageFormat, data: bytes, seen: Blocks) -> str | None:
        """Compare a mutant that is read with what other programs see."""
        if (image.capacity or 0) > _LARGEST:
            return None
        differs = False
        if self._read_by_libvmdk(image):
            theirs = _by_libvmdk(data)
            self.tally.compared["libvmdk"] += theirs is not None
            differs = theirs is not None and theirs != seen
        if differs or (self._every and self._accepted % self._every == 0):
            theirs = _by_qemu_img(data, "qcow2" if image.qcow2 else "vmdk", self._folder)
            self.tally.compared["qemu-img"] += theirs is not None
            if theirs is not None and theirs != seen:
                return "another disk than qemu-img's"
            if differs and theirs is None:
                return "another disk than libvmdk's, and qemu-img refuses it"
            self.tally.compared["libvmdk, which alone sees another disk"] += differs
        return None


def run(count: int, *, seed: int = 1, oracle_every: int = 0, report_every: int = 0) -> Tally:
    """Read `count` mutants; print a line after each `report_every`, and each finding as it comes."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        fuzzer = Fuzzer(seed, oracle_every, Path(folder))
        tally = fuzzer.tally
        for number in range(1, count + 1):
            found = len(tally.findings)
            fuzzer.one()
            if report_every and len(tally.findings) > found:
                print(tally.findings[-1], flush=True)
            if report_every and number % report_every == 0:
                read, found = tally.rules["(read)"], len(tally.findings)
                seconds = time.monotonic() - began
                print(
                    f"{number} mutants, {read} read, {found} findings, {seconds:.0f} s", flush=True
                )
    return tally


def main() -> int:
    """Run from the command line; 1 if there are findings."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--oracle-every", type=int, default=1000)
    options = parser.parse_args()
    tally = run(
        options.count, seed=options.seed, oracle_every=options.oracle_every, report_every=10_000
    )
    for rule, times in tally.rules.most_common():
        print(f"{times:9} {rule}")
    for program, times in tally.compared.most_common():
        print(f"{times:9} compared with {program}")
    return bool(tally.findings)


if __name__ == "__main__":
    sys.exit(main())
