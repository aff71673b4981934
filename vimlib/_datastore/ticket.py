"""A ticket for one request straight to an ESX host, past the vCenter that gives it."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vimlib import vim25
from vimlib._collector import get
from vimlib._datastore.url import folder_target
from vimlib._secret import Secret
from vimlib._tls import Pin, Trust, blind_trust, parse_pin
from vimlib._transport.address import Address, parse_address
from vimlib.errors import ProtocolError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vimlib._collector import Context
    from vimlib._datastore.location import DatastoreLocation
    from vimlib._datastore.path import DatastorePath
    from vimlib._transport.http import Header
    from vimlib._transport.network import HTTPTransport

log = logging.getLogger("vimlib.datastore")

_TICKET = "vmware_cgi_ticket"


@dataclass(frozen=True, slots=True)
class Door:
    """Where a request for a file goes, as whom, and whom to trust there."""

    address: Address
    target: str
    headers: Mapping[str, Header] = field(repr=False)
    trust: Trust | None


async def host_door(
    context: Context,
    transport: HTTPTransport,
    place: DatastoreLocation,
    file: DatastorePath,
    method: str,
) -> Door | None:
    """Get a ticket for `method` on `file` at a host that mounts the datastore.

    A server that is itself a host gives tickets for itself. None if none is to be had: the API is
    older than 5.0, no connected host mounts the datastore, or the ticket does not say by what its
    host is known, who is then not trusted.
    """
    manager = context.content.sessionManager
    if manager is None or not context.speaks("5.0"):
        return None
    if context.content.about.apiType != "VirtualCenter":
        target = folder_target(file, place.datacenter_path)
        ticket = await context.bind(manager).AcquireGenericServiceTicket(
            vim25.SessionManagerHttpServiceRequestSpec(
                method=method, url=transport.address.origin + target
            )
        )
        return Door(transport.address, target, _credentials(ticket), await transport.trusted())
    name = await _host_name(context, place)
    if name is None:
        return None
    # On the host itself there is one datacenter, whatever vCenter calls it.
    target = folder_target(file, "ha-datacenter")
    address = parse_address(f"https://{name}", path="/folder")
    ticket = await context.bind(manager).AcquireGenericServiceTicket(
        vim25.SessionManagerHttpServiceRequestSpec(method=method, url=address.origin + target)
    )
    headers = _credentials(ticket)
    try:
        if ticket.hostName:
            address = parse_address(f"https://{ticket.hostName}", path="/folder")
        pins = ticket_pins(ticket)
    except UsageError as exc:  # what was read here is the host's, not the caller's
        raise ProtocolError(f"invalid address or certificate digest in the ticket: {exc}") from None
    if not pins:
        log.warning(
            "%s issued a ticket for %s without a certificate digest; not used",
            context.invoker.host,
            address.netloc,
        )
        return None
    trust = blind_trust(address.netloc, pins, legacy=transport.tls.legacy)
    return Door(address, target, headers, trust)


def _credentials(ticket: vim25.SessionManagerGenericServiceTicket) -> dict[str, Header]:
    """Take the secret out of a ticket, which stays in the frames of tracebacks."""
    cookie = Secret(f"{_TICKET}={ticket.id}")
    ticket.id = ""
    return {"Cookie": cookie}


def ticket_pins(ticket: vim25.SessionManagerGenericServiceTicket) -> tuple[Pin, ...]:
    """Return by what the ticket's host is known: its certificate, else the strongest digest given.

    They came over a channel that was verified, so a SHA-1, all that hosts before 7.0.3 give, will do.
    """
    if ticket.sslCertificate:
        return (Pin.of_pem(ticket.sslCertificate),)
    pins = [parse_pin(item.thumbprint) for item in ticket.certThumbprintList or ()]
    if ticket.sslThumbprint:
        pins.append(parse_pin(ticket.sslThumbprint))
    best = max((len(pin.digest) for pin in pins), default=0)
    return tuple(pin for pin in pins if len(pin.digest) == best)


async def _host_name(context: Context, place: DatastoreLocation) -> str | None:
    """Return the name of a host that is connected, not in maintenance, and mounts the datastore."""
    mounts = (await get(context, place.datastore, "host")).get("host") or []
    hosts = [
        m.key
        for m in mounts
        if m.mountInfo.accessible is not False and m.mountInfo.mounted is not False
    ]
    for row in await get(
        context, hosts, "name", "runtime.connectionState", "runtime.inMaintenanceMode"
    ):
        if row.get("runtime.connectionState") == "connected" and not row.get(
            "runtime.inMaintenanceMode"
        ):
            name: str | None = row.get("name")
            return name
    return None
