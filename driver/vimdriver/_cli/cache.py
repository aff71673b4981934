"""`vimctl image cache`: the images that a datastore holds for machines to come."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated

from vimdriver._cli.connection import CONNECTION, ConnectionOptions
from vimdriver._cli.flags import Flag, within
from vimdriver._cli.output import OUTPUT, Output
from vimdriver._cli.ownership import OWNERSHIP, Ownership

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from vimdriver._driver import ESXDriver

_COLUMNS = ("datastore_path", "capacity", "size", "used", "users")


@asynccontextmanager
async def _opened(connection: ConnectionOptions, ownership: Ownership) -> AsyncIterator[ESXDriver]:
    from vimdriver._driver import ESXDriver

    async with (
        connection.client() as client,
        ESXDriver(client, config=ownership.config()) as driver,
    ):
        yield driver


async def ls(
    *, datastore: str, connection: ConnectionOptions = CONNECTION, output: Output = OUTPUT
) -> None:
    """List the images in the cache of a datastore, with the machines that stand on them.

    Args:
        datastore: Name of the datastore.
    """
    async with _opened(connection, OWNERSHIP) as driver:
        found = await driver.list_cache(datastore)
    output.table(_COLUMNS, [entry.to_json() for entry in found])


async def rm(
    *images: str,
    datastore: str,
    ownership: Ownership = OWNERSHIP,
    connection: ConnectionOptions = CONNECTION,
    output: Output = OUTPUT,
) -> None:
    """Remove images from the cache. One that a machine stands on stays.

    Args:
        images: Their datastore paths, or their names without the ending.
        datastore: Name of the datastore.
    """
    async with _opened(connection, ownership) as driver:
        found = await driver.prune_cache(datastore, older_than=0, keys=images)
    output.table(_COLUMNS, [entry.to_json() for entry in found])


async def prune(
    *,
    datastore: str,
    days: Annotated[float, within(0)] = 7.0,
    dry_run: Flag = False,
    ownership: Ownership = OWNERSHIP,
    connection: ConnectionOptions = CONNECTION,
    output: Output = OUTPUT,
) -> None:
    """Remove the images that nobody used for a time, and print them. One that a machine stands on stays.

    Args:
        datastore: Name of the datastore.
        days: The time.
        dry_run: Only print them.
    """
    async with _opened(connection, ownership) as driver:
        found = await driver.prune_cache(datastore, older_than=days * 86400, dry_run=dry_run)
    output.table(_COLUMNS, [entry.to_json() for entry in found])
