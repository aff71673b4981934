"""Every row of the catalogue of faults has a test that is named after it, or a reason why not.

A row's number is read from names like `test_row_25_...`, `test_row_30_31_...` (both).
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[2]
PAGE = TESTS.parent / "docs" / "appendix" / "reliability.md"
ROWS = (*range(1, 57), 59, 60, 61, 65, 67, 68, 69, 76, 77, *range(81, 87))
_NAME = re.compile(r"test_row_((?:\d\d_)+)")
_ENTRY = re.compile(r"^\| (\d+) \|.*\|([^|]*)\|$", re.MULTILINE)


def named_rows() -> dict[int, set[str]]:
    """Map rows to the files (from `tests/`) whose test functions are named after them."""
    found: dict[int, set[str]] = {}
    for path in sorted(TESTS.rglob("test_*.py")):
        text = path.read_text()
        if "test_row_" not in text:
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (
                match := _NAME.match(node.name + "_")
            ):
                for number in match[1].split("_")[:-1]:
                    found.setdefault(int(number), set()).add(str(path.relative_to(TESTS)))
    return found


NAMED = named_rows()


@pytest.mark.parametrize("row", ROWS)
def test_the_row_has_a_test_of_its_name(row: int) -> None:
    assert NAMED.get(row), f"no test is named test_row_{row:02}_..."


def test_the_page_tells_where_each_row_is_tested() -> None:
    page = {
        int(row): set(re.findall(r"`([^`]+)`", where))
        for row, where in _ENTRY.findall(PAGE.read_text())
    }
    assert set(page) == set(ROWS)
    assert {row: page[row] for row in ROWS} == {row: NAMED[row] for row in ROWS}
