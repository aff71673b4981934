"""Speed of transfers compared with curl: nginx over TLS on loopback at both ends, one run, medians.

    python -m bench.stream [--mib 2048] [--many-mib 256] [--rounds 3] [--json] [--quick]

Each row runs once a round, in turn, so that a busy moment of the machine hits all alike. Ours run
in a separate process; its wall time starts after the imports, its memory is the growth from there
to its peak. CPU is that of the client alone.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import AsyncIterable
from contextlib import AbstractAsyncContextManager, ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

from yarl import URL

from bench.report import Row, arguments, at_most, beside, emit
from tests.integration.peers.nginx import nginx
from vimdriver._images import HttpClient, HttpImage, Uploader
from vimlib._tls import TLS
from vimlib._transport import HTTPTransport
from vimlib._transport.http import Buffer, HTTPRequest
from vimlib.errors import TransferRejectedError

MANY = 16
MEMORY_MIB = 4.0 * MANY
"""The memory above idle that many parallel transfers may need."""


@dataclass(frozen=True)
class Sample:
    """One run."""

    wall: float
    cpu: float
    grown_mib: float | None = None
    loop: float | None = None
    """CPU seconds of the event loop's thread; the rest of `cpu` is that of the others."""


@dataclass(frozen=True)
class Case:
    """One case: `tool` transfers `count` bodies at once."""

    name: str
    tool: str
    count: int
    hashing: bool
    target: float | None = None
    """The minimum speed, as a multiple of that of `against`."""
    against: str | None = None
    cpu: float | None = None
    """The most CPU of ours, as a part of that of `against`."""


CASES = [
    Case("curl pipe", "curl", 1, False),
    Case("image", "ours", 1, False, 1.0, "curl pipe", 0.85),
    Case("curl, tee, sha512sum", "curl", 1, True),
    Case("image, sha512", "ours", 1, True, 1.6, "curl, tee, sha512sum", 0.95),
    Case("4 curl pipes", "curl", 4, False),
    Case("4 images", "ours", 4, False, None, "4 curl pipes"),
    Case("4 x curl, tee, sha512sum", "curl", 4, True),
    Case("4 images, sha512", "ours", 4, True, None, "4 x curl, tee, sha512sum"),
    Case(f"{MANY} curl pipes", "curl", MANY, False),
    Case(f"{MANY} images", "ours", MANY, False, None, f"{MANY} curl pipes"),
    Case(f"{MANY} x curl, tee, sha512sum", "curl", MANY, True),
    Case(f"{MANY} images, sha512", "ours", MANY, True, 1.3, f"{MANY} x curl, tee, sha512sum", 1.0),
    Case("image, sha512, inflated", "stage", 1, True, None, "curl, tee, sha512sum"),
    Case(f"{MANY} images, sha512, inflated", "stage", MANY, True, None, f"{MANY} curl pipes"),
]


class Inflating:
    """A stage that inflates: the cost of a compressed image besides its transfer."""

    size = None

    def __init__(self) -> None:
        self._inflater = zlib.decompressobj(-zlib.MAX_WBITS)

    def feed(self, data: Buffer) -> list[Buffer]:
        """See `vimdriver._images.Stage`."""
        return [self._inflater.decompress(data)]

    def finish(self) -> list[Buffer]:
        """See `vimdriver._images.Stage`."""
        return [self._inflater.flush()]


class PutSink:
    """A plain PUT to a URL by the transport that uploads to datastores use."""

    def __init__(self, transport: HTTPTransport, url: str) -> None:
        self._transport = transport
        self._url = URL(url)

    def slot(self) -> AbstractAsyncContextManager[None]:
        """See `vimdriver._images.BodySink`."""
        return self._transport.slot()

    async def put(self, body: AsyncIterable[Buffer], size: int | None) -> None:
        """See `vimdriver._images.BodySink`. nginx answers 201; curl checks no more either."""
        request = HTTPRequest(method="PUT", target=self._url.raw_path, body=body, length=size)
        async with self._transport.http(request) as reply:
            if reply.status not in (201, 204):
                raise TransferRejectedError(f"HTTP {reply.status}", status=reply.status)


async def ours(tool: str, sources: list[str], sinks: list[str], ca: str, hashing: bool) -> Sample:
    """Transfer all bodies in parallel and measure it."""
    async with (
        HttpClient(ca=ca) as client,
        HTTPTransport(sinks[0], tls=TLS(ca=ca)) as transport,
        Uploader(streams=len(sources)) as uploader,
    ):
        idle = _status("VmRSS")
        _forget_peak()
        start, cpu, loop = time.perf_counter(), _cpu(resource.RUSAGE_SELF), time.thread_time()

        async def one(source: str, sink: str) -> None:
            image = HttpImage(client, source)
            info = await image.info()
            stage = Inflating if tool == "stage" else None
            put = PutSink(transport, sink)
            await uploader.upload(image, put, info, stage=stage, hashing=hashing)

        async with asyncio.TaskGroup() as group:
            for source, sink in zip(sources, sinks, strict=True):
                group.create_task(one(source, sink))
        return Sample(
            time.perf_counter() - start,
            _cpu(resource.RUSAGE_SELF) - cpu,
            (_status("VmHWM") - idle) / 1024,
            time.thread_time() - loop,
        )


def _forget_peak() -> None:
    """Reset VmHWM."""
    Path("/proc/self/clear_refs").write_text("5")


def _status(field: str) -> int:
    """Return a field of /proc/self/status, in KiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1])
    raise LookupError(field)


def _cpu(who: int) -> float:
    usage = resource.getrusage(who)
    return usage.ru_utime + usage.ru_stime


def curl(sources: list[str], sinks: list[str], ca: str, hashing: bool) -> Sample:
    """The same with curl, one pipe per body."""
    middle = "tee >(sha512sum >/dev/null) |" if hashing else ""
    start, cpu = time.perf_counter(), _cpu(resource.RUSAGE_CHILDREN)
    pipes = [
        subprocess.Popen(
            [
                "/bin/bash",
                "-o",
                "pipefail",
                "-c",
                f'curl -sf --cacert "$0" "$1" | {middle} curl -sf --cacert "$0" -T - "$2"',
                *(ca, source, sink),
            ],
            stdout=subprocess.DEVNULL,
        )
        for source, sink in zip(sources, sinks, strict=True)
    ]
    for pipe in pipes:
        if pipe.wait():
            raise SystemExit(f"curl ended with {pipe.returncode}")
    return Sample(time.perf_counter() - start, _cpu(resource.RUSAGE_CHILDREN) - cpu)


def run(case: Case, source: str, sink: str, ca: str) -> Sample:
    """Run one case once."""
    name = "one" if case.count == 1 else "many"
    sources = [f"{source}/{name}{'.deflated' if case.tool == 'stage' else ''}"] * case.count
    sinks = [f"{sink}/{name}-{index}" for index in range(case.count)]
    if case.tool == "curl":
        return curl(sources, sinks, ca, case.hashing)
    work = json.dumps([case.tool, sources, sinks, ca, case.hashing])
    done = subprocess.run(
        [sys.executable, "-m", "bench.stream", "--worker", work],
        check=True,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parent.parent,
    )
    return Sample(**json.loads(done.stdout))


def measure(mib: int, many_mib: int, rounds: int, cases: list[Case]) -> dict[str, list[Sample]]:
    """Run all cases, `rounds` times in turn."""
    samples: dict[str, list[Sample]] = {case.name: [] for case in cases}
    # In memory if such a folder exists, so that the disk is not measured.
    base = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=base)))
        for name in ("source", "sink"):
            (folder / name).mkdir()
        for name, size in (("one", mib), ("many", many_mib)):
            with (folder / "source" / name).open("wb") as file:
                for _ in range(size):
                    file.write(os.urandom(1 << 20))
            (folder / "source" / f"{name}.deflated").write_bytes(_deflated(size))
        source = stack.enter_context(nginx(folder / "source"))
        sink = stack.enter_context(nginx(folder / "sink"))
        ca = folder / "ca.crt"
        ca.write_bytes(source.ca.read_bytes() + sink.ca.read_bytes())
        for _ in range(rounds):
            for case in cases:
                samples[case.name].append(run(case, source.url, sink.url, str(ca)))
                for stored in (folder / "sink").glob("[om]*-*"):
                    expected = (folder / "source" / stored.name.partition("-")[0]).stat().st_size
                    if stored.stat().st_size != expected:
                        raise SystemExit(f"{case.name}: {stored.name} has the wrong size")
                    stored.unlink()
    return samples


def _deflated(mib: int) -> bytes:
    """Return a raw deflate stream of so many MiB, of which half is random."""
    packer = zlib.compressobj(1, wbits=-zlib.MAX_WBITS)
    block = b"".join(os.urandom(2048) + bytes(2048) for _ in range(256))
    # A full flush: what follows does not refer back, so that the bytes can be repeated.
    packed = packer.compress(block) + packer.flush(zlib.Z_FULL_FLUSH)
    return packed * mib + packer.flush()


def summarize(
    samples: dict[str, list[Sample]], mib: int, many_mib: int, cases: list[Case]
) -> list[Row]:
    """Return the table's rows: speeds, the peak memory if it has a bound, CPU per GiB."""
    table: list[Row] = []
    speeds, cpus = {}, {}
    for case in cases:
        moved = mib if case.count == 1 else many_mib * case.count
        runs = samples[case.name]
        speeds[case.name] = moved / statistics.median(sample.wall for sample in runs)
        cpus[case.name] = statistics.median(sample.cpu for sample in runs) / (moved / 1024)
    for case in cases:
        if case.against is None:
            continue
        ours, peer = speeds[case.name], speeds[case.against]
        name = f"{case.name}: speed"
        table.append(
            beside(name, ours, "MiB/s", case.against, peer, case.target, more_is_better=True)
        )
        name = f"{case.name}: CPU of the client"
        least = None if case.cpu is None else 1 / case.cpu
        peer_cpu = cpus[case.against]
        table.append(beside(name, cpus[case.name], "s/GiB", case.against, peer_cpu, least))
        loops = [s.loop for s in samples[case.name] if s.loop is not None]
        gib = (mib if case.count == 1 else many_mib * case.count) / 1024
        name = f"{case.name}: of it in the event loop"
        table.append(at_most(name, statistics.median(loops) / gib, "s/GiB"))
        grown = [s.grown_mib for s in samples[case.name] if s.grown_mib is not None]
        most = MEMORY_MIB if case.count == MANY and case.hashing else None
        table.append(at_most(f"{case.name}: memory above idle", max(grown), "MiB", most))
    return table


def main() -> None:
    """Run the bench."""
    parser = arguments(__doc__)
    parser.add_argument("--mib", type=int, default=2048, help="size of the single body")
    parser.add_argument("--many-mib", type=int, default=256, help=f"size of each of {MANY} bodies")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="cases whose names contain this, and curl's")
    parser.add_argument("--worker", help="(itself)")
    given = parser.parse_args()
    if given.worker:
        print(json.dumps(asdict(asyncio.run(ours(*json.loads(given.worker))))))
        return
    if given.quick:
        given.mib, given.many_mib, given.rounds = 128, 16, 1
    cases = [case for case in CASES if given.only in case.name or case.tool == "curl"]
    samples = measure(given.mib, given.many_mib, given.rounds, cases)
    details = {name: [asdict(sample) for sample in runs] for name, runs in samples.items()}
    emit(
        "stream", summarize(samples, given.mib, given.many_mib, cases), details, as_json=given.json
    )


if __name__ == "__main__":
    main()
