"""The log of the simulated host, read by lines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from vimlib import vim25


@pytest.mark.parametrize(
    ("asked", "first", "last", "lines"),
    [
        ({}, 1, 4, 4),
        ({"start": 2, "lines": 2}, 2, 3, 2),
        ({"start": -5}, 1, 4, 4),
        ({"lines": -1}, 4, 4, 0),
        ({"start": 100}, 4, 4, 0),
    ],
)
async def test_a_log_is_read_by_lines(
    make: Callable[..., Any], asked: dict[str, int], first: int, last: int, lines: int
) -> None:
    call = await make(vms=1)
    for method in (vim25.VirtualMachine.PowerOnVM_Task, vim25.VirtualMachine.PowerOffVM_Task):
        await call.done(method, call.esx.machine("vm-0").ref)
    browse, manager = vim25.DiagnosticManager.BrowseDiagnosticLog, call.content.diagnosticManager
    found = await call(browse, manager, key="hostd", **asked)
    assert (found.lineStart, found.lineEnd, len(found.lineText)) == (first, last, lines)
    with pytest.raises(vim25.InvalidArgument):
        await call(browse, manager, key="nonesuch")
