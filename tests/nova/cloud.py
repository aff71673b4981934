"""A whole OpenStack as its users see it: nova's REST API, and what a host has in the end."""

from __future__ import annotations

import asyncio
import json
import os
import re
import time
import urllib.error
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import vimlib
from tests.integration.peers.openstack import call
from tests.integration.peers.process import PeerError
from tests.nova.inside import BACKGROUND
from tests.nova.stack import Stack
from vimlib import vim25

PATIENCE = 300
MIB = 1 << 20
# Images for the next machines, and the notes about port groups of VLANs, stay.
_KEPT = re.compile(r"vimlib-(networks/.*|cache/sha512-[0-9a-f]{128}(-flat)?\.(vmdk|used))")


class Cloud:
    """The API, for the administrator of the project `service`."""

    def __init__(self, services: Stack) -> None:
        self.services = services
        self.network = ""
        self.image = ""
        self.flavors: dict[str, str] = {}

    def nova(
        self, method: str, path: str, body: Any = None, *, version: str = "2.79", token: str = ""
    ) -> Any:
        """Call nova."""
        url = f"{self.services.nova}{path}"
        return call(method, url, body, token=token or self.services.token(), version=version)[1]

    def prepare(self) -> None:
        """Make a network, an image and flavors."""
        self.network = self.make_network("lan", "vlan", ("10.0.0.0/24", "2001:db8::/64"))
        disk = self.services.folder / "disk.raw"
        disk.write_bytes(b"life" * (MIB // 4))
        self.image = self.upload(disk, "raw")
        for name, cpus, memory, size in (("s", 1, 64, 1), ("m", 2, 128, 2), ("odd", 1, 65, 1)):
            flavor = {"name": name, "vcpus": cpus, "ram": memory, "disk": size}
            self.flavors[name] = self.nova("POST", "/flavors", {"flavor": flavor})["flavor"]["id"]

    def make_network(self, name: str, kind: str, subnets: tuple[str, ...]) -> str:
        """Make a network without security groups; return its id."""
        token = self.services.token()
        network = {"name": name, "port_security_enabled": False,
                   "provider:network_type": kind, "provider:physical_network": "physnet1"}  # fmt: skip
        base = f"{self.services.network}/v2.0"
        made = call("POST", f"{base}/networks", {"network": network}, token=token)[1]["network"]
        for cidr in subnets:
            subnet = {"network_id": made["id"], "ip_version": 6 if ":" in cidr else 4, "cidr": cidr}
            call("POST", f"{base}/subnets", {"subnet": subnet}, token=token)
        identity: str = made["id"]
        return identity

    def upload(self, disk: Path, disk_format: str, **properties: str) -> str:
        """Make a public image of a file; return its id."""
        images, token = self.services.images, self.services.token()
        shown = images.upload(disk, disk_format, token=token, visibility="public", **properties)
        identity: str = shown["id"]
        return identity

    def boot(self, name: str, *, token: str = "", **given: Any) -> str:
        """Ask for a server; return its id."""
        server = {"name": name, "imageRef": self.image, "flavorRef": self.flavors["s"],
                  "networks": [{"uuid": self.network}], **given}  # fmt: skip
        made = self.nova("POST", "/servers", {"server": server}, token=token)
        identity: str = made["server"]["id"]
        return identity

    def boot_many(self, name: str, count: int, **given: Any) -> list[str]:
        """Ask for servers at once, and wait until they are active."""
        servers = [self.boot(f"{name}-{at}", **given) for at in range(count)]
        for server in servers:
            self.wait(server, "ACTIVE")
        return servers

    def show(self, server: str) -> dict[str, Any]:
        """Return a server."""
        shown: dict[str, Any] = self.nova("GET", f"/servers/{server}")["server"]
        return shown

    def act(self, server: str, action: str, value: Any = None) -> Any:
        """Call an action."""
        return self.nova("POST", f"/servers/{server}/action", {action: value})

    def wait(self, server: str, status: str) -> dict[str, Any]:
        """Wait until a server has a status and no task runs."""

        def there() -> dict[str, Any] | None:
            shown = self.show(server)
            if shown["status"] == "ERROR" and status != "ERROR":
                raise AssertionError(shown.get("fault"))
            settled = shown["OS-EXT-STS:task_state"] is None
            return shown if shown["status"] == status and settled else None

        found: dict[str, Any] = until(there, f"{server} {status}")
        return found

    def delete(self, *servers: str) -> None:
        """Delete servers, and wait until they are gone."""
        for server in servers:
            self.nova("DELETE", f"/servers/{server}")
        for server in servers:
            until(partial(self._gone, server), f"{server} deleted")

    def _gone(self, server: str) -> bool:
        try:
            self.show(server)
        except urllib.error.HTTPError as error:
            return error.code == 404
        return False

    def service(self, name: str) -> dict[str, Any]:
        """Return a compute service; an empty one if there is none yet."""
        found = self.nova("GET", f"/os-services?binary=nova-compute&host={name}")["services"]
        return found[0] if found else {}

    def up(self, *names: str) -> None:
        """Wait until compute services have reported since now, and the scheduler knows their hosts."""
        for name in names:
            began = self.service(name).get("updated_at")

            def reported(name: str = name, began: Any = began) -> bool:
                found = self.service(name)
                return found.get("state") == "up" and found["updated_at"] != began

            until(reported, f"{name} up")
        for name in names:
            until(partial(self._discovered, name), f"{name} discovered")

    def _discovered(self, name: str) -> bool:
        found = self.nova("GET", "/os-hypervisors/detail")["hypervisors"]
        return name in [one["service"]["host"] for one in found]


class Calls:
    """The calls that a host has seen from now on, without those of its watch."""

    def __init__(self, esx: dict[str, str]) -> None:
        self._trace = Path(esx["trace"])
        self._read = self._trace.stat().st_size
        self._methods: list[str] = []

    def spawn(self) -> list[str]:
        """Return the methods since a machine was first looked up by its UUID."""
        with self._trace.open("rb") as file:
            file.seek(self._read)
            text = file.read()
        whole = text[: text.rfind(b"\n") + 1]
        self._read += len(whole)
        seen = [json.loads(line)["method"] for line in whole.splitlines()]
        self._methods += [method for method in seen if method not in BACKGROUND]
        begun = "FindByUuid" in self._methods
        return self._methods[self._methods.index("FindByUuid") :] if begun else []


def until(holds: Callable[[], Any], what: str, *, pause: float = 0.5) -> Any:
    """Return what `holds` returns once it is true."""
    end = time.monotonic() + PATIENCE
    while not (found := holds()):
        if time.monotonic() > end:
            raise AssertionError(f"{what} did not happen within {PATIENCE} s")
        time.sleep(pause)
    return found


class Steps:
    """Steps, printed with duration and load (of a minute); one that fails is kept, the others still run."""

    def __init__(self) -> None:
        self.failed: list[str] = []

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        began = time.monotonic()
        result = ""
        try:
            yield
        except (AssertionError, PeerError, OSError) as error:
            self.failed.append(name)
            result = f"  FAILED: {str(error)[:300]}"
        took, load = time.monotonic() - began, os.getloadavg()[0]
        print(f"{name:60} {took:6.1f} s, load {load:4.1f}{result}", flush=True)


def left(esx: dict[str, str]) -> tuple[set[str], set[str]]:
    """Return the names of a host's machines, and its files but those that stay on purpose."""

    async def machines() -> set[str]:
        tls = vimlib.TLS(pin=esx["pin"])
        password = Path(esx["password_file"])
        async with vimlib.connect(esx["url"], esx["username"], password, tls=tls) as client:
            return {row["name"] async for row in client.collect(vim25.VirtualMachine, "name")}

    root = Path(esx["datastore"])
    files = {str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir()}
    return asyncio.run(machines()), {name for name in files if not _KEPT.fullmatch(name)}
