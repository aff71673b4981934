"""Options of a machine's hardware: those that a caller may set, and the API's fields for them. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

import vimlib
from vimlib._text import printable
from vimlib.errors import UsageError, VersionError
from vimlib.model import parse_version

Firmware: TypeAlias = Literal["bios", "efi"]
Level: TypeAlias = Literal["low", "normal", "high"]
_LEVELS: Final = ("low", "normal", "high")
_VERSION: Final = re.compile(r"vmx-\d{2}")
_MOST_SHARES: Final = 1_000_000
_MOST_VIDEO_MB: Final = 128  # "Configuration Maximums"


@dataclass(frozen=True, slots=True, kw_only=True)
class Allocation:
    """The share of a resource that a machine gets. None is the host's default.

    Raises `UsageError` for a value that no host takes.
    """

    reservation: int | None = None
    """What it always gets: MHz, MiB, Mbit/s or I/O operations per second."""
    limit: int | None = None
    """What it gets at most; -1 for no limit."""
    shares: Level | int | None = None
    """Its weight where machines compete: `low`, `normal`, `high`, or a number."""

    def __post_init__(self) -> None:
        if self.reservation is not None and self.reservation < 0:
            raise UsageError(
                f"reservation must be at least 0, got {self.reservation}", field="reservation"
            )
        if self.limit is not None and self.limit < 1 and self.limit != -1:
            raise UsageError(
                f"limit must be at least 1, or -1 for none, got {self.limit}", field="limit"
            )
        if (self.limit or -1) > 0 and (self.reservation or 0) > (self.limit or 0):
            raise UsageError(
                f"limit must be at least the reservation of {self.reservation}, got {self.limit}",
                field="limit",
            )
        number = isinstance(self.shares, int)
        if self.shares is not None and not number and self.shares not in _LEVELS:
            raise UsageError(
                f"shares must be low, normal, high or a number, got {self.shares!r}", field="shares"
            )
        if isinstance(self.shares, int) and not 0 <= self.shares <= _MOST_SHARES:
            raise UsageError(
                f"shares must be 0 to {_MOST_SHARES}, got {self.shares}", field="shares"
            )

    def weight(self) -> vimlib.vim25.SharesInfo | None:
        """Return the API's weight; None for the default."""
        if self.shares is None:
            return None
        if isinstance(self.shares, int):
            return vimlib.vim25.SharesInfo(
                shares=self.shares, level=vimlib.vim25.SharesLevel.custom
            )
        # The number is ignored for a level (API reference, `SharesInfo`).
        return vimlib.vim25.SharesInfo(shares=0, level=self.shares)

    def info(self) -> vimlib.vim25.ResourceAllocationInfo:
        """Return the API's allocation of CPU or memory."""
        return vimlib.vim25.ResourceAllocationInfo(
            reservation=self.reservation, limit=self.limit, shares=self.weight()
        )

    def of_card(self) -> vimlib.vim25.VirtualEthernetCardResourceAllocation:
        """Return the API's allocation of a network card."""
        return vimlib.vim25.VirtualEthernetCardResourceAllocation(
            reservation=self.reservation,
            limit=self.limit,
            share=self.weight()
            or vimlib.vim25.SharesInfo(shares=0, level=vimlib.vim25.SharesLevel.normal),
        )

    def of_disk(self) -> vimlib.vim25.StorageIOAllocationInfo:
        """Return the API's allocation of a disk."""
        return vimlib.vim25.StorageIOAllocationInfo(
            reservation=self.reservation, limit=self.limit, shares=self.weight()
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class HardwareSpec:
    """Hardware of a machine to make, beyond CPUs, memory, disk and NICs. None is the host's default.

    A host that is too old for an option is refused before anything is sent (`VersionError`).

    Raises:
        UsageError: A value is not valid.
    """

    cores_per_socket: int | None = None
    """The number of CPUs must be a multiple of it (API 5.0)."""
    version: str | None = None
    """Hardware version, as `vmx-13`."""
    firmware: Firmware | None = None
    """`bios` or `efi` (API 5.0)."""
    secure_boot: bool = False
    """With `efi` only (API 6.5)."""
    video_ram_mb: int | None = None
    """MiB."""
    nested: bool = False
    """Whether the guest may run machines itself (API 5.1)."""
    cpu: Allocation | None = None
    """Reservation and limit in MHz."""
    memory: Allocation | None = None
    """Reservation and limit in MiB."""
    network: Allocation | None = None
    """Of each NIC: reservation and limit in Mbit/s (API 6.0)."""
    disk: Allocation | None = None
    """Of each disk: limit in I/O operations per second (API 4.1), and a reservation (API 5.5)."""

    def __post_init__(self) -> None:
        if self.cores_per_socket is not None and self.cores_per_socket < 1:
            raise UsageError(
                f"cores_per_socket must be at least 1, got {self.cores_per_socket}",
                field="cores_per_socket",
            )
        if self.version is not None and not _VERSION.fullmatch(self.version):
            raise UsageError(
                f"the hardware version must be like vmx-13, got {printable(self.version, 80)!r}",
                field="version",
            )
        if self.firmware not in (None, "bios", "efi"):
            raise UsageError(
                f"firmware must be bios or efi, got {self.firmware!r}", field="firmware"
            )
        if self.secure_boot and self.firmware != "efi":
            raise UsageError(
                "secure_boot requires the firmware efi",
                field="secure_boot",
                hint="Give firmware=efi too (--firmware efi).",
            )
        if self.video_ram_mb is not None and not 1 <= self.video_ram_mb <= _MOST_VIDEO_MB:
            raise UsageError(
                f"video_ram_mb must be 1 to {_MOST_VIDEO_MB}, got {self.video_ram_mb}",
                field="video_ram_mb",
            )

    def check(self, cpus: int | None, memory_mb: int | None) -> None:
        """Raise `UsageError` for what does not go together with CPUs and memory, as far as they are known."""
        cores = self.cores_per_socket or 1
        if cpus is not None and cpus % cores:
            raise UsageError(
                f"cpus must be a multiple of {cores}, the cores per socket, got {cpus}",
                field="cpus",
            )
        reserved = 0 if self.memory is None else self.memory.reservation or 0
        if memory_mb is not None and reserved > memory_mb:
            raise UsageError(
                f"the reservation of memory must be at most {memory_mb} MiB, the memory, "
                f"got {reserved}",
                field="reservation",
            )

    def check_version(self, api_version: str) -> None:
        """Raise `VersionError` if the host is too old for the allocation of disks.

        They are added once the machine is there; all other fields are refused when it is created.
        """
        if self.disk is None:
            return
        since = "4.1" if self.disk.reservation is None else "5.5"
        if parse_version(api_version) < parse_version(since):
            what = "a reservation" if self.disk.reservation is not None else "a limit or shares"
            raise VersionError(
                f"{what} of disks needs API {since}, the host has API {api_version}",
                item="StorageIOAllocationInfo",
                needs=since,
                speaks=api_version,
                hint="Omit the allocation of disks.",
            )

    def fields(self) -> dict[str, Any]:
        """Return the fields of a machine's specification, without devices."""
        found: dict[str, Any] = {
            "numCoresPerSocket": self.cores_per_socket,
            "version": self.version,
            "firmware": self.firmware,
            "nestedHVEnabled": True if self.nested else None,
            "cpuAllocation": None if self.cpu is None else self.cpu.info(),
            "memoryAllocation": None if self.memory is None else self.memory.info(),
        }
        if self.secure_boot:
            found["bootOptions"] = vimlib.vim25.VirtualMachineBootOptions(efiSecureBootEnabled=True)
        return {name: value for name, value in found.items() if value is not None}
