"""Disks of the host become local files: streamOptimized bytes in, qcow2, raw, VMDK or OVA files out."""

from __future__ import annotations

import hashlib
import os
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, get_args

from vimdriver._disks.stage import GrainStage
from vimdriver._images.formats import (
    PREFIX,
    Extent,
    StreamOptimizedWriter,
    open_image,
    prefix_bytes,
)
from vimdriver._images.formats.manifest import FileDigest, write_manifest
from vimdriver._images.formats.placed import Qcow2Writer, RawFileWriter
from vimdriver._images.formats.tar import tar_header
from vimdriver._images.local_file import NewFile
from vimdriver._images.ovf import OVFMachine, write_ovf
from vimdriver.errors import LocalFileError
from vimlib._shield import finish
from vimlib.errors import TransferCorruptError, UsageError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
    from pathlib import Path

    from vimdriver._images.formats.placed import PlacedWriter
    from vimlib._progress import Progress

ExportFormat: TypeAlias = Literal["ova", "qcow2", "raw", "vmdk"]
FORMATS: Final[tuple[ExportFormat, ...]] = get_args(ExportFormat)
_BLOCK: Final = 512
_ALGORITHM: Final = "sha256"
_LARGEST: Final = 1 << 62
"""Stands for a size that is not known yet: no number is longer."""


def format_of(path: Path) -> ExportFormat:
    """Return the format of a file by its ending. Raises `UsageError`."""
    ending = path.suffix.lower().removeprefix(".")
    found: ExportFormat | None = next((one for one in FORMATS if one == ending), None)
    if found is None:
        raise UsageError(
            f"the file must end with .{', .'.join(FORMATS)}, got {path.name!r}", field="file"
        )
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskBody:
    """A disk that is to be read."""

    capacity: int
    """Bytes."""
    adapter: str
    """As descriptors write it."""
    read: Callable[[], AsyncGenerator[bytes, None]]
    """Returns its bytes as streamOptimized, whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenFile:
    """A file that an export has made."""

    path: str
    bytes: int
    hash: str
    """Lower-case hex."""
    hash_algo: str = _ALGORITHM

    def to_json(self) -> dict[str, Any]:
        """Return its part of the document that `vimctl instance export --json` prints."""
        return {
            "path": self.path,
            "bytes": self.bytes,
            "hash": self.hash,
            "hash_algo": self.hash_algo,
        }


class _Copied:
    """Writes the deflated grains of a streamOptimized disk into a part of a file, behind tables of ours.

    Args:
        at: The offset of that part.
        hashing: Whether to hash it.
    """

    def __init__(self, disk: DiskBody, at: int, *, hashing: bool) -> None:
        self.at = at
        """The offset of the next byte."""
        self.hasher = hashlib.sha256() if hashing else None
        self._disk = disk
        self._stage: GrainStage | None = None

    def begin(self, head: bytes) -> None:
        image = _opened(head, self._disk)
        assert image.grain_bytes is not None, "it is streamOptimized"
        writer = StreamOptimizedWriter(
            self._disk.capacity, grain_bytes=image.grain_bytes, adapter_type=self._disk.adapter
        )
        self._stage = GrainStage(image.grain_reader(), writer)

    def feed(self, data: bytes) -> Iterator[Extent]:
        assert self._stage is not None, "it has begun"
        yield from self._placed(self._stage.feed(data))

    def finish(self) -> Iterator[Extent]:
        assert self._stage is not None, "it has begun"
        yield from self._placed(self._stage.finish())

    def _placed(self, pieces: Iterator[Any]) -> Iterator[Extent]:
        for piece in pieces:
            if self.hasher is not None:
                self.hasher.update(piece)
            yield Extent(self.at, piece)
            self.at += len(piece)


class _Unpacked:
    """Writes a streamOptimized disk in another format."""

    def __init__(self, disk: DiskBody, writer: PlacedWriter) -> None:
        self._disk = disk
        self._writer = writer
        self._reader: Any = None

    def begin(self, head: bytes) -> None:
        self._reader = _opened(head, self._disk).reader()

    def feed(self, data: bytes) -> Iterator[Extent]:
        for extent in self._reader.feed(data):
            yield from self._writer.write(extent)

    def finish(self) -> Iterator[Extent]:
        for extent in self._reader.finish():
            yield from self._writer.write(extent)
        yield from self._writer.finish()


def _opened(head: bytes, disk: DiskBody) -> Any:
    """Return the format of what the host sends. Raises `TransferCorruptError` for another disk."""
    image = open_image(head, size=None)
    if image.kind != "streamOptimized" or image.capacity != disk.capacity:
        raise TransferCorruptError(
            f"the host must send a disk of {disk.capacity} bytes as streamOptimized, "
            f"got {image.capacity} as {image.kind}",
            hint="Start the export again.",
            expected=disk.capacity,
            actual=image.capacity,
        )
    return image


async def _pour(
    file: NewFile, disk: DiskBody, target: _Copied | _Unpacked, on_progress: Progress | None
) -> None:
    """Write a disk. The next bytes are read while those before them are written."""
    head = b""
    begun = False

    def begin(data: bytes) -> None:
        target.begin(data[:PREFIX])
        file.place(target.feed(data))

    def feed(data: bytes) -> None:
        file.place(target.feed(data))

    async with aclosing(disk.read()) as chunks:
        async for chunk in chunks:
            if begun:
                await file.settle()
                file.start(feed, chunk)
            else:
                head += chunk
                if len(head) >= prefix_bytes(head):
                    begun = True
                    file.start(begin, head)
            if on_progress is not None:
                on_progress(len(chunk))
    await file.settle()
    if not begun:
        await file.run(begin, head)
    await file.run(lambda: file.place(target.finish()))


def paths_of(path: Path, count: int) -> list[Path]:
    """Return the paths of several disks: NAME.qcow2, NAME-2.qcow2, ..."""
    return [path, *(path.with_stem(f"{path.stem}-{number}") for number in range(2, count + 1))]


def check_new(path: Path, count: int) -> None:
    """Raise `LocalFileError` if one of these files is there. Blocking."""
    for each in paths_of(path, count):
        if os.path.lexists(each):
            raise LocalFileError(path=str(each), reason="there is a file of that name")


async def export_files(
    path: Path,
    machine: OVFMachine,
    disks: Sequence[DiskBody],
    *,
    overwrite: bool,
    on_progress: Progress | None,
    done: Callable[[], Any],
) -> list[WrittenFile]:
    """Write disks into files of the format that the path's ending names; an OVA is one file.

    The first disk gets the path itself, the others `NAME-2.qcow2` and so on. The files get their names
    together, after `done`, which ends the reading. Cancelling leaves none of them, or all if they were
    just getting their names.

    Raises:
        LocalFileError: A file cannot be written, or is there and `overwrite` is false.
        ImageUnacceptableError: The host sends a damaged disk.
        TransferCorruptError: The host sends another disk.
    """
    kind = format_of(path)
    async with AsyncExitStack() as stack:

        async def opened(name: Path) -> NewFile:
            return await stack.enter_async_context(NewFile(name, overwrite=overwrite))

        files: list[tuple[NewFile, int]] = []
        if kind == "ova":
            file = await opened(path)
            files.append((file, await _write_ova(file, machine, disks, on_progress)))
        else:
            for name, disk in zip(paths_of(path, len(disks)), disks, strict=True):
                file = await opened(name)
                files.append((file, await _write_disk(file, kind, disk, on_progress)))
        hashes = [await file.close(size) for file, size in files]
        await done()
        # All or none: a cancellation waits for it.
        await finish(_publish([file for file, _ in files]), what=f"naming {str(path)!r}")
    return [
        WrittenFile(path=str(file.path), bytes=size, hash=digest)
        for (file, size), digest in zip(files, hashes, strict=True)
    ]


async def _publish(files: Sequence[NewFile]) -> None:
    for number, file in enumerate(files):
        try:
            await file.publish()
        except BaseException:
            for earlier in files[:number]:
                await earlier.run(earlier.withdraw)
            raise


async def _write_disk(
    file: NewFile, kind: ExportFormat, disk: DiskBody, on_progress: Progress | None
) -> int:
    """Write one disk; return the bytes of its file."""
    if kind == "vmdk":
        copied = _Copied(disk, 0, hashing=False)
        await _pour(file, disk, copied, on_progress)
        return copied.at
    writer = RawFileWriter(disk.capacity) if kind == "raw" else Qcow2Writer(disk.capacity)
    await _pour(file, disk, _Unpacked(disk, writer), on_progress)
    return writer.size


async def _write_ova(
    file: NewFile, machine: OVFMachine, disks: Sequence[DiskBody], on_progress: Progress | None
) -> int:
    """Write an archive: descriptor, manifest, disks; return its bytes.

    The first two go in front, as the standard demands (DMTF DSP0243, 5.3), and their room is known before the
    sizes and digests of the disks are.
    """
    stem = file.path.stem
    names = [f"{stem}-disk{number}.vmdk" for number in range(1, len(disks) + 1)]

    def descriptor(sizes: Sequence[int]) -> bytes:
        given = iter(zip(names, sizes, strict=True))
        found = []
        for disk in machine.disks:
            name, size = next(given)
            found.append(replace(disk, file=name, size=size))
        return write_ovf(replace(machine, disks=tuple(found)))

    def digests(text: bytes, of_disks: Sequence[str]) -> bytes:
        values = [hashlib.sha256(text).hexdigest(), *of_disks]
        pairs = zip([f"{stem}.ovf", *names], values, strict=True)
        return write_manifest((name, FileDigest(_ALGORITHM, value)) for name, value in pairs)

    room = len(descriptor([_LARGEST] * len(disks)))
    listed = len(digests(b"", ["0" * 64] * len(disks)))
    at = sum(len(part) for part in _member(f"{stem}.ovf", bytes(room)))
    at += sum(len(part) for part in _member(f"{stem}.mf", bytes(listed)))
    sizes: list[int] = []
    values: list[str] = []
    for name, disk in zip(names, disks, strict=True):
        start = at + len(tar_header(name, 0))
        copied = _Copied(disk, start, hashing=True)
        await _pour(file, disk, copied, on_progress)
        assert copied.hasher is not None, "it hashes"
        sizes.append(copied.at - start)
        values.append(copied.hasher.hexdigest())
        await file.run(file.place, [Extent(at, tar_header(name, sizes[-1]))])
        at = copied.at + -copied.at % _BLOCK
    # White space after the root is part of no element.
    text = descriptor(sizes).ljust(room, b"\n")
    front = [*_member(f"{stem}.ovf", text), *_member(f"{stem}.mf", digests(text, values))]
    await file.run(file.place, [Extent(0, b"".join(front))])
    return at + 2 * _BLOCK


def _member(name: str, data: bytes) -> list[bytes]:
    """Return the parts of a member of an archive."""
    return [tar_header(name, len(data)), data, bytes(-len(data) % _BLOCK)]
