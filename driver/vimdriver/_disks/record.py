"""The record of a disk: a small file next to it with the hash of the image that it was made from.

`images/fedora.vmdk` has `images/fedora.6000c29f....json`, where the hex digits are the disk's UUID
(`ddb.uuid`), which stays the disk's when it is moved. So a record is written before the disk gets its
name, and never belongs to another disk of that name. No I/O but `read_record`.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Final

import msgspec

from vimlib.errors import NotFoundError, TransferRejectedError

if TYPE_CHECKING:
    from vimdriver._images.source import ImageInfo
    from vimdriver._verbs import Host
    from vimlib._datastore import DatastorePath

_LONGEST: Final = 4096
_LONGEST_STEM: Final = 200
_NAME: Final = re.compile(r"[0-9a-f]{32}\.json")


class DiskRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The hash and sizes of the image that a disk was made from."""

    algorithm: str
    hash: str
    """Of the image's bytes, lower-case hex."""
    bytes: int
    """Of the image."""
    capacity: int
    """Bytes of the disk."""
    version: int = msgspec.field(default=1, name="vimlib_disk")

    def is_of(self, info: ImageInfo) -> bool | None:
        """Return whether the disk was made from that image; None if its source has no such hash."""
        if info.size != self.bytes:
            return False
        if info.hash_value is None or info.hash_algo != self.algorithm:
            return None
        return info.hash_value.strip().lower() == self.hash


_DECODER: Final = msgspec.json.Decoder(DiskRecord)


def encode(record: DiskRecord) -> bytes:
    """Return the file's bytes."""
    return msgspec.json.encode(record) + b"\n"


def decode(data: bytes) -> DiskRecord | None:
    """Return the record; None for other bytes, or another version."""
    try:
        found = _DECODER.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return found if found.version == 1 else None


def hex_of(uuid: str) -> str:
    """Return a disk's UUID as 32 hex digits: hosts write `60 00 C2 9f ...-...` or the usual form."""
    return re.sub(r"[^0-9a-f]", "", uuid.lower())


def _stem(disk: str) -> str:
    """Return the beginning of the names of a disk's records, within the 255 bytes of a name."""
    stem = disk.removesuffix(".vmdk")
    if len(stem.encode(errors="replace")) > _LONGEST_STEM:
        stem = hashlib.sha256(stem.encode(errors="replace")).hexdigest()
    return f"{stem}."


def record_path(disk: DatastorePath, uuid: str) -> DatastorePath:
    """Return the path of a disk's record."""
    return disk.with_name(f"{_stem(disk.name)}{hex_of(uuid)}.json")


def is_record(name: str, disk: str) -> bool:
    """Return whether a file has the name of a record of a disk, whatever its UUID."""
    stem = _stem(disk)
    return name.startswith(stem) and _NAME.fullmatch(name[len(stem) :]) is not None


async def read_record(host: Host, path: DatastorePath) -> DiskRecord | None:
    """Return the record in a file; None if there is none. Cancelling loses nothing."""
    data = b""
    try:
        async with host.datastore(path.datastore).download(path) as body:
            async for chunk in body:
                data += chunk
                if len(data) > _LONGEST:
                    return None
    except NotFoundError:
        return None
    except TransferRejectedError as error:
        if error.status != 404:
            raise
        return None
    return decode(data)
