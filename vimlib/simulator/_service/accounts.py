"""Users of the host: accounts, the directory that finds them, roles and permissions.

A fresh host has root, which the host was started with, and dcui; their permissions on the root folder,
and the roles, are recorded of an ESXi 6.5 (`simulator/esx` of govmomi).
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from vimlib import vim25
from vimlib.simulator._core.handlers import handles
from vimlib.simulator._core.messages import invalid_argument, with_message
from vimlib.simulator._core.objects import Entity, SimObject, prop
from vimlib.simulator._data import roles
from vimlib.simulator._service.sessions import SessionManager

if TYPE_CHECKING:
    from vimlib.simulator._core.call import Call
    from vimlib.simulator._core.registry import Registry

_LONGEST: Final = 32
"""Characters of a user's name."""
_SHORTEST_PASSWORD: Final = 7
"""Characters of a password, as the default quality control of an ESXi wants."""


@dataclass
class LocalAccount:
    """A user of the host."""

    name: str
    full_name: str
    uid: int
    password: str | None = field(default=None, repr=False)
    """None for one that cannot log in."""


class LocalAccountManager(SimObject):
    """The accounts."""

    kind = "HostLocalAccountManager"

    def __init__(self, registry: Registry) -> None:
        sessions = registry.one(SessionManager)
        self.accounts = {
            sessions.username: LocalAccount(sessions.username, "Administrator", 0),
            "dcui": LocalAccount("dcui", "DCUI User", 100),
        }
        super().__init__(registry, "ha-localacctmgr")

    def account(self, name: str) -> LocalAccount:
        """Return an account. Raises `UserNotFound`."""
        found = self.accounts.get(name)
        if found is None:
            raise with_message(
                vim25.UserNotFound(principal=name, unresolved=False),
                f"The user {name!r} was not found.",
            )
        return found

    def set_password(self, account: LocalAccount, password: str) -> None:
        """Set a password."""
        sessions = self.registry.one(SessionManager)
        if account.name == sessions.username:
            sessions.password = password
        else:
            account.password = password
            sessions.others[account.name] = password


class UserDirectory(SimObject):
    """Finds users."""

    kind = "UserDirectory"


class AuthorizationManager(SimObject):
    """Roles, and the users that have them on each entity."""

    kind = "AuthorizationManager"

    def __init__(self, registry: Registry, moid: str) -> None:
        super().__init__(registry, moid)

    @cached_property
    def granted(self) -> dict[tuple[str, str], dict[str, Any]]:
        """Permissions by entity, then by user. The users of a new host administer it."""
        root = self.registry.all("Folder")["ha-folder-root"].ref
        users = [
            a.name for a in self.registry.one(LocalAccountManager).accounts.values() if a.uid <= 100
        ]
        return {
            root.moref: {
                name: vim25.Permission(
                    entity=root, principal=name, group=False, roleId=roles.ADMIN, propagate=True
                )
                for name in users
            }
        }

    @property
    def changed_by_calls(self) -> bool:
        """Whether users or permissions may differ from those of a fresh host."""
        return "granted" in self.__dict__ or bool(self.registry.one(SessionManager).others)

    @cached_property
    def roles(self) -> dict[int, Any]:
        """`AuthorizationRole` by id."""
        return roles.roles(self.registry.release)

    @prop("roleList")
    def _roles(self) -> list[Any]:
        return [self.roles[id_] for id_ in sorted(self.roles)]

    @prop("privilegeList")
    def _privileges(self) -> list[Any]:
        return roles.privilege_list()

    @prop("description")
    def _description(self) -> Any:
        return roles.description()

    def inherited(self, entity: Entity) -> list[Any]:
        """Return the permissions that hold on an entity: for each user the one nearest to it."""
        found: dict[str, Any] = {}
        at: Entity | None = entity
        while at is not None:
            for user, permission in self.granted.get(at.ref.moref, {}).items():
                if at is entity or permission.propagate:
                    found.setdefault(user, permission)
            at = at.parent
        return list(found.values())

    def role_of(self, user: str, entity: Entity) -> int:
        """Return the role that a user has on an entity."""
        for permission in self.inherited(entity):
            if permission.principal == user:
                return int(permission.roleId)
        return roles.NO_ACCESS

    def allows(self, user: str, entity: Entity, privilege: str) -> bool:
        """Whether a user has a privilege on an entity."""
        return privilege in self.roles[self.role_of(user, entity)].privilege

    def may_log_in(self, user: str) -> bool:
        """Whether a user has a role that sees anything, on any entity."""
        given = [each[user].roleId for each in self.granted.values() if user in each]
        return any("System.View" in self.roles[role].privilege for role in given)

    def role(self, id_: int) -> Any:
        """Return a role. Raises `NotFound`."""
        if id_ not in self.roles:
            raise with_message(vim25.NotFound(), f"The role {id_} was not found.")
        return self.roles[id_]

    def set_permissions(self, entity: Entity, after: dict[str, Any]) -> None:
        """Set all permissions of an entity, by user.

        Raises the fault for a change after which nobody administers the host.
        """
        changed = self.granted | {entity.ref.moref: after}
        if not any(
            permission.roleId == roles.ADMIN and user != "dcui"
            for each in changed.values()
            for user, permission in each.items()
        ):
            raise with_message(
                vim25.AuthMinimumAdminPermission(),
                "The change would leave nobody to administer the host.",
            )
        self.granted[entity.ref.moref] = after
        entity.changed("permission")


def _checked_name(name: str) -> str:
    if not name or len(name) > _LONGEST or not name.replace("_", "a").replace("-", "a").isalnum():
        raise invalid_argument("user.id", name)
    return name


def _checked_password(password: str | None) -> str:
    if not password or len(password) < _SHORTEST_PASSWORD:
        raise with_message(
            vim25.SystemError(reason="Weak password"),
            "A general system error occurred: Weak password: not enough different characters or "
            "classes for this length.",
        )
    return password


@handles(LocalAccountManager, "CreateUser")
def create_user(manager: LocalAccountManager, call: Call) -> None:
    """Make an account, which has no permission yet."""
    manager.registry.require_licence()
    spec = call.args["user"]
    if spec.id in manager.accounts:
        raise with_message(vim25.AlreadyExists(name=spec.id))
    free = max(999, *(account.uid for account in manager.accounts.values())) + 1
    account = LocalAccount(_checked_name(spec.id), spec.description or "", free)
    manager.set_password(account, _checked_password(spec.password))
    manager.accounts[spec.id] = account


@handles(LocalAccountManager, "UpdateUser")
def update_user(manager: LocalAccountManager, call: Call) -> None:
    """Change the password or the description of an account."""
    spec = call.args["user"]
    account = manager.account(spec.id)
    if spec.password is not None:
        manager.set_password(account, _checked_password(spec.password))
    account.full_name = account.full_name if spec.description is None else spec.description


@handles(LocalAccountManager, "RemoveUser")
def remove_user(manager: LocalAccountManager, call: Call) -> None:
    """Remove an account with its permissions."""
    name = call.args["userName"]
    account = manager.account(name)
    if account.uid <= 100:
        raise with_message(vim25.SecurityError(), f"The account {name} belongs to the system.")
    del manager.accounts[name]
    manager.registry.one(SessionManager).others.pop(name, None)
    for granted in manager.registry.one(AuthorizationManager).granted.values():
        granted.pop(name, None)


@handles(LocalAccountManager, "ChangePassword")
def change_password(manager: LocalAccountManager, call: Call) -> None:
    """Change a password by the old one."""
    account = manager.account(call.args["user"])
    sessions = manager.registry.one(SessionManager)
    old = sessions.password_of(account.name)
    given = call.args["oldPassword"].encode()
    if old is None or not secrets.compare_digest(given, old.encode()):
        raise with_message(
            vim25.InvalidLogin(), "Cannot complete login due to an incorrect user name or password."
        )
    manager.set_password(account, _checked_password(call.args["newPassword"]))


@handles(UserDirectory, "RetrieveUserGroups")
def retrieve_user_groups(directory: UserDirectory, call: Call) -> list[Any]:
    """Return the users that a text is found in, or is the name of; a host of ours has no groups."""
    wanted = call.args["searchStr"].lower()
    if call.get("domain"):
        raise with_message(vim25.NotFound(), f"The domain {call.args['domain']!r} was not found.")
    if call.get("belongsToGroup") or not call.args["findUsers"]:
        return []
    exact = call.args["exactMatch"]
    found = []
    for account in directory.registry.one(LocalAccountManager).accounts.values():
        name = account.name.lower()
        if wanted == name if exact else wanted in name or wanted in account.full_name.lower():
            found.append(
                # Hosts say PosixUserSearchResult: community.vmware reads the id of each.
                vim25.PosixUserSearchResult(
                    principal=account.name,
                    fullName=account.full_name,
                    group=False,
                    id=account.uid,
                    shellAccess=True,
                )
            )
    return found


@handles(AuthorizationManager, "AddAuthorizationRole")
def add_role(manager: AuthorizationManager, call: Call) -> int:
    """Make a role; every one has the three privileges of System."""
    name = call.args["name"]
    if not name:
        raise with_message(vim25.InvalidName(name=name))
    if any(role.name == name for role in manager.roles.values()):
        raise with_message(vim25.AlreadyExists(name=name))
    id_ = max(9, *manager.roles) + 1
    manager.roles[id_] = _role(id_, name, call.args["privIds"])
    manager.changed("roleList")
    return id_


def _role(id_: int, name: str, privileges: list[str]) -> Any:
    known = set(roles.privileges())
    for each in privileges:
        if each not in known:
            raise invalid_argument("privIds", each)
    every = {"System.Anonymous", "System.Read", "System.View", *privileges}
    return vim25.AuthorizationRole(
        roleId=id_,
        system=False,
        name=name,
        info=vim25.Description(label=name, summary=name),
        privilege=sorted(every),
    )


@handles(AuthorizationManager, "UpdateAuthorizationRole")
def update_role(manager: AuthorizationManager, call: Call) -> None:
    """Change a role that is not the system's."""
    role = manager.role(call.args["roleId"])
    if role.system:
        raise invalid_argument("roleId", str(role.roleId))
    manager.roles[role.roleId] = _role(
        role.roleId, call.args["newName"] or role.name, call.args["privIds"]
    )
    manager.changed("roleList")


@handles(AuthorizationManager, "RemoveAuthorizationRole")
def remove_role(manager: AuthorizationManager, call: Call) -> None:
    """Remove a role, with the permissions that give it unless `failIfUsed`."""
    role = manager.role(call.args["roleId"])
    used = [
        (entity, user)
        for entity, each in manager.granted.items()
        for user, permission in each.items()
        if permission.roleId == role.roleId
    ]
    if role.system or (used and call.args["failIfUsed"]):
        raise with_message(vim25.RemoveFailed(), f"The role {role.name} is in use.")
    for entity, user in used:
        del manager.granted[entity][user]
    del manager.roles[role.roleId]
    manager.changed("roleList")


def _entity(manager: AuthorizationManager, ref: Any) -> Entity:
    entity = manager.registry.find(ref)
    if not isinstance(entity, Entity):
        raise invalid_argument("entity")
    return entity


@handles(AuthorizationManager, "RetrieveEntityPermissions")
def entity_permissions(manager: AuthorizationManager, call: Call) -> list[Any]:
    """Return the permissions of an entity, or all that hold on it."""
    entity = _entity(manager, call.args["entity"])
    if call.args["inherited"]:
        return manager.inherited(entity)
    return list(manager.granted.get(entity.ref.moref, {}).values())


@handles(AuthorizationManager, "RetrieveAllPermissions")
def all_permissions(manager: AuthorizationManager, call: Call) -> list[Any]:
    """Return all permissions."""
    return [permission for each in manager.granted.values() for permission in each.values()]


@handles(AuthorizationManager, "RetrieveRolePermissions")
def role_permissions(manager: AuthorizationManager, call: Call) -> list[Any]:
    """Return the permissions that give a role."""
    id_ = manager.role(call.args["roleId"]).roleId
    return [permission for permission in all_permissions(manager, call) if permission.roleId == id_]


@handles(AuthorizationManager, "SetEntityPermissions", "ResetEntityPermissions")
def set_permissions(manager: AuthorizationManager, call: Call) -> None:
    """Give users roles on an entity; `Reset...` takes those of all others there away."""
    entity = _entity(manager, call.args["entity"])
    accounts = manager.registry.one(LocalAccountManager)
    given = {}
    for permission in call.args["permission"]:
        user, role = permission.principal, permission.roleId
        manager.role(role)
        accounts.account(user)
        given[user] = vim25.Permission(
            entity=entity.ref,
            principal=user,
            group=False,
            roleId=role,
            propagate=permission.propagate,
        )
    reset = call.method == "ResetEntityPermissions"
    before = {} if reset else manager.granted.get(entity.ref.moref, {})
    manager.set_permissions(entity, before | given)


@handles(AuthorizationManager, "RemoveEntityPermission")
def remove_permission(manager: AuthorizationManager, call: Call) -> None:
    """Take a user's role on an entity away."""
    entity, user = _entity(manager, call.args["entity"]), call.args["user"]
    if user not in manager.granted.get(entity.ref.moref, {}):
        raise with_message(vim25.NotFound(), f"No permission of {user!r} was found.")
    left = {name: each for name, each in manager.granted[entity.ref.moref].items() if name != user}
    manager.set_permissions(entity, left)


def _user_of(manager: AuthorizationManager, call: Call) -> str:
    for session in manager.registry.one(SessionManager).by_cookie.values():
        if session.key == call.args["sessionId"]:
            return session.user_name
    raise invalid_argument("sessionId")


@handles(AuthorizationManager, "HasPrivilegeOnEntity")
def has_privilege(manager: AuthorizationManager, call: Call) -> list[bool]:
    """Return for each privilege whether a session's user has it on an entity."""
    entity, user = _entity(manager, call.args["entity"]), _user_of(manager, call)
    return [manager.allows(user, entity, each) for each in call.args["privId"]]


@handles(AuthorizationManager, "HasPrivilegeOnEntities")
def has_privileges(manager: AuthorizationManager, call: Call) -> list[Any]:
    """Return for entities and privileges whether a session's user has them."""
    user = _user_of(manager, call)
    found = []
    for ref in call.args["entity"]:
        entity = _entity(manager, ref)
        found.append(
            vim25.EntityPrivilege(
                entity=ref,
                privAvailability=[
                    vim25.PrivilegeAvailability(
                        privId=each, isGranted=manager.allows(user, entity, each)
                    )
                    for each in call.args["privId"]
                ],
            )
        )
    return found


@handles(AuthorizationManager, "FetchUserPrivilegeOnEntities")
def fetch_privileges(manager: AuthorizationManager, call: Call) -> list[Any]:
    """Return the privileges of a user on entities."""
    return [
        vim25.UserPrivilegeResult(
            entity=ref,
            privileges=manager.roles[
                manager.role_of(call.args["userName"], _entity(manager, ref))
            ].privilege,
        )
        for ref in call.args["entities"]
    ]
