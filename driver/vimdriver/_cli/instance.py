"""`vimctl instance`: machines."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from vimdriver._cli.connection import CONNECTION, ConnectionOptions
from vimdriver._cli.each import each
from vimdriver._cli.flags import ABOVE_0, Flag, Parallel
from vimdriver._cli.machine_options import MachineOptions
from vimdriver._cli.output import OUTPUT, Output
from vimdriver._cli.ownership import OWNERSHIP, Ownership
from vimdriver._cli.progress import meter
from vimdriver._cli.sources import SOURCES, Sources, on_host
from vimlib._text import printable
from vimlib.errors import NotFoundError, UsageError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from vimdriver._driver import ESXDriver

COLUMNS = ("uuid", "name", "power_state", "cpus", "memory_mb", "moref")
Ref = Annotated[str, Parameter(help="UUID, name or reference of the machine.")]


@asynccontextmanager
async def opened(
    connection: ConnectionOptions, ownership: Ownership = OWNERSHIP
) -> AsyncIterator[ESXDriver]:
    """Yield a driver for commands that need no image source."""
    from vimdriver._driver import ESXDriver

    async with (
        SOURCES.open([]) as store,
        connection.client() as client,
        ESXDriver(client, store, ownership.config()) as driver,
    ):
        yield driver


async def list_(*, connection: ConnectionOptions = CONNECTION, output: Output = OUTPUT) -> None:
    """List the machines of the host."""
    async with opened(connection) as driver:
        found = await driver.list_instances()
    output.table(COLUMNS, [instance.to_json() for instance in found])


async def show(
    instance: Ref, /, *, connection: ConnectionOptions = CONNECTION, output: Output = OUTPUT
) -> None:
    """Show one machine."""
    async with opened(connection) as driver:
        found = await driver.info(instance)
    output.fields(found.to_json())


_Seconds = Annotated[float | None, ABOVE_0]


async def ip(
    instance: Ref,
    /,
    *,
    wait: _Seconds = None,
    connection: ConnectionOptions = CONNECTION,
    output: Output = OUTPUT,
) -> None:
    """Show the addresses that a machine's guest reports.

    They come from the guest helper, cloud-init or VMware Tools. Differences from the guest's
    record are reported on stderr.

    Args:
        wait: Wait this many seconds until the guest has verified its network.
    """
    async with opened(connection) as driver:
        if wait is None:
            found = await driver.guest_network(instance)
        else:
            found = await driver.wait_for_network(instance, timeout=wait)
    document = found.to_json()
    for problem in document["problems"]:
        output.say(problem)
    if not found.addresses:
        raise NotFoundError(
            f"the guest of {instance} reports no address",
            kind="address",
            hint="Its image needs the guest helper, cloud-init or VMware Tools.",
        )
    output.document(document, "\n".join(found.addresses))


async def spawn(
    *,
    machine: MachineOptions,
    wait_network: _Seconds = None,
    sources: Sources = SOURCES,
    ownership: Ownership = OWNERSHIP,
    connection: ConnectionOptions = CONNECTION,
    output: Output = OUTPUT,
) -> None:
    """Create a machine from an image, a disk or an ISO image on the host, or none, and power it on.

    Images are raw, or VMDKs that are preallocated, sparse or streamOptimized. One whose source states its
    hash is fetched once into the datastore's cache. An ISO image is put into the CD-ROM drive.

    A failure or Ctrl-C removes the machine and its files; if the process is killed, `vimctl sweep`
    removes them. Values that the guest form cannot express are reported on stderr.

    Args:
        wait_network: Wait this many seconds until the guest has verified its network. The machine
            stays if it has not.
    """
    from vimdriver._driver import ESXDriver
    from vimdriver._guestinfo import left_out
    from vimdriver._instances.plan import guest_config

    # It reads the file of --user-data.
    spec, name = await asyncio.to_thread(machine.spec), machine.name
    for lost in left_out(guest_config(spec), machine.guest_form):
        output.say(f"the form {machine.guest_form} cannot express: {lost}")
    config = replace(ownership.config(), guest_form=machine.guest_form)
    here = machine.image is None or (on_host(machine.image) and sources.source_host is None)
    fetched = [] if machine.image is None or here else [machine.image]
    async with (
        sources.open(fetched, connection=connection) as store,
        connection.client() as client,
        ESXDriver(client, store, config) as driver,
    ):
        with meter(output) as progress:
            images = [store.image(image) for image in fetched]
            sizes = [(await image.info()).size for image in images]
            sent = 0

            def advance(count: int) -> None:
                nonlocal sent
                if not sent:  # not before: until then everything is still being checked
                    progress.start(name, *sizes)
                sent += count
                progress.advance(name, count)

            def ignored(text: str) -> None:
                output.say(f"the image's property has no effect: {text}")

            found = await driver.spawn(
                spec,
                source=images[0] if images else None,
                on_progress=advance,
                on_ignored=ignored,
            )
            progress.end(name)
        if wait_network is not None:
            network = await driver.wait_for_network(found.uuid, timeout=wait_network)
            output.say(f"addresses: {', '.join(network.addresses)}")
    output.fields(found.to_json())


async def destroy(
    *instances: str,
    foreign: Flag = False,
    keep_files: Flag = False,
    missing_ok: Flag = False,
    parallel: Parallel = 1,
    ownership: Ownership = OWNERSHIP,
    connection: ConnectionOptions = CONNECTION,
    output: Output = OUTPUT,
) -> int:
    """Power machines off, and remove them and their files.

    Files in a machine's folder that are not its own stay; `left` in the output names them.

    Args:
        instances: UUIDs, names or references of machines.
        foreign: Remove machines of other owners too.
        keep_files: Only power them off and take them out of the inventory.
        missing_ok: Ignore machines that do not exist.
        parallel: Machines at the same time.
    """
    if not instances:
        raise UsageError(
            "at least one machine is required", hint="List machines: vimctl instance list"
        )

    async def remove(driver: ESXDriver, ref: str) -> bool | Mapping[str, Sequence[str]]:
        left: list[str] = []
        there = await driver.destroy(
            ref,
            foreign=foreign,
            keep_files=keep_files,
            on_left=lambda path: left.append(str(path)),
        )
        if not there and not missing_ok:
            raise NotFoundError(
                f"machine not found on {driver.client.host}: {printable(ref, 80)!r}",
                kind="VirtualMachine",
                name=ref,
                hint="vimctl instance list prints the machines of the host.",
            )
        return there and {"left": left}

    async with opened(connection, ownership) as driver:
        return await each(
            instances,
            partial(remove, driver),
            noun="instance",
            done="destroyed",
            output=output,
            parallel=parallel,
        )
