"""Three clients on the simulated host and on vcsim, as a host and as a vCenter: `outcomes.py` has what each finds."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.integration.peers.environment import environment
from tests.integration.peers.process import PeerError
from tests.simulator.limits import asked_of
from tests.simulator.outcomes import OUTCOMES
from tests.simulator.playing import Results, plain, play_all
from tests.simulator.stage import CLIENTS, ClientName
from tests.simulator.values import Kind

pytestmark = [pytest.mark.slow, pytest.mark.integration, pytest.mark.timeout(1800)]

# Pinned with the SOAP library that it stands on.
REQUIREMENTS = ("oslo.vmware==4.10.1", "suds-community==1.2.0")
ASKED = [(client, kind, name) for client in CLIENTS for kind, name in asked_of(client)]


def oslo_interpreter() -> Path:
    """Return a Python with oslo.vmware in an environment of its own, made once."""

    try:
        folder = environment("oslo-vmware", *REQUIREMENTS)
    except PeerError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"oslo.vmware cannot be installed: {error}")
    return folder / "bin" / "python"


@pytest.fixture(scope="module")
def played(request: pytest.FixtureRequest) -> Results:
    """The outcomes of the scenarios that this run has selected."""
    asked: dict[ClientName, list[tuple[Kind, str]]] = {}
    for item in request.session.items:
        if item.path == request.path and isinstance(item, pytest.Function):
            params: dict[str, Any] = item.callspec.params
            if "name" in params:
                asked.setdefault(params["client"], []).append((params["kind"], params["name"]))
    return play_all(asked, oslo_interpreter)


@pytest.mark.parametrize(("client", "kind", "name"), ASKED)
def test_scenario(played: Results, client: ClientName, kind: Kind, name: str) -> None:
    assert plain(played[client, kind, name]) == OUTCOMES[name].on(kind, client)


@pytest.mark.parametrize("client", CLIENTS)
def test_each_client_plays_enough(client: ClientName) -> None:
    assert len({name for _, name in asked_of(client)}) >= 60
