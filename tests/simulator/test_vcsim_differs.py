"""The same small questions to the simulator and to vcsim, by pyVmomi: where they differ is written down.

`docs/simulator.md` lists each difference with who is right and by what source; a test holds the list
and this table together.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.integration.peers.tools import MissingToolError
from tests.integration.peers.vcsim import vcsim
from tests.simulator.conftest import disk
from tests.simulator.trust import context
from tests.simulator.vmomi import Disconnect, SmartConnect, WaitForTask, vim, vmodl
from vimlib.simulator.run import in_thread

pytestmark = pytest.mark.slow


@dataclass
class Peer:
    """A server that stands for a host."""

    si: Any
    base: str
    store: str
    trust: str
    number: int = 0

    @property
    def datacenter(self) -> Any:
        return self.si.content.rootFolder.childEntity[0]

    @property
    def pool(self) -> Any:
        return self.datacenter.hostFolder.childEntity[0].resourcePool

    def done(self, task: Any) -> Any:
        WaitForTask(task, si=self.si)
        return task.info.result

    def create(self, name: str = "", **more: Any) -> Any:
        self.number += 1
        files = vim.vm.FileInfo(vmPathName=f"[{self.store}]")
        given = {"memoryMB": 128, "numCPUs": 1, "guestId": "otherGuest", "files": files, **more}
        spec = vim.vm.ConfigSpec(name=name or f"probe-{self.number}", **given)
        return self.done(self.datacenter.vmFolder.CreateVM_Task(spec, self.pool))

    def web(self, method: str, path: str, *, cookie: bool = True, **more: Any) -> int:
        headers = {"Cookie": self.si._stub.cookie.split(";")[0]} if cookie else {}
        with requests.Session() as session:
            session.trust_env = False
            query = {"dcPath": "ha-datacenter", "dsName": self.store}
            answer = session.request(
                method,
                f"{self.base}/folder/{path}",
                params=query,
                headers=headers,
                verify=self.trust,
                **more,
            )
            return int(answer.status_code)


def answer(function: Callable[..., Any], *args: Any) -> str:
    """Return how a call ends: `ok`, or the fault's name."""
    try:
        function(*args)
    except vmodl.MethodFault as fault:
        return type(fault).__name__.rpartition(".")[2]
    return "ok"


def play(name: str, peer: Peer) -> Any:
    """Return what a probe finds; vcsim's tasks name entities of types that pyVmomi cannot read."""
    try:
        return PROBES[name](peer)
    except TypeError:
        return "unreadable task"
    except vmodl.MethodFault as fault:
        return type(fault).__name__.rpartition(".")[2]


PROBES: dict[str, Callable[[Peer], Any]] = {}


def probe(function: Callable[[Peer], Any]) -> Callable[[Peer], Any]:
    PROBES[function.__name__] = function
    return function


@probe
def logs_in_twice(peer: Peer) -> str:
    return answer(peer.si.content.sessionManager.Login, "root", "x")


@probe
def asks_whether_a_session_is_active(peer: Peer) -> str:
    manager = peer.si.content.sessionManager
    return answer(manager.SessionIsActive, manager.currentSession.key, "root")


@probe
def powers_on_twice(peer: Peer) -> str:
    vm = peer.create()
    peer.done(vm.PowerOnVM_Task())
    return answer(lambda: peer.done(vm.PowerOnVM_Task()))


@probe
def suspends_while_off(peer: Peer) -> str:
    vm = peer.create()
    return answer(lambda: peer.done(vm.SuspendVM_Task()))


@probe
def shuts_down_a_guest_without_tools(peer: Peer) -> str:
    vm = peer.create()
    peer.done(vm.PowerOnVM_Task())
    return answer(vm.ShutdownGuest)


@probe
def destroys_a_running_machine(peer: Peer) -> str:
    vm = peer.create()
    peer.done(vm.PowerOnVM_Task())
    return answer(lambda: peer.done(vm.Destroy_Task()))


@probe
def makes_the_same_name_twice(peer: Peer) -> str:
    peer.create("same")
    return answer(peer.create, "same")


@probe
def makes_a_machine_of_three_megabytes(peer: Peer) -> str:
    return answer(lambda: peer.create(memoryMB=3))


@probe
def shrinks_a_disk(peer: Peer) -> str:
    vm = peer.create(deviceChange=disk(2048, file=f"[{peer.store}]"))
    device = next(d for d in vm.config.hardware.device if isinstance(d, vim.vm.device.VirtualDisk))
    device.capacityInKB = 1024
    device.capacityInBytes = None
    change = vim.vm.device.VirtualDeviceSpec(operation="edit", device=device)
    return answer(lambda: peer.done(vm.ReconfigVM_Task(vim.vm.ConfigSpec(deviceChange=[change]))))


@probe
def sends_a_stale_change_version(peer: Peer) -> str:
    vm = peer.create()
    spec = vim.vm.ConfigSpec(annotation="x", changeVersion="stale")
    return answer(lambda: peer.done(vm.ReconfigVM_Task(spec)))


@probe
def clears_an_extra_option(peer: Peer) -> int:
    vm = peer.create()
    for value in ("x", ""):
        option = vim.option.OptionValue(key="machine.id", value=value)
        peer.done(vm.ReconfigVM_Task(vim.vm.ConfigSpec(extraConfig=[option])))
    return sum(option.key == "machine.id" for option in vm.config.extraConfig)


@probe
def reverts_a_changed_annotation(peer: Peer) -> str:
    vm = peer.create(annotation="before")
    snapshot = peer.done(vm.CreateSnapshot_Task("one", "", False, False))
    peer.done(vm.ReconfigVM_Task(vim.vm.ConfigSpec(annotation="after")))
    peer.done(snapshot.RevertToSnapshot_Task(None, None))
    return str(vm.config.annotation)


@probe
def clones_a_machine(peer: Peer) -> str:
    vm = peer.create()
    spec = vim.vm.CloneSpec(location=vim.vm.RelocateSpec(), powerOn=False, template=False)
    return answer(lambda: peer.done(vm.CloneVM_Task(peer.datacenter.vmFolder, "clone", spec)))


@probe
def asks_for_a_console_ticket(peer: Peer) -> str:
    vm = peer.create()
    peer.done(vm.PowerOnVM_Task())
    return answer(vm.AcquireTicket, "webmks")


@probe
def pages_through_a_read(peer: Peer) -> bool:
    peer.create()
    peer.create()
    collector = vmodl.query.PropertyCollector
    walk = collector.TraversalSpec(type=vim.Folder, path="childEntity", skip=False)
    spec = collector.FilterSpec(
        objectSet=[collector.ObjectSpec(obj=peer.datacenter.vmFolder, skip=True, selectSet=[walk])],
        propSet=[collector.PropertySpec(type=vim.VirtualMachine, pathSet=["name"])],
    )
    options = collector.RetrieveOptions(maxObjects=1)
    return bool(peer.si.content.propertyCollector.RetrievePropertiesEx([spec], options).token)


@probe
def extends_a_disk(peer: Peer) -> str:
    manager = peer.si.content.virtualDiskManager
    path = f"[{peer.store}] extended.vmdk"
    spec = vim.VirtualDiskManager.FileBackedVirtualDiskSpec(
        diskType="thin", adapterType="lsiLogic", capacityKb=1024
    )
    peer.done(manager.CreateVirtualDisk_Task(path, peer.datacenter, spec))
    return answer(
        lambda: peer.done(manager.ExtendVirtualDisk_Task(path, peer.datacenter, 2048, False))
    )


@probe
def makes_a_disk_of_no_known_type(peer: Peer) -> str:
    spec = vim.VirtualDiskManager.FileBackedVirtualDiskSpec(
        diskType="nonsense", adapterType="lsiLogic", capacityKb=1024
    )
    manager = peer.si.content.virtualDiskManager
    path = f"[{peer.store}] nonsense.vmdk"
    return answer(lambda: peer.done(manager.CreateVirtualDisk_Task(path, peer.datacenter, spec)))


@probe
def deletes_what_is_not_there(peer: Peer) -> str:
    manager = peer.si.content.fileManager
    return answer(
        lambda: peer.done(
            manager.DeleteDatastoreFile_Task(f"[{peer.store}] nobody", peer.datacenter)
        )
    )


@probe
def searches_without_a_pattern(peer: Peer) -> bool:
    peer.create("searched")
    spec = vim.host.DatastoreBrowser.SearchSpec(query=[])
    browser = peer.datacenter.datastore[0].browser
    return bool(peer.done(browser.SearchDatastore_Task(f"[{peer.store}] searched", spec)).file)


@probe
def adds_a_port_group_of_vlan_5000(peer: Peer) -> str:
    system = peer.datacenter.hostFolder.childEntity[0].host[0].configManager.networkSystem
    spec = vim.host.PortGroup.Specification(
        name="far", vlanId=5000, vswitchName="vSwitch0", policy=vim.host.NetworkPolicy()
    )
    return answer(system.AddPortGroup, spec)


@probe
def adds_a_port_group_twice(peer: Peer) -> str:
    system = peer.datacenter.hostFolder.childEntity[0].host[0].configManager.networkSystem
    spec = vim.host.PortGroup.Specification(
        name="twice", vlanId=5, vswitchName="vSwitch0", policy=vim.host.NetworkPolicy()
    )
    system.AddPortGroup(spec)
    return answer(system.AddPortGroup, spec)


@probe
def sees_a_port_group_in_the_hosts_configuration(peer: Peer) -> bool:
    host = peer.datacenter.hostFolder.childEntity[0].host[0]
    spec = vim.host.PortGroup.Specification(
        name="shown", vlanId=6, vswitchName="vSwitch0", policy=vim.host.NetworkPolicy()
    )
    host.configManager.networkSystem.AddPortGroup(spec)
    return "shown" in [group.spec.name for group in host.config.network.portgroup]


@probe
def puts_a_new_file(peer: Peer) -> int:
    return peer.web("PUT", "new.bin", data=b"x")


@probe
def puts_without_a_session(peer: Peer) -> int:
    return peer.web("PUT", "free.bin", cookie=False, data=b"x")


@probe
def deletes_over_http(peer: Peer) -> int:
    peer.web("PUT", "doomed.bin", data=b"x")
    peer.web("DELETE", "doomed.bin")
    return peer.web("HEAD", "doomed.bin")


@probe
def reads_a_property_that_is_none(peer: Peer) -> str:
    collector = vmodl.query.PropertyCollector
    spec = collector.FilterSpec(
        objectSet=[collector.ObjectSpec(obj=peer.datacenter)],
        propSet=[collector.PropertySpec(type=vim.Datacenter, pathSet=["nonsense"])],
    )
    return answer(peer.si.content.propertyCollector.RetrieveContents, [spec])


# Where they differ: what the simulator answers, and vcsim 0.24.2.
DIFFERENT: dict[str, tuple[Any, Any]] = {
    "adds_a_port_group_twice": ("AlreadyExists", "DuplicateName"),
    "deletes_what_is_not_there": ("FileNotFound", "unreadable task"),
    "reads_a_property_that_is_none": ("InvalidProperty", "ok"),
    "adds_a_port_group_of_vlan_5000": ("InvalidArgument", "ok"),
    "asks_for_a_console_ticket": ("ok", "MethodNotFound"),
    "asks_whether_a_session_is_active": ("NotSupported", "NotImplemented"),
    "clears_an_extra_option": (0, 2),
    "clones_a_machine": ("NotSupported", "ok"),
    "deletes_over_http": (404, 200),
    "extends_a_disk": ("ok", "unreadable task"),
    "makes_a_disk_of_no_known_type": ("InvalidArgument", "unreadable task"),
    "makes_a_machine_of_three_megabytes": ("InvalidArgument", "ok"),
    "makes_the_same_name_twice": ("DuplicateName", "ok"),
    "pages_through_a_read": (True, False),
    "puts_a_new_file": (201, 200),
    "puts_without_a_session": (401, 200),
    "reverts_a_changed_annotation": ("before", "unreadable task"),
    "searches_without_a_pattern": (True, "ManagedObjectNotFound"),
    "sees_a_port_group_in_the_hosts_configuration": (True, False),
    "sends_a_stale_change_version": ("ConcurrentAccess", "ok"),
    "shrinks_a_disk": ("InvalidDeviceOperation", "ok"),
    "shuts_down_a_guest_without_tools": ("ToolsUnavailable", "ok"),
    "suspends_while_off": ("InvalidPowerState", "ok"),
}


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    with in_thread() as esx:
        pem = tmp_path_factory.mktemp("trust") / "host.pem"
        pem.write_bytes(esx.certificate_pem)
        si = SmartConnect(
            host="127.0.0.1",
            port=esx.world.port,
            user="root",
            pwd=esx.credentials.password,
            sslContext=context(esx),
        )
        yield Peer(si, esx.url.removesuffix("/sdk"), "datastore1", str(pem))
        Disconnect(si)
        si._stub.DropConnections()


@pytest.fixture(scope="module")
def other() -> Iterator[Peer]:
    try:
        started = vcsim("esx")
        sim = started.__enter__()
    except MissingToolError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
    try:
        port = int(sim.url.partition("//")[2].partition("/")[0].rpartition(":")[2])
        trusted = ssl.create_default_context(cafile=str(sim.ca))
        si = SmartConnect(
            host="127.0.0.1", port=port, user=sim.username, pwd=sim.password, sslContext=trusted
        )
        yield Peer(si, sim.url.removesuffix("/sdk"), sim.datastore, str(sim.ca))
        Disconnect(si)
        si._stub.DropConnections()
    finally:
        started.__exit__(None, None, None)


@pytest.mark.integration
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", list(PROBES))
def test_they_answer_as_written_down(simulated: Peer, other: Peer, name: str) -> None:
    mine = play(name, simulated)
    theirs = play(name, other)
    if name in DIFFERENT:
        assert (mine, theirs) == DIFFERENT[name]
    else:
        assert mine == theirs


def test_the_page_lists_each_difference() -> None:
    page = Path(__file__).parents[2].joinpath("docs", "simulator.md").read_text(encoding="utf-8")
    for name in DIFFERENT:
        assert f"| {name.replace('_', ' ')} |" in page, name
