from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from vimlib import vim25
from vimlib.simulator import ManualClock

MANAGER = vim25.PerformanceManager("ha-perfmgr")
HOST = vim25.HostSystem("ha-host")
USAGE_MHZ, READY, CONSUMED, UPTIME, HEARTBEAT = 5, 11, 65611, 262144, 262145


@pytest.fixture
async def call(make: Callable[..., Any], clock: ManualClock) -> Any:
    """Give a host whose one machine has run for ten minutes, on two CPUs."""
    call = await make(vms=2, clock=clock)
    machine = call.esx.machine("vm-0")
    ref = await call(
        vim25.VirtualMachine.ReconfigVM_Task,
        machine.ref,
        spec=vim25.VirtualMachineConfigSpec(numCPUs=2),
    )
    await call.esx.registry.find(ref).work
    ref = await call(vim25.VirtualMachine.PowerOnVM_Task, machine.ref)
    await call.esx.registry.find(ref).work
    await clock.advance(600)
    return call


async def query(call: Any, entity: Any, *metrics: tuple[int, str], **fields: Any) -> Any:
    ids = [vim25.PerfMetricId(counterId=key, instance=name) for key, name in metrics]
    spec = vim25.PerfQuerySpec(entity=entity, metricId=ids, **fields)
    [found] = await call(vim25.PerformanceManager.QueryPerf, MANAGER, querySpec=[spec])
    return found


async def test_the_counters_of_the_manager(call: Any) -> None:
    read = await call.read(MANAGER, "perfCounter", "historicalInterval", "description")
    counters = {c.key: c for c in read["perfCounter"]}
    assert counters[USAGE_MHZ].nameInfo.key == "usagemhz"
    assert counters[USAGE_MHZ].unitInfo.key == "megaHertz"
    assert {c.rollupType for c in counters.values()} <= set(vim25.PerfSummaryType.__values__())
    assert {c.statsType for c in counters.values()} <= set(vim25.PerfStatsType.__values__())
    units = set(vim25.PerformanceManagerUnit.__values__())
    assert {c.unitInfo.key for c in counters.values()} <= units
    [interval] = read["historicalInterval"]
    assert (interval.samplingPeriod, interval.length) == (300, 129_600)
    [one] = await call(vim25.PerformanceManager.QueryPerfCounter, MANAGER, counterId=[UPTIME])
    assert one == counters[UPTIME]
    low = await call(vim25.PerformanceManager.QueryPerfCounterByLevel, MANAGER, level=1)
    assert low == [c for c in counters.values() if c.level == 1]
    with pytest.raises(vim25.InvalidArgument):
        await call(vim25.PerformanceManager.QueryPerfCounter, MANAGER, counterId=[7])
    with pytest.raises(vim25.InvalidArgument):
        await call(vim25.PerformanceManager.QueryPerfCounterByLevel, MANAGER, level=5)


async def test_who_has_statistics(call: Any) -> None:
    async def summary(entity: Any) -> Any:
        return await call(vim25.PerformanceManager.QueryPerfProviderSummary, MANAGER, entity=entity)

    on, off = call.esx.machine("vm-0").ref, call.esx.machine("vm-1").ref
    assert [(await summary(each)).refreshRate for each in (on, off, HOST)] == [20, 20, 20]
    none = await summary(vim25.Folder("ha-folder-vm"))
    assert (none.currentSupported, none.refreshRate) == (False, None)
    with pytest.raises(vim25.ManagedObjectNotFound):
        await summary(vim25.VirtualMachine("gone"))

    async def available(entity: Any) -> list[tuple[int, str]]:
        method = vim25.PerformanceManager.QueryAvailablePerfMetric
        return [(m.counterId, m.instance) for m in await call(method, MANAGER, entity=entity)]

    assert [name for key, name in await available(on) if key == READY] == ["", "0", "1"]
    assert await available(off) == []
    assert len([name for key, name in await available(HOST) if key == USAGE_MHZ]) == 33
    assert READY in {key for key, _ in await available(HOST)}
    assert HEARTBEAT not in {key for key, _ in await available(HOST)}


async def test_samples_swing_around_what_quick_stats_say(call: Any) -> None:
    machine = call.esx.machine("vm-0")
    found = await query(call, machine.ref, (USAGE_MHZ, ""), (CONSUMED, ""), (UPTIME, ""))
    assert [series.id.counterId for series in found.value] == [USAGE_MHZ, CONSUMED, UPTIME]
    assert len(found.sampleInfo) == 30  # ten minutes
    assert {info.interval for info in found.sampleInfo} == {20}
    assert all(len(series.value) == 30 for series in found.value)
    stats = machine.read("summary").quickStats
    usage, consumed, uptime = (series.value for series in found.value)
    assert all(abs(v - stats.overallCpuUsage) <= stats.overallCpuUsage / 10 for v in usage)
    assert sum(consumed) / 30 == pytest.approx(stats.hostMemoryUsage << 10, rel=0.05)
    assert len(set(consumed)) > 20
    assert uptime == [
        int((info.timestamp - machine.booted).total_seconds()) for info in found.sampleInfo
    ]
    assert await query(call, machine.ref, (USAGE_MHZ, "")) == await query(
        call, machine.ref, (USAGE_MHZ, "")
    )


async def test_instances(call: Any) -> None:
    machine = call.esx.machine("vm-0").ref

    async def names(*metrics: tuple[int, str]) -> list[str]:
        return [s.id.instance for s in (await query(call, machine, *metrics)).value]

    assert await names((READY, "*")) == ["", "0", "1"]
    assert await names((READY, "1"), (READY, "1")) == ["1"]
    assert await names((READY, "7"), (CONSUMED, "0")) == []
    whole, first = (await query(call, machine, (12, ""), (12, "0"))).value
    assert all(abs(a / 2 - b) <= 1 for a, b in zip(whole.value, first.value, strict=True))
    everything = await query(call, machine)
    instances = {(s.id.counterId, s.id.instance) for s in everything.value}
    disk = call.esx.datastores["datastore1"]
    assert {(196609, "4000"), (589826, "scsi0:0"), (655362, disk.uuid)} <= instances
    assert (131073, "mpx.vmhba0:C0:T0:L0") in instances
    assert (589826, "") not in instances
    with pytest.raises(vim25.InvalidArgument):
        await names((999, ""))


async def test_ranges(call: Any, clock: ManualClock) -> None:
    machine = call.esx.machine("vm-0").ref

    async def times(entity: Any = machine, **fields: Any) -> list[Any]:
        found = await query(call, entity, (UPTIME, ""), **fields)
        return [info.timestamp for info in found.sampleInfo]

    every = await times()
    assert await times(maxSample=2) == every[-2:]
    # The start is excluded, the end included.
    assert await times(startTime=every[3], endTime=every[5]) == every[4:6]
    assert await times(startTime=every[-1]) == []
    assert await times(endTime=every[0] - timedelta(days=1)) == []
    assert await times(intervalId=7) == every
    summed = await times(intervalId=300, maxSample=1)
    assert len(summed) == 2
    assert {at.timestamp() % 300 for at in summed} == {0}
    # An hour of samples is kept, and a day and a half of sums.
    assert len(await times(HOST)) == 180
    assert 280 <= len(await times(HOST, intervalId=300)) <= 290  # it was booted a day ago
    off = await query(call, call.esx.machine("vm-1").ref, (UPTIME, ""))
    assert (off.sampleInfo, off.value) == ([], [])


async def test_as_csv(call: Any) -> None:
    machine = call.esx.machine("vm-0").ref
    plain = await query(call, machine, (CONSUMED, ""), maxSample=2)
    csv = await query(call, machine, (CONSUMED, ""), maxSample=2, format="csv")
    assert csv.value[0].value == ",".join(map(str, plain.value[0].value))
    first, second = (f"{info.timestamp:%Y-%m-%dT%H:%M:%SZ}" for info in plain.sampleInfo)
    assert csv.sampleInfoCSV == f"20,{first},20,{second}"


@pytest.mark.parametrize(
    ("entity", "fields"),
    [
        (vim25.Folder("ha-folder-vm"), {}),
        (HOST, {"format": "xml"}),
        (HOST, {"maxSample": -1}),
    ],
)
async def test_invalid_queries_are_refused(call: Any, entity: Any, fields: dict[str, Any]) -> None:
    with pytest.raises(vim25.InvalidArgument):
        await query(call, entity, **fields)


# What vmware_exporter asks of a host and of a machine; a missing one is an error there.
EXPORTED = {
    "HostSystem": """cpu.costop cpu.demand cpu.idle cpu.ready cpu.swapwait cpu.usage cpu.usagemhz cpu.used
        disk.read disk.write mem.active mem.latency mem.swapin mem.swapinRate mem.swapout mem.swapoutRate
        mem.vmmemctl net.bytesRx net.bytesTx net.droppedRx net.droppedTx net.errorsRx net.errorsTx net.usage""",
    "VirtualMachine": """cpu.demand cpu.latency cpu.maxlimited cpu.ready cpu.usage mem.usage mem.consumed
        mem.swapped disk.maxTotalLatency disk.usage net.received net.transmitted net.multicastRx
        net.multicastTx net.broadcastRx net.broadcastTx""",
}


async def test_exporters_find_the_counters_that_they_ask_for(call: Any) -> None:
    known = (await call.read(MANAGER, "perfCounter"))["perfCounter"]
    assert len(known) > 60
    names = {c.key: f"{c.groupInfo.key}.{c.nameInfo.key}" for c in known}
    for entity in (HOST, call.esx.machine("vm-0").ref):
        method = vim25.PerformanceManager.QueryAvailablePerfMetric
        have = {names[m.counterId] for m in await call(method, MANAGER, entity=entity)}
        assert set(EXPORTED[entity.moref[0]].split()) <= have
