"""Image sources: Glance, a URL, a file here or on a host, chosen by the form of the reference.

================================  =======================================
`http://...`, `https://...`       that URL
`[datastore1] folder/file`        that file on a host
has a `/`, or no Glance is given  a local file
everything else                   Glance: an id or a name
================================  =======================================
"""

from __future__ import annotations

import os
import re
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from vimdriver._cli.flags import ABOVE_0
from vimlib.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from vimdriver._cli.connection import ConnectionOptions
    from vimdriver._images.glance import Glance
    from vimdriver._images.glance_v1 import GlanceV1
    from vimdriver._images.http import HttpClient
    from vimdriver._images.source import ImageSource, ImageStore
    from vimdriver._images.tokens import TokenSource

_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")

Kind = Literal["url", "datastore", "file", "glance"]


def kind_of(ref: str, *, glance: bool) -> Kind:
    """Determine the source of the image `ref`; `glance`: whether a Glance was given.

    Raises:
        UsageError: It is an image id, and no Glance was given; or a URL that is not http or https.
    """
    if scheme := re.match(r"([a-z][a-z0-9+.-]*)://", ref, re.IGNORECASE):
        if scheme[1].lower() not in ("http", "https"):
            raise UsageError(
                f"the URL of an image must begin with http:// or https://, got {scheme[0]}",
                hint="Download it first, and push the file.",
            )
        return "url"
    if on_host(ref):
        return "datastore"
    if "/" in ref:
        return "file"
    if glance:
        return "glance"
    if _UUID.fullmatch(ref):
        raise UsageError(
            f"an image id requires an image service, got {ref}",
            hint="Give --glance URL, or set OS_CLOUD.",
        )
    return "file"


def on_host(ref: str) -> bool:
    """Return whether `ref` is a path on a datastore."""
    return ref.startswith("[")


@Parameter(name="*", group="Image sources")
@dataclass(frozen=True, kw_only=True)
class Sources:
    """Options that select image sources."""

    glance: str | None = None
    """URL of Glance; its token is read from OS_TOKEN."""

    glance_api: Literal["2", "1", "bexar"] = "2"
    """Version of Glance's API; `bexar` is version 1 before May 2011, without /v1 in its paths. Version 1 only reads."""

    glance_ca: Path | None = None
    """File with CA certificates (PEM) for Glance and https URLs."""

    os_cloud: str | None = None
    """Cloud in clouds.yaml that provides Glance's URL and tokens. [OS_CLOUD]"""

    stall_timeout: Annotated[float, ABOVE_0] = 60.0
    """Seconds without data after which a source counts as stalled."""

    source_proxy: str | None = None
    """Proxy to image sources: `http://HOST:PORT`, or `environment` for HTTP_PROXY, HTTPS_PROXY and NO_PROXY."""

    private_redirects: bool = False
    """Follow redirects of an image's URL to hosts with private addresses too."""

    source_host: str | None = None
    """URL of the host whose datastores `[datastore] path` names; the default is the target. It gets the same user and password."""

    source_pin: str | None = None
    """Pin of the certificate of --source-host."""

    def _client(self, ca: Path | str | None) -> HttpClient:
        from vimdriver._images.http import HttpClient

        return HttpClient(
            ca=ca,
            stall_timeout=self.stall_timeout,
            proxy=self.source_proxy,
            private_redirects=self.private_redirects,
        )

    @asynccontextmanager
    async def open(
        self,
        refs: Sequence[str],
        environ: Mapping[str, str] = os.environ,
        *,
        connection: ConnectionOptions | None = None,
    ) -> AsyncIterator[ImageStore]:
        """Yield a store that finds `refs`; leaving closes its connections, and logs out of `source_host`.

        Args:
            refs: What the user wrote.
            environ: Variables.
            connection: Of the target; None for a command that has none.

        Raises:
            UsageError: A reference is invalid, or two Glances were given.
            DriverError: The cloud cannot be reached.
            VimlibError: The login to the source's host failed.
        """
        cloud = self._cloud(environ)
        kinds = {ref: kind_of(ref, glance=bool(self.glance or cloud)) for ref in refs}
        async with AsyncExitStack() as stack:
            stores: dict[Kind, ImageStore] = {}
            wanted = set(kinds.values())
            if "file" in wanted:
                from vimdriver._images.local import LocalImages

                stores["file"] = LocalImages()
            if "url" in wanted:
                from vimdriver._images.http import HttpImages

                client = self._client(self.glance_ca)
                stores["url"] = HttpImages(await stack.enter_async_context(client))
            if "datastore" in wanted:
                from vimdriver._images.stored import DatastoreImages

                if connection is None:
                    raise UsageError(
                        "the image must be a local file, a URL or in Glance, got a path on a datastore",
                        hint="Get it with: vimctl datastore get.",
                    )
                if self.source_host is not None:
                    connection = connection.to(self.source_host, self.source_pin)
                images = DatastoreImages(connection.client())
                stores["datastore"] = await stack.enter_async_context(images)
            if "glance" in wanted:
                stores["glance"] = await self._glance(cloud, environ, stack)
            yield _Stores(kinds, stores)

    @asynccontextmanager
    async def opened_glance(self, environ: Mapping[str, str] = os.environ) -> AsyncIterator[Glance]:
        """Yield the Glance that was given; leaving closes its connections.

        Raises:
            UsageError: None was given, or two were.
            DriverError: The cloud cannot be reached.
        """
        from vimdriver._images.glance import Glance

        cloud = self._cloud(environ)
        if not (self.glance or cloud):
            raise UsageError(
                "an image service is required", hint="Give --glance URL, or set OS_CLOUD."
            )
        async with AsyncExitStack() as stack:
            found = await self._glance(cloud, environ, stack)
            if not isinstance(found, Glance):
                raise UsageError(
                    f"--glance-api must be 2 to write images, got {self.glance_api}",
                    hint="Omit it, or upload the image by other means.",
                )
            yield found

    def _cloud(self, environ: Mapping[str, str]) -> str | None:
        if self.glance and self.os_cloud:
            raise UsageError(
                "--glance and --os-cloud are mutually exclusive", hint="Give one of them."
            )
        return None if self.glance else self.os_cloud or environ.get("OS_CLOUD")

    async def _glance(
        self, cloud: str | None, environ: Mapping[str, str], stack: AsyncExitStack
    ) -> Glance | GlanceV1:
        from vimdriver._images.glance import Glance
        from vimdriver._images.glance_v1 import GlanceV1

        ca: Path | str | None = self.glance_ca
        token: str | TokenSource | None
        if cloud:
            from vimdriver._images.openstack import open_cloud

            found = await open_cloud(cloud)
            url, token, ca = found.glance_url, found.token, ca or found.ca
        else:
            assert self.glance is not None
            url, token = self.glance, environ.get("OS_TOKEN") or None
        client = await stack.enter_async_context(self._client(ca))
        if self.glance_api == "2":
            return Glance(client, url, token=token)
        return GlanceV1(client, url, token=token, api=self.glance_api)


SOURCES = Sources()
"""The default of a command's parameter: files and URLs, and Glance if OS_CLOUD names one."""


class _Stores:
    """Several stores as one; `kind_of` selects the store of each reference."""

    def __init__(self, kinds: Mapping[str, Kind], stores: Mapping[Kind, ImageStore]) -> None:
        self._kinds = kinds
        self._stores = stores

    def image(self, ref: str) -> ImageSource:
        """See `ImageStore.image`."""
        return self._stores[self._kinds[ref]].image(ref)
