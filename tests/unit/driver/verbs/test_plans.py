"""Every verb that writes has a plan, which changes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.unit.driver.hosted import Beside
from tests.unit.driver.scenarios import SCENARIOS, staged, writing
from vimdriver._driver import ESXDriver
from vimdriver._verbs.verb import Bound


class Planning:
    """The driver, of which verbs that write only plan."""

    def __init__(self, driver: ESXDriver) -> None:
        self._driver = driver
        self.plans: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._driver, name)
        if not isinstance(found, Bound):
            return found

        async def plan(*args: Any, **given: Any) -> None:
            self.plans.append(await found.plan(*args, **given))

        return plan


@pytest.mark.parametrize("verb", sorted(writing()))
async def test_a_plan_is_printed_and_nothing_is_changed(
    verb: str, beside: Beside, tmp_path: Path
) -> None:
    with staged(SCENARIOS[verb], beside, tmp_path / "store") as stage:
        async with stage.driver() as driver:
            await stage.prepare(driver)
            state, seen = stage.host.state(), len(stage.host.methods())
            planning: Any = Planning(driver)
            await stage.scenario.act(planning)
            (plan,) = planning.plans
            assert str(plan).startswith(f"{plan.title}:\n1. ")
            assert stage.host.state() == state
            made = stage.host.methods()[seen:]
    writes = {name for name in made if name.endswith(("_Task", "PortGroup"))}
    assert writes <= {"SearchDatastore_Task"}
