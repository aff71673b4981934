"""Images in files of a datastore, of this host or another one."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Self

from vimdriver._images.source import ImageInfo
from vimdriver.errors import ImageError, ImageNotFoundError, ImageSizeError, SourceReadError
from vimlib._datastore import DatastorePath
from vimlib._repr import robust
from vimlib.errors import ClosedError, NotFoundError, VimlibError

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from vimlib._client import Client
    from vimlib._datastore import Datastore, Download


@contextmanager
def _translated(image: str) -> Iterator[None]:
    """Turn the host's errors into those of a source: the target is another host, or session."""
    try:
        yield
    except (ImageError, ClosedError):
        raise
    except NotFoundError as error:
        raise ImageNotFoundError(
            image=image, hint="List the folder with: vimctl datastore ls."
        ) from error
    except VimlibError as error:
        failed = SourceReadError(image=image, reason=str(error).rstrip("."))
        failed.retryable = error.retryable
        raise failed from error


class DatastoreBody:
    """A file that is being read. See `ImageBody`."""

    def __init__(self, info: ImageInfo, download: Download) -> None:
        self.info = info
        self._download = download

    async def __aiter__(self) -> AsyncGenerator[bytes]:
        """See `ImageBody`. It ends without an error only if the host still lists the same file."""
        async with aclosing(aiter(self._download)) as chunks:
            while True:
                with _translated(self.info.id):
                    chunk = await anext(chunks, b"")
                if not chunk:
                    return
                yield chunk


class DatastoreParts:
    """A file that is read from any offset. See `ImageParts`."""

    def __init__(self, info: ImageInfo, datastore: Datastore, path: DatastorePath) -> None:
        self.info = info
        self._datastore = datastore
        self._path = path

    async def read(self, start: int, stop: int) -> AsyncGenerator[bytes]:
        """See `ImageParts.read`."""
        async with AsyncExitStack() as stack:
            body = await _opened(stack, self._datastore, self._path, self.info, (start, stop))
            async with aclosing(aiter(body)) as chunks:
                async for chunk in chunks:
                    yield chunk


async def _opened(
    stack: AsyncExitStack,
    datastore: Datastore,
    path: DatastorePath,
    info: ImageInfo,
    part: tuple[int, int] | None = None,
) -> DatastoreBody:
    with _translated(info.id):
        download = await stack.enter_async_context(datastore.download(path, part))
    if download.file_size != info.size:
        raise ImageSizeError(expected=info.size, received=download.file_size, image=info.id)
    return DatastoreBody(info, download)


class DatastoreImage:
    """One file of a datastore."""

    def __init__(self, images: DatastoreImages, path: DatastorePath) -> None:
        self._images = images
        self._path = path

    @robust
    def __repr__(self) -> str:
        return f"DatastoreImage({str(self._path)!r})"

    @property
    def _datastore(self) -> Datastore:
        return self._images.client.datastore(self._path.datastore)

    async def info(self) -> ImageInfo:
        """See `ImageSource.info`. A host keeps no hash of a file."""
        name = self._path.name
        with _translated(str(self._path)):
            found = await self._datastore.stat(self._path)
        if found.is_dir:
            raise SourceReadError(image=str(self._path), reason="it is a folder")
        return ImageInfo(id=name, name=name, size=found.size)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[DatastoreBody]:
        """See `ImageSource.open`."""
        info = await self.info()
        async with AsyncExitStack() as stack:
            yield await _opened(stack, self._datastore, self._path, info)

    @asynccontextmanager
    async def parts(self) -> AsyncIterator[DatastoreParts]:
        """See `RangedSource.parts`. A file that is written to during the read is refused in the end."""
        with _translated(str(self._path)):
            before = await self._datastore.stat(self._path)
        info = await self.info()
        yield DatastoreParts(info, self._datastore, self._path)
        with _translated(info.id):
            after = await self._datastore.stat(self._path)
        if (after.size, after.modified) != (before.size, before.modified):
            raise SourceReadError(image=info.id, reason="it changed while it was read")


class DatastoreImages:
    """The store of files in a host's datastores, `[datastore1] folder/disk.img`. Use it with `async with`.

    It has a session of its own: downloads would wait for the connections that uploads hold.

    Args:
        connection: What `vimlib.connect` returns; entered and left here.
    """

    def __init__(self, connection: AbstractAsyncContextManager[Client]) -> None:
        self._connection = connection
        self._client: Client | None = None

    @property
    def client(self) -> Client:
        """The session. Raises `ClosedError` before entering and after leaving."""
        if self._client is None:
            raise ClosedError("the image store is not open", hint="Use it with `async with`.")
        return self._client

    async def __aenter__(self) -> Self:
        self._client = await self._connection.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._client = None
        await self._connection.__aexit__(None, None, None)

    def image(self, ref: str) -> DatastoreImage:
        """Return the source at the path `ref`.

        Raises:
            UsageError: It is not `[datastore] path`.
        """
        return DatastoreImage(self, DatastorePath.parse(ref))
