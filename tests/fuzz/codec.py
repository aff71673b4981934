"""Compare the compiled decoder with the pure one on mutated replies.

    python -m tests.fuzz.codec [--mutations 1000000] [--first 0] [--seconds S] [--seed 0] [--sanitize]
                               [--alone] [--json]

Both read the same bytes in the same pieces. They must agree: equal objects of the same types, or an
error of the same class at the same path, line and column. What they read is encoded: both results as
the same bytes, of which the compiled decoder makes the same result again. For half of the cases the compiled decoder
has first read another reply with the same beginning, which it caches. `--sanitize` compiles the decoder with the
address and the undefined-behaviour sanitizer and runs under them; a sanitizer report ends the
process. A disagreement is printed with its seed, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import os
import random
import re
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from tests.fuzz.mutate import Mutator, tokens
from tests.rig.slices import add_arguments, numbers
from tests.unit.soap.building import BINDING, Builder, classes
from vimlib import vim25
from vimlib.errors import EncodeError, VimlibError
from vimlib.model import ManagedObject, MethodFault
from vimlib.soap import Typed, encode_fault, encode_response
from vimlib.soap._decode import PureDecoder
from vimlib.soap._tables import tables_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "vimlib" / "soap" / "_accel.pyx"
RECORDED = ROOT / "tests" / "unit" / "soap" / "recorded"
PLACE = re.compile(r"line \d+, column \d+")  # in the message of an error about malformed XML
LONGEST = 6000  # bytes of a seed reply; a short one has every construct and takes less time

Sample = tuple[Any, bytes]


def seeds(rng: random.Random) -> list[Sample]:
    """Return methods with their replies: recorded ones, generated ones of all types, faults."""
    found: list[Sample] = []
    for file in sorted(RECORDED.glob("*.xml")):
        body = file.read_bytes()
        if len(body) <= LONGEST:
            found.append((BINDING.method(file.name.partition(".")[0]), body))
    options: Any = vim25.OptionManager.QueryOptions
    builder = Builder(rng, optional=0.2)
    for _ in range(150):
        value = builder.value(rng.choice(classes()), depth=1)
        body = encode_response(options, [vim25.OptionValue(key="k", value=value)])
        if len(body) <= LONGEST:
            found.append((options, body))
    for name in sorted(BINDING.method_names())[::20]:
        method: Any = BINDING.method(name)
        if method.returns is not None:
            found.append((method, encode_response(method, builder.field(method.returns, 2))))
    found.append((options, encode_fault(vim25.InvalidPowerState(existingState="poweredOn"))))
    return found


def outcome(decoder: Any, body: bytes, cuts: list[int]) -> tuple[str, Any]:
    """Return a decoder's outcome for the pieces: a result, or an error."""
    try:
        for start, end in zip([0, *cuts], [*cuts, len(body)], strict=True):
            decoder.feed(body[start:end])
        return "result", decoder.close()
    except MethodFault as fault:
        return "fault", fault
    except VimlibError as error:
        return "error", error


def parts(value: Any) -> dict[str, Any] | None:
    """Return the parts of a value; None for a leaf."""
    if isinstance(value, list | tuple):
        return {f"[{at}]": item for at, item in enumerate(value)}
    if isinstance(value, ManagedObject):
        return {"moref": str(value.moref), "guid": str(value._guid)}
    if isinstance(value, MethodFault):
        return vars(value)
    if isinstance(value, Struct):
        return {f".{name}": getattr(value, name) for name in value.__struct_fields__}
    return value if isinstance(value, dict) else None


def difference(one: Any, other: Any, path: str = "") -> str:
    """Return where two results differ, including their types; "" if they are equal."""
    inside, inside_other = parts(one), parts(other)
    if type(one) is not type(other):
        return f"{path}: {one!r} and {other!r}"
    if isinstance(one, Typed) and one.type != other.type:
        return f"{path}: {one.type} and {other.type}"
    if inside is None or inside_other is None:
        same = one == other or (isinstance(one, float) and math.isnan(one) and math.isnan(other))
        return "" if same else f"{path}: {one!r} and {other!r}"
    if inside.keys() != inside_other.keys():
        return f"{path}: {inside.keys() ^ inside_other.keys()}"
    found = (difference(inside[name], inside_other[name], path + name) for name in inside)
    return next(filter(None, found), "")


def disagreement(pure: tuple[str, Any], fast: tuple[str, Any]) -> str:
    """Return how two outcomes differ, "" if they agree."""
    if pure[0] != fast[0]:
        return f"{pure[0]} and {fast[0]}: {pure[1]!r} and {fast[1]!r}"
    if pure[0] != "error":
        return difference(pure[1], fast[1])
    one, other = pure[1], fast[1]
    if type(one) is not type(other):
        return f"{one!r} and {other!r}"
    if one.path != other.path:
        return f"paths {one.path!r} and {other.path!r} of {one!r} and {other!r}"
    if PLACE.findall(str(one)) != PLACE.findall(str(other)):
        return f"places in {one!r} and {other!r}"
    return ""


def sent(method: Any, value: Any) -> tuple[str, Any]:
    """Return a result as it is sent back, or the error."""
    try:
        return "result", encode_response(method, value)
    except EncodeError as error:
        return "error", error


def sent_differently(method: Any, pure: Any, fast: Any, accelerated: type[PureDecoder[Any]]) -> str:
    """Return how the results of the two decoders differ once they are sent back; "" if they do not."""
    found = sent(method, fast)
    differs = "" if pure is fast else disagreement(sent(method, pure), found)
    if differs or found[0] == "error":
        return differs and f"encoded: {differs}"
    again = outcome(accelerated(method), found[1], [])
    differs = disagreement(("result", fast), again)
    return differs and f"sent back: {differs}"


class Case(Struct, frozen=True):
    """One mutated reply and the pieces in which it is fed."""

    method: Any
    body: bytes
    cuts: list[int]
    before: bytes = b""
    """A reply that the compiled decoder reads first, so that it caches the beginning."""


BEHIND = (b"\n", b" \r\n", b"<!-- -->", b"<?pi?>", b"x", b"<a/>", b"</a>", b"<")


def beginning(body: bytes) -> int:
    """Return where the content of a reply starts: after the start tag of the Body's child."""
    at = 0
    for part in tokens(body):
        at += len(part)
        if re.match(rb"<[\w.-]*:?\w*(Response|Fault)\b", part):
            break
    return at


def known_case(method: Any, body: bytes, rng: random.Random) -> Case:
    """Return a case with a cached beginning: unchanged, and mutated after it."""
    mutator = Mutator(rng)
    before = mutator.mutate(body) if rng.random() < 0.4 else body
    at, end = beginning(before), len(before)
    if rng.random() < 0.7:  # the end behind the content stays unchanged too
        for _ in range(3):
            end = max(at, before.rfind(b"</", 0, end))
    body = before[:at] + mutator.mutate(before[at:end]) + before[end:]
    if body and rng.random() < 0.1:
        whole = body + rng.choice(BEHIND)
        return Case(method, whole, [rng.randrange(len(body), len(whole))], before)
    return Case(method, body, [], before)


def make_case(samples: list[Sample], seed: str) -> Case:
    """Return the case of a seed."""
    rng = random.Random(seed)
    method, body = rng.choice(samples)
    if rng.random() < 0.5:
        return known_case(method, body, rng)
    body = Mutator(rng).mutate(body)
    if len(body) > 1 and rng.random() < 0.6:
        cuts = sorted(rng.randrange(1, len(body)) for _ in range(rng.choice((1, 2, 5, 20))))
    elif rng.random() < 0.05:
        cuts = list(range(1, len(body)))
    else:
        cuts = []
    return Case(method, body, cuts)


def read_fast(
    accelerated: type[PureDecoder[Any]], case: Case, **options: Any
) -> tuple[tuple[str, Any], bool]:
    """Return the compiled decoder's outcome of a case, and whether the cached beginning sufficed.

    It caches only the previous reply, so that a case does not depend on earlier ones.
    """
    tables_of(BINDING).beginnings.clear()
    if case.before:
        outcome(accelerated(case.method, **options), case.before, [])
    decoder = accelerated(case.method, **options)
    found = outcome(decoder, case.body, case.cuts)
    # After the slow path the decoder still has its parser.
    return found, found[0] == "result" and decoder._message is None


def run(
    accelerated: type[PureDecoder[Any]],
    mutations: Iterable[int],
    seed: int,
    report: Callable[[str], None],
    *,
    alone: bool = False,
) -> dict[str, Any]:
    """Compare the two decoders on mutations; `report` is called with each disagreement.

    `alone` skips the pure decoder: sanitizers need no comparison.
    """
    samples = seeds(random.Random(seed))
    outcomes: Counter[str] = Counter()
    done = disagreements = remembered = 0
    began = time.monotonic()
    for number in mutations:
        case = make_case(samples, f"{seed}:{number}")
        strict = number % 4 == 0
        fast, known = read_fast(accelerated, case, strict=strict)
        remembered += known
        pure = (
            fast
            if alone
            else outcome(PureDecoder(case.method, strict=strict), case.body, case.cuts)
        )
        outcomes[pure[0] if pure[0] != "error" else type(pure[1]).__name__] += 1
        found = disagreement(pure, fast)
        if not found and fast[0] == "result":
            found = sent_differently(case.method, pure[1], fast[1], accelerated)
        if found:
            disagreements += 1
            report(f"{seed}:{number}: {found}")
        done += 1
    return {
        "mutations": done,
        "seed": seed,
        "compared": not alone,
        "remembered": remembered,
        "disagreements": disagreements,
        "seconds": round(time.monotonic() - began, 1),
        "outcomes": dict(outcomes.most_common()),
    }


# Building and loading


def build(folder: Path, flags: list[str]) -> Path:
    """Compile the decoder into `folder` and return the library."""
    source, library = folder / "_accel.c", folder / "_accel.so"
    subprocess.run(
        [sys.executable, "-m", "cython", "-3", str(SOURCE), "-o", str(source)], check=True
    )
    include = sysconfig.get_paths()["include"]
    command = [
        os.environ.get("CC", "gcc"),
        "-shared",
        "-fPIC",
        "-g",
        f"-I{include}",
        *flags,
        str(source),
        "-o",
        str(library),
    ]
    subprocess.run(command, check=True)
    return library


def load(library: Path | None) -> type[PureDecoder[Any]]:
    """Return the compiled decoder, from `library` if given."""
    if library is not None:
        name = "vimlib.soap._accel"
        spec = importlib.util.spec_from_file_location(name, library)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    from vimlib.soap._accelerated import AcceleratedDecoder

    return AcceleratedDecoder


def sanitized(arguments: list[str]) -> int:
    """Run this program again in a process with a sanitized decoder."""
    with tempfile.TemporaryDirectory() as name:
        flags = [
            "-O1",
            "-fsanitize=address,undefined",
            "-fno-sanitize-recover=all",
            "-fno-omit-frame-pointer",
        ]
        library = build(Path(name), flags)
        runtime = [
            subprocess.run(
                ["gcc", f"-print-file-name={file}"], check=True, capture_output=True, text=True
            ).stdout.strip()
            for file in ("libasan.so", "libubsan.so")
        ]
        environment = os.environ | {
            "LD_PRELOAD": " ".join(runtime),
            # CPython's arenas would hide a read beyond an object from the sanitizer.
            "PYTHONMALLOC": "malloc",
            "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=1",
            "VIMLIB_SOAP_BACKEND": "pure",
        }
        command = [sys.executable, "-m", "tests.fuzz.codec", "--library", str(library), *arguments]
        return subprocess.run(command, cwd=ROOT, env=environment).returncode


def main() -> int:
    """Run the program."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    add_arguments(parser, "--mutations", 1_000_000)
    parser.add_argument("--sanitize", action="store_true")
    parser.add_argument(
        "--alone",
        action="store_true",
        help="without the pure decoder, which takes most of the time",
    )
    parser.add_argument("--library", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--show", help="print the reply of a disagreement: SEED:NUMBER")
    given = parser.parse_args()
    if given.sanitize:
        return sanitized([argument for argument in sys.argv[1:] if argument != "--sanitize"])
    if given.show:
        case = make_case(seeds(random.Random(int(given.show.partition(":")[0]))), given.show)
        print(case.method, case.cuts)
        if case.before:
            print(case.before.decode("utf-8", "backslashreplace"), "\n")
        print(case.body.decode("utf-8", "backslashreplace"))
        return 0
    if given.library is None:
        with tempfile.TemporaryDirectory() as name:
            accelerated = load(build(Path(name), ["-O2"]))
    else:
        accelerated = load(given.library)
    result = run(
        accelerated,
        numbers(given),
        given.seed,
        lambda line: print(line, file=sys.stderr, flush=True),
        alone=given.alone,
    )
    print(json.dumps({"fuzz": result}) if given.json else result)
    return 1 if result["disagreements"] else 0


if __name__ == "__main__":
    sys.exit(main())
