"""Kinds of attack, cases, findings, and the runner."""

from __future__ import annotations

import gc
import logging
import random
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pytest

from tests.rig.memory import Stuck

T = TypeVar("T")


@dataclass(frozen=True)
class Finding:
    """A verdict that failed."""

    kind: str
    seed: int
    case: int
    what: str
    """One line, without names that vary: equal ones are one hole."""
    detail: str = ""

    def __str__(self) -> str:
        where = f"{self.kind} --seed {self.seed} --case {self.case}"
        return f"{where}: {self.what}" + (f"\n    {self.detail}" if self.detail else "")


class Case:
    """One generated case: its random numbers, its description, and its findings."""

    def __init__(self, kind: str, seed: int, number: int) -> None:
        self.kind, self.seed, self.number = kind, seed, number
        self.rng = random.Random(f"{kind}:{seed}:{number}")
        self.findings: list[Finding] = []
        self.counts: Counter[str] = Counter()
        self.story: list[str] = []
        """What the case does, for people."""

    def tell(self, text: str) -> None:
        """Add a step to the description."""
        self.story.append(text)

    def find(self, what: str, detail: str = "") -> None:
        """Record a verdict that failed."""
        told = "; ".join(self.story)
        self.findings.append(
            Finding(
                self.kind, self.seed, self.number, what, f"{told}{' | ' * bool(detail)}{detail}"
            )
        )

    def check(self, holds: bool, what: str, detail: str = "") -> None:
        """Record a finding unless `holds`."""
        if not holds:
            self.find(what, detail)

    def chance(self, share: float) -> bool:
        """Return True for this share of the cases."""
        return self.rng.random() < share

    def choose(self, options: dict[str, T]) -> tuple[str, T]:
        """Return one of the options and its name; it is counted."""
        name = self.rng.choice(sorted(options))
        return name, options[name]


@dataclass
class Result:
    """What a run of a kind found."""

    kind: str
    seed: int
    cases: int = 0
    seconds: float = 0.0
    cpu: float = 0.0
    findings: list[Finding] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def holes(self) -> dict[str, list[Finding]]:
        """Return the findings by what they say."""
        found: dict[str, list[Finding]] = {}
        for each in self.findings:
            found.setdefault(each.what, []).append(each)
        return found

    def to_json(self) -> dict[str, Any]:
        """Return the numbers of the run."""
        return {
            "kind": self.kind,
            "seed": self.seed,
            "cases": self.cases,
            "findings": len(self.findings),
            "holes": {what: [f.case for f in all_] for what, all_ in self.holes().items()},
            "counts": dict(sorted(self.counts.items())),
            "seconds": round(self.seconds, 1),
            "cpu_seconds": round(self.cpu, 1),
        }


Attack = Callable[[Case], None]
"""Runs a case; it records findings, and raises only where the harness itself is wrong."""


def one(kind: str, attack: Attack, seed: int, number: int) -> Case:
    """Run one case, with a state folder of its own: it keeps refused logins."""
    case = Case(kind, seed, number)
    with tempfile.TemporaryDirectory() as state, pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", state)
        try:
            attack(case)
        except Stuck as stuck:
            case.find("stuck", str(stuck))
    return case


@contextmanager
def _quiet_logs() -> Iterator[None]:
    """Keep logs below CRITICAL off for the block, and set the levels back after it."""
    loggers = [logging.getLogger(name) for name in ("vimlib", "vimdriver", "asyncio", "aiohttp")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


def many(
    kind: str,
    attack: Attack,
    seed: int,
    numbers: Iterable[int],
    report: Callable[[Finding], None] = lambda _: None,
) -> Result:
    """Run cases, and pass each finding to `report` as it comes."""
    result = Result(kind, seed)
    began, cpu = time.monotonic(), time.process_time()
    with _quiet_logs(), warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        for number in numbers:
            case = one(kind, attack, seed, number)
            result.cases += 1
            result.counts.update(case.counts)
            result.findings += case.findings
            for each in case.findings:
                report(each)
            if number % 200 == 0:
                gc.collect()
    result.seconds, result.cpu = time.monotonic() - began, time.process_time() - cpu
    return result
