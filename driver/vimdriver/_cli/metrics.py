"""`vimctl instance metrics` and `host metrics`: counters by name, as a table or a plot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from vimdriver._cli.connection import CONNECTION, ConnectionOptions
from vimdriver._cli.flags import Flag, Strings, within
from vimdriver._cli.instance import Ref, opened
from vimdriver._cli.output import OUTPUT, Output

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vimdriver._instances.metrics import Series

Counters = Annotated[Strings, Parameter(help="Name, as cpu.usage.average; may be repeated.")]
Samples = Annotated[
    int, within(1, 180), Parameter(help="At most so many of each, 20 seconds apart.")
]
Plot = Annotated[Flag, Parameter(help="Draw a bar for each sample, from 0 to the largest one.")]
_BARS = "▁▂▃▄▅▆▇█"


async def instance_metrics(
    instance: Ref,
    /,
    *,
    counter: Counters = (),
    samples: Samples = 15,
    plot: Plot = False,
    connection: ConnectionOptions = CONNECTION,
    output: Output = OUTPUT,
) -> None:
    """Show the last samples of counters of a machine; one that does not run has none."""
    await _show(instance, counter, samples, plot, connection, output)


async def host_metrics(
    *,
    counter: Counters = (),
    samples: Samples = 15,
    plot: Plot = False,
    connection: ConnectionOptions = CONNECTION,
    output: Output = OUTPUT,
) -> None:
    """Show the last samples of counters of the host."""
    await _show(None, counter, samples, plot, connection, output)


async def _show(
    ref: str | None,
    counters: Sequence[str],
    samples: int,
    plot: bool,
    connection: ConnectionOptions,
    output: Output,
) -> None:
    from vimdriver._instances.metrics import DEFAULT

    async with opened(connection) as driver:
        found = await driver.metrics(
            ref, counters=tuple(counters) if counters else DEFAULT, samples=samples
        )
    if output.json:
        output.document([series.to_json() for series in found])
    elif plot:
        for series in found:
            print(f"{series.counter} ({series.unit})")
            print(f"  {bars(series.values)}  {_range(series)}")
    else:
        output.table(
            ("counter", "unit", "last", "least", "most"),
            [
                {
                    "counter": series.counter,
                    "unit": series.unit,
                    "last": series.values[-1] if series.values else None,
                    "least": min(series.values, default=None),
                    "most": max(series.values, default=None),
                }
                for series in found
            ],
        )


def bars(values: Sequence[float]) -> str:
    """Return a bar of eight heights for each value, from 0 to the largest one. No I/O."""
    top = max(values, default=0)
    if top <= 0:
        return _BARS[0] * len(values)
    return "".join(_BARS[min(7, int(8 * max(value, 0) / top))] for value in values)


def _range(series: Series) -> str:
    if not series.values:
        return "no samples"
    return f"0 to {max(series.values):g}, last {series.values[-1]:g}"
