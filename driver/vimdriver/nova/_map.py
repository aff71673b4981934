"""Nova's objects to our specifications, and our errors to nova's. Pure: no I/O, no state.

Nova keeps the first 255 characters of a fault, and puts the instance's UUID before it, so a message
begins with rule and value.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, cast

from vimdriver._guestinfo import GuestConfig, Route
from vimdriver._instances.disk_spec import DiskSpec
from vimdriver._instances.plan import guest_nic
from vimdriver._instances.types import InstanceSpec, NICSpec
from vimdriver.errors import (
    DatastoreUnusableError,
    HostIdentityError,
    ImageNotFoundError,
    InstanceStateError,
    NoSpaceError,
    SourceRefusedError,
)
from vimdriver.nova._flavor import hardware_of
from vimlib import vim25
from vimlib._text import printable
from vimlib.errors import NotFoundError, TransportError, UsageError, VimlibError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from vimdriver._instances.config_drive import ConfigDrive
    from vimdriver._instances.types import Instance, NICModel

NO_VOLUMES: Final = "volumes are not supported by the ESX driver yet"
# Nova's word for a NIC, an image's `hw_vif_model`, to ours.
_MODELS: Final = {
    "e1000": "e1000",
    "VirtualE1000": "e1000",
    "e1000e": "e1000e",
    "VirtualE1000e": "e1000e",
    "vmxnet3": "vmxnet3",
    "VirtualVmxnet3": "vmxnet3",
    "pcnet": "pcnet32",
    "VirtualPCNet32": "pcnet32",
}
# `hw_disk_bus` is `ide` or `scsi`, and `hw_scsi_model` then names the controller.
_ADAPTERS: Final = {
    "lsiLogic": "lsiLogic",
    "lsilogic": "lsiLogic",
    "lsiLogicsas": "lsiLogicsas",
    "lsisas1068": "lsiLogicsas",
    "busLogic": "busLogic",
    "buslogic": "busLogic",
    "paraVirtual": "paraVirtual",
    "vmpvscsi": "paraVirtual",
}
# The API's word for a power state to nova's name.
_STATES: Final = {
    vim25.VirtualMachinePowerState.poweredOn: "running",
    vim25.VirtualMachinePowerState.poweredOff: "shutdown",
    vim25.VirtualMachinePowerState.suspended: "suspended",
}
_EXPIRED: Final = (
    "The token of the request has expired or is not valid; "
    "[service_user] send_service_user_token = true lets long requests go on."
)
# Another host may succeed where this one fails by one of these.
_OF_THIS_HOST: Final = (TransportError, NoSpaceError, DatastoreUnusableError)


@dataclass(frozen=True, slots=True)
class NetworkRules:
    """The network options of the configuration."""

    port_groups: Mapping[str, str] = field(default_factory=dict)
    uplinks: Mapping[str, str] = field(default_factory=dict)
    interface: str = "vmnic0"
    allow_unfiltered: bool = False


def state_name(word: str) -> str:
    """Return nova's name for the API's word for a power state."""
    return _STATES.get(word, "pending")


def state_of(instance: Instance) -> str:
    """Return nova's name for a power state; `pending` for a machine that the host cannot reach."""
    if instance.connection_state in ("orphaned", "inaccessible", "invalid"):
        return "pending"
    return state_name(instance.power_state)


def nic_model(properties: Any) -> NICModel:
    """Return the NIC model of an image's properties: `hw_vif_model`, else e1000.

    Raises:
        UsageError: We have none of that name.
    """
    wanted = properties.get("hw_vif_model") or "e1000"
    if wanted not in _MODELS:
        raise UsageError(
            f"hw_vif_model must be one of {', '.join(sorted(set(_MODELS.values())))}, got {wanted!r}",
            field="hw_vif_model",
        )
    return cast("NICModel", _MODELS[wanted])


def disk_adapter(properties: Any) -> str | None:
    """Return the controller of an image's properties; None leaves it to the image.

    Raises:
        UsageError: `hw_disk_bus` or `hw_scsi_model` is not one that the host has.
    """
    bus, model = properties.get("hw_disk_bus"), properties.get("hw_scsi_model")
    if bus == "ide":
        return "ide"
    if bus not in (None, "scsi"):
        raise UsageError(f"hw_disk_bus must be ide or scsi, got {bus!r}", field="hw_disk_bus")
    if model is None:
        return None
    if model not in _ADAPTERS:
        raise UsageError(
            f"hw_scsi_model must be one of {', '.join(sorted(set(_ADAPTERS.values())))}, "
            f"got {model!r}",
            field="hw_scsi_model",
        )
    return _ADAPTERS[model]


def nics_of(
    network_info: Iterable[Mapping[str, Any]] | None, rules: NetworkRules, model: NICModel
) -> tuple[NICSpec, ...]:
    """Return the NICs of a machine.

    Raises:
        UsageError: A port is not bound, or in a way that a standard switch does not have.
    """
    return tuple(nic_of(vif, rules, model) for vif in network_info or ())


def nic_of(vif: Mapping[str, Any], rules: NetworkRules, model: NICModel) -> NICSpec:
    """Return one NIC; see `nics_of`. Subnets without an address of the port do not count."""
    network = vif["network"]
    port_group, vlan, interface = _port_group(vif, rules)
    addresses: list[str] = []
    gateways: dict[int, str] = {}
    dns: list[str] = []
    routes: list[Route] = []
    for subnet in network.get("subnets") or ():
        own = [ip["address"] for ip in subnet.get("ips") or () if ip.get("type") == "fixed"]
        if not own:
            continue
        prefix = ipaddress.ip_network(subnet["cidr"], strict=False).prefixlen
        addresses += [f"{address}/{prefix}" for address in own]
        version = ipaddress.ip_address(own[0]).version
        gateway = (subnet.get("gateway") or {}).get("address")
        if gateway:
            gateways.setdefault(version, gateway)
        dns += [one["address"] for one in subnet.get("dns") or () if one.get("address")]
        routes += [
            Route(route["cidr"], route["gateway"]["address"])
            for route in subnet.get("routes") or ()
            if (route.get("gateway") or {}).get("address")
        ]
    return NICSpec(
        network=port_group,
        vlan=vlan,
        interface=interface,
        model=model,
        mac=str(vif["address"]).lower(),
        addresses=tuple(dict.fromkeys(addresses)),
        gateway=gateways.get(4),
        gateway6=gateways.get(6),
        dns=tuple(dict.fromkeys(dns)),
        routes=tuple(dict.fromkeys(routes)),
    )


def _port_group(vif: Mapping[str, Any], rules: NetworkRules) -> tuple[str, int | None, str]:
    """Return port group, VLAN id (None: the port group must exist) and physical NIC of a port."""
    kind, details = vif.get("type"), vif.get("details") or {}
    network, port = vif["network"], vif.get("id")
    if details.get("port_filter") and not rules.allow_unfiltered:
        raise UsageError(
            f"port {port} must not need a packet filter: a standard virtual switch has none",
            hint="Create it without security groups, or set [esx] allow_unfiltered = true.",
        )
    if kind == "other" and details.get("port_group"):
        physical = str(details.get("physical_network") or "")
        vlan = details.get("vlan")
        name = str(details["port_group"])
        if not vlan:
            name = rules.port_groups.get(physical, name)
        return name, int(vlan) if vlan else None, rules.uplinks.get(physical, rules.interface)
    if kind in ("ovs", "bridge") and network.get("bridge"):
        return str(network["bridge"]), None, rules.interface
    if kind == "dvs":
        raise UsageError(
            f"port {port} must be bound to a port group of a standard switch, got vif_type 'dvs'",
            hint="Only a vCenter has distributed switches. Use the mechanism driver esx of vimdriver.",
        )
    raise UsageError(
        f"port {port} must be bound to a port group, got vif_type {printable(str(kind), 40)!r}",
        hint="Enable the mechanism driver esx, and check physical_network and VLAN.",
    )


def refuse_volumes(block_device_info: Mapping[str, Any] | None) -> None:
    """Raise `NotImplementedError` where a machine has volumes."""
    if (block_device_info or {}).get("block_device_mapping"):
        raise NotImplementedError(NO_VOLUMES)


def further_disks(
    instance: Any, block_device_info: Mapping[str, Any] | None
) -> tuple[DiskSpec, ...]:
    """Return the ephemeral disks and the swap disk, which is rounded up to whole GiB."""
    info, flavor = block_device_info or {}, instance.flavor
    sizes = [one["size"] for one in info.get("ephemerals") or ()]
    if not sizes and flavor.ephemeral_gb:
        sizes = [flavor.ephemeral_gb]
    swap = (info.get("swap") or {}).get("swap_size") or flavor.swap
    return tuple(DiskSpec(size_gb=size) for size in (*sizes, -(-swap // 1024)) if size)


def spec_of(
    instance: Any,
    properties: Any,
    *,
    image: str,
    datastore: str,
    nics: tuple[NICSpec, ...],
    disks: tuple[DiskSpec, ...] = (),
    config_drive: ConfigDrive | None = None,
    power_on: bool = True,
    cores: int = 1,
) -> InstanceSpec:
    """Return the machine for an instance and its flavor; its serial port writes into a log.

    Raises:
        UsageError: The flavor or a property of the image has a value that no host accepts.
    """
    flavor = instance.flavor
    return InstanceSpec(
        name=instance.name,
        uuid=instance.uuid,
        image=image,
        datastore=datastore,
        nics=nics,
        cpus=flavor.vcpus,
        memory_mb=flavor.memory_mb,
        # 0 is nova's word for "as large as the image".
        disk_gb=flavor.root_gb or None,
        adapter=disk_adapter(properties),
        hostname=instance.hostname or None,
        hardware=hardware_of(flavor, properties, cores),
        disks=disks,
        config_drive=config_drive,
        serial_log=True,
        power_on=power_on,
    )


def snapshot_properties(instance: Any) -> dict[str, str]:
    """Return what nova's own driver for VMware adds to the image of a snapshot, and its hypervisor."""
    return {
        "vmware_image_version": "1",
        "owner_id": str(instance.project_id),
        "img_hv_type": "vmware",
    }


def guest_config_of(instance: Any, nics: tuple[NICSpec, ...]) -> GuestConfig | None:
    """Return the guest's network configuration; None if no NIC has any."""
    cards = [guest_nic(card) for card in nics if card.for_the_guest]
    return GuestConfig(hostname=instance.hostname or None, nics=cards) if cards else None


def reason(error: VimlibError) -> str:
    """Return an error's rule and value, then its advice, on one line."""
    return printable(str(error).replace("\n", " "), 1000)


class Meaning(NamedTuple):
    """The meaning of an error of ours to nova."""

    kind: Literal["missing", "image", "state", "identity", "host", "other"]
    """`missing`: the machine does not exist; `image`: the image does not; `state`: the machine's
    power state is in the way; `identity`: the host has no UUID of its own; `host`: another
    host may do better; `other`: none would."""
    reason: str


def meaning(error: VimlibError) -> Meaning:
    """Return the meaning of an error."""
    text = reason(error)
    if isinstance(error, vim25.ManagedObjectNotFound):
        return Meaning("missing", text)
    if isinstance(error, NotFoundError) and error.kind == "VirtualMachine":
        return Meaning("missing", text)
    if isinstance(error, ImageNotFoundError):
        return Meaning("image", text)
    if isinstance(error, SourceRefusedError) and error.status == 401:
        return Meaning("other", f"{text} {_EXPIRED}")
    if isinstance(error, InstanceStateError):
        return Meaning("state", text)
    if isinstance(error, HostIdentityError):
        return Meaning("identity", text)
    if isinstance(error, _OF_THIS_HOST) or error.retryable:
        return Meaning("host", text)
    return Meaning("other", text)
