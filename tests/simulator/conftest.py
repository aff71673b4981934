"""The simulated host as clients that we did not write see it: pyVmomi here, oslo.vmware in its own environment.

Scenarios block, so the host runs in a thread. One host serves a module; a scenario that breaks
something for others takes a host of its own (`host`, `connect`).
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import requests

from tests.simulator import trust
from tests.simulator.vmomi import Disconnect, SmartConnect, WaitForTask, vim
from vimlib.simulator import ESXHost
from vimlib.simulator._run import in_thread

_names = (f"vm{number}" for number in itertools.count(1))


def login(esx: ESXHost, password: str | None = None, user: str = "root") -> Any:
    """Return a ServiceInstance of a new session. The certificate is verified."""
    return SmartConnect(
        host="127.0.0.1",
        port=esx.port,
        user=user,
        pwd=esx.credentials.password if password is None else password,
        sslContext=trust.context(esx),
    )


def leave(si: Any) -> None:
    """Log out and close the sockets that pyVmomi keeps."""
    try:
        Disconnect(si)
    except (vim.fault.NotAuthenticated, ConnectionError):
        pass  # the scenario ended the session
    finally:
        si._stub.DropConnections()


@dataclass
class Host:
    """A host with a client on it, and short names for what every scenario needs."""

    esx: ESXHost
    si: Any

    @property
    def content(self) -> Any:
        return self.si.content

    @property
    def datacenter(self) -> Any:
        return self.content.rootFolder.childEntity[0]

    @property
    def pool(self) -> Any:
        return self.datacenter.hostFolder.childEntity[0].resourcePool

    @property
    def system(self) -> Any:
        return self.datacenter.hostFolder.childEntity[0].host[0]

    def done(self, task: Any) -> Any:
        """Wait for a task; return its result or raise its fault."""
        WaitForTask(task, si=self.si)
        return task.info.result

    def spec(self, name: str = "", **more: Any) -> Any:
        given: dict[str, Any] = {
            "name": name or next(_names),
            "memoryMB": 256,
            "numCPUs": 1,
            "guestId": "otherGuest64",
            "files": vim.vm.FileInfo(vmPathName="[datastore1]"),
        }
        given.update(more)
        return vim.vm.ConfigSpec(**given)

    def create(self, name: str = "", *, disk_kb: int = 0, nic: bool = False, **more: Any) -> Any:
        """Make a machine."""
        changes = list(more.pop("deviceChange", []))
        if disk_kb:
            changes += disk(disk_kb)
        if nic:
            changes.append(adapter())
        return self.done(
            self.datacenter.vmFolder.CreateVM_Task(
                self.spec(name, deviceChange=changes, **more), self.pool
            )
        )

    def files(self, path: str, **details: Any) -> dict[str, int]:
        """Return names and sizes in a folder of a datastore."""
        spec = vim.host.DatastoreBrowser.SearchSpec(
            details=vim.host.DatastoreBrowser.FileInfo.Details(
                fileType=True, fileSize=True, modification=True
            ),
            **details,
        )
        found = self.done(self.datacenter.datastore[0].browser.SearchDatastore_Task(path, spec))
        return {item.path: item.fileSize for item in found.file}


def adapter(network: str = "VM Network", **more: Any) -> Any:
    backing = vim.vm.device.VirtualEthernetCard.NetworkBackingInfo(deviceName=network)
    device = vim.vm.device.VirtualVmxnet3(key=-30, backing=backing, **more)
    return vim.vm.device.VirtualDeviceSpec(operation="add", device=device)


def disk(
    size_kb: int,
    *,
    thin: bool = True,
    file: str = "",
    operation: str | None = "create",
    scsi: bool = True,
) -> list[Any]:
    """Return the changes for a controller and a disk on it."""
    backing = vim.vm.device.VirtualDisk.FlatVer2BackingInfo(
        fileName=file, diskMode="persistent", thinProvisioned=thin
    )
    made = vim.vm.device.VirtualDisk(
        key=-20,
        controllerKey=-10 if scsi else 200,
        unitNumber=0,
        capacityInKB=size_kb,
        backing=backing,
    )
    changes = []
    if scsi:
        controller = vim.vm.device.VirtualLsiLogicController(
            key=-10, busNumber=0, sharedBus="noSharing"
        )
        changes.append(vim.vm.device.VirtualDeviceSpec(operation="add", device=controller))
    changes.append(
        vim.vm.device.VirtualDeviceSpec(operation="add", fileOperation=operation, device=made)
    )
    return changes


@contextmanager
def serving(**options: Any) -> Iterator[Host]:
    with in_thread(**options) as esx:
        si = login(esx)
        try:
            yield Host(esx, si)
        finally:
            leave(si)


@pytest.fixture(scope="module")
def shared() -> Iterator[Host]:
    """A host for the scenarios of a module that do not disturb each other."""
    with serving(vms=3) as host:
        yield host


@pytest.fixture
def connect() -> Iterator[Callable[..., Host]]:
    """Start hosts with options of the test's own."""
    with ExitStack() as stack:
        yield lambda **options: stack.enter_context(serving(**options))


@contextmanager
def browsing(esx: ESXHost) -> Iterator[requests.Session]:
    """Give an HTTP session that trusts the host's certificate alone."""
    with requests.Session() as session, tempfile.NamedTemporaryFile(suffix=".pem") as file:
        file.write(esx.certificate_pem)
        file.flush()
        session.trust_env = False
        session.verify = file.name
        yield session


@pytest.fixture
def host(connect: Callable[..., Host]) -> Host:
    """A host of the test's own, with one machine."""
    return connect(vms=1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """pyVmomi leaves the socket of a login that failed to the garbage collector."""
    for item in items:
        if "test_pyvmomi" in str(item.path) or item.path.stem == "test_scenarios":
            item.add_marker(
                pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
            )
