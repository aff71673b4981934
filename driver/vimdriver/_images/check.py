"""The check of a body: length, disk format and hash, fed chunk by chunk. No I/O, no threads.

An uploader may call it from any thread, as long as the chunks come in order, one at a time.
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

ARCHIVES: Final = frozenset({"ova", "docker", "compressed"})
"""Glance's container formats in which the bytes are not a disk, whatever `disk_format` claims.
`ovf` is not among them: plain disks have been registered under it for years.
"""


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
    facts: DiskFacts


class BodyCheck:
    """Checks one body.

    Args:
        info: The properties that the source reported.
        limits: Maximum sizes.
        hashing: False skips the hash; the report is then never `verified`.

    Raises:
        HashUnknownError: The source's algorithm is not usable.
        ImageUnacceptableError: The reported size or formats already break a rule.
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
        """Whether the beginning has passed the check, so that bytes may be sent."""
        return self._inspector.decided

    @property
    def facts(self) -> DiskFacts | None:
        """The detected disk format; None until `decided`."""
        return self._inspector.facts

    @property
    def hashing(self) -> bool:
        """Whether the bytes are hashed."""
        return self._hasher is not None

    @property
    def light(self) -> bool:
        """Whether feeding is so cheap that a thread would cost more than it saves."""
        return self._hasher is None and self._inspector.idle

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
        if not self._inspector.idle:
            with _about(self.info):
                self._inspector.feed(data)
                if self._inspector.facts is not None:
                    _check_name(self.info, self._inspector.facts)
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


def _check_name(info: ImageInfo, facts: DiskFacts) -> None:
    """Refuse an undeclared image whose name ends as that of another format."""
    name = info.name.lower()
    # The extent of a flat VMDK is raw, and is called NAME-flat.vmdk.
    wrong = (
        (name.endswith(".vmdk") and facts.create_type is None and not name.endswith("-flat.vmdk"))
        or (name.endswith(".iso") and facts.kind != "iso")
        or name.endswith(".qcow2")
    )
    if wrong and info.disk_format is None:
        raise ImageUnacceptableError(
            rule="format.name",
            detail=f"the name {info.name} must match the format, but the bytes are {facts.kind}",
            hint="If the bytes are meant, rename the file; raw disks are called NAME.img.",
        )


class _about:  # noqa: N801 - reads as a word at its uses
    """Add the image's id to errors of the lower layers, which know only its bytes."""

    def __init__(self, info: ImageInfo) -> None:
        self._image = info.id

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, ImageError) and not error.image:
            error.image = self._image
