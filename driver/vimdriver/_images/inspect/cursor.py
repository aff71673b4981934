"""The read requests of a streaming check, and the cursor that answers them from chunks.

A check is a generator that yields `Exact(n)`, `Upto(n)` or `Skip(n)` and is sent the bytes. It does
not see chunk boundaries, and skipped bytes are never copied.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Exact:
    """Request exactly `count` bytes, as one piece; at most a few KiB."""

    count: int


@dataclass(frozen=True, slots=True)
class Upto:
    """Request the next 1 to `count` available bytes."""

    count: int


@dataclass(frozen=True, slots=True)
class Skip:
    """Skip `count` bytes; the check is sent b""."""

    count: int


Request: TypeAlias = Exact | Upto | Skip
Check: TypeAlias = Generator[Request, bytes, None]


class Cursor:
    """Runs one check over a stream of chunks."""

    def __init__(self, check: Check) -> None:
        self._check = check
        self._held = bytearray()
        self._request: Request | None = None
        self.ended = False
        """The check has returned."""
        self._advance(None)

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Pass the next chunk to the check; errors of the check propagate."""
        view = memoryview(data)
        while len(view) and self._request is not None:
            request = self._request
            if isinstance(request, Skip):
                taken = min(request.count, len(view))
                if taken == request.count:
                    self._advance(b"")
                else:
                    self._request = Skip(request.count - taken)
            elif isinstance(request, Upto):
                taken = min(request.count, len(view))
                self._advance(bytes(view[:taken]))
            else:
                taken = min(request.count - len(self._held), len(view))
                self._held += view[:taken]
                if len(self._held) == request.count:
                    piece = bytes(self._held)
                    self._held.clear()
                    self._advance(piece)
            view = view[taken:]

    def _advance(self, piece: bytes | None) -> None:
        try:
            request = next(self._check) if piece is None else self._check.send(piece)
            while request.count == 0:
                request = self._check.send(b"")
        except StopIteration:
            self._request = None
            self.ended = True
        else:
            self._request = request
