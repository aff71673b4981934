"""Machines come and go: create, register, reconfigure, rename, unregister, destroy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from vimlib import vim25
from vimlib.simulator import _vmdk as vmdk
from vimlib.simulator import _vmx as vmx
from vimlib.simulator._datastore import Datastore, find_path, no_such_file, usage
from vimlib.simulator._disk_manager import disk_fault, disk_paths
from vimlib.simulator._file_manager import already_exists
from vimlib.simulator._inventory import Folder, ResourcePool
from vimlib.simulator._machine import VirtualMachine
from vimlib.simulator._objects import Entity, serves, unescape_name
from vimlib.simulator._reconfigure import Change, blank_config, check_name, plain_uuid, wrong
from vimlib.simulator._tasks import start_task
from vimlib.simulator._world import say

if TYPE_CHECKING:
    from pathlib import Path

    from vimlib.simulator._call import Call
    from vimlib.simulator._tasks import Task
    from vimlib.simulator._world import World

__all__ = ["capacities_of", "create_machine", "read_machine", "require_idle", "store_config"]


def require_idle(machine: VirtualMachine) -> None:
    """Raise `TaskInProgress` while a task of the machine has not ended."""
    task = machine.world.tasks.running_on(machine)
    if task is not None:
        raise say(
            vim25.TaskInProgress(task=task.ref),
            "The operation is not allowed: another task is already in progress.",
        )


def require_power(machine: VirtualMachine, *allowed: str, requested: str | None = None) -> None:
    """Raise `InvalidPowerState` unless the machine is in one of the states."""
    if machine.power not in allowed:
        words = {"poweredOn": "Powered on", "poweredOff": "Powered off", "suspended": "Suspended"}
        raise say(
            vim25.InvalidPowerState(
                requestedState=requested or allowed[0], existingState=machine.power
            ),
            f"The attempted operation cannot be performed in the current state ({words[machine.power]}).",
        )


def require_connected(machine: VirtualMachine) -> None:
    """Raise `InvalidState` for a machine whose files the host cannot reach."""
    if machine.connection != "connected":
        raise say(vim25.InvalidState(), "The operation is not allowed in the current state.")


def check_unused(world: World, name: str, *, but: VirtualMachine | None = None) -> None:
    """Raise `DuplicateName` if another machine has the name."""
    for machine in world.machines.values():
        if machine.name == name and machine is not but:
            raise say(
                vim25.DuplicateName(name=name, object=machine.ref),
                f"The name '{name}' already exists.",
            )


async def store_config(machine: VirtualMachine) -> None:
    """Write the machine's configuration file and look at the size of its files."""
    text = vmx.render(machine.config)
    place = machine.store.local(machine.vmx)
    folder = machine.folder

    def write() -> int:
        place.write_text(text, encoding="utf-8")
        return usage(place.parent) if folder else usage(place)

    machine.committed = await machine.store.work(write, touched=[machine.vmx])
    machine.changed("summary", "storage")


async def create_machine(world: World, spec: Any, pool: ResourcePool) -> VirtualMachine:
    """Make a machine by a spec: folder, files, inventory. A failure leaves no file behind.

    Cancelling it may leave files, as a host that is stopped may.
    """
    name = unescape_name(spec.name)
    check_unused(world, name)
    store, path = await _place(world, spec, name)
    folder = path.rpartition("/")[0]
    config = blank_config(world, name, store.shown(path))
    try:
        change = Change(world, config, replace(spec, name=name), machine=None)
        config = await change.apply()
    except BaseException:
        if folder:
            await world.io(_remove_empty, store.local(folder))
        raise
    check_unused(world, name)
    machine = VirtualMachine(world, str(world.serial()), config, store, pool)
    machine.changed()
    await store_config(machine)
    for network in world.networks.networks.values():
        if network.name in machine.network_names():
            network.changed("vm")
    return machine


def _remove_empty(place: Path) -> None:
    try:
        place.rmdir()
    except OSError:
        return  # something of somebody's is in it


async def _place(world: World, spec: Any, name: str) -> tuple[Datastore, str]:
    """Return where the configuration file of a new machine goes; its folder is made."""
    files = spec.files
    if files is None or not files.vmPathName:
        raise say(
            vim25.InvalidVmConfig(property="configSpec.files"),
            "Invalid virtual machine configuration.",
        )
    store, path = find_path(world, files.vmPathName)
    if path.endswith(".vmx"):
        place = store.local(path)
        if await world.io(place.exists):
            raise already_exists(store.shown(path))
        await store.work(lambda: place.parent.mkdir(parents=True, exist_ok=True))
        return store, path
    safe = "".join("_" if c in '/\\:*?"<>|' or ord(c) < 32 else c for c in name).strip(". ") or "vm"

    def make() -> str:
        number = 0
        base = store.local(path)
        while True:
            folder = safe if not number else f"{safe}_{number}"
            try:
                base.joinpath(folder).mkdir(parents=True)
            except FileExistsError:
                # A folder that is left over: a host takes another name.
                number += 1
                continue
            return folder

    folder = await store.work(make)
    prefix = f"{path}/{folder}" if path else folder
    return store, f"{prefix}/{safe}.vmx"


def _pool(call: Call, name: str = "pool") -> ResourcePool:
    ref = call.get(name)
    pool = call.world.find(ref) if ref is not None else call.world.pool
    if not isinstance(pool, ResourcePool):
        raise wrong(name)
    return pool


@serves(Folder, "CreateVM_Task")
def create_vm(folder: Folder, call: Call) -> Any:
    """Make a machine."""
    if folder is not call.world.vm_folder:
        raise say(vim25.NotSupported(), "The operation is not supported on the object.")
    return _create(call, _pool(call))


@serves(ResourcePool, "CreateChildVM_Task")
def create_child_vm(pool: ResourcePool, call: Call) -> Any:
    """Make a machine in a pool."""
    return _create(call, pool)


def _create(call: Call, pool: ResourcePool) -> Any:
    world, spec = call.world, call.args["config"]
    world.require_licence()
    if not spec.name:
        raise say(
            vim25.InvalidVmConfig(property="configSpec.name"),
            "Invalid virtual machine configuration.",
        )
    check_name(unescape_name(spec.name))

    async def work(task: Task) -> Any:
        machine = await create_machine(world, spec, pool)
        world.events.post(
            "VmCreatedEvent",
            f"Created virtual machine {machine.name} on {world.host.name}",
            machine=machine,
            user=call.user,
            chain=task.chain,
        )
        return machine.ref

    return start_task(call, call.world.vm_folder, work)


async def capacities_of(
    world: World, store: Datastore, values: dict[str, str], path: str
) -> dict[str, vmx.DiskFacts]:
    """Return what is known of each disk that a configuration file names, its parents too."""
    found = {}
    for key, value in values.items():
        if key.endswith(".fileName") and value.endswith(".vmdk"):
            folder = path.strip().rpartition("/")[0]
            shown = value if value.startswith("[") else store.shown(f"{folder}/{value}".lstrip("/"))
            facts = await _facts(world, shown)
            if facts is not None:  # a host registers it all the same and refuses to power it on
                found[value] = facts
    return found


async def _facts(world: World, shown: str, depth: int = 0) -> vmx.DiskFacts | None:
    store, path = find_path(world, shown)
    try:
        disk = await world.io(vmdk.load, store.local(path))
    except (OSError, vmdk.DiskError):
        return None
    parent = None
    if disk.parent and depth < vmdk.DEEPEST:
        folder = path.rpartition("/")[0]
        parent = await _facts(world, store.shown(f"{folder}/{disk.parent}".lstrip("/")), depth + 1)
    return vmx.DiskFacts(shown, store, disk.capacity, disk.thin, plain_uuid(disk.uuid), parent)


async def read_machine(
    world: World, store: Datastore, path: str, pool: ResourcePool, name: str | None
) -> VirtualMachine:
    """Register the machine of a configuration file. Raises what a host raises."""
    place = store.local(path)
    shown = store.shown(path)
    try:
        values = vmx.parse(await world.io(place.read_text, "utf-8"))
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        raise say(
            vim25.NotFound(), f"The object or item referred to could not be found: {shown}"
        ) from None
    except (vmx.VmxError, UnicodeDecodeError):
        raise say(
            vim25.InvalidVmConfig(property=shown), "Invalid virtual machine configuration."
        ) from None
    capacities = await capacities_of(world, store, values, path)
    try:
        config = vmx.read_config(world, blank_config(world, place.stem, shown), values, capacities)
    except vmx.VmxError:
        raise say(
            vim25.InvalidVmConfig(property=shown), "Invalid virtual machine configuration."
        ) from None
    if name:
        config = replace(config, name=name)
    check_unused(world, config.name)
    machine = VirtualMachine(world, str(world.serial()), config, store, pool)
    machine.changed()
    await store_config(machine)
    return machine


@serves(Folder, "RegisterVM_Task")
@serves(ResourcePool, "RegisterChildVM_Task")
def register_vm(served: Entity, call: Call) -> Any:
    """Take a machine into the inventory by its configuration file."""
    world = call.world
    world.require_licence()
    store, path = find_path(world, call.args["path"])
    pool = served if isinstance(served, ResourcePool) else _pool(call)
    for machine in world.machines.values():
        if machine.store is store and machine.vmx == path:
            raise say(
                vim25.AlreadyExists(name=machine.name),
                f"The specified key, name, or identifier '{store.shown(path)}' already exists.",
            )
    if call.get("asTemplate"):
        raise say(vim25.NotSupported(), "The operation is not supported on the object.")

    async def work(task: Task) -> Any:
        machine = await read_machine(world, store, path, pool, call.get("name"))
        world.events.post(
            "VmRegisteredEvent",
            f"Registered {machine.name} on {world.host.name}",
            machine=machine,
            user=call.user,
            chain=task.chain,
        )
        return machine.ref

    return start_task(call, world.vm_folder, work)


@serves(VirtualMachine, "ReconfigVM_Task")
def reconfigure(machine: VirtualMachine, call: Call) -> Any:
    """Change a machine."""
    world, spec = call.world, call.args["spec"]
    world.require_licence()
    require_connected(machine)
    require_idle(machine)
    if machine.power == "suspended" and spec.deviceChange:
        require_power(machine, "poweredOff", "poweredOn")

    async def work(task: Task) -> None:
        if spec.name:
            check_unused(world, unescape_name(spec.name), but=machine)
        wanted = replace(spec, name=unescape_name(spec.name)) if spec.name else spec
        before = machine.network_names()
        change = Change(
            world, machine.config, wanted, machine=machine, running=machine.power == "poweredOn"
        )
        config = await change.apply()
        machine.set_config(config)
        if machine.power == "poweredOn":
            hold_files(machine)
        for network in world.networks.networks.values():
            if network.name in before ^ machine.network_names():
                network.changed("vm")
        await store_config(machine)
        world.events.post(
            "VmReconfiguredEvent",
            f"Reconfigured {machine.name} on {world.host.name}",
            machine=machine,
            user=call.user,
            chain=task.chain,
            configSpec=vim25.VirtualMachineConfigSpec(name=spec.name),
        )

    return start_task(call, machine, work)


def hold_files(machine: VirtualMachine) -> None:
    """Lock the files of a running machine's disks, and no others."""
    free_files(machine)
    for store, path in machine.disk_files():
        for each in disk_paths(store, path):
            store.locks[each] = machine.name
    machine.store.locks[machine.vmx] = machine.name


def free_files(machine: VirtualMachine) -> None:
    """Unlock what the machine holds."""
    for store in machine.world.datastores.values():
        for path in [path for path, holder in store.locks.items() if holder == machine.name]:
            del store.locks[path]


@serves(Entity, "Rename_Task")
def rename(entity: Entity, call: Call) -> Any:
    """Give a machine another name; other entities of a host keep theirs."""
    world, name = call.world, unescape_name(call.args["newName"])
    world.require_licence()
    if not isinstance(entity, VirtualMachine):
        raise say(vim25.NotSupported(), "The operation is not supported on the object.")
    check_name(name)
    check_unused(world, name, but=entity)
    require_idle(entity)

    async def work(task: Task) -> None:
        check_unused(world, name, but=entity)
        old = entity.name
        locked = entity.power == "poweredOn"
        if locked:
            free_files(entity)
        entity.set_config(
            replace(
                entity.config, name=name, changeVersion=str(int(entity.config.changeVersion) + 1)
            )
        )
        if locked:
            hold_files(entity)
        await store_config(entity)
        world.events.post(
            "VmRenamedEvent",
            f"Renamed {old} from {old} to {name}",
            machine=entity,
            user=call.user,
            chain=task.chain,
            oldName=old,
            newName=name,
        )

    return start_task(call, entity, work)


@serves(VirtualMachine, "UnregisterVM")
def unregister(machine: VirtualMachine, call: Call) -> None:
    """Take a machine out of the inventory; its files stay."""
    call.world.require_licence()
    require_idle(machine)
    require_power(machine, "poweredOff", "suspended")
    call.world.events.post(
        "VmRemovedEvent",
        f"Removed {machine.name} on {call.world.host.name}",
        machine=machine,
        user=call.user,
    )
    machine.remove()


@serves(Entity, "Destroy_Task")
def destroy(entity: Entity, call: Call) -> Any:
    """Delete a machine with its files."""
    world = call.world
    world.require_licence()
    if isinstance(entity, ResourcePool) and entity is not world.pool:
        return _destroy_pool(entity, call)
    if not isinstance(entity, VirtualMachine):
        raise say(vim25.NotSupported(), "The operation is not supported on the object.")
    require_idle(entity)
    require_power(entity, "poweredOff")

    async def work(task: Task) -> None:
        require_power(entity, "poweredOff")
        world.events.post(
            "VmRemovedEvent",
            f"Removed {entity.name} on {world.host.name}",
            machine=entity,
            user=call.user,
            chain=task.chain,
        )
        await delete_files(entity)
        entity.remove()

    return start_task(call, entity, work)


async def delete_files(machine: VirtualMachine) -> None:
    """Delete the files that are the machine's: disks, configuration, logs, state; the folder if empty then."""
    for store, path in dict.fromkeys([*machine.disk_files(), *snapshot_disks(machine)]):
        if any(
            (store, path) in other.disk_files()
            for other in machine.world.machines.values()
            if other is not machine
        ):
            continue
        try:
            await store.work(vmdk.delete, store.local(path), touched=disk_paths(store, path))
        except FileNotFoundError:
            continue
        except OSError as error:
            raise disk_fault(error, store.shown(path)) from None
    place = machine.store.local(machine.vmx)
    folder = machine.folder
    stem = place.name.removesuffix(".vmx")

    def sweep() -> None:
        place.unlink(missing_ok=True)
        if not folder:
            return
        for child in place.parent.iterdir() if place.parent.is_dir() else ():
            ours = child.name.startswith(
                ("vmware", stem + ".", stem + "-")
            ) and not child.name.endswith((".vmdk", ".iso"))
            if child.is_file() and (
                ours
                or child.suffix in (".vswp", ".nvram", ".vmsd", ".vmsn", ".vmss", ".vmxf", ".png")
            ):
                child.unlink()
        _remove_empty(place.parent)

    await machine.store.work(sweep, touched=[folder or machine.vmx])


def snapshot_disks(machine: VirtualMachine) -> list[tuple[Datastore, str]]:
    """Return the disks that only snapshots of a machine use."""
    found = []
    for snapshot in machine.all_snapshots():
        for disk in snapshot.config.hardware.device:
            name = (
                getattr(disk.backing, "fileName", None)
                if isinstance(disk, vim25.VirtualDisk)
                else None
            )
            if name:
                found.append(find_path(machine.world, name))
    return found


def _destroy_pool(pool: ResourcePool, call: Call) -> Any:
    async def work(task: Task) -> None:
        parent = pool.parent
        assert isinstance(parent, ResourcePool)
        for machine in tuple(pool.machines):
            machine.pool = parent
            parent.machines[machine] = None
            machine.changed("resourcePool")
        parent.pools.pop(pool, None)
        pool.remove()
        parent.changed("resourcePool", "vm")

    return start_task(call, pool, work)


@serves(ResourcePool, "CreateResourcePool")
def create_pool(pool: ResourcePool, call: Call) -> Any:
    """Make a resource pool."""
    world = call.world
    world.require_licence()
    name = unescape_name(call.args["name"])
    check_name(name)
    for other in pool.pools:
        if other.name == name:
            raise say(
                vim25.DuplicateName(name=name, object=other.ref),
                f"The name '{name}' already exists.",
            )
    made = ResourcePool(world, f"pool{world.serial()}", name, pool, pool.owner)
    made.allocation = call.args["spec"]
    pool.pools[made] = None
    pool.changed("resourcePool")
    return made.ref


@serves(
    VirtualMachine,
    "CloneVM_Task",
    "MigrateVM_Task",
    "RelocateVM_Task",
    "InstantClone_Task",
    "MarkAsTemplate",
    "CustomizeVM_Task",
)
def not_on_a_host(machine: VirtualMachine, call: Call) -> Any:
    """Refuse what vCenter alone does."""
    raise say(vim25.NotSupported(), "The operation is not supported on the object.")


@serves(VirtualMachine, "RefreshStorageInfo")
async def refresh_storage(machine: VirtualMachine, call: Call) -> None:
    """Look at the size of the machine's files."""
    folder = machine.folder or machine.vmx
    machine.committed = await machine.world.io(usage, machine.store.local(folder))
    machine.changed("summary", "storage")


@serves(Entity, "Reload")
async def reload(entity: Entity, call: Call) -> None:
    """Read a machine's configuration file again."""
    if isinstance(entity, VirtualMachine) and not await entity.world.io(
        entity.store.local(entity.vmx).exists
    ):
        raise no_such_file(entity.config.files.vmPathName)
