"""The host's services, firewall, time, options, storage, mode, tasks and logs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.unit.driver.hosted import Beside, Hosted, hosted
from vimdriver._driver import ESXDriver
from vimdriver._instances.autostart import _took
from vimdriver._networks.policies import Balancing, PolicyChange, changed, policy_of
from vimlib import vim25
from vimlib.errors import HostStateError, NotFoundError, UsageError

NFS = "filer:/export/a"
NAME = "localhost.localdomain"


@pytest.fixture
def host(beside: Beside, tmp_path: Path) -> Iterator[Hosted]:
    with hosted(beside, tmp_path / "s", owned=True, vms=1, exports={NFS: None}) as found:
        yield found


@pytest.fixture
async def driver(host: Hosted) -> AsyncIterator[ESXDriver]:
    async with host.driver() as found:
        yield found


async def running(driver: ESXDriver) -> bool:
    (ssh,) = [one for one in await driver.services() if one.key == "TSM-SSH"]
    return ssh.running


Act = Callable[[ESXDriver], Awaitable[Any]]
# Verb that writes: its call, its method, and what it returns.
CHANGES: dict[str, tuple[Act, str, Callable[[Any], bool]]] = {
    "start a service": (
        lambda d: d.control_service("TSM-SSH", "start"), "StartService", lambda r: r.running,
    ),
    "service policy": (
        lambda d: d.set_service_policy("tsm-ssh", "on"),
        "UpdateServicePolicy",
        lambda r: r.policy == "on",
    ),
    "close a ruleset": (
        lambda d: d.set_ruleset("CIMSLP", "closed"), "DisableRuleset", lambda r: not r.enabled,
    ),
    "time servers": (
        lambda d: d.set_time_servers(servers=("ntp1", "ntp2")),
        "UpdateDateTimeConfig",
        lambda r: r.servers == ("ntp1", "ntp2"),
    ),
    "option": (
        lambda d: d.set_host_option("UserVars.SuppressShellWarning", "1"),
        "UpdateOptions",
        lambda r: r.value == 1,
    ),
    "maintenance": (
        lambda d: d.enter_maintenance(), "EnterMaintenanceMode_Task", lambda r: r.maintenance,
    ),
    "mount": (
        lambda d: d.mount_nfs("nas", "filer", "/export/a"),
        "CreateNasDatastore",
        lambda r: (r.name, r.kind) == ("nas", "NFS"),
    ),
    "autostart": (
        lambda d: d.set_autostart("vm-0", order=1, start_delay=30),
        "ReconfigureAutostart",
        lambda r: (r.order, r.start, r.start_delay, r.name) == (1, True, 30, "vm-0"),
    ),
    "create a switch": (
        lambda d: d.create_switch("lab", mtu=9000),
        "AddVirtualSwitch",
        lambda r: (r.name, r.mtu, r.uplinks) == ("lab", 9000, ()),
    ),
    "mtu": (
        lambda d: d.set_mtu("vSwitch0", 9000), "UpdateVirtualSwitch", lambda r: r.mtu == 9000,
    ),
    "switch": (
        lambda d: d.set_switch("vSwitch0", balancing="loadbalance_ip", failback="no"),
        "UpdateVirtualSwitch",
        lambda r: (r.policy.balancing, r.policy.failback) == ("loadbalance_ip", False),
    ),
    "port group": (
        lambda d: d.set_port_group("VM Network", vlan=7, promiscuous="accept"),
        "UpdatePortGroup",
        lambda r: (r.vlan, r.policy.promiscuous) == (7, True),
    ),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
async def test_a_change_comes_about_and_is_made_once(
    change: str, host: Hosted, driver: ESXDriver
) -> None:
    act, method, holds = CHANGES[change]
    assert holds(await act(driver))
    assert host.methods().count(method) == 1
    if change not in ("mount", "create a switch", "port group", "autostart"):
        assert holds(await act(driver))
        assert host.methods().count(method) == 1, "it was so already"


@pytest.mark.parametrize("change", CHANGES)
async def test_a_lost_answer_is_read_from_the_host(
    change: str, host: Hosted, driver: ESXDriver
) -> None:
    act, method, holds = CHANGES[change]
    host.esx.faults.add(method, "lose")
    assert holds(await act(driver))
    assert host.methods().count(method) == 1


@pytest.mark.parametrize("change", CHANGES)
async def test_a_refusal_is_the_hosts(change: str, host: Hosted, driver: ESXDriver) -> None:
    act, method, _ = CHANGES[change]
    host.esx.faults.add(method, "fault", fault=vim25.HostConfigFault())
    with pytest.raises(vim25.HostConfigFault):
        await act(driver)


REFUSED: dict[str, tuple[Act, type[Exception], str]] = {
    "service": (lambda d: d.control_service("none", "start"), NotFoundError, "TSM-SSH"),
    "ruleset": (lambda d: d.set_ruleset("none", "open"), NotFoundError, "sshServer"),
    "servers": (lambda d: d.set_time_servers(servers=()), UsageError, "at least one"),
    "option": (lambda d: d.set_host_option("No.Such", "1"), NotFoundError, "No.Such"),
    "value": (
        lambda d: d.set_host_option("UserVars.SuppressShellWarning", "x"), UsageError, "a number",
    ),
    "wait": (lambda d: d.enter_maintenance(drain=-1), UsageError, "at least 0 s, got -1"),
    "reboot": (lambda d: d.reboot_host("other"), UsageError, f"name, '{NAME}', got 'other'"),
    "not in maintenance": (lambda d: d.shutdown_host(NAME), HostStateError, "maintenance"),
    "mount path": (lambda d: d.mount_nfs("n", "filer", "a"), UsageError, "begin with /"),
    "mount name": (lambda d: d.mount_nfs("", "filer", "/a"), UsageError, "1 to 80 printable"),
    "mount twice": (lambda d: d.mount_nfs("datastore1", "f", "/a"), HostStateError, "already"),
    "unmount vmfs": (lambda d: d.unmount_nfs("datastore1"), UsageError, "of kind NFS"),
    "unmount": (lambda d: d.unmount_nfs("none"), NotFoundError, "none"),
    "order": (lambda d: d.set_autostart("vm-0", order=0), UsageError, "-1 or at least 1, got 0"),
    "gap": (lambda d: d.set_autostart("vm-0", order=3), UsageError, "at most 1"),
    "delay": (lambda d: d.set_autostart("vm-0", start_delay=-2), UsageError, "got -2"),
    "log": (lambda d: d.logs("none"), NotFoundError, "hostd"),
    "lines": (lambda d: d.logs(lines=0), UsageError, "at least 1, got 0"),
    "counter": (lambda d: d.metrics(counters=("cpu.none.x",)), UsageError, "cpu.usage.average"),
    "samples": (lambda d: d.metrics(samples=0), UsageError, "1 to 180, got 0"),
    "switch": (lambda d: d.set_mtu("none", 1500), NotFoundError, "vSwitch0"),
    "mtu": (lambda d: d.set_mtu("vSwitch0", 9001), UsageError, "1280 to 9000, got 9001"),
    "switch name": (lambda d: d.create_switch(""), UsageError, "1 to 31"),
    "switch twice": (lambda d: d.create_switch("vSwitch0"), HostStateError, "already exists"),
    "uplink": (lambda d: d.create_switch("x", uplinks=("vmnic0",)), HostStateError, "be free"),
    "full switch": (lambda d: d.remove_switch("vSwitch0"), HostStateError, "VM Network"),
    "stop delay": (
        lambda d: d.set_autostart("vm-0", stop_delay=-2), UsageError, "stop_delay must be at least 0 s",
    ),
    "policy of a switch": (lambda d: d.set_switch("vSwitch0"), UsageError, "at least one change"),
    "NIC of a switch": (lambda d: d.set_switch("vSwitch0", active=("vmnic1",)), NotFoundError, "vmnic0"),
    "balancing": (
        lambda d: d.set_switch("vSwitch0", balancing="inherit"),  # type: ignore[arg-type]
        UsageError,
        "balancing must be one of loadbalance_srcid, loadbalance_srcmac, loadbalance_ip, failover_explicit",
    ),
    "nothing": (lambda d: d.set_port_group("VM Network"), UsageError, "at least one change"),
    "group": (lambda d: d.set_port_group("none", vlan=1), NotFoundError, "VM Network"),
    "vlan": (lambda d: d.set_port_group("VM Network", vlan=4095), UsageError, "got 4095"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
async def test_a_wrong_argument_is_one_typed_sentence_and_changes_nothing(
    case: str, host: Hosted, driver: ESXDriver
) -> None:
    act, kind, text = REFUSED[case]
    with pytest.raises((kind, LookupError)) as caught:
        await act(driver)
    assert text in str(caught.value)
    assert not [m for m in host.methods() if m.startswith(("Update", "Add", "Remove", "Create"))]


async def test_services_and_rulesets_are_listed(driver: ESXDriver) -> None:
    assert {one.key for one in await driver.services()} >= {"TSM-SSH", "ntpd"}
    (ssh,) = [one for one in await driver.firewall() if one.key == "sshServer"]
    assert any(port.endswith("22") for port in ssh.ports)
    assert ssh.to_json()["addresses"] == ["all"]


async def test_a_service_is_restarted_and_stopped(host: Hosted, driver: ESXDriver) -> None:
    for action, wanted in (("start", True), ("restart", True), ("stop", False)):
        assert (await driver.control_service("TSM-SSH", action)).running is wanted  # type: ignore[arg-type]
    assert [m for m in host.methods() if m.endswith("Service")] == [
        "StartService", "RestartService", "StopService",
    ]  # fmt: skip


async def test_the_clock_of_the_host(host: Hosted, driver: ESXDriver) -> None:
    found = await driver.host_time()
    assert abs(found.ahead) < 60
    system = host.esx.registry.one("HostDateTimeSystem")
    host.beside.call(lambda: system.set_time(system.now() + timedelta(hours=1)))
    assert 3500 < (await driver.host_time()).ahead < 3700


async def test_options_are_listed_by_prefix(driver: ESXDriver) -> None:
    found = await driver.host_options("UserVars.")
    assert found
    assert all(one.key.startswith("UserVars.") for one in found)


async def test_maintenance_is_refused_while_a_machine_runs(host: Hosted, driver: ESXDriver) -> None:
    await driver.power_on("vm-0")
    with pytest.raises(HostStateError, match="no machine may run, 1 run: vm-0"):
        await driver.enter_maintenance()
    with pytest.raises(vim25.Timedout):
        await driver.enter_maintenance(drain=1)
    await driver.power_off("vm-0")
    assert (await driver.enter_maintenance()).maintenance
    assert not (await driver.exit_maintenance()).maintenance
    assert not (await driver.exit_maintenance()).maintenance
    assert host.methods().count("ExitMaintenanceMode_Task") == 1


@pytest.mark.parametrize("verb", ["reboot_host", "shutdown_host"])
async def test_the_host_goes_down_when_its_name_confirms_it(
    verb: str, beside: Beside, tmp_path: Path
) -> None:
    with hosted(beside, tmp_path / "t", owned=True, vms=1) as host:
        async with host.driver() as driver:
            await driver.enter_maintenance()
            found = await getattr(driver, verb)(NAME)
            assert found.requested == verb.partition("_")[0]
        method = "RebootHost_Task" if verb == "reboot_host" else "ShutdownHost_Task"
        assert host.methods().count(method) == 1


async def test_nfs_is_mounted_and_unmounted(host: Hosted, driver: ESXDriver) -> None:
    await driver.mount_nfs("nas", "filer", "/export/a")
    assert "nas" in [store.name for store in await driver.datastores(kinds=("NFS",))]
    await driver.unmount_nfs("nas")
    assert await driver.datastores(kinds=("NFS",)) == []
    # No machine can be made on it.
    made = await driver.mount_nfs("nas", "filer", "/export/a", read_only=True)
    assert (made.accessible, made.writable, made.usable) == (True, False, False)
    assert "nas" not in [store.name for store in await driver.datastores(usable=True)]


async def test_storage_is_rescanned(host: Hosted, driver: ESXDriver) -> None:
    await driver.rescan()
    assert [m for m in host.methods() if m.startswith("Rescan")] == ["RescanAllHba", "RescanVmfs"]


async def test_tasks_and_the_log_show_earlier_calls(host: Hosted, driver: ESXDriver) -> None:
    await driver.power_on("vm-0")
    await driver.suspend("vm-0")
    seen = len(host.methods())
    found = await driver.tasks()
    assert len(host.methods()) == seen + 1
    assert [(one.method, one.state, one.target) for one in found][:1] == [
        ("PowerOnVM_Task", "success", "vm-0")
    ]
    log = await driver.logs(lines=3)
    assert len(log.lines) == 3
    assert "SuspendVM_Task" in log.lines[-1]
    whole = await driver.logs(lines=10_000)
    assert whole.lines[-3:] == log.lines
    assert whole.first == 1


async def test_counters_of_a_machine_and_of_the_host(host: Hosted, driver: ESXDriver) -> None:
    assert await driver.metrics("vm-0") == []
    await driver.power_on("vm-0")
    host.esx.machine("vm-0").booted = datetime.now(UTC) - timedelta(hours=1)
    for ref in ("vm-0", None):
        found = await driver.metrics(ref, counters=("cpu.usage.average",), samples=5)
        (series,) = found
        assert (series.counter, series.unit) == ("cpu.usage.average", "percent")
        assert len(series.values) == len(series.times) == 5
        assert all(0 <= value <= 100 for value in series.values)
    assert {one.counter for one in await driver.metrics("vm-0")} > {"cpu.usagemhz.average"}


async def test_autostart_is_listed_in_its_order_and_switched_off(
    beside: Beside, tmp_path: Path
) -> None:
    with hosted(beside, tmp_path / "t", owned=True, vms=3) as host:
        async with host.driver() as driver:
            await driver.set_autostart("vm-2", order=1)
            await driver.set_autostart("vm-0", order=1, stop_action="guestShutdown")
            await driver.set_autostart("vm-1")
            assert [one.name for one in await driver.autostarts()] == ["vm-0", "vm-2", "vm-1"]
            assert not (await driver.set_autostart("vm-0", off=True)).start
            assert [o.name for o in await driver.autostarts() if o.start] == ["vm-2", "vm-1"]


@pytest.mark.parametrize("own", [True, False])
def test_the_nics_that_are_not_given_stay(own: bool) -> None:
    order = vim25.HostNicOrderPolicy(activeNic=["vmnic0", "vmnic1"], standbyNic=["vmnic2"])
    there = vim25.HostNetworkPolicy(nicTeaming=vim25.HostNicTeamingPolicy(nicOrder=order))
    group, switch = (there, None) if own else (None, there)
    one, two, three = ("vmnic0",), ("vmnic1",), ("vmnic2",)
    for active, standby, wanted in (
        (three, (), (three, ())),
        (two, (), (two, three)),
        ((), two, (one, two)),
        (three, one, (three, one)),
    ):
        change = PolicyChange(active=active, standby=standby)
        found = policy_of(changed(group, switch, change))
        assert (found.active, found.standby) == wanted


BALANCING = ("loadbalance_srcid", "loadbalance_srcmac", "loadbalance_ip", "failover_explicit")


@pytest.mark.parametrize("balancing", BALANCING)
async def test_teaming_of_a_switch_holds_for_port_groups_that_inherit_it(
    balancing: Balancing, host: Hosted, driver: ESXDriver
) -> None:
    (before,) = await driver.switches()
    assert (before.policy.balancing, before.policy.notify_switches, before.policy.failback) == (
        "loadbalance_srcid", True, True,
    )  # fmt: skip
    own = await driver.set_port_group(
        "VM Network", balancing="failover_explicit", notify_switches="no", failback="no"
    )
    assert (own.policy.balancing, own.policy.notify_switches, own.policy.failback) == (
        "failover_explicit", False, False,
    )  # fmt: skip
    found = await driver.set_switch(
        "vSwitch0", balancing=balancing, notify_switches="no", failback="no"
    )
    # All else is as it was.
    assert found == replace(
        before,
        policy=replace(before.policy, balancing=balancing, notify_switches=False, failback=False),
    )
    assert computed(host) == ("failover_explicit", False, True)
    await driver.set_switch("vSwitch0", notify_switches="yes", failback="yes")
    inherits = await driver.set_port_group(
        "VM Network", balancing="inherit", notify_switches="inherit", failback="inherit"
    )
    assert (inherits.policy.balancing, inherits.policy.notify_switches, inherits.policy.failback) == (
        None, None, None,
    )  # fmt: skip
    assert computed(host) == (balancing, True, False)


def computed(host: Hosted) -> tuple[str, bool, bool]:
    """Return what the host takes for `VM Network`: load balancing, notification, rolling order."""
    info = host.beside.call(host.esx.networks.info)
    (group,) = [one for one in info.portgroup if one.spec.name == "VM Network"]
    teaming = group.computedPolicy.nicTeaming
    return teaming.policy, teaming.notifySwitches, teaming.rollingOrder


async def test_the_order_of_a_switchs_nics_is_replaced(host: Hosted, driver: ESXDriver) -> None:
    made = await driver.create_switch("lab", uplinks=("vmnic1", "vmnic10"))
    assert (made.policy.active, made.policy.standby) == (("vmnic1", "vmnic10"), ())
    found = await driver.set_switch("lab", standby=("vmnic1",))
    assert (found.policy.active, found.policy.standby) == (("vmnic10",), ("vmnic1",))
    found = await driver.set_switch("lab", active=("vmnic1", "vmnic10"))
    assert (found.policy.active, found.policy.standby) == (("vmnic1", "vmnic10"), ())


def test_a_host_may_forget_a_machine_that_it_no_longer_starts() -> None:
    def wanted(action: str) -> vim25.AutoStartPowerInfo:
        return vim25.AutoStartPowerInfo(
            key=vim25.VirtualMachine("1"),
            startOrder=-1,
            startDelay=-1,
            waitForHeartbeat="systemDefault",
            startAction=action,
            stopDelay=-1,
            stopAction="systemDefault",
        )

    assert _took(None, wanted("none"))
    assert not _took(None, wanted("powerOn"))


async def test_switches_and_their_policies(host: Hosted, driver: ESXDriver) -> None:
    (switch,) = await driver.switches()
    assert (switch.name, switch.uplinks[:1]) == ("vSwitch0", ("vmnic0",))
    assert "VM Network" in switch.port_groups
    nics = list(switch.uplinks)
    found = await driver.set_port_group(
        "VM Network", active=(nics[0],), forged="reject", mac_changes="inherit"
    )
    assert (found.policy.active, found.policy.forged) == ((nics[0],), False)
    assert found.policy.mac_changes is None
    (group,) = [g for g in await driver.port_group_policies() if g.name == "VM Network"]
    assert group == found
    with pytest.raises(LookupError, match="vmnic9"):
        await driver.set_port_group("VM Network", standby=("vmnic9",))
    await driver.create_switch("lab")
    await driver.remove_switch("lab")
    assert [one.name for one in await driver.switches()] == ["vSwitch0"]
    adapters = await driver.vmkernel()
    assert all(one.device.startswith("vmk") for one in adapters)
