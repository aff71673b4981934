"""Disk formats without a network: CPU seconds per GiB of disk, compared with qemu-img convert.

    python -m bench.formats [--mib 256] [--rounds 3] [--json] [--quick]

The disk is dense: program files, no holes. Each round runs both in turn; the CPU of qemu-img is that of
its process, which also writes the disk to a file.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.report import Row, arguments, beside, emit
from tests.integration.peers import tools
from vimdriver._images.formats import PREFIX, FlatReader, StreamOptimizedWriter, open_image

_CHUNK = 1 << 20
READ, WRITE = "reading streamOptimized", "writing streamOptimized, level 6"


def dense(path: Path, size: int) -> None:
    """Write a disk of program files, repeated as often as needed."""
    files = sorted(Path(sys.prefix).rglob("*.py")) + sorted(Path(os.__file__).parent.glob("*.py"))
    with path.open("wb") as disk:
        while disk.tell() < size:
            for file in files:
                disk.write(file.read_bytes())
                if disk.tell() >= size:
                    break
        disk.truncate(size)


def chunks(path: Path) -> Iterator[bytes]:
    """Yield a file in chunks."""
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk


def read(image: Path) -> int:
    """Read an image; return the bytes of its extents."""
    with image.open("rb") as file:
        reader = open_image(file.read(PREFIX), size=image.stat().st_size).reader()
    size = sum(len(extent.data) for chunk in chunks(image) for extent in reader.feed(chunk))
    return size + sum(len(extent.data) for extent in reader.finish())


def write(disk: Path) -> int:
    """Convert a raw disk; return the bytes of the image."""
    size = disk.stat().st_size
    reader, writer = FlatReader(size), StreamOptimizedWriter(size, level=6)
    writer.start()
    for chunk in chunks(disk):
        for extent in reader.feed(chunk):
            writer.write(extent)
    writer.finish()
    return writer.written


def own_cpu(work: Callable[[], int]) -> float:
    """Return the CPU seconds of a function."""
    began = time.process_time()
    work()
    return time.process_time() - began


def peer_cpu(*command: object) -> float:
    """Return the CPU seconds of a program."""

    def used() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    began = used()
    subprocess.run([str(word) for word in command], check=True)
    return used() - began


def measure(mib: int, rounds: int) -> dict[str, dict[str, list[float]]]:
    """Return the CPU seconds per GiB of each round."""
    qemu_img = tools.find("qemu-img")
    costs: dict[str, dict[str, list[float]]] = {
        name: {"ours": [], "qemu-img": []} for name in (READ, WRITE)
    }
    with tempfile.TemporaryDirectory() as folder:
        raw, vmdk, out = (Path(folder) / name for name in ("raw", "vmdk", "out"))
        dense(raw, mib << 20)
        pack = (qemu_img, "convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=streamOptimized")
        for _ in range(rounds):
            peer = {
                WRITE: peer_cpu(*pack, raw, vmdk),
                READ: peer_cpu(qemu_img, "convert", "-f", "vmdk", "-O", "raw", vmdk, out),
            }
            ours = {READ: own_cpu(lambda: read(vmdk)), WRITE: own_cpu(lambda: write(raw))}
            for name, found in costs.items():
                found["ours"].append(ours[name] * 1024 / mib)
                found["qemu-img"].append(peer[name] * 1024 / mib)
            vmdk.unlink()
            out.unlink()
    return costs


def rows(costs: dict[str, dict[str, list[float]]]) -> list[Row]:
    """Return the table's rows."""
    return [
        beside(
            f"{name}: CPU per GiB",
            statistics.median(costs[name]["ours"]),
            "s",
            "qemu-img convert",
            statistics.median(costs[name]["qemu-img"]),
            times,
        )
        for name, times in ((READ, 1.0), (WRITE, None))
    ]


def main() -> None:
    """Run the bench."""
    parser = arguments(__doc__)
    parser.add_argument("--mib", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    mib, rounds = (8, 1) if given.quick else (given.mib, given.rounds)
    costs = measure(mib, rounds)
    emit("formats", rows(costs), costs, as_json=given.json)


if __name__ == "__main__":
    main()
