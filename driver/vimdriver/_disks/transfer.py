"""The way of a disk onto the host, chosen by rule. No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeAlias, get_args

from vimlib.errors import UsageError

if TYPE_CHECKING:
    from vimdriver._images.formats import ImageFormat

Transfer: TypeAlias = Literal["nfc", "put", "sparse"]
TRANSFERS: Final[tuple[Transfer, ...]] = get_args(Transfer)

SMALL: Final = 64 << 20
"""Bytes of a raw image up to which the calls of an import take longer than its holes: it makes,
empties and removes a machine."""


_KIB: Final = 1 << 10


class Way(NamedTuple):
    """A way, and the reason for it."""

    transfer: Transfer
    why: str


def choose(image: ImageFormat, asked: Transfer | None) -> Way:
    """Return the way of an image.

    Raises:
        UsageError: There is no such way.
        ImageUnacceptableError: The host would have to read the file unchanged, which it may not.
    """
    if asked is not None:
        if asked not in TRANSFERS:
            raise UsageError(
                f"transfer must be one of {', '.join(TRANSFERS)}, got {asked!r}", field="transfer"
            )
        if asked == "sparse":
            _check_unchanged(image)
        return Way(asked, "as asked")
    if image.kind != "raw":
        return Way("nfc", f"the holes of a {image.kind} image do not travel")
    if image.capacity is not None and image.capacity <= SMALL:
        return Way(
            "put", f"a raw image of at most {SMALL >> 20} MiB arrives sooner than by an import"
        )
    return Way("nfc", "its holes do not travel")


def _check_unchanged(image: ImageFormat) -> None:
    if image.refusal is not None:
        raise image.refusal
    if image.header is None or image.archive is not None:
        raise UsageError(
            f"transfer sparse takes a sparse or streamOptimized VMDK, got {image.kind}",
            field="transfer",
            hint="Use nfc or put.",
        )
    if (image.capacity or 0) % _KIB:
        raise UsageError(
            f"transfer sparse takes a disk of whole KiB, as hosts count, got {image.capacity} bytes",
            field="transfer",
            hint="Use nfc or put, which fill it up.",
        )
