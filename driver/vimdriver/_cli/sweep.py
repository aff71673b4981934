"""`vimctl sweep`: take away what a process that is no more has left."""

from __future__ import annotations

from vimdriver._cli.connection import CONNECTION, Connection
from vimdriver._cli.exitcodes import combined
from vimdriver._cli.flags import Flag, Strings
from vimdriver._cli.instance import opened
from vimdriver._cli.keeping import KEEPING, Keeping
from vimdriver._cli.output import OUTPUT, Output
from vimdriver._cli.run import report

__all__ = ["sweep"]

_HOURS = 24.0


async def sweep(
    *,
    older_than: float = _HOURS,
    dry_run: Flag = False,
    forget: Strings = (),
    keeping: Keeping = KEEPING,
    connection: Connection = CONNECTION,
    output: Output = OUTPUT,
) -> int:
    """Finish or remove what an ended process has left: half-made machines, temporary files.

    Only what carries the owner's mark, or stands in the journal, is touched, and never a whole
    machine. With `--json` it prints {"dry_run", "items": [{"kind", "name", "action", "reason"}]}.

    Args:
        older_than: Hours since which somebody else may still be at it; more than the longest upload
            takes, or 0 if no other process works with this owner. What the journal knows does not wait.
        dry_run: Only tell what would be done.
        forget: A datastore that will never come back: what the journal has of it is closed. One that
            the host still has is swept as ever. Repeatable.
    """
    async with opened(connection, keeping) as driver:
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
        output.say("nothing is left of any process that has ended")
    if not output.json:
        for item in found.failed:
            if item.error is not None:
                report(item.error, output)
    return combined(item.error for item in found.items)
