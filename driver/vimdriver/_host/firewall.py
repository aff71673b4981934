"""The host's firewall: rulesets, opened and closed (API 5.0; before that, of classic ESX)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from vimdriver._host.managers import read_manager
from vimdriver._verbs import Host, Plan, Run, Step, query, verb
from vimlib import vim25
from vimlib._text import printable
from vimlib.errors import NotFoundError

State: TypeAlias = Literal["open", "closed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FirewallRuleset:
    """A ruleset of the firewall."""

    key: str
    label: str
    enabled: bool
    required: bool
    service: str
    """Key of the service whose ports these are; "" for none."""
    addresses: tuple[str, ...]
    """Addresses and networks that may use the ports; `all` without a limit."""
    ports: tuple[str, ...]
    """As `inbound tcp 22`."""

    def to_json(self) -> dict[str, Any]:
        """Return its row of `vimctl host firewall --json`."""
        plain = {name: getattr(self, name) for name in self.__slots__}
        return plain | {"addresses": list(self.addresses), "ports": list(self.ports)}


def _ruleset(one: vim25.HostFirewallRuleset) -> FirewallRuleset:
    hosts = one.allowedHosts
    addresses = ["all"]
    if hosts is not None and not hosts.allIp:
        networks = [f"{net.network}/{net.prefixLength}" for net in hosts.ipNetwork or []]
        addresses = [*(hosts.ipAddress or []), *networks]
    ports = []
    for rule in one.rule or []:
        last = f"-{rule.endPort}" if rule.endPort and rule.endPort != rule.port else ""
        ports.append(f"{rule.direction} {rule.protocol} {rule.port}{last}")
    return FirewallRuleset(
        key=one.key,
        label=one.label,
        enabled=one.enabled,
        required=one.required,
        service=one.service or "",
        addresses=tuple(addresses),
        ports=tuple(ports),
    )


async def _read(host: Host) -> tuple[vim25.HostFirewallSystem, list[FirewallRuleset]]:
    row = await read_manager(
        host.client, vim25.HostFirewallSystem, "firewallSystem", "firewallInfo"
    )
    info: vim25.HostFirewallInfo | None = row.known("firewallInfo")
    found = map(_ruleset, (info.ruleset if info else None) or [])
    return host.client.bind(row.obj), sorted(found, key=lambda one: one.key)


async def _one(host: Host, key: str) -> tuple[vim25.HostFirewallSystem, FirewallRuleset]:
    system, found = await _read(host)
    for one in found:
        if one.key.casefold() == key.casefold():
            return system, one
    raise NotFoundError(
        f"ruleset not found on {host.client.host}: {printable(key, 80)!r}",
        kind="HostFirewallRuleset",
        name=key,
        hint=f"The host has: {', '.join(one.key for one in found) or 'none'}.",
    )


@query
async def firewall(host: Host) -> list[FirewallRuleset]:
    """List the rulesets of the host's firewall, by key. Cancelling loses nothing."""
    return (await _read(host))[1]


@verb
async def set_ruleset(host: Host, ruleset: str, state: State) -> Plan[FirewallRuleset]:
    """Open or close the ports of a ruleset (`EnableRuleset`, `DisableRuleset`).

    Cancelling waits for the call.

    Args:
        ruleset: Key, as sshServer.
        state: open or closed.

    Raises:
        NotFoundError: The host has no such ruleset.
    """
    system, found = await _one(host, ruleset)
    wanted = state == "open"
    method = "EnableRuleset" if wanted else "DisableRuleset"

    async def probe(run: Run) -> bool | None:
        return ((await _one(run.host, found.key))[1].enabled == wanted) or None

    step = Step[Any](
        title=f"make {found.key} {state} ({method})",
        call=lambda run: getattr(system, method)(found.key),
        probe=probe,
        idempotent=True,
    )

    async def result(run: Run) -> FirewallRuleset:
        return (await _one(run.host, found.key))[1]

    return Plan(
        f"make ruleset {found.key} {state}", () if found.enabled == wanted else (step,), result
    )
