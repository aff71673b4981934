"""Events of machines, as the host reports them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vimdriver._instances import machine
from vimlib import vim25
from vimlib._collector.stream import Stream
from vimlib._events import check_since
from vimlib._repr import robust

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from datetime import datetime

    from vimlib._client import Client


class InstanceEvents(Stream[vim25.Event]):
    """The result of `ESXDriver.events`: ``async for event in driver.events(...)``.

    Each iteration looks the machine up again. Leaving the loop releases its objects on the host; see
    `Stream`.

    Raises:
        NotFoundError: While iterating: the machine does not exist.
        UsageError: `since` has no time zone.
        TransportError: While iterating: the host was away for longer than the client's patience.
    """

    def __init__(
        self, client: Client, ref: str | None, since: datetime | None, *, follow: bool
    ) -> None:
        super().__init__()
        check_since(since)
        self._client = client
        self._ref = ref
        self._since = since
        self._follow = follow

    async def _items(self) -> AsyncGenerator[vim25.Event, None]:
        spec = None
        if self._ref is not None:
            spec = vim25.EventFilterSpec(
                entity=vim25.EventFilterSpecByEntity(
                    entity=await machine.find(self._client, self._ref),
                    recursion=vim25.EventFilterSpecRecursionOption.self_,
                )
            )
        found = self._client.events(spec, since=self._since, follow=self._follow)
        async with found as stream:
            async for event in stream:
                yield event

    @robust
    def __repr__(self) -> str:
        return f"<InstanceEvents of {self._ref or self._client.host}>"
