"""Users, roles and permissions of the simulated host, lockout and lockdown mode."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.unit.simulator.conftest import Caller
from vimlib import vim25
from vimlib.simulator import ManualClock
from vimlib.simulator._data import roles
from vimlib.simulator._service import permissions
from vimlib.soap import decode_response, encode_request

ACCOUNTS = vim25.HostLocalAccountManager
ROLES = vim25.AuthorizationManager
LOGIN = vim25.SessionManager.Login


async def add_user(call: Caller, name: str = "ann", password: str = "Secret-1") -> None:
    spec = vim25.HostAccountSpec(id=name, password=password, description="Ann Other")
    await call(ACCOUNTS.CreateUser, call.content.accountManager, user=spec)


async def login(call: Caller, name: str = "ann", password: str = "Secret-1") -> Caller:
    """Return a client that is logged in as another user."""
    other = Caller(call.esx)
    other.content = call.content
    await other(LOGIN, call.content.sessionManager, userName=name, password=password)
    return other


async def grant(call: Caller, role: int, entity: Any = None, name: str = "ann") -> None:
    entity = entity or call.content.rootFolder
    permission = vim25.Permission(
        entity=entity, principal=name, group=False, roleId=role, propagate=True
    )
    await call(
        ROLES.SetEntityPermissions,
        call.content.authorizationManager,
        entity=entity,
        permission=[permission],
    )


async def test_users_are_made_found_and_removed(make: Callable[..., Any]) -> None:
    call = await make()
    await add_user(call)
    search = vim25.UserDirectory.RetrieveUserGroups

    async def find(text: str, **more: Any) -> list[str]:
        args = {"exactMatch": False, "findUsers": True, "findGroups": True} | more
        found = await call(search, call.content.userDirectory, searchStr=text, **args)
        return [each.principal for each in found]

    assert await find("") == ["root", "dcui", "ann"]
    assert await find("other") == ["ann"]
    assert await find("an", exactMatch=True) == []
    with pytest.raises(vim25.AlreadyExists):
        await add_user(call)
    await call(ACCOUNTS.RemoveUser, call.content.accountManager, userName="ann")
    assert await find("ann") == []
    with pytest.raises(vim25.UserNotFound):
        await call(ACCOUNTS.RemoveUser, call.content.accountManager, userName="ann")


async def test_the_roles_are_those_of_a_host(make: Callable[..., Any]) -> None:
    call = await make()
    found = (await call.read(call.content.authorizationManager, "roleList"))["roleList"]
    assert {role.roleId: role.name for role in found} == {
        -6: "NoCryptoAdmin", -5: "NoAccess", -4: "Anonymous", -3: "View", -2: "ReadOnly", -1: "Admin"}  # fmt: skip
    shown = (await call.read(call.content.rootFolder, "permission"))["permission"]
    assert [(p.principal, p.roleId, p.propagate) for p in shown] == [
        ("root", -1, True), ("dcui", -1, True)]  # fmt: skip


async def test_the_last_administrator_stays(make: Callable[..., Any]) -> None:
    call = await make()
    with pytest.raises(vim25.AuthMinimumAdminPermission):
        await grant(call, -2, name="root")


async def test_permissions_that_leave_no_administrator_are_not_set(
    make: Callable[..., Any],
) -> None:
    call = await make()
    await add_user(call)
    await grant(call, -1)
    root, manager = call.content.rootFolder, call.content.authorizationManager

    def readers(*names: str) -> list[Any]:
        return [
            vim25.Permission(entity=root, principal=name, group=False, roleId=-2, propagate=True)
            for name in names
        ]

    before = await call.read(root, "permission")
    for method, names in (
        (ROLES.SetEntityPermissions, ("root", "ann")),
        (ROLES.ResetEntityPermissions, ("ann",)),
    ):
        with pytest.raises(vim25.AuthMinimumAdminPermission):
            await call(method, manager, entity=root, permission=readers(*names))
        assert await call.read(root, "permission") == before
    for name in ("ann", "dcui"):
        await call(ROLES.RemoveEntityPermission, manager, entity=root, user=name, isGroup=False)
    with pytest.raises(vim25.AuthMinimumAdminPermission):
        await call(ROLES.RemoveEntityPermission, manager, entity=root, user="root", isGroup=False)
    shown = (await call.read(root, "permission"))["permission"]
    assert [(each.principal, each.roleId) for each in shown] == [("root", -1)]


async def test_an_account_is_locked_after_failed_logins(make: Callable[..., Any]) -> None:
    clock = ManualClock()
    call = await make(clock=clock)
    await add_user(call)
    await grant(call, -2)
    call.esx.lock_out(3, seconds=900)
    for _ in range(3):
        with pytest.raises(vim25.InvalidLogin):
            await login(call, password="wrong")
    with pytest.raises(vim25.InvalidLogin):
        await login(call)
    await clock.advance(901)
    await login(call)


async def test_lockdown_mode_refuses_logins(make: Callable[..., Any]) -> None:
    call = await make()
    call.esx.lock_down("lockdownNormal", exceptions=["ann"])
    await add_user(call)
    await grant(call, -2)
    with pytest.raises(vim25.NoPermission):
        await login(call, call.esx.credentials.username, call.esx.credentials.password)
    await login(call)
    found = await call.read(call.esx.host.ref, "config.lockdownMode")
    assert found == {"config.lockdownMode": "lockdownNormal"}


async def test_a_read_only_user_changes_nothing(make: Callable[..., Any]) -> None:
    call = await make(vms=1)
    await add_user(call)
    await grant(call, -2)
    ann = await login(call)
    machine = call.esx.machine("vm-0").ref
    assert await ann.read(machine, "name") == {"name": "vm-0"}
    network = (await ann.read(call.esx.host.ref, "configManager"))["configManager"].networkSystem
    spec = vim25.HostPortGroupSpec(
        name="x", vlanId=0, vswitchName="vSwitch0", policy=vim25.HostNetworkPolicy()
    )
    refused: list[tuple[Any, Any, dict[str, Any], str]] = [
        (vim25.VirtualMachine.PowerOnVM_Task, machine, {}, "VirtualMachine.Interact.PowerOn"),
        (vim25.VirtualMachine.Destroy_Task, machine, {}, "VirtualMachine.Inventory.Delete"),
        (vim25.HostNetworkSystem.AddPortGroup, network, {"portgrp": spec}, "Host.Config.Network"),
        (
            vim25.VirtualMachine.ReconfigVM_Task,
            machine,
            {"spec": vim25.VirtualMachineConfigSpec(annotation="x")},
            "VirtualMachine.Config.Settings",
        ),
        (ROLES.AddAuthorizationRole, call.content.authorizationManager, {"name": "x"},
         "Authorization.ModifyRoles"),
    ]  # fmt: skip
    for method, this, args, privilege in refused:
        with pytest.raises(vim25.NoPermission) as caught:
            await ann(method, this, **args)
        assert caught.value.privilegeId == privilege
    assert call.esx.machine("vm-0").power == "poweredOff"


async def test_a_role_on_one_machine_is_for_that_machine(make: Callable[..., Any]) -> None:
    call = await make(vms=2)
    await add_user(call)
    await grant(call, -2)
    one, two = (machine.ref for machine in call.esx.machines.values())
    operator = await call(
        ROLES.AddAuthorizationRole,
        call.content.authorizationManager,
        name="operator",
        privIds=["VirtualMachine.Interact.PowerOn"],
    )
    await grant(call, operator, one)
    ann = await login(call)
    await ann.done(vim25.VirtualMachine.PowerOnVM_Task, one)
    with pytest.raises(vim25.NoPermission):
        await ann(vim25.VirtualMachine.PowerOnVM_Task, two)
    with pytest.raises(vim25.NoPermission):
        await ann(vim25.VirtualMachine.PowerOffVM_Task, one)


async def test_a_user_without_a_role_does_not_log_in(make: Callable[..., Any]) -> None:
    call = await make()
    await add_user(call)
    with pytest.raises(vim25.NoPermission):
        await login(call)


async def test_a_password_is_changed_by_its_owner(make: Callable[..., Any]) -> None:
    call = await make()
    await add_user(call)
    await grant(call, -2)
    ann = await login(call)
    change = {"user": "ann", "oldPassword": "Secret-1", "newPassword": "Secret-2"}
    await ann(ACCOUNTS.ChangePassword, call.content.accountManager, **change)
    with pytest.raises(vim25.InvalidLogin):
        await login(call)
    await login(call, password="Secret-2")


def test_every_privilege_that_a_method_needs_exists() -> None:
    methods = set(vim25.BINDING.method_names())
    assert set(permissions.privilege_table()) <= methods
    needed = {permissions.privilege_of(name) for name in methods}
    assert needed <= set(roles.privileges())


async def test_an_unknown_lockdown_mode_is_refused(make: Callable[..., Any]) -> None:
    call = await make()
    manager = (await call.read(call.esx.host.ref, "configManager"))["configManager"]
    change = vim25.HostAccessManager.ChangeLockdownMode
    with pytest.raises(vim25.InvalidArgument):
        await call(change, manager.hostAccessManager, mode="nonsense")
    found = await call.read(call.esx.host.ref, "config.lockdownMode")
    assert found == {"config.lockdownMode": "lockdownDisabled"}


async def test_users_have_the_id_of_an_account(make: Callable[..., Any]) -> None:
    call = await make()
    [root] = await call(
        vim25.UserDirectory.RetrieveUserGroups,
        call.content.userDirectory,
        searchStr="root",
        exactMatch=True,
        findUsers=True,
        findGroups=False,
    )
    assert (type(root), root.id) == (vim25.PosixUserSearchResult, 0)


async def test_no_two_users_have_an_id(make: Callable[..., Any]) -> None:
    call = await make()
    for name in ("ann", "bob"):
        await add_user(call, name)
    await call(ACCOUNTS.RemoveUser, call.content.accountManager, userName="ann")
    await add_user(call, "cyd")
    args = {"searchStr": "", "exactMatch": False, "findUsers": True, "findGroups": False}
    retrieve = vim25.UserDirectory.RetrieveUserGroups
    ids = [user.id for user in await call(retrieve, call.content.userDirectory, **args)]
    assert (len(ids), len(set(ids))) == (4, 4)


async def test_privileges_are_those_on_an_entity(make: Callable[..., Any]) -> None:
    call = await make(vms=1)
    session = await call.read(call.content.sessionManager, "currentSession")
    machine = call.esx.machine("vm-0").ref
    checks: list[tuple[Any, dict[str, Any]]] = [
        (
            ROLES.HasPrivilegeOnEntities,
            {"entity": [machine], "sessionId": session["currentSession"].key, "privId": ["X.Y"]},
        ),
        (ROLES.FetchUserPrivilegeOnEntities, {"entities": [machine], "userName": "root"}),
    ]
    for method, args in checks:
        [found] = await call(method, call.content.authorizationManager, **args)
        assert found.entity.moref == machine.moref
        body = encode_request(method, call.content.authorizationManager, args)
        other = body.replace(
            b'"VirtualMachine">' + machine.moref[1].encode(), b'"TaskManager">ha-taskmgr'
        )
        assert other != body
        with pytest.raises(vim25.InvalidArgument):
            decode_response(method, (await call.raw(other)).body)
