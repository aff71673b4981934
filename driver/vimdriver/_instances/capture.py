"""Capture a machine's root disk as an image, while it runs or not.

A snapshot freezes the disk for as long as it is read: by ExportSnapshot (API 5.5), which sends it without
its holes, else by a copy of the frozen disk on the host, whose extent is read and deflated here. The
image is streamOptimized, private unless asked, and there only if all of it arrived; snapshot, lease and
copy are removed on every way out.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, Self, TypeAlias

from vimdriver._disks.flat import FlatDisk
from vimdriver._disks.manager import copy_disk, datacenter_of, extent_of
from vimdriver._disks.stage import DiskStage
from vimdriver._images.formats import FlatReader, StreamOptimizedWriter
from vimdriver._images.hashing import DEFAULT_ALGORITHM, algorithm_name, new_hasher
from vimdriver._images.sink import temporary_name
from vimdriver._instances.device_list import file_of
from vimdriver._instances.machine import claim
from vimdriver._instances.root_disk import first_disk
from vimdriver._instances.snapshots import temporary_snapshot
from vimdriver._journal import Uploading
from vimdriver._journal.entries import new_token
from vimdriver._verbs import Host, Plan, Run, Step, verb
from vimdriver.errors import ImageHashError, ImageSizeError
from vimlib import vim25
from vimlib._datastore import DatastorePath
from vimlib._text import printable
from vimlib.errors import NotFoundError, TransferCorruptError, UsageError
from vimlib.model import parse_version

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from vimdriver._images.source import ImageInfo, ImageTarget
    from vimlib._collector import Row
    from vimlib._progress import Progress

EXPORT_SINCE: Final = (5, 5)
"""The API version that brought ExportSnapshot."""
_SNAPSHOT: Final = "vimlib-capture-"
# Of an image's name in Glance.
_LONGEST_NAME: Final = 255
Visibility: TypeAlias = Literal["private", "shared", "community", "public"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CapturedImage:
    """An image that was made of a machine's disk."""

    id: str
    name: str
    bytes: int
    """Of the image, which has the disk's data without its holes."""
    capacity: int
    """Bytes of the disk."""
    hash: str
    """Of the image's bytes, lower-case hex."""
    hash_algo: str

    def to_json(self) -> dict[str, Any]:
        """Return the document that `vimctl image capture --json` prints."""
        return {
            "id": self.id,
            "name": self.name,
            "bytes": self.bytes,
            "capacity": self.capacity,
            "hash": self.hash,
            "hash_algo": self.hash_algo,
        }


class FrozenDisk(NamedTuple):
    """A machine's disk, and the image's properties that follow from it."""

    vm: vim25.VirtualMachine
    vmx: DatastorePath
    key: int
    """The disk's, among the machine's devices."""
    capacity: int
    adapter: str
    """As descriptors write it."""
    properties: dict[str, str]


@verb
async def capture(
    host: Host,
    ref: str,
    name: str,
    *,
    target: ImageTarget | None = None,
    properties: Mapping[str, str] | None = None,
    visibility: Visibility = "private",
    quiesce: bool = False,
    foreign: bool = False,
    on_progress: Progress | None = None,
) -> Plan[CapturedImage]:
    """Make an image of a machine's root disk, and return it once the service has confirmed it.

    The image has the machine's guest id and disk adapter as `vmware_ostype` and `vmware_adaptertype`.
    Cancelling removes all that was made, the image too.

    Args:
        ref: uuid, name or moref's value.
        name: The image's name.
        target: Takes the image; None is the driver's store of images, if it can.
        properties: Further properties of the image.
        visibility: Glance's word: private, shared, community or public.
        quiesce: Have the guest's tools quiesce its file systems first.
        foreign: Take a machine of another owner too: a snapshot of it is made and removed.
        on_progress: Called with the bytes of the image that have just been sent.

    Raises:
        NotFoundError: The machine does not exist, or has no disk.
        ForeignInstanceError: Another made the machine, and `foreign` is false.
        UsageError: Nothing takes the image, or an argument is out of range.
        ImageSourceError: The image service failed.
        ImageHashError: The image service has other bytes than were sent; they were deleted.
        MethodFault: The host refused.
    """
    to = _target(host, target, name)
    row = await claim(
        host,
        ref,
        "config.instanceUuid",
        "config.files.vmPathName",
        "config.hardware.device",
        "config.guestId",
        foreign=foreign,
    )
    found = _root_disk(row, ref)
    wanted = found.properties | dict(properties or {})
    uuid = str(row.props.get("config.instanceUuid"))
    snapshot = temporary_snapshot(host, row.obj, uuid, _SNAPSHOT + new_token(), quiesce=quiesce)
    steps: list[Step[Any]] = [snapshot]
    if parse_version(host.client.api_version) >= EXPORT_SINCE:

        def read(run: Run) -> AsyncGenerator[bytes, None]:
            return _exported(run, run[snapshot], ref)
    else:
        copy = copy_step(host, found, snapshot, ref)
        steps.append(copy.step)

        def read(run: Run) -> AsyncGenerator[bytes, None]:
            return deflated(run, copy.file, found)

    async def send(run: Run) -> CapturedImage:
        async with to.new_image(name, properties=wanted, visibility=visibility) as image:
            async with aclosing(_Body(read(run), on_progress)) as body:
                await to.fill(image, body)
            return _confirmed(await to.find(image), image, body, found.capacity)

    sending = Step[CapturedImage](
        title=f"send the disk to image {name!r}", call=send, interruptible=True
    )
    steps.append(sending)

    async def result(run: Run) -> CapturedImage:
        return run[sending]

    return Plan(f"capture {ref}", tuple(steps), result, keep=False)


def _target(host: Host, target: ImageTarget | None, name: str) -> Any:
    """Return what takes an image of that name. Raises `UsageError`: see `capture`."""
    to = target if target is not None else host.images
    if not hasattr(to, "new_image"):
        raise UsageError(
            "a capture needs an image service", hint="Give --glance URL, or set OS_CLOUD."
        )
    if not 1 <= len(name) <= _LONGEST_NAME or not name.isprintable():
        raise UsageError(
            f"name must be 1 to {_LONGEST_NAME} printable characters, got {printable(name, 80)!r}",
            field="name",
        )
    return to


class _Body:
    """The bytes of an image on their way into the image service, which are hashed.

    An HTTP client iterates in a task of its own, which may still be running when its request has failed:
    closing waits for it, so that the lease ends before the snapshot is removed.
    """

    def __init__(self, pieces: AsyncGenerator[bytes, None], on_progress: Progress | None) -> None:
        self.sent = 0
        """Bytes so far."""
        self._pieces = pieces
        self._hasher = new_hasher(DEFAULT_ALGORITHM)
        self._on_progress = on_progress
        self._last = 0
        self._turn = asyncio.Lock()

    @property
    def hash(self) -> str:
        """Of the bytes so far, lower-case hex."""
        return self._hasher.hexdigest()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        """Return the next piece; the call also means that the previous one was sent."""
        async with self._turn:
            if self._last and self._on_progress is not None:
                self._on_progress(self._last)
            self._last = 0
            piece = await anext(self._pieces)
            await asyncio.to_thread(self._hasher.update, piece)
            self._last = len(piece)
            self.sent += self._last
            return piece

    async def aclose(self) -> None:
        """Stop, and release whatever the bytes come from."""
        async with self._turn:
            await self._pieces.aclose()


def _confirmed(info: ImageInfo, image: str, body: _Body, capacity: int) -> CapturedImage:
    """Return the image if the service has the bytes that were sent. Pure.

    Raises:
        ImageSizeError: It has another number of bytes.
        ImageHashError: It has other bytes.
    """
    digest = body.hash
    if info.size != body.sent:
        raise ImageSizeError(expected=body.sent, received=info.size, image=image)
    same = algorithm_name(info.hash_algo) == DEFAULT_ALGORITHM
    if same and info.hash_value not in (None, digest):
        raise ImageHashError(
            image=image,
            algorithm=DEFAULT_ALGORITHM,
            expected=digest,
            actual=info.hash_value or "",
        )
    return CapturedImage(
        id=image,
        name=info.name,
        bytes=body.sent,
        capacity=capacity,
        hash=digest,
        hash_algo=DEFAULT_ALGORITHM,
    )


def _root_disk(row: Row[vim25.VirtualMachine], ref: str) -> FrozenDisk:
    """Return the disk that a machine boots from. Pure. Raises `NotFoundError`."""
    devices: list[vim25.VirtualDevice] = row.props.get("config.hardware.device") or []
    disk = first_disk(devices, ref)
    controller = next((d for d in devices if d.key == disk.controllerKey), None)
    adapter, written = {
        vim25.VirtualIDEController: ("ide", "ide"),
        vim25.VirtualBusLogicController: ("busLogic", "buslogic"),
        vim25.VirtualLsiLogicSASController: ("lsiLogicsas", "lsilogic"),
        vim25.ParaVirtualSCSIController: ("paraVirtual", "lsilogic"),
    }.get(type(controller), ("lsiLogic", "lsilogic"))
    return FrozenDisk(
        vm=row.obj,
        vmx=DatastorePath.parse(row.require("config.files.vmPathName")),
        key=disk.key,
        capacity=disk.capacityInKB * 1024,
        adapter=written,
        properties={
            "vmware_disktype": "streamOptimized",
            "vmware_adaptertype": adapter,
            "vmware_ostype": str(row.props.get("config.guestId") or "otherGuest"),
        },
    )


async def _exported(
    run: Run, snapshot: vim25.VirtualMachineSnapshot, ref: str
) -> AsyncGenerator[bytes, None]:
    """Yield the snapshot's root disk as the host sends it; its size is that of the lease's manifest.

    Raises `NotFoundError` if the host exports no disk.
    """
    client = run.host.client
    async with client.lease(client.bind(snapshot).ExportSnapshot()) as lease:
        device = next((one for one in lease.devices if one.is_disk), None)
        if device is None:
            raise NotFoundError(
                f"the host exports no disk of machine {ref}", kind="VirtualDisk", name=ref
            )
        chunks: Any = lease.download(device)  # a generator
        async with aclosing(chunks) as body:
            async for chunk in body:
                yield chunk


class DiskCopy(NamedTuple):
    """A copy of the frozen disk on the host."""

    file: DatastorePath
    step: Step[Any]


def copy_step(
    host: Host, found: FrozenDisk, snapshot: Step[vim25.VirtualMachineSnapshot], ref: str
) -> DiskCopy:
    """Return the step that copies the disk that the snapshot has frozen."""
    file = found.vmx.with_name(temporary_name("capture.vmdk", host.owner) + ".vmdk")
    entry = Uploading(host=host.client.host, owner=host.owner, path=str(file))
    spec = vim25.VirtualDiskSpec(
        adapterType=vim25.VirtualDiskAdapterType.lsiLogic, diskType=vim25.VirtualDiskType.thin
    )

    async def call(run: Run) -> Any:
        client = run.host.client
        row = await client.get(client.bind(run[snapshot]), "config.hardware.device")
        disks = row.props.get("config.hardware.device") or []
        disk = first_disk([one for one in disks if one.key == found.key], ref)
        source = DatastorePath.parse(file_of(disk))
        centers = (await datacenter_of(run.host, source), await datacenter_of(run.host, file))
        await copy_disk(run.host, str(source), file, spec, centers=centers)

    async def undo(run: Run, made: Any) -> None:
        center = await datacenter_of(run.host, file)
        await FlatDisk(run.host, center, lambda run: file, "lsiLogic").remove(run)

    step = Step[Any](
        title="copy the disk that it freezes (CopyVirtualDisk_Task)",
        makes=str(file),
        call=call,
        undo=undo,
        entry=lambda run: entry,
        method="CopyVirtualDisk_Task",
    )
    return DiskCopy(file, step)


async def deflated(run: Run, file: DatastorePath, found: FrozenDisk) -> AsyncGenerator[bytes, None]:
    """Yield a flat disk of the host as streamOptimized.

    Raises `TransferCorruptError` if the copy has another size than the disk.
    """
    stage = DiskStage(
        FlatReader(found.capacity),
        StreamOptimizedWriter(found.capacity, adapter_type=found.adapter),
    )
    store = run.host.datastore(file.datastore)
    async with store.download(extent_of(file)) as body:
        if body.size != found.capacity:
            raise TransferCorruptError(
                f"the copy of the disk must have {found.capacity} bytes, got {body.size}",
                hint="Try again, and have the datastore checked.",
                path=str(file),
                expected=found.capacity,
                actual=body.size,
            )
        async for chunk in body:
            pieces = await asyncio.to_thread(_joined, stage.feed(chunk))
            if pieces:
                yield pieces
    rest = await asyncio.to_thread(_joined, stage.finish())
    yield rest


def _joined(pieces: Any) -> bytes:
    return b"".join(pieces)
