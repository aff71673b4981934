"""Datastores: folders with a capacity, and the paths into them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from vimlib import vim25
from vimlib.simulator._core.handlers import handles
from vimlib.simulator._core.messages import with_message
from vimlib.simulator._core.objects import Entity, prop
from vimlib.simulator._data.storage import disk_name
from vimlib.simulator._host.folders import Datacenter
from vimlib.simulator._host.host_system import HostSystem
from vimlib.simulator._storage import vmdk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from vimlib.simulator._core.call import Call
    from vimlib.simulator._core.registry import Registry

R = TypeVar("R")


class Datastore(Entity):
    """A datastore, whose files are in a folder."""

    kind = "Datastore"

    def __init__(
        self,
        registry: Registry,
        name: str,
        root: Path,
        capacity: int,
        *,
        uuid: str | None = None,
        given: str | None = None,
        local: str | None = None,
        remote: tuple[str, str] | None = None,
    ) -> None:
        self.root = root
        vmdk.ROOTS.add(root)
        self.given = given
        """The name under which the host was started with it; None if a call made it."""
        self.local_path = local
        """The path on the host that a call made it of; None for a volume of its own."""
        self.remote = remote
        """Server and path of an NFS volume; None for any other."""
        self.access_mode: str = vim25.HostMountMode.readWrite
        self.capacity = capacity
        self.used = 0
        """Bytes that count against the capacity; see `usage`."""
        self.accessible = True
        self.locks: dict[str, str] = {}
        """Files that a running machine holds, with its name."""
        self.sizes: dict[str, int] = {}
        """Sizes that are shown instead of the true ones (a fault on order)."""
        taken = [s.disk for s in registry.all(Datastore).values() if s.disk is not None]
        own = local is None and remote is None
        self.disk: int | None = max(taken, default=-1) + 1 if own else None
        """Number of the host's disk that it is on; None if it is a folder of another volume."""
        self.uuid = uuid or _volume_uuid(registry.random.getrandbits(96))
        # Hosts name an NFS volume by its place (apache/vcl has what `vim-cmd` prints of them).
        moid = ":".join(remote) if remote is not None else self.uuid
        super().__init__(registry, moid, name, registry.one(Datacenter).datastores)
        registry.one(Datacenter).datastores.add(self)

    @property
    def free(self) -> int:
        """Bytes that are left."""
        return max(self.capacity - self.used, 0)

    @property
    def url(self) -> str:
        """Where the host mounts it."""
        return f"ds:///vmfs/volumes/{self.uuid}/"

    @property
    def type(self) -> str:
        """`VMFS`, `NFS`, or `OTHER` for a folder of the host."""
        if self.remote is not None:
            return "NFS"
        return "VMFS" if self.local_path is None else "OTHER"

    @prop("summary")
    def _summary(self) -> Any:
        return vim25.DatastoreSummary(
            datastore=self.ref,
            name=self.name,
            url=self.url,
            capacity=self.capacity,
            freeSpace=self.free,
            uncommitted=0,
            accessible=self.accessible,
            multipleHostAccess=False,
            type=self.type,
            maintenanceMode="normal",
        )

    @prop("info")
    def _info(self) -> Any:
        if self.local_path is not None:
            return vim25.LocalDatastoreInfo(
                name=self.name,
                url=self.url,
                freeSpace=self.free,
                maxFileSize=64 << 40,
                timestamp=self.registry.clock.now(),
                path=self.local_path,
            )
        if self.remote is not None:
            return vim25.NasDatastoreInfo(
                name=self.name,
                url=self.url,
                freeSpace=self.free,
                maxFileSize=64 << 40,
                timestamp=self.registry.clock.now(),
                nas=self.volume(),
            )
        return vim25.VmfsDatastoreInfo(
            name=self.name,
            url=self.url,
            freeSpace=self.free,
            maxFileSize=64 << 40,
            timestamp=self.registry.clock.now(),
            vmfs=self.volume(),
        )

    def volume(self) -> Any:
        """Return it as a volume."""
        if self.local_path is not None:
            return vim25.HostLocalFileSystemVolume(
                type="OTHER", name=self.name, capacity=self.capacity, device=self.local_path
            )
        if self.remote is not None:
            server, path = self.remote
            return vim25.HostNasVolume(
                type="NFS",
                name=self.name,
                capacity=self.capacity,
                remoteHost=server,
                remotePath=path,
                remoteHostNames=[server],
                securityType="AUTH_SYS",
                protocolEndpoint=False,
            )
        major = self.registry.release.vmfs
        return vim25.HostVmfsVolume(
            type="VMFS",
            name=self.name,
            capacity=self.capacity,
            blockSizeMb=1,
            maxBlocks=63_963_136,
            majorVersion=major,
            version=f"{major}.{82 if major > 5 else 54 if major == 5 else 46}",
            uuid=self.uuid,
            extent=[
                vim25.HostScsiDiskPartition(
                    diskName=disk_name(self.disk or 0),
                    partition=5 if self.registry.release.classic else 3,
                )
            ],
            vmfsUpgradable=False,
            ssd=True,
            local=True,
            blockSize=1024,
            unmapGranularity=1024,
            unmapPriority="low",
            scsiDiskType="native512",
        )

    def mount(self) -> Any:
        """Return it as the host's mounted volume."""
        return vim25.HostFileSystemMountInfo(
            mountInfo=vim25.HostMountInfo(
                path=f"/vmfs/volumes/{self.uuid}",
                accessMode=self.access_mode,
                mounted=True,
                accessible=self.accessible,
            ),
            volume=self.volume(),
            vStorageSupport="vStorageUnknown"
            if self.registry.release.numbers < (5,)
            else "vStorageUnsupported",
        )

    @prop("host")
    def _host(self) -> list[Any]:
        info = vim25.HostMountInfo(
            path=f"/vmfs/volumes/{self.uuid}",
            accessMode=self.access_mode,
            mounted=True,
            accessible=self.accessible,
        )
        return [vim25.DatastoreHostMount(key=self.registry.one(HostSystem).ref, mountInfo=info)]

    @prop("vm", cached=False)
    def _machines(self) -> list[Any]:
        return [
            machine.ref
            for machine in self.registry.all("VirtualMachine").values()
            if self in machine.stores()
        ]

    @prop("browser")
    def _browser(self) -> Any:
        return self.registry.one("HostDatastoreBrowser").ref

    @prop("iormConfiguration")
    def _iorm(self) -> Any:
        return vim25.StorageIORMInfo(
            enabled=False,
            congestionThreshold=30,
            statsCollectionEnabled=False,
            reservationEnabled=False,
            statsAggregationDisabled=False,
            reservableIopsThreshold=0,
        )

    @prop("capability")
    def _capability(self) -> Any:
        return vim25.DatastoreCapability(
            directoryHierarchySupported=True,
            rawDiskMappingsSupported=True,
            perFileThinProvisioningSupported=True,
            topLevelDirectoryCreateSupported=True,
            storageIORMSupported=True,
            seSparseSupported=False,
            vmfsSparseSupported=True,
            vsanSparseSupported=False,
            upitSupported=False,
            vmdkExpandSupported=True,
            clusteredVmdkSupported=False,
        )

    def local(self, path: str) -> Path:
        """Return the local path of a path of the datastore."""
        return self.root.joinpath(*parts(path))

    def relative(self, place: Path) -> str:
        """Return the path on the datastore of a file in its folder."""
        return place.relative_to(self.root).as_posix()

    def shown(self, path: str) -> str:
        """Return a path as the API writes it."""
        return f"[{self.name}] {path}" if path else f"[{self.name}]"

    async def work(self, function: Callable[..., R], *args: Any, touched: Iterable[str] = ()) -> R:
        """Run file work in the host's threads and count the change in size of `touched` paths.

        Raises `NoDiskSpace` if this machine's disk is full. Cancelling it does not stop the work.
        """
        places = [self.local(path) for path in touched]

        def run() -> tuple[R | BaseException, int]:
            before = sum(usage(place) for place in places)
            result: R | BaseException
            try:
                result = function(*args)
            except Exception as error:  # noqa: BLE001 - raised in the caller, after the accounting
                result = error
            return result, sum(usage(place) for place in places) - before

        result, grown = await self.registry.io(run)
        if grown:
            self.used += grown
            self.changed("summary", "info")
        if isinstance(result, OSError) and result.errno == 28:
            raise self.full()
        if isinstance(result, BaseException):
            raise result
        return result

    def grow(self, size: int) -> None:
        """Count `size` more bytes without a notification, which a stream sends at its end."""
        self.used += size

    def full(self) -> Any:
        """Return the fault for a full datastore."""
        return with_message(vim25.NoDiskSpace(file="", datastore=self.name))

    def require(self, size: int) -> None:
        """Raise `NoDiskSpace` if fewer than `size` bytes are left."""
        if size > self.free:
            raise self.full()

    def require_unlocked(self, path: str) -> None:
        """Raise `FileLocked` if a running machine holds `path` or something below it."""
        prefix = path + "/" if path else ""
        for held in self.locks:
            if held == path or held.startswith(prefix):
                raise with_message(vim25.FileLocked(file=self.shown(held)))

    async def recount(self) -> None:
        """Recount all files."""
        self.used = await self.registry.io(usage, self.root)
        self.changed("summary", "info")


def _volume_uuid(number: int) -> str:
    """Return an id as VMFS writes it."""
    return f"{number >> 64:08x}-{number >> 32 & 0xFFFFFFFF:08x}-{number >> 16 & 0xFFFF:04x}-0050569{number & 0xFFFFF:05x}"


def usage(place: Path) -> int:
    """Return the bytes that a file or folder takes from its datastore.

    A file takes its size, but the extent of a thin disk takes its allocated blocks: disks are sparse
    files here, so that a thick one of 40 GiB counts as such and costs nothing.
    """
    try:
        stat = place.lstat()
    except FileNotFoundError:
        return 0
    if place.is_dir() and not place.is_symlink():
        return sum(usage(child) for child in place.iterdir())
    if place.name.endswith("-flat.vmdk") and _is_thin(place):
        return stat.st_blocks * 512
    return stat.st_size


def _is_thin(extent: Path) -> bool:
    descriptor = extent.with_name(extent.name.removesuffix("-flat.vmdk") + ".vmdk")
    try:
        with descriptor.open("rb") as file:
            return b'ddb.thinProvisioned = "1"' in file.read(65536)
    except OSError:
        return False


def parts(path: str) -> list[str]:
    """Return the parts of a path below a datastore's root. Raises `InvalidDatastorePath`."""
    found = [part for part in path.replace(os.sep, "/").split("/") if part not in ("", ".")]
    if any(part == ".." or "\0" in part or len(os.fsencode(part)) > 255 for part in found):
        raise invalid_path(path)
    return found


def split_path(text: str) -> tuple[str, str]:
    """Split `[ds] a/b.vmdk` into datastore and path. Raises `InvalidDatastorePath`."""
    text = text.strip()
    if not text.startswith("[") or "]" not in text:
        raise invalid_path(text)
    name, _, path = text[1:].partition("]")
    return name, "/".join(parts(path.strip()))


def by_name(registry: Registry) -> dict[str, Datastore]:
    """Return the datastores by name, oldest first."""
    return {store.name: store for store in registry.all(Datastore).values()}


def find_path(registry: Registry, text: str) -> tuple[Datastore, str]:
    """Return datastore and path of `[ds] a/b.vmdk`. Raises `InvalidDatastore(Path)`."""
    name, path = split_path(text)
    store = by_name(registry).get(name)
    if store is None:
        raise with_message(vim25.InvalidDatastore(name=name))
    if not store.accessible:
        raise with_message(
            vim25.InaccessibleDatastore(datastore=store.ref, name=name),
            f"Unable to access datastore '{name}'.",
        )
    return store, path


def invalid_path(text: str) -> Any:
    """Return the fault for an invalid path."""
    return with_message(vim25.InvalidDatastorePath(datastorePath=text))


def already_exists(shown: str) -> Any:
    """Return the fault for an existing file."""
    return with_message(vim25.FileAlreadyExists(file=shown))


def no_such_file(shown: str) -> Any:
    """Return the fault for a missing file."""
    return with_message(vim25.FileNotFound(file=shown))


@handles(Datastore, "RefreshDatastore", "RefreshDatastoreStorageInfo")
async def refresh(store: Datastore, call: Call) -> None:
    """Recount the files."""
    await store.recount()
