"""Images into a simulated host: with holes over a slow link, small ones by both ways, one for many spawns.

    python -m bench.images [--mib 8192] [--rounds 3] [--json] [--quick]

The raw image has data in an eighth of it. It is pushed in a network namespace whose link is shaped to
1 Gbit/s by `tc tbf` (which needs root), and curl PUTs the same file to the same host. Small raw images
are pushed by an import and by a PUT over loopback, without holes: what the rule of the two is drawn from.
Spawns of one image start with a cold cache; the reads of the image are counted.
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
from pathlib import Path
from typing import Any

import vimlib
from bench._hosts import Host, in_memory, simulator
from bench._raw import Raw
from bench.report import Row, arguments, at_most, beside, emit
from bench.transfer import curl
from vimdriver import (
    DriverConfig,
    ESXDriver,
    Glance,
    HttpClient,
    InstanceSpec,
    LocalImages,
    push_images,
)
from vimdriver._images.embedded import EmbeddedGlance, made_image
from vimdriver._images.make import Pattern

__all__ = ["measure", "rows"]

ROOT = Path(__file__).resolve().parents[1]
SHAPE = "rate 1gbit burst 256kb latency 100ms"
SMALL = (1, 8, 64, 256)
"""MiB of the images that go by both ways."""


async def pushed(host: Host, path: Path, transfer: str) -> dict[str, float]:
    """Push an image; return the seconds, wall and CPU of this process."""
    async with vimlib.connect(
        host.url, host.username, host.password, tls=vimlib.TLS(pin=host.thumbprint)
    ) as client:
        cpu, began = time.process_time(), time.perf_counter()
        (result,) = await push_images(
            client,
            LocalImages(),
            [str(path)],
            datastore=host.datastore,
            directory="bench",
            transfer=transfer,  # type: ignore[arg-type]
        )
        if result.error is not None:
            raise result.error
        found = {"wall": time.perf_counter() - began, "cpu": time.process_time() - cpu}
        await client.datastore(host.datastore).delete("bench")
        return found


async def reads(host: Host, count: int) -> int:
    """Spawn so many machines from one image at once, with a cold cache; return the reads of the image."""
    image = made_image("shared", "raw", Pattern(1, 64 << 20))
    async with (
        EmbeddedGlance([image]) as service,
        HttpClient() as http,
        vimlib.connect(
            host.url, host.username, host.password, tls=vimlib.TLS(pin=host.thumbprint)
        ) as client,
        ESXDriver(client, Glance(http, service.url), DriverConfig(owner="bench")) as driver,
    ):
        async with asyncio.TaskGroup() as group:
            for number in range(count):
                spec = InstanceSpec(
                    name=f"bench-{number}", image="shared", datastore=host.datastore, memory_mb=64
                )
                group.create_task(driver.spawn(spec))
        return sum(seen.path.endswith("/file") for seen in service.seen)


def holed(path: Path, mib: int) -> None:
    """Write an image with data in each eighth MiB."""
    with path.open("wb") as file:
        for at in range(0, mib, 8):
            file.seek(at << 20)
            file.write(os.urandom(1 << 20))
        file.truncate(mib << 20)


def slow_link(mib: int, rounds: int) -> dict[str, list[float]]:
    """Push the image with holes over the shaped link, ours and curl in turn. Runs in the namespace."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    subprocess.run(["tc", "qdisc", "add", "dev", "lo", "root", "tbf", *SHAPE.split()], check=True)
    found: dict[str, list[float]] = {"ours": [], "curl": []}
    with tempfile.TemporaryDirectory(prefix="bench-images-", dir=in_memory()) as name:
        image = Path(name, "holed.img")
        holed(image, mib)
        with simulator() as host:
            raw = Raw(host.url)
            raw.login(host.username, host.password)
            for _ in range(rounds):
                found["ours"].append(asyncio.run(pushed(host, image, "nfc"))["wall"])
                found["curl"].append(curl(host, raw.cookie, "upload", image))
                (host.folder / "large").unlink()
    return found


def measure(mib: int, rounds: int, spawns: int) -> dict[str, Any]:
    """Run all parts; the first one in a network namespace of its own."""
    inside = json.dumps([mib, rounds])
    command = ["unshare", "--net", sys.executable, "-m", "bench.images", "--inside", inside]
    link = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    found: dict[str, Any] = {"mib": mib, "link": json.loads(link.splitlines()[-1]), "small": {}}
    with (
        tempfile.TemporaryDirectory(prefix="bench-images-", dir=in_memory()) as name,
        simulator() as host,
    ):
        for size in SMALL:
            image = Path(name, f"{size}.img")
            image.write_bytes(os.urandom(size << 20))
            ways: dict[str, list[float]] = {"nfc": [], "put": []}
            for _ in range(rounds):
                for way, walls in ways.items():
                    walls.append(asyncio.run(pushed(host, image, way))["wall"])
            found["small"][str(size)] = ways
            image.unlink()
        found["spawns"] = {"count": spawns, "reads": asyncio.run(reads(host, spawns))}
    return found


def rows(found: dict[str, Any]) -> list[Row]:
    """Return the table's rows, of medians."""
    link, spawns = found["link"], found["spawns"]
    name = f"raw {found['mib']} MiB, an eighth of it data, at 1 Gbit/s"
    table = [
        beside(
            name,
            statistics.median(link["ours"]),
            "s",
            "curl's PUT",
            statistics.median(link["curl"]),
            2.5,
        )
    ]
    for size, ways in found["small"].items():
        ours, other = (statistics.median(ways[way]) for way in ("put", "nfc"))
        table.append(beside(f"raw {size} MiB without holes, put", ours, "s", "nfc", other))
    table.append(at_most(f"{spawns['count']} spawns of one image: reads", spawns["reads"], "", 1))
    return table


def main() -> None:
    """Run the bench."""
    parser = arguments(__doc__)
    parser.add_argument("--mib", type=int, default=8192, help="size of the image with holes")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--inside", help="(itself)")
    given = parser.parse_args()
    if given.inside:
        print(json.dumps(slow_link(*json.loads(given.inside))))
        return
    if os.geteuid():
        raise SystemExit("bench.images shapes a link by `tc`: run it as root")
    found = measure(*((64, 1, 4) if given.quick else (given.mib, given.rounds, 50)))
    emit("images", rows(found), found, as_json=given.json)


if __name__ == "__main__":
    main()
