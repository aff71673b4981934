"""Level 3: the life of servers under real services; `nox -s nova`, not part of `.ci/run`.

Each step prints its duration. At the end the hosts have what they had before, and nothing else.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import tempfile
import time
import urllib.error
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import vimlib
from tests.integration.peers.openstack import call
from tests.integration.peers.process import Process
from tests.nova.__main__ import host
from tests.nova.stack import Stack, stack
from vimlib import vim25

PATIENCE = 300
# Images for the next machines, and the notes about port groups of VLANs, which stay too.
KEPT = {"[datastore1] vimlib-cache", "[datastore1] vimlib-networks"}
MIB = 1 << 20


class Cloud:
    """The API as its users see it."""

    def __init__(self, services: Stack) -> None:
        self.services = services
        self.network = ""
        self.image = ""
        self.flavors: dict[str, str] = {}

    def nova(self, method: str, path: str, body: Any = None, *, version: str = "2.79") -> Any:
        """Call nova as the administrator of the project `service`."""
        url = f"{self.services.nova}{path}"
        return call(method, url, body, token=self.services.token(), version=version)[1]

    def prepare(self) -> None:
        """Make a network, an image and flavors."""
        token = self.services.token()
        network = {"name": "lan", "port_security_enabled": False,
                   "provider:network_type": "vlan", "provider:physical_network": "physnet1",
                   "provider:segmentation_id": 100}  # fmt: skip
        base = f"{self.services.network}/v2.0"
        made = call("POST", f"{base}/networks", {"network": network}, token=token)[1]["network"]
        self.network = made["id"]
        for version, cidr in ((4, "10.0.0.0/24"), (6, "2001:db8::/64")):
            subnet = {"network_id": self.network, "ip_version": version, "cidr": cidr}
            call("POST", f"{base}/subnets", {"subnet": subnet}, token=token)
        disk = self.services.folder / "disk.raw"
        disk.write_bytes(b"life" * (MIB // 4))
        shown = self.services.images.upload(disk, "raw", token=token, visibility="public")
        self.image = shown["id"]
        for name, cpus, memory, size in (("s", 1, 64, 1), ("m", 2, 128, 2), ("odd", 1, 65, 1)):
            flavor = {"name": name, "vcpus": cpus, "ram": memory, "disk": size}
            self.flavors[name] = self.nova("POST", "/flavors", {"flavor": flavor})["flavor"]["id"]

    def boot(self, name: str, **given: Any) -> str:
        """Ask for a server; return its id."""
        server = {"name": name, "imageRef": self.image, "flavorRef": self.flavors["s"],
                  "networks": [{"uuid": self.network}], **given}  # fmt: skip
        identity: str = self.nova("POST", "/servers", {"server": server})["server"]["id"]
        return identity

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

    def service(self, name: str) -> dict[str, Any] | None:
        """Return a compute service."""
        found = self.nova("GET", f"/os-services?binary=nova-compute&host={name}")["services"]
        return found[0] if found else None


def until(holds: Callable[[], Any], what: str) -> Any:
    """Return what `holds` returns once it is true."""
    end = time.monotonic() + PATIENCE
    while not (found := holds()):
        if time.monotonic() > end:
            raise AssertionError(f"{what} did not happen within {PATIENCE} s")
        time.sleep(0.5)
    return found


@contextmanager
def step(name: str) -> Iterator[None]:
    """Print a step and its duration."""
    began = time.monotonic()
    yield
    print(f"{name:60} {time.monotonic() - began:6.1f} s", flush=True)


def left(esx: dict[str, str]) -> tuple[set[str], set[str]]:
    """Return the names of the host's machines, and of the files in its datastore, but `KEPT`."""

    async def read() -> tuple[set[str], set[str]]:
        tls = vimlib.TLS(pin=esx["pin"])
        password = Path(esx["password_file"])
        async with vimlib.connect(esx["url"], esx["username"], password, tls=tls) as client:
            names = {row["name"] async for row in client.collect(vim25.VirtualMachine, "name")}
            files = {str(entry.path) for entry in await client.datastore("datastore1").list()}
            return names, files - KEPT

    return asyncio.run(read())


def life(cloud: Cloud) -> None:
    """Everything that one server goes through."""
    with step("boot"):
        server = cloud.boot("one")
        shown = cloud.wait(server, "ACTIVE")
        assert shown["OS-EXT-STS:power_state"] == 1
    for action, value, status in (
        ("os-stop", None, "SHUTOFF"),
        ("os-start", None, "ACTIVE"),
        ("reboot", {"type": "HARD"}, "ACTIVE"),
        ("suspend", None, "SUSPENDED"),
        ("resume", None, "ACTIVE"),
        ("resize", {"flavorRef": cloud.flavors["m"]}, "VERIFY_RESIZE"),
        ("revertResize", None, "ACTIVE"),
        ("resize", {"flavorRef": cloud.flavors["m"]}, "VERIFY_RESIZE"),
        ("confirmResize", None, "ACTIVE"),
        ("rebuild", {"imageRef": cloud.image}, "ACTIVE"),
        ("rescue", None, "RESCUE"),
        ("unrescue", None, "ACTIVE"),
    ):
        with step(f"{action} {value or ''}"):
            cloud.act(server, action, value)
            cloud.wait(server, status)
    with step("console"):
        body = {"remote_console": {"protocol": "mks", "type": "webmks"}}
        assert cloud.nova("POST", f"/servers/{server}/remote-consoles", body)
    with step("attach and detach an interface"):
        body = {"interfaceAttachment": {"net_id": cloud.network}}
        path = f"/servers/{server}/os-interface"
        port = cloud.nova("POST", path, body)["interfaceAttachment"]["port_id"]
        cloud.nova("DELETE", f"{path}/{port}")
        until(lambda: len(cloud.nova("GET", path)["interfaceAttachments"]) == 1, "detached")
    with step("delete"):
        cloud.delete(server)


def faults(cloud: Cloud) -> None:
    """Wrong requests: one readable fault each, and nothing left."""
    for name, given, text in (
        (
            "flavor",
            {"flavorRef": cloud.flavors["odd"]},
            "memory_mb must be a multiple of 4, at least 4, got 65",
        ),
    ):
        with step(f"fault: {name}"):
            server = cloud.boot(f"fault-{name.replace(' ', '-')}", **given)
            fault = cloud.wait(server, "ERROR")["fault"]["message"]
            assert text in fault, fault
            cloud.delete(server)


def killed(cloud: Cloud, services: Stack, esx: dict[str, str], points: int) -> None:
    """SIGKILL the compute after each of some calls of a spawn; DELETE leaves nothing."""
    before = left(esx)
    for point in range(1, 3 * points, 3):
        with step(f"kill -9 after call {point} of a spawn, restart, delete"):
            with services.compute("esx1", esx) as compute:
                up(cloud, "esx1")
                seen = len(Path(esx["trace"]).read_text().splitlines())
                server = cloud.boot(f"killed-{point}")
                until(partial(reached, esx, seen, point), f"call {point}")
                kill(compute)
            with services.compute("esx1", esx):
                up(cloud, "esx1")
                cloud.delete(server)
                until(lambda: left(esx) == before, f"nothing left, {left(esx)}")


def reached(esx: dict[str, str], seen: int, point: int) -> bool:
    """Return whether the host has seen some calls since a machine was first looked up."""
    lines = Path(esx["trace"]).read_text().splitlines()[seen:]
    methods = [json.loads(line)["method"] for line in lines]
    return "FindByUuid" in methods and len(methods) - methods.index("FindByUuid") >= point


def kill(process: Process) -> None:
    """End a process as the kernel does when memory is short."""
    process.popen.send_signal(signal.SIGKILL)
    process.popen.wait()


def up(cloud: Cloud, name: str) -> None:
    """Wait until a compute service has reported since now."""
    began = (cloud.service(name) or {}).get("updated_at")

    def reported() -> bool:
        found = cloud.service(name)
        return bool(found and found["state"] == "up" and found["updated_at"] != began)

    until(reported, f"{name} up")


def away(cloud: Cloud, esx: Process) -> None:
    """A host that stops answering disables its service, and enables it when it answers."""

    def status() -> tuple[str, str]:
        found = cloud.service("esx1") or {}
        return str(found.get("status")), str(found.get("disabled_reason"))

    with step("host away: the service is disabled, with the reason"):
        esx.popen.send_signal(signal.SIGSTOP)
        until(lambda: status()[0] == "disabled", "disabled")
        assert status()[1].startswith("AUTO: ")
        print("   ", status()[1])
    with step("host back: the service is enabled"):
        esx.popen.send_signal(signal.SIGCONT)
        until(lambda: status() == ("enabled", "None"), "enabled")


def main(points: int = 4, boots: int = 5) -> None:
    """Start everything, run all steps, tear everything down."""
    with tempfile.TemporaryDirectory(prefix="nova-") as name:
        folder = Path(name)
        began = time.monotonic()
        with stack(folder) as services, host(folder, "esx1") as (esx, process):
            print(f"{'services are up':60} {time.monotonic() - began:6.1f} s", flush=True)
            cloud = Cloud(services)
            cloud.prepare()
            clean = left(esx)
            with services.compute("esx1", esx):
                with step("compute registered"):
                    until(lambda: cloud.service("esx1"), "registered")
                    hosts = "/os-hypervisors"
                    until(lambda: cloud.nova("GET", hosts)["hypervisors"], "discovered")
                life(cloud)
                faults(cloud)
                with step(f"{boots} boots at once, deleted at once"):
                    servers = [cloud.boot(f"many-{at}") for at in range(boots)]
                    for server in servers:
                        cloud.wait(server, "ACTIVE")
                    cloud.delete(*servers)
                away(cloud, process)
            killed(cloud, services, esx, points)
            machines, files = left(esx)
            assert machines == clean[0], machines
            assert files == clean[1], files
            print("nothing is left on the host")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
