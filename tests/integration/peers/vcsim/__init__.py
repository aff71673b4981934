"""vcsim, govmomi's simulated ESX host and vCenter: a server that we did not write.

The program is `main.go` over Debian's govmomi 0.24.2. It is compiled once into the cache;
`VIMLIB_VCSIM` names a binary to use instead (it must take `main.go`'s flags).
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypedDict

from tests.integration.peers import cache, tools
from tests.integration.peers.certs import make_certificate
from tests.integration.peers.process import Process, running
from tests.integration.peers.process import run as run_program

SOURCE = Path(__file__).with_name("main.go")
BUILD_SECONDS = 300  # 12 s on an idle machine with two cores
START_SECONDS = 60

Model = Literal["esx", "vpx"]


class Announcement(TypedDict):
    """The line of JSON that `main.go` prints when it is ready."""

    url: str
    datastores: dict[str, str]


@dataclass(frozen=True)
class VCSim:
    """A running vcsim."""

    model: Model
    url: str
    username: str
    password: str = field(repr=False)
    # SHA-256 with colons, and the authority's certificate: either can establish trust.
    thumbprint: str
    ca: Path
    # The folder of each datastore on this machine.
    datastores: Mapping[str, Path]
    process: Process = field(repr=False)

    @property
    def datastore(self) -> str:
        """The name of the first datastore."""
        return next(iter(self.datastores))


def binary() -> Path:
    """Return the compiled program; compile it if this source is not cached.

    Raises:
        MissingToolError: Go or govmomi is not installed.
        PeerError: It does not compile.
    """
    named = os.environ.get("VIMLIB_VCSIM")
    if named:
        return Path(named)
    go = tools.find("go")
    library = tools.find("govmomi")

    def compile_into(folder: Path) -> None:
        run_program(
            "go build",
            [go, "build", "-o", folder / "vcsim", SOURCE],
            env={
                "GO111MODULE": "off",
                # Go may read nothing but Debian's tree of sources.
                "GOPATH": str(library).split("/src/", 1)[0],
                "GOCACHE": str(folder / "go-build"),
                "GOFLAGS": "",
            },
            cwd=folder,
            deadline=BUILD_SECONDS,
        )
        shutil.rmtree(folder / "go-build")

    return cache.built("vcsim", [SOURCE.read_bytes()], compile_into) / "vcsim"


@contextmanager
def vcsim(model: Model = "esx", *, vms: int = 0) -> Iterator[VCSim]:
    """Run vcsim on a free port with its own certificate and login.

    `vms` is the number of machines per resource pool; an ESX host has one pool. Its temporary
    files, including the datastores, are in a folder that is removed when the block ends.

    Raises:
        MissingToolError: Go or govmomi is not installed.
        PeerError: It does not compile, or is not ready within its deadline.
    """
    program = binary()
    username, password = "tester", secrets.token_urlsafe(12)
    with tempfile.TemporaryDirectory(prefix="vcsim-") as name:
        folder = Path(name)
        certificate = make_certificate(folder)
        files = folder / "tmp"
        files.mkdir()
        argv: list[object] = [program, "-cert", certificate.cert, "-key", certificate.key]
        argv += ["-vms", str(vms)] + ["-esx"] * (model == "esx")
        env = {"TMPDIR": str(files), "VCSIM_USERNAME": username, "VCSIM_PASSWORD": password}
        log = folder / "vcsim.log"
        with running(f"vcsim {model}", argv, log, env=env, cwd=folder) as process:
            process.wait_until(lambda: _announcement(log) is not None, START_SECONDS)
            ready = _announcement(log)
            assert ready is not None
            yield VCSim(
                model=model,
                url=ready["url"],
                username=username,
                password=password,
                thumbprint=certificate.thumbprint,
                ca=certificate.ca,
                datastores={k: Path(v) for k, v in sorted(ready["datastores"].items())},
                process=process,
            )


def _announcement(log: Path) -> Announcement | None:
    """Return the announcement of `main.go`, None while it has printed none."""
    for line in log.read_bytes().splitlines(keepends=True):
        if line.startswith(b"{") and line.endswith(b"\n"):
            ready: Announcement = json.loads(line)
            return ready
    return None
