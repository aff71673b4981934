"""The virtual hardware versions of each release, and their limits."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from vimlib.simulator._core.versions import Release


class Hardware(NamedTuple):
    """One version of the virtual hardware."""

    key: str
    """As `vmx-13`."""
    since: str
    """API version of the host that brought it; a host offers it with no younger guest systems."""
    description: str
    cpus: int
    memory: int
    """Most MiB."""
    nics: int

    @property
    def number(self) -> int:
        """Its number, as 13."""
        return int(self.key.removeprefix("vmx-"))


# Maximums: VMware's "Hardware features available with virtual machine compatibility settings". 12
# and 16 came with Workstation; hosts list them all the same.
_HARDWARE = (
    Hardware("vmx-04", "2.5u2", "ESX 3.x virtual machine", 4, 65_532, 4),
    Hardware("vmx-07", "4.0", "ESX/ESXi 4.x virtual machine", 8, 261_120, 10),
    Hardware("vmx-08", "5.0", "ESXi 5.0 virtual machine", 32, 1_035_264, 10),
    Hardware("vmx-09", "5.1", "ESXi 5.1 virtual machine", 64, 1_035_264, 10),
    Hardware("vmx-10", "5.5", "ESXi 5.5 virtual machine", 64, 1_035_264, 10),
    Hardware("vmx-11", "6.0", "ESXi 6.0 virtual machine", 128, 4_177_920, 10),
    Hardware("vmx-12", "6.0", "Workstation 12 virtual machine", 128, 4_177_920, 10),
    Hardware("vmx-13", "6.5", "ESXi 6.5 virtual machine", 128, 6_275_072, 10),
    Hardware("vmx-14", "6.7", "ESXi 6.7 virtual machine", 128, 6_275_072, 10),
    Hardware("vmx-15", "6.7.2", "ESXi 6.7 U2 virtual machine", 256, 6_275_072, 10),
    Hardware("vmx-16", "6.7.2", "Workstation 15 virtual machine", 256, 6_275_072, 10),
    Hardware("vmx-17", "7.0.0.0", "ESXi 7.0 virtual machine", 256, 6_275_072, 10),
    Hardware("vmx-18", "7.0.1.0", "ESXi 7.0 U1 virtual machine", 768, 25_149_440, 10),
    Hardware("vmx-19", "7.0.2.0", "ESXi 7.0 U2 virtual machine", 768, 25_149_440, 10),
    Hardware("vmx-20", "8.0.0.1", "ESXi 8.0 virtual machine", 768, 25_149_440, 10),
    Hardware("vmx-21", "8.0.2.0", "ESXi 8.0 U2 virtual machine", 768, 25_149_440, 10),
    Hardware("vmx-22", "9.0.0.0", "ESX 9.0 virtual machine", 960, 25_149_440, 10),
)


def hardware_of(release: Release) -> dict[str, Hardware]:
    """Return the versions of a release by key, oldest first."""
    return {each.key: each for each in _HARDWARE if each.key <= release.hardware}
