"""The login: once at the beginning, and again once for everyone whose call met its end."""

from __future__ import annotations

import asyncio
import copy
import logging
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, nullcontext
from typing import TYPE_CHECKING, Final, Literal, TypeVar
from weakref import WeakValueDictionary

from vimlib import vim25
from vimlib._secret import forgetting
from vimlib._session.refusals import LOCK_SECONDS, LoginKey
from vimlib._shield import finish, stopped
from vimlib._transport.budget import urgent
from vimlib.errors import (
    ClosedError,
    ConnectionLostError,
    HTTPStatusError,
    LoginError,
    VimlibError,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from vimlib._session.caller import Caller
    from vimlib._session.credentials import Credentials
    from vimlib._session.refusals import RefusedLogins

T = TypeVar("T")

log = logging.getLogger("vimlib.session")

_LOCK_POLL: Final = 0.05
"""Seconds between two looks at a login that another process is trying."""

# A login of an event loop that the host has not accepted yet is alone on its way: many clients that
# connect at once with a wrong password would lock the account together.
_gates: WeakValueDictionary[tuple[int, str, str], asyncio.Lock] = WeakValueDictionary()

_REASONS: Final[dict[str, tuple[str, str]]] = {
    "credentials": (
        "refused the user name or password",
        "Check both; the login is not repeated, since a few refusals lock an account.",
    ),
    "password_expired": (
        "refused the password because it has expired",
        "Set a new one on the host.",
    ),
    "lockdown": (
        "is in lockdown mode and accepts only logins through its vCenter",
        "Connect to the vCenter, or add the user to the host's exception users.",
    ),
    "permission": (
        "accepted the password, but the user has no permission to log in",
        "Give the user a role on the host, at least read-only. A host in lockdown mode answers so too.",
    ),
}


class Login:
    """Logs in, checks whether the session is alive, and replaces it if it is not."""

    def __init__(
        self,
        caller: Caller,
        credentials: Credentials,
        manager: vim25.SessionManager,
        collector: vim25.PropertyCollector,
        *,
        refusals: RefusedLogins,
        retry: bool = False,
    ) -> None:
        self._caller = caller
        self._credentials = credentials
        self._manager = manager
        self._collector = collector
        self.closed = False
        """Whether no new login is to begin."""
        self._flight: asyncio.Task[bool] | None = None
        self._refusals = refusals
        # Whether the next login is sent although the host refused the same one a short time ago.
        self._retry = retry
        # The refusal of a new login, and the stamp of the password file that it was about.
        self._refused: tuple[LoginError, str] | None = None
        self._stamp = ""
        self._may_be_in = False
        self.key = ""
        """`UserSession.key` of the last login that the host confirmed; "" if it named none."""

    async def enter(self) -> None:
        """Log in. Raises `LoginError` if the host refuses.

        Cancelling may leave a session on the host, whose cookie is in the reply that is still to
        come: to be shielded.
        """
        await self._log_in()
        self._caller.epoch += 1

    async def _log_in(self) -> None:
        password, self._stamp = self._credentials.current()
        host, username = self._caller.host, self._credentials.username
        key = LoginKey(host, username, password, self._stamp)
        if self._caller.epoch:
            # The password may have changed since: of all whose sessions have ended, one tries it.
            self._refusals.doubt(key)
        if not self._refusals.accepted(key):
            gate = _gates.setdefault(
                (id(asyncio.get_running_loop()), host, username), asyncio.Lock()
            )
            async with gate:
                if not self._refusals.accepted(key):
                    async with self._reserved(key):
                        await self._attempt(key)
                    return
        await self._attempt(key)

    @asynccontextmanager
    async def _reserved(self, key: LoginKey) -> AsyncIterator[None]:
        """Hold the login alone among the user's processes, or after `Timeouts.call` as one of many."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self._caller.timeouts.call
        # Another process has no event for us, so the lock is polled.
        while (held := self._refusals.reserve(key)) is None and loop.time() < until:  # noqa: ASYNC110
            await asyncio.sleep(_LOCK_POLL)
        with held or nullcontext():
            yield

    async def _attempt(self, key: LoginKey) -> None:
        refusals, left = self._refusals, 0.0
        if not self._retry:
            left = await self._recall(refusals.seconds_left, key, hashes=refusals.hashes())
        self._retry = False
        if left > 0:
            raise LoginError(
                f"{key.host} refused this password of {key.username!r} less than {LOCK_SECONDS:g} s ago; "
                f"it is not sent again for {left:.0f} s, since a few refusals lock an account",
                hint="Correct the password, or allow one more attempt: retry_login=True, --retry-login.",
                username=key.username,
                reason="recently_refused",
                outcome="not_sent",
            )
        if await self._send(key):
            await self._recall(refusals.accept, key, hashes=refusals.hashes())

    async def _recall(self, work: Callable[[LoginKey], T], key: LoginKey, *, hashes: bool) -> T:
        """Do `work` of `RefusedLogins`: in a thread if it `hashes`, which takes 20 ms.

        The thread has ended on return. Cancelling waits for it.
        """
        if not hashes:
            return work(key)

        async def job() -> T:
            return await asyncio.get_running_loop().run_in_executor(thread, work, key)

        with ThreadPoolExecutor(1, thread_name_prefix="vimlib-login") as thread:
            return await finish(job(), what="the hash of a login")

    async def _send(self, key: LoginKey) -> bool:
        """Send the login. Returns whether the host accepted the password; False if it knew us already."""
        had_cookie = self._caller.cookie is not None
        self._may_be_in = True
        try:
            with forgetting():  # arguments and request hold the password
                session = await self._caller.read(
                    vim25.SessionManager.Login,
                    self._manager,
                    {
                        "userName": key.username,
                        "password": key.password.reveal(),
                        "locale": self._credentials.locale,
                    },
                )
        except (  # here, not in a constant: naming a fault loads all of them
            vim25.InvalidLogin,
            vim25.NoPermission,
            vim25.AdminDisabled,
            vim25.HostAccessRestrictedToManagementServer,
        ) as fault:
            # A host that knows our cookie answers InvalidLogin if we are logged in already.
            if had_cookie and await self.alive():
                return False
            self._may_be_in = False
            reason = _reason(fault)
            name = fault.fault_name
        except VimlibError as exc:
            # The reply was lost or unreadable: with a cookie, the outcome can be read from the host.
            if exc.outcome == "unknown" and self._caller.cookie is not None and await self.alive():
                return False
            raise
        else:
            self.key = session.key or ""
            return True
        if reason == "credentials":  # the others do not count towards locking
            await self._recall(self._refusals.add, key, hashes=True)
        rule, hint = _REASONS[reason]
        raise LoginError(
            f"{key.host} {rule}: {key.username!r} ({name})",
            hint=hint,
            username=key.username,
            reason=reason,
        )

    async def alive(self) -> bool:
        """Ask the host whether our session lives, by `SessionManager.currentSession`.

        SessionIsActive is for vCenter only, and needs a privilege.
        """
        spec = vim25.PropertyFilterSpec(
            propSet=[
                vim25.PropertySpec(type="SessionManager", all=False, pathSet=["currentSession"])
            ],
            objectSet=[vim25.ObjectSpec(obj=self._manager, skip=False)],
        )
        try:
            found: list[vim25.ObjectContent] | None = await self._caller.read(
                vim25.PropertyCollector.RetrieveProperties, self._collector, {"specSet": [spec]}
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

    async def renew(self, epoch: int) -> bool:
        """Make sure of the session, once for all who ask. Returns whether it is a new one.

        `epoch` is the value of `Caller.epoch` when the caller's request was written: if it has
        changed since, somebody has logged in since. A check that was under way already proves
        nothing to this caller, since the host may have answered it before it refused the call; so
        another one follows it. After the host refused a login, raises `LoginError` until the
        password file, if there is one, has changed.
        Cancelling leaves the login to the others who wait for it.
        """
        earlier = self._flight
        while epoch == self._caller.epoch:
            if self._refused is not None and self._refused[1] == self._credentials.stamp():
                raise copy.copy(self._refused[0])
            if self.closed:
                raise closed(self._caller.host)
            if self._flight is None or self._flight.done():
                self._flight = asyncio.create_task(self._again(), name="vimlib login")
                self._flight.add_done_callback(_retrieve)
            flight = self._flight
            # Nobody's cancellation ends the login of the others.
            await asyncio.wait([flight])
            if flight.cancelled():
                raise closed(self._caller.host)
            error = flight.exception()
            if error is not None:
                # A copy each: one exception raised in many tasks would mix their tracebacks.
                raise copy.copy(error)
            if flight is not earlier:
                return flight.result()
        return True

    async def _again(self) -> bool:
        with urgent():  # everybody waits for it
            return await self._renewed()

    async def _renewed(self) -> bool:
        if await self.alive():
            return False
        log.info("%s: the session has ended, logging in again", self._caller.host)
        self._caller.cookie = None
        try:
            await self.enter()
        except LoginError as exc:
            self._refused = copy.copy(exc), self._stamp
            raise
        return True

    async def leave(self) -> None:
        """End a login that is under way, and log out; within `Timeouts.logout` each."""
        if self._flight is not None:
            await asyncio.wait([self._flight], timeout=self._caller.timeouts.logout)
            await stopped(self._flight)
        if not self._may_be_in or self._caller.cookie is None:
            return
        host = self._caller.host
        try:
            with urgent():
                async with asyncio.timeout(self._caller.timeouts.logout):
                    await self._log_out()
        except vim25.NoPermission:
            log.debug("%s: the session has already ended", host)
        except (VimlibError, TimeoutError) as exc:
            log.warning(
                "%s: logout failed, the session remains until its idle timeout: %s", host, exc
            )
        else:
            log.info("logged out of %s", host)
        self._caller.cookie = None
        self._may_be_in = False

    async def _log_out(self) -> None:
        try:
            await self._caller.send(vim25.SessionManager.Logout, self._manager, {})
        except ConnectionLostError:
            # Once more, over another connection: if it was done, the host answers so.
            await self._caller.send(vim25.SessionManager.Logout, self._manager, {})


Reason = Literal["credentials", "password_expired", "lockdown", "permission"]


def _reason(fault: vim25.MethodFault) -> Reason:
    if isinstance(fault, vim25.PasswordExpired):
        return "password_expired"
    if isinstance(fault, vim25.AdminDisabled | vim25.HostAccessRestrictedToManagementServer):
        return "lockdown"
    return "permission" if isinstance(fault, vim25.NoPermission) else "credentials"


def closed(host: str) -> ClosedError:
    """Return the error for a call on a closed session."""
    return ClosedError(f"the session on {host} is closed", hint="Connect again.")


def _retrieve(flight: asyncio.Task[bool]) -> None:
    """Take note of a failure that everyone who waited for has been cancelled over."""
    if not flight.cancelled():
        flight.exception()
