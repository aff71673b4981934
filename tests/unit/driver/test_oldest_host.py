"""Every verb on a host of API 4.1, over TLS 1.0: it works, or names the version that it needs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.driver.hosted import Beside
from tests.unit.driver.scenarios import SCENARIOS, staged
from vimlib.errors import VersionError
from vimlib.model import parse_version

OLD = "4.1"
NEWER = sorted(
    verb for verb, case in SCENARIOS.items() if parse_version(case.since) > parse_version(OLD)
)


@pytest.mark.parametrize("verb", sorted(SCENARIOS.keys() - set(NEWER)))
async def test_a_verb_works_on_a_host_of_api_4_1(verb: str, beside: Beside, tmp_path: Path) -> None:
    with staged(SCENARIOS[verb], beside, tmp_path / "store", OLD, legacy_tls=True) as stage:
        async with stage.driver() as driver:
            assert driver.client.api_version == OLD
            await stage.prepare(driver)
            await stage.scenario.act(driver)


@pytest.mark.parametrize("verb", NEWER)
async def test_a_verb_that_needs_a_newer_api_names_it(
    verb: str, beside: Beside, tmp_path: Path
) -> None:
    with staged(SCENARIOS[verb], beside, tmp_path / "store", OLD, legacy_tls=True) as stage:
        async with stage.driver() as driver:
            await driver.adopt("vm-0")
            await driver.power_on("vm-0")
            state = stage.kept()
            with pytest.raises(VersionError) as caught:
                await stage.scenario.act(driver)
            assert f"API {SCENARIOS[verb].since}" in str(caught.value)
            assert stage.kept() == state
