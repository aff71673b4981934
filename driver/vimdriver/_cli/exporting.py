"""`vimctl instance export` and `import`: machines as files of this computer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from vimdriver._cli.connection import CONNECTION, ConnectionOptions
from vimdriver._cli.flags import Flag
from vimdriver._cli.instance import Ref, opened
from vimdriver._cli.output import OUTPUT, Output
from vimdriver._cli.ownership import OWNERSHIP, Ownership
from vimdriver._cli.progress import meter


async def export(
    instance: Ref,
    file: Annotated[Path, Parameter(help="Path that ends with .ova, .qcow2, .raw or .vmdk.")],
    /,
    *,
    foreign: Flag = False,
    overwrite: Flag = False,
    quiesce: Flag = False,
    ownership: Ownership = OWNERSHIP,
    connection: ConnectionOptions = CONNECTION,
    output: Output = OUTPUT,
) -> None:
    """Write a machine's disks into local files, in the format that the ending names.

    An .ova has the machine's hardware too. Further disks become NAME-2.qcow2 and so on. A running machine is
    read from a snapshot, which is removed. The files are there only if all of them are whole; the output has
    their hashes.

    Args:
        foreign: Export a machine of another owner too.
        overwrite: Replace existing files.
        quiesce: Have the tools of a running guest quiesce its file systems first.
    """
    async with opened(connection, ownership) as driver:
        with meter(output) as progress:
            progress.start(file.name, 0)
            found = await driver.export(
                instance,
                file,
                foreign=foreign,
                overwrite=overwrite,
                quiesce=quiesce,
                on_progress=lambda count: progress.advance(file.name, count),
            )
            progress.end(file.name)
    lines = [f"{one.hash}  {one.path}" for one in found.files]
    output.document(found.to_json(), "\n".join(lines))


async def import_(
    file: Annotated[Path, Parameter(help="Path of an .ova, .ovf, .qcow2, .raw, .img or .vmdk.")],
    /,
    *,
    datastore: str,
    name: str | None = None,
    network: str | None = None,
    power_on: Flag = False,
    ownership: Ownership = OWNERSHIP,
    connection: ConnectionOptions = CONNECTION,
    output: Output = OUTPUT,
) -> None:
    """Make a machine from a local file: an OVA, an OVF descriptor with its files, or a disk image.

    A package's descriptor states the hardware; `instance spawn` has options for each part of it. A disk image
    becomes a machine with one CPU and 512 MiB.

    Args:
        datastore: Datastore of its disks.
        name: Name of the machine; the default is the descriptor's, else that of the file.
        network: Port group of a NIC, in place of those of the descriptor.
        power_on: Power it on.
    """
    async with opened(connection, ownership) as driver:
        with meter(output) as progress:
            progress.start(file.name, 0)
            found = await driver.import_instance(
                file,
                datastore=datastore,
                name=name,
                network=network,
                power_on=power_on,
                on_progress=lambda count: progress.advance(file.name, count),
                on_ignored=lambda text: output.say(f"no effect: {text}"),
            )
            progress.end(file.name)
    output.fields(found.to_json())
