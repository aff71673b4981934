"""The read requests of an incremental parser, and the cursor that answers them from chunks.

A parser is a generator that yields `Exact`, `Upto` or `Skip` and is sent the bytes. It does not see
chunk boundaries. Bytes that lie in one chunk are not copied.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Final, Generic, TypeAlias, TypeVar

from vimdriver._images.formats.extents import Data
from vimdriver.errors import ImageUnacceptableError


@dataclass(frozen=True, slots=True)
class Exact:
    """Request exactly `count` bytes, as one piece; at most a few MiB."""

    count: int
    at: int | None = None
    """Their offset in the file, for parsers that read by Range; None for the next bytes."""
    optional: bool = False
    """At the end of the file, the parser is sent the bytes that there are."""


@dataclass(frozen=True, slots=True)
class Upto:
    """Request the next 1 to `count` available bytes."""

    count: int
    at: int | None = None
    """As for `Exact`. They and the rest of `count` are read in one go."""


@dataclass(frozen=True, slots=True)
class Skip:
    """Skip `count` bytes; the parser is sent b"". The file may end before that.

    `Skip(0)` lets the results be consumed that there are.
    """

    count: int


Request: TypeAlias = Exact | Upto | Skip
Parser: TypeAlias = Generator[Request, memoryview, None]

Item = TypeVar("Item")

COPY_AGAIN: Final = "Copy the file again, in binary mode and whole, or export it again."
_NOTHING: Final = memoryview(b"")
TO_THE_END: Final = 1 << 62
"""A count of bytes beyond any file's."""


class Cursor:
    """Runs one parser over a stream of chunks, or over the parts of a file that it requests."""

    def __init__(self, parser: Parser) -> None:
        self._parser = parser
        self._held = bytearray()
        self._request: Request | None = None
        self._advance(None)

    @property
    def wanted(self) -> range | None:
        """The offsets to feed next; None if the parser has ended or takes the next bytes."""
        request = self._request
        if not isinstance(request, Exact | Upto) or request.at is None:
            return None
        return range(request.at + len(self._held), request.at + request.count)

    def feed(self, data: Data) -> Iterator[None]:
        """Pass the next chunk to the parser; yield after each step, where it may have results.

        Errors of the parser propagate.
        """
        view = memoryview(data)
        while (request := self._request) is not None and (len(view) or not request.count):
            if isinstance(request, Exact) and (self._held or len(view) < request.count):
                taken = min(request.count - len(self._held), len(view))
                self._held += view[:taken]
                if len(self._held) == request.count:
                    self._advance(self._taken())
                    yield
            else:
                taken = min(request.count, len(view))
                if isinstance(request, Skip) and taken < request.count:
                    self._request = Skip(request.count - taken)
                else:
                    self._advance(_NOTHING if isinstance(request, Skip) else view[:taken])
                    yield
            view = view[taken:]

    def finish(self) -> Generator[None, None, bool]:
        """End the file as `feed`; return whether the parser may end here too."""
        while (request := self._request) is not None:
            if isinstance(request, Skip):
                self._advance(_NOTHING)
            elif not request.count or (isinstance(request, Exact) and request.optional):
                self._advance(self._taken())
            else:
                return False
            yield
        return True

    def _taken(self) -> memoryview:
        piece, self._held = memoryview(self._held), bytearray()
        return piece

    def _advance(self, piece: memoryview | None) -> None:
        try:
            self._request = next(self._parser) if piece is None else self._parser.send(piece)
        except StopIteration:
            self._request = None


class ParsedFile(Generic[Item]):
    """A reader that is one parser, which appends its results to the list that it is given.

    With `Extent` items it is a `DiskReader`.

    Args:
        capacity: Bytes of the disk.
        parse: Returns the parser that appends the results to its argument.
        end_rule: The rule that a file breaks that ends too early.
        size: Bytes of the file; None if they are not known.

    Raises:
        ImageUnacceptableError: The parser's first request is behind the end of the file.
    """

    def __init__(
        self,
        capacity: int,
        parse: Callable[[list[Item]], Parser],
        end_rule: str,
        size: int | None,
    ) -> None:
        self.capacity: int | None = capacity
        self._size = size
        self._results: list[Item] = []
        self._end_rule = end_rule
        self._fed = 0
        self._cursor = Cursor(parse(self._results))
        self._check_wanted()

    @property
    def wanted(self) -> range | None:
        """See `DiskReader`."""
        return self._cursor.wanted

    def _check_wanted(self) -> None:
        wanted = self._cursor.wanted
        if wanted is not None and self._size is not None and wanted.stop > self._size:
            raise self._truncated(self._size)

    def feed(self, chunk: Data) -> Iterator[Item]:
        """See `DiskReader`."""
        wanted = self._cursor.wanted
        if wanted is not None and len(chunk) > len(wanted):
            raise ValueError(f"{len(wanted)} bytes are wanted, got {len(chunk)}")
        self._fed += len(chunk)
        return self._feed(chunk)

    def _feed(self, chunk: Data) -> Iterator[Item]:
        for _ in self._cursor.feed(chunk):
            if self._results:
                yield from self._results
                self._results.clear()
        self._check_wanted()

    def finish(self) -> Iterator[Item]:
        """See `DiskReader`."""
        ending = self._cursor.finish()
        while True:
            try:
                next(ending)
            except StopIteration as ended:
                if ended.value:
                    return
                raise self._truncated(self._fed) from None
            yield from self._results
            self._results.clear()

    def _truncated(self, size: int) -> ImageUnacceptableError:
        return ImageUnacceptableError(
            rule=self._end_rule, detail=f"the file ends after {size} bytes", hint=COPY_AGAIN
        )
