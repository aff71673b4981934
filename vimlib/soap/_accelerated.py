"""The decoder whose inner loop is compiled: the pure one around `_accel.Reader`.

Expat reads a reply up to its content and after it; the reader takes the content. Expat reads a
fault whole, since there is at most one.

A server begins all its replies to a method with the same bytes, and expat parses the same bytes in
the same way: the result is cached. A reply that begins so and has come whole needs the reader
alone; if anything about it is out of the ordinary, it is read again in the long way, which knows.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from xml.parsers import expat

from vimlib.errors import ProtocolError
from vimlib.soap._accel import Reader
from vimlib.soap._builder import PLACE
from vimlib.soap._context import MessageContext
from vimlib.soap._decode import BLANK, BROKEN, SLICE, SMALL, MessageDecoder, PureDecoder
from vimlib.soap._leaf import InvalidValueError
from vimlib.soap._native import Malformed, moved, read_error, root_tag
from vimlib.soap._parser import make_parser

if TYPE_CHECKING:
    from collections.abc import Callable

    from vimlib.soap._resolve import Scope
    from vimlib.soap._tables import TypeInfo

R = TypeVar("R")

# A whole start tag, known to be one: `>` may stand between quotes.
_TAG = re.compile(rb"""<([^\s/>]+)[^>"']*(?:"[^"]*"[^>"']*|'[^']*'[^>"']*)*>""")


# Bounds of the cache: bytes of a beginning, beginnings of a method, methods (with limits).
_LONGEST = 1024
_MOST = 4
_MOST_METHODS = 2048
# The first byte of a character beyond ASCII is at least this.
_LEAD = 0xC0


@lru_cache(maxsize=64)
def _end_tags(names: tuple[bytes, ...]) -> re.Pattern[bytes]:
    """Return what matches the end tags of open elements, innermost last, with blanks where hosts break lines."""
    tags = (re.escape(b"</" + name + b">") for name in reversed(names))
    return re.compile(b"[ \t\r\n]*".join((b"", *tags, b"")))


class _Begin(Exception):
    """Leaves expat where the content of a reply begins."""


class _Beginning(NamedTuple):
    """The parsed bytes before the content of a reply, and the end tags that must follow it."""

    head: bytes
    last: bytes
    """The end tag of the envelope."""
    tail: re.Pattern[bytes]
    name: bytes
    """The tag of the Body's child, as written."""
    prefixes: dict[str | None, list[str]]
    scope: Scope
    elements: int


class _Message(MessageDecoder):
    """Gives the content of a reply to a reader."""

    def __init__(self, beginnings: list[_Beginning], *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._beginnings = beginnings
        self._reader: Reader | None = None
        self._shape: TypeInfo | None = None
        self._done: Callable[[Any], None] | None = None
        # Expat's bytes that have not become an event, and where they begin.
        self._held = b""
        self._held_from = 0
        self._open_names: list[bytes] = []
        self._declarations = b""
        self._content_at = 0
        self._empty = False
        self._tail: expat.XMLParserType | None = None
        self._tail_prefix = b""
        # The last start tag that expat reported.
        self._tag = b""
        self._tag_line = self._tag_column = 0
        self._tail_fed = 0
        self._finished = False
        self._rest: list[bytes] = []
        self._rest_size = 0

    def begin(self, shape: TypeInfo, done: Callable[[Any], None]) -> None:
        """Leave the message that has just begun to the reader."""
        self._shape, self._done = shape, done
        self._start_tag()
        raise _Begin

    def _start(self, tag: str, attrs: list[str]) -> None:
        if self._level < 2 and not self._header_name:
            self._start_tag()
        super()._start(tag, attrs)

    def _start_tag(self) -> re.Match[bytes]:
        """Return the start tag that expat reports; remember its name."""
        match = _TAG.match(self._held, self._parser.CurrentByteIndex - self._held_from)
        assert match is not None, "expat reported an invalid tag"
        self._open_names.append(match[1])
        self._content_at = match.end()
        self._tag = match[0]
        self._tag_line = self._parser.CurrentLineNumber
        self._tag_column = self._parser.CurrentColumnNumber
        self._empty = match[0].endswith(b"/>")
        return match

    def _end(self, tag: str) -> None:
        if self._open_names and self._level - 1 < len(self._open_names):
            del self._open_names[self._level - 1 :]
        super()._end(tag)

    def _parse(self, data: memoryview, final: bool) -> None:
        try:
            at = 0
            if self._reader is None:
                at = self._before(data, final)
            if self._reader is not None and not self._finished:
                at = self._inside(data, at)
            if self._finished:
                self._behind(bytes(data[at:]), final)
            elif final and self._reader is not None:
                self._refuse(Malformed("no end"), final=True)
        except InvalidValueError as reason:
            raise self._misfit(reason) from None
        except expat.ExpatError as error:  # behind the content
            assert self._reader is not None
            reached = self._reader.reached()
            raise self._malformed(moved(error, self._tail_prefix, reached)) from None
        except ProtocolError as error:
            if not error.path:
                error.path = self._path()
            raise

    def _path(self) -> str:
        return self.machine.path() if self._reader is None else self._reader.path()

    def _before(self, data: memoryview, final: bool) -> int:
        """Feed expat until the content begins. Return how many bytes have been taken."""
        first = self._parsed == 0
        for at in range(0, len(data), self._slice):
            piece = data[at : at + self._slice]
            self._held += piece
            try:
                super()._parse(piece, False)
            except _Begin:
                if first:
                    self._remember(data)
                self._start_reader()
                return at + len(piece)
            spent = max(0, self._parser.CurrentByteIndex - self._held_from)
            self._held = self._held[spent:]
            self._held_from += spent
        if final:
            try:
                super()._parse(memoryview(b""), True)
            except _Begin:  # expat had held the tag back
                self._start_reader()
        return len(data)

    def _remember(self, data: memoryview) -> None:
        """Cache the parsed beginning of this reply, whose first piece is `data`."""
        size = self._held_from + self._content_at
        if self.header or self._empty or size > _LONGEST or len(self._beginnings) >= _MOST:
            return
        head = bytes(data[:size])
        if any(known.head == head for known in self._beginnings):
            return  # it came in pieces, or was too long, to be read as one that begins so
        names = self._open_names
        resolver = self.machine.resolver
        self._beginnings.append(
            _Beginning(
                head,
                b"</" + names[0] + b">",
                _end_tags(tuple(names)),
                names[-1],
                resolver.bound(),
                resolver.scope(),
                self.machine.counted(),
            )
        )

    def _start_reader(self) -> None:
        assert self._shape is not None
        machine = self.machine
        self._declarations = root_tag(machine.resolver.scope())[2:-1]
        name = self._open_names[-1]
        content, self._held = self._held[self._content_at :], b""
        reader = Reader(machine, self._shape, PLACE, name, machine.counted())
        end = b""
        if self._empty:  # a start tag with its end tag
            end = b"</" + name + b">"
        reader.locate(self._tag_line, self._tag_column, self._tag, end)
        content = end + content
        self._reader = reader
        self._read(content)

    def _read(self, data: bytes) -> bool:
        """Feed the reader. Return whether the content has ended; expat reads the rest."""
        assert self._reader is not None
        before = self._reader.elements()
        try:
            rest = self._reader.read(data)
        except (Malformed, expat.ExpatError) as reason:
            self._refuse(reason)
            rest = None
        self._unended = self._unended + len(data) if self._reader.elements() == before else 0
        if rest is None:
            return False
        assert self._done is not None
        self._done(self._reader.result)
        self._unended = 0
        self._finished = True
        self._behind(rest, False)
        return True

    def _inside(self, data: memoryview, at: int) -> int:
        """Feed the reader from `at` on. Return how many bytes have been taken."""
        while at < len(data):
            piece = bytes(data[at : at + SLICE])
            at += SLICE
            if self._read(piece):
                break
        return at

    # Behind the content there may be end tags alone, so their names are all that matters.

    def _make_tail(self) -> expat.XMLParserType:
        envelope, *inner = self._open_names
        tail = make_parser()
        self._tail_prefix = b"<" + envelope + self._declarations + b">"
        self._tail_prefix += b"".join(b"<" + name + b">" for name in inner)
        tail.Parse(self._tail_prefix, False)
        tail.StartElementHandler = self._surplus
        tail.ProcessingInstructionHandler = self._instruction
        self._tail_fed = tail.CurrentByteIndex
        return tail

    def _surplus(self, tag: str, attrs: Any) -> None:
        raise ProtocolError("more than one message in the SOAP envelope")

    def _behind(self, data: bytes, final: bool) -> None:
        self._rest.append(data)
        if self._tail is None:
            self._rest_size += len(data)
            if not final and self._rest_size < SLICE:
                return
            # What nearly always stands there needs no parser.
            names = tuple(self._open_names)
            short = sum(map(len, names)) <= _LONGEST
            if final and short and _end_tags(names).fullmatch(b"".join(self._rest)):
                return
            self._tail = self._make_tail()
        # Behind the root expat's errors depend on the pieces; see `feed` for why some wait.
        waiting = bytearray()
        for piece in self._rest:
            waiting += piece
            if self._unended <= SMALL or len(waiting) >= self._unended:
                self._parse_tail(self._tail, waiting)
                waiting.clear()
        self._rest.clear()
        self._parse_tail(self._tail, waiting)
        if final:
            self._tail.Parse(b"", True)

    def _parse_tail(self, tail: expat.XMLParserType, data: bytearray) -> None:
        tail.Parse(data, False)
        self._tail_fed += len(data)
        self._unended = self._tail_fed - tail.CurrentByteIndex
        if self._unended > self._limits.text + SLICE:
            self.machine.check_text(self._limits.text + 1)

    def _refuse(self, reason: Exception, *, final: bool = False) -> None:
        """Raise the error that expat finds in a content that is not XML, with its place.

        Expat waits for the last byte of a character, the reader does not. Without an error the
        reader has kept the bytes that it refused, and reads them again with the next ones.
        """
        assert self._reader is not None
        rest = self._reader.rest
        found = read_error(self._reader.prefix(), rest, self._reader.reached(), final=final)
        if found is not None:
            raise self._malformed(found) from None
        if final or max(rest[-3:], default=0) < _LEAD:
            raise ProtocolError(
                f"the reply is not well-formed XML: {reason}",
                path=self._path(),
                excerpt=self._shown(),
                hint=BROKEN,
            ) from None


class AcceleratedDecoder(PureDecoder[R]):
    """Decodes the reply to one call, fed in pieces as they arrive; see `PureDecoder`."""

    def _feed_first(self, data: bytes) -> None:
        for known in self._beginnings():
            if data.startswith(known.head) and data.rstrip(BLANK).endswith(known.last):
                if len(data) <= self._limits.inflated and self._read_whole(data, known):
                    return
                break
        super()._feed_first(data)

    def _read_whole(self, data: bytes, known: _Beginning) -> bool:
        """Read a reply of which all but the content is known. False: something is the matter with it."""
        context = MessageContext(
            self._tables,
            self._limits,
            strict=self._strict,
            invoker=self._invoker,
            essential=self._essential,
        )
        context.resolver.borrow(known.prefixes, known.scope)
        shape = self._tables.reply(self._method)
        reader = Reader(context, shape, PLACE, known.name, known.elements)
        try:
            rest = reader.read(data[len(known.head) :])
        except (InvalidValueError, Malformed, ProtocolError, expat.ExpatError):
            return False
        if rest is None or known.tail.fullmatch(rest) is None:
            return False
        self._whole = data
        self._result = reader.result[0] if reader.result else None
        return True

    def _beginnings(self) -> list[_Beginning]:
        """Return the cached beginnings of replies to the method under these limits."""
        known = self._tables.beginnings
        found: list[_Beginning] | None = known.get((self._method, self._limits))
        if found is None:
            if len(known) >= _MOST_METHODS:
                known.clear()
            found = known[self._method, self._limits] = []
        return found

    def _make_message(self) -> MessageDecoder:
        return _Message(
            self._beginnings(),
            self._tables,
            self._limits,
            self._body,
            strict=self._strict,
            invoker=self._invoker,
            essential=self._essential,
        )

    def _open(self, shape: TypeInfo, done: Callable[[Any], None]) -> None:
        assert isinstance(self._message, _Message)
        self._message.begin(shape, done)
