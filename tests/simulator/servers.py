"""The servers that the same scenarios are played on: the simulated host, and vcsim as a host and as a vCenter."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

import pytest

from tests.integration.peers.tools import MissingToolError
from tests.integration.peers.vcsim import vcsim
from vimlib.simulator._run import in_thread

Kind = Literal["here", "vcsim", "vpx"]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True)
class Server:
    """A server with one machine, and how to log in to it."""

    kind: Kind
    url: str
    username: str
    password: str = field(repr=False)
    # SHA-256 with colons, and a file with the certificate to trust: either is a reason.
    thumbprint: str
    ca: Path
    datastore: str

    @property
    def port(self) -> int:
        return int(self.url.partition("//")[2].partition("/")[0].rpartition(":")[2])

    @property
    def datacenter(self) -> str:
        return "DC0" if self.kind == "vpx" else "ha-datacenter"


@contextmanager
def serving(kind: Kind, version: str = "8.0") -> Iterator[Server]:
    """Run a server; `version` is the simulated host's. What vcsim is built from is skipped where it is missing, and wanted where `CI` is set."""
    if kind == "here":
        with (
            in_thread(version=version, vms=1, control=True) as esx,
            tempfile.TemporaryDirectory() as name,
        ):
            pem = Path(name, "host.pem")
            pem.write_bytes(esx.certificate_pem)
            yield Server(
                kind,
                esx.url,
                esx.credentials.username,
                esx.credentials.password,
                esx.thumbprint,
                pem,
                "datastore1",
            )
        return
    try:
        started = vcsim("vpx" if kind == "vpx" else "esx", vms=1)
        sim = started.__enter__()
    except MissingToolError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
    try:
        yield Server(
            kind, sim.url, sim.username, sim.password, sim.thumbprint, sim.ca, sim.datastore
        )
    finally:
        started.__exit__(None, None, None)
