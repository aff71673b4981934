"""Networks of the host: flat (the port group must exist) and VLAN (it is made if it is missing).

`port_groups` lists, reads and removes port groups, `making` makes them, `notes` has their owner marks. The guest's side is
`vimdriver._guestinfo`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vimdriver._journal import MemoryJournal
from vimdriver._networks import making, port_groups
from vimdriver._networks.port_groups import PortGroup, list_port_groups
from vimdriver._verbs import Host

if TYPE_CHECKING:
    from vimdriver._config import DriverConfig
    from vimdriver._journal import Journal
    from vimlib._client import Client

__all__ = ["PortGroup", "ensure_vlan", "list_port_groups", "remove_vlan"]


async def ensure_vlan(
    client: Client,
    name: str,
    vlan: int,
    config: DriverConfig,
    *,
    interface: str = "vmnic0",
    journal: Journal | None = None,
) -> PortGroup:
    """`ESXDriver.ensure_vlan` without a driver; raises and is cancelled as it."""
    host = Host(client, config, journal or MemoryJournal())
    return await making.ensure_vlan.run(host, name, vlan, interface=interface)


async def remove_vlan(client: Client, name: str, config: DriverConfig) -> None:
    """`ESXDriver.remove_vlan` without a driver; raises and is cancelled as it."""
    await port_groups.remove_vlan.run(Host(client, config, MemoryJournal()), name)
