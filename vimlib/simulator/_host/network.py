"""Networking: virtual switches, port groups, physical and VMkernel adapters, networks of machines."""

from __future__ import annotations

from dataclasses import dataclass, field
from dataclasses import replace as dataclass_replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from msgspec.structs import asdict, replace

from vimlib import vim25
from vimlib.simulator._core.handlers import handles
from vimlib.simulator._core.messages import invalid_argument, no_such_item, with_message
from vimlib.simulator._core.objects import Entity, SimObject, prop
from vimlib.simulator._data import networking
from vimlib.simulator._data.hardware import pci_id

if TYPE_CHECKING:
    from vimlib.simulator._core.call import Call
    from vimlib.simulator._core.registry import Registry
    from vimlib.simulator._host.folders import Folder

_PORTGROUP = "key-vim.host.PortGroup-"
_SWITCH = "key-vim.host.VirtualSwitch-"
_PNIC = "key-vim.host.PhysicalNic-"
_PORT = "key-vim.host.PortGroup.Port-"
_FIRST_PORT = 33554436
"""Number of the first adapter's port, as recorded of an ESXi 6.5 (`simulator/esx` of govmomi)."""
_LONGEST = 31
"""Characters that a switch's name may have (VMware's maximums)."""
_MOST_PORTS = 4088
"""Of a switch: "Configuration Maximums" of vSphere."""


@dataclass
class Switch:
    """A virtual switch."""

    name: str
    pnics: list[str] = field(default_factory=list)
    ports: int = 128
    mtu: int | None = 1500
    given: Any = None
    """The policy that it was given; None is that of a new switch."""

    @property
    def policy(self) -> Any:
        """Its `HostNetworkPolicy`, whole; made when it is first asked for."""
        if self.given is None:
            self.given = default_policy(self.pnics)
        return self.given


@dataclass
class PortGroup:
    """A port group."""

    name: str
    switch: str
    vlan: int = 0
    policy: Any = None


@dataclass
class Vnic:
    """An adapter of the host itself: of the VMkernel, or `vswif0` of a service console."""

    device: str
    group: str
    """Its port group."""
    mac: str
    ip: Any
    """`HostIpConfig`."""
    mtu: int | None = 1500
    tso: bool | None = True
    stack: str | None = "defaultTcpipStack"

    def info(self, number: int, *, console: bool = False) -> Any:
        """Return it as data; `number` is that of its port."""
        return vim25.HostVirtualNic(
            device=self.device,
            key=f"key-vim.host.VirtualNic-{self.device}",
            portgroup=self.group,
            spec=vim25.HostVirtualNicSpec(
                ip=self.ip,
                mac=self.mac,
                portgroup=self.group,
                mtu=None if console else self.mtu,
                tsoEnabled=None if console else self.tso,
                netStackInstanceKey=None if console else self.stack,
            ),
            port=_PORT + str(number),
        )


@dataclass(frozen=True)
class Pnic:
    """A physical adapter."""

    device: str
    pci: str
    mac: str
    speed: int | None = 10_000

    @property
    def key(self) -> str:
        """The key by which the API names it."""
        return _PNIC + self.device


class Network(Entity):
    """A port group as an inventory object, to which machines connect."""

    kind = "Network"

    def __init__(self, registry: Registry, name: str, folder: Folder) -> None:
        super().__init__(registry, f"HaNetwork-{name}", name, folder)
        folder.add(self)

    @prop("summary")
    def _summary(self) -> Any:
        return vim25.NetworkSummary(network=self.ref, name=self.name, accessible=True)

    @prop("host")
    def _host(self) -> list[Any]:
        return [self.registry.one("HostSystem").ref]

    @prop("vm", cached=False)
    def _machines(self) -> list[Any]:
        return [machine.ref for machine in self.users()]

    def users(self) -> list[Any]:
        """Return the machines that have an adapter on it."""
        return [
            machine
            for machine in self.registry.all("VirtualMachine").values()
            if self.name in machine.network_names()
        ]


class NetworkSystem(SimObject):
    """The host's networking and its configuration."""

    kind = "HostNetworkSystem"

    def __init__(self, registry: Registry, folder: Folder) -> None:
        super().__init__(registry, "networkSystem")
        self.folder = folder
        self.pnics = [
            Pnic("vmnic0", "0000:02:00.0", "00:50:56:aa:00:00"),
            Pnic("vmnic1", "0000:02:01.0", "00:50:56:aa:00:01"),
            Pnic("vmnic10", "0000:03:00.0", "00:50:56:aa:00:0a", None),
        ]
        self.switches = {"vSwitch0": Switch("vSwitch0", ["vmnic0"])}
        self.groups: dict[str, PortGroup] = {}
        self.networks: dict[str, Network] = {}
        self.add_group(PortGroup("VM Network", "vSwitch0"))
        # The names of an ESX 4.1 that was recorded (`resources/esx-4.1.0-1` of fusioninventory-agent).
        classic = registry.release.classic
        for name in ("VMkernel", "Service Console") if classic else ("Management Network",):
            self.add_group(PortGroup(name, "vSwitch0"), network=False)

    # Made when they are first asked for: their types would load an area of the API at the start.

    @cached_property
    def vnics(self) -> dict[str, Vnic]:
        """Adapters of the VMkernel by device."""
        group = "VMkernel" if self.registry.release.classic else "Management Network"
        return {"vmk0": Vnic("vmk0", group, "00:50:56:aa:00:00", _loopback())}

    @cached_property
    def console(self) -> Vnic | None:
        """The adapter of the service console, which only a classic ESX has."""
        if not self.registry.release.classic:
            return None
        return Vnic("vswif0", "Service Console", "00:50:56:4e:eb:6f", _loopback())

    @cached_property
    def dns(self) -> Any:
        """`HostDnsConfig`."""
        return vim25.HostDnsConfig(
            dhcp=False,
            hostName="localhost",
            domainName="localdomain",
            address=["127.0.0.1"],
            searchDomain=["localdomain"],
        )

    @cached_property
    def route(self) -> Any:
        """`HostIpRouteConfig`."""
        return vim25.HostIpRouteConfig(defaultGateway="127.0.0.1")

    def add_group(self, group: PortGroup, *, network: bool = True) -> None:
        """Add a port group and, unless the VMkernel alone uses it, the network of its name."""
        self.groups[group.name] = group
        if network and group.name not in self.networks:
            self.networks[group.name] = Network(self.registry, group.name, self.folder)
        self.notify()

    def notify(self) -> None:
        """Notify the objects that show networking of a change."""
        self.changed()
        for obj in (*self.registry.all("HostSystem").values(), self.folder.parent):
            if obj is not None:
                obj.changed("network", "config")

    @prop("networkInfo")
    def info(self) -> Any:
        """Return all of it as data."""
        return vim25.HostNetworkInfo(
            vswitch=[self._switch(switch) for switch in self.switches.values()],
            portgroup=[self._group(group) for group in self.groups.values()],
            pnic=[self._pnic(pnic) for pnic in self.pnics],
            vnic=self.vnic_infos(),
            consoleVnic=[] if self.console is None else [self.console.info(16777219, console=True)],
            dnsConfig=self.dns,
            ipRouteConfig=self.route,
            consoleIpRouteConfig=None if self.console is None else vim25.HostIpRouteConfig(),
            routeTableInfo=vim25.HostIpRouteTableInfo(ipRoute=self._routes_list()),
            ipV6Enabled=False,
            atBootIpV6Enabled=False,
            netStackInstance=networking.stacks(self.dns, self.route, self._routes_list()),
        )

    def vnic_infos(self) -> list[Any]:
        """Return the adapters of the VMkernel as data."""
        return [vnic.info(_FIRST_PORT + n) for n, vnic in enumerate(self.vnics.values())]

    def _routes_list(self) -> list[Any]:
        return [
            vim25.HostIpRouteEntry(
                network=network, prefixLength=length, gateway=gateway, deviceName="vmk0"
            )
            for network, length, gateway in (
                ("0.0.0.0", 0, self.route.defaultGateway or "127.0.0.1"),
                ("127.0.0.0", 8, "0.0.0.0"),
            )
        ]

    def _pnic(self, pnic: Pnic) -> Any:
        pci = pci_id(self.registry.release, pnic.pci.removeprefix("0000:"))
        return networking.physical_nic(
            self.registry.release, pnic.device, pnic.key, pci, pnic.mac, pnic.speed
        )

    @prop("capabilities")
    def _capabilities(self) -> Any:
        return networking.net_capabilities(self.registry.release)

    @prop("offloadCapabilities")
    def _offload(self) -> Any:
        return networking.offload()

    @prop("consoleIpRouteConfig")
    def _console_routes(self) -> Any:
        return self.info().consoleIpRouteConfig

    @prop("networkConfig")
    def _config(self) -> Any:
        """Return it as a specification (HostNetworkConfig), for a client to change and send back."""
        info = self.info()
        return vim25.HostNetworkConfig(
            vswitch=[vim25.HostVirtualSwitchConfig(name=s.name, spec=s.spec) for s in info.vswitch],
            portgroup=[vim25.HostPortGroupConfig(spec=group.spec) for group in info.portgroup],
            pnic=[vim25.PhysicalNicConfig(device=p.device, spec=p.spec) for p in info.pnic],
            vnic=[
                vim25.HostVirtualNicConfig(device=v.device, portgroup=v.portgroup, spec=v.spec)
                for v in info.vnic
            ],
            consoleVnic=[
                vim25.HostVirtualNicConfig(device=v.device, portgroup=v.portgroup, spec=v.spec)
                for v in info.consoleVnic
            ],
            dnsConfig=info.dnsConfig,
            ipRouteConfig=info.ipRouteConfig,
            consoleIpRouteConfig=info.consoleIpRouteConfig,
            routeTableConfig=vim25.HostIpRouteTableConfig(
                ipRoute=[
                    vim25.HostIpRouteOp(changeOperation="ignore", route=route)
                    for route in info.routeTableInfo.ipRoute
                ]
            ),
            ipV6Enabled=False,
            netStackSpec=[
                vim25.HostNetworkConfigNetStackSpec(netStackInstance=stack)
                for stack in info.netStackInstance
            ],
        )

    @prop("dnsConfig")
    def _dns(self) -> Any:
        return self.info().dnsConfig

    @prop("ipRouteConfig")
    def _routes(self) -> Any:
        return self.info().ipRouteConfig

    def _switch(self, switch: Switch) -> Any:
        groups = [group.name for group in self.groups.values() if group.switch == switch.name]
        return vim25.HostVirtualSwitch(
            name=switch.name,
            key=_SWITCH + switch.name,
            numPorts=switch.ports,
            numPortsAvailable=switch.ports - len(switch.pnics),
            mtu=switch.mtu,
            portgroup=[_PORTGROUP + name for name in groups],
            pnic=[_PNIC + device for device in switch.pnics],
            spec=vim25.HostVirtualSwitchSpec(
                numPorts=switch.ports,
                bridge=vim25.HostVirtualSwitchBondBridge(
                    nicDevice=switch.pnics,
                    beacon=vim25.HostVirtualSwitchBeaconConfig(interval=1),
                    linkDiscoveryProtocolConfig=vim25.LinkDiscoveryProtocolConfig(
                        protocol="cdp", operation="listen"
                    ),
                )
                if switch.pnics
                else None,
                policy=switch.policy,
                mtu=switch.mtu,
            ),
        )

    def _group(self, group: PortGroup) -> Any:
        ports: list[Any] = [
            vim25.HostPortGroupPort(key=nic.port, mac=[nic.spec.mac], type="host")
            for nic in self.vnic_infos()
            if nic.portgroup == group.name
        ]
        for machine in self.registry.all("VirtualMachine").values():
            if machine.power == "poweredOn":
                ports.extend(
                    vim25.HostPortGroupPort(
                        key=f"port-{machine.moid}-{nic.key}",
                        mac=[nic.macAddress],
                        type="virtualMachine",
                    )
                    for nic in machine.nics()
                    if machine.network_of(nic) == group.name
                )
        return vim25.HostPortGroup(
            key=_PORTGROUP + group.name,
            port=ports,
            vswitch=_SWITCH + group.switch,
            computedPolicy=_merged(self.switches[group.switch].policy, group.policy),
            spec=vim25.HostPortGroupSpec(
                name=group.name,
                vlanId=group.vlan,
                vswitchName=group.switch,
                policy=group.policy or _inherited(),
            ),
        )

    def user_of(self, name: str) -> str | None:
        """Return the user of the port group `name`, a VMkernel adapter or a machine; None if it is unused."""
        for vnic in self.vnics.values():
            if vnic.group == name:
                return vnic.device
        if self.console is not None and self.console.group == name:
            return self.console.device
        network = self.networks.get(name)
        users = network.users() if network else []
        return users[0].name if users else None


def _loopback() -> Any:
    return vim25.HostIpConfig(dhcp=False, ipAddress="127.0.0.1", subnetMask="255.0.0.0")


def default_policy(pnics: list[str]) -> Any:
    """Return the policy of a new switch."""
    return vim25.HostNetworkPolicy(
        security=vim25.HostNetworkSecurityPolicy(
            allowPromiscuous=False, macChanges=True, forgedTransmits=True
        ),
        nicTeaming=vim25.HostNicTeamingPolicy(
            policy="loadbalance_srcid",
            reversePolicy=True,
            notifySwitches=True,
            rollingOrder=False,
            failureCriteria=vim25.HostNicFailureCriteria(
                checkSpeed="minimum",
                speed=10,
                checkDuplex=False,
                fullDuplex=False,
                checkErrorPercent=False,
                percentage=0,
                checkBeacon=False,
            ),
            nicOrder=vim25.HostNicOrderPolicy(activeNic=pnics, standbyNic=[]),
        ),
        offloadPolicy=vim25.HostNetOffloadCapabilities(
            csumOffload=True, tcpSegmentation=True, zeroCopyXmit=True
        ),
        shapingPolicy=vim25.HostNetworkTrafficShapingPolicy(enabled=False),
    )


def _merged(base: Any, over: Any) -> Any:
    """Return `base` with the fields of `over` that are set, part by part."""
    if over is None:
        return base
    if base is None:
        return over
    given: dict[str, Any] = {}
    for name, value in asdict(over).items():
        if value is not None and value != []:
            old = getattr(base, name)
            # An order of NICs is one value: an empty list of it empties the list.
            parts = hasattr(type(value), "_wire_") and type(value) is not vim25.HostNicOrderPolicy
            given[name] = _merged(old, value) if parts and old is not None else value
    return replace(base, **given)


def _inherited() -> Any:
    """Return the policy of a port group that sets nothing: its parts are there and empty."""
    return vim25.HostNetworkPolicy(
        security=vim25.HostNetworkSecurityPolicy(),
        nicTeaming=vim25.HostNicTeamingPolicy(failureCriteria=vim25.HostNicFailureCriteria()),
        offloadPolicy=vim25.HostNetOffloadCapabilities(),
        shapingPolicy=vim25.HostNetworkTrafficShapingPolicy(),
    )


def _config_fault(text: str) -> Any:
    return with_message(vim25.HostConfigFault(), text)


def _check_vlan(vlan: int) -> None:
    # 4095 passes all tags to the guest.
    if not 0 <= vlan <= 4095:
        raise invalid_argument("vlanId")


def _check_teaming(system: NetworkSystem, policy: Any) -> None:
    teaming = policy.nicTeaming if policy else None
    known = networking.net_capabilities(system.registry.release).nicTeamingPolicy
    if teaming is not None and teaming.policy and teaming.policy not in known:
        raise invalid_argument("spec.policy.nicTeaming.policy", teaming.policy)


@handles(NetworkSystem, "AddPortGroup")
def add_port_group(system: NetworkSystem, call: Call) -> None:
    """Add a port group."""
    system.registry.require_licence()
    spec = call.args["portgrp"]
    _check_vlan(spec.vlanId)
    _check_teaming(system, spec.policy)
    if not spec.name or len(spec.name) > 255:
        raise invalid_argument("name")
    if spec.name in system.groups:
        raise with_message(vim25.AlreadyExists(name=spec.name))
    if spec.vswitchName not in system.switches:
        raise no_such_item(spec.vswitchName)
    system.add_group(PortGroup(spec.name, spec.vswitchName, spec.vlanId, spec.policy))


@handles(NetworkSystem, "UpdatePortGroup")
def update_port_group(system: NetworkSystem, call: Call) -> None:
    """Change a port group, its name too."""
    system.registry.require_licence()
    name, spec = call.args["pgName"], call.args["portgrp"]
    group = system.groups.get(name)
    if group is None:
        raise no_such_item(name)
    _check_vlan(spec.vlanId)
    _check_teaming(system, spec.policy)
    if spec.vswitchName not in system.switches:
        raise no_such_item(spec.vswitchName)
    if spec.name != name:
        if spec.name in system.groups:
            raise with_message(vim25.AlreadyExists(name=spec.name))
        _refuse_in_use(system, name)
        del system.groups[name]
        _drop_network(system, name)
        system.add_group(PortGroup(spec.name, spec.vswitchName, spec.vlanId, spec.policy))
        return
    group.switch, group.vlan, group.policy = spec.vswitchName, spec.vlanId, spec.policy
    system.notify()


@handles(NetworkSystem, "RemovePortGroup")
def remove_port_group(system: NetworkSystem, call: Call) -> None:
    """Remove an unused port group."""
    system.registry.require_licence()
    name = call.args["pgName"]
    if name not in system.groups:
        raise no_such_item(name)
    _refuse_in_use(system, name)
    del system.groups[name]
    _drop_network(system, name)
    system.notify()


def _refuse_in_use(system: NetworkSystem, name: str) -> None:
    user = system.user_of(name)
    if user is not None:
        raise with_message(vim25.ResourceInUse(type="HostPortGroup", name=name))


def _drop_network(system: NetworkSystem, name: str) -> None:
    network = system.networks.pop(name, None)
    if network is not None:
        system.folder.drop(network)
        network.remove()


def _bridge(system: NetworkSystem, name: str, spec: Any) -> list[str]:
    bridge = spec.bridge if spec else None
    wanted = getattr(bridge, "nicDevice", []) or []
    if isinstance(wanted, str):
        wanted = [wanted]
    known = {name: pnic.device for pnic in system.pnics for name in (pnic.device, pnic.key)}
    devices = []
    for given in wanted:
        # HostVirtualSwitchBondBridge.nicDevice has keys, which libvirt sends; govc sends names.
        device = known.get(given)
        if device is None:
            raise _config_fault(f"Unable to find physical adapter {given}.")
        devices.append(device)
        for other in system.switches.values():
            if other.name != name and device in other.pnics:
                raise with_message(vim25.ResourceInUse(type="PhysicalNic", name=device))
    return devices


def _check_ports(ports: int) -> None:
    if not 1 <= ports <= _MOST_PORTS:
        raise invalid_argument("spec.numPorts", str(ports))


@handles(NetworkSystem, "AddVirtualSwitch")
def add_virtual_switch(system: NetworkSystem, call: Call) -> None:
    """Add a virtual switch."""
    system.registry.require_licence()
    name, spec = call.args["vswitchName"], call.get("spec")
    if not name or len(name) > _LONGEST:
        raise invalid_argument("vswitchName")
    if name in system.switches:
        raise with_message(vim25.AlreadyExists(name=name))
    if spec is not None:
        _check_ports(spec.numPorts)
        _check_teaming(system, spec.policy)
    pnics = _bridge(system, name, spec)
    system.switches[name] = Switch(
        name,
        pnics,
        spec.numPorts if spec else 128,
        spec.mtu if spec and spec.mtu else 1500,
        _merged(default_policy(pnics), spec.policy if spec else None),
    )
    system.notify()


@handles(NetworkSystem, "UpdateVirtualSwitch")
def update_virtual_switch(system: NetworkSystem, call: Call) -> None:
    """Change a virtual switch."""
    system.registry.require_licence()
    name, spec = call.args["vswitchName"], call.args["spec"]
    switch = system.switches.get(name)
    if switch is None:
        raise no_such_item(name)
    _check_ports(spec.numPorts)
    _check_teaming(system, spec.policy)
    switch.pnics = _bridge(system, name, spec)
    switch.ports = spec.numPorts
    switch.mtu = spec.mtu or switch.mtu
    switch.given = _merged(switch.policy, spec.policy)
    system.notify()


@handles(NetworkSystem, "RemoveVirtualSwitch")
def remove_virtual_switch(system: NetworkSystem, call: Call) -> None:
    """Remove a virtual switch with its port groups, if they are unused."""
    system.registry.require_licence()
    name = call.args["vswitchName"]
    if name not in system.switches:
        raise no_such_item(name)
    groups = [group.name for group in system.groups.values() if group.switch == name]
    for group in groups:
        if system.user_of(group) is not None:
            raise with_message(vim25.ResourceInUse(type="HostVirtualSwitch", name=name))
    for group in groups:
        del system.groups[group]
        _drop_network(system, group)
    del system.switches[name]
    system.notify()


@handles(NetworkSystem, "QueryNetworkHint")
def query_network_hint(system: NetworkSystem, call: Call) -> list[Any]:
    """Return what each adapter has heard of its network: nothing, on a network of nobody else."""
    known = [pnic.device for pnic in system.pnics]
    wanted = call.get("device") or known
    for device in wanted:
        if device not in known:
            raise no_such_item(device)
    return [vim25.PhysicalNicHintInfo(device=device) for device in wanted]


@handles(NetworkSystem, "RefreshNetworkSystem")
def refresh(system: NetworkSystem, call: Call) -> None:
    """Do nothing: nothing is stale."""


@handles(NetworkSystem, "UpdateNetworkConfig")
def update_network_config(system: NetworkSystem, call: Call) -> Any:
    """Change switches and port groups in one call, in order; a fault leaves the changes before it.

    Of the modes `modify` is simulated, of the parts these two; anything else is NotSupported.
    """
    config = call.args["config"]
    simulated = {"vswitch", "portgroup"}
    given = {name for name, value in asdict(config).items() if value is not None and value != []}
    if call.args["changeMode"] != "modify" or not given <= simulated:
        raise with_message(
            vim25.NotSupported(),
            "The simulator supports changes of switches and port groups only, with `modify`.",
        )
    for item in config.vswitch:
        step = {"add": add_virtual_switch, "remove": remove_virtual_switch}.get(
            item.changeOperation or "edit", update_virtual_switch
        )
        step(system, dataclass_replace(call, args={"vswitchName": item.name, "spec": item.spec}))
    for item in config.portgroup:
        name = item.spec.name if item.spec else ""
        step = {"add": add_port_group, "remove": remove_port_group}.get(
            item.changeOperation or "edit", update_port_group
        )
        step(system, dataclass_replace(call, args={"portgrp": item.spec, "pgName": name}))
    return vim25.HostNetworkConfigResult()
