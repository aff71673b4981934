"""The session: sends calls, and handles those that fail."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import random
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar

from vimlib import vim25
from vimlib._repr import robust
from vimlib._secret import Secret, forgetting
from vimlib._session import negotiate
from vimlib._session.caller import Caller, Sent
from vimlib._session.credentials import Credentials
from vimlib._session.expired import BOUND, PAGES, looks_expired, says_expired
from vimlib._session.keepalive import Keepalive
from vimlib._session.login import Login, closed
from vimlib._session.policy import MOST_LOGINS, Action, Attempt, RetryPolicy
from vimlib._session.refusals import RefusedLogins
from vimlib._shield import finish
from vimlib._transport.base import COOKIE, Timeouts
from vimlib.errors import (
    ClosedError,
    HTTPStatusError,
    OutcomeUnknownError,
    ProtocolError,
    RedirectError,
    SessionExpiredError,
    UsageError,
    VimlibError,
)
from vimlib.model._managed import ManagedObject, rebind
from vimlib.soap import Limits

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from vimlib._transport.base import Middleware, Transport
    from vimlib.model import Method

__all__ = ["Credentials", "Session"]

log = logging.getLogger("vimlib.session")

M = TypeVar("M", bound="ManagedObject")


class Session:
    """One login on one host; an `Invoker`. Use it as a context manager.

    Entering negotiates the version and logs in; leaving logs out, whatever the reason, shielded
    and within `Timeouts.logout`. Cancelling the entering logs out again.

    Raises on entering: `LoginError`, `TransportError`, `ProtocolError`.
    """

    def __init__(
        self,
        transport: Transport,
        credentials: Credentials,
        *,
        timeouts: Timeouts | None = None,
        limits: Limits | None = None,
        newer: Literal["refuse", "drop"] = "refuse",
        strict: bool = False,
        retries: RetryPolicy | None = None,
        keepalive: float | None = 300.0,
        middleware: Sequence[Middleware] = (),
        version: str | None = None,
        jitter: Callable[[], float] = random.random,
        refusals: RefusedLogins | None = None,
        retry_login: bool = False,
    ) -> None:
        if keepalive is not None and not keepalive > 0:
            raise UsageError(f"keepalive must be None or above 0 seconds, got {keepalive!r}")
        self._transport = transport
        self._credentials = credentials
        self._refusals = refusals or RefusedLogins(None)
        self._retry_login = retry_login
        self._timeouts = timeouts or Timeouts()
        self._caller = Caller(
            transport,
            self,
            version=version or negotiate.FIRST,
            timeouts=self._timeouts,
            limits=limits or Limits(),
            newer=newer,
            strict=strict,
            policy=retries or RetryPolicy(),
            jitter=jitter,
            middleware=middleware,
        )
        self._forced_version = version
        self._keepalive = Keepalive(self._beat, keepalive)
        self._content: vim25.ServiceContent | None = None
        self._login: Login | None = None
        self._state: Literal["new", "open", "closed"] = "new"

    # -- state -------------------------------------------------------------------------

    @property
    def host(self) -> str:
        """`host:port` of the server."""
        return self._transport.host

    @property
    def api_version(self) -> str:
        """The version of the API that is spoken: the newest that host and client know."""
        return self._caller.version

    @property
    def content(self) -> vim25.ServiceContent:
        """The host's root objects, bound. Raises `ClosedError` before the session is open."""
        if self._content is None:
            raise _not_open(self.host)
        return self._content

    @property
    def cookie(self) -> Secret | None:
        """The session's cookie, for transfers on the same host."""
        return self._caller.cookie

    @property
    def digest(self) -> str:
        """See `Client.session_digest`."""
        key = "" if self._login is None else self._login.key
        return digest_of(key) if key else ""

    async def ensure(self) -> Secret | None:
        """Make sure that the session lives, logging in again if it has ended; return its cookie.

        For requests that cannot be repeated, like the body of an upload. Raises as `invoke` does.
        Cancelling leaves the login to the others who wait for it.
        """
        if self._state == "closed":
            raise closed(self.host)
        login = self._logged_in()
        await login.renew(self._caller.epoch)
        return self._caller.cookie

    @property
    def cookie_header(self) -> CookieHeader:
        """The Cookie header of transfers on the same host."""
        return CookieHeader(self)

    def _logged_in(self) -> Login:
        if self._login is None:
            raise _not_open(self.host)
        return self._login

    def bind(self, proxy: M) -> M:
        """Return a proxy of the same object that calls through this session."""
        return rebind(proxy, self)  # type: ignore[return-value]

    @robust
    def __repr__(self) -> str:
        caller = self._caller
        return f"<Session {self.host} API {caller.version}, {self._state}, {caller.calls} calls>"

    # -- open and close ------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        if self._state != "new":
            raise ClosedError("a session can be opened once", hint="Create a new session.")
        try:
            await self._open()
        except BaseException:
            await self.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def _open(self) -> None:
        offered = await self._offered()
        if self._forced_version is None and offered is not None:
            self._caller.version = offered
        root = vim25.ServiceInstance("ServiceInstance", invoker=self)
        content: vim25.ServiceContent | None = await self._caller.read(
            vim25.ServiceInstance.RetrieveServiceContent, root, {}
        )
        if content is None or content.sessionManager is None:
            raise ProtocolError(f"{self.host} has no SessionManager, so it is not a vSphere host")
        if self._forced_version is None and offered is None:
            known = vim25.ServiceInstance._binding_.versions
            self._caller.version = negotiate.newest_known(content.about.apiVersion, known)
        self._content = content
        self._login = Login(
            self._caller,
            self._credentials,
            content.sessionManager,
            content.propertyCollector,
            refusals=self._refusals,
            retry=self._retry_login,
        )
        # Shielded: a login that was cancelled half-way may have left a session on the host, whose
        # cookie is in the reply that is still to come.
        await finish(self._login.enter(), what="login", grace=self._timeouts.logout)
        self._state = "open"
        self._keepalive.start()
        log.info("logged in to %s, API %s", self.host, self._caller.version)

    async def _offered(self) -> str | None:
        source = self._transport
        if self._forced_version is not None or not isinstance(source, negotiate.VersionSource):
            return None
        try:
            document = await self._caller.fetch(source.fetch_versions, negotiate.DOCUMENT)
            if document is None:
                return None
            offered = negotiate.read_versions(document)
        except (HTTPStatusError, ProtocolError, RedirectError) as exc:
            # Old hosts and gateways have no such document; the service itself reports its version.
            log.debug("%s: cannot read the list of API versions: %s", self.host, exc)
            return None
        return negotiate.choose(offered, vim25.ServiceInstance._binding_.versions)

    async def aclose(self) -> None:
        """Log out and stop the keepalive. Safe to call twice.

        Cancelling is put off until the host has answered or `Timeouts.logout` has passed.
        """
        if self._state == "closed":
            return
        self._state = "closed"
        if self._login is not None:
            self._login.closed = True
        await finish(self._close(), what="logout")

    async def _close(self) -> None:
        await self._keepalive.stop()
        if self._login is not None:
            await self._login.leave()
        if self._content is not None:
            # The root objects call through us, and data objects are not seen by the cycle collector:
            # untied here, a closed session is freed.
            for name in self._content.__struct_fields__:  # type: ignore[attr-defined]
                value = getattr(self._content, name)
                if isinstance(value, ManagedObject):
                    setattr(self._content, name, rebind(value, None))

    # -- calls ---------------------------------------------------------------------------------

    async def invoke(
        self, method: Method[..., Any], this: ManagedObject, args: Mapping[str, Any]
    ) -> Any:
        """Make the call and return its decoded result.

        Read-only methods are sent again when that may help; any other only if the host cannot
        have executed it. Raises the fault that the host answers, `OutcomeUnknownError`,
        `TransportError`, `ProtocolError`, `LoginError`, `EncodeError`, `VersionError`.
        Cancelling closes the connection of the call; whether the host has executed it is unknown.
        """
        if not method.secrets:
            return await self._invoke(method, this, args)
        try:
            with forgetting():
                return await self._invoke(method, this, args)
        finally:
            del args  # tracebacks keep frames

    async def _invoke(
        self, method: Method[..., Any], this: ManagedObject, args: Mapping[str, Any]
    ) -> Any:
        attempt = Attempt(method.name)
        began = asyncio.get_running_loop().time()
        while True:
            if self._state == "closed":
                raise closed(self.host)
            sent = Sent(self._caller.epoch)
            try:
                result = await self._caller.send(method, this, args, sent)
            except VimlibError as exc:
                error = exc
            else:
                if attempt.relogged or not looks_expired(method.name, result):
                    return self._worked(result)
                renewed = await self._logged_in().renew(sent.epoch)
                if not renewed and not says_expired(result):
                    return self._worked(result)
                if method.name in PAGES:
                    raise _amid(method.name)
                if attempt.logins >= MOST_LOGINS:
                    raise _too_often(self.host, method.name)
                attempt = attempt.after_login(renewed=renewed)
                continue
            decision = self._caller.decide(error, attempt, began)
            if decision.action is Action.RELOGIN:
                renewed = await self._logged_in().renew(sent.epoch)
                if not renewed and type(error) is vim25.NoPermission:
                    raise error
                if renewed and method.name in BOUND:
                    raise _amid(method.name) from error
                attempt = attempt.after_login(renewed=renewed)
            elif decision.action is Action.RESEND:
                log.warning(
                    "%s: %s failed, retry in %.2f s: %s",
                    self.host,
                    method.name,
                    decision.delay,
                    error,
                )
                await asyncio.sleep(decision.delay)
                attempt = attempt.again()
            elif decision.action is Action.DONE:
                return self._worked(None)
            elif decision.action is Action.RAISE_UNKNOWN:
                raise self._unknown(method, this, error) from error
            elif decision.action is Action.RAISE_EXPIRED:
                raise _too_often(self.host, method.name) from error
            else:
                raise error

    def _worked(self, result: Any) -> Any:
        self._caller.budget.success()
        self._keepalive.busy()
        return result

    def _unknown(
        self, method: Method[..., Any], this: ManagedObject, error: VimlibError
    ) -> OutcomeUnknownError:
        replied = isinstance(error, ProtocolError | HTTPStatusError)
        what = "the reply cannot be decoded" if replied else "no reply arrived"
        return OutcomeUnknownError(
            f"{method.name} was sent to {self.host} and {what}: {error}",
            hint="Read the object's state before you act again; the call is not repeated automatically.",
            method=method.name,
            this=this,
            replied=replied,
        )

    async def _beat(self) -> None:
        root = vim25.ServiceInstance("ServiceInstance", invoker=self)
        await self.invoke(vim25.ServiceInstance.CurrentTime, root, {})


class CookieHeader:
    """A `Credential`: the session's cookie of the moment in which a request is written."""

    __slots__ = ("_session",)

    def __init__(self, session: Session) -> None:
        self._session = session

    async def renew(self) -> None:
        """Make sure of the session; see `Session.ensure`."""
        await self._session.ensure()

    def value(self) -> Secret | None:
        """Return `vmware_soap_session=...`, None without a cookie."""
        cookie = self._session.cookie
        return None if cookie is None else Secret(f"{COOKIE}={cookie.reveal()}")


def _amid(method: str) -> SessionExpiredError:
    what = "a listing" if method in PAGES else "a wait for updates"
    return SessionExpiredError(
        f"the session ended during {what}, which must be restarted", retryable=True
    )


def _too_often(host: str, method: str) -> SessionExpiredError:
    return SessionExpiredError(
        f"{host} ended {MOST_LOGINS} sessions before it answered {method}",
        hint="Check on the host why sessions end, for example a script that terminates them.",
    )


def digest_of(key: str) -> str:
    """Return the digest that names a session without showing its key: SHA-256 in hex."""
    return hashlib.sha256(f"vimlib session\0{key}".encode()).hexdigest()


def _not_open(host: str) -> ClosedError:
    return ClosedError(f"the session on {host} is not open", hint="Use `async with`.")
