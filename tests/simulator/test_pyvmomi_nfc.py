from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from tests.simulator import trust
from tests.simulator.conftest import Host, browsing, disk
from tests.simulator.images import CONTENT, stream_optimized
from tests.simulator.vmomi import vim
from vimlib.simulator._vm.nfc import Lease

pytestmark = pytest.mark.slow


@pytest.fixture
def web(shared: Host) -> Iterator[requests.Session]:
    with browsing(shared.esx) as session:
        yield session


def ready(lease: Any) -> Any:
    deadline = time.monotonic() + 60
    while lease.state == "initializing":
        assert time.monotonic() < deadline
    assert lease.state == "ready", lease.error
    return lease.info


def url(host: Host, info: Any) -> str:
    [device] = info.deviceUrl
    return str(device.url).replace("*", f"127.0.0.1:{host.esx.port}")


def begin(host: Host, name: str) -> Any:
    spec = vim.vm.VmImportSpec(configSpec=host.spec(name, deviceChange=disk(len(CONTENT) // 1024)))
    return host.pool.ImportVApp(spec, host.datacenter.vmFolder, None)


def test_an_imported_disk_has_the_bytes(shared: Host, web: requests.Session) -> None:
    lease = begin(shared, "imported")
    info = ready(lease)
    assert info.totalDiskCapacityInKB == len(CONTENT) // 1024
    assert info.deviceUrl[0].importKey == "/imported/VirtualLsiLogicController0:0"
    assert web.put(url(shared, info), data=stream_optimized(CONTENT)).status_code == 200
    lease.HttpNfcLeaseProgress(100)
    lease.HttpNfcLeaseComplete()
    assert lease.state == "done"
    assert (shared.esx.datastore_path() / "imported" / "imported-flat.vmdk").read_bytes() == CONTENT
    shared.done(info.entity.PowerOnVM_Task())
    shared.done(info.entity.PowerOffVM_Task())
    with pytest.raises(vim.fault.InvalidState):
        lease.HttpNfcLeaseProgress(100)
    assert web.put(url(shared, info), data=b"").status_code == 404


def test_a_lease_is_completed_after_its_uploads(shared: Host) -> None:
    # As oslo.vmware does, which does not wait for an upload's answer.
    lease = begin(shared, "hurried")
    target = urlsplit(url(shared, ready(lease)))
    image = stream_optimized(CONTENT)
    trusted = trust.context(shared.esx)
    connection = http.client.HTTPSConnection("127.0.0.1", target.port, context=trusted)
    connection.putrequest("POST", target.path)
    connection.putheader("Content-Length", str(len(image)))
    connection.endheaders(image[:1000])
    [leased] = [each for each in shared.esx.registry.all(Lease).values() if each.state == "ready"]
    while not leased.transfers:
        time.sleep(0.001)
    ending = threading.Thread(target=lease.HttpNfcLeaseComplete)
    ending.start()
    ending.join(0.1)
    assert ending.is_alive()
    connection.send(image[1000:])
    ending.join(10)
    connection.close()
    assert lease.state == "done"
    assert (shared.esx.datastore_path() / "hurried" / "hurried-flat.vmdk").read_bytes() == CONTENT


def test_a_lease_without_progress_times_out(shared: Host) -> None:
    lease = begin(shared, "forgotten")
    ready(lease)
    registry = shared.esx.registry

    def age() -> None:
        for each in registry.all(Lease).values():
            each.heard -= 1000

    async def watch() -> None:
        for each in list(registry.all(Lease).values()):
            await each.watch()

    shared.esx.threadsafe(age)
    shared.esx.threadsafe(watch)
    assert lease.state == "error"
    assert isinstance(lease.error, vim.fault.Timedout)
    with pytest.raises(vim.fault.Timedout):
        lease.HttpNfcLeaseProgress(1)
    assert shared.content.searchIndex.FindByInventoryPath("ha-datacenter/vm/forgotten") is None


def test_garbage_is_refused(shared: Host, web: requests.Session) -> None:
    lease = begin(shared, "garbage")
    info = ready(lease)
    damaged = stream_optimized(CONTENT)[: 128 * 512 + 600]
    assert web.put(url(shared, info), data=damaged).status_code == 500
    lease.HttpNfcLeaseAbort(None)


def test_an_exported_disk_can_be_imported(
    shared: Host, web: requests.Session, tmp_path: Any
) -> None:
    vm = shared.create("exported", deviceChange=disk(len(CONTENT) // 1024))
    (shared.esx.datastore_path() / "exported" / "exported-flat.vmdk").write_bytes(CONTENT)
    lease = vm.ExportVm()
    info = ready(lease)
    assert info.entity == vm
    image = web.get(url(shared, info)).content
    assert image.startswith(b"KDMV")
    assert len(image) < len(CONTENT)
    [entry] = lease.HttpNfcLeaseGetManifest()
    assert entry.size == len(image)
    lease.HttpNfcLeaseComplete()
    other = begin(shared, "exported again")
    info = ready(other)
    assert web.put(url(shared, info), data=image).status_code == 200
    other.HttpNfcLeaseComplete()
    folder = shared.esx.datastore_path() / "exported again"
    assert (folder / "exported again-flat.vmdk").read_bytes() == CONTENT


def test_a_running_machine_is_not_exported(shared: Host) -> None:
    vm = shared.create()
    shared.done(vm.PowerOnVM_Task())
    with pytest.raises(vim.fault.InvalidPowerState):
        vm.ExportVm()
    shared.done(vm.PowerOffVM_Task())
