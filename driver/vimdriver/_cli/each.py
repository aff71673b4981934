"""Run one command for several objects; a failure does not stop the rest."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from vimdriver._cli.exitcodes import combined
from vimdriver._cli.run import error_document, report
from vimlib._text import printable
from vimlib.errors import VimlibError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from vimdriver._cli.output import Output


async def each(
    names: Sequence[str],
    act: Callable[[str], Awaitable[bool | Mapping[str, Any] | None]],
    *,
    noun: str,
    done: str,
    output: Output,
    parallel: int = 1,
) -> int:
    """Call `act` for each name, print each result in that order, and return the combined exit code.

    JSON output has one line each: `{noun: name, done: true}` or `{noun: name, "error": ...}`;
    `done` is false if the result is False, which means that the object did not exist. A mapping has
    further fields for the line; empty ones are left out. With a single object, its error is raised
    itself. Cancelling stops the running ones and starts no other.
    """
    # Loads the API, which the help of a command does not need.
    from vimdriver._verbs.many import completed

    errors: list[VimlibError | None] = []
    async with aclosing(completed(act, names, parallel=parallel)) as results:
        async for name, result in results:
            if isinstance(result, VimlibError):
                if len(names) == 1:
                    raise result
                errors.append(result)
                if output.json:
                    output.line({noun: name, "error": error_document(result)})
                else:
                    report(result, output)
                continue
            errors.append(None)
            did = result is not False
            said = done if did else "not found"
            more = result.items() if isinstance(result, Mapping) else ()
            fields = {key: value for key, value in more if value or value == 0}
            for key, value in fields.items():
                text = ", ".join(map(printable, value)) if isinstance(value, list) else str(value)
                said += f"\n  {key}: {text}"
            output.document({noun: name, done: did, **fields}, f"{printable(name)}: {said}")
    return combined(errors)
