"""The check of a body: length, disk format and hash, fed chunk by chunk. No I/O, no threads.

An uploader may call it from any thread, as long as the chunks come in order, one at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from vimdriver._images.formats import (
    MAX_CAPACITY,
    DiskReader,
    Extent,
    ImageFormat,
    check_claims,
    open_image,
    prefix_bytes,
)
from vimdriver._images.hashing import DEFAULT_ALGORITHM, new_hasher, verify
from vimdriver._images.source import ImageInfo
from vimdriver.errors import ImageError, ImageSizeError


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyReport:
    """The verified properties of a body that passed the check."""

    bytes: int
    hash_algo: str | None
    """None if hashing was off."""
    hash: str | None
    """Lower-case hex; None if hashing was off."""
    verified: bool
    """The source has a hash, and it equals `hash`."""
    facts: ImageFormat


class BodyCheck:
    """Checks one body.

    Args:
        info: The properties that the source reported.
        hashing: False skips the hash; the report is then never `verified`.
        unchanged: The bytes reach a host as they are, so they must keep the strict rules. False if
            a stage converts them, which reads their format itself.
        max_capacity: Bytes of the largest disk to accept.

    Raises:
        HashUnknownError: The source's algorithm is not usable.
        ImageUnacceptableError: The reported size or formats already break a rule.
    """

    def __init__(
        self,
        info: ImageInfo,
        *,
        hashing: bool = True,
        unchanged: bool = True,
        max_capacity: int = MAX_CAPACITY,
    ) -> None:
        self.info = info
        self.received = 0
        """Bytes fed so far."""
        self.report: BodyReport | None = None
        """Set by `finish`, None until then."""
        self.facts: ImageFormat | None = None
        """The detected format; None until `decided`."""
        self._hasher = new_hasher(info.hash_algo, image=info.id) if hashing else None
        self._unchanged = unchanged
        self._max_capacity = max_capacity
        self._head = bytearray()
        self._reader: DiskReader | None = None
        with _about(info):
            check_claims(info.size, info.container_format)

    @property
    def decided(self) -> bool:
        """Whether the beginning has passed the check, so that bytes may be sent."""
        return self.facts is not None

    @property
    def hashing(self) -> bool:
        """Whether the bytes are hashed."""
        return self._hasher is not None

    @property
    def light(self) -> bool:
        """Whether feeding is so cheap that a thread would cost more than it saves."""
        facts = self.facts
        return self._hasher is None and facts is not None and facts.header is None

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Check the next chunk.

        Raises:
            ImageSizeError: The body exceeds the reported length.
            ImageUnacceptableError: The bytes break a rule.
        """
        self.received += len(data)
        if self.received > self.info.size:
            raise ImageSizeError(
                expected=self.info.size, received=self.received, image=self.info.id
            )
        with _about(self.info):
            if self._reader is not None:
                _exhaust(self._reader.feed(data))
            elif self.facts is None:
                self._head += data
                if len(self._head) >= min(prefix_bytes(self._head), self.info.size):
                    self._judge(bytes(self._head))
                    self._head.clear()
        if self._hasher is not None:
            self._hasher.update(data)

    def finish(self) -> BodyReport:
        """Check the whole body after its last chunk. May be called again.

        Raises:
            ImageSizeError: The body is shorter than reported.
            ImageUnacceptableError: The bytes end too early for their format.
            ImageHashError: The hash is not the source's.
        """
        if self.report is not None:
            return self.report
        info = self.info
        if self.received < info.size:
            raise ImageSizeError(expected=info.size, received=self.received, image=info.id)
        facts = self.facts
        assert facts is not None, "the whole body has been fed"
        if self._reader is not None:
            with _about(info):
                _exhaust(self._reader.finish())
            facts = replace(facts, capacity=self._reader.capacity)
        digest = None if self._hasher is None else self._hasher.hexdigest()
        self.report = BodyReport(
            bytes=self.received,
            hash_algo=None if digest is None else (info.hash_algo or DEFAULT_ALGORITHM),
            hash=digest,
            verified=digest is not None and verify(info, digest),
            facts=facts,
        )
        return self.report

    def _judge(self, head: bytes) -> None:
        info = self.info
        image = open_image(
            head,
            size=info.size,
            claimed=info.disk_format,
            disk_type=info.properties.get("vmware_disktype"),
            container=info.container_format,
            name=info.name,
            max_capacity=self._max_capacity,
        )
        if self._unchanged:
            self._reader = image.reader(strict=True)
            _exhaust(self._reader.feed(head))
        self.facts = image


def _exhaust(extents: Iterator[Extent]) -> None:
    """Read the extents for the sake of their checks."""
    for _ in extents:
        pass


class _about:  # noqa: N801 - reads as a word at its uses
    """Add the image's id to errors of the lower layers, which know only its bytes."""

    def __init__(self, info: ImageInfo) -> None:
        self._image = info.id

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, ImageError) and not error.image:
            error.image = self._image
