"""Lockdown mode: a host that takes its orders from a vCenter refuses all logins but a few."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vimlib import vim25
from vimlib.simulator._core.handlers import handles
from vimlib.simulator._core.messages import invalid_argument, invalid_state
from vimlib.simulator._core.objects import SimObject, prop
from vimlib.simulator._host.host_system import HostSystem
from vimlib.simulator._service.accounts import AuthorizationManager, LocalAccountManager
from vimlib.simulator._service.sessions import SessionManager

if TYPE_CHECKING:
    from vimlib.simulator._core.call import Call
    from vimlib.simulator._core.registry import Registry

_MODES = ("lockdownDisabled", "lockdownNormal", "lockdownStrict")


class HostAccessManager(SimObject):
    """Lockdown mode and the users that it spares."""

    kind = "HostAccessManager"

    def __init__(self, registry: Registry) -> None:
        super().__init__(registry, "ha-host-access-manager")

    @prop("lockdownMode", cached=False)
    def _mode(self) -> str:
        return self.registry.one(HostSystem).lockdown


def set_lockdown(registry: Registry, mode: str) -> None:
    """Set the lockdown mode; sessions go on, logins are refused to all but the exceptions."""
    if mode not in _MODES:
        raise ValueError(f"the lockdown mode must be one of {', '.join(_MODES)}, got {mode!r}")
    host = registry.one(HostSystem)
    host.lockdown = mode
    registry.one(SessionManager).locked_down = mode != "lockdownDisabled"
    host.changed("config")
    for manager in registry.all(HostAccessManager).values():
        manager.changed("lockdownMode")


@handles(HostSystem, "EnterLockdownMode", "ExitLockdownMode")
def enter_lockdown(host: HostSystem, call: Call) -> None:
    """Enter or leave lockdown mode, the way before 6.0."""
    locked = host.lockdown != "lockdownDisabled"
    if locked == (call.method == "EnterLockdownMode"):
        raise invalid_state()
    set_lockdown(host.registry, "lockdownDisabled" if locked else "lockdownNormal")


@handles(HostAccessManager, "ChangeLockdownMode")
def change_lockdown(manager: HostAccessManager, call: Call) -> None:
    """Set the lockdown mode."""
    mode = call.args["mode"]
    if mode not in _MODES:
        raise invalid_argument("mode", mode)
    set_lockdown(manager.registry, mode)


@handles(HostAccessManager, "QueryLockdownExceptions")
def exceptions(manager: HostAccessManager, call: Call) -> list[str]:
    """Return the users that lockdown mode spares."""
    return sorted(manager.registry.one(SessionManager).exceptions)


@handles(HostAccessManager, "UpdateLockdownExceptions")
def update_exceptions(manager: HostAccessManager, call: Call) -> None:
    """Set the users that lockdown mode spares."""
    accounts = manager.registry.one(LocalAccountManager)
    for name in call.args["users"]:
        accounts.account(name)
    manager.registry.one(SessionManager).exceptions = set(call.args["users"])


@handles(HostAccessManager, "QuerySystemUsers")
def system_users(manager: HostAccessManager, call: Call) -> list[str]:
    """Return the accounts of the system."""
    accounts = manager.registry.one(LocalAccountManager).accounts.values()
    return [account.name for account in accounts if 0 < account.uid <= 100]


@handles(HostAccessManager, "RetrieveHostAccessControlEntries")
def access_entries(manager: HostAccessManager, call: Call) -> list[Any]:
    """Return the accounts that have access to the host as a whole."""
    modes = {-1: "accessAdmin", -2: "accessReadOnly", -5: "accessNone"}
    root = manager.registry.all("Folder")["ha-folder-root"]
    return [
        vim25.HostAccessControlEntry(
            principal=permission.principal,
            group=permission.group,
            accessMode=modes.get(permission.roleId, "accessOther"),
        )
        for permission in manager.registry.one(AuthorizationManager).inherited(root)
    ]
