"""Parses the rare pieces of a message by expat, one at a time, for the compiled decoder."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final
from xml.parsers import expat

from vimlib.errors import ForbiddenXMLError
from vimlib.soap._leaf import escape_attribute
from vimlib.soap._parser import make_parser

if TYPE_CHECKING:
    from collections.abc import Callable

# Of the interface between `_accel.pyx` and the Python modules; changes with it, in both.
REVISION: Final = 3


# One plain comment or section, as may follow each byte of a hostile
# reply: making a parser takes eight times as long.
_PLAIN_MARKUP: Final = re.compile(
    rb"<!--(?:[\t\n\r\x20-\x2c\x2e-\x7f]|-[\t\n\r\x20-\x2c\x2e-\x7f])*-->"
    rb"|<!\[CDATA\[([\t\n\x20-\x5c\x5e-\x7f]*)\]\]>"
)
_SHORT: Final = 4096


class Malformed(Exception):
    """The message is not well-formed XML; the text is the reason."""


def _forbidden(*_: Any) -> None:
    raise ForbiddenXMLError("forbidden processing instruction in the reply")


def _parser(start: Callable[[str, list[str]], None]) -> expat.XMLParserType:
    parser = make_parser()
    parser.buffer_text = True
    parser.ordered_attributes = True
    parser.ProcessingInstructionHandler = _forbidden
    parser.StartElementHandler = start
    return parser


def root_tag(scope: tuple[tuple[str, str], ...]) -> bytes:
    """Return a start tag named `r` that binds prefixes ("": the default) to namespaces."""
    known = _roots.get(scope)
    if known is not None:
        return known
    parts = ["<r"]
    for prefix, uri in scope:
        name = f"xmlns:{prefix}" if prefix else "xmlns"
        if prefix != "xml":  # bound by XML itself; may be declared, and means the same
            parts.append(f' {name}="{escape_attribute(uri)}"')
    made = ("".join(parts) + ">").encode()
    if len(made) <= _REMEMBERED:
        if len(_roots) >= _MOST_ROOTS:
            _roots.clear()
        _roots[scope] = made
    return made


def known_tag(root: bytes, raw: bytes) -> tuple[str, list[str], list[tuple[str | None, str]]]:
    """Return what `read_tag` does, for tags that are short and come again with other replies."""
    return _known_tag(root, raw) if len(root) <= _REMEMBERED else read_tag(root, raw)


def read_tag(root: bytes, raw: bytes) -> tuple[str, list[str], list[tuple[str | None, str]]]:
    """Return name, attributes and declared prefixes of a start tag, as expat reports them.

    `raw` is the text between `<` and `>` or `/>`; `root` is a start tag with the prefixes in
    force. Raises `ExpatError` if it is malformed.
    """
    declared: list[tuple[str | None, str]] = []
    found: list[tuple[str, list[str]]] = []
    parser = _parser(lambda tag, attrs: found.append((tag, attrs)))
    parser.Parse(root, False)
    parser.StartNamespaceDeclHandler = lambda prefix, uri: declared.append((prefix, uri or ""))
    parser.Parse(b"<" + raw + b"/></r>", True)
    tag, attrs = found[1]
    return tag, attrs, declared


# What stays when a reply is done is short, so that no host can make it a burden.
_REMEMBERED: Final = 2048
_MOST_ROOTS: Final = 64
_roots: dict[tuple[tuple[str, str], ...], bytes] = {}
_known_tag = lru_cache(maxsize=1024)(read_tag)


def read_text(root: bytes, content: bytes) -> str:
    """Return the text of a content without elements: references, comments and sections in it.

    Raises `ExpatError` if it is not well-formed, `ForbiddenXMLError` for an instruction.
    """
    if len(content) <= _SHORT:
        plain = _PLAIN_MARKUP.fullmatch(content)
        if plain is not None:
            return (plain[1] or b"").decode()
    texts: list[str] = []
    parser = _parser(lambda tag, attrs: None)
    parser.Parse(root, False)
    parser.CharacterDataHandler = texts.append
    parser.Parse(content, False)
    parser.Parse(b"</r>", True)
    return "".join(texts)


def moved(error: expat.ExpatError, prefix: bytes, start: tuple[int, int]) -> expat.ExpatError:
    """Translate the place of an error, found behind the line `prefix`, to its place in the message.

    `start` is the line (from 1) and the column (in characters, from 0) behind the prefix.
    """
    line, column = start[0] + error.lineno - 1, error.offset
    if error.lineno == 1:
        column += start[1] - len(prefix.decode())
    found = expat.ExpatError(f"{expat.ErrorString(error.code)}: line {line}, column {column}")
    found.code, found.lineno, found.offset = error.code, line, column
    return found


def read_error(
    prefix: bytes, content: bytes, start: tuple[int, int], *, final: bool
) -> expat.ExpatError | None:
    """Return the first error in a content, None if it is well-formed as far as it goes.

    `prefix` opens the elements around it on one line; `start` is the content's place in the
    message; `final`: no more comes. Raises `ForbiddenXMLError` for an instruction.
    """
    parser = _parser(lambda tag, attrs: None)
    parser.Parse(prefix, False)
    try:
        parser.Parse(content, final)
    except expat.ExpatError as error:
        return moved(error, prefix, start)
    return None
