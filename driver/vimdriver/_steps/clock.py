"""What time it is on the host: ages of what stands there are told by its clock alone."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from vimlib import vim25

if TYPE_CHECKING:
    from vimlib._client import Client

__all__ = ["host_time", "read_stamp", "stamp"]

_FORM: Final = "%Y-%m-%dT%H:%M:%SZ"


async def host_time(client: Client) -> datetime:
    """Return the host's time (`ServiceInstance.CurrentTime`). Cancelling loses nothing."""
    return await client.bind(vim25.ServiceInstance("ServiceInstance")).CurrentTime()


def stamp(moment: datetime) -> str:
    """Return a moment as it is written on the host, in UTC and whole seconds."""
    return moment.astimezone(UTC).strftime(_FORM)


def read_stamp(text: str) -> datetime | None:
    """Return the moment that `stamp` wrote; None for anything else."""
    try:
        return datetime.strptime(text, _FORM).replace(tzinfo=UTC)
    except ValueError:
        return None
