"""Remove a machine and its files. Removing what is gone is no error; all else is told."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from vimdriver._instances import lookup
from vimdriver._instances.plan import MAKING_KEY, OWNER_KEY
from vimdriver._instances.usage import device_files, used_files, who_uses
from vimdriver._journal import Destroying, MemoryJournal, written
from vimdriver._steps import files
from vimdriver._steps.outcome import run_task, wait_idle
from vimdriver.errors import DiskSharedError, ForeignInstanceError
from vimlib import vim25
from vimlib._datastore import DatastorePath
from vimlib._session.shield import finish
from vimlib.errors import NotFoundError, VimlibError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vimdriver._config import DriverConfig
    from vimdriver._journal import Journal
    from vimlib._client import Client

__all__ = ["destroy", "remove_files", "remove_half_made", "remove_machine", "remove_remains"]

log = logging.getLogger("vimdriver.instances")

_UNREACHABLE: Final = ("inaccessible", "orphaned", "invalid")


async def destroy(
    client: Client,
    ref: str,
    config: DriverConfig,
    *,
    foreign: bool = False,
    journal: Journal | None = None,
) -> bool:
    """Power off and remove a machine with all its files; return False if there was none.

    Its folder goes with all in it, unless another machine lives in it or uses a file there: then what
    the host does not take with the machine stays, and a warning is logged.

    Cancelling waits until it is removed. Removing it twice at the same time is fine.

    Args:
        client: The host.
        ref: uuid, name or moref's value.
        config: Whose machines may be removed.
        foreign: Also a machine that this driver did not make; then what others put into its
            folder stays.
        journal: Where it is written down first, so that a sweep can take away what a process that
            is killed has left of the folder.

    Raises:
        ForeignInstanceError: Another made it, and `foreign` is false.
        DiskSharedError: One of its disks is another machine's too; nothing was done.
        MethodFault: The host refused.
        OutcomeUnknownError: The host did not answer, and it is still there.
    """
    try:
        vm = await lookup.find(client, ref)
        row = await client.get(
            vm, "name", "config.extraConfig", "config.files.vmPathName", "config.hardware.device"
        )
    except (NotFoundError, vim25.ManagedObjectNotFound):
        return False
    marks = {o.key: o.value for o in row.props.get("config.extraConfig") or []}
    ours = marks.get(OWNER_KEY) == config.owner
    if not ours and not foreign:
        raise ForeignInstanceError(name=ref, owner=marks.get(OWNER_KEY) or "")
    await _check_unshared(client, vm, ref, row.props.get("config.hardware.device") or [])
    vmx = row.props.get("config.files.vmPathName")
    if ours and vmx:
        folder = DatastorePath.parse(vmx).parent
        entry = Destroying(
            host=client.host,
            owner=config.owner,
            name=str(row.props.get("name") or ref),
            folder=str(folder),
        )
        await finish(_remove(client, vm, config, folder, journal or MemoryJournal(), entry))
    else:
        await finish(remove_machine(client, vm, config))
    return True


async def _check_unshared(
    client: Client, vm: vim25.VirtualMachine, ref: str, devices: list[vim25.VirtualDevice]
) -> None:
    """Refuse where the host would delete a disk under another machine: `Destroy_Task` takes all."""
    disks = [device for device in devices if isinstance(device, vim25.VirtualDisk)]
    if not disks:
        return
    used = await used_files(client, but=vm)
    for path in device_files(disks):
        if path in used:
            raise DiskSharedError(name=ref, path=path, user=used[path])


async def _remove(
    client: Client,
    vm: vim25.VirtualMachine,
    config: DriverConfig,
    folder: DatastorePath,
    journal: Journal,
    entry: Destroying,
) -> None:
    async with written(journal, entry):
        await remove_machine(client, vm, config)
        try:
            await remove_files(client, folder, config)
        except VimlibError as error:
            error.add_note(f"The machine is removed. Left behind: {folder}")
            raise


async def remove_machine(client: Client, vm: vim25.VirtualMachine, config: DriverConfig) -> None:
    """`PowerOffVM_Task` where it runs, then `Destroy_Task`, which takes its files too.

    Bears that the machine is off, busy, or gone, or goes meanwhile. One whose files the host
    cannot reach is taken out of the inventory.
    """
    off = vim25.VirtualMachinePowerState.poweredOff

    async def is_off() -> bool | None:
        row = await client.get(vm, "runtime.powerState")
        return row.props.get("runtime.powerState") == off or None

    async def is_gone() -> bool | None:
        try:
            await client.get(vm, "name")
        except vim25.ManagedObjectNotFound:
            return True
        return None

    try:
        # What runs already may be powering it on.
        await wait_idle(client, config, of=vm)
        row = await client.get(vm, "runtime.connectionState")
        if row.props.get("runtime.connectionState") in _UNREACHABLE:
            await vm.UnregisterVM()
            return
        if not await is_off():
            try:
                await run_task(
                    client, vm.PowerOffVM_Task, config, look=is_off, of=vm, harmless=True
                )
            except vim25.InvalidPowerState as fault:
                # Somebody was quicker; anything but "off" stays an error.
                if fault.existingState != off:
                    raise
        await run_task(client, vm.Destroy_Task, config, look=is_gone, of=vm, harmless=True)
    except vim25.ManagedObjectNotFound:
        return


async def remove_files(client: Client, folder: DatastorePath, config: DriverConfig) -> None:
    """Remove what is left of a machine's folder. A folder that is gone is no error.

    Only ever called with a folder that the host named for a machine of ours. It stays where it is
    the root of a datastore, or a machine uses anything in it.
    """
    # Hosts remove it with the machine where nothing else is in it.
    if not folder.path or not await client.datastore(folder.datastore).exists(folder):
        return
    if against := who_uses(folder, await used_files(client)):
        log.warning("not deleting %s: %s", folder, against)
        return
    await files.delete(client, folder, config)


async def remove_half_made(
    client: Client,
    vm: vim25.VirtualMachine,
    folder: DatastorePath | None,
    config: DriverConfig,
    *,
    whole: bool = True,
) -> bool:
    """Remove a machine that was never finished, and its folder. One that is gone is no error.

    Without `folder` nothing was put there but by the host, which removes it with the machine. With
    `whole` false, one that has become whole meanwhile stays, and False is returned.

    What carries the mark goes last: as long as `MAKING_KEY` is there, the disk is not attached, so
    it is deleted first. Whatever ends this on the way, a sweep finds the rest by the mark. Cancelling
    leaves tasks running: shield it.
    """
    try:
        row = await client.get(vm, "config.extraConfig")
    except vim25.ManagedObjectNotFound:
        pass
    else:
        keys = {option.key for option in row.props.get("config.extraConfig") or []}
        if MAKING_KEY not in keys:
            if not whole:
                return False
        elif folder is not None and folder.path:
            # From here on nobody else can give it its disk.
            await _remove_disks(client, folder, config, await used_files(client, but=vm))
        await remove_machine(client, vm, config)
    if folder is not None:
        await remove_files(client, folder, config)
    return True


async def _remove_disks(
    client: Client, folder: DatastorePath, config: DriverConfig, used: Mapping[str, str]
) -> None:
    datastore = client.datastore(folder.datastore)
    try:
        found = [entry.path for entry in await datastore.list(folder, "*.vmdk")]
    except NotFoundError:
        return
    for disk in found:
        if str(disk) in used:
            continue
        # Hosts hide an extent behind its descriptor, so it goes first, unseen.
        extent = disk.with_name(f"{disk.name.removesuffix('.vmdk')}-flat.vmdk")
        await files.delete(client, extent, config)
        await files.delete(client, disk, config)


async def remove_remains(
    client: Client, folder: DatastorePath, config: DriverConfig, *, dry_run: bool = False
) -> str:
    """Remove the folder of a machine of ours that is gone; return what speaks against it, or "".

    Unlike a machine, a folder carries no mark: somebody may live there by now. Cancelling leaves a
    task running: shield it.
    """
    if not folder.path:
        return "the root of a datastore"
    try:
        found = await client.datastore(folder.datastore).list(folder)
    except NotFoundError:
        return ""
    if any(entry.name.endswith((".vmx", ".vmtx")) for entry in found):
        return "it contains the configuration of a machine"
    if against := who_uses(folder, await used_files(client)):
        return against
    if not dry_run:
        await files.delete(client, folder, config)
    return ""
