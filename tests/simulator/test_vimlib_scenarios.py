"""Our own client on the simulated host and on vcsim: what it finds is in `outcomes.py`."""

from __future__ import annotations

import pytest

from tests.simulator.by_vimlib.stage import SCENARIOS
from tests.simulator.outcomes import OUTCOMES
from tests.simulator.playing import MANY, Results, asked_for, by_our_client, plain, play_all
from tests.simulator.servers import KINDS, Kind

pytestmark = [pytest.mark.slow, pytest.mark.integration, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def played(request: pytest.FixtureRequest) -> Results:
    return play_all(by_our_client, asked_for(request), MANY)


@pytest.mark.parametrize("name", SCENARIOS)
@pytest.mark.parametrize("kind", KINDS)
def test_scenario(played: Results, kind: Kind, name: str) -> None:
    assert plain(played[kind, name]) == OUTCOMES[name].on(kind, "vimlib")


def test_there_are_enough() -> None:
    assert len(SCENARIOS) >= 60
