"""The host behind the relay, and its state as read without the relay."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal, Protocol
from urllib.parse import urlsplit

import vimlib
from tests.integration.peers.vcsim import VCSim, vcsim
from vimlib import vim25
from vimlib.simulator import ESXHost

Kind = Literal["simulator", "vcsim"]
NAMES = ["vm-0", "vm-1", "vm-2"]


class Server(Protocol):
    """A host."""

    kind: Kind
    port: int
    username: str
    password: str

    async def machines(self, name: str) -> int:
        """Return how many machines have this name, as read from the host itself."""
        ...

    def executed(self, method: str) -> int:
        """Return how many calls of a method reached it."""
        ...


class Simulator:
    """Our simulator."""

    kind: Kind = "simulator"

    def __init__(self, esx: ESXHost) -> None:
        self.esx = esx
        self.port = esx.port
        self.username, self.password = esx.credentials.username, esx.credentials.password

    async def machines(self, name: str) -> int:
        return sum(machine.name == name for machine in self.esx.machines.values())

    def executed(self, method: str) -> int:
        return len(self.esx.calls(method))

    def snapshots(self) -> int:
        """Return how many snapshots `vm-0` has."""
        return sum(type(obj).__name__ == "Snapshot" for obj in self.esx.registry.objects.values())

    def file(self, name: str) -> Path:
        return self.esx.datastore_path() / name


class Peer:
    """vcsim, as a vCenter: only that model of it has SessionIsActive."""

    kind: Kind = "vcsim"

    def __init__(self, server: VCSim) -> None:
        self.server = server
        port = urlsplit(server.url).port
        assert port is not None
        self.port = port
        self.username, self.password = server.username, server.password

    async def machines(self, name: str) -> int:
        tls = vimlib.TLS(pin=self.server.thumbprint)
        async with vimlib.connect(self.server.url, self.username, self.password, tls=tls) as client:
            rows = [row["name"] async for row in client.collect(vim25.VirtualMachine, "name")]
        return rows.count(name)

    def executed(self, method: str) -> int:
        raise NotImplementedError("vcsim keeps no log of calls")


@asynccontextmanager
async def served(kind: Kind) -> AsyncIterator[Server]:
    """Run a host with three machines. Raises `MissingToolError` if vcsim cannot be built."""
    if kind == "simulator":
        async with ESXHost(vms=len(NAMES), seed=1) as esx:
            yield Simulator(esx)
    else:
        with vcsim("vpx", vms=1) as server:
            yield Peer(server)
