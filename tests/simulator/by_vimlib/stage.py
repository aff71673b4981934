"""What each scenario of our own client gets: a client, and the objects that all of them need."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import vimlib
from tests.simulator.servers import Server
from vimlib import vim25
from vimlib._client import Client
from vimlib.errors import (
    ConnectionLostError,
    LoginError,
    NotFoundError,
    OutcomeUnknownError,
    TransferRejectedError,
    VimlibError,
)
from vimlib.model import MethodFault

T = TypeVar("T")
VM = vim25.VirtualMachine

_numbers = itertools.count(1)


@dataclass
class Stage:
    """A client of a server, and where things are on it."""

    server: Server
    client: Client
    datacenter: vim25.Datacenter
    folder: vim25.Folder
    pool: vim25.ResourcePool
    host: vim25.HostSystem
    network: vim25.HostNetworkSystem

    @property
    def files(self) -> vimlib.Datastore:
        return self.client.datastore(self.server.datastore)

    def path(self, name: str) -> str:
        return f"[{self.server.datastore}] {name}"

    def name(self) -> str:
        """Return a name that nobody has yet."""
        return f"v{next(_numbers)}"

    def spec(self, name: str = "", **more: Any) -> vim25.VirtualMachineConfigSpec:
        given: dict[str, Any] = {
            "name": name or self.name(),
            "memoryMB": 128,
            "numCPUs": 1,
            "guestId": "otherGuest",
            "files": vim25.VirtualMachineFileInfo(vmPathName=f"[{self.server.datastore}]"),
        }
        return vim25.VirtualMachineConfigSpec(**{**given, **more})

    async def create(self, name: str = "", *, disk_kb: int = 0, **more: Any) -> VM:
        if disk_kb:
            more["deviceChange"] = disk(disk_kb, file=f"[{self.server.datastore}]")
        task = await self.folder.CreateVM_Task(self.spec(name, **more), self.pool)
        return await self.client.wait(task)

    async def running(self) -> VM:
        vm = await self.create()
        await self.done(vm.PowerOnVM_Task())
        return vm

    async def done(self, start: Awaitable[vim25.Task[T]]) -> T:
        """Start a task and wait for its result."""
        return await self.client.wait(await start)

    async def state(self, vm: VM) -> Any:
        return (await self.client.get(vm, "runtime.powerState"))["runtime.powerState"]

    async def read(self, obj: vim25.ManagedObject, path: str) -> Any:
        return (await self.client.get(obj, path)).get(path)

    async def devices(self, vm: VM, kind: type[T]) -> list[T]:
        found = await self.read(vm, "config.hardware.device")
        return [device for device in found if isinstance(device, kind)]

    async def reconfigure(self, vm: VM, **fields: Any) -> None:
        await self.done(vm.ReconfigVM_Task(vim25.VirtualMachineConfigSpec(**fields)))

    async def change(
        self, vm: VM, operation: str, device: vim25.VirtualDevice, **more: Any
    ) -> None:
        change = vim25.VirtualDeviceConfigSpec(operation=operation, device=device, **more)
        await self.reconfigure(vm, deviceChange=[change])

    async def create_disk(self, path: str, kind: str = "thin", kb: int = 1024) -> str:
        spec = vim25.FileBackedVirtualDiskSpec(diskType=kind, adapterType="lsiLogic", capacityKb=kb)
        manager = there(self.client.content.virtualDiskManager)
        await self.done(manager.CreateVirtualDisk_Task(path, datacenter=self.datacenter, spec=spec))
        return path


Scenario = Callable[[Stage], Awaitable[Any]]
SCENARIOS: dict[str, Scenario] = {}


def scenario(function: Scenario) -> Scenario:
    assert function.__name__ not in SCENARIOS, function.__name__
    SCENARIOS[function.__name__] = function
    return function


def there(value: T | None) -> T:
    """Return what the server surely has."""
    assert value is not None
    return value


async def outcome(doing: Awaitable[Any]) -> str:
    """Return how something ends: `ok`, the fault's name, or what else came of it."""
    try:
        await doing
    except VimlibError as error:
        return told(error)
    return "ok"


def told(error: VimlibError) -> str:
    """Return the words by which scenarios of all clients name an error."""
    match error:
        case MethodFault():
            return error.fault_name
        case LoginError():
            return "InvalidLogin"
        case NotFoundError():  # what our helpers make of FileNotFound
            return "FileNotFound"
        case TransferRejectedError():
            return f"HTTP {error.status}"
        case OutcomeUnknownError() | ConnectionLostError():
            return "no answer"
    raise error


async def play(function: Scenario, stage: Stage) -> Any:
    """Return what a scenario found, or the error in which it ended."""
    try:
        return await function(stage)
    except VimlibError as error:
        return told(error)


@asynccontextmanager
async def logged_in(server: Server) -> AsyncIterator[Client]:
    async with vimlib.connect(
        server.url, server.username, server.password, tls=vimlib.TLS(pin=server.thumbprint)
    ) as client:
        yield client


@asynccontextmanager
async def staged(server: Server) -> AsyncIterator[Stage]:
    """Log in and look around."""
    async with logged_in(server) as client:
        datacenter = (await client.collect(vim25.Datacenter, "vmFolder").all())[0]
        pool = (await client.collect(vim25.ResourcePool).all())[0]
        host = (await client.collect(vim25.HostSystem, "configManager.networkSystem").all())[0]
        yield Stage(
            server,
            client,
            datacenter.obj,
            datacenter["vmFolder"],
            pool.obj,
            host.obj,
            host["configManager.networkSystem"],
        )


def disk(
    size_kb: int,
    *,
    file: str = "",
    operation: str | None = "create",
    unit: int = 0,
    controller: int | None = None,
) -> list[vim25.VirtualDeviceConfigSpec]:
    """Return the changes that add a disk: with a controller of its own, or on the one named."""
    changes = []
    if controller is None:
        changes.append(
            vim25.VirtualDeviceConfigSpec(
                operation="add",
                device=vim25.VirtualLsiLogicController(key=-10, busNumber=0, sharedBus="noSharing"),
            )
        )
    device = vim25.VirtualDisk(
        key=-20,
        controllerKey=-10 if controller is None else controller,
        unitNumber=unit,
        capacityInKB=size_kb,
        backing=vim25.VirtualDiskFlatVer2BackingInfo(
            fileName=file, diskMode="persistent", thinProvisioned=True
        ),
    )
    changes.append(
        vim25.VirtualDeviceConfigSpec(operation="add", fileOperation=operation, device=device)
    )
    return changes


def adapter(network: str = "VM Network") -> vim25.VirtualDevice:
    return vim25.VirtualVmxnet3(
        key=-30, backing=vim25.VirtualEthernetCardNetworkBackingInfo(deviceName=network)
    )
