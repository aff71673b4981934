"""What an OVA has, found by reading it from its start, no further than necessary."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from vimdriver._images.formats.cursor import COPY_AGAIN
from vimdriver._images.formats.extents import PREFIX
from vimdriver._images.formats.image import Inside, open_image, prefix_bytes
from vimdriver._images.formats.ova import refuse
from vimdriver._images.formats.tar import TarMember, tar_reader
from vimdriver._images.ovf import LARGEST as LARGEST_DESCRIPTOR
from vimdriver._images.ovf import OVFDisk, OVFMachine, read_ovf
from vimlib._text import printable

if TYPE_CHECKING:
    from vimdriver._images.formats.extents import Data

_MOST_DISKS: Final = 64
_NO_DISKS: Final = (
    ".ovf",
    ".mf",
    ".cert",
    ".nvram",
    ".iso",
    ".flp",
    ".vmsd",
    ".log",
    ".xml",
    ".txt",
)


@dataclass(frozen=True, slots=True)
class PackedDisk:
    """A disk of an OVA."""

    described: OVFDisk
    inside: Inside


@dataclass(frozen=True, slots=True)
class Contents:
    """What an OVA has, as its beginning shows."""

    machine: OVFMachine
    disks: tuple[PackedDisk, ...]
    """Those that have a file, in the order in which they are attached."""


class Survey:
    """Reads an OVA until all of `Contents` is known."""

    def __init__(self) -> None:
        self.contents: Contents | None = None
        """None until they are known."""
        self._tar = tar_reader(None)
        self._text: bytearray | None = None
        self._machine: OVFMachine | None = None
        self._heads: dict[str, tuple[TarMember, bytearray, bool]] = {}
        """By the name of a member that may be a disk: its beginning, and whether it is whole."""

    def feed(self, data: Data) -> bool:
        """Take the next bytes of the archive; return whether no more are needed."""
        for member, piece, last in self._tar.feed(data):
            if member.name.lower().endswith(".ovf"):
                self._descriptor(piece, last)
            elif not member.name.lower().endswith(_NO_DISKS):
                self._beginning(member, piece, last)
            if self._machine is not None and self._settle(self._machine):
                return True
        return False

    def finish(self) -> Contents:
        """End the archive, if `feed` never returned True."""
        for _ in self._tar.finish():
            pass
        if self._machine is None:
            raise refuse("descriptor", "the archive has no OVF descriptor", COPY_AGAIN)
        if not self._settle(self._machine):
            names = sorted({disk.file or "" for disk in self._machine.disks} - {*self._heads, ""})
            raise refuse(
                "file",
                f"the archive lacks {', '.join(printable(name, 80) for name in names)}",
                COPY_AGAIN,
            )
        assert self.contents is not None, "it is settled"
        return self.contents

    def _descriptor(self, piece: Data, last: bool) -> None:
        if self._machine is not None:
            raise refuse("descriptor", "the archive has two OVF descriptors")
        if self._text is None:
            self._text = bytearray()
        self._text += piece
        if len(self._text) > LARGEST_DESCRIPTOR:
            raise refuse("descriptor", f"the OVF descriptor exceeds {LARGEST_DESCRIPTOR} bytes")
        if last:
            self._machine = read_ovf(bytes(self._text))
            self._text = None

    def _beginning(self, member: TarMember, piece: Data, last: bool) -> None:
        if member.name not in self._heads and len(self._heads) >= _MOST_DISKS:
            raise refuse("disks", f"more than {_MOST_DISKS} files")
        _, head, whole = self._heads.setdefault(member.name, (member, bytearray(), False))
        if not whole:
            head += memoryview(piece)[: max(0, PREFIX - len(head))]
            whole = last or len(head) >= prefix_bytes(head)
            self._heads[member.name] = (member, head, whole)

    def _settle(self, machine: OVFMachine) -> bool:
        """Judge the disks once the beginning of each is there."""
        files = [disk for disk in machine.disks if disk.file is not None]
        if not files:
            raise refuse("disks", "the machine has no disk with data")
        if len({disk.file for disk in files}) < len(files):
            raise refuse("disks", "two disks have the same file")
        if not all(self._heads.get(disk.file or "", (None, b"", False))[2] for disk in files):
            return False
        self.contents = Contents(machine, tuple(self._judge(disk) for disk in files))
        return True

    def _judge(self, disk: OVFDisk) -> PackedDisk:
        member, head, _ = self._heads[disk.file or ""]
        shown = printable(member.name, 80)
        if disk.size is not None and disk.size != member.size:
            raise refuse(
                "size", f"{shown} must have {disk.size} bytes, got {member.size}", COPY_AGAIN
            )
        image = open_image(bytes(head), size=member.size)
        gzipped = image.compression is not None and image.compression.name == "gzip"
        if gzipped != disk.compressed or (image.compression is not None and not gzipped):
            found = "not compressed" if image.compression is None else image.compression.name
            raise refuse("compression", f"{shown} is {found}, unlike its OVF descriptor")
        if image.kind in ("iso", "ova"):
            raise refuse("disks", f"{shown} must be a disk, got {image.kind}")
        if image.capacity is None:
            image = replace(image, capacity=disk.capacity)
        elif image.capacity != disk.capacity:
            raise refuse(
                "capacity",
                f"{shown} must be a disk of {disk.capacity} bytes, got {image.capacity}",
                COPY_AGAIN,
            )
        return PackedDisk(disk, Inside(member, image))
