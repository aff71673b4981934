"""The hardware that a flavor and an image of nova ask for. Pure: no I/O, no state.

The names are those of nova's own driver for VMware (`quota:cpu_limit`, `vmware:hw_version`, ...); see "Extra
specs" in nova's documentation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

from vimdriver._instances.hardware import Allocation, HardwareSpec
from vimlib._text import printable
from vimlib.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

_FIRMWARE: Final[dict[str | None, Literal["bios", "efi"] | None]] = {
    None: None, "bios": "bios", "uefi": "efi",
}  # fmt: skip


def hardware_of(flavor: Any, properties: Any, cores: int = 1) -> HardwareSpec:
    """Return the hardware for a flavor and the properties of an image.

    Args:
        flavor: Nova's.
        properties: Those of the image.
        cores: Cores per socket, as nova chooses them; 1 leaves the choice to the host.

    Raises:
        UsageError: A value is not valid, or the image needs more video memory than the flavor allows.
    """
    specs: Mapping[str, str] = getattr(flavor, "extra_specs", None) or {}
    kind = properties.get("hw_firmware_type")
    if kind not in _FIRMWARE:
        raise UsageError(
            f"hw_firmware_type must be bios or uefi, got {kind!r}", field="hw_firmware_type"
        )
    video, most = properties.get("hw_video_ram") or 0, _number(specs, "hw_video:ram_max_mb") or 0
    if video > most:
        raise UsageError(
            f"hw_video_ram must be at most {most} MiB, the flavor's hw_video:ram_max_mb, got {video}",
            field="hw_video_ram",
        )
    return HardwareSpec(
        firmware=_FIRMWARE[kind],
        version=specs.get("vmware:hw_version"),
        video_ram_mb=video or None,
        cores_per_socket=cores if cores > 1 else None,
        cpu=_allocation(specs, "quota:cpu"),
        memory=_allocation(specs, "quota:memory"),
        disk=_allocation(specs, "quota:disk_io"),
        network=_allocation(specs, "quota:vif"),
    )


def _allocation(specs: Mapping[str, str], name: str) -> Allocation | None:
    limit, reservation = (_number(specs, f"{name}_{what}") for what in ("limit", "reservation"))
    level, share = specs.get(f"{name}_shares_level"), _number(specs, f"{name}_shares_share")
    if level == "custom" and share is None:
        raise UsageError(f"{name}_shares_share is required with {name}_shares_level custom")
    if level != "custom" and share is not None:
        raise UsageError(
            f"{name}_shares_level must be custom with {name}_shares_share, got {level!r}"
        )
    shares: Any = share if level == "custom" else level
    # Nova takes 0 for a value that is not set.
    if not limit and not reservation and shares is None:
        return None
    try:
        return Allocation(limit=limit or None, reservation=reservation or None, shares=shares)
    except UsageError as error:
        raise UsageError(f"{name}: {error}") from error


def _number(specs: Mapping[str, str], name: str) -> int | None:
    text = specs.get(name)
    if text is None:
        return None
    try:
        return int(text)
    except ValueError:
        raise UsageError(f"{name} must be a number, got {printable(str(text), 40)!r}") from None
