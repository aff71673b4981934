"""Every error that vimlib raises, as one tree. This module imports no other module of vimlib.

::

    VimlibError
    ├── UsageError (ValueError)            the caller's mistake; nothing was sent
    │   ├── ArgumentError (TypeError)      an argument is not of the documented type
    │   ├── EncodeError                    a value does not fit the wire; has the path
    │   ├── VersionError                   the host's API is too old for the request
    │   ├── UnboundError                   the called proxy belongs to no client
    │   ├── ClosedError                    the client, lease or view is closed
    │   ├── MissingExtraError (ImportError)  an optional package is not installed
    │   ├── NoSuchMethodError (AttributeError)  a managed object's type has no such method
    │   └── InvalidPathError               an invalid datastore or inventory path
    ├── TransportError                     the request or its reply was lost
    │   ├── ConnectError                   no connection: nothing was sent
    │   │   ├── ResolveError               the name has no address
    │   │   └── ProxyError                 the proxy refused or failed
    │   ├── TLSError                       no trusted channel: nothing was sent
    │   │   └── CertificateError           the certificate was not accepted; has its SHA-256
    │   │       └── PinMismatchError       the certificate is not the pinned one
    │   ├── DeadlineError (TimeoutError)   connect, handshake, read or the whole call took too long
    │   ├── ConnectionLostError            the peer closed the connection during the exchange
    │   ├── HTTPStatusError                an HTTP status instead of a SOAP reply
    │   └── RedirectError                  a redirect, which is never followed
    ├── ProtocolError                      the reply breaks the schema; has the path
    │   ├── ForbiddenXMLError              a DOCTYPE, an entity, a processing instruction
    │   ├── LimitError                     the reply exceeds a limit on size or depth
    │   ├── InvalidFieldError              a field is absent, or not of its declared type
    │   └── UnexpectedReplyError           HTML, an empty body, another method's reply
    ├── SessionError                       login or session renewal failed
    │   ├── LoginError                     the host refused the credentials; never retried
    │   └── SessionExpiredError            the session ended and could not be renewed
    ├── OutcomeUnknownError                sent without a usable reply: the server may have executed the call
    ├── NotFoundError (LookupError)        no such object on the host
    ├── TaskError                          waiting for a task failed
    │   ├── TaskTimeoutError (TimeoutError)  the task is still running
    │   ├── TaskVanishedError              the task object is gone, its result unknown
    │   └── TaskQuestionError              the machine has a pending question (runtime.question)
    ├── TransferError                      a file transfer failed
    │   ├── TransferRejectedError          the server refused, with an HTTP status
    │   ├── TransferCorruptError           size or hash differ after the transfer
    │   ├── SourceError                    the source of the bytes failed
    │   └── LeaseError                     an NFC lease failed or ended
    ├── HostStateError                     maintenance, disconnected, inaccessible datastore
    └── MethodFault                        a fault from the server; see vimlib.model and vim25

Each error has two attributes for the caller's next step. ``retryable``: whether the same call may
succeed if it is repeated unchanged. ``outcome``: whether the server executed the call:

``not_sent``
    no request left this machine, or the server cannot have read it
``refused``
    the server replied that it did not execute the call
``applied``
    the server executed the call, a later step failed
``unknown``
    the request was sent and no reply arrived, or none that can be decoded; read the server's state
    before you act again

Facts are attributes; ``str(error)`` formats the message and ends with ``hint``: what to try.
Errors can be pickled and copied.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from vimlib._text import printable

__all__ = [
    "ArgumentError",
    "CertificateError",
    "ClosedError",
    "ConnectError",
    "ConnectionLostError",
    "DeadlineError",
    "EncodeError",
    "ForbiddenXMLError",
    "HTTPStatusError",
    "HostStateError",
    "InvalidFieldError",
    "InvalidPathError",
    "LeaseError",
    "LimitError",
    "LoginError",
    "MissingExtraError",
    "NoSuchMethodError",
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


class _Shown:
    """An error's fields in the form that its template shows: text escaped, sequences joined."""

    __slots__ = ("_error",)

    def __init__(self, error: VimlibError) -> None:
        self._error = error

    def __getitem__(self, name: str) -> Any:
        value = getattr(self._error, name)
        if isinstance(value, str):
            return printable(value)
        if isinstance(value, tuple):
            some = ", ".join(printable(str(each), 60) for each in value[:10])
            return f"{some} and {len(value) - 10} more" if len(value) > 10 else some or "none"
        return value


class VimlibError(Exception):
    """Base of all errors of this project.

    A class with a fixed message has it as `_template`, a format string over the error's fields, and
    is raised with keywords only. Its `hint` may name fields too. Other classes are raised with
    their message.
    """

    retryable: bool = False
    outcome: Outcome = "not_sent"
    hint: str = ""
    """What to try; the last sentence of `str(error)`."""
    _template: ClassVar[str] = ""

    def __init__(
        self,
        message: str = "",
        *,
        hint: str | None = None,
        retryable: bool | None = None,
        outcome: Outcome | None = None,
        **facts: Any,
    ) -> None:
        super().__init__(*(message,) * bool(message))
        for name, value in facts.items():
            if not hasattr(type(self), name):
                raise TypeError(f"{type(self).__name__} has no field {name!r}")
            setattr(self, name, tuple(value) if isinstance(value, list) else value)
        if retryable is not None:
            self.retryable = retryable
        if outcome is not None:
            self.outcome = outcome
        if hint is not None:
            self.hint = hint
        elif "{" in self.hint:
            self.hint = self.hint.format_map(_Shown(self))

    def _message(self) -> str:
        if self.args:
            return str(self.args[0])
        return self._template.format_map(_Shown(self)) or type(self).__name__

    def __str__(self) -> str:
        message = self._message()
        if not self.hint:
            return message
        return f"{message}{'' if message.endswith('...') else '.'} {self.hint}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._message()!r}, outcome={self.outcome!r})"


class UsageError(VimlibError, ValueError):
    """An argument or the order of calls is invalid; nothing was sent."""

    field: str = ""
    """The invalid argument or part of it, as `nics[0].mac`; "" if the message names it."""
    wanted: str = ""
    """The condition that `field` must meet."""


class ArgumentError(UsageError, TypeError):
    """An argument is not of the documented type; `field` is its name."""


class EncodeError(UsageError):
    """A value does not fit the wire."""

    path: str = ""
    """Where in the arguments, as `spec.deviceChange[0].device.key`."""


class VersionError(UsageError):
    """The host's API is too old for a method, type or field."""

    item: str = ""
    """The method, type or field, as `VirtualMachineConfigSpec.firmware`."""
    needs: str = ""
    """The first API version that has it."""
    speaks: str = ""
    """The API version of the host."""


class UnboundError(UsageError):
    """The called proxy belongs to no client; `client.bind(proxy)` returns one that does."""


class ClosedError(UsageError):
    """The client, lease, view or source has been closed."""


class MissingExtraError(UsageError, ImportError):
    """A feature needs an optional package that is not installed."""

    package: str = ""
    extra: str = ""
    """The extra of this distribution that installs it."""


class NoSuchMethodError(UsageError, AttributeError):
    """A managed object's type has no method of that name; `hasattr` and `getattr` see it as usual.

    After a reply that refers to an object of another kind than the API declares, this ends the work.
    """


class InvalidPathError(UsageError):
    """A datastore or inventory path is invalid."""

    path: str = ""


class TransportError(VimlibError):
    """The request did not reach the server, or its reply did not arrive."""

    host: str = ""
    """`host:port` of the peer."""
    outcome: Outcome = "unknown"


class ConnectError(TransportError):
    """The connection could not be opened, so nothing was sent."""

    outcome: Outcome = "not_sent"
    retryable = True


class ResolveError(ConnectError):
    """The host name has no address."""


class ProxyError(ConnectError):
    """The proxy refused or failed."""

    retryable = False
    status: int = 0
    """The proxy's HTTP status; 0 if it sent none."""


class TLSError(TransportError):
    """The TLS handshake failed, so nothing was sent."""

    outcome: Outcome = "not_sent"


class CertificateError(TLSError):
    """The server's certificate was not accepted."""

    sha256: str = ""
    """SHA-256 of the certificate that the server presented, upper-case hex with colons; "" if unknown."""
    reason: str = ""


class PinMismatchError(CertificateError):
    """The server's certificate is not the pinned one."""


class DeadlineError(TransportError, TimeoutError):
    """Connecting, the handshake, one read or the whole call took longer than allowed."""

    phase: str = ""
    """`connect`, `handshake`, `read`, `write` or `call`; else the operation, as `move`."""
    seconds: float = 0.0
    rule: str = ""
    """Of a transfer, the limit that was exceeded: a field of `Timeouts`, as `rate` or `transfer`, or
    `timeout`, the argument."""
    bytes: int | None = None
    """Of a transfer, the bytes of the body that were transferred by then."""
    task: Any = None
    """The host's task, if one was started and is still running: wait for it again, or cancel it."""
    retryable = True


class ConnectionLostError(TransportError):
    """The peer closed or reset the connection during the exchange."""

    retryable = True


class HTTPStatusError(TransportError):
    """The peer answered with an HTTP status instead of a SOAP reply."""

    status: int = 0
    excerpt: str = ""
    """The first bytes of the body, escaped."""
    retry_after: float | None = None
    """The peer's Retry-After in seconds, capped; None if it sent none."""


class RedirectError(TransportError):
    """The peer answered with a redirect, which is not followed: cookies and passwords would go with it."""

    location: str = ""
    outcome: Outcome = "refused"


class ProtocolError(VimlibError):
    """The reply is malformed or breaks the schema."""

    path: str = ""
    """Where in the reply, as `returnval.objects[3].propSet[0].val`."""
    excerpt: str = ""
    outcome: Outcome = "unknown"


class ForbiddenXMLError(ProtocolError):
    """A DOCTYPE, an entity declaration or a processing instruction, which SOAP forbids."""


class LimitError(ProtocolError):
    """The reply exceeds a limit."""

    limit: str = ""
    """Name of the limit in `vimlib.soap.Limits`."""
    allowed: int = 0


class InvalidFieldError(ProtocolError):
    """A field that vimlib reads is absent from the reply, or is not of its declared type."""

    type: str = ""
    """The type that declares the field, or the method for the result of a call."""
    field: str = ""
    """Wire name of the field, or the property path."""
    _template = "invalid reply: {type}.{field} must be {wanted}, got {actual}"
    hint = "Check the host's version and health, and for a proxy that changes replies."
    wanted: str = ""
    """The declared type."""
    actual: str = ""
    """What the reply has instead; `nothing` if the field is absent."""


class UnexpectedReplyError(ProtocolError):
    """The reply is HTML, empty, or belongs to another method."""

    status: int = 0
    """The HTTP status of the reply; 0 if the reply was decoded without one."""


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
    """A call that changes the server was sent and no usable reply arrived.

    The call is not repeated automatically: `method` and `this` name the state to read on the server.
    The error that the call met is the `__cause__`.
    """

    method: str = ""
    this: Any = None
    replied: bool = False
    """Whether the server, or a proxy before it, answered with a reply that cannot be decoded."""
    outcome: Outcome = "unknown"


class NotFoundError(VimlibError, LookupError):
    """The object does not exist on the host."""

    kind: str = ""
    name: str = ""
    outcome: Outcome = "refused"


class TaskError(VimlibError):
    """Waiting for a task failed; see also the fault that a failed task raises."""

    task: Any = None
    outcome: Outcome = "unknown"


class TaskTimeoutError(TaskError, TimeoutError):
    """The task did not end in time. It is still running on the server."""


class TaskVanishedError(TaskError):
    """The server removed the task before its result was read."""


class TaskQuestionError(TaskError):
    """The machine has a pending question, so its task does not end until it is answered."""

    question: Any = None
    """`VirtualMachineQuestionInfo`; answer it with `AnswerVM`."""


class TransferError(VimlibError):
    """A file transfer failed."""

    path: str = ""
    outcome: Outcome = "unknown"


class TransferRejectedError(TransferError):
    """The server refused the transfer."""

    status: int = 0
    excerpt: str = ""
    outcome: Outcome = "refused"


class TransferCorruptError(TransferError):
    """The file on the host and the bytes that were transferred differ."""

    expected: Any = None
    """The size in bytes, or the digest, that the other side has: of a download, the host's listing."""
    actual: Any = None
    outcome: Outcome = "applied"


class SourceError(TransferError):
    """The source of the bytes failed."""

    outcome: Outcome = "refused"


class LeaseError(TransferError):
    """An NFC lease failed or ended too early."""


class HostStateError(VimlibError):
    """The state of the host or datastore does not allow the call."""

    state: str = ""
    outcome: Outcome = "refused"
