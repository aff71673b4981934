"""The steps that make a flat disk by a PUT of its extent: the way of hosts since ESX 3."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from vimdriver._disks.manager import disk_manager, extent_of
from vimdriver._verbs import Step
from vimlib import vim25

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from vimdriver._disks.load import Load, Loaded
    from vimdriver._journal import Entry
    from vimdriver._verbs import Host, Run
    from vimlib._datastore import DatastorePath


@dataclass(frozen=True, slots=True)
class FlatDisk:
    """A flat disk to come."""

    host: Host
    datacenter: vim25.Datacenter
    file: Callable[[Run], DatastorePath]
    """Its descriptor; nobody else makes a disk of that name."""
    adapter: str
    """As a disk's descriptor calls it; see `disk_type_adapter`."""
    refused: set[Run] = field(default_factory=set)
    """Runs in which somebody else's file had its name."""

    def is_theirs(self, run: Run) -> bool:
        """Return whether somebody else's file has its name."""
        return run in self.refused

    def extent(self, run: Run) -> DatastorePath:
        """Return the path of its extent."""
        return extent_of(self.file(run))

    def create(
        self,
        capacity: int,
        entry: Callable[[Run], Entry] | None = None,
        undo: Callable[[Run, Any], Awaitable[Any]] | None = None,
    ) -> Step[Any]:
        """Return the step that makes a thick disk of `capacity` bytes, whose extent is then replaced."""
        spec = vim25.FileBackedVirtualDiskSpec(
            adapterType=self.adapter,
            diskType=vim25.VirtualDiskType.thick,
            capacityKb=capacity // 1024,
        )

        async def probe(run: Run) -> bool | None:
            # The name is ours alone, so the disk is too.
            return await run.host.exists(self.file(run)) or None

        def taken(run: Run, fault: vim25.MethodFault) -> None:
            if isinstance(fault, vim25.FileAlreadyExists):
                self.refused.add(run)
            raise fault

        return Step[Any](
            title=f"create a disk of {capacity} bytes (CreateVirtualDisk_Task)",
            call=lambda run: disk_manager(run.host).CreateVirtualDisk_Task(
                str(self.file(run)), datacenter=self.datacenter, spec=spec
            ),
            probe=probe,
            undo=undo,
            refused=taken,
            entry=entry,
            method="CreateVirtualDisk_Task",
        )

    def delete_extent(self) -> Step[None]:
        """Return the step that deletes its extent: hosts keep the descriptor, which names it, and take a new file of that name."""
        return Step(
            title="delete its extent (DeleteDatastoreFile_Task)",
            call=lambda run: run.host.delete(self.extent(run)),
            method="DeleteDatastoreFile_Task",
        )

    def fill(self, load: Load, why: str) -> Step[Loaded]:
        """Return the step that streams an image into the extent, whole and checked."""
        return Step(
            title=f"upload {load.capacity} bytes as its extent (PUT: {why})",
            call=lambda run: load.put(run.host, self.extent(run)),
            interruptible=True,
        )

    def grow(self, capacity: int) -> Step[Any]:
        """Return the step that extends it to `capacity` bytes."""

        async def probe(run: Run) -> bool | None:
            extent = self.extent(run)
            found = await run.host.datastore(extent.datastore).stat(extent)
            return found.size == capacity or None

        return Step[Any](
            title=f"extend the disk to {capacity // 1024} KiB (ExtendVirtualDisk_Task)",
            call=lambda run: disk_manager(run.host).ExtendVirtualDisk_Task(
                str(self.file(run)), datacenter=self.datacenter, newCapacityKb=capacity // 1024
            ),
            probe=probe,
            method="ExtendVirtualDisk_Task",
        )

    async def remove(self, run: Run) -> None:
        """Remove its files. Missing ones are fine; cancelling leaves a task running: shield it."""
        if self.is_theirs(run):
            return
        # Hosts hide an extent behind its descriptor, so it goes first, unseen.
        await run.host.delete(self.extent(run))
        await run.host.delete(self.file(run))
        # Again, since the host may create it after the connection broke, from bytes that it had received.
        if await run.host.exists(self.extent(run)):
            await run.host.delete(self.extent(run))
