"""OVF descriptors, read and written (DMTF DSP0243 1.1 and 2.0, and VMware's extensions). Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote, unquote

from lxml import etree

from vimdriver._images.formats.extents import MAX_CAPACITY
from vimdriver.errors import ImageUnacceptableError
from vimlib._text import printable

LARGEST: Final = 4 << 20
"""Bytes of a descriptor."""
_MOST_ELEMENTS: Final = 100_000
_MOST_DEVICES: Final = 256
_OVF: Final = "http://schemas.dmtf.org/ovf/envelope/1"
_RASD: Final = "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData"
_CIM: Final = "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2"
_VSSD: Final = f"{_CIM}/CIM_VirtualSystemSettingData"
_VMW: Final = "http://www.vmware.com/schema/ovf"
_STREAM: Final = "http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized"
_UNITS: Final = re.compile(r"byte(?:\*([0-9]{1,12})(?:\^([0-9]{1,2}))?)?", re.IGNORECASE)
_WORDS: Final = {
    "": 1,
    "bytes": 1,
    "kilobytes": 1 << 10,
    "megabytes": 1 << 20,
    "gigabytes": 1 << 30,
}
# Resource types (CIM_ResourceAllocationSettingData.ResourceType).
_CPU, _MEMORY, _IDE, _SCSI, _NIC, _DISK, _OTHER_STORAGE = 3, 4, 5, 6, 10, 17, 20
_CDS: Final = (15, 16)
_ADAPTERS: Final = {
    "lsilogic": "lsiLogic",
    "lsilogicsas": "lsiLogicsas",
    "buslogic": "busLogic",
    "virtualscsi": "paraVirtual",
    "vmware.sata.ahci": "sata",
    "ahci": "sata",
    "vmware.nvme.controller": "nvme",
}
_SUBTYPES: Final = {
    "lsiLogic": "lsilogic",
    "lsiLogicsas": "lsilogicsas",
    "busLogic": "buslogic",
    "paraVirtual": "VirtualSCSI",
    "sata": "vmware.sata.ahci",
    "nvme": "vmware.nvme.controller",
}
_NIC_SUBTYPES: Final = {
    "e1000": "E1000",
    "e1000e": "E1000e",
    "vmxnet3": "VmxNet3",
    "pcnet32": "PCNet32",
}
# Operating systems by CIM_OperatingSystem.OsType, for descriptors without VMware's own name.
_OS: Final[Mapping[int, str]] = {
    36: "otherLinuxGuest", 42: "freebsdGuest", 78: "freebsd64Guest", 79: "rhel5Guest",
    80: "rhel5_64Guest", 93: "ubuntuGuest", 94: "ubuntu64Guest", 95: "debian5Guest",
    96: "debian5_64Guest", 101: "otherLinux64Guest", 106: "centosGuest", 107: "centos64Guest",
    1: "otherGuest", 102: "otherGuest64",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class OVFDisk:
    """A disk of a machine."""

    capacity: int
    """Bytes."""
    file: str | None = None
    """Name of its file; None for a blank disk."""
    size: int | None = None
    """Bytes of the file, if they are stated."""
    compressed: bool = False
    """Whether the file is a gzip of its format."""
    adapter: str | None = None
    """Of its controller, as `lsiLogic`, `ide`, `sata` or `nvme`; None if it is not known."""
    controller: int = 0
    """Number of its controller among those of its kind."""
    unit: int = 0
    """Position on the controller."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OVFNIC:
    """A network card of a machine."""

    network: str
    """Name of the package's network."""
    model: str | None = None
    """e1000, e1000e, vmxnet3 or pcnet32; None if it is another or not stated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OVFMachine:
    """A machine as a descriptor states it."""

    name: str = ""
    guest_id: str | None = None
    """`guestId` of the API."""
    cpus: int | None = None
    memory_mb: int | None = None
    """MiB."""
    firmware: str | None = None
    """`bios` or `efi`; None if it is not stated."""
    secure_boot: bool = False
    version: str | None = None
    """Hardware version, as `vmx-13`."""
    disks: tuple[OVFDisk, ...] = ()
    """In the order in which they are attached."""
    nics: tuple[OVFNIC, ...] = ()
    files: tuple[str, ...] = ()
    """Names of all files of the package but the descriptor, the manifest and the certificate."""
    ignored: tuple[str, ...] = field(default=())
    """Hardware that is not read, for people."""


def read_ovf(data: bytes) -> OVFMachine:
    """Read a descriptor of one machine.

    Raises:
        ImageUnacceptableError: It is not well-formed, breaks a rule, or has several machines.
    """
    if len(data) > LARGEST:
        raise _refuse("size", f"{len(data)} bytes, limit {LARGEST}")
    root = _parsed(data)
    if _local(root) != "Envelope":
        raise _refuse("envelope", f"the root must be Envelope, got {printable(_local(root), 40)}")
    systems = [child for child in root if _local(child) == "VirtualSystem"]
    if len(systems) != 1 or any(_local(child) == "VirtualSystemCollection" for child in root):
        raise _refuse("machines", "the package must have exactly one machine", "Export it alone.")
    return _Descriptor(root, systems[0]).machine()


def _parsed(data: bytes) -> Any:
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False,
        remove_comments=True, remove_pis=True,
    )  # fmt: skip
    try:
        root = etree.fromstring(data, parser)
    except etree.XMLSyntaxError as error:
        raise _refuse("xml", printable(str(error), 200)) from None
    if root.getroottree().docinfo.doctype:
        raise _refuse("doctype", "a DOCTYPE is not allowed")
    if sum(1 for _ in root.iter()) > _MOST_ELEMENTS:
        raise _refuse("size", f"more than {_MOST_ELEMENTS} elements")
    return root


class _Descriptor:
    def __init__(self, root: Any, system: Any) -> None:
        self.files = {_get(f, "id"): f for f in _below(root, "References", "File")}
        self.disks = {_get(d, "diskId"): d for d in _below(root, "DiskSection", "Disk")}
        self.system = system
        hardware = [child for child in system if _local(child) == "VirtualHardwareSection"]
        self.hardware = hardware[0] if hardware else None
        self.items: list[dict[str, str]] = []
        for item in () if self.hardware is None else self.hardware:
            if _local(item) in ("Item", "StorageItem", "EthernetPortItem"):
                # Of several of a name, as HostResource, the first counts.
                fields: dict[str, str] = {}
                for child in item:
                    fields.setdefault(_local(child), (child.text or "").strip())
                self.items.append(fields)
        if len(self.items) > 4 * _MOST_DEVICES:
            raise _refuse("size", f"{len(self.items)} items of hardware")

    def of_type(self, *kinds: int) -> list[dict[str, str]]:
        wanted = [str(kind) for kind in kinds]
        return [item for item in self.items if item.get("ResourceType") in wanted]

    def machine(self) -> OVFMachine:
        named = next(_below(self.system, "Name"), None)
        settings = self.settings()
        cpus = self.of_type(_CPU)
        memory = self.of_type(_MEMORY)
        version = next(
            (
                (child.text or "").strip()
                for child in _below(
                    self.system, "VirtualHardwareSection", "System", "VirtualSystemType"
                )
            ),
            "",
        )
        known = (_CPU, _MEMORY, _IDE, _SCSI, _NIC, _DISK, _OTHER_STORAGE, *_CDS)
        read = self.of_type(*known)
        others = [item for item in self.items if item not in read]
        firmware = settings.get("firmware", "").lower()
        return OVFMachine(
            name=(_get(self.system, "id") or "") if named is None else (named.text or "").strip(),
            guest_id=self.guest_id(),
            cpus=_integer("VirtualQuantity", cpus[0].get("VirtualQuantity"), 1, 4096)
            if cpus
            else None,
            memory_mb=self.memory(memory[0]) if memory else None,
            firmware=firmware if firmware in ("bios", "efi") else None,
            secure_boot=settings.get("bootOptions.efiSecureBootEnabled", "").lower() == "true",
            version=version.split()[-1]
            if re.fullmatch(r"(.*\s)?vmx-[0-9]{1,3}", version)
            else None,
            disks=tuple(self.attached()),
            nics=tuple(self.cards()),
            files=tuple(dict.fromkeys(_path(file) for file in self.files.values())),
            ignored=tuple(
                printable(item.get("ElementName") or item.get("ResourceType") or "?", 80)
                for item in others
            ),
        )

    def settings(self) -> dict[str, str]:
        """Return VMware's settings of the hardware."""
        return {
            _get(child, "key") or "": _get(child, "value") or ""
            for child in _below(self.system, "VirtualHardwareSection", "Config")
        }

    def guest_id(self) -> str | None:
        for section in _below(self.system, "OperatingSystemSection"):
            if name := section.get(f"{{{_VMW}}}osType"):
                return printable(name, 80)
            number = _get(section, "id") or ""
            return _OS.get(int(number)) if number.isdigit() and len(number) < 6 else None
        return None

    def memory(self, item: Mapping[str, str]) -> int:
        units = item.get("AllocationUnits") or "byte * 2^20"
        count = _integer("VirtualQuantity", item.get("VirtualQuantity"), 1, 1 << 50)
        mib = -(-count * _unit(units) // (1 << 20))
        if mib > 1 << 26:
            raise _refuse("value", f"memory of {mib} MiB")
        return -(-mib // 4) * 4  # hosts take multiples of 4

    def cards(self) -> Iterator[OVFNIC]:
        for item in self.of_type(_NIC):
            sub = item.get("ResourceSubType", "").lower()
            model = next((m for m, s in _NIC_SUBTYPES.items() if s.lower() == sub), None)
            yield OVFNIC(network=item.get("Connection", ""), model=model)

    def attached(self) -> Iterator[OVFDisk]:
        """Yield the disks: by controller, then by their position on it."""
        controllers: dict[str, tuple[int, str, int]] = {}
        counts: dict[str, int] = {}
        for place, item in enumerate(self.of_type(_IDE, _SCSI, _OTHER_STORAGE)):
            kind = item.get("ResourceType")
            sub = item.get("ResourceSubType", "").lower().split(" ")[0]
            default = "lsilogic" if kind == str(_SCSI) else ""
            adapter = "ide" if kind == str(_IDE) else _ADAPTERS.get(sub or default, "")
            number = counts.get(adapter, 0)
            counts[adapter] = number + 1
            controllers[item.get("InstanceID", "")] = (place, adapter, number)
        found: list[tuple[int, int, int, OVFDisk]] = []
        items = self.of_type(_DISK)
        if len(items) > _MOST_DEVICES:
            raise _refuse("size", f"{len(items)} disks, limit {_MOST_DEVICES}")
        for order, item in enumerate(items):
            place, adapter, number = controllers.get(item.get("Parent", ""), (1 << 20, "", 0))
            unit = _integer("AddressOnParent", item.get("AddressOnParent") or "0", 0, 255)
            disk = self.disk(item, adapter or None, number, unit)
            if disk is not None:
                found.append((place, unit, order, disk))
        return (disk for _, _, _, disk in sorted(found, key=lambda one: one[:3]))

    def disk(
        self, item: Mapping[str, str], adapter: str | None, number: int, unit: int
    ) -> OVFDisk | None:
        where = item.get("HostResource", "")
        kind, _, name = where.removeprefix("ovf:").removeprefix("/").partition("/")
        more: dict[str, Any] = {"adapter": adapter, "controller": number, "unit": unit}
        if kind == "disk":
            disk = self.disks.get(name)
            if disk is None:
                raise _refuse("reference", f"there is no disk {printable(name, 80)!r}")
            if _get(disk, "parentRef"):
                raise _refuse(
                    "parent", f"disk {printable(name, 80)!r} is a difference to another disk"
                )
            count = _integer("capacity", _get(disk, "capacity"), 1, 1 << 62)
            capacity = count * _unit(_get(disk, "capacityAllocationUnits") or "byte")
            if capacity > MAX_CAPACITY:
                raise _refuse("value", f"a disk of {capacity} bytes, limit {MAX_CAPACITY}")
            ref = _get(disk, "fileRef")
            return OVFDisk(capacity=capacity, **more, **({} if ref is None else self.file(ref)))
        if kind == "file":
            raise _refuse("reference", "a disk must be in the DiskSection", "Export it again.")
        return None

    def file(self, ref: str) -> dict[str, Any]:
        file = self.files.get(ref)
        if file is None:
            raise _refuse("reference", f"there is no file {printable(ref, 80)!r}")
        href = _path(file)
        if _get(file, "chunkSize"):
            raise _refuse(
                "chunks", f"{printable(href, 80)} comes in chunks", "Export it as one file."
            )
        coding = (_get(file, "compression") or "identity").lower()
        if coding not in ("", "identity", "gzip"):
            raise _refuse(
                "compression", f"{printable(href, 80)} is compressed as {printable(coding, 40)!r}"
            )
        size = _get(file, "size")
        return {
            "file": href,
            "size": None if size is None else _integer("size", size, 0, 1 << 62),
            "compressed": coding == "gzip",
        }


def _path(file: Any) -> str:
    """Return the path of a file. Raises `ImageUnacceptableError` for one that leaves its folder."""
    path = unquote(_get(file, "href") or "").removeprefix("./")
    if (
        "://" in path
        or "\\" in path
        or not path.isprintable()
        or {"", ".", ".."} & {*path.split("/")}
    ):
        raise _refuse("href", f"a file must have a relative path, got {printable(path, 80)!r}")
    return path


def _local(element: Any) -> str:
    return str(element.tag).rpartition("}")[2]


def _get(element: Any, name: str) -> str | None:
    """Return an attribute of OVF's or VMware's namespace, or of none."""
    for key in (f"{{{_OVF}}}{name}", f"{{{_VMW}}}{name}", name):
        if (found := element.get(key)) is not None:
            return str(found)
    for key, value in element.attrib.items():  # OVF 2.0 has a namespace of its own
        if key.rpartition("}")[2] == name:
            return str(value)
    return None


def _below(element: Any, *names: str) -> Iterator[Any]:
    for child in element:
        if _local(child) == names[0]:
            if len(names) == 1:
                yield child
            else:
                yield from _below(child, *names[1:])


def _integer(name: str, text: str | None, least: int, most: int) -> int:
    digits = (text or "").strip()
    if not (
        digits.isascii() and digits.isdigit() and len(digits) < 20 and least <= int(digits) <= most
    ):
        raise _refuse("value", f"{name} must be {least} to {most}, got {printable(digits, 40)!r}")
    return int(digits)


def _unit(text: str) -> int:
    """Return the bytes of a unit, as `byte * 2^20` or `MegaBytes`."""
    word = "".join(text.split())
    if word.lower() in _WORDS:
        return _WORDS[word.lower()]
    match = _UNITS.fullmatch(word)
    size = 0
    if match is not None:
        size = int(match[1] or 1) ** int(match[2] or 1)
    if not 0 < size <= 1 << 60:
        raise _refuse("value", f"the unit must be like byte * 2^20, got {printable(text, 40)!r}")
    return size


def _refuse(rule: str, detail: str, hint: str | None = None) -> ImageUnacceptableError:
    return ImageUnacceptableError(
        rule=f"ovf.{rule}", detail=f"the OVF descriptor: {detail}", hint=hint
    )


def write_ovf(machine: OVFMachine) -> bytes:
    """Write a descriptor of a machine, whose files are streamOptimized VMDKs, or gzips of them."""
    namespaces = {None: _OVF, "ovf": _OVF, "rasd": _RASD, "vssd": _VSSD, "vmw": _VMW}
    root = etree.Element(f"{{{_OVF}}}Envelope", nsmap=namespaces)
    references = _add(root, "References")
    files = [disk for disk in machine.disks if disk.file is not None]
    for number, disk in enumerate(files, 1):
        given = {"href": quote(disk.file or ""), "id": f"file{number}"}
        if disk.size is not None:
            given["size"] = str(disk.size)
        if disk.compressed:
            given["compression"] = "gzip"
        _add(references, "File", **given)
    section = _add(root, "DiskSection")
    _add(section, "Info").text = "Virtual disks"
    for number, disk in enumerate(machine.disks, 1):
        given = {
            "capacity": str(disk.capacity),
            "capacityAllocationUnits": "byte",
            "diskId": f"vmdisk{number}",
        }
        if disk.file is not None:
            given |= {"fileRef": f"file{files.index(disk) + 1}", "format": _STREAM}
        _add(section, "Disk", **given)
    networks = _add(root, "NetworkSection")
    _add(networks, "Info").text = "Networks"
    for name in dict.fromkeys(card.network for card in machine.nics):
        _add(_add(networks, "Network", name=name), "Description").text = name
    system = _add(root, "VirtualSystem", id=machine.name)
    _add(system, "Info").text = "A virtual machine"
    _add(system, "Name").text = machine.name
    guest = machine.guest_id or "otherGuest"
    number = next((n for n, known in _OS.items() if known == guest), 1)
    operating = _add(system, "OperatingSystemSection", id=str(number))
    operating.set(f"{{{_VMW}}}osType", guest)
    _add(operating, "Info").text = "The guest operating system"
    _write_hardware(system, machine)
    etree.indent(root)
    return bytes(etree.tostring(root, xml_declaration=True, encoding="UTF-8"))


def _write_hardware(system: Any, machine: OVFMachine) -> None:
    hardware = _add(system, "VirtualHardwareSection")
    _add(hardware, "Info").text = "Virtual hardware"
    kind = _add(hardware, "System")
    for name, text in (
        ("ElementName", "Virtual Hardware Family"),
        ("InstanceID", "0"),
        ("VirtualSystemIdentifier", machine.name),
        ("VirtualSystemType", machine.version or "vmx-07"),
    ):
        etree.SubElement(kind, f"{{{_VSSD}}}{name}").text = text
    count = 0

    def item(**fields: str) -> str:
        nonlocal count
        count += 1
        element = _add(hardware, "Item")
        # The schema has them in this order: by name.
        for name, text in sorted({**fields, "InstanceID": str(count)}.items()):
            etree.SubElement(element, f"{{{_RASD}}}{name}").text = text
        return str(count)

    cpus, memory = machine.cpus or 1, machine.memory_mb or 512
    item(
        AllocationUnits="hertz * 10^6",
        ElementName=f"{cpus} virtual CPU(s)",
        ResourceType=str(_CPU),
        VirtualQuantity=str(cpus),
    )
    item(
        AllocationUnits="byte * 2^20",
        ElementName=f"{memory}MB of memory",
        ResourceType=str(_MEMORY),
        VirtualQuantity=str(memory),
    )
    parents: dict[tuple[str, int], str] = {}
    for disk in machine.disks:
        adapter = disk.adapter or "lsiLogic"
        key = (adapter, disk.controller)
        if key not in parents:
            kind_of = {"ide": _IDE, "sata": _OTHER_STORAGE, "nvme": _OTHER_STORAGE}.get(
                adapter, _SCSI
            )
            fields = {
                "Address": str(disk.controller),
                "ElementName": f"{adapter} controller {disk.controller}",
                "ResourceType": str(kind_of),
            }
            if adapter != "ide":
                fields["ResourceSubType"] = _SUBTYPES[adapter]
            parents[key] = item(**fields)
    for number, disk in enumerate(machine.disks, 1):
        item(
            AddressOnParent=str(disk.unit), ElementName=f"disk{number}", HostResource=f"ovf:/disk/vmdisk{number}",
            Parent=parents[disk.adapter or "lsiLogic", disk.controller], ResourceType=str(_DISK),
        )  # fmt: skip
    for number, card in enumerate(machine.nics):
        item(
            AddressOnParent=str(7 + number), AutomaticAllocation="true", Connection=card.network,
            ElementName=f"ethernet{number}", ResourceSubType=_NIC_SUBTYPES.get(card.model or "", "E1000"),
            ResourceType=str(_NIC),
        )  # fmt: skip
    settings = {"firmware": machine.firmware} if machine.firmware else {}
    if machine.secure_boot:
        settings["bootOptions.efiSecureBootEnabled"] = "true"
    for key_, value in settings.items():
        config = etree.SubElement(hardware, f"{{{_VMW}}}Config")
        config.set(f"{{{_OVF}}}required", "false")
        config.set(f"{{{_VMW}}}key", key_)
        config.set(f"{{{_VMW}}}value", value)


def _add(parent: Any, tag: str, /, **attributes: str) -> Any:
    return etree.SubElement(
        parent,
        f"{{{_OVF}}}{tag}",
        {f"{{{_OVF}}}{key}": value for key, value in attributes.items()},
    )
