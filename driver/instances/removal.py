"""Remove a machine and its files. Removing what is gone is no error; all else is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from driver.errors import ForeignInstanceError
from driver.instances import lookup
from driver.instances.plan import OWNER_KEY
from vimlib import vim25
from vimlib.session.shield import finish
from vimlib.datastore import DatastorePath
from vimlib.errors import NotFoundError

if TYPE_CHECKING:
    from driver.config import DriverConfig
    from vimlib.client import Client

__all__ = ["destroy", "remove_files", "remove_machine"]


async def destroy(client: Client, ref: str, config: DriverConfig, *, foreign: bool = False) -> bool:
    """Power off and remove a machine with all its files; return False if there was none.

    Cancelling waits for the call that is under way, so that a half-removed machine is rare; call
    it again to finish.

    Args:
        client: The host.
        ref: uuid, name or moref's value.
        config: Whose machines may be removed.
        foreign: Also a machine that this driver did not make.

    Raises:
        ForeignInstanceError: Another made it, and `foreign` is false.
        MethodFault: The host refused.
    """
    try:
        vm = await lookup.find(client, ref)
    except NotFoundError:
        return False
    try:
        row = await client.get(vm, "config.extraConfig", "config.files.vmPathName")
    except vim25.ManagedObjectNotFound:
        return False
    marks = {o.key: o.value for o in row.props.get("config.extraConfig") or []}
    if not foreign and marks.get(OWNER_KEY) != config.owner:
        raise ForeignInstanceError(ref, owner=marks.get(OWNER_KEY) or "")
    await finish(_remove(client, vm, config, row.props.get("config.files.vmPathName")))
    return True


async def _remove(
    client: Client, vm: vim25.VirtualMachine, config: DriverConfig, vmx: str | None
) -> None:
    await remove_machine(client, vm, config)
    if vmx:
        center = None
        async for row in client.collect(vim25.Datacenter, "name"):
            center = row.obj
            break
        await remove_files(client, center, DatastorePath.parse(vmx).parent)


async def remove_machine(
    client: Client, vm: vim25.VirtualMachine, config: DriverConfig
) -> None:
    """`PowerOffVM_Task` where it runs, then `Destroy_Task`, which takes its files too.

    Bears that the machine is off, or gone, or goes meanwhile.
    """
    try:
        row = await client.get(vm, "runtime.powerState")
        if row.props.get("runtime.powerState") != vim25.VirtualMachinePowerState.poweredOff:
            try:
                await client.wait(await vm.PowerOffVM_Task(), timeout=config.task_seconds)
            except vim25.InvalidPowerState as fault:
                # Somebody was quicker; anything but "off" stays an error.
                if fault.existingState != vim25.VirtualMachinePowerState.poweredOff:
                    raise
        await client.wait(await vm.Destroy_Task(), timeout=config.task_seconds)
    except vim25.ManagedObjectNotFound:
        return


async def remove_files(
    client: Client, datacenter: vim25.Datacenter | None, folder: DatastorePath
) -> None:
    """Remove what is left of a machine's folder. A folder that is gone is no error.

    Only ever called with a folder that the host named for a machine of ours: the root of a
    datastore is refused.
    """
    if not folder.path:
        return
    manager = client.content.fileManager
    if manager is None:
        raise NotFoundError("the host has no FileManager", kind="FileManager")
    try:
        task = await client.bind(manager).DeleteDatastoreFile_Task(
            str(folder), datacenter=datacenter
        )
        await client.wait(task)
    except vim25.FileNotFound:
        return
