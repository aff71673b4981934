"""Small managers with few or fixed properties: licences, options, users, roles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vimlib import vim25
from vimlib.simulator._core.handlers import handles
from vimlib.simulator._core.messages import invalid_argument, with_message
from vimlib.simulator._core.objects import SimObject, prop
from vimlib.soap._typed import type_of

if TYPE_CHECKING:
    from vimlib.simulator._core.call import Call
    from vimlib.simulator._core.registry import Registry


class LicenseManager(SimObject):
    """The licence of the host."""

    kind = "LicenseManager"

    @prop("licensedEdition")
    def _edition(self) -> str:
        return "esx.enterprisePlus" if self.registry.licensed else "esxBasic"

    @prop("sourceAvailable")
    def _available(self) -> bool:
        return True

    @prop("source")
    def _source(self) -> Any:
        return vim25.LocalLicenseSource(licenseKeys="")

    @prop("licenses")
    def _licences(self) -> list[Any]:
        free = not self.registry.licensed
        return [
            vim25.LicenseManagerLicenseInfo(
                licenseKey="00000-00000-00000-00000-00000",
                editionKey="esxBasic" if free else "esx.enterprisePlus.cpuPackage",
                name="VMware vSphere Hypervisor" if free else "VMware vSphere Enterprise Plus",
                total=0,
                used=2,
                costUnit="cpuPackage",
            )
        ]


class OptionManager(SimObject):
    """Advanced options."""

    kind = "OptionManager"

    def __init__(self, registry: Registry, moid: str, options: dict[str, Any]) -> None:
        self.options = options
        super().__init__(registry, moid)

    @prop("setting")
    def _setting(self) -> list[Any]:
        return [
            vim25.OptionValue(key=key, value=value) for key, value in sorted(self.options.items())
        ]


class UserDirectory(SimObject):
    """Users; its methods are not simulated."""

    kind = "UserDirectory"


class AuthorizationManager(SimObject):
    """Roles; every user is the administrator."""

    kind = "AuthorizationManager"

    @prop("roleList")
    def _roles(self) -> list[Any]:
        return [
            vim25.AuthorizationRole(
                roleId=-1,
                system=True,
                name="Admin",
                info=vim25.Description(label="Administrator", summary="Full access rights"),
                privilege=["System.Anonymous", "System.Read", "System.View"],
            )
        ]


class OvfManager(SimObject):
    """OVF descriptors; its methods are not simulated."""

    kind = "OvfManager"


@handles(OptionManager, "QueryOptions")
def query_options(manager: OptionManager, call: Call) -> list[Any]:
    """Return the options of a name or, with a dot at its end, below it."""
    name = call.get("name") or ""
    found = [
        vim25.OptionValue(key=key, value=value)
        for key, value in sorted(manager.options.items())
        if not name or key == name or (name.endswith(".") and key.startswith(name))
    ]
    if name and not found:
        raise with_message(vim25.InvalidName(name=name))
    return found


@handles(OptionManager, "UpdateOptions")
def update_options(manager: OptionManager, call: Call) -> None:
    """Set existing options. A host refuses a value of another type, an int for a long included."""
    for option in call.args["changedValue"]:
        if option.key not in manager.options:
            raise with_message(vim25.InvalidName(name=option.key))
        if type_of(option.value) != type_of(manager.options[option.key]):
            raise invalid_argument("changedValue.value")
    for option in call.args["changedValue"]:
        manager.options[option.key] = option.value
    manager.changed("setting")
