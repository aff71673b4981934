"""Adapters of the VMkernel: adding and removing them, and the traffic that each carries."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any

from vimlib import vim25
from vimlib.simulator._core.handlers import handles
from vimlib.simulator._core.messages import invalid_argument, no_such_item, with_message
from vimlib.simulator._core.objects import SimObject, prop
from vimlib.simulator._data import networking
from vimlib.simulator._host.network import NetworkSystem, Vnic

if TYPE_CHECKING:
    from vimlib.simulator._core.call import Call
    from vimlib.simulator._core.registry import Registry


class VirtualNicManager(SimObject):
    """Which adapters carry which traffic."""

    kind = "HostVirtualNicManager"

    def __init__(self, registry: Registry) -> None:
        self.selected: dict[str, dict[str, None]] = {"management": {"vmk0": None}}
        """Devices by kind of traffic."""
        super().__init__(registry, "ha-vnic-mgr")

    @prop("info", cached=False)
    def info(self) -> Any:
        """Return it as data."""
        vnics = self.registry.one(NetworkSystem).vnic_infos()
        return networking.nic_manager_info(self.registry.release, vnics, self.selected)

    def select(self, kind: str, device: str, *, on: bool) -> None:
        """Let an adapter carry a kind of traffic, or no longer."""
        if kind not in networking.kinds_of_traffic(self.registry.release):
            raise invalid_argument("nicType", kind)
        if device not in self.registry.one(NetworkSystem).vnics:
            raise invalid_argument("device", device)
        chosen = self.selected.setdefault(kind, {})
        if on:
            chosen[device] = None
        else:
            chosen.pop(device, None)
        self.notify()

    def notify(self) -> None:
        """Notify watchers of a change."""
        self.changed("info")
        for obj in (
            *self.registry.all("HostVMotionSystem").values(),
            self.registry.one("HostSystem"),
        ):
            obj.changed("netConfig", "config")


class VMotionSystem(SimObject):
    """The adapter of vMotion, an older way to select it."""

    kind = "HostVMotionSystem"

    def __init__(self, registry: Registry) -> None:
        super().__init__(registry, "ha-vmotion-system")

    @prop("netConfig", cached=False)
    def _config(self) -> Any:
        vnics = self.registry.one(NetworkSystem).vnic_infos()
        selected = self.registry.one(VirtualNicManager).selected
        return networking.vmotion_net_config(vnics, selected)


@handles(VirtualNicManager, "SelectVnicForNicType", "DeselectVnicForNicType")
def select_vnic(manager: VirtualNicManager, call: Call) -> None:
    """Let an adapter carry a kind of traffic, or no longer."""
    on = call.method == "SelectVnicForNicType"
    manager.select(call.args["nicType"], call.args["device"], on=on)


@handles(VirtualNicManager, "QueryNetConfig")
def query_net_config(manager: VirtualNicManager, call: Call) -> Any:
    """Return the adapters for one kind of traffic."""
    kind = call.args["nicType"]
    for found in manager.info().netConfig:
        if found.nicType == kind:
            return found
    raise invalid_argument("nicType", kind)


@handles(VMotionSystem, "SelectVnic")
def select_vmotion(system: VMotionSystem, call: Call) -> None:
    """Let one adapter carry vMotion."""
    manager = system.registry.one(VirtualNicManager)
    if call.args["device"] not in system.registry.one(NetworkSystem).vnics:
        raise invalid_argument("device", call.args["device"])
    manager.selected["vmotion"] = {call.args["device"]: None}
    manager.notify()


@handles(VMotionSystem, "DeselectVnic")
def deselect_vmotion(system: VMotionSystem, call: Call) -> None:
    """Let no adapter carry vMotion."""
    system.registry.one(VirtualNicManager).selected.pop("vmotion", None)
    system.registry.one(VirtualNicManager).notify()


def _vnic(system: NetworkSystem, device: str) -> Vnic:
    vnic = system.vnics.get(device)
    if vnic is None:
        raise no_such_item(device)
    return vnic


def _check(system: NetworkSystem, group: str, spec: Any, device: str | None) -> None:
    """Raise the fault for a port group that is missing or in use, or a wrong address."""
    if group not in system.groups:
        raise with_message(vim25.HostConfigFault(), f"The port group {group} does not exist.")
    user = system.user_of(group)
    if user is not None and user != device:
        # A port group of a standard switch has one adapter of the VMkernel at most, and no machines.
        raise with_message(vim25.HostConfigFault(), f"The port group {group} is in use by {user}.")
    ip = spec.ip
    if ip is not None and not ip.dhcp and not (ip.ipAddress and ip.subnetMask):
        raise invalid_argument("nic.ip")
    if spec.mtu is not None and not 1280 <= spec.mtu <= 9000:
        raise invalid_argument("nic.mtu", str(spec.mtu))


@handles(NetworkSystem, "AddVirtualNic")
def add_virtual_nic(system: NetworkSystem, call: Call) -> str:
    """Add an adapter of the VMkernel on a port group; return its device."""
    system.registry.require_licence()
    group, spec = call.args["portgroup"], call.args["nic"]
    _check(system, group, spec, None)
    number = next(n for n in count() if f"vmk{n}" not in system.vnics)
    device = f"vmk{number}"
    mac = spec.mac or f"00:50:56:6a:00:{number & 255:02x}"
    ip = spec.ip or vim25.HostIpConfig(dhcp=True)
    system.vnics[device] = Vnic(
        device,
        group,
        mac,
        ip,
        spec.mtu or 1500,
        True,
        spec.netStackInstanceKey or "defaultTcpipStack",
    )
    _notify(system)
    return device


@handles(NetworkSystem, "UpdateVirtualNic")
def update_virtual_nic(system: NetworkSystem, call: Call) -> None:
    """Change an adapter of the VMkernel; values not given stay."""
    system.registry.require_licence()
    vnic, spec = _vnic(system, call.args["device"]), call.args["nic"]
    _check(system, spec.portgroup or vnic.group, spec, vnic.device)
    vnic.group = spec.portgroup or vnic.group
    vnic.ip = spec.ip or vnic.ip
    vnic.mtu = spec.mtu or vnic.mtu
    vnic.mac = spec.mac or vnic.mac
    _notify(system)


@handles(NetworkSystem, "RemoveVirtualNic")
def remove_virtual_nic(system: NetworkSystem, call: Call) -> None:
    """Remove an adapter of the VMkernel, but for the one by which the host is reached."""
    system.registry.require_licence()
    vnic = _vnic(system, call.args["device"])
    if vnic.device == "vmk0":
        raise with_message(
            vim25.HostConfigFault(), "The adapter vmk0 carries the management traffic."
        )
    del system.vnics[vnic.device]
    for chosen in system.registry.one(VirtualNicManager).selected.values():
        chosen.pop(vnic.device, None)
    _notify(system)


@handles(NetworkSystem, "UpdateDnsConfig")
def update_dns(system: NetworkSystem, call: Call) -> None:
    """Set the host's name and its name servers."""
    system.registry.require_licence()
    system.dns = call.args["config"]
    _notify(system)


@handles(NetworkSystem, "UpdateIpRouteConfig")
def update_routes(system: NetworkSystem, call: Call) -> None:
    """Set the default gateway."""
    system.registry.require_licence()
    system.route = call.args["config"]
    _notify(system)


def _notify(system: NetworkSystem) -> None:
    system.notify()
    for manager in system.registry.all(VirtualNicManager).values():
        manager.notify()
