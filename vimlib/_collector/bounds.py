"""Bounds of an operation on a host: pages that make no progress, and time."""

from __future__ import annotations

import asyncio
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from vimlib.errors import DeadlineError, LimitError, ProtocolError, UsageError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Iterable

    from vimlib._collector.context import Context

T = TypeVar("T")


class PageCheck:
    """Refuses a listing whose pages get nowhere. No I/O.

    Args:
        host: `host:port`, for errors.
        most: Objects that the listing may have.
    """

    def __init__(self, host: str, most: int) -> None:
        self._host = host
        self._most = most
        self._objects: set[tuple[str, str]] = set()
        self._tokens: set[str] = set()

    def page(self, objects: Iterable[tuple[str, str]], token: str) -> None:
        """Take note of a page that promises another one by its token.

        Raises:
            ProtocolError: It has no object that earlier pages lack, or its token was used before
                (a token is good for one page).
            LimitError: The listing has too many objects.
        """
        before = len(self._objects)
        self._objects.update(objects)
        if token in self._tokens:
            raise _endless(self._host, "an old token")
        self._tokens.add(token)
        if len(self._objects) == before:
            raise _endless(self._host, "no new object")
        if len(self._objects) > self._most:
            raise LimitError(
                f"a listing of {self._host} must have at most {self._most} objects, got more",
                hint="If you trust the host, raise Limits.objects.",
                limit="objects",
                allowed=self._most,
            )


def _endless(host: str, what: str) -> ProtocolError:
    return ProtocolError(
        f"{host} sent a page with {what} that promises another page",
        hint="Check for a proxy between here and the host.",
    )


@asynccontextmanager
async def bounded(
    context: Context, what: str, seconds: float | None, *, until: float | None = None
) -> AsyncIterator[None]:
    """Bound the block by `seconds`, which end at `until` of the loop's clock (None: from now).

    Raises:
        UsageError: `seconds` is not positive.
        DeadlineError: They have passed; nothing was changed (outcome `not_sent`).
    """
    check_timeout(seconds)
    if seconds is not None and until is None:
        until = asyncio.get_running_loop().time() + seconds
    limit = asyncio.timeout_at(until)
    try:
        async with limit:
            yield
    except TimeoutError:
        if not limit.expired():
            raise
        raise DeadlineError(
            f"{what} on {context.invoker.host} did not finish within {seconds:g} s",
            hint="Give a longer timeout, or request less.",
            host=context.invoker.host,
            phase=what,
            seconds=seconds,
            outcome="not_sent",
        ) from None


def check_timeout(seconds: Any) -> None:
    """Refuse a timeout that is not positive. Raises `UsageError`."""
    if seconds is not None and not seconds > 0:
        raise UsageError(f"timeout must be above 0, got {seconds!r}", field="timeout")


async def bounded_items(
    context: Context, what: str, seconds: float | None, items: AsyncGenerator[T, None]
) -> AsyncGenerator[T, None]:
    """Yield `items` for at most `seconds` from now, checked while the host is awaited.

    Raises as `bounded`. Closing it closes `items`.
    """
    until = None if seconds is None else asyncio.get_running_loop().time() + seconds
    async with aclosing(items):
        while True:
            try:
                async with bounded(context, what, seconds, until=until):
                    item = await anext(items)
            except StopAsyncIteration:
                return
            yield item
