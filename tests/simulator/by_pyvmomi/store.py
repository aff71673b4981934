"""A datastore as who has pyVmomi uses it: the FileManager, the browser, and HTTP beside them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import requests

from tests.simulator.vmomi import vim

if TYPE_CHECKING:
    from tests.simulator.by_pyvmomi.stage import Stage


class StatusError(Exception):
    """An HTTP status that is no success."""

    def __init__(self, status: int) -> None:
        super().__init__(f"HTTP {status}")


@dataclass(frozen=True)
class Entry:
    name: str
    size: int
    is_dir: bool


class Store:
    """The first datastore of a server."""

    def __init__(self, stage: Stage) -> None:
        self.server, self.si, self.datacenter = stage.server, stage.si, stage.datacenter
        self.done = stage.done
        self.browser = stage.datastore.browser
        self.web = requests.Session()
        self.web.trust_env = False
        self.web.verify = str(self.server.ca)

    @property
    def manager(self) -> Any:
        return self.si.content.fileManager

    def path(self, name: str) -> str:
        return f"[{self.server.datastore}] {name}"

    def list(self, folder: str, pattern: str = "*") -> list[Entry]:
        flags = vim.host.DatastoreBrowser.FileInfo.Details(
            fileType=True, fileSize=True, modification=True, fileOwner=False
        )
        spec = vim.host.DatastoreBrowser.SearchSpec(matchPattern=[pattern], details=flags)
        found = self.done(self.browser.SearchDatastore_Task(self.path(folder), spec))
        entries = [
            Entry(
                item.path,
                item.fileSize or 0,
                isinstance(item, vim.host.DatastoreBrowser.FolderInfo),
            )
            for item in found.file
        ]
        return sorted(entries, key=lambda entry: entry.name)

    def stat(self, path: str) -> Entry | None:
        folder, _, name = path.rpartition("/")
        try:
            return next((entry for entry in self.list(folder) if entry.name == name), None)
        except vim.fault.FileNotFound:
            return None

    def exists(self, path: str) -> bool:
        return self.stat(path) is not None

    def mkdir(self, path: str, *, parents: bool = False) -> None:
        self.manager.MakeDirectory(self.path(path), self.datacenter, parents)

    def delete(self, path: str) -> None:
        self.done(self.manager.DeleteDatastoreFile_Task(self.path(path), self.datacenter))

    def move(self, path: str, to: str) -> None:
        self.done(
            self.manager.MoveDatastoreFile_Task(
                self.path(path), self.datacenter, self.path(to), self.datacenter, False
            )
        )

    def copy(self, path: str, to: str) -> None:
        self.done(
            self.manager.CopyDatastoreFile_Task(
                self.path(path), self.datacenter, self.path(to), self.datacenter, False
            )
        )

    def request(self, method: str, path: str, *, cookie: bool = True, **more: Any) -> Any:
        """Send a request for a file and return the answer, whatever it is."""
        headers = dict(more.pop("headers", {}))
        if cookie:
            headers["Cookie"] = self.si._stub.cookie.split(";")[0]
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
        status = self.status("PUT", path, data=data)
        if status not in (200, 201):
            raise StatusError(status)

    def download(self, path: str, first: int | None = None, last: int | None = None) -> bytes:
        headers = {} if first is None else {"Range": f"bytes={first}-{last}"}
        answer = self.request("GET", path, headers=headers)
        if answer.status_code not in (200, 206):
            raise StatusError(answer.status_code)
        return bytes(answer.content)
