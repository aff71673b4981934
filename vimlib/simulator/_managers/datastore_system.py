"""HostDatastoreSystem: creates, renames and removes datastores."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from vimlib import vim25
from vimlib.model import DataObject
from vimlib.simulator._core.handlers import handles
from vimlib.simulator._core.messages import invalid_argument, not_supported, with_message
from vimlib.simulator._core.objects import SimObject, prop
from vimlib.simulator._host.folders import Datacenter
from vimlib.simulator._host.host_system import HostSystem
from vimlib.simulator._storage.browser import DatastoreBrowser
from vimlib.simulator._storage.datastore import Datastore, by_name, parts
from vimlib.simulator._storage.storage_system import StorageSystem
from vimlib.simulator._vm.lifecycle import require_idle, store_config
from vimlib.simulator._vm.virtual_machine import VirtualMachine

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vimlib.simulator._core.call import Call
    from vimlib.simulator._core.registry import Registry

_LONGEST = 42
"""Characters of a datastore's name."""


class DatastoreSystem(SimObject):
    """The manager of the host's datastores."""

    kind = "HostDatastoreSystem"

    def __init__(
        self,
        registry: Registry,
        *,
        given: tuple[str, ...] = (),
        capacity: int = 1 << 40,
        local_folders: Path | None = None,
        exports: Mapping[str, Path] | None = None,
    ) -> None:
        self.exports = dict(exports or {})
        """Folders of NFS servers by `server:/path`, which calls may mount."""
        self.given = given
        """Names of the datastores that the host was started with."""
        self.capacity = capacity
        """Bytes of a datastore."""
        self.local_folders = local_folders
        """The folder below which a call may make datastores; None: it may not."""
        super().__init__(registry, "ha-datastoresystem")

    @prop("datastore", cached=False)
    def _datastores(self) -> list[Any]:
        return [store.ref for store in self.registry.all(Datastore).values()]

    @prop("capabilities")
    def _capabilities(self) -> Any:
        return vim25.HostDatastoreSystemCapabilities(
            nfsMountCreationRequired=True,
            nfsMountCreationSupported=True,
            localDatastoreSupported=self.local_folders is not None,
            vmfsExtentExpansionSupported=False,
        )


def _notify(registry: Registry) -> None:
    """Notify the objects that show the list of datastores of a change."""
    for obj in (
        registry.one(Datacenter),
        registry.one(HostSystem),
        registry.one(HostSystem).parent,
    ):
        if obj is not None:
            obj.changed("datastore", "config")
    registry.one(DatastoreSystem).changed("datastore")
    registry.one(DatastoreBrowser).changed("datastore")
    registry.one(StorageSystem).changed("fileSystemVolumeInfo")


def _check_name(registry: Registry, name: str, *, but: Datastore | None = None) -> None:
    """Raise `InvalidName` or `DuplicateName`."""
    if not name or len(name) > _LONGEST or set(name) & set("/\\%[]") or min(name) < " ":
        raise with_message(vim25.InvalidName(name=name))
    other = by_name(registry).get(name)
    if other is not None and other is not but:
        raise _taken(other, name)


def _taken(other: Datastore, name: str) -> Any:
    return with_message(vim25.DuplicateName(name=name, object=other.ref))


def local_folder(root: Path, path: str) -> Path | None:
    """Return the folder of a host's path below `root`; None if it does not exist or is outside of `root`."""
    try:
        place = root.joinpath(*parts(path)).resolve()
    except (OSError, vim25.InvalidDatastorePath):
        return None
    return place if place.is_dir() and place.is_relative_to(root.resolve()) else None


@handles(DatastoreSystem, "CreateLocalDatastore")
async def create_local(system: DatastoreSystem, call: Call) -> Any:
    """Make a datastore of an existing folder below the folder for local datastores."""
    registry = system.registry
    registry.require_licence()
    if system.local_folders is None:
        raise not_supported()
    name, path = call.args["name"], call.args["path"]
    _check_name(registry, name)
    place = await registry.io(local_folder, system.local_folders, path)
    if place is None:
        raise with_message(vim25.FileNotFound(file=path))
    _check_name(registry, name)
    for other in registry.all(Datastore).values():
        if other.root == place:
            raise _taken(other, name)
    store = Datastore(registry, name, place, system.capacity, local=path)
    _notify(registry)
    await store.recount()
    return store.ref


@handles(DatastoreSystem, "CreateNasDatastore")
async def create_nas(system: DatastoreSystem, call: Call) -> Any:
    """Mount a folder of an NFS server that the host can reach; see `ESXHost(exports=...)`."""
    registry = system.registry
    registry.require_licence()
    spec = call.args["spec"]
    name = spec.localPath
    _check_name(registry, name)
    if (spec.type or "NFS").upper() not in ("NFS", "NFS41"):
        raise with_message(
            vim25.HostConfigFault(), f"A volume of the type {spec.type} cannot be mounted."
        )
    server = spec.remoteHost or next(iter(spec.remoteHostNames), "")
    place = f"{server}:{spec.remotePath}"
    if ("Datastore", place) in registry.objects:
        raise with_message(vim25.AlreadyExists(name=name))
    folder = system.exports.get(place)
    if folder is None:
        raise with_message(
            vim25.PlatformConfigFault(text=f"Unable to connect to NAS volume {name}"),
            "An error occurred during host configuration: Operation failed, diagnostics report: "
            f"Unable to get Volume State for {place}",
        )
    store = Datastore(registry, name, folder, system.capacity, remote=(server, spec.remotePath))
    store.access_mode = spec.accessMode
    _notify(registry)
    await store.recount()
    return store.ref


def _remove(store: Datastore) -> None:
    """Remove a datastore from the inventory; its folder stays."""
    registry = store.registry
    registry.require_licence()
    if (
        any(store in machine.stores() for machine in registry.all(VirtualMachine).values())
        or store.locks
    ):
        raise with_message(vim25.ResourceInUse(type="Datastore", name=store.name))
    registry.one(Datacenter).datastores.drop(store)
    store.remove()
    _notify(registry)


@handles(DatastoreSystem, "RemoveDatastore")
def remove(system: DatastoreSystem, call: Call) -> None:
    """Remove a datastore that no machine uses."""
    store = system.registry.find(call.args["datastore"])
    if not isinstance(store, Datastore):
        raise invalid_argument("datastore")
    _remove(store)


@handles(Datastore, "DestroyDatastore")
def destroy(store: Datastore, call: Call) -> None:
    """Remove a datastore that no machine uses."""
    _remove(store)


@handles(DatastoreSystem, "QueryAvailableDisksForVmfs")
def available_disks(system: DatastoreSystem, call: Call) -> list[Any]:
    """Return an empty list: no disk is free."""
    return []


@handles(Datastore, "RenameDatastore")
async def rename(store: Datastore, call: Call) -> None:
    """Rename a datastore, in the paths of machines and snapshots too."""
    registry, name = store.registry, call.args["newName"]
    registry.require_licence()
    _check_name(registry, name, but=store)
    old = store.name
    if name == old:
        return
    users = [machine for machine in registry.all(VirtualMachine).values() if _names(machine, old)]
    for machine in users:
        require_idle(machine)
    store.name = name
    for machine in users:
        for snapshot in machine.all_snapshots():
            snapshot.config = _renamed(snapshot.config, old, name)
            snapshot.changed("config")
        machine.set_config(_renamed(machine.config, old, name))
    store.changed()
    _notify(registry)
    for machine in users:
        await store_config(machine)


def _names(machine: VirtualMachine, name: str) -> bool:
    """Whether a configuration of a machine names a datastore."""
    configs = [machine.config, *(each.config for each in machine.all_snapshots())]
    return any(_renamed(config, name, "") is not config for config in configs)


def _renamed(config: Any, old: str, new: str) -> Any:
    """Return a configuration with a datastore's name replaced in all paths; itself if it has none."""
    files = _walk(config.files, f"[{old}]", f"[{new}]")
    hardware = _walk(config.hardware, f"[{old}]", f"[{new}]")
    if files is config.files and hardware is config.hardware:
        return config
    return replace(config, files=files, hardware=hardware)


def _walk(value: Any, old: str, new: str) -> Any:
    if isinstance(value, str):
        for before in (old, f"ISO {old}"):  # the second form is in the summary of a CD drive
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
