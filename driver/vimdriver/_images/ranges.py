"""An image that is read by Range, in the order of its disk: where the file's own order does not do.

Such an image is read twice. The first pass reads the whole file, in its order, and checks length, format
and hash; the second one reads what the stage wants. The parts prove that both are of the same bytes: by
the ETag of a URL, by the times of a file; Glance changes no image. Nothing is sent before the first pass
has ended.
"""

from __future__ import annotations

from contextlib import AsyncExitStack, aclosing
from typing import TYPE_CHECKING, Protocol

from vimdriver._images.pipe import Stage
from vimdriver._images.source import RangedSource, shown_reference
from vimdriver._images.worker import Worker
from vimdriver.errors import ImageOrderError, ImageUnacceptableError, SourceRangeError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from concurrent.futures import Executor

    from vimdriver._images.check import BodyCheck
    from vimdriver._images.formats import DiskReader, ImageFormat
    from vimdriver._images.source import ImageInfo, ImageParts, ImageSource


class RangedStage(Stage, Protocol):
    """A stage that states what to feed next."""

    @property
    def wanted(self) -> range | None:
        """The offsets in the file of the bytes to feed next; None at the end. See `DiskReader`."""
        ...


class RangedBody:
    """The bytes that a stage wants, in that order, as an `ImageBody`.

    Each chunk must have been fed to the stage before the next one is asked for.
    """

    def __init__(self, parts: ImageParts, stage: RangedStage) -> None:
        self._parts = parts
        self._stage = stage

    @property
    def info(self) -> ImageInfo:
        """See `ImageBody`."""
        return self._parts.info

    async def __aiter__(self) -> AsyncGenerator[bytes]:
        """See `ImageBody`."""
        while (wanted := self._stage.wanted) is not None:
            async with aclosing(self._parts.read(wanted.start, wanted.stop)) as chunks:
                async for chunk in chunks:
                    yield chunk


async def check_whole(parts: ImageParts, check: BodyCheck, executor: Executor) -> None:
    """Read an image from its start to its end for its check. Cancelling closes what it has opened.

    Raises:
        ImageError: The source failed, or the bytes are refused.
    """
    async with (
        Worker[object](executor) as worker,
        aclosing(parts.read(0, check.info.size)) as chunks,
    ):
        async for chunk in chunks:
            if worker.busy():
                await worker.result()
            worker.start(check.feed, chunk)
        if worker.busy():
            await worker.result()
        worker.start(check.finish)
        await worker.result()


async def needs_ranges(source: ImageSource, image: ImageFormat, head: bytes) -> bool:
    """Return whether an image must be read by Range, as its tables show. Cancelling loses nothing.

    Args:
        source: The image.
        image: Its format.
        head: Its first bytes; tables behind them are read by Range where the source can.

    Raises:
        ImageOrderError: It must, and the source cannot be read by Range.
        ImageSourceError: The source failed.
    """
    if image.header is None and image.qcow2 is None:
        return False
    info = await source.info()
    async with AsyncExitStack() as stack:
        parts: ImageParts | None = None
        if isinstance(source, RangedSource):
            parts = await stack.enter_async_context(source.parts())
        try:
            # Its first step may refuse the file already.
            if (survey := image.survey()) is None:
                return False
            await _feed(survey, head, parts)
        except SourceRangeError:
            return False  # one pass may do; if not, it raises
        except ImageOrderError as error:
            if parts is None or not await _has_parts(parts):
                error.image = shown_reference(info.id)
                raise error from None
            return True
        except ImageUnacceptableError:
            return False  # one pass refuses it too, unless it can do without what is damaged
    return False


async def _feed(survey: DiskReader, head: bytes, parts: ImageParts | None) -> None:
    while (wanted := survey.wanted) is not None:
        if wanted.start < len(head):
            _exhaust(survey, head[wanted.start : wanted.stop])
        elif parts is None:
            return
        else:
            async with aclosing(parts.read(wanted.start, wanted.stop)) as chunks:
                async for chunk in chunks:
                    _exhaust(survey, chunk)


def _exhaust(survey: DiskReader, chunk: bytes) -> None:
    """Feed tables, of which at most 1 MiB are read at a time."""
    for _ in survey.feed(chunk):
        pass


async def _has_parts(parts: ImageParts) -> bool:
    try:
        async with aclosing(parts.read(0, 1)) as chunks:
            async for _ in chunks:
                pass
    except SourceRangeError:
        return False
    return True
