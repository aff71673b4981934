"""End the sessions of processes that were killed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vimdriver._sweep.decide import Verdict
from vimlib import vim25
from vimlib._session.session import digest_of
from vimlib._text import printable
from vimlib.errors import VimlibError

if TYPE_CHECKING:
    from vimdriver._journal import LoggedIn
    from vimdriver._sweep.sweeping import Sweeping

_DENIED = "the privilege Sessions.TerminateSession is missing; the host ends it once it is idle"


async def sweep_sessions(work: Sweeping, entries: list[LoggedIn]) -> None:
    """End the sessions that the journal has of ended processes, and no others."""
    if not entries:
        return
    try:
        found = await _sessions(work)
    except VimlibError as error:
        reason = f"cannot read the sessions: {error}"
        work.failed("session", work.host.client.host, reason, error)
        return
    for entry in entries:
        await _sweep(work, entry, found)


async def _sessions(work: Sweeping) -> dict[str, vim25.UserSession] | None:
    """Return the host's sessions by digest; None if it does not show them to this user."""
    manager = work.host.client.content.sessionManager
    if manager is None:
        return {}
    row = await work.host.client.get(manager, "sessionList")
    if any(isinstance(fault, vim25.NoPermission) for fault in row.missing.values()):
        return None
    return {digest_of(session.key): session for session in row.props.get("sessionList") or []}


async def _sweep(
    work: Sweeping, entry: LoggedIn, found: dict[str, vim25.UserSession] | None
) -> None:
    session = None if found is None else found.get(entry.session)
    if session is None:
        verdict = Verdict("left", _DENIED) if found is None else Verdict("kept", "already ended")
        await work.do("session", entry.session[:12], verdict, None, entry)
        return
    key = session.key
    name = f"{printable(session.userName)} since {session.loginTime:%Y-%m-%d %H:%M:%S} UTC"

    async def end() -> Verdict | None:
        manager = work.host.client.content.sessionManager
        if work.dry_run or manager is None:
            return None
        try:
            await work.host.client.bind(manager).TerminateSession([key])
        except vim25.NotFound:
            return Verdict("kept", "already ended")
        except vim25.NoPermission:
            return Verdict("left", _DENIED)
        return None

    if entry.session == work.host.client.session_digest:
        await work.do("session", name, Verdict("left", "in use by this process"))
    else:
        await work.do("session", name, Verdict("removed", "its process has ended"), end, entry)
