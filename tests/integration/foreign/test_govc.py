"""govc carries out its commands on the simulated host: exit code, output, and the state of the host."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.conftest import needed_tools
from tests.integration.foreign import govc_page
from tests.integration.foreign.govc_commands import COMMANDS
from tests.integration.foreign.govc_page import newer
from tests.integration.foreign.govc_player import play_simulator, play_vcsim
from tests.integration.peers import govc
from tests.integration.peers.vcsim import vcsim
from vimlib.simulator import ESXHost

pytestmark = pytest.mark.slow


def test_the_list_has_commands_of_every_kind() -> None:
    assert len({command.line for command in COMMANDS}) >= 150
    assert len({command.line.split()[0] for command in COMMANDS}) >= 90


async def test_commands_succeed_and_the_host_holds_what_they_say(
    esx: ESXHost, release: str, tmp_path: Path
) -> None:
    with needed_tools():
        govc.binary()
    outcomes = await play_simulator(esx, release, tmp_path)
    wrong = [
        f"{outcome.word}: {outcome.command.line}\n{outcome.output[:600]}"
        for outcome in outcomes
        if outcome.word != "ok"
        and outcome.command.missing is None
        and not newer(outcome.command.since, release)
    ]
    assert not wrong, "\n".join(wrong)
    # A host refuses fields that it cannot know; a mark that is no longer true hides a fault.
    marked = [
        outcome.command.line
        for outcome in outcomes
        if outcome.word == "ok"
        and (outcome.command.missing or newer(outcome.command.since, release))
    ]
    assert not marked
    if release in govc_page.SERVERS:
        assert govc_page.column(release) == govc_page.cells(release, outcomes)


async def test_the_page_has_the_outcomes_of_vcsim(tmp_path: Path) -> None:
    with needed_tools(), vcsim("esx") as peer:
        outcomes = await play_vcsim(peer, tmp_path)
    assert govc_page.column("vcsim") == govc_page.cells("vcsim", outcomes)
