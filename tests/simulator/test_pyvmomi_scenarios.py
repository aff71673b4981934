"""pyVmomi on the simulated host and on vcsim: what it finds is in `outcomes.py`."""

from __future__ import annotations

import pytest

from tests.simulator.by_pyvmomi.stage import SCENARIOS
from tests.simulator.outcomes import OUTCOMES
from tests.simulator.playing import FEW, Results, asked_for, by_theirs, plain, play_all
from tests.simulator.servers import KINDS, Kind

pytestmark = [pytest.mark.slow, pytest.mark.integration, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def played(request: pytest.FixtureRequest) -> Results:
    return play_all(by_theirs, asked_for(request), FEW)


@pytest.mark.parametrize("name", SCENARIOS)
@pytest.mark.parametrize("kind", KINDS)
def test_scenario(played: Results, kind: Kind, name: str) -> None:
    assert plain(played[kind, name]) == OUTCOMES[name].on(kind, "pyvmomi")


def test_there_are_enough() -> None:
    assert len(SCENARIOS) >= 60
