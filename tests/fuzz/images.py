"""Mutated disk images through the stages, compared with each other and with qemu-img.

    python -m tests.fuzz.images --count 1000000

A mutant is refused by `ImageUnacceptableError` or read; whatever else happens is a finding. A mutant that is
read in the order of its file and by Range must be the same disk; every n-th of those is compared with
qemu-img, where that reads it too. The survey of its tables must end too.
"""

from __future__ import annotations

import argparse
import random
import shutil
import subprocess
import sys
import tempfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from tests.unit.driver.images import foreign
from vimdriver._images.formats import PREFIX, DiskReader, Extent, open_image
from vimdriver.errors import ImageUnacceptableError

_DISK = foreign.disk(40 * 4096 + 1536, grain=4096)
_LARGEST = 16 << 20
"""Bytes of a disk that is compared with qemu-img."""
_LIMIT = 64 << 20
"""Bytes of data that a mutant may yield before it is abandoned."""

SEEDS: dict[str, Callable[[], bytes]] = {
    "sparse": lambda: foreign.sparse(_DISK, grain=8),
    "sparse zeroed": lambda: foreign.sparse(_DISK, grain=8, zeroed=True),
    "sparse reversed": lambda: foreign.sparse(_DISK, grain=8, shuffle=lambda grains: grains[::-1]),
    "stream": lambda: foreign.stream(_DISK, grain=8),
    "stream front": lambda: foreign.stream(_DISK, grain=8, front=True),
    "stream tables last": lambda: foreign.stream(_DISK, grain=8, tables_last=True, zeroed=True),
    "stream progress": lambda: foreign.stream(_DISK, grain=8, progress=True),
    "qcow2": lambda: foreign.qcow2(_DISK),
    "qcow2 version 2": lambda: foreign.qcow2(_DISK, version=2, tables_first=True),
    "qcow2 deflated": lambda: foreign.qcow2(_DISK, compress=foreign.raw_deflate),
    "qcow2 zeros": lambda: foreign.qcow2(_DISK, zeroed=True, shuffle=lambda found: found[::-1]),
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
    compared: int = 0
    """With qemu-img."""
    findings: list[str] = field(default_factory=list)


def mutant(chance: random.Random, image: bytes) -> bytes:
    """Return a mutant of an image: words replaced, bits turned, parts cut, repeated or moved."""
    data = bytearray(image)
    structures = [*range(0, 112, 4), *range(512, 1024, 16)]
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        at = chance.choice((chance.choice(structures), chance.randrange(len(data) // 4) * 4))
        match chance.randrange(8):
            case 0 | 1:
                size = chance.choice((1, 2, 4, 8))
                value = chance.choice(_WORDS) % (1 << 8 * size)
                data[at : at + size] = value.to_bytes(size, chance.choice(("little", "big")))
            case 2 | 3:
                data[min(at, len(data) - 1)] ^= 1 << chance.randrange(8)
            case 4:
                data[at : at + 4] = chance.randbytes(4)
            case 5:
                other = chance.randrange(len(data) // 4) * 4
                data[at : at + 4] = data[other : other + 4]
            case 6:
                del data[chance.randrange(len(data)) // 512 * 512 :]
                data = data or bytearray(512)
            case _:
                start = chance.randrange(len(data)) // 512 * 512
                data[start:start] = data[start : start + 512 * chance.randrange(1, 5)]
    return bytes(data)


def _sectors(extents: Iterator[Extent], capacity: int | None) -> dict[int, bytes]:
    """Return the sectors that are not zero; check the promises of a reader."""
    found: dict[int, bytearray] = {}
    seen: list[Extent] = []
    size = 0
    for extent in extents:
        assert extent.data, "an empty extent"
        assert capacity is None or extent.end <= capacity, "an extent behind the disk"
        seen = [*seen[-1:], extent]
        assert all(a.end <= b.offset for a, b in pairwise(seen)), "extents do not ascend"
        size += len(extent.data)
        if size > _LIMIT:
            raise _TooMuch
        at, data = extent.offset, memoryview(extent.data)
        while data:
            sector = found.setdefault(at // 512 * 512, bytearray(512))
            part = data[: 512 - at % 512]
            sector[at % 512 : at % 512 + len(part)] = part
            at, data = at + len(part), data[len(part) :]
    return {at: bytes(sector) for at, sector in found.items() if any(sector)}


def _extents(reader: DiskReader, data: bytes, step: int) -> Iterator[Extent]:
    if reader.wanted is None:
        for at in range(0, len(data), step):
            yield from reader.feed(data[at : at + step])
    while (wanted := reader.wanted) is not None:
        assert 0 <= wanted.start < wanted.stop <= len(data), f"wanted {wanted}"
        yield from reader.feed(data[wanted.start : min(wanted.stop, wanted.start + step)])
    yield from reader.finish()


def _read(data: bytes, tally: Tally, *, ranges: bool, step: int) -> dict[int, bytes] | None:
    try:
        image = open_image(data[:PREFIX], size=len(data))
        reader = image.reader(ranges=ranges)
        return _sectors(_extents(reader, data, step), reader.capacity)
    except ImageUnacceptableError as error:
        tally.rules[error.rule] += 1
    except _TooMuch:
        tally.rules["(too much)"] += 1
    return None


def _survey(data: bytes, step: int) -> None:
    """Read the tables of a mutant as they are before a transfer."""
    with suppress(ImageUnacceptableError):
        survey = open_image(data[:PREFIX], size=len(data)).survey()
        if survey is not None:
            assert not list(_extents(survey, data, step)), "a survey with extents"


def _by_qemu_img(data: bytes, kind: str, folder: Path) -> dict[int, bytes] | None:
    """Return the sectors that qemu-img sees; None if it refuses the image."""
    image, raw = folder / "image", folder / "raw"
    image.write_bytes(data)
    raw.unlink(missing_ok=True)
    command = ["qemu-img", "convert", "-f", kind, "-O", "raw", str(image), str(raw)]
    if subprocess.run(command, capture_output=True, check=False, timeout=60).returncode:
        return None
    disk = raw.read_bytes()
    return {
        at: sector.ljust(512, b"\0")
        for at in range(0, len(disk), 512)
        if any(sector := disk[at : at + 512])
    }


def run(count: int, *, seed: int = 1, oracle_every: int = 0) -> Tally:
    """Read `count` mutants; compare every `oracle_every`-th that is read with qemu-img."""
    chance, tally = random.Random(seed), Tally()
    seeds = {name: build() for name, build in SEEDS.items()}
    oracle = oracle_every if shutil.which("qemu-img") else 0
    accepted = 0
    with tempfile.TemporaryDirectory() as folder:
        for number in range(count):
            name = chance.choice(list(seeds))
            data = mutant(chance, seeds[name])
            if data[:4] not in (b"KDMV", b"QFI\xfb"):
                continue
            step = chance.choice((500, 4096, 1 << 20))
            where = f"mutant {number} of seed {seed} ({name}, crc {zlib.crc32(data):08x})"
            try:
                disk = _read(data, tally, ranges=False, step=step)
                other = _read(data, tally, ranges=True, step=step)
                if disk is not None and other is not None and disk != other:
                    tally.findings.append(f"{where}: two disks")
                _survey(data, step)
                seen = other if disk is None else disk
                if seen is None:
                    continue
                tally.rules["(read)"] += 1
                accepted += 1
                capacity = open_image(data[:PREFIX], size=len(data)).capacity or 0
                if oracle and accepted % oracle == 0 and capacity <= _LARGEST:
                    kind = "vmdk" if data.startswith(b"KDMV") else "qcow2"
                    theirs = _by_qemu_img(data, kind, Path(folder))
                    tally.compared += theirs is not None
                    if theirs is not None and theirs != seen:
                        tally.findings.append(f"{where}: another disk than qemu-img's")
            except Exception as error:  # noqa: BLE001 - a finding
                tally.findings.append(f"{where}: {type(error).__name__}: {error}")
    return tally


def main() -> int:
    """Run from the command line; 1 if there are findings."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--oracle-every", type=int, default=100)
    options = parser.parse_args()
    tally = run(options.count, seed=options.seed, oracle_every=options.oracle_every)
    for rule, times in tally.rules.most_common():
        print(f"{times:9} {rule}")
    print(f"{tally.compared:9} compared with qemu-img")
    for finding in tally.findings[:50]:
        print(finding)
    return bool(tally.findings)


if __name__ == "__main__":
    sys.exit(main())
