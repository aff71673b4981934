"""An OVF descriptor with its files next to it, as one image: the OVA that they would make, packed in the stream."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from vimdriver._images.formats.extents import SECTOR
from vimdriver._images.formats.manifest import LARGEST as LARGEST_MANIFEST
from vimdriver._images.formats.tar import members_size, tar_header
from vimdriver._images.hashing import new_hasher, verify
from vimdriver._images.ovf import LARGEST, read_ovf
from vimdriver._images.source import ImageInfo
from vimdriver.errors import ImageNotFoundError, ImageSizeError, ImageUnacceptableError
from vimlib._repr import robust

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from vimdriver._images.source import ImageSource

_SUFFIX: Final = ".ovf"
_END: Final = bytes(2 * SECTOR)


def is_descriptor(name: str) -> bool:
    """Return whether a file's name is that of an OVF descriptor."""
    return name.lower().endswith(_SUFFIX)


@dataclass(frozen=True, slots=True)
class _PackageFile:
    """A file of the package."""

    name: str
    size: int
    source: ImageSource | None
    data: bytes = b""
    """Its bytes, where `source` is None."""


class OVFSet:
    """A package of files. See `ImageSource`; the bytes are those of an OVA.

    Args:
        name: The base name of the descriptor.
        beside: Returns the source of a file by its path relative to the descriptor.
    """

    def __init__(self, name: str, beside: Callable[[str], ImageSource]) -> None:
        self._name = name
        self._beside = beside

    @robust
    def __repr__(self) -> str:
        return f"OVFSet({self._name!r})"

    async def info(self) -> ImageInfo:
        """See `ImageSource.info`. Reads the descriptor, the manifest, and the size of each file."""
        return self._info(await self._files())

    def _info(self, files: list[_PackageFile]) -> ImageInfo:
        name = self._name[: -len(_SUFFIX)] + ".ova"
        size = members_size((file.name, file.size) for file in files)
        return ImageInfo(id=name, name=name, size=size)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[_PackageBody]:
        """See `ImageSource.open`. One file is open at a time."""
        files = await self._files()
        yield _PackageBody(self._info(files), files)

    async def _files(self) -> list[_PackageFile]:
        descriptor = await _read(self._beside(self._name), LARGEST)
        machine = await asyncio.to_thread(read_ovf, descriptor)
        found = [_PackageFile(self._name, len(descriptor), None, descriptor)]
        manifest = self._name[: -len(_SUFFIX)] + ".mf"
        try:
            data = await _read(self._beside(manifest), LARGEST_MANIFEST)
        except ImageNotFoundError:
            pass  # the reader reports that there is none
        else:
            found.append(_PackageFile(manifest, len(data), None, data))
        for name in machine.files:
            source = self._beside(name)
            found.append(_PackageFile(name, (await source.info()).size, source))
        return found


async def _read(source: ImageSource, limit: int) -> bytes:
    """Return the bytes of a small file, checked against its hash if the source has one."""
    async with source.open() as body:
        info = body.info
        if info.size > limit:
            raise ImageUnacceptableError(
                rule="ovf.size", detail=f"{info.size} bytes, limit {limit}", image=info.id
            )
        data = b"".join([chunk async for chunk in body])
    if len(data) != info.size:
        raise ImageSizeError(expected=info.size, received=len(data), image=info.id)
    hasher = new_hasher(info.hash_algo, image=info.id)
    hasher.update(data)
    verify(info, hasher.hexdigest())
    return data


class _PackageBody:
    """The bytes of the archive. See `ImageBody`."""

    def __init__(self, info: ImageInfo, files: list[_PackageFile]) -> None:
        self.info = info
        self._files = files

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for file in self._files:
            yield tar_header(file.name, file.size)
            if file.source is None:
                yield file.data
            else:
                async for chunk in _whole(file.source, file):
                    yield chunk
            yield bytes(-file.size % SECTOR)
        yield _END


async def _whole(source: ImageSource, file: _PackageFile) -> AsyncIterator[bytes]:
    received = 0
    async with source.open() as body:
        async for chunk in body:
            received += len(chunk)
            if received > file.size:
                break
            yield chunk
    if received != file.size:
        raise ImageSizeError(expected=file.size, received=received, image=file.name)
