"""Run one command for several objects in turn; a failure does not stop the rest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from vimdriver._cli.exitcodes import combined
from vimdriver._cli.run import error_document, report
from vimlib._text import printable
from vimlib.errors import VimlibError

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

    from vimdriver._cli.output import Output


async def each(
    names: Sequence[str],
    work: Sequence[Coroutine[Any, Any, bool | Mapping[str, Sequence[str]] | None]],
    *,
    noun: str,
    done: str,
    output: Output,
) -> int:
    """Await `work` in order, print each result, and return the combined exit code.

    JSON output has one line each: `{noun: name, done: true}` or `{noun: name, "error": ...}`;
    `done` is false if the result is False, which means that the object did not exist. A mapping has
    further lists for the line; empty ones are left out. With a single object, its error is raised itself. Cancelling stops the running one and starts no other.
    """
    errors: list[VimlibError | None] = []
    waiting = list(work)
    try:
        for name in names:
            try:
                result = await waiting.pop(0)
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
                did = result is not False
                said = done if did else "not found"
                more = result.items() if isinstance(result, Mapping) else ()
                lists = {key: list(values) for key, values in more if values}
                for key, values in lists.items():
                    said += f"\n  {key}: {', '.join(map(printable, values))}"
                document = {noun: name, done: did, **lists}
                output.document(document, f"{printable(name)}: {said}")
    finally:
        for left in waiting:
            left.close()
    return combined(errors)
