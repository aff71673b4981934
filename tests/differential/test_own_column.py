"""Our own column of the table, in short: the rows in which others fail. `nox -s differential` runs
all."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.differential.cell import run_cell, write_wsdl
from tests.differential.scenarios import SCENARIOS, ordered
from vimlib import errors, vim25

ROWS = [
    "0a",
    "0b",
    "0c",
    "0d",
    "0h",
    "0i",
    "4a",
    "4b",
    "5b",
    "7a",
    "9",
    "12",
    "15",
    "17a",
    "18a",
    "19b",
    "20c",
    "22b",
    "25",
    "30",
    "45a",
    "46a",
    "46c",
    "52",
    "79",
]
BY_ROW = {scenario.row: scenario for scenario in SCENARIOS}


@pytest.mark.slow
@pytest.mark.parametrize("row", ROWS)
async def test_vimlib_is_ok(row: str, tmp_path: Path) -> None:
    cell = await run_cell("ours", BY_ROW[row], "simulator", tmp_path)
    assert (cell.verdict.word, cell.leaks) == ("ok", ()), f"{cell.verdict}\n{cell.log}"
    assert cell.outcome is not None
    # Other clients may raise any error; ours must be in our tree.
    raised = cell.outcome.get("raised", "VimlibError")
    assert raised in errors.__all__ or hasattr(vim25, raised), cell.log


def test_row_numbers_are_unique() -> None:
    assert len(BY_ROW) == len(SCENARIOS) == len(ordered())


def test_the_wsdl_is_complete_for_clients_that_need_one(tmp_path: Path) -> None:
    write_wsdl(tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {
        "vimService.wsdl",
        "vim.wsdl",
        "vim-types.xsd",
    }
