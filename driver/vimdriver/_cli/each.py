"""Run one command for several objects in turn; a failure does not stop the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vimdriver._cli.exitcodes import combined
from vimdriver._cli.run import error_document, report
from vimlib.errors import VimlibError, printable

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

    from vimdriver._cli.output import Output


async def each(
    names: Sequence[str],
    work: Sequence[Coroutine[Any, Any, bool | None]],
    *,
    noun: str,
    done: str,
    output: Output,
) -> int:
    """Await `work` in order, print each result, and return the combined exit code.

    JSON output has one line each: `{noun: name, done: true}` or `{noun: name, "error": ...}`;
    `done` is false if the result is False, which means that the object did not exist. With a single
    object, its error is raised itself. Cancelling stops the running one and starts no other.
    """
    errors: list[VimlibError | None] = []
    waiting = list(work)
    try:
        for name in names:
            try:
                did = await waiting.pop(0) is not False
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
                said = done if did else "not found"
                output.document({noun: name, done: did}, f"{printable(name)}: {said}")
    finally:
        for left in waiting:
            left.close()
    return combined(errors)
