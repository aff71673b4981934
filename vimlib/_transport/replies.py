"""Classifies a reply by its head: the answer to a call, a small document, or an error."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

from vimlib._text import bare_url, printable
from vimlib._transport.base import session_cookie
from vimlib._transport.inflate import Inflater
from vimlib._transport.status import readable, retry_after, status_error
from vimlib.errors import LimitError, RedirectError, UnexpectedReplyError

if TYPE_CHECKING:
    from vimlib._transport.base import EncodedCall
    from vimlib._transport.http11 import Head
    from vimlib.soap import Limits

_EXCERPT: Final = 200
_XML_TYPES: Final = frozenset({"text/xml", "application/xml", "application/soap+xml", ""})
_CHARSETS: Final = frozenset({"utf-8", "utf8", "us-ascii", ""})


class CallReceiver:
    """Classifies the reply to a call by its head, and passes XML on."""

    __slots__ = (
        "_call",
        "_excerpt",
        "_failure",
        "_host",
        "_inflater",
        "_limits",
        "received",
        "status",
    )

    def __init__(self, host: str, call: EncodedCall, limits: Limits) -> None:
        self._host = host
        self._call = call
        self._limits = limits
        self._inflater: Inflater | None = None
        self._failure: Head | None = None
        self._excerpt = b""
        self.status = 0
        self.received = 0

    def head(self, head: Head) -> None:
        """Take cookie and status; raise at once what needs no body."""
        self.status = head.status
        if self._call.on_cookie is not None:
            cookie = session_cookie(head.all("set-cookie"))
            if cookie is not None:
                self._call.on_cookie(cookie)
        if 300 <= head.status < 400:
            raise redirect(self._host, head.get("location"))
        kind, charset = _content_type(head.get("content-type") or "")
        if head.status not in {200, 500} or kind not in _XML_TYPES or charset not in _CHARSETS:
            self._failure = head  # raised with the beginning of its body
            return
        encoding = head.get("content-encoding") or ""
        self._inflater = Inflater(encoding, self._limits, self._call.receive)

    def data(self, data: bytes) -> None:
        """Pass XML on, or keep the beginning of any other body."""
        if self._inflater is not None:
            self._inflater.feed(data)
            return
        self._excerpt += data
        if len(self._excerpt) >= _EXCERPT:
            self.end()

    def end(self) -> None:
        """Raise the error for a reply that is not SOAP."""
        if self._inflater is not None:
            self._inflater.close()
            self.received = self._inflater.wire
            return
        head = self._failure
        assert head is not None
        excerpt = readable(self._excerpt, _EXCERPT)
        if head.status in {200, 500}:
            kind, charset = _content_type(head.get("content-type") or "")
            what = kind if kind not in _XML_TYPES else f"charset {charset}"
            raise UnexpectedReplyError(
                f"{self._host} answered {self._call.method} with {printable(what, 40)} "
                f"instead of SOAP (HTTP {head.status})",
                hint="Check that the URL is that of the API: https://HOST/sdk.",
                excerpt=excerpt,
                status=head.status,
            )
        raise status_error(self._host, head.status, excerpt, retry_after(head.get("retry-after")))


class DocumentReceiver:
    """Keeps a small body."""

    def __init__(self, host: str, target: str, limit: int) -> None:
        self._host = host
        self._target = target
        self._limit = limit
        self._size = 0
        self.parts: list[bytes] = []
        self.status = 0

    def head(self, head: Head) -> None:
        """Refuse redirects."""
        self.status = head.status
        if 300 <= head.status < 400:
            raise redirect(self._host, head.get("location"))

    def data(self, data: bytes) -> None:
        """Keep the body, up to the limit."""
        self._size += len(data)
        if self._size > self._limit:
            raise LimitError(
                f"{self._target} must have at most {self._limit} bytes",
                limit="http",
                allowed=self._limit,
            )
        self.parts.append(data)

    def end(self) -> None:
        """Do nothing: it is whole."""


def redirect(host: str, location: str | None) -> RedirectError:
    """Return the error for a redirect; it shows neither user info nor query of the location."""
    where = printable(bare_url(location or ""), _EXCERPT)
    return RedirectError(
        f"{host} redirects to {where!r}, which is not followed",
        hint="Connect to the host that serves the API itself.",
        host=host,
        location=where,
    )


@lru_cache(maxsize=64)
def _content_type(value: str) -> tuple[str, str]:
    kind, _, rest = value.partition(";")
    charset = ""
    for part in rest.split(";"):
        name, _, text = part.partition("=")
        if name.strip().lower() == "charset":
            charset = text.strip().strip('"').lower()
    return kind.strip().lower(), charset
