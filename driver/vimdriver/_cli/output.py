"""The output of a command: results on stdout, as JSON or as text; everything else on stderr.

Text from a host is untrusted: control characters are escaped before they reach a terminal, and
nothing is interpreted as markup.
"""

from __future__ import annotations

import json
import os
import re
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, TextIO

from cyclopts import Parameter

from vimdriver._cli.flags import Flag
from vimlib._text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_LONGEST = 2000
_SURROGATE = re.compile("[\ud800-\udfff]")


@Parameter(name="*", group="Output")
@dataclass(frozen=True, kw_only=True)
class Output:
    """Options of the output."""

    json: Flag = False
    """Print results as JSON on stdout: one document, or one per line for streams."""

    quiet: Annotated[Flag, Parameter(name=("--quiet", "-q"))] = False
    """Print no progress and no messages except errors."""

    verbose: Annotated[Flag, Parameter(name=("--verbose", "-v"))] = False
    """Log to stderr, and print the traceback of errors."""

    def document(self, value: Any, text: str | None = None) -> None:
        """Print one result: `value` as JSON, or `text` (by default `value` as text) without
        `--json`.
        """
        if self.json:
            self.line(value)
        else:
            print(to_text(value) if text is None else text)

    def line(self, value: Any) -> None:
        """Print `value` as one line of JSON at once, regardless of the options."""
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        utf = "utf" in (getattr(sys.stdout, "encoding", None) or "utf-8").lower()
        if not utf or _SURROGATE.search(text):
            # A file name that is not UTF-8 contains lone surrogates, which no encoding accepts.
            text = json.dumps(value, allow_nan=False)
        print(text, flush=True)

    def fields(self, value: Mapping[str, Any]) -> None:
        """Print one result as JSON, or as one line per field."""
        width = max((len(name) for name in value), default=0)
        text = "\n".join(f"{name:<{width}}  {to_text(item)}" for name, item in value.items())
        self.document(value, text)

    def record(self, value: Mapping[str, Any]) -> None:
        """Print one result as JSON, or as lines with a table for each field that is a list of records.

        A field that is a record of its own is printed as lines too, sizes in binary units.
        """
        if self.json:
            self.line(value)
            return
        tables: dict[str, list[Mapping[str, Any]]] = {}
        lines: dict[str, Any] = {}
        for name, item in value.items():
            if isinstance(item, list) and item and isinstance(item[0], dict):
                tables[name] = item
            elif isinstance(item, dict):
                lines |= {f"{name}_{key}": one for key, one in item.items()}
            else:
                lines[name] = item
        self.fields(_readable(lines))
        for rows in tables.values():
            print()
            self.table(list(rows[0]), map(_readable, rows))

    def table(self, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
        """Print several results: one JSON array, or a table with `columns`."""
        if self.json:
            self.line(list(rows))
            return
        cells = [[to_text(row.get(column)) for column in columns] for row in rows]
        # A property path keeps its case, since users type it again.
        heads = [
            column.upper() if column.isidentifier() and column.islower() else column
            for column in columns
        ]
        if sys.stdout.isatty():
            _rich_table(heads, cells)
            return
        widths = [max(map(len, column)) for column in zip(heads, *cells, strict=True)]
        for line in [heads, *cells]:
            print(
                "  ".join(
                    cell.ljust(width) for cell, width in zip(line, widths, strict=True)
                ).rstrip()
            )

    def say(self, text: str) -> None:
        """Print a message on stderr; silent with `--quiet`."""
        if not self.quiet:
            print(text, file=sys.stderr, flush=True)


OUTPUT = Output()
"""The default of a command's parameter: plain text, with messages."""


def _rich_table(heads: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for head in heads:
        table.add_column(Text(head), overflow="fold")
    for row in cells:
        table.add_row(*map(Text, row))
    Console(no_color=not colour(sys.stdout)).print(table)


def colour(stream: TextIO) -> bool:
    """Return whether to colour `stream` (no-color.org: a non-empty NO_COLOR disables colours)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


_SIZES = frozenset({"available", "capacity", "committed", "free", "uncommitted"})
"""Fields in bytes."""


def _readable(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row with sizes in binary units, and lists of words as text."""
    from vimdriver.errors import size_text

    found = dict(row)
    for name, value in row.items():
        if name in _SIZES and isinstance(value, int):
            found[name] = size_text(value) if value >= 0 else f"-{size_text(-value)}"
        elif isinstance(value, list) and all(isinstance(item, str) for item in value):
            found[name] = " ".join(value)
    return found


def to_text(value: Any) -> str:
    """Return a JSON value as text: strings escaped, structures as compact JSON."""
    if value is None or value == "" or value == []:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, str):
        value = (
            json.dumps(value, ensure_ascii=False) if isinstance(value, (dict, list)) else str(value)
        )
    return printable(value, _LONGEST)


def shown(name: str) -> str:
    """Return the display name of a transfer: of a URL, without password and signature."""
    from vimdriver._images.source import masked_reference

    return printable(masked_reference(name))
