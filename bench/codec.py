"""Speed of decoding and encoding, compared with pyVmomi and zeep: one run, medians.

    python -m bench.codec [--machines 2000] [--rounds 3] [--large 9000] [--plot FILE.svg] [--json]

Each row runs once a round, in turn, so that a busy moment of the machine hits all alike. Times are
of the process's CPU, which is all that a codec uses. The reply is generated, with eight properties
per machine, see `_machines.py`; every reader gets the same bytes. Memory is the growth of a
separate process above the decoded result while it was fed a large reply in 64 KiB pieces.
"""

from __future__ import annotations

import gc
import json
import statistics
import subprocess
import sys
import time
import tracemalloc
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from xml.parsers import expat

from bench._machines import RETRIEVE, create_vm, reply
from bench.page import curve_svg
from bench.report import Row, arguments, at_most, beside, emit
from vimlib.soap import backend, encode_request
from vimlib.soap._decode import PureDecoder

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parents[1]
NAMESPACE = "urn:vim25"
CHUNK = 1 << 16


@dataclass(frozen=True)
class Target:
    """The target of a row: `factor` times as fast as `against`."""

    row: str
    against: str
    factor: float


TARGETS = (
    Target("decode, pure", "decode, pyVmomi", 5),
    Target("decode, pure", "decode, zeep", 10),
    Target("decode, accelerated", "decode, pyVmomi", 40),
    Target("decode, accelerated", "decode, expat without handlers", 1),
    Target("encode", "encode, pyVmomi", 2),
)
MEMORY_MIB = 4.0
"""Above the decoded result, at the peak."""


@cache
def pyvmomi() -> Any:
    """Return pyVmomi's two modules and a stub of its newest version."""
    from pyVmomi import SoapAdapter, VmomiSupport

    adapter: Any = SoapAdapter
    support: Any = VmomiSupport
    newest = support.newestVersions.GetName("vim")
    return adapter, support, adapter.SoapStubAdapter(host="127.0.0.1", version=newest)


@cache
def zeep_client() -> Any:
    """Return zeep's client of our own WSDL."""
    import zeep

    return zeep.Client(str(ROOT / "wsdl" / "vim25" / "vim25.wsdl"))


# Readers


def read_expat(body: bytes) -> None:
    """Tokenize and do nothing."""
    expat.ParserCreate().Parse(body, True)


def read_pure(body: bytes) -> Any:
    """Decode from expat's events."""
    decoder = PureDecoder(RETRIEVE)
    decoder.feed(body)
    return decoder.close()


def read_accelerated(body: bytes) -> Any:
    """Decode with the compiled decoder."""
    from vimlib.soap._accelerated import AcceleratedDecoder

    decoder = AcceleratedDecoder(RETRIEVE)
    decoder.feed(body)
    return decoder.close()


def read_pyvmomi(body: bytes) -> Any:
    """Decode as pyVmomi does."""
    adapter, support, stub = pyvmomi()
    result = support.GetWsdlMethod(NAMESPACE, RETRIEVE.name).info.result
    return adapter.SoapResponseDeserializer(stub).Deserialize(body, result)


def read_zeep(body: bytes) -> Any:
    """Decode as zeep does."""
    client = zeep_client()
    binding = client.service._binding  # noqa: SLF001 - it has no public accessor
    response = SimpleNamespace(
        status_code=200, content=body, headers={"Content-Type": "text/xml"}, encoding="utf-8"
    )
    return binding.process_reply(client, binding.get(RETRIEVE.name), response)


def readers() -> dict[str, Callable[[bytes], Any]]:
    """Return the rows that decode; the accelerated one if it is built."""
    rows: dict[str, Callable[[bytes], Any]] = {
        "decode, expat without handlers": read_expat,
        "decode, pure": read_pure,
        "decode, accelerated": read_accelerated,
        "decode, pyVmomi": read_pyvmomi,
        "decode, zeep": read_zeep,
    }
    if backend != "accelerated":
        del rows["decode, accelerated"]
    return rows


# Writers


def writers() -> dict[str, Callable[[], Any]]:
    """Return the rows that encode CreateVM_Task with three devices, from existing objects."""
    method, this, args = create_vm()
    _, support, stub = pyvmomi()
    info = support.GetWsdlMethod(NAMESPACE, method.name).info
    reader = pyvmomi()[0].SoapResponseDeserializer(stub)
    # The same spec as pyVmomi's objects, decoded from our encoding.
    spec = _reread(reader, args["config"])
    find = support.GetWsdlType
    folder = find(NAMESPACE, "Folder")(this.moref[1], stub)
    pool = find(NAMESPACE, "ResourcePool")(args["pool"].moref[1], stub)
    return {
        "encode": lambda: encode_request(method, this, args),
        "encode, for API 8.0": lambda: encode_request(method, this, args, version="8.0"),
        "encode, pyVmomi": lambda: stub.SerializeRequest(folder, info, [spec, pool, None]),
    }


def _reread(reader: Any, spec: Any) -> Any:
    from vimlib import vim25
    from vimlib.soap import encode_response

    prop = vim25.DynamicProperty(name="spec", val=spec)
    content = vim25.ObjectContent(obj=vim25.Folder("f"), propSet=[prop])
    body = encode_response(RETRIEVE, vim25.RetrieveResult(objects=[content]))
    result = pyvmomi()[1].GetWsdlMethod(NAMESPACE, RETRIEVE.name).info.result
    return reader.Deserialize(body, result).objects[0].propSet[0].val


# Measuring


def timed(function: Callable[[], Any], repeat: int = 1) -> float:
    """Return CPU seconds of one call; the result is freed outside."""
    began = time.process_time()
    result = None
    for _ in range(repeat):
        result = function()
    seconds = (time.process_time() - began) / repeat
    del result
    gc.collect()
    return seconds


def rounds(rows: dict[str, Callable[[], Any]], count: int, repeat: int = 1) -> dict[str, float]:
    """Return the median of each row over that many rounds, after one warm-up round."""
    samples: dict[str, list[float]] = {name: [] for name in rows}
    for number in range(count + 1):
        for name, function in rows.items():
            seconds = timed(function, repeat)
            if number:
                samples[name].append(seconds)
    return {name: statistics.median(values) for name, values in samples.items()}


def on(body: bytes, rows: dict[str, Callable[[bytes], Any]]) -> dict[str, Callable[[], Any]]:
    """Give each reader the body."""
    return {name: (lambda read=read: read(body)) for name, read in rows.items()}  # type: ignore[misc]


def child(*arguments: str) -> Any:
    """Run this module in a process of its own and return the JSON that it prints."""
    command = [sys.executable, "-m", "bench.codec", *arguments]
    return json.loads(
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    )


def memory_worker(kind: str, machines: int) -> dict[str, float]:
    """Feed a large reply in pieces; return the traced peak above the result, in MiB."""
    body = reply(machines)
    decoder: Any
    if kind == "pure":
        decoder = PureDecoder(RETRIEVE)
    else:
        from vimlib.soap._accelerated import AcceleratedDecoder

        decoder = AcceleratedDecoder(RETRIEVE)
    gc.collect()
    tracemalloc.start()
    for at in range(0, len(body), CHUNK):
        decoder.feed(body[at : at + CHUNK])
    result = decoder.close()
    del decoder
    gc.collect()
    kept, peak = tracemalloc.get_traced_memory()
    assert len(result.objects) == machines
    return {
        "body_mib": len(body) / 2**20,
        "result_mib": kept / 2**20,
        "above_mib": (peak - kept) / 2**20,
    }


# Showing


def rows(report: dict[str, Any]) -> list[Row]:
    """Return the table's rows: each target, then memory, then rows without a target."""
    seconds, size = report["seconds"], report["bytes"] / 1e6
    table = []
    for target in TARGETS:
        if target.row in seconds and target.against in seconds:
            decoding = target.row.startswith("decode")
            name = f"{target.row}, {size:.0f} MB" if decoding else "encode CreateVM_Task, 3 devices"
            unit, scale = ("ms/MB", 1e3 / size) if decoding else ("µs", 1e6)
            ours, peer = seconds[target.row] * scale, seconds[target.against] * scale
            who = target.against.partition(", ")[2]
            table.append(beside(name, ours, unit, who, peer, target.factor))
    for kind, cost in report["memory"].items():
        name = f"decode, {kind}, {cost['body_mib'] * 1.048576:.0f} MB: memory above the result"
        table.append(at_most(name, cost["above_mib"], "MiB", MEMORY_MIB))
    return table


def curve(most: int) -> list[dict[str, float]]:
    """Return how long each reader takes for replies of growing size."""
    sizes = [4**power for power in range(7) if 4**power <= most]
    points = []
    for size in sizes:
        body = reply(size)
        points.append(
            {
                "machines": size,
                "bytes": len(body),
                **rounds(on(body, readers()), 1, max(1, 100 // size)),
            }
        )
    return points


def main() -> None:
    """Run the bench."""
    parser = arguments(__doc__)
    parser.add_argument("--machines", type=int, default=2000)
    parser.add_argument(
        "--large", type=int, default=9000, help="machines of the reply that memory is measured with"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--curve", action="store_true", help="also replies of other sizes, for a plot"
    )
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the curve, as SVG")
    parser.add_argument("--memory", help="(itself)")
    given = parser.parse_args()
    if given.memory:
        print(json.dumps(memory_worker(given.memory, given.large)))
        return
    if given.quick:
        given.machines, given.large, given.rounds = 100, 500, 1
    body = reply(given.machines)
    seconds = rounds(on(body, readers()), given.rounds)
    seconds |= rounds(writers(), given.rounds, 300)
    kinds = ["pure"] + ["accelerated"] * (backend == "accelerated")
    report: dict[str, Any] = {
        "machines": given.machines,
        "bytes": len(body),
        "backend": backend,
        "seconds": seconds,
        "memory": {kind: child("--memory", kind, "--large", str(given.large)) for kind in kinds},
    }
    if given.curve or given.plot:
        report["curve"] = curve(given.large)
    if given.plot:
        given.plot.write_text(curve_svg(report["curve"]), encoding="utf-8")
    emit("codec", rows(report), report, as_json=given.json)


if __name__ == "__main__":
    main()
