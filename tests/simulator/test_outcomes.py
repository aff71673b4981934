"""The table of outcomes: whole, argued for, and the same as the page that shows it."""

from __future__ import annotations

from tests.simulator import page
from tests.simulator.differences import DIFFERENT
from tests.simulator.limits import CANNOT, HERE_ONLY, asked_of
from tests.simulator.outcomes import OUTCOMES
from tests.simulator.stage import CLIENTS, SCENARIOS

REGENERATE = "python -m tests.simulator.page writes the page anew"


def test_each_scenario_has_an_outcome_and_each_outcome_a_scenario() -> None:
    assert set(SCENARIOS) == set(OUTCOMES)


def test_each_limit_is_of_a_scenario_of_that_client() -> None:
    for client in CLIENTS:
        for name in (*HERE_ONLY[client], *CANNOT[client]):
            assert client in SCENARIOS[name].clients, name


def test_each_difference_has_a_verdict_and_a_source() -> None:
    for name, outcome in DIFFERENT.items():
        who, colon, source = outcome.right.partition(": ")
        assert who in {"here", "vcsim", "both", "neither", "not known"}, name
        assert colon, name
        assert len(source) > 10, name


def test_the_differences_are_differences() -> None:
    for name, outcome in OUTCOMES.items():
        assert (outcome.differs or bool(outcome.unread)) == (name in DIFFERENT), name


def test_on_the_simulated_host_all_clients_find_the_same() -> None:
    assert not [
        name for name, item in OUTCOMES.items() for kind, _ in item.unread if kind == "here"
    ]


def test_scenarios_that_close_the_connection_run_alone() -> None:
    harmless = {"refreshes_a_datastore", "fetches_a_property_that_is_not_set"}
    for name, outcome in DIFFERENT.items():
        if "no answer" in (outcome.as_host, outcome.as_vcenter) and name not in harmless:
            assert outcome.alone, name


def test_oslo_vmware_plays_nothing_that_needs_a_server_of_its_own() -> None:
    assert not [name for _, name in asked_of("oslo") if OUTCOMES[name].alone]


def test_the_page_shows_the_table() -> None:
    assert page.standing() == page.rendered(), REGENERATE
