from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from tests.simulator.conftest import Host, browsing
from tests.simulator.vmomi import vim
from vimlib.simulator import ESXHost

pytestmark = pytest.mark.slow
QUERY = {"dcPath": "ha-datacenter", "dsName": "datastore1"}


class Web:
    """The host's `/folder` with the cookie of pyVmomi's session."""

    def __init__(self, host: Host, session: requests.Session) -> None:
        self.host, self.session = host, session
        self.cookie = host.si._stub.cookie.split(";")[0]

    def __call__(
        self,
        method: str,
        path: str,
        *,
        cookie: bool = True,
        query: dict[str, str] | None = None,
        **more: Any,
    ) -> Any:
        headers = {**more.pop("headers", {}), **({"Cookie": self.cookie} if cookie else {})}
        url = f"https://127.0.0.1:{self.host.esx.port}/folder{path}"
        return self.session.request(
            method, url, params=QUERY if query is None else query, headers=headers, **more
        )


@pytest.fixture
def web(shared: Host) -> Iterator[Web]:
    with browsing(shared.esx) as session:
        yield Web(shared, session)


def test_files_need_a_session(web: Web) -> None:
    for method in ("GET", "PUT", "HEAD", "DELETE"):
        answer = web(method, "/vm-0/vm-0.vmx", cookie=False, data=b"x" if method == "PUT" else None)
        assert answer.status_code == 401
        assert "Basic" in answer.headers["WWW-Authenticate"]
    wrong = web(
        "GET", "/vm-0/vm-0.vmx", cookie=False, headers={"Cookie": "vmware_soap_session=forged"}
    )
    assert wrong.status_code == 401


def test_files_are_served_by_basic_authentication(web: Web) -> None:
    esx: ESXHost = web.host.esx
    answer = web("GET", "/vm-0/vm-0.vmx", cookie=False, auth=("root", esx.credentials.password))
    assert answer.status_code == 200
    assert web("GET", "/vm-0/vm-0.vmx", cookie=False, auth=("root", "wrong")).status_code == 401


def test_a_ticket_allows_one_request(web: Web) -> None:
    url = f"https://127.0.0.1:{web.host.esx.port}/folder/ticket.bin?dcPath=ha-datacenter&dsName=datastore1"
    spec = vim.SessionManager.HttpServiceRequestSpec(method="httpPut", url=url)
    manager = web.host.content.sessionManager
    cookie = {"Cookie": f"vmware_cgi_ticket={manager.AcquireGenericServiceTicket(spec).id}"}
    assert web("PUT", "/ticket.bin", cookie=False, headers=cookie, data=b"x").status_code == 201
    assert web("PUT", "/ticket.bin", cookie=False, headers=cookie, data=b"x").status_code == 401
    other = {"Cookie": f"vmware_cgi_ticket={manager.AcquireGenericServiceTicket(spec).id}"}
    assert web("PUT", "/other.bin", cookie=False, headers=other, data=b"x").status_code == 401


def test_ranges_and_heads(web: Web) -> None:
    web("PUT", "/range.bin", data=bytes(range(100)))
    assert web("HEAD", "/range.bin").headers["Content-Length"] == "100"
    for wanted, start, end in (
        ("bytes=10-19", 10, 20),
        ("bytes=90-", 90, 100),
        ("bytes=-5", 95, 100),
        ("bytes=0-999", 0, 100),
    ):
        answer = web("GET", "/range.bin", headers={"Range": wanted})
        assert answer.status_code == 206
        assert answer.content == bytes(range(start, end))
        assert answer.headers["Content-Range"] == f"bytes {start}-{end - 1}/100"
    assert web("GET", "/range.bin", headers={"Range": "bytes=100-"}).status_code == 416


def test_missing_files_and_parameters_are_refused(web: Web) -> None:
    assert web("GET", "/no/such").status_code == 404
    assert web("PUT", "/x", query={"dcPath": "ha-datacenter"}, data=b"x").status_code == 400


@pytest.mark.parametrize(
    "query",
    [
        "dcPath=ha-datacenter",
        "dcPath=/ha-datacenter",
        "dcPath=%2Fha-datacenter",
        "dcPath=ha%2ddatacenter",
        "dcPath=ha%252ddatacenter",
        "dcPath=%252fha%252ddatacenter",
        "dcPath=/",
        "",
    ],
)
def test_the_datacenter_is_named_as_clients_and_listings_do(web: Web, query: str) -> None:
    answer = web("PUT", f"/named.bin?dsName=datastore1&{query}", query={}, data=b"x")
    assert answer.status_code in (200, 201)


def test_links_of_listings_can_be_followed(web: Web) -> None:
    path, seen = "", []
    for wanted in ("dcPath=", "dsName=", "vm-0/", "vm-0.vmx"):
        page = web("GET", path, query={}).text
        links = [html.unescape(link) for link in re.findall('href="/folder([^"]*)"', page)]
        path = next(link for link in links if wanted in link)
        seen.append(path)
    assert seen[1] == "?dcPath=ha%252ddatacenter&dsName=datastore1"
    assert "virtualHW.version" in web("GET", path, query={}).text


def test_a_put_creates_missing_folders(web: Web) -> None:
    assert web("PUT", "/made/below/a.bin", data=b"x").status_code == 201
    assert web("GET", "/made/below/a.bin").content == b"x"
    assert web("PUT", "/made/below/a.bin/b.bin", data=b"x").status_code == 404


def test_a_put_into_a_missing_folder_is_refused_on_order(connect: Callable[..., Host]) -> None:
    host = connect(put_creates_folders=False)
    with browsing(host.esx) as session:
        assert Web(host, session)("PUT", "/no/such", data=b"x").status_code == 404
    assert not host.esx.datastore_path().joinpath("no").exists()


def test_a_file_is_deleted_and_a_folder_is_not(web: Web) -> None:
    web("PUT", "/doomed/a.bin", data=b"x")
    assert web("DELETE", "/doomed").status_code == 405
    assert web("PUT", "/doomed", data=b"x").status_code == 405
    assert web("DELETE", "/doomed/a.bin").status_code == 204
    assert web("DELETE", "/doomed/a.bin").status_code == 404
    assert web("DELETE", "/").status_code == 405


def test_paths_do_not_leave_the_datastore(web: Web) -> None:
    for path in ("/%2e%2e/%2e%2e/etc/passwd", "/vm-0/..%2f..%2f..%2fetc/passwd", "/a%00b"):
        assert web("GET", path).status_code == 400


def test_listings(web: Web) -> None:
    assert "vm-0/" in web("GET", "/").text
    assert "vm-0.vmx" in web("GET", "/vm-0").text
    assert "dsName=datastore1" in web("GET", "", query={"dcPath": "ha-datacenter"}).text
    assert "dcPath=ha%252ddatacenter" in web("GET", "", query={}).text


def test_a_full_datastore_answers_507(connect: Callable[..., Host]) -> None:
    host = connect(capacity=2 << 20)
    with browsing(host.esx) as session:
        web = Web(host, session)
        assert web("PUT", "/big.bin", data=bytes(3 << 20)).status_code == 507
        assert not host.esx.datastore_path().joinpath("big.bin").exists()
        assert web("PUT", "/fits.bin", data=bytes(1 << 20)).status_code == 201
        assert web("PUT", "/fits.bin", data=bytes(1 << 20)).status_code == 200
        assert web("PUT", "/second.bin", data=bytes(2 << 20)).status_code == 507
        assert host.datacenter.datastore[0].summary.freeSpace == 1 << 20


def test_a_locked_file_is_forbidden(shared: Host, web: Web) -> None:
    vm = shared.create("locked", disk_kb=1024)
    shared.done(vm.PowerOnVM_Task())
    assert web("PUT", "/locked/locked-flat.vmdk", data=b"x").status_code == 403
    assert web("DELETE", "/locked/locked.vmdk").status_code == 403
    shared.done(vm.PowerOffVM_Task())
    assert web("PUT", "/locked/locked-flat.vmdk", data=b"x").status_code == 200


def test_a_free_licence_forbids_writing(connect: Callable[..., Host]) -> None:
    host = connect(vms=1, licensed=False)
    with browsing(host.esx) as session:
        web = Web(host, session)
        assert web("PUT", "/x", data=b"x").status_code == 403
        assert web("GET", "/vm-0/vm-0.vmx").status_code == 200


def test_a_forced_copy_replaces_a_file(shared: Host) -> None:
    folder = shared.esx.datastore_path()
    (folder / "file").write_bytes(b"abc")
    (folder / "copy").write_bytes(b"older")
    center = shared.datacenter
    args = ("[datastore1] file", center, "[datastore1] copy", center, True)
    shared.done(shared.content.fileManager.CopyDatastoreFile_Task(*args))
    assert (folder / "copy").read_bytes() == b"abc"


@pytest.mark.parametrize(
    "path", ["no brackets", "[datastore1] ../outside", "[datastore1] a/../../b"]
)
def test_invalid_paths_are_refused(shared: Host, path: str) -> None:
    with pytest.raises(vim.fault.InvalidDatastorePath):
        shared.done(shared.content.fileManager.DeleteDatastoreFile_Task(path, shared.datacenter))


def test_the_root_cannot_be_deleted(shared: Host) -> None:
    with pytest.raises(vim.fault.CannotDeleteFile):
        shared.done(
            shared.content.fileManager.DeleteDatastoreFile_Task("[datastore1]", shared.datacenter)
        )
    assert shared.files("[datastore1]")


def test_searches(shared: Host) -> None:
    search = vim.host.DatastoreBrowser
    assert shared.files("[datastore1] vm-0", matchPattern=["*.VMX"])["vm-0.vmx"] > 100
    assert (
        shared.files("[datastore1] vm-0", matchPattern=["*.VMX"], searchCaseInsensitive=False) == {}
    )
    only = shared.files("[datastore1] vm-0", query=[search.VmConfigQuery()])
    assert set(only) == {"vm-0.vmx"}
    browser = shared.datacenter.datastore[0].browser
    spec = search.SearchSpec(
        query=[
            search.VmDiskQuery(
                details=search.VmDiskQuery.Details(
                    diskType=True,
                    capacityKb=True,
                    hardwareVersion=True,
                    controllerType=True,
                    diskExtents=True,
                    thin=True,
                )
            )
        ],
        details=search.FileInfo.Details(fileType=True, fileSize=True, modification=True),
    )
    [disk] = shared.done(browser.SearchDatastore_Task("[datastore1] vm-0", spec)).file
    assert isinstance(disk, search.VmDiskInfo)
    assert (disk.path, disk.capacityKb, disk.thin) == ("vm-0.vmdk", 1 << 20, True)
    assert disk.diskExtents == ["[datastore1] vm-0/vm-0-flat.vmdk"]
    everywhere = shared.done(browser.SearchDatastoreSubFolders_Task("[datastore1]", None))
    assert {"[datastore1]", "[datastore1] vm-0/"} <= {found.folderPath for found in everywhere}
    with pytest.raises(vim.fault.FileNotFound):
        shared.files("[datastore1] nowhere")


def test_a_wrong_size_can_be_reported(host: Host) -> None:
    true = host.files("[datastore1] vm-0")["vm-0.vmx"]
    host.esx.threadsafe(host.esx.lie, "datastore1", "vm-0/vm-0.vmx", 7)
    assert host.files("[datastore1] vm-0")["vm-0.vmx"] == 7
    host.esx.threadsafe(host.esx.lie, "datastore1", "vm-0/vm-0.vmx", None)
    assert host.files("[datastore1] vm-0")["vm-0.vmx"] == true


def test_the_picture_of_a_screen(shared: Host, web: Web) -> None:
    vm = shared.datacenter.vmFolder.childEntity[0]
    base = f"https://127.0.0.1:{shared.esx.port}/screen?id={vm._moId}"
    assert web.session.get(base).status_code == 401
    assert web.session.get(base, headers={"Cookie": web.cookie}).status_code == 500
    shared.done(vm.PowerOnVM_Task())
    assert web.session.get(base, headers={"Cookie": web.cookie}).content.startswith(b"\x89PNG")
    shared.done(vm.PowerOffVM_Task())
