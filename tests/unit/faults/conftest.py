"""A host in a thread, and the counts that these tests found, at the end of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.unit.driver.hosted import Beside, Hosted, hosted

_COUNTS: list[str] = []


@pytest.fixture
def esx(beside: Beside, tmp_path: Path) -> Iterator[Hosted]:
    with hosted(beside, tmp_path / "datastore1") as found:
        yield found


@pytest.fixture
def told(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Give a function that keeps a line for the end of the run, and for reports."""

    def tell(line: str) -> None:
        _COUNTS.append(line)
        record_property("suspensions", line)

    return tell


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _COUNTS:
        terminalreporter.section("broken at every await")
        for line in _COUNTS:
            terminalreporter.line(line)
