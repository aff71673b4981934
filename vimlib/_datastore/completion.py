"""When a transfer is complete, in both directions. Pure.

The host's own listing decides: a file was transferred when the listing has it with as many bytes
as were transferred, and, of a download, has not changed since. A status of 200 and a
Content-Length prove nothing: a proxy's login page has both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vimlib.errors import TransferCorruptError

if TYPE_CHECKING:
    from vimlib._datastore.entry import FileEntry
    from vimlib._datastore.path import DatastorePath
    from vimlib.errors import TransferRejectedError

DISK: Final = ".vmdk"
"""Names of files that hosts list as disks: with the size of the disk, or not at all. The file
itself is asked for its size, by HEAD."""
_DISK_BEGINS: Final = (b"# Disk DescriptorFile", b"KDMV", b"COWD")


def stored(
    path: DatastorePath,
    entry: FileEntry | None,
    size: int,
    answer: TransferRejectedError | None = None,
) -> FileEntry:
    """Return the entry of a file that was uploaded.

    Raises `TransferCorruptError`, or `answer`, the 5xx that the PUT of its whole body got: a
    gateway that loses the host's answer sends 502, so it does not prove a failure.
    """
    if entry is not None and entry.size == size and not entry.is_dir:
        return entry
    if answer is not None:
        raise answer
    actual = None if entry is None else entry.size
    raise TransferCorruptError(
        f"the host accepted {path} but stored "
        + ("no file" if actual is None else f"{actual} of {size} bytes"),
        hint="Delete it and upload it again.",
        path=str(path),
        expected=size,
        actual=actual,
    )


def announced(path: str, listed: int, total: int, *, growing: bool) -> None:
    """Check the size of which the host says that it sends it. Raises `TransferCorruptError`."""
    if total == listed or (growing and total > listed):
        return
    raise TransferCorruptError(
        f"the host sends {total} bytes as {path}, which it lists with {listed}",
        hint="If others write to it, download it when they do not, or with growing=True; "
        "else check for a proxy or a login page between here and the host.",
        path=path,
        expected=listed,
        actual=total,
        outcome="not_sent",
        retryable=True,
    )


def begins_as_disk(path: str, first: bytes) -> None:
    """Check the first bytes of a file that is listed with the size of its disk."""
    if not any(first.startswith(magic[: len(first)]) for magic in _DISK_BEGINS):
        raise TransferCorruptError(
            f"the host sent {path} without the header of a disk",
            hint="Check for a proxy or a login page between here and the host.",
            path=path,
            outcome="not_sent",
        )


def changed(path: str, expected: int, actual: int | None) -> TransferCorruptError:
    """Return the error for a file that changed during its download."""
    return TransferCorruptError(
        f"{path} changed during the download",
        hint="Download it again when no one writes to it; growing=True accepts one that only grows.",
        path=path,
        expected=expected,
        actual=actual,
        outcome="not_sent",
        retryable=True,
    )


def unchanged(path: str, before: FileEntry, after: FileEntry | None, *, growing: bool) -> None:
    """Check that a downloaded file is the one that was listed first.

    Raises `TransferCorruptError`.
    """
    if after is not None and not after.is_dir:
        if (after.size, after.modified) == (before.size, before.modified):
            return
        if growing and after.size >= before.size:
            return
    raise changed(path, before.size, None if after is None else after.size)
