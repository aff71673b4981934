"""Standard switches, the policies of their port groups, and VMkernel adapters (read only)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final

from vimdriver._host.managers import read_manager
from vimdriver._networks.policies import (
    Allow,
    Balancing,
    GroupAllow,
    GroupBalancing,
    GroupYesNo,
    Policy,
    PolicyChange,
    YesNo,
    changed,
    policy_of,
    with_fields,
)
from vimdriver._networks.port_groups import check_vlan
from vimdriver._verbs import Host, Plan, Run, Step, Within, query, returns, verb
from vimdriver.errors import NetworkNotFoundError, PhysicalNICNotFoundError
from vimlib import vim25
from vimlib._text import printable
from vimlib.errors import HostStateError, UsageError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

MTU: Final = Within(1280, 9000)
"""Bytes that hosts take: `HostVirtualSwitchSpec.mtu`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VirtualSwitch:
    """A standard switch."""

    name: str
    mtu: int
    ports: int
    uplinks: tuple[str, ...]
    """Physical NICs."""
    port_groups: tuple[str, ...]
    policy: Policy

    def to_json(self) -> dict[str, Any]:
        """Return its row of `vimctl network switches --json`."""
        return {
            "name": self.name,
            "mtu": self.mtu,
            "ports": self.ports,
            "uplinks": list(self.uplinks),
            "port_groups": list(self.port_groups),
            **self.policy.to_json(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class PortGroupPolicy:
    """A port group with its own policies."""

    name: str
    vlan: int
    vswitch: str
    policy: Policy

    def to_json(self) -> dict[str, Any]:
        """Return its row of `vimctl network policies --json`."""
        return {
            "name": self.name,
            "vlan": self.vlan,
            "vswitch": self.vswitch,
            **self.policy.to_json(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class VMkernelAdapter:
    """A network adapter of the host itself."""

    device: str
    port_group: str
    mac: str
    mtu: int
    dhcp: bool
    addresses: tuple[str, ...]
    """With their prefix or netmask, as the host shows them."""

    def to_json(self) -> dict[str, Any]:
        """Return its row of `vimctl network vmkernel --json`."""
        plain = {name: getattr(self, name) for name in self.__slots__}
        return plain | {"addresses": list(self.addresses)}


async def _read(host: Host) -> tuple[vim25.HostNetworkSystem, vim25.HostNetworkInfo]:
    row = await read_manager(host.client, vim25.HostNetworkSystem, "networkSystem", "networkInfo")
    return host.client.bind(row.obj), row.require("networkInfo")


def _switch(info: vim25.HostNetworkInfo, one: vim25.HostVirtualSwitch) -> VirtualSwitch:
    devices = {nic.key: nic.device for nic in info.pnic or []}
    return VirtualSwitch(
        name=one.name,
        mtu=one.mtu or 1500,
        ports=one.numPorts,
        uplinks=tuple(devices.get(key, key) for key in one.pnic or ()),
        port_groups=tuple(
            sorted(g.spec.name for g in info.portgroup or [] if g.spec.vswitchName == one.name)
        ),
        policy=policy_of(one.spec.policy),
    )


def _update(
    title: str,
    system: vim25.HostNetworkSystem,
    name: str,
    spec: vim25.HostVirtualSwitchSpec,
    holds: Callable[[vim25.HostVirtualSwitch], bool],
) -> Step[Any]:
    """Return the step that updates a switch; it is done when the switch of the host `holds`."""

    async def probe(run: Run) -> bool | None:
        _, now = await _read(run.host)
        return holds(_find_switch(now, name)) or None

    return Step[Any](
        title=f"{title} (UpdateVirtualSwitch)",
        call=lambda run: system.UpdateVirtualSwitch(name, spec),
        probe=probe,
        idempotent=True,
    )


def _reader(name: str) -> Callable[[Run], Awaitable[VirtualSwitch]]:
    """Return what reads the switch when the steps are done."""

    async def result(run: Run) -> VirtualSwitch:
        _, now = await _read(run.host)
        return _switch(now, _find_switch(now, name))

    return result


def _find_switch(info: vim25.HostNetworkInfo, name: str) -> vim25.HostVirtualSwitch:
    for one in info.vswitch or []:
        if one.name == name:
            return one
    raise NetworkNotFoundError(
        name=name, known=sorted(one.name for one in info.vswitch or []), kind="switch"
    )


def _find_group(info: vim25.HostNetworkInfo, name: str) -> vim25.HostPortGroup:
    for one in info.portgroup or []:
        if one.spec.name == name:
            return one
    raise NetworkNotFoundError(
        name=name, known=sorted(one.spec.name for one in info.portgroup or [])
    )


def _check_nics(info: vim25.HostNetworkInfo, names: Iterable[str]) -> None:
    known = sorted(nic.device for nic in info.pnic or [])
    for name in names:
        if name not in known:
            raise PhysicalNICNotFoundError(name=name, known=known)


def _check_uplinks(
    info: vim25.HostNetworkInfo, switch: vim25.HostVirtualSwitch, change: PolicyChange
) -> None:
    uplinks = sorted(_switch(info, switch).uplinks)
    for nic in (*change.active, *change.standby):
        if nic not in uplinks:
            raise PhysicalNICNotFoundError(name=nic, known=uplinks)


def _check_mtu(mtu: int) -> None:
    if not MTU.least <= mtu <= MTU.most:
        raise UsageError(f"mtu must be {MTU.least:g} to {MTU.most:g}, got {mtu}", field="mtu")


@query
async def switches(host: Host) -> list[VirtualSwitch]:
    """List the standard switches of the host, by name, in one call. Cancelling loses nothing."""
    _, info = await _read(host)
    return sorted((_switch(info, one) for one in info.vswitch or []), key=lambda one: one.name)


@query
async def port_group_policies(host: Host) -> list[PortGroupPolicy]:
    """List the port groups with the policies that they do not inherit. Cancelling loses nothing."""
    _, info = await _read(host)
    return sorted((_group(one) for one in info.portgroup or []), key=lambda one: one.name)


def _group(one: vim25.HostPortGroup) -> PortGroupPolicy:
    spec = one.spec
    return PortGroupPolicy(
        name=spec.name,
        vlan=spec.vlanId,
        vswitch=spec.vswitchName,
        policy=policy_of(spec.policy),
    )


@query
async def vmkernel(host: Host) -> list[VMkernelAdapter]:
    """List the network adapters of the host itself; they are not changed. Cancelling loses nothing."""
    _, info = await _read(host)
    found = []
    for one in info.vnic or []:
        ip = one.spec.ip
        addresses = [f"{ip.ipAddress}/{ip.subnetMask}"] if ip and ip.ipAddress else []
        config = ip.ipV6Config if ip else None
        addresses += [
            f"{six.ipAddress}/{six.prefixLength}"
            for six in (config.ipV6Address if config else None) or []
        ]
        found.append(
            VMkernelAdapter(
                device=one.device,
                port_group=one.portgroup,
                mac=(one.spec.mac or "").lower(),
                mtu=one.spec.mtu or 1500,
                dhcp=bool(ip and ip.dhcp),
                addresses=tuple(addresses),
            )
        )
    return sorted(found, key=lambda one: one.device)


@verb
async def create_switch(
    host: Host,
    name: str,
    *,
    uplinks: tuple[str, ...] = (),
    mtu: Annotated[int, MTU] = 1500,
) -> Plan[VirtualSwitch]:
    """Create a standard switch (`AddVirtualSwitch`). Cancelling waits for the call, then removes it.

    Args:
        name: 1 to 31 printable characters.
        uplinks: Physical NICs that no other switch uses; none makes an internal switch.
        mtu: Bytes, 1280 to 9000.

    Raises:
        UsageError: A value is out of range.
        PhysicalNICNotFoundError: The host has no such NIC.
        HostStateError: There is a switch of that name, or another switch uses a NIC.
    """
    if not name or len(name) > 31 or not name.isprintable():
        raise UsageError(
            f"the name of a switch must be 1 to 31 printable characters, got {printable(name, 80)!r}",
            field="name",
        )
    _check_mtu(mtu)
    system, info = await _read(host)
    _check_nics(info, uplinks)
    for other in info.vswitch or []:
        if other.name == name:
            raise HostStateError(f"switch {name!r} already exists", state="exists")
        taken = set(_switch(info, other).uplinks) & set(uplinks)
        if taken:
            raise HostStateError(
                f"{min(taken)} must be free, switch {other.name!r} uses it", state="busy"
            )
    spec = vim25.HostVirtualSwitchSpec(
        numPorts=128,
        bridge=vim25.HostVirtualSwitchBondBridge(nicDevice=list(uplinks)) if uplinks else None,
        mtu=mtu,
    )

    async def probe(run: Run) -> bool | None:
        _, now = await _read(run.host)
        return any(one.name == name for one in now.vswitch or []) or None

    async def undo(run: Run, made: Any) -> None:
        await system.RemoveVirtualSwitch(name)

    step = Step[Any](
        title=f"create switch {name} (AddVirtualSwitch)",
        makes=f"switch {name}",
        call=lambda run: system.AddVirtualSwitch(name, spec=spec),
        probe=probe,
        undo=undo,
    )

    return Plan(f"create switch {name}", (step,), _reader(name))


@verb
async def remove_switch(host: Host, name: str) -> Plan[None]:
    """Remove a standard switch without port groups (`RemoveVirtualSwitch`). Cancelling waits for the call.

    Raises:
        NetworkNotFoundError: The host has no such switch.
        HostStateError: It has port groups.
    """
    system, info = await _read(host)
    found = _switch(info, _find_switch(info, name))
    if found.port_groups:
        raise HostStateError(
            f"switch {name!r} must have no port groups, it has {', '.join(found.port_groups)}",
            state="busy",
            hint="Remove them first.",
        )

    async def probe(run: Run) -> bool | None:
        _, now = await _read(run.host)
        return all(one.name != name for one in now.vswitch or []) or None

    step = Step[Any](
        title=f"remove switch {name} (RemoveVirtualSwitch)",
        call=lambda run: system.RemoveVirtualSwitch(name),
        probe=probe,
    )
    return Plan(f"remove switch {name}", (step,), returns(None))


@verb
async def set_mtu(host: Host, switch: str, mtu: Annotated[int, MTU]) -> Plan[VirtualSwitch]:
    """Set the MTU of a standard switch (`UpdateVirtualSwitch`). Cancelling waits for the call.

    Args:
        switch: Name.
        mtu: Bytes, 1280 to 9000.

    Raises:
        UsageError: `mtu` is out of range.
        NetworkNotFoundError: The host has no such switch.
    """
    _check_mtu(mtu)
    system, info = await _read(host)
    found = _find_switch(info, switch)
    spec = with_fields(found.spec, mtu=mtu)

    step = _update(
        f"set the MTU of {switch} to {mtu}",
        system,
        switch,
        spec,
        lambda now: (now.mtu or 1500) == mtu,
    )
    done = (found.mtu or 1500) == mtu
    return Plan(f"set the MTU of {switch}", () if done else (step,), _reader(switch))


@verb
async def set_switch(
    host: Host,
    name: str,
    *,
    active: tuple[str, ...] = (),
    standby: tuple[str, ...] = (),
    balancing: Balancing | None = None,
    notify_switches: YesNo | None = None,
    failback: YesNo | None = None,
    promiscuous: Allow | None = None,
    mac_changes: Allow | None = None,
    forged: Allow | None = None,
) -> Plan[VirtualSwitch]:
    """Change a switch's teaming and security policy (`UpdateVirtualSwitch`); values not given stay.

    Port groups inherit it where they have none of their own. Cancelling waits for the call.

    Args:
        name: Of the switch.
        active: Physical NICs in use, in their order. If only one of the two is given, the other one
            keeps its NICs without those given.
        standby: Physical NICs that take over.
        balancing: How traffic is spread over the active NICs.
        notify_switches: Whether physical switches are notified when another NIC takes over.
        failback: Whether an active NIC whose link is back carries traffic again.
        promiscuous: Whether NICs see the frames of others.
        mac_changes: Whether guests may change their address.
        forged: Whether frames with another source address pass.

    Raises:
        UsageError: Nothing to change.
        NetworkNotFoundError: The host has no such switch.
        PhysicalNICNotFoundError: The switch has no such NIC.
    """
    change = PolicyChange(
        active=active, standby=standby, balancing=balancing, notify_switches=notify_switches,
        failback=failback, promiscuous=promiscuous, mac_changes=mac_changes, forged=forged,
    )  # fmt: skip
    if not change:
        raise UsageError("at least one change is required", field="balancing")
    system, info = await _read(host)
    found = _find_switch(info, name)
    _check_uplinks(info, found, change)
    policy = changed(found.spec.policy, None, change)
    spec = with_fields(found.spec, policy=policy)

    step = _update(
        f"change the policy of switch {name}",
        system,
        name,
        spec,
        lambda now: policy_of(now.spec.policy) == policy_of(policy),
    )
    done = policy == found.spec.policy
    return Plan(f"change switch {name}", () if done else (step,), _reader(name))


@verb
async def set_port_group(
    host: Host,
    name: str,
    *,
    vlan: Annotated[int | None, Within(0, 4094)] = None,
    active: tuple[str, ...] = (),
    standby: tuple[str, ...] = (),
    balancing: GroupBalancing | None = None,
    notify_switches: GroupYesNo | None = None,
    failback: GroupYesNo | None = None,
    promiscuous: GroupAllow | None = None,
    mac_changes: GroupAllow | None = None,
    forged: GroupAllow | None = None,
) -> Plan[PortGroupPolicy]:
    """Change a port group's VLAN, teaming and security policy (`UpdatePortGroup`); values not given stay.

    `inherit` takes the value of the switch. Cancelling waits for the call.

    Args:
        name: Of the port group.
        vlan: VLAN id; 0 is untagged.
        active: Physical NICs in use, in their order. If only one of the two is given, the other one
            keeps its NICs, those of the switch where it inherits them, without those given.
        standby: Physical NICs that take over.
        balancing: How traffic is spread over the active NICs.
        notify_switches: Whether physical switches are notified when another NIC takes over.
        failback: Whether an active NIC whose link is back carries traffic again.
        promiscuous: Whether NICs see the frames of others.
        mac_changes: Whether guests may change their address.
        forged: Whether frames with another source address pass.

    Raises:
        UsageError: Nothing to change, or a value is out of range.
        NetworkNotFoundError: The host has no such port group.
        PhysicalNICNotFoundError: Its switch has no such NIC.
    """
    change = PolicyChange(
        active=active, standby=standby, balancing=balancing, notify_switches=notify_switches,
        failback=failback, promiscuous=promiscuous, mac_changes=mac_changes, forged=forged,
    )  # fmt: skip
    if vlan is None and not change:
        raise UsageError("at least one change is required", field="vlan")
    if vlan is not None:
        check_vlan(name, vlan)
    system, info = await _read(host)
    found = _find_group(info, name)
    switch = _find_switch(info, found.spec.vswitchName)
    _check_uplinks(info, switch, change)
    spec = with_fields(
        found.spec,
        vlanId=found.spec.vlanId if vlan is None else vlan,
        policy=changed(found.spec.policy, switch.spec.policy, change),
    )

    async def probe(run: Run) -> bool | None:
        _, now = await _read(run.host)
        wanted = policy_of(spec.policy), spec.vlanId
        one = _group(_find_group(now, name))
        return ((one.policy, one.vlan) == wanted) or None

    step = Step[Any](
        title=f"change port group {name} (UpdatePortGroup)",
        call=lambda run: system.UpdatePortGroup(name, spec),
        probe=probe,
        idempotent=True,
    )

    async def result(run: Run) -> PortGroupPolicy:
        _, now = await _read(run.host)
        return _group(_find_group(now, name))

    return Plan(f"change port group {name}", (step,), result)
