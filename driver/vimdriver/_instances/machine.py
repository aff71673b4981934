"""Machines as the host shows them: find one, list them, read their properties and files."""

from __future__ import annotations

import uuid as uuid_
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from vimdriver._instances.references import references
from vimdriver._instances.types import Instance
from vimdriver.errors import ForeignInstanceError, InstanceAmbiguousError
from vimlib import vim25
from vimlib._collector import INVENTORY
from vimlib._datastore import DatastorePath
from vimlib._inventory import escape, unescape
from vimlib._text import printable
from vimlib.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping

    from vimdriver._instances.references import HeldMachine
    from vimdriver._verbs import Host, Run
    from vimlib._client import Client
    from vimlib._collector import Row

OWNER_KEY: Final = "vimlib.owner"
"""extraConfig key that marks what this driver made; managedBy is younger than API 4.1."""
SPAWN_KEY: Final = "vimlib.spawn"
"""extraConfig key of the one spawn that made a machine: it distinguishes the machine from one that
another process made under the same uuid at the same time."""
MAKING_KEY: Final = "vimlib.making"
"""extraConfig key of a machine without its disk: when it was begun, by the host's clock. The call that
creates the machine sets it and the one that attaches the disk removes it, so there is never a
half-made machine without it, nor a whole one with it."""
IMPORT_KEY: Final = "vimlib.import"
"""extraConfig key of a machine that is imported for its disk and removed after that: its disk is ours,
unlike one of any other half-made machine."""

# The only datacenter of a host, which cannot be renamed.
_DATACENTER: Final = "ha-datacenter"
# Where nova's driver for vCenter writes the uuid of an instance.
_NOVA_PATH: Final = 'config.extraConfig["nvp.vm-uuid"]'
_IDENTITY: Final = ("name", "config.instanceUuid")

PATHS: Final = (
    "name",
    "runtime.powerState",
    "runtime.connectionState",
    "config.instanceUuid",
    "config.hardware.numCPU",
    "config.hardware.memoryMB",
)


def instance_of(row: Row[vim25.VirtualMachine]) -> Instance:
    """Return a row of `PATHS` as an instance. A machine that the host cannot reach lacks most of it."""
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


async def list_instances(client: Client, *, owner: str | None = None) -> list[Instance]:
    """Return all machines of the host, by name, or those with one owner's mark.

    The mark is read alone (`config.extraConfig["vimlib.owner"]`), not all of each machine's
    extraConfig. Cancelling loses nothing.
    """
    mark = f'config.extraConfig["{OWNER_KEY}"]'
    found = [
        instance_of(row)
        for row in await every(client, *PATHS, *(() if owner is None else (mark,)))
        if owner is None or str(getattr(row.props.get(mark), "value", "")) == owner
    ]
    return sorted(found, key=lambda i: (i.name, i.moref))


async def every(client: Client, *paths: str) -> list[Row[vim25.VirtualMachine]]:
    """Return properties of all machines, in one call. Cancelling loses nothing."""
    source = INVENTORY.start(client.content.rootFolder)
    return (await client.gather({vim25.VirtualMachine: paths}, source=source))[vim25.VirtualMachine]


async def find_by_uuid(client: Client, uuid: str) -> vim25.VirtualMachine | None:
    """Return the machine with that instanceUuid, or None (`SearchIndex.FindByUuid`)."""
    index = client.content.searchIndex
    if index is None:
        raise NotFoundError("the host has no SearchIndex", kind="SearchIndex")
    found = await client.bind(index).FindByUuid(uuid=uuid, vmSearch=True, instanceUuid=True)
    return found if isinstance(found, vim25.VirtualMachine) else None


def as_uuid(ref: str) -> str | None:
    try:
        return str(uuid_.UUID(ref)) if len(ref) >= 32 else None
    except ValueError:
        return None


async def find(client: Client, ref: str) -> vim25.VirtualMachine:
    """Return the machine that `ref` names: its instanceUuid, its name, or its moref's value.

    One look-up for a uuid or a name, and none while a verb holds the machine by this reference. A uuid
    that no machine has as its instanceUuid is also searched in extraConfig, where nova writes it. A name
    may be written as it is, or with slash, backslash and `%` escaped as in the API
    (`ManagedEntity.name`). Cancelling loses nothing.

    Raises:
        NotFoundError: The machine does not exist.
        InstanceAmbiguousError: The name fits several machines of a vCenter. A host is asked for one of
            that name only.
    """
    known = references(client)
    found = known.held(ref)
    if found is None:
        found = await _resolve(client, ref)
        if found.moref[1] != ref:
            known.remember(ref, found)
    return found


async def _resolve(client: Client, ref: str) -> vim25.VirtualMachine:
    uuid = as_uuid(ref)
    if uuid is not None:
        found = await find_by_uuid(client, uuid) or await _find_by_extra_config(client, uuid)
        if found is not None:
            return found
    if client.about.apiType != "HostAgent":
        return await _find_in_listing(client, ref)
    found = await find_by_name(client, ref) if ref else None
    if found is None and ref and uuid is None and ref.isascii() and ref.isprintable():
        found = client.bind(vim25.VirtualMachine(ref))
        try:
            await client.get(found, "name")
        except vim25.ManagedObjectNotFound:
            found = None
    if found is None:
        raise _not_found(client, ref)
    return found


def _not_found(client: Client, ref: str) -> NotFoundError:
    return NotFoundError(
        f"machine not found on {client.host}: {ref!r}",
        kind="VirtualMachine",
        name=ref,
        hint="vimctl instance list prints the machines of the host.",
    )


async def find_by_name(client: Client, name: str) -> vim25.VirtualMachine | None:
    """Return a machine of a host that has that name, or None (`SearchIndex.FindByInventoryPath`)."""
    index = client.content.searchIndex
    if index is None:
        raise NotFoundError("the host has no SearchIndex", kind="SearchIndex")
    for part in dict.fromkeys((escape(name), name)):
        if "/" not in part:
            path = f"{_DATACENTER}/vm/{part}"
            found = await client.bind(index).FindByInventoryPath(path)
            if isinstance(found, vim25.VirtualMachine):
                return found
        if escape(unescape(name)) != name:
            break  # it is not in the escaped form
    return None


async def _find_by_extra_config(client: Client, uuid: str) -> vim25.VirtualMachine | None:
    """Return the machine that nova made under this uuid; reads one value of each machine."""
    for row in await every(client, _NOVA_PATH):
        option = row.props.get(_NOVA_PATH)
        value = getattr(option, "value", option)
        if value is not None and str(value).lower() == uuid:
            return row.obj
    return None


async def _find_in_listing(client: Client, ref: str) -> vim25.VirtualMachine:
    """Return the machine of a vCenter, in whichever folder it is."""
    named, by_id = [], None
    for row in await every(client, "name"):
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
    raise _not_found(client, ref)


async def look(client: Client, ref: str, *paths: str) -> Row[vim25.VirtualMachine]:
    """Return properties of the machine that `ref` names, with those of its identity.

    A reference that was resolved before costs one call: the properties read check it, and it is
    resolved again if it is stale. Cancelling loses nothing. Raises as `find`.
    """
    wanted = tuple(dict.fromkeys((*_IDENTITY, *paths)))
    known = references(client).known(ref)
    if known is not None:
        try:
            row = await client.get(known, *wanted)
        except vim25.ManagedObjectNotFound:
            row = None
        if row is not None and _is_named(row, ref):
            return row
        references(client).forget(ref)
    return await client.get(await find(client, ref), *wanted)


async def claim(
    host: Host, ref: str, *paths: str, foreign: bool = False
) -> Row[vim25.VirtualMachine]:
    """Return properties of the machine that a verb changes, with its extraConfig.

    Every verb that changes a machine, or acts in its guest, finds it by this function. A machine that
    is named by its name costs one call more, which reads the names of all machines: a host asked for a
    name returns one machine of several. Cancelling loses nothing.

    Args:
        host: The host.
        ref: uuid, name or moref's value.
        *paths: Further properties.
        foreign: Whether it may be another owner's.

    Raises:
        NotFoundError: It does not exist.
        InstanceAmbiguousError: Several machines have that name.
        ForeignInstanceError: It lacks this owner's mark, and `foreign` is false.
    """
    row = await look(host.client, ref, "config.extraConfig", *paths)
    if as_uuid(ref) is None and ref != row.obj.moref[1]:
        named = [
            one.obj.moref[1] for one in await every(host.client, "name") if _is_named(one, ref)
        ]
        if len(named) > 1:
            raise InstanceAmbiguousError(name=ref, references=named)
    owner = marks_of(row).get(OWNER_KEY, "")
    if owner != host.owner and not foreign:
        raise ForeignInstanceError(name=ref, owner=owner)
    return row


def _is_named(row: Row[vim25.VirtualMachine], ref: str) -> bool:
    uuid = as_uuid(ref)
    if uuid is not None:
        return bool(row.props.get("config.instanceUuid") == uuid)
    name = str(row.props.get("name") or "")
    return ref in (name, unescape(name))


@asynccontextmanager
async def holding(client: Client, ref: str, *, first: bool) -> AsyncIterator[HeldMachine | None]:
    """Hold the machine that `ref` names while the block runs; None if it does not exist."""
    known = references(client)
    vm = known.known(ref)
    resolved = vm is None
    if vm is None:
        try:
            vm = await find(client, ref)
        except LookupError:
            yield None
            return
    async with known.hold(ref, vm, resolved=resolved, first=first) as turn:
        yield turn


async def read(client: Client, vm: vim25.VirtualMachine) -> Instance:
    """Return one machine as the host shows it now. Cancelling loses nothing."""
    return instance_of(await client.get(vm, *PATHS))


def reads(vm: vim25.VirtualMachine) -> Callable[[Run], Awaitable[Instance]]:
    """Return the result of a plan that changes a machine: the machine, as read after the last step."""
    return lambda run: read(run.host.client, vm)


def is_gone(vm: vim25.VirtualMachine) -> Callable[[Run], Awaitable[bool | None]]:
    """Return the probe of a step that removes a machine: True once the host has none of that reference."""

    async def probe(run: Run) -> bool | None:
        try:
            await run.host.client.get(vm, "name")
        except vim25.ManagedObjectNotFound:
            return True
        return None

    return probe


def marks_of(row: Row[vim25.VirtualMachine]) -> dict[str, str]:
    """Return the extraConfig of a machine by key; {} where the row has none."""
    return {o.key: str(o.value) for o in row.props.get("config.extraConfig") or []}


def device_files(devices: Iterable[vim25.VirtualDevice]) -> Iterator[str]:
    """Yield the files that devices stand on: disks with those that they grew from, images of CDs."""
    for device in devices:
        backing: Any = device.backing
        while backing is not None:
            if name := getattr(backing, "fileName", None):
                yield name
            backing = getattr(backing, "parent", None)


def is_elsewhere(path: str, folder: DatastorePath) -> bool:
    """Return whether a file is in no folder of a machine, on whatever datastore, given one of them."""
    return DatastorePath.parse(path).parent.parts != folder.parts


def _files(props: Mapping[str, Any]) -> Iterator[str]:
    yield props.get("config.files.vmPathName") or ""
    yield from device_files(props.get("config.hardware.device") or [])
    # What only its snapshots use.
    for file in props.get("layoutEx.file") or []:
        yield file.name


async def used_files(client: Client, *, but: vim25.VirtualMachine | None = None) -> dict[str, str]:
    """Return the datastore paths that machines use, each with a machine's name; without those of `but`.

    One retrieval for all. Cancelling loses nothing.
    """
    found: dict[str, str] = {}
    for row in await every(
        client, "name", "config.files.vmPathName", "config.hardware.device", "layoutEx.file"
    ):
        if row.obj != but:
            name = str(row.props.get("name") or row.obj.moref[1])
            found |= dict.fromkeys(filter(None, _files(row.props)), name)
    return found


def who_uses(folder: DatastorePath, used: Mapping[str, str]) -> str:
    """Return which machine uses what in a folder or below it, in words; "" if none does."""
    inside = f"{folder}/"
    return next(
        (
            f"machine {name!r} uses {printable(path)}"
            for path, name in used.items()
            if path.startswith(inside)
        ),
        "",
    )
