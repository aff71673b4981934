"""The one judge of a body: length, disk format and hash, fed chunk by chunk. No I/O, no threads.

Any mover may use it, from any thread, as long as the chunks come in order, one at a time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from vimdriver._images.hashing import DEFAULT_ALGORITHM, new_hasher, verify
from vimdriver._images.inspect import DiskFacts, InspectLimits, Inspector
from vimdriver._images.source import ImageInfo
from vimdriver.errors import (
    ImageError,
    ImageSizeError,
    ImageUnacceptableError,
)

__all__ = ["ARCHIVES", "BodyCheck", "BodyReport"]

ARCHIVES: Final = frozenset({"ova", "docker", "compressed"})
"""Glance's container formats in which the bytes are no disk, whatever `disk_format` says of what is
in them. `ovf` is none: plain disks have been registered under it for years."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyReport:
    """What is proven of a body that passed whole."""

    bytes: int
    hash_algo: str | None
    """None where hashing was off."""
    hash: str | None
    """Lower-case hex; None where hashing was off."""
    verified: bool
    """The source had a hash and it is this one."""
    facts: DiskFacts


class BodyCheck:
    """Judges one body.

    Args:
        info: What the source promised.
        limits: What is too large.
        hashing: False leaves the hash away; the report is then never `verified`.

    Raises:
        HashUnknownError: The source's algorithm is not usable.
        ImageUnacceptableError: Size or claimed formats rule it out before any byte.
    """

    def __init__(
        self, info: ImageInfo, *, limits: InspectLimits | None = None, hashing: bool = True
    ) -> None:
        self.info = info
        self.received = 0
        """Bytes fed so far."""
        self.report: BodyReport | None = None
        """Set by `finish`, None until then."""
        self._hasher = new_hasher(info.hash_algo, image=info.id) if hashing else None
        with _about(info):
            if info.container_format in ARCHIVES:
                raise ImageUnacceptableError(
                    rule="format.container",
                    detail=f"container_format {info.container_format}",
                    hint="Unpack it, and upload the disk with container_format bare.",
                )
            self._inspector = Inspector(
                size=info.size,
                claim=info.disk_format,
                disk_type=info.properties.get("vmware_disktype"),
                limits=limits,
            )

    @property
    def decided(self) -> bool:
        """The beginning has been judged and found good: bytes may leave."""
        return self._inspector.decided

    @property
    def facts(self) -> DiskFacts | None:
        """What the image is, as soon as `decided`."""
        return self._inspector.facts

    @property
    def hashing(self) -> bool:
        """Whether the bytes are hashed."""
        return self._hasher is not None

    @property
    def light(self) -> bool:
        """Feeding costs next to nothing, so that no thread is worth it."""
        return self._hasher is None and self._inspector.idle

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Take the next chunk.

        Raises:
            ImageSizeError: It goes beyond the promised length.
            ImageUnacceptableError: The bytes break a rule.
        """
        self.received += len(data)
        if self.received > self.info.size:
            raise ImageSizeError(
                expected=self.info.size, received=self.received, image=self.info.id
            )
        if not self._inspector.idle:
            with _about(self.info):
                self._inspector.feed(data)
        if self._hasher is not None:
            self._hasher.update(data)

    def finish(self) -> BodyReport:
        """Judge the whole, once the body has ended. May be called again.

        Raises:
            ImageSizeError: The body is shorter than promised.
            ImageUnacceptableError: The bytes end too early for their format.
            ImageHashError: The hash is not the source's.
        """
        if self.report is not None:
            return self.report
        info = self.info
        if self.received < info.size:
            raise ImageSizeError(expected=info.size, received=self.received, image=info.id)
        with _about(info):
            facts = self._inspector.finish()
        digest = None if self._hasher is None else self._hasher.hexdigest()
        self.report = BodyReport(
            bytes=self.received,
            hash_algo=None if digest is None else (info.hash_algo or DEFAULT_ALGORITHM),
            hash=digest,
            verified=digest is not None and verify(info, digest),
            facts=facts,
        )
        return self.report


class _about:  # noqa: N801 - reads as a word at its uses
    """Names the image in errors that come from below, where only bytes are known."""

    def __init__(self, info: ImageInfo) -> None:
        self._image = info.id

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, ImageError) and not error.image:
            error.image = self._image
