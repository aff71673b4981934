"""The one judge of an image: decides by its first bytes which format it has, or refuses it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from vimdriver._images.formats.extents import MAX_CAPACITY, DiskReader
from vimdriver._images.formats.flat import FlatReader
from vimdriver.errors import ImageUnacceptableError

PREFIX: Final = 1 << 20
"""Bytes from the start of an image that `open_image` needs; all of it, if it is shorter."""
TAIL: Final = 512
"""Bytes from the end of an image that show formats with a footer only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFormat:
    """The detected format of an image, and its properties as its beginning states them."""

    kind: str
    """`raw`, `iso`, `monolithicSparse` or `streamOptimized`."""
    size: int | None
    """Bytes of the file; None if they are not known."""
    capacity: int | None
    """Bytes of the disk; None if they are known at its end only (raw bytes of unknown length)."""
    adapter_type: str | None = None
    """`ddb.adapterType` of the descriptor, in lower case; None if it has none that is known."""
    grain_bytes: int | None = None
    """None without grains."""
    refusal: ImageUnacceptableError | None = None
    """Why the file must not reach a host unchanged, as its beginning shows; None if it may. Raise it
    for `--as-is` and for an import without conversion."""

    def reader(self, *, ranges: bool = False) -> DiskReader:
        """Return a reader of the disk.

        Args:
            ranges: True if the caller can read the file at any offset, at some cost: the reader then
                states in `DiskReader.wanted` what to read, in the order of the disk. False reads the
                file once, in its own order. Prefer False, where the bytes can also be hashed, and
                start again with True after an `ImageOrderError`.

        Raises:
            ImageUnacceptableError: The length of the file is needed and not known.
        """
        return FlatReader(self.size)


def open_image(
    prefix: bytes,
    *,
    size: int | None,
    claimed: str | None = None,
    disk_type: str | None = None,
    container: str | None = None,
    name: str | None = None,
    tail: bytes | None = None,
    max_capacity: int = MAX_CAPACITY,
) -> ImageFormat:
    """Decide the format of an image by its bytes. What the source claims may only agree.

    Args:
        prefix: The first `PREFIX` bytes; the whole image if it is shorter.
        size: Bytes of the image; None if they are not known.
        claimed: Glance's `disk_format`; None if the source states none.
        disk_type: Glance's `vmware_disktype`; None if it is not set.
        container: Glance's `container_format`; None if the source states none.
        name: The name of the file or image; must agree if `claimed` is None.
        tail: The last `TAIL` bytes, where the source can read them before the others.
        max_capacity: Bytes of the largest disk to accept.

    Raises:
        ImageUnacceptableError: The image is in a format that is not read, breaks a rule of its
            format, or is not what the source claims. The hint has a command that converts it.
    """
    if size == 0 or not prefix:
        raise ImageUnacceptableError(
            rule="size.empty",
            detail="0 bytes",
            hint="Check that the program that wrote it ended without an error.",
        )
    if prefix.startswith(b"KDMV"):
        raise ImageUnacceptableError(rule="format.unsupported", detail="a sparse VMDK")
    kind = "iso" if prefix.startswith(b"CD001", 0x8001) else "raw"
    return ImageFormat(kind=kind, size=size, capacity=size)
