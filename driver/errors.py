"""Every error of the compute driver, as branches of vimlib's tree.

::

    VimlibError                            vimlib.errors
    └── DriverError
        ├── MissingExtraError              an optional dependency is not installed
        └── ImageError                     has `image`: the image as it was asked for
            ├── ImageNotFoundError (LookupError)
            ├── ImageAmbiguousError        several images have that name; has their ids
            ├── ImageNotReadyError         queued, saving, deactivated, killed
            ├── ImageUnacceptableError     its bytes break a rule; has the rule's name
            ├── ImageHashError             the bytes are not those that the source hashed
            ├── HashUnknownError           a hash algorithm that this Python does not have
            └── ImageSourceError (vimlib.errors.SourceError)
                ├── SourceUnreachableError no connection, or no trusted one
                ├── SourceRefusedError     an HTTP status; has it
                │   └── SourceRedirectError  a redirect, which is never followed
                ├── SourceProtocolError    an answer that makes no sense
                │   ├── SourceEncodedError a Content-Encoding that was not asked for
                │   └── SourceUnsizedError no Content-Length
                ├── SourceStalledError (TimeoutError)  silent for too long
                ├── SourceReadError        a local file that cannot be read
                ├── ImageTruncatedError    fewer bytes than promised
                └── ImageTooLongError      more bytes than promised

What the target does wrong is told by vimlib's own `TransferRejectedError`, `ConnectError`,
`ConnectionLostError` and `DeadlineError`. Facts are attributes; `str(error)` ends with what to try.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vimlib.errors import Outcome, SourceError, VimlibError, printable

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "DriverError",
    "HashUnknownError",
    "ImageAmbiguousError",
    "ImageError",
    "ImageHashError",
    "ImageNotFoundError",
    "ImageNotReadyError",
    "ImageSourceError",
    "ImageTooLongError",
    "ImageTruncatedError",
    "ImageUnacceptableError",
    "MissingExtraError",
    "SourceEncodedError",
    "SourceProtocolError",
    "SourceReadError",
    "SourceRedirectError",
    "SourceRefusedError",
    "SourceStalledError",
    "SourceUnreachableError",
    "SourceUnsizedError",
]


class DriverError(VimlibError):
    """Base of what the compute driver raises by itself."""


class MissingExtraError(DriverError):
    """A feature needs an optional dependency that is not installed."""

    def __init__(self, feature: str, *, package: str, extra: str) -> None:
        super().__init__(
            f"{feature} needs the package {package}",
            hint=f"Install it with: pip install 'vimlib[{extra}]'",
            package=package,
            extra=extra,
        )

    package: str
    extra: str


class ImageError(DriverError):
    """An image cannot be used."""

    image: str = ""
    """The image as it was asked for: an id, a name, a path or a URL without its userinfo."""


class ImageNotFoundError(ImageError, LookupError):
    """The source has no such image, or does not show it to us."""

    outcome: Outcome = "refused"
    hint = "Check its id with the project and the token that you use"

    def __init__(self, image: str) -> None:
        super().__init__(f"no image {printable(image)!r} at the source", image=image)


class ImageAmbiguousError(ImageError):
    """Several images have the name that was given."""

    hint = "Give the image's id instead"
    ids: Sequence[str]

    def __init__(self, image: str, ids: Sequence[str]) -> None:
        shown = ", ".join(printable(i, 40) for i in ids[:5]) + (", ..." if len(ids) > 5 else "")
        super().__init__(
            f"{len(ids)} images are named {printable(image)!r}: {shown}", image=image, ids=tuple(ids)
        )


class ImageNotReadyError(ImageError):
    """The image has no bytes to give yet, or no longer."""

    retryable = True
    outcome: Outcome = "refused"
    hint = "Wait until its status is active, or upload its data"
    status: str

    def __init__(self, image: str, status: str) -> None:
        super().__init__(
            f"image {printable(image)!r} is {printable(status, 40)!r}, not active",
            image=image,
            status=status,
        )


class ImageUnacceptableError(ImageError):
    """The image's bytes break a rule of `driver.images.inspect`. Never worth a second try."""

    hint = "Convert it with: qemu-img convert -O vmdk -o subformat=streamOptimized IN OUT.vmdk"
    rule: str
    """The rule's short name, as `header.grain_size`; see `driver.images.inspect.RULES`."""
    detail: str

    def __init__(self, rule: str, detail: str, *, image: str = "", hint: str | None = None) -> None:
        super().__init__(
            f"the image was refused by rule {rule}: {printable(detail)}",
            rule=rule,
            detail=detail,
            image=image,
            hint=hint,
        )


class ImageHashError(ImageError):
    """The bytes that came are not those that the source hashed; nothing was published."""

    retryable = True
    hint = "Try again; if it stays, the image is damaged at its source: upload it anew"
    algorithm: str
    expected: str
    actual: str

    def __init__(self, image: str, *, algorithm: str, expected: str, actual: str) -> None:
        super().__init__(
            f"{algorithm} of image {printable(image)!r} is {actual[:16]}..., "
            f"its source says {printable(expected, 16)}",
            image=image,
            algorithm=algorithm,
            expected=expected,
            actual=actual,
        )


class HashUnknownError(ImageError):
    """The source hashes with an algorithm that this Python does not have, or that proves nothing."""

    algorithm: str

    def __init__(self, algorithm: str, *, image: str = "") -> None:
        super().__init__(
            f"hash algorithm {printable(algorithm, 40)!r} is not usable here",
            hint="Use an image hashed with sha512, sha256, sha1 or md5",
            algorithm=algorithm,
            image=image,
        )


class ImageSourceError(ImageError, SourceError):
    """The party that delivers the image failed."""


class SourceUnreachableError(ImageSourceError):
    """No connection to the source, or none that can be trusted."""

    retryable = True
    outcome: Outcome = "not_sent"
    hint = "Check the address, that the service runs, and its certificate (--glance-ca)"
    host: str
    reason: str

    def __init__(self, host: str, reason: str, *, image: str = "", retryable: bool = True) -> None:
        super().__init__(
            f"cannot reach the image source at {printable(host)}: {printable(reason)}",
            host=host,
            reason=reason,
            image=image,
            retryable=retryable,
        )


class SourceRefusedError(ImageSourceError):
    """The source answered with an HTTP status that is no success."""

    status: int
    excerpt: str

    def __init__(self, status: int, *, image: str = "", excerpt: str = "") -> None:
        hints = {
            401: "The token is missing or has ended: give a fresh one (OS_CLOUD renews it by itself)",
            403: "The token's roles do not allow this image",
            404: "Check the address",
        }
        said = f": {printable(excerpt)}" if excerpt else ""
        super().__init__(
            f"the image source answered HTTP {status}{said}",
            status=status,
            excerpt=excerpt,
            image=image,
            retryable=status in (408, 429, 502, 503, 504),
            hint=hints.get(status, "Ask whoever runs the image service" if status >= 500 else ""),
        )


class SourceRedirectError(SourceRefusedError):
    """The source answered with a redirect. None is followed: a token would follow it."""

    location: str

    def __init__(self, status: int, location: str, *, image: str = "") -> None:
        super().__init__(status, image=image)
        self.location = location
        self.message = f"the image source redirects (HTTP {status}) to {printable(location)}"
        self.hint = "Give the final address if you trust it"


class SourceProtocolError(ImageSourceError):
    """The source's answer makes no sense."""

    def __init__(self, detail: str, *, image: str = "") -> None:
        super().__init__(f"the image source's answer is broken: {printable(detail)}", image=image)
        self.detail = detail


class SourceEncodedError(SourceProtocolError):
    """The body came with a Content-Encoding though none was asked for."""

    hint = "A proxy between here and the source compresses: go around it"

    def __init__(self, encoding: str, *, image: str = "") -> None:
        super().__init__(f"Content-Encoding {encoding!r}, identity was asked for", image=image)
        self.encoding = encoding


class SourceUnsizedError(SourceProtocolError):
    """The source does not say how long the body is; a datastore must know before the first byte."""

    hint = "Serve the file with a Content-Length, or download it and give the local path"

    def __init__(self, *, image: str = "") -> None:
        super().__init__("no size and no Content-Length", image=image)


class SourceStalledError(ImageSourceError, TimeoutError):
    """The source sent nothing for too long."""

    retryable = True
    hint = "Check the source and the network; a longer --stall-timeout waits longer"
    seconds: float
    received: int

    def __init__(self, seconds: float, *, received: int = 0, image: str = "") -> None:
        super().__init__(
            f"the image source was silent for {seconds:g} s after {received} bytes",
            seconds=seconds,
            received=received,
            image=image,
        )


class SourceReadError(ImageSourceError):
    """A local image file cannot be read."""

    reason: str

    def __init__(self, image: str, reason: str) -> None:
        super().__init__(
            f"cannot read {printable(image)!r}: {printable(reason)}",
            image=image,
            reason=reason,
            hint="Check the path and its permissions",
        )


class ImageTruncatedError(ImageSourceError):
    """The body ended before its promised length."""

    retryable = True
    hint = "Try again; if it stays, the image is damaged at its source"
    expected: int
    received: int

    def __init__(self, expected: int, received: int, *, image: str = "") -> None:
        super().__init__(
            f"the image ended after {received} of {expected} bytes",
            expected=expected,
            received=received,
            image=image,
        )


class ImageTooLongError(ImageSourceError):
    """The body went on after its promised length."""

    hint = "The image changed while it was read, or its source is broken: try again"
    expected: int

    def __init__(self, expected: int, *, image: str = "") -> None:
        super().__init__(
            f"the image went on after its {expected} bytes", expected=expected, image=image
        )
