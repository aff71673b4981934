"""Slices of a long run: numbered cases from a first one on, until their count or a deadline, with progress.

A run that is cut short is continued by `--first` with the number that its last line of progress names.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator

PROGRESS = 20.0
"""Seconds between two lines of progress."""


def add_arguments(parser: argparse.ArgumentParser, count: str, default: int) -> None:
    """Add the options of a slice; `count` is the name of the one with the number of cases."""
    parser.add_argument(count, dest="cases", type=int, default=default, help="number of cases")
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no case later")
    parser.add_argument("--seed", type=int, default=0)


def numbers(
    given: argparse.Namespace, clock: Callable[[], float] = time.monotonic
) -> Iterator[int]:
    """Yield the numbers of the cases, and print the progress on stderr."""
    began = shown = clock()
    for done in range(given.cases):
        now, number = clock(), given.first + done
        over = now - began > given.seconds
        if over or now - shown > PROGRESS:
            shown = now
            print(f"{done} of {given.cases} done, next: {number}", file=sys.stderr, flush=True)
        if over:
            return
        yield number
