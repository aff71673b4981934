"""The properties of an image in Glance that describe its machine. Pure.

The names are those of nova and Glance ("Useful image properties" of Glance's administrator guide, and
nova's vmwareapi driver for `vmware_*`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from vimdriver._instances.devices import ADAPTERS
from vimdriver.errors import ImageUnacceptableError
from vimlib.model import parse_version

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vimdriver._images.source import ImageInfo
    from vimdriver._instances.types import FurtherDisk, InstanceSpec, NICModel, NICSpec

_GIB: Final = 1 << 30

_VIF_MODELS: Final[Mapping[str, NICModel]] = {
    "e1000": "e1000",
    "virtuale1000": "e1000",
    "e1000e": "e1000e",
    "virtuale1000e": "e1000e",
    "vmxnet": "vmxnet3",
    "vmxnet3": "vmxnet3",
    "virtualvmxnet3": "vmxnet3",
    "pcnet": "pcnet32",
    "pcnet32": "pcnet32",
    "virtualpcnet32": "pcnet32",
}
_SCSI_MODELS: Final = {
    "lsilogic": "lsiLogic",
    "lsisas1068": "lsiLogicsas",
    "buslogic": "busLogic",
    "vmpvscsi": "paraVirtual",
    "pvscsi": "paraVirtual",
}
# Ids that hosts know since API 4.0.
_DISTROS: Final = {
    "ubuntu": "ubuntu64Guest",
    "debian": "debian5_64Guest",
    "centos": "rhel5_64Guest",
    "rocky": "rhel5_64Guest",
    "almalinux": "rhel5_64Guest",
    "rhel": "rhel5_64Guest",
    "fedora": "otherLinux64Guest",
    "opensuse": "sles11_64Guest",
    "sled": "sles11_64Guest",
    "sles": "sles11_64Guest",
    "freebsd": "freebsd64Guest",
    "arch": "otherLinux64Guest",
    "alpine": "otherLinux64Guest",
    "gentoo": "otherLinux64Guest",
    "windows": "windows7Server64Guest",
}
EFI_SINCE: Final = "5.0"
# They describe the image itself, and are read elsewhere or do not concern the machine.
_KNOWN: Final = frozenset(
    {"vmware_disktype", "vmware_image_version", "vmware_ostype", "vmware_adaptertype"}
)
_PREFIXES: Final = ("hw_", "vmware_", "os_distro", "os_type")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageDefaults:
    """The settings of a machine that an image states, used where the spec has none."""

    guest_id: str | None = None
    adapter: str | None = None
    nic_model: NICModel | None = None
    firmware: str | None = None
    """`bios` or `efi`."""
    linked: bool | None = None
    """`vmware_linked_clone`."""
    min_disk_gb: int = 0
    cpus: int | None = None
    memory_mb: int | None = None
    """MiB."""
    nics: tuple[NICSpec, ...] = ()
    disks: tuple[FurtherDisk, ...] = ()
    """Those of an OVA besides the first one."""
    ignored: tuple[str, ...] = ()
    """`name=value` of each property about the machine that has no effect here."""


def image_defaults(image: ImageInfo, *, api_version: str) -> ImageDefaults:
    """Return the settings of its machine that an image states. Pure."""
    given = image.properties
    used = set(_KNOWN)

    def take(name: str, known: Mapping[str, str]) -> str | None:
        found = known.get(given.get(name, "").lower())
        if found is not None:
            used.add(name)
        return found

    adapter = given.get("vmware_adaptertype")
    bus = take("hw_disk_bus", {"scsi": "scsi", "ide": "ide"})
    scsi = take("hw_scsi_model", _SCSI_MODELS)
    if adapter is None:
        adapter = "ide" if bus == "ide" else scsi
    adapter = next((a for a in ADAPTERS if a.lower() == (adapter or "").lower()), adapter)
    efi = parse_version(api_version) >= parse_version(EFI_SINCE)
    firmware = take("hw_firmware_type", {"bios": "bios", **({"uefi": "efi"} if efi else {})})
    take("hw_cdrom_bus", {"ide": "ide"})
    linked = take("vmware_linked_clone", {"true": "yes", "false": ""})
    guest_id = given.get("vmware_ostype") or take("os_distro", _DISTROS)
    if "vmware_ostype" in given:
        used |= {"os_distro", "os_type"}
    elif guest_id is not None:
        used.add("os_type")
    else:
        guest_id = take("os_type", {"linux": "otherLinux64Guest", "windows": _DISTROS["windows"]})
    model = given.get("hw_vif_model", "").lower()
    if model in _VIF_MODELS:
        used.add("hw_vif_model")
    return ImageDefaults(
        guest_id=guest_id,
        adapter=adapter,
        nic_model=_VIF_MODELS.get(model),
        firmware=firmware,
        linked=None if linked is None else bool(linked),
        min_disk_gb=image.min_disk,
        ignored=tuple(
            f"{name}={given[name]}"
            for name in sorted(given)
            if name.startswith(_PREFIXES) and name not in used
        ),
    )


def check_least(image: ImageInfo, spec: InstanceSpec, shown: str) -> None:
    """Check `min_ram` and `min_disk` against the machine.

    Raises:
        ImageUnacceptableError: The machine is smaller than the image needs.
    """
    if spec.memory_mb is not None and spec.memory_mb < image.min_ram:
        raise ImageUnacceptableError(
            rule="spawn.min_ram",
            detail=f"the image needs {image.min_ram} MiB of memory, the machine has {spec.memory_mb}",
            image=shown,
            hint=f"Give --memory-mb {-(-image.min_ram // 4) * 4} or more.",
        )
    if spec.disk_gb is not None and spec.disk_gb < image.min_disk:
        raise ImageUnacceptableError(
            rule="spawn.min_disk",
            detail=f"the image needs a disk of {image.min_disk} GiB, the machine has {spec.disk_gb}",
            image=shown,
            hint=f"Give --disk-gb {image.min_disk} or more.",
        )


def root_bytes(capacity: int, spec: InstanceSpec, image: ImageInfo | None, shown: str) -> int:
    """Return the bytes of a root disk, of which the image's disk has `capacity`: whole KiB.

    Raises:
        ImageUnacceptableError: The image's disk is larger than the disk that is wanted.
    """
    if spec.disk_gb is not None and capacity > spec.disk_gb * _GIB:
        raise ImageUnacceptableError(
            rule="spawn.size",
            detail=f"the image has {capacity} bytes, more than the disk of {spec.disk_gb} GiB",
            image=shown,
            hint=f"Give --disk-gb {-(-capacity // _GIB)} or more.",
        )
    least = (image.min_disk if image is not None else 0) * _GIB
    wanted = spec.disk_gb * _GIB if spec.disk_gb is not None else max(capacity, least)
    return -(-wanted // 1024) * 1024
