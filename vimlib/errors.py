"""Every error that vimlib raises, as one tree. This module imports nothing of ours.

::

    VimlibError
    ├── UsageError (ValueError)            the caller's mistake; nothing was sent
    │   ├── EncodeError                    a value does not fit the wire; says the path
    │   ├── VersionError                   the host is too old for what was asked
    │   ├── UnboundError                   a proxy that belongs to no client was called
    │   ├── ClosedError                    the client, lease or view is closed
    │   ├── MissingExtraError (ImportError)  an optional package is not installed
    │   └── InvalidPathError               a datastore or inventory path that cannot be
    ├── TransportError                     bytes did not make it there and back
    │   ├── ConnectError                   no connection: nothing was sent
    │   │   ├── ResolveError               the name has no address
    │   │   └── ProxyError                 the proxy refused or failed
    │   ├── TLSError                       no trusted channel: nothing was sent
    │   │   └── CertificateError           the certificate was not accepted; has its SHA-256
    │   │       └── PinMismatchError       it is not the pinned one
    │   ├── DeadlineError (TimeoutError)   connect, handshake, read or the whole call took too long
    │   ├── ConnectionLostError            the peer went away amid the exchange
    │   ├── HTTPStatusError                an HTTP status that is no answer to a call
    │   └── RedirectError                  a redirect, which is never followed
    ├── ProtocolError                      the peer's bytes are not what the schema allows; says the path
    │   ├── ForbiddenXMLError              a DOCTYPE, an entity, a processing instruction
    │   ├── LimitError                     more bytes, elements, depth... than allowed
    │   └── UnexpectedReplyError           HTML, an empty body, another method's reply
    ├── SessionError                       log in, stay logged in
    │   ├── LoginError                     the host refused the credentials; never retried
    │   └── SessionExpiredError            the session ended and could not be renewed
    ├── OutcomeUnknownError                sent, no answer: the server may or may not have done it
    ├── NotFoundError (LookupError)        no such object on the host
    ├── TaskError                          waiting for a task
    │   ├── TaskTimeoutError (TimeoutError)  the task still runs
    │   ├── TaskVanishedError              the task object is gone and its end was not seen
    │   └── TaskQuestionError              a machine waits for an answer (runtime.question)
    ├── TransferError                      moving the bytes of a file
    │   ├── TransferRejectedError          the server said no, with an HTTP status
    │   ├── TransferCorruptError           size or hash differ after the transfer
    │   ├── SourceError                    the party that delivers the bytes failed
    │   └── LeaseError                     an NFC lease failed or ended
    ├── HostStateError                     maintenance, disconnected, inaccessible datastore
    └── MethodFault                        what the server says in a fault; see vimlib.model and vim25

Each error answers two questions as attributes. ``retryable``: is the same call worth trying
again, unchanged? ``outcome``: what happened on the server?

``not_sent``
    nothing that could change something left this machine, or the server cannot have read it
``refused``
    the server answered that it did not do it
``applied``
    the server did it, something after that failed
``unknown``
    the request left and no answer came; read the server before you act again

Facts are attributes; ``str(error)`` makes the sentence and ends with ``hint``: what to try.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

__all__ = [
    "CertificateError",
    "ClosedError",
    "ConnectError",
    "ConnectionLostError",
    "DeadlineError",
    "EncodeError",
    "ForbiddenXMLError",
    "HTTPStatusError",
    "HostStateError",
    "InvalidPathError",
    "LeaseError",
    "LimitError",
    "LoginError",
    "MissingExtraError",
    "NotFoundError",
    "Outcome",
    "OutcomeUnknownError",
    "PinMismatchError",
    "ProtocolError",
    "ProxyError",
    "RedirectError",
    "ResolveError",
    "SessionError",
    "SessionExpiredError",
    "SourceError",
    "TLSError",
    "TaskError",
    "TaskQuestionError",
    "TaskTimeoutError",
    "TaskVanishedError",
    "TransferCorruptError",
    "TransferError",
    "TransferRejectedError",
    "TransportError",
    "UnboundError",
    "UnexpectedReplyError",
    "UsageError",
    "VersionError",
    "VimlibError",
]

Outcome = Literal["not_sent", "refused", "applied", "unknown"]


def printable(text: str, limit: int = 200) -> str:
    """Return `text` fit for one line of a log: control characters escaped, cut at `limit`.

    What a peer sends is data; unescaped it could forge log lines or drive a terminal.
    """
    cut = text[:limit]
    safe = "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in cut
    )
    return safe + ("..." if len(text) > limit else "")


class VimlibError(Exception):
    """Base of all errors of this project."""

    retryable: bool = False
    outcome: Outcome = "not_sent"
    hint: str = ""
    _shown: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        message: str = "",
        *,
        hint: str | None = None,
        retryable: bool | None = None,
        outcome: Outcome | None = None,
        **facts: Any,
    ) -> None:
        super().__init__(message)
        if hint is not None:
            self.hint = hint
        if retryable is not None:
            self.retryable = retryable
        if outcome is not None:
            self.outcome = outcome
        for name, value in facts.items():
            setattr(self, name, value)

    def __str__(self) -> str:
        text = str(self.args[0]) if self.args and self.args[0] else type(self).__name__
        return f"{text}. {self.hint}" if self.hint else text

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.args[0] if self.args else ''!r}, outcome={self.outcome!r})"


class UsageError(VimlibError, ValueError):
    """The caller asked for something that cannot be; nothing was sent."""


class EncodeError(UsageError):
    """A value does not fit the wire."""

    path: str = ""
    """Where in the arguments, as `spec.deviceChange[0].device.key`."""


class VersionError(UsageError):
    """The host's API is too old for a method, type or field."""

    item: str = ""
    """What was asked, as `VirtualMachineConfigSpec.firmware`."""
    needs: str = ""
    """The API version that brought it."""
    speaks: str = ""
    """The API version of the host."""


class UnboundError(UsageError):
    """A proxy was called that belongs to no client; `client.bind(proxy)` gives one that does."""


class ClosedError(UsageError):
    """The client, lease, view or source has been closed."""


class MissingExtraError(UsageError, ImportError):
    """A feature needs an optional package that is not installed."""

    package: str
    extra: str
    """The extra of this distribution that installs it."""


class InvalidPathError(UsageError):
    """A datastore or inventory path has a part that cannot be."""

    path: str = ""


class TransportError(VimlibError):
    """Bytes did not make it to the server and back."""

    host: str = ""
    """`host:port` of the peer."""
    outcome: Outcome = "unknown"


class ConnectError(TransportError):
    """No connection came about, so nothing was sent."""

    outcome: Outcome = "not_sent"
    retryable = True


class ResolveError(ConnectError):
    """The host name has no address."""


class ProxyError(ConnectError):
    """The proxy refused or failed."""

    retryable = False


class TLSError(TransportError):
    """No trusted channel came about, so nothing was sent."""

    outcome: Outcome = "not_sent"


class CertificateError(TLSError):
    """The server's certificate was not accepted."""

    sha256: str = ""
    """SHA-256 of the certificate that the server showed, upper-case hex with colons; "" if not seen."""
    reason: str = ""


class PinMismatchError(CertificateError):
    """The server's certificate is not the pinned one."""


class DeadlineError(TransportError, TimeoutError):
    """Connecting, the handshake, one read or the whole call took longer than allowed."""

    phase: str = ""
    """`connect`, `handshake`, `read`, `write` or `call`; else the verb that took too long, as `move`."""
    seconds: float = 0.0
    task: Any = None
    """The host's task that goes on, where one was begun: wait for it again, or cancel it."""
    retryable = True


class ConnectionLostError(TransportError):
    """The peer closed or reset the connection amid the exchange."""

    retryable = True


class HTTPStatusError(TransportError):
    """The peer answered with an HTTP status that is no answer to the call."""

    status: int = 0
    excerpt: str = ""
    """The first bytes of the body, escaped."""
    retry_after: float | None = None
    """Seconds that the peer asks to wait, capped; None if it said nothing."""


class RedirectError(TransportError):
    """The peer answered with a redirect; none is followed, since cookies and passwords would follow it."""

    location: str = ""
    outcome: Outcome = "refused"


class ProtocolError(VimlibError):
    """The peer's bytes are not what the schema allows."""

    path: str = ""
    """Where in the reply, as `returnval.objects[3].propSet[0].val`."""
    excerpt: str = ""
    outcome: Outcome = "unknown"


class ForbiddenXMLError(ProtocolError):
    """A DOCTYPE, an entity declaration or a processing instruction, which SOAP forbids."""


class LimitError(ProtocolError):
    """A reply is larger than the limits allow."""

    limit: str = ""
    """Name of the limit in `vimlib.soap.Limits`."""
    allowed: int = 0


class UnexpectedReplyError(ProtocolError):
    """HTML, an empty body or the reply to another method came back."""


class SessionError(VimlibError):
    """Logging in or staying logged in failed."""


class LoginError(SessionError):
    """The host refused to log a user in. Never retried: a few refusals lock the account."""

    username: str = ""
    reason: Literal[
        "credentials", "password_expired", "lockdown", "permission", "recently_refused"
    ] = "credentials"
    """Why; `recently_refused`: not sent, since the host refused the same less than 900 s ago."""
    outcome: Outcome = "refused"


class SessionExpiredError(SessionError):
    """The session ended on the server and could not be renewed."""

    outcome: Outcome = "refused"


class OutcomeUnknownError(VimlibError):
    """A call that changes the server was sent and no answer came.

    It is never sent again by itself: `method` and `this` say what to look for on the server.
    """

    method: str = ""
    this: Any = None
    outcome: Outcome = "unknown"


class NotFoundError(VimlibError, LookupError):
    """No such object on the host."""

    kind: str = ""
    name: str = ""
    outcome: Outcome = "refused"


class TaskError(VimlibError):
    """Waiting for a task failed; see also the fault that a failed task raises."""

    task: Any = None
    outcome: Outcome = "unknown"


class TaskTimeoutError(TaskError, TimeoutError):
    """The task did not end in time. It still runs on the server."""


class TaskVanishedError(TaskError):
    """The server forgot the task before its end was seen."""


class TaskQuestionError(TaskError):
    """The machine waits for an answer, so its task will not end by itself."""

    question: Any = None
    """`VirtualMachineQuestionInfo`; answer it with `AnswerVM`."""


class TransferError(VimlibError):
    """Moving the bytes of a file failed."""

    path: str = ""
    outcome: Outcome = "unknown"


class TransferRejectedError(TransferError):
    """The server refused the transfer."""

    status: int = 0
    excerpt: str = ""
    outcome: Outcome = "refused"


class TransferCorruptError(TransferError):
    """What the server stored is not what was sent."""

    expected: Any = None
    actual: Any = None
    outcome: Outcome = "applied"


class SourceError(TransferError):
    """The party that delivers the bytes failed."""

    outcome: Outcome = "refused"


class LeaseError(TransferError):
    """An NFC lease went into error or ended too early."""


class HostStateError(VimlibError):
    """The host or datastore is in a state in which it cannot serve the call."""

    state: str = ""
    outcome: Outcome = "refused"
