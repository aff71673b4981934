"""What each scenario gets: a client, the objects that all of them need, and the table of scenarios."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, get_args

from tests.simulator.clients.base import Client
from tests.simulator.values import Failed, Obj, Ref, new

ClientName = Literal["vimlib", "pyvmomi", "oslo"]
CLIENTS: tuple[ClientName, ...] = get_args(ClientName)


class Stage:
    """A session on a server, and where things are on it."""

    def __init__(self, client: Client) -> None:
        # `Any`, so that a scenario of one client can use its own methods.
        self.client: Any = client
        self.server = client.server
        self.call, self.get, self.wait = client.call, client.get, client.wait
        self.name, self.path, self.all = client.name, client.path, client.all

    @cached_property
    def content(self) -> Obj:
        return self.client.content  # type: ignore[no-any-return]

    @cached_property
    def datacenter(self) -> Ref:
        return self.all("Datacenter")[0]

    @cached_property
    def folder(self) -> Ref:
        return self.get(self.datacenter, "vmFolder")  # type: ignore[no-any-return]

    @cached_property
    def pool(self) -> Ref:
        return self.all("ResourcePool")[0]

    @cached_property
    def host(self) -> Ref:
        return self.all("HostSystem")[0]

    @cached_property
    def network(self) -> Ref:
        return self.get(self.host, "configManager.networkSystem")  # type: ignore[no-any-return]

    def done(self, method: str, this: Ref, **args: Any) -> Any:
        """Start a task and wait for its result."""
        return self.wait(self.call(method, this, **args))

    def spec(self, name: str = "", **more: Any) -> Obj:
        given: dict[str, Any] = {
            "name": name or self.name(),
            "memoryMB": 128,
            "numCPUs": 1,
            "guestId": "otherGuest",
            "files": new("VirtualMachineFileInfo", vmPathName=f"[{self.server.datastore}]"),
        }
        return new("VirtualMachineConfigSpec", **{**given, **more})

    def create(self, name: str = "", *, disk_kb: int = 0, **more: Any) -> Ref:
        if disk_kb:
            more["deviceChange"] = disk(disk_kb, file=f"[{self.server.datastore}]")
        config = self.spec(name, **more)
        return self.done("CreateVM_Task", self.folder, config=config, pool=self.pool)  # type: ignore[no-any-return]

    def running(self) -> Ref:
        vm = self.create()
        self.done("PowerOnVM_Task", vm)
        return vm

    def state(self, vm: Ref) -> Any:
        return self.get(vm, "runtime.powerState")

    def devices(self, vm: Ref, kind: str) -> list[Obj]:
        found = self.get(vm, "config.hardware.device")
        return [device for device in found if device._kind == kind]

    def reconfigure(self, vm: Ref, **fields: Any) -> None:
        self.done("ReconfigVM_Task", vm, spec=new("VirtualMachineConfigSpec", **fields))

    def change(self, vm: Ref, operation: str, device: Obj, **more: Any) -> None:
        change = new("VirtualDeviceConfigSpec", operation=operation, device=device, **more)
        self.reconfigure(vm, deviceChange=[change])


def disk(
    size_kb: int,
    *,
    file: str = "",
    operation: str | None = "create",
    unit: int = 0,
    controller: int | None = None,
) -> list[Obj]:
    """Return the changes that add a disk: with a controller of its own, or on the one named."""
    changes = []
    if controller is None:
        made = new("VirtualLsiLogicController", key=-10, busNumber=0, sharedBus="noSharing")
        changes.append(new("VirtualDeviceConfigSpec", operation="add", device=made))
    backing = new(
        "VirtualDiskFlatVer2BackingInfo",
        fileName=file,
        diskMode="persistent",
        thinProvisioned=True,
    )
    device = new(
        "VirtualDisk",
        key=-20,
        controllerKey=-10 if controller is None else controller,
        unitNumber=unit,
        capacityInKB=size_kb,
        backing=backing,
    )
    add = new("VirtualDeviceConfigSpec", operation="add", fileOperation=operation, device=device)
    return [*changes, add]


def adapter(network: str = "VM Network") -> Obj:
    backing = new("VirtualEthernetCardNetworkBackingInfo", deviceName=network)
    return new("VirtualVmxnet3", key=-30, backing=backing)


def added(device: Obj) -> list[Obj]:
    """Return the changes that add a device."""
    return [new("VirtualDeviceConfigSpec", operation="add", device=device)]


@dataclass(frozen=True)
class Scenario:
    function: Callable[[Stage], Any]
    clients: tuple[ClientName, ...]
    # In a session and on a server of its own, or with others of this name.
    apart: str = ""


SCENARIOS: dict[str, Scenario] = {}


def scenario(
    *clients: ClientName, apart: str = ""
) -> Callable[[Callable[[Stage], Any]], Callable[[Stage], Any]]:
    """Enter a scenario into the table, for all clients or for those named."""

    def register(function: Callable[[Stage], Any]) -> Callable[[Stage], Any]:
        assert function.__name__ not in SCENARIOS, function.__name__
        SCENARIOS[function.__name__] = Scenario(function, clients or CLIENTS, apart)
        return function

    return register


def outcome(function: Callable[..., Any], *args: Any, **kwargs: Any) -> str:
    """Return how a call ends: `ok`, the fault's name, or another word for it."""
    try:
        function(*args, **kwargs)
    except Failed as error:
        return str(error)
    return "ok"


def one_call(name: str, method: str, *, running: bool = True, **args: Any) -> None:
    """Enter a scenario that makes one call on a new machine and waits for its task."""

    def function(stage: Stage) -> str:
        vm = stage.running() if running else stage.create()
        call = stage.done if method.endswith("_Task") else stage.call
        return outcome(call, method, vm, **args)

    function.__name__ = name
    scenario()(function)


def play(name: str, stage: Stage) -> Any:
    """Return the outcome of a scenario, or the word for the failure that ended it."""
    try:
        return SCENARIOS[name].function(stage)
    except Failed as error:
        return str(error)
