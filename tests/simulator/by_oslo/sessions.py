# mypy: disable-error-code="import-not-found,attr-defined"
"""Logging in, out, and in again."""

from __future__ import annotations

from typing import Any

from tests.simulator.by_oslo.stage import COSTLY, ORDERS, Stage, outcome, raises, scenario


@scenario()
def logs_in_and_reads_about(stage: Stage) -> Any:
    return stage.content.about.apiType


@scenario(here_only=COSTLY, apart="logins")
def logs_in_with_a_wrong_password(stage: Stage) -> Any:
    return outcome(stage.connect, "wrong")


@scenario(here_only=COSTLY, apart="logins")
def logs_out(stage: Stage) -> Any:
    def listed() -> list[str]:
        sessions = stage.read(stage.content.sessionManager, "sessionList")
        return [session.key for session in sessions.UserSession]

    other = stage.connect()
    mine = other._session_id
    assert mine in listed()
    other.logout()
    assert mine not in listed()


@scenario(here_only=ORDERS, apart="fault")
def logs_in_again_after_a_fault(stage: Stage) -> Any:
    before = len(stage.control("calls", method="Login")["calls"])
    stage.control("expire", face="fault")
    assert "Resources" in stage.all("ResourcePool")
    assert len(stage.control("calls", method="Login")["calls"]) == before + 1


@scenario(here_only=ORDERS, apart="empty reply")
def logs_in_again_after_an_empty_reply(stage: Stage) -> Any:
    from oslo_vmware import vim_util

    stage.control("expire", face="empty")
    found = stage.session.invoke_api(
        vim_util, "get_objects", stage.vim, "ResourcePool", 100, ["name"]
    )
    assert [item.propSet[0].val for item in found.objects] == ["Resources"]


@scenario(here_only=ORDERS, apart="missing set")
def logs_in_again_after_a_missing_set(stage: Stage) -> Any:
    pool = stage.pool
    stage.control("expire", face="missing")
    assert stage.read(pool, "name") == "Resources"


@scenario()
def is_told_whether_its_session_is_active(stage: Stage) -> Any:
    # SessionIsActive is a vCenter's; oslo.vmware takes the fault for a no.
    return stage.session.is_current_session_active()


@scenario(here_only=ORDERS)
def gets_a_page_instead_of_a_reply(stage: Stage) -> Any:
    from oslo_vmware import exceptions, vim_util

    stage.control("order", method="CurrentTime", what="html", times=None)
    service = vim_util.get_moref("ServiceInstance", "ServiceInstance")
    raises(exceptions.VMwareDriverException, stage.vim.CurrentTime, service)
    stage.control("clear")
