"""Each verb makes the number of host calls that the documentation has, and no more.

`pytest tests/unit/driver/test_call_numbers.py --write-calls` writes the table.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.rig import memory
from tests.unit.driver.scenarios import (
    SCENARIOS,
    VARIANTS,
    VM,
    Scenario,
    cached,
    staged_in_memory,
    verbs,
    wanted,
)
from vimdriver._driver import ESXDriver
from vimlib.errors import NotFoundError

PAGE = Path(__file__).parents[3] / "docs" / "driver" / "calls.md"
HEAD = "| verb | calls | of which |\n|---|---|---|\n"
# Longer than a task of the simulator takes: the first read of a task finds it ended.
LATENCY = 0.01
# They follow the host until they are left, so they have no number.
ENDLESS = {"wait_for_network", "events"}
# The host takes the session along.
DOWN = {"reboot_host", "shutdown_host"}
CROWD = 200
CASES = {name: case for name, case in (SCENARIOS | VARIANTS).items() if name not in DOWN}


class ByUuid:
    """The driver, which gets the machine's uuid in place of its name."""

    def __init__(self, driver: ESXDriver, uuid: str) -> None:
        self._driver = driver
        self._uuid = uuid

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._driver, name)
        return lambda *args, **given: found(
            *(self._uuid if one is VM else one for one in args), **given
        )


async def measure(scenario: Scenario, folder: Path) -> Counter[str]:
    async with (
        staged_in_memory(scenario, folder, latency=LATENCY) as stage,
        stage.driver() as driver,
    ):
        named: Any = ByUuid(driver, (await driver.info(VM)).uuid)
        await stage.prepare(driver)
        with suppress(NotFoundError):
            await named.info(VM)
        await driver.host().about_now()
        seen = len(stage.host.methods())
        await scenario.act(named)
        return Counter(stage.host.methods()[seen:])


def rows() -> dict[str, int]:
    return {
        name.replace("`", ""): int(count)
        for name, count in re.findall(
            r"^\| (`\w+`[^|]*) \| (\d+) \|", PAGE.read_text("utf-8"), re.M
        )
    }


def row(verb: str, made: Counter[str]) -> str:
    parts = ", ".join(f"{n} {method}" if n > 1 else method for method, n in sorted(made.items()))
    name, comma, rest = verb.partition(",")
    return f"| `{name}`{comma}{rest} | {made.total()} | {parts} |\n"


@pytest.mark.parametrize("verb", CASES)
def test_a_verb_makes_the_documented_number_of_calls(
    verb: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    made = memory.run(measure(CASES[verb], tmp_path))
    if request.config.getoption("--write-calls"):
        write(row(verb, made))
    assert made.total() == rows()[verb], made


async def crowd(folder: Path) -> int:
    case = Scenario(act=cached, owned=False)
    async with staged_in_memory(case, folder, latency=LATENCY) as stage, stage.driver() as driver:
        await case.act(driver)
        seen = len(stage.host.methods())
        await asyncio.gather(*(driver.spawn(wanted(f"vm{n}")) for n in range(CROWD)))
        return len(stage.host.methods()) - seen


@pytest.mark.slow
def test_many_spawns_at_once_make_no_more_calls_each_than_documented(tmp_path: Path) -> None:
    made = memory.run(crowd(tmp_path))
    print(f"{CROWD} spawns at once: {made / CROWD:.1f} calls each")
    (most,) = re.findall(r"(\d+) each when 200", PAGE.read_text("utf-8"))
    assert made <= CROWD * int(most)


def write(line: str) -> None:
    head, _, rest = PAGE.read_text("utf-8").partition(HEAD)
    lines = rest.splitlines(keepends=True)
    table = [text for text in lines if text.startswith("| `")]
    found = {text.split("|")[1]: text for text in (*table, line)}
    body = "".join(found[name] for name in sorted(found))
    tail = "".join(text for text in lines if text not in table)
    PAGE.write_text(head + HEAD + body + tail, "utf-8")


def test_every_verb_has_a_number() -> None:
    others = {
        name
        for name, value in vars(ESXDriver).items()
        if callable(value) and not name.startswith("_") and name not in ("aclose", "host")
    }
    assert SCENARIOS.keys() | ENDLESS == verbs() | others
    assert rows().keys() == CASES.keys()
