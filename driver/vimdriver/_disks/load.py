"""An image on its way into a disk of the host."""

from __future__ import annotations

import logging
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from vimdriver._disks.stage import DiskStage, GrainStage
from vimdriver._images.formats import FlatWriter, StreamOptimizedWriter
from vimdriver._images.hashing import new_hasher
from vimdriver._images.sink import DatastoreSink
from vimdriver._images.uploader import Uploader
from vimdriver.errors import ImageUnacceptableError
from vimlib._text import printable

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Callable
    from contextlib import AbstractAsyncContextManager

    from vimdriver._images.deflater import Deflater
    from vimdriver._images.formats import DiskWriter, ImageFormat
    from vimdriver._images.source import ImageInfo, ImageSource
    from vimdriver._images.uploader import BodySink
    from vimdriver._verbs import Host
    from vimlib._datastore import Datastore, DatastorePath
    from vimlib._nfc import Lease, LeaseDevice
    from vimlib._progress import Progress
    from vimlib._transport.http import Buffer

log = logging.getLogger("vimdriver.disks")

KIB: Final = 1 << 10
_RAW_LEVEL: Final = 1
"""Of zlib. Level 6 saves 8 % of the bytes, 0.7 s per GiB at 1 Gbit/s, for 22 s more of a core."""
_LEVEL: Final = 6
"""Of disks from other formats, which have no more than their data: that of qemu-img, so that they are not sent
as more bytes than it makes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """An image that is on the host whole, its own bytes checked."""

    bytes: int
    """Of the source."""
    hash: str
    """Of the source's bytes, lower-case hex."""
    hash_algo: str
    verified: bool
    """The source has a hash, and it equals `hash`."""
    content_hash: str | None = None
    """Of the disk's bytes, holes as zeros, by the same algorithm; None where it was not wanted."""
    manifest: bool | None = None
    """Whether an OVA has a manifest, with which its files agree; None if the image is no OVA."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """An image that was judged, to be brought onto a host."""

    source: ImageSource
    info: ImageInfo
    image: ImageFormat
    on_progress: Progress | None = None
    """Called with the bytes of the source that have just been sent."""
    by_range: bool = False
    """Whether the source, a `RangedSource`, is read in the order of the disk; see `needs_ranges`."""
    content_hash: bool = False
    """Whether to compute `Loaded.content_hash`."""

    @property
    def capacity(self) -> int:
        """Bytes of the disk, in whole KiB: hosts make no others.

        Raises:
            ImageUnacceptableError: It is known only at the end, of a raw disk that is compressed.
        """
        if self.image.capacity is None:
            raise ImageUnacceptableError(
                rule="compressed.capacity",
                detail="the size of a raw disk must be known before its bytes come",
                image=self.info.id,
                hint="Unpack it, or compress it as a qcow2: qemu-img convert -c -O qcow2 RAW OUT.qcow2",
            )
        return -(-self.image.capacity // KIB) * KIB

    async def put(self, host: Host, extent: DatastorePath) -> Loaded:
        """Upload the disk as a flat extent, holes as zeros; its size is read back.

        Cancelling aborts the connection: the host never has the whole extent.

        Raises:
            ImageError: The source failed, or its bytes are not those that it stated.
            VimlibError: The host failed.
        """
        sink = DatastoreSink(host.datastore(extent.datastore), extent, pad=KIB)
        whole = self.capacity == self.info.size or not self.content_hash
        if self.image.flat and whole:
            return await self._load(host, sink, None)
        size = self.capacity
        return await self._load(host, sink, lambda deflater: self._stage(FlatWriter(size), size))

    async def store(self, host: Host, file: DatastorePath) -> Loaded:
        """Upload the image's own bytes, which must keep the strict rules; see `put`."""
        sink = DatastoreSink(host.datastore(file.datastore), file)
        return await self._load(host, sink, None)

    async def send(self, host: Host, store: str, lease: Lease, device: LeaseDevice) -> Loaded:
        """Upload the disk to a lease as streamOptimized, without its holes.

        Cancelling aborts the connection. Raises as `put`.
        """
        adapter = self.image.adapter_type or "lsilogic"
        sink = _LeaseSink(host.datastore(store), lease, device)
        sent = 0

        def progress(count: int) -> None:
            nonlocal sent
            sent += count
            lease.percent = min(99, sent * 100 // max(1, self.info.size))
            if self.on_progress is not None:
                self.on_progress(count)

        def stage(deflater: Deflater) -> DiskStage | GrainStage:
            grain = self.image.grain_bytes
            decoded = self.image.kind != "streamOptimized" or self.by_range or self.content_hash
            if decoded or grain is None:
                return self._stage(
                    StreamOptimizedWriter(
                        self.capacity,
                        level=_RAW_LEVEL if self.image.kind == "raw" else _LEVEL,
                        adapter_type=adapter,
                        deflater=deflater,
                    )
                )
            # Its grains are deflated already.
            writer = StreamOptimizedWriter(self.capacity, grain_bytes=grain, adapter_type=adapter)
            return GrainStage(self.image.grain_reader(), writer)

        return await self._load(host, sink, stage, progress)

    def _stage(self, writer: DiskWriter, size: int | None = None) -> DiskStage:
        content = None
        if self.content_hash:
            content = new_hasher(self.info.hash_algo, image=self.info.id)
        return DiskStage(
            self.image.reader(ranges=self.by_range),
            writer,
            size=size,
            content=content,
            capacity=self.capacity,
        )

    async def _load(
        self,
        host: Host,
        sink: BodySink,
        stage: Callable[[Deflater], DiskStage | GrainStage] | None,
        progress: Progress | None = None,
    ) -> Loaded:
        made: list[DiskStage | GrainStage] = []

        def staged() -> DiskStage | GrainStage:
            assert stage is not None, "it is asked for only where there is one"
            made.append(stage(uploader.deflater))
            return made[-1]

        def ranged() -> DiskStage:
            made_last = staged()
            assert isinstance(made_last, DiskStage), "grains are not copied by Range"
            return made_last

        info = self.info
        if self.image.flat:
            # Whatever the source calls it, these bytes become an extent: they must be flat.
            info = replace(info, disk_format="raw", container_format=None)
        given = host.uploader
        async with nullcontext(given) if given else Uploader(streams=1) as uploader:
            done = await uploader.upload(
                self.source,
                sink,
                info,
                stage=None if stage is None or self.by_range else staged,
                by_range=ranged if self.by_range and stage is not None else None,
                on_progress=progress or self.on_progress,
            )
        report = done.source
        assert report.hash is not None, "every image is hashed"
        assert report.hash_algo is not None, "it has a hash"
        content_hash = None
        if self.content_hash:
            last = made[-1] if made else None
            content = last.content if isinstance(last, DiskStage) else None
            content_hash = report.hash if content is None else content.hexdigest()
        return Loaded(
            bytes=report.bytes,
            hash=report.hash,
            hash_algo=report.hash_algo,
            verified=report.verified,
            content_hash=content_hash,
            manifest=self._manifest(),
        )

    def _manifest(self) -> bool | None:
        archive = self.image.archive
        if archive is None:
            return None
        if not archive.check.manifest:
            log.warning(
                "%s has no manifest: its files were not compared with digests of their maker",
                printable(self.info.id),
            )
        return archive.check.manifest


class _LeaseSink:
    """A disk of a lease as the target of a body. See `BodySink`."""

    def __init__(self, store: Datastore, lease: Lease, device: LeaseDevice) -> None:
        self._store = store
        self._lease = lease
        self._device = device

    def slot(self) -> AbstractAsyncContextManager[None]:
        """See `BodySink.slot`."""
        return self._store.slot()

    async def put(self, body: AsyncIterable[Buffer], size: int | None) -> None:
        """See `BodySink.put`. The lease's manifest must have as many bytes."""
        await self._lease.upload(self._device, body, size=size)
