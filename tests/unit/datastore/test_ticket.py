"""What a vCenter says of the host that it sends a transfer to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import pytest

from tests.unit.collector.host import Host
from vimlib import vim25
from vimlib._datastore.location import DatastoreLocation
from vimlib._datastore.path import DatastorePath
from vimlib._datastore.ticket import Door, host_door
from vimlib._tls import TLS
from vimlib._transport import HTTPTransport
from vimlib.errors import ProtocolError

DIGEST = "AB:" * 19 + "AB"


async def door(**ticket: Any) -> Door | None:
    """Ask a made-up vCenter, which has one host, for the way to a file."""
    host = Host()
    esx = host.add(
        vim25.HostSystem,
        "esx",
        name="esx2.test",
        runtime=vim25.HostRuntimeInfo(
            connectionState="connected", powerState="poweredOn", inMaintenanceMode=False
        ),
    )
    mount = vim25.DatastoreHostMount(
        key=esx,
        mountInfo=vim25.HostMountInfo(accessMode="readWrite", accessible=True, mounted=True),
    )
    store = host.add(vim25.Datastore, "ds", host=[mount])

    async def hook(method: str, this: object, args: Mapping[str, Any]) -> Any:
        if method != "AcquireGenericServiceTicket":
            return None
        return vim25.SessionManagerGenericServiceTicket(id="secret", **ticket)

    host.hook = hook
    context = host.context()
    context.content.about.apiType = "VirtualCenter"
    context.content.sessionManager = vim25.SessionManager("sessions")
    place = DatastoreLocation(
        store, cast("vim25.HostDatastoreBrowser", None), vim25.Datacenter("dc"), "Folder/DC1"
    )
    transport = HTTPTransport("https://vc.test", tls=TLS(pin="ab" * 32))
    return await host_door(context, transport, place, DatastorePath("ds", "a"), "httpPut")


async def test_the_host_is_known_by_the_ticket_s_digest() -> None:
    found = await door(sslThumbprint=DIGEST)
    assert found is not None
    assert found.address.netloc == "esx2.test:443"
    assert found.trust is not None
    assert [str(pin) for pin in found.trust.pins] == [DIGEST]
    assert "secret" not in repr(found)
    assert await door() is None, "nothing to know it by"


@pytest.mark.parametrize(
    "ticket",
    [
        {"sslThumbprint": "no digest"},
        {"sslCertificate": "no certificate"},
        {"sslThumbprint": DIGEST, "hostName": "esx2.test:99999"},
        {"sslThumbprint": DIGEST, "hostName": "user@esx2.test"},
    ],
)
async def test_what_is_no_host_or_no_digest_is_the_vcenter_s_mistake(
    ticket: dict[str, str],
) -> None:
    with pytest.raises(ProtocolError):
        await door(**ticket)
