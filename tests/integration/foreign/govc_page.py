"""The table of `docs/appendix/clients.md`: what becomes of each command of govc, here and on vcsim.

Run as a module it plays all of them and prints the table; `--write` writes it into the page.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.integration.foreign.govc_player import Outcome, play_simulator, play_vcsim
from tests.integration.peers.cache import REPOSITORY
from tests.integration.peers.vcsim import vcsim
from vimlib.simulator import ESXHost

PAGE = REPOSITORY / "docs" / "appendix" / "clients.md"
BEGIN = "<!-- begin: nox -s foreign -- --write -->\n"
END = "<!-- end -->\n"
SERVERS = ("4.1", "8.0", "vcsim")


def newer(since: str, release: str) -> bool:
    """Return whether an API version is newer than a release."""
    return tuple(map(int, since.split("."))) > tuple(map(int, release.split(".")))


def cells(server: str, outcomes: Sequence[Outcome]) -> list[str]:
    """Return the column of a server."""
    release = "6.5" if server == "vcsim" else server
    return [
        f"{outcome.word}, newer than the host"
        if newer(outcome.command.since, release)
        else outcome.word
        for outcome in outcomes
    ]


def table(outcomes: Mapping[str, Sequence[Outcome]]) -> str:
    """Return the table of all servers, with the counts before it."""
    columns = {server: cells(server, outcomes[server]) for server in SERVERS}
    commands = [outcome.command for outcome in outcomes[SERVERS[0]]]
    counts = ", ".join(f"{columns[server].count('ok')} on {_name(server)}" for server in SERVERS)
    lines = [
        f"{len(commands)} commands, of which are ok: {counts}.\n\n",
        f"| `govc ...` | {' | '.join(_name(server) for server in SERVERS)} | not yet here |\n",
        f"|---|{'---|' * len(SERVERS)}---|\n",
    ]
    for number, command in enumerate(commands):
        row = (*(columns[server][number] for server in SERVERS), command.missing or "")
        lines.append(f"| `{command.line}` | {' | '.join(row)} |\n")
    return "".join(lines)


def _name(server: str) -> str:
    return "vcsim -esx" if server == "vcsim" else f"API {server}"


def column(server: str) -> list[str]:
    """Return the column of a server as the page has it."""
    rows = _parts(PAGE.read_text(encoding="utf-8"))[1].splitlines()
    # The first has the names of the columns.
    return [row.split(" | ")[1 + SERVERS.index(server)] for row in rows if row.startswith("| `")][
        1:
    ]


def _parts(text: str) -> tuple[str, str, str]:
    head, begin, rest = text.partition(BEGIN)
    body, end, tail = rest.partition(END)
    assert begin, f"{PAGE} has no mark where the table begins"
    assert end, f"{PAGE} has no mark where the table ends"
    return head + begin, body, end + tail


async def play() -> dict[str, list[Outcome]]:
    """Play the commands on all servers."""
    found: dict[str, list[Outcome]] = {}
    with TemporaryDirectory() as scratch:
        for server in SERVERS:
            folder = Path(scratch, server)
            folder.mkdir()
            if server == "vcsim":
                with vcsim("esx") as peer:
                    found[server] = await play_vcsim(peer, folder)
            else:
                async with ESXHost(server) as esx:
                    found[server] = await play_simulator(esx, server, folder)
    return found


def main() -> None:
    """Print the table, or write it into the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help=f"write {PAGE}")
    given = parser.parse_args()
    made = table(asyncio.run(play()))
    if given.write:
        head, _, tail = _parts(PAGE.read_text(encoding="utf-8"))
        PAGE.write_text(head + made + tail, encoding="utf-8")
    else:
        print(made)


if __name__ == "__main__":
    main()
