"""Run the script of faults and print the table; `--write` writes it to `docs/appendix/differential.md`.

With `--cells FILE` a run that was cut short, or ended by `--seconds`, goes on where it was.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from tests.differential.cell import REPOSITORY, Cell, ClientName, run_cell, write_wsdl
from tests.differential.report import NAMES, page, text
from tests.differential.scenarios import CONTROLS, KNOWN, Scenario, ordered
from tests.differential.servers import Kind
from tests.integration.peers.tools import MissingToolError

PAGE = REPOSITORY / "docs" / "appendix" / "differential.md"
NEEDS: dict[ClientName, str] = {"ours": "vimlib", "pyvmomi": "pyVmomi", "oslo": "oslo_vmware"}


Key = tuple[Kind, str, ClientName]
_KEPT = msgspec.json.Decoder(tuple[Key, Cell])


async def run_all(
    wanted: list[tuple[Kind, Scenario, ClientName]],
    logs: Path | None = None,
    kept: Path | None = None,
    seconds: float = float("inf"),
) -> dict[Key, Cell]:
    """Run the cells that `kept` lacks, two at a time, and print the progress on stderr; begin none after `seconds`."""
    lines = kept.read_bytes() if kept is not None and kept.exists() else b""
    keys = {(kind, scenario.row, client) for kind, scenario, client in wanted}
    cells = {key: cell for key, cell in _KEPT.decode_lines(lines) if key in keys}
    until = time.monotonic() + seconds
    room = asyncio.Semaphore(2)
    with tempfile.TemporaryDirectory(prefix="wsdl-") as name:
        wsdl = Path(name)
        write_wsdl(wsdl)

        async def one(kind: Kind, scenario: Scenario, client: ClientName) -> None:
            async with room:
                if time.monotonic() > until:
                    return
                cell = await run_cell(client, scenario, kind, wsdl, logs)
            key = (kind, scenario.row, client)
            cells[key] = cell
            if kept is not None:
                with kept.open("ab") as file:
                    file.write(msgspec.json.encode((key, cell)) + b"\n")
            said = f"{kind} {scenario.row:>4} {client:<8} {cell.verdict.word:<10} {cell.verdict.evidence}"
            print(f"{len(cells)} of {len(wanted)}: {said}", file=sys.stderr, flush=True)

        async with asyncio.TaskGroup() as group:
            for kind, scenario, client in wanted:
                if (kind, scenario.row, client) not in cells:
                    group.create_task(one(kind, scenario, client))
    return cells


def main() -> int:
    parser = argparse.ArgumentParser(prog="differential", description=__doc__)
    parser.add_argument("--write", action="store_true", help="write docs/appendix/differential.md")
    parser.add_argument("--row", action="append", help="this row alone; may be given again")
    parser.add_argument("--client", action="append", choices=NEEDS, help="this client alone")
    parser.add_argument("--no-vcsim", action="store_true", help="leave the other simulator out")
    parser.add_argument("--logs", type=Path, help="a folder for the clients' logs")
    parser.add_argument("--cells", type=Path, help="a file for the results, from which to go on")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no cell later")
    given = parser.parse_args()
    clients: list[ClientName] = given.client or list(NEEDS)
    missing = [NAMES[c] for c in clients if importlib.util.find_spec(NEEDS[c]) is None]
    if missing:
        parser.error(f"not installed: {', '.join(missing)}; `nox -s differential` installs them")
    scenarios = [s for s in ordered() if given.row is None or s.row in given.row]
    if given.write and (given.row or given.client or given.no_vcsim):
        parser.error("--write takes a whole run: leave --row, --client and --no-vcsim out")
    kinds: list[Kind] = ["simulator"] if given.no_vcsim else ["simulator", "vcsim"]
    if given.logs is not None:
        given.logs.mkdir(parents=True, exist_ok=True)
    wanted = [(k, s, c) for k in kinds for s in scenarios if k in s.servers for c in clients]
    refused: BaseException | None = None
    try:
        cells = asyncio.run(run_all(wanted, given.logs, given.cells, given.seconds))
    except* MissingToolError as group:
        refused = group.exceptions[0]
    if refused is not None:
        print(f"{refused}; or leave it out with --no-vcsim", file=sys.stderr)
        return 1
    if len(cells) < len(wanted):
        print(f"{len(cells)} of {len(wanted)} cells: the time is over", file=sys.stderr)
        return 1
    print(text(cells, scenarios, clients))
    broken = [
        f"{NAMES[client]}, row {row} before {kind}: {cell.verdict.evidence}"
        for (kind, row, client), cell in cells.items()
        if row in {s.row for s in CONTROLS} and cell.verdict.word not in ("ok", "-")
    ]
    if broken:
        print("\nNothing was broken, and yet:", *broken, sep="\n  ", file=sys.stderr)
        return 2
    if given.write:
        PAGE.write_text(page(cells, scenarios, clients, datetime.now(UTC).date()))
        print(f"written: {PAGE.relative_to(REPOSITORY)}")
    ours = [(row, cell) for (_, row, client), cell in cells.items() if client == "ours"]
    return int(
        any(
            cell.verdict.word not in ("ok", "-", KNOWN.get(row)) or cell.leaks for row, cell in ours
        )
    )


if __name__ == "__main__":
    sys.exit(main())
