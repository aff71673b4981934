"""The hash algorithms of images. No I/O, no threads.

`hashlib` releases the GIL while it hashes more than 2 KiB, so a streaming caller runs `update` in
an executor, one chunk behind the transfer: see `vimdriver._images.pipe`.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import TYPE_CHECKING, Protocol

from vimdriver.errors import HashUnknownError, ImageHashError

if TYPE_CHECKING:
    from vimdriver._images.source import ImageInfo

DEFAULT_ALGORITHM = "sha512"
"""Computed if the source has no hash, so that the result can be compared later."""

_ALGORITHMS = frozenset(
    (
        "md5",
        "sha1",
        "sha224",
        "sha256",
        "sha384",
        "sha512",
        "blake2b",
        "blake2s",
        "sha3_224",
        "sha3_256",
        "sha3_384",
        "sha3_512",
    )
)
"""All have a fixed length: with SHAKE a source could choose a digest of one byte."""


class Hasher(Protocol):
    """The methods of a `hashlib` object that we use."""

    @property
    def digest_size(self) -> int:
        """Bytes of the digest."""
        ...

    def update(self, data: bytes | bytearray | memoryview, /) -> None:
        """Add bytes."""
        ...

    def hexdigest(self) -> str:
        """Return the hash of all bytes so far."""
        ...


def algorithm_name(algorithm: str | None) -> str:
    """Return Python's name of the algorithm, `sha512` for `SHA-512`; None: `DEFAULT_ALGORITHM`."""
    name = (algorithm or DEFAULT_ALGORITHM).lower().replace("-", "_")
    return re.sub(r"^sha_(1|224|256|384|512)$", r"sha\1", name)


def new_hasher(algorithm: str | None, *, image: str = "") -> Hasher:
    """Return a new hasher; None means `DEFAULT_ALGORITHM`.

    Raises:
        HashUnknownError: This Python lacks the algorithm, or it is not allowed for images.
    """
    name = algorithm_name(algorithm)
    if name not in _ALGORITHMS:
        raise HashUnknownError(algorithm=name, image=image)
    try:
        # md5 detects damage only, not an attack; hosts in FIPS mode require the flag.
        return hashlib.new(name, usedforsecurity=False)
    except ValueError as error:
        raise HashUnknownError(algorithm=name, image=image) from error


def verify(info: ImageInfo, actual: str) -> bool:
    """Compare `actual` with the source's hash; return False if the source has none.

    Raises:
        ImageHashError: They differ.
    """
    if info.hash_value is None:
        return False
    expected = info.hash_value.strip().lower()
    if not hmac.compare_digest(expected.encode(), actual.encode()):
        raise ImageHashError(
            image=info.id, algorithm=info.hash_algo or "", expected=expected, actual=actual
        )
    return True
