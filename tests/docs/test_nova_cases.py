"""The page of Nova's results has the reason for each case that the driver does not exercise."""

from __future__ import annotations

from pathlib import Path

from tests.nova.reasons import REASONS

PAGE = Path(__file__).parents[2] / "docs" / "appendix" / "nova.md"


def test_the_page_names_each_case_that_is_not_exercised() -> None:
    rows = {line for line in PAGE.read_text().splitlines() if line.startswith("| `test_")}
    assert rows == {f"| `{name}` | {why} |" for name, why in REASONS.items()}
