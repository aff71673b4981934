"""The body of an image over HTTP, resumed by Range where the connection breaks.

The request to the target stays open. A body is resumed only if something proves that both
parts are of the same bytes: a strong ETag (RFC 9110, 8.8.3), or the hash of the whole, which is checked
before the target gets the last byte.
"""

from __future__ import annotations

import asyncio
import logging
import re
from contextlib import AsyncExitStack, aclosing
from math import inf
from typing import TYPE_CHECKING, Final

import aiohttp

from vimdriver._images.source import CHUNK
from vimdriver.errors import (
    ImageSizeError,
    ImageSourceError,
    SourceProtocolError,
    SourceRangeError,
    SourceRefusedError,
    SourceStalledError,
    SourceUnreachableError,
)
from vimlib._datastore.download import content_range
from vimlib._text import printable
from vimlib._transport.pace import Breach, Deadline, Pace
from vimlib.errors import ProtocolError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
    from typing import TypeAlias

    from vimdriver._images.source import ImageInfo
    from vimlib._transport.base import Timeouts

    Ask: TypeAlias = Callable[
        [AsyncExitStack, Mapping[str, str]], Awaitable[aiohttp.ClientResponse]
    ]
    """Sends the request with more headers; the stack closes the response."""

log = logging.getLogger("vimdriver.images")

_LEAST: Final = 256 << 10
_SHARED: Final = 4 << 20
PAUSES: Final = [0.0, 0.5, 2.0]
"""Seconds before each attempt to resume. A body ends by an error after so many attempts in a row that
brought less than `_FRUITFUL`."""
_FRUITFUL: Final = 1 << 20


class ReadShare:
    """How much the bodies of a client read at a time.

    A body holds three chunks: one being sent, one in a thread, one just read. A job in a thread costs the
    same for any size, so one body gets 1 MiB; many get 256 KiB, for the sake of memory
    (docs/appendix/transfers.md).
    """

    def __init__(self) -> None:
        self.bodies = 0
        """Number of those that are being read."""

    @property
    def chunk(self) -> int:
        """Bytes of a chunk at most."""
        return max(_LEAST, min(CHUNK, _SHARED // max(1, self.bodies)))


class HttpBody:
    """An open body; create it with `open`.

    Args:
        info: The properties of the image.
        ask: Sends its request.
        stack: Closes the response.
        stall: Seconds without a byte after which it fails.
        timeouts: Other limits.
        part: The offsets to read; None reads all.
        etag: The ETag that all parts must have; None for the first one.
        share: Of the bodies of one client; None for one body alone.
    """

    def __init__(
        self,
        info: ImageInfo,
        ask: Ask,
        stack: AsyncExitStack,
        *,
        stall: float,
        timeouts: Timeouts,
        part: range | None = None,
        etag: str | None = None,
        share: ReadShare | None = None,
    ) -> None:
        self.info = info
        self._share = share or ReadShare()
        self.resumed = 0
        """How often the connection broke and the body went on."""
        self.received = 0 if part is None else part.start
        """The offset of the next byte."""
        self.etag = etag
        """The strong ETag of the bytes; None if they have none."""
        self._part = part
        self._stop = info.size if part is None else part.stop
        self._ask = ask
        self._stack = stack
        self._stall = stall
        self._timeouts = timeouts
        self._content: aiohttp.StreamReader | None = None
        self._skip = 0

    async def open(self) -> int:
        """Send the request and check the head of the response; return its status if it has no body.

        A request that fails in a way that may pass is sent again, as often as a body is resumed.

        Raises:
            SourceRangeError: A part is wanted, and the source sends none.
            ImageSourceError: The source failed, or the response is not the image.
        """
        answer = await self._first({} if self._part is None else self._range())
        if self._part is not None:
            self._skip = self._continued(answer.status, answer.headers)
        elif answer.status == 204:
            return 204
        else:
            check_answer(self.info, answer.status, answer.headers)
            self.etag = strong(answer.headers.get("ETag"))
        self._content = answer.content  # not the answer, which has its request with the token
        return answer.status

    async def _first(self, headers: Mapping[str, str]) -> aiohttp.ClientResponse:
        for attempt, pause in enumerate(PAUSES, 1):
            try:
                return await self._ask(self._stack, headers)
            except (SourceRefusedError, SourceUnreachableError) as error:
                # No byte has come, so nothing must prove that the next ones are of the same image.
                if not error.retryable:
                    raise
                log.warning("%s: attempt %d failed: %s", printable(self.info.id), attempt, error)
            await self._stack.aclose()
            await asyncio.sleep(pause)
        return await self._ask(self._stack, headers)

    async def __aiter__(self) -> AsyncGenerator[bytes]:
        """See `ImageBody`."""
        self._share.bodies += 1
        try:
            async with aclosing(self._chunks()) as chunks:
                async for chunk in chunks:
                    yield chunk
        finally:
            self._share.bodies -= 1

    async def _chunks(self) -> AsyncGenerator[bytes]:
        clock = asyncio.get_running_loop().time
        end = Deadline.of(None, self._timeouts.transfer, "transfer", clock())
        # Over all connections: one that breaks after each byte must come to an end too.
        pace = Pace(inf, "read", rate=self._timeouts.rate, window=self._timeouts.window, end=end)
        attempts, mark = 0, 0
        while True:
            began, chunk = clock(), b""
            broken: ImageSourceError | None = None
            try:
                chunk = await self._read(min(self._stall, pace.left(began)))
            except ImageSourceError as error:
                broken = error
            self._check(pace, len(chunk), clock() - began)
            if chunk and self._skip and not (chunk := self._unskipped(chunk)):
                continue
            if chunk:
                self.received += len(chunk)
                yield chunk
                continue
            if self.received >= self._stop:
                return  # at most the end of its framing is lost
            broken = broken or self._short()
            if self.received - mark >= _FRUITFUL:
                attempts, mark = 0, self.received
            began = clock()
            attempts = await self._resume(broken, attempts)
            self._check(pace, 0, clock() - began)

    def _check(self, pace: Pace, count: int, waited: float) -> None:
        breach = pace.add(count, waited, asyncio.get_running_loop().time())
        if breach is not None:
            raise self._stalled(breach)

    def _stalled(self, breach: Breach) -> SourceStalledError:
        return SourceStalledError(
            seconds=breach.seconds, received=self.received, rule=breach.rule, image=self.info.id
        )

    def _short(self) -> ImageSizeError:
        return ImageSizeError(expected=self._stop, received=self.received, image=self.info.id)

    def _unskipped(self, chunk: bytes) -> bytes:
        """Return the new bytes of a chunk, after a source ignored the Range of a request."""
        skipped = min(self._skip, len(chunk))
        self._skip -= skipped
        return chunk[skipped:]

    async def _read(self, seconds: float) -> bytes:
        """Read a chunk; b"" at the end, or when time is up before the stall's.

        Raises:
            SourceStalledError: Nothing came for too long.
            ImageSizeError: The connection ended.
        """
        assert self._content is not None
        limit = asyncio.timeout(seconds)
        try:
            async with limit:
                return await self._content.read(self._share.chunk)
        except TimeoutError:
            if limit.expired() and seconds < self._stall:
                # Another limit than silence: the caller's check raises for it.
                return b""
            raise self._stalled(Breach("read", self._stall, self.received)) from None
        except aiohttp.ClientError:
            # The connection ended before the Content-Length was reached, or a chunk is malformed.
            raise self._short() from None

    async def _resume(self, broken: ImageSourceError, attempts: int) -> int:
        """Ask for the rest; return the number of attempts since something came.

        Raises:
            ImageSourceError: `broken`, or what shows that no attempt can help.
        """
        info = self.info
        if self.etag is None and info.hash_value is None:
            raise broken
        asked = self._range()
        while attempts < len(PAUSES):
            pause = PAUSES[attempts]
            attempts += 1
            log.warning(
                "%s: broke off at byte %d of %d, attempt %d to resume: %s",
                printable(info.id), self.received, info.size, attempts, broken,
            )  # fmt: skip
            await self._stack.aclose()
            await asyncio.sleep(pause)
            try:
                answer = await self._ask(self._stack, asked)
            except ImageSourceError as error:
                if not error.retryable:
                    raise
                continue
            self._skip = self._continued(answer.status, answer.headers)
            self._content = answer.content
            self.resumed += 1
            return attempts
        raise broken

    def _range(self) -> dict[str, str]:
        """Return the headers that ask for the bytes from the one reached on."""
        last = "" if self._part is None else str(self._stop - 1)
        asked = {"Range": f"bytes={self.received}-{last}"}
        return asked if self.etag is None else {**asked, "If-Range": self.etag}

    def _continued(self, status: int, headers: Mapping[str, str]) -> int:
        """Check that a response is the rest; return how many of its bytes have come before."""
        info = self.info
        if self.etag is not None and strong(headers.get("ETag")) != self.etag:
            raise SourceProtocolError(
                detail="the image changed while it was read: it has another ETag",
                image=info.id,
                hint="Try again.",
            )
        if self._part is not None:
            self.etag = self.etag or strong(headers.get("ETag"))
            if status != 206 and len(self._part) < info.size:
                raise SourceRangeError(
                    image=info.id, reason=f"the status must be 206, got {status}"
                )
        if status != 206:
            check_answer(info, status, headers)
            return self.received
        check_coding(headers, info.id)
        try:
            part = content_range(headers.get("Content-Range"))
        except ProtocolError:
            part = None
        if part != (self.received, self._stop, info.size):
            raise SourceProtocolError(
                detail="the source sent a different part of the image than requested",
                image=info.id,
            )
        return 0


class HttpParts:
    """The bytes of an image, each part by a request of its own. See `ImageParts`.

    Args:
        info: The properties of the image.
        ask: Sends its request.
        stall: Seconds without a byte after which a part fails.
        timeouts: Other limits.
        fixed: Whether the bytes of an image never change there, so that parts need no ETag.
        share: Of the bodies of the client.
    """

    def __init__(
        self,
        info: ImageInfo,
        ask: Ask,
        *,
        stall: float,
        timeouts: Timeouts,
        fixed: bool,
        share: ReadShare,
    ) -> None:
        self._share = share
        self.info = info
        self._ask = ask
        self._stall = stall
        self._timeouts = timeouts
        self._fixed = fixed
        self._etag: str | None = None

    async def read(self, start: int, stop: int) -> AsyncGenerator[bytes]:
        """See `ImageParts.read`. A request that fails before its first byte is sent again."""
        async with AsyncExitStack() as stack:
            body = HttpBody(
                self.info,
                self._ask,
                stack,
                stall=self._stall,
                timeouts=self._timeouts,
                part=range(start, stop),
                etag=self._etag,
                share=self._share,
            )
            await body.open()
            if body.etag is None and not self._fixed:
                raise SourceRangeError(
                    image=self.info.id, reason="no ETag proves that they are of the same bytes"
                )
            self._etag = body.etag
            async with aclosing(aiter(body)) as chunks:
                async for chunk in chunks:
                    yield chunk


def strong(etag: str | None) -> str | None:
    """Return an ETag that only equal bytes share; None for a weak one or none."""
    found = re.fullmatch(r'"[\x21\x23-\x7e\x80-\xff]*"', etag or "")
    return None if found is None else etag


def check_answer(info: ImageInfo, status: int, headers: Mapping[str, str]) -> None:
    """Refuse a response whose head shows that its body is not the image.

    Raises:
        ImageSourceError: The body is encoded or has another length, or the status is not 200.
    """
    if status != 200:
        raise SourceProtocolError(detail=f"the status must be 200, got {status}", image=info.id)
    check_coding(headers, info.id)
    length = announced(headers)
    if length is None or length == info.size:
        return
    raise ImageSizeError(expected=info.size, received=length, image=info.id)


def check_coding(headers: Mapping[str, str], image: str) -> None:
    """Refuse a body with a Content-Encoding, which no request accepts."""
    encoding = headers.get("Content-Encoding", "identity")
    if encoding.lower() != "identity":
        raise SourceProtocolError(
            detail=f"Content-Encoding must be identity, got {printable(encoding, 40)!r}",
            image=image,
            hint="Bypass the proxy that compresses, between here and the source.",
        )


def announced(headers: Mapping[str, str]) -> int | None:
    """Return the Content-Length; None if it is absent or malformed."""
    text = headers.get("Content-Length")
    return int(text) if text is not None and re.fullmatch(r"[0-9]{1,19}", text) else None
