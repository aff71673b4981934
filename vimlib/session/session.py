"""The session: who calls, logs in, stays logged in, and logs in again once for everyone."""

from __future__ import annotations

import asyncio
import copy
import logging
import random
import secrets
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal, Self, TypeVar

from vimlib import vim25
from vimlib.errors import (
    ClosedError,
    ConnectionLostError,
    HTTPStatusError,
    LoginError,
    OutcomeUnknownError,
    ProtocolError,
    RedirectError,
    SessionExpiredError,
    UsageError,
    VimlibError,
)
from vimlib.model.managed import ManagedObject, rebind
from vimlib.secret import Secret
from vimlib.session import negotiate
from vimlib.session.keepalive import Keepalive
from vimlib.session.policy import Action, Attempt, Budget, RetryPolicy, decide
from vimlib.session.shield import finish
from vimlib.soap import Decoder, Limits, encode_request
from vimlib.transport.base import EncodedCall, Timeouts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from vimlib.model import Method
    from vimlib.transport.base import Exchange, Middleware, Reply, Transport

__all__ = ["Credentials", "Session"]

log = logging.getLogger("vimlib.session")

M = TypeVar("M", bound="ManagedObject")

# Silence that is allowed beyond what a long poll was asked to wait.
_POLL_SLACK: Final = 30.0
_LISTINGS: Final = frozenset({"RetrieveProperties", "RetrievePropertiesEx"})
_PAGES: Final = frozenset({"ContinueRetrievePropertiesEx"})
_COOKIE_GIVERS: Final = frozenset({"RetrieveServiceContent", "Login"})


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who logs in."""

    username: str
    password: Secret
    locale: str | None = None
    """Language of the messages, as `en`; the host's own if None."""


class Session:
    """One login on one host; an `Invoker`. Use it as a context manager.

    Entering negotiates the version and logs in; leaving logs out, whatever the reason, shielded
    and within `Timeouts.logout`. Cancelling the entering logs out what was logged in.

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
    ) -> None:
        if keepalive is not None and not keepalive > 0:
            raise UsageError("keepalive must be a positive number of seconds, or None")
        self._transport = transport
        self._credentials = credentials
        self._timeouts = timeouts or Timeouts()
        self._limits = limits or Limits()
        self._newer = newer
        self._strict = strict
        self._policy = retries or RetryPolicy()
        self._budget = Budget(self._policy)
        self._jitter = jitter
        self._exchange = _wrap(transport.exchange, middleware)
        self._keepalive = Keepalive(self._beat, keepalive)
        self._forced_version = version
        self._version = version or negotiate.FIRST
        self._prefix = f"vimlib-{secrets.token_hex(4)}"
        self._calls = 0
        self._cookie: Secret | None = None
        self._content: vim25.ServiceContent | None = None
        self._epoch = 0
        self._flight: asyncio.Task[bool] | None = None
        self._refused: LoginError | None = None
        self._may_be_in = False
        self._state: Literal["new", "open", "closed"] = "new"

    # -- what is known -------------------------------------------------------------------------

    @property
    def host(self) -> str:
        """`host:port` of the server."""
        return self._transport.host

    @property
    def api_version(self) -> str:
        """The version of the API that is spoken: the newest that host and client know."""
        return self._version

    @property
    def content(self) -> vim25.ServiceContent:
        """The host's root objects, bound. Raises `ClosedError` before the session is open."""
        if self._content is None:
            raise ClosedError(f"the session on {self.host} is not open", hint="Use `async with`.")
        return self._content

    @property
    def cookie(self) -> Secret | None:
        """The session's cookie, for transfers on the same host."""
        return self._cookie

    async def ensure(self) -> Secret | None:
        """Make sure that the session lives, logging in again if it has ended; return its cookie.

        For what is sent only once, like the body of an upload. Raises what `invoke` raises.
        """
        if self._state == "closed":
            raise ClosedError(f"the session on {self.host} is closed", hint="Connect again.")
        await self._renew(self._epoch)
        return self._cookie

    def bind(self, proxy: M) -> M:
        """Return a proxy of the same object that calls through this session."""
        return rebind(proxy, self)  # type: ignore[return-value]

    def __repr__(self) -> str:
        return f"<Session {self.host} API {self._version}, {self._state}, {self._calls} calls>"

    # -- open and close ------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        if self._state != "new":
            raise ClosedError("a session is opened once", hint="Make a new one.")
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
            self._version = offered
        root = vim25.ServiceInstance("ServiceInstance", invoker=self)
        content: vim25.ServiceContent | None = await self._read(
            vim25.ServiceInstance.RetrieveServiceContent, root, {}
        )
        if content is None or content.sessionManager is None:
            raise ProtocolError(f"{self.host} has no session manager: it is no vSphere host")
        if self._forced_version is None and offered is None:
            known = vim25.ServiceInstance._binding_.versions
            self._version = negotiate.newest_known(content.about.apiVersion, known)
        self._content = content
        # Shielded: a login that was cancelled half-way may have left a session on the host, whose
        # cookie is in the reply that is still to come.
        await finish(self._login(), what="login", grace=self._timeouts.logout)
        self._state = "open"
        self._epoch += 1
        self._keepalive.start()
        log.info("logged in to %s, API %s", self.host, self._version)

    async def _offered(self) -> str | None:
        fetch = getattr(self._transport, "fetch_versions", None)
        if fetch is None or self._forced_version is not None:
            return None
        try:
            document: bytes | None = await fetch()
            if document is None:
                return None
            offered = negotiate.read_versions(document)
        except (HTTPStatusError, ProtocolError, RedirectError) as exc:
            # Old hosts and gateways have no such document; the service itself says its version.
            log.debug("%s: no list of API versions: %s", self.host, exc)
            return None
        return negotiate.choose(offered, vim25.ServiceInstance._binding_.versions)

    async def aclose(self) -> None:
        """Log out and stop the keepalive. Safe to call twice.

        Cancelling is put off until the host has answered or `Timeouts.logout` has passed.
        """
        if self._state == "closed":
            return
        self._state = "closed"
        await finish(self._close(), what="logout")

    async def _close(self) -> None:
        await self._keepalive.stop()
        if self._flight is not None:
            await asyncio.wait([self._flight], timeout=self._timeouts.logout)
            self._flight.cancel()
            await asyncio.gather(self._flight, return_exceptions=True)
        await self._logout()
        if self._content is not None:
            # The root objects call through us, and data objects are not seen by the cycle collector:
            # untied here, a closed session is freed.
            for name in self._content.__struct_fields__:  # type: ignore[attr-defined]
                value = getattr(self._content, name)
                if isinstance(value, ManagedObject):
                    setattr(self._content, name, rebind(value, None))

    async def _logout(self) -> None:
        if not self._may_be_in or self._cookie is None or self._content is None:
            return
        manager = self._content.sessionManager
        assert manager is not None
        try:
            async with asyncio.timeout(self._timeouts.logout):
                try:
                    await self._call(vim25.SessionManager.Logout, manager, {})
                except ConnectionLostError:
                    # Once more, over another connection: if it was done, the host just says so.
                    await self._call(vim25.SessionManager.Logout, manager, {})
        except vim25.NoPermission:
            log.debug("%s: the session had ended already", self.host)
        except (VimlibError, TimeoutError) as exc:
            log.warning(
                "%s: not logged out, the session stays until it idles out: %s", self.host, exc
            )
        else:
            log.info("logged out of %s", self.host)
        self._cookie = None
        self._may_be_in = False

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
        if self._state == "closed":
            raise ClosedError(f"the session on {self.host} is closed", hint="Connect again.")
        attempt = Attempt(method.name)
        while True:
            epoch = self._epoch
            decision = None
            try:
                result = await self._call(method, this, args)
            except VimlibError as exc:
                error = exc
                decision = decide(error, attempt, self._policy, self._budget, self._jitter)
            else:
                if attempt.relogged or not _looks_expired(method.name, result):
                    return self._worked(result)
                if not await self._renew(epoch) and not _says_expired(result):
                    return self._worked(result)
                if method.name in _PAGES:
                    raise SessionExpiredError(
                        "the session ended amid a listing, which must start anew", retryable=True
                    )
                attempt = replace(attempt, relogged=True)
                continue
            if decision.action is Action.RELOGIN:
                renewed = await self._renew(epoch)
                if not renewed and type(error) is vim25.NoPermission:
                    raise error
                attempt = replace(attempt, relogged=True)
            elif decision.action is Action.RESEND:
                log.warning(
                    "%s: %s failed, sent again in %.2f s: %s",
                    self.host,
                    method.name,
                    decision.delay,
                    error,
                )
                await asyncio.sleep(decision.delay)
                attempt = replace(attempt, sends=attempt.sends + 1)
            elif decision.action is Action.DONE:
                return self._worked(None)
            elif decision.action is Action.RAISE_UNKNOWN:
                raise self._unknown(method, this, error) from error
            else:
                raise error

    def _worked(self, result: Any) -> Any:
        self._budget.success()
        self._keepalive.busy()
        return result

    def _unknown(
        self, method: Method[..., Any], this: ManagedObject, error: VimlibError
    ) -> OutcomeUnknownError:
        return OutcomeUnknownError(
            f"{method.name} was sent to {self.host} and no answer came: {error}",
            hint="Read the object's state before you act again; the call is never repeated by itself.",
            method=method.name,
            this=this,
        )

    async def _read(
        self, method: Method[..., Any], this: ManagedObject, args: Mapping[str, Any]
    ) -> Any:
        """Make a call that needs no login, or that must not lead to one."""
        attempt = Attempt(method.name, relogged=True)
        while True:
            try:
                return await self._call(method, this, args)
            except VimlibError as exc:
                decision = decide(exc, attempt, self._policy, self._budget, self._jitter)
                if decision.action is not Action.RESEND:
                    raise
            await asyncio.sleep(decision.delay)
            attempt = replace(attempt, sends=attempt.sends + 1)

    async def _call(
        self, method: Method[..., Any], this: ManagedObject, args: Mapping[str, Any]
    ) -> Any:
        """Send once, decode."""
        self._calls += 1
        operation = f"{self._prefix}-{self._calls:x}"
        decoder = Decoder(method, limits=self._limits, strict=self._strict, invoker=self)
        gives_cookie = method.name in _COOKIE_GIVERS
        call = EncodedCall(
            method=method.name,
            body=encode_request(
                method,
                this,
                args,
                version=self._version,
                newer=self._newer,
                limits=self._limits,
                header={"operationID": operation},
            ),
            receive=decoder.feed,
            action=f"{method.binding.namespace}/{self._version}",
            operation_id=operation,
            this=this.moref,
            cookie=self._cookie,
            on_cookie=self._take_cookie if gives_cookie else None,
            read=_patience(method.name, args, self._timeouts),
        )
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            reply = await self._exchange(call)
            result = decoder.close()
        except VimlibError as exc:
            exc.add_note(f"operation {operation}: {method.name} on {this!r} at {self.host}")
            log.debug(
                "%s %s failed after %.3f s: %s", operation, method.name, loop.time() - began, exc
            )
            raise
        log.debug(
            "%s %s took %.3f s, %d bytes",
            operation,
            method.name,
            loop.time() - began,
            reply.received,
        )
        return result

    def _take_cookie(self, cookie: Secret) -> None:
        self._cookie = cookie

    # -- login ---------------------------------------------------------------------------------

    async def _login(self) -> None:
        manager = self.content.sessionManager
        assert manager is not None
        had_cookie = self._cookie is not None
        self._may_be_in = True
        try:
            await self._read(
                vim25.SessionManager.Login,
                manager,
                {
                    "userName": self._credentials.username,
                    "password": self._credentials.password.reveal(),
                    "locale": self._credentials.locale,
                },
            )
        except (vim25.InvalidLogin, vim25.NoPermission) as fault:
            # A host that knows our cookie says InvalidLogin when we are in already.
            if had_cookie and await self._alive():
                return
            self._may_be_in = False
            name = fault.fault_name
        except VimlibError as exc:
            # The reply was lost or unreadable: with a cookie, the host can be asked what came of it.
            if exc.outcome == "unknown" and self._cookie is not None and await self._alive():
                return
            raise
        else:
            return
        raise LoginError(
            f"{self.host} refused to log in {self._credentials.username!r} ({name})",
            hint="Check user name and password; it is not tried again, since a few tries lock an account.",
            username=self._credentials.username,
        )

    async def _alive(self) -> bool:
        """Ask the host whether our session lives, by `SessionManager.currentSession`.

        SessionIsActive is for vCenter only, and needs a privilege.
        """
        manager = self.content.sessionManager
        assert manager is not None
        spec = vim25.PropertyFilterSpec(
            propSet=[
                vim25.PropertySpec(type="SessionManager", all=False, pathSet=["currentSession"])
            ],
            objectSet=[vim25.ObjectSpec(obj=manager, skip=False)],
        )
        try:
            found: list[vim25.ObjectContent] | None = await self._read(
                vim25.PropertyCollector.RetrieveProperties,
                self.content.propertyCollector,
                {"specSet": [spec]},
            )
        except vim25.NoPermission:  # NotAuthenticated is one
            return False
        except HTTPStatusError as exc:
            if exc.status in {401, 403}:
                return False
            raise
        return any(
            prop.name == "currentSession" and prop.val is not None
            for item in found or ()
            for prop in item.propSet
        )

    async def _renew(self, epoch: int) -> bool:
        """Make sure of the session, once for all who ask. Returns whether it is a new one.

        `epoch` is what it was when the caller's call was sent: if it has changed since, somebody
        has logged in meanwhile. Raises `LoginError` for ever after the host refused once.
        """
        if epoch != self._epoch:
            return True
        if self._refused is not None:
            raise copy.copy(self._refused)
        if self._state == "closed":
            raise ClosedError(f"the session on {self.host} is closed", hint="Connect again.")
        if self._flight is None or self._flight.done():
            self._flight = asyncio.create_task(self._relogin(), name="vimlib login")
            self._flight.add_done_callback(_retrieve)
        flight = self._flight
        # Nobody's cancellation ends the login of the others.
        await asyncio.wait([flight])
        if flight.cancelled():
            raise ClosedError(f"the session on {self.host} was closed", hint="Connect again.")
        error = flight.exception()
        if error is not None:
            # A copy each: one exception raised in many tasks would mix their tracebacks.
            raise copy.copy(error)
        return flight.result()

    async def _relogin(self) -> bool:
        if await self._alive():
            return False
        log.info("%s: the session has ended, logging in again", self.host)
        self._cookie = None
        try:
            await self._login()
        except LoginError as exc:
            self._refused = copy.copy(exc)
            raise
        self._epoch += 1
        return True

    async def _beat(self) -> None:
        root = vim25.ServiceInstance("ServiceInstance", invoker=self)
        await self.invoke(vim25.ServiceInstance.CurrentTime, root, {})


def _retrieve(flight: asyncio.Task[bool]) -> None:
    """Take note of a failure that everyone who waited for has been cancelled over."""
    if not flight.cancelled():
        flight.exception()


def _wrap(exchange: Exchange, middleware: Sequence[Middleware]) -> Exchange:
    for layer in reversed(middleware):
        exchange = _Layer(layer, exchange)
    return exchange


class _Layer:
    """One middleware around the rest."""

    def __init__(self, middleware: Middleware, inner: Exchange) -> None:
        self._middleware = middleware
        self._inner = inner

    async def __call__(self, call: EncodedCall, /) -> Reply:
        return await self._middleware(call, self._inner)


def _patience(name: str, args: Mapping[str, Any], timeouts: Timeouts) -> float | None:
    """Return the silence that a call may keep, where it differs from `Timeouts.read`."""
    if name != "WaitForUpdatesEx":
        return None
    options = args.get("options")
    asked = getattr(options, "maxWaitSeconds", None)
    if not isinstance(asked, int):
        return None
    return max(timeouts.read, asked + _POLL_SLACK)


def _contents(result: Any) -> list[Any]:
    objects = getattr(result, "objects", result)
    return objects if isinstance(objects, list) else []


def _looks_expired(name: str, result: Any) -> bool:
    """Tell whether a listing has the look of an ended session: empty, or NotAuthenticated within."""
    if name in _LISTINGS:
        return not _contents(result) or _says_expired(result)
    return name in _PAGES and _says_expired(result)


def _says_expired(result: Any) -> bool:
    return any(
        isinstance(getattr(missing.fault, "fault", None), vim25.NotAuthenticated)
        for item in _contents(result)
        for missing in item.missingSet
    )
