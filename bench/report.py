"""The common output of all benches: rows of one form, and their table.

A bench module measures, creates `Row`s and ends with `emit`. It has its own options, and two that
`arguments` adds: `--json` prints one document, `--quick` runs for seconds, as a smoke test. No
bench fails because of a slow result: the row shows MISSED and the run continues.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

__all__ = [
    "HEADINGS",
    "Row",
    "arguments",
    "at_least",
    "at_most",
    "beside",
    "cells",
    "emit",
    "end_in_order",
    "markdown",
    "text",
]

HEADINGS = ("", "ours", "peer", "its figure", "ratio", "wanted", "")


@dataclass(frozen=True)
class Row:
    """One figure of ours, with the figure of a peer where one exists."""

    name: str
    ours: float
    unit: str
    peer: str | None = None
    peer_value: float | None = None
    ratio: float | None = None
    """Factor by which ours is better, whether a higher or a lower figure is better; below 1 it is
    worse."""
    wanted: str | None = None
    """The target, set before the measurement; None for a row without one."""
    met: bool | None = None


def beside(
    name: str,
    ours: float,
    unit: str,
    peer: str,
    peer_value: float,
    times: float | None = None,
    *,
    more_is_better: bool = False,
) -> Row:
    """Return a row compared with a peer; `times` is the factor by which ours must be better."""
    better, worse = (ours, peer_value) if more_is_better else (peer_value, ours)
    # A measured zero is better than any positive figure.
    ratio = better / worse if worse > 0 else float("inf")
    wanted = None if times is None else f"{times:.3g}x"
    return Row(
        name, ours, unit, peer, peer_value, ratio, wanted, None if times is None else ratio >= times
    )


def at_most(name: str, ours: float, unit: str, most: float | None = None) -> Row:
    """Return a row without a peer, with an optional upper bound."""
    if most is None:
        return Row(name, ours, unit)
    return Row(name, ours, unit, wanted=f"at most {most:g} {unit}".rstrip(), met=ours <= most)


def at_least(name: str, ours: float, unit: str, least: float) -> Row:
    """Return a row without a peer, with a lower bound."""
    return Row(name, ours, unit, wanted=f"at least {least:g} {unit}".rstrip(), met=ours >= least)


def end_in_order() -> None:
    """Make SIGTERM unwind all blocks, so that started servers end too."""

    def leave(number: int, _: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second SIGTERM must not interrupt this
        sys.exit(128 + number)

    signal.signal(signal.SIGTERM, leave)


def arguments(description: str | None) -> argparse.ArgumentParser:
    """Return a parser with the common options, and install the SIGTERM handler."""
    end_in_order()
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    parser.add_argument("--quick", action="store_true", help="small and few: does it run at all?")
    return parser


def emit(name: str, rows: Sequence[Row], details: Any, *, as_json: bool) -> None:
    """Print the result of a bench: a document with its rows and details, or its table."""
    if as_json:
        print(
            json.dumps({"bench": name, "rows": [asdict(row) for row in rows], "details": details})
        )
    else:
        print(text(rows))


def figure(value: float, unit: str = "") -> str:
    """Return a number with three significant digits, and its unit."""
    if float(value).is_integer() or abs(value) >= 100:
        shown = f"{value:,.0f}"
    else:
        shown = f"{value:.3g}" if abs(value) < 1 else f"{value:.{2 if abs(value) < 10 else 1}f}"
    return f"{shown} {unit}".rstrip()


def cells(row: Row) -> tuple[str, ...]:
    """Return a row as the texts of the columns in `HEADINGS`."""
    return (
        row.name,
        figure(row.ours, row.unit),
        row.peer or "",
        "" if row.peer_value is None else figure(row.peer_value, row.unit),
        "" if row.ratio is None else f"{figure(row.ratio)}x",
        row.wanted or "",
        {True: "met", False: "MISSED", None: ""}[row.met],
    )


def text(rows: Iterable[Row]) -> str:
    """Return the table for a terminal: names left-aligned, the rest right-aligned."""
    lines = [HEADINGS, *map(cells, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
    return "\n".join(
        "  ".join(
            part.ljust(width) if column in (0, 2, 6) else part.rjust(width)
            for column, (part, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def markdown(rows: Iterable[Row]) -> str:
    """Return the table for a page."""
    lines = ["| " + " | ".join(HEADINGS) + " |", "|---|--:|---|--:|--:|--:|---|"]
    for row in rows:
        parts = list(cells(row))
        if row.met is False:
            parts[-1] = "**missed**"
        lines.append("| " + " | ".join(parts) + " |")
    return "\n".join(lines)
