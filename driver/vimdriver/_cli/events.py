"""`vimctl instance events`: the event history of machines."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from vimdriver._cli.connection import CONNECTION, ConnectionOptions
from vimdriver._cli.flags import Flag
from vimdriver._cli.instance import opened
from vimdriver._cli.output import OUTPUT, Output, to_text

if TYPE_CHECKING:
    from vimlib import vim25


async def events(
    instance: str | None = None,
    /,
    *,
    since: datetime | None = None,
    follow: Annotated[Flag, Parameter(name=("--follow", "-f"))] = False,
    connection: ConnectionOptions = CONNECTION,
    output: Output = OUTPUT,
) -> None:
    """Show the events of the host, oldest first. `--json` prints one API event per line.

    Args:
        instance: UUID, name or reference of a machine: show its events only.
        since: Show events from this time on, for example 2026-11-24T12:00:00 (local time).
        follow: Print new events until interrupted.
    """
    from vimdriver._cli.jsonio import to_json

    if since is not None and since.tzinfo is None:
        since = since.astimezone()  # users write local time
    async with (
        opened(connection) as driver,
        driver.events(instance, since=since, follow=follow) as stream,
    ):
        async for event in stream:
            if output.json:
                output.line(to_json(event))
            else:
                print(event_text(event), flush=True)


def event_text(event: vim25.Event) -> str:
    """Return an event as a line: time, type, user, message."""
    when = event.createdTime.astimezone().isoformat(sep=" ", timespec="seconds")
    said = event.fullFormattedMessage or ""
    return (
        f"{when}  {to_text(event.type_name):<24}  {to_text(event.userName or '-')}  {to_text(said)}"
    )
