"""The part of `docs/appendix/simulator.md` that comes from the table of outcomes; run as a module, it is written there."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.simulator import by_oslo, by_pyvmomi, by_vimlib
from tests.simulator.differences import DIFFERENT
from tests.simulator.outcome import Outcome

PAGE = Path(__file__).parents[2] / "docs" / "appendix" / "simulator.md"
BEGIN = "<!-- begin: python -m tests.simulator.page -->\n"
END = "<!-- end -->\n"


def words(found: Any) -> str:
    """Return what a scenario found as a cell has it."""
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
    ours, pyvmomi = set(by_vimlib.stage.SCENARIOS), set(by_pyvmomi.stage.SCENARIOS)
    oslo = {name for name, item in by_oslo.stage.SCENARIOS.items() if not item.here_only}
    return wrapped(
        f"{len(ours | pyvmomi | oslo)} questions: {len(ours)} by this client, {len(pyvmomi)} by "
        f"pyVmomi ({len(ours & pyvmomi)} of them by both), {len(oslo)} by oslo.vmware. "
        f"To {len(DIFFERENT)} of them the answers differ:"
    )


def unasked() -> str:
    """Return what oslo.vmware does on the simulated host alone, and why."""
    reasons: dict[str, list[str]] = {}
    for name, item in by_oslo.stage.SCENARIOS.items():
        if item.here_only:
            reasons.setdefault(item.here_only, []).append(name.replace("_", " "))
    told = "; ".join(f"{', '.join(names)} ({why})" for why, names in reasons.items())
    return wrapped(f"By oslo.vmware not asked of vcsim: {told}.")


def rendered() -> str:
    """Return what stands between the marks."""
    head = "| question | here | vcsim | who is right, by what |\n|---|---|---|---|\n"
    return f"{counted()}{head}{''.join(rows())}\n{unasked().rstrip()}\n"


def standing() -> str:
    """Return what stands there now."""
    return PAGE.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]


if __name__ == "__main__":
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text(f"{before}{BEGIN}{rendered()}{END}{after}", encoding="utf-8")
