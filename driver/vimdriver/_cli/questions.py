"""`vimctl instance question`: a machine that waits for an answer."""

from __future__ import annotations

from vimdriver._cli.connection import CONNECTION, ConnectionOptions
from vimdriver._cli.flags import Flag
from vimdriver._cli.instance import Ref, opened
from vimdriver._cli.output import OUTPUT, Output
from vimdriver._cli.ownership import OWNERSHIP, Ownership
from vimlib._text import printable


async def question(
    instance: Ref,
    /,
    *,
    answer: str | None = None,
    foreign: Flag = False,
    ownership: Ownership = OWNERSHIP,
    connection: ConnectionOptions = CONNECTION,
    output: Output = OUTPUT,
) -> None:
    """Show the question for which a machine waits, or answer it.

    Args:
        answer: Key or label of the choice.
        foreign: Answer for a machine of another owner too.
    """
    async with opened(connection, ownership) as driver:
        if answer is not None:
            await driver.answer(instance, answer, foreign=foreign)
            output.document({"answered": answer}, f"answered: {printable(answer)}")
            return
        found = await driver.question(instance)
    if found is None:
        output.document(None, f"{printable(instance)} asks nothing")
    else:
        output.fields(found.to_json())
