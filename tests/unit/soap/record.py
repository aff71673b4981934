"""Record what vcsim answers, for `test_oracle_replies`: `python -m tests.unit.soap.record`.

Writes one file a reply into `recorded/`; its name begins with the method's. Run it again when the
list grows or vcsim does; what it writes differs in times, identifiers and ports only.
"""

from __future__ import annotations

import http.client
import re
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tests.integration.peers.vcsim import Model, VCSim, vcsim
from vimlib import vim25
from vimlib.model import Method, MethodFault
from vimlib.soap import decode_response, encode_request

if TYPE_CHECKING:
    from collections.abc import Iterable

FOLDER = Path(__file__).with_name("recorded")
LARGEST = {"esx": 20_000, "vpx": 6_000}  # of a vCenter what differs and is small
# Where the simulator happened to keep its files.
PLACE = re.compile(rb"/[^ <>]*/vcsim-[^/ <>]+/tmp")

EX = vim25.PropertyCollector.RetrievePropertiesEx
VM = vim25.VirtualMachine

# Name of the recording, type, property paths
PROPERTIES: list[tuple[str, type[vim25.ManagedObject], str]] = [
    ("vm-summary", VM, "summary"),
    ("vm-runtime", VM, "runtime"),
    ("vm-config", VM, "config"),
    ("vm-devices", VM, "config.hardware.device"),
    ("vm-hardware", VM, "config.hardware"),
    ("vm-extra", VM, "config.extraConfig"),
    ("vm-files", VM, "config.files"),
    ("vm-guest", VM, "guest"),
    ("vm-layout", VM, "layoutEx"),
    (
        "vm-scalars",
        VM,
        "name runtime.powerState config.uuid summary.config.memorySizeMB config.template",
    ),
    ("vm-references", VM, "parent datastore network resourcePool runtime.host"),
    ("vm-snapshot", VM, "snapshot rootSnapshot"),
    ("vm-tasks", VM, "recentTask"),
    ("vm-missing", VM, "name nonesuch"),
    ("vm-storage", VM, "storage"),
    ("host-summary", vim25.HostSystem, "summary"),
    ("host-runtime", vim25.HostSystem, "runtime"),
    ("host-hardware", vim25.HostSystem, "hardware"),
    ("host-network", vim25.HostSystem, "config.network"),
    ("host-product", vim25.HostSystem, "config.product"),
    ("host-storage", vim25.HostSystem, "config.storageDevice"),
    ("host-capability", vim25.HostSystem, "capability"),
    ("host-networks", vim25.HostNetworkSystem, "networkInfo"),
    ("datastore-info", vim25.Datastore, "info"),
    ("datastore-summary", vim25.Datastore, "summary capability host vm"),
    ("network-summary", vim25.Network, "summary name host"),
    ("folder", vim25.Folder, "childEntity childType name parent"),
    ("datacenter", vim25.Datacenter, "vmFolder hostFolder datastore network name"),
    ("pool-config", vim25.ResourcePool, "config summary runtime"),
    ("compute-summary", vim25.ComputeResource, "summary host environmentBrowser"),
    ("task-info", vim25.Task, "info"),
    ("session-manager", vim25.SessionManager, "sessionList currentSession"),
    ("event-manager", vim25.EventManager, "description.category maxCollector latestEvent"),
    ("options", vim25.OptionManager, "setting"),
]


class Recorder:
    """Makes calls and keeps their replies."""

    def __init__(self, peer: VCSim) -> None:
        parts = urlsplit(peer.url)
        context = ssl.create_default_context(cafile=str(peer.ca))
        self.connection = http.client.HTTPSConnection(
            str(parts.hostname), parts.port, timeout=30, context=context
        )
        self.cookie = ""

    def call(self, note: str, method: Method[..., Any], this: Any, **args: Any) -> Any:
        body = encode_request(method, this, args)
        headers = {
            "Content-Type": "text/xml; charset=utf-8",
            "SOAPAction": "urn:vim25/6.5",
            "Cookie": self.cookie,
        }
        self.connection.request("POST", "/sdk", body, headers)
        response = self.connection.getresponse()
        data = response.read()
        self.cookie = (response.getheader("Set-Cookie") or self.cookie).split(";")[0]
        if len(data) <= LARGEST[note[:3]]:
            (FOLDER / f"{method.name}.{note}.xml").write_bytes(PLACE.sub(b"/place", data))
        else:
            print(f"{method.name}.{note}: {len(data)} bytes are too much to keep")
        try:
            return decode_response(method, data)
        except MethodFault as fault:
            return fault

    def properties(
        self,
        collector: vim25.PropertyCollector,
        cls: type[vim25.ManagedObject],
        paths: Iterable[str],
        objects: Iterable[vim25.ManagedObject],
    ) -> dict[str, Any]:
        return {
            "specSet": [
                vim25.PropertyFilterSpec(
                    propSet=[vim25.PropertySpec(type=cls.__name__, pathSet=list(paths))],
                    objectSet=[vim25.ObjectSpec(obj=obj) for obj in objects],
                )
            ],
            "options": vim25.RetrieveOptions(),
        }  # fmt: skip


def record(model: str, peer: VCSim) -> None:
    """Record one model's answers."""
    recorder = Recorder(peer)
    call = recorder.call
    instance = vim25.ServiceInstance("ServiceInstance")
    content = call(model, vim25.ServiceInstance.RetrieveServiceContent, instance)
    call(model, vim25.ServiceInstance.CurrentTime, instance)
    sessions = content.sessionManager
    call(f"{model}-wrong", vim25.SessionManager.Login, sessions, userName="tester", password="no")
    call(
        f"{model}-early",
        vim25.ViewManager.CreateContainerView,
        content.viewManager,
        container=content.rootFolder,
        recursive=True,
    )
    call(
        model, vim25.SessionManager.Login, sessions, userName=peer.username, password=peer.password
    )
    view = call(
        model,
        vim25.ViewManager.CreateContainerView,
        content.viewManager,
        container=content.rootFolder,
        recursive=True,
    )
    collector = content.propertyCollector
    args = recorder.properties(collector, view.__class__, ["view"], [view])
    found = call(f"{model}-view", EX, collector, **args).objects[0].propSet[0].val
    everything = [*found, content.rootFolder]
    act(recorder, model, content, everything)
    for note, cls, paths in PROPERTIES:
        objects = [obj for obj in everything if isinstance(obj, cls)][:1] or _service_object(
            content, recorder, cls
        )
        if objects:
            args = recorder.properties(collector, cls, paths.split(), objects)
            call(f"{model}-{note}", EX, collector, **args)
    call(model, vim25.SessionManager.Logout, sessions)
    call(
        f"{model}-late",
        vim25.ViewManager.CreateContainerView,
        content.viewManager,
        container=content.rootFolder,
        recursive=True,
    )


def _service_object(
    content: Any, recorder: Recorder, cls: type[vim25.ManagedObject]
) -> list[vim25.ManagedObject]:
    known = {
        vim25.SessionManager: content.sessionManager,
        vim25.EventManager: content.eventManager,
        vim25.OptionManager: content.setting,
        vim25.Task: getattr(recorder, "task", None),
        vim25.HostNetworkSystem: vim25.HostNetworkSystem("networkSystem-ha-host"),
    }
    found = known.get(cls)
    return [found] if found is not None else []


def act(
    recorder: Recorder, model: str, content: Any, everything: list[vim25.ManagedObject]
) -> None:
    """Make calls whose replies are of all kinds: tasks, references, arrays, nothing, faults."""
    machine = next(obj for obj in everything if isinstance(obj, VM))
    datacenter = next(obj for obj in everything if isinstance(obj, vim25.Datacenter))
    change_machine(recorder, model, content, machine)
    wait_for_updates(recorder, model, content, machine)
    ask_managers(recorder, model, content, machine)
    touch_files(recorder, model, content, datacenter)


def change_machine(recorder: Recorder, model: str, content: Any, machine: VM) -> None:
    """Tasks that end well and badly, a reference that is not there, searches without a result."""
    call = recorder.call
    missing = VM("nonesuch")
    recorder.task = call(model, VM.PowerOffVM_Task, machine)  # type: ignore[attr-defined]
    again = call(f"{model}-again", VM.PowerOffVM_Task, machine)
    failed = recorder.properties(
        content.propertyCollector, vim25.Task, ["info", "info.error"], [again]
    )
    call(f"{model}-failed-task", EX, content.propertyCollector, **failed)
    call(f"{model}-missing", VM.PowerOnVM_Task, missing)
    call(f"{model}-unsupported", VM.AcquireMksTicket, machine)
    call(
        model,
        VM.CreateSnapshot_Task,
        machine,
        name="s",
        description="d",
        memory=False,
        quiesce=False,
    )
    call(
        f"{model}-none",
        vim25.SearchIndex.FindByUuid,
        content.searchIndex,
        uuid="nonesuch",
        vmSearch=True,
    )
    call(
        f"{model}-path",
        vim25.SearchIndex.FindByInventoryPath,
        content.searchIndex,
        inventoryPath="/",
    )
    call(
        model,
        VM.ReconfigVM_Task,
        machine,
        spec=vim25.VirtualMachineConfigSpec(annotation="a < b & c\n\u00fc"),
    )


def wait_for_updates(recorder: Recorder, model: str, content: Any, machine: VM) -> None:
    """A filter, its first set and an empty one, reads that fail."""
    call, missing = recorder.call, VM("nonesuch")
    spec = recorder.properties(
        content.propertyCollector, VM, ["name", "runtime.powerState"], [machine]
    )["specSet"][0]
    filter_ = call(
        model,
        vim25.PropertyCollector.CreateFilter,
        content.propertyCollector,
        spec=spec,
        partialUpdates=False,
    )
    call(
        f"{model}-first",
        vim25.PropertyCollector.WaitForUpdatesEx,
        content.propertyCollector,
        version="",
    )
    call(
        f"{model}-idle",
        vim25.PropertyCollector.WaitForUpdatesEx,
        content.propertyCollector,
        version="-",
        options=vim25.WaitOptions(maxWaitSeconds=0),
    )
    call(model, vim25.PropertyFilter.DestroyPropertyFilter, filter_)
    call(
        model, vim25.PropertyCollector.RetrieveProperties, content.propertyCollector, specSet=[spec]
    )
    call(
        f"{model}-bad",
        vim25.PropertyCollector.RetrieveProperties,
        content.propertyCollector,
        specSet=recorder.properties(content.propertyCollector, VM, ["name"], [missing])["specSet"],
    )


def ask_managers(recorder: Recorder, model: str, content: Any, machine: VM) -> None:
    """Events, performance series, options, permissions."""
    call = recorder.call
    history = call(
        model,
        vim25.EventManager.CreateCollectorForEvents,
        content.eventManager,
        filter=vim25.EventFilterSpec(),
    )
    call(model, vim25.EventHistoryCollector.ReadNextEvents, history, maxCount=6)
    call(
        model,
        vim25.PerformanceManager.QueryAvailablePerfMetric,
        content.perfManager,
        entity=machine,
    )
    call(
        model,
        vim25.PerformanceManager.QueryPerf,
        content.perfManager,
        querySpec=[
            vim25.PerfQuerySpec(
                entity=machine,
                maxSample=2,
                metricId=[vim25.PerfMetricId(counterId=2, instance="")],
                intervalId=20,
            )
        ],
    )
    call(model, vim25.OptionManager.QueryOptions, content.setting, name="nonesuch")
    call(
        model,
        vim25.AuthorizationManager.RetrieveRolePermissions,
        content.authorizationManager,
        roleId=-1,
    )


def touch_files(recorder: Recorder, model: str, content: Any, datacenter: vim25.Datacenter) -> None:
    """A disk that is not there, a folder that is made twice."""
    call = recorder.call
    call(
        model,
        vim25.VirtualDiskManager.QueryVirtualDiskUuid,
        content.virtualDiskManager,
        name="[LocalDS_0] none.vmdk",
    )
    call(
        model,
        vim25.FileManager.MakeDirectory,
        content.fileManager,
        name="[LocalDS_0] d",
        datacenter=datacenter,
    )
    call(
        f"{model}-again",
        vim25.FileManager.MakeDirectory,
        content.fileManager,
        name="[LocalDS_0] d",
        datacenter=datacenter,
    )


def main() -> None:
    """Record both models."""
    FOLDER.mkdir(exist_ok=True)
    for old in FOLDER.glob("*.xml"):
        old.unlink()
    models: tuple[Model, ...] = ("esx", "vpx")
    for model in models:
        with vcsim(model, vms=1) as peer:
            record(model, peer)


if __name__ == "__main__":
    main()
