"""The steps that make a disk of an image's own file: it is uploaded as it is, and the host converts it.

Hosts read sparse and streamOptimized VMDKs of hosted products as sources of `CopyVirtualDisk_Task`, which
govmomi used until 2017. The file reaches the host's parser unchanged, so it keeps the strict rules.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from vimdriver._disks.flat import FlatDisk
from vimdriver._disks.lookup import stored_disk
from vimdriver._disks.manager import copy_disk, disk_uuid
from vimdriver._images.sink import temporary_name
from vimdriver._instances.devices import disk_type_adapter
from vimdriver._journal import Uploading
from vimdriver._verbs import Step
from vimlib import vim25
from vimlib._datastore import DatastorePath
from vimlib.errors import TransferCorruptError

if TYPE_CHECKING:
    from vimdriver._disks.load import Load, Loaded
    from vimdriver._verbs import Host, Run


@dataclass(frozen=True, slots=True, kw_only=True)
class HostedDisk:
    """A disk that the host makes of an uploaded file; both have names of their own."""

    host: Host
    datacenter: vim25.Datacenter
    load: Load
    uploaded: Uploading
    """The journal's entry about the image's file."""
    made: Uploading
    """That about the disk."""
    disk: FlatDisk
    thin: bool

    @classmethod
    def of(
        cls,
        host: Host,
        datacenter: vim25.Datacenter,
        load: Load,
        target: DatastorePath,
        *,
        adapter: str,
        thin: bool,
    ) -> Self:
        """Return one next to `target`."""

        def entry() -> Uploading:
            path = target.with_name(temporary_name(target.name, host.owner) + ".vmdk")
            return Uploading(host=host.client.host, owner=host.owner, path=str(path))

        made = entry()
        path = DatastorePath.parse(made.path)
        return cls(
            host=host,
            datacenter=datacenter,
            load=load,
            uploaded=entry(),
            made=made,
            disk=FlatDisk(host, datacenter, lambda run: path, disk_type_adapter(adapter)),
            thin=thin,
        )

    @property
    def file(self) -> DatastorePath:
        """The path of the image's file."""
        return DatastorePath.parse(self.uploaded.path)

    def path(self, run: Run) -> DatastorePath:
        """Return the path of the disk's descriptor."""
        return self.disk.file(run)

    def upload(self, why: str) -> Step[Loaded]:
        """Return the step that uploads the image's bytes."""

        async def undo(run: Run, loaded: Loaded | None) -> None:
            # The second time because the host may create it after the connection broke.
            for _ in range(2):
                if await run.host.exists(self.file):
                    await run.host.delete(self.file)

        return Step(
            title=f"upload {self.load.info.size} bytes as they are (PUT: {why})",
            makes=str(self.file),
            call=lambda run: self.load.store(run.host, self.file),
            undo=undo,
            entry=lambda run: self.uploaded,
            interruptible=True,
        )

    def convert(self) -> Step[Any]:
        """Return the step that has the host make the disk of them."""
        spec = vim25.VirtualDiskSpec(
            adapterType=self.disk.adapter, diskType="thin" if self.thin else "preallocated"
        )

        centers = (self.datacenter, self.datacenter)

        async def undo(run: Run, made: Any) -> None:
            await self.disk.remove(run)

        return Step[Any](
            title="have the host make a disk of that file (CopyVirtualDisk_Task)",
            call=lambda run: copy_disk(
                run.host, str(self.file), self.path(run), spec, centers=centers
            ),
            undo=undo,
            entry=lambda run: self.made,
            method="CopyVirtualDisk_Task",
        )

    def check(self) -> Step[str]:
        """Return the step that reads the disk's capacity and UUID back."""

        async def read(run: Run) -> str:
            found = await stored_disk(run.host, self.path(run))
            if found.capacity is not None and found.capacity != self.load.capacity:
                raise TransferCorruptError(
                    f"the host made a disk of {found.capacity} bytes of an image of {self.load.capacity}",
                    hint="Try --transfer nfc.",
                    expected=self.load.capacity,
                    actual=found.capacity,
                    outcome="applied",
                )
            return await disk_uuid(run.host, self.path(run))

        return Step[str](
            title="read its capacity and UUID (SearchDatastore_Task, QueryVirtualDiskUuid)",
            call=read,
            idempotent=True,
        )

    def discard(self) -> Step[None]:
        """Return the step that deletes the uploaded file."""
        return Step(
            title="delete the uploaded file (DeleteDatastoreFile_Task)",
            call=lambda run: run.host.delete(self.file),
            method="DeleteDatastoreFile_Task",
        )
