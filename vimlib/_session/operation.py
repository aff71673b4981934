"""The name that an operation's calls carry to the host, in `operationID`."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

from vimlib._text import printable
from vimlib.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

LONGEST: Final = 100

_name: ContextVar[str] = ContextVar("vimlib operation", default="")


@contextmanager
def operation(name: str) -> Iterator[None]:
    """Give the calls of the block a name, which the host writes into its logs and tasks.

    ``with vimlib.operation("req-5e1f"):``. The `operationID` of each call is then the name, the id
    of the connection and the number of the call. Tasks that are started in the block inherit it;
    the polls that a client's waits share keep the name under which they began.

    Raises:
        UsageError: The name is not 1 to 100 printable ASCII characters.
    """
    if not (0 < len(name) <= LONGEST and name.isascii() and name.isprintable()):
        raise UsageError(
            f"the name of an operation must be 1 to {LONGEST} printable ASCII characters, "
            f"got {printable(name, 120)!r}",
            field="name",
        )
    token = _name.set(f"{name}-")
    try:
        yield
    finally:
        _name.reset(token)


def operation_prefix() -> str:
    """Return the name of the operation that runs, with a hyphen; "" without one."""
    return _name.get()
