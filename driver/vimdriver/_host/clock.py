"""The host's time: clock, zone and time servers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vimdriver._host.managers import read_manager
from vimdriver._verbs import Host, Plan, Run, Step, query, verb
from vimlib import vim25
from vimlib._text import printable
from vimlib.errors import UsageError

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class HostTime:
    """The host's time."""

    now: datetime
    """By the host's clock."""
    zone: str
    servers: tuple[str, ...]
    ahead: float
    """Seconds by which the host's clock is ahead of this computer's; a call's duration is its error."""

    def to_json(self) -> dict[str, Any]:
        """Return what `vimctl host time --json` prints."""
        return {
            "now": self.now.isoformat(),
            "zone": self.zone,
            "servers": list(self.servers),
            "ahead": round(self.ahead, 3),
        }


async def _read(host: Host) -> tuple[vim25.HostDateTimeSystem, vim25.HostDateTimeInfo]:
    row = await read_manager(
        host.client, vim25.HostDateTimeSystem, "dateTimeSystem", "dateTimeInfo"
    )
    return host.client.bind(row.obj), row.require("dateTimeInfo")


@query
async def host_time(host: Host) -> HostTime:
    """Show the host's clock, time zone and time servers. Cancelling loses nothing."""
    system, info = await _read(host)
    before = host.clock()
    now = await system.QueryDateTime()
    middle = before + (host.clock() - before) / 2
    return HostTime(
        now=now,
        zone=info.timeZone.name,
        servers=tuple((info.ntpConfig.server if info.ntpConfig else None) or []),
        ahead=(now - middle).total_seconds(),
    )


@verb
async def set_time_servers(host: Host, *, servers: tuple[str, ...]) -> Plan[HostTime]:
    """Set the host's time servers (`UpdateDateTimeConfig`); the service `ntpd` must run to use them.

    Cancelling waits for the call.

    Args:
        servers: Names or addresses, in place of all others.

    Raises:
        UsageError: No server, or one that is empty.
    """
    # A name or address has no space, and is more than one.
    if not servers or not all(len(server.split()) == 1 for server in servers):
        raise UsageError(
            f"servers must be at least one name or address each, got {printable(str(servers), 80)}",
            field="servers",
        )
    system, info = await _read(host)
    old = list((info.ntpConfig.server if info.ntpConfig else None) or [])
    config = vim25.HostDateTimeConfig(ntpConfig=vim25.HostNtpConfig(server=list(servers)))

    async def probe(run: Run) -> bool | None:
        now = (await _read(run.host))[1].ntpConfig
        return (now is not None and list(now.server or []) == list(servers)) or None

    step = Step[Any](
        title=f"set the time servers to {', '.join(servers)} (UpdateDateTimeConfig)",
        call=lambda run: system.UpdateDateTimeConfig(config),
        probe=probe,
        idempotent=True,
    )
    return Plan(
        "set the time servers",
        () if old == list(servers) else (step,),
        lambda run: host_time.function(run.host),
    )
