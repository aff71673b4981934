"""Write a run into the pages: the table and the plot into docs/appendix/benchmarks.md, claims into
README.

The text between two marks is replaced by each run; everything else in the pages is written by hand.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench import machine
from bench.plot import log_log
from bench.report import Row, markdown

__all__ = ["curve_svg", "write"]

ROOT = Path(__file__).resolve().parents[1]
BEGIN = "<!-- {}: made by `python -m bench --write` -->"
END = "<!-- end -->"
CLAIMS = 10
"""README shows at most this many of the rows that we win; the page has all."""
ALWAYS = "vimlib.connect"
"""README shows rows of this name however small their ratio is: each user pays for them."""


def write(page: Path, run: dict[str, Any], rows: Sequence[Row]) -> list[Path]:
    """Write a run into the page, the plot and README; return the paths of changed files."""
    plot, readme = page.with_name("decode.svg"), ROOT / "README.md"
    plot.write_text(curve_svg(run["benches"]["codec"]["details"]["curve"]), encoding="utf-8")
    _replace(page, "table", table(run, rows))
    _replace(readme, "measured", claims(run, rows))
    return [page, plot, readme]


def table(run: dict[str, Any], rows: Sequence[Row]) -> str:
    """Return the table with notes for its readers."""
    found = run["machine"]
    busy = machine.warning(found)
    missed = [row.name for row in rows if row.met is False]
    judged = sum(row.met is not None for row in rows)
    lines = [
        f"Run of {run['began'][:10]}. {machine.sentence(found)}.",
        f"{machine.versions_sentence(found)}.",
        *([f"**Read with care:** {busy}."] * bool(busy)),
        *(
            ["**A quick run**, small and few: it shows that all works, not how fast."]
            * run["quick"]
        ),
        "",
        markdown(rows),
        "",
        f"{judged - len(missed)} of {judged} wanted figures met."
        + (f" Missed: {'; '.join(missed)}." if missed else ""),
    ]
    return "\n".join(lines)


def claims(run: dict[str, Any], rows: Sequence[Row]) -> str:
    """Return the rows for README: the largest ratios to a peer, then all that we lose or miss."""
    lost = [row for row in rows if row.met is False or (row.ratio or 1.0) < 1.0]
    won = [row for row in rows if row.met is not None and row.ratio is not None and row not in lost]
    won.sort(key=lambda row: (row.name.startswith(ALWAYS), row.ratio), reverse=True)
    shown = sorted(won[:CLAIMS], key=lambda row: -(row.ratio or 0.0))
    judged = [row.met for row in rows if row.met is not None]
    source = (
        f"From one run of {run['began'][:10]}, {run['machine']['cores']} cores;"
        f" {judged.count(False)} of {len(judged)} wanted figures {'was' if judged.count(False) == 1 else 'were'} missed."
        " [All rows, their meaning, and the missed figures]"
        "(https://github.com/vimlib/vimlib-esx/blob/main/docs/appendix/benchmarks.md)."
    )
    return "\n".join([markdown(shown), "", "What we lose or miss:", "", markdown(lost), "", source])


def curve_svg(curve: Sequence[dict[str, float]]) -> str:
    """Return the plot of decoding: CPU time against the size of the reply, one line per reader."""
    names = [name for name in curve[0] if name.startswith("decode, ")]
    lines = {
        name.removeprefix("decode, "): [(point["bytes"], point[name]) for point in curve]
        for name in names
    }
    return log_log(
        "Decoding a reply to RetrievePropertiesEx",
        "size of the reply",
        "CPU time",
        {("vimlib, " + name if name in OURS else name): line for name, line in lines.items()},
        "eight properties of each machine; both axes logarithmic",
    )


OURS = ("pure", "accelerated")


def _replace(path: Path, name: str, text: str) -> None:
    """Put `text` between the marks of that name. Raises `SystemExit` if the page has none."""
    whole, begin = path.read_text(encoding="utf-8"), BEGIN.format(name)
    head, found, rest = whole.partition(begin)
    _, ended, tail = rest.partition(END)
    if not found or not ended:
        raise SystemExit(f"{path} has no lines {begin!r} and {END!r} to put the table between")
    path.write_text(f"{head}{begin}\n\n{text}\n\n{END}{tail}", encoding="utf-8")
