"""`vimctl sweep`: remove the unfinished objects of killed processes."""

from __future__ import annotations

from typing import Annotated

from vimdriver._cli.connection import CONNECTION, ConnectionOptions
from vimdriver._cli.exitcodes import combined
from vimdriver._cli.flags import Flag, Strings, within
from vimdriver._cli.instance import opened
from vimdriver._cli.output import OUTPUT, Output
from vimdriver._cli.ownership import OWNERSHIP, Ownership
from vimdriver._cli.run import report

_HOURS = 24.0


async def sweep(
    *,
    older_than: Annotated[float, within(0)] = _HOURS,
    dry_run: Flag = False,
    forget: Strings = (),
    ownership: Ownership = OWNERSHIP,
    connection: ConnectionOptions = CONNECTION,
    output: Output = OUTPUT,
) -> int:
    """Clean up after processes that were killed: machines, temporary files, port groups, sessions.

    Only objects with the owner mark, or recorded in the journal, are changed; complete machines and
    files of others are kept. `--json` prints {"dry_run", "items": [{"kind", "name", "action", "reason"}]}.

    Args:
        older_than: Age in hours from which unfinished objects are removed. Give more than the longest
            upload of any other process with this owner, or 0 if there is none. Objects in the journal are
            removed at any age.
        dry_run: Print the actions without taking them.
        forget: Datastore that was removed permanently: close its journal entries. Ignored for a
            datastore that the host still has. Repeatable.
    """
    async with opened(connection, ownership) as driver:
        found = await driver.sweep(older_than=older_than * 3600, dry_run=dry_run, forget=forget)
    rows = [item.to_json() for item in found.items]
    if output.json:
        output.line({"dry_run": dry_run, "items": rows})
    elif rows:
        for row in rows:
            if dry_run and row["action"] in ("removed", "finished"):
                row["action"] = f"would be {row['action']}"
        output.table(("action", "kind", "name", "reason"), rows)
    else:
        output.say("nothing to clean up")
    if not output.json:
        for item in found.failed:
            if item.error is not None:
                report(item.error, output)
    return combined(item.error for item in found.items)
