"""Images that are converted on the way: a qcow2 to a host, an image to eight hosts, a machine to an image.

    python -m bench.conversions [--mib 256] [--rounds 3] [--only PART] [--json] [--quick]

Parts: `qcow2`, `hosts`, `capture`. The disk is dense: program files. A qcow2 is pushed by an import; the peer is
`qemu-img convert` to a streamOptimized file and curl's PUT of it to the same host. Eight hosts are each behind a
link of their own, shaped by `tc htb` in a network namespace (which needs root): one push to one of them, and one
to all. A machine is captured from a host that exports its disk, and from one that cannot, and whose disk is copied.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import vimlib
from bench._hosts import Host, in_memory, simulator
from bench._raw import Raw
from bench.formats import chunks, dense
from bench.images import pushed
from bench.report import Row, arguments, at_most, beside, emit
from bench.transfer import curl
from tests.integration.peers import tools
from vimdriver import (
    DriverConfig,
    ESXDriver,
    Glance,
    HttpClient,
    InstanceSpec,
    LocalImages,
)
from vimdriver._disks.stage import DiskStage
from vimdriver._images.embedded import EmbeddedGlance, EmbeddedImage
from vimdriver._images.formats import PREFIX, StreamOptimizedWriter, open_image
from vimdriver._images.push_to_hosts import push_to_hosts

__all__ = ["measure", "rows"]

ROOT = Path(__file__).resolve().parents[1]
PARTS = ("qcow2", "hosts", "capture")
QCOW2 = {"qcow2": (), "qcow2 -c": ("-c",)}
"""Options of `qemu-img convert` that make it."""
HOSTS = 8
LINKS = {"put": 100, "nfc": 25}
"""Mbit/s of each host's link: what two cores can send eight times."""
SIZES = "burst 256kb cburst 256kb quantum 65536"
"""A packet of the loopback has 64 KiB."""
CAPTURES = {"8.0": "ExportSnapshot", "4.1": "a copy"}
STREAM = ("convert", "-O", "vmdk", "-o", "subformat=streamOptimized")


def qemu_img(*words: object) -> None:
    """Run qemu-img."""
    subprocess.run([tools.find("qemu-img"), *map(str, words)], check=True)


def timed(work: Callable[[], object]) -> float:
    """Return the seconds of a function."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


# -- a qcow2 to a host ---------------------------------------------------------------------------


def sent(image: Path) -> int:
    """Return the bytes of the streamOptimized file that a push of `image` sends."""
    with image.open("rb") as file:
        found = open_image(file.read(PREFIX), size=image.stat().st_size)
    assert found.capacity is not None
    stage = DiskStage(found.reader(), StreamOptimizedWriter(found.capacity))
    size = sum(len(piece) for chunk in chunks(image) for piece in stage.feed(chunk))
    return size + sum(map(len, stage.finish()))


def qcow2(mib: int, rounds: int) -> dict[str, Any]:
    """Push a qcow2 by an import, and convert and upload it by others, in turn."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="bench-qcow2-", dir=in_memory()) as name:
        disk, stream = Path(name, "disk.img"), Path(name, "disk.vmdk")
        dense(disk, mib << 20)
        for kind, options in QCOW2.items():
            image = Path(name, "disk.qcow2")
            qemu_img("convert", "-f", "raw", "-O", "qcow2", *options, disk, image)
            mine: dict[str, Any] = {"ours": [], "qemu-img": [], "cpu": []}
            with simulator() as host:
                raw = Raw(host.url)
                raw.login(host.username, host.password)
                for _ in range(rounds):
                    ours = asyncio.run(pushed(host, image, "nfc"))
                    mine["ours"].append(ours["wall"])
                    mine["cpu"].append(ours["cpu"])
                    convert = timed(partial(qemu_img, *STREAM, "-f", "qcow2", image, stream))
                    mine["qemu-img"].append(convert + curl(host, raw.cookie, "upload", stream))
            mine["bytes"] = {"ours": sent(image), "qemu-img": stream.stat().st_size}
            found[kind] = mine
    return found


# -- an image to eight hosts ---------------------------------------------------------------------


def shape(hosts: Sequence[Host], mbit: int, word: str) -> None:
    """Put each host behind a link of its own."""
    for number, host in enumerate(hosts, 1):
        rate = f"class {word} dev lo parent 1: classid 1:{number} htb rate {mbit}mbit {SIZES}"
        subprocess.run(["tc", *rate.split()], check=True)
        if word == "add":
            match = f"match ip protocol 6 0xff match ip dport {urlsplit(host.url).port} 0xffff"
            to = f"filter add dev lo parent 1: protocol ip u32 {match} flowid 1:{number}"
            subprocess.run(["tc", *to.split()], check=True)


async def fan_out(hosts: Sequence[Host], image: EmbeddedImage, way: str) -> dict[str, float]:
    """Push an image to hosts at once; return the seconds and CPU of it, and the reads of the image."""
    async with EmbeddedGlance([image]) as service, HttpClient() as http:
        clients = {
            host.url: vimlib.connect(
                host.url, host.username, host.password, tls=vimlib.TLS(pin=host.thumbprint)
            )
            for host in hosts
        }
        cpu, began = time.process_time(), time.perf_counter()
        results = await push_to_hosts(
            clients,
            Glance(http, service.url),
            [image.name],
            datastore=hosts[0].datastore,
            directory="bench",
            transfer=way,
        )
        wall, cpu = time.perf_counter() - began, time.process_time() - cpu
        for result in results:
            if result.error is not None:
                raise result.error
        return {
            "wall": wall,
            "cpu": cpu,
            "reads": sum(seen.path.endswith("/file") for seen in service.seen),
        }


async def emptied(host: Host) -> None:
    """Remove what was pushed."""
    async with vimlib.connect(
        host.url, host.username, host.password, tls=vimlib.TLS(pin=host.thumbprint)
    ) as client:
        await client.datastore(host.datastore).delete("bench")


def linked_hosts(mib: int, rounds: int) -> dict[str, Any]:
    """Push to one host, and to all, in turn. Runs in the namespace."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    subprocess.run(["tc", "qdisc", "add", "dev", "lo", "root", "handle", "1:", "htb"], check=True)
    found: dict[str, Any] = {way: {"one": [], "all": []} for way in LINKS}
    with ExitStack() as stack:
        folder = stack.enter_context(
            tempfile.TemporaryDirectory(prefix="bench-hosts-", dir=in_memory())
        )
        disk = Path(folder, "disk.img")
        dense(disk, mib << 20)
        hosts = [stack.enter_context(simulator()) for _ in range(HOSTS)]
        for word, (way, mbit) in zip(("add", "change"), LINKS.items(), strict=True):
            shape(hosts, mbit, word)
            for _ in range(rounds):
                for who, these in (("one", hosts[:1]), ("all", hosts)):
                    image = EmbeddedImage(name="disk", chunks=partial(chunks, disk))
                    found[way][who].append(asyncio.run(fan_out(these, image, way)))
                    for host in these:
                        asyncio.run(emptied(host))
    return found


def in_namespace(mib: int, rounds: int) -> dict[str, Any]:
    """Run `linked_hosts` in a network namespace of its own."""
    if os.geteuid():
        raise SystemExit("bench.conversions shapes links by `tc`: run it as root, or with --only")
    inside = json.dumps([mib, rounds])
    command = ["unshare", "--net", sys.executable, "-m", "bench.conversions", "--inside", inside]
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


# -- a machine to an image -----------------------------------------------------------------------


async def capture(host: Host, disk: Path) -> int:
    """Spawn a machine from `disk` and capture it; return the bytes of the image."""
    async with (
        EmbeddedGlance() as service,
        HttpClient() as http,
        vimlib.connect(
            host.url, host.username, host.password, tls=vimlib.TLS(pin=host.thumbprint)
        ) as client,
    ):
        config = DriverConfig(owner="bench")
        async with ESXDriver(client, LocalImages(), config) as driver:
            await driver.spawn(
                InstanceSpec(
                    name="bench", image=str(disk), datastore=host.datastore, memory_mb=64,
                    transfer="put", clone="none", power_on=False,
                )
            )  # fmt: skip
            made = await driver.capture("bench", "bench", target=Glance(http, service.url))
        return made.bytes


def captures(mib: int) -> dict[str, Any]:
    """Capture a machine whose disk has holes; the sizes of the images, and of qemu-img's."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="bench-capture-", dir=in_memory()) as name:
        disk, stream = Path(name, "disk.img"), Path(name, "disk.vmdk")
        dense(disk, mib << 20)
        os.truncate(disk, mib << 21)  # its second half is a hole
        qemu_img(*STREAM, "-f", "raw", disk, stream)
        for version in CAPTURES:
            with simulator(version=version) as host:
                found[version] = asyncio.run(capture(host, disk))
        found["qemu-img"] = stream.stat().st_size
    return found


# -- the table -----------------------------------------------------------------------------------


def measure(mib: int, rounds: int, parts: Sequence[str]) -> dict[str, Any]:
    """Run the parts."""
    found: dict[str, Any] = {"mib": mib}
    if "qcow2" in parts:
        found["qcow2"] = qcow2(mib, rounds)
    if "hosts" in parts:
        found["hosts"] = in_namespace(mib // 4, rounds)
    if "capture" in parts:
        found["capture"] = captures(mib // 4)
    return found


def rows(found: dict[str, Any]) -> list[Row]:
    """Return the table's rows, of medians."""
    table: list[Row] = []
    for kind, mine in found.get("qcow2", {}).items():
        name, peer = f"{kind} {found['mib']} MiB by an import", "qemu-img convert"
        walls = [statistics.median(mine[who]) for who in ("ours", "qemu-img")]
        sizes = [mine["bytes"][who] / 2**20 for who in ("ours", "qemu-img")]
        table.append(beside(name, walls[0], "s", f"{peer}, curl's PUT", walls[1], 0.9))
        table.append(beside(f"{name}: bytes sent", sizes[0], "MiB", peer, sizes[1], 1 / 1.05))
    for way, mine in found.get("hosts", {}).items():
        name = f"{way} to {HOSTS} hosts, {LINKS[way]} Mbit/s each"
        walls = [statistics.median(run["wall"] for run in mine[who]) for who in ("all", "one")]
        cpu = statistics.median(run["cpu"] for run in mine["all"])
        reads = max(run["reads"] for run in mine["all"])
        table.append(beside(name, walls[0], "s", "one host", walls[1], 0.9))
        table.append(at_most(f"{name}: CPU of the client", cpu, "s"))
        table.append(at_most(f"{name}: reads of the image", reads, "", 1))
    if "capture" in found:
        sizes = found["capture"]
        for version, way in CAPTURES.items():
            name, ours, peer = f"capture by {way}: bytes", sizes[version], sizes["qemu-img"]
            row = beside(name, ours / 2**20, "MiB", "qemu-img convert", peer / 2**20, 1 / 1.1)
            table.append(row)
    return table


def main() -> None:
    """Run the bench."""
    parser = arguments(__doc__)
    parser.add_argument("--mib", type=int, default=256, help="size of the qcow2's disk")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=PARTS, help="one part")
    parser.add_argument("--inside", help="(itself)")
    given = parser.parse_args()
    if given.inside:
        print(json.dumps(linked_hosts(*json.loads(given.inside))))
        return
    mib, rounds = (16, 1) if given.quick else (given.mib, given.rounds)
    found = measure(mib, rounds, PARTS if given.only is None else (given.only,))
    emit("conversions", rows(found), found, as_json=given.json)


if __name__ == "__main__":
    main()
