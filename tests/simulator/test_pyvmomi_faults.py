"""Injected faults, as a client that we did not write meets them."""

from __future__ import annotations

import base64
import http.client
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.simulator.conftest import Host, browsing, leave, login
from tests.simulator.vmomi import vim, vmodl
from vimlib import vim25
from vimlib.simulator._run import in_thread

pytestmark = pytest.mark.slow

BROKEN = (OSError, http.client.HTTPException, ssl.SSLError)


def order(host: Host, *args: Any, **more: Any) -> None:
    host.esx.threadsafe(host.esx.faults.add, *args, **more)


def machine(host: Host) -> Any:
    return host.datacenter.vmFolder.childEntity[0]


def test_a_task_fails(host: Host) -> None:
    vm = machine(host)
    host.esx.threadsafe(
        host.esx.faults.fail_task,
        "PowerOnVM_Task",
        vim25.InsufficientMemoryResourcesFault(unreserved=1, requested=2),
    )
    with pytest.raises(vim.fault.InsufficientMemoryResourcesFault):
        host.done(vm.PowerOnVM_Task())
    assert vm.runtime.powerState == "poweredOff"
    host.done(vm.PowerOnVM_Task())


@pytest.mark.parametrize(
    ("what", "done"),
    [("drop", False), ("reset", False), ("html", False), ("lose", True), ("truncate", True)],
)
def test_a_call_with_a_broken_reply_may_have_been_run(host: Host, what: str, done: bool) -> None:
    vm = machine(host)
    # pyVmomi repeats a call whose connection broke, so every try has to break.
    order(host, "MarkAsTemplate", what, times=None)
    order(host, "UnregisterVM", what, times=None)
    with pytest.raises(Exception) as caught:
        vm.UnregisterVM()
    assert not isinstance(caught.value, vim.fault.InvalidPowerState)
    host.esx.threadsafe(host.esx.faults.clear)
    assert ("vm-0" in {m.name for m in host.esx.machines.values()}) is not done
    assert host.si.CurrentTime()


def test_every_call_is_logged(connect: Callable[..., Host]) -> None:
    host = connect(vms=1, refusals="call")
    vm = machine(host)
    with pytest.raises(vim.fault.InvalidPowerState):
        vm.PowerOffVM_Task()
    last = host.esx.call_log[-1]
    assert (last.method, last.this, last.fault) == (
        "PowerOffVM_Task",
        ("VirtualMachine", vm._moId),
        "InvalidPowerState",
    )
    assert host.esx.calls("Login")[0].args == {"userName": "root", "locale": None}
    assert host.esx.credentials.password not in repr(host.esx.call_log)
    assert host.esx.credentials.password not in repr(host.esx)
    assert host.esx.credentials.password not in repr(host.esx.credentials)


def test_latency(connect: Callable[..., Host]) -> None:
    import time

    host = connect(latency=0.05)
    start = time.monotonic()
    host.si.CurrentTime()
    assert time.monotonic() - start > 0.05


@pytest.mark.parametrize("face", ["fault", "empty", "missing"])
def test_an_ended_session_shows_as_configured(host: Host, face: str) -> None:
    collector = host.content.propertyCollector
    spec = vmodl.query.PropertyCollector.FilterSpec(
        objectSet=[vmodl.query.PropertyCollector.ObjectSpec(obj=host.system)],
        propSet=[vmodl.query.PropertyCollector.PropertySpec(type=vim.HostSystem, pathSet=["name"])],
    )
    manager = host.content.sessionManager
    host.esx.threadsafe(host.esx.expire_sessions, face)
    if face == "fault":
        with pytest.raises(vim.fault.NotAuthenticated):
            collector.RetrieveContents([spec])
    else:
        found = collector.RetrieveContents([spec])
        if face == "empty":
            assert found == []
        else:
            [content] = found
            assert isinstance(content.missingSet[0].fault, vim.fault.NotAuthenticated)
            assert list(content.propSet) == []
    with pytest.raises(vim.fault.NotAuthenticated):
        host.si.CurrentTime()
    manager.Login("root", host.esx.credentials.password)
    [content] = collector.RetrieveContents([spec])
    assert content.propSet[0].val == "localhost.localdomain"


def test_a_broken_upload_keeps_the_received_bytes(host: Host) -> None:
    order(host, "PUT", "reset", after=100_000)
    cookie = host.si._stub.cookie.split(";")[0]
    url = (
        f"https://127.0.0.1:{host.esx.port}/folder/part.bin?dcPath=ha-datacenter&dsName=datastore1"
    )
    with browsing(host.esx) as session:
        with pytest.raises(requests.RequestException):
            session.put(url, data=bytes(5_000_000), headers={"Cookie": cookie})
        size = host.esx.datastore_path().joinpath("part.bin").stat().st_size
        assert 0 < size < 5_000_000
        order(host, "PUT", "status", status=503, headers={"Retry-After": "2"})
        answer = session.put(url, data=b"x", headers={"Cookie": cookie})
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")


def test_a_restart_ends_sessions_and_tasks_and_keeps_machines(host: Host) -> None:
    vm = machine(host)
    host.done(vm.PowerOnVM_Task())
    port = host.esx.port
    host.esx.threadsafe(host.esx.restart)
    assert host.esx.port == port
    host.si._stub.DropConnections()
    with pytest.raises(vim.fault.NotAuthenticated):
        host.si.CurrentTime()
    other = login(host.esx)
    assert (
        other.content.rootFolder.childEntity[0].vmFolder.childEntity[0].runtime.powerState
        == "poweredOn"
    )
    leave(other)


def test_a_restart_without_state_forgets_machines_and_keeps_files(host: Host) -> None:
    host.esx.threadsafe(host.esx.restart, keep_state=False)
    host.si._stub.DropConnections()
    other = login(host.esx)
    center = other.content.rootFolder.childEntity[0]
    assert center.vmFolder.childEntity == []
    assert host.esx.datastore_path().joinpath("vm-0", "vm-0.vmx").exists()
    leave(other)


def test_a_reboot_turns_machines_off(host: Host) -> None:
    host.done(machine(host).PowerOnVM_Task())
    host.esx.threadsafe(host.esx.reboot)
    host.si._stub.DropConnections()
    other = login(host.esx)
    assert (
        other.content.rootFolder.childEntity[0].vmFolder.childEntity[0].runtime.powerState
        == "poweredOff"
    )
    leave(other)


def test_a_reboot_by_the_api_needs_maintenance_mode(host: Host) -> None:
    with pytest.raises(vim.fault.InvalidState):
        host.done(host.system.RebootHost_Task(False))


def test_state_outlives_the_process(tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "datastores": {"datastore1": tmp_path / "ds"},
        "state": tmp_path / "state.json",
    }
    with in_thread(vms=2, **options) as esx:
        si = login(esx)
        host = Host(esx, si)
        vm = host.create("kept", disk_kb=1024, nic=True, annotation="text")
        host.done(vm.CreateSnapshot_Task("one", "", False, False))
        host.done(vm.PowerOnVM_Task())
        spec = vim.host.PortGroup.Specification(
            name="vlan 9", vlanId=9, vswitchName="vSwitch0", policy=vim.host.NetworkPolicy()
        )
        host.system.configManager.networkSystem.AddPortGroup(spec)
        machine(host).UnregisterVM()
        moid, password, thumbprint = vm._moId, esx.credentials.password, esx.thumbprint
        store = host.datacenter.datastore[0]._moId
        # A kill would leave the file as it is now.
        kept = (tmp_path / "state.json").read_bytes()
        leave(si)
    (tmp_path / "state.json").write_bytes(kept)
    assert (tmp_path / "state.json").stat().st_mode & 0o077 == 0
    with in_thread(**options) as esx:
        assert (esx.credentials.password, esx.thumbprint) == (password, thumbprint)
        si = login(esx)
        host = Host(esx, si)
        vm = vim.VirtualMachine(moid, si._stub)
        assert vm.name == "kept"
        assert vm.runtime.powerState == "poweredOn"
        assert vm.config.annotation == "text"
        assert [tree.name for tree in vm.snapshot.rootSnapshotList] == ["one"]
        backing = next(d for d in vm.config.hardware.device if d.key == 2000).backing
        assert backing.parent.fileName == "[datastore1] kept/kept.vmdk"
        assert {each.name for each in host.datacenter.vmFolder.childEntity} == {"vm-1", "kept"}
        assert "vlan 9" in [each.name for each in host.datacenter.network]
        assert host.datacenter.datastore[0]._moId == store
        host.done(vm.PowerOffVM_Task())
        host.done(vm.RemoveAllSnapshots_Task(None))
        host.done(vm.Destroy_Task())
        assert host.create()._moId not in (moid, "")
        leave(si)


def test_the_control_endpoint(connect: Callable[..., Host]) -> None:
    host = connect(vms=1, control_token="t0ken")
    base = f"https://127.0.0.1:{host.esx.port}/_ctl"
    with browsing(host.esx) as session:
        headers: Any = session.headers
        for wrong in (
            "",
            "Bearer other",
            b"Bearer \xff",
            f"Basic {base64.b64encode(b'root:t0ken').decode()}",
        ):
            headers["Authorization"] = wrong
            assert session.post(f"{base}/expire", json={}).status_code == 401
        headers["Authorization"] = "Bearer t0ken"
        body: Any = {
            "method": "PowerOnVM_Task",
            "what": "fault",
            "fault": "ResourceInUse",
            "fields": {"name": "x"},
        }
        assert session.post(f"{base}/order", json=body).status_code == 200
        with pytest.raises(vim.fault.ResourceInUse):
            machine(host).PowerOnVM_Task()
        assert session.post(f"{base}/nonsense", json={}).status_code == 404
        assert session.post(f"{base}/order", json={"method": "x"}).status_code == 400
        assert (
            session.post(
                f"{base}/order", json={"method": "x", "what": "fault", "fault": "int"}
            ).status_code
            == 400
        )
        calls = session.post(f"{base}/calls", json={"method": "Login"}).json()["calls"]
        assert len(calls) == 1
        session.post(f"{base}/fill", json={"datastore": "datastore1", "free": 5})
        assert host.datacenter.datastore[0].summary.freeSpace == 5
        assert session.post(f"{base}/expire", json={"face": "fault"}).json() == {"sessions": 1}
        assert session.post(f"{base}/restart", json={}).status_code == 200


def test_the_control_endpoint_is_off_by_default(shared: Host) -> None:
    with browsing(shared.esx) as session:
        answer = session.post(
            f"https://127.0.0.1:{shared.esx.port}/_ctl/expire",
            headers={"Authorization": "Bearer "},
        )
    assert answer.status_code == 404
