"""The steps that make a machine without its disks, for all verbs that make one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vimdriver._instances.machine import SPAWN_KEY, find_by_uuid, marks_of
from vimdriver._verbs import Host, Run, Step
from vimdriver.errors import InstanceExistsError
from vimlib import vim25
from vimlib._datastore import DatastorePath

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from vimdriver._instances.placement import Placement
    from vimdriver._journal import Spawning


def create_step(
    host: Host,
    config: vim25.VirtualMachineConfigSpec,
    placement: Placement,
    undo: Callable[[Run, vim25.VirtualMachine], Awaitable[str]],
    entry: Spawning,
) -> Step[vim25.VirtualMachine]:
    """Return the step that creates a machine, with `entry.token` as its `SPAWN_KEY`."""
    folder = host.client.bind(placement.folder)

    async def ours(run: Run) -> vim25.VirtualMachine | None:
        """Find the machine of our uuid that this very verb made."""
        vm = await find_by_uuid(run.host.client, entry.uuid)
        if vm is None:
            return None
        marks = marks_of(await run.host.client.get(vm, "config.extraConfig"))
        return vm if marks.get(SPAWN_KEY) == entry.token else None

    def refused(run: Run, fault: vim25.MethodFault) -> vim25.VirtualMachine:
        if isinstance(fault, vim25.DuplicateName | vim25.AlreadyExists):
            raise InstanceExistsError(name=entry.name) from fault
        raise fault

    return Step(
        title=f"create machine {entry.name} (CreateVM_Task)",
        makes=f"machine {entry.name}",
        call=lambda run: folder.CreateVM_Task(config, placement.pool, host=placement.host),
        probe=ours,
        undo=undo,
        refused=refused,
        entry=lambda run: entry,
        method="CreateVM_Task",
    )


async def read_vmx(host: Host, vm: vim25.VirtualMachine) -> DatastorePath:
    """Return a machine's configuration file: a host chooses another folder where one is left over."""
    row = await host.client.get(vm, "config.files.vmPathName")
    return DatastorePath.parse(row.require("config.files.vmPathName"))
