"""A string that keeps itself out of logs, tracebacks and pickles. This module imports nothing of ours."""

from __future__ import annotations

import traceback
from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any, NoReturn, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

P = ParamSpec("P")
R = TypeVar("R")

_MASK = "***"


class _Revealed(str):
    """The text of a secret on its way to the wire: a `str` with a masked `repr`.

    Tracebacks that print local variables use `repr`, so they do not show the secret.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return _MASK


class Secret:
    """A password, a session cookie or a ticket. Only `reveal()` returns the text."""

    __slots__ = ("__text",)

    def __init__(self, text: str | Secret) -> None:
        self.__text: str = text.reveal() if isinstance(text, Secret) else _Revealed(text)

    def reveal(self) -> str:
        """Return the text; its `repr` is masked, its `str` is not."""
        return self.__text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self.__text == other.__text

    def __hash__(self) -> int:
        return hash((Secret, self.__text))

    def __bool__(self) -> bool:
        return bool(self.__text)

    def __repr__(self) -> str:
        return f"Secret({_MASK})"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format(repr(self), spec)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret cannot be pickled or copied")

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Secret:
        return self


def reveal(value: str | Secret) -> str:
    """Return the text of a `Secret`, or `value` itself with a masked `repr`."""
    return Secret(value).reveal()


def forget_locals(error: BaseException) -> None:
    """Clear the local variables of all frames in an error's traceback, and in those of its causes.

    For frames that held secrets or unmasked data from the wire. The traceback keeps its lines;
    frames that are still running are not cleared.
    """
    seen: set[int] = set()
    left: list[BaseException | None] = [error]
    while left:
        at = left.pop()
        if at is None or id(at) in seen:
            continue
        seen.add(id(at))
        traceback.clear_frames(at.__traceback__)
        left += [at.__cause__, at.__context__]
        if isinstance(at, BaseExceptionGroup):
            left += at.exceptions


@contextmanager
def forgetting() -> Iterator[None]:
    """Forget the local variables of the frames through which an error leaves the block."""
    try:
        yield
    except BaseException as error:
        forget_locals(error)
        raise


def forgetful(
    function: Callable[P, Coroutine[Any, Any, R]],
) -> Callable[P, Coroutine[Any, Any, R]]:
    """Make a coroutine function forget its local variables, and those of its calls, when it fails."""

    @wraps(function)
    async def call(*args: P.args, **given: P.kwargs) -> R:
        with forgetting():
            return await function(*args, **given)

    return call
