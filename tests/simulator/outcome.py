"""The outcome of a scenario on each server, for all clients."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.simulator.stage import ClientName
from tests.simulator.values import Kind

# Stands for "the same as the one before".
SAME: Any = type("Same", (), {"__repr__": lambda _: "SAME"})()


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The outcome of a scenario."""

    # On the simulated host, on vcsim as a host, on vcsim as a vCenter.
    here: Any
    vcsim: Any = SAME
    vpx: Any = SAME
    # Who is right and by what source; wanted where they differ.
    right: str = ""
    # The outcome for a client that cannot read the reply.
    unread: Mapping[tuple[Kind, ClientName], Any] = field(default_factory=dict)
    # It breaks vcsim, or changes all of the server: it is played on one of its own.
    alone: bool = False

    @property
    def as_host(self) -> Any:
        return self.here if self.vcsim is SAME else self.vcsim

    @property
    def as_vcenter(self) -> Any:
        return self.as_host if self.vpx is SAME else self.vpx

    @property
    def differs(self) -> bool:
        return not self.here == self.as_host == self.as_vcenter

    def on(self, kind: Kind, client: ClientName) -> Any:
        """Return the outcome for a client on a server."""
        found = {"here": self.here, "vcsim": self.as_host, "vpx": self.as_vcenter}[kind]
        return self.unread.get((kind, client), found)
