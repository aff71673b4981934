"""Images at plain http(s) URLs. The only module that translates aiohttp's errors into the driver's.

It follows no redirects, stores no cookies, reads no proxy or netrc from the environment and
decompresses no bodies.
"""

from __future__ import annotations

import asyncio
import base64
import re
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

import aiohttp
from yarl import URL

from vimdriver._images.source import CHUNK, ImageInfo
from vimdriver.errors import (
    ImageError,
    ImageNotFoundError,
    ImageSizeError,
    SourceProtocolError,
    SourceRefusedError,
    SourceStalledError,
    SourceUnreachableError,
    SourceUnsizedError,
    SourceUntrustedError,
)
from vimlib._repr import robust
from vimlib._secret import Secret, forgetful, forgetting, masking, reveal, secrets_of
from vimlib._shield import finish
from vimlib._text import bare_url, printable
from vimlib._transport.base import Timeouts
from vimlib._transport.pace import Breach, Deadline, Pace
from vimlib.errors import ClosedError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

_READ_BUFFER: Final = 128 << 10
"""Bytes that aiohttp reads ahead per stream; at most twice this."""
_MAX_DOCUMENT: Final = 1 << 20
"""Maximum bytes of a JSON response. A page of Glance's list is below 100 KiB."""
_EXCERPT: Final = 200


class HttpClient:
    """A connection pool for image sources. Use it with `async with`; leaving closes all sockets.

    Args:
        ca: PEM file to trust instead of the system's authorities.
        connect_timeout: Seconds for name resolution, connection and handshake.
        stall_timeout: Seconds without a byte from the source after which a request fails.
        timeouts: Other limits: `call` for the head of a response and for a whole document, `rate`
            over `window` and `transfer` for an image. Retry-After is not followed.

    Raises:
        UsageError: On entering, if `ca` cannot be read.
    """

    def __init__(
        self,
        *,
        ca: Path | str | None = None,
        connect_timeout: float = 30.0,
        stall_timeout: float = 60.0,
        timeouts: Timeouts | None = None,
    ) -> None:
        self.timeouts = timeouts or Timeouts()
        self._ca = ca
        self.connect_timeout = connect_timeout
        self.stall_timeout = stall_timeout
        self._session: aiohttp.ClientSession | None = None
        self._tls: ssl.SSLContext | None = None

    async def __aenter__(self) -> Self:
        try:
            # blocking: reads files
            self._tls = await asyncio.to_thread(ssl.create_default_context, cafile=self._ca)
        except OSError as error:  # ssl.SSLError is an OSError
            reason = (
                "it contains no PEM certificate"
                if isinstance(error, ssl.SSLError)
                else error.strerror
            )
            raise UsageError(
                f"cannot read CA certificates from {printable(str(self._ca))!r}: {reason}",
                hint="Give a PEM file with --glance-ca.",
            ) from None
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=self._tls, limit=0),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            read_bufsize=_READ_BUFFER,
            skip_auto_headers=("User-Agent",),
            timeout=aiohttp.ClientTimeout(
                total=None,
                connect=self.connect_timeout,
                sock_connect=self.connect_timeout,
                sock_read=self.stall_timeout,
            ),
        )
        return self

    async def __aexit__(self, *exc: object) -> None:
        session, self._session = self._session, None
        if session is not None:
            await finish(session.close(), what="closing of image connections")

    @asynccontextmanager
    async def request(
        self,
        method: str,
        url: URL,
        *,
        image: str,
        headers: Mapping[str, str | Secret] | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send one request without a body and yield the response if its status is below 300.

        Cancelling closes the connection.

        Raises:
            SourceUnreachableError: No connection; `SourceUntrustedError` if TLS failed.
            SourceRefusedError: Status 300 or above.
            SourceStalledError: No response in time.
            SourceProtocolError: The response is not valid HTTP.
        """
        sent = secrets_of(headers or {}, url.raw_query_string)
        # Tokens and signed URLs, also in the frames of aiohttp; servers repeat them in error pages.
        with forgetting(), masking(sent):
            async with self._request(method, url, image, headers or {}) as answer:
                yield answer
            return

    @asynccontextmanager
    async def _request(
        self, method: str, url: URL, image: str, headers: Mapping[str, str | Secret]
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        if self._session is None:
            raise ClosedError("the image client is not open", hint="Use it with `async with`.")
        ask = {"Accept-Encoding": "identity"}
        ask |= {name: reveal(value) for name, value in headers.items()}
        host = f"{url.host}:{url.port}"
        async with self._translated(host, image):
            answer = await self._session.request(method, url, headers=ask, allow_redirects=False)
        # Errors of the block itself pass untranslated: they may be the target's.
        async with answer:
            async with self._translated(host, image):
                await _refuse_failure(answer, image)
            yield answer

    @asynccontextmanager
    async def _translated(self, host: str, image: str) -> AsyncIterator[None]:
        """Bound the block by `Timeouts.call`, and translate aiohttp's errors into ours.

        Their arguments may contain the request with its token, so only the operating system's text
        is kept.
        """
        limit = asyncio.timeout(self.timeouts.call)
        try:
            async with limit:
                yield
        except ImageError:
            raise
        except (aiohttp.ClientConnectorCertificateError, aiohttp.ClientSSLError) as error:
            reason = str(error.__cause__ or error.os_error)
            raise SourceUntrustedError(host=host, reason=reason, image=image) from None
        except aiohttp.ConnectionTimeoutError:
            reason = f"no connection within {self.connect_timeout:g} s"
            raise SourceUnreachableError(host=host, reason=reason, image=image) from None
        except TimeoutError:
            seconds, rule = self.stall_timeout, "read"
            if limit.expired():
                seconds, rule = self.timeouts.call, "call"
            raise SourceStalledError(seconds=seconds, received=0, rule=rule, image=image) from None
        except aiohttp.ClientConnectionError as error:
            said = error.strerror if isinstance(error, OSError) else None
            raise SourceUnreachableError(
                host=host, reason=said or "the connection was closed", image=image
            ) from None
        except aiohttp.InvalidURL:
            raise UsageError("the URL is malformed") from None
        except aiohttp.ClientError as error:
            raise SourceProtocolError(detail=type(error).__name__, image=image) from None

    async def document(
        self, url: URL, *, image: str, headers: Mapping[str, str | Secret] | None = None
    ) -> bytes:
        """GET a small document. Cancelling leaves nothing behind.

        Raises:
            ImageSourceError: As `request`; `SourceProtocolError` if it is larger than 1 MiB.
        """
        with forgetting():
            return await self._document(url, image, headers)

    async def _document(
        self, url: URL, image: str, headers: Mapping[str, str | Secret] | None
    ) -> bytes:
        async with self.request("GET", url, image=image, headers=headers) as answer:
            encoding = answer.headers.get("Content-Encoding", "identity")
            if encoding != "identity":
                raise encoded(encoding, image)
            body = bytearray()
            async with self._translated(f"{url.host}:{url.port}", image):
                async for piece in answer.content.iter_any():
                    body += piece
                    if len(body) > _MAX_DOCUMENT:
                        raise SourceProtocolError(
                            detail="the document must have at most 1 MiB", image=image
                        )
            return bytes(body)


async def _refuse_failure(answer: aiohttp.ClientResponse, image: str) -> None:
    if answer.status < 300:
        return
    if answer.status < 400:
        location = answer.headers.get("Location", "nowhere")
        raise refusal(answer.status, image, location=bare_url(location))
    excerpt = await answer.content.read(_EXCERPT)
    raise refusal(answer.status, image, excerpt=excerpt.decode(errors="replace"))


_REFUSAL_HINTS = {
    401: "The token is missing or has expired: get a new one (OS_CLOUD renews it automatically).",
    403: "The token's roles do not allow access to this image.",
    404: "Check the address.",
}


def refusal(
    status: int, image: str, *, excerpt: str = "", location: str = ""
) -> SourceRefusedError:
    """Return the error for an HTTP status that is not a success."""
    hint = _REFUSAL_HINTS.get(status, "Ask the operator of the image service." * (status >= 500))
    if location:
        hint = "Give the final address if you trust it."
    return SourceRefusedError(
        status=status,
        image=image,
        excerpt=excerpt,
        location=location,
        hint=hint,
        retryable=status in (408, 429, 502, 503, 504),
    )


def encoded(encoding: str, image: str) -> SourceProtocolError:
    """Return the error for a body with a Content-Encoding, which no request accepts."""
    return SourceProtocolError(
        detail=f"Content-Encoding must be identity, got {encoding!r}",
        image=image,
        hint="Bypass the proxy that compresses, between here and the source.",
    )


def named(error: SourceRefusedError, image: str) -> ImageError:
    """Return the error of a refused image request: 404 and 410 mean that it does not exist."""
    if error.status not in (404, 410):
        return error
    hint = "Check the address." if "://" in image else None
    return ImageNotFoundError(image=image, hint=hint)


class HttpBody:
    """The body of a 200 response; checks the promised length."""

    def __init__(self, info: ImageInfo, answer: aiohttp.ClientResponse, client: HttpClient) -> None:
        check_answer(info, answer.status, answer.headers)
        self.info = info
        self._content = answer.content  # not the answer, which has its request with the token
        self._timeouts = client.timeouts
        self._stall = client.stall_timeout

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """See `ImageBody`."""
        info, timeouts = self.info, self._timeouts
        clock = asyncio.get_running_loop().time
        end = Deadline.of(None, timeouts.transfer, "transfer", clock())
        pace = Pace(self._stall, "read", rate=timeouts.rate, window=timeouts.window, end=end)
        while True:
            began, chunk = clock(), b""
            limit = asyncio.timeout(pace.left(began))
            breach: Breach | None = None
            try:
                async with limit:
                    chunk = await self._content.read(CHUNK)
                    if not chunk:
                        return
            except TimeoutError:
                if not limit.expired():  # aiohttp's own
                    breach = Breach("read", self._stall, pace.bytes)
            except aiohttp.ClientError:
                # The connection ended before the Content-Length was reached, or a chunk is malformed.
                raise ImageSizeError(
                    expected=info.size, received=pace.bytes, image=info.id
                ) from None
            breach = breach or pace.add(len(chunk), clock() - began, clock())
            if breach is not None:
                raise SourceStalledError(
                    seconds=breach.seconds,
                    received=breach.bytes,
                    rule=breach.rule,
                    image=info.id,
                )
            if chunk:
                yield chunk


def check_answer(info: ImageInfo, status: int, headers: Mapping[str, str]) -> None:
    """Refuse a response whose head shows that its body is not the image. Header names in any case.

    Raises:
        ImageSourceError: The body is encoded or has another length, or the status is not 200.
    """
    if status != 200:
        raise SourceProtocolError(detail=f"the status must be 200, got {status}", image=info.id)
    encoding = headers.get("Content-Encoding", headers.get("content-encoding", "identity"))
    if encoding.lower() != "identity":
        raise encoded(encoding, info.id)
    length = _length(headers)
    if length is None or length == info.size:
        return
    raise ImageSizeError(expected=info.size, received=length, image=info.id)


def _length(headers: Mapping[str, str]) -> int | None:
    text = headers.get("Content-Length", headers.get("content-length"))
    return int(text) if text is not None and re.fullmatch(r"[0-9]{1,19}", text) else None


@dataclass(frozen=True, slots=True)
class _Address:
    text: Secret
    """The URL without userinfo and fragment; its query may be a signature."""
    headers: Mapping[str, Secret]
    hash_algo: str | None
    hash_value: str | None

    @property
    def url(self) -> URL:
        """The URL, for one request: no variable of a frame that lasts may hold it."""
        return URL(self.text.reveal())


class HttpImage:
    """One image at an http(s) URL.

    A fragment `#sha256=HEX` (or another algorithm) is the expected hash of the bytes. Userinfo is
    sent as Basic authentication, to that server only.
    """

    def __init__(self, client: HttpClient, url: str) -> None:
        self._client = client
        try:
            with forgetting():
                self._address = _parse(url)
        finally:
            del url
        self._info: ImageInfo | None = None
        self._shown = str(self._address.url.with_query(None))

    @robust
    def __repr__(self) -> str:
        return f"HttpImage({self._shown!r})"

    @forgetful
    async def info(self) -> ImageInfo:
        """See `ImageSource.info`: a HEAD, then a GET without its body if HEAD lacks the length."""
        if self._info is None:
            try:
                self._info = await self._ask("HEAD")
            except (SourceRefusedError, SourceUnsizedError) as error:
                # RFC 9110, 9.3.2: HEAD may omit the Content-Length that a GET would have.
                if isinstance(error, SourceRefusedError) and error.status not in (403, 405, 501):
                    raise
                self._info = await self._ask("GET")
        return self._info

    async def _ask(self, method: str) -> ImageInfo:
        address = self._address
        try:
            async with self._client.request(
                method, address.url, image=self._shown, headers=address.headers
            ) as answer:
                encoding = answer.headers.get("Content-Encoding", "identity")
                if encoding.lower() != "identity":
                    raise encoded(encoding, self._shown)
                size = _length(answer.headers)
                if method == "GET":
                    answer.close()
        except SourceRefusedError as error:
            raise named(error, self._shown) from None
        if size is None:
            raise SourceUnsizedError(image=self._shown)
        # A quoted slash does not separate parts of the path: the name follows the last plain one.
        name = address.url.name.rpartition("/")[2] or address.url.host or "image"
        return ImageInfo(
            id=name,
            name=name,
            size=size,
            hash_algo=address.hash_algo,
            hash_value=address.hash_value,
        )

    @asynccontextmanager
    async def open(self) -> AsyncIterator[HttpBody]:
        """See `ImageSource.open`."""
        with forgetting():
            async with self._open() as body:
                yield body

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[HttpBody]:
        info = await self.info()
        address = self._address
        async with AsyncExitStack() as stack:
            try:
                answer = await stack.enter_async_context(
                    self._client.request(
                        "GET", address.url, image=self._shown, headers=address.headers
                    )
                )
            except SourceRefusedError as error:
                raise named(error, self._shown) from None
            yield HttpBody(info, answer, self._client)


class HttpImages:
    """The store of images at URLs."""

    def __init__(self, client: HttpClient) -> None:
        self._client = client

    def image(self, ref: str) -> HttpImage:
        """Return the source at the URL `ref`.

        Raises:
            UsageError: It is not an http(s) URL.
        """
        try:
            return HttpImage(self._client, ref)
        finally:
            del ref


def _parse(text: str) -> _Address:
    try:
        url = URL(text)
    except ValueError:
        raise UsageError("the image URL is malformed") from None
    if url.scheme not in ("http", "https") or not url.host:
        raise UsageError("an image URL must begin with http:// or https:// and name a host")
    headers: dict[str, Secret] = {}
    if url.user is not None:
        secret = base64.b64encode(f"{url.user}:{url.password or ''}".encode()).decode()
        headers["Authorization"] = Secret(f"Basic {secret}")
    algo = value = None
    if url.fragment:
        match = re.fullmatch(r"(?P<algo>[a-z0-9_-]+)=(?P<value>[0-9a-fA-F]+)", url.fragment)
        if match is None:
            raise UsageError("the fragment of an image URL must be its hash, as #sha256=HEX")
        algo, value = match["algo"], match["value"].lower()
    shown = Secret(str(url.with_user(None).with_fragment(None)))
    return _Address(shown, headers, algo, value)
