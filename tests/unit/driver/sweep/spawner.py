"""Processes that work on a host until they are killed: forked off, as orders come in on stdin.

An order is a line of JSON: what to do, on which host, and at which step to end by SIGKILL. A step is
a call of the API (before it is sent, after its reply), a line of the journal (before, half of it
written, after) or the first bytes of a body. With `foreign` somebody puts a file there at that step; with
`foreign` and without `kill` the process then goes on. Each step is noted in a file as it comes, so that the one
who sent the order knows where it ended. The answer is a line with the exit status.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import vimlib
from tests.unit.driver.scenarios import SCENARIOS
from vimdriver._config import DriverConfig
from vimdriver._driver import ESXDriver
from vimdriver._images.glance import Glance
from vimdriver._images.http import HttpClient
from vimdriver._images.local import LocalImages
from vimdriver._images.push import PushEvent, push_images
from vimdriver._instances.types import InstanceSpec, NICSpec
from vimdriver._journal import file
from vimlib._transport.base import EncodedCall, Exchange, Reply

CONFIG: dict[str, Any] = {"settle_seconds": 0.1, "task_seconds": 20, "cleanup_seconds": 20}


FOREIGN = b"somebody else's"


class Killer:
    """Counts steps by name and ends this process before, amid or after one of them."""

    def __init__(
        self,
        at: tuple[str, int, str] | None,
        notes: int,
        *,
        foreign: str | None = None,
        kill: bool = True,
    ) -> None:
        self.at = at
        self.notes = notes
        self.foreign = foreign
        self.kill = kill
        self.moved = False
        self.counts: dict[str, int] = {}

    def begin(self, name: str) -> tuple[str, int]:
        number = self.counts[name] = self.counts.get(name, 0) + 1
        os.write(self.notes, f"{name}\n".encode())
        self.reach((name, number), "before")
        return name, number

    def is_at(self, step: tuple[str, int], when: str) -> bool:
        return self.at == (*step, when)

    def reach(self, step: tuple[str, int], when: str) -> None:
        if self.is_at(step, when):
            if self.foreign is not None and Path(self.foreign).parent.is_dir():
                Path(self.foreign).write_bytes(FOREIGN)
            if self.kill:
                os.kill(os.getpid(), signal.SIGKILL)

    async def __call__(self, call: EncodedCall, exchange: Exchange, /) -> Reply:
        step = self.begin(call.method)
        reply = await exchange(call)
        self.reach(step, "after")
        return reply

    def hook_journal(self) -> None:
        append = file._File.append

        def stepped(this: file._File, line: bytes) -> None:
            step = self.begin("journal")
            if self.is_at(step, "torn"):
                os.write(this._fd, line[: len(line) // 2])
            self.reach(step, "torn")
            append(this, line)
            self.reach(step, "after")

        setattr(file._File, "append", stepped)  # noqa: B010 - mypy minds a method that is assigned

    def on_event(self, event: PushEvent) -> None:
        if event.kind == "progress":
            self.progress(event.bytes)

    def progress(self, count: int) -> None:
        # Only the first: the uploader decides how many pieces there are.
        if not self.moved:
            self.moved = True
            self.begin("body")


async def work(order: dict[str, Any], killer: Killer) -> None:
    journal = order["journal"]
    config = DriverConfig(owner=order["owner"], journal=journal and Path(journal), **CONFIG)
    async with (
        HttpClient(stall_timeout=5.0) as http,
        vimlib.connect(
            order["url"], order["username"], order["password"],
            tls=vimlib.TLS(pin=order["pin"]), middleware=[killer], keepalive=None,
        ) as client,
        ESXDriver(
            client, Glance(http, order["glance"]) if "glance" in order else LocalImages(), config
        ) as driver,
    ):  # fmt: skip
        if "verb" in order:
            await SCENARIOS[order["verb"]].act(driver)
        elif order["job"] == "spawn":
            await driver.spawn(
                InstanceSpec(
                    name="web",
                    image=order["image"],
                    datastore="datastore1",
                    transfer=order["transfer"],
                    memory_mb=64,
                    disk_gb=1,
                    nics=(NICSpec(network="VM Network"), NICSpec(network="vlan-42", vlan=42)),
                ),
                on_progress=killer.progress,
            )
        elif order["job"] == "cached":
            async with HttpClient() as http:
                await driver.spawn(
                    InstanceSpec(
                        name=order["name"],
                        image="shared",
                        datastore="datastore1",
                        transfer=order["transfer"],
                        memory_mb=64,
                    ),
                    source=Glance(http, order["images"]).image("shared"),
                    on_progress=killer.progress,
                )
        elif order["job"] == "push":
            (result,) = await push_images(
                client, LocalImages(), [order["image"]], datastore="datastore1", config=config,
                transfer=order["transfer"], journal=driver.journal, events=killer.on_event,
            )  # fmt: skip
            assert result.error is None, result.error
        elif order["job"] == "destroy":
            assert await driver.destroy("web")
        elif order["job"] == "resize":
            await driver.power_off("web")
            await driver.resize("web", cpus=2, disk_gb=2)
            await driver.confirm_resize("web")
        elif order["job"] == "ensure_vlan":
            await driver.ensure_vlan("vlan-43", 43)
        else:
            report = await driver.sweep(older_than=order["older_than"])
            assert not report.failed, report.items


def main() -> None:
    for line in sys.stdin:
        order = json.loads(line)
        notes = os.open(order["notes"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        child = os.fork()
        if not child:
            killer = Killer(
                order["at"] and tuple(order["at"]),
                notes,
                foreign=order.get("foreign"),
                kill=order.get("kill", True),
            )
            killer.hook_journal()
            asyncio.run(work(order, killer))
            os._exit(0)
        os.close(notes)
        _, status = os.waitpid(child, 0)
        print(json.dumps({"status": os.waitstatus_to_exitcode(status)}), flush=True)


if __name__ == "__main__":
    main()
