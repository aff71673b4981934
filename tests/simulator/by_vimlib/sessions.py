"""Logging in and out, tickets, and what a session may do."""

from __future__ import annotations

from typing import Any

import vimlib
from tests.simulator.by_vimlib.stage import Stage, logged_in, outcome, scenario, there
from vimlib import vim25


async def key(stage: Stage) -> str:
    """Return the key of the session that plays."""
    session = await stage.read(manager(stage), "currentSession")
    return str(session.key)


def manager(stage: Stage) -> vim25.SessionManager:
    return there(stage.client.content.sessionManager)


@scenario
async def logs_in_and_reads_about(stage: Stage) -> Any:
    return stage.client.about.apiType


@scenario
async def tells_its_api_version(stage: Stage) -> Any:
    return stage.client.about.apiVersion


@scenario
async def reads_the_clock(stage: Stage) -> Any:
    service = stage.client.bind(vim25.ServiceInstance("ServiceInstance"))
    return type(await service.CurrentTime()).__name__


@scenario
async def logs_in_with_a_wrong_password(stage: Stage) -> Any:
    server = stage.server

    async def wrong() -> None:
        async with vimlib.connect(
            server.url, server.username, "wrong", tls=vimlib.TLS(pin=server.thumbprint)
        ):
            pass

    return await outcome(wrong())


@scenario
async def logs_in_twice(stage: Stage) -> Any:
    login = manager(stage).Login(stage.server.username, stage.server.password)
    return await outcome(login)


@scenario
async def finds_its_session_in_the_list(stage: Stage) -> Any:
    sessions = await stage.read(manager(stage), "sessionList")
    return await key(stage) in [session.key for session in sessions]


@scenario
async def asks_whether_a_session_is_active(stage: Stage) -> Any:
    asking = manager(stage).SessionIsActive(await key(stage), stage.server.username)
    return await outcome(asking)


@scenario
async def ends_its_own_session(stage: Stage) -> Any:
    return await outcome(manager(stage).TerminateSession([await key(stage)]))


@scenario
async def ends_a_session_that_is_none(stage: Stage) -> Any:
    return await outcome(manager(stage).TerminateSession(["no-such-session"]))


@scenario
async def logs_in_again_after_its_session_was_ended(stage: Stage) -> Any:
    async with logged_in(stage.server) as other:
        theirs = there(other.content.sessionManager)
        session = (await other.get(theirs, "currentSession"))["currentSession"]
        await manager(stage).TerminateSession([session.key])
        again = await other.bind(vim25.ServiceInstance("ServiceInstance")).CurrentTime()
        return type(again).__name__


@scenario
async def takes_over_a_session_by_a_ticket(stage: Stage) -> Any:
    ticket = await manager(stage).AcquireCloneTicket()
    async with logged_in(stage.server) as other:
        theirs = there(other.content.sessionManager)
        return await outcome(theirs.CloneSession(ticket))


@scenario
async def uses_a_clone_ticket_twice(stage: Stage) -> Any:
    ticket = await manager(stage).AcquireCloneTicket()
    async with logged_in(stage.server) as one, logged_in(stage.server) as two:
        await outcome(there(one.content.sessionManager).CloneSession(ticket))
        return await outcome(there(two.content.sessionManager).CloneSession(ticket))


@scenario
async def asks_for_a_service_ticket(stage: Stage) -> Any:
    spec = vim25.SessionManagerHttpServiceRequestSpec(
        method="httpGet", url=f"{stage.server.url.removesuffix('/sdk')}/folder/x"
    )
    return await outcome(manager(stage).AcquireGenericServiceTicket(spec))


@scenario
async def asks_for_a_local_ticket(stage: Stage) -> Any:
    return await outcome(manager(stage).AcquireLocalTicket("root"))


@scenario
async def sets_a_locale(stage: Stage) -> Any:
    return await outcome(manager(stage).SetLocale("en"))
