"""Logging in and out, tickets, and what a session may do."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.simulator.by_pyvmomi.stage import PC, Stage, connect, logged_in, outcome, scenario
from tests.simulator.servers import Server
from tests.simulator.vmomi import SoapStubAdapter, vim


def key(stage: Stage) -> str:
    """Return the key of the session that plays."""
    return str(manager(stage).currentSession.key)


def manager(stage: Stage) -> Any:
    return stage.content.sessionManager


@scenario
def logs_in_and_reads_about(stage: Stage) -> Any:
    return stage.content.about.apiType


@scenario
def tells_its_api_version(stage: Stage) -> Any:
    return stage.content.about.apiVersion


@scenario
def reads_the_clock(stage: Stage) -> Any:
    return type(stage.si.CurrentTime()).__name__


@scenario
def logs_in_with_a_wrong_password(stage: Stage) -> Any:
    return outcome(connect, stage.server, "wrong")


@scenario
def logs_in_twice(stage: Stage) -> Any:
    return outcome(manager(stage).Login, stage.server.username, stage.server.password)


@scenario
def finds_its_session_in_the_list(stage: Stage) -> Any:
    sessions = manager(stage).sessionList
    return key(stage) in [session.key for session in sessions]


@scenario
def asks_whether_a_session_is_active(stage: Stage) -> Any:
    return outcome(manager(stage).SessionIsActive, key(stage), stage.server.username)


@scenario
def ends_its_own_session(stage: Stage) -> Any:
    return outcome(lambda: manager(stage).TerminateSession([key(stage)]))


@scenario
def ends_a_session_that_is_none(stage: Stage) -> Any:
    return outcome(lambda: manager(stage).TerminateSession(["no-such-session"]))


@scenario
def takes_over_a_session_by_a_ticket(stage: Stage) -> Any:
    ticket = manager(stage).AcquireCloneTicket()
    with logged_in(stage.server) as other:
        theirs = other.content.sessionManager
        return outcome(lambda: theirs.CloneSession(ticket))


@scenario
def uses_a_clone_ticket_twice(stage: Stage) -> Any:
    ticket = manager(stage).AcquireCloneTicket()
    with logged_in(stage.server) as one, logged_in(stage.server) as two:
        outcome(lambda: one.content.sessionManager.CloneSession(ticket))
        return outcome(lambda: two.content.sessionManager.CloneSession(ticket))


@scenario
def asks_for_a_service_ticket(stage: Stage) -> Any:
    spec = vim.SessionManager.HttpServiceRequestSpec(
        method="httpGet", url=f"{stage.server.url.removesuffix('/sdk')}/folder/x"
    )
    return outcome(lambda: manager(stage).AcquireGenericServiceTicket(spec))


@scenario
def asks_for_a_local_ticket(stage: Stage) -> Any:
    return outcome(lambda: manager(stage).AcquireLocalTicket("root"))


@scenario
def sets_a_locale(stage: Stage) -> Any:
    return outcome(lambda: manager(stage).SetLocale("en"))


@contextmanager
def stranger(server: Server) -> Iterator[Any]:
    """Give a connection that has not logged in."""
    stub = SoapStubAdapter(
        "127.0.0.1", server.port, sslContext=ssl.create_default_context(cafile=str(server.ca))
    )
    try:
        yield vim.ServiceInstance("ServiceInstance", stub)
    finally:
        stub.DropConnections()


@scenario
def reads_without_a_session(stage: Stage) -> Any:
    with stranger(stage.server) as si:
        content = si.RetrieveContent()
        spec = PC.FilterSpec(
            objectSet=[PC.ObjectSpec(obj=content.rootFolder)],
            propSet=[PC.PropertySpec(type=vim.Folder, pathSet=["name"])],
        )
        return outcome(content.propertyCollector.RetrieveContents, [spec])


@scenario
def calls_without_a_session(stage: Stage) -> Any:
    with stranger(stage.server) as si:
        return outcome(si.RetrieveContent().sessionManager.AcquireCloneTicket)


@scenario
def calls_after_logging_out(stage: Stage) -> Any:
    si = connect(stage.server)
    si.content.sessionManager.Logout()
    try:
        return outcome(si.content.sessionManager.AcquireCloneTicket)
    finally:
        si._stub.DropConnections()


@scenario
def calls_after_its_session_was_ended(stage: Stage) -> Any:
    si = connect(stage.server)
    sessions = si.content.sessionManager
    manager(stage).TerminateSession([sessions.currentSession.key])
    try:
        return outcome(sessions.AcquireCloneTicket)
    finally:
        si._stub.DropConnections()


@scenario
def logs_in_by_a_ticket(stage: Stage) -> Any:
    ticket = manager(stage).AcquireCloneTicket()
    with stranger(stage.server) as si:
        sessions = si.content.sessionManager
        sessions.CloneSession(ticket)
        user = sessions.currentSession.userName
        sessions.Logout()
        return user == stage.server.username
