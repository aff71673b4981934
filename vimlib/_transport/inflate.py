"""Reply bodies, counted and inflated within limits."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final

from vimlib._text import printable
from vimlib.errors import LimitError, ProtocolError

if TYPE_CHECKING:
    from collections.abc import Callable

    from vimlib.soap import Limits

# Output of one step: a bomb is detected before it takes more memory than this.
_STEP: Final = 1 << 20
# Below this many bytes the ratio is meaningless: a tiny reply of blanks may compress by 1000.
_RATIO_FLOOR: Final = 1 << 20


class Inflater:
    """Pass a body on to `sink`, gzip taken off, and refuse what passes the limits.

    Raises `LimitError`, and `ProtocolError` for another encoding or damaged gzip.
    """

    def __init__(self, encoding: str, limits: Limits, sink: Callable[[bytes], None]) -> None:
        name = encoding.strip().lower() if encoding else ""
        self._limits = limits
        self._sink = sink
        self._zip = None
        if name in {"gzip", "x-gzip"}:
            self._zip = zlib.decompressobj(16 + zlib.MAX_WBITS)
        elif name not in {"", "identity"}:
            raise ProtocolError(
                f"Content-Encoding must be gzip or identity, got {printable(encoding, 40)!r}"
            )
        self.wire = 0
        """Bytes taken so far, as they came."""
        self.inflated = 0
        """Bytes passed on so far."""

    def feed(self, chunk: bytes) -> None:
        """Take the next piece of the body."""
        self.wire += len(chunk)
        if self.wire > self._limits.wire:
            raise _over("wire", self._limits.wire, "bytes on the wire")
        if self._zip is None:
            if self.wire > self._limits.inflated:
                raise _over("inflated", self._limits.inflated, "inflated bytes")
            self.inflated = self.wire
            self._sink(chunk)
            return
        if self._zip.eof and chunk:
            raise ProtocolError("data after the end of the gzip body")
        try:
            while chunk:
                self._pass(self._zip.decompress(chunk, _STEP))
                chunk = self._zip.unconsumed_tail
        except zlib.error as exc:
            raise ProtocolError(f"invalid gzip body: {exc}") from exc
        if self._zip.unused_data:
            raise ProtocolError("data after the end of the gzip body")

    def close(self) -> None:
        """Say that the body is over."""
        if self._zip is not None and not self._zip.eof:
            raise ProtocolError("truncated gzip body")

    def _pass(self, data: bytes) -> None:
        if not data:
            return
        self.inflated += len(data)
        if self.inflated > self._limits.inflated:
            raise _over("inflated", self._limits.inflated, "inflated bytes")
        if self.inflated > max(_RATIO_FLOOR, self.wire * self._limits.ratio):
            raise _over("ratio", int(self._limits.ratio), "times its compressed size")
        self._sink(data)


def _over(limit: str, allowed: int, what: str) -> LimitError:
    return LimitError(
        f"the reply must have at most {allowed} {what}",
        hint=f"If you trust the host, raise Limits.{limit} or request less at once.",
        limit=limit,
        allowed=allowed,
    )
