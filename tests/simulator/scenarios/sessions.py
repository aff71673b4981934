"""Logging in and out, tickets, and the calls of a session."""

from __future__ import annotations

from typing import Any

from tests.simulator.stage import Stage, outcome, scenario
from tests.simulator.values import Ref, new

SERVICE = Ref("ServiceInstance", "ServiceInstance")


def call(stage: Any, method: str, **args: Any) -> Any:
    """Call a method of the SessionManager, by a stage or by a client."""
    return stage.call(method, stage.content.sessionManager, **args)


def key(stage: Any) -> str:
    """Return the key of the session that plays."""
    return str(stage.get(stage.content.sessionManager, "currentSession").key)


def log_in(stage: Stage, password: str) -> None:
    with stage.client.another(password):
        pass


@scenario()
def logs_in_and_reads_about(stage: Stage) -> Any:
    return stage.content.about.apiType


@scenario()
def reports_its_api_version(stage: Stage) -> Any:
    return stage.content.about.apiVersion


@scenario()
def reads_the_clock(stage: Stage) -> Any:
    return type(stage.call("CurrentTime", SERVICE)).__name__


@scenario(apart="logins")
def logs_in_with_a_wrong_password(stage: Stage) -> Any:
    return outcome(log_in, stage, "wrong")


@scenario()
def logs_in_twice(stage: Stage) -> Any:
    args = {"userName": stage.server.username, "password": stage.server.password}
    return outcome(call, stage, "Login", **args)


@scenario()
def finds_its_session_in_the_list(stage: Stage) -> Any:
    sessions = stage.get(stage.content.sessionManager, "sessionList")
    return key(stage) in [session.key for session in sessions]


@scenario()
def asks_whether_a_session_is_active(stage: Stage) -> Any:
    args = {"sessionID": key(stage), "userName": stage.server.username}
    return outcome(call, stage, "SessionIsActive", **args)


@scenario()
def ends_its_own_session(stage: Stage) -> Any:
    return outcome(call, stage, "TerminateSession", sessionId=[key(stage)])


@scenario()
def ends_an_unknown_session(stage: Stage) -> Any:
    return outcome(call, stage, "TerminateSession", sessionId=["no-such-session"])


@scenario("vimlib", "oslo", apart="logins")
def logs_in_again_after_its_session_was_ended(stage: Stage) -> Any:
    with stage.client.another() as other:
        call(stage, "TerminateSession", sessionId=[key(other)])
        return type(other.call("CurrentTime", SERVICE)).__name__


@scenario(apart="logins")
def takes_over_a_session_by_a_ticket(stage: Stage) -> Any:
    ticket = call(stage, "AcquireCloneTicket")
    with stage.client.another() as other:
        return outcome(call, other, "CloneSession", cloneTicket=ticket)


@scenario(apart="logins")
def uses_a_clone_ticket_twice(stage: Stage) -> Any:
    ticket = call(stage, "AcquireCloneTicket")
    with stage.client.another() as one, stage.client.another() as two:
        outcome(call, one, "CloneSession", cloneTicket=ticket)
        return outcome(call, two, "CloneSession", cloneTicket=ticket)


@scenario()
def asks_for_a_service_ticket(stage: Stage) -> Any:
    url = f"{stage.server.url.removesuffix('/sdk')}/folder/x"
    spec = new("SessionManagerHttpServiceRequestSpec", method="httpGet", url=url)
    return outcome(call, stage, "AcquireGenericServiceTicket", spec=spec)


@scenario()
def asks_for_a_local_ticket(stage: Stage) -> Any:
    return outcome(call, stage, "AcquireLocalTicket", userName="root")


@scenario()
def sets_a_locale(stage: Stage) -> Any:
    return outcome(call, stage, "SetLocale", locale="en")


# Without a session, which vimlib and oslo.vmware always have.


@scenario("pyvmomi")
def reads_without_a_session(stage: Stage) -> Any:
    with stage.client.stranger() as client:
        spec = client.filter_spec([client.content.rootFolder], "name")
        return outcome(client.retrieve, spec)


@scenario("pyvmomi")
def calls_without_a_session(stage: Stage) -> Any:
    with stage.client.stranger() as client:
        return outcome(call, client, "AcquireCloneTicket")


@scenario("pyvmomi")
def calls_after_logging_out(stage: Stage) -> Any:
    with stage.client.another() as other:
        call(other, "Logout")
        return outcome(call, other, "AcquireCloneTicket")


@scenario("pyvmomi")
def calls_after_its_session_was_ended(stage: Stage) -> Any:
    with stage.client.another() as other:
        call(stage, "TerminateSession", sessionId=[key(other)])
        return outcome(call, other, "AcquireCloneTicket")


@scenario("pyvmomi")
def logs_in_by_a_ticket(stage: Stage) -> Any:
    ticket = call(stage, "AcquireCloneTicket")
    with stage.client.stranger() as client:
        call(client, "CloneSession", cloneTicket=ticket)
        session = client.get(client.content.sessionManager, "currentSession")
        call(client, "Logout")
        return session.userName == stage.server.username


@scenario("oslo")
def checks_whether_its_session_is_active(stage: Stage) -> Any:
    # SessionIsActive is a vCenter's; oslo.vmware takes the fault for a no.
    return stage.client.session.is_current_session_active()


@scenario("oslo", apart="logins")
def logs_out(stage: Stage) -> Any:
    def listed() -> list[str]:
        sessions = stage.get(stage.content.sessionManager, "sessionList")
        return [session.key for session in sessions]

    with stage.client.another() as other:
        mine = other.session._session_id
        before = mine in listed()
    return before, mine in listed()
