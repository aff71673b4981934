"""The verbs that scenarios use, and how to do them by calls alone.

A client overrides a verb where its library has a helper for it, so that the helper is tested.
Imports no client library: oslo.vmware runs in an environment of its own.
"""

from __future__ import annotations

import itertools
import ssl
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import requests

from tests.simulator.values import Entry, Failed, Obj, Ref, new

if TYPE_CHECKING:
    from tests.simulator.servers import Server

PATIENCE = 30
_numbers = itertools.count(1)


class Client(ABC):
    """A session on a server."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._web: requests.Session | None = None

    @property
    @abstractmethod
    def content(self) -> Obj:
        """The service content."""

    @abstractmethod
    def call(self, method: str, this: Ref, **args: Any) -> Any:
        """Call a method, arguments by their names on the wire. Raises `Failed`."""

    @abstractmethod
    def get(self, ref: Ref, path: str) -> Any:
        """Return a property, None if it is unset. Raises `Failed`."""

    @abstractmethod
    def wait(self, task: Ref) -> Any:
        """Wait for a task and return its result. Raises `Failed`."""

    @abstractmethod
    def another(self, password: str | None = None) -> AbstractContextManager[Client]:
        """Log in a second time. Raises `Failed`."""

    def name(self) -> str:
        """Return a name that nobody has yet."""
        return f"v{next(_numbers)}"

    # Reading.

    def filter_spec(self, refs: Iterable[Ref], *paths: str, **limits: Any) -> Obj:
        """Return the spec that reads properties of objects of one type."""
        refs = list(refs)
        return new(
            "PropertyFilterSpec",
            objectSet=[new("ObjectSpec", obj=ref, skip=False) for ref in refs],
            propSet=[new("PropertySpec", type=refs[0].kind, all=False, pathSet=list(paths))],
        )

    def retrieve(self, *specs: Obj) -> list[Obj]:
        """Call RetrieveProperties."""
        collector = self.content.propertyCollector
        return self.call("RetrieveProperties", collector, specSet=list(specs)) or []

    def get_many(self, refs: list[Ref], path: str) -> list[Any]:
        """Return a property of several objects."""
        return [item.propSet[0].val for item in self.retrieve(self.filter_spec(refs, path))]

    def all(self, kind: str) -> list[Ref]:
        """Return all objects of a type, by a view."""
        content = self.content
        view = self.call(
            "CreateContainerView",
            content.viewManager,
            container=content.rootFolder,
            type=[kind],
            recursive=True,
        )
        try:
            return self.get(view, "view") or []
        finally:
            self.call("DestroyView", view)

    def _walk_spec(self) -> Obj:
        """Return what walks from the root to the machines."""
        down, inside = (new("SelectionSpec", name=name) for name in ("down", "machines"))
        steps = [
            new("TraversalSpec", name="down", type="Folder", path="childEntity", skip=False,
                selectSet=[down, inside]),
            new("TraversalSpec", name="machines", type="Datacenter", path="vmFolder", skip=False,
                selectSet=[down]),
        ]  # fmt: skip
        root = new("ObjectSpec", obj=self.content.rootFolder, skip=True, selectSet=steps)
        names = new("PropertySpec", type="VirtualMachine", all=False, pathSet=["name"])
        return new("PropertyFilterSpec", objectSet=[root], propSet=[names])

    def walk(self) -> list[Ref]:
        """Return the machines, found by a walk from the root folder."""
        return [item.obj for item in self.retrieve(self._walk_spec())]

    def walk_in_pages(self) -> list[Ref]:
        """Return the machines, read one at a time."""
        collector = self.content.propertyCollector
        options = new("RetrieveOptions", maxObjects=1)
        page = self.call(
            "RetrievePropertiesEx", collector, specSet=[self._walk_spec()], options=options
        )
        seen = [item.obj for item in page.objects]
        while page.token:
            page = self.call("ContinueRetrievePropertiesEx", collector, token=page.token)
            seen += [item.obj for item in page.objects]
        return seen

    def path_of(self, ref: Ref) -> str:
        """Return the inventory path of an object."""
        parts: list[str] = []
        while (above := self.get(ref, "parent")) is not None:
            parts.insert(0, self.get(ref, "name"))
            ref = above
        return "/".join(parts)

    def watch(self, ref: Ref, path: str, change: Callable[[], object]) -> Any:
        """Watch a property, make a change, and return the value that is reported."""
        collector = self.call("CreatePropertyCollector", self.content.propertyCollector)
        spec = self.filter_spec([ref], path)
        self.call("CreateFilter", collector, spec=spec, partialUpdates=False)
        options = new("WaitOptions", maxWaitSeconds=PATIENCE)
        first = self.call("WaitForUpdatesEx", collector, version="", options=options)
        change()
        second = self.call("WaitForUpdatesEx", collector, version=first.version, options=options)
        self.call("DestroyPropertyCollector", collector)
        return second.filterSet[0].objectSet[0].changeSet[-1].val

    def events(self, spec: Obj) -> list[str]:
        """Return the types of events, oldest first."""
        history = self.call("CreateCollectorForEvents", self.content.eventManager, filter=spec)
        self.call("RewindCollector", history)
        found: list[str] = []
        while page := self.call("ReadNextEvents", history, maxCount=10):
            found += [event._kind for event in page]
        self.call("DestroyCollector", history)
        return found

    # Files.

    @property
    def datacenter(self) -> Ref:
        return self.all("Datacenter")[0]

    def store(self) -> Ref:
        """Return the first datastore of the inventory; the datacenter itself names one that vcsim has not."""
        folder = self.get(self.datacenter, "datastoreFolder")
        found: Ref = self.get(folder, "childEntity")[0]
        return found

    def path(self, name: str) -> str:
        return f"[{self.server.datastore}] {name}"

    def entries(self, folder: str, pattern: str = "*") -> list[Entry]:
        """Return the entries of a folder, by name."""
        details = new("FileQueryFlags", fileType=True, fileSize=True, modification=True,
                      fileOwner=False)  # fmt: skip
        spec = new("HostDatastoreBrowserSearchSpec", matchPattern=[pattern], details=details)
        browser = self.get(self.store(), "browser")
        found = self.wait(
            self.call(
                "SearchDatastore_Task", browser, datastorePath=self.path(folder), searchSpec=spec
            )
        )
        return sorted(
            Entry(item.path, item.fileSize or 0, item._kind == "FolderFileInfo")
            for item in found.file or ()
        )

    def exists(self, path: str) -> bool:
        folder, _, name = path.rpartition("/")
        try:
            return any(entry.name == name for entry in self.entries(folder))
        except Failed as error:
            if str(error) == "FileNotFound":
                return False
            raise

    def mkdir(self, path: str, *, parents: bool = False) -> None:
        self.call(
            "MakeDirectory",
            self.content.fileManager,
            name=self.path(path),
            datacenter=self.datacenter,
            createParentDirectories=parents,
        )

    def _transfer(self, method: str, path: str, to: str) -> None:
        place = self.datacenter
        task = self.call(
            method,
            self.content.fileManager,
            sourceName=self.path(path),
            sourceDatacenter=place,
            destinationName=self.path(to),
            destinationDatacenter=place,
            force=False,
        )
        self.wait(task)

    def move(self, path: str, to: str) -> None:
        self._transfer("MoveDatastoreFile_Task", path, to)

    def copy(self, path: str, to: str) -> None:
        self._transfer("CopyDatastoreFile_Task", path, to)

    def delete(self, path: str) -> None:
        manager, place = self.content.fileManager, self.datacenter
        self.wait(
            self.call("DeleteDatastoreFile_Task", manager, name=self.path(path), datacenter=place)
        )

    # HTTP.

    def cookie(self) -> str:
        """Return the session's cookie as a header."""
        raise NotImplementedError

    @property
    def web(self) -> requests.Session:
        if self._web is None:
            self._web = requests.Session()
            self._web.trust_env = False
            self._web.verify = str(self.server.ca)
        return self._web

    @property
    def trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.server.ca))

    def request(self, method: str, path: str, *, cookie: bool = True, **more: Any) -> Any:
        """Send a request for a file and return the answer, whatever it is."""
        headers = dict(more.pop("headers", {}))
        if cookie:
            headers["Cookie"] = self.cookie()
        query = {"dcPath": self.server.datacenter, "dsName": self.server.datastore}
        return self.web.request(
            method,
            f"{self.server.url.removesuffix('/sdk')}/folder/{quote(path)}",
            params={**query, **more.pop("params", {})},
            headers=headers,
            **more,
        )

    def status(self, method: str, path: str, **more: Any) -> int:
        return int(self.request(method, path, **more).status_code)

    def upload(self, path: str, data: bytes) -> None:
        """Write a file. Raises `Failed`."""
        status = self.status("PUT", path, data=data)
        if status not in (200, 201):
            raise Failed(f"HTTP {status}")

    def download(self, path: str, part: tuple[int, int] | None = None) -> bytes:
        """Return a file, or its bytes from `part[0]` up to, not including, `part[1]`. Raises `Failed`."""
        headers = {} if part is None else {"Range": f"bytes={part[0]}-{part[1] - 1}"}
        answer = self.request("GET", path, headers=headers)
        if answer.status_code not in (200, 206):
            raise Failed(f"HTTP {answer.status_code}")
        return bytes(answer.content)

    # Leases.

    def _ready(self, lease: Ref) -> list[Obj]:
        """Wait for a lease; return its devices. Raises `Failed`."""
        while (state := self.get(lease, "state")) == "initializing":
            time.sleep(0.01)
        if state == "error":
            raise Failed(self.get(lease, "error").fault._kind)
        devices: list[Obj] = self.get(lease, "info").deviceUrl
        return devices

    def _url(self, device: Obj) -> str:
        """Return the URL of a device's bytes: a host writes `*` for itself, with or without its port."""
        return f"https://127.0.0.1:{self.server.port}{urlsplit(device.url).path}"

    def import_vm(self, spec: Obj, pool: Ref, folder: Ref, image: bytes) -> None:
        """Import a machine, whose disks are all `image`."""
        lease = self.call("ImportVApp", pool, spec=spec, folder=folder)
        headers = {"Cookie": self.cookie(), "Content-Type": "application/x-vnd.vmware-streamVmdk"}
        for device in self._ready(lease):
            answer = self.web.post(self._url(device), data=image, headers=headers)
            assert answer.status_code in (200, 201), answer.status_code
        self.call("HttpNfcLeaseComplete", lease)

    def abort_import(self, spec: Obj, pool: Ref, folder: Ref, image: bytes) -> None:
        """Begin to import a machine and give up."""
        lease = self.call("ImportVApp", pool, spec=spec, folder=folder)
        self._ready(lease)
        self.call("HttpNfcLeaseAbort", lease)

    def export_vm(self, vm: Ref) -> bytes:
        """Return the first disk of a machine. Raises `Failed`."""
        lease = self.call("ExportVm", vm)
        device = self._ready(lease)[0]
        answer = self.web.get(self._url(device), headers={"Cookie": self.cookie()})
        self.call("HttpNfcLeaseComplete", lease)
        return bytes(answer.content)
