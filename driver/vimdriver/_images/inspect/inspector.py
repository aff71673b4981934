"""The inspector: reads an image's bytes as they pass, and detects the format or the broken rule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from vimdriver._images.formats import header
from vimdriver._images.inspect import descriptor
from vimdriver._images.inspect.cursor import Cursor
from vimdriver._images.inspect.magic import FOREIGN, PREFIX, detect
from vimdriver._images.inspect.markers import check_stream
from vimdriver._images.inspect.tables import check_tables
from vimdriver.errors import ImageUnacceptableError

_FLAT_TYPES: Final = frozenset({"preallocated", "thin", "eagerZeroedThick"})
"""Values of vmware_disktype that mean flat bytes, as nova names them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InspectLimits:
    """Maximum sizes in bytes."""

    max_bytes: int = 64 << 40
    """Of the file: the largest disk with its metadata."""
    max_capacity: int = 62 << 40
    """Of the disk: vSphere's own limit for a VMDK. Lower it to the flavor's root disk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskFacts:
    """The detected properties of a disk image."""

    kind: str
    """`raw`, `iso`, `monolithicSparse` or `streamOptimized`."""
    capacity_bytes: int
    """The size of the disk that a machine sees; for raw and iso the file's length."""
    create_type: str | None = None
    """`createType` of the descriptor; None without a descriptor."""
    adapter_type: str | None = None
    """`ddb.adapterType` of the descriptor; None if it is absent."""
    grain_bytes: int | None = None
    """None without grains."""

    @property
    def extension(self) -> str:
        """The file name extension on a datastore, without the dot."""
        return {"raw": "img", "iso": "iso"}.get(self.kind, "vmdk")


class Inspector:
    """Checks one image. Feed it every byte in order, then call `finish`.

    Send no byte before `decided` is true: until then the beginning is not checked. The beginning is
    36 KiB of a flat image; of a sparse one it ends with the descriptor, after at most 1 MiB.

    Args:
        size: Exact length of the image in bytes.
        claim: Glance's `disk_format`; None if the source reports none, then the bytes decide.
        disk_type: Glance's `vmware_disktype`; None if it is not set.
        limits: Maximum sizes.

    Raises:
        ImageUnacceptableError: A `size.*` rule is broken, or the claimed format is not supported.
    """

    def __init__(
        self,
        *,
        size: int,
        claim: str | None = None,
        disk_type: str | None = None,
        limits: InspectLimits | None = None,
    ) -> None:
        self._limits = limits or InspectLimits()
        self._size = size
        self._claim = claim
        self._disk_type = disk_type
        self._head = bytearray()
        self._wanted = min(size, PREFIX)
        self._cursor: Cursor | None = None
        self.facts: DiskFacts | None = None
        """Set once `decided` is true."""
        if size <= 0:
            raise ImageUnacceptableError(
                rule="size.empty",
                detail=f"{size} bytes",
                hint="Check that whatever wrote it has ended without an error.",
            )
        if size > self._limits.max_bytes:
            raise ImageUnacceptableError(
                rule="size.cap", detail=f"{size} bytes", hint="Raise the limit."
            )
        if claim not in (None, "raw", "vmdk", "iso"):
            raise ImageUnacceptableError(rule="format.unsupported", detail=f"disk_format {claim}")

    @property
    def decided(self) -> bool:
        """Whether the beginning has been checked and accepted."""
        return self.facts is not None

    @property
    def idle(self) -> bool:
        """Whether no check remains, so that the remaining bytes need not be fed."""
        return self.decided and (self._cursor is None or self._cursor.ended)

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Check the next bytes. Cheap for flat images; streams are inflated.

        Raises:
            ImageUnacceptableError: A rule is broken.
        """
        if self.facts is not None:
            if self._cursor is not None:
                self._cursor.feed(data)
            return
        self._head += data
        if len(self._head) >= self._wanted:
            self._judge(bytes(self._head))

    def finish(self) -> DiskFacts:
        """Return the detected properties, after all bytes were fed.

        Raises:
            ImageUnacceptableError: The bytes end too early for their format.
        """
        if self.facts is None:
            raise ImageUnacceptableError(
                rule="header.short", detail="the file ends before its header is complete"
            )
        if self._cursor is not None and not self._cursor.ended:
            rule = "stream.end" if self.facts.kind == "streamOptimized" else "tables.end"
            raise ImageUnacceptableError(rule=rule, detail="the file is truncated")
        return self.facts

    def _judge(self, head: bytes) -> None:
        """Accept the beginning, or raise `self._wanted`."""
        found = detect(head[:PREFIX])
        flat = self._claim in ("raw", "iso") or (
            self._claim == "vmdk" and self._disk_type in _FLAT_TYPES
        )
        if found == "vmdk" and not flat:
            self._judge_sparse(head)
            return
        if found == "descriptor":
            raise ImageUnacceptableError(rule="format.descriptor", detail="a text descriptor")
        if found == "cowd":
            raise ImageUnacceptableError(rule="format.cowd", detail="a COWD extent")
        if found in FOREIGN:
            rule = "format.foreign_magic" if flat else "format.claim"
            if self._claim is None:
                rule = "format.unsupported"
            # The bytes themselves are valid, so converting them does not help.
            fact = "vmware_disktype sparse" if self._claim == "vmdk" else "disk_format vmdk"
            hint = f"Set {fact} on the image at its source." if found == "vmdk" else None
            raise ImageUnacceptableError(
                rule=rule,
                detail=f"declared as {self._claim}, but the bytes are {found}"
                if self._claim
                else f"no format declared; the bytes are {found}",
                hint=hint,
            )
        self._judge_flat(found)

    def _judge_flat(self, found: str) -> None:
        if self._claim == "iso" and found != "iso":
            raise ImageUnacceptableError(
                rule="format.claim", detail="no ISO 9660 volume descriptor"
            )
        if self._claim == "vmdk" and self._disk_type not in _FLAT_TYPES:
            if self._disk_type is not None:
                raise ImageUnacceptableError(
                    rule="format.disk_type",
                    detail=f"declared as {self._disk_type}, but the bytes are {found}",
                )
            if found != "raw":
                # Flat images have been stored under `vmdk` since 2011, so unknown bytes pass; known
                # bytes of another format do not, unless the property declares them.
                raise ImageUnacceptableError(
                    rule="format.claim",
                    detail=f"declared as vmdk, but the bytes are {found}",
                    hint="If it is a flat disk, set vmware_disktype=preallocated on the image.",
                )
        kind = "iso" if found == "iso" and self._claim in ("iso", None) else "raw"
        if self._size > self._limits.max_capacity:
            raise ImageUnacceptableError(
                rule="size.cap", detail=f"{self._size} bytes", hint="Raise the limit."
            )
        self._settle(DiskFacts(kind=kind, capacity_bytes=self._size))

    def _judge_sparse(self, head: bytes) -> None:
        if len(head) < header.SECTOR:
            raise ImageUnacceptableError(rule="header.short", detail=f"{len(head)} bytes")
        parsed = header.parse(
            head[: header.SECTOR],
            file_bytes=self._size,
            max_capacity=self._limits.max_capacity,
        )
        if parsed.head_bytes > self._size:
            raise ImageUnacceptableError(
                rule="header.short", detail="the file ends before its descriptor is complete"
            )
        if len(head) < parsed.head_bytes:
            self._wanted = parsed.head_bytes
            return
        text = descriptor.parse(
            head[header.SECTOR : parsed.head_bytes],
            compressed=parsed.compressed,
            capacity=parsed.capacity,
        )
        if self._disk_type not in (None, text.create_type) and not (
            self._disk_type == "sparse" and not parsed.compressed
        ):
            raise ImageUnacceptableError(
                rule="format.disk_type",
                detail=f"declared as {self._disk_type}, but createType is {text.create_type}",
            )
        check = (check_stream if parsed.compressed else check_tables)(parsed, file_bytes=self._size)
        self._cursor = Cursor(check)
        self._cursor.feed(memoryview(head)[parsed.head_bytes :])
        self._settle(
            DiskFacts(
                kind=text.create_type,
                capacity_bytes=parsed.capacity * header.SECTOR,
                create_type=text.create_type,
                adapter_type=text.adapter_type,
                grain_bytes=parsed.grain * header.SECTOR,
            )
        )

    def _settle(self, facts: DiskFacts) -> None:
        self.facts = facts
        self._head = bytearray()
