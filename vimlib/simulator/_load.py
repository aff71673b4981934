"""An inventory that `govc object.save` saved, and what of it a simulated host takes over.

The folder has a file for each object, an `ObjectContent`. Taken over are datastores, switches, port
groups and machines with their ids, configurations, power states and guests; each disk is a thin one
of its size without content. Snapshots, events and the properties of the host are not.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from vimlib import vim25
from vimlib.errors import ProtocolError
from vimlib.model import MethodFault
from vimlib.simulator._host.network import NetworkSystem, PortGroup, Switch
from vimlib.simulator._host.resources import root_pool
from vimlib.simulator._storage import vmdk
from vimlib.simulator._storage.datastore import find_path, usage
from vimlib.simulator._storage.disks import disk_uuid
from vimlib.simulator._vm import vmx
from vimlib.simulator._vm.lifecycle import hold_files
from vimlib.simulator._vm.virtual_machine import VirtualMachine
from vimlib.soap import decode_response

if TYPE_CHECKING:
    from pathlib import Path

    from vimlib.simulator._core.registry import Registry

_ROOT: Final = re.compile(
    rb"\A\s*(?:<\?xml[^>]*>\s*)?<ObjectContent([^>]*)>(.*)</ObjectContent>\s*\Z", re.DOTALL
)
_ENVELOPE: Final = (
    b'<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"'
    b' xmlns:xsd="http://www.w3.org/2001/XMLSchema"><soapenv:Body>'
    b'<RetrievePropertiesResponse xmlns="urn:vim25"><returnval%s>%s</returnval>'
    b"</RetrievePropertiesResponse></soapenv:Body></soapenv:Envelope>"
)
_LARGEST: Final = 64 << 20
"""Bytes of a file; that of a host has a few."""
_VOLUME: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{12}")


@dataclass
class Saved:
    """Saved objects, by type: the properties of each by its id."""

    objects: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)

    def of(self, kind: str) -> dict[str, dict[str, Any]]:
        """Return the objects of a type."""
        return self.objects.get(kind, {})

    @property
    def datastores(self) -> dict[str, str | None]:
        """The id of each datastore by its name, None for one that a host does not give."""
        return {
            props["name"]: moid if _VOLUME.fullmatch(moid) else None
            for moid, props in self.of("Datastore").items()
            if "name" in props
        }


def read_saved(folder: Path) -> Saved:
    """Read a folder that `govc object.save` wrote.

    Raises:
        OSError: It cannot be read.
        ValueError: It does not have the inventory of a host.
    """
    saved = Saved()
    for file in sorted(folder.glob("*.xml")):
        if file.stat().st_size > _LARGEST:
            raise ValueError(f"{file.name} must have at most {_LARGEST} bytes")
        content = _content(file.name, file.read_bytes())
        kind, moid = content.obj.moref
        props = {prop.name: prop.val for prop in content.propSet}
        saved.objects.setdefault(kind, {})[moid] = props
    instance = saved.of("ServiceInstance").get("ServiceInstance", {})
    if "content" not in instance:
        raise ValueError(f"{folder} must be a folder that `govc object.save` wrote")
    if instance["content"].about.apiType != "HostAgent":
        raise ValueError(f"{folder} has the inventory of a vCenter, which is not simulated")
    return saved


def _content(name: str, data: bytes) -> Any:
    match = _ROOT.match(data)
    if match is None:
        raise ValueError(f"{name} must have an ObjectContent at its root")
    method: Any = vim25.PropertyCollector.RetrieveProperties
    try:
        [found] = decode_response(method, _ENVELOPE % match.groups())
    except (ProtocolError, MethodFault, ValueError) as error:
        raise ValueError(f"{name} must have an ObjectContent at its root: {error}") from None
    return found


async def take_over(registry: Registry, saved: Saved) -> None:
    """Make the port groups and machines of an inventory on a fresh host with its datastores.

    Raises:
        ValueError: A machine is on a datastore that was not saved.
    """
    for props in saved.of("HostNetworkSystem").values():
        _networks(registry, props["networkInfo"])
    machines = saved.of("VirtualMachine")
    numbers = [int(moid) for moid in machines if moid.isdecimal() and len(moid) < 12]
    registry.skip_serials(max(numbers, default=0) + 1)
    for moid, props in machines.items():
        await _machine(registry, moid, props)


def _networks(registry: Registry, info: Any) -> None:
    system = registry.one(NetworkSystem)
    known = {pnic.key: pnic.device for pnic in system.pnics}
    for switch in info.vswitch:
        pnics = [known[key] for key in switch.pnic if key in known]
        system.switches[switch.name] = Switch(
            switch.name, pnics, switch.spec.numPorts, switch.mtu, switch.spec.policy
        )
    for group in info.portgroup:
        spec = group.spec
        if spec.name not in system.groups:
            made = PortGroup(spec.name, spec.vswitchName, spec.vlanId, spec.policy)
            system.add_group(made, network=True)


async def _machine(registry: Registry, moid: str, props: dict[str, Any]) -> None:
    config = props.get("config")
    if config is None:
        return  # one that the host could not read
    try:
        store, _ = find_path(registry, config.files.vmPathName)
        committed = await registry.io(_write, registry, config)
    except MethodFault as fault:
        raise ValueError(f"the machine {config.name!r} cannot be loaded: {fault}") from None
    machine = VirtualMachine(registry, moid, config, store, root_pool(registry))
    machine.committed = committed
    store.grow(committed)
    runtime, guest = props.get("runtime"), props.get("guest")
    if guest is not None:
        machine.guest.tools_installed = guest.toolsStatus not in (None, "toolsNotInstalled")
        machine.guest.ip_address, machine.guest.host_name = guest.ipAddress, guest.hostName
    if runtime is not None and runtime.powerState != "poweredOff":
        machine.set_power(runtime.powerState)
        machine.guest.tools_running = machine.power == "poweredOn" and machine.guest.tools_installed
    if machine.power == "poweredOn":
        hold_files(machine)


def _write(registry: Registry, config: Any) -> int:
    """Write the files of a machine; return the bytes that they take."""
    store, path = find_path(registry, config.files.vmPathName)
    place = store.local(path)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(vmx.render(registry, config), encoding="utf-8")
    taken = place.stat().st_size
    for device in config.hardware.device:
        if not isinstance(device, vim25.VirtualDisk):
            continue
        name = getattr(device.backing, "fileName", None)
        if name:
            volume, inside = find_path(registry, name)
            place = volume.local(inside)
            place.parent.mkdir(parents=True, exist_ok=True)
            if not os.path.lexists(place):
                uuid = getattr(device.backing, "uuid", None) or disk_uuid(config.uuid)
                size = device.capacityInKB << 10
                vmdk.create(place, size, adapter="lsilogic", thin=True, uuid=uuid)
                taken += usage(place)
    return taken
