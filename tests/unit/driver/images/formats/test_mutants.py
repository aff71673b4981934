"""A sample of `nox -s fuzz_images`."""

from __future__ import annotations

import pytest

from tests.fuzz.images import run


@pytest.mark.slow
def test_mutants_are_refused_or_read_alike_in_both_orders() -> None:
    tally = run(500, seed=7)
    assert tally.findings == []
    assert tally.rules["(read)"] > 150
    assert len(tally.rules) > 15
