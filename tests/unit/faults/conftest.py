"""The counts that these tests found, at the end of a run."""

from __future__ import annotations

from collections.abc import Callable

import pytest

_COUNTS: list[str] = []


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
