"""Virtual disks as files: descriptors, flat extents, deltas, and copies between them.

Plain functions over paths, run in the host's threads. After VMware's published "Virtual Disk
Format 1.1". Only the host's operations are here; checking images is the client's task.
"""

from __future__ import annotations

import os
import re
import struct
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from vimlib._text import is_line
from vimlib.simulator._storage import sparse
from vimlib.simulator._storage.sparse import LARGEST, SECTOR, DiskError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = [
    "Disk",
    "DiskError",
    "clone",
    "create",
    "create_delta",
    "delete",
    "extend",
    "files_of",
    "load",
    "rename",
    "save",
    "verify",
]

_CHUNK = 4 << 20
ROOTS: set[Path] = set()
"""The folders of datastores: a parent elsewhere must be within the one of its disk."""
_ELSEWHERE = re.compile(r"\.\./[^/\\]+/[^/\\]+")
_EXTENT = re.compile(r'^(RW|RDONLY|NOACCESS)\s+(\d{1,18})\s+(\w+)(?:\s+"([^"]*)")?', re.MULTILINE)


@dataclass
class Disk:
    """A disk, as its descriptor describes it."""

    path: Path
    """Where the descriptor is."""
    create_type: str
    capacity: int
    """Bytes."""
    extent: Path | None
    """Where the bytes are; the file itself for a sparse one with the descriptor inside."""
    adapter: str = "lsilogic"
    thin: bool = False
    uuid: str = ""
    cid: int = 0xFFFFFFFE
    parent: str = ""
    """The parent, for a delta disk: `NAME` in the same folder, or `../FOLDER/NAME` on the datastore."""
    hardware: int = 7
    extras: dict[str, str] = field(default_factory=dict)

    @property
    def sparse(self) -> bool:
        """Whether it is of a hosted sparse format, which a host can read but not run."""
        return self.create_type in ("monolithicSparse", "streamOptimized")

    @property
    def flat_name(self) -> str:
        """Name of the extent, in the folder of the descriptor."""
        return self.path.name.removesuffix(".vmdk") + (
            "-delta.vmdk" if self.parent else "-flat.vmdk"
        )


def save(disk: Disk) -> None:
    """Write the descriptor of a flat or delta disk."""
    kind = "VMFSSPARSE" if disk.parent else "VMFS"
    lines = [
        "# Disk DescriptorFile",
        "version=1",
        'encoding="UTF-8"',
        f"CID={disk.cid:08x}",
        f"parentCID={'ffffffff' if not disk.parent else 'fffffffe'}",
        f'createType="{disk.create_type}"',
    ]
    if disk.parent:
        lines.append(f'parentFileNameHint="{disk.parent}"')
    lines += [
        "",
        "# Extent description",
        f'RW {disk.capacity // SECTOR} {kind} "{disk.flat_name}"',
        "",
        "# The Disk Data Base",
        "#DDB",
        "",
        f'ddb.adapterType = "{disk.adapter}"',
    ]
    cylinders = min(disk.capacity // SECTOR // (255 * 63), 65535)
    lines += [
        f'ddb.geometry.cylinders = "{cylinders}"',
        'ddb.geometry.heads = "255"',
        'ddb.geometry.sectors = "63"',
    ]
    if disk.thin:
        lines.append('ddb.thinProvisioned = "1"')
    if disk.uuid:
        lines.append(f'ddb.uuid = "{disk.uuid}"')
    lines.append(f'ddb.virtualHWVersion = "{disk.hardware}"')
    disk.path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def load(path: Path) -> Disk:
    """Read a disk's descriptor or sparse header.

    Raises `DiskError` for another file, `FileNotFoundError` for a missing one.
    """
    with path.open("rb") as file:
        head = file.read(65536)
        if head[:4] == b"KDMV":
            return _load_sparse(path, file, head)
    if not head.lstrip().startswith(b"# Disk DescriptorFile"):
        raise DiskError(f"{path.name} is not a virtual disk")
    return _parse(path, head)


def _parse(path: Path, raw: bytes) -> Disk:
    text = raw.split(b"\0", 1)[0].decode("utf-8", "replace")
    values = {}
    for line in text.splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.startswith(("#", "RW", "RDONLY", "NOACCESS")):
            values[name.strip()] = value.strip().strip('"')
    extents = _EXTENT.findall(text)
    create_type = values.get("createType", "")
    if len(extents) != 1 or not create_type:
        raise DiskError(f"{path.name} must have one extent, has {len(extents)}")
    _, sectors, kind, name = extents[0]
    cid = values.get("CID", "").lower()
    parent = values.get("parentFileNameHint", "")
    parent = parent if _ELSEWHERE.fullmatch(parent) else Path(parent).name
    for each in (name, Path(parent).name if parent else name):
        # The extents must be in the descriptor's folder.
        if "/" in each or "\\" in each or each in ("", ".", "..") or not is_line(each):
            raise DiskError(f"{path.name} refers to a file outside its folder")
    if not 0 < int(sectors) * SECTOR <= LARGEST:
        raise DiskError(f"{path.name} has an invalid capacity")
    return Disk(
        path=path,
        create_type=create_type,
        capacity=int(sectors) * SECTOR,
        extent=path.with_name(name),
        adapter=values.get("ddb.adapterType", "lsilogic"),
        thin=values.get("ddb.thinProvisioned") == "1",
        uuid=values.get("ddb.uuid", ""),
        cid=int(cid, 16) if re.fullmatch("[0-9a-f]{1,8}", cid) else 0xFFFFFFFE,
        parent=parent,
        extras={"kind": kind},
    )


def _load_sparse(path: Path, file: BinaryIO, head: bytes) -> Disk:
    header = sparse.read_header(head)
    create_type, adapter = sparse.read_kind(file, header)
    return Disk(
        path=path,
        create_type=create_type,
        capacity=header.capacity * SECTOR,
        extent=path,
        adapter=adapter,
    )


def files_of(disk: Disk) -> list[Path]:
    """Return the files of a disk, without those of its parents."""
    if disk.extent is None or disk.extent == disk.path:
        return [disk.path]
    return [disk.path, disk.extent]


def parent_of(disk: Disk) -> Path:
    """Return the path of a delta disk's parent. Raises `DiskError` for one off the datastore."""
    place = Path(os.path.normpath(disk.path.parent / disk.parent))
    inside = any(place.is_relative_to(root) and disk.path.is_relative_to(root) for root in ROOTS)
    if place.parent != disk.path.parent and not inside:
        raise DiskError(f"the parent of {disk.path.name} is not on its datastore")
    return place


DEEPEST = 64
"""Most disks in a chain: twice those that a host makes; ends a loop of parents."""


def verify(path: Path, depth: int = 0) -> Disk:
    """Return a disk on which a machine can run: all extents, those of parents too, have the right size.

    Raises `DiskError` or `FileNotFoundError`.
    """
    disk = load(path)
    if disk.sparse:
        raise DiskError(f"no machine can run on {path.name}, a disk of type {disk.create_type}")
    assert disk.extent is not None
    size = disk.extent.stat().st_size
    if disk.parent:
        if depth >= DEEPEST:
            raise DiskError(f"the chain of parents of {path.name} is too long")
        parent = verify(parent_of(disk), depth + 1)
        if parent.capacity != disk.capacity:
            raise DiskError(f"{path.name} and its parent differ in size")
    elif size != disk.capacity:
        raise DiskError(
            f"{disk.extent.name} must have {disk.capacity} bytes as in its descriptor, has {size}"
        )
    return disk


def create(
    path: Path, capacity: int, *, adapter: str, thin: bool, uuid: str, hardware: int = 7
) -> Disk:
    """Make a flat disk of zeros. Raises `FileExistsError`, `FileNotFoundError` for a missing folder."""
    disk = Disk(path, "vmfs", capacity, None, adapter.lower(), thin, uuid, hardware=hardware)
    disk.extent = path.with_name(disk.flat_name)
    if path.exists():
        raise FileExistsError(path)
    with disk.extent.open("xb") as file:
        file.truncate(capacity)
    save(disk)
    return disk


def create_delta(path: Path, parent: Disk, uuid: str) -> Disk:
    """Make an empty delta disk over `parent`."""
    disk = replace(
        parent,
        path=path,
        create_type="vmfsSparse",
        parent=os.path.relpath(parent.path, path.parent),
        uuid=uuid,
        thin=False,
        extent=None,
    )
    disk.extent = path.with_name(disk.flat_name)
    # The header of a VMFS redo log; nothing was written yet.
    disk.extent.write_bytes(
        b"COWD" + struct.pack("<III", 1, 3, disk.capacity // SECTOR & 0xFFFFFFFF).ljust(2044, b"\0")
    )
    save(disk)
    return disk


def delete(path: Path) -> None:
    """Delete a disk's files. Raises `FileNotFoundError`."""
    try:
        disk = load(path)
    except DiskError:
        path.unlink()
        return
    for each in files_of(disk):
        if each != path:
            each.unlink(missing_ok=True)
    path.unlink()


def rename(source: Path, target: Path) -> None:
    """Move a disk; its extent takes the new name."""
    disk = load(source)
    if disk.extent is None or disk.extent == source:
        source.rename(target)
        return
    moved = replace(disk, path=target)
    disk.extent.rename(target.with_name(moved.flat_name))
    save(moved)
    source.unlink()


def extend(path: Path, capacity: int) -> None:
    """Extend a flat disk."""
    disk = load(path)
    assert disk.extent is not None
    if not disk.parent:
        os.truncate(disk.extent, capacity)
    save(replace(disk, capacity=capacity))


def clone(
    source: Path,
    target: Path,
    *,
    adapter: str,
    thin: bool,
    uuid: str,
    report: Callable[[int], None] | None = None,
) -> Disk:
    """Copy a disk of any readable kind into a new flat one; a chain of deltas becomes one disk.

    Raises `DiskError`, `FileNotFoundError`, `FileExistsError`. A copy that fails leaves nothing.
    """
    disk = load(source)
    made = create(target, disk.capacity, adapter=adapter, thin=thin, uuid=uuid)
    assert made.extent is not None
    try:
        with made.extent.open("r+b") as out:
            for offset, data in _content(disk):
                out.seek(offset)
                out.write(data)
                if report is not None:
                    report(offset * 100 // disk.capacity)
    except BaseException:
        delete(target)
        raise
    return made


def pour(source: Path, target: Path) -> int:
    """Write the content of a streamOptimized file over an existing flat disk; return bytes written.

    A host takes nothing else through a lease: it reads the file as it arrives, so grains must come with
    their places. Of another it logs "Not a supported disk format", with the reasons below
    (vmware/pyvmomi-community-samples#398, glennmatthews/cot#65; qemu writes version 3 since 2.5.1).

    Raises `DiskError` if the source is none, or larger than the target.
    """
    disk = load(target)
    disk = _base(disk)
    assert disk.extent is not None
    with source.open("rb") as file:
        head = file.read(SECTOR)
    if head[:4] != b"KDMV" or not sparse.read_header(head).compressed:
        raise DiskError("Not a supported disk format (invalid sparse VMDK header)")
    if sparse.read_header(head).version < 3:
        raise DiskError("Not a supported disk format (sparse VMDK version too old)")
    other = load(source)
    if other.capacity > disk.capacity:
        raise DiskError(f"{other.capacity} bytes exceed the disk's capacity of {disk.capacity}")
    written = 0
    with disk.extent.open("r+b") as out:
        for offset, data in _content(other):
            out.seek(offset)
            out.write(data)
            written += len(data)
    return written


def export(path: Path) -> Iterator[bytes]:
    """Yield a disk as a streamOptimized file, whose size is known only at its end."""
    disk = load(path)
    yield from sparse.stream(path.name, disk.capacity, disk.adapter, disk.hardware, _content(disk))


def _base(disk: Disk) -> Disk:
    """Return the disk at the bottom of a chain."""
    for _ in range(DEEPEST):
        if not disk.parent:
            return disk
        disk = load(parent_of(disk))
    raise DiskError(f"the chain of parents of {disk.path.name} is too long")


def _content(disk: Disk) -> Iterator[tuple[int, bytes]]:
    """Yield the written parts of a disk, as offset and bytes."""
    disk = _base(disk)  # deltas are always empty, so the content is that of the bottom disk
    assert disk.extent is not None
    with disk.extent.open("rb") as file:
        if disk.sparse:
            yield from sparse.content(file, disk.capacity)
        else:
            yield from _flat_content(file, disk.capacity)


def _flat_content(file: BinaryIO, capacity: int) -> Iterator[tuple[int, bytes]]:
    descriptor = file.fileno()
    size = os.fstat(descriptor).st_size
    if size != capacity:
        raise DiskError(f"the extent must have {capacity} bytes as in its descriptor, has {size}")
    at = 0
    while at < size:
        try:
            at = os.lseek(descriptor, at, os.SEEK_DATA)
        except OSError:  # ENXIO: a hole up to the end
            return
        end = os.lseek(descriptor, at, os.SEEK_HOLE)
        while at < end:
            data = os.pread(descriptor, min(_CHUNK, end - at), at)
            if not data:
                return
            yield at, data
            at += len(data)
