"""Level 3: the life of servers under real services; `nox -s nova`, not part of `.ci/run`.

Each step prints its duration; one that fails is counted, and the others still run. At the end the hosts
have what they had before, and nothing else.
"""

from __future__ import annotations

import asyncio
import json
import os
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
from tests.integration.peers.images import Kind, make_image
from tests.integration.peers.openstack import call
from tests.integration.peers.process import PeerError, Process
from tests.nova.__main__ import host
from tests.nova.stack import Stack, stack
from vimlib import vim25

PATIENCE = 300
# Images for the next machines, and the notes about port groups of VLANs, which stay too.
KEPT = {"[datastore1] vimlib-cache", "[datastore1] vimlib-networks"}
MIB = 1 << 20
FAILED: list[str] = []
# Formats of qemu-img, with the property by which Glance's users name them.
FORMATS: tuple[tuple[Kind, dict[str, str]], ...] = (
    ("raw", {}),
    ("monolithicSparse", {"vmware_disktype": "sparse"}),
    ("streamOptimized", {"vmware_disktype": "streamOptimized"}),
)


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
    """Print a step and its duration, or the reason why it failed."""
    began = time.monotonic()
    result = ""
    try:
        yield
    except (AssertionError, PeerError, OSError) as error:
        FAILED.append(name)
        result = f"  FAILED: {str(error)[:300]}"
    print(f"{name:60} {time.monotonic() - began:6.1f} s{result}", flush=True)


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


def images(cloud: Cloud) -> None:
    """A server from each format, and from the snapshot of another server."""
    folder, token = cloud.services.folder, cloud.services.token
    for seed, (kind, properties) in enumerate(FORMATS, 1):
        with step(f"boot from {kind}"):
            disk = make_image(folder, kind, mib=4, seed=seed)
            image = cloud.services.images.upload(
                disk.path, disk.disk_format, token=token(), visibility="public", **properties
            )
            server = cloud.boot(kind, imageRef=image["id"])
            cloud.wait(server, "ACTIVE")
            cloud.delete(server)
    with step("snapshot, delete, boot from the snapshot"):
        server = cloud.boot("origin")
        cloud.wait(server, "ACTIVE")
        made = cloud.act(server, "createImage", {"name": "snapshot"})["image_id"]
        path = f"{cloud.services.images.url}/v2/images/{made}"
        until(lambda: call("GET", path, token=token())[1]["status"] == "active", "snapshot active")
        cloud.wait(server, "ACTIVE")
        cloud.delete(server)
        again = cloud.boot("again", imageRef=made)
        cloud.wait(again, "ACTIVE")
        cloud.delete(again)


def faults(cloud: Cloud) -> None:
    """Wrong requests: one readable fault each, and nothing left."""
    token = cloud.services.token()
    wrong = cloud.services.folder / "wrong.vmdk"
    wrong.write_bytes(b"not a disk " * 4096)
    image = cloud.services.images.upload(wrong, "vmdk", token=token, visibility="public")["id"]
    base = f"{cloud.services.network}/v2.0"
    flat = {"name": "flat", "port_security_enabled": False, "provider:network_type": "flat",
            "provider:physical_network": "physnet1"}  # fmt: skip
    network = call("POST", f"{base}/networks", {"network": flat}, token=token)[1]["network"]["id"]
    subnet = {"network_id": network, "ip_version": 4, "cidr": "10.1.0.0/24"}
    call("POST", f"{base}/subnets", {"subnet": subnet}, token=token)
    for name, given, text in (
        (
            "flavor",
            {"flavorRef": cloud.flavors["odd"]},
            "memory_mb must be a multiple of 4, at least 4, got 65",
        ),
        ("image", {"imageRef": image}, "vmdk"),
        ("network", {"networks": [{"uuid": network}]}, "physnet1"),
    ):
        with step(f"fault: {name}"):
            refused(cloud, name, text, **given)


def refused(cloud: Cloud, name: str, text: str, **given: Any) -> None:
    """Boot a server that cannot be; its fault has a text."""
    server = cloud.boot(f"fault-{name.replace(' ', '-')}", **given)
    fault = cloud.wait(server, "ERROR")["fault"]["message"]
    print("   ", fault)
    cloud.delete(server)
    assert text in fault, fault


def wrong_hosts(cloud: Cloud, services: Stack, esx: dict[str, str]) -> None:
    """A service with a wrong configuration has one readable reason."""

    def reason(text: str = "") -> str:
        found = str((cloud.service("esx1") or {}).get("disabled_reason") or "")
        return found if text in found else ""

    for name, options, text in (
        ("unreachable host", {"url": "https://127.0.0.1:9/sdk"}, "127.0.0.1"),
        ("pin", {"pin": ":".join(["00"] * 32)}, "pin"),
    ):
        with step(f"fault: {name} at start"), services.compute("esx1", {**esx, **options}):
            found = until(partial(reason, text), f"disabled for {text}")
            print("   ", found)
    with step("the right configuration again"), services.compute("esx1", esx):
        until(lambda: not reason(), "enabled")
    with (
        host(services.folder, "esx3") as (third, _),
        step("fault: datastore pattern"),
        services.compute("esx3", third, datastores="other.*"),
    ):
        until(lambda: cloud.service("esx3"), "registered")
        refused(cloud, "datastore", "", availability_zone="nova:esx3")


def cost(cloud: Cloud, services: Stack, esx: dict[str, str], boots: int) -> None:
    """The CPU time of a compute for many boots, with our driver and with nova's own fake."""
    spent = {}
    for name, driver in (("fake", "fake.FakeDriver"), ("esx1", "esx.ESXNovaDriver")):
        with (
            step(f"{boots} boots by {driver}"),
            services.compute(name, esx, driver=driver) as compute,
        ):
            up(cloud, name)
            before = cpu_seconds(compute)
            servers = [
                cloud.boot(f"{name}-{at}", availability_zone=f"nova:{name}") for at in range(boots)
            ]
            for server in servers:
                cloud.wait(server, "ACTIVE")
            spent[name] = cpu_seconds(compute) - before
            cloud.delete(*servers)
    if len(spent) == 2:
        print("    CPU seconds:", spent, f"ratio {spent['esx1'] / spent['fake']:.2f}")


def cpu_seconds(process: Process) -> float:
    """Return the CPU time that a process has used."""
    fields = Path(f"/proc/{process.popen.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def two(cloud: Cloud, services: Stack) -> None:
    """Two computes, a host each: a server on each of them, and the broker restarted meanwhile."""
    with (
        host(services.folder, "esx2") as (second, _),
        step("two computes, and a restart of RabbitMQ"),
    ):
        clean = left(second)
        with services.compute("esx2", second):
            until(lambda: cloud.service("esx2"), "registered")
            hosts = "/os-hypervisors"
            until(lambda: len(cloud.nova("GET", hosts)["hypervisors"]) == 2, "discovered")
            places = ("nova:esx1", "nova:esx2")
            servers = [cloud.boot(f"at-{place[5:]}", availability_zone=place) for place in places]
            for server in servers:
                cloud.wait(server, "ACTIVE")
            services.broker.restart()
            for server in servers:
                cloud.act(server, "os-stop")
                cloud.wait(server, "SHUTOFF")
            cloud.delete(*servers)
            until(lambda: left(second) == clean, f"nothing left, {left(second)}")


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


def main(points: int = 4, boots: int = 5, measured: int = 16) -> None:
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
                with step("the life of a server"):
                    life(cloud)
                images(cloud)
                faults(cloud)
                with step(f"{boots} boots at once, deleted at once"):
                    servers = [cloud.boot(f"many-{at}") for at in range(boots)]
                    for server in servers:
                        cloud.wait(server, "ACTIVE")
                    cloud.delete(*servers)
                away(cloud, process)
                two(cloud, services)
            wrong_hosts(cloud, services, esx)
            killed(cloud, services, esx, points)
            cost(cloud, services, esx, measured)
            machines, files = left(esx)
            assert machines == clean[0], machines
            assert files == clean[1], files
            print("nothing is left on the host")
    if FAILED:
        sys.exit(f"failed: {', '.join(FAILED)}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
