"""Keys of a machine's extraConfig that callers may set. No I/O."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final

from vimlib._text import printable
from vimlib.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

EXTRA_CONFIG: Final = (
    "disk.EnableUUID",
    "guestinfo.*",
    "isolation.*",
    "keyboard.typematicMinDelay",
    "log.*",
    "machine.id",
    "nvp.*",
    "svga.*",
    "time.*",
    "tools.*",
)
"""Keys of extraConfig that may be set by default, as patterns. Others can take a host's files or
devices into a machine: `scsi0:0.fileName`, `ethernet0.networkName`, `RemoteDisplay.vnc.port`."""


def check_extra_config(keys: Iterable[str], allowed: Iterable[str]) -> None:
    """Raise `UsageError` for a key of extraConfig that is not on the list of patterns."""
    patterns = tuple(pattern.lower() for pattern in allowed)
    for key in keys:
        # Hosts compare keys without case.
        if not any(fnmatchcase(key.lower(), pattern) for pattern in patterns):
            raise UsageError(
                f"extra_config must have allowed keys only, got {printable(key, 80)!r}",
                field="extra_config",
                hint="DriverConfig(extra_config=...) has the patterns; by default: "
                + ", ".join(EXTRA_CONFIG)
                + ".",
            )
