"""Find machines: one call by uuid, one retrieval for all."""

from __future__ import annotations

import uuid as uuid_
from typing import TYPE_CHECKING

from vimdriver._instances.types import Instance
from vimdriver.errors import InstanceAmbiguousError
from vimlib import vim25
from vimlib._inventory import unescape
from vimlib.errors import NotFoundError

if TYPE_CHECKING:
    from vimlib._client import Client
    from vimlib._collector import Row

__all__ = ["PATHS", "find", "find_by_uuid", "instance_of", "list_instances", "read"]

PATHS = (
    "name",
    "runtime.powerState",
    "runtime.connectionState",
    "config.instanceUuid",
    "config.hardware.numCPU",
    "config.hardware.memoryMB",
)


def instance_of(row: Row[vim25.VirtualMachine]) -> Instance:
    """Return what a row of `PATHS` says. A machine that the host cannot reach lacks most of it."""
    props = row.props
    return Instance(
        uuid=props.get("config.instanceUuid") or "",
        name=unescape(props.get("name") or ""),
        power_state=props.get("runtime.powerState") or "unknown",
        connection_state=props.get("runtime.connectionState") or "unknown",
        cpus=props.get("config.hardware.numCPU") or 0,
        memory_mb=props.get("config.hardware.memoryMB") or 0,
        moref=row.obj.moref[1],
    )


async def list_instances(client: Client) -> list[Instance]:
    """Return all machines of the host, by name. Cancelling loses nothing."""
    found = [instance_of(row) async for row in client.collect(vim25.VirtualMachine, *PATHS)]
    return sorted(found, key=lambda i: (i.name, i.moref))


async def find_by_uuid(client: Client, uuid: str) -> vim25.VirtualMachine | None:
    """Return the machine with that instanceUuid, or None (`SearchIndex.FindByUuid`)."""
    index = client.content.searchIndex
    if index is None:
        raise NotFoundError("the host has no SearchIndex", kind="SearchIndex")
    found = await client.bind(index).FindByUuid(uuid=uuid, vmSearch=True, instanceUuid=True)
    return found if isinstance(found, vim25.VirtualMachine) else None


def _as_uuid(ref: str) -> str | None:
    try:
        return str(uuid_.UUID(ref)) if len(ref) >= 32 else None
    except ValueError:
        return None


async def find(client: Client, ref: str) -> vim25.VirtualMachine:
    """Return the machine that `ref` names: its instanceUuid, its name, or its moref's value.

    One look-up for a uuid, one retrieval of names for the rest. A name may be written as it is, or
    with slash, backslash and `%` escaped as in the API (`ManagedEntity.name`). Cancelling loses
    nothing.

    Raises:
        NotFoundError: There is no such machine.
        InstanceAmbiguousError: The name fits several.
    """
    uuid = _as_uuid(ref)
    if uuid is not None and (found := await find_by_uuid(client, uuid)) is not None:
        return found
    named, by_id = [], None
    async for row in client.collect(vim25.VirtualMachine, "name"):
        name = row.props.get("name")
        if name is not None and ref in (name, unescape(name)):
            named.append(row.obj)
        elif row.obj.moref[1] == ref:
            by_id = row.obj
    if len(named) > 1:
        raise InstanceAmbiguousError(name=ref, references=[vm.moref[1] for vm in named])
    if named:
        return named[0]
    if by_id is not None:
        return by_id
    raise NotFoundError(
        f"machine not found on {client.host}: {ref!r}",
        kind="VirtualMachine",
        name=ref,
        hint="vimctl instance list prints the machines of the host.",
    )


async def read(client: Client, vm: vim25.VirtualMachine) -> Instance:
    """Return what the host says of one machine now."""
    return instance_of(await client.get(vm, *PATHS))
