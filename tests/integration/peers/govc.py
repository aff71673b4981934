"""govc, govmomi's command line: a client in Go that we did not write.

It is compiled once from Debian's source package of govmomi, whose binary packages leave it out.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.integration.peers import cache, source_package, tools
from tests.integration.peers.process import run

PACKAGE = "golang-github-vmware-govmomi"
IMPORT = "github.com/vmware/govmomi"
BUILD_SECONDS = 900  # 34 s on an idle machine with two cores


def binary() -> Path:
    """Return the compiled program; compile it if it is not cached.

    Raises:
        MissingToolError: Go or a library is not installed.
        PeerError: The sources cannot be downloaded, or do not compile.
    """
    go = tools.find("go")
    libraries = tools.find("kr-pretty")
    tools.find("govmomi")  # brings google/uuid

    def compile_into(folder: Path) -> None:
        sources = source_package.files_of(PACKAGE, lambda name: name.endswith(".go"), folders=True)
        with TemporaryDirectory() as scratch:
            shutil.copytree(sources, Path(scratch, "src", IMPORT))
            run(
                "go build",
                [go, "build", "-o", folder / "govc", f"{IMPORT}/govc"],
                env={
                    "GO111MODULE": "off",
                    "GOPATH": f"{scratch}:{str(libraries).split('/src/', 1)[0]}",
                    "GOCACHE": str(Path(scratch, "cache")),
                    "GOFLAGS": "",
                },
                cwd=folder,
                deadline=BUILD_SECONDS,
            )

    return cache.built("govc", [Path(__file__).read_bytes()], compile_into) / "govc"


def environment(
    url: str, username: str, password: str, datastore: str, release: str
) -> Mapping[str, str]:
    """Return the variables by which govc finds a host, speaking the API of a release."""
    return {
        "GOVC_URL": url,
        "GOVC_USERNAME": username,
        "GOVC_PASSWORD": password,
        "GOVC_INSECURE": "1",
        "GOVC_PERSIST_SESSION": "false",
        "GOVC_DATASTORE": datastore,
        "GOVC_NETWORK": "VM Network",
        # It refuses hosts before 5.5 unless told otherwise, and speaks the API of 6.0 or older.
        "GOVC_MIN_API_VERSION": "4.0",
        "GOVC_VIM_VERSION": min(release, "6.0"),
    }
