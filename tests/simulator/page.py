"""The part of `docs/appendix/simulator.md` that comes from the table of outcomes; run as a module, it is written there."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.simulator import scenarios as _scenarios  # noqa: F401 - registers them
from tests.simulator.differences import DIFFERENT
from tests.simulator.limits import CANNOT, HERE_ONLY, asked_of
from tests.simulator.outcome import Outcome
from tests.simulator.stage import CLIENTS, ClientName

PAGE = Path(__file__).parents[2] / "docs" / "appendix" / "simulator.md"
BEGIN = "<!-- begin: python -m tests.simulator.page -->\n"
END = "<!-- end -->\n"
NAMES: dict[ClientName, str] = {
    "vimlib": "this client",
    "pyvmomi": "pyVmomi",
    "oslo": "oslo.vmware",
}


def words(found: Any) -> str:
    """Return an outcome as the text of a cell."""
    if isinstance(found, list):
        return ", ".join(words(item) for item in found) or "nothing"
    if found is None:
        return "nothing"
    if isinstance(found, bool):
        return "yes" if found else "no"
    return str(found)


def theirs(outcome: Outcome) -> str:
    found = words(outcome.as_host)
    if outcome.as_vcenter != outcome.as_host:
        found += f"; as a vCenter: {words(outcome.as_vcenter)}"
    return found


def rows() -> Iterator[str]:
    for name, outcome in sorted(DIFFERENT.items()):
        cells = (name.replace("_", " "), words(outcome.here), theirs(outcome), outcome.right)
        yield f"| {' | '.join(cells)} |\n"


def wrapped(text: str) -> str:
    return textwrap.fill(text, 110, break_long_words=False, break_on_hyphens=False) + "\n\n"


def counted() -> str:
    """Return how many scenarios there are."""
    common = {
        client: {name for kind, name in asked_of(client) if kind != "here"} for client in CLIENTS
    }
    every = set.intersection(*common.values())
    counts = ", ".join(f"{len(names)} by {NAMES[client]}" for client, names in common.items())
    return wrapped(
        f"{len(set.union(*common.values()))} questions: {counts}, {len(every)} of them by all three. "
        f"To {len(DIFFERENT)} of them the answers differ:"
    )


def unasked() -> str:
    """Return the scenarios that a client does not play, or not on vcsim, with the reason."""
    return "".join(
        wrapped(f"By {NAMES[client]} {what}: {listed(reasons[client])}.")
        for what, reasons in (("not asked of vcsim", HERE_ONLY), ("not asked at all", CANNOT))
        for client in CLIENTS
        if reasons[client]
    )


def listed(reasons: dict[str, str]) -> str:
    grouped: dict[str, list[str]] = {}
    for name, why in reasons.items():
        grouped.setdefault(why, []).append(name.replace("_", " "))
    return "; ".join(f"{', '.join(names)} ({why})" for why, names in grouped.items())


def rendered() -> str:
    """Return the generated part of the page."""
    head = "| question | here | vcsim | who is right, by what |\n|---|---|---|---|\n"
    return f"{counted()}{head}{''.join(rows())}\n{unasked().rstrip()}\n"


def standing() -> str:
    """Return that part as it is in the page."""
    return PAGE.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]


if __name__ == "__main__":
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text(f"{before}{BEGIN}{rendered()}{END}{after}", encoding="utf-8")
