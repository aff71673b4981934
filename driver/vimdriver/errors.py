"""Every error of the compute driver, as branches of vimlib's tree.

::

    VimlibError                            vimlib.errors
    └── DriverError
        ├── PlatformUnsupportedError       this operating system lacks what a function needs
        ├── JournalError                   what is begun cannot be written down, so it is not begun
        │   └── JournalLockedError         another process has the journal open
        ├── DatastoreUnusableError (vimlib.errors.HostStateError)
        ├── NoSpaceError                   too little room on the datastore
        ├── FileConflictError              a file of that name is there already
        ├── HostReadOnlyError              the licence forbids writes
        ├── InstanceExistsError            that uuid or name is taken
        ├── InstanceAmbiguousError (LookupError)  several machines have that name
        ├── InstanceStateError             not in the state that is needed
        ├── ForeignInstanceError           not ours, so left alone
        ├── DiskSharedError                a disk is another machine's too, so it is not destroyed
        ├── NetworkError
        │   ├── NetworkNotFoundError (LookupError)
        │   ├── PhysicalNICNotFoundError (LookupError)
        │   ├── PortGroupMismatchError     another switch or VLAN id
        │   ├── PortGroupInUseError
        │   └── ForeignPortGroupError      not ours, so not removed
        └── ImageError                     has `image`: the image as it was asked for
            ├── ImageNotFoundError (LookupError)
            ├── ImageAmbiguousError        several images have that name; has their ids
            ├── ImageNotReadyError         queued, saving, deactivated, killed
            ├── ImageUnacceptableError     its bytes break a rule; has the rule's name
            ├── ImageHashError             the bytes are not those that the source hashed
            ├── HashUnknownError           a hash algorithm that this Python does not have
            └── ImageSourceError (vimlib.errors.SourceError)
                ├── SourceUnreachableError no connection
                │   ├── SourceUntrustedError  no TLS, or a certificate that is not accepted
                │   └── SourceLoginError      Keystone refuses user or password
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

from vimlib.errors import HostStateError, Outcome, SourceError, VimlibError, printable

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "DatastoreUnusableError",
    "DiskSharedError",
    "DriverError",
    "FileConflictError",
    "ForeignInstanceError",
    "ForeignPortGroupError",
    "HashUnknownError",
    "HostReadOnlyError",
    "ImageAmbiguousError",
    "ImageError",
    "ImageHashError",
    "ImageNotFoundError",
    "ImageNotReadyError",
    "ImageSourceError",
    "ImageTooLongError",
    "ImageTruncatedError",
    "ImageUnacceptableError",
    "InstanceAmbiguousError",
    "InstanceExistsError",
    "InstanceStateError",
    "JournalError",
    "JournalLockedError",
    "NetworkError",
    "NetworkNotFoundError",
    "NoSpaceError",
    "PhysicalNICNotFoundError",
    "PlatformUnsupportedError",
    "PortGroupInUseError",
    "PortGroupMismatchError",
    "SourceEncodedError",
    "SourceLoginError",
    "SourceProtocolError",
    "SourceReadError",
    "SourceRedirectError",
    "SourceRefusedError",
    "SourceStalledError",
    "SourceUnreachableError",
    "SourceUnsizedError",
    "SourceUntrustedError",
]


class DriverError(VimlibError):
    """Base of what the compute driver raises by itself."""


class PlatformUnsupportedError(DriverError):
    """This operating system lacks what a function needs; nothing was begun."""

    def __init__(self, feature: str, *, needs: str, hint: str) -> None:
        super().__init__(
            f"{feature} needs {needs}, which Python does not have on this operating system",
            hint=hint,
            feature=feature,
            needs=needs,
        )

    feature: str
    needs: str
    """Module or function of the standard library."""


class JournalError(DriverError):
    """What is begun cannot be written down; so it was not begun."""

    outcome: Outcome = "not_sent"
    path: str
    reason: str

    def __init__(self, path: str, reason: str, *, hint: str = "") -> None:
        super().__init__(
            f"the journal {printable(path)!r} cannot be used: {printable(reason)}",
            path=path,
            reason=reason,
            hint=hint or "Name a file on a local disk, in a folder that is there and has room.",
        )


class JournalLockedError(JournalError):
    """Another process has the journal open, or another driver of this one."""

    def __init__(self, path: str) -> None:
        super().__init__(
            path, "somebody has it open", hint="Give each process, and each driver, its own."
        )


class ImageError(DriverError):
    """An image cannot be used."""

    image: str = ""
    """The image as it was asked for: an id, a name, a path or a URL without its userinfo."""


class ImageNotFoundError(ImageError, LookupError):
    """The source has no such image, or does not show it to us."""

    outcome: Outcome = "refused"
    hint = "Check its id with the project and the token that you use; a file is given as ./NAME"

    def __init__(self, image: str, *, hint: str | None = None) -> None:
        super().__init__(f"no image {printable(image)!r} at the source", image=image, hint=hint)


class ImageAmbiguousError(ImageError):
    """Several images have the name that was given."""

    hint = "Give the image's id instead"
    ids: Sequence[str]

    def __init__(self, image: str, ids: Sequence[str]) -> None:
        shown = ", ".join(printable(i, 40) for i in ids[:5]) + (", ..." if len(ids) > 5 else "")
        super().__init__(
            f"{len(ids)} images are named {printable(image)!r}: {shown}",
            image=image,
            ids=tuple(ids),
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
    """The image's bytes break a rule of `vimdriver._images.inspect`. Never worth a second try."""

    hint = "Convert it with: qemu-img convert -O vmdk -o subformat=streamOptimized IN OUT.vmdk"
    rule: str
    """The rule's short name, as `header.grain_size`; see `vimdriver._images.inspect.RULES`."""
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
    """No connection to the source."""

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


class SourceUntrustedError(SourceUnreachableError):
    """The source does not speak TLS, or its certificate is not accepted."""

    hint = "Check the address; trust its authority by --glance-ca"

    def __init__(self, host: str, reason: str, *, image: str = "") -> None:
        super().__init__(host, reason, image=image, retryable=False)


class SourceLoginError(SourceUnreachableError):
    """Keystone, which gives the tokens for the source, refuses user or password."""

    outcome: Outcome = "refused"
    hint = "Check user, password and project in clouds.yaml"

    def __init__(self, host: str, reason: str, *, image: str = "") -> None:
        super().__init__(host, reason, image=image, retryable=False)


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
        self.args = (f"the image source redirects (HTTP {status}) to {printable(location)}",)
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
    hint = "Check the image service and the network between here and there"
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


class DatastoreUnusableError(DriverError, HostStateError):
    """The datastore exists and cannot take files now."""

    datastore: str

    def __init__(self, datastore: str, state: str) -> None:
        super().__init__(
            f"datastore {printable(datastore)!r} is {printable(state, 40)}",
            datastore=datastore,
            state=state,
            hint="Choose another one, or mend it on the host.",
        )


class NoSpaceError(DriverError):
    """The datastore has too little room; nothing was made."""

    outcome: Outcome = "refused"
    datastore: str
    needed: int
    """Bytes."""
    free: int
    """Bytes."""

    def __init__(self, datastore: str, *, needed: int, free: int) -> None:
        super().__init__(
            f"{needed} bytes are needed, datastore {printable(datastore)!r} has {free} free",
            datastore=datastore,
            needed=needed,
            free=free,
            hint="Free some room there, or choose another datastore.",
        )


class FileConflictError(DriverError):
    """A file of that name is there already, and was left alone; or is another image's of the same push."""

    outcome: Outcome = "refused"
    path: str
    twin: str
    """The other image as it was given; "" for a file that is there."""

    def __init__(self, path: str, *, twin: str = "", hint: str | None = None) -> None:
        said, advice = "exists", "Choose another --to folder, or replace it with --overwrite."
        if twin:
            said = f"is the name of {printable(twin)!r} too"
            advice = "Push one of them into another --to folder."
        super().__init__(f"{printable(path)} {said}", path=path, twin=twin, hint=hint or advice)


class HostReadOnlyError(DriverError):
    """The host's licence forbids what changes it (fault RestrictedVersion)."""

    outcome: Outcome = "refused"

    def __init__(self, host: str) -> None:
        super().__init__(
            f"the licence of {printable(host)} allows reading only (RestrictedVersion)",
            hint="Use a host with a paid or an evaluation licence: the free edition refuses the API's writes.",
        )


class InstanceExistsError(DriverError):
    """A machine with that uuid or name exists; nothing was made."""

    outcome: Outcome = "refused"
    name: str

    def __init__(self, name: str) -> None:
        super().__init__(
            f"a machine {printable(name)!r} exists",
            name=name,
            hint="Choose another name, or destroy it first.",
        )


class InstanceAmbiguousError(DriverError, LookupError):
    """Several machines have the name that was given."""

    outcome: Outcome = "refused"
    name: str
    references: Sequence[str]
    """Values of their references."""

    def __init__(self, name: str, references: Sequence[str]) -> None:
        super().__init__(
            f"{len(references)} machines are named {printable(name)!r}",
            name=name,
            references=tuple(references),
            hint=f"Give the uuid, or one of the references {', '.join(references[:10])}.",
        )


class ForeignInstanceError(DriverError):
    """The machine was not made by this driver, which therefore leaves it alone."""

    outcome: Outcome = "refused"
    name: str
    owner: str
    """Its owner mark; "" if it has none."""

    def __init__(self, name: str, *, owner: str) -> None:
        super().__init__(
            f"machine {printable(name)!r} belongs to {printable(owner) or 'nobody we know'}, not to this driver",
            name=name,
            owner=owner,
            hint="If you mean it, give --foreign.",
        )


class DiskSharedError(DriverError):
    """A disk of the machine is another machine's too: destroying one would take it from both."""

    outcome: Outcome = "refused"
    name: str
    path: str
    """The disk's datastore path."""
    user: str
    """Name of the other machine."""

    def __init__(self, name: str, *, path: str, user: str) -> None:
        super().__init__(
            f"machine {printable(name)!r} shares {printable(path)} with machine {printable(user)!r}",
            name=name,
            path=path,
            user=user,
            hint="Remove the disk from one of the two first.",
        )


class NetworkError(DriverError):
    """A network of the host is not what was asked for."""

    outcome: Outcome = "refused"


class NetworkNotFoundError(NetworkError, LookupError):
    """The host has no port group of that name."""

    name: str
    known: Sequence[str]

    def __init__(self, name: str, known: Sequence[str]) -> None:
        shown = ", ".join(printable(n, 60) for n in known[:20]) or "none"
        super().__init__(
            f"no port group {printable(name)!r}",
            name=name,
            known=tuple(known),
            hint=f"The host has: {shown}.",
        )


class PhysicalNICNotFoundError(NetworkError, LookupError):
    """The host has no physical NIC of that name, or no virtual switch on it."""

    name: str
    known: Sequence[str]

    def __init__(self, name: str, known: Sequence[str], *, what: str = "physical NIC") -> None:
        super().__init__(
            f"no {what} {printable(name)!r}",
            name=name,
            known=tuple(known),
            hint=f"The host has: {', '.join(known) or 'none'}.",
        )


class PortGroupMismatchError(NetworkError):
    """The port group exists, on another switch or with another VLAN id."""

    name: str
    fact: str
    """`vswitch` or `vlan`."""
    expected: object
    actual: object

    def __init__(self, name: str, fact: str, *, expected: object, actual: object) -> None:
        super().__init__(
            f"port group {printable(name)!r} has {fact} {actual}, {expected} was asked for",
            name=name,
            fact=fact,
            expected=expected,
            actual=actual,
            hint="Choose another name, or change the port group on the host.",
        )


class PortGroupInUseError(NetworkError):
    """Machines or host adapters use the port group."""

    name: str
    users: Sequence[str]

    def __init__(self, name: str, users: Sequence[str]) -> None:
        super().__init__(
            f"port group {printable(name)!r} is used by {', '.join(printable(u, 60) for u in users[:5])}",
            name=name,
            users=tuple(users),
            hint="Move or remove them first.",
        )


class ForeignPortGroupError(NetworkError):
    """The port group was not made by this driver, which therefore does not remove it."""

    name: str

    def __init__(self, name: str) -> None:
        super().__init__(
            f"port group {printable(name)!r} was not made here",
            name=name,
            hint="Remove it on the host if you mean it.",
        )


class InstanceStateError(DriverError):
    """The machine is not in the state that the operation needs."""

    outcome: Outcome = "refused"
    name: str
    state: str
    needed: str

    def __init__(self, name: str, *, state: str, needed: str) -> None:
        super().__init__(
            f"machine {printable(name)!r} is {printable(state, 40)}, not {printable(needed, 80)}",
            name=name,
            state=state,
            needed=needed,
            hint="vimctl instance show tells its state.",
        )
