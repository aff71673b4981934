"""Sessions: logging in and out, idle expiry, tickets."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vimlib import vim25
from vimlib.simulator._core.handlers import handles
from vimlib.simulator._core.messages import invalid_argument, no_permission, with_message
from vimlib.simulator._core.objects import SimObject, prop
from vimlib.simulator._core.session import Face, Session

if TYPE_CHECKING:
    from vimlib.simulator._core.call import Call
    from vimlib.simulator._core.registry import Registry


@dataclass
class Ticket:
    """A generic service ticket: good for one HTTP request."""

    id: str
    method: str
    path: str
    expires: float


class SessionManager(SimObject):
    """The logged-in sessions."""

    kind = "SessionManager"

    def __init__(
        self, registry: Registry, username: str, password: str, *, limit: int, idle: float
    ) -> None:
        super().__init__(registry, "ha-sessionmgr")
        self.username = username
        self.password = password
        self.others: dict[str, str] = {}
        """Passwords of further users, by name."""
        self.locked_down = False
        """Whether lockdown mode refuses logins."""
        self.exceptions: set[str] = set()
        """Users that lockdown mode spares."""
        self.lockout: tuple[int, float] | None = None
        """Failed logins after which an account is locked, and for how many seconds; None: never."""
        self.failures: dict[str, tuple[int, float]] = {}
        """By account: failed logins in a row, and the monotonic second of the last."""
        self.limit = limit
        """Most sessions at once."""
        self.idle = idle
        """Seconds without a call after which a session ends."""
        self.by_cookie: dict[str, Session] = {}
        self.dead: dict[str, Face] = {}
        """Cookies of ended sessions and how a property read with one is answered."""
        self.tickets: dict[str, Ticket] = {}
        self.clone_tickets: dict[str, tuple[str, float]] = {}
        self.failed_logins = 0

    def password_of(self, user: str) -> str | None:
        """Return the password of a user that may log in, None for any other."""
        return self.password if user == self.username else self.others.get(user)

    def locked(self, user: str) -> bool:
        """Whether an account is locked after too many failed logins."""
        if self.lockout is None:
            return False
        most, seconds = self.lockout
        count, last = self.failures.get(user, (0, 0.0))
        return count >= most and self.registry.clock.monotonic() - last < seconds

    def failed(self, user: str, *, again: bool) -> None:
        """Count a failed login; `again` for one with the right password, which does not prolong a lock."""
        if again:
            return
        self.failed_logins += 1
        if self.password_of(user) is None or self.locked(user):
            return
        count, last = self.failures.get(user, (0, 0.0))
        now = self.registry.clock.monotonic()
        if self.lockout is not None and now - last >= self.lockout[1]:
            count = 0
        self.failures[user] = (count + 1, now)

    def find(self, cookie: str | None) -> Session | None:
        """Return the live session of a cookie and note that it was used."""
        session = self.by_cookie.get(cookie or "")
        if session is None:
            return None
        now = self.registry.clock.monotonic()
        if now - session.used > self.idle:
            self.end(session)
            return None
        session.used = now
        session.last_active = self.registry.clock.now()
        return session

    def end(self, session: Session, face: Face = "fault", *, by_request: bool = False) -> None:
        """End a session with the objects that it owns; `by_request` for a logout, not for idleness."""
        self.by_cookie.pop(session.cookie, None)
        if len(self.dead) > 10_000:  # bounds the memory of ended sessions
            self.dead.clear()
        self.dead[session.cookie] = face
        for owned in list(session.owned):
            if owned.alive:
                owned.interrupt(_ended(by_request))
                owned.remove()
        session.owned.clear()
        self.changed("sessionList")

    def expire(self, face: Face = "fault") -> int:
        """End all sessions as if they had been idle; return how many."""
        live = list(self.by_cookie.values())
        for session in live:
            self.end(session, face)
        return len(live)

    def open(self, call: Call, user: str, locale: str | None) -> Session:
        """Make a session for the caller of `call`."""
        now = self.registry.clock.monotonic()
        session = Session(
            key=self.registry.new_uuid(),
            # The cookie is a secret, so it does not come from the seeded generator.
            cookie=secrets.token_hex(20),
            user_name=user,
            login_time=self.registry.clock.now(),
            last_active=self.registry.clock.now(),
            locale=locale or "en",
            ip_address=call.peer,
            user_agent=call.user_agent,
            # Recorded of an ESX 4.1 (`resources/esx-4.1.0-1` of fusioninventory-agent) and of an ESXi 6.7.
            full_name=user if self.registry.version < (5,) else "Administrator",
            used=now,
        )
        self.by_cookie[session.cookie] = session
        call.set_cookie = session.cookie
        self.changed("sessionList")
        return session

    @property
    def full(self) -> bool:
        """Whether the session limit is reached; idle sessions past their timeout are ended first."""
        if len(self.by_cookie) >= self.limit:
            now = self.registry.clock.monotonic()
            for old in [s for s in self.by_cookie.values() if now - s.used > self.idle]:
                self.end(old)
        return len(self.by_cookie) >= self.limit

    @prop("sessionList", cached=False)
    def _list(self) -> list[Any]:
        return [session.info() for session in self.by_cookie.values()]

    @prop("message")
    def _message(self) -> str:
        return ""

    @prop("messageLocaleList")
    def _message_locales(self) -> list[str]:
        return ["en"]

    @prop("supportedLocaleList")
    def _locales(self) -> list[str]:
        return ["en"]

    @prop("defaultLocale")
    def _locale(self) -> str:
        return "en"


def _ended(by_request: bool) -> Any:
    """Return the fault for a call that waits while its session ends.

    pyVmomi's task helper expects RequestCanceled for a terminated session.
    """
    if by_request:
        return with_message(vim25.RequestCanceled())
    return with_message(vim25.NotAuthenticated(privilegeId="System.View"))


def _refused() -> Any:
    return with_message(
        vim25.InvalidLogin(), "Cannot complete login due to an incorrect user name or password."
    )


def _known_locale(locale: str | None) -> str | None:
    if locale and locale.split("_")[0] != "en":
        raise with_message(vim25.InvalidLocale(), f"The locale {locale!r} is not supported.")
    return locale


@handles(SessionManager, "Login")
def login(manager: SessionManager, call: Call) -> Any:
    """Log in; refused in a live session, as hosts do."""
    user = call.args["userName"]
    known = manager.password_of(user)
    # A comparison is made for an unknown user too, so that the time does not show which one it was.
    wanted = secrets.token_hex(8) if known is None else known
    given = call.args["password"].encode()
    right = secrets.compare_digest(given, wanted.encode()) and known is not None
    # A locked account is answered like a wrong password.
    if not right or manager.locked(user) or call.session is not None:
        manager.failed(user, again=right)
        raise _refused()
    if manager.locked_down and user not in manager.exceptions:
        raise no_permission(manager.ref, "System.View")
    manager.failures.pop(user, None)
    users = manager.registry.one("AuthorizationManager")
    if user != manager.username and not users.may_log_in(user):
        raise no_permission(manager.ref, "System.View")
    return manager.open(call, user, _known_locale(call.get("locale"))).info()


@handles(SessionManager, "Logout")
def logout(manager: SessionManager, call: Call) -> None:
    """End the caller's session."""
    assert call.session is not None
    manager.end(call.session, by_request=True)
    call.set_cookie = ""


@handles(SessionManager, "SetLocale")
def set_locale(manager: SessionManager, call: Call) -> None:
    """Set the language of the caller's session."""
    assert call.session is not None
    call.session.locale = _known_locale(call.args["locale"]) or call.session.locale


@handles(SessionManager, "AcquireLocalTicket")
def acquire_local_ticket(manager: SessionManager, call: Call) -> None:
    """Refuse: only for programs on the host."""
    raise with_message(vim25.InvalidRequest(), "A local ticket is for programs on the host alone.")


@handles(SessionManager, "SessionIsActive")
def session_is_active(manager: SessionManager, call: Call) -> None:
    """Refuse: only a vCenter implements it (vmware/pyvmomi#749, and the tests of govmomi)."""
    raise with_message(vim25.NotImplemented())


@handles(SessionManager, "TerminateSession")
def terminate(manager: SessionManager, call: Call) -> None:
    """End other sessions by key."""
    for key in call.args["sessionId"]:
        if call.session is not None and key == call.session.key:
            raise invalid_argument("sessionId")
        found = next((s for s in manager.by_cookie.values() if s.key == key), None)
        if found is None:
            raise with_message(vim25.NotFound(), "The session was not found.")
        manager.end(found, by_request=True)


@handles(SessionManager, "AcquireCloneTicket")
def acquire_clone_ticket(manager: SessionManager, call: Call) -> str:
    """Return a ticket with which another client can log in as this user, once."""
    ticket = f"cst-VCT-{secrets.token_hex(16)}"
    manager.clone_tickets[ticket] = (call.user, manager.registry.clock.monotonic() + 120)
    return ticket


@handles(SessionManager, "CloneSession")
def clone_session(manager: SessionManager, call: Call) -> Any:
    """Log in by a clone ticket."""
    user, expires = manager.clone_tickets.pop(call.args["cloneTicket"], ("", 0.0))
    if not user or manager.registry.clock.monotonic() > expires or call.session is not None:
        raise _refused()
    return manager.open(call, user, None).info()


@handles(SessionManager, "AcquireGenericServiceTicket")
def acquire_service_ticket(manager: SessionManager, call: Call) -> Any:
    """Return a ticket for one HTTP request to a file of a datastore."""
    spec = call.args["spec"]
    if not isinstance(spec, vim25.SessionManagerHttpServiceRequestSpec):
        raise invalid_argument("spec")
    method = (spec.method or "httpGet").removeprefix("http").upper()
    ticket = Ticket(
        id=secrets.token_hex(20),
        method=method,
        path=_target(spec.url),
        expires=manager.registry.clock.monotonic() + 120,
    )
    manager.tickets[ticket.id] = ticket
    certificate = manager.registry.certificate
    return vim25.SessionManagerGenericServiceTicket(
        id=ticket.id,
        hostName=manager.registry.address,
        sslThumbprint=certificate.sha1 if certificate else None,
        ticketType="HttpServiceTicket",
    )


def redeem(manager: SessionManager, ticket_id: str, method: str, target: str) -> bool:
    """Use up a ticket; return whether it allows this request."""
    ticket = manager.tickets.pop(ticket_id, None)
    return (
        ticket is not None
        and manager.registry.clock.monotonic() <= ticket.expires
        and ticket.method == method
        and ticket.path == target
    )


def _target(url: str) -> str:
    """Return path and query of a URL."""
    _, _, rest = url.partition("://")
    slash = (rest or url).find("/")
    return (rest or url)[slash:] if slash >= 0 else "/"
