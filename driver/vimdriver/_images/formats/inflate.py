"""Inflate one grain, bounded."""

from __future__ import annotations

import zlib

from vimdriver._images.formats.cursor import COPY_AGAIN
from vimdriver._images.formats.extents import Data
from vimdriver.errors import ImageUnacceptableError


def inflate(data: Data, limit: int, *, at: int, least: int, strict: bool = False) -> bytes:
    """Return the inflated bytes of a grain.

    Args:
        data: A zlib stream (RFC 1950).
        limit: Bytes that it may have at most.
        at: The grain's first sector on the disk, for the error.
        least: Bytes that it must have at least.
        strict: Refuse bytes that follow the stream.

    Raises:
        ImageUnacceptableError: It is damaged, or has another length.
    """
    inflater = zlib.decompressobj()
    try:
        plain = inflater.decompress(data, limit + 1)
        # The checksum may be unread when the limit is reached exactly.
        if not inflater.eof and len(plain) <= limit:
            plain += inflater.decompress(inflater.unconsumed_tail, limit + 1 - len(plain))
    except zlib.error as error:
        raise ImageUnacceptableError(
            rule="stream.inflate", detail=f"grain at {at}: {error}", hint=COPY_AGAIN
        ) from None
    if len(plain) > limit or not inflater.eof or (strict and inflater.unused_data):
        raise ImageUnacceptableError(
            rule="stream.inflate",
            detail=f"grain at {at} must have {limit} bytes, got "
            + ("more" if len(plain) > limit or inflater.eof else f"the first {len(plain)}"),
            hint=COPY_AGAIN,
        )
    if len(plain) < least:
        raise ImageUnacceptableError(
            rule="stream.inflate",
            detail=f"grain at {at} must have {least} bytes, got {len(plain)}",
            hint=COPY_AGAIN,
        )
    return plain
