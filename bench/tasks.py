"""Waiting for 10,000 tasks at once on one client, over TLS, against the simulator in this process.

    python -m bench.tasks [--tasks N] [--waves N] [--json] [--quick]

It measures the peak number of connections and the calls per task (the targets are one connection
for all waits, and two calls), the time from a task's end to its waiter, and the CPU seconds of both
ends together. A typical client that reads each task every half second makes two calls a second for
each.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import time
from pathlib import Path
from typing import Any

import vimlib
from bench.report import Row, arguments, at_most, emit
from vimlib import vim25
from vimlib.simulator import ESXHost
from vimlib.simulator._service.tasks import Task

__all__ = ["measure", "rows"]

CALLS_PROMISED = 2.0
CONNECTIONS_PROMISED = 1


def established(port: int) -> int | None:
    """Return the number of connections to a local port; None if the platform does not report it."""
    with contextlib.suppress(OSError):
        lines = [
            line.split() for line in Path("/proc/self/net/tcp").read_text("ascii").splitlines()[1:]
        ]
        return sum(row[3] == "01" and int(row[2].rpartition(":")[2], 16) == port for row in lines)
    return None


def running_tasks(esx: ESXHost, count: int) -> list[Task]:
    """Have the host run `count` tasks that end on request."""
    tasks = []
    for n in range(count):
        task = Task(
            esx.registry, f"haTask-bench-{n}", "PowerOnVM_Task", None, "root", cancelable=True
        )
        esx.registry.one("TaskManager").add(task)
        task.run()
        tasks.append(task)
    return tasks


async def measure(count: int, waves: int, progress: bool) -> dict[str, Any]:
    """Wait for `count` tasks that end in `waves`; return the figures."""
    loop = asyncio.get_running_loop()
    async with ESXHost(vms=1) as esx:
        esx.registry.one("TaskManager").keep = count
        pin = vimlib.TLS(pin=esx.thumbprint)
        async with vimlib.connect(
            esx.url, esx.credentials.username, esx.credentials.password, tls=pin
        ) as client:
            tasks = running_tasks(esx, count)
            proxies: list[vim25.Task[Any]] = [client.bind(vim25.Task(task.moid)) for task in tasks]
            ended: dict[int, float] = {}
            delays: list[float] = []
            reports: list[int | None] = []

            async def wait(n: int) -> None:
                result = await client.wait(
                    proxies[n], on_progress=reports.append if progress else None
                )
                delays.append(loop.time() - ended[n])
                assert result == n, f"task {n} brought {result!r}"

            first_call, cpu, began = len(esx.call_log), time.process_time(), loop.time()
            waiters = asyncio.gather(*map(wait, range(count)))
            polls = 1 + count // 1000  # the host reports a thousand at once, then it waits
            while len(esx.calls("WaitForUpdatesEx")) < polls:  # noqa: ASYNC110 - a log has no event
                await asyncio.sleep(0.01)
            enrolled = loop.time() - began
            connections = established(esx.port)
            for wave in range(waves):
                for n in range(wave, count, waves):
                    ended[n] = loop.time()
                    tasks[n].finish(n)
                await asyncio.sleep(0.02)
            await waiters
            seconds, cpu = loop.time() - began, time.process_time() - cpu
            calls = [entry.method for entry in esx.call_log[first_call:]]
    delays.sort()
    return {
        "tasks": count,
        "waves": waves,
        "progress": progress,
        "connections": connections,
        "calls": {name: calls.count(name) for name in sorted(set(calls))},
        "calls_a_task": round(len(calls) / count, 4),
        "seconds_to_enroll": round(enrolled, 2),
        "seconds": round(seconds, 2),
        "cpu_seconds_both_ends": round(cpu, 2),
        "delay_median_ms": round(statistics.median(delays) * 1000, 1),
        "delay_longest_ms": round(delays[-1] * 1000, 1),
    }


def rows(line: dict[str, Any]) -> list[Row]:
    """Return the table's rows."""
    name = f"{line['tasks']:,} task waits"
    table = [
        at_most(f"{name}: calls a task", line["calls_a_task"], "calls", CALLS_PROMISED),
        at_most(f"{name}: from a task's end to its waiter", line["delay_median_ms"], "ms"),
        at_most(f"{name}: CPU of both ends", line["cpu_seconds_both_ends"], "s"),
    ]
    if line["connections"] is not None:
        polls = line["connections"]
        table.insert(0, at_most(f"{name}: connections", polls, "", CONNECTIONS_PROMISED))
    return table


def main() -> None:
    """Run the bench."""
    parser = arguments(__doc__)
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument("--waves", type=int, default=50, help="in how many parts they end")
    parser.add_argument("--progress", action="store_true", help="have each wait listen to progress")
    given = parser.parse_args()
    if given.quick:
        given.tasks, given.waves = 500, 5
    line = asyncio.run(measure(given.tasks, given.waves, given.progress))
    emit("tasks", rows(line), line, as_json=given.json)


if __name__ == "__main__":
    main()
