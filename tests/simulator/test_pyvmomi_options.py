"""pyVmomi asks what machines may be made of, how busy they are, and for datastores."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.simulator.conftest import Host
from tests.simulator.vmomi import vim

pytestmark = pytest.mark.slow


def browser(host: Host) -> Any:
    return host.datacenter.hostFolder.childEntity[0].environmentBrowser


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


def test_a_machine_has_the_browser_of_the_host(shared: Host) -> None:
    machine = shared.create()
    assert machine.environmentBrowser == browser(shared)
    assert machine.environmentBrowser.QueryConfigOption().version == machine.config.version


def test_makes_a_machine_for_each_guest_of_a_family(shared: Host) -> None:
    option = browser(shared).QueryConfigOption()
    for guest in [each for each in option.guestOSDescriptor if each.family == "solarisGuest"]:
        assert shared.create(guestId=guest.id).config.guestFullName == guest.fullName


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
