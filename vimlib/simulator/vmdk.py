"""Virtual disks as files: descriptors, flat extents, and the sparse formats read into flat ones.

Plain functions over paths, run in the host's threads. After VMware's published "Virtual Disk
Format 1.1". Only what a host does with disks is here; telling good images from hostile ones is
the client's business.
"""

from __future__ import annotations

import os
import re
import struct
import zlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

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

SECTOR = 512
_MAGIC = 0x564D444B  # "KDMV" as a little-endian number
_GD_AT_END = 0xFFFFFFFFFFFFFFFF
_HEADER = struct.Struct("<IIIQQQQIQQQBccccH")
_CHUNK = 4 << 20
_EXTENT = re.compile(r'^(RW|RDONLY|NOACCESS)\s+(\d+)\s+(\w+)(?:\s+"([^"]*)")?', re.MULTILINE)
_LARGEST = 62 << 40  # bytes; a VMFS disk has at most 62 TB


class DiskError(Exception):
    """A file is not the disk that it should be."""


@dataclass
class Disk:
    """A disk as its descriptor tells it."""

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
    """File name of the parent, for a delta disk."""
    hardware: int = 7
    extras: dict[str, str] = field(default_factory=dict)

    @property
    def sparse(self) -> bool:
        """Whether it is of a hosted sparse format, which a host can read but not run."""
        return self.create_type in ("monolithicSparse", "streamOptimized")

    @property
    def flat_name(self) -> str:
        """Name of the extent beside the descriptor."""
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
    """Read what a disk is, from its descriptor or its sparse header.

    Raises `DiskError` for what is no disk, `FileNotFoundError` for what is not there.
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
        raise DiskError(f"{path.name} has {len(extents)} extents; one is supported")
    _, sectors, kind, name = extents[0]
    if "/" in name or name in ("", ".", ".."):
        raise DiskError(f"{path.name} names an extent outside of its folder")
    if not 0 < int(sectors) * SECTOR <= _LARGEST:
        raise DiskError(f"{path.name} has an impossible capacity")
    return Disk(
        path=path,
        create_type=create_type,
        capacity=int(sectors) * SECTOR,
        extent=path.with_name(name),
        adapter=values.get("ddb.adapterType", "lsilogic"),
        thin=values.get("ddb.thinProvisioned") == "1",
        uuid=values.get("ddb.uuid", ""),
        cid=int(values.get("CID", "fffffffe"), 16),
        parent=values.get("parentFileNameHint", ""),
        extras={"kind": kind},
    )


@dataclass(frozen=True)
class _Sparse:
    """A hosted sparse extent's header."""

    flags: int
    capacity: int
    grain: int
    descriptor_at: int
    descriptor_size: int
    tables: int
    """Entries a grain table."""
    directory: int
    """Sector of the grain directory."""
    overhead: int
    """Sectors in front of the first grain."""

    @property
    def compressed(self) -> bool:
        return bool(self.flags & 0x10000)


def _header(raw: bytes) -> _Sparse:
    if len(raw) < _HEADER.size:
        raise DiskError("the sparse header is cut")
    magic, version, flags, capacity, grain, at, size, tables, _, directory, overhead, _, *_ = (
        _HEADER.unpack_from(raw)
    )
    if magic != _MAGIC or version not in (1, 2, 3):
        raise DiskError("no sparse header")
    if (
        not 0 < capacity * SECTOR <= _LARGEST
        or grain < 8
        or grain & (grain - 1)
        or grain > 2048
        or tables != 512
    ):
        raise DiskError("the sparse header has impossible values")
    return _Sparse(flags, capacity, grain, at, size, tables, directory, overhead)


def _load_sparse(path: Path, file: BinaryIO, head: bytes) -> Disk:
    header = _header(head)
    create_type, adapter = (
        ("streamOptimized" if header.compressed else "monolithicSparse"),
        "lsilogic",
    )
    if 0 < header.descriptor_size <= 2048:
        file.seek(header.descriptor_at * SECTOR)
        text = (
            file.read(header.descriptor_size * SECTOR).split(b"\0", 1)[0].decode("utf-8", "replace")
        )
        found = re.search(r'^createType\s*=\s*"(\w+)"', text, re.MULTILINE)
        create_type = found[1] if found else create_type
        found = re.search(r'^ddb\.adapterType\s*=\s*"(\w+)"', text, re.MULTILINE)
        adapter = found[1] if found else adapter
    if create_type not in ("monolithicSparse", "streamOptimized"):
        raise DiskError(f"{path.name} is of the type {create_type}, which a host cannot read")
    return Disk(
        path=path,
        create_type=create_type,
        capacity=header.capacity * SECTOR,
        extent=path,
        adapter=adapter,
    )


def files_of(disk: Disk) -> list[Path]:
    """Return the files of a disk, its parents' not among them."""
    if disk.extent is None or disk.extent == disk.path:
        return [disk.path]
    return [disk.path, disk.extent]


def verify(path: Path) -> Disk:
    """Return a disk that a machine can run on: all extents there and of the right size, parents too.

    Raises `DiskError` or `FileNotFoundError`.
    """
    disk = load(path)
    if disk.sparse:
        raise DiskError(
            f"{path.name} is of the type {disk.create_type}, on which no machine can run"
        )
    assert disk.extent is not None
    size = disk.extent.stat().st_size
    if disk.parent:
        parent = verify(path.with_name(Path(disk.parent).name))
        if parent.capacity != disk.capacity:
            raise DiskError(f"{path.name} and its parent differ in size")
    elif size != disk.capacity:
        raise DiskError(f"{disk.extent.name} has {size} bytes, its descriptor says {disk.capacity}")
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
        parent=parent.path.name,
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
    """Move a disk, its extent following its name."""
    disk = load(source)
    if disk.extent is None or disk.extent == source:
        source.rename(target)
        return
    moved = replace(disk, path=target)
    disk.extent.rename(target.with_name(moved.flat_name))
    save(moved)
    source.unlink()


def extend(path: Path, capacity: int) -> None:
    """Let a flat disk grow."""
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
    """Copy a disk of any readable kind into a new flat one; a chain of deltas comes out as one.

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
    """Write the content of a sparse or flat file over a flat disk that is there; return bytes written.

    Raises `DiskError` if the source is no disk or larger than the target.
    """
    disk = load(target)
    while disk.parent:
        disk = load(disk.path.with_name(Path(disk.parent).name))
    assert disk.extent is not None
    with source.open("rb") as file:
        sparse = file.read(4) == b"KDMV"
    other = load(source) if sparse else Disk(source, "vmfs", source.stat().st_size, source)
    if other.capacity > disk.capacity:
        raise DiskError(f"{other.capacity} bytes do not fit a disk of {disk.capacity}")
    written = 0
    with disk.extent.open("r+b") as out:
        for offset, data in _content(other):
            out.seek(offset)
            out.write(data)
            written += len(data)
    return written


_GRAIN = 128
"""Sectors of a grain in what is exported: 64 KiB, as VMware's tools make them."""


def export(path: Path) -> Iterator[bytes]:
    """Yield a disk as a streamOptimized file, written for streaming: its size is known at its end."""
    disk = load(path)
    name = disk.path.name
    text = (
        "# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\n"
        f'createType="streamOptimized"\n\n# Extent description\nRW {disk.capacity // SECTOR} SPARSE "{name}"\n\n'
        f'# The Disk Data Base\n#DDB\n\nddb.adapterType = "{disk.adapter}"\nddb.geometry.heads = "255"\n'
        f'ddb.geometry.sectors = "63"\nddb.virtualHWVersion = "{disk.hardware}"\n'
    ).encode()
    yield _stream_header(disk.capacity // SECTOR, _GD_AT_END)
    yield text.ljust(20 * SECTOR, b"\0")
    at = 128  # sectors; the overhead is filled up to one grain
    yield bytes((at - 21) * SECTOR)
    directory: list[int] = []
    table: list[int] = []
    pending: dict[int, int] = {}
    tables = -(-disk.capacity // SECTOR // (_GRAIN * 512))
    number = 0
    for grain, data in _grains(disk):
        while grain // 512 > number:
            table = [pending.get(index, 0) for index in range(512)]
            at, piece = _stream_table(at, table, directory)
            yield piece
            pending, number = {}, number + 1
        packed = zlib.compress(data, 1)
        piece = struct.pack("<QI", grain * _GRAIN, len(packed)) + packed
        piece += bytes(-len(piece) % SECTOR)
        pending[grain % 512] = at
        at += len(piece) // SECTOR
        yield piece
    while number < tables:
        at, piece = _stream_table(at, [pending.get(index, 0) for index in range(512)], directory)
        yield piece
        pending, number = {}, number + 1
    raw = struct.pack(f"<{len(directory)}I", *directory)
    raw += bytes(-len(raw) % SECTOR)
    yield struct.pack("<QII", len(raw) // SECTOR, 0, 2).ljust(SECTOR, b"\0") + raw
    directory_at = at + 1
    yield struct.pack("<QII", 1, 0, 3).ljust(SECTOR, b"\0") + _stream_header(
        disk.capacity // SECTOR, directory_at
    )
    yield bytes(SECTOR)


def _stream_header(sectors: int, directory: int) -> bytes:
    flags = 0x30001  # newline test, compressed grains, markers
    raw = _HEADER.pack(
        _MAGIC,
        3,
        flags,
        sectors,
        _GRAIN,
        1,
        20,
        512,
        0,
        directory,
        128,
        0,
        b"\n",
        b" ",
        b"\r",
        b"\n",
        1,
    )
    return raw.ljust(SECTOR, b"\0")


def _stream_table(at: int, table: list[int], directory: list[int]) -> tuple[int, bytes]:
    """Return where the next piece goes and a grain table as a piece; an empty one is left out."""
    if not any(table):
        directory.append(0)
        return at, b""
    directory.append(at + 1)
    piece = struct.pack("<QII", 4, 0, 1).ljust(SECTOR, b"\0") + struct.pack("<512I", *table)
    return at + len(piece) // SECTOR, piece


def _grains(disk: Disk) -> Iterator[tuple[int, bytes]]:
    """Yield the grains of a disk that are not all zeros, as number and bytes."""
    length = _GRAIN * SECTOR
    number, held = -1, bytearray()
    for offset, data in _content(disk):
        view = memoryview(data)
        while view:
            grain, skip = divmod(offset, length)
            if grain != number:
                if number >= 0 and any(held):
                    yield number, bytes(held)
                number, held = grain, bytearray(length)
            part = view[: length - skip]
            held[skip : skip + len(part)] = part
            offset += len(part)
            view = view[len(part) :]
    if number >= 0 and any(held):
        yield number, bytes(held)


def _content(disk: Disk) -> Iterator[tuple[int, bytes]]:
    """Yield the written parts of a disk, as offset and bytes."""
    while disk.parent:  # nothing writes to a delta here, so its content is its parent's
        disk = load(disk.path.with_name(Path(disk.parent).name))
    assert disk.extent is not None
    with disk.extent.open("rb") as file:
        if disk.sparse:
            yield from _sparse_content(file, disk)
        else:
            yield from _flat_content(file, disk.capacity)


def _flat_content(file: BinaryIO, capacity: int) -> Iterator[tuple[int, bytes]]:
    descriptor = file.fileno()
    size = os.fstat(descriptor).st_size
    if size != capacity:
        raise DiskError(f"the extent has {size} bytes, its descriptor says {capacity}")
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


def _sparse_content(file: BinaryIO, disk: Disk) -> Iterator[tuple[int, bytes]]:
    header = _header(file.read(SECTOR))
    if header.compressed:
        yield from _stream_content(file, header, disk.capacity)
        return
    grains = -(-header.capacity // header.grain)
    file.seek(header.directory * SECTOR)
    count = -(-grains // header.tables)
    directory = _numbers(file, count)
    length = header.grain * SECTOR
    for number, sector in enumerate(directory):
        if not sector:
            continue
        file.seek(sector * SECTOR)
        for index, at in enumerate(_numbers(file, header.tables)):
            offset = (number * header.tables + index) * length
            if at <= 1 or offset >= disk.capacity:  # 0: never written; 1: zeros
                continue
            file.seek(at * SECTOR)
            data = file.read(min(length, disk.capacity - offset))
            if len(data) < min(length, disk.capacity - offset):
                raise DiskError("a grain lies beyond the end of the file")
            yield offset, data


def _numbers(file: BinaryIO, count: int) -> tuple[int, ...]:
    raw = file.read(count * 4)
    if len(raw) < count * 4:
        raise DiskError("a grain directory or table is cut")
    return struct.unpack(f"<{count}I", raw)


def _stream_content(file: BinaryIO, header: _Sparse, capacity: int) -> Iterator[tuple[int, bytes]]:
    """Read grains by their markers, front to back, as they were streamed."""
    file.seek(max(header.overhead, header.descriptor_at + header.descriptor_size, 1) * SECTOR)
    length = header.grain * SECTOR
    ended = False
    while True:
        at = file.tell()
        if at % SECTOR:
            file.seek(at + SECTOR - at % SECTOR)
        marker = file.read(SECTOR)
        if len(marker) < SECTOR:
            break
        value, size, kind = struct.unpack_from("<QII", marker)
        if size:
            if size > 2 * length + SECTOR:
                raise DiskError("a grain is larger than it can be")
            packed = marker[12:] + (file.read(size - 500) if size > 500 else b"")
            unpacker = zlib.decompressobj()
            try:
                data = unpacker.decompress(packed[:size], length + 1)
            except zlib.error as error:
                raise DiskError(f"a grain cannot be inflated: {error}") from None
            offset = value * SECTOR
            if len(data) > length or offset >= capacity:
                raise DiskError("a grain lies outside of the disk")
            yield offset, data[: capacity - offset]
        elif kind == 0:
            ended = True
            break
        else:  # a grain table, grain directory or footer: `value` sectors of it follow
            file.seek(value * SECTOR, os.SEEK_CUR)
    if not ended:
        raise DiskError("the stream has no end marker")
