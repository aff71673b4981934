"""OVF descriptors: XML in, plain values out (DMTF DSP0243).

Written from the standard and from refusals of hosts; shares nothing with code that reads OVF on a client's
side. A DOCTYPE is refused, and no entity or file outside of the text is ever read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from vimlib import vim25
from vimlib.simulator._core.messages import with_message

if TYPE_CHECKING:
    from collections.abc import Iterator

_OVF: Final = "{http://schemas.dmtf.org/ovf/envelope/1}"
_VMW: Final = "{http://www.vmware.com/schema/ovf}"
_LARGEST: Final = 4 << 20
"""Characters of a descriptor."""
_MOST_BYTES: Final = 1 << 62
_UNITS: Final = re.compile(
    r"\s*byte\s*(?:\*\s*([0-9]{1,12})\s*(?:\^\s*([0-9]{1,3}))?)?\s*", re.IGNORECASE
)
_WORDS: Final = {"kilobyte": 1 << 10, "megabyte": 1 << 20, "gigabyte": 1 << 30}
_DIGITS: Final = re.compile("[0-9]{1,20}")
_LARGEST_NUMBER: Final = (1 << 31) - 1


class OvfError(Exception):
    """The descriptor is refused; `fault` is that of the API."""

    def __init__(self, fault: Any) -> None:
        super().__init__(fault.localized_message)
        self.fault = fault


@dataclass
class OvfReference:
    """A file that comes with the descriptor."""

    id: str
    href: str
    size: int | None
    compression: str
    chunk: int | None


@dataclass
class OvfDisk:
    """A disk, of a file or empty."""

    id: str
    capacity: int
    """Bytes."""
    populated: int | None
    file: OvfReference | None
    format: str
    line: int


@dataclass
class OvfItem:
    """An item of virtual hardware, by the names of CIM's resource allocation settings."""

    values: dict[str, str]
    connections: list[str]
    required: bool
    line: int

    def number(self, name: str, default: int | None = None) -> int:
        """Return a number. Raises `OvfError`."""
        text = self.values.get(name)
        if text is None and default is not None:
            return default
        number = _number(text or "", _LARGEST_NUMBER)
        if number is None:
            raise OvfError(_invalid("Item", name, text or "", self.line))
        return number

    def megabytes(self, default: int) -> int:
        """Return the size of memory. Raises `OvfError`."""
        text = self.values.get("VirtualQuantity")
        if text is None:
            return default
        names = ("Item", "VirtualQuantity", "AllocationUnits")
        units = self.values.get("AllocationUnits") or "byte * 2^20"
        return _scaled(text, units, names, self.line) >> 20


@dataclass
class OvfPackage:
    """A descriptor's content."""

    name: str
    virtual_app: bool
    files: dict[str, OvfReference]
    disks: dict[str, OvfDisk]
    networks: list[tuple[str, str]]
    guest: str
    annotation: str
    families: list[str]
    items: list[OvfItem]
    settings: dict[str, str]
    """`vmw:Config` of the hardware, such as `firmware`."""
    extra: dict[str, str]
    """`vmw:ExtraConfig`."""
    eulas: list[str]
    product: dict[str, str]
    properties: list[dict[str, str]]
    options: list[tuple[str, str, str]]
    """Deployment options: id, label, description; the default first."""
    unknown: list[tuple[str, int]] = field(default_factory=list)
    """Sections that were skipped, with their line."""


def _invalid(element: str, attribute: str, value: str, line: int) -> Any:
    fault = vim25.OvfInvalidValue(
        elementName=element, attributeName=attribute, value=value, lineNumber=line
    )
    text = (
        f"Line {line}: Invalid value '{value}' for attribute '{attribute}' on element '{element}'."
    )
    return with_message(fault, text)


def missing(name: str, line: int) -> Any:
    """Return the fault for an element that must be there."""
    return with_message(
        vim25.OvfMissingElement(name=name, lineNumber=line),
        f"Line {line}: Missing child element '{name}'.",
    )


def _local(element: Any) -> str:
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""


def _get(element: Any, name: str) -> str | None:
    """Return an attribute, with the namespace of OVF or without one."""
    found = element.get(_OVF + name)
    return str(found) if found is not None else element.get(name)


def _children(element: Any, name: str) -> Iterator[Any]:
    return (child for child in element if _local(child) == name)


def _text(element: Any, name: str) -> str:
    found = next(_children(element, name), None)
    return "" if found is None else "".join(found.itertext()).strip()


def _bytes(element: Any, attribute: str, units: str) -> int | None:
    text = _get(element, attribute)
    if text is None:
        return None
    names = (_local(element), attribute, units)
    return _scaled(text, _get(element, units) or "byte", names, element.sourceline or 0)


def _scaled(text: str, units: str, names: tuple[str, str, str], line: int) -> int:
    """Return a size in bytes; `names` are those of the element, the number and the units.

    Raises `OvfError`.
    """
    element, attribute, of_units = names
    factor = _factor(units)
    if not factor:
        raise OvfError(_invalid(element, of_units, units, line))
    number = _number(text, _MOST_BYTES // factor)
    if number is None:
        raise OvfError(_invalid(element, attribute, text, line))
    return number * factor


def _factor(units: str) -> int:
    """Return the bytes of a unit; 0 for an unknown one."""
    match = _UNITS.fullmatch(units)
    if match is None:
        return _WORDS.get(units.strip().lower().removesuffix("s"), 0)
    base, power = int(match[1] or 1), int(match[2] or 1)
    return base**power if power <= 60 else 0


def _number(text: str, most: int) -> int | None:
    """Return a number from 0 to `most`, None for any other text."""
    if not _DIGITS.fullmatch(text) or int(text) > most:
        return None
    return int(text)


def parse_descriptor(text: str, option: str = "") -> OvfPackage:
    """Parse a descriptor; `option` is the deployment option, "" for the default. Raises `OvfError`."""
    from lxml import etree  # on first use, so that a host starts without it

    if len(text) > _LARGEST:
        raise OvfError(_malformed(f"more than {_LARGEST} characters", 0))
    parser = etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        root = etree.fromstring(text.encode("utf-8", "replace"), parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise OvfError(_malformed(str(error), getattr(error, "lineno", 0) or 0)) from None
    if root.getroottree().docinfo.doctype:
        raise OvfError(_malformed("a DOCTYPE is not allowed", 1))
    if _local(root) != "Envelope":
        raise OvfError(missing("Envelope", root.sourceline or 0))
    collection = next(_children(root, "VirtualSystemCollection"), None)
    system = next(_children(root if collection is None else collection, "VirtualSystem"), None)
    if system is None:
        raise OvfError(missing("VirtualSystem", root.sourceline or 0))
    files = _files(root)
    options = _options(root)
    chosen = option or (options[0][0] if options else "")
    hardware = next(_children(system, "VirtualHardwareSection"), None)
    guest = next(_children(system, "OperatingSystemSection"), None)
    product = next(_children(system, "ProductSection"), None)
    return OvfPackage(
        name=_text(system, "Name") or _get(system, "id") or "vm",
        virtual_app=collection is not None,
        files=files,
        disks=_disks(root, files),
        networks=_networks(root),
        guest="" if guest is None else guest.get(_VMW + "osType") or "",
        annotation=next(
            (_text(s, "Annotation") for s in _children(system, "AnnotationSection")), ""
        ),
        families=[] if hardware is None else _families(hardware),
        items=[] if hardware is None else list(_items(hardware, chosen)),
        settings={} if hardware is None else _pairs(hardware, "Config"),
        extra={} if hardware is None else _pairs(hardware, "ExtraConfig"),
        eulas=[_text(s, "License") for s in _children(system, "EulaSection")],
        product={} if product is None else {_local(c): (c.text or "").strip() for c in product},
        properties=[] if product is None else _properties(product),
        options=options,
        unknown=list(_unknown(system)),
    )


def _malformed(text: str, line: int) -> Any:
    return with_message(
        vim25.OvfXmlFormat(lineNumber=line, description=text),
        f"Line {line}: OVF descriptor is not well-formed: {text}",
    )


def _files(root: Any) -> dict[str, OvfReference]:
    found = {}
    for section in _children(root, "References"):
        for file in _children(section, "File"):
            id_, href = _get(file, "id"), _get(file, "href")
            if not id_ or not href:
                raise OvfError(missing("File", file.sourceline or 0))
            found[id_] = OvfReference(
                id_,
                href,
                _bytes(file, "size", "units"),
                _get(file, "compression") or "",
                _bytes(file, "chunkSize", "units"),
            )
    return found


def _disks(root: Any, files: dict[str, OvfReference]) -> dict[str, OvfDisk]:
    found = {}
    for section in _children(root, "DiskSection"):
        for disk in _children(section, "Disk"):
            line = disk.sourceline or 0
            id_, reference = _get(disk, "diskId"), _get(disk, "fileRef")
            capacity = _bytes(disk, "capacity", "capacityAllocationUnits")
            if not id_ or capacity is None:
                raise OvfError(missing("Disk", line))
            if reference and reference not in files:
                raise OvfError(_invalid("Disk", "fileRef", reference, line))
            found[id_] = OvfDisk(
                id_,
                capacity,
                _bytes(disk, "populatedSize", "units"),
                files[reference] if reference else None,
                _get(disk, "format") or "",
                line,
            )
    return found


def _networks(root: Any) -> list[tuple[str, str]]:
    return [
        (_get(network, "name") or "", _text(network, "Description"))
        for section in _children(root, "NetworkSection")
        for network in _children(section, "Network")
    ]


def _options(root: Any) -> list[tuple[str, str, str]]:
    found: list[tuple[str, str, str]] = []
    for section in _children(root, "DeploymentOptionSection"):
        for option in _children(section, "Configuration"):
            row = (_get(option, "id") or "", _text(option, "Label"), _text(option, "Description"))
            default = _get(option, "default") in ("true", "1")
            found.insert(0 if default else len(found), row)
    return found


def _families(hardware: Any) -> list[str]:
    return [
        family
        for system in _children(hardware, "System")
        for family in _text(system, "VirtualSystemType").replace(",", " ").split()
    ]


def _items(hardware: Any, option: str) -> Iterator[OvfItem]:
    """Yield the items of a deployment option."""
    for item in hardware:
        if _local(item) not in ("Item", "StorageItem", "EthernetPortItem"):
            continue
        if _local(item) != "Item":  # OVF 2.0; hosts do not take it (macos-virtualbox#300)
            line = item.sourceline or 0
            raise OvfError(
                with_message(
                    vim25.OvfUnsupportedElement(name=_local(item), lineNumber=line),
                    f"Line {line}: Unsupported element '{_local(item)}'.",
                )
            )
        configurations = (_get(item, "configuration") or "").split()
        if configurations and option not in configurations:
            continue
        values = {
            _local(c): "".join(c.itertext()).strip() for c in item if _local(c) != "Connection"
        }
        for config in _children(item, "Config"):
            values[f"config:{config.get(_VMW + 'key')}"] = config.get(_VMW + "value") or ""
        yield OvfItem(
            values,
            ["".join(c.itertext()).strip() for c in _children(item, "Connection")],
            _get(item, "required") != "false",
            item.sourceline or 0,
        )


def _pairs(hardware: Any, name: str) -> dict[str, str]:
    return {
        child.get(_VMW + "key") or "": child.get(_VMW + "value") or ""
        for child in _children(hardware, name)
    }


def _properties(product: Any) -> list[dict[str, str]]:
    keep = ("key", "type", "value", "userConfigurable")
    return [
        {name: value for name in keep if (value := _get(each, name)) is not None}
        | {"label": _text(each, "Label"), "description": _text(each, "Description")}
        for each in _children(product, "Property")
    ]


_KNOWN: Final = frozenset(
    {
        "Info", "Name", "OperatingSystemSection", "VirtualHardwareSection", "AnnotationSection",
        "ProductSection", "EulaSection", "DeploymentOptionSection", "InstallSection",
        "StartupSection", "ResourceAllocationSection", "BootOrderSection",
    }
)  # fmt: skip


def _unknown(system: Any) -> Iterator[tuple[str, int]]:
    """Yield the sections that are skipped. Raises `OvfError` for one that is required."""
    for section in system:
        name = _local(section)
        if not name or name in _KNOWN:
            continue
        line = section.sourceline or 0
        if _get(section, "required") != "false":
            raise OvfError(
                with_message(
                    vim25.OvfUnsupportedSection(
                        name=name, info=_text(section, "Info"), lineNumber=line
                    ),
                    f"Line {line}: Unsupported section '{name}'.",
                )
            )
        yield name, line
