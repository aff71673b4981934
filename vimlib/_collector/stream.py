"""What `collect`, `watch` and `events` return: something to iterate that owns things on the server."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar
from weakref import WeakSet

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

T = TypeVar("T")


class Pass(Generic[T]):
    """One pass over a stream: an iterator that may be closed while somebody waits for its next item."""

    def __init__(self, items: AsyncGenerator[T, None]) -> None:
        # The one reference to it: when this goes, the event loop closes the generator.
        self._items = items
        self._reader: asyncio.Task[Any] | None = None
        self._idle: asyncio.Event | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        """Return the next item. Cancelling ends the pass and releases its objects on the server."""
        self._reader = asyncio.current_task()
        try:
            return await self._items.__anext__()
        except asyncio.CancelledError:
            if self._idle is None or self._reader is None:
                raise
            # `aclose` cancelled the wait, not the owner of the task: the stream has ended.
            self._reader.uncancel()
            raise StopAsyncIteration from None
        finally:
            self._reader = None
            if self._idle is not None:
                self._idle.set()

    async def aclose(self) -> None:
        """End the pass and release its objects on the server; a pending `__anext__` ends the iteration."""
        if self._reader is not None:
            self._idle = asyncio.Event()
            self._reader.cancel()
            await self._idle.wait()
        await self._items.aclose()


class Stream(ABC, Generic[T]):
    """An asynchronous iterable that releases its objects on the server on every exit.

    ``async for`` alone is enough: leaving the loop, an error in it and cancelling release
    everything, as soon as the event loop gets to it. Inside ``async with stream:`` it is done
    when the block ends, before anything else runs.
    """

    def __init__(self) -> None:
        # Weak outside of a block: an iterator that its loop has dropped is closed by the event
        # loop, and must not be kept by us.
        self._loose: WeakSet[Pass[T]] = WeakSet()
        self._owned: list[Pass[T]] | None = None

    @abstractmethod
    def _items(self) -> AsyncGenerator[T, None]:
        """Make one pass; its `finally` releases the objects on the server."""

    def __aiter__(self) -> Pass[T]:
        items = Pass(self._items())
        if self._owned is None:
            self._loose.add(items)
        else:
            self._owned.append(items)
        return items

    async def aclose(self) -> None:
        """Stop and release. Safe to call twice, and while another task waits for the next item.

        Cancelling is put off until all is released.
        """
        running = [*self._loose, *(self._owned or ())]
        self._loose.clear()
        if self._owned is not None:
            self._owned.clear()
        for items in running:
            await items.aclose()

    async def __aenter__(self) -> Self:
        self._owned = []
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()
