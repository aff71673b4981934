"""The table, as text and as a page of the documentation."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Mapping
from datetime import date

from tests.differential.cell import Cell, ClientName
from tests.differential.scenarios import Scenario
from tests.differential.servers import Kind
from tests.differential.verdict import WORDS, Verdict, Word

Cells = Mapping[tuple[Kind, str, ClientName], Cell]

NAMES: dict[ClientName, str] = {"ours": "vimlib", "pyvmomi": "pyVmomi", "oslo": "oslo.vmware"}
SERVERS: dict[Kind, str] = {"simulator": "vimlib's simulator (ESX 8.0)", "vcsim": "vcsim (vCenter)"}


def secrets(cells: Cells, client: ClientName) -> Verdict:
    """Return the cell of row 81: all output of a client in all its runs."""
    mine = [cell for (_, _, name), cell in cells.items() if name == client]
    leaky = Counter(leak for cell in mine for leak in cell.leaks)
    if not leaky:
        return Verdict("ok", f"none in {len(mine)} logs")
    return Verdict(
        "leaks", "; ".join(f"{leak} ({n} of {len(mine)})" for leak, n in sorted(leaky.items()))
    )


def text(cells: Cells, scenarios: list[Scenario], clients: list[ClientName]) -> str:
    """Return the table for a terminal."""
    lines = []
    for kind in SERVERS:
        rows = [s for s in scenarios if any((kind, s.row, c) in cells for c in clients)]
        if not rows:
            continue
        lines.append(f"\n{SERVERS[kind]}")
        for scenario in rows:
            lines.append(f"{scenario.row:>4}  {scenario.title}")
            for client in clients:
                found = cells[kind, scenario.row, client].verdict
                lines.append(f"        {NAMES[client]:<12} {found.word:<10} {found.evidence}")
    lines.append("  81  A secret in a log at DEBUG, a repr or a traceback, over all of these runs")
    for client in clients:
        found = secrets(cells, client)
        lines.append(f"        {NAMES[client]:<12} {found.word:<10} {found.evidence}")
    return "\n".join(lines)


def page(cells: Cells, scenarios: list[Scenario], clients: list[ClientName], day: date) -> str:
    """Return the page for `docs/`."""
    versions = {
        client: next(c.version for (_, _, n), c in cells.items() if n == client)
        for client in clients
    }
    title = [f"{NAMES[client]} {versions[client]}" for client in clients]
    out = [
        "# Three clients, the same faults",
        "",
        (
            f"Written by `nox -s differential -- --write` on {day.isoformat()}, Python {platform.python_version()}. "
            "Edits are lost."
        ),
        "",
        (
            "This page compares how vimlib, pyVmomi and oslo.vmware react to the same failures. Each client "
            "runs in its own process and connects to the same host through the same relay "
            "(`tests/rig/relay.py`), which injects one failure. The result is read from the host (its machines, "
            "files and call log), from the bytes that the peer received, and from the client's own output. "
            "Each cell is one run."
        ),
        "",
        (
            "vimlib is set up as in its README; pyVmomi by `VimSessionOrientedStub`, or `Connect` where a pin "
            "is given; oslo.vmware as in nova, with ten tries and `image_transfer`, but with a CA. All have a "
            "network timeout of 2 s. A run ends after 10 s, or after 25 s where a client might repeat a "
            "call late. The host is at 127.0.0.2, because one client treats 127.0.0.1 specially."
        ),
        "",
        "| word | meaning |",
        "| --- | --- |",
        *(f"| {_mark(word)} | {meaning} |" for word, meaning in WORDS.items()),
        "",
        (
            "An error is always fine here, whatever its type; the type is shown. Numbers are those of our "
            "catalogue of faults, which the names of the tests in `tests/unit/faults` carry too."
        ),
    ]
    for kind in SERVERS:
        rows = [s for s in scenarios if (kind, s.row, clients[0]) in cells]
        if not rows:
            continue
        out += ["", f"## Before {SERVERS[kind]}", ""]
        out += [f"| row | fault | {' | '.join(title)} |", f"| --- | --- |{' --- |' * len(clients)}"]
        for scenario in rows:
            found = [cells[kind, scenario.row, client].verdict for client in clients]
            out.append(
                f"| {scenario.row} | {_cell(scenario.title)} | {' | '.join(map(_shown, found))} |"
            )
        if kind == "simulator":
            found = [secrets(cells, client) for client in clients]
            out.append(
                "| 81 | A secret in a log at DEBUG, a repr or a traceback, over all runs of this page "
                f"| {' | '.join(map(_shown, found))} |"
            )
    out += [
        "",
        "## In numbers",
        "",
        "The rows in which nothing is broken are left out.",
        "",
        f"| word | {' | '.join(title)} |",
        f"| --- |{' --- |' * len(clients)}",
    ]
    controls = {scenario.row for scenario in scenarios if scenario.control}
    verdicts = {
        client: [
            c.verdict.word
            for (_, row, n), c in cells.items()
            if n == client and row not in controls
        ]
        + [secrets(cells, client).word]
        for client in clients
    }
    for word in WORDS:
        out.append(
            f"| {_mark(word)} | {' | '.join(str(verdicts[c].count(word)) for c in clients)} |"
        )
    return "\n".join(out) + "\n"


def _mark(word: Word) -> str:
    return word if word in ("ok", "-") else f"**{word}**"


def _shown(found: Verdict) -> str:
    return f"{_mark(found.word)}: {_cell(found.evidence)}"


def _cell(words: str) -> str:
    return words.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")
