"""The specification of a machine, and a machine as the host shows it. Plain values, no I/O."""

from __future__ import annotations

import re
import uuid as uuid_
from dataclasses import dataclass, field, fields
from typing import Final, Literal, TypeAlias, get_args

from vimdriver._disks.transfer import TRANSFERS, Transfer
from vimdriver._guestinfo import Route
from vimdriver._images.source import masked_reference, shown_reference
from vimdriver._instances.config_drive import ConfigDrive
from vimdriver._instances.disk_spec import GIB_KB, Adapter, DiskMode, DiskSpec, DiskType
from vimdriver._instances.hardware import HardwareSpec
from vimdriver._networks.port_groups import check_vlan
from vimlib._repr import robust
from vimlib._text import is_line, printable
from vimlib.errors import UsageError
from vimlib.model._data import SECRET

MIB: Final = 1 << 20
NICModel: TypeAlias = Literal["e1000", "e1000e", "vmxnet3", "pcnet32"]
Clone: TypeAlias = Literal["copy", "linked", "none"]
CLONES: Final[tuple[Clone, ...]] = get_args(Clone)
PowerAction: TypeAlias = Literal["guest_shutdown", "guest_reboot", "power_off", "reset", "none"]
NIC_MODELS: Final = ("e1000", "e1000e", "vmxnet3", "pcnet32")

_LONGEST_NAME: Final = (
    80  # of an entity, where the API has no fault for a longer one but InvalidName
)
_MAC: Final = re.compile(r"(?:[0-9a-f]{2}:){5}[0-9a-f]{2}")


def check_name(name: str) -> None:
    """Raise `UsageError` for a machine's name that hosts do not take: any Unicode text of one line is fine."""
    fits = 0 < len(name) <= _LONGEST_NAME and is_line(name) and name == name.strip()
    # Hosts make folders of names.
    if not fits or name.startswith("."):
        raise UsageError(
            f"name must be 1 to {_LONGEST_NAME} printable characters without spaces at the ends, "
            f"got {printable(name, 100)!r}",
            field="name",
            hint="The first character must not be a dot.",
        )


def check_text(field: str, text: str) -> None:
    """Raise `UsageError` for a text of several lines that no reply could carry back."""
    if not all(is_line(line) for line in text.replace("\t", " ").split("\n")):
        raise UsageError(
            f"{field} must not have control characters, got {printable(text, 100)!r}", field=field
        )


def check_cpus(cpus: int) -> None:
    """Raise `UsageError` for a number of CPUs that no host takes."""
    if cpus < 1:
        raise UsageError(f"cpus must be at least 1, got {cpus}", field="cpus")


def check_memory(memory_mb: int) -> None:
    """Raise `UsageError` for a size of memory that no host takes."""
    if memory_mb < 4 or memory_mb % 4:
        raise UsageError(
            f"memory_mb must be a multiple of 4, at least 4, got {memory_mb}", field="memory_mb"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class NICSpec:
    """One network card to make.

    The fields after `mac` are for the guest, which finds its card by the MAC; the host ignores them.
    """

    network: str
    """Name of the port group."""
    model: NICModel | None = None
    """None takes the image's `hw_vif_model`, else e1000."""
    mac: str | None = None
    """Lower case with colons; None lets the host choose, and the guest's settings are written with
    its choice before the machine is powered on."""
    addresses: tuple[str, ...] = ()
    """`10.0.0.2/24`, IPv4 or IPv6."""
    gateway: str | None = None
    gateway6: str | None = None
    dns: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    """DNS domains; the machine's own where there are none."""
    dhcp4: bool = False
    dhcp6: bool = False
    routes: tuple[Route, ...] = ()
    mtu: int | None = None
    """Bytes; the virtual switch must carry them too."""
    vlan: int | None = None
    """VLAN id: the port group is made for it where it is missing. None: it must be there."""
    interface: str = "vmnic0"
    """With `vlan`: the physical NIC whose virtual switch the port group is on."""

    def __post_init__(self) -> None:
        if self.vlan is not None:
            check_vlan(self.network, self.vlan)
        if self.model is not None and self.model not in NIC_MODELS:
            raise UsageError(
                f"model must be one of {', '.join(NIC_MODELS)}, got {self.model!r}", field="model"
            )
        if self.mac is not None and not _MAC.fullmatch(self.mac):
            raise UsageError(
                f"invalid MAC address: {self.mac!r}",
                field="mac",
                hint="Write it as 00:50:56:00:00:01.",
            )

    @property
    def for_the_guest(self) -> bool:
        """Whether any field is for the guest."""
        names = "addresses gateway gateway6 dns search dhcp4 dhcp6 routes mtu"
        return any(getattr(self, name) for name in names.split())


@dataclass(frozen=True, slots=True, kw_only=True)
class FurtherDisk:
    """A disk of a machine to come besides its root disk."""

    capacity_kb: int
    """KiB."""
    adapter: Adapter = "lsiLogic"
    mode: DiskMode = "persistent"
    disk_type: DiskType = "thin"
    number: int | None = None
    """Which disk of an OVA it gets; None for a blank one."""

    @classmethod
    def of(cls, disk: DiskSpec) -> FurtherDisk:
        """Return a blank disk as a caller asks for it."""
        return cls(
            capacity_kb=disk.size_gb * GIB_KB,
            adapter=disk.adapter,
            mode=disk.mode,
            disk_type=disk.disk_type,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceSpec:
    """A machine to make from an image."""

    name: str
    image: str | None = None
    """As the image store takes it: an id, a name, a path or a URL; or `[ds] dir/disk.vmdk` or `.iso` on
    the host. None makes a machine without an image, with a blank disk of `disk_gb` or none."""
    datastore: str
    nics: tuple[NICSpec, ...] = ()
    """Without any, those of the OVF descriptor whose network the host has."""
    cpus: int | None = None
    """None takes the OVF descriptor's, else 1."""
    memory_mb: int | None = None
    """MiB; a multiple of 4, as the host demands. None takes the OVF descriptor's, else 512."""
    disk_gb: int | None = None
    """GiB of the root disk; None takes the image's size."""
    uuid: str = field(default_factory=lambda: str(uuid_.uuid4()))
    """`instanceUuid`; give the same one again to make a repeated spawn fail instead of doubling."""
    guest_id: str | None = None
    """The API's guestId; None takes the image's `vmware_ostype`, else `otherGuest`."""
    adapter: str | None = None
    """`lsiLogic`, `lsiLogicsas`, `busLogic`, `paraVirtual` or `ide`; None takes the image's, else lsiLogic."""
    extra_config: tuple[tuple[str, str], ...] = ()
    hostname: str | None = None
    search: tuple[str, ...] = ()
    """DNS domains of the NICs that have none of their own."""
    power_on: bool = True
    hardware: HardwareSpec = HardwareSpec()  # noqa: RUF009 - it is frozen
    disks: tuple[DiskSpec, ...] = ()
    """Further disks, blank: swap, ephemeral, data. The root disk is the image's."""
    serial_log: bool = False
    """Whether a serial port writes to a file in the machine's folder, which `console_log` reads."""
    config_drive: ConfigDrive | None = None
    annotation: str = ""
    """Notes for people."""
    metadata: tuple[tuple[str, str], ...] = ()
    """Names and values, which become lines `name:value` of the annotation."""

    clone: Clone | None = None
    """How the disk comes from an image that the host has, or whose source states its hash: `copy` and
    `linked` from the datastore's cache, which fetches it once; `none` fetches it for this machine alone,
    and takes a disk on the host as it is. None is the image's `vmware_linked_clone`, else copy."""
    transfer: Transfer | None = None
    """`nfc` imports the image, without its holes; `put` uploads all of it, `sparse`
    has the host convert its own file; None chooses by rule."""

    @property
    def notes(self) -> str:
        """The annotation with the metadata."""
        lines = [self.annotation] if self.annotation else []
        return "\n".join(lines + [f"{name}:{value}" for name, value in self.metadata])

    @property
    def shown(self) -> str:
        """The image as messages may show it."""
        return shown_reference(self.image or "")

    @robust
    def __repr__(self) -> str:
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        # A URL may have a password or be signed; extraConfig and metadata may hold what a guest logs in with.
        values["image"] = None if self.image is None else masked_reference(self.image)
        for name in ("extra_config", "metadata"):
            values[name] = tuple((key, SECRET) for key, _ in values[name])
        return f"InstanceSpec({', '.join(f'{name}={value!r}' for name, value in values.items())})"

    def __post_init__(self) -> None:
        check_name(self.name)
        if self.cpus is not None:
            check_cpus(self.cpus)
        if self.memory_mb is not None:
            check_memory(self.memory_mb)
        self.hardware.check(self.cpus, self.memory_mb)
        check_text("annotation", self.notes)
        if self.clone not in (None, *CLONES):
            raise UsageError(
                f"clone must be one of {', '.join(CLONES)}, got {self.clone!r}", field="clone"
            )
        if self.transfer not in (None, *TRANSFERS):
            raise UsageError(
                f"transfer must be one of {', '.join(TRANSFERS)}, got {self.transfer!r}",
                field="transfer",
            )
        if self.disk_gb is not None and self.disk_gb < 1:
            raise UsageError(f"disk_gb must be at least 1, got {self.disk_gb}", field="disk_gb")
        try:
            # As the host writes it, whatever the caller's way.
            object.__setattr__(self, "uuid", str(uuid_.UUID(self.uuid)))
        except ValueError:
            raise UsageError(
                f"invalid UUID: {self.uuid!r}", field="uuid", hint="Omit it to generate one."
            ) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """A machine on the host, as last read."""

    uuid: str
    """`config.instanceUuid`; "" where the host shows no configuration."""
    name: str
    power_state: str
    """The API's word: `poweredOn`, `poweredOff`, `suspended`."""
    cpus: int
    memory_mb: int
    moref: str
    """The reference's value, as `12`."""
    connection_state: str = "connected"
    """`connected`, `disconnected`, `orphaned`, `inaccessible`, `invalid`."""

    def to_json(self) -> dict[str, str | int]:
        """Return the row that `vimctl instance list --json` prints."""
        return {
            "uuid": self.uuid,
            "name": self.name,
            "power_state": self.power_state,
            "cpus": self.cpus,
            "memory_mb": self.memory_mb,
            "moref": self.moref,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerChange(Instance):
    """A machine after a shutdown or a reboot, and which of the ways was taken."""

    action: PowerAction
    """`guest_shutdown` or `guest_reboot`: the guest did it; `power_off` or `reset`: the host cut the
    power or reset the machine; `none`: it was off already."""

    def to_json(self) -> dict[str, str | int]:
        """Return the row of `Instance.to_json` with `action`."""
        return {**Instance.to_json(self), "action": self.action}
