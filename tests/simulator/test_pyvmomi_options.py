"""pyVmomi asks what machines may be made of, how busy they are, and for datastores."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.simulator.conftest import Host
from tests.simulator.vmomi import vim, vmodl

pytestmark = pytest.mark.slow


def browser(host: Host) -> Any:
    return host.datacenter.hostFolder.childEntity[0].environmentBrowser


def test_lists_hardware_versions(shared: Host) -> None:
    keys = browser(shared).QueryConfigOptionDescriptor()
    assert [each.key for each in keys][:3] == ["vmx-04", "vmx-07", "vmx-08"]
    assert keys[-1].defaultConfigOption
    assert keys[-1].host == [shared.system]


def test_reads_the_options_of_the_default(shared: Host) -> None:
    option = browser(shared).QueryConfigOption()
    assert option.version == "vmx-21"
    guests = {guest.id: guest for guest in option.guestOSDescriptor}
    assert guests["rhel9_64Guest"].fullName == "Red Hat Enterprise Linux 9 (64-bit)"
    assert guests["rhel9_64Guest"].recommendedEthernetCard == vim.vm.device.VirtualVmxnet3
    assert guests["rhel9_64Guest"].recommendedDiskController == (
        vim.vm.device.ParaVirtualSCSIController
    )
    assert any(
        isinstance(device, vim.vm.device.VirtualIDEController) for device in option.defaultDevice
    )
    devices = option.hardwareOptions.virtualDeviceOption
    [disk] = [
        device
        for device in devices
        if device.type == vim.vm.device.VirtualDisk
        and device.controllerType == vim.vm.device.ParaVirtualSCSIController
    ]
    assert disk.capacityInKB.max == 62 << 30


def test_reads_the_options_of_an_old_version(shared: Host) -> None:
    option = browser(shared).QueryConfigOption("vmx-07", shared.system)
    assert option.hardwareOptions.hwVersion == 7
    assert option.capabilities.snapshotOperationsSupported


def test_asks_for_one_guest(shared: Host) -> None:
    spec = vim.EnvironmentBrowser.ConfigOptionQuerySpec(guestId=["ubuntu64Guest"])
    [guest] = browser(shared).QueryConfigOptionEx(spec).guestOSDescriptor
    assert guest.family == "linuxGuest"


def test_an_unknown_hardware_version_is_refused(shared: Host) -> None:
    with pytest.raises(vmodl.fault.InvalidArgument):
        browser(shared).QueryConfigOption("vmx-99")


def test_reads_the_targets(shared: Host) -> None:
    target = browser(shared).QueryConfigTarget()
    assert [store.name for store in target.datastore] == ["datastore1"]
    assert [store.datastore.datastore for store in target.datastore] == shared.datacenter.datastore
    assert [net.network.network for net in target.network] == list(shared.datacenter.network)


def test_reads_the_capabilities_of_the_host(shared: Host) -> None:
    found = browser(shared).QueryTargetCapabilities(shared.system)
    assert found.screenshotSupported
    assert not found.ftSupported
    assert shared.system.capability.maxSupportedVcpus == found.maxSupportedVcpus


def test_a_machine_has_the_browser_of_the_host(shared: Host) -> None:
    machine = shared.create()
    assert machine.environmentBrowser == browser(shared)
    assert machine.environmentBrowser.QueryConfigOption().version == machine.config.version


def test_makes_a_machine_of_an_unknown_guest(shared: Host) -> None:
    with pytest.raises(vmodl.fault.InvalidArgument) as caught:
        shared.create(guestId="noSuchGuest")
    assert caught.value.invalidProperty == "configSpec.guestId"


def test_makes_a_machine_for_each_guest_of_a_family(shared: Host) -> None:
    option = browser(shared).QueryConfigOption()
    for guest in [each for each in option.guestOSDescriptor if each.family == "solarisGuest"]:
        assert shared.create(guestId=guest.id).config.guestFullName == guest.fullName


def test_an_old_host_knows_fewer_guests(connect: Callable[..., Host]) -> None:
    old = connect(version="4.1")
    option = browser(old).QueryConfigOption()
    assert option.version == "vmx-07"
    ids = {guest.id for guest in option.guestOSDescriptor}
    assert "rhel6_64Guest" in ids
    assert "rhel7_64Guest" not in ids
    with pytest.raises(vmodl.fault.InvalidArgument):
        old.create(guestId="rhel7_64Guest")


def counter(host: Host, group: str, name: str) -> int:
    """Find a counter as clients do: by its names."""
    [key] = [
        each.key
        for each in host.content.perfManager.perfCounter
        if (each.groupInfo.key, each.nameInfo.key) == (group, name)
    ]
    return int(key)


def test_reads_how_busy_a_machine_is(host: Host) -> None:
    manager = host.content.perfManager
    machine = host.datacenter.vmFolder.childEntity[0]
    assert manager.QueryAvailablePerfMetric(machine) == []
    host.done(machine.PowerOnVM_Task())
    host.esx.machine(machine.name).booted = datetime.now(UTC) - timedelta(minutes=5)
    metric = vim.PerformanceManager.MetricId(
        counterId=counter(host, "cpu", "usagemhz"), instance=""
    )
    summary = manager.QueryPerfProviderSummary(machine)
    spec = vim.PerformanceManager.QuerySpec(
        entity=machine, metricId=[metric], intervalId=summary.refreshRate, maxSample=3
    )
    [found] = manager.QueryPerf([spec])
    assert found.entity == machine
    assert [info.interval for info in found.sampleInfo] == [20, 20, 20]
    [series] = found.value
    level = machine.summary.quickStats.overallCpuUsage
    assert all(abs(value - level) <= level / 10 for value in series.value)


def test_reads_how_busy_the_host_is_as_csv(shared: Host) -> None:
    manager = shared.content.perfManager
    available = manager.QueryAvailablePerfMetric(shared.system, intervalId=20)
    assert counter(shared, "mem", "consumed") in {metric.counterId for metric in available}
    spec = vim.PerformanceManager.QuerySpec(
        entity=shared.system, metricId=available[:2], intervalId=300, format="csv"
    )
    [found] = manager.QueryPerf([spec])
    assert len(found.value) == 2
    assert len(found.value[0].value.split(",")) == len(found.sampleInfoCSV.split(",")) // 2


def test_a_folder_has_no_statistics(shared: Host) -> None:
    folder = shared.datacenter.vmFolder
    manager = shared.content.perfManager
    assert not manager.QueryPerfProviderSummary(folder).currentSupported
    with pytest.raises(vmodl.fault.InvalidArgument):
        manager.QueryPerf([vim.PerformanceManager.QuerySpec(entity=folder)])


def test_makes_and_removes_a_local_datastore(connect: Callable[..., Host], tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    host = connect(local_folders=tmp_path)
    system = host.system.configManager.datastoreSystem
    assert system.capabilities.localDatastoreSupported
    store = system.CreateLocalDatastore("mine", "/here")
    assert store.info.path == "/here"
    assert store in host.datacenter.datastore
    assert store in list(system.datastore)
    files = vim.vm.FileInfo(vmPathName="[mine]")
    machine = host.create("lodger", files=files, disk_kb=1024)
    assert (tmp_path / "here" / "lodger" / "lodger.vmx").exists()
    with pytest.raises(vim.fault.ResourceInUse):
        system.RemoveDatastore(store)
    host.done(machine.Destroy_Task())
    system.RemoveDatastore(store)
    assert [each.name for each in host.datacenter.datastore] == ["datastore1"]


def test_a_host_makes_no_datastore_of_a_folder(shared: Host) -> None:
    system = shared.system.configManager.datastoreSystem
    with pytest.raises(vmodl.fault.NotSupported):
        system.CreateLocalDatastore("mine", "/tmp")
    assert list(system.QueryAvailableDisksForVmfs()) == []


def test_renames_a_datastore(host: Host) -> None:
    [store] = host.datacenter.datastore
    [machine] = host.datacenter.vmFolder.childEntity
    store.RenameDatastore("another name")
    assert store.summary.name == "another name"
    assert machine.config.files.vmPathName.startswith("[another name] ")
    assert machine.layout.disk[0].diskFile[0].startswith("[another name] ")
    host.done(machine.PowerOnVM_Task())
    with pytest.raises(vim.fault.InvalidName):
        store.RenameDatastore("no/slash")
