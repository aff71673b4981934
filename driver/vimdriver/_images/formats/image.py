"""The one judge of an image: decides by its first bytes which format it has, or refuses it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final, TypeVar

from vimdriver._images.formats import header, qcow2
from vimdriver._images.formats.compressed import (
    CompressedReader,
    Compression,
    beginning,
    compression_of,
)
from vimdriver._images.formats.cursor import COPY_AGAIN
from vimdriver._images.formats.descriptor import read_descriptor
from vimdriver._images.formats.extents import (
    MAX_CAPACITY,
    PREFIX,
    SECTOR,
    Data,
    DiskReader,
    GrainReader,
    Inner,
)
from vimdriver._images.formats.flat import FlatReader
from vimdriver._images.formats.header import SparseHeader
from vimdriver._images.formats.magic import OVA, QCOW2, compressed, foreign, is_iso, not_read
from vimdriver._images.formats.ova import ArchiveCheck, OVAReader
from vimdriver._images.formats.qcow2 import Qcow2Header, qcow2_reader, qcow2_survey
from vimdriver._images.formats.sparse_reader import sparse_reader, sparse_survey
from vimdriver._images.formats.stream_reader import grain_reader, stream_reader, stream_survey
from vimdriver._images.formats.strict_descriptor import check_strict_descriptor
from vimdriver._images.formats.tar import TarMember
from vimdriver.errors import ImageUnacceptableError

Item = TypeVar("Item")

FLAT_TYPES: Final = frozenset({"preallocated", "thin", "thick", "eagerzeroedthick"})
"""Values of `vmware_disktype`, in lower case, that mean flat bytes."""
_KINDS_OF_TYPE: Final = {
    "sparse": "monolithicSparse",
    "monolithicsparse": "monolithicSparse",
    "streamoptimized": "streamOptimized",
}
_CONTAINERS: Final = {
    "docker": "Upload a disk with --container-format bare: an image of a container has none.",
}
_DETECTED: Final = 64 << 10
"""Bytes that decide the format; the descriptor of a sparse VMDK may end later."""
_SUFFIXES: Final = (
    ".vhd", ".vhdx", ".vdi", ".ovf", ".zip", ".gz", ".xz", ".zst", ".bz2",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFormat:
    """The detected format of an image, and its properties as its beginning states them."""

    kind: str
    """`raw`, `iso`, `monolithicSparse`, `streamOptimized`, `qcow2`, or `ova` for an archive whose disk
    was not chosen: see `with_disk`."""
    size: int | None
    """Bytes of the file; None if they are not known."""
    capacity: int | None
    """Bytes of the disk; None if they are known at its end only (raw bytes of unknown length)."""
    adapter_type: str | None = None
    """`ddb.adapterType` of the descriptor, in lower case; None if it has none that is known."""
    header: SparseHeader | None = None
    """None without grains."""
    qcow2: Qcow2Header | None = None
    """None unless it is a qcow2."""
    compression: Compression | None = None
    """How the file is compressed that the image is in; None if it is not."""
    archive: Inside | None = None
    """The disk of an OVA that the image is; None if the file is no OVA."""
    refusal: ImageUnacceptableError | None = None
    """Why the file must not reach a host unchanged, as its beginning shows; None if it may."""

    @property
    def grain_bytes(self) -> int | None:
        """Bytes of a grain; None without grains."""
        return None if self.header is None else self.header.grain_bytes

    @property
    def create_type(self) -> str | None:
        """`createType` of the descriptor; None without one."""
        return None if self.header is None else self.kind

    @property
    def extension(self) -> str:
        """The file name extension on a datastore, without the dot."""
        return {"raw": "img", "iso": "iso", "qcow2": "qcow2"}.get(self.kind, "vmdk")

    @property
    def flat(self) -> bool:
        """Whether the bytes of the file are those of a disk."""
        return self.kind == "raw" and self.compression is None and self.archive is None

    def with_disk(self, inside: Inside) -> ImageFormat:
        """Return one disk of an OVA, of which this is the format."""
        return replace(
            inside.image,
            size=self.size,
            compression=self.compression,
            archive=inside,
            refusal=self.refusal,
        )

    @property
    def importable(self) -> bool:
        """Whether a host imports the file unchanged, as its beginning shows.

        Feed a strict reader with it all the same: the end of the file can break a rule too.
        """
        return (
            self.header is not None
            and self.header.compressed
            and self.header.version == 3
            and self.refusal is None
        )

    def reader(self, *, ranges: bool = False, strict: bool = False) -> DiskReader:
        """Return a reader of the disk.

        Args:
            ranges: The caller reads the file by Range: the reader states in `DiskReader.wanted` what
                to read, in the order of the disk. False reads the file once, in its own order.
                Prefer False, where the bytes can also be hashed, unless `survey` or the reader
                raises `ImageOrderError`.
            strict: The file reaches a host unchanged: refuse whatever the host's parser may not
                expect. Not with `ranges`.

        Raises:
            ImageUnacceptableError: `strict`, and the file has a `refusal`; or `ranges`, and the
                length of the file is not known.
        """
        if strict and self.refusal is not None:
            raise self.refusal
        if ranges and self.size is None and self.compression is None:
            raise ImageUnacceptableError(
                rule="size.unknown",
                detail="a file that is read by Range must have a length",
                hint="Serve it with a Content-Length, or download it and give the local path.",
            )
        if self.compression is not None:
            if ranges:
                raise ImageUnacceptableError(
                    rule="compressed.order",
                    detail=f"a {self.compression.name} file is read only in its own order",
                    hint=f"Unpack it with: {self.compression.unpack} IN > OUT",
                )
            inner = replace(self, compression=None, size=None)
            return CompressedReader(self.compression, inner.reader())
        if self.archive is not None:
            if ranges:
                raise ImageUnacceptableError(
                    rule="ova.order",
                    detail="an OVA is read only in its own order",
                    hint="Unpack it with: tar -xf IN; then use the disk that it contained.",
                )
            return self.archive.reader(self.archive.image.reader(), self.size)
        if self.kind == "ova":
            raise ValueError("one of the disks of an OVA must be chosen")
        if self.qcow2 is not None:
            return qcow2_reader(self.qcow2, self.size, ranges=ranges)
        if self.header is None:
            return FlatReader(self.size)
        read = stream_reader if self.header.compressed else sparse_reader
        return read(self.header, self.size, ranges=ranges, strict=strict)

    def survey(self) -> DiskReader | None:
        """Return a reader of the file's tables alone, by Range; it returns no extents.

        It raises `ImageOrderError` where the disk lies in the file in an order that only
        `reader(ranges=True)` reads. None if there is nothing to find out.
        """
        if self.size is None or self.compression is not None or self.archive is not None:
            return None
        if self.qcow2 is not None:
            return qcow2_survey(self.qcow2, self.size)
        if self.header is None:
            return None
        survey = stream_survey if self.header.compressed else sparse_survey
        return survey(self.header, self.size)

    def grain_reader(self, *, verify: bool = True) -> GrainReader:
        """Return a reader of the deflated grains of a streamOptimized file, in its own order.

        Write them with `StreamOptimizedWriter(capacity, grain_bytes=image.grain_bytes)`.

        Args:
            verify: Inflate each grain, to check it. Without, damaged grains pass.

        Raises:
            ValueError: The file is not streamOptimized.
        """
        if self.header is None or not self.header.compressed:
            raise ValueError(f"only streamOptimized has deflated grains, got {self.kind}")
        if self.compression is not None:
            inner = replace(self, compression=None, size=None)
            return CompressedReader(self.compression, inner.grain_reader(verify=verify))
        if self.archive is not None:
            inside = self.archive.image.grain_reader(verify=verify)
            return self.archive.reader(inside, self.size)
        return grain_reader(self.header, self.size, verify=verify)


@dataclass(frozen=True, slots=True)
class Inside:
    """A disk of an OVA."""

    member: TarMember
    image: ImageFormat
    """The format of the member."""
    check: ArchiveCheck = field(default_factory=ArchiveCheck, compare=False)
    """Set by the last reader that has read the archive whole."""

    def reader(self, reader: Inner[Item], size: int | None) -> OVAReader[Item]:
        """Return a reader of the archive, of `size` bytes if that is known, by a reader of the member."""
        return OVAReader(self.member, reader, self.image.capacity, self.check, size)


def prefix_bytes(beginning: Data) -> int:
    """Return how many bytes from its start decide the image, at most `PREFIX`.

    Args:
        beginning: Its first bytes, any number.
    """
    if compression_of(beginning) is not None:
        return PREFIX  # a block of Zstandard has 128 KiB, and nothing comes out of a part of it
    if len(beginning) < SECTOR or bytes(beginning[:4]) != header.MAGIC:
        return _DETECTED
    head = header.unpack(bytes(beginning[:SECTOR]))
    return min(max(_DETECTED, head.descriptor_end * SECTOR), PREFIX)


def check_claims(size: int | None, container: str | None) -> None:
    """Refuse an image before a byte of it is read, if its properties suffice for that.

    Args:
        size: Bytes of the image; None if they are not known.
        container: Glance's `container_format`.

    Raises:
        ImageUnacceptableError: It is empty, or an archive.
    """
    if size == 0:
        raise ImageUnacceptableError(
            rule="size.empty",
            detail="0 bytes",
            hint="Check that whatever wrote it has ended without an error.",
        )
    if (hint := _CONTAINERS.get(container or "")) is not None:
        raise ImageUnacceptableError(
            rule="format.container", detail=f"container_format {container}", hint=hint
        )


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
    """Decide the format of an image by its bytes, which the source's claims must not contradict.

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
            format, or contradicts the source's claims. The hint has a command that converts it.
    """
    if not prefix:
        check_claims(0, None)
    compression = compression_of(prefix)
    if compression is not None:
        if claimed is not None and container != "compressed":
            raise _claim(f"the bytes are {compression.name}", claimed, container="compressed")
        image = _open_plain(beginning(compression, prefix), None, None, max_capacity)
        refusal = not_read(compressed(compression.name, compression.unpack))
        image = replace(image, size=size, compression=compression, refusal=refusal)
        name = name and name.removesuffix(compression.suffix)
    else:
        image = _open_plain(prefix, size, tail, max_capacity)
        if container == "compressed":
            raise _claim("the bytes are not compressed", image.kind)
    check_claims(size, container)
    if claimed is not None:
        if (image.kind == "ova") != (container == "ova") and container != "compressed":
            raise _claim(f"declared as {container}, but the bytes are {image.kind}", image.kind)
        check_claim(image.kind, claimed, disk_type)
    elif name is not None:
        _check_name(image.kind, name)
    return image


def _open_plain(
    prefix: bytes, size: int | None, tail: bytes | None, max_capacity: int
) -> ImageFormat:
    """Decide the format of an image that is not compressed."""
    if not prefix:
        check_claims(0, None)
    if (again := compression_of(prefix)) is not None:
        raise not_read(compressed(again.name, again.unpack))
    found = foreign(prefix, tail)
    if found is OVA:
        return ImageFormat(kind="ova", size=size, capacity=None, refusal=not_read(OVA))
    if found is not None:
        raise not_read(found)
    if prefix.startswith(header.MAGIC):
        image = _open_sparse(prefix, size, max_capacity)
    elif prefix.startswith(qcow2.MAGIC):
        head = qcow2.read_header(prefix, size=size, max_capacity=max_capacity)
        image = ImageFormat(
            kind="qcow2", size=size, capacity=head.capacity, qcow2=head, refusal=not_read(QCOW2)
        )
    else:
        if size is not None and size > max_capacity:
            raise ImageUnacceptableError(
                rule="size.capacity",
                detail=f"{size} bytes, limit {max_capacity}",
                hint="Raise the limit.",
            )
        image = ImageFormat(kind="iso" if is_iso(prefix) else "raw", size=size, capacity=size)
    return image


def _open_sparse(prefix: bytes, size: int | None, max_capacity: int) -> ImageFormat:
    if len(prefix) < SECTOR:
        raise ImageUnacceptableError(
            rule="header.short", detail=f"the file has {len(prefix)} bytes", hint=COPY_AGAIN
        )
    head = header.unpack(prefix[:SECTOR])
    header.check(head, size=size, max_capacity=max_capacity)
    if len(prefix) < head.descriptor_end * SECTOR:
        raise ImageUnacceptableError(
            rule="header.short", detail="the file ends in its descriptor", hint=COPY_AGAIN
        )
    raw = prefix[head.descriptor_offset * SECTOR : head.descriptor_end * SECTOR]
    adapter = read_descriptor(raw, capacity=head.capacity, grain=head.grain)
    refusal = None
    try:
        header.check_strict(head, size=size)
        check_strict_descriptor(raw, compressed=head.compressed, capacity=head.capacity)
    except ImageUnacceptableError as error:
        refusal = error.with_traceback(None)
    return ImageFormat(
        kind="streamOptimized" if head.compressed else "monolithicSparse",
        size=size,
        capacity=head.capacity * SECTOR,
        adapter_type=adapter,
        header=head,
        refusal=refusal,
    )


def check_claim(kind: str, claimed: str, disk_type: str | None) -> None:
    """Compare an image with what its source claims: `disk_format` and `vmware_disktype`.

    Raises:
        ImageUnacceptableError: They differ. An OVA is claimed to be that of its disks.
    """
    if kind == "ova":
        return
    if claimed == "vmdk":
        _check_disk_type(kind, disk_type)
    elif claimed != kind:
        raise _claim(f"declared as {claimed}, but the bytes are {kind}", kind)


def _check_disk_type(kind: str, disk_type: str | None) -> None:
    """Check `vmware_disktype` of an image that is declared as vmdk."""
    if kind in ("iso", "qcow2"):
        raise _claim(f"declared as vmdk, but the bytes are {kind}", kind)
    if disk_type is None:
        # Flat images have been stored as vmdk without the property since 2011.
        return
    lower = disk_type.lower()
    if lower in FLAT_TYPES if kind == "raw" else _KINDS_OF_TYPE.get(lower) == kind:
        return
    fits = {"raw": "preallocated", "monolithicSparse": "sparse"}.get(kind, kind)
    raise ImageUnacceptableError(
        rule="format.disk_type",
        detail=f"vmware_disktype {disk_type}, but the bytes are {kind}",
        hint=f"Correct it with: openstack image set --property vmware_disktype={fits} IMAGE",
    )


def _claim(detail: str, kind: str, *, container: str = "bare") -> ImageUnacceptableError:
    return ImageUnacceptableError(
        rule="format.claim", detail=detail, hint=_upload_again(kind, container)
    )


def _upload_again(kind: str, container: str) -> str:
    """Return the command that declares an image rightly: Glance keeps the formats of an image."""
    form = kind if kind in ("raw", "iso", "qcow2") else "vmdk"
    container = "ova" if kind == "ova" else container
    disk_type = {
        "monolithicSparse": " --property vmware_disktype=sparse",
        "streamOptimized": " --property vmware_disktype=streamOptimized",
    }.get(kind, "")
    return (
        f"Upload it again with: openstack image create --disk-format {form} "
        f"--container-format {container}{disk_type} --file FILE NAME"
    )


def _check_name(kind: str, name: str) -> None:
    """Refuse an undeclared image whose name ends as that of another format."""
    lower = name.lower()
    # The extent of a flat VMDK is raw, and is called NAME-flat.vmdk.
    flat = kind == "raw" and not lower.endswith("-flat.vmdk")
    if (
        (lower.endswith(".vmdk") and (flat or kind in ("iso", "qcow2")))
        or (lower.endswith(".qcow2") and kind != "qcow2")
        or (lower.endswith(".iso") and kind != "iso")
        or (lower.endswith(".ova") and kind != "ova")
        or lower.endswith(_SUFFIXES)
    ):
        raise ImageUnacceptableError(
            rule="format.name",
            detail=f"the name {name} must match the format, but the bytes are {kind}",
            hint="If the bytes are meant, rename the file; raw disks are called NAME.img.",
        )
