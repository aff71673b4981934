"""Snapshots: a tree of configurations over chains of delta disks.

No guest writes to a disk, so a delta is always empty and merging one into its parent deletes it.
The structure is real: the files, their parents, and the configurations that refer to them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vimlib import vim25
from vimlib.simulator._core.handlers import handles
from vimlib.simulator._core.messages import with_message
from vimlib.simulator._service.tasks import start_task
from vimlib.simulator._storage import vmdk
from vimlib.simulator._storage.datastore import Datastore, find_path
from vimlib.simulator._storage.disks import disk_fault, disk_paths, disk_uuid
from vimlib.simulator._vm.devices import revised
from vimlib.simulator._vm.lifecycle import (
    free_files,
    hold_files,
    require_connected,
    require_idle,
    store_config,
)
from vimlib.simulator._vm.power import power_off, power_on
from vimlib.simulator._vm.reconfigure import backing_of, check_name
from vimlib.simulator._vm.virtual_machine import Snapshot, VirtualMachine

if TYPE_CHECKING:
    from collections.abc import Callable

    from vimlib.simulator._core.call import Call
    from vimlib.simulator._service.tasks import Task


_DEEPEST = 32
"""Snapshots in one chain (VMware's configuration maximums)."""


def _frozen(disk: Any) -> bool:
    """Whether a snapshot holds a disk; independent ones are left out."""
    return not str(getattr(disk.backing, "diskMode", "")).startswith("independent")


def _swap_disks(config: Any, change: Callable[[Any], Any]) -> Any:
    """Return a configuration with `change` applied to each disk."""
    hardware = config.hardware
    devices = [
        change(device) if isinstance(device, vim25.VirtualDisk) else device
        for device in hardware.device
    ]
    return revised(config, hardware=revised(hardware, device=devices))


async def _branch(machine: VirtualMachine, config: Any) -> Any:
    """Return `config` on new delta disks over its own. Raises the fault of a host."""
    deltas: dict[int, Any] = {}
    made: list[tuple[Datastore, str]] = []
    try:
        for disk in config.hardware.device:
            if not isinstance(disk, vim25.VirtualDisk) or not _frozen(disk):
                continue
            store, path = find_path(machine.registry, _file_of(disk))
            target = await _delta(machine, store, path)
            made.append((store, target))
            deltas[disk.key] = await backing_of(machine.registry, store, target, disk.backing)
    except (OSError, vmdk.DiskError) as error:
        for store, path in made:
            await store.work(vmdk.delete, store.local(path), touched=disk_paths(store, path))
        raise disk_fault(error, "") from None
    return _swap_disks(
        config, lambda disk: revised(disk, backing=deltas.get(disk.key, disk.backing))
    )


async def _delta(machine: VirtualMachine, store: Datastore, path: str) -> str:
    """Make an empty delta over a disk; return its path."""
    here = store.local(path)
    uuid = disk_uuid("6000C29" + machine.registry.new_uuid().replace("-", "")[7:])

    def make() -> str:
        base = vmdk.load(here)
        stem = base.path.name.removesuffix(".vmdk")
        if base.parent and stem[-7:-6] == "-":
            stem = stem[:-7]
        number = 1
        while here.with_name(f"{stem}-{number:06d}.vmdk").exists():
            number += 1
        name = f"{stem}-{number:06d}.vmdk"
        vmdk.create_delta(here.with_name(name), base, uuid)
        return name

    name = await store.work(make)
    target = f"{path.rpartition('/')[0]}/{name}".lstrip("/")
    await store.recount()
    return target


def _file_of(disk: Any) -> str:
    name: str = disk.backing.fileName
    return name


def _disks(config: Any) -> dict[int, str]:
    """Return the file of each disk that a snapshot holds, by device key."""
    return {
        device.key: _file_of(device)
        for device in config.hardware.device
        if isinstance(device, vim25.VirtualDisk) and _frozen(device)
    }


async def _drop(machine: VirtualMachine, files: set[str]) -> None:
    """Delete disks that no configuration names any more."""
    for shown in files:
        store, path = find_path(machine.registry, shown)
        try:
            await store.work(vmdk.delete, store.local(path), touched=disk_paths(store, path))
        except FileNotFoundError:
            continue  # already deleted


async def _reread(machine: VirtualMachine) -> None:
    """Update all configurations of a machine from the descriptors."""

    async def fresh(config: Any) -> Any:
        found = {}
        for key, shown in _disks(config).items():
            store, path = find_path(machine.registry, shown)
            disk = next(d for d in config.hardware.device if d.key == key)
            found[key] = await backing_of(machine.registry, store, path, disk.backing)
        return _swap_disks(config, lambda d: revised(d, backing=found.get(d.key, d.backing)))

    for snapshot in machine.all_snapshots():
        snapshot.config = await fresh(snapshot.config)
        snapshot.changed("config")
    machine.set_config(await fresh(machine.config))


def _update_configs(machine: VirtualMachine) -> None:
    machine.changed(
        "snapshot", "rootSnapshot", "config", "layoutEx", "layout", "storage", "runtime"
    )


@handles(VirtualMachine, "CreateSnapshot_Task", "CreateSnapshotEx_Task")
def create_snapshot(machine: VirtualMachine, call: Call) -> Any:
    """Take a snapshot."""
    registry = machine.registry
    registry.require_licence()
    require_connected(machine)
    require_idle(machine)
    name = call.args["name"]
    check_name(name)
    memory = bool(call.args["memory"])
    quiesce = bool(call.get("quiesce")) or call.get("quiesceSpec") is not None

    async def work(task: Task) -> Any:
        depth, at = 0, machine.current
        while at is not None:
            depth, at = depth + 1, at.parent
        if depth >= _DEEPEST:
            raise with_message(
                vim25.TooManySnapshotLevels(), "The number of snapshot levels is too high."
            )
        config = await _branch(machine, machine.config)
        machine.last_snapshot_id += 1
        snapshot = Snapshot(
            machine,
            machine.last_snapshot_id,
            name,
            call.get("description") or "",
            power="poweredOn" if memory and machine.power == "poweredOn" else "poweredOff",
            quiesced=quiesce and machine.guest.tools_running and not memory,
            parent=machine.current,
        )
        (machine.current.children if machine.current else machine.snapshots).append(snapshot)
        if machine.current is not None:
            machine.current.changed("childSnapshot")
        machine.current = snapshot
        machine.set_config(config)
        if machine.power == "poweredOn":
            hold_files(machine)
        _update_configs(machine)
        await store_config(machine)
        return snapshot.ref

    return start_task(call, machine, work)


async def _revert(snapshot: Snapshot, *, start: bool) -> None:
    machine = snapshot.machine
    if machine.power != "poweredOff":
        power_off(machine)
    held = {shown for each in machine.all_snapshots() for shown in _disks(each.config).values()}
    await _drop(machine, set(_disks(machine.config).values()) - held)
    config = await _branch(machine, snapshot.config)
    machine.set_config(revised(config, name=machine.config.name))
    machine.current = snapshot
    _update_configs(machine)
    await store_config(machine)
    if start and snapshot.power == "poweredOn":
        await power_on(machine)


@handles(Snapshot, "RevertToSnapshot_Task")
def revert(snapshot: Snapshot, call: Call) -> Any:
    """Revert to a snapshot."""
    snapshot.registry.require_licence()
    require_idle(snapshot.machine)
    start = not call.get("suppressPowerOn")
    return start_task(call, snapshot.machine, lambda task: _revert(snapshot, start=start))


@handles(VirtualMachine, "RevertToCurrentSnapshot_Task")
def revert_to_current(machine: VirtualMachine, call: Call) -> Any:
    """Revert to the current snapshot, the last one taken or reverted to."""
    machine.registry.require_licence()
    require_idle(machine)
    current = machine.current
    if current is None:
        raise with_message(vim25.NotFound(), "The machine has no snapshot.")
    start = not call.get("suppressPowerOn")
    return start_task(call, machine, lambda task: _revert(current, start=start))


async def _remove_one(snapshot: Snapshot) -> None:
    """Remove one snapshot from the tree; its children move up, its delta merges into its disk."""
    machine = snapshot.machine
    users: list[Any] = list(snapshot.children)
    if machine.current is snapshot:
        users.append(machine)
    siblings = snapshot.parent.children if snapshot.parent else machine.snapshots
    at = siblings.index(snapshot)
    siblings[at : at + 1] = snapshot.children
    for child in snapshot.children:
        child.parent = snapshot.parent
    if machine.current is snapshot:
        machine.current = snapshot.parent
    snapshot.children = []
    mine = _disks(snapshot.config)
    snapshot.remove()
    if len(users) == 1:  # only then is no other disk based on the disk of the snapshot
        await _merge(machine, users[0], mine)
    elif not users and snapshot.parent is not None:
        await _drop(machine, set(mine.values()) - set(_disks(snapshot.parent.config).values()))


async def _merge(machine: VirtualMachine, user: Any, mine: dict[int, str]) -> None:
    """Make the one configuration above a removed snapshot use the disks of the snapshot."""
    theirs = _disks(user.config)
    gone: set[str] = set()
    for key, shown in theirs.items():
        below = mine.get(key)
        if below is None or below == shown:
            continue
        gone.add(shown)
        store, path = find_path(machine.registry, shown)
        _, target = find_path(machine.registry, below)
        await machine.registry.io(_reparent, store, path, target)
    user.config = _swap_disks(
        user.config,
        lambda disk: (
            revised(disk, backing=revised(disk.backing, fileName=mine[disk.key]))
            if disk.key in mine and disk.key in theirs
            else disk
        ),
    )
    await _drop(machine, gone)


def _reparent(store: Datastore, old: str, new: str) -> None:
    """Make `new` the parent of every delta over `old`."""
    folder = store.local(old).parent
    names = store.local(old).name, store.local(new).name
    for place in folder.glob("*.vmdk"):
        try:
            disk = vmdk.load(place)
        except vmdk.DiskError:
            continue  # an extent
        if disk.parent == names[0]:
            disk.parent = names[1]
            vmdk.save(disk)


def _require_unlocked(doomed: list[Snapshot]) -> None:
    """Refuse a removal that would merge disks on which a running machine stands: it has locked them.

    A host knows of no other machine that stands on them.
    """
    touched = {
        shown
        for snapshot in doomed
        for each in (snapshot, *snapshot.children)
        for shown in _disks(each.config).values()
    }
    machine = doomed[0].machine
    for other in machine.registry.all(VirtualMachine).values():
        if other is machine or other.power != "poweredOn":
            continue
        for store, path in other.disk_files():
            if store.shown(path) in touched:
                raise with_message(vim25.FileLocked(file=store.shown(path)))


@handles(Snapshot, "RemoveSnapshot_Task")
def remove_snapshot(snapshot: Snapshot, call: Call) -> Any:
    """Remove a snapshot, with its children if asked."""
    machine = snapshot.machine
    machine.registry.require_licence()
    require_idle(machine)
    below = bool(call.args["removeChildren"])

    async def work(task: Task) -> None:
        doomed = [snapshot]
        if below:
            todo = list(snapshot.children)
            while todo:
                each = todo.pop()
                doomed.append(each)
                todo.extend(each.children)
        _require_unlocked(doomed)
        for each in reversed(doomed):
            await _remove_one(each)
        await _after(machine)

    return start_task(call, machine, work)


async def _after(machine: VirtualMachine) -> None:
    await _reread(machine)
    if machine.power == "poweredOn":
        hold_files(machine)
    machine.consolidation_needed = False
    _update_configs(machine)
    await store_config(machine)


@handles(VirtualMachine, "RemoveAllSnapshots_Task")
def remove_all(machine: VirtualMachine, call: Call) -> Any:
    """Remove all snapshots; the current chain becomes one disk."""
    machine.registry.require_licence()
    require_idle(machine)

    async def work(task: Task) -> None:
        files: set[str] = set()
        for config in [machine.config, *(each.config for each in machine.all_snapshots())]:
            files.update(_disks(config).values())
        roots = {key: _root(machine, key) for key in _disks(machine.config)}
        for snapshot in machine.all_snapshots():
            snapshot.remove()
        machine.snapshots, machine.current = [], None
        free_files(machine)
        machine.config = _swap_disks(
            machine.config,
            lambda disk: (
                revised(disk, backing=revised(disk.backing, fileName=roots[disk.key], parent=None))
                if disk.key in roots
                else disk
            ),
        )
        await _drop(machine, files - set(roots.values()))
        await _after(machine)

    return start_task(call, machine, work)


def _root(machine: VirtualMachine, key: int) -> str:
    """Return the file at the bottom of the chain of a disk, as far as it is the machine's own."""
    disk: Any = next(d for d in machine.disks() if d.key == key)
    ours = {shown for each in machine.all_snapshots() for shown in _disks(each.config).values()}
    backing = disk.backing
    while backing.parent is not None and backing.parent.fileName in ours:
        backing = backing.parent
    name: str = backing.fileName
    return name


@handles(VirtualMachine, "ConsolidateVMDisks_Task")
def consolidate(machine: VirtualMachine, call: Call) -> Any:
    """Merge delta disks that no snapshot needs."""
    machine.registry.require_licence()
    require_idle(machine)

    async def work(task: Task) -> None:
        machine.consolidation_needed = False
        machine.changed("runtime", "summary")

    return start_task(call, machine, work)


@handles(Snapshot, "RenameSnapshot")
def rename_snapshot(snapshot: Snapshot, call: Call) -> None:
    """Rename a snapshot or change its description."""
    snapshot.registry.require_licence()
    if call.get("name") is not None:
        check_name(call.args["name"])
        snapshot.name = call.args["name"]
    if call.get("description") is not None:
        snapshot.description = call.args["description"]
    snapshot.machine.changed("snapshot")
