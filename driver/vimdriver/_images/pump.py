"""One transfer in threads: read, check and write over a ring of buffers. No asyncio.

A buffer goes reader -> checker -> writer -> reader and is never copied. It is sent only after it
passed the check, the last one only after the whole body did. Without hashing the reader checks in
its own thread, which costs next to nothing.

The first error cancels the other threads; the errors that this causes in them are dropped.
"""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from queue import SimpleQueue
from typing import TYPE_CHECKING, BinaryIO, Final, Protocol, TypeAlias

from vimdriver._images.channel import Address, Channel, Stalled, Stop, Stopped
from vimdriver._images.http import check_answer, named, refusal
from vimdriver._images.raw_http import HeadReader, RawHTTPError, RawRequest, ResponseHead
from vimdriver.errors import (
    ImageNotReadyError,
    ImageSizeError,
    SourceProtocolError,
    SourceReadError,
    SourceStalledError,
    SourceUnreachableError,
    SourceUnsizedError,
    SourceUntrustedError,
)
from vimlib._datastore.download import rejected
from vimlib._secret import forget_locals
from vimlib._text import bare_url, printable
from vimlib._transport.pace import NEVER, Deadline, Pace
from vimlib._transport.replies import redirect
from vimlib.errors import (
    CertificateError,
    ConnectError,
    ConnectionLostError,
    DeadlineError,
    TLSError,
    TransferCorruptError,
)

if TYPE_CHECKING:
    from vimdriver._images.check import BodyCheck
    from vimdriver._images.source import ImageInfo
    from vimlib._transport.base import Timeouts

_AFTERMATH: Final = 5.0
"""Seconds to wait for the server's response after it stopped accepting our bytes."""
_EXCERPT: Final = 200

Filled: TypeAlias = "tuple[bytearray, int] | None"
"""A buffer and its number of valid bytes; None ends the queue."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PumpOptions:
    """Sizes in bytes, times in seconds."""

    buffer_bytes: int = 512 << 10
    buffers: int = 4
    """The beginning, 1 MiB, is held back until it is checked: it must fit into all buffers but
    one."""
    connect_timeout: float = 30.0
    stall_timeout: float = 60.0
    answer_timeout: float = 600.0
    """For the head of a response, all of it, once the request is sent: a datastore may have to flush
    the whole file."""
    rate: float = 1024.0
    """Bytes a second at least on either side, on average over `window`."""
    window: float = 60.0
    transfer: float = 86400.0
    """For a whole body."""

    @classmethod
    def of(cls, timeouts: Timeouts) -> PumpOptions:
        """Return the options with the deadlines of a client."""
        return cls(
            connect_timeout=timeouts.connect,
            stall_timeout=timeouts.write,
            answer_timeout=timeouts.call,
            rate=timeouts.rate,
            window=timeouts.window,
            transfer=timeouts.transfer,
        )

    def end(self, rule: str, seconds: float) -> Deadline:
        """Return the end of a part of a transfer that begins now."""
        return Deadline(time.monotonic() + seconds, seconds, rule)

    def pace(self, rule: str, silence: float, end: Deadline) -> Pace:
        """Return the limits of a body until `end`."""
        return Pace(silence, rule, rate=self.rate, window=self.window, end=end)

    def head(self, end: Deadline, silence: float = inf) -> Pace:
        """Return the limits of the head of a response that is awaited from now on."""
        part = end.within(self.answer_timeout, "call", time.monotonic())
        return Pace(silence, "read", end=part)

    def __post_init__(self) -> None:
        if (self.buffers - 1) * self.buffer_bytes < 1 << 20:
            raise ValueError("every buffer but one must hold at least 1 MiB")


@dataclass(frozen=True, slots=True)
class Origin:
    """A request and the resolved addresses of its host."""

    wire: RawRequest
    addresses: Sequence[Address]


class Reader(Protocol):
    """The source of the bytes."""

    def open(self) -> None:
        """Prepare for the first byte of the body."""
        ...

    def read_into(self, view: memoryview) -> int:
        """Read 1 to `len(view)` bytes; 0 at the end."""
        ...

    def close(self) -> None:
        """Release everything that `open` acquired, even if it failed."""
        ...


class FileReader:
    """Reads a local file that is already open; its owner closes it."""

    def __init__(self, info: ImageInfo, file: BinaryIO) -> None:
        self._info = info
        self._file = file

    def open(self) -> None:
        """Nothing to do."""

    def read_into(self, view: memoryview) -> int:
        """See `Reader`."""
        try:
            return self._file.readinto(view)  # type: ignore[attr-defined, no-any-return]
        except OSError as error:
            raise SourceReadError(image=self._info.id, reason=error.strerror or "") from error

    def close(self) -> None:
        """Nothing to do."""


class SocketReader:
    """Reads the body of one GET."""

    def __init__(self, info: ImageInfo, origin: Origin, stop: Stop, options: PumpOptions) -> None:
        self._info = info
        self._origin = origin
        self._options = options
        self._channel = Channel(origin.wire, stop)
        self._rest = b""
        self._left = info.size

    def open(self) -> None:
        """Connect, send the request, and check the response head."""
        info, wire, options = self._info, self._origin.wire, self._options
        end = options.end("transfer", options.transfer)
        try:
            self._channel.connect(self._origin.addresses, options.connect_timeout)
        except Stalled as stalled:
            reason = f"no connection within {stalled.seconds:g} s"
            raise SourceUnreachableError(host=wire.origin, reason=reason, image=info.id) from None
        except ssl.SSLError as error:
            raise SourceUntrustedError(
                host=wire.origin, reason=_reason(error), image=info.id
            ) from None
        except OSError as error:
            raise SourceUnreachableError(
                host=wire.origin, reason=_reason(error), image=info.id
            ) from None
        silence = wire.stall or options.stall_timeout
        try:
            self._channel.pace = options.head(end, silence)
            _send_all(self._channel, wire.head())
            head, self._rest = _read_head(self._channel)
            self._channel.pace = options.pace("read", silence, end)
        except Stalled as stalled:
            raise SourceStalledError(
                seconds=stalled.seconds, received=0, rule=stalled.breach.rule, image=info.id
            ) from None
        except (RawHTTPError, OSError) as error:
            detail = _reason(error) if isinstance(error, OSError) else str(error)
            raise SourceProtocolError(detail=detail, image=info.id) from None
        self._judge(head)

    def _judge(self, head: ResponseHead) -> None:
        image = self._info.id
        if 300 <= head.status < 400:
            location = bare_url(head.headers.get("location", "nowhere"))
            raise refusal(head.status, image, location=location)
        if head.status >= 400:
            excerpt = self._origin.wire.mask(self._rest[:_EXCERPT].decode(errors="replace"))
            raise named(refusal(head.status, image, excerpt=excerpt), image)
        if head.status == 204:
            # Glance's status for an image without uploaded bytes.
            raise ImageNotReadyError(image=image, status="queued")
        try:
            if head.chunked or head.content_length is None:
                raise SourceUnsizedError(image=image)
        except RawHTTPError as error:
            raise SourceProtocolError(detail=str(error), image=image) from None
        check_answer(self._info, head.status, head.headers)

    def read_into(self, view: memoryview) -> int:
        """See `Reader`; a byte beyond the Content-Length is an error."""
        info = self._info
        try:
            if self._rest:
                count = min(len(self._rest), len(view))
                view[:count] = self._rest[:count]
                self._rest = self._rest[count:]
            elif self._left:
                count = self._channel.read_into(view)
            else:
                count = self._channel.read_now(view[:1]) or 0
        except Stalled as stalled:
            received = info.size - self._left
            raise SourceStalledError(
                seconds=stalled.seconds,
                received=received,
                rule=stalled.breach.rule,
                image=info.id,
            ) from None
        except OSError:
            if not self._left:
                return 0
            raise ImageSizeError(
                expected=info.size, received=info.size - self._left, image=info.id
            ) from None
        if count > self._left:
            raise ImageSizeError(expected=info.size, received=info.size + 1, image=info.id)
        if not count and self._left:
            raise ImageSizeError(expected=info.size, received=info.size - self._left, image=info.id)
        self._left -= count
        return count

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()


class SocketWriter:
    """Writes the body of one PUT and reads the server's response, early or late."""

    def __init__(
        self, origin: Origin, size: int, stop: Stop, options: PumpOptions, *, padding: int = 0
    ) -> None:
        self._origin = origin
        self._padding = padding
        self._size = size + padding
        self._options = options
        self._channel = Channel(origin.wire, stop)
        self._end = NEVER
        self._heads = HeadReader()
        self._sent = 0
        self._answered = False
        self.whole = False
        """Whether the whole body was sent."""

    def open(self) -> None:
        """Connect and send the head."""
        host, options = self._origin.wire.origin, self._options
        self._end = options.end("transfer", options.transfer)
        try:
            self._channel.connect(self._origin.addresses, options.connect_timeout)
        except Stalled as stalled:
            raise DeadlineError(
                f"no connection to {host} within {stalled.seconds:g} s",
                host=host,
                phase="connect",
                seconds=stalled.seconds,
                outcome="not_sent",
            ) from None
        except ssl.SSLCertVerificationError as error:
            raise CertificateError(
                f"the certificate of {host} was not accepted: {error.verify_message}",
                host=host,
                reason=error.verify_message,
            ) from None
        except ssl.SSLError as error:
            raise TLSError(
                f"the TLS handshake with {host} failed: {_reason(error)}", host=host
            ) from None
        except OSError as error:
            raise ConnectError(f"cannot connect to {host}: {_reason(error)}", host=host) from None
        self._channel.pace = options.pace("write", options.stall_timeout, self._end)
        self._send(memoryview(self._origin.wire.head(content_length=self._size)))

    def write(self, view: memoryview) -> None:
        """Send all of `view`.

        Raises:
            TransferRejectedError: The server responded before it had the whole body.
            ConnectionLostError: The server closed the connection without a response.
            DeadlineError: The server accepted too few bytes for too long.
        """
        self._send(view)
        self._sent += len(view)

    def _send(self, view: memoryview) -> None:
        sent = 0
        while sent < len(view):
            try:
                sent += self._channel.write(view[sent:])
                if sent < len(view):
                    self._listen()
            except Stalled as stalled:
                raise self._deadline(stalled) from None
            except OSError as error:
                raise self._aftermath(error) from None

    def _listen(self) -> None:
        """Read bytes that the server sends during the body; in TLS perhaps a session ticket."""
        buffer = bytearray(4096)
        count = self._channel.read_now(memoryview(buffer))
        if count is None:
            return
        if not count:
            raise ConnectionResetError("the server closed the connection")
        if (head := self._feed(buffer[:count])) is not None:
            raise self._early(head)

    def _aftermath(self, error: OSError) -> Exception:
        """Return the error after a failed send: the server may have responded before it closed."""
        buffer = bytearray(4096)
        self._channel.pace = Pace(inf, "read", end=self._options.end("read", _AFTERMATH))
        try:
            while True:
                count = self._channel.read_into(memoryview(buffer))
                if not count:
                    break
                if (head := self._feed(buffer[:count])) is not None:
                    return self._early(head)
        except (OSError, Stalled):
            pass  # no response arrived: the first error stands
        host = self._origin.wire.origin
        return ConnectionLostError(
            f"{host} closed the connection after {self._sent} of {self._size} bytes: "
            f"{_reason(error)}",
            host=host,
        )

    def _feed(self, data: bytearray) -> ResponseHead | None:
        try:
            return self._heads.feed(data)
        except RawHTTPError as error:
            host = self._origin.wire.origin
            raise ConnectionLostError(
                f"invalid HTTP response from {host}: {error}", host=host
            ) from None

    def _early(self, head: ResponseHead) -> Exception:
        if head.status < 300:
            return TransferCorruptError(
                "the server reported success before it had the whole file",
                expected=self._size,
                actual=self._sent,
                hint="Check for a proxy between here and the host that may have answered.",
            )
        return self._refusal(head)

    def _refusal(self, head: ResponseHead) -> Exception:
        said = self._heads.rest[:_EXCERPT].decode(errors="replace")
        excerpt = printable(self._origin.wire.mask(said))
        host = self._origin.wire.origin
        if 300 <= head.status < 400:
            return redirect(host, head.headers.get("location"))
        error = rejected("the file", "store", head.status, excerpt)
        error.path = ""  # the sink's affair
        return error

    def _deadline(self, stalled: Stalled) -> DeadlineError:
        breach = stalled.breach._replace(bytes=self._sent)
        return breach.error("upload", self._origin.wire.origin)

    def finish(self) -> None:
        """Pad, then wait for the server's response to the whole body.

        Raises:
            TransferRejectedError: Its status is not a success.
            ConnectionLostError: No response arrived; the file may or may not exist.
            DeadlineError: No response arrived in time.
        """
        self._send(memoryview(bytes(self._padding)))
        self.whole = True
        buffer = bytearray(4096)
        self._channel.pace = self._options.head(self._end)
        while True:
            try:
                count = self._channel.read_into(memoryview(buffer))
                if not count:
                    raise ConnectionResetError("the server closed the connection")
            except Stalled as stalled:
                raise self._deadline(stalled) from None
            except OSError as error:
                host = self._origin.wire.origin
                raise ConnectionLostError(
                    f"{host} sent no response to the complete file: {_reason(error)}", host=host
                ) from None
            if (head := self._feed(buffer[:count])) is not None:
                break
        self._answered = True
        if head.status not in (200, 201, 204):
            raise self._refusal(head)

    def close(self) -> None:
        """Close the connection; before the response arrives, this aborts the request."""
        if self._answered:
            self._channel.close()
        else:
            self._channel.abort()


class Pump:
    """One transfer. Run each of `jobs` in its own thread, all at once.

    Args:
        reader: The source of the bytes.
        writer: Their target; opened only once the beginning has passed the check.
        check: The check of the body.
        stop: Cancels all threads; `reader` and `writer` have the same one.
        options: Buffer sizes.
        on_sent: Called in the writer's thread with the number of bytes just sent.
    """

    def __init__(
        self,
        reader: Reader,
        writer: SocketWriter,
        check: BodyCheck,
        stop: Stop,
        options: PumpOptions,
        on_sent: Callable[[int], None],
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._check = check
        self._stop = stop
        self._buffer_bytes = options.buffer_bytes
        self._on_sent = on_sent
        self._lock = threading.Lock()
        self._free: SimpleQueue[bytearray | None] = SimpleQueue()
        self._read: SimpleQueue[Filled] = SimpleQueue()
        self._checked: SimpleQueue[Filled] = SimpleQueue()
        self._held: list[tuple[bytearray, int]] = []
        # Buffers beyond the image's size would stay unused.
        size = min(options.buffer_bytes, max(check.info.size, 1))
        for _ in range(options.buffers):
            self._free.put(bytearray(size))
        self.error: BaseException | None = None
        """The first error."""

    @property
    def jobs(self) -> list[Callable[[], None]]:
        """The functions to run. None of them raises: see `error`."""
        jobs = [self._guarded(self._run_reader), self._guarded(self._run_writer)]
        if self._check.hashing:
            jobs.append(self._guarded(self._run_checker))
        return jobs

    def call_off(self, error: BaseException | None = None) -> None:
        """End all threads soon. Thread-safe and idempotent; the first error is kept."""
        with self._lock:
            if self.error is None:
                self.error = error
        self._stop.set()
        for queue in (self._free, self._read, self._checked):
            queue.put(None)

    def _guarded(self, job: Callable[[], None]) -> Callable[[], None]:
        def run() -> None:
            try:
                job()
            except BaseException as error:  # noqa: BLE001 - raised from `error` by the caller
                forget_locals(error)  # request heads hold tokens and cookies
                self.call_off(None if isinstance(error, Stopped) else error)

        return run

    def _run_reader(self) -> None:
        reader, hashing = self._reader, self._check.hashing
        try:
            reader.open()
            while (buffer := self._free.get()) is not None:
                count = self._fill(buffer)
                if count:
                    if hashing:
                        self._read.put((buffer, count))
                    else:
                        self._judge(buffer, count)
                if count < len(buffer):
                    break
            else:
                return
            if hashing:
                self._read.put(None)
            else:
                self._conclude()
        finally:
            reader.close()

    def _fill(self, buffer: bytearray) -> int:
        """Fill `buffer`; return fewer bytes only at the end."""
        view = memoryview(buffer)
        filled = 0
        while filled < len(view):
            count = self._reader.read_into(view[filled:])
            if not count:
                break
            filled += count
        return filled

    def _run_checker(self) -> None:
        while (filled := self._read.get()) is not None:
            self._judge(*filled)
        if not self._stop.is_set:
            self._conclude()

    def _judge(self, buffer: bytearray, count: int) -> None:
        """Check one buffer; pass on the earlier ones, hold this one since it may be the last."""
        self._check.feed(memoryview(buffer)[:count])
        if self._check.decided:
            for earlier in self._held:
                self._checked.put(earlier)
            self._held.clear()
        self._held.append((buffer, count))

    def _conclude(self) -> None:
        self._check.finish()
        for last in self._held:
            self._checked.put(last)
        self._checked.put(None)

    def _run_writer(self) -> None:
        writer = self._writer
        try:
            filled = self._checked.get()
            if filled is None:
                return
            writer.open()
            while filled is not None:
                buffer, count = filled
                writer.write(memoryview(buffer)[:count])
                self._on_sent(count)
                self._free.put(buffer)
                filled = self._checked.get()
            if not self._stop.is_set:
                writer.finish()
        finally:
            writer.close()


def _send_all(channel: Channel, data: bytes) -> None:
    view = memoryview(data)
    scratch = memoryview(bytearray(1))
    while len(view):
        view = view[channel.write(view) :]
        if len(view) and channel.read_now(scratch) is not None:
            raise ConnectionResetError("the server sent data before the request")


def _read_head(channel: Channel) -> tuple[ResponseHead, bytes]:
    heads = HeadReader()
    buffer = bytearray(16 << 10)
    while True:
        count = channel.read_into(memoryview(buffer))
        if not count:
            raise ConnectionResetError("the connection was closed without a response")
        if (head := heads.feed(buffer[:count])) is not None:
            return head, heads.rest


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    if isinstance(error, ssl.SSLError):
        return error.reason or "TLS failed"
    return error.strerror or str(error)
