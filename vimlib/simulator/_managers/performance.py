"""PerformanceManager: counters, and series computed from the state of the host and its machines.

Nothing is measured and nothing kept. A sample is a function of the object's state, of the
counter and of the sample's second, so the same query has the same answer: the level is that of
`summary.quickStats`, and samples vary by a tenth around it.
"""

from __future__ import annotations

import zlib
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from vimlib import vim25
from vimlib.simulator._core.handlers import handles
from vimlib.simulator._core.messages import invalid_argument
from vimlib.simulator._core.objects import Entity, SimObject, prop
from vimlib.simulator._host.host_system import HostSystem
from vimlib.simulator._vm.virtual_machine import VirtualMachine

if TYPE_CHECKING:
    from vimlib.simulator._core.call import Call

_REAL_TIME: Final = 20
"""Seconds between two samples, as long as they are kept apart: for an hour."""
_PAST_DAY: Final = 300
"""Seconds into which an ESX host sums samples up, for a day and a half (PerfInterval)."""
_KEPT: Final = {_REAL_TIME: 3600, _PAST_DAY: 129_600}


class Counter(NamedTuple):
    """One counter."""

    key: int
    group: str
    name: str
    rollup: str
    stats: str
    unit: str
    level: int
    label: str


# Key, group, name, rollup, kind, unit, level, label: some of those of an ESXi 6.5 host.
_TABLE = """\
1 cpu usage average rate percent 1 Usage
5 cpu usagemhz average rate megaHertz 1 Usage in MHz
11 cpu ready summation delta millisecond 1 Ready
12 cpu used summation delta millisecond 3 Used
65537 mem usage average absolute percent 1 Usage
65541 mem granted average absolute kiloBytes 2 Granted
65545 mem active average absolute kiloBytes 2 Active
65586 mem overhead average absolute kiloBytes 1 Overhead consumed
65611 mem consumed average absolute kiloBytes 1 Consumed
131073 disk usage average rate kiloBytesPerSecond 1 Usage
131078 disk read average rate kiloBytesPerSecond 2 Read rate
131079 disk write average rate kiloBytesPerSecond 2 Write rate
196609 net usage average rate kiloBytesPerSecond 1 Usage
196614 net received average rate kiloBytesPerSecond 2 Data receive rate
196615 net transmitted average rate kiloBytesPerSecond 2 Data transmit rate
262144 sys uptime latest absolute second 1 Uptime
"""
_GROUPS = {"cpu": "CPU", "mem": "Memory", "disk": "Disk", "net": "Network", "sys": "System"}
_UNITS = {
    "percent": "%",
    "megaHertz": "MHz",
    "millisecond": "ms",
    "kiloBytes": "KB",
    "kiloBytesPerSecond": "KBps",
    "second": "s",
}
_UPTIME: Final = 262144
_PER_CPU: Final = frozenset({5, 11, 12})
"""Counters with a series for each CPU, besides the total."""
_STEADY: Final = frozenset({65541, 65586, _UPTIME})
"""Counters that do not vary."""


@cache
def _counters() -> dict[int, Counter]:
    found = {}
    for line in _TABLE.splitlines():
        key, group, name, rollup, stats, unit, level, label = line.split(" ", 7)
        found[int(key)] = Counter(int(key), group, name, rollup, stats, unit, int(level), label)
    return found


def _element(key: str, label: str) -> Any:
    return vim25.ElementDescription(label=label, summary=label, key=key)


def _info(counter: Counter) -> Any:
    return vim25.PerfCounterInfo(
        key=counter.key,
        nameInfo=_element(counter.name, counter.label),
        groupInfo=_element(counter.group, _GROUPS[counter.group]),
        unitInfo=_element(counter.unit, _UNITS[counter.unit]),
        rollupType=counter.rollup,
        statsType=counter.stats,
        level=counter.level,
        perDeviceLevel=min(counter.level + 2, 4),
    )


class PerformanceManager(SimObject):
    """Statistics of the host and its machines."""

    kind = "PerformanceManager"

    @prop("perfCounter")
    def counters(self) -> list[Any]:
        """Return the counters."""
        return [_info(counter) for counter in _counters().values()]

    @prop("historicalInterval")
    def _intervals(self) -> list[Any]:
        return [
            vim25.PerfInterval(
                key=1,
                samplingPeriod=_PAST_DAY,
                name="PastDay",
                length=_KEPT[_PAST_DAY],
                enabled=True,
            )
        ]

    @prop("description")
    def _description(self) -> Any:
        return vim25.PerformanceDescription(
            counterType=[_element(word, word) for word in vim25.PerfSummaryType.__values__()],
            statsType=[_element(word, word) for word in vim25.PerfStatsType.__values__()],
        )

    def provider(self, ref: Any) -> Entity | None:
        """Return the entity of a reference if it has statistics. Raises `ManagedObjectNotFound`."""
        obj = self.registry.find(ref)
        return obj if isinstance(obj, (VirtualMachine, HostSystem)) else None


def _machine_levels(machine: VirtualMachine) -> dict[int, float]:
    """Return the level of each counter that a running machine has."""
    hardware = machine.config.hardware
    stats = machine.read("summary").quickStats
    busy = stats.overallCpuUsage / (hardware.numCPU * machine.registry.one(HostSystem).shape.mhz)
    disks, nics = len(machine.disks()), len(machine.nics())
    return {
        1: 10_000 * busy,
        5: stats.overallCpuUsage,
        11: 400 * busy * hardware.numCPU,
        12: 20_000 * busy * hardware.numCPU,
        65537: 10_000 * stats.guestMemoryUsage / hardware.memoryMB,
        65541: hardware.memoryMB << 10,
        65545: stats.guestMemoryUsage << 10,
        65586: machine.read("runtime").memoryOverhead >> 10,
        65611: stats.hostMemoryUsage << 10,
        131073: 48 * disks,
        131078: 16 * disks,
        131079: 32 * disks,
        196609: 30 * nics,
        196614: 20 * nics,
        196615: 10 * nics,
        _UPTIME: 0,
    }


def _host_levels(host: HostSystem) -> dict[int, float]:
    """Return the level of each counter that the host has."""
    shape = host.shape
    stats = host.read("summary").quickStats
    running = [
        _machine_levels(m)
        for m in host.registry.all(VirtualMachine).values()
        if m.power == "poweredOn"
    ]
    levels: dict[int, float] = {
        key: sum(each[key] for each in running)
        for key in _counters()
        if key not in (11, 12)  # of machines alone
    }
    return levels | {
        1: 10_000 * stats.overallCpuUsage / (shape.cores * shape.mhz),
        5: stats.overallCpuUsage,
        65537: 10_000 * stats.overallMemoryUsage / (shape.memory >> 20),
        65611: stats.overallMemoryUsage << 10,
    }


def _levels(entity: Entity) -> dict[int, float]:
    if isinstance(entity, HostSystem):
        return _host_levels(entity)
    assert isinstance(entity, VirtualMachine)
    return _machine_levels(entity)


def _cpus(entity: Entity) -> int:
    if isinstance(entity, HostSystem):
        return entity.shape.threads
    assert isinstance(entity, VirtualMachine)
    count: int = entity.config.hardware.numCPU
    return count


def _booted(entity: Entity) -> datetime | None:
    """Return the time of the first sample; None for a machine that is off."""
    assert isinstance(entity, (HostSystem, VirtualMachine))
    if isinstance(entity, VirtualMachine) and entity.power != "poweredOn":
        return None
    return entity.booted


def _metrics(entity: Entity) -> list[tuple[int, str]]:
    """Return counter and instance of each series that an entity has."""
    found = []
    for key in _levels(entity):
        found.append((key, ""))
        if key in _PER_CPU:
            found.extend((key, str(number)) for number in range(_cpus(entity)))
    return found


def _ticks(entity: Entity, spec: Any, interval: int) -> list[int]:
    """Return the seconds since 1970 of the samples that a query asks for.

    A range excludes its start and includes its end (PerfQuerySpec).
    """
    since = _booted(entity)
    if since is None:
        return []
    now = entity.registry.clock.now()
    start = max(since, now - timedelta(seconds=_KEPT[interval]))
    if spec.startTime is not None:
        start = max(start, spec.startTime)
    end = now if spec.endTime is None else min(now, spec.endTime)
    first = int(start.timestamp()) // interval + 1
    ticks = [number * interval for number in range(first, int(end.timestamp()) // interval + 1)]
    if interval == _REAL_TIME and spec.maxSample:  # ignored for aggregated counters
        ticks = ticks[-spec.maxSample :]
    return ticks


def _series(entity: Entity, key: int, instance: str, ticks: list[int], level: float) -> list[int]:
    """Return the samples of one series."""
    if key == _UPTIME:
        since = _booted(entity)
        assert since is not None
        return [tick - int(since.timestamp()) for tick in ticks]
    parts = _cpus(entity) if instance else 1
    if key in _STEADY:
        return [round(level / parts)] * len(ticks)
    seed = zlib.crc32(f"{entity.moid}/{key}".encode())
    values = []
    for tick in ticks:
        swing = zlib.crc32(tick.to_bytes(8, "big"), seed) / (1 << 32) - 0.5
        values.append(round(level * (1 + swing / 5) / parts))
    return values


def _wanted(entity: Entity, spec: Any) -> list[tuple[int, str]]:
    """Return the series of an entity that a query asks for: all, unless it names some."""
    have = _metrics(entity)
    if not spec.metricId:
        return have
    found: dict[tuple[int, str], None] = {}
    for metric in spec.metricId:
        if metric.counterId not in _counters():
            raise invalid_argument("querySpec.metricId")
        for key, instance in have:
            if key == metric.counterId and metric.instance in (instance, "*"):
                found[key, instance] = None
    return list(found)


def _entity_metric(manager: PerformanceManager, spec: Any) -> Any:
    entity = manager.provider(spec.entity)
    if entity is None:
        raise invalid_argument("querySpec.entity")
    if spec.format not in (None, "", "normal", "csv"):
        raise invalid_argument("querySpec.format")
    if spec.maxSample is not None and spec.maxSample < 0:
        raise invalid_argument("querySpec.maxSample")
    # An unknown interval is replaced by the best available one (PerfQuerySpec).
    interval = _PAST_DAY if spec.intervalId == _PAST_DAY else _REAL_TIME
    ticks = _ticks(entity, spec, interval)
    levels = _levels(entity)
    series = [
        (
            vim25.PerfMetricId(counterId=key, instance=instance),
            _series(entity, key, instance, ticks, levels[key]),
        )
        for key, instance in (_wanted(entity, spec) if ticks else ())
    ]
    times = [datetime.fromtimestamp(tick, UTC) for tick in ticks]
    if spec.format == "csv":
        return vim25.PerfEntityMetricCSV(
            entity=entity.ref,
            sampleInfoCSV=",".join(f"{interval},{at:%Y-%m-%dT%H:%M:%SZ}" for at in times),
            value=[
                vim25.PerfMetricSeriesCSV(id=id_, value=",".join(map(str, values)))
                for id_, values in series
            ],
        )
    return vim25.PerfEntityMetric(
        entity=entity.ref,
        sampleInfo=[vim25.PerfSampleInfo(timestamp=at, interval=interval) for at in times],
        value=[vim25.PerfMetricIntSeries(id=id_, value=values) for id_, values in series],
    )


@handles(PerformanceManager, "QueryPerf")
def query_perf(manager: PerformanceManager, call: Call) -> list[Any]:
    """Return the series of entities, in the order of the query."""
    return [_entity_metric(manager, spec) for spec in call.args["querySpec"]]


@handles(PerformanceManager, "QueryAvailablePerfMetric")
def query_available(manager: PerformanceManager, call: Call) -> list[Any]:
    """Return which series an entity has; a machine that is off has none."""
    entity = manager.provider(call.args["entity"])
    if entity is None or _booted(entity) is None:
        return []
    return [vim25.PerfMetricId(counterId=key, instance=name) for key, name in _metrics(entity)]


@handles(PerformanceManager, "QueryPerfProviderSummary")
def query_provider(manager: PerformanceManager, call: Call) -> Any:
    """Return whether an entity has statistics, and how often a new sample comes."""
    has = manager.provider(call.args["entity"]) is not None
    return vim25.PerfProviderSummary(
        entity=call.args["entity"],
        currentSupported=has,
        summarySupported=has,
        refreshRate=_REAL_TIME if has else None,
    )


@handles(PerformanceManager, "QueryPerfCounter")
def query_counter(manager: PerformanceManager, call: Call) -> list[Any]:
    """Return counters by key."""
    known = _counters()
    if any(key not in known for key in call.args["counterId"]):
        raise invalid_argument("counterId")
    return [_info(known[key]) for key in call.args["counterId"]]


@handles(PerformanceManager, "QueryPerfCounterByLevel")
def query_counter_by_level(manager: PerformanceManager, call: Call) -> list[Any]:
    """Return the counters that a level of collection includes."""
    level = call.args["level"]
    if not 1 <= level <= 4:
        raise invalid_argument("level")
    return [_info(counter) for counter in _counters().values() if counter.level <= level]
