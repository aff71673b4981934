"""The table of features has no empty cell, and each test that it names exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
UNIT = ROOT / "tests" / "unit"
PAGE = ROOT / "docs" / "parity.md"


def rows() -> list[list[str]]:
    found = []
    for line in PAGE.read_text("utf-8").splitlines():
        if line.startswith("| ") and not line.startswith("| feature"):
            found.append([cell.strip() for cell in line.strip("|").split("|")])
    return found


ROWS = rows()


def defined_in(path: Path) -> set[str]:
    return {
        node.name
        for node in ast.walk(ast.parse(path.read_bytes()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
    }


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_each_row_is_whole_and_its_test_exists(row: list[str]) -> None:
    assert len(row) == 6
    assert all(row), "an empty cell"
    if row[5].startswith("none: "):
        assert row[4].startswith("no: "), "what we do has a test"
        return
    named = re.fullmatch(r"`([\w/]+\.py)(?:::(\w+))?`", row[5])
    assert named is not None, row[5]
    found = defined_in((ROOT if named[1].startswith("tests/") else UNIT) / named[1])
    assert found
    if named[2] is not None:
        assert named[2] in found


def test_a_feature_stands_there_once() -> None:
    names = [row[0] for row in ROWS]
    assert len(names) == len(set(names)) > 90
