"""Failures given in plain values, and the page that describes them: `docs/other-clients.md`."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, get_args

import pytest

from vimlib import vim25
from vimlib.simulator import ESXHost
from vimlib.simulator._control import Control
from vimlib.simulator._core.injection import What

PAGE = Path(__file__).parents[3].joinpath("docs", "other-clients.md").read_text(encoding="utf-8")


def words(heading: str) -> set[str]:
    """Return the names in the first column of the table under a heading."""
    _, _, table = PAGE.partition(f"| {heading} |")
    rows = table.partition("\n\n")[0].splitlines()[2:]
    return {name for row in rows for name in re.findall("`([^`]*)`", row.split("|")[1])}


def test_the_page_lists_each_kind_of_failure_and_each_verb() -> None:
    assert words("`what`") == {*get_args(What), "task"}
    verbs = {name.removeprefix("_do_") for name in vars(Control) if name.startswith("_do_")}
    assert words("`POST /_ctl/...`") == verbs


def test_the_failures_of_the_page_are_taken() -> None:
    esx = ESXHost()
    [text] = re.findall("```json\n(.*?)```", PAGE, re.DOTALL)
    for order in json.loads(text):
        esx.order(**order)
    with pytest.raises(vim25.FileNotFound) as caught:
        esx.faults.check_task("PowerOnVM_Task")
    assert caught.value.file == "[datastore1] a.vmdk"
    reset, unavailable = esx.faults.rules
    assert (reset.method, reset.what, reset.after) == ("PUT", "reset", 100_000)
    assert (unavailable.status, unavailable.nth, unavailable.times) == (503, 20, 1)


def test_a_reference_is_written_as_type_and_id() -> None:
    esx = ESXHost()
    esx.order("X", "fault", fault="TaskInProgress", fields={"task": "Task:haTask-1"})
    assert esx.faults.rules[0].fault == vim25.TaskInProgress(task=vim25.Task("haTask-1"))


@pytest.mark.parametrize(
    ("order", "rule"),
    [
        ({"what": "explode"}, "what must be one of fault, delay"),
        ({"what": "fault"}, "'fault' requires a fault"),
        ({"what": "task"}, "'task' requires a fault"),
        ({"what": "fault", "fault": "Nonesuch"}, "unknown fault: 'Nonesuch'"),
        ({"what": "fault", "fault": "TaskInProgress"}, "TaskInProgress needs task"),
        (
            {"what": "fault", "fault": "TaskInProgress", "fields": {"task": "Nonesuch:1"}},
            "unknown managed type: 'Nonesuch'",
        ),
        ({"what": "delay", "nonesuch": 1}, "nonesuch"),
    ],
)
def test_an_invalid_order_is_refused(order: dict[str, Any], rule: str) -> None:
    esx = ESXHost()
    with pytest.raises((ValueError, TypeError), match=rule):
        esx.order("X", **order)
    assert esx.faults.rules == []


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({"certificate": "c.pem"}, "must be given together"),
        ({"key": "k.pem"}, "must be given together"),
        ({"control_token": ""}, "control_token must not be empty"),
    ],
)
def test_options_that_do_not_fit(options: dict[str, Any], rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        ESXHost(**options)
