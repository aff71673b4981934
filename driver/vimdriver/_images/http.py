"""Images at plain http(s) URLs. The only module that translates aiohttp's errors into the driver's.

It stores no cookies, reads no netrc, decompresses no bodies, and follows redirects and takes proxies of the
environment only where it is told to.
"""

from __future__ import annotations

import asyncio
import base64
import re
import socket
import ssl
from collections.abc import AsyncIterable, AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from vimdriver._images.body import HttpBody, HttpParts, ReadShare, announced, check_coding
from vimdriver._images.ovf_set import OVFSet, is_descriptor
from vimdriver._images.redirects import Redirects, is_public, private
from vimdriver._images.source import ImageInfo
from vimdriver.errors import (
    ImageError,
    ImageNotFoundError,
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
from vimlib._transport.address import Address
from vimlib._transport.base import Timeouts
from vimlib._transport.proxy import ENVIRONMENT, find_proxy, parse_proxy
from vimlib.errors import ClosedError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from vimdriver._images.body import Ask
    from vimlib._transport.proxy import Proxy

_READ_BUFFER: Final = 64 << 10
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
        proxy: `http://[user:password@]host:port`, or `"environment"` to read HTTP_PROXY, HTTPS_PROXY
            and NO_PROXY; None asks all sources directly.
        private_redirects: Follow redirects of an image's URL to hosts with private addresses too.
            Behind a proxy, which resolves the names itself, they are only checked where they are numbers.

    Raises:
        UsageError: `proxy` is malformed; on entering, if `ca` cannot be read.
    """

    def __init__(
        self,
        *,
        ca: Path | str | None = None,
        connect_timeout: float = 30.0,
        stall_timeout: float = 60.0,
        timeouts: Timeouts | None = None,
        proxy: str | Secret | None = None,
        private_redirects: bool = False,
    ) -> None:
        try:
            self._proxy = None if proxy is None else Secret(proxy)
            if self._proxy not in (None, Secret(ENVIRONMENT)):
                parse_proxy(self._proxy.reveal())
        finally:
            del proxy
        self.private_redirects = private_redirects
        self.timeouts = timeouts or Timeouts()
        self._ca = ca
        self.connect_timeout = connect_timeout
        self.stall_timeout = stall_timeout
        self._session: aiohttp.ClientSession | None = None
        self._share = ReadShare()
        self._guarded: aiohttp.ClientSession | None = None
        """Connects to public addresses only."""

    async def __aenter__(self) -> Self:
        try:
            # blocking: reads files
            tls = await asyncio.to_thread(ssl.create_default_context, cafile=self._ca)
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
        self._session = self._open(aiohttp.TCPConnector(ssl=tls, limit=0))
        resolver = _PublicResolver()
        self._guarded = self._open(aiohttp.TCPConnector(ssl=tls, limit=0, resolver=resolver))
        return self

    def _open(self, connector: aiohttp.TCPConnector) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=connector,
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

    async def __aexit__(self, *exc: object) -> None:
        # One piece of work: a cancellation during the first one must not keep the other open.
        await finish(self._close(), what="closing of image connections")

    async def _close(self) -> None:
        sessions = [self._session, self._guarded]
        self._session = self._guarded = None
        for session in sessions:
            if session is not None:
                await session.close()

    @asynccontextmanager
    async def request(
        self,
        method: str,
        url: URL,
        *,
        image: str,
        headers: Mapping[str, str | Secret] | None = None,
        redirects: Redirects | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send one request without a body and yield the response if its status is below 300.

        Cancelling closes the connection.

        Args:
            method: GET or HEAD.
            url: Where to.
            image: The image, for errors.
            headers: A `Secret` is sent to the origin of the first URL alone.
            redirects: The redirects to follow; None refuses them.

        Raises:
            SourceUnreachableError: No connection; `SourceUntrustedError` if TLS failed.
            SourceRefusedError: Status 300 or above.
            SourceStalledError: No response in time.
            SourceProtocolError: The response is not valid HTTP.
        """
        headers = headers or {}
        sent = secrets_of(headers, url.raw_query_string)
        # Tokens and signed URLs, also in the frames of aiohttp; servers repeat them in error pages.
        with forgetting(), masking(sent):
            async with self._request(method, url, image, headers, redirects) as answer:
                further = None
                if redirects is not None:
                    location = answer.headers.get("Location")
                    further = redirects.after(url, answer.status, location, image)
                if further is None:
                    async with self._translated(f"{url.host}:{url.port}", image):
                        await _refuse_failure(answer, image)
                    yield answer
                    return
            async with self.request(
                method, further[0], image=image, headers=headers, redirects=further[1]
            ) as answer:
                yield answer

    async def send(
        self,
        method: str,
        url: URL,
        *,
        image: str,
        headers: Mapping[str, str | Secret],
        body: bytes | AsyncIterable[bytes] = b"",
    ) -> bytes:
        """Send one request with a body and return the response's, if its status is below 300.

        An iterable is sent chunked, for as long as it takes. Cancelling closes the connection. Raises as
        `document`.
        """
        # Tokens, also in the frames of aiohttp; servers repeat them in error pages.
        with forgetting(), masking(secrets_of(headers, url.raw_query_string)):
            async with (
                self._request(method, url, image, headers, None, body) as answer,
                self._translated(f"{url.host}:{url.port}", image),
            ):
                await _refuse_failure(answer, image)
                return await _whole(answer, image)

    @asynccontextmanager
    async def _request(
        self,
        method: str,
        url: URL,
        image: str,
        headers: Mapping[str, str | Secret],
        redirects: Redirects | None,
        body: bytes | AsyncIterable[bytes] | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        guarded = redirects is not None and redirects.guards(url)
        session = self._guarded if guarded else self._session
        if session is None:
            raise ClosedError("the image client is not open", hint="Use it with `async with`.")
        if redirects is not None:
            headers = redirects.headers(url, headers)
        ask = {"Accept-Encoding": "identity"}
        ask |= {name: reveal(value) for name, value in headers.items()}
        through: dict[str, Any] = {}
        if (proxy := self._proxy_to(url)) is not None:
            through["proxy"] = URL(proxy.address.origin)
            if proxy.authorization is not None:
                # A tunnel has a head of its own; without one the proxy reads the request's.
                login = {"Proxy-Authorization": proxy.authorization.reveal()}
                if url.scheme == "https":
                    through["proxy_headers"] = login
                else:
                    ask |= login
        if body is not None:
            through["data"] = body
        # A body takes as long as it takes; the answer to it has the stall timeout.
        patient = body is not None and not isinstance(body, bytes)
        async with self._translated(f"{url.host}:{url.port}", image, patient=patient):
            answer = await session.request(
                method, url, headers=ask, allow_redirects=False, **through
            )
        # Errors of the block itself pass untranslated: they may be the target's.
        async with answer:
            yield answer

    def _proxy_to(self, url: URL) -> Proxy | None:
        return find_proxy(self._proxy, Address(url.scheme, url.host or "", url.port or 0))

    @asynccontextmanager
    async def _translated(
        self, host: str, image: str, *, patient: bool = False
    ) -> AsyncIterator[None]:
        """Bound the block by `Timeouts.call`, unless it is `patient`, and translate aiohttp's errors into ours.

        Their arguments may contain the request with its token, so only the operating system's text
        is kept.
        """
        limit = asyncio.timeout(None if patient else self.timeouts.call)
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
        except aiohttp.ClientHttpProxyError as error:
            reason = f"the proxy answered {error.status}"
            raise SourceUnreachableError(host=host, reason=reason, image=image) from None
        except aiohttp.ClientConnectionError as error:
            if isinstance(getattr(error, "os_error", None), _PrivateAddressError):
                raise private(host, image) from None
            said = error.strerror if isinstance(error, OSError) else None
            raise SourceUnreachableError(
                host=host, reason=said or "the connection was closed", image=image
            ) from None
        except aiohttp.InvalidURL:
            raise UsageError("the URL is malformed") from None
        except aiohttp.ClientError as error:
            raise SourceProtocolError(detail=type(error).__name__, image=image) from None

    def body(self, info: ImageInfo, ask: Ask, stack: AsyncExitStack) -> HttpBody:
        """Return the body of an image, with the limits of this client; `open` it."""
        return HttpBody(info, ask, stack, **self._limits)

    def parts(self, info: ImageInfo, ask: Ask, *, fixed: bool) -> HttpParts:
        """Return the parts of an image, with the limits of this client; see `HttpParts`."""
        return HttpParts(info, ask, fixed=fixed, **self._limits)

    @property
    def _limits(self) -> dict[str, Any]:
        return {"stall": self.stall_timeout, "timeouts": self.timeouts, "share": self._share}

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
            check_coding(answer.headers, image)
            async with self._translated(f"{url.host}:{url.port}", image):
                return await _whole(answer, image)


class _PrivateAddressError(OSError):
    """A name whose addresses are all private."""


class _PublicResolver(AbstractResolver):
    """Resolves names to public addresses: nobody asked to go where a redirect leads."""

    def __init__(self) -> None:
        self._resolver = aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._resolver.resolve(host, port, family)
        public = [each for each in found if is_public(each["host"])]
        if not public:
            raise _PrivateAddressError("private address")
        return public

    async def close(self) -> None:
        await self._resolver.close()


async def _whole(answer: aiohttp.ClientResponse, image: str) -> bytes:
    """Return the body of a small response. Raises `SourceProtocolError` if it is larger than 1 MiB."""
    body = bytearray()
    async for piece in answer.content.iter_any():
        body += piece
        if len(body) > _MAX_DOCUMENT:
            raise SourceProtocolError(detail="the document must have at most 1 MiB", image=image)
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


def named(error: SourceRefusedError, image: str) -> ImageError:
    """Return the error of a refused image request: 404 and 410 mean that it does not exist."""
    if error.status not in (404, 410):
        return error
    hint = "Check the address." if "://" in image else None
    return ImageNotFoundError(image=image, hint=hint)


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

    @property
    def url(self) -> URL:
        """The URL without user and hash."""
        return self._address.url

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
                method,
                address.url,
                image=self._shown,
                headers=address.headers,
                redirects=self._redirects(),
            ) as answer:
                check_coding(answer.headers, self._shown)
                size = announced(answer.headers)
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
        """See `ImageSource.open`. Redirects are followed; see `redirects`."""
        with forgetting():
            async with self._open() as body:
                yield body

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[HttpBody]:
        info = await self.info()
        async with AsyncExitStack() as stack:
            body = self._client.body(info, self._get, stack)
            if await body.open() == 204:
                raise SourceProtocolError(
                    detail="the status must be 200, got 204", image=self._shown
                )
            yield body

    @asynccontextmanager
    async def parts(self) -> AsyncIterator[HttpParts]:
        """See `RangedSource.parts`. The server must send strong ETags and honour Range."""
        info = await self.info()
        with forgetting():
            yield self._client.parts(info, self._get, fixed=False)

    async def _get(self, stack: AsyncExitStack, more: Mapping[str, str]) -> aiohttp.ClientResponse:
        address = self._address
        try:
            return await stack.enter_async_context(
                self._client.request(
                    "GET",
                    address.url,
                    image=self._shown,
                    headers={**address.headers, **more},
                    redirects=self._redirects(),
                )
            )
        except SourceRefusedError as error:
            raise named(error, self._shown) from None

    def _redirects(self) -> Redirects:
        return Redirects(self._address.url.origin(), self._client.private_redirects)


class HttpImages:
    """The store of images at URLs."""

    def __init__(self, client: HttpClient) -> None:
        self._client = client

    def image(self, ref: str) -> HttpImage | OVFSet:
        """Return the source at the URL `ref`; that of an OVF descriptor has the files next to it too.

        Raises:
            UsageError: It is not an http(s) URL.
        """
        try:
            first = HttpImage(self._client, ref)
            name = first.url.name
            if not is_descriptor(name):
                return first
            given = Secret(ref)
        finally:
            del ref
        return OVFSet(
            name,
            lambda file: (
                first if file == name else HttpImage(self._client, _beside(given.reveal(), file))
            ),
        )


def _beside(ref: str, file: str) -> str:
    """Return the URL of a file next to another one, with its user and without its query."""
    try:
        return str(URL(ref).with_query(None).with_fragment(None).parent.joinpath(*file.split("/")))
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
