"""The servers that the same scenarios are played on: the simulated host, and vcsim as a host and as a vCenter."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.integration.conftest import needed_tools
from tests.integration.peers.vcsim import vcsim
from tests.simulator.values import KINDS, Kind, Server
from vimlib.simulator._run import in_thread

__all__ = ["KINDS", "Kind", "Server", "serving"]


@contextmanager
def serving(kind: Kind, version: str = "8.0") -> Iterator[Server]:
    """Run a server; `version` is the simulated host's. What vcsim is built from is skipped where it is missing, and wanted where `CI` is set."""
    if kind == "here":
        password = secrets.token_urlsafe(12)
        with (
            in_thread(version=version, vms=1, password=password, control_token=password) as esx,
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
    with needed_tools(), vcsim("vpx" if kind == "vpx" else "esx", vms=1) as sim:
        yield Server(
            kind, sim.url, sim.username, sim.password, sim.thumbprint, sim.ca, sim.datastore
        )
