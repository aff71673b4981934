"""XML to objects: the incremental decoder, with expat as its tokenizer."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar
from xml.parsers import expat

from vimlib._text import printable
from vimlib.errors import ForbiddenXMLError, ProtocolError, UnexpectedReplyError, UsageError
from vimlib.soap._builder import ObjectBuilder, local_name
from vimlib.soap._context import over
from vimlib.soap._fault import fault_from, fault_item, fault_shape
from vimlib.soap._leaf import InvalidValueError
from vimlib.soap._limits import Limits
from vimlib.soap._names import ENVELOPE
from vimlib.soap._parser import HELD, make_parser
from vimlib.soap._tables import Tables, TypeInfo, tables_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from vimlib.model import Invoker, Method, MethodFault

P = ParamSpec("P")
R = TypeVar("R")

SLICE = 1 << 16
BROKEN = "Check for a proxy that changes or truncates replies, and read the host's log."
BLANK = b" \t\r\n"
_BOM = b"\xef\xbb\xbf"
_EXCERPT = 200
# Less makes no garbage that is worth to be held up for.
SMALL = 1 << 12
# Bytes kept of a reply that arrived in one piece.
_LARGEST_WHOLE = 1 << 16
# Codes of expat's errors (expat.h); pyexpat has names for their messages alone.
_UNDEFINED_ENTITY = 11
_AT_END = frozenset({3, 5, 6, 20})  # no element, unclosed token, partial character, unclosed CDATA


@contextmanager
def _no_gc() -> Iterator[None]:
    """Keep the cycle collector from looking again and again at a result that only grows."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


class MessageDecoder:
    """Reads one SOAP message, fed in pieces of any size.

    `body` is asked with namespace and name of the Body's child and begins a message of the
    machine, or raises.
    """

    def __init__(
        self,
        tables: Tables,
        limits: Limits,
        body: Callable[[str, str], None],
        *,
        strict: bool,
        invoker: Invoker | None,
        essential: Mapping[str, frozenset[str]] | None = None,
    ) -> None:
        self._limits = limits
        self._body = body
        self._head = b""
        self._excerpt = b""
        self._fed = 0
        self._parsed = 0
        # Bytes of a token or a text that has not ended, and what waits to be read on with it.
        self._unended = 0
        self._waiting = bytearray()
        self._level = 0
        self._seen_body = self._seen_root = False
        self._complete = False
        self._failed: BaseException | None = None
        self._header_name = ""
        self.header: dict[str, str] = {}
        """Children of the SOAP header that are plain text, by local name."""
        # A text that comes in one piece is not measured, so no piece may be over the limit.
        self._slice = max(1, min(SLICE, limits.text))
        self._parser = self._make_parser()
        self.machine = ObjectBuilder(
            self._parser, tables, limits, strict=strict, invoker=invoker, essential=essential
        )
        self._parser.CharacterDataHandler = self.machine.texts.append
        self._parser.StartNamespaceDeclHandler = self.machine.resolver.declare
        self._parser.EndNamespaceDeclHandler = self.machine.resolver.undeclare

    def _make_parser(self) -> expat.XMLParserType:
        parser = make_parser()
        parser.buffer_text = True
        parser.buffer_size = self._slice
        parser.ordered_attributes = True
        parser.XmlDeclHandler = self._xml_declaration
        parser.StartDoctypeDeclHandler = self._doctype
        parser.ProcessingInstructionHandler = self._instruction
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        return parser

    # Feeding

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Take the next bytes of the message.

        Raises:
            ProtocolError: They violate the schema or exceed the limits.
        """
        if self._failed is not None:
            raise self._failed
        try:
            self._fed += len(data)
            if self._fed > self._limits.inflated:
                allowed = self._limits.inflated
                raise over("inflated", allowed, f"the message must have at most {allowed} bytes")
            if len(self._excerpt) < _EXCERPT:
                self._excerpt += bytes(data[: _EXCERPT - len(self._excerpt)])
            if self._parsed == 0:
                self._head += bytes(data)
                if len(self._head) < 8:
                    return
                data, self._head = self._head, b""
                self._check_head(data)
            if self._unended > SMALL:
                data = self._gathered(data)
            if len(data) < SMALL:
                self._parse(memoryview(data), False)
                return
            with _no_gc():
                self._parse(memoryview(data), False)
        except BaseException as error:
            self._failed = error
            raise

    def _gathered(self, data: bytes | bytearray | memoryview) -> bytes:
        """Return the bytes to parse now: none before a long token has doubled.

        It is read again from its beginning with each piece, for which a peer could make us pay
        with minutes by sending the megabytes of one text in drops.
        """
        self._waiting += data
        # What may be more than is allowed is looked at at once.
        allowed = self._limits.text - self._unended
        if len(self._waiting) < min(self._unended, allowed):
            return b""
        gathered = bytes(self._waiting)
        self._waiting.clear()
        return gathered

    def finish(self) -> None:
        """Say that no more bytes come.

        Raises:
            ProtocolError: The message is not complete.
        """
        if self._failed is not None:
            raise self._failed
        try:
            if self._parsed == 0:
                if not self._head.removeprefix(_BOM).strip():
                    raise UnexpectedReplyError(
                        "the reply is empty",
                        hint="Check that the URL is that of a vSphere API: https://HOST/sdk.",
                    )
                self._check_head(self._head)
                self._parse(memoryview(self._head), False)
            self._parse(memoryview(bytes(self._waiting)), True)
            if not self._complete:
                raise UnexpectedReplyError("the SOAP body is empty", excerpt=self._shown())
        except BaseException as error:
            self._failed = error
            raise

    def release(self) -> None:
        """Forget all but the header, once the message has been read to its end.

        Parser, handlers and machine hold each other in circles. One set is made for each message,
        and left to the cycle collector they cost a small call a third of its time.
        """
        header = self.header
        vars(self.machine).clear()
        vars(self).clear()
        self.header = header
        self._failed = read_to_its_end()

    def _check_head(self, head: bytes) -> None:
        # Expat takes UTF-16 by its byte order mark or first letters, whatever the encoding argument.
        start = head.removeprefix(_BOM)
        if 0 in head[:8] or head[:2] in (b"\xff\xfe", b"\xfe\xff"):
            raise ProtocolError("the reply is not UTF-8", excerpt=self._shown())
        if start.lstrip()[:1] not in (b"<", b""):
            raise self._no_soap()

    def _parse(self, data: memoryview, final: bool) -> None:
        step = self._slice
        try:
            for at in range(0, len(data), step):
                piece = data[at : at + step]
                self._parsed += len(piece)
                self._parser.Parse(piece, False)
                self._check_pending()
            if final:
                self._parser.Parse(b"", True)
        except expat.ExpatError as error:
            raise self._malformed(error) from None
        except InvalidValueError as reason:
            raise self._misfit(reason) from None
        except ProtocolError as error:
            if not error.path:
                error.path = self._path()
            raise

    def _check_pending(self) -> None:
        """Check the limits on elements, and on a token or a text that has not ended."""
        self.machine.check_elements(self.machine.counted())
        texts = self.machine.texts
        if len(texts) > 1:
            texts[:] = ["".join(texts)]
        if texts:
            self.machine.check_text(len(texts[0]))
        token = self._parsed - self._parser.CurrentByteIndex
        if token > HELD * (self._limits.text + SLICE):
            self.machine.check_text(self._limits.text + 1)
        self._unended = token + (len(texts[0]) if texts else 0)

    # Errors

    def _path(self) -> str:
        return self.machine.path()

    def _shown(self) -> str:
        return printable(self._excerpt.decode("utf-8", "replace"), _EXCERPT)

    def _no_soap(self) -> UnexpectedReplyError:
        return UnexpectedReplyError(
            "the reply is not SOAP",
            excerpt=self._shown(),
            hint="Check the address, and for a proxy or a login page in between.",
        )

    def _misfit(self, reason: InvalidValueError) -> ProtocolError:
        path = self._path()
        return ProtocolError(f"{path}: {reason}" if path else str(reason), path=path)

    def _malformed(self, error: expat.ExpatError) -> ProtocolError:
        path = self._path()
        where = f"line {error.lineno}, column {error.offset}"
        if error.code == _UNDEFINED_ENTITY:
            return ForbiddenXMLError(f"forbidden entity reference at {where}", path=path)
        cut_off = error.code in _AT_END
        if not self._seen_root and not cut_off:
            return self._no_soap()
        text = "the reply is truncated" if cut_off else "the reply is not well-formed XML"
        return ProtocolError(
            f"{text}, {where}: {error}", path=path, excerpt=self._shown(), hint=BROKEN
        )

    # What XML allows and SOAP does not

    def _xml_declaration(self, version: str, encoding: str | None, standalone: int) -> None:
        if version != "1.0":
            raise ProtocolError(f"the XML version must be 1.0, got {printable(version, 40)}")
        if encoding is not None and encoding.lower() not in ("utf-8", "utf8", "us-ascii"):
            raise ProtocolError(f"the encoding must be UTF-8, got {printable(encoding, 40)}")

    def _doctype(self, name: str, system: str | None, public: str | None, internal: int) -> None:
        if not self._seen_root and name.lower() == "html":
            raise self._no_soap()
        raise ForbiddenXMLError("forbidden DOCTYPE in the reply", excerpt=self._shown())

    def _instruction(self, target: str, data: str) -> None:
        raise ForbiddenXMLError(
            "forbidden processing instruction in the reply", excerpt=self._shown()
        )

    # The envelope

    def _start(self, tag: str, attrs: list[str]) -> None:
        self.machine.count_one()
        level = self._level
        self._level += 1
        self.machine.check_attributes(attrs)
        self.machine.texts.clear()
        if level == 0:
            self._seen_root = True
            if tag != f"{ENVELOPE} Envelope":
                raise self._no_soap()
        elif level == 1:
            self._section(tag)
        elif level > 1 and self._header_name:
            if level == 2:
                self._header_name = local_name(tag)
            elif level + 1 > self._limits.depth:
                raise self.machine.too_deep()
        elif self._complete:
            raise ProtocolError("more than one message in the SOAP body")
        else:
            namespace, _, local = tag.rpartition(" ")
            self._level -= 1  # the machine sees its end
            self._body(namespace, local)

    def _section(self, tag: str) -> None:
        if tag == f"{ENVELOPE} Body" and not self._seen_body:
            self._seen_body = True
        elif tag == f"{ENVELOPE} Header" and not self._seen_body:
            self._header_name = "Header"
        else:
            raise ProtocolError(
                f"unexpected element <{printable(local_name(tag), 40)}> in the SOAP envelope"
            )

    def _end(self, tag: str) -> None:
        self._level -= 1
        if self._header_name:
            text = self.machine.joined()
            if self._level == 2:
                if len(self.header) < self._limits.attributes:
                    self.header[self._header_name] = text
            elif self._level == 1:
                self._header_name = ""

    def ended(self, data: bytes) -> bool:
        """Whether `data`, fed at once, has the root's end tag and nothing unfinished behind it.

        For the pure loop and for faults.
        """
        if not self._complete or self._level:
            return False
        return not data[self._parser.CurrentByteIndex :].strip(BLANK)

    def complete(self) -> None:
        """Note that the Body's message has ended."""
        self._complete = True


def read_to_its_end() -> UsageError:
    """Return the error for bytes fed after the end."""
    return UsageError("the message has already been read to its end")


class PureDecoder(Generic[R]):
    """Decodes the reply to one call, fed in pieces as they arrive.

    Memory above the result is constant: no tree is built, and no more than one token is held.
    `strict` refuses a reply that lacks a required field or has an empty enumeration; otherwise
    None stands for it and a warning is logged, once for a type. It refuses an integer beyond the
    range of its type, too, which otherwise is kept as read, as `Typed`. A reply that is a fault is
    read without it, since any fault says more than its refusal. `essential` has the fields by type
    that must be there in any case; with it, so must a required result. Proxies in the result call
    through `invoker`, if given.
    """

    def __init__(
        self,
        method: Method[P, R],
        *,
        limits: Limits = Limits(),
        strict: bool = False,
        invoker: Invoker | None = None,
        essential: Mapping[str, frozenset[str]] | None = None,
    ) -> None:
        self._method = method
        self._tables = tables_of(method.binding)
        self._limits = limits
        self._strict = strict
        self._invoker = invoker
        self._essential = essential
        # Made when the reply begins: until then a call that waits for it holds next to nothing.
        self._message: MessageDecoder | None = None
        # A reply that has come whole and was read, until it is certain that no more comes.
        self._whole: bytes | None = None
        self._result: Any = None
        self._fault: MethodFault | None = None
        self._closed = False

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Take the next bytes of the reply.

        Raises:
            ForbiddenXMLError: A DOCTYPE, an entity or a processing instruction.
            LimitError: More than the limits allow.
            UnexpectedReplyError: No SOAP, or the reply to another method.
            ProtocolError: Anything else that violates the schema; `path` is the place.
        """
        if self._message is not None:
            self._message.feed(data)
        elif self._whole is None:
            if len(data) <= _LARGEST_WHOLE:
                self._feed_first(bytes(data))
            else:
                self._begin().feed(data)
        elif self._closed:
            raise read_to_its_end()
        else:  # more comes behind what looked whole
            first, self._whole = self._whole, None
            self._result = self._fault = None
            message = self._begin()
            message.feed(first)
            message.feed(data)

    def _feed_first(self, data: bytes) -> None:
        """Take the first bytes, and be done if they are all.

        Objects for a small reply are made and freed within one call, so that the cycle collector
        does not meet it, however many replies wait for somebody to look at them.
        """
        message = self._begin()
        message.feed(data)
        if message.ended(data):
            message.finish()
            message.release()
            self._message = None
            self._whole = data

    def _begin(self) -> MessageDecoder:
        message = self._message = self._make_message()
        return message

    def _make_message(self) -> MessageDecoder:
        return MessageDecoder(
            self._tables,
            self._limits,
            self._body,
            strict=self._strict,
            invoker=self._invoker,
            essential=self._essential,
        )

    def close(self) -> R:
        """Return the result; None for a void method.

        Raises:
            MethodFault: The reply is a fault, of the class raised.
            UnexpectedReplyError: The reply has no result and the method always has one.
            ProtocolError: The reply is cut off, or as for `feed`.
        """
        if not self._closed and self._whole is None:
            message = self._message or self._begin()
            message.finish()
            message.release()
        self._closed = True
        if self._fault is not None:
            raise self._fault
        # A field that is absent can be None; a result that is would be passed on as one.
        if self._result is None and self._tables.reply(self._method).needed:
            raise UnexpectedReplyError(
                f"the reply to {self._method.name} has no result", path="returnval"
            )
        result: R = self._result
        return result

    def _body(self, namespace: str, local: str) -> None:
        if local == "Fault" and namespace == ENVELOPE:
            machine = self._begun.machine
            machine.faulted, machine.strict = True, False
            machine.on_unknown_child = lambda tag, attrs: fault_item(machine, tag, attrs)
            machine.open(fault_shape(), self._faulted)
        elif local == f"{self._method.name}Response" and namespace in (self._tables.namespace, ""):
            self._open(self._tables.reply(self._method), self._answered)
        else:
            raise UnexpectedReplyError(
                f"the reply must be to {self._method.name}, got <{printable(local, 80)}> of {printable(namespace, 80)!r}"
            )

    def _open(self, shape: TypeInfo, done: Callable[[Any], None]) -> None:
        """Begin to read a result."""
        self._begun.machine.open(shape, done)

    @property
    def _begun(self) -> MessageDecoder:
        assert self._message is not None
        return self._message

    def _answered(self, values: tuple[Any, ...]) -> None:
        self._begun.complete()
        self._result = values[0] if values else None

    def _faulted(self, values: tuple[Any, ...]) -> None:
        self._begun.complete()
        self._fault = fault_from(self._tables, values)
