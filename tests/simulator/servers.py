"""The servers that the same scenarios are played on: the simulated host, and vcsim as a host and as a vCenter."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.peers.tools import MissingToolError
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
