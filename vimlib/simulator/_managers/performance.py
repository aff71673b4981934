"""PerformanceManager: counters, and series computed from the state of the host and its machines.

Nothing is measured and nothing kept. A sample is a function of the object's state, of the
counter and of the sample's second, so the same query has the same answer: the level is that of
`summary.quickStats`, and samples vary by a tenth around it.
"""

from __future__ import annotations

import zlib
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from vimlib import vim25
from vimlib.simulator._core.handlers import handles
from vimlib.simulator._core.messages import invalid_argument
from vimlib.simulator._core.objects import Entity, SimObject, prop
from vimlib.simulator._data.counters import Counter, counters, element
from vimlib.simulator._data.storage import disk_name
from vimlib.simulator._host.host_system import HostSystem
from vimlib.simulator._host.network import NetworkSystem
from vimlib.simulator._storage.datastore import Datastore
from vimlib.simulator._vm.virtual_machine import VirtualMachine

if TYPE_CHECKING:
    from vimlib.simulator._core.call import Call

_REAL_TIME: Final = 20
"""Seconds between two samples, as long as they are kept apart: for an hour."""
_PAST_DAY: Final = 300
"""Seconds into which an ESX host sums samples up, for a day and a half (PerfInterval)."""
_KEPT: Final = {_REAL_TIME: 3600, _PAST_DAY: 129_600}


_UPTIMES: Final = frozenset({262144, 262170})
"""Counters of the seconds since the start, of a machine or host and of its guest."""
_PER_CPU: Final = frozenset({1, 5, 9, 10, 11, 12, 13, 14, 27, 28, 29, 30})
"""Counters with a series for each CPU, besides the total."""
_STEADY: Final = frozenset({23, 65541, 65580, 65586, 65625, 720897, *_UPTIMES})
"""Counters that do not vary."""
_MEANS: Final = frozenset(
    {24, 32, 65628, *range(131083, 131090), 131095, 589828, 589829, 655364, 655365}
)
"""Counters of latency, of which the host has the largest and not the sum."""
_OF_HOST: Final = frozenset({23, 65561, 65580, 65625})
_OF_MACHINE: Final = frozenset({28, 29, 30, 65591, 262145, 262170})


class PerformanceManager(SimObject):
    """Statistics of the host and its machines."""

    kind = "PerformanceManager"

    @prop("perfCounter")
    def counters(self) -> list[Any]:
        """Return the counters."""
        return [counter.info() for counter in counters().values()]

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
            counterType=[element(word, word) for word in vim25.PerfSummaryType.__values__()],
            statsType=[element(word, word) for word in vim25.PerfStatsType.__values__()],
        )

    def provider(self, ref: Any) -> Entity | None:
        """Return the entity of a reference if it has statistics. Raises `ManagedObjectNotFound`."""
        obj = self.registry.find(ref)
        return obj if isinstance(obj, (VirtualMachine, HostSystem)) else None


def _machine_levels(machine: VirtualMachine) -> dict[int, float]:
    """Return the level of each counter that a running machine has; all others are 0."""
    hardware = machine.config.hardware
    stats = machine.read("summary").quickStats
    busy = stats.overallCpuUsage / (hardware.numCPU * machine.registry.one(HostSystem).shape.mhz)
    spent = 20_000 * hardware.numCPU  # milliseconds of processors in a sample
    disks, nics = len(machine.disks()), len(machine.nics())
    return _io_levels(disks, nics) | {
        1: 10_000 * busy,
        5: stats.overallCpuUsage,
        9: 0.001 * spent,
        10: spent * (1 - busy),
        11: 400 * busy * hardware.numCPU,
        12: spent * busy,
        13: spent * (1 - busy),
        24: 40,
        26: stats.overallCpuDemand,
        29: 0.0005 * spent,
        30: spent * busy,
        32: 200 * busy,
        65537: 10_000 * stats.guestMemoryUsage / hardware.memoryMB,
        65541: hardware.memoryMB << 10,
        65545: stats.guestMemoryUsage << 10,
        65553: hardware.memoryMB << 6,
        65586: machine.read("runtime").memoryOverhead >> 10,
        65611: stats.hostMemoryUsage << 10,
        262145: 20,
    }


def _io_levels(disks: int, nics: int) -> dict[int, float]:
    """Return the levels of so many disks, 16 KB read and 32 KB written a second each, and adapters."""
    reads, writes = disks * 1.0, disks * 2.0
    levels: dict[int, float] = {
        131073: 48 * disks,
        131076: 20 * reads,
        131077: 20 * writes,
        131078: 16 * disks,
        131079: 32 * disks,
        131080: 20 * (reads + writes),
        131083: 2,
        131085: 3,
        131087: 3,
        131089: 4,
        131095: 6,
        131097: reads,
        131098: writes,
        131099: reads + writes,
        196609: 30 * nics,
        196612: 400 * nics,
        196613: 200 * nics,
        196614: 20 * nics,
        196615: 10 * nics,
        196618: 20 * nics,
        196619: 10 * nics,
        196620: 4 * nics,
        196621: 1 * nics,
        196622: 2 * nics,
        196623: 1 * nics,
    }
    for base in (589824, 655360):
        levels |= {base: reads, base + 1: writes, base + 2: 16 * disks, base + 3: 32 * disks,
                   base + 4: 3, base + 5: 4}  # fmt: skip
    adapter = {0: reads + writes, 1: reads, 2: writes, 3: 16 * disks, 4: 32 * disks}
    return levels | {458752 + number: level for number, level in adapter.items()}


def _host_levels(host: HostSystem) -> dict[int, float]:
    """Return the level of each counter that the host has; all others are 0."""
    shape = host.shape
    stats = host.read("summary").quickStats
    running = [
        _machine_levels(m)
        for m in host.registry.all(VirtualMachine).values()
        if m.power == "poweredOn"
    ]
    levels: dict[int, float] = {}
    for key in counters():
        found = [each.get(key, 0) for each in running]
        levels[key] = max(found, default=0) if key in _MEANS else sum(found)
    busy = stats.overallCpuUsage / (shape.cores * shape.mhz)
    return levels | {
        1: 10_000 * busy,
        5: stats.overallCpuUsage,
        12: 20_000 * shape.threads * busy,
        13: 20_000 * shape.threads * (1 - busy),
        23: shape.cores * shape.mhz,
        65537: 10_000 * stats.overallMemoryUsage / (shape.memory >> 20),
        65611: stats.overallMemoryUsage << 10,
        65625: shape.memory >> 20,
        720896: 180,
        720898: 20 * 180,
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


def _devices(entity: Entity) -> dict[str, list[str]]:
    """Return the instances that an entity has besides the total, by group, in the forms of an ESXi 6.5."""
    registry = entity.registry
    if isinstance(entity, HostSystem):
        stores = list(registry.all(Datastore).values())
        disks = [disk_name(store.disk) for store in stores if store.disk is not None]
        found = {
            "net": [pnic.device for pnic in registry.one(NetworkSystem).pnics],
            "storageAdapter": ["vmhba0"],
        }
    else:
        assert isinstance(entity, VirtualMachine)
        stores = entity.stores()
        disks = [disk_name(store.disk) for store in stores if store.disk is not None]
        found = {
            "net": [str(nic.key) for nic in entity.nics()],
            "virtualDisk": [_place(entity, disk) for disk in entity.disks()],
        }
    return found | {
        "cpu": [str(number) for number in range(_cpus(entity))],
        "disk": disks,
        "datastore": [store.uuid for store in stores],
    }


_BUSES: Final = {
    "VirtualIDEController": "ide",
    "VirtualAHCIController": "sata",
    "VirtualNVMEController": "nvme",
}


def _place(machine: VirtualMachine, disk: Any) -> str:
    """Return where a disk is: `scsi0:1`."""
    controller: Any = next(
        (d for d in machine.config.hardware.device if d.key == disk.controllerKey), None
    )
    bus = _BUSES.get(type(controller).__name__, "scsi")
    return f"{bus}{getattr(controller, 'busNumber', 0)}:{disk.unitNumber}"


def _booted(entity: Entity) -> datetime | None:
    """Return the time of the first sample; None for a machine that is off."""
    assert isinstance(entity, (HostSystem, VirtualMachine))
    if isinstance(entity, VirtualMachine) and entity.power != "poweredOn":
        return None
    return entity.booted


def _has(entity: Entity, counter: Counter) -> bool:
    """Whether an entity has a counter."""
    if isinstance(entity, HostSystem):
        return counter.key not in _OF_MACHINE and counter.group != "virtualDisk"
    return counter.key not in _OF_HOST and counter.group not in ("storageAdapter", "power")


def _metrics(entity: Entity) -> list[tuple[int, str]]:
    """Return counter and instance of each series that an entity has."""
    devices = _devices(entity)
    found = []
    for key, counter in counters().items():
        if not _has(entity, counter):
            continue
        if counter.group not in ("virtualDisk", "datastore", "storageAdapter"):
            found.append((key, ""))
        if counter.group != "cpu" or key in _PER_CPU:
            found.extend((key, name) for name in devices.get(counter.group, ()))
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


def _series(entity: Entity, key: int, parts: int, ticks: list[int], level: float) -> list[int]:
    """Return the samples of one series, a share of `parts` equal ones of the level."""
    if key in _UPTIMES:
        since = _booted(entity)
        assert since is not None
        return [tick - int(since.timestamp()) for tick in ticks]
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
        if metric.counterId not in counters():
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
    levels = _levels(entity) if ticks else {}
    devices = _devices(entity) if ticks else {}
    series = []
    for key, instance in _wanted(entity, spec) if ticks else ():
        shared = instance and key != 1 and key not in _MEANS
        parts = len(devices[counters()[key].group]) if shared else 1
        values = _series(entity, key, parts, ticks, levels.get(key, 0))
        series.append((vim25.PerfMetricId(counterId=key, instance=instance), values))
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
    known = counters()
    if any(key not in known for key in call.args["counterId"]):
        raise invalid_argument("counterId")
    return [known[key].info() for key in call.args["counterId"]]


@handles(PerformanceManager, "QueryPerfCounterByLevel")
def query_counter_by_level(manager: PerformanceManager, call: Call) -> list[Any]:
    """Return the counters that a level of collection includes."""
    level = call.args["level"]
    if not 1 <= level <= 4:
        raise invalid_argument("level")
    return [counter.info() for counter in counters().values() if counter.level <= level]
