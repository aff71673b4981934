"""Run attacks: `python -m tests.attacks [KIND...] [--cases N] [--first K] [--seconds S] [--seed N] [--case K]`.

Prints each finding with the numbers that repeat it, then the counts; exits with 1 if there was one. A case of
`lifecycle` is 25 schedules, of which `--cases` is the number.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import sys

from tests.attacks.core import Attack, Finding, many, one
from tests.rig.slices import add_arguments, numbers

KINDS = ("lies", "endless", "foreign", "secrets", "lifecycle")
CASES = 10_000


def load(kind: str) -> tuple[Attack, int]:
    """Return the attack of a kind, and how many of what is counted a case is."""
    module = importlib.import_module(f"tests.attacks.{kind}")
    return module.attack, getattr(module, "SIZE", 1)


def show(finding: Finding) -> None:
    """Print a finding."""
    print(finding, file=sys.stderr, flush=True)


def main() -> int:
    """Run the program."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("kinds", nargs="*", metavar="KIND", default=KINDS)
    add_arguments(parser, "--cases", CASES)
    parser.add_argument("--case", type=int, help="run this case alone, and describe it")
    parser.add_argument("--json", action="store_true", help="print the numbers as JSON")
    given = parser.parse_args()
    found = 0
    for kind in given.kinds:
        attack, size = load(kind)
        if given.case is not None:
            case = one(kind, attack, given.seed, given.case)
            print("\n".join([*case.story, *map(str, case.findings)]))
            found += len(case.findings)
            continue
        if size == 1:  # else the first case takes long, and is counted
            many(kind, attack, given.seed, range(1))
        gc.freeze()  # all modules are loaded: a collection then takes a tenth of the time
        wanted = argparse.Namespace(**vars(given) | {"cases": -(-given.cases // size)})
        result = many(kind, attack, given.seed, numbers(wanted), show)
        found += len(result.findings)
        print(json.dumps(result.to_json(), indent=None if given.json else 2))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
