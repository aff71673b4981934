"""The protocols of image sources and their value types. No I/O.

A source is one image. A store finds sources by user input: an id, a name, a path, a URL.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from vimlib._text import bare_url, printable

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager


def shown_reference(ref: str) -> str:
    """Return what names an image as messages may show it: a URL without user info and query."""
    return printable(bare_url(ref) if "://" in ref else ref)


def masked_reference(ref: str) -> str:
    """Return what names an image in results: a URL without user info, and with `?...` for its query."""
    if "://" not in ref:
        return ref
    before, mark, fragment = ref.partition("#")
    return bare_url(ref) + ("?..." if "?" in before else "") + mark + fragment


CHUNK = 1 << 20
"""Bytes of a full chunk: 1 MiB. Larger chunks save no more time, smaller ones cost thread
switches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageInfo:
    """The properties that a source reports before it sends the bytes. They are not verified yet."""

    id: str
    """Glance's id, else the base name of path or URL."""
    name: str
    in_glance: bool = False
    """Whether `id` is Glance's."""
    size: int
    """Exact length of the body in bytes."""
    disk_format: str | None = None
    """Glance's `disk_format`: `raw`, `vmdk`, `qcow2`, `iso`...; None if the source reports none."""
    container_format: str | None = None
    hash_algo: str | None = None
    """A `hashlib` name, lower case; None if the source has no hash."""
    hash_value: str | None = None
    """Lower-case hex; None exactly when `hash_algo` is."""
    virtual_size: int | None = None
    """Capacity of the disk in bytes, if the source knows it."""
    min_disk: int = 0
    """GiB that a machine's disk must have."""
    min_ram: int = 0
    """MiB of memory that a machine must have."""
    properties: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Other text properties, as `vmware_adaptertype`."""


class ImageBody(Protocol):
    """An open body: `info` is known, the bytes are read on demand, once."""

    @property
    def info(self) -> ImageInfo:
        """The properties that the source reported; the body must have `info.size` bytes."""
        ...

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Iterate over the chunks, each at most `CHUNK` bytes. Reads ahead one socket buffer at
        most.

        Raises:
            ImageSourceError: The source failed; the body is incomplete.
        """
        ...


class ImageSource(Protocol):
    """One readable image."""

    async def info(self) -> ImageInfo:
        """Read the image's properties, without its bytes. Cancelling leaves nothing behind.

        Raises:
            ImageError: The image does not exist or is not ready, or the source failed.
        """
        ...

    def open(self) -> AbstractAsyncContextManager[ImageBody]:
        """Open the body. Leaving the context in any way closes the connection or file.

        Raises:
            ImageError: The image does not exist or is not ready, or the source failed.
        """
        ...


class ImageParts(Protocol):
    """An open image that is read from any offset. All its parts are of the same bytes."""

    @property
    def info(self) -> ImageInfo:
        """The properties that the source reported."""
        ...

    def read(self, start: int, stop: int) -> AsyncGenerator[bytes]:
        """Yield the bytes from `start` up to `stop`, in chunks of at most `CHUNK` bytes.

        Closing the generator releases its connection.

        Raises:
            SourceRangeError: The source sends no parts, or proves not that they are of the same bytes.
            ImageSourceError: The source failed, or the image changed.
        """
        ...


@runtime_checkable
class RangedSource(ImageSource, Protocol):
    """A source that can be read from any offset: a file, a URL, Glance, a datastore."""

    def parts(self) -> AbstractAsyncContextManager[ImageParts]:
        """Open the image. Leaving the context in any way closes connections and files.

        Raises:
            ImageError: The image does not exist or is not ready, or the source failed.
        """
        ...


class ImageStore(Protocol):
    """Finds sources by reference."""

    def image(self, ref: str) -> ImageSource:
        """Return the source of `ref`. Does no I/O; an invalid `ref` fails on first use."""
        ...


class ImageTarget(Protocol):
    """Takes new images."""

    def new_image(
        self, name: str, *, properties: Mapping[str, str], visibility: str = "private"
    ) -> AbstractAsyncContextManager[str]:
        """Make an image without bytes and hold it: any exception of the block deletes it. Yields its id."""
        ...

    async def fill(self, image: str, body: AsyncIterable[bytes]) -> None:
        """Upload the bytes of a new image. Raises `ImageSourceError`."""
        ...

    async def find(self, ref: str) -> ImageInfo:
        """Return the properties of an image that is active. Raises `ImageError`."""
        ...
