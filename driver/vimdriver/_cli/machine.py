"""What `vimctl instance spawn` can be told about a machine."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cyclopts import Parameter

from vimdriver._cli.flags import Strings
from vimdriver._guestinfo import Form
from vimlib.errors import UsageError, printable

if TYPE_CHECKING:
    from vimdriver._instances.types import InstanceSpec

__all__ = ["Machine", "checked_uuid"]


@Parameter(name="*", group="Machine")
@dataclass(frozen=True, kw_only=True)
class Machine:
    """The machine to make."""

    name: str
    """Name of the machine."""

    image: str
    """Id or name in Glance, http(s) URL, or path of a file."""

    datastore: str
    """Where its disk goes."""

    network: str | None = None
    """Port group of its first NIC."""

    mac: str | None = None
    """MAC address of the first NIC; the host chooses one if none is given."""

    ip: str | None = None
    """Address of the first NIC for the guest, as 10.0.0.2/24."""

    nic: Strings = ()
    """A further NIC: network=PG[,model=vmxnet3][,mac=..][,ip=10.0.0.2/24+fd00::2/64][,gw=..][,dns=a+b][,search=..][,dhcp=4+6][,route=NETWORK@GATEWAY][,mtu=9000]; repeatable. With vlan=42[,interface=vmnic0] its port group is made where it is missing."""

    cpus: int = 1
    """Virtual CPUs."""

    memory_mb: int = 512
    """Memory in MiB."""

    disk_gb: int | None = None
    """Size of the disk in GiB; the image's own if not given."""

    uuid: str | None = None
    """The machine's uuid; given again, it makes a repeated spawn fail instead of doubling."""

    guest_id: str | None = None
    """The API's guestId; the image's vmware_ostype if not given."""

    adapter: str | None = None
    """lsiLogic, lsiLogicsas, busLogic, paraVirtual or ide."""

    hostname: str | None = None
    """Name for the guest."""

    search: Strings = ()
    """DNS search domain of the NICs that have none of their own; repeatable."""

    guest_form: Form = "nova"
    """How the guest is told: `nova` and `original` are the old machine.id, `versioned` the guest helper's own form, `cloud-init` its guestinfo.metadata."""

    power_on: bool = True
    """Power it on when it is made."""

    def spec(self) -> InstanceSpec:
        """Return what the driver takes. Raises `UsageError`."""
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
        return spec if self.uuid is None else replace(spec, uuid=checked_uuid(self.uuid))


def checked_uuid(text: str) -> str:
    """Return a uuid as the API writes it. Raises `UsageError`."""
    import uuid

    try:
        return str(uuid.UUID(text))
    except ValueError:
        raise UsageError(
            f"{printable(text, 60)!r} is no uuid", hint="Leave it out to have one made."
        ) from None
