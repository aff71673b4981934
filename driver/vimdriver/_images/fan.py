"""One read of an image for several targets: each body goes to all members that open it, in step.

Bytes that were read wait in a window until all members have them. A member that holds up the others for
too long gets a read of its own, from the image's beginning, and passes on the bytes that it lacks; so a
slow or failing target costs the others seconds at most, and finishes or fails alone.
"""

from __future__ import annotations

import asyncio
import logging
import zlib
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from contextvars import Context
from copy import copy
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final, Self

from vimdriver.errors import SourceProtocolError
from vimlib._shield import stopped
from vimlib._text import printable
from vimlib.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from vimdriver._images.source import ImageBody, ImageInfo, ImageSource, ImageStore

log = logging.getLogger("vimdriver.images")

_BURST: Final = 0.1
"""Seconds by which a limited member may be ahead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FanLimits:
    """Sizes in bytes, times in seconds."""

    window: int = 16 << 20
    """What may be read ahead of the slowest member."""
    patience: float = 10.0
    """How long the slowest member may keep others waiting."""
    gather: float = 10.0
    """How long the first member to open an image waits for the others."""


class Bandwidth:
    """Limits a sum of transfers to so many bytes a second. Raises `UsageError` unless it is positive."""

    def __init__(self, rate: float) -> None:
        if not rate > 0:
            raise UsageError(f"the bandwidth must be above 0 bytes a second, got {rate!r}")
        self._rate = rate
        self._due = 0.0

    async def take(self, count: int) -> None:
        """Wait until `count` more bytes may pass. Cancelling counts them all the same."""
        now = asyncio.get_running_loop().time()
        self._due = max(self._due, now - _BURST) + count / self._rate
        if self._due > now:
            await asyncio.sleep(self._due - now)


class Fan:
    """A store whose images several members read at once. Use it with `async with`.

    Args:
        images: The images.
        members: How many there are; each gets its store by `member`.
        limits: How long members wait for each other.
        total: Limits the bytes to all members together.
    """

    def __init__(
        self,
        images: ImageStore,
        members: int,
        *,
        limits: FanLimits | None = None,
        total: Bandwidth | None = None,
    ) -> None:
        self._images = images
        self.limits = limits or FanLimits()
        self.present = set(range(members))
        """Members that may still open images."""
        self.total = total
        self._shared: dict[str, _Shared] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        readers = [reading.reader for each in self._shared.values() for reading in each.readings]
        await stopped(*(reader for reader in readers if reader is not None))

    def member(self, number: int, bandwidth: Bandwidth | None = None) -> Member:
        """Return the store of a member, whose bytes `bandwidth` limits; `leave` it in the end."""
        return Member(self, number, bandwidth)

    def shared(self, ref: str) -> _Shared:
        """Return the shared state of an image."""
        if ref not in self._shared:
            self._shared[ref] = _Shared(self, self._images.image(ref))
        return self._shared[ref]

    def leave(self, number: int) -> None:
        """Let nobody wait for a member any more."""
        self.present.discard(number)
        for each in self._shared.values():
            for reading in each.readings:
                reading.look()


class Member:
    """The store of one member."""

    def __init__(self, fan: Fan, number: int, bandwidth: Bandwidth | None) -> None:
        self._fan = fan
        self._number = number
        self._limits = [each for each in (bandwidth, fan.total) if each is not None]

    def image(self, ref: str) -> SharedImage:
        """See `ImageStore.image`."""
        return SharedImage(self._fan.shared(ref), self._number, self._limits)

    def leave(self) -> None:
        """Open nothing any more: the others do not wait."""
        self._fan.leave(self._number)


class SharedImage:
    """An image as one member reads it."""

    def __init__(self, shared: _Shared, number: int, limits: list[Bandwidth]) -> None:
        self._shared = shared
        self._number = number
        self._limits = limits
        self._opened = 0

    async def info(self) -> ImageInfo:
        """See `ImageSource.info`; read once for all."""
        return await self._shared.info()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[SharedBody]:
        """See `ImageSource.open`. Waits for the other members, `FanLimits.gather` at most.

        A member's first body is that which the others open first, and so on.
        """
        reading = self._shared.reading(self._opened)
        self._opened += 1
        body = SharedBody(await self.info(), self._shared.source, reading, self._limits)
        reading.join(self._number, body)
        try:
            yield body
        finally:
            reading.part(body)


class SharedBody:
    """A body as one member reads it."""

    def __init__(
        self, info: ImageInfo, source: ImageSource, reading: _Reading, limits: list[Bandwidth]
    ) -> None:
        self.info = info
        self.position = 0
        """The number of chunks that it has taken."""
        self.taken = 0
        """Their bytes."""
        self.checksum = 0
        """Of these bytes, where nothing else would show that they changed."""
        self.waits = False
        """Whether it has all that was read."""
        self._source = source
        self._reading = reading
        self._limits = limits

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """See `ImageBody`."""
        while self._reading.has(self):
            chunk = await self._reading.next(self)
            if chunk is None:
                break
            await self._limited(len(chunk))
            yield chunk
        if not self._reading.has(self):
            async with self._source.open() as body, aclosing(self._rest(body)) as rest:
                async for chunk in rest:
                    await self._limited(len(chunk))
                    yield chunk

    async def _limited(self, count: int) -> None:
        for limit in self._limits:
            await limit.take(count)

    async def _rest(self, body: ImageBody) -> AsyncGenerator[bytes]:
        """Yield what has not been taken of a body that begins again."""
        skip, checksum = self.taken, 0
        async for chunk in body:
            known = min(skip, len(chunk))
            if known and self.info.hash_value is None:
                checksum = zlib.crc32(memoryview(chunk)[:known], checksum)
            skip -= known
            if known and not skip and self.info.hash_value is None and checksum != self.checksum:
                raise SourceProtocolError(
                    detail="the image changed while it was read",
                    image=self.info.id,
                    hint="Try again.",
                )
            if known < len(chunk):
                yield chunk[known:] if known else chunk


class _Shared:
    """One image's source, information and reads, which the members share."""

    def __init__(self, fan: Fan, source: ImageSource) -> None:
        self.source = source
        self.readings: list[_Reading] = []
        self._fan = fan
        self._info: ImageInfo | None = None
        self._asking = asyncio.Lock()

    async def info(self) -> ImageInfo:
        async with self._asking:
            if self._info is None:
                self._info = await self.source.info()
            return self._info

    def reading(self, number: int) -> _Reading:
        while len(self.readings) <= number:
            self.readings.append(_Reading(self._fan, self.source))
        return self.readings[number]


class _Reading:
    """One read of a body, and the members that take part in it."""

    def __init__(self, fan: Fan, source: ImageSource) -> None:
        self._fan = fan
        self._source = source
        self._joined: set[int] = set()
        self._bodies: set[SharedBody] = set()
        self._window: deque[tuple[bytes, int]] = deque()  # chunks, and the checksum up to each
        self._size = 0
        self._first = 0  # position of the first chunk in the window
        self._full = False
        self._ended = False
        self._whole = False
        self._error: Exception | None = None
        self._news = asyncio.Event()
        self.reader: asyncio.Task[None] | None = None

    def join(self, number: int, body: SharedBody) -> None:
        """Take part. One that comes when the beginning is gone does not."""
        self._joined.add(number)
        if not self._first and self._ended == self._whole:
            self._bodies.add(body)
        if self.reader is None:
            # In a context of its own: that of a member holds a connection of its host.
            self.reader = asyncio.create_task(
                self._read(), name="vimlib shared image", context=Context()
            )
        self.look()

    def part(self, body: SharedBody) -> None:
        """Take part no more."""
        self._bodies.discard(body)
        self._trim()
        if not self._bodies and self.reader is not None and self._fan.present <= self._joined:
            self.reader.cancel()
        self.look()

    def has(self, body: SharedBody) -> bool:
        """Return whether a member takes part: it has not been cut loose."""
        return body in self._bodies

    async def next(self, body: SharedBody) -> bytes | None:
        """Return a member's next chunk; None at the end, or if it is cut loose.

        Raises:
            ImageSourceError: The source failed.
        """
        while body in self._bodies:
            at = body.position - self._first
            if at < len(self._window):
                body.waits = False
                chunk, body.checksum = self._window[at]
                body.position += 1
                body.taken += len(chunk)
                self._trim()
                return chunk
            if self._error is not None:
                raise copy(self._error)  # each member adds facts of its own
            if self._ended:
                return None
            body.waits = True
            await self._waited()
        return None

    def look(self) -> None:
        """Wake those that wait."""
        self._news.set()
        self._news = asyncio.Event()

    async def _waited(self, seconds: float | None = None) -> bool:
        """Wait for news; return whether there are any."""
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            return False
        return True

    async def _until(self, holds: Callable[[], bool], seconds: float) -> bool:
        """Wait until it holds; return whether it does by then."""
        clock = asyncio.get_running_loop().time
        end = clock() + seconds
        while not holds():
            if clock() >= end:
                return False
            await self._waited(end - clock())
        return True

    async def _read(self) -> None:
        await self._until(lambda: self._fan.present <= self._joined, self._fan.limits.gather)
        try:
            async with self._source.open() as body:
                checksum = 0
                async for chunk in body:
                    await self._room(len(chunk))
                    if not self._bodies:
                        return
                    if body.info.hash_value is None:
                        checksum = zlib.crc32(chunk, checksum)
                    self._window.append((chunk, checksum))
                    self._size += len(chunk)
                    self.look()
            self._whole = True
        except Exception as error:  # noqa: BLE001 - raised to each member
            self._error = error
        finally:
            self._ended = True
            self.look()

    async def _room(self, count: int) -> None:
        """Wait until a chunk has room in the window, and cut loose who keeps others waiting."""
        limits = self._fan.limits
        while self._size and self._size + count > limits.window:
            before, self._full = self._first, True
            if await self._until(partial(self._moved, before), limits.patience):
                continue
            if not any(body.waits for body in self._bodies):
                continue
            for body in [each for each in self._bodies if each.position == self._first]:
                log.warning(
                    "%s: a target is cut loose at byte %d: others waited for it for %g s",
                    printable(body.info.id), body.taken, limits.patience,
                )  # fmt: skip
                self._bodies.discard(body)
            self._trim()
            self.look()

    def _moved(self, before: int) -> bool:
        return self._first > before or not self._size

    def _trim(self) -> None:
        """Drop the chunks that all members have."""
        least = min((body.position for body in self._bodies), default=None)
        before = self._first
        while self._window and (least is None or self._first < least):
            chunk, _ = self._window.popleft()
            self._size -= len(chunk)
            self._first += 1
        if self._full and self._first > before:
            self._full = False
            self.look()
