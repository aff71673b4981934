from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.simulator.conftest import Host, leave, login
from tests.simulator.vmomi import vim

pytestmark = pytest.mark.slow


def test_the_service_content_names_what_a_host_has(shared: Host) -> None:
    content = shared.content
    assert content.about.apiType == "HostAgent"
    assert content.about.apiVersion == "8.0.3.0"
    assert content.rootFolder._moId == "ha-folder-root"
    assert content.extensionManager is None
    assert content.dvSwitchManager._moId == "ha-dvsmanager"
    assert content.customFieldsManager is None


def test_a_wrong_user_is_an_invalid_login(shared: Host) -> None:
    with pytest.raises(vim.fault.InvalidLogin):
        login(shared.esx, user="nobody")


def test_without_a_session_the_current_one_reads_as_unset(shared: Host) -> None:
    si = login(shared.esx)
    manager = si.content.sessionManager
    manager.Logout()
    assert manager.currentSession is None
    si._stub.DropConnections()


def test_idle_sessions_expire(connect: Callable[..., Host]) -> None:
    host = connect(session_timeout=600)
    session = host.content.sessionManager.currentSession
    assert session is not None
    sessions = host.esx.sessions

    def age() -> None:
        for each in sessions.by_cookie.values():
            each.used -= 601

    host.esx.threadsafe(age)
    with pytest.raises(vim.fault.NotAuthenticated):
        host.si.CurrentTime()


def test_over_the_session_limit_the_server_is_unavailable(connect: Callable[..., Host]) -> None:
    host = connect(session_limit=1)
    with pytest.raises(Exception, match="503"):
        login(host.esx)
    assert host.si.CurrentTime()

    def age() -> None:
        for each in host.esx.sessions.by_cookie.values():
            each.used -= 10_000

    host.esx.threadsafe(age)
    leave(login(host.esx))


def test_a_generic_service_ticket_names_the_host(shared: Host) -> None:
    spec = vim.SessionManager.HttpServiceRequestSpec(
        method="httpPut", url=f"https://127.0.0.1:{shared.esx.port}/folder/x"
    )
    ticket = shared.content.sessionManager.AcquireGenericServiceTicket(spec)
    assert ticket.id
    assert ticket.hostName == "127.0.0.1"


def test_a_known_locale_is_set(shared: Host) -> None:
    si = login(shared.esx)
    manager = si.content.sessionManager
    manager.SetLocale("en_US")
    assert manager.currentSession.locale == "en_US"
    with pytest.raises(vim.fault.InvalidLocale):
        manager.SetLocale("tlh")
    assert manager.currentSession.locale == "en_US"
    leave(si)


def test_an_unknown_locale_is_refused_at_login(shared: Host) -> None:
    si = login(shared.esx)
    manager = si.content.sessionManager
    manager.Logout()
    with pytest.raises(vim.fault.InvalidLocale):
        manager.Login("root", shared.esx.credentials.password, "xx")
    manager.Login("root", shared.esx.credentials.password, "en_US")
    leave(si)


def test_a_free_licence_forbids_changes(connect: Callable[..., Host]) -> None:
    host = connect(vms=1, licensed=False)
    vm = host.datacenter.vmFolder.childEntity[0]
    for change in (vm.PowerOnVM_Task, vm.Destroy_Task, vm.UnregisterVM):
        with pytest.raises(vim.fault.RestrictedVersion):
            change()
    assert vm.runtime.powerState == "poweredOff"
