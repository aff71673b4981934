"""The table of outcomes: whole, argued for, and the same as the page that shows it."""

from __future__ import annotations

from tests.simulator import by_oslo, by_pyvmomi, by_vimlib, page
from tests.simulator.differences import DIFFERENT
from tests.simulator.outcomes import OUTCOMES

REGENERATE = "python -m tests.simulator.page writes the page anew"


def test_each_scenario_has_an_outcome_and_each_outcome_a_scenario() -> None:
    played = {*by_vimlib.stage.SCENARIOS, *by_pyvmomi.stage.SCENARIOS}
    oslo = {name for name, item in by_oslo.stage.SCENARIOS.items() if not item.here_only}
    assert played | oslo == set(OUTCOMES)


def test_each_difference_says_who_is_right() -> None:
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


def test_what_closes_the_connection_is_asked_of_a_server_of_its_own() -> None:
    harmless = {"refreshes_a_datastore", "fetches_a_property_that_is_not_set"}
    for name, outcome in DIFFERENT.items():
        if "no answer" in (outcome.as_host, outcome.as_vcenter) and name not in harmless:
            assert outcome.alone, name


def test_oslo_vmware_asks_a_server_that_it_shares_for_nothing_that_changes_all_of_it() -> None:
    for name in by_oslo.stage.SCENARIOS:
        assert name not in OUTCOMES or not OUTCOMES[name].alone, name


def test_the_page_shows_the_table() -> None:
    assert page.standing() == page.rendered(), REGENERATE
