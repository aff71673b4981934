"""The releases that the host can simulate, and their AboutInfo."""

from __future__ import annotations

from typing import NamedTuple

from vimlib.model import parse_version


class Release(NamedTuple):
    """One release of ESX or ESXi."""

    name: str
    """As asked for: `"6.7"`."""
    product: str
    version: str
    build: str
    api: str
    """`about.apiVersion`; also the newest API version that it understands."""
    hardware: str
    """Newest virtual hardware, as `vmx-13`."""
    vmfs: int
    """Major version of the VMFS it makes."""
    licence: str

    @property
    def full_name(self) -> str:
        """`about.fullName`."""
        return f"{self.product} {self.version} build-{self.build}"

    @property
    def classic(self) -> bool:
        """Whether it is an ESX with a service console."""
        return self.product == "VMware ESX"

    def has(self, since: str) -> bool:
        """Whether it has what API version `since` brought."""
        return parse_version(since) <= self.numbers

    @property
    def nfc_connections(self) -> int:
        """Most transfers at once of disks through leases.

        VDDK's programming guide, "NFC Session Limits": about 11 connections to a 4.x; buffers of 32 MB
        in all on 5.x and 48 MB since 6.0, at 1 MB a stream.
        """
        return 11 if self.numbers < (5,) else 32 if self.numbers < (6,) else 48

    @property
    def numbers(self) -> tuple[int, ...]:
        """The API version as numbers that compare."""
        return parse_version(self.api)


# Version, build and hardware of each release's general availability: VMware's product pages. The classic
# 4.1, with a service console, is the one that was recorded (`resources/esx-4.1.0-1` of
# fusioninventory-agent).
RELEASES = {
    release.name: release
    for release in (
        Release("4.0", "VMware ESX", "4.0.0", "164009", "4.0", "vmx-07", 3, "4"),
        Release("4.1", "VMware ESX", "4.1.0", "260247", "4.1", "vmx-07", 3, "4"),
        Release("5.5", "VMware ESXi", "5.5.0", "1331820", "5.5", "vmx-10", 5, "5"),
        Release("6.7", "VMware ESXi", "6.7.0", "8169922", "6.7", "vmx-14", 6, "6"),
        Release("7.0", "VMware ESXi", "7.0.3", "18644231", "7.0.3.0", "vmx-19", 6, "7"),
        Release("8.0", "VMware ESXi", "8.0.3", "24022510", "8.0.3.0", "vmx-21", 6, "8"),
        Release("9.0", "VMware ESXi", "9.0.0", "24755229", "9.0.0.0", "vmx-22", 6, "9"),
    )
}


def find_release(version: str) -> Release:
    """Return the release of that name (`"8.0"`) or of that API version (`"8.0.3.0"`).

    Raises `ValueError` that lists the known releases.
    """
    try:
        return RELEASES[version]
    except KeyError:
        pass
    try:
        wanted = parse_version(version)
    except ValueError:
        wanted = ()
    for release in RELEASES.values():
        if wanted and release.numbers == wanted:
            return release
    raise ValueError(f"the release must be one of {', '.join(RELEASES)}, got {version!r}")


# The ids that a host of each release lists as understood, newest first: those of the API's
# published versions (pyVmomi's version table); the id of an early version is a name, not a number.
_IDS = "9.0.0.0 8.0.3.0 8.0.2.0 8.0.1.0 8.0.0.1 7.0.3.0 7.0.2.0 7.0.1.0 7.0.0.0 6.7.3 6.7.2 6.7.1 6.7 6.5 6.0 5.5 5.1 5.0 4.1 4.0 2.5u2 2.5 2.0"


def namespaces(release: Release) -> list[str]:
    """Return the version ids that `release` understands, newest first."""
    return [text for text in _IDS.split() if parse_version(text) <= release.numbers]
