"""One command over many things: one after the other, a failed one does not stop the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from driver.cli.exitcodes import combined
from driver.cli.run import error_document, report
from vimlib.errors import VimlibError, printable

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

    from driver.cli.output import Output

__all__ = ["each"]


async def each(
    names: Sequence[str],
    work: Sequence[Coroutine[Any, Any, None]],
    *,
    noun: str,
    done: str,
    output: Output,
) -> int:
    """Await `work` in its order and say of each what came of it; return the exit code of all.

    JSON is a line each: `{noun: name, done: true}` or `{noun: name, "error": ...}`. The error of
    the only one is raised as itself. Cancelling ends the one that runs and begins no other.
    """
    errors: list[VimlibError | None] = []
    waiting = list(work)
    try:
        for name in names:
            try:
                await waiting.pop(0)
            except VimlibError as error:
                if len(names) == 1:
                    raise
                errors.append(error)
                if output.json:
                    output.line({noun: name, "error": error_document(error)})
                else:
                    report(error, output)
            else:
                errors.append(None)
                output.document({noun: name, done: True}, f"{printable(name)}: {done}")
    finally:
        for left in waiting:
            left.close()
    return combined(errors)
