"""What it costs to begin: import, and one typed object made, each time in a fresh process.

    python -m bench.imports [--rounds 15] [--json] [--quick]

Ours is counted above what `import aiohttp` costs, which an asyncio program pays anyhow; what all of
it costs, asyncio and ssl with it, is told as well. pyVmomi's counts whole. Time is the
process's CPU, memory what its resident set grew by. Byte code is there already, as it is after an
install.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from bench.report import Row, arguments, beside, emit

__all__ = ["measure", "rows"]

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Probe:
    """What a process does before the clock starts, and then."""

    name: str
    before: str
    code: str


OBJECT = "vimlib.vim25.VirtualMachineConfigSpec(name='a')"
PROBES = (
    Probe("import vimlib, one object", "import aiohttp", f"import vimlib; {OBJECT}"),
    Probe(
        "vimlib.connect loaded too", "import aiohttp", f"import vimlib; vimlib.connect; {OBJECT}"
    ),
    Probe("all of that, asyncio and ssl too", "", f"import vimlib; vimlib.connect; {OBJECT}"),
    Probe(
        "pyVmomi", "", "import pyVim.connect; from pyVmomi import vim; vim.vm.ConfigSpec(name='a')"
    ),
)
PROGRAM = """
import gc, json, resource, time
{before}
def rss():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()
gc.collect()
memory, began = rss(), time.process_time()
{code}
print(json.dumps([time.process_time() - began, rss() - memory]))
"""


def measure(rounds: int) -> dict[str, dict[str, float]]:
    """Return the medians of each probe, in ms and MiB; the round that writes byte code is left out."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    found: dict[str, list[list[float]]] = {probe.name: [] for probe in PROBES}
    for _ in range(rounds + 1):
        for probe in PROBES:
            program = PROGRAM.format(before=probe.before, code=probe.code)
            out = subprocess.run(
                [sys.executable, "-c", program],
                cwd=ROOT,
                env=environment,
                check=True,
                stdout=subprocess.PIPE,
                text=True,
            ).stdout
            found[probe.name].append(json.loads(out))
    return {
        name: {
            "ms": 1e3 * statistics.median(sample[0] for sample in samples[1:]),
            "mib": statistics.median(sample[1] for sample in samples[1:]) / 2**20,
        }
        for name, samples in found.items()
    }


def rows(costs: dict[str, dict[str, float]]) -> list[Row]:
    """Return the table's rows; the first probe is the one of which something was wanted."""
    peer = costs["pyVmomi"]
    table = []
    for probe in PROBES[:-1]:
        wanted = 1.0 if probe is PROBES[0] else None
        for what, unit, key in (("CPU", "ms", "ms"), ("memory", "MiB", "mib")):
            cost = costs[probe.name][key]
            name = f"{probe.name}: {what}"
            table.append(beside(name, cost, unit, "pyVmomi", peer[key], wanted))
    return table


def main() -> None:
    """Run the bench."""
    parser = arguments(__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    given = parser.parse_args()
    costs = measure(3 if given.quick else given.rounds)
    emit("imports", rows(costs), costs, as_json=given.json)


if __name__ == "__main__":
    main()
