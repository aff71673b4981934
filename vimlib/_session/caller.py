"""One call, sent once or read until it is answered: encoded, exchanged, decoded. Knows no login."""

from __future__ import annotations

import asyncio
import logging
import secrets
from typing import TYPE_CHECKING, Any, Final, TypeVar

from vimlib._secret import Secret, mask_error
from vimlib._session.essential import ESSENTIAL, check_result
from vimlib._session.operation import operation_prefix
from vimlib._session.policy import Action, Attempt, Budget, Decision, decide
from vimlib._transport.base import EncodedCall
from vimlib.errors import VimlibError
from vimlib.soap import Decoder, encode_request

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from typing import Literal

    from vimlib._session.policy import RetryPolicy
    from vimlib._transport.base import Exchange, Middleware, Reply, Timeouts, Transport
    from vimlib.model import Invoker, Method
    from vimlib.model._managed import ManagedObject
    from vimlib.soap import Limits

T = TypeVar("T")

log = logging.getLogger("vimlib.session")

# Silence that is allowed beyond the requested wait of a long poll.
_POLL_SLACK: Final = 30.0
# WaitForUpdates, of hosts before API 4.1, has no maximum wait: its caller cancels it on
# the host after as long as a long poll is asked to wait at most.
_ENDLESS_POLL: Final = 60.0
_POLLS: Final = frozenset({"WaitForUpdates", "WaitForUpdatesEx"})
_COOKIE_GIVERS: Final = frozenset({"RetrieveServiceContent", "Login"})


class Sent:
    """The session in which a request was written, as `Caller.epoch` counts them."""

    __slots__ = ("epoch",)

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch


class Caller:
    """Makes calls on one host, each with the cookie that is valid when its request is written."""

    def __init__(
        self,
        transport: Transport,
        invoker: Invoker,
        *,
        version: str,
        timeouts: Timeouts,
        limits: Limits,
        newer: Literal["refuse", "drop"],
        strict: bool,
        policy: RetryPolicy,
        jitter: Callable[[], float],
        middleware: Sequence[Middleware],
    ) -> None:
        self.host = transport.host
        self.timeouts = timeouts
        self.version = version
        """The version of the API that is spoken."""
        self.cookie: Secret | None = None
        self.epoch = 0
        """Counts logins: a request that was written in an earlier one belongs to a session that ended."""
        self.calls = 0
        """How many were sent, repeats included."""
        self.budget = Budget(policy)
        self._exchange = _wrap(transport.exchange, middleware)
        self._invoker = invoker
        self._limits = limits
        self._newer: Literal["refuse", "drop"] = newer
        self._strict = strict
        self._policy = policy
        self._jitter = jitter
        self._prefix = f"vimlib-{secrets.token_hex(4)}"

    def decide(self, error: VimlibError, attempt: Attempt, began: float) -> Decision:
        """Decide about an error that ended an attempt of a call that began then; see `policy`."""
        left = began + self.timeouts.call - asyncio.get_running_loop().time()
        return decide(error, attempt, self._policy, self.budget, self._jitter, left)

    async def read(
        self, method: Method[..., Any], this: ManagedObject, args: Mapping[str, Any]
    ) -> Any:
        """Make a call that needs no login, or that must not lead to one."""
        return await self._repeated(
            Attempt(method.name, relogged=True), lambda: self.send(method, this, args)
        )

    async def fetch(self, fetch: Callable[[], Awaitable[T]], name: str) -> T:
        """Get a document that needs no login, as often as `read` makes a call."""
        return await self._repeated(Attempt(name, relogged=True, reads=True), fetch)

    async def _repeated(self, attempt: Attempt, send: Callable[[], Awaitable[T]]) -> T:
        began = asyncio.get_running_loop().time()
        while True:
            try:
                return await send()
            except VimlibError as exc:
                decision = self.decide(exc, attempt, began)
                if decision.action is not Action.RESEND:
                    raise
            await asyncio.sleep(decision.delay)
            attempt = attempt.again()

    async def send(
        self,
        method: Method[..., Any],
        this: ManagedObject,
        args: Mapping[str, Any],
        sent: Sent | None = None,
    ) -> Any:
        """Send once, decode. Cancelling closes the connection; the host may have done it.

        `sent` gets the session in which the request is written.
        """
        shown = [Secret(args[name]) for name in method.secrets if isinstance(args.get(name), str)]

        def credential() -> Secret | None:
            if sent is not None:
                sent.epoch = self.epoch
            if self.cookie is not None:
                shown.append(self.cookie)
            return self.cookie

        self.calls += 1
        name = method.name
        operation = f"{operation_prefix()}{self._prefix}-{self.calls:x}"
        decoder = Decoder(
            method,
            limits=self._limits,
            strict=self._strict,
            invoker=self._invoker,
            essential=ESSENTIAL,
        )
        call = EncodedCall(
            method=name,
            body=encode_request(
                method,
                this,
                args,
                version=self.version,
                newer=self._newer,
                limits=self._limits,
                header={"operationID": operation},
                host=self.host,
            ),
            receive=decoder.feed,
            action=f"{method.binding.namespace}/{self.version}",
            operation_id=operation,
            this=this.moref,
            cookie=credential,
            on_cookie=self._take_cookie if name in _COOKIE_GIVERS else None,
            read=_patience(name, args, self.timeouts),
            poll=name in _POLLS,
        )
        began = asyncio.get_running_loop().time() if log.isEnabledFor(logging.DEBUG) else None
        try:
            reply = await self._exchange(call)
            result = decoder.close()
            check_result(method, result)
        except VimlibError as exc:
            mask_error(exc, shown)  # peers repeat requests in their error pages
            exc.add_note(f"operation {operation}: {name} on {this!r} at {self.host}")
            if began is not None:
                log.debug("%s %s failed after %.3f s: %s", operation, name, _since(began), exc)
            raise
        finally:
            del decoder, call  # they hold request and reply
        if began is not None:
            took = _since(began)
            log.debug("%s %s took %.3f s, %d bytes", operation, name, took, reply.received)
        return result

    def _take_cookie(self, cookie: Secret) -> None:
        self.cookie = cookie


def _since(began: float) -> float:
    return asyncio.get_running_loop().time() - began


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
    if name == "WaitForUpdates":
        return max(timeouts.read, _ENDLESS_POLL + _POLL_SLACK)
    if name != "WaitForUpdatesEx":
        return None
    options = args.get("options")
    asked = getattr(options, "maxWaitSeconds", None)
    if not isinstance(asked, int):
        return None
    return max(timeouts.read, asked + _POLL_SLACK)
