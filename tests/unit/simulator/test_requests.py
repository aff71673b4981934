from __future__ import annotations

import pytest

from tests.fuzz.requests import run


@pytest.mark.slow
async def test_requests_that_no_client_means_get_a_fault_of_the_api() -> None:
    report = await run(500, seed=1)
    assert report.findings == []
    assert report.requests > 300  # a locked account ends a batch
    assert report.outcomes["result"] > 50
    assert len(report.outcomes) > 10
