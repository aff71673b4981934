"""The lifecycle of machines: create, register, reconfigure, rename, unregister, destroy."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from vimlib import vim25
from vimlib.simulator._core.handlers import handles
from vimlib.simulator._core.messages import (
    invalid_argument,
    invalid_state,
    no_such_item,
    not_supported,
    with_message,
)
from vimlib.simulator._core.objects import Entity, unescape_name
from vimlib.simulator._host.folders import Datacenter, Folder
from vimlib.simulator._host.host_system import HostSystem
from vimlib.simulator._host.network import NetworkSystem
from vimlib.simulator._host.resources import ResourcePool, root_pool
from vimlib.simulator._service.events import EventManager
from vimlib.simulator._service.tasks import TaskManager, start_task
from vimlib.simulator._storage import vmdk
from vimlib.simulator._storage.datastore import (
    Datastore,
    already_exists,
    find_path,
    no_such_file,
    usage,
)
from vimlib.simulator._storage.disks import disk_fault, disk_paths
from vimlib.simulator._vm import vmx
from vimlib.simulator._vm.pools import destroy_pool
from vimlib.simulator._vm.reconfigure import ConfigChange, blank_config, check_name, plain_uuid
from vimlib.simulator._vm.virtual_machine import VirtualMachine

if TYPE_CHECKING:
    from pathlib import Path

    from vimlib.simulator._core.call import Call
    from vimlib.simulator._core.registry import Registry
    from vimlib.simulator._service.tasks import Task


def require_idle(machine: VirtualMachine) -> None:
    """Raise `TaskInProgress` while a task of the machine has not ended."""
    task = machine.registry.one(TaskManager).running_on(machine)
    if task is not None:
        raise with_message(
            vim25.TaskInProgress(task=task.ref),
            "The operation is not allowed: another task is already in progress.",
        )


def require_power(machine: VirtualMachine, *allowed: str, requested: str | None = None) -> None:
    """Raise `InvalidPowerState` unless the machine is in one of the states."""
    if machine.power not in allowed:
        words = {"poweredOn": "Powered on", "poweredOff": "Powered off", "suspended": "Suspended"}
        raise with_message(
            vim25.InvalidPowerState(
                requestedState=requested or allowed[0], existingState=machine.power
            ),
            f"The attempted operation cannot be performed in the current state ({words[machine.power]}).",
        )


def require_connected(machine: VirtualMachine) -> None:
    """Raise `InvalidState` for a machine whose files the host cannot reach."""
    if machine.connection != "connected":
        raise invalid_state()


def check_unused(registry: Registry, name: str, *, but: VirtualMachine | None = None) -> None:
    """Raise `DuplicateName` if another machine has the name."""
    for machine in registry.all(VirtualMachine).values():
        if machine.name == name and machine is not but:
            raise with_message(vim25.DuplicateName(name=name, object=machine.ref))


async def store_config(machine: VirtualMachine) -> None:
    """Write the machine's configuration file and measure its files."""
    text = vmx.render(machine.registry, machine.config)
    place = machine.store.local(machine.vmx)
    folder = machine.folder

    def write() -> int:
        place.write_text(text, encoding="utf-8")
        return usage(place.parent) if folder else usage(place)

    machine.committed = await machine.store.work(write, touched=[machine.vmx])
    machine.changed("summary", "storage")


async def create_machine(registry: Registry, spec: Any, pool: ResourcePool) -> VirtualMachine:
    """Make a machine by a spec: folder, files, inventory. A failure leaves no file behind.

    Cancelling it may leave files, as a host that is stopped may.
    """
    name = unescape_name(spec.name)
    check_unused(registry, name)
    store, path = await _place(registry, spec, name)
    folder = path.rpartition("/")[0]
    config = blank_config(registry, name, store.shown(path))
    try:
        change = ConfigChange(registry, config, replace(spec, name=name), machine=None)
        config = await change.apply()
    except BaseException:
        if folder:
            await registry.io(_remove_empty, store.local(folder))
        raise
    check_unused(registry, name)
    machine = VirtualMachine(registry, str(registry.serial()), config, store, pool)
    machine.changed()
    await store_config(machine)
    for network in registry.one(NetworkSystem).networks.values():
        if network.name in machine.network_names():
            network.changed("vm")
    return machine


def _remove_empty(place: Path) -> None:
    try:
        place.rmdir()
    except OSError:
        return  # it has other files


async def _place(registry: Registry, spec: Any, name: str) -> tuple[Datastore, str]:
    """Return the path of a new machine's configuration file; makes its folder."""
    files = spec.files
    if files is None or not files.vmPathName:
        raise with_message(vim25.InvalidVmConfig(property="configSpec.files"))
    store, path = find_path(registry, files.vmPathName)
    if path.endswith(".vmx"):
        place = store.local(path)
        if await registry.io(place.exists):
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
                # A left-over folder makes a host choose another name.
                number += 1
                continue
            return folder

    folder = await store.work(make)
    prefix = f"{path}/{folder}" if path else folder
    return store, f"{prefix}/{safe}.vmx"


def _pool(call: Call, name: str = "pool") -> ResourcePool:
    ref = call.get(name)
    pool = call.registry.find(ref) if ref is not None else root_pool(call.registry)
    if not isinstance(pool, ResourcePool):
        raise invalid_argument(name)
    return pool


@handles(Folder, "CreateVM_Task")
def create_vm(folder: Folder, call: Call) -> Any:
    """Make a machine."""
    if folder is not call.registry.one(Datacenter).vm:
        raise not_supported()
    return _create(call, _pool(call))


@handles(ResourcePool, "CreateChildVM_Task")
def create_child_vm(pool: ResourcePool, call: Call) -> Any:
    """Make a machine in a pool."""
    return _create(call, pool)


def _create(call: Call, pool: ResourcePool) -> Any:
    registry, spec = call.registry, call.args["config"]
    registry.require_licence()
    if not spec.name:
        raise with_message(vim25.InvalidVmConfig(property="configSpec.name"))
    check_name(unescape_name(spec.name))

    async def work(task: Task) -> Any:
        machine = await create_machine(registry, spec, pool)
        registry.one(EventManager).post(
            "VmCreatedEvent",
            f"Created virtual machine {machine.name} on {registry.one(HostSystem).name}",
            machine=machine,
            user=call.user,
            chain=task.chain,
        )
        return machine.ref

    return start_task(call, call.registry.one(Datacenter).vm, work)


async def read_vmx(store: Datastore, path: str) -> vmx.Values:
    """Return the values of a configuration file. Raises `OSError` and `vmx.VmxError`."""

    def read() -> bytes:
        with store.local(path).open("rb") as file:
            return file.read(vmx.LARGEST + 1)

    return vmx.parse(await store.registry.io(read))


async def capacities_of(
    registry: Registry, values: vmx.Values, shown: str
) -> dict[str, vmx.DiskInfo]:
    """Return the descriptor of each disk that the configuration file `shown` names, parents too."""
    found = {}
    names = vmx.FileNames(registry, shown)
    for key, value in values.items():
        if key.lower().endswith(".filename") and value.lower().endswith(".vmdk"):
            info = await _disk_info(registry, names.shown(value))
            if info is not None:  # a host registers it, and refuses to power it on
                found[value] = info
    return found


async def _disk_info(registry: Registry, shown: str, depth: int = 0) -> vmx.DiskInfo | None:
    try:
        store, path = find_path(registry, shown)
        disk = await registry.io(vmdk.load, store.local(path))
    except (OSError, vmdk.DiskError, vim25.InvalidDatastore, vim25.InvalidDatastorePath):
        return None
    parent = None
    if disk.parent and depth < vmdk.DEEPEST:
        try:
            above = store.relative(vmdk.parent_of(disk))
        except vmdk.DiskError:
            return None
        parent = await _disk_info(registry, store.shown(above), depth + 1)
    return vmx.DiskInfo(shown, store, disk.capacity, disk.thin, plain_uuid(disk.uuid), parent)


async def read_machine(
    registry: Registry, store: Datastore, path: str, pool: ResourcePool, name: str | None
) -> VirtualMachine:
    """Register the machine of a configuration file. Raises the fault of a host."""
    place = store.local(path)
    shown = store.shown(path)
    try:
        values = await read_vmx(store, path)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        raise no_such_item(shown) from None
    except vmx.VmxError:
        raise with_message(vim25.InvalidVmConfig(property=shown)) from None
    capacities = await capacities_of(registry, values, shown)
    try:
        config = vmx.read_config(
            registry, blank_config(registry, place.stem, shown), values, capacities
        )
    except vmx.VmxError:
        raise with_message(vim25.InvalidVmConfig(property=shown)) from None
    if name:
        config = replace(config, name=name)
    check_unused(registry, config.name)
    machine = VirtualMachine(registry, str(registry.serial()), config, store, pool)
    machine.changed()
    await store_config(machine)
    return machine


@handles(Folder, "RegisterVM_Task")
@handles(ResourcePool, "RegisterChildVM_Task")
def register_vm(target: Entity, call: Call) -> Any:
    """Add a machine to the inventory by its configuration file."""
    registry = call.registry
    registry.require_licence()
    store, path = find_path(registry, call.args["path"])
    pool = target if isinstance(target, ResourcePool) else _pool(call)
    for machine in registry.all(VirtualMachine).values():
        if machine.store is store and machine.vmx == path:
            raise with_message(
                vim25.AlreadyExists(name=machine.name),
                f"The specified key, name, or identifier '{store.shown(path)}' already exists.",
            )
    if call.get("asTemplate"):
        raise not_supported()

    async def work(task: Task) -> Any:
        machine = await read_machine(registry, store, path, pool, call.get("name"))
        registry.one(EventManager).post(
            "VmRegisteredEvent",
            f"Registered {machine.name} on {registry.one(HostSystem).name}",
            machine=machine,
            user=call.user,
            chain=task.chain,
        )
        return machine.ref

    return start_task(call, registry.one(Datacenter).vm, work)


@handles(VirtualMachine, "ReconfigVM_Task")
def reconfigure(machine: VirtualMachine, call: Call) -> Any:
    """ConfigChange a machine."""
    registry, spec = call.registry, call.args["spec"]
    registry.require_licence()
    require_connected(machine)
    require_idle(machine)
    if machine.power == "suspended" and spec.deviceChange:
        require_power(machine, "poweredOff", "poweredOn")

    async def work(task: Task) -> None:
        if spec.name:
            check_unused(registry, unescape_name(spec.name), but=machine)
        wanted = replace(spec, name=unescape_name(spec.name)) if spec.name else spec
        before = machine.network_names()
        change = ConfigChange(
            registry, machine.config, wanted, machine=machine, running=machine.power == "poweredOn"
        )
        config = await change.apply()
        machine.set_config(config)
        if machine.power == "poweredOn":
            hold_files(machine)
        for network in registry.one(NetworkSystem).networks.values():
            if network.name in before ^ machine.network_names():
                network.changed("vm")
        await store_config(machine)
        registry.one(EventManager).post(
            "VmReconfiguredEvent",
            f"Reconfigured {machine.name} on {registry.one(HostSystem).name}",
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
    """Unlock the machine's files."""
    for store in machine.registry.all(Datastore).values():
        for path in [path for path, holder in store.locks.items() if holder == machine.name]:
            del store.locks[path]
    for other in machine.registry.all(VirtualMachine).values():
        if other is not machine and other.power == "poweredOn":
            for store, path in other.disk_files():  # a parent that it shares
                for each in disk_paths(store, path):
                    store.locks.setdefault(each, other.name)


@handles(Entity, "Rename_Task")
def rename(entity: Entity, call: Call) -> Any:
    """Rename a machine; other entities of a host cannot be renamed."""
    registry, name = call.registry, unescape_name(call.args["newName"])
    registry.require_licence()
    if not isinstance(entity, VirtualMachine):
        raise not_supported()
    check_name(name)
    check_unused(registry, name, but=entity)
    require_idle(entity)

    async def work(task: Task) -> None:
        check_unused(registry, name, but=entity)
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
        registry.one(EventManager).post(
            "VmRenamedEvent",
            f"Renamed {old} from {old} to {name}",
            machine=entity,
            user=call.user,
            chain=task.chain,
            oldName=old,
            newName=name,
        )

    return start_task(call, entity, work)


@handles(VirtualMachine, "UnregisterVM")
def unregister(machine: VirtualMachine, call: Call) -> None:
    """Remove a machine from the inventory; its files stay."""
    call.registry.require_licence()
    require_idle(machine)
    require_power(machine, "poweredOff", "suspended")
    call.registry.one(EventManager).post(
        "VmRemovedEvent",
        f"Removed {machine.name} on {call.registry.one(HostSystem).name}",
        machine=machine,
        user=call.user,
    )
    machine.remove()


@handles(Entity, "Destroy_Task")
def destroy(entity: Entity, call: Call) -> Any:
    """Delete a machine with its files."""
    registry = call.registry
    registry.require_licence()
    if isinstance(entity, ResourcePool) and entity is not root_pool(registry):
        return destroy_pool(entity, call)
    if not isinstance(entity, VirtualMachine):
        raise not_supported()
    require_idle(entity)
    require_power(entity, "poweredOff")

    async def work(task: Task) -> None:
        require_power(entity, "poweredOff")
        registry.one(EventManager).post(
            "VmRemovedEvent",
            f"Removed {entity.name} on {registry.one(HostSystem).name}",
            machine=entity,
            user=call.user,
            chain=task.chain,
        )
        await delete_files(entity)
        entity.remove()

    return start_task(call, entity, work)


async def delete_files(machine: VirtualMachine) -> None:
    """Delete the machine's own files: disks, configuration, logs, state; the folder too if it is then empty.

    As on a host, a file is the machine's by its whole name, so others in the folder stay.
    """
    for store, path in dict.fromkeys([*machine.disk_files(), *snapshot_disks(machine)]):
        if any(
            (store, path) in other.disk_files()
            for other in machine.registry.all(VirtualMachine).values()
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
    own = re.compile(
        r"vmware(-\d+)?\.log|"
        + re.escape(place.name.removesuffix(".vmx"))
        + r"(-[0-9a-f]{8}|-Snapshot\d+|-\d+)?\.(vmxf|vmsd|vmsn|vmss|vmem|nvram|vswp|png)"
    )

    def sweep() -> None:
        place.unlink(missing_ok=True)
        if not folder:
            return
        for child in place.parent.iterdir() if place.parent.is_dir() else ():
            if child.is_file() and own.fullmatch(child.name):
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
                found.append(find_path(machine.registry, name))
    return found


@handles(
    VirtualMachine,
    "CloneVM_Task",
    "MigrateVM_Task",
    "RelocateVM_Task",
    "InstantClone_Task",
    "MarkAsTemplate",
    "CustomizeVM_Task",
)
def not_on_a_host(machine: VirtualMachine, call: Call) -> Any:
    """Refuse the methods of vCenter."""
    raise not_supported()


@handles(VirtualMachine, "RefreshStorageInfo")
async def refresh_storage(machine: VirtualMachine, call: Call) -> None:
    """Measure the machine's files."""
    folder = machine.folder or machine.vmx
    machine.committed = await machine.registry.io(usage, machine.store.local(folder))
    machine.changed("summary", "storage")


@handles(Entity, "Reload")
async def reload(entity: Entity, call: Call) -> None:
    """Read a machine's configuration file again."""
    if isinstance(entity, VirtualMachine) and not await entity.registry.io(
        entity.store.local(entity.vmx).exists
    ):
        raise no_such_file(entity.config.files.vmPathName)
