"""Services, firewall, time, autostart, VMkernel adapters, power policy and options of the simulated host."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.unit.simulator.conftest import Caller
from vimlib import vim25
from vimlib.simulator import ManualClock

SERVICES = vim25.HostServiceSystem
FIREWALL = vim25.HostFirewallSystem
TIME = vim25.HostDateTimeSystem
AUTOSTART = vim25.HostAutoStartManager
NETWORK = vim25.HostNetworkSystem
NICS = vim25.HostVirtualNicManager


async def manager(call: Caller, field: str) -> Any:
    """Return a manager of the host."""
    found = await call.read(call.esx.host.ref, "configManager")
    return getattr(found["configManager"], field)


async def config(call: Caller, part: str) -> Any:
    """Return a part of the host's configuration."""
    return (await call.read(call.esx.host.ref, f"config.{part}"))[f"config.{part}"]


async def test_a_service_is_started_and_stopped(make: Callable[..., Any]) -> None:
    call = await make()
    system = await manager(call, "serviceSystem")

    async def ssh() -> Any:
        return next(s for s in (await config(call, "service")).service if s.key == "TSM-SSH")

    assert ((await ssh()).running, (await ssh()).policy) == (False, "off")
    await call(SERVICES.StartService, system, id="TSM-SSH")
    await call(SERVICES.StartService, system, id="TSM-SSH")  # silent from 5.0 on
    await call(SERVICES.UpdateServicePolicy, system, id="TSM-SSH", policy="on")
    assert ((await ssh()).running, (await ssh()).policy) == (True, "on")
    await call(SERVICES.StopService, system, id="TSM-SSH")
    assert not (await ssh()).running
    with pytest.raises(vim25.NotFound):
        await call(SERVICES.StartService, system, id="nonesuch")
    with pytest.raises(vim25.InvalidArgument):
        await call(SERVICES.UpdateServicePolicy, system, id="TSM-SSH", policy="maybe")


async def test_a_classic_host_does_not_start_a_service_twice(make: Callable[..., Any]) -> None:
    call = await make(version="4.1")
    system = await manager(call, "serviceSystem")
    with pytest.raises(vim25.InvalidState):
        await call(SERVICES.StartService, system, id="ntpd")


async def test_a_ruleset_is_opened_and_limited(make: Callable[..., Any]) -> None:
    call = await make()
    system = await manager(call, "firewallSystem")

    async def ntp() -> Any:
        return next(r for r in (await config(call, "firewall")).ruleset if r.key == "ntpClient")

    assert not (await ntp()).enabled
    await call(FIREWALL.EnableRuleset, system, id="ntpClient")
    allowed = vim25.HostFirewallRulesetIpList(ipAddress=["10.0.0.1"], allIp=False)
    spec = vim25.HostFirewallRulesetRulesetSpec(allowedHosts=allowed)
    await call(FIREWALL.UpdateRuleset, system, id="ntpClient", spec=spec)
    assert ((await ntp()).enabled, (await ntp()).allowedHosts) == (True, allowed)
    with pytest.raises(vim25.HostConfigFault):
        await call(FIREWALL.DisableRuleset, system, id="sshServer")
    with pytest.raises(vim25.NotFound):
        await call(FIREWALL.EnableRuleset, system, id="nonesuch")


async def test_time_servers_are_set_and_the_time_too(make: Callable[..., Any]) -> None:
    clock = ManualClock()
    call = await make(clock=clock)
    system = await manager(call, "dateTimeSystem")
    ntp = vim25.HostNtpConfig(server=["0.pool.example"])
    wanted = vim25.HostDateTimeConfig(ntpConfig=ntp)
    await call(TIME.UpdateDateTimeConfig, system, config=wanted)
    assert (await config(call, "dateTimeInfo")).ntpConfig.server == ["0.pool.example"]
    time = datetime(2030, 1, 1, tzinfo=UTC)
    await call(TIME.UpdateDateTime, system, dateTime=time)
    assert await call(TIME.QueryDateTime, system) == time
    mars = vim25.HostDateTimeConfig(timeZone="Mars")
    with pytest.raises(vim25.HostConfigFault):
        await call(TIME.UpdateDateTimeConfig, system, config=mars)


def entry(machine: Any, order: int, **more: Any) -> Any:
    given: dict[str, Any] = {
        "startDelay": -1, "startAction": "powerOn", "waitForHeartbeat": "systemDefault",
        "stopDelay": -1, "stopAction": "systemDefault"}  # fmt: skip
    return vim25.AutoStartPowerInfo(key=machine, startOrder=order, **(given | more))


async def test_machines_start_in_their_order(make: Callable[..., Any]) -> None:
    call = await make(vms=3)
    system = await manager(call, "autoStartManager")
    one, two, three = (m.ref for m in call.esx.machines.values())

    async def set_(*entries: Any, **defaults: Any) -> None:
        spec = vim25.HostAutoStartManagerConfig(
            defaults=vim25.AutoStartDefaults(**defaults) if defaults else None,
            powerInfo=list(entries),
        )
        await call(AUTOSTART.ReconfigureAutostart, system, spec=spec)

    fresh = await config(call, "autoStart")
    assert (fresh.defaults.enabled, fresh.defaults.startDelay, fresh.powerInfo) == (None, 120, [])
    await set_(entry(one, 1), entry(two, 1), enabled=True, startDelay=5)
    found = await config(call, "autoStart")
    assert [(e.key.moref, e.startOrder) for e in found.powerInfo] == [
        (two.moref, 1), (one.moref, 2)]  # fmt: skip
    assert (found.defaults.enabled, found.defaults.startDelay, found.defaults.stopDelay) == (
        (True, 5, 120)
    )
    for wrong in (entry(three, 0), entry(three, 4), entry(three, 1, startAction="explode")):
        with pytest.raises(vim25.InvalidArgument):
            await set_(wrong)
    await set_(entry(two, -1, startAction="none"))
    found = await config(call, "autoStart")
    assert [(e.key.moref, e.startOrder) for e in found.powerInfo] == [
        (one.moref, 1), (two.moref, -1)]  # fmt: skip


async def test_an_adapter_of_the_vmkernel_comes_and_goes(make: Callable[..., Any]) -> None:
    call = await make()
    system, nics = await manager(call, "networkSystem"), await manager(call, "virtualNicManager")
    group = vim25.HostPortGroupSpec(
        name="storage", vlanId=5, vswitchName="vSwitch0", policy=vim25.HostNetworkPolicy()
    )
    await call(NETWORK.AddPortGroup, system, portgrp=group)
    spec = vim25.HostVirtualNicSpec(
        ip=vim25.HostIpConfig(dhcp=False, ipAddress="10.0.0.5", subnetMask="255.0.0.0"), mtu=9000
    )
    device = await call(NETWORK.AddVirtualNic, system, portgroup="storage", nic=spec)
    assert device == "vmk1"
    with pytest.raises(vim25.HostConfigFault):  # the port group has one
        await call(NETWORK.AddVirtualNic, system, portgroup="storage", nic=spec)
    await call(NICS.SelectVnicForNicType, nics, nicType="vmotion", device=device)
    found = await call(NICS.QueryNetConfig, nics, nicType="vmotion")
    assert found.selectedVnic == ["vmotion.key-vim.host.VirtualNic-vmk1"]
    shown = (await config(call, "network")).vnic[1]
    assert (shown.device, shown.spec.ip.ipAddress, shown.spec.mtu) == ("vmk1", "10.0.0.5", 9000)
    with pytest.raises(vim25.ResourceInUse):
        await call(NETWORK.RemovePortGroup, system, pgName="storage")
    change = vim25.HostVirtualNicSpec(mtu=1500)
    await call(NETWORK.UpdateVirtualNic, system, device=device, nic=change)
    assert (await config(call, "network")).vnic[1].spec.mtu == 1500
    await call(NETWORK.RemoveVirtualNic, system, device=device)
    assert [v.device for v in (await config(call, "network")).vnic] == ["vmk0"]
    with pytest.raises(vim25.HostConfigFault):
        await call(NETWORK.RemoveVirtualNic, system, device="vmk0")
    with pytest.raises(vim25.InvalidArgument):
        await call(NICS.SelectVnicForNicType, nics, nicType="telepathy", device="vmk0")


async def test_a_network_configuration_can_be_read_as_a_specification(
    make: Callable[..., Any],
) -> None:
    call = await make()
    system = await manager(call, "networkSystem")
    found = (await call.read(system, "networkConfig"))["networkConfig"]
    assert [item.spec.name for item in found.portgroup] == ["VM Network", "Management Network"]
    assert found.vswitch[0].name == "vSwitch0"


async def test_an_adapter_that_does_not_exist_is_not_rescanned(make: Callable[..., Any]) -> None:
    call = await make()
    system = await manager(call, "storageSystem")
    rescan = vim25.HostStorageSystem.RescanHba
    await call(rescan, system, hbaDevice="vmhba0")
    with pytest.raises(vim25.NotFound):
        await call(rescan, system, hbaDevice="vmhba9")


async def test_each_datastore_is_on_a_disk_of_the_host(make: Callable[..., Any]) -> None:
    call = await make(datastores={"a": None, "b": None}, capacity=1 << 30)
    devices = await config(call, "storageDevice")
    disks = {lun.canonicalName: lun.capacity for lun in devices.scsiLun if lun.lunType == "disk"}
    assert {d.block * d.blockSize for d in disks.values()} == {1 << 30}
    mounts = (await config(call, "fileSystemVolume")).mountInfo
    assert [mount.volume.extent[0].diskName for mount in mounts] == list(disks)


async def test_a_power_policy_is_chosen(make: Callable[..., Any]) -> None:
    call = await make()
    system = await manager(call, "powerSystem")
    await call(vim25.HostPowerSystem.ConfigurePowerPolicy, system, key=3)
    assert (await config(call, "powerSystemInfo")).currentPolicy.shortName == "low"
    with pytest.raises(vim25.InvalidArgument):
        await call(vim25.HostPowerSystem.ConfigurePowerPolicy, system, key=9)


async def test_an_option_has_a_type_and_limits(make: Callable[..., Any]) -> None:
    call = await make()
    options = await manager(call, "advancedOption")
    known = (await call.read(options, "supportedOption"))["supportedOption"]
    limit = next(each for each in known if each.key == "NFS.MaxVolumes").optionType
    assert (type(limit), limit.min, limit.max) == (vim25.LongOption, 8, 256)
    [found] = await call(vim25.OptionManager.QueryOptions, options, name="NFS.MaxVolumes")
    found.value = type(found.value).like(found.value, 1000)
    with pytest.raises(vim25.InvalidArgument):
        await call(vim25.OptionManager.UpdateOptions, options, changedValue=[found])


async def test_a_host_without_vsan_has_a_status_of_it(make: Callable[..., Any]) -> None:
    call = await make(version="8.0")
    system = vim25.HostVsanSystem("vsanSystem")
    status = await call(vim25.HostVsanSystem.QueryHostStatus, system)
    assert (status.uuid, status.health, status.memberUuid) == (None, "unknown", [])


@pytest.mark.parametrize(("version", "known"), [("6.7", False), ("7.0", True)])
async def test_backups_are_a_kind_of_traffic_since_7_0(
    make: Callable[..., Any], version: str, known: bool
) -> None:
    call = await make(version=version)
    manager = (await call.read(call.esx.host.ref, "configManager"))["configManager"]
    query = vim25.HostVirtualNicManager.QueryNetConfig
    if known:
        found = await call(query, manager.virtualNicManager, nicType="vSphereBackupNFC")
        assert found.selectedVnic == []
    else:
        with pytest.raises(vim25.InvalidArgument):
            await call(query, manager.virtualNicManager, nicType="vSphereBackupNFC")
