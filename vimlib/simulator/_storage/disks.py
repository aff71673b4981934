"""Virtual disks as files of a datastore: their paths, their UUIDs, the faults for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vimlib import vim25
from vimlib.simulator._core.messages import with_message
from vimlib.simulator._storage import vmdk
from vimlib.simulator._storage.datastore import already_exists, no_such_file

if TYPE_CHECKING:
    from vimlib.simulator._storage.datastore import Datastore


def disk_fault(error: Exception, shown: str) -> Any:
    """Return the fault for an error with a disk's files."""
    if isinstance(error, FileExistsError):
        return already_exists(shown)
    if isinstance(error, (FileNotFoundError, NotADirectoryError)):
        return no_such_file(shown)
    if isinstance(error, vmdk.DiskError):
        return with_message(vim25.InvalidDiskFormat(), f"Unsupported or invalid disk type: {error}")
    return with_message(vim25.FileFault(file=shown), f"Error accessing file {shown}")


def disk_paths(store: Datastore, path: str) -> list[str]:
    """Return the paths that a disk of this name has in its datastore."""
    stem = path.removesuffix(".vmdk")
    return [path, f"{stem}-flat.vmdk", f"{stem}-delta.vmdk"]


def disk_uuid(text: str) -> str:
    """Return a UUID as descriptors and QueryVirtualDiskUuid write it: `60 00 C2 9f ...`."""
    digits = text.replace("-", "").replace(" ", "")
    pairs = [digits[i : i + 2] for i in range(0, 32, 2)]
    return " ".join(pairs[:8]) + "-" + " ".join(pairs[8:])


async def load_disk(store: Datastore, path: str) -> vmdk.Disk:
    """Return the descriptor of a disk. Raises the fault of a host."""
    try:
        return await store.registry.io(vmdk.load, store.local(path))
    except (OSError, vmdk.DiskError) as error:
        raise disk_fault(error, store.shown(path)) from None
