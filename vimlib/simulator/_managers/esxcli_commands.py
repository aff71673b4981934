"""The commands of esxcli that a simulated host has: functions from the host's objects to rows."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from dataclasses import replace as dataclass_replace
from typing import TYPE_CHECKING, Any, Final

from msgspec.structs import replace

from vimlib.simulator._host.date_time import DateTimeSystem
from vimlib.simulator._host.host_system import HostSystem
from vimlib.simulator._host.network import NetworkSystem
from vimlib.simulator._host.services import FirewallSystem
from vimlib.simulator._storage.datastore import Datastore
from vimlib.simulator._storage.storage_system import StorageSystem
from vimlib.simulator._vm.power import power_off
from vimlib.simulator._vm.virtual_machine import VirtualMachine

if TYPE_CHECKING:
    from vimlib.simulator._core.registry import Registry
    from vimlib.simulator._core.versions import Release

Arguments = dict[str, list[str]]
_INTEGER: Final = re.compile("-?[0-9]{1,18}")


class CliError(Exception):
    """A command failed; its text is the command's output."""


@dataclass(frozen=True)
class Parameter:
    """A parameter of a command."""

    name: str
    short: str
    flag: bool = False
    needed: bool = False

    @property
    def key(self) -> str:
        """The name by which calls give it."""
        return self.name.replace("-", "")


@dataclass(frozen=True)
class Command:
    """A command."""

    name: str
    """As `network.ip.interface.list`."""
    run: Callable[[Registry, Arguments], Any]
    """Returns rows, one row, a text or a truth value. Raises `CliError`."""
    columns: tuple[str, ...]
    """Fields of a table, in the order in which clients show them; empty for lists of fields."""
    parameters: tuple[Parameter, ...]
    help: str
    returns: str
    """`string`, `boolean`, `{FIELD TYPE}` of a row with fields or `[..]` of rows: a field is `NAME` or `NAME:TYPE`."""
    classic: str = ""
    """Its name on 4.1, "" if that has not got it."""

    @property
    def space(self) -> str:
        """Its name space."""
        return self.name.rpartition(".")[0]

    @property
    def type(self) -> str:
        """The type of its rows in XML."""
        return "VimEsxCLI" + self.name.replace(".", "")

    @property
    def fields(self) -> dict[str, str]:
        """The fields of its rows, with the types of an XML schema; `string[]` is a list."""
        if self.returns[0] not in "[{":
            return {}
        parts = (field.partition(":") for field in self.returns[1:-1].split())
        return {name: kind or "string" for name, _, kind in parts}

    @property
    def formatter(self) -> str:
        """The form in which a client is to show its result."""
        return "table" if self.columns else "simple"

    def check(self, arguments: Arguments) -> None:
        """Raise `CliError` for an argument that is unknown or missing."""
        known = {parameter.key: parameter for parameter in self.parameters}
        for name in arguments:
            if name not in known:
                raise CliError(f"Invalid option --{name}")
        for name, parameter in known.items():
            if parameter.needed and name not in arguments:
                raise CliError(f"Missing required parameter -{parameter.short}|--{parameter.name}")


COMMANDS: dict[str, Command] = {}
"""By name, as from 5.0 on."""


def commands_of(release: Release) -> dict[str, Command]:
    """Return the commands of a release by name.

    4.1 had other name spaces (`esxcli vms vm list`: VMware KB 1014165), and 4.0 answered no calls for
    commands (rbvmomi, `HostSystem.rb`).
    """
    if release.has("5.0"):
        return COMMANDS
    known = [command for command in COMMANDS.values() if command.classic and release.has("4.1")]
    return {command.classic: dataclass_replace(command, name=command.classic) for command in known}


def _command(
    name: str, *parameters: Parameter, returns: str, columns: str = "", classic: str = ""
) -> Callable[[Callable[[Registry, Arguments], Any]], Callable[[Registry, Arguments], Any]]:
    def enter(run: Callable[[Registry, Arguments], Any]) -> Callable[[Registry, Arguments], Any]:
        text = (run.__doc__ or "").strip()
        COMMANDS[name] = Command(
            name, run, tuple(columns.split()), parameters, text, returns, classic
        )
        return run

    return enter


def _first(arguments: Arguments, name: str) -> str | None:
    found = arguments.get(name)
    return found[0] if found else None


def _truth(arguments: Arguments, name: str) -> bool | None:
    """Return a truth value, None for one that is not given. Raises `CliError` for any other text."""
    text = _first(arguments, name)
    if text not in (None, "true", "1", "false", "0"):
        raise CliError(f"Invalid value of --{name}: {text}")
    return None if text is None else text in ("true", "1")


@_command("system.version.get", returns="{Build Product Update Version}")
def _version(registry: Registry, arguments: Arguments) -> Any:
    """Show the version of the host."""
    release = registry.release
    return {
        "Build": f"Releasebuild-{release.build}",
        "Product": release.product,
        "Update": "0",
        "Version": release.version,
    }


@_command("system.hostname.get", returns="{DomainName FullyQualifiedDomainName HostName}")
def _hostname(registry: Registry, arguments: Arguments) -> Any:
    """Show the host's name."""
    dns = registry.one(NetworkSystem).dns
    return {
        "DomainName": dns.domainName,
        "FullyQualifiedDomainName": f"{dns.hostName}.{dns.domainName}".rstrip("."),
        "HostName": dns.hostName,
    }


@_command("system.uuid.get", returns="string")
def _uuid(registry: Registry, arguments: Arguments) -> Any:
    """Show the host's UUID."""
    return registry.one(HostSystem).uuid


@_command("system.time.get", returns="string")
def _time(registry: Registry, arguments: Arguments) -> Any:
    """Show the host's time."""
    return f"{registry.one(DateTimeSystem).now():%Y-%m-%dT%H:%M:%SZ}"


def _option_name(path: str) -> str:
    return path.strip("/").replace("/", ".")


@_command(
    "system.settings.advanced.list",
    Parameter("option", "o"),
    Parameter("tree", "t"),
    returns="[DefaultIntValue:long DefaultStringValue Description IntValue:long MaxValue:long MinValue:long Path StringValue Type ValidCharacters]",
)
def _options(registry: Registry, arguments: Arguments) -> Any:
    """List advanced options, one or those below a path."""
    manager = registry.all("OptionManager")["ha-adv-options"]
    option, tree = _first(arguments, "option"), _first(arguments, "tree")
    rows = []
    for key, known in sorted(manager.known.items()):
        if option is not None and key != _option_name(option):
            continue
        if tree is not None and not key.startswith(_option_name(tree) + "."):
            continue
        number = known.kind in ("long", "int", "bool")
        rows.append(
            {
                "DefaultIntValue": int(known.default) if number else 0,
                "DefaultStringValue": "" if number else known.default,
                "Description": key.rpartition(".")[2],
                "IntValue": int(manager.options[key]) if number else 0,
                "MaxValue": known.most,
                "MinValue": known.least,
                "Path": "/" + key.replace(".", "/"),
                "StringValue": "" if number else manager.options[key],
                "Type": "integer" if number else "string",
                "ValidCharacters": "",
            }
        )
    if option is not None and not rows:
        raise CliError(f"Unable to find option {option.rpartition('/')[2]}")
    return rows


@_command(
    "system.settings.advanced.set",
    Parameter("default", "d", flag=True),
    Parameter("int-value", "i"),
    Parameter("option", "o", needed=True),
    Parameter("string-value", "s"),
    returns="boolean",
)
def _set_option(registry: Registry, arguments: Arguments) -> Any:
    """Set an advanced option."""
    manager = registry.all("OptionManager")["ha-adv-options"]
    path = _first(arguments, "option") or ""
    known = manager.known.get(_option_name(path))
    if known is None:
        raise CliError(f"Unable to find option {path.rpartition('/')[2]}")
    number, text = _first(arguments, "intvalue"), _first(arguments, "stringvalue")
    if _truth(arguments, "default"):
        value = known.default
    elif known.kind == "string":
        if text is None:
            raise CliError("Missing required parameter when setting a string option")
        value = text
    else:
        if number is None or not _INTEGER.fullmatch(number):
            raise CliError("Missing required parameter when setting an integer option")
        value = bool(int(number)) if known.kind == "bool" else int(number)
        if not known.allows(value):
            raise CliError(f"Value {value} is out of range: {known.least} - {known.most}")
    manager.set({known.key: known.typed(value)})
    return True


@_command(
    "hardware.cpu.global.get",
    returns="{CPUCores:int CPUPackages:int CPUThreads:int HVReplayCapable:boolean HVSupport:int HyperthreadingActive:boolean HyperthreadingEnabled:boolean HyperthreadingSupported:boolean}",
)
def _cpu(registry: Registry, arguments: Arguments) -> Any:
    """Show the number of processors."""
    shape = registry.one(HostSystem).shape
    several = shape.threads > shape.cores
    return {
        "CPUCores": shape.cores,
        "CPUPackages": shape.packages,
        "CPUThreads": shape.threads,
        "HVReplayCapable": False,
        "HVSupport": 3,
        "HyperthreadingActive": several,
        "HyperthreadingEnabled": True,
        "HyperthreadingSupported": several,
    }


@_command(
    "hardware.memory.get", returns="{NUMANodeCount:int PhysicalMemory:long ReliableMemory:long}"
)
def _memory(registry: Registry, arguments: Arguments) -> Any:
    """Show the memory of the host."""
    shape = registry.one(HostSystem).shape
    return {
        "NUMANodeCount": shape.packages,
        "PhysicalMemory": shape.memory,
        "ReliableMemory": 0,
    }


@_command(
    "hardware.platform.get",
    returns="{EnclosureSerialNumber IPMISupported:boolean ProductName SerialNumber UUID VendorName}",
)
def _platform(registry: Registry, arguments: Arguments) -> Any:
    """Show the machine."""
    host = registry.one(HostSystem)
    return {
        "EnclosureSerialNumber": "None",
        "IPMISupported": False,
        "ProductName": host.shape.model,
        "SerialNumber": f"SIM-{host.uuid[:8]}",
        "UUID": " ".join(f"0x{host.uuid.replace('-', '')[at : at + 2]}" for at in range(0, 32, 2)),
        "VendorName": host.shape.vendor,
    }


@_command(
    "hardware.pci.list", returns="[Address DeviceClass DeviceID DeviceName VendorID VendorName]"
)
def _pci(registry: Registry, arguments: Arguments) -> Any:
    """List the PCI devices."""
    return [
        {
            "Address": device.id,
            "DeviceClass": f"0x{device.classId & 0xFFFF:04x}",
            "DeviceID": f"0x{device.deviceId & 0xFFFF:04x}",
            "DeviceName": device.deviceName,
            "VendorID": f"0x{device.vendorId & 0xFFFF:04x}",
            "VendorName": device.vendorName,
        }
        for device in registry.one(HostSystem).read("hardware").pciDevice
    ]


@_command(
    "network.nic.list",
    columns="Name PCIDevice Driver AdminStatus LinkStatus Speed Duplex MACAddress MTU Description",
    returns="[AdminStatus Description Driver Duplex LinkStatus MACAddress MTU:int Name PCIDevice Speed:int]",
)
def _nics(registry: Registry, arguments: Arguments) -> Any:
    """List the physical adapters."""
    return [
        {
            "AdminStatus": "Up",
            "Description": "vmxnet3 Virtual Ethernet Controller",
            "Driver": "nvmxnet3",
            "Duplex": "Full" if pnic.speed else "Half",
            "LinkStatus": "Up" if pnic.speed else "Down",
            "MACAddress": pnic.mac,
            "MTU": 1500,
            "Name": pnic.device,
            "PCIDevice": pnic.pci,
            "Speed": pnic.speed or 0,
        }
        for pnic in registry.one(NetworkSystem).pnics
    ]


@_command(
    "network.ip.interface.list",
    returns="[Enabled:boolean MACAddress MTU:int Name NetstackInstance Portgroup Portset TSOMSS:int]",
)
def _interfaces(registry: Registry, arguments: Arguments) -> Any:
    """List the adapters of the VMkernel."""
    system = registry.one(NetworkSystem)
    return [
        {
            "Enabled": True,
            "MACAddress": vnic.mac,
            "MTU": vnic.mtu,
            "Name": vnic.device,
            "NetstackInstance": vnic.stack,
            "Portgroup": vnic.group,
            "Portset": system.groups[vnic.group].switch if vnic.group in system.groups else "",
            "TSOMSS": 65535,
        }
        for vnic in system.vnics.values()
    ]


@_command(
    "network.ip.interface.ipv4.get",
    Parameter("interface-name", "i"),
    columns="Name IPv4Address IPv4Netmask IPv4Broadcast AddressType DHCPDNS",
    returns="[AddressType DHCPDNS:boolean IPv4Address IPv4Broadcast IPv4Netmask Name]",
)
def _ipv4(registry: Registry, arguments: Arguments) -> Any:
    """Show the addresses of the adapters of the VMkernel."""
    wanted = _first(arguments, "interfacename")
    vnics = registry.one(NetworkSystem).vnics
    if wanted is not None and wanted not in vnics:
        raise CliError(f"Invalid interface name: {wanted}")
    return [
        {
            "AddressType": "DHCP" if vnic.ip.dhcp else "STATIC",
            "DHCPDNS": False,
            "IPv4Address": vnic.ip.ipAddress or "0.0.0.0",
            "IPv4Broadcast": vnic.ip.ipAddress or "0.0.0.0",
            "IPv4Netmask": vnic.ip.subnetMask or "0.0.0.0",
            "Name": vnic.device,
        }
        for vnic in vnics.values()
        if wanted in (None, vnic.device)
    ]


@_command("network.ip.dns.server.list", returns="{DNSServers:string[]}")
def _dns(registry: Registry, arguments: Arguments) -> Any:
    """List the name servers."""
    return {"DNSServers": list(registry.one(NetworkSystem).dns.address)}


@_command(
    "network.vswitch.standard.list",
    returns="[BeaconEnabled:boolean CDPStatus ConfiguredPorts:int MTU:int Name NumPorts:int Portgroups:string[] Uplinks:string[] UsedPorts:int]",
)
def _switches(registry: Registry, arguments: Arguments) -> Any:
    """List the virtual switches."""
    return [
        {
            "BeaconEnabled": False,
            "CDPStatus": "listen",
            "ConfiguredPorts": switch.spec.numPorts,
            "MTU": switch.mtu or 1500,
            "Name": switch.name,
            "NumPorts": switch.numPorts,
            "Portgroups": [name.rpartition("PortGroup-")[2] for name in switch.portgroup],
            "Uplinks": [name.rpartition("-")[2] for name in switch.pnic],
            "UsedPorts": switch.numPorts - switch.numPortsAvailable,
        }
        for switch in registry.one(NetworkSystem).info().vswitch
    ]


@_command(
    "network.vswitch.standard.portgroup.list",
    columns="Name VirtualSwitch ActiveClients VLANID",
    returns="[ActiveClients:int Name VLANID:int VirtualSwitch]",
)
def _groups(registry: Registry, arguments: Arguments) -> Any:
    """List the port groups."""
    return [
        {
            "ActiveClients": len(group.port),
            "Name": group.spec.name,
            "VLANID": group.spec.vlanId,
            "VirtualSwitch": group.spec.vswitchName,
        }
        for group in registry.one(NetworkSystem).info().portgroup
    ]


@_command("network.firewall.get", returns="{DefaultAction Enabled:boolean Loaded:boolean}")
def _firewall(registry: Registry, arguments: Arguments) -> Any:
    """Show the state of the firewall."""
    blocked = registry.one(FirewallSystem).read("firewallInfo").defaultPolicy.incomingBlocked
    return {"DefaultAction": "DROP" if blocked else "PASS", "Enabled": True, "Loaded": True}


@_command(
    "network.firewall.ruleset.list",
    Parameter("ruleset-id", "r"),
    columns="Name Enabled",
    returns="[Enabled:boolean Name]",
)
def _rulesets(registry: Registry, arguments: Arguments) -> Any:
    """List the rulesets."""
    wanted = _first(arguments, "rulesetid")
    return [
        {"Enabled": ruleset.enabled, "Name": ruleset.key}
        for ruleset in registry.one(FirewallSystem).read("firewallInfo").ruleset
        if wanted in (None, ruleset.key)
    ]


@_command(
    "network.firewall.ruleset.set",
    Parameter("allowed-all", "a"),
    Parameter("enabled", "e"),
    Parameter("ruleset-id", "r", needed=True),
    returns="boolean",
)
def _set_ruleset(registry: Registry, arguments: Arguments) -> Any:
    """Enable or disable a ruleset, and set whether any address may use its ports."""
    system = registry.one(FirewallSystem)
    name = _first(arguments, "rulesetid")
    enabled, everyone = _truth(arguments, "enabled"), _truth(arguments, "allowedall")
    found = next((r for r in system.read("firewallInfo").ruleset if r.key == name), None)
    if found is None:
        raise CliError(f"Invalid ruleset id: {name}")
    if found.required and enabled is not None:
        raise CliError("Can not change enabled status for required ruleset.")
    if enabled is not None:
        system.enable(found.key, enabled=enabled)
    if everyone is not None:
        system.allow(found.key, replace(found.allowedHosts, allIp=everyone))
    return True


@_command(
    "storage.core.adapter.list",
    columns="HBAName Driver LinkState UID Description",
    returns="[Description Driver HBAName LinkState UID]",
)
def _adapters(registry: Registry, arguments: Arguments) -> Any:
    """List the storage adapters."""
    return [
        {
            "Description": f"({adapter.pci}) {adapter.model}",
            "Driver": adapter.driver,
            "HBAName": adapter.device,
            "LinkState": "link-n/a",
            "UID": f"pscsi.{adapter.device}",
        }
        for adapter in registry.one(StorageSystem).read("storageDeviceInfo").hostBusAdapter
    ]


@_command(
    "storage.core.device.list",
    Parameter("device", "d"),
    returns="[Device DeviceType DevfsPath DisplayName IsLocal:boolean IsOffline:boolean IsSSD:boolean Model Revision Size:long Status Vendor]",
)
def _devices(registry: Registry, arguments: Arguments) -> Any:
    """List the storage devices."""
    wanted = _first(arguments, "device")
    rows = [
        {
            "Device": lun.canonicalName,
            "DeviceType": "Direct-Access" if lun.lunType == "disk" else "CD-ROM",
            "DevfsPath": lun.deviceName,
            "DisplayName": lun.displayName,
            "IsLocal": True,
            "IsOffline": False,
            "IsSSD": bool(getattr(lun, "ssd", False)),
            "Model": lun.model,
            "Revision": lun.revision,
            "Size": (lun.capacity.block * lun.capacity.blockSize) >> 20
            if lun.lunType == "disk"
            else 0,
            "Status": "on",
            "Vendor": lun.vendor,
        }
        for lun in registry.one(StorageSystem).read("storageDeviceInfo").scsiLun
        if wanted in (None, lun.canonicalName)
    ]
    if wanted is not None and not rows:
        raise CliError(f"Unable to find device with name {wanted}")
    return rows


@_command(
    "storage.filesystem.list",
    columns="MountPoint VolumeName UUID Mounted Type Size Free",
    returns="[Free:long MountPoint Mounted:boolean Size:long Type UUID VolumeName]",
)
def _filesystems(registry: Registry, arguments: Arguments) -> Any:
    """List the volumes."""
    return [
        {
            "Free": store.free,
            "MountPoint": f"/vmfs/volumes/{store.uuid}",
            "Mounted": True,
            "Size": store.capacity,
            "Type": f"VMFS-{registry.release.vmfs}" if store.type == "VMFS" else store.type,
            "UUID": store.uuid,
            "VolumeName": store.name,
        }
        for store in registry.all(Datastore).values()
    ]


def _world(machine: VirtualMachine) -> int:
    return 30_000 + int("".join(c for c in machine.moid if c.isdigit()) or 0)


@_command(
    "vm.process.list",
    returns="[ConfigFile DisplayName ProcessID:int UUID VMXCartelID:int WorldID:int]",
    classic="vms.vm.list",
)
def _processes(registry: Registry, arguments: Arguments) -> Any:
    """List the running machines."""
    rows = []
    for machine in registry.all(VirtualMachine).values():
        if machine.power != "poweredOn":
            continue
        digits = machine.config.uuid.replace("-", "")
        pairs = [digits[at : at + 2] for at in range(0, 32, 2)]
        rows.append(
            {
                "ConfigFile": f"/vmfs/volumes/{machine.store.uuid}/{machine.vmx}",
                "DisplayName": machine.name,
                "ProcessID": 0,
                "UUID": f"{' '.join(pairs[:8])}-{' '.join(pairs[8:])}",
                "VMXCartelID": _world(machine) + 1,
                "WorldID": _world(machine),
            }
        )
    return rows


@_command(
    "vm.process.kill",
    Parameter("type", "t", needed=True),
    Parameter("world-id", "w", needed=True),
    returns="boolean",
    classic="vms.vm.kill",
)
def _kill(registry: Registry, arguments: Arguments) -> Any:
    """End a running machine."""
    kind, world = _first(arguments, "type"), _first(arguments, "worldid")
    if kind not in ("soft", "hard", "force"):
        raise CliError(f"Invalid kill type: {kind}")
    for machine in registry.all(VirtualMachine).values():
        if machine.power == "poweredOn" and str(_world(machine)) == world:
            power_off(machine)
            return True
    raise CliError(f"Unable to find a virtual machine with the world ID {world}")


@_command(
    "software.vib.list",
    columns="Name Version Vendor AcceptanceLevel InstallDate",
    returns="[AcceptanceLevel InstallDate Name Vendor Version]",
)
def _vibs(registry: Registry, arguments: Arguments) -> Any:
    """List the installed packages: a few."""
    release = registry.release
    return [
        {
            "AcceptanceLevel": "VMwareCertified",
            "InstallDate": f"{registry.one(HostSystem).booted:%Y-%m-%d}",
            "Name": name,
            "Vendor": "VMware",
            "Version": f"{release.version}-0.0.{release.build}",
        }
        for name in ("esx-base", "esx-xserver", "nvmxnet3", "pvscsi", "tools-light")
    ]
