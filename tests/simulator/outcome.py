"""What a scenario finds on each server, for all clients."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from tests.simulator.servers import Kind

Client = Literal["vimlib", "pyvmomi", "oslo"]

# Stands for "the same as the one before".
SAME: Any = type("Same", (), {"__repr__": lambda _: "SAME"})()


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a scenario finds."""

    # On the simulated host, on vcsim as a host, on vcsim as a vCenter.
    here: Any
    vcsim: Any = SAME
    vpx: Any = SAME
    # Who is right and by what source; wanted where they differ.
    right: str = ""
    # What a client makes of an answer that it cannot read.
    unread: Mapping[tuple[Kind, Client], Any] = field(default_factory=dict)
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

    def on(self, kind: Kind, client: Client) -> Any:
        """Return what a client finds on a server."""
        found = {"here": self.here, "vcsim": self.as_host, "vpx": self.as_vcenter}[kind]
        return self.unread.get((kind, client), found)
