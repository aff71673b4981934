"""A transport for tests: answers from a script, no network."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

from vimlib._repr import robust
from vimlib._transport.base import EncodedCall, Reply

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from vimlib._secret import Secret

    Answer = (
        bytes
        | Exception
        | Callable[[EncodedCall], "bytes | Exception | Awaitable[bytes | Exception]"]
    )


class ScriptedTransport:
    """Answers calls from a script: bytes of a reply, an exception, or a function of the call.

    `script` maps a method's wire name to one answer, used for ever, or to a list, used up in order.
    `calls` lists the calls sent. A method without an answer raises `LookupError`.
    """

    def __init__(
        self,
        script: dict[str, Answer | list[Answer]],
        *,
        host: str = "scripted:443",
        cookie: Secret | None = None,
    ) -> None:
        self._script = {name: list(a) if isinstance(a, list) else a for name, a in script.items()}
        self._host = host
        self._cookie = cookie
        self.calls: list[EncodedCall] = []
        self.closed = False

    @property
    def host(self) -> str:
        """`host:port`, made up."""
        return self._host

    def count(self, *methods: str) -> int:
        """Return how many calls of these methods were sent."""
        return sum(call.method in methods for call in self.calls)

    async def exchange(self, call: EncodedCall) -> Reply:
        """Answer from the script."""
        self.calls.append(call)
        await asyncio.sleep(0)  # as a real exchange would, let others run
        call.credential()  # as a real one does when it writes the request
        answer = self._next(call.method)
        if callable(answer):
            made = answer(call)
            answer = made if isinstance(made, bytes | Exception) else await made
        if isinstance(answer, Exception):
            raise answer
        if self._cookie is not None and call.on_cookie is not None:
            call.on_cookie(self._cookie)
        call.receive(answer)
        return Reply(200, len(answer))

    def _next(self, method: str) -> Answer:
        try:
            answer = self._script[method]
        except KeyError:
            raise LookupError(f"the script has no reply to {method}") from None
        if isinstance(answer, list):
            if not answer:
                raise LookupError(f"the script has no more replies to {method}")
            return answer.pop(0)
        return answer

    async def aclose(self) -> None:
        """Do nothing but remember it."""
        self.closed = True

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    @robust
    def __repr__(self) -> str:
        return f"<ScriptedTransport {self._host}, {len(self.calls)} calls>"
