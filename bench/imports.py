"""The cost of a fresh process: creating one typed object, and opening and closing one session.

    python -m bench.imports [--rounds 15] [--json] [--quick]

Each figure is that of a whole process, interpreter included: its CPU time, and its resident set at
the end. Ours touches `vimlib.connect` and creates a `VirtualMachineConfigSpec`; pyVmomi's imports
`SmartConnect` and creates a `vim.vm.ConfigSpec`. Ours loads asyncio, ssl and the session only when
a connection is opened, so that is measured too: both log in to a simulated host, read its name and
log out. Byte code exists already, as after an installation.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

from bench._hosts import simulator
from bench.report import Row, arguments, beside, emit

__all__ = ["measure", "rows"]

ROOT = Path(__file__).resolve().parents[1]


OURS = """
import vimlib
vimlib.connect
vimlib.vim25.VirtualMachineConfigSpec(name="a")
"""
PEER = """
from pyVim.connect import SmartConnect
from pyVmomi import vim
vim.vm.ConfigSpec(name="a")
"""
OUR_SESSION = """
import asyncio, vimlib
async def main():
    tls = vimlib.TLS(pin="{thumbprint}")
    async with vimlib.connect("{url}", "{username}", "{password}", tls=tls) as client:
        return client.about.fullName
asyncio.run(main())
"""
PEER_SESSION = """
import ssl
from pyVim.connect import Disconnect, SmartConnect
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
instance = SmartConnect(
    host="{hostname}", port={port}, user="{username}", pwd="{password}", sslContext=context
)
instance.content.about.fullName
Disconnect(instance)
"""
PAIRS = {
    "vimlib.connect, one object": (OURS, PEER, 1.0),
    "a session opened and closed": (OUR_SESSION, PEER_SESSION, None),
}
"""Name to our program, the peer's, and how many times better ours must be."""
COST = """
import resource, time
with open("/proc/self/statm") as file:
    pages = int(file.read().split()[1])
print(time.process_time(), pages * resource.getpagesize())
"""


def measure(rounds: int) -> dict[str, dict[str, dict[str, float]]]:
    """Return the medians of each pair, in ms and MiB; the round that writes byte code is left out."""
    with simulator() as host:
        split = urlsplit(host.url)
        facts = {
            "url": host.url,
            "hostname": split.hostname,
            "port": split.port,
            "username": host.username,
            "password": host.password,
            "thumbprint": host.thumbprint,
        }
        # The two take turns, so that other load on the machine affects both equally.
        samples = [
            {
                name: [cost(program.format_map(facts)) for program in programs]
                for name, (*programs, _) in PAIRS.items()
            }
            for _ in range(rounds + 1)
        ][1:]
    return {
        name: {
            who: {
                "ms": statistics.median(sample[name][at][0] for sample in samples) * 1e3,
                "mib": statistics.median(sample[name][at][1] for sample in samples) / 2**20,
            }
            for at, who in enumerate(("ours", "pyVmomi"))
        }
        for name in PAIRS
    }


def cost(program: str) -> tuple[float, float]:
    """Run a program in a process of its own; return its CPU in seconds and its memory in bytes."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    out = subprocess.run(
        [sys.executable, "-c", program + COST],
        cwd=ROOT,
        env=environment,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout
    seconds, size = out.split()
    return float(seconds), float(size)


def rows(costs: dict[str, dict[str, dict[str, float]]]) -> list[Row]:
    """Return the table's rows."""
    return [
        beside(f"{name}: {what}", ours[key], unit, "pyVmomi", peer[key], wanted)
        for name, (_, _, wanted) in PAIRS.items()
        for ours, peer in [(costs[name]["ours"], costs[name]["pyVmomi"])]
        for what, unit, key in (("CPU", "ms", "ms"), ("memory", "MiB", "mib"))
    ]


def main() -> None:
    """Run the bench."""
    parser = arguments(__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    given = parser.parse_args()
    costs = measure(3 if given.quick else given.rounds)
    emit("imports", rows(costs), costs, as_json=given.json)


if __name__ == "__main__":
    main()
