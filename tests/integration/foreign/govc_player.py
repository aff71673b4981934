"""Plays the commands of govc on a host and returns the outcome of each."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.integration.foreign.govc_commands import COMMANDS, CONTENT, Command
from tests.integration.peers import govc
from tests.integration.peers.process import PeerError, ended

if TYPE_CHECKING:
    from tests.integration.peers.vcsim import VCSim
    from vimlib.simulator import ESXHost

SECONDS = 30


@dataclass(frozen=True)
class Outcome:
    """The outcome of a command."""

    command: Command
    word: str
    """`ok`, `refused`, `wrong answer`, `wrong state`, `crash` or `hangs`."""
    output: str


def simulator_environment(esx: ESXHost, release: str) -> Mapping[str, str]:
    """Return the variables by which govc finds a simulated host."""
    user = esx.credentials
    return govc.environment(esx.url, user.username, user.password, "datastore1", release)


async def play_simulator(esx: ESXHost, release: str, folder: Path) -> list[Outcome]:
    """Play them on the simulator and look at its state after each that succeeds."""
    found = []
    async for outcome in _play(simulator_environment(esx, release), "datastore1", folder):
        holds = outcome.command.holds
        if outcome.word == "ok" and holds is not None and not _true(holds, esx):
            outcome = Outcome(outcome.command, "wrong state", outcome.output)
        found.append(outcome)
    return found


def _true(holds: object, esx: ESXHost) -> bool:
    assert callable(holds)
    try:
        return bool(holds(esx))
    except (LookupError, OSError):  # a machine or a file that is not there
        return False


async def play_vcsim(peer: VCSim, folder: Path) -> list[Outcome]:
    """Play them on a vcsim that is a host; its state is not looked at."""
    env = govc.environment(peer.url, peer.username, peer.password, peer.datastore, "6.5")
    return [outcome async for outcome in _play(env, peer.datastore, folder)]


async def _play(env: Mapping[str, str], datastore: str, folder: Path) -> AsyncIterator[Outcome]:
    program = govc.binary()
    (folder / "upload.txt").write_text(CONTENT)
    for command in COMMANDS:
        try:
            end = await ended(
                [program, *command.words(datastore)], env=env, cwd=folder, deadline=SECONDS
            )
        except PeerError:
            yield Outcome(command, "hangs", "")
        else:
            word = command.outcome(end.code, end.output, datastore)
            yield Outcome(command, word, end.output)
