"""Teaming and security policies of switches and port groups. Plain values, no I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, TypeVar

from msgspec.structs import replace

from vimlib import vim25
from vimlib.model import DataObject

if TYPE_CHECKING:
    from collections.abc import Iterable

D = TypeVar("D", bound=DataObject)

Balancing: TypeAlias = Literal[
    "loadbalance_srcid", "loadbalance_srcmac", "loadbalance_ip", "failover_explicit"
]
"""How traffic is spread over the active NICs: by virtual port, by MAC address, by a hash of the IP addresses
(the physical switch must have a channel for it), or not at all: the first active NIC that works carries it."""
GroupBalancing: TypeAlias = Literal[
    "loadbalance_srcid", "loadbalance_srcmac", "loadbalance_ip", "failover_explicit", "inherit"
]
YesNo: TypeAlias = Literal["yes", "no"]
GroupYesNo: TypeAlias = Literal["yes", "no", "inherit"]
Allow: TypeAlias = Literal["accept", "reject"]
GroupAllow: TypeAlias = Literal["accept", "reject", "inherit"]
"""A policy of a port group; `inherit` takes that of the switch."""

_WORDS: Final[dict[str, bool | None]] = {
    "yes": True, "no": False, "accept": True, "reject": False, "inherit": None,
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The policies of a switch, or of a port group where it differs from its switch."""

    active: tuple[str, ...] | None
    """Physical NICs in use, in their order; None is inherited."""
    standby: tuple[str, ...] | None
    balancing: str | None
    """As `loadbalance_srcid`; None is inherited."""
    notify_switches: bool | None
    """Whether physical switches hear of it when another NIC takes over; None is inherited."""
    failback: bool | None
    """Whether an active NIC whose link is back carries traffic again; None is inherited."""
    promiscuous: bool | None
    mac_changes: bool | None
    forged: bool | None
    """Whether frames with another source address than the NIC's pass."""

    def to_json(self) -> dict[str, Any]:
        """Return its fields of a row."""
        plain = {name: getattr(self, name) for name in self.__slots__}
        return plain | {
            name: None if plain[name] is None else list(plain[name])
            for name in ("active", "standby")
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyChange:
    """What is to change; None and () stay as they are."""

    active: tuple[str, ...] = ()
    standby: tuple[str, ...] = ()
    balancing: GroupBalancing | None = None
    notify_switches: GroupYesNo | None = None
    failback: GroupYesNo | None = None
    promiscuous: GroupAllow | None = None
    mac_changes: GroupAllow | None = None
    forged: GroupAllow | None = None

    def __bool__(self) -> bool:
        return any(getattr(self, name) for name in self.__slots__)


def with_fields(data: D, **changes: Any) -> D:
    """Return a data object with changed fields."""
    given: Any = data
    made: D = replace(given, **changes)
    return made


def policy_of(found: vim25.HostNetworkPolicy | None) -> Policy:
    """Return a policy as the host shows it."""
    teaming = found.nicTeaming if found else None
    order = teaming.nicOrder if teaming else None
    security = found.security if found else None
    rolling = teaming.rollingOrder if teaming else None
    return Policy(
        active=None if order is None else tuple(order.activeNic or ()),
        standby=None if order is None else tuple(order.standbyNic or ()),
        balancing=teaming.policy if teaming else None,
        notify_switches=teaming.notifySwitches if teaming else None,
        failback=None if rolling is None else not rolling,
        promiscuous=security.allowPromiscuous if security else None,
        mac_changes=security.macChanges if security else None,
        forged=security.forgedTransmits if security else None,
    )


def changed(
    old: vim25.HostNetworkPolicy | None,
    inherited: vim25.HostNetworkPolicy | None,
    change: PolicyChange,
) -> vim25.HostNetworkPolicy:
    """Return a policy with changes; `inherited` is that of the switch of a port group."""
    policy = old or vim25.HostNetworkPolicy()
    teaming = _teaming(policy, inherited, change)
    if teaming:
        before = policy.nicTeaming or vim25.HostNicTeamingPolicy()
        policy = with_fields(policy, nicTeaming=with_fields(before, **teaming))
    security = _given(
        allowPromiscuous=change.promiscuous,
        macChanges=change.mac_changes,
        forgedTransmits=change.forged,
    )
    if security:
        rules = policy.security or vim25.HostNetworkSecurityPolicy()
        policy = with_fields(policy, security=with_fields(rules, **security))
    return policy


def _given(**words: str | None) -> dict[str, bool | None]:
    return {field: _WORDS[word] for field, word in words.items() if word is not None}


def _teaming(
    policy: vim25.HostNetworkPolicy,
    inherited: vim25.HostNetworkPolicy | None,
    change: PolicyChange,
) -> dict[str, Any]:
    """Return the changed fields of the teaming policy."""
    fields: dict[str, Any] = _given(notifySwitches=change.notify_switches)
    if change.failback is not None:
        # The API's flag is the opposite: a NIC whose link is back goes to the end of the order.
        failback = _WORDS[change.failback]
        fields["rollingOrder"] = None if failback is None else not failback
    if change.balancing is not None:
        fields["policy"] = None if change.balancing == "inherit" else change.balancing
    if change.active or change.standby:
        own = policy.nicTeaming.nicOrder if policy.nicTeaming else None
        of_switch = inherited.nicTeaming if inherited else None
        order = own or (of_switch.nicOrder if of_switch else None) or vim25.HostNicOrderPolicy()
        fields["nicOrder"] = vim25.HostNicOrderPolicy(
            activeNic=list(change.active) or _without(order.activeNic, change.standby),
            standbyNic=list(change.standby) or _without(order.standbyNic, change.active),
        )
    return fields


def _without(names: Iterable[str] | None, taken: Iterable[str]) -> list[str]:
    return [name for name in names or () if name not in taken]
