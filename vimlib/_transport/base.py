"""The transport interface: an encoded call out, a reply back. The rest of layer 2 implements it.

A transport never sends a request twice, never follows a redirect, keeps no cookie, and records in
each error whether a byte of the request can have left (`outcome`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

from vimlib._repr import robust
from vimlib._secret import Secret
from vimlib.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Awaitable

COOKIE = "vmware_soap_session"
"""The one cookie that vSphere's SOAP service uses; no other is kept or sent."""

_LONGEST_COOKIE = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Deadlines in seconds, and the minimum rate of transfers. Raises `UsageError` for a value that
    is not positive.
    """

    connect: float = 10.0
    """TCP connect, names resolved included: a host on a WAN answers a SYN well within a second,
    and two retransmissions of a lost one (1 s, 3 s) still fit."""
    handshake: float = 10.0
    """TLS handshake: three round trips and the slow RSA of an old host."""
    read: float = 90.0
    """Silence while a reply is awaited or comes in (in a body `rate` may end it earlier). Longer than the longest long poll
    (`WaitForUpdatesEx` is asked for at most 60 s), shorter than what operators wait."""
    write: float = 60.0
    """One piece of a request body that the peer does not take: a datastore on slow disks may stall
    for tens of seconds when it flushes."""
    call: float = 300.0
    """A whole call, and the head of the response to a transfer once the request is sent: the largest
    page that a collector asks for takes seconds on a busy vCenter, minutes on a sick one; a
    datastore may flush a whole file before it answers. A call that failed is sent again only within
    so many seconds of its beginning, whatever Retry-After demands."""
    logout: float = 5.0
    """Logging out when the client closes, so that leaving never hangs on a dead host."""
    listing: float = 120.0
    """Looking at files (`datastore.list`, `stat`, `exists`) from beginning to end: a host searches
    its datastore by a task, in a second or two, in tens of them where disks spin up."""
    files: float = 3600.0
    """Making, moving, copying or deleting a file from beginning to end: the host's task copies a
    disk at the datastore's pace, a terabyte an hour or less."""
    transfer: float = 86400.0
    """A whole upload or download, looks at the file included: a disk of 4 TB takes a day at 50 MB/s.
    `timeout=` of the verb overrides it; `math.inf` switches it off."""
    rate: float = 1024.0
    """Bytes a second at least while a peer is awaited that sends or takes a body, on average over
    `window`: the slowest links that carry a disk have a hundred times as much."""
    window: float = 60.0
    """Seconds over which `rate` is measured, so that a slow start or a pause does no harm: a
    datastore that flushes or a disk that spins up pauses for tens of seconds."""
    outage: float = 60.0
    """For how long a watch, or a wait for a task, goes on trying a host that cannot be reached: a
    host that restarts its services is back within a minute."""

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if not value > 0:
                raise UsageError(f"Timeouts.{each.name} must be above 0, got {value!r}")


class EncodedCall(Struct, frozen=True, kw_only=True):
    """One request, ready for the wire, and where its reply goes. `repr` shows no body, no cookie.

    Middleware that wants another one takes `msgspec.structs.replace(call, read=5.0)`.
    """

    method: str
    """Wire name, for logs and middleware."""
    body: bytes
    receive: Callable[[bytes], None]
    """Takes the reply's XML piece by piece, inflated; an exception of its own ends the exchange."""
    action: str = ""
    """SOAPAction, as `urn:vim25/8.0.3.0`."""
    operation_id: str = ""
    this: tuple[str, str] = ("", "")
    """Type and id of the object that is called."""
    cookie: Secret | Callable[[], Secret | None] | None = None
    """The session cookie, or a function that returns it; see `credential`."""
    on_cookie: Callable[[Secret], None] | None = None
    """Takes the session cookie as soon as the head of the reply is there."""
    read: float | None = None
    """Overrides `Timeouts.read`."""
    deadline: float | None = None
    """Overrides `Timeouts.call`."""
    poll: bool = False
    """Whether it is a long poll, which the server answers late: then it takes none of the capped
    number of connections."""

    def credential(self) -> Secret | None:
        """Return the session cookie that is valid now; a transport calls it as it writes the request.

        A call may wait for a connection, and the session may be renewed while it waits.
        """
        return self.cookie() if callable(self.cookie) else self.cookie

    @robust
    def __repr__(self) -> str:
        return f"<EncodedCall {self.operation_id} {self.method}, {len(self.body)} bytes>"


class Reply(Struct, frozen=True):
    """The facts of a reply apart from its XML, which went to `EncodedCall.receive`."""

    status: int
    """200, or 500 with a fault."""
    received: int = 0
    """Bytes of the body on the wire."""


class Transport(Protocol):
    """Carry one encoded call to the server and bring back one reply."""

    @property
    def host(self) -> str:
        """`host:port` of the server."""
        ...

    async def exchange(self, call: EncodedCall) -> Reply:
        """Send `call` once, feed its reply to `call.receive`.

        Raises `TransportError` and `ProtocolError`, each with its `outcome`. Cancelling closes the
        connection that carries the call; whether the server has done it is then unknown.
        """
        ...


class Exchange(Protocol):
    """The rest of the way to the server, as middleware sees it."""

    def __call__(self, call: EncodedCall, /) -> Awaitable[Reply]:
        """Pass the call on."""
        ...


class Middleware(Protocol):
    """Wraps every exchange, logins and keepalives included: tracing, metrics, pacing.

    Must pass the call on at most once: what may be repeated is the session's business.
    """

    async def __call__(self, call: EncodedCall, exchange: Exchange, /) -> Reply:
        """Do something around `await exchange(call)`."""
        ...


def session_cookie(values: list[str]) -> Secret | None:
    """Return the session cookie out of Set-Cookie headers, the last one counting.

    The value is kept as the server wrote it, quotes included. Other cookies, one without a value
    and one with characters that no cookie has are passed over.
    """
    found: Secret | None = None
    for header in values:
        pair = header.split(";", 1)[0]
        name, sign, value = pair.partition("=")
        value = value.strip()
        if (
            name.strip() != COOKIE
            or not sign
            or not value.strip('"')
            or len(value) > _LONGEST_COOKIE
        ):
            continue
        if all("!" <= char <= "~" and char not in ",;\\" for char in value):
            found = Secret(value)
    return found
