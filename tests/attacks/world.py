"""A simulated host behind a proxy, both in memory, and what is on it."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import vimlib
from tests.attacks.proxy import Proxy
from tests.rig.memory import Inline, LoopClock, MemoryLoop, in_memory_folder
from vimlib.simulator import ESXHost

PASSWORD = "a-password-of-the-host"
TIMEOUTS = vimlib.Timeouts(
    connect=5, handshake=5, read=10, write=10, call=20, logout=5, listing=20, files=40, outage=15
)
DATASTORE = "datastore1"


@dataclass
class World:
    """A host, the proxy before it, and folders."""

    esx: ESXHost
    clock: LoopClock
    proxy: Proxy
    folder: Path
    """For files of the case: journals, images."""
    password: str = PASSWORD

    @property
    def root(self) -> Path:
        """The folder of the datastore."""
        return self.folder / "ds"

    def client(
        self, via: Proxy | None = None, password: str | None = None, **how: Any
    ) -> AbstractAsyncContextManager[vimlib.Client]:
        """Connect through the proxy."""
        how.setdefault("timeouts", TIMEOUTS)
        how.setdefault("tls", vimlib.TLS(verify=False))
        port = (via or self.proxy).port
        given = self.password if password is None else password
        return vimlib.connect(f"http://127.0.0.1:{port}/sdk", "root", given, **how)

    # -- what is on the host -------------------------------------------------------------------

    def files(self) -> dict[str, str]:
        """Return the files of the datastore with a digest of each; folders end with a slash."""
        found = {}
        for place, folders, names in os.walk(self.root):
            below = os.path.relpath(place, self.root)
            start = "" if below == "." else below + "/"
            for name in folders:
                found[f"{start}{name}/"] = ""
            for name in names:
                path = Path(place, name)
                found[f"{start}{name}"] = f"{path.stat().st_size}:{_digest(path)}"
        return found

    def machines(self) -> dict[str, str]:
        """Return the names of the machines with their power states."""
        return {m.name: m.power for m in self.esx.machines.values()}

    def port_groups(self) -> dict[str, tuple[int, str]]:
        """Return the port groups: VLAN id and switch."""
        return {
            group.name: (group.vlan, group.switch) for group in self.esx.networks.groups.values()
        }

    def snapshots(self, name: str) -> list[str]:
        """Return the names of a machine's snapshots."""
        return [s.name for s in self.esx.machine(name).all_snapshots()]

    async def settle(self, seconds: float = 60.0) -> None:
        """Let the host end what it has begun."""
        await asyncio.sleep(seconds)


def _digest(path: Path) -> str:
    """Return a digest of a file's bytes without its holes: a thin disk has a gigabyte of them."""
    found = hashlib.sha1()
    with path.open("rb", buffering=0) as file:
        end = 0
        # SEEK_DATA fails behind the last byte that was written.
        with suppress(OSError):
            while True:
                begin = os.lseek(file.fileno(), end, os.SEEK_DATA)
                if begin != end:
                    found.update(b"hole to %d" % begin)
                end = os.lseek(file.fileno(), begin, os.SEEK_HOLE)
                os.lseek(file.fileno(), begin, os.SEEK_SET)
                found.update(file.read(end - begin))
    return found.hexdigest()[:12]


@asynccontextmanager
async def world(*, seed: int = 0, password: str = PASSWORD, **how: Any) -> AsyncIterator[World]:
    """Run a host and its proxy in memory."""
    assert isinstance(asyncio.get_running_loop(), MemoryLoop)
    clock = LoopClock()
    with in_memory_folder() as folder:
        (folder / "ds").mkdir()
        (folder / "export").mkdir()
        esx = ESXHost(
            datastores={DATASTORE: folder / "ds"},
            exports={"filer:/a": folder / "export"},
            password=password,
            clock=clock,
            seed=seed,
            **how,
        )
        # In the caller's thread, so that a case is the same each time.
        esx.registry._threads = Inline()  # type: ignore[assignment]
        async with esx, Proxy(esx.port).running() as proxy:
            yield World(esx, clock, proxy, folder, password)


def shown(value: Any) -> str:
    """Return a value as text that is the same for equal values."""
    return json.dumps(value, sort_keys=True, default=repr)
