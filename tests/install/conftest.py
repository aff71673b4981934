"""One build for all tests, and one environment for all tests of the same plan."""

from __future__ import annotations

import pytest

from tests.install.environments import Distributions, Installation, Plan, build, install


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Distributions:
    return build(tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="session")
def environments() -> dict[Plan, Installation]:
    """Those that were made so far."""
    return {}


@pytest.fixture
def installed(
    plan: Plan,
    built: Distributions,
    environments: dict[Plan, Installation],
    tmp_path_factory: pytest.TempPathFactory,
) -> Installation:
    if plan not in environments:
        environments[plan] = install(plan, built, tmp_path_factory.mktemp("environment"))
    return environments[plan]
