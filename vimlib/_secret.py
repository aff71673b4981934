"""A string that keeps itself out of logs, tracebacks and pickles. This module imports nothing of ours."""

from __future__ import annotations

import base64
import re
import traceback
from contextlib import contextmanager, suppress
from functools import wraps
from typing import TYPE_CHECKING, Any, Final, NoReturn, ParamSpec, TypeVar
from urllib.parse import quote, unquote

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping

P = ParamSpec("P")
R = TypeVar("R")

_MASK = "***"
# Shorter texts stand in messages by chance.
_SHORTEST: Final = 4
# Characters of a secret that show that an excerpt was cut within it.
_BEGINNING: Final = 8


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


def secrets_of(headers: Mapping[str, object], query: str = "") -> list[Secret]:
    """Return the secrets of a request: headers that are a `Secret`, and the values of a signed query."""
    values = [part.partition("=")[2] for part in query.split("&")]
    signed = [Secret(text) for text in (query, *values) if len(text) >= _BEGINNING]
    return [*(each for each in headers.values() if isinstance(each, Secret)), *signed]


def masked(text: str, secrets: Iterable[Secret]) -> str:
    """Return the text of a peer with `***` for each secret that it repeats, also where it was cut.

    Each is found as it was sent and as base64, percent-encoded or escaped for XML; of a credential
    (`Basic ...`, `name=...`) the value and the decoded user and password too.
    """
    forms = {form for secret in secrets for form in _forms(secret.reveal())}
    for form in sorted(forms, key=len, reverse=True):
        text = text.replace(form, _MASK)
    for form in forms:
        begin, at = form[:_BEGINNING], 0
        while len(form) > _BEGINNING and (at := text.find(begin, at)) >= 0:
            end = at + _BEGINNING
            while end < len(text) and end - at < len(form) and text[end] == form[end - at]:
                end += 1
            text = text[:at] + _MASK + text[end:]
    return text


def _forms(secret: str) -> Iterator[str]:
    """Yield the texts by which a secret could be repeated."""
    match = re.fullmatch(r"(?s)(?:(Basic|Bearer) +|[A-Za-z_]+=)?(.*)", secret)
    assert match is not None  # every text matches
    plain = {str(secret), match[2].strip('"')}
    if match[1] == "Basic":
        with suppress(ValueError):  # a header of the caller's own may hold no base64
            pair = base64.b64decode(match[2]).decode("utf-8", "replace")
            plain |= {pair, pair.partition(":")[2]}
    for text in plain:
        data = text.encode("utf-8", "surrogatepass")
        coded = base64.b64encode(data).decode("ascii").rstrip("=")
        xml = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        for form in (text, coded, quote(data, safe=""), unquote(text), xml):
            if len(form) >= _SHORTEST:
                yield form


def mask_error(error: BaseException, secrets: Iterable[Secret]) -> None:
    """Mask the secrets that a peer repeated in the texts of an error and of its causes.

    Local variables are forgotten, and a context that `from None` hides is dropped: both hold
    requests and replies.
    """
    known = list(secrets)
    if not known:
        return
    forget_locals(error)
    for at in _family(error):
        if at.__suppress_context__:
            at.__context__ = None
        for name, value in list(vars(at).items()):
            if name == "__notes__" and isinstance(value, list):
                value[:] = [masked(str(note), known) for note in value]
            elif isinstance(value, str) and (shown := masked(value, known)) != value:
                setattr(at, name, shown)
        at.args = tuple(masked(arg, known) if isinstance(arg, str) else arg for arg in at.args)


def _family(error: BaseException) -> Iterator[BaseException]:
    """Yield an error, its causes, and the errors of groups."""
    seen: set[int] = set()
    left: list[BaseException | None] = [error]
    while left:
        at = left.pop()
        if at is None or id(at) in seen:
            continue
        seen.add(id(at))
        yield at
        left += [at.__cause__, at.__context__]
        if isinstance(at, BaseExceptionGroup):
            left += at.exceptions


def forget_locals(error: BaseException) -> None:
    """Clear the local variables of all frames in an error's traceback, and in those of its causes.

    For frames that held secrets or unmasked data from the wire. The traceback keeps its lines;
    frames that are still running are not cleared.
    """
    for at in _family(error):
        traceback.clear_frames(at.__traceback__)


@contextmanager
def forgetting() -> Iterator[None]:
    """Forget the local variables of the frames through which an error leaves the block."""
    try:
        yield
    except BaseException as error:
        forget_locals(error)
        raise


@contextmanager
def masking(secrets: Iterable[Secret]) -> Iterator[None]:
    """Mask `secrets`, as they are then, in an error that leaves the block; see `mask_error`."""
    try:
        yield
    except BaseException as error:
        mask_error(error, secrets)
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
