"""The tokens of an image service: sent with each request, and renewed once where one is refused."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from vimdriver._images.http import named
from vimdriver.errors import SourceRefusedError
from vimlib._secret import Secret, forgetting
from vimlib.errors import UsageError

if TYPE_CHECKING:
    import aiohttp
    from yarl import URL

    from vimdriver._images.body import Ask
    from vimdriver._images.http import HttpClient

TokenSource: TypeAlias = Callable[[bool], Awaitable[str]]
"""Returns a token; called with True to get a new one after the last was refused."""

T = TypeVar("T")


class Tokens:
    """The tokens of one service.

    Args:
        token: A token, a function that returns tokens, or None for a service without auth.
        service: A function that returns tokens of a service user, or None; see `Glance`.
    """

    def __init__(self, token: str | TokenSource | None, service: TokenSource | None = None) -> None:
        self._token = Secret(token) if isinstance(token, str) else token
        self._service = service
        del token

    async def headers(self, *, fresh: bool = False) -> dict[str, Secret]:
        """Return the headers that authenticate a request.

        Raises:
            DriverError: No token could be obtained.
            UsageError: The token contains characters that HTTP does not allow.
        """
        if self._token is None:
            return {}
        found = {"X-Auth-Token": await _ready(self._token, fresh)}
        if self._service is not None:
            found["X-Service-Token"] = await _ready(self._service, fresh)
        return found

    async def authorized(self, ask: Callable[[dict[str, Secret]], Awaitable[T]], image: str) -> T:
        """Call `ask` with headers; call it again with a new token if the service refuses the first."""
        try:
            return await ask(await self.headers())
        except SourceRefusedError as error:
            if error.status != 401 or not (callable(self._token) or self._service):
                raise named(error, image) from None
        try:
            return await ask(await self.headers(fresh=True))
        except SourceRefusedError as error:
            raise named(error, image) from None


def asks(client: HttpClient, tokens: Tokens, url: URL, image: str) -> Ask:
    """Return the function that sends a request for the bytes of an image."""

    async def ask(stack: AsyncExitStack, more: Mapping[str, str]) -> aiohttp.ClientResponse:
        async def authorized(headers: dict[str, Secret]) -> aiohttp.ClientResponse:
            return await stack.enter_async_context(
                client.request("GET", url, image=image, headers={**headers, **more})
            )

        return await tokens.authorized(authorized, image)

    return ask


async def _ready(source: Secret | TokenSource, fresh: bool) -> Secret:
    """Return a token as a header may have it; see `Tokens.headers`."""
    if isinstance(source, Secret):
        token = source
    else:
        with forgetting():  # frames of the source hold a token, or the password it comes from
            token = Secret(await source(fresh))
    # RFC 9110, 5.5: the valid field values, without those that only some servers accept.
    if not re.fullmatch(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?", token.reveal()):
        raise UsageError(
            "the token of the image service must be 1 or more printable ASCII characters",
            hint="Check OS_TOKEN, for example for a trailing line break.",
        )
    return token
