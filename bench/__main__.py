"""All benches, one after the other, in one table: `python -m bench`, or `nox -s bench`.

    python -m bench [NAME ...] [--quick] [--json FILE] [--write docs/appendix/benchmarks.md]

Each bench runs in its own process. The table lists the measurement, the peer, the target and
whether it was met; below it are the machine, its load before the run, and the versions of the
peers. A missed target is not an error; a bench that fails is, and the exit code is then 1.
`--write` puts the table of a run of all benches and the plot of decoding into the page, and the
rows for README into README.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench import machine, page
from bench.report import Row, end_in_order, text

ROOT = Path(__file__).resolve().parents[1]
NAMES = (
    "imports",
    "codec",
    "formats",
    "calls",
    "tasks",
    "stream",
    "transfer",
    "spawns",
    "images",
    "conversions",
    "simulator",
)
"""Short ones first: long ones heat the machine."""
EXTRA = {"codec": ["--curve"]}
"""Arguments of a bench in a run that is published."""


def run(name: str, options: list[str]) -> dict[str, Any] | None:
    """Run one bench; return its document, or None when it failed with a message on stderr."""
    began = time.monotonic()
    print(f"bench.{name} ...", end=" ", file=sys.stderr, flush=True)
    command = [sys.executable, "-m", f"bench.{name}", "--json", *options]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            out, _ = process.communicate()
        except BaseException:
            process.terminate()  # it stops its servers first; leaving the block waits for it
            raise
    print(f"{time.monotonic() - began:.0f} s", file=sys.stderr)
    if process.returncode:
        print(f"bench.{name} ended with {process.returncode}", file=sys.stderr)
        return None
    document: dict[str, Any] = json.loads(out.splitlines()[-1])
    return document


def main() -> int:
    """Run the benches that are named, or all."""
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--quick", action="store_true", help="small and few: do they run at all?")
    parser.add_argument("--json", type=Path, metavar="FILE", help="all figures, for programs")
    parser.add_argument(
        "--write", type=Path, metavar="PAGE", help="refresh docs/appendix/benchmarks.md"
    )
    given = parser.parse_args()
    names = given.names or list(NAMES)
    if unknown := [name for name in names if name not in NAMES]:
        parser.error(f"no bench {unknown[0]!r}; there are {', '.join(NAMES)}")
    if given.write and given.names:
        parser.error("a page is written from one run of all benches; leave the names out")
    end_in_order()

    found = machine.describe()
    busy = machine.warning(found)
    if busy:
        print(f"warning: {busy}", file=sys.stderr)
    began = datetime.now(UTC)
    documents: dict[str, Any] = {}
    whole = {
        "began": began.isoformat(timespec="seconds"),
        "quick": given.quick,
        "machine": found,
        "benches": documents,
    }
    for name in names:
        extra = EXTRA.get(name, []) if given.write else []
        document = run(name, ["--quick"] * given.quick + extra)
        if document is not None:
            documents[name] = document
        if given.json:  # keep the results so far if the run is interrupted
            given.json.write_text(json.dumps(whole, indent=1) + "\n")
    failed = [name for name in names if name not in documents]
    rows = [Row(**row) for document in documents.values() for row in document["rows"]]

    print(text(rows))
    missed = sum(row.met is False for row in rows)
    judged = sum(row.met is not None for row in rows)
    print(f"\n{judged - missed} of {judged} wanted figures met")
    print(machine.sentence(found))
    print(machine.versions_sentence(found))
    for line in [busy] * bool(busy) + [f"did not run: {name}" for name in failed]:
        print(f"warning: {line}")
    if given.write and not failed:
        for path in page.write(given.write, whole, rows):
            print(f"written: {path}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
