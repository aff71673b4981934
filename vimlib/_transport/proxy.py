"""A forward proxy: given as a URL, or taken from the environment when that is asked for."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from vimlib._secret import Secret, forgetting
from vimlib._transport.address import parse_address
from vimlib.errors import UsageError

if TYPE_CHECKING:
    from vimlib._transport.address import Address

ENVIRONMENT: Final = "environment"
"""What `connect(proxy=...)` takes to use HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy that opens tunnels with CONNECT."""

    address: Address
    credentials: Secret | None = field(default=None, repr=False)
    """`user:password`."""

    @property
    def authorization(self) -> Secret | None:
        """Value of a Proxy-Authorization header; None without credentials."""
        if self.credentials is None:
            return None
        token = base64.b64encode(self.credentials.reveal().encode()).decode("ascii")
        return Secret(f"Basic {token}")


def parse_proxy(url: str) -> Proxy:
    """Read `http://[user:password@]host:port`. Raises `UsageError`, without showing the password."""
    try:
        with forgetting():
            return _parse(url)
    finally:
        del url  # tracebacks keep frames


def _parse(url: str) -> Proxy:
    text = url.strip() if "://" in url else f"http://{url.strip()}"
    scheme, _, rest = text.partition("://")
    userinfo, at, netloc = rest.rpartition("@")
    if scheme.lower() != "http":
        raise UsageError(
            f"the proxy URL must use http, got {scheme!r}",
            hint="Write http://HOST:PORT. The tunnel through it is encrypted end to end.",
        )
    credentials = None
    if at:
        # A user name alone has an empty password (RFC 7617, 2: the colon is always there).
        credentials = Secret(unquote(userinfo if ":" in userinfo else f"{userinfo}:"))
        if re.search(r"[\x00-\x1f\x7f]", credentials.reveal()):
            raise UsageError("the proxy's user name or password contains control characters")
    return Proxy(parse_address(f"http://{netloc}", path="/"), credentials)


def find_proxy(choice: str | Secret | None, target: Address) -> Proxy | None:
    """Return the proxy for `target`: none unless one is given or the environment is asked."""
    try:
        with forgetting():
            return _find(None if choice is None else Secret(choice), target)
    finally:
        del choice


def _find(choice: Secret | None, target: Address) -> Proxy | None:
    if choice is None:
        return None
    if choice.reveal() != ENVIRONMENT:
        return parse_proxy(choice.reveal())
    import urllib.request  # brings http.client and email; only needed with a proxy

    if urllib.request.proxy_bypass(target.netloc):
        return None
    found = urllib.request.getproxies_environment()
    url = found.get(target.scheme) or found.get("all")
    return parse_proxy(url) if url else None
