"""The source of an upload: bytes, a file, or anything that delivers chunks."""

from __future__ import annotations

import asyncio
import os
from stat import S_ISDIR
from typing import TYPE_CHECKING, Final

from vimlib._shield import finish
from vimlib.errors import SourceError, UsageError

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator
    from io import BufferedReader
    from pathlib import Path

    from vimlib._transport.http import Buffer

    Source = Buffer | str | Path | AsyncIterable[Buffer]

CHUNK: Final = 1 << 20
"""Bytes that are read from a file at once: large enough that the hop to a thread does not count."""


async def opened(source: Source, size: int | None) -> tuple[AsyncIterable[Buffer], int]:
    """Return `source` as chunks, and its exact size. A `str` is a file's name.

    Raises `UsageError` for an iterable without `size`, `SourceError` for a file that cannot be read.
    """
    body, length = await opened_any(source, size)
    if length is None:
        raise UsageError(
            "the size of the source is unknown",
            hint="Give size=: the length is sent before the first byte.",
        )
    return body, length


async def opened_any(source: Source, size: int | None) -> tuple[AsyncIterable[Buffer], int | None]:
    """Return `source` as chunks, and its size; None for an iterable without `size`.

    Raises `SourceError` for a file that cannot be read.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        view = memoryview(source).cast("B")
        return _pieces(view), len(view) if size is None else size
    if isinstance(source, str | os.PathLike):
        try:
            found = await asyncio.to_thread(os.stat, source)
        except OSError as exc:
            raise SourceError(
                f"cannot read {os.fspath(source)!r}: {exc.strerror}", outcome="not_sent"
            ) from exc
        if S_ISDIR(found.st_mode):
            raise SourceError(f"{os.fspath(source)!r} is a folder", outcome="not_sent")
        return _file(source), found.st_size if size is None else size
    return source, size


async def _pieces(view: memoryview) -> AsyncIterator[bytes]:
    for start in range(0, len(view), CHUNK):
        yield bytes(view[start : start + CHUNK])


async def _close(file: BufferedReader) -> None:
    file.close()


async def _file(path: str | Path) -> AsyncIterator[bytes]:
    # In a thread, since disks block; one chunk at a time, so that memory stays flat.
    opening = asyncio.to_thread(open, path, "rb")
    file = await finish(opening, what=f"opening {os.fspath(path)!r}", undo=_close)
    try:
        while chunk := await asyncio.to_thread(file.read, CHUNK):
            yield chunk
    finally:
        file.close()
