"""Every error of the compute driver, as branches of vimlib's tree.

::

    VimlibError                            vimlib.errors
    └── DriverError
        ├── PlatformUnsupportedError       the operating system lacks a module that a function needs
        ├── MissingNovaError               the environment of a command has no nova
        ├── JournalError                   the journal cannot be written, so the operation did not start
        │   ├── JournalFormatError         the file is not a journal
        │   └── JournalLockedError         another process has the journal open
        ├── LocalFileError                 a file of this computer cannot be written
        ├── OwnerError                     this installation's owner cannot be kept, and none was given
        ├── DatastoreUnusableError (vimlib.errors.HostStateError)
        ├── NoSpaceError                   too little free space on the datastore
        ├── FileConflictError              a file of that name exists already
        ├── HostReadOnlyError              the licence forbids writes
        ├── HostIdentityError              no UUID of its own, or that of another host
        ├── InstanceExistsError            the uuid or name is in use
        ├── InstanceAmbiguousError (LookupError)  several machines have that name
        ├── InstanceStateError             the machine's state does not allow the operation
        ├── PendingChangeError             a resize or rescue is not final, or there is none
        ├── GuestToolsError                VMware Tools do not run in the guest
        ├── GuestTimeoutError (TimeoutError)  the guest did not shut down in time
        ├── GuestProgramTimeoutError (TimeoutError)  a program in the guest did not end in time
        ├── ForeignInstanceError           not made by this driver, so left alone
        ├── DiskSharedError                another machine uses a disk, so it is left alone
        ├── DiskSnapshotError              a snapshot holds the disk, so it is neither grown nor deleted
        ├── NoSlotError                    all positions for such a device are taken
        ├── NetworkError
        │   ├── NetworkNotFoundError (LookupError)
        │   ├── PhysicalNICNotFoundError (LookupError)
        │   ├── PortGroupMismatchError     another switch or VLAN ID
        │   ├── PortGroupInUseError
        │   └── ForeignPortGroupError      not made by this driver, so not removed
        └── ImageError                     has `image`: the image as it was requested
            ├── ImageNotFoundError (LookupError)
            ├── ImageAmbiguousError        several images have that name; has their ids
            ├── ImageNotReadyError         queued, saving, deactivated, killed
            ├── ImageUnacceptableError     the bytes break a rule; has the rule's name
            │   └── ImageOrderError        the disk is in another order than the file
            ├── ImageHashError             the bytes do not match the source's hash
            ├── HashUnknownError           an unsupported hash algorithm
            └── ImageSourceError (vimlib.errors.SourceError)
                ├── SourceUnreachableError no connection
                │   ├── SourceUntrustedError  no TLS, or a certificate that is not accepted
                │   └── SourceLoginError   Keystone refuses user or password
                ├── SourceRefusedError     an HTTP status that is not a success; has the status
                ├── SourceProtocolError    an invalid or unsupported response
                │   ├── SourceUnsizedError no Content-Length
                │   └── SourceRangeError   no parts of an image, where they are needed
                ├── SourceStalledError (TimeoutError)  no data within the timeout
                ├── SourceReadError        a file cannot be read
                └── ImageSizeError         fewer or more bytes than announced

Failures of the target are vimlib's own `TransferRejectedError`, `ConnectError`,
`ConnectionLostError` and `DeadlineError`. Facts are attributes; `str(error)` ends with what to try.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Final

from vimlib._text import printable
from vimlib.errors import HostStateError, Outcome, SourceError, VimlibError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "DatastoreUnusableError",
    "DiskSharedError",
    "DiskSnapshotError",
    "DriverError",
    "FileConflictError",
    "ForeignInstanceError",
    "ForeignPortGroupError",
    "GuestProgramTimeoutError",
    "GuestTimeoutError",
    "GuestToolsError",
    "HashUnknownError",
    "HostIdentityError",
    "HostReadOnlyError",
    "ImageAmbiguousError",
    "ImageError",
    "ImageHashError",
    "ImageNotFoundError",
    "ImageNotReadyError",
    "ImageOrderError",
    "ImageSizeError",
    "ImageSourceError",
    "ImageUnacceptableError",
    "InstanceAmbiguousError",
    "InstanceExistsError",
    "InstanceStateError",
    "JournalError",
    "JournalFormatError",
    "JournalLockedError",
    "LocalFileError",
    "MissingNovaError",
    "NetworkError",
    "NetworkNotFoundError",
    "NoSlotError",
    "NoSpaceError",
    "OwnerError",
    "PendingChangeError",
    "PhysicalNICNotFoundError",
    "PlatformUnsupportedError",
    "PortGroupInUseError",
    "PortGroupMismatchError",
    "SourceLoginError",
    "SourceProtocolError",
    "SourceRangeError",
    "SourceReadError",
    "SourceRefusedError",
    "SourceStalledError",
    "SourceUnreachableError",
    "SourceUnsizedError",
    "SourceUntrustedError",
]

# The owner of all that was made without one, until each installation had its own.
_FORMER_DEFAULT: Final = "vimlib"


def size_text(count: float) -> str:
    """Return a size in binary units: `512 B`, `64.0 MiB`."""
    if count < 1024:
        return f"{count:.0f} B"
    for unit in ("KiB", "MiB", "GiB"):
        count /= 1024
        # As it is rounded: 1024.0 GiB is 1.0 TiB.
        if round(count, 1) < 1024:
            return f"{count:.1f} {unit}"
    return f"{count / 1024:.1f} TiB"


class DriverError(VimlibError):
    """Base of the errors of the compute driver."""


class PlatformUnsupportedError(DriverError):
    """This operating system lacks what a function needs; nothing was begun."""

    feature: str = ""
    needs: str = ""
    """Module or function of the standard library."""
    _template = "{feature} needs {needs}, which Python does not have on this operating system"


class MissingNovaError(DriverError):
    """The environment of this command has no nova."""

    python: str = ""
    """Its interpreter."""
    _template = "nova is not installed for {python}"
    hint = "Install vimlib-esx[nova] into the environment of nova-compute, and use its vimctl."


class OwnerError(DriverError):
    """This installation's owner cannot be kept in a file, and none was given; nothing was begun."""

    path: str = ""
    reason: str = ""
    _template = "cannot use the owner of this installation in {path!r}: {reason}"
    hint = "Give an owner: --owner, VIMLIB_OWNER or DriverConfig(owner=...); or a writable XDG_STATE_HOME."


class LocalFileError(DriverError):
    """A file of this computer cannot be written; nothing of it is left."""

    path: str = ""
    reason: str = ""
    _template = "cannot write {path!r}: {reason}"
    hint = "Give a path in a folder that exists, with free space, where no file of that name is."


class JournalError(DriverError):
    """The journal cannot be written, so the operation did not start."""

    path: str = ""
    reason: str = ""
    _template = "cannot use the journal {path!r}: {reason}"
    hint = "Give a file on a local disk with free space, in a folder that exists."


class JournalFormatError(JournalError):
    """The file has other content than a journal, and was left as it is."""

    reason: str = "the file is not a journal"
    hint = "Give the path of a journal, or of a file that does not exist: it is created."


class JournalLockedError(JournalError):
    """Another process, or another driver of this one, has the journal open."""

    reason: str = "another process or driver has it open"
    hint = "Give each process, and each driver, a journal of its own."


class ImageError(DriverError):
    """An image cannot be used."""

    image: str = ""
    """The image as it was requested: an id, a name, a path or a URL without its userinfo."""


class ImageNotFoundError(ImageError, LookupError):
    """The source has no such image, or the token may not see it."""

    outcome: Outcome = "refused"
    _template = "image not found: {image!r}"
    hint = "Check the id, and the project of the token. To name a local file, write ./NAME."


class ImageAmbiguousError(ImageError):
    """Several images have the name that was given."""

    ids: Sequence[str] = ()
    _template = "{_count} images are named {image!r}: {ids}"
    hint = "Give the image's id instead."

    @property
    def _count(self) -> int:
        return len(self.ids)


class ImageNotReadyError(ImageError):
    """The image has no data, or its data is no longer available."""

    retryable = True
    outcome: Outcome = "refused"
    status: str = ""
    _template = "image {image!r} must have status 'active', got {status!r:.40}"
    hint = "Wait until the status is 'active', or upload the image's data."


class ImageUnacceptableError(ImageError):
    """The image's bytes break a rule of the image checks. The same bytes always fail."""

    rule: str = ""
    """The rule's short name, as `header.grain_size`; docs/images.md lists the rules."""
    detail: str = ""
    _template = "image refused by rule {rule}: {detail}"
    hint = "Convert it with: qemu-img convert -O vmdk -o subformat=streamOptimized IN OUT.vmdk"


class ImageOrderError(ImageUnacceptableError):
    """The file holds the disk in another order, so it cannot be read from its start to its end.

    It can be read by Range, which `ImageFormat.reader(ranges=True)` does.
    """


class ImageHashError(ImageError):
    """The received bytes do not match the source's hash; nothing was published."""

    retryable = True
    algorithm: str = ""
    expected: str = ""
    actual: str = ""
    _template = (
        "image {image!r} does not match its {algorithm}: "
        "expected {expected:.16}..., got {actual:.16}..."
    )
    hint = "Try again. If the error persists, the image is damaged at its source: upload it again."


class HashUnknownError(ImageError):
    """The source's hash algorithm is not available in this Python, or too weak."""

    algorithm: str = ""
    _template = "unsupported hash algorithm: {algorithm!r:.40}"
    hint = "Use an image hashed with sha512, sha256, sha1 or md5."


class ImageSourceError(ImageError, SourceError):
    """The source of the image failed."""


class SourceUnreachableError(ImageSourceError):
    """The connection to the source could not be opened."""

    retryable = True
    outcome: Outcome = "not_sent"
    host: str = ""
    reason: str = ""
    _template = "cannot reach the image source at {host}: {reason}"
    hint = "{_remedy}"

    @property
    def _remedy(self) -> str:
        if self.image.lower().startswith("http://"):
            return "Check the address, and that the service is running."
        return "Check the address, that the service is running, and its certificate (--glance-ca)."


class SourceUntrustedError(SourceUnreachableError):
    """The source does not speak TLS, or its certificate is not accepted."""

    retryable = False
    hint = "Check the address, or trust the source's CA with --glance-ca."


class SourceLoginError(SourceUnreachableError):
    """Keystone, which issues the tokens for the source, refuses user or password."""

    retryable = False
    outcome: Outcome = "refused"
    hint = "Check user, password and project in clouds.yaml."


class SourceRefusedError(ImageSourceError):
    """The source answered with an HTTP status that is not a success.

    Redirects of Glance are not followed; those of a plain URL are, within the rules of
    docs/driver/images.md.
    """

    status: int = 0
    excerpt: str = ""
    """The first bytes of the body."""
    location: str = ""
    """Target of a redirect, without its query; "" if the status is not one."""
    _template = "the image source answered with HTTP {status}{_more}"

    @property
    def _more(self) -> str:
        if self.location:
            return f", a redirect to {printable(self.location)}, which is not followed"
        return f": {printable(self.excerpt)}" if self.excerpt else ""


class SourceProtocolError(ImageSourceError):
    """The source's response is invalid or has an encoding that is not supported."""

    detail: str = ""
    _template = "invalid response from the image source: {detail}"


class SourceUnsizedError(SourceProtocolError):
    """The source does not announce the length of the body, which a datastore needs in advance."""

    detail: str = "no size and no Content-Length"
    hint = "Serve the file with a Content-Length, or download it and give the local path."


class SourceRangeError(SourceProtocolError):
    """The source sends no parts of an image (RFC 9110, 14), where the order of the disk needs them."""

    reason: str = ""
    _template = "the source cannot be read by Range: {reason}"
    hint = "Download the image and give its path."


class SourceStalledError(ImageSourceError, TimeoutError):
    """The source sent nothing, or too little, for too long."""

    retryable = True
    seconds: float = 0.0
    received: int = 0
    """Bytes until then."""
    rule: str = "read"
    """The limit: `read` (silence), `rate` (too slow over `seconds`), `call` (the head of the
    response), `transfer` (all of it)."""
    _template = "the image source {_fault} {seconds:g} s, after {received} bytes"
    hint = "Check the image service and the network between here and there."

    @property
    def _fault(self) -> str:
        if self.rule == "rate":
            return "was slower than Timeouts.rate over"
        return "sent nothing for" if self.rule == "read" else "did not finish within"


class SourceReadError(ImageSourceError):
    """An image in a file, of this computer or a datastore, cannot be read."""

    reason: str = ""
    _template = "cannot read {image!r}: {reason}"
    hint = "Check the path and its permissions."


class ImageSizeError(ImageSourceError):
    """The body ended before, or continued after, the announced length."""

    retryable = True
    expected: int = 0
    """Bytes that the source announced."""
    received: int = 0
    """Bytes that came; more than `expected` stands for any larger number."""
    _template = "the image must have {expected} bytes, got {_count}"
    hint = "Try again. If the error persists, the image is damaged at its source or still changing."

    @property
    def _count(self) -> str:
        return "more" if self.received > self.expected else str(self.received)


class DatastoreUnusableError(DriverError, HostStateError):
    """The datastore exists and cannot take files at present."""

    datastore: str = ""
    _template = "datastore {datastore!r} is {state}"
    hint = "Choose another datastore, or make this one accessible on the host."


class NoSpaceError(DriverError):
    """The datastore has too little free space; nothing was created."""

    outcome: Outcome = "refused"
    datastore: str = ""
    needed: int = 0
    """Bytes."""
    free: int = 0
    """Bytes."""
    _template = "datastore {datastore!r} needs {_needed} free, has {_free}"
    hint = "Free some space there, or choose another datastore."

    @property
    def _needed(self) -> str:
        return size_text(self.needed)

    @property
    def _free(self) -> str:
        return size_text(self.free)


class FileConflictError(DriverError):
    """A file of that name exists and was left alone, or is the target of another image of the push."""

    outcome: Outcome = "refused"
    path: str = ""
    other_image: str = ""
    """The other image as it was given; "" for a file that exists."""
    _template = "{path} {_conflict}"
    hint = "Choose another --to folder{_remedy}."

    @property
    def _conflict(self) -> str:
        return (
            f"is the target of {printable(self.other_image)!r} too"
            if self.other_image
            else "already exists"
        )

    @property
    def _remedy(self) -> str:
        return " for one of them" if self.other_image else ", or replace the file with --overwrite"


class HostReadOnlyError(DriverError):
    """The host's licence forbids changes by the API (fault RestrictedVersion)."""

    outcome: Outcome = "refused"
    host: str = ""
    _template = "the licence of {host} allows read-only API access (RestrictedVersion)"
    hint = "Use a host with a paid or an evaluation licence: the free edition refuses API writes."


class HostIdentityError(DriverError):
    """A host's hardware UUID does not identify it: there is none, a placeholder, or two hosts have it."""

    uuid: str = ""
    """`none` where the host shows none."""
    hosts: Sequence[str] = ()
    """`host:port` of the hosts that have it."""
    _template = "the hardware UUID must be a host's own, got {uuid} of {_hosts}"
    hint = "Set the UUID in the host's firmware, or name the host in the configuration."

    @property
    def _hosts(self) -> str:
        return " and ".join(self.hosts)


class InstanceExistsError(DriverError):
    """A machine with that uuid or name exists; nothing was created."""

    outcome: Outcome = "refused"
    name: str = ""
    _template = "machine {name!r} already exists"
    hint = "Choose another name, or destroy the machine first."


class InstanceAmbiguousError(DriverError, LookupError):
    """Several machines have the name that was given."""

    outcome: Outcome = "refused"
    name: str = ""
    references: Sequence[str] = ()
    """Values of their references."""
    _template = "{_count} machines are named {name!r}"
    hint = "Give the uuid, or one of the references {references}."

    @property
    def _count(self) -> int:
        return len(self.references)


class ForeignInstanceError(DriverError):
    """The machine was not made by this driver, which therefore leaves it alone."""

    outcome: Outcome = "refused"
    name: str = ""
    owner: str = ""
    """Its owner mark; "" if it has none."""
    _template = "machine {name!r} was not made by this driver; its owner mark is {_owner}"
    hint = "{_try}"

    @property
    def _owner(self) -> str:
        return repr(printable(self.owner)) if self.owner else "missing"

    @property
    def _try(self) -> str:
        if self.owner == _FORMER_DEFAULT:
            return "That was everybody's default in earlier versions: give --owner vimlib."
        return "To operate on it anyway, give --foreign."


class DiskSharedError(DriverError):
    """Another machine uses a disk of this one, so destroying it would take the disk from both."""

    outcome: Outcome = "refused"
    name: str = ""
    path: str = ""
    """The disk's datastore path."""
    user: str = ""
    """Name of the other machine."""
    _template = "machine {name!r} shares {path} with machine {user!r}"
    hint = "Detach the disk from one of the two first."


class DiskSnapshotError(DriverError):
    """A snapshot of the machine holds the disk, so the disk can be neither grown nor replaced nor deleted."""

    outcome: Outcome = "refused"
    name: str = ""
    path: str = ""
    """The disk's datastore path."""
    _template = "machine {name!r} has snapshots, which hold its disk {path}"
    hint = "Remove the snapshots first: vimctl instance snapshots lists them."


class PendingChangeError(DriverError):
    """A change of the machine is not final yet, or the one that is to be ended does not exist."""

    outcome: Outcome = "refused"
    name: str = ""
    wanted: str = ""
    """The change that is to be ended: `resize` or `rescue`; "" if none may be there."""
    pending: str = ""
    """The one that is there: `resize`, `rescue` or `rebuild`; "" if none."""
    phase: str = ""
    """`begun`: being made, or left behind by a process that ended; `done`; `confirming`."""
    _template = "machine {name!r} {_problem}"
    hint = "{_remedy}"

    @property
    def _problem(self) -> str:
        if not self.pending:
            return f"has no {self.wanted} to end"
        words = {"begun": "under way", "confirming": "being confirmed"}
        return f"has a {self.pending} that is {words.get(self.phase, 'not final')}"

    @property
    def _remedy(self) -> str:
        if not self.pending:
            return f"Only a machine after `vimctl instance {self.wanted}` has one."
        if self.phase == "begun":
            return "Wait for it; vimctl sweep removes what a process that ended has left."
        if self.pending == "rescue":
            return "End it first: vimctl instance unrescue."
        commands = (
            "confirm-resize" if self.phase == "confirming" else "confirm-resize or revert-resize"
        )
        return f"End it first: vimctl instance {commands}."


class NoSlotError(DriverError):
    """All positions for such a device are taken; nothing was changed."""

    outcome: Outcome = "refused"
    name: str = ""
    noun: str = ""
    bus: str = ""
    """Type of controller."""
    _template = "machine {name!r} has no free position for a {noun} on {bus} controllers"
    hint = "Detach a device first, or choose another adapter."


class NetworkError(DriverError):
    """A network of the host is missing, in use, or configured differently."""

    outcome: Outcome = "refused"


class NetworkNotFoundError(NetworkError, LookupError):
    """The host has no port group or switch of that name."""

    name: str = ""
    known: Sequence[str] = ()
    """Those that the host has."""
    kind: str = "port group"
    """Or `switch`."""
    _template = "{kind} not found: {name!r}"
    hint = "The host has: {known}."


class PhysicalNICNotFoundError(NetworkError, LookupError):
    """The host has no physical NIC of that name, or no virtual switch uses it."""

    name: str = ""
    known: Sequence[str] = ()
    """Those that the host has."""
    linked: bool = True
    """False if the NIC exists and no virtual switch uses it."""
    _template = "{_problem}: {name!r}"
    hint = "The host has: {known}."

    @property
    def _problem(self) -> str:
        return (
            "physical NIC not found" if self.linked else "no virtual switch uses the physical NIC"
        )


class PortGroupMismatchError(NetworkError):
    """The port group exists, on another switch or with another VLAN ID."""

    name: str = ""
    fact: str = ""
    """`vswitch` or `vlan`."""
    expected: object = None
    actual: object = None
    _template = "port group {name!r} must have {fact} {expected}, has {actual}"
    hint = "Choose another name, or change the port group on the host."


class PortGroupInUseError(NetworkError):
    """Machines or host adapters use the port group."""

    name: str = ""
    users: Sequence[str] = ()
    _template = "port group {name!r} is used by {users}"
    hint = "Move or remove its users first."


class ForeignPortGroupError(NetworkError):
    """The port group was not made by this driver, which therefore does not remove it."""

    name: str = ""
    _template = "port group {name!r} was not made by this driver"
    hint = "To remove it anyway, use the host's own tools."


class InstanceStateError(DriverError):
    """The machine's state does not allow the operation."""

    outcome: Outcome = "refused"
    name: str = ""
    state: str = ""
    needed: str = ""
    _template = "machine {name!r} must be {needed}, is {state}"
    hint = "{_remedy}"

    @property
    def _remedy(self) -> str:
        if self.needed == "connected":
            return "The host cannot read its files: check its datastore."
        verb = "resume" if self.state == "suspended" else "start"
        if "poweredOn" not in self.needed:
            verb = {"poweredOn": "stop", "poweredOff": "start"}.get(self.state, verb)
            if self.needed == "suspended":
                return f"Only a suspended machine can be resumed; this one is {self.state}."
        said = f"Try: vimctl instance {verb} {shlex.quote(printable(self.name))}"
        if self.state == "suspended" and "poweredOff" in self.needed:
            return f"{said}, or cut its power with vimctl instance stop."
        return f"{said}."


class GuestToolsError(DriverError):
    """VMware Tools do not run in the guest; the machine is left as it was.

    The fault `ToolsUnavailable` is the cause.
    """

    outcome: Outcome = "refused"
    name: str = ""
    action: str = ""
    """The request to the guest, such as `shut down` or `reboot`."""
    instead: str = ""
    """The alternative that `force` takes."""
    _template = "machine {name!r} cannot {action}: VMware Tools are not running in the guest"
    hint = "Install or start VMware Tools in the guest, or {instead} with force (--force)."


class GuestProgramTimeoutError(DriverError, TimeoutError):
    """A program in the guest did not end in time, and was killed."""

    outcome: Outcome = "applied"
    name: str = ""
    program: str = ""
    seconds: float = 0.0
    _template = "{program!r} did not end within {seconds:g} s in the guest of machine {name!r}"
    hint = "Allow it more time (--grace)."


class GuestTimeoutError(DriverError, TimeoutError):
    """The guest did not shut down in time after a request; it may shut down later."""

    outcome: Outcome = "unknown"
    retryable = True
    name: str = ""
    seconds: float = 0.0
    _template = "the guest of machine {name!r} did not shut down within {seconds:g} s"
    hint = "Allow it more time (--grace), or power it off with force (--force)."
