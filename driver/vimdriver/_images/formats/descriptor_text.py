"""The descriptor that we write into a sparse extent. Nothing of a source's descriptor is copied."""

from __future__ import annotations

from typing import Final, Literal

from vimdriver._images.formats.extents import SECTOR

DESCRIPTOR_SECTORS: Final = 20
"""As VMware and qemu reserve."""
NEVER_OPENED: Final = 0xFFFFFFFE
"""The content id of a disk that no machine has written to."""
_HEADS: Final = 255
_TRACK: Final = 63
_MAX_CYLINDERS: Final = 65535


def descriptor_text(
    create_type: Literal["monolithicSparse", "streamOptimized"],
    capacity_sectors: int,
    *,
    adapter_type: str = "lsilogic",
    cid: int = NEVER_OPENED,
) -> bytes:
    """Return a descriptor, padded to its sectors.

    Args:
        create_type: The kind of the extent.
        capacity_sectors: Sectors of the disk.
        adapter_type: `ddb.adapterType`: lsilogic, buslogic or ide.
        cid: The content id, 32 bits.
    """
    cylinders = min(max(capacity_sectors // (_HEADS * _TRACK), 1), _MAX_CYLINDERS)
    text = f"""\
# Disk DescriptorFile
version=1
CID={cid:08x}
parentCID=ffffffff
createType="{create_type}"

# Extent description
RW {capacity_sectors} SPARSE "disk.vmdk"

# The Disk Data Base
#DDB

ddb.virtualHWVersion = "7"
ddb.geometry.cylinders = "{cylinders}"
ddb.geometry.heads = "{_HEADS}"
ddb.geometry.sectors = "{_TRACK}"
ddb.adapterType = "{adapter_type}"
"""
    return text.encode("ascii").ljust(DESCRIPTOR_SECTORS * SECTOR, b"\0")
