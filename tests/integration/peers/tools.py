"""The non-Python programs that the peers need, and the Debian packages that contain them.

Run as a script it prints those packages on one line, for `.ci/run`; standard library only.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Tool:
    """A program or a folder of sources, and its Debian package."""

    name: str
    packages: tuple[str, ...]
    purpose: str
    # Instead of a program: a required folder.
    folder: str | None = None
    # The directory of daemons, which is not on everybody's PATH.
    also_in: tuple[str, ...] = ("/usr/sbin", "/sbin")

    def path(self) -> Path | None:
        """Return its path, None if it is missing."""
        if self.folder is not None:
            return Path(self.folder) if Path(self.folder).is_dir() else None
        found = shutil.which(self.name)
        places = (Path(folder, self.name) for folder in self.also_in)
        return Path(found) if found else next((p for p in places if p.exists()), None)

    @property
    def apt_line(self) -> str:
        """The command that installs it."""
        return f"apt-get install --no-install-recommends {' '.join(self.packages)}"


class MissingToolError(Exception):
    """A peer cannot start because a program is not installed."""

    def __init__(self, tool: Tool) -> None:
        super().__init__(tool)
        self.tool = tool

    def __str__(self) -> str:
        return f"{self.tool.name} is missing ({self.tool.purpose}): {self.tool.apt_line}"


GOCODE = "/usr/share/gocode/src/github.com"
GOVMOMI = f"{GOCODE}/vmware/govmomi/simulator"

TOOLS = {
    tool.name: tool
    for tool in (
        Tool("go", ("golang-go",), "compiles vcsim and govc"),
        Tool(
            "govmomi",
            ("golang-github-vmware-govmomi-dev",),
            "vcsim is made of its simulator package",
            folder=GOVMOMI,
        ),
        Tool(
            "kr-pretty",
            ("golang-github-kr-pretty-dev",),
            "a library that govc is compiled with",
            folder=f"{GOCODE}/kr/pretty",
        ),
        Tool("qemu-img", ("qemu-utils",), "makes and checks disk images"),
        Tool("virsh", ("libvirt-clients",), "reads and writes the simulated host's .vmx files"),
        Tool("ruby", ("ruby-rbvmomi",), "runs rbvmomi, a client of the API"),
        Tool("fence_vmware_soap", ("fence-agents",), "powers machines off, as a cluster does"),
        Tool("nbdkit", ("nbdkit",), "reads disks of a datastore over HTTP"),
        Tool("nbdcopy", ("libnbd-bin",), "copies them"),
        Tool("nginx", ("nginx",), "both ends of the transfer bench"),
        Tool("curl", ("curl",), "the peer of the transfer bench"),
        Tool(
            "mmdebstrap",
            ("mmdebstrap", "debian-archive-keyring"),
            "root file systems for the guest helper",
        ),
        Tool("chromium", ("chromium",), "looks at the pages of the documentation"),
        Tool("ip", ("iproute2",), "network namespaces for the guest helper"),
        Tool("rpmbuild", ("rpm",), "the guest helper's package for RHEL and its kin"),
    )
}


def find(name: str) -> Path:
    """Return the path of a tool.

    Raises:
        MissingToolError: It is not installed; the text has the command that installs it.
    """
    tool = TOOLS[name]
    path = tool.path()
    if path is None:
        raise MissingToolError(tool)
    return path


def missing() -> list[Tool]:
    """Return the tools that are not installed."""
    return [tool for tool in TOOLS.values() if tool.path() is None]


if __name__ == "__main__":
    print(*sorted({package for tool in TOOLS.values() for package in tool.packages}))
