"""The settings of a machine that an OVF descriptor states, for all that the caller leaves open. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, get_args

from vimdriver._instances.devices import ADAPTERS
from vimdriver._instances.disk_spec import Adapter
from vimdriver._instances.image_properties import EFI_SINCE
from vimdriver._instances.types import FurtherDisk, NICSpec
from vimlib.model import parse_version

if TYPE_CHECKING:
    from vimdriver._images.formats.survey import Contents
    from vimdriver._instances.image_properties import ImageDefaults
    from vimdriver._instances.types import InstanceSpec

CPUS: Final = 1
MEMORY_MB: Final = 512
"""MiB."""
_FALLBACK: Final = "lsiLogic"


def package_defaults(
    defaults: ImageDefaults, package: Contents, networks: Collection[str], *, api_version: str
) -> ImageDefaults:
    """Return the defaults of an image with those of its descriptor behind them.

    Args:
        defaults: Of the image's properties, which go first.
        package: The image's contents.
        networks: Names of the host's networks.
        api_version: Of the host.
    """
    machine = package.machine
    ignored = [*defaults.ignored, *(f"OVF hardware {name}" for name in machine.ignored)]
    root = package.disks[0].described
    adapter = root.adapter if root.adapter in ADAPTERS else None
    if root.adapter is not None and adapter is None:
        ignored.append(f"OVF adapter {root.adapter} of the first disk: {_FALLBACK} is used")
    firmware = machine.firmware
    if firmware == "efi" and parse_version(api_version) < parse_version(EFI_SINCE):
        ignored.append("OVF firmware efi")
        firmware = None
    nics: list[NICSpec] = []
    for card in machine.nics:
        if card.network in networks:
            model: Any = card.model
            nics.append(NICSpec(network=card.network, model=model))
        else:
            ignored.append(
                f"OVF network {card.network!r}, which the host has not: no NIC is made for it"
            )
    if machine.secure_boot:
        ignored.append("OVF secure boot")
    return replace(
        defaults,
        guest_id=defaults.guest_id or machine.guest_id,
        adapter=defaults.adapter or adapter,
        firmware=defaults.firmware or firmware,
        nic_model=defaults.nic_model or next((card.model for card in nics if card.model), None),
        cpus=machine.cpus,
        memory_mb=machine.memory_mb,
        nics=tuple(nics),
        disks=tuple(_further(package, ignored)),
        ignored=tuple(ignored),
    )


def _further(package: Contents, ignored: list[str]) -> list[FurtherDisk]:
    """Return the machine's disks after the first one with data."""
    numbers = {disk.described.file: number for number, disk in enumerate(package.disks)}
    found: list[FurtherDisk] = []
    for disk in package.machine.disks:
        number = None if disk.file is None else numbers[disk.file]
        if number == 0:
            continue
        adapter: Any = disk.adapter
        if adapter not in get_args(Adapter) or adapter == "ide":
            ignored.append(f"OVF adapter {adapter} of a further disk: {_FALLBACK} is used")
            adapter = _FALLBACK
        found.append(
            FurtherDisk(capacity_kb=-(-disk.capacity // 1024), adapter=adapter, number=number)
        )
    return found


def filled(spec: InstanceSpec, defaults: ImageDefaults) -> InstanceSpec:
    """Return a specification with CPUs, memory and NICs, from the image where the caller gave none.

    Raises:
        UsageError: The caller's values do not go together with the image's.
    """
    return replace(
        spec,
        cpus=spec.cpus or defaults.cpus or CPUS,
        memory_mb=spec.memory_mb or defaults.memory_mb or MEMORY_MB,
        nics=spec.nics or defaults.nics,
    )
