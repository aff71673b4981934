"""Detect the kind of an image by its first and last bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from vimdriver._images.formats.descriptor import DECRYPT, FLATTEN
from vimdriver._images.formats.tar import first_name
from vimdriver.errors import ImageUnacceptableError

ISO_MAGIC: Final = (0x8001, b"CD001")
_TAR_BYTES: Final = 512


@dataclass(frozen=True, slots=True)
class Foreign:
    """A format that is not read."""

    name: str
    """Its usual name."""
    hint: str
    """The way to an image that is accepted."""
    archive: bool = False
    """Whether the image is inside of it."""


def _convert(form: str) -> str:
    return (
        f"Convert it with: qemu-img convert -f {form} -O vmdk -o subformat=streamOptimized "
        "IN OUT.vmdk"
    )


def _unpack(command: str) -> str:
    return f"Unpack it with: {command}"


QCOW2: Final = Foreign("qcow2", _convert("qcow2"))
"""Read, and refused where the bytes reach a host unchanged."""
OVA: Final = Foreign(
    "OVA", _unpack("tar -xf IN; then use the disk that it contained"), archive=True
)
"""Read, and refused where the bytes reach a host unchanged."""
_TAR: Final = Foreign(
    "tar", _unpack("tar -xf IN; then use the disk that it contained"), archive=True
)
_DESCRIPTOR: Final = Foreign("VMDK descriptor without its extents", FLATTEN)
_TEXT: Final = Foreign(
    "a web page or XML", "Check what the address serves: this is a text, not a disk."
)

_MAGIC: Final[tuple[tuple[int, bytes, Foreign], ...]] = (
    (0, b"QFI\xfb\0\0\0\x01", Foreign("qcow", _convert("qcow"))),
    (0, b"QED\0", Foreign("QED", _convert("qed"))),
    (0, b"conectix", Foreign("VHD", _convert("vpc"))),  # dynamic disks start with their footer
    (0, b"vhdxfile", Foreign("VHDX", _convert("vhdx"))),
    (0x40, b"\x7f\x10\xda\xbe", Foreign("VDI", _convert("vdi"))),
    (0, b"WithoutFreeSpace", Foreign("Parallels", _convert("parallels"))),
    (0, b"WithouFreSpacExt", Foreign("Parallels", _convert("parallels"))),
    (0, b"Bochs Virtual HD Image", Foreign("Bochs", _convert("bochs"))),
    (0, b"COWD", Foreign("COWD", _convert("vmdk"))),
    (0, b"\xbe\xba\xfe\xca\0\0\0\0", Foreign("seSparse extent", FLATTEN)),
    (
        0,
        b"LUKS\xba\xbe",
        Foreign(
            "LUKS",
            "Decrypt it with: qemu-img convert --object secret,id=key,file=PASSPHRASE "
            "--image-opts driver=luks,key-secret=key,file.filename=IN "
            "-O vmdk -o subformat=streamOptimized OUT.vmdk",
        ),
    ),
    (4, b"1AY&SY", Foreign("bzip2", _unpack("bzip2 -dc IN > OUT"), archive=True)),
    (0, b"\x04\x22\x4d\x18", Foreign("lz4", _unpack("lz4 -dc IN > OUT"), archive=True)),
    (0, b"LZIP", Foreign("lzip", _unpack("lzip -dc IN > OUT"), archive=True)),
    (0, b"PK\x03\x04", Foreign("zip", _unpack("unzip -p IN > OUT"), archive=True)),
    (0, b"7z\xbc\xaf\x27\x1c", Foreign("7z", _unpack("7z x -so IN > OUT"), archive=True)),
    (0, b"Rar!\x1a\x07", Foreign("rar", _unpack("unrar p -inul IN > OUT"), archive=True)),
)
_TAIL_MAGIC: Final = (
    (b"conectix", Foreign("VHD", _convert("vpc"))),  # fixed disks have a footer alone
    (b"koly", Foreign("DMG", _convert("dmg"))),
)
_TEXTS: Final = (b"<!doctype", b"<html", b"<?xml", b"version https://git-lfs")
_ENCRYPTED_DESCRIPTOR: Final = b"encryption.keysafe"


def foreign(prefix: bytes, tail: bytes | None = None) -> Foreign | None:
    """Return the format of an image that is not read; None for a flat disk, an ISO or a sparse VMDK.

    Args:
        prefix: Its first bytes.
        tail: Its last 512 bytes, if they are known.
    """
    text = prefix[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith(b"# disk descriptorfile"):
        if _ENCRYPTED_DESCRIPTOR in prefix[:4096].lower():
            return Foreign("encrypted VMDK", DECRYPT)
        return _DESCRIPTOR
    if text.startswith(_TEXTS):
        return _TEXT
    for offset, magic, found in _MAGIC:
        if prefix.startswith(magic, offset):
            return found
    if is_tar(prefix):
        name = first_name(prefix) or ""
        return OVA if name.lower().endswith((".ovf", ".mf", ".cert", ".vmdk")) else _TAR
    return footer(tail) if tail else None


def footer(tail: bytes) -> Foreign | None:
    """Return the format that the last bytes of an image show."""
    return next((found for magic, found in _TAIL_MAGIC if tail[-512:].startswith(magic)), None)


def compressed(name: str, unpack: str) -> Foreign:
    """Return the form of a compressed file, for where its bytes would reach a host unchanged."""
    return Foreign(name, _unpack(f"{unpack} IN > OUT"), archive=True)


def not_read(found: Foreign) -> ImageUnacceptableError:
    """Return the error for an image in this format."""
    return ImageUnacceptableError(
        rule="format.archive" if found.archive else "format.unsupported",
        detail=f"the bytes are {found.name}",
        hint=found.hint,
    )


def is_tar(prefix: bytes) -> bool:
    """Return whether the first 512 bytes are a member's header: its checksum decides."""
    block = prefix[:_TAR_BYTES]
    stated = block[148:156].strip(b"\0 ")
    if len(block) < _TAR_BYTES or not block[0] or not stated.isdigit():
        return False
    try:
        return int(stated, 8) == sum(block[:148]) + sum(block[156:]) + 8 * 0x20
    except ValueError:
        return False


def is_iso(prefix: bytes) -> bool:
    """Return whether an ISO 9660 volume descriptor is where it must be."""
    offset, magic = ISO_MAGIC
    return prefix.startswith(magic, offset)
