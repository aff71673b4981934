"""What an image source is: the protocol and its value types. No I/O.

A source is one image. A store finds sources by what a person types: an id, a name, a path, a URL.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from vimdriver._images.wire import Wire

__all__ = [
    "CHUNK",
    "ImageBody",
    "ImageInfo",
    "ImageSource",
    "ImageStore",
    "WireSource",
]

CHUNK = 1 << 20
"""Bytes of a full chunk. 1 MiB: larger ones no longer save time, smaller ones cost thread hops."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageInfo:
    """What a source says about an image before it gives the bytes. Nothing here is proven."""

    id: str
    """Glance's id, else the base name of path or URL."""
    name: str
    size: int
    """Exact length of the body in bytes."""
    disk_format: str | None = None
    """Glance's word: `raw`, `vmdk`, `qcow2`, `iso`...; None where the source does not say."""
    container_format: str | None = None
    hash_algo: str | None = None
    """A `hashlib` name, lower case; None where the source has no hash."""
    hash_value: str | None = None
    """Lower-case hex; None exactly when `hash_algo` is."""
    virtual_size: int | None = None
    """Capacity of the disk in bytes, where the source knows it."""
    properties: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Other text properties, as `vmware_adaptertype`."""


class ImageBody(Protocol):
    """An open body: `info` is known, the bytes come when asked for, once."""

    @property
    def info(self) -> ImageInfo:
        """What the source said; `info.size` is what the body must have."""
        ...

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Give the chunks, each at most `CHUNK` bytes. Nothing is read ahead beyond one socket buffer.

        Raises:
            ImageSourceError: The source failed; the body is not whole.
        """
        ...


class ImageSource(Protocol):
    """One image that can be read."""

    async def info(self) -> ImageInfo:
        """Ask the source about the image, without its bytes. Cancelling loses nothing.

        Raises:
            ImageError: There is no such image, it is not ready, or the source failed.
        """
        ...

    def open(self) -> AbstractAsyncContextManager[ImageBody]:
        """Open the body. Leaving the context, by whatever way, closes connection or file.

        Raises:
            ImageError: There is no such image, it is not ready, or the source failed.
        """
        ...


@runtime_checkable
class WireSource(Protocol):
    """A source whose body is the answer to one plain HTTP request, for movers that own sockets."""

    async def info(self) -> ImageInfo:
        """As `ImageSource.info`."""
        ...

    async def wire(self, *, fresh: bool = False) -> Wire:
        """Give the request whose answer is the body; `fresh` after a 401, to get a new token.

        Raises:
            ImageError: The token could not be renewed.
        """
        ...


class ImageStore(Protocol):
    """Where sources are found."""

    def image(self, ref: str) -> ImageSource:
        """Give the source for `ref`. Does no I/O; a wrong `ref` shows itself on first use."""
        ...
