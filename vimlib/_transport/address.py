"""Where a server is: scheme, host, port and path, read from what people write."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, urlsplit

from vimlib._secret import forgetting
from vimlib._text import bare_url, printable
from vimlib.errors import UsageError

_HOST: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,252})\Z")
_IPV6: Final = re.compile(r"[0-9A-Fa-f:.]{2,45}(?:%[A-Za-z0-9._~-]{1,32})?\Z")
_PORTS: Final = {"https": 443, "http": 80}


@dataclass(frozen=True, slots=True)
class Address:
    """A server and the path of its SOAP service."""

    scheme: str
    host: str
    """Name or address, IPv6 without brackets."""
    port: int
    path: str = "/sdk"

    @property
    def bracketed(self) -> str:
        """The host as it stands in a URL."""
        return f"[{self.host}]" if ":" in self.host else self.host

    @property
    def netloc(self) -> str:
        """`host:port`, always with the port; names a peer in errors and identifies a server."""
        return f"{self.bracketed}:{self.port}"

    @property
    def authority(self) -> str:
        """`host[:port]` for a Host header, the port left out where it is the scheme's own."""
        return self.bracketed if self.port == _PORTS[self.scheme] else self.netloc

    @property
    def origin(self) -> str:
        """`https://host[:port]`."""
        return f"{self.scheme}://{self.authority}"

    @property
    def tls(self) -> bool:
        """Whether the channel is encrypted."""
        return self.scheme == "https"

    def __str__(self) -> str:
        return self.origin + self.path


def parse_address(url: str, *, path: str = "/sdk") -> Address:
    """Read `https://host[:port][/path]`, `host`, `host:port` or a bare IPv6 address.

    https and `path` are the defaults. Raises `UsageError`, also for a URL that carries a user
    name or a password: those are arguments of their own.
    """
    try:
        with forgetting():
            return _parse(url, path)
    finally:
        del url  # it may hold a password, and tracebacks keep frames


def _parse(url: str, path: str) -> Address:
    text = url.strip()
    if "://" not in text:
        bare_v6 = text.count(":") > 1 and not text.startswith("[")
        text = f"https://[{text}]" if bare_v6 and "/" not in text else f"https://{text}"
    found = _split(text)
    if found is None:
        raise _refused(url, "malformed URL")
    parts, port = found
    if parts.scheme not in _PORTS:
        raise _refused(url, "the scheme must be https")
    if "@" in parts.netloc:
        # Not shown: it holds what must not be in a message.
        raise UsageError(
            "the server URL must not contain a user name or password",
            hint="Give username and password as separate arguments.",
        )
    if parts.query or parts.fragment:
        raise _refused(url, "a query or fragment is not allowed")
    host = parts.hostname or ""
    if not (_IPV6.match(host) if ":" in host else _HOST.match(host)):
        raise _refused(url, "the host is missing or has invalid characters")
    if port == 0:
        raise _refused(url, "the port must be 1 to 65535, got 0")
    way = parts.path if parts.path not in {"", "/"} else path
    if re.search(r"[^!-~]", way):
        raise _refused(url, "the path has characters that must be percent-encoded")
    return Address(parts.scheme, host, port or _PORTS[parts.scheme], way)


def _split(text: str) -> tuple[SplitResult, int | None] | None:
    """Split a URL; None if it is malformed: the errors of the library quote it."""
    try:
        parts = urlsplit(text)
        return parts, parts.port
    except ValueError:
        return None


def _refused(url: str, why: str) -> UsageError:
    return UsageError(
        f"invalid server address {printable(bare_url(url))!r}: {why}",
        hint="Write https://HOST/sdk or just HOST.",
    )
