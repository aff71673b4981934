"""`vimctl instance`: machines."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from driver.cli.connection import CONNECTION, Connection
from driver.cli.each import each
from driver.cli.flags import Flag, Strings
from driver.cli.output import OUTPUT, Output
from driver.cli.progress import meter
from driver.cli.sources import SOURCES, Sources
from driver.guestinfo import Form
from vimlib.errors import NotFoundError, UsageError, printable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from driver.driver import ESXDriver
    from driver.instances.types import Instance

__all__ = [
    "COLUMNS",
    "destroy",
    "list_",
    "reboot",
    "resume",
    "show",
    "shutdown",
    "spawn",
    "start",
    "stop",
    "suspend",
]

COLUMNS = ("uuid", "name", "power_state", "cpus", "memory_mb", "moref")
Ref = Annotated[str, Parameter(help="The machine's uuid, its name, or its reference's value.")]


@asynccontextmanager
async def opened(connection: Connection) -> AsyncIterator[ESXDriver]:
    """Give a driver that needs no images."""
    from driver.driver import ESXDriver

    async with SOURCES.open([]) as store, connection.client() as client:
        yield ESXDriver(client, store)


def show_instance(found: Instance, output: Output) -> None:
    """Print one machine."""
    output.fields(found.to_json())


async def list_(*, connection: Connection = CONNECTION, output: Output = OUTPUT) -> None:
    """List the machines of the host."""
    async with opened(connection) as driver:
        found = await driver.list_instances()
    output.table(COLUMNS, [instance.to_json() for instance in found])


async def show(
    instance: Ref, /, *, connection: Connection = CONNECTION, output: Output = OUTPUT
) -> None:
    """Show one machine."""
    async with opened(connection) as driver:
        found = await driver.info(instance)
    show_instance(found, output)


async def spawn(
    *,
    name: str,
    image: str,
    datastore: str,
    network: str | None = None,
    mac: str | None = None,
    ip: str | None = None,
    nic: Strings = (),
    cpus: int = 1,
    memory_mb: int = 512,
    disk_gb: int | None = None,
    uuid: str | None = None,
    guest_id: str | None = None,
    adapter: str | None = None,
    hostname: str | None = None,
    search: Strings = (),
    guest_form: Form = "nova",
    power_on: bool = True,
    sources: Sources = SOURCES,
    connection: Connection = CONNECTION,
    output: Output = OUTPUT,
) -> None:
    """Make a machine from a flat image (raw, or a preallocated VMDK) and power it on.

    Whatever fails on the way, and Ctrl-C too, leaves neither machine nor files. What the guest's
    form cannot say is named on stderr.

    Args:
        name: Name of the machine.
        image: Id or name in Glance, http(s) URL, or path of a file.
        datastore: Where its disk goes.
        network: Port group of its first NIC.
        mac: MAC address of the first NIC; the host chooses one if none is given.
        ip: Address of the first NIC for the guest, as 10.0.0.2/24.
        nic: A further NIC: network=PG[,model=vmxnet3][,mac=..][,ip=10.0.0.2/24+fd00::2/64][,gw=..]
            [,dns=a+b][,search=..][,dhcp=4+6][,route=NETWORK@GATEWAY][,mtu=9000]; repeatable. With
            vlan=42[,interface=vmnic0] its port group is made where it is missing.
        cpus: Virtual CPUs.
        memory_mb: Memory in MiB.
        disk_gb: Size of the disk in GiB; the image's own if not given.
        uuid: The machine's uuid; given again, it makes a repeated spawn fail instead of doubling.
        guest_id: The API's guestId; the image's vmware_ostype if not given.
        adapter: lsiLogic, lsiLogicsas, busLogic, paraVirtual or ide.
        hostname: Name for the guest.
        search: DNS search domain of the NICs that have none of their own; repeatable.
        guest_form: How the guest is told: `nova` and `original` are the old machine.id, `versioned`
            the guest helper's own form, `cloud-init` its guestinfo.metadata.
        power_on: Power it on when it is made.
    """
    from driver.cli.nics import all_nics
    from driver.config import DriverConfig
    from driver.driver import ESXDriver
    from driver.guestinfo import left_out
    from driver.instances.plan import guest_config
    from driver.instances.types import InstanceSpec

    spec = InstanceSpec(
        name=name,
        image=image,
        datastore=datastore,
        nics=all_nics(network, mac, ip, nic),
        cpus=cpus,
        memory_mb=memory_mb,
        disk_gb=disk_gb,
        guest_id=guest_id,
        adapter=adapter,
        hostname=hostname,
        search=search,
        power_on=power_on,
    )
    if uuid is not None:
        spec = replace(spec, uuid=checked_uuid(uuid))
    for lost in left_out(guest_config(spec), guest_form):
        output.say(f"the form {guest_form} cannot say: {lost}")
    async with sources.open([image]) as store, connection.client() as client:
        driver = ESXDriver(client, store, DriverConfig(guest_form=guest_form))
        with meter(output) as progress:
            progress.start(name, (await store.image(image).info()).size)
            found = await driver.spawn(spec, on_progress=lambda n: progress.advance(name, n))
            progress.end(name)
    show_instance(found, output)


def checked_uuid(text: str) -> str:
    """Return a uuid as the API writes it. Raises `UsageError`."""
    import uuid

    try:
        return str(uuid.UUID(text))
    except ValueError:
        raise UsageError(
            f"{printable(text, 60)!r} is no uuid", hint="Leave it out to have one made."
        ) from None


async def destroy(
    *instances: str,
    foreign: Flag = False,
    missing_ok: Flag = False,
    connection: Connection = CONNECTION,
    output: Output = OUTPUT,
) -> int:
    """Power machines off and remove them with their files.

    Args:
        instances: Uuids, names, or values of references.
        foreign: Also those that this driver did not make.
        missing_ok: A machine that is not there is no failure.
    """
    if not instances:
        raise UsageError("no machine was named", hint="Try: vimctl instance list")

    async def remove(driver: ESXDriver, ref: str) -> None:
        if not await driver.destroy(ref, foreign=foreign) and not missing_ok:
            raise NotFoundError(
                f"no machine {printable(ref, 80)!r} on {driver.client.host}",
                kind="VirtualMachine",
                name=ref,
                hint="vimctl instance list shows those that are there.",
            )

    async with opened(connection) as driver:
        return await each(
            instances,
            [remove(driver, ref) for ref in instances],
            noun="instance",
            done="destroyed",
            output=output,
        )


async def _power(
    connection: Connection,
    output: Output,
    work: Callable[[ESXDriver], Awaitable[Instance]],
) -> None:
    async with opened(connection) as driver:
        found = await work(driver)
    show_instance(found, output)


async def start(
    instance: Ref, /, *, connection: Connection = CONNECTION, output: Output = OUTPUT
) -> None:
    """Power a machine on."""
    await _power(connection, output, lambda driver: driver.power_on(instance))


async def stop(
    instance: Ref, /, *, connection: Connection = CONNECTION, output: Output = OUTPUT
) -> None:
    """Cut a machine's power."""
    await _power(connection, output, lambda driver: driver.power_off(instance))


async def shutdown(
    instance: Ref,
    /,
    *,
    grace: float = 60.0,
    connection: Connection = CONNECTION,
    output: Output = OUTPUT,
) -> None:
    """Let the guest shut down; cut the power if it has not after a while.

    Args:
        grace: Seconds that the guest has.
    """
    await _power(connection, output, lambda driver: driver.shutdown(instance, timeout=grace))


async def reboot(
    instance: Ref,
    /,
    *,
    hard: Flag = False,
    connection: Connection = CONNECTION,
    output: Output = OUTPUT,
) -> None:
    """Let the guest reboot where it can, else reset.

    Args:
        hard: Reset without asking the guest.
    """
    await _power(connection, output, lambda driver: driver.reboot(instance, soft=not hard))


async def suspend(
    instance: Ref, /, *, connection: Connection = CONNECTION, output: Output = OUTPUT
) -> None:
    """Suspend a machine to disk."""
    await _power(connection, output, lambda driver: driver.suspend(instance))


async def resume(
    instance: Ref, /, *, connection: Connection = CONNECTION, output: Output = OUTPUT
) -> None:
    """Wake a suspended machine."""
    await _power(connection, output, lambda driver: driver.resume(instance))
