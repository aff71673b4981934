"""The identity of a host: the UUID of its hardware, where it identifies anything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from vimdriver._verbs import Host, query
from vimdriver.errors import HostIdentityError
from vimlib import vim25
from vimlib.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vimlib._client import Client
    from vimlib._collector import Row

# What firmware has where nobody has set it (SMBIOS, System Information, UUID): all bits alike, and
# the default of AMI's firmware in both byte orders.
_PLACEHOLDERS: Final = frozenset(
    {
        "00000000-0000-0000-0000-000000000000",
        "ffffffff-ffff-ffff-ffff-ffffffffffff",
        "03000200-0400-0500-0006-000700080009",
        "00020003-0004-0005-0006-000700080009",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class HostIdentity:
    """Which host this is."""

    host: str
    """`host:port`, as it was connected to."""
    name: str
    moref: str
    hardware_uuid: str
    """As the firmware has it, in lower case; "" if the host shows none."""
    vendor: str
    model: str
    serial: str
    """The enclosure's or the vendor's tag; "" if the host shows none (before API 5.0)."""

    @property
    def unique(self) -> bool:
        """Whether the UUID was set by the vendor; whether another host has the same is not known."""
        return bool(self.hardware_uuid) and self.hardware_uuid not in _PLACEHOLDERS

    @property
    def uuid(self) -> str:
        """The UUID by which the host is known.

        Raises:
            HostIdentityError: The firmware has none, or a placeholder.
        """
        if not self.unique:
            raise HostIdentityError(uuid=self.hardware_uuid or "none", hosts=(self.host,))
        return self.hardware_uuid

    def to_json(self) -> dict[str, Any]:
        """Return what `vimctl host identity --json` prints."""
        return {name: getattr(self, name) for name in self.__slots__} | {"unique": self.unique}


def check_identities(found: Iterable[HostIdentity]) -> None:
    """Check that each of several hosts is identified by its UUID. No I/O.

    Raises:
        HostIdentityError: One has none, or a placeholder, or two have the same.
    """
    hosts: dict[str, list[str]] = {}
    for one in found:
        hosts.setdefault(one.uuid, []).append(one.host)
    for uuid, names in hosts.items():
        if len(names) > 1:
            raise HostIdentityError(uuid=uuid, hosts=names)


HOST_PATHS: Final = ("name", "hardware.systemInfo")


def identity_of(client: Client, row: Row[vim25.HostSystem]) -> HostIdentity:
    """Return a row of `HOST_PATHS` as an identity."""
    system: vim25.HostSystemInfo | None = row.known("hardware.systemInfo")
    tags = {
        item.identifierType.key: item.identifierValue
        for item in (system.otherIdentifyingInfo if system else None) or []
    }
    serial = (system.serialNumber if system else None) or ""
    return HostIdentity(
        host=client.host,
        name=str(row.props.get("name") or ""),
        moref=row.obj.moref[1],
        hardware_uuid=(system.uuid if system else "").lower(),
        vendor=system.vendor if system else "",
        model=system.model if system else "",
        serial=serial or tags.get("ServiceTag") or tags.get("EnclosureSerialNumberTag") or "",
    )


def only_host(client: Client, rows: list[Row[vim25.HostSystem]]) -> Row[vim25.HostSystem]:
    """Return the row of the only host.

    Raises:
        NotFoundError: The inventory has no host, or more than one (a vCenter).
    """
    if len(rows) != 1:
        raise NotFoundError(
            f"exactly one host is required, {client.host} has {len(rows)}",
            kind="HostSystem",
            hint="Connect to the ESX host itself.",
        )
    return rows[0]


async def read_host(client: Client, *paths: str) -> Row[vim25.HostSystem]:
    """Return properties of the only host, in one call. Cancelling loses nothing. Raises as `only_host`."""
    return only_host(client, (await client.gather({vim25.HostSystem: paths}))[vim25.HostSystem])


@query
async def host_identity(host: Host) -> HostIdentity:
    """Return which host this is, in one call.

    `uuid` of the result raises where the firmware has no UUID of its own; `check_identities` compares
    several hosts. Cancelling loses nothing.

    Raises:
        NotFoundError: The inventory has no host, or more than one (a vCenter).
    """
    return identity_of(host.client, await read_host(host.client, *HOST_PATHS))
