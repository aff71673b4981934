"""OvfManager: descriptors read into a specification for an import, and machines as descriptors."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from vimlib import vim25
from vimlib.simulator._core.handlers import handles
from vimlib.simulator._core.messages import invalid_argument, localized, with_message
from vimlib.simulator._core.objects import SimObject, prop
from vimlib.simulator._host.network import Network
from vimlib.simulator._host.resources import ResourcePool
from vimlib.simulator._storage.datastore import Datastore
from vimlib.simulator._vm.guests import is_known
from vimlib.simulator._vm.hardware import hardware_of
from vimlib.simulator._vm.ovf_descriptor import (
    OvfDisk,
    OvfError,
    OvfItem,
    OvfPackage,
    missing,
    parse_descriptor,
)
from vimlib.simulator._vm.virtual_machine import VirtualMachine

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vimlib.simulator._core.call import Call
    from vimlib.simulator._core.registry import Registry

CPU, MEMORY, IDE, SCSI, NIC, FLOPPY, CD, DVD, DISK, SATA, SERIAL, USB, VIDEO = (
    3, 4, 5, 6, 10, 14, 15, 16, 17, 20, 21, 23, 24)  # fmt: skip
"""Resource types of CIM that a descriptor has."""
_SCSI: Final = {
    "lsilogic": "VirtualLsiLogicController",
    "lsilogicsas": "VirtualLsiLogicSASController",
    "buslogic": "VirtualBusLogicController",
    "virtualscsi": "ParaVirtualSCSIController",
}
_NICS: Final = {
    "e1000": "VirtualE1000",
    "e1000e": "VirtualE1000e",
    "vmxnet3": "VirtualVmxnet3",
    "vmxnet2": "VirtualVmxnet2",
    "pcnet32": "VirtualPCNet32",
}
_PROVISIONING: Final = {"": None, "thin": True, "thick": False, "eagerZeroedThick": False,
                        "sparse": True, "flat": False, "monolithicSparse": True, "monolithicFlat": False}  # fmt: skip
_STREAM: Final = "http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized"


class OvfManager(SimObject):
    """Reads and writes descriptors."""

    kind = "OvfManager"

    @prop("ovfImportOption")
    def _import_options(self) -> list[Any]:
        return []

    @prop("ovfExportOption")
    def _export_options(self) -> list[Any]:
        return []


@dataclass
class _Import:
    """The result of a descriptor: devices, files and what was wrong with it."""

    registry: Registry
    name: str
    params: Any
    devices: list[Any] = field(default_factory=list)
    files: list[Any] = field(default_factory=list)
    places: dict[str, tuple[Any, int]] = field(default_factory=dict)
    """Controllers by instance id: the device, and the next free unit."""
    faults: list[Any] = field(default_factory=list)
    warnings: list[Any] = field(default_factory=list)

    def key(self) -> int:
        return -(len(self.devices) + 1)


def _unsupported(item: OvfItem, cause: str) -> Any:
    kind = item.number("ResourceType", 0)
    text = f"Line {item.line}: Unsupported {cause} of the device '{item.values.get('ElementName', '')}'."
    return with_message(
        vim25.OvfUnsupportedType(
            name=item.values.get("ElementName", ""),
            instanceId=item.values.get("InstanceID", ""),
            deviceType=kind,
            lineNumber=item.line,
        ),
        text,
    )


def _controller(work: _Import, item: OvfItem) -> None:
    kind = item.number("ResourceType")
    bus = sum(type(d).__name__.endswith("Controller") and _bus(d) == kind for d in work.devices)
    sub_type = item.values.get("ResourceSubType", "").split(" ")[0].lower()
    if kind == SCSI:
        name = _SCSI.get(sub_type or "lsilogic")
        if name is None:
            work.faults.append(_unsupported(item, f"subtype {sub_type}"))
            return
        device = getattr(vim25, name)(key=work.key(), busNumber=bus, sharedBus="noSharing")
    elif kind == SATA:
        if "nvme" in sub_type:
            device = vim25.VirtualNVMEController(key=work.key(), busNumber=bus)
        else:
            device = vim25.VirtualAHCIController(key=work.key(), busNumber=bus)
    else:
        # Every machine has two, 200 and 201.
        number = item.number("Address", bus) & 1
        device = vim25.VirtualIDEController(key=200 + number, busNumber=number)
        work.places[item.values.get("InstanceID", "")] = device, 0
        return
    work.devices.append(device)
    work.places[item.values.get("InstanceID", "")] = device, 0


def _bus(device: Any) -> int:
    """Return the resource type of a controller."""
    name = type(device).__name__
    if "AHCI" in name or "NVME" in name:
        return SATA
    return SCSI if "SCSI" in name or "Logic" in name else IDE


def _place(work: _Import, item: OvfItem) -> tuple[Any, int] | None:
    """Return controller and unit of a disk or a drive."""
    parent = item.values.get("Parent", "")
    found = work.places.get(parent)
    if found is None:
        work.faults.append(_unsupported(item, "parent"))
        return None
    device, next_unit = found
    unit = item.number("AddressOnParent", next_unit)
    if _bus(device) == SCSI and unit >= 7 and "AddressOnParent" not in item.values:
        unit += unit == 7  # the controller's own
    work.places[parent] = device, unit + 1
    return device, unit


def _disk(work: _Import, package: OvfPackage, item: OvfItem) -> None:
    reference = item.values.get("HostResource", "").removeprefix("ovf:").rpartition("/disk/")[2]
    disk = package.disks.get(reference)
    if disk is None:
        raise OvfError(missing("Disk", item.line))
    place = _place(work, item)
    if place is None:
        return
    controller, unit = place
    thin = _PROVISIONING[work.params.diskProvisioning or ""]
    made = vim25.VirtualDisk(
        key=work.key(),
        controllerKey=controller.key,
        unitNumber=unit,
        capacityInKB=-(-disk.capacity // 1024),
        backing=vim25.VirtualDiskFlatVer2BackingInfo(
            fileName="",
            diskMode="persistent",
            thinProvisioned=bool(thin),
            eagerlyScrub=work.params.diskProvisioning == "eagerZeroedThick" or None,
        ),
    )
    work.devices.append(made)
    if disk.file is not None:
        _check_file(work, disk)
        where = f"{type(controller).__name__}{controller.busNumber}:{unit}"
        work.files.append(
            vim25.OvfFileItem(
                deviceId=f"/{work.name}/{where}",
                path=disk.file.href,
                compressionMethod=disk.file.compression or None,
                chunkSize=disk.file.chunk,
                size=disk.file.size,
                cimType=DISK,
                create=False,
            )
        )


def _check_file(work: _Import, disk: OvfDisk) -> None:
    """Refuse a format that hosts refuse (ilbers/isar#106) and compression (EMCECS/ECS-CommunityEdition#329).

    The type of the fault is our choice; the reports have its text only.
    """
    assert disk.file is not None
    if not disk.format.endswith(("#streamOptimized", "#sparse", "#compressed")):
        work.faults.append(
            with_message(
                vim25.OvfUnsupportedAttributeValue(
                    elementName="Disk",
                    attributeName="format",
                    value=disk.format,
                    lineNumber=disk.line,
                ),
                f"Line {disk.line}: Unsupported value '{disk.format}' for attribute 'format' on element 'Disk'.",
            )
        )
    if disk.file.compression not in ("", "identity"):
        work.faults.append(
            with_message(
                vim25.OvfUnsupportedAttributeValue(
                    elementName="File",
                    attributeName="compression",
                    value=disk.file.compression,
                    lineNumber=disk.line,
                ),
                "Compressed disks are currently not supported for OVF import.",
            )
        )


def _drive(work: _Import, item: OvfItem) -> None:
    place = _place(work, item)
    if place is None:
        return
    controller, unit = place
    if item.values.get("HostResource"):
        work.warnings.append(
            with_message(
                vim25.OvfUnsupportedElement(name="HostResource", lineNumber=item.line),
                f"Line {item.line}: The file of a drive is not imported.",
            )
        )
    work.devices.append(
        vim25.VirtualCdrom(
            key=work.key(),
            controllerKey=controller.key,
            unitNumber=unit,
            backing=vim25.VirtualCdromRemotePassthroughBackingInfo(deviceName="", exclusive=False),
            connectable=vim25.VirtualDeviceConnectInfo(
                startConnected=False, allowGuestControl=True, connected=False
            ),
        )
    )


def _nic(work: _Import, item: OvfItem) -> None:
    model = (item.values.get("ResourceSubType") or "e1000").split(" ")[0].lower()
    name = _NICS.get(model)
    if name is None:
        work.faults.append(_unsupported(item, f"subtype {model}"))
        return
    wanted = item.connections[0] if item.connections else ""
    network = _network(work, wanted)
    if network is None:
        work.faults.append(
            with_message(
                vim25.OvfNoHostNic(lineNumber=item.line),
                f"Line {item.line}: The network '{wanted}' is mapped to none of the host.",
            )
        )
        return
    connected = item.values.get("AutomaticAllocation", "true").lower() != "false"
    work.devices.append(
        getattr(vim25, name)(
            key=work.key(),
            backing=vim25.VirtualEthernetCardNetworkBackingInfo(deviceName=network.name),
            connectable=vim25.VirtualDeviceConnectInfo(
                startConnected=connected, allowGuestControl=True, connected=connected
            ),
            addressType="generated",
        )
    )


def _network(work: _Import, wanted: str) -> Network | None:
    """Return the network of a name: the mapped one, or the host's own of that name."""
    for mapping in work.params.networkMapping:
        if mapping.name == wanted:
            found = work.registry.find(mapping.network)
            return found if isinstance(found, Network) else None
    known = work.registry.all(Network).values()
    return next((network for network in known if network.name == wanted), None)


_IGNORED: Final = frozenset({1, FLOPPY, SERIAL, USB, VIDEO})


def _devices(work: _Import, package: OvfPackage) -> tuple[int, int]:
    """Make the devices of a descriptor; return processors and megabytes."""
    cpus, memory = 1, 512
    order = {IDE: 0, SCSI: 0, SATA: 0}
    for item in sorted(package.items, key=lambda i: order.get(i.number("ResourceType"), 1)):
        kind = item.number("ResourceType")
        if kind == CPU:
            cpus = item.number("VirtualQuantity", 1)
        elif kind == MEMORY:
            memory = item.megabytes(default=512)
        elif kind in order:
            _controller(work, item)
        elif kind == DISK:
            _disk(work, package, item)
        elif kind in (CD, DVD):
            _drive(work, item)
        elif kind == NIC:
            _nic(work, item)
        elif kind in _IGNORED or not item.required:
            work.warnings.append(_unsupported(item, "type"))
        else:
            work.faults.append(_unsupported(item, "type"))
    return cpus, memory


def _check_family(work: _Import, package: OvfPackage) -> str:
    """Return the newest hardware version that descriptor and host know. Records the fault for none."""
    known = hardware_of(work.registry.release)
    fitting = [family for family in package.families if family in known]
    if package.families and not fitting:
        version = ", ".join(package.families)
        work.faults.append(
            with_message(
                vim25.OvfNoSupportedHardwareFamily(version=version),
                f"No supported hardware versions among [{version}]; supported: {', '.join(known)}.",
            )
        )
    return max(fitting, default=work.registry.release.hardware)


def _spec(work: _Import, package: OvfPackage, store: Datastore) -> Any:
    """Return the configuration of the machine to import."""
    if not package.items:
        raise OvfError(missing("VirtualHardwareSection", 0))
    version = _check_family(work, package)
    cpus, memory = _devices(work, package)
    for name, line in package.unknown:
        work.warnings.append(
            with_message(
                vim25.OvfUnsupportedSection(name=name, info="", lineNumber=line),
                f"Line {line}: The section '{name}' was skipped.",
            )
        )
    guest = package.guest
    if not is_known(guest, work.registry.version):
        guest = "otherGuest"
    return vim25.VirtualMachineConfigSpec(
        name=work.name,
        version=version,
        guestId=guest,
        annotation=package.annotation,
        files=vim25.VirtualMachineFileInfo(vmPathName=store.shown("")),
        numCPUs=cpus,
        memoryMB=memory,
        firmware=package.settings.get("firmware"),
        deviceChange=[
            vim25.VirtualDeviceConfigSpec(
                operation="add",
                fileOperation="create" if isinstance(device, vim25.VirtualDisk) else None,
                device=device,
            )
            for device in work.devices
        ],
        extraConfig=[
            vim25.OptionValue(key=key, value=value) for key, value in package.extra.items()
        ],
    )


def _parse(call: Call, option: str) -> OvfPackage:
    return parse_descriptor(call.args["ovfDescriptor"], option)


@handles(OvfManager, "CreateImportSpec")
def create_import_spec(manager: OvfManager, call: Call) -> Any:
    """Return what ImportVApp takes and which files go to which device; errors are in the result."""
    registry, params = manager.registry, call.args["cisp"]
    pool, store = registry.find(call.args["resourcePool"]), registry.find(call.args["datastore"])
    if not isinstance(pool, ResourcePool):
        raise invalid_argument("resourcePool")
    if not isinstance(store, Datastore):
        raise invalid_argument("datastore")
    try:
        package = _parse(call, params.deploymentOption)
        if params.deploymentOption and params.deploymentOption not in [
            o[0] for o in package.options
        ]:
            raise invalid_argument("cisp.deploymentOption", params.deploymentOption)
        work = _Import(registry, params.entityName or package.name, params)
        if (params.diskProvisioning or "") not in _PROVISIONING:
            raise OvfError(
                with_message(
                    vim25.OvfUnsupportedDiskProvisioning(
                        diskProvisioning=params.diskProvisioning,
                        supportedDiskProvisioning=", ".join(filter(None, _PROVISIONING)),
                    ),
                    f"Unsupported disk provisioning: {params.diskProvisioning}",
                )
            )
        spec = _spec(work, package, store)
    except OvfError as error:
        return vim25.OvfCreateImportSpecResult(error=[localized(error.fault)])
    faults = [localized(fault) for fault in work.faults]
    return vim25.OvfCreateImportSpecResult(
        importSpec=None if faults else vim25.VirtualMachineImportSpec(configSpec=spec),
        fileItem=[] if faults else work.files,
        warning=[localized(fault) for fault in work.warnings],
        error=faults,
    )


def _total(sizes: Iterable[int]) -> int:
    """Return the sum of sizes, or the largest number that a reply can have."""
    return min(sum(sizes), (1 << 63) - 1)


@handles(OvfManager, "ParseDescriptor")
def parse(manager: OvfManager, call: Call) -> Any:
    """Return the content of a descriptor, for a client to ask its user about."""
    try:
        package = _parse(call, call.args["pdp"].deploymentOption)
    except OvfError as error:
        return vim25.OvfParseDescriptorResult(
            annotation="",
            defaultEntityName="",
            virtualApp=False,
            defaultDeploymentOption="",
            error=[localized(error.fault)],
        )
    product = package.product
    return vim25.OvfParseDescriptorResult(
        eula=package.eulas,
        network=[
            vim25.OvfNetworkInfo(name=name, description=text) for name, text in package.networks
        ],
        property=[
            vim25.VAppPropertyInfo(
                key=number,
                id=each.get("key"),
                label=each.get("label"),
                type=each.get("type"),
                userConfigurable=each.get("userConfigurable") == "true",
                defaultValue=each.get("value", ""),
                description=each.get("description"),
            )
            for number, each in enumerate(package.properties)
        ],
        productInfo=vim25.VAppProductInfo(
            key=0,
            name=product.get("Product"),
            vendor=product.get("Vendor"),
            version=product.get("Version"),
            fullVersion=product.get("FullVersion"),
            productUrl=product.get("ProductUrl"),
            vendorUrl=product.get("VendorUrl"),
        )
        if product
        else None,
        annotation=package.annotation,
        approximateDownloadSize=_total(f.size or 0 for f in package.files.values()),
        approximateFlatDeploymentSize=_total(d.capacity for d in package.disks.values()),
        approximateSparseDeploymentSize=_total(
            d.populated or (d.file.size if d.file else 0) or 0 for d in package.disks.values()
        ),
        defaultEntityName=package.name,
        virtualApp=package.virtual_app,
        deploymentOption=[
            vim25.OvfDeploymentOption(key=key, label=label, description=text)
            for key, label, text in package.options
        ],
        defaultDeploymentOption=package.options[0][0] if package.options else "",
    )


@handles(OvfManager, "ValidateHost")
def validate_host(manager: OvfManager, call: Call) -> Any:
    """Return the size of a deployment and the ways to provision its disks."""
    manager.registry.find(call.args["host"])
    try:
        package = _parse(call, call.args["vhp"].deploymentOption)
    except OvfError as error:
        return vim25.OvfValidateHostResult(error=[localized(error.fault)])
    return vim25.OvfValidateHostResult(
        downloadSize=_total(f.size or 0 for f in package.files.values()),
        flatDeploymentSize=_total(d.capacity for d in package.disks.values()),
        supportedDiskProvisioning=["thin", "thick", "eagerZeroedThick", "sparse", "flat"],
    )


@handles(OvfManager, "CreateDescriptor")
def create_descriptor(manager: OvfManager, call: Call) -> Any:
    """Return the descriptor of a machine; `ovfFiles` are the files that a client downloaded of an export."""
    machine = manager.registry.find(call.args["obj"])
    if not isinstance(machine, VirtualMachine):
        raise invalid_argument("obj")
    params = call.args["cdp"]
    files = {file.deviceId.rpartition("/")[2]: file for file in params.ovfFiles}
    text = _render(machine, params.name or machine.name, params.description or "", files)
    return vim25.OvfCreateDescriptorResult(
        ovfDescriptor=text, includeImageFiles=bool(params.includeImageFiles)
    )


_NAMES: Final = {
    None: "http://schemas.dmtf.org/ovf/envelope/1",
    "ovf": "http://schemas.dmtf.org/ovf/envelope/1",
    "rasd": "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData",
    "vssd": "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData",
    "vmw": "http://www.vmware.com/schema/ovf",
}


def _add(parent: Any, name: str, text: str | None = None, **attributes: str) -> Any:
    prefix, _, local = name.rpartition(":")
    element = parent.makeelement(f"{{{_NAMES[prefix or 'ovf']}}}{local}")
    parent.append(element)
    element.text = text
    for key, value in attributes.items():
        owner, _, bare = key.partition("_")
        element.set(f"{{{_NAMES[owner]}}}{bare}", value)
    return element


def _item(hardware: Any, number: int, kind: int, name: str, **values: str) -> None:
    """Add an item; the schema wants its elements in the order of their names."""
    item = _add(hardware, "Item")
    every = values | {"InstanceID": str(number), "ResourceType": str(kind), "ElementName": name}
    for key in sorted(every):
        _add(item, f"rasd:{key}", every[key])


def _render(machine: VirtualMachine, name: str, description: str, files: dict[str, Any]) -> str:
    """Return the descriptor of a machine; `files` by the place of their disk."""
    from lxml import etree  # on first use, so that a host starts without it

    config = machine.config
    devices = config.hardware.device
    root = etree.Element(f"{{{_NAMES['ovf']}}}Envelope", nsmap=_NAMES)
    references = _add(root, "References")
    section = _add(root, "DiskSection")
    _add(section, "Info", "Virtual disk information")
    disks = {}
    for number, disk in enumerate(machine.disks(), 1):
        controller = next(d for d in devices if d.key == disk.controllerKey)
        place = f"{type(controller).__name__}{controller.busNumber}:{disk.unitNumber}"
        file = files.get(place)
        given = {}
        if file is not None:
            id_ = f"file{number}"
            _add(references, "File", ovf_href=file.path, ovf_id=id_, ovf_size=str(file.size))
            given = {"ovf_fileRef": id_, "ovf_format": _STREAM}
        _add(
            section,
            "Disk",
            ovf_capacity=str(disk.capacityInKB * 1024),
            ovf_capacityAllocationUnits="byte",
            ovf_diskId=f"vmdisk{number}",
            **given,
        )
        disks[disk.key] = f"vmdisk{number}"
    networks = _add(root, "NetworkSection")
    _add(networks, "Info", "The list of logical networks")
    for network in sorted(machine.network_names()):
        _add(_add(networks, "Network", ovf_name=network), "Description", f"The {network} network")
    system = _add(root, "VirtualSystem", ovf_id=name)
    _add(system, "Info", "A virtual machine")
    _add(system, "Name", name)
    guest = _add(system, "OperatingSystemSection", ovf_id="1", vmw_osType=config.guestId)
    _add(guest, "Info", "The kind of installed guest operating system")
    if description or config.annotation:
        note = _add(system, "AnnotationSection")
        _add(note, "Info", "A human-readable annotation")
        _add(note, "Annotation", description or config.annotation)
    _render_hardware(system, machine, name, disks)
    text: str = etree.tostring(root, encoding="unicode", pretty_print=True)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}'


_SUB_TYPES: Final = {name: key for key, name in (_SCSI | _NICS).items()}


def _render_hardware(
    system: Any, machine: VirtualMachine, name: str, disks: dict[int, str]
) -> None:
    config = machine.config
    hardware = _add(system, "VirtualHardwareSection")
    _add(hardware, "Info", "Virtual hardware requirements")
    head = _add(hardware, "System")
    for key, value in (("ElementName", "Virtual Hardware Family"), ("InstanceID", "0"),
                       ("VirtualSystemIdentifier", name), ("VirtualSystemType", config.version)):  # fmt: skip
        _add(head, f"vssd:{key}", value)
    count, memory = config.hardware.numCPU, config.hardware.memoryMB
    _item(hardware, 1, CPU, f"{count} virtual CPU(s)", AllocationUnits="hertz * 10^6",
          Description="Number of Virtual CPUs", VirtualQuantity=str(count))  # fmt: skip
    _item(hardware, 2, MEMORY, f"{memory}MB of memory", AllocationUnits="byte * 2^20",
          Description="Memory Size", VirtualQuantity=str(memory))  # fmt: skip
    numbers: dict[int, int] = {}
    number = 3
    for device in config.hardware.device:
        kind = type(device).__name__
        label = device.deviceInfo.label if device.deviceInfo else kind
        place = {"Parent": str(numbers.get(device.controllerKey or 0, 0)),
                 "AddressOnParent": str(device.unitNumber or 0)}  # fmt: skip
        if isinstance(device, vim25.VirtualController) and _bus(device) in (SCSI, SATA):
            sub = {"ResourceSubType": _SUB_TYPES.get(kind, "vmware.sata.ahci")}
            _item(hardware, number, _bus(device), label, Address=str(device.busNumber), **sub)
        elif isinstance(device, vim25.VirtualIDEController):
            _item(hardware, number, IDE, label, Address=str(device.busNumber))
        elif isinstance(device, vim25.VirtualDisk):
            _item(
                hardware,
                number,
                DISK,
                label,
                HostResource=f"ovf:/disk/{disks[device.key]}",
                **place,
            )
        elif isinstance(device, vim25.VirtualCdrom):
            _item(hardware, number, CD, label, AutomaticAllocation="false",
                  ResourceSubType="vmware.cdrom.remotepassthrough", **place)  # fmt: skip
        elif isinstance(device, vim25.VirtualEthernetCard):
            _item(hardware, number, NIC, label, AutomaticAllocation="true",
                  Connection=machine.network_of(device) or "",
                  ResourceSubType=_SUB_TYPES.get(kind, "E1000"))  # fmt: skip
        else:
            continue
        numbers[device.key] = number
        number += 1
    if config.firmware and config.firmware != "bios":
        _add(
            hardware,
            "vmw:Config",
            ovf_required="false",
            vmw_key="firmware",
            vmw_value=config.firmware,
        )
