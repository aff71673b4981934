"""Disk images made by qemu-img: real formats, distinct content.

The bytes are pseudo-random, so that no sparse or compressed form shrinks below the requested size,
and cheap: one random block, numbered each time it is written.
"""

from __future__ import annotations

import hashlib
import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tests.integration.peers import tools
from tests.integration.peers.process import run

MIB = 1 << 20
QEMU_SECONDS = 300

Kind = Literal["raw", "monolithicSparse", "streamOptimized", "monolithicFlat"]


@dataclass(frozen=True)
class DiskImage:
    """An image file, its format, and the hashes of its bytes and of the disk that it contains."""

    path: Path
    kind: Kind
    # Bytes of the file, and of the disk that a guest sees.
    size: int
    virtual_size: int
    # Lower-case hex of the file's bytes, and of the disk's.
    sha512: str
    virtual_sha512: str

    @property
    def disk_format(self) -> str:
        """Glance's name of the format; flat bytes are `raw` there."""
        return "raw" if self.kind == "raw" else "vmdk"


def sha512(path: Path) -> str:
    """Return the hash of a file as lower-case hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha512").hexdigest()


def write_unique(path: Path, mib: int, seed: int) -> None:
    """Write `mib` MiB that are unique to the seed."""
    block = random.Random(seed).randbytes(MIB - 16)
    with path.open("wb") as file:
        for number in range(mib):
            file.write(seed.to_bytes(8, "little") + number.to_bytes(8, "little"))
            file.write(block)


def make_image(folder: Path, kind: Kind, *, mib: int = 64, seed: int = 1) -> DiskImage:
    """Create an image of `mib` MiB in `folder`.

    A `monolithicFlat` image is two files: the path is the descriptor's, the disk is in
    `<name>-flat.vmdk` next to it, and size and hash are the descriptor's own.

    Raises:
        MissingToolError: qemu-img is not installed (`raw` needs none).
        PeerError: qemu-img failed.
    """
    stem = f"{kind.lower()}-{mib}-{seed}"
    raw = folder / f"{stem}.img"
    write_unique(raw, mib, seed)
    content = sha512(raw)
    if kind == "raw":
        return DiskImage(raw, kind, raw.stat().st_size, raw.stat().st_size, content, content)
    path = folder / f"{stem}.vmdk"
    convert(raw, path, f"subformat={kind}")
    raw.unlink()
    return DiskImage(path, kind, path.stat().st_size, mib * MIB, sha512(path), content)


def convert(source: Path, target: Path, options: str = "", target_format: str = "vmdk") -> None:
    """Write the disk of one image file into another; the source's format is probed."""
    argv: list[object] = [tools.find("qemu-img"), "convert", "-O", target_format]
    argv += ["-o", options] if options else []
    if source.suffix == ".img":
        argv[2:2] = ["-f", "raw"]
    run("qemu-img convert", [*argv, source, target], deadline=QEMU_SECONDS)


def inspect(path: Path) -> dict[str, Any]:
    """Return the output of `qemu-img info`."""
    argv = [tools.find("qemu-img"), "info", "--output=json", path]
    said: dict[str, Any] = json.loads(run("qemu-img info", argv, deadline=QEMU_SECONDS))
    return said


def virtual_sha512(path: Path, folder: Path) -> str:
    """Return the hash of an image's disk, computed from a raw copy in `folder`."""
    raw = folder / f"{path.name}.raw"
    convert(path, raw, target_format="raw")
    try:
        return sha512(raw)
    finally:
        raw.unlink()
