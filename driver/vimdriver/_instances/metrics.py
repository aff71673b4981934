"""Counters of the host's PerformanceManager, by name: of a machine, or of the host."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from vimdriver._host.identity import read_host
from vimdriver._instances.machine import find
from vimdriver._verbs import Host, query
from vimlib import vim25
from vimlib._text import printable
from vimlib.errors import NotFoundError, UsageError

if TYPE_CHECKING:
    from datetime import datetime

DEFAULT: Final = (
    "cpu.usagemhz.average",
    "mem.active.average",
    "disk.read.average",
    "disk.write.average",
    "net.received.average",
    "net.transmitted.average",
)
"""Counters that are shown where none is named."""
# Seconds between two samples as long as the host keeps them apart, for an hour.
_REAL_TIME: Final = 20
_MOST: Final = 180


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """The samples of one counter."""

    counter: str
    """As `cpu.usage.average`."""
    instance: str
    """A device of the object, such as `vmnic0`; "" for all of it."""
    unit: str
    """As the API names it: `percent`, `megaHertz`, `kiloBytesPerSecond`, ..."""
    times: tuple[datetime, ...]
    values: tuple[float, ...]
    """In the unit; percents as percents, not in hundredths as on the wire."""

    def to_json(self) -> dict[str, Any]:
        """Return its part of what `vimctl instance metrics --json` prints."""
        return {
            "counter": self.counter,
            "instance": self.instance,
            "unit": self.unit,
            "samples": [
                {"time": time.isoformat(), "value": value}
                for time, value in zip(self.times, self.values, strict=True)
            ],
        }


def _name(counter: vim25.PerfCounterInfo) -> str:
    return f"{counter.groupInfo.key}.{counter.nameInfo.key}.{counter.rollupType}"


@query
async def metrics(
    host: Host,
    ref: str | None = None,
    *,
    counters: tuple[str, ...] = DEFAULT,
    samples: int = 15,
) -> list[Series]:
    """Return the last samples of counters of a machine, or of the host where no machine is named.

    A machine that does not run has none. Cancelling loses nothing.

    Args:
        host: The host.
        ref: uuid, name or moref's value; None is the host.
        counters: Names, as cpu.usage.average.
        samples: At most so many of each, 20 seconds apart.

    Raises:
        UsageError: `samples` is not 1 to 180, or the host has no such counter.
        NotFoundError: The machine does not exist.
    """
    if not 1 <= samples <= _MOST:
        raise UsageError(f"samples must be 1 to {_MOST}, got {samples}", field="samples")
    if not counters:
        raise UsageError("counters must be at least one name, got none", field="counters")
    client = host.client
    manager = client.content.perfManager
    if manager is None:
        raise NotFoundError("the host has no PerformanceManager", kind="PerformanceManager")
    row = await client.get(manager, "perfCounter")
    known = {_name(one): one for one in row.props.get("perfCounter") or []}
    missing = [name for name in counters if name not in known]
    if missing and counters is not DEFAULT:
        close = sorted(
            name for name in known if name.partition(".")[0] == missing[0].partition(".")[0]
        )
        raise UsageError(
            f"counters must be names such as cpu.usage.average, got {printable(missing[0], 80)!r}",
            hint=f"The host has: {', '.join(close or sorted(known))}.",
            field="counters",
        )
    entity: vim25.ManagedObject = (
        (await read_host(client, "name")).obj if ref is None else await find(client, ref)
    )
    wanted = {known[name].key: known[name] for name in counters if name in known}
    spec = vim25.PerfQuerySpec(
        entity=entity,
        maxSample=samples,
        metricId=[vim25.PerfMetricId(counterId=key, instance="") for key in wanted],
        intervalId=_REAL_TIME,
    )
    found = await client.bind(manager).QueryPerf([spec])
    return [series for one in found for series in _series(one, wanted)]


def _series(one: Any, wanted: dict[int, vim25.PerfCounterInfo]) -> list[Series]:
    times = tuple(info.timestamp for info in one.sampleInfo or [])
    found = []
    for item in one.value or []:
        counter = wanted.get(item.id.counterId)
        if counter is None:
            continue
        unit = str(counter.unitInfo.key)
        scale = 100 if unit == "percent" else 1
        # -1 stands for a sample that the host does not have.
        pairs = [
            (time, value / scale if scale != 1 else value)
            for time, value in zip(times, item.value or [], strict=False)
            if value >= 0
        ]
        found.append(
            Series(
                counter=_name(counter),
                instance=item.id.instance,
                unit=unit,
                times=tuple(time for time, _ in pairs),
                values=tuple(value for _, value in pairs),
            )
        )
    return sorted(found, key=lambda series: (series.counter, series.instance))
