"""Remove a machine and its files. Removing what is gone is no error; all else is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from driver.errors import ForeignInstanceError
from driver.instances import lookup
from driver.instances.plan import OWNER_KEY
from driver.steps import files
from driver.steps.outcome import run_task, wait_idle
from vimlib import vim25
from vimlib.datastore import DatastorePath
from vimlib.errors import NotFoundError, VimlibError
from vimlib.session.shield import finish

if TYPE_CHECKING:
    from driver.config import DriverConfig
    from vimlib.client import Client

__all__ = ["destroy", "remove_files", "remove_machine"]

_UNREACHABLE: Final = ("inaccessible", "orphaned", "invalid")


async def destroy(client: Client, ref: str, config: DriverConfig, *, foreign: bool = False) -> bool:
    """Power off and remove a machine with all its files; return False if there was none.

    Cancelling waits until it is removed. Removing it twice at the same time is fine.

    Args:
        client: The host.
        ref: uuid, name or moref's value.
        config: Whose machines may be removed.
        foreign: Also a machine that this driver did not make; then what others put into its
            folder stays.

    Raises:
        ForeignInstanceError: Another made it, and `foreign` is false.
        MethodFault: The host refused.
        OutcomeUnknownError: The host did not answer, and it is still there.
    """
    try:
        vm = await lookup.find(client, ref)
        row = await client.get(vm, "config.extraConfig", "config.files.vmPathName")
    except (NotFoundError, vim25.ManagedObjectNotFound):
        return False
    marks = {o.key: o.value for o in row.props.get("config.extraConfig") or []}
    ours = marks.get(OWNER_KEY) == config.owner
    if not ours and not foreign:
        raise ForeignInstanceError(ref, owner=marks.get(OWNER_KEY) or "")
    await finish(
        _remove(client, vm, config, row.props.get("config.files.vmPathName") if ours else None)
    )
    return True


async def _remove(
    client: Client, vm: vim25.VirtualMachine, config: DriverConfig, vmx: str | None
) -> None:
    await remove_machine(client, vm, config)
    if vmx:
        folder = DatastorePath.parse(vmx).parent
        try:
            await remove_files(client, folder, config)
        except VimlibError as error:
            error.add_note(f"The machine is gone. Left behind: {folder}")
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
    the root of a datastore, or holds another machine.
    """
    if not folder.path or await _is_home(client, folder):
        return
    await files.delete(client, folder, config)


async def _is_home(client: Client, folder: DatastorePath) -> bool:
    """Whether a machine that is still there has its configuration in that folder or below it."""
    inside = f"{folder}/"
    async for row in client.collect(vim25.VirtualMachine, "config.files.vmPathName"):
        if str(row.props.get("config.files.vmPathName") or "").startswith(inside):
            return True
    return False
