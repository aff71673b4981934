"""Services of the host and the rulesets of its firewall."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vimlib import vim25
from vimlib.simulator._core.handlers import handles
from vimlib.simulator._core.messages import (
    invalid_argument,
    invalid_state,
    no_such_item,
    with_message,
)
from vimlib.simulator._core.objects import SimObject, prop
from vimlib.simulator._data import services as seeds

if TYPE_CHECKING:
    from vimlib.simulator._core.call import Call
    from vimlib.simulator._core.registry import Registry

_POLICIES = ("on", "off", "automatic")


class ServiceSystem(SimObject):
    """The services, each with whether it runs and when it starts."""

    kind = "HostServiceSystem"

    def __init__(self, registry: Registry) -> None:
        self._running: dict[str, bool] = {}
        self._policies: dict[str, str] = {}
        super().__init__(registry, "serviceSystem")

    @prop("serviceInfo")
    def info(self) -> Any:
        """Return the services as data."""
        return vim25.HostServiceInfo(
            service=[
                seeds.service_info(
                    self.registry.release,
                    seed,
                    running=self._running.get(seed.key, seed.running),
                    policy=self._policies.get(seed.key, seed.policy),
                )
                for seed in seeds.services(self.registry.release)
            ]
        )

    def find(self, key: str) -> Any:
        """Return a service as data. Raises `NotFound`."""
        found = next((s for s in self.read("serviceInfo").service if s.key == key), None)
        if found is None:
            raise no_such_item(key)
        return found

    def run(self, key: str, *, running: bool) -> None:
        """Start or stop a service."""
        self._running[key] = running
        self.changed_in_host("serviceInfo")

    def set_policy(self, key: str, policy: str) -> None:
        """Set when a service starts."""
        self._policies[key] = policy
        self.changed_in_host("serviceInfo")


class FirewallSystem(SimObject):
    """The firewall."""

    kind = "HostFirewallSystem"

    def __init__(self, registry: Registry) -> None:
        self._enabled: dict[str, bool] = {}
        self._allowed: dict[str, Any] = {}
        self._policy: Any = None
        super().__init__(registry, "firewallSystem")

    @prop("firewallInfo")
    def info(self) -> Any:
        """Return the rulesets as data."""
        return vim25.HostFirewallInfo(
            defaultPolicy=self._policy
            or vim25.HostFirewallDefaultPolicy(incomingBlocked=True, outgoingBlocked=True),
            ruleset=[
                seeds.ruleset_info(
                    seed,
                    enabled=self._enabled.get(seed.key, seed.enabled),
                    allowed=self._allowed.get(seed.key),
                )
                for seed in seeds.rulesets(self.registry.release)
            ],
        )

    def find(self, key: str) -> Any:
        """Return a ruleset as data. Raises `NotFound`."""
        found = next((r for r in self.read("firewallInfo").ruleset if r.key == key), None)
        if found is None:
            raise no_such_item(key)
        return found

    def enable(self, key: str, *, enabled: bool) -> None:
        """Open or close the ports of a ruleset."""
        self._enabled[key] = enabled
        self.changed_in_host("firewallInfo")

    def allow(self, key: str, addresses: Any) -> None:
        """Set the addresses that may use the ports of a ruleset."""
        self._allowed[key] = addresses
        self.changed_in_host("firewallInfo")

    def set_policy(self, policy: Any) -> None:
        """Set what happens to traffic that no ruleset covers."""
        self._policy = policy
        self.changed_in_host("firewallInfo")


@handles(ServiceSystem, "StartService", "StopService", "RestartService")
def run_service(system: ServiceSystem, call: Call) -> None:
    """Start, stop or restart a service.

    Up to 4.1 one that already runs, or already does not, is InvalidState; later hosts stay silent.
    """
    service = system.find(call.args["id"])
    start = call.method != "StopService"
    again = service.running == start and call.method != "RestartService"
    if again and system.registry.release.numbers < (5,):
        raise invalid_state()
    system.run(service.key, running=start)


@handles(ServiceSystem, "UpdateServicePolicy")
def update_service_policy(system: ServiceSystem, call: Call) -> None:
    """Set when a service starts."""
    service, policy = system.find(call.args["id"]), call.args["policy"]
    if policy not in _POLICIES:
        raise invalid_argument("policy", policy)
    system.set_policy(service.key, policy)


@handles(ServiceSystem, "RefreshServices")
@handles(FirewallSystem, "RefreshFirewall")
def refresh(system: SimObject, call: Call) -> None:
    """Do nothing: nothing is stale."""


@handles(FirewallSystem, "EnableRuleset", "DisableRuleset")
def enable_ruleset(system: FirewallSystem, call: Call) -> None:
    """Open or close the ports of a ruleset."""
    ruleset, enable = system.find(call.args["id"]), call.method == "EnableRuleset"
    if ruleset.required and not enable:
        raise with_message(
            vim25.HostConfigFault(),
            f"The ruleset {ruleset.key} is required and cannot be disabled.",
        )
    system.enable(ruleset.key, enabled=enable)


@handles(FirewallSystem, "UpdateRuleset")
def update_ruleset(system: FirewallSystem, call: Call) -> None:
    """Set the addresses that may use the ports of a ruleset."""
    ruleset = system.find(call.args["id"])
    system.allow(ruleset.key, call.args["spec"].allowedHosts)


@handles(FirewallSystem, "UpdateDefaultPolicy")
def update_default_policy(system: FirewallSystem, call: Call) -> None:
    """Set what happens to traffic that no ruleset covers."""
    system.set_policy(call.args["defaultPolicy"])
