"""HostDatastoreBrowser: searches of datastores."""

from __future__ import annotations

import fnmatch
import os
import re
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from vimlib import vim25
from vimlib.simulator._core.handlers import handles
from vimlib.simulator._core.objects import SimObject, prop
from vimlib.simulator._service.tasks import start_task
from vimlib.simulator._storage import vmdk
from vimlib.simulator._storage.datastore import Datastore, find_path, no_such_file, usage
from vimlib.simulator._storage.file_manager import delete
from vimlib.soap import Typed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from vimlib.simulator._core.call import Call
    from vimlib.simulator._service.tasks import Task

_EXTENTS = ("-flat.vmdk", "-delta.vmdk")
# File info types of HostDatastoreBrowser by file name extension.
_KINDS = {
    ".vmdk": "VmDiskFileInfo",
    ".vmx": "VmConfigFileInfo",
    ".vmtx": "TemplateConfigFileInfo",
    ".vmsn": "VmSnapshotFileInfo",
    ".vmsd": "VmSnapshotFileInfo",
    ".nvram": "VmNvramFileInfo",
    ".log": "VmLogFileInfo",
    ".iso": "IsoImageFileInfo",
    ".flp": "FloppyImageFileInfo",
}


class DatastoreBrowser(SimObject):
    """Searches folders of datastores."""

    kind = "HostDatastoreBrowser"

    @prop("datastore", cached=False)
    def _datastores(self) -> list[Any]:
        return [store.ref for store in self.registry.all(Datastore).values()]

    @prop("supportedType")
    def _supported(self) -> list[Any]:
        return [
            vim25.FolderFileQuery(),
            vim25.VmConfigFileQuery(),
            vim25.VmDiskFileQuery(),
            vim25.IsoImageFileQuery(),
        ]


class _Search:
    """One search: its patterns and the requested details."""

    def __init__(self, store: Datastore, spec: Any) -> None:
        self.store = store
        spec = spec or vim25.HostDatastoreBrowserSearchSpec()
        self.details = spec.details
        self.queries = {
            type(query).__name__.replace("Query", "Info"): query for query in spec.query
        }
        self.folders_first = bool(spec.sortFoldersFirst)
        # The API's default ignores case.
        flags = 0 if spec.searchCaseInsensitive is False else re.IGNORECASE
        self.patterns = [
            re.compile(fnmatch.translate(pattern), flags) for pattern in spec.matchPattern
        ]

    def folder(self, path: str) -> Any:
        """Return the result for one folder."""
        place = self.store.local(path)
        found = [
            info
            for entry in sorted(os.scandir(place), key=lambda e: e.name)
            if (info := self._info(entry))
        ]
        if self.folders_first:
            found.sort(key=lambda info: not isinstance(info, vim25.FolderFileInfo))
        shown = self.store.shown(path)
        return vim25.HostDatastoreBrowserSearchResults(
            datastore=self.store.ref, folderPath=shown if not path else shown + "/", file=found
        )

    def folders(self, path: str) -> list[Any]:
        """Return the results for a folder and all below it."""
        results = [self.folder(path)]
        for entry in sorted(os.scandir(self.store.local(path)), key=lambda e: e.name):
            if entry.is_dir(follow_symlinks=False):
                with suppress(FileNotFoundError):  # deleted or renamed during the search
                    results.extend(self.folders(f"{path}/{entry.name}".lstrip("/")))
        return results

    def _info(self, entry: os.DirEntry[str]) -> Any:
        name = entry.name
        if self.patterns and not any(pattern.match(name) for pattern in self.patterns):
            return None
        folder = entry.is_dir(follow_symlinks=False)
        kind = (
            "FolderFileInfo"
            if folder
            else _KINDS.get(os.path.splitext(name)[1].lower(), "FileInfo")
        )
        if self.queries and kind not in self.queries and "FileInfo" not in self.queries:
            return None
        if kind == "VmDiskFileInfo" and (name.endswith(_EXTENTS)):
            if "VmDiskFileInfo" in self.queries:
                return None  # a disk is one entry, its extents are part of it
            kind = "FileInfo"
        wants = self.details
        cls = vim25.BINDING.find(kind if self.queries or (wants and wants.fileType) else "FileInfo")
        assert cls is not None
        info = cls(path=name)
        try:
            stat = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            return None  # deleted or renamed during the search
        if wants is not None:
            if wants.fileSize and not folder:
                info.fileSize = self._size(entry, stat.st_size, kind)
            if wants.modification:
                info.modification = datetime.fromtimestamp(int(stat.st_mtime), UTC)
            if wants.fileOwner:
                info.owner = "root"
        if isinstance(info, vim25.VmDiskFileInfo):
            self._describe(info, self.store.local("").joinpath(entry.path))
        return info

    def _size(self, entry: os.DirEntry[str], size: int, kind: str) -> int:
        relative = os.path.relpath(entry.path, self.store.root)
        injected = self.store.sizes.get(relative)
        if injected is not None:
            return injected
        if kind == "VmDiskFileInfo" and "VmDiskFileInfo" in self.queries:
            place = self.store.root.joinpath(relative)
            try:
                return sum(usage(each) for each in vmdk.files_of(vmdk.load(place)))
            except (OSError, vmdk.DiskError):
                return size
        return size

    def _describe(self, info: Any, place: Path) -> None:
        query = self.queries.get("VmDiskFileInfo")
        flags = getattr(query, "details", None)
        if flags is None:
            return
        try:
            disk = vmdk.load(place)
        except (OSError, vmdk.DiskError):
            return
        if flags.diskType:
            info.diskType = (
                "VirtualDiskSparseVer2BackingInfo"
                if disk.sparse
                else "VirtualDiskFlatVer2BackingInfo"
            )
        if flags.capacityKb:
            info.capacityKb = disk.capacity // 1024
        if flags.hardwareVersion:
            info.hardwareVersion = disk.hardware
        if flags.controllerType:
            info.controllerType = _CONTROLLERS.get(disk.adapter, "VirtualLsiLogicController")
        if flags.diskExtents and disk.extent is not None:
            info.diskExtents = [self.store.shown(os.path.relpath(disk.extent, self.store.root))]
        if flags.thin:
            info.thin = disk.thin


_CONTROLLERS = {"ide": "VirtualIDEController", "buslogic": "VirtualBusLogicController"}


def _start(browser: DatastoreBrowser, call: Call, search: Callable[[_Search, str], Any]) -> Any:
    store, path = find_path(browser.registry, call.args["datastorePath"])
    spec = call.get("searchSpec")

    async def work(task: Task) -> Any:
        try:
            return await browser.registry.io(search, _Search(store, spec), path)
        except (FileNotFoundError, NotADirectoryError):
            raise no_such_file(store.shown(path)) from None

    return start_task(call, None, work, cancelable=True)


@handles(DatastoreBrowser, "SearchDatastore_Task")
def search_datastore(browser: DatastoreBrowser, call: Call) -> Any:
    """Search one folder."""
    return _start(browser, call, _Search.folder)


@handles(DatastoreBrowser, "SearchDatastoreSubFolders_Task")
def search_sub_folders(browser: DatastoreBrowser, call: Call) -> Any:
    """Search a folder and all below it."""
    return _start(
        browser,
        call,
        lambda search, path: Typed(
            "ArrayOfHostDatastoreBrowserSearchResults", search.folders(path)
        ),
    )


@handles(DatastoreBrowser, "DeleteFile")
async def delete_file(browser: DatastoreBrowser, call: Call) -> None:
    """Delete a file (an old call; FileManager replaced it)."""
    browser.registry.require_licence()
    store, path = find_path(browser.registry, call.args["datastorePath"])
    await delete(store, path)
