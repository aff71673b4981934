"""What `collect`, `watch` and `events` return: something to iterate that owns things on the server."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Generic, Self, TypeVar
from weakref import WeakSet

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator
    from types import TracebackType

__all__ = ["Stream"]

T = TypeVar("T")


class Stream(ABC, Generic[T]):
    """An asynchronous iterable that gives back on every way out what it made on the server.

    ``async for`` alone is enough: leaving the loop, an error in it and cancelling release
    everything, as soon as the event loop gets to it. Inside ``async with stream:`` it is done
    when the block ends, before anything else runs.
    """

    def __init__(self) -> None:
        # Weak outside of a block: an iterator that its loop has dropped is closed by the event
        # loop, and must not be kept by us.
        self._loose: WeakSet[AsyncGenerator[T, None]] = WeakSet()
        self._owned: list[AsyncGenerator[T, None]] | None = None

    @abstractmethod
    def _items(self) -> AsyncGenerator[T, None]:
        """Make one pass; releases in its `finally` what it made."""

    def __aiter__(self) -> AsyncIterator[T]:
        items = self._items()
        if self._owned is None:
            self._loose.add(items)
        else:
            self._owned.append(items)
        return items

    async def aclose(self) -> None:
        """Stop and release. Safe to call twice. Cancelling is put off until all is released."""
        running = [*self._loose, *(self._owned or ())]
        self._loose.clear()
        if self._owned is not None:
            self._owned.clear()
        for items in running:
            await items.aclose()

    async def __aenter__(self) -> Self:
        self._owned = []
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
