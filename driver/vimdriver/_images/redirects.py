"""Where redirects of an image's URL may lead. No I/O.

Credentials stay with the origin that they were given for, encryption is never given up, and a
redirect leads into a private network only if the caller allowed it: the server chooses the next URL.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from yarl import URL

from vimdriver.errors import SourceRefusedError, SourceUnreachableError
from vimlib._secret import Secret
from vimlib._text import bare_url

if TYPE_CHECKING:
    from collections.abc import Mapping

_STATUSES: Final = frozenset({301, 302, 303, 307, 308})
_MOST: Final = 5
"""Redirects in a row: mirrors use one or two, a loop any number."""


def is_public(address: str) -> bool:
    """Return whether an IP address is one of the public internet."""
    found = ipaddress.ip_address(address)
    if isinstance(found, ipaddress.IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour
        if inner is not None:
            return is_public(str(inner))
    return found.is_global and not found.is_multicast


def private(host: str, image: str) -> SourceUnreachableError:
    """Return the error for a redirect to a host with a private address."""
    return SourceUnreachableError(
        host=host,
        reason="redirects must lead to public addresses, and its address is private",
        image=image,
        retryable=False,
        hint="Give the final address, or allow it with --private-redirects if you trust the source.",
    )


@dataclass(frozen=True, slots=True)
class Redirects:
    """The redirects of one request."""

    origin: URL
    """The origin that was asked first."""
    private: bool = False
    """Whether they may lead to private addresses."""
    followed: int = 0

    def guards(self, url: URL) -> bool:
        """Return whether the host of `url` must have a public address: the user did not name it."""
        return not self.private and url.host != self.origin.host

    def headers(self, url: URL, headers: Mapping[str, str | Secret]) -> Mapping[str, str | Secret]:
        """Return the headers of a request to `url`: secrets are sent to the first origin only."""
        if url.origin() == self.origin:
            return headers
        return {name: value for name, value in headers.items() if not isinstance(value, Secret)}

    def after(
        self, url: URL, status: int, location: str | None, image: str
    ) -> tuple[URL, Redirects] | None:
        """Return where a response leads; None if it is not a redirect.

        Raises:
            SourceRefusedError: It must not be followed.
            SourceUnreachableError: It leads to a private address.
        """
        if status not in _STATUSES or not location:
            return None
        try:
            further = url.join(URL(location)).with_user(None).with_fragment(None)
            host = further.host
        except ValueError:
            host = None
        refused = ""
        if host is None or further.scheme not in ("http", "https"):
            refused = "A redirect must lead to an http(s) URL."
        elif url.scheme == "https" and further.scheme != "https":
            refused = "Give the final address: a redirect must not give up encryption."
        elif self.followed >= _MOST:
            refused = f"Give the final address: at most {_MOST} redirects in a row are followed."
        if refused:
            raise SourceRefusedError(
                status=status, image=image, location=bare_url(location), hint=refused
            )
        assert host is not None
        if self.guards(further):
            try:
                public = is_public(host)
            except ValueError:
                public = True  # a name: its addresses are checked when it is resolved
            if not public:
                raise private(host, image)
        return further, replace(self, followed=self.followed + 1)
