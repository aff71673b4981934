"""The options of `vimctl instance spawn` that describe the machine."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from vimdriver._cli.flags import Strings, within
from vimdriver._guestinfo import Form

if TYPE_CHECKING:
    from vimdriver._instances.types import InstanceSpec


@Parameter(name="*", group="Machine")
@dataclass(frozen=True, kw_only=True)
class MachineOptions:
    """The machine to create."""

    name: str
    """Name of the machine."""

    image: str
    """Id or name in Glance, http(s) URL, or path of a file."""

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

    cpus: Annotated[int, within(1)] = 1
    """Number of virtual CPUs."""

    memory_mb: int = 512
    """Memory in MiB, a multiple of 4."""

    disk_gb: Annotated[int | None, within(1)] = None
    """Size of the disk in GiB; the default is the size of the image."""

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

    def spec(self) -> InstanceSpec:
        """Return the driver's spec. Raises `UsageError`."""
        from vimdriver._cli.nics import all_nics
        from vimdriver._instances.types import InstanceSpec

        spec = InstanceSpec(
            name=self.name,
            image=self.image,
            datastore=self.datastore,
            nics=all_nics(self.network, self.mac, self.ip, self.nic),
            cpus=self.cpus,
            memory_mb=self.memory_mb,
            disk_gb=self.disk_gb,
            guest_id=self.guest_id,
            adapter=self.adapter,
            hostname=self.hostname,
            search=self.search,
            power_on=self.power_on,
        )
        return spec if self.uuid is None else replace(spec, uuid=self.uuid)
