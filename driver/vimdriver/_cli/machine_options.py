"""The options of `vimctl instance spawn` that describe the machine."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from vimdriver._cli.flags import Flag, Strings, within
from vimdriver._guestinfo import Form
from vimdriver._instances.config_drive import LARGEST, Layout
from vimdriver._instances.hardware import Firmware
from vimlib._text import printable
from vimlib.errors import UsageError

if TYPE_CHECKING:
    from vimdriver._instances.config_drive import ConfigDrive
    from vimdriver._instances.types import InstanceSpec


@Parameter(name="*", group="Machine")
@dataclass(frozen=True, kw_only=True)
class MachineOptions:
    """The machine to create."""

    name: str
    """Name of the machine."""

    image: str | None = None
    """Id or name in Glance, http(s) URL, path of a file, or a disk or ISO image on the host as `[datastore1] images/a.vmdk`. Without it, the machine has a blank disk of --disk-gb or none."""

    datastore: str
    """Datastore of its disk."""

    network: str | None = None
    """Port group of its first NIC."""

    mac: str | None = None
    """MAC address of the first NIC; the default is chosen by the host."""

    ip: str | None = None
    """IP address of the guest's first NIC, for example 10.0.0.2/24."""

    nic: Strings = ()
    """Further NIC as network=PG[,model=vmxnet3][,mac=..][,ip=10.0.0.2/24+fd00::2/64][,gw=..][,dns=a+b][,search=..][,dhcp=4+6][,route=NETWORK@GATEWAY][,mtu=9000]; repeatable. vlan=42[,interface=vmnic0] creates the port group if it is missing."""

    cpus: Annotated[int | None, within(1)] = None
    """Number of virtual CPUs; the default is that of the OVA, else 1."""

    memory_mb: int | None = None
    """Memory in MiB, a multiple of 4; the default is that of the OVA, else 512."""

    disk_gb: Annotated[int | None, within(1)] = None
    """Size of the disk in GiB; the default is the size of the image."""

    clone: Literal["copy", "linked", "none"] | None = None
    """How the disk comes from an image that the host has or caches: a copy, a disk that is linked to it, or `none`: fetched for this machine alone, or a disk on the host as it is. The default is copy."""

    transfer: Literal["nfc", "put", "sparse"] | None = None
    """`nfc` imports the image, without its holes; `put` uploads all of it, `sparse` uploads a sparse or streamOptimized file as it is and has the host convert it. The default is chosen by the image."""

    uuid: str | None = None
    """UUID of the machine; a second spawn with the same UUID fails. The default is random."""

    guest_id: str | None = None
    """guestId of the API; the default is the image's vmware_ostype."""

    adapter: str | None = None
    """Disk adapter: lsiLogic, lsiLogicsas, busLogic, paraVirtual or ide."""

    hostname: str | None = None
    """Host name of the guest."""

    search: Strings = ()
    """DNS search domain of NICs without one of their own; repeatable."""

    guest_form: Form = "nova"
    """Format of the guest configuration: `nova` and `original` write machine.id, `versioned` the format of the guest helper, `cloud-init` guestinfo.metadata."""

    power_on: bool = True
    """Power the machine on after its creation."""

    disk: Strings = ()
    """Further blank disk as size=GIB[,adapter=lsiLogic][,mode=persistent][,type=thin]; repeatable."""

    cores_per_socket: Annotated[int | None, within(1)] = None
    """Cores of a virtual socket; the number of CPUs must be a multiple of it."""

    hardware_version: str | None = None
    """Hardware version, for example vmx-13; the default is chosen by the host."""

    firmware: Firmware | None = None
    """bios or efi; the default is chosen by the host."""

    secure_boot: Flag = False
    """Boot signed software only; requires --firmware efi."""

    video_ram_mb: Annotated[int | None, within(1, 128)] = None
    """Video memory in MiB."""

    nested: Flag = False
    """Let the guest run machines itself."""

    allocation: Strings = ()
    """Share of a resource as cpu|memory|network|disk[,reservation=N][,limit=N][,shares=low|normal|high|N], in MHz, MiB, Mbit/s or I/O operations per second; repeatable."""

    annotation: str = ""
    """Notes for people."""

    metadata: Strings = ()
    """NAME=VALUE for the annotation and the config drive; repeatable."""

    extra_config: Strings = ()
    """Setting of the machine as KEY=VALUE, for example guestinfo.role=db; repeatable. Only keys that cannot take files or devices of the host are allowed."""

    serial_log: Flag = False
    """Write what the guest prints on its serial port to a file, for `instance console-log`."""

    config_drive: Layout | None = None
    """Attach a config drive, of the layout openstack or cidata."""

    user_data: Path | None = None
    """File with the user data of the config drive."""

    def spec(self) -> InstanceSpec:
        """Return the driver's spec. Raises `UsageError`."""
        from vimdriver._cli.hardware import pairs, parse_allocations, parse_disk
        from vimdriver._cli.nics import all_nics
        from vimdriver._instances.hardware import HardwareSpec
        from vimdriver._instances.types import InstanceSpec

        metadata = pairs("--metadata", self.metadata)
        spec = InstanceSpec(
            name=self.name,
            image=self.image,
            datastore=self.datastore,
            nics=all_nics(self.network, self.mac, self.ip, self.nic),
            cpus=self.cpus,
            memory_mb=self.memory_mb,
            disk_gb=self.disk_gb,
            clone=self.clone,
            transfer=self.transfer,
            guest_id=self.guest_id,
            adapter=self.adapter,
            hostname=self.hostname,
            search=self.search,
            power_on=self.power_on,
            hardware=HardwareSpec(
                cores_per_socket=self.cores_per_socket,
                version=self.hardware_version,
                firmware=self.firmware,
                secure_boot=self.secure_boot,
                video_ram_mb=self.video_ram_mb,
                nested=self.nested,
                **parse_allocations(self.allocation),
            ),
            disks=tuple(parse_disk(text) for text in self.disk),
            annotation=self.annotation,
            metadata=metadata,
            extra_config=pairs("--extra-config", self.extra_config),
            serial_log=self.serial_log,
            config_drive=self._drive(metadata),
        )
        return spec if self.uuid is None else replace(spec, uuid=self.uuid)

    def _drive(self, metadata: tuple[tuple[str, str], ...]) -> ConfigDrive | None:
        from vimdriver._instances.config_drive import ConfigDrive

        if self.config_drive is None:
            if self.user_data is not None:
                raise UsageError(
                    "--user-data requires --config-drive", hint="Give --config-drive openstack too."
                )
            return None
        data = None
        if self.user_data is not None:
            try:
                with self.user_data.open("rb") as file:
                    data = file.read(LARGEST + 1)
            except OSError as error:
                raise UsageError(
                    f"cannot read --user-data {printable(str(self.user_data))!r}: {error.strerror}"
                ) from error
        return ConfigDrive(layout=self.config_drive, user_data=data, metadata=metadata)
