"""Run attacks: `python -m tests.attacks [KIND...] [--cases N] [--seed S] [--case K] [--json]`.

Prints each finding with the numbers that repeat it, then the counts; exits with 1 if there was one.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys

from tests.attacks.core import Attack, many, one

KINDS = ("lies", "endless", "foreign", "secrets")
CASES = 10_000


def load(kind: str) -> Attack:
    """Return the attack of a kind."""
    attack: Attack = importlib.import_module(f"tests.attacks.{kind}").attack
    return attack


def main() -> int:
    """Run the program."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("kinds", nargs="*", metavar="KIND", default=KINDS)
    parser.add_argument("--cases", type=int, default=CASES, help="cases of each kind")
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--case", type=int, help="run this case alone, and describe it")
    parser.add_argument("--json", action="store_true", help="print the numbers as JSON")
    given = parser.parse_args()
    found = 0
    for kind in given.kinds:
        if given.case is not None:
            case = one(kind, load(kind), given.seed, given.case)
            print("\n".join([*case.story, *map(str, case.findings)]))
            found += len(case.findings)
            continue
        numbers = range(given.first, given.first + given.cases)
        result = many(
            kind, load(kind), given.seed, numbers, lambda each: print(each, file=sys.stderr)
        )
        found += len(result.findings)
        print(json.dumps(result.to_json(), indent=None if given.json else 2))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
