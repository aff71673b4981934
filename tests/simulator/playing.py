"""Plays scenarios on servers: each server its share, one after the other; the servers side by side.

A wait takes vcsim a quarter of a second in which nobody works, so several of them are no burden.
What breaks a server, or changes all of it, is played on a server of its own.
"""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.simulator import by_pyvmomi, by_vimlib
from tests.simulator.outcomes import OUTCOMES
from tests.simulator.servers import KINDS, Kind, serving

# How many servers of a kind: for a client that waits, and for one that is busy all the time.
MANY: dict[Kind, int] = {"here": 2, "vcsim": 20, "vpx": 20}
FEW: dict[Kind, int] = {"here": 2, "vcsim": 3, "vpx": 3}
PATIENCE = 90

# What a scenario found, or the exception that says that it did not work.
Results = dict[tuple[Kind, str], Any]


def by_our_client(kind: Kind, names: list[str]) -> Results:
    """Play scenarios by vimlib on a new server."""

    async def play() -> Results:
        found: Results = {}
        async with by_vimlib.stage.staged(server) as stage:
            for name in names:
                try:
                    async with asyncio.timeout(PATIENCE):
                        scenario = by_vimlib.stage.SCENARIOS[name]
                        found[kind, name] = await by_vimlib.stage.play(scenario, stage)
                except Exception as error:  # noqa: BLE001 - raised again by the scenario's own test
                    found[kind, name] = error
        return found

    with serving(kind) as server:
        return asyncio.run(play())


def by_theirs(kind: Kind, names: list[str]) -> Results:
    """Play scenarios by pyVmomi on a new server."""
    found: Results = {}
    with serving(kind) as server, by_pyvmomi.stage.staged(server) as stage:
        for name in names:
            try:
                scenario = by_pyvmomi.stage.SCENARIOS[name]
                found[kind, name] = by_pyvmomi.stage.play(scenario, stage)
            except Exception as error:  # noqa: BLE001 - raised again by the scenario's own test
                found[kind, name] = error
    return found


def play_all(
    player: Callable[[Kind, list[str]], Results],
    wanted: Iterable[tuple[Kind, str]],
    servers: dict[Kind, int],
) -> Results:
    """Play what is wanted and return what was found."""
    asked = set(wanted)
    shares: list[tuple[Kind, list[str]]] = []
    for kind in KINDS:
        names = [name for name in OUTCOMES if (kind, name) in asked]
        together = [name for name in names if not OUTCOMES[name].alone]
        shares += [(kind, [name]) for name in names if OUTCOMES[name].alone]
        shares += [(kind, together[first :: servers[kind]]) for first in range(servers[kind])]
    found: Results = {}
    shares = [(kind, names) for kind, names in shares if names]
    with ThreadPoolExecutor(len(shares)) as pool:
        for part in [pool.submit(player, kind, names) for kind, names in shares]:
            found |= part.result()
    gc.collect()  # the sockets of logins that failed, while their warnings are still expected
    return found


def asked_for(request: pytest.FixtureRequest) -> list[tuple[Kind, str]]:
    """Return the kinds and names of this module's tests that this run has selected."""
    asked: list[tuple[Kind, str]] = []
    for item in request.session.items:
        call = getattr(item, "callspec", None)
        if item.path == request.path and call is not None:
            asked.append((call.params["kind"], call.params["name"]))
    return asked


def plain(found: Any) -> Any:
    """Return what a scenario found as JSON has it, or raise the exception."""
    if isinstance(found, Exception):
        raise found
    return json.loads(json.dumps(found))
