"""Reads a disk out of an OVA: a tar of an OVF descriptor, its manifest and its disks (DMTF DSP0243, 5.3)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from vimdriver._images.formats.cursor import COPY_AGAIN
from vimdriver._images.formats.extents import Extent
from vimdriver._images.formats.manifest import ALGORITHMS, FileDigest, check_digest, read_manifest
from vimdriver._images.formats.manifest import LARGEST as LARGEST_MANIFEST
from vimdriver._images.formats.tar import TarMember, tar_reader
from vimdriver.errors import ImageUnacceptableError
from vimlib._text import printable

if TYPE_CHECKING:
    from vimdriver._images.formats.extents import Data, Inner

Item = TypeVar("Item", covariant=True)


def refuse(rule: str, detail: str, hint: str | None = None) -> ImageUnacceptableError:
    """Return the error for an OVA that breaks a rule."""
    return ImageUnacceptableError(rule=f"ova.{rule}", detail=detail, hint=hint)


@dataclass(slots=True)
class ArchiveCheck:
    """What a reader saw."""

    manifest: bool | None = None
    """Whether the archive has a manifest, with which its files agree; None until it was read whole."""


class OVAReader(Generic[Item]):
    """A `DiskReader` or `GrainReader` of one disk of an OVA, in its order.

    At the end, each file is compared with the manifest, if there is one.

    Args:
        member: The disk's file.
        reader: Of the disk.
        capacity: Bytes of the disk, as the archive states them.
        check: Gets what the reader saw.
        size: Bytes of the archive; None if they are not known.
    """

    def __init__(
        self,
        member: TarMember,
        reader: Inner[Item],
        capacity: int | None,
        check: ArchiveCheck,
        size: int | None,
    ) -> None:
        self.wanted: range | None = None
        self.capacity = capacity
        """See `DiskReader`."""
        self._member = member
        self._check = check
        self._reader = reader
        self._tar = tar_reader(size)
        self._whole = False
        self._manifest: dict[str, FileDigest] | None = None
        self._text = bytearray()
        self._hashing: dict[str, hashlib._Hash] = {}
        self._digests: dict[str, dict[str, str]] = {}

    def feed(self, chunk: Data) -> Iterator[Item]:
        """See `DiskReader`."""
        for member, piece, last in self._tar.feed(chunk):
            self._note(member, piece, last)
            if member == self._member:
                yield from self._checked(self._reader.feed(piece))
                if last:
                    yield from self._checked(self._reader.finish())
                    self._end()

    def finish(self) -> Iterator[Item]:
        """See `DiskReader`.

        Raises:
            ImageUnacceptableError: The archive ends too early, or a file differs from the manifest.
        """
        for _ in self._tar.finish():
            raise AssertionError("a member ends in `feed`")
        if not self._whole:
            raise refuse("changed", "the archive changed while it was read", "Try again.")
        if self._manifest is not None:
            for name in self._manifest.keys() - self._digests.keys():
                raise refuse("file", f"the archive lacks {printable(name, 80)}", COPY_AGAIN)
            for name, found in self._digests.items():
                stated = self._manifest.get(name)
                check_digest(name, stated, found.get(stated.algorithm if stated else "", ""))
        self._check.manifest = self._manifest is not None
        return iter(())

    def _checked(self, items: Iterator[Item]) -> Iterator[Item]:
        """Pass items on, unless a raw disk exceeds the capacity that was stated for it."""
        for item in items:
            if isinstance(item, Extent) and item.end > (self.capacity or 0):
                raise self._misfit(f"at least {item.end}")
            yield item

    def _end(self) -> None:
        """Check the disk's capacity at its end."""
        self._whole = True
        if self._reader.capacity != self.capacity:
            raise self._misfit(str(self._reader.capacity))

    def _misfit(self, found: str) -> ImageUnacceptableError:
        return refuse(
            "capacity",
            f"{printable(self._member.name, 80)} must be a disk of {self.capacity} bytes, "
            f"got {found}",
            COPY_AGAIN,
        )

    def _note(self, member: TarMember, piece: Data, last: bool) -> None:
        """Hash a file, or read the manifest."""
        name = member.name.lower()
        if name.endswith(".mf"):
            self._text += piece
            if len(self._text) > LARGEST_MANIFEST:
                raise refuse("manifest", f"the manifest exceeds {LARGEST_MANIFEST} bytes")
            if last:
                if self._manifest is not None:
                    raise refuse("manifest", "the archive has two manifests")
                self._manifest = read_manifest(bytes(self._text))
            return
        if name.endswith(".cert"):
            return
        if not self._hashing:
            self._hashing = {
                name: hashlib.new(name, usedforsecurity=False) for name in self._wanted(member)
            }
        for hasher in self._hashing.values():
            hasher.update(piece)
        if last:
            self._digests[member.name] = {
                name: hasher.hexdigest() for name, hasher in self._hashing.items()
            }
            self._hashing = {}

    def _wanted(self, member: TarMember) -> list[str]:
        """Return the algorithms of a file: all, as long as the manifest has not come."""
        if self._manifest is None:
            return list(ALGORITHMS)
        stated = self._manifest.get(member.name)
        return ["sha256"] if stated is None else [stated.algorithm]
