"""HostDatastoreSystem: datastores made of folders, renamed, and taken away."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from vimlib import vim25
from vimlib.model import DataObject
from vimlib.simulator._datastore import Datastore, parts
from vimlib.simulator._lifecycle import require_idle, store_config
from vimlib.simulator._objects import Served, prop, serves
from vimlib.simulator._reconfigure import wrong
from vimlib.simulator._world import say

if TYPE_CHECKING:
    from vimlib.simulator._call import Call
    from vimlib.simulator._machine import VirtualMachine
    from vimlib.simulator._world import World

__all__ = ["DatastoreSystem", "local_folder"]

_LONGEST = 42
"""Characters of a datastore's name."""


class DatastoreSystem(Served):
    """Where datastores are made and removed."""

    kind = "HostDatastoreSystem"

    @prop("datastore", cached=False)
    def _datastores(self) -> list[Any]:
        return [store.ref for store in self.world.datastores.values()]

    @prop("capabilities")
    def _capabilities(self) -> Any:
        return vim25.HostDatastoreSystemCapabilities(
            nfsMountCreationRequired=True,
            nfsMountCreationSupported=False,
            localDatastoreSupported=self.world.local_folders is not None,
            vmfsExtentExpansionSupported=False,
        )


def _told(world: World) -> None:
    """Tell everybody who shows the list of datastores that it changed."""
    found = world.objects
    for obj in (world.datacenter, world.host, world.host.parent):
        if obj is not None:
            obj.changed("datastore", "config")
    found["HostDatastoreSystem", "ha-datastoresystem"].changed("datastore")
    found["HostDatastoreBrowser", "ha-host-datastorebrowser"].changed("datastore")
    found["HostStorageSystem", "storageSystem"].changed("fileSystemVolumeInfo")


def _check_name(world: World, name: str, *, but: Datastore | None = None) -> None:
    """Raise `InvalidName` or `DuplicateName`."""
    if not name or len(name) > _LONGEST or set(name) & set("/\\%[]") or min(name) < " ":
        raise say(vim25.InvalidName(name=name), f"The name '{name}' is not valid.")
    other = world.datastores.get(name)
    if other is not None and other is not but:
        raise _taken(other, name)


def _taken(other: Datastore, name: str) -> Any:
    return say(
        vim25.DuplicateName(name=name, object=other.ref), f"The name '{name}' already exists."
    )


def local_folder(root: Path, path: str) -> Path | None:
    """Return the folder of a host's path below `root`; None if there is none, or if it leads out."""
    try:
        place = root.joinpath(*parts(path)).resolve()
    except (OSError, vim25.InvalidDatastorePath):
        return None
    return place if place.is_dir() and place.is_relative_to(root.resolve()) else None


@serves(DatastoreSystem, "CreateLocalDatastore")
async def create_local(system: DatastoreSystem, call: Call) -> Any:
    """Make a datastore of a folder that is there, below the folder that the host was given for it."""
    world = system.world
    world.require_licence()
    if world.local_folders is None:
        raise say(vim25.NotSupported(), "The operation is not supported on the object.")
    name, path = call.args["name"], call.args["path"]
    _check_name(world, name)
    place = await world.io(local_folder, world.local_folders, path)
    if place is None:
        raise say(vim25.FileNotFound(file=path), f"File {path} was not found")
    _check_name(world, name)
    for other in world.datastores.values():
        if other.root == place:
            raise _taken(other, name)
    store = Datastore(world, name, place, world.capacity, local=path)
    _told(world)
    await store.recount()
    return store.ref


def _remove(store: Datastore) -> None:
    """Take a datastore out of the inventory; its folder and all in it stay."""
    world = store.world
    world.require_licence()
    if any(store in machine.stores() for machine in world.machines.values()) or store.locks:
        raise say(
            vim25.ResourceInUse(type="Datastore", name=store.name),
            f"The resource '{store.name}' is in use.",
        )
    del world.datastores[store.name]
    world.datacenter.datastores.drop(store)
    store.remove()
    _told(world)


@serves(DatastoreSystem, "RemoveDatastore")
def remove(system: DatastoreSystem, call: Call) -> None:
    """Remove a datastore on which no machine has anything."""
    store = system.world.find(call.args["datastore"])
    if not isinstance(store, Datastore):
        raise wrong("datastore")
    _remove(store)


@serves(Datastore, "DestroyDatastore")
def destroy(store: Datastore, call: Call) -> None:
    """Remove a datastore on which no machine has anything."""
    _remove(store)


@serves(DatastoreSystem, "QueryAvailableDisksForVmfs")
def available_disks(system: DatastoreSystem, call: Call) -> list[Any]:
    """Return nothing: no disk is free."""
    return []


@serves(Datastore, "RenameDatastore")
async def rename(store: Datastore, call: Call) -> None:
    """Give a datastore another name; what is on it is shown by that name from then on."""
    world, name = store.world, call.args["newName"]
    world.require_licence()
    _check_name(world, name, but=store)
    old = store.name
    if name == old:
        return
    users = [machine for machine in world.machines.values() if _names(machine, old)]
    for machine in users:
        require_idle(machine)
    store.name = name
    world.datastores = {each.name: each for each in world.datastores.values()}
    for machine in users:
        for snapshot in machine.all_snapshots():
            snapshot.config = _renamed(snapshot.config, old, name)
            snapshot.changed("config")
        machine.set_config(_renamed(machine.config, old, name))
    store.changed()
    _told(world)
    for machine in users:
        await store_config(machine)


def _names(machine: VirtualMachine, name: str) -> bool:
    """Whether a configuration of a machine names a datastore."""
    configs = [machine.config, *(each.config for each in machine.all_snapshots())]
    return any(_renamed(config, name, "") is not config for config in configs)


def _renamed(config: Any, old: str, new: str) -> Any:
    """Return a configuration with one datastore's name replaced in all paths; itself if there is none."""
    files = _walk(config.files, f"[{old}]", f"[{new}]")
    hardware = _walk(config.hardware, f"[{old}]", f"[{new}]")
    if files is config.files and hardware is config.hardware:
        return config
    return replace(config, files=files, hardware=hardware)


def _walk(value: Any, old: str, new: str) -> Any:
    if isinstance(value, str):
        for before in (old, f"ISO {old}"):  # the second is how a CD drive is summed up
            if value.startswith(before):
                return value.replace(old, new, 1)
        return value
    if isinstance(value, list):
        items = [_walk(item, old, new) for item in value]
        return items if any(a is not b for a, b in zip(items, value, strict=True)) else value
    if isinstance(value, DataObject):
        struct: Any = value
        found: dict[str, Any] = {}
        for name in struct.__struct_fields__:
            kept = getattr(struct, name)
            item = _walk(kept, old, new)
            if item is not kept:
                found[name] = item
        return replace(struct, **found) if found else struct
    return value
