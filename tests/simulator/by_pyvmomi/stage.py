"""What each scenario of pyVmomi gets: a session, and the objects that all of them need."""

from __future__ import annotations

import http.client
import itertools
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from xml.parsers.expat import ExpatError

from tests.simulator.by_pyvmomi.store import StatusError, Store
from tests.simulator.conftest import leave
from tests.simulator.servers import Server
from tests.simulator.vmomi import SmartConnect, WaitForTask, vim, vmodl

PC: Any = vmodl.query.PropertyCollector

_numbers = itertools.count(1)


@dataclass
class Stage:
    """A session on a server, and where things are on it."""

    server: Server
    si: Any

    def __post_init__(self) -> None:
        self.files = Store(self)

    @property
    def content(self) -> Any:
        return self.si.content

    @property
    def datacenter(self) -> Any:
        return self.content.rootFolder.childEntity[0]

    @property
    def datastore(self) -> Any:
        """The first that the inventory has; the datacenter itself names one that vcsim has not."""
        return self.datacenter.datastoreFolder.childEntity[0]

    @property
    def folder(self) -> Any:
        return self.datacenter.vmFolder

    @property
    def pool(self) -> Any:
        return self.datacenter.hostFolder.childEntity[0].resourcePool

    @property
    def host(self) -> Any:
        return self.datacenter.hostFolder.childEntity[0].host[0]

    @property
    def network(self) -> Any:
        return self.host.configManager.networkSystem

    def path(self, name: str) -> str:
        return f"[{self.server.datastore}] {name}"

    def name(self) -> str:
        """Return a name that nobody has yet."""
        return f"p{next(_numbers)}"

    def spec(self, name: str = "", **more: Any) -> Any:
        given: dict[str, Any] = {
            "name": name or self.name(),
            "memoryMB": 128,
            "numCPUs": 1,
            "guestId": "otherGuest",
            "files": vim.vm.FileInfo(vmPathName=f"[{self.server.datastore}]"),
        }
        return vim.vm.ConfigSpec(**{**given, **more})

    def create(self, name: str = "", *, disk_kb: int = 0, **more: Any) -> Any:
        if disk_kb:
            more["deviceChange"] = disk(disk_kb, file=f"[{self.server.datastore}]")
        return self.done(self.folder.CreateVM_Task(self.spec(name, **more), self.pool))

    def running(self) -> Any:
        vm = self.create()
        self.done(vm.PowerOnVM_Task())
        return vm

    def done(self, task: Any) -> Any:
        """Wait for a task; return its result or raise its fault."""
        # Not by the whole of `info`, which pyVmomi cannot always read; and vcsim's tasks are over
        # when the call returns, where a wait would take a quarter of a second.
        if self.read(task, "info.state") not in ("success", "error"):
            WaitForTask(task, si=self.si)
        if self.read(task, "info.state") == "error":
            raise self.read(task, "info.error")
        return self.read(task, "info.result")

    def read(self, obj: Any, path: str) -> Any:
        """Return a property by the collector; None where it is not set, which vcsim's Fetch does not stand."""
        spec = PC.FilterSpec(
            objectSet=[PC.ObjectSpec(obj=obj)],
            propSet=[PC.PropertySpec(type=type(obj), pathSet=[path])],
        )
        [found] = self.content.propertyCollector.RetrieveContents([spec])
        return found.propSet[0].val if found.propSet else None

    def state(self, vm: Any) -> str:
        return str(vm.runtime.powerState)

    def devices(self, vm: Any, kind: Any) -> list[Any]:
        return [device for device in vm.config.hardware.device if isinstance(device, kind)]

    def reconfigure(self, vm: Any, **fields: Any) -> None:
        self.done(vm.ReconfigVM_Task(vim.vm.ConfigSpec(**fields)))

    def change(self, vm: Any, operation: str, device: Any, **more: Any) -> None:
        change = vim.vm.device.VirtualDeviceSpec(operation=operation, device=device, **more)
        self.reconfigure(vm, deviceChange=[change])

    def create_disk(self, path: str, kind: str = "thin", kb: int = 1024) -> str:
        spec = vim.VirtualDiskManager.FileBackedVirtualDiskSpec(
            diskType=kind, adapterType="lsiLogic", capacityKb=kb
        )
        manager = self.content.virtualDiskManager
        self.done(manager.CreateVirtualDisk_Task(path, self.datacenter, spec))
        return path

    def all(self, kind: Any) -> list[Any]:
        """Return all objects of a kind, by a view."""
        root = self.content.rootFolder
        view = self.content.viewManager.CreateContainerView(root, [kind], True)
        try:
            return list(view.view)
        finally:
            view.DestroyView()


Scenario = Callable[[Stage], Any]
SCENARIOS: dict[str, Scenario] = {}


def scenario(function: Scenario) -> Scenario:
    assert function.__name__ not in SCENARIOS, function.__name__
    SCENARIOS[function.__name__] = function
    return function


def outcome(function: Callable[..., Any], *args: Any) -> str:
    """Return how a call ends: `ok`, the fault's name, or what else came of it."""
    return str(_told(lambda: (function(*args), "ok")[1]))


def play(function: Scenario, stage: Stage) -> Any:
    """Return what a scenario found, or the error in which it ended."""
    return _told(lambda: function(stage))


def _told(function: Callable[[], Any]) -> Any:
    try:
        return function()
    except vmodl.MethodFault as fault:
        return named(fault)
    except StatusError as error:
        return str(error)
    except (http.client.RemoteDisconnected, ExpatError):  # an empty reply is none
        return "no answer"


def named(value: Any) -> str:
    """Return the last part of the name of a value's type."""
    return type(value).__name__.rpartition(".")[2]


def connect(server: Server, password: str | None = None) -> Any:
    return SmartConnect(
        host="127.0.0.1",
        port=server.port,
        user=server.username,
        pwd=server.password if password is None else password,
        sslContext=ssl.create_default_context(cafile=str(server.ca)),
    )


@contextmanager
def logged_in(server: Server) -> Iterator[Any]:
    si = connect(server)
    try:
        yield si
    finally:
        leave(si)


@contextmanager
def staged(server: Server) -> Iterator[Stage]:
    with logged_in(server) as si:
        stage = Stage(server, si)
        with stage.files.web:
            yield stage


def disk(
    size_kb: int,
    *,
    file: str = "",
    operation: str | None = "create",
    unit: int = 0,
    controller: int | None = None,
) -> list[Any]:
    """Return the changes that add a disk: with a controller of its own, or on the one named."""
    changes = []
    if controller is None:
        device = vim.vm.device.VirtualLsiLogicController(
            key=-10, busNumber=0, sharedBus="noSharing"
        )
        changes.append(vim.vm.device.VirtualDeviceSpec(operation="add", device=device))
    made = vim.vm.device.VirtualDisk(
        key=-20,
        controllerKey=-10 if controller is None else controller,
        unitNumber=unit,
        capacityInKB=size_kb,
        backing=vim.vm.device.VirtualDisk.FlatVer2BackingInfo(
            fileName=file, diskMode="persistent", thinProvisioned=True
        ),
    )
    changes.append(
        vim.vm.device.VirtualDeviceSpec(operation="add", fileOperation=operation, device=made)
    )
    return changes


def adapter(network: str = "VM Network") -> Any:
    backing = vim.vm.device.VirtualEthernetCard.NetworkBackingInfo(deviceName=network)
    return vim.vm.device.VirtualVmxnet3(key=-30, backing=backing)
