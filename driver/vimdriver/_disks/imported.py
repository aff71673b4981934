"""The steps of an NFC import: a machine is imported for its disk, and removed without it.

`ResourcePool.ImportVApp` makes a machine whose disks are then sent as streamOptimized, without their
holes. Once the lease is complete, the disk is taken out of the machine, moved to its own name, and the
machine destroyed. Until then the machine carries the owner's marks, `MAKING_KEY` and `IMPORT_KEY`
among them, so that a sweep removes it with its disk.
"""

from __future__ import annotations

import uuid as uuid_
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from vimdriver._disks.manager import disk_manager, disk_uuid
from vimdriver._disks.record import hex_of
from vimdriver._instances.destroy import remove_half_made
from vimdriver._instances.devices import new_disk
from vimdriver._instances.machine import (
    IMPORT_KEY,
    MAKING_KEY,
    OWNER_KEY,
    SPAWN_KEY,
    find_by_uuid,
    marks_of,
)
from vimdriver._journal import Spawning
from vimdriver._verbs import Step, already
from vimdriver._verbs.host import stamp
from vimdriver.errors import FileConflictError
from vimlib import vim25
from vimlib._datastore import DatastorePath
from vimlib.errors import TransferCorruptError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from vimdriver._disks.load import Load, Loaded
    from vimdriver._instances.placement import Placement
    from vimdriver._journal import Entry
    from vimdriver._verbs import Host, Run
    from vimdriver._verbs.host import Moment


class Imported(NamedTuple):
    """A machine that was imported, and its disk, as read back from the host."""

    vm: vim25.VirtualMachine
    vmx: DatastorePath
    disk: DatastorePath
    key: int
    """The disk's, among the machine's devices."""
    uuid: str
    """The disk's, as 32 hex digits."""
    report: Loaded


@dataclass(frozen=True, slots=True)
class ImportedDisk:
    """A disk that a machine brings."""

    host: Host
    placement: Placement
    datastore: str
    load: Load
    adapter: str
    """Of the controller: one of `ADAPTERS`."""
    thin: bool
    entry: Spawning
    """The journal's, about the machine."""

    @classmethod
    def of(
        cls, host: Host, placement: Placement, datastore: str, load: Load, adapter: str, thin: bool
    ) -> ImportedDisk:
        """Return one with a machine of a new name."""
        uuid = str(uuid_.uuid4())
        entry = Spawning(
            host=host.client.host, owner=host.owner, uuid=uuid, name=f"vimlib-import-{uuid[:13]}"
        )
        return cls(host, placement, datastore, load, adapter, thin, entry)

    def config(self, now: Moment) -> vim25.VirtualMachineConfigSpec:
        """Return the machine's specification: its disk, and the marks."""
        marks = {
            OWNER_KEY: self.host.config.mark(),
            SPAWN_KEY: self.entry.token,
            MAKING_KEY: stamp(now),
            IMPORT_KEY: "disk",
        }
        capacity = self.load.capacity // 1024
        return vim25.VirtualMachineConfigSpec(
            name=self.entry.name,
            instanceUuid=self.entry.uuid,
            guestId="otherGuest",
            files=vim25.VirtualMachineFileInfo(vmPathName=f"[{self.datastore}]"),
            numCPUs=1,
            memoryMB=4,
            deviceChange=new_disk(
                capacity, self.adapter, disk_type="thin" if self.thin else "thick"
            ),
            extraConfig=[vim25.OptionValue(key=key, value=value) for key, value in marks.items()],
        )

    def bring(self, now: Moment, why: str) -> Step[Imported]:
        """Return the step that imports the machine and sends its disk."""
        pool = self.host.client.bind(self.placement.pool)
        spec = vim25.VirtualMachineImportSpec(configSpec=self.config(now))

        async def call(run: Run) -> Imported:
            client, where = run.host.client, self.placement
            start = pool.ImportVApp(spec, folder=where.folder, host=where.host)
            async with client.lease(start) as lease:
                (device,) = lease.devices
                report = await self.load.send(run.host, self.datastore, lease, device)
                vm = lease.info.entity
            assert isinstance(vm, vim25.VirtualMachine), "a machine was imported"
            return await self._read(client.bind(vm), report)

        async def undo(run: Run, found: Imported | None) -> Any:
            vm = await self._find() if found is None else found.vm
            if vm is None:
                return None
            return await self._remove(vm)

        return Step(
            title=f"import the disk with machine {self.entry.name} (ImportVApp: {why})",
            makes=f"machine {self.entry.name}",
            call=call,
            undo=undo,
            entry=lambda run: self.entry,
            interruptible=True,
        )

    async def _find(self) -> vim25.VirtualMachine | None:
        """Return the machine, if it is there: a cancelled import may have made it or not."""
        vm = await find_by_uuid(self.host.client, self.entry.uuid)
        if vm is None:
            return None
        marks = marks_of(await self.host.client.get(vm, "config.extraConfig"))
        return vm if marks.get(SPAWN_KEY) == self.entry.token else None

    async def _read(self, vm: vim25.VirtualMachine, report: Loaded) -> Imported:
        """Return the machine as the host made it, and check its disk's capacity and layout."""
        row = await self.host.client.get(vm, "config.hardware.device", "config.files.vmPathName")
        disks = [
            d for d in row.require("config.hardware.device") if isinstance(d, vim25.VirtualDisk)
        ]
        (disk,) = disks
        backing = disk.backing
        wanted, found = self.load.capacity // 1024, disk.capacityInKB
        if not isinstance(backing, vim25.VirtualDiskFlatVer2BackingInfo) or found != wanted:
            raise TransferCorruptError(
                f"the host made a disk of {found} KiB with {type(backing).__name__} of an image of {wanted} KiB",
                hint="Try --transfer put.",
                expected=wanted,
                actual=found,
                outcome="applied",
            )
        return Imported(
            vm,
            DatastorePath.parse(row.require("config.files.vmPathName")),
            DatastorePath.parse(backing.fileName),
            disk.key,
            hex_of(backing.uuid or ""),
            report,
        )

    async def _remove(self, vm: vim25.VirtualMachine) -> str:
        """Remove the machine and the disk, where it was not moved. Return what stays in its folder."""
        try:
            row = await self.host.client.get(vm, "config.files.vmPathName")
        except vim25.ManagedObjectNotFound:
            return ""
        vmx = DatastorePath.parse(row.require("config.files.vmPathName"))
        disk = vmx.with_name(vmx.name.removesuffix(".vmx") + ".vmdk")
        done = await remove_half_made(self.host, vm, vmx, disk, token=self.entry.token)
        return f"{vmx.parent}" if done.left else ""

    def detach(self, brought: Step[Imported]) -> Step[Any]:
        """Return the step that takes the disk out of the machine; its files stay."""

        async def probe(run: Run) -> bool | None:
            row = await run.host.client.get(run[brought].vm, "config.hardware.device")
            devices = row.props.get("config.hardware.device") or []
            return not any(isinstance(d, vim25.VirtualDisk) for d in devices) or None

        def call(run: Run) -> Awaitable[Any]:
            change = vim25.VirtualDeviceConfigSpec(
                operation=vim25.VirtualDeviceConfigSpecOperation.remove,
                device=vim25.VirtualDisk(
                    key=run[brought].key, capacityInKB=self.load.capacity // 1024
                ),
            )
            return run[brought].vm.ReconfigVM_Task(
                vim25.VirtualMachineConfigSpec(deviceChange=[change])
            )

        return Step[Any](
            title="take the disk out of that machine (ReconfigVM_Task)",
            call=call,
            probe=probe,
            of=lambda run: run[brought].vm,
        )

    def dismiss(self, brought: Step[Imported]) -> Step[Any]:
        """Return the step that removes the machine, which has no disk any more."""

        async def probe(run: Run) -> bool | None:
            try:
                await run.host.client.get(run[brought].vm, "name")
            except vim25.ManagedObjectNotFound:
                return True
            return None

        return Step[Any](
            title=f"remove machine {self.entry.name} (Destroy_Task)",
            call=lambda run: run[brought].vm.Destroy_Task(),
            probe=probe,
            refused=already(vim25.ManagedObjectNotFound),
            of=lambda run: run[brought].vm,
            idempotent=True,
        )


def move_step(
    datacenter: vim25.Datacenter,
    source: Callable[[Run], DatastorePath],
    uuid: Callable[[Run], str],
    target: Callable[[Run], DatastorePath],
    *,
    overwrite: bool = False,
    undo: bool = True,
    entry: Callable[[Run], Entry] | None = None,
    taken: set[Run] | None = None,
) -> Step[Any]:
    """Return the step that publishes a disk: of several processes one moves it to that name.

    `taken` gets the runs in which there is one of that name.

    Raises:
        FileConflictError: There is a disk of that name, and `overwrite` is false.
    """

    async def probe(run: Run) -> bool | None:
        return await disk_uuid(run.host, target(run)) == uuid(run) or None

    def refused(run: Run, fault: vim25.MethodFault) -> None:
        if isinstance(fault, vim25.FileAlreadyExists):
            if taken is not None:
                taken.add(run)
            raise FileConflictError(path=str(target(run))) from fault
        raise fault

    async def remove(run: Run, moved: Any) -> None:
        manager = disk_manager(run.host)
        try:
            task = await manager.DeleteVirtualDisk_Task(str(target(run)), datacenter=datacenter)
            await run.host.client.tasks.wait(task, run.host.config.task_seconds)
        except vim25.FileNotFound:
            return

    return Step[Any](
        title="move it to its name (MoveVirtualDisk_Task)",
        call=lambda run: disk_manager(run.host).MoveVirtualDisk_Task(
            str(source(run)),
            sourceDatacenter=datacenter,
            destName=str(target(run)),
            destDatacenter=datacenter,
            force=overwrite,
        ),
        probe=probe,
        undo=remove if undo else None,
        refused=refused,
        entry=entry,
        method="MoveVirtualDisk_Task",
    )
