"""The time of the host: its zone and its time servers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vimlib import vim25
from vimlib.simulator._core.handlers import handles
from vimlib.simulator._core.messages import with_message
from vimlib.simulator._core.objects import SimObject, prop
from vimlib.simulator._data.config import time_zone

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from vimlib.simulator._core.call import Call
    from vimlib.simulator._core.registry import Registry


class DateTimeSystem(SimObject):
    """Time zone, servers and the time itself."""

    kind = "HostDateTimeSystem"

    def __init__(self, registry: Registry) -> None:
        self.zone = "UTC"
        self.servers: list[str] = []
        self.files: list[str] = []
        """Lines of `ntp.conf`."""
        self._offset: timedelta | None = None
        super().__init__(registry, "dateTimeSystem")

    @prop("dateTimeInfo")
    def info(self) -> Any:
        """Return zone and servers as data."""
        return vim25.HostDateTimeInfo(
            timeZone=time_zone(self.zone),
            systemClockProtocol="ntp",
            ntpConfig=vim25.HostNtpConfig(server=self.servers, configFile=self.files),
            enabled=False,
            disableEvents=False,
            disableFallback=False,
            inFallbackState=False,
            serviceSync=False,
        )

    def now(self) -> datetime:
        """Return the time that the host shows."""
        now = self.registry.clock.now()
        return now if self._offset is None else now + self._offset

    def set_time(self, time: datetime) -> None:
        """Set the time that the host shows; its tasks and sessions go on by the clock."""
        self._offset = time - self.registry.clock.now()


@handles(DateTimeSystem, "UpdateDateTimeConfig")
def update_date_time_config(system: DateTimeSystem, call: Call) -> None:
    """Set the zone or the servers; values not given stay."""
    config = call.args["config"]
    if config.timeZone is not None:
        if config.timeZone not in _zones(system):
            raise with_message(
                vim25.HostConfigFault(), f"The time zone {config.timeZone} is not known."
            )
        system.zone = config.timeZone
    if config.ntpConfig is not None:
        system.servers = list(config.ntpConfig.server)
        system.files = list(getattr(config.ntpConfig, "configFile", None) or [])
    system.changed_in_host("dateTimeInfo")


def _zones(system: DateTimeSystem) -> list[str]:
    """Return the zones of a host: an ESXi keeps UTC, a classic ESX has those of its console."""
    return (
        ["UTC", "Europe/Berlin", "America/New_York"] if system.registry.release.classic else ["UTC"]
    )


@handles(DateTimeSystem, "QueryAvailableTimeZones")
def query_time_zones(system: DateTimeSystem, call: Call) -> list[Any]:
    """Return the zones."""
    return [time_zone(name) for name in _zones(system)]


@handles(DateTimeSystem, "QueryDateTime")
def query_date_time(system: DateTimeSystem, call: Call) -> datetime:
    """Return the host's time."""
    return system.now()


@handles(DateTimeSystem, "UpdateDateTime")
def update_date_time(system: DateTimeSystem, call: Call) -> None:
    """Set the host's time."""
    system.set_time(call.args["dateTime"])


@handles(DateTimeSystem, "RefreshDateTimeSystem")
def refresh(system: DateTimeSystem, call: Call) -> None:
    """Do nothing: nothing is stale."""
