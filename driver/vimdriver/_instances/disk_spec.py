"""A disk as a caller may ask for it. Plain values, no I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, get_args

from vimlib.errors import UsageError

DiskMode: TypeAlias = Literal["persistent", "independent_persistent", "independent_nonpersistent"]
DiskType: TypeAlias = Literal["thin", "thick", "eagerZeroedThick"]
Adapter: TypeAlias = Literal[
    "lsiLogic", "lsiLogicsas", "busLogic", "paraVirtual", "ide", "sata", "nvme"
]
GIB_KB: Final = 1 << 20
"""KiB of a GiB."""
LARGEST_GB: Final = 62 << 10  # 62 TiB (VMware's configuration maximums)


def check_choice(field: str, value: str, kind: Any) -> None:
    """Raise `UsageError` unless a value is one of the literals."""
    if value not in get_args(kind):
        raise UsageError(
            f"{field} must be one of {', '.join(get_args(kind))}, got {value!r}", field=field
        )


def check_size(field: str, value: int | None) -> None:
    """Raise `UsageError` unless a size in GiB is one that hosts take."""
    if value is not None and not 1 <= value <= LARGEST_GB:
        raise UsageError(f"{field} must be 1 to {LARGEST_GB}, got {value}", field=field)


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskSpec:
    """A further disk to make, blank. Raises `UsageError` for a value that no host takes."""

    size_gb: int
    """GiB."""
    adapter: Adapter = "lsiLogic"
    """Type of its controller."""
    mode: DiskMode = "persistent"
    disk_type: DiskType = "thin"

    def __post_init__(self) -> None:
        check_size("size_gb", self.size_gb)
        check_choice("adapter", self.adapter, Adapter)
        check_choice("mode", self.mode, DiskMode)
        check_choice("disk_type", self.disk_type, DiskType)
        if self.adapter == "ide":
            raise UsageError(
                "the adapter of a further disk must not be ide, which has the root disk and drives",
                field="adapter",
            )

    @property
    def needed(self) -> int:
        """Bytes of free space that it needs at once."""
        return 0 if self.disk_type == "thin" else self.size_gb * GIB_KB * 1024
