"""Level 3: the life of servers under real services; `nox -s nova`, not part of `.ci/run`.

Each step prints its duration; one that fails is counted, and the others still run. At the end the hosts
have what they had before, and nothing else.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tests.integration.peers.images import Kind, make_image
from tests.integration.peers.openstack import call
from tests.integration.peers.process import Process, run
from tests.nova.__main__ import host
from tests.nova.cloud import MIB, Calls, Cloud, Steps, left, until
from tests.nova.stack import SERVICE, Stack, stack

# Formats of qemu-img, with the property by which Glance's users name them.
FORMATS: tuple[tuple[Kind, dict[str, str]], ...] = (
    ("raw", {}),
    ("monolithicSparse", {"vmware_disktype": "sparse"}),
    ("streamOptimized", {"vmware_disktype": "streamOptimized"}),
)
# What is done to one server, and the status after it; `m` is the larger flavor.
LIFE: tuple[tuple[str, dict[str, str] | None, str], ...] = (
    ("os-stop", None, "SHUTOFF"),
    ("os-start", None, "ACTIVE"),
    ("reboot", {"type": "HARD"}, "ACTIVE"),
    ("suspend", None, "SUSPENDED"),
    ("resume", None, "ACTIVE"),
    ("resize", {"flavorRef": "m"}, "VERIFY_RESIZE"),
    ("revertResize", None, "ACTIVE"),
    ("resize", {"flavorRef": "m"}, "VERIFY_RESIZE"),
    ("confirmResize", None, "ACTIVE"),
    ("rebuild", {}, "ACTIVE"),
    ("rescue", None, "RESCUE"),
    ("unrescue", None, "ACTIVE"),
)
# Seconds that the token of a request is valid: its image is being read by then.
TOKEN_SECONDS = 60


@dataclass
class Scene:
    """What the parts of a run work on."""

    cloud: Cloud
    services: Stack
    esx: dict[str, str]
    """The host of the service `esx1`, as `host` yields it."""
    simulator: Process
    """The process of that host."""
    step: Steps
    kills: int
    boots: int
    measured: int


def life(scene: Scene) -> None:
    """Everything that one server goes through."""
    cloud, step = scene.cloud, scene.step
    with step("boot"):
        server = cloud.boot("one")
        assert cloud.wait(server, "ACTIVE")["OS-EXT-STS:power_state"] == 1
    for action, value, status in LIFE:
        given = dict(value) if value is not None else None
        if action == "resize":
            given = {"flavorRef": cloud.flavors["m"]}
        elif action == "rebuild":
            given = {"imageRef": cloud.image}
        with step(action):
            cloud.act(server, action, given)
            cloud.wait(server, status)
    with step("console"):
        body = {"remote_console": {"protocol": "mks", "type": "webmks"}}
        assert cloud.nova("POST", f"/servers/{server}/remote-consoles", body)
    with step("attach and detach an interface"):
        interface = {"interfaceAttachment": {"net_id": cloud.network}}
        path = f"/servers/{server}/os-interface"
        port = cloud.nova("POST", path, interface)["interfaceAttachment"]["port_id"]
        cloud.nova("DELETE", f"{path}/{port}")
        until(lambda: len(cloud.nova("GET", path)["interfaceAttachments"]) == 1, "detached")
    with step("delete"):
        cloud.delete(server)


def images(scene: Scene) -> None:
    """A server from each format, and from the snapshot of another server."""
    cloud, step, services = scene.cloud, scene.step, scene.services
    for seed, (kind, properties) in enumerate(FORMATS, 1):
        with step(f"boot from {kind}"):
            disk = make_image(services.folder, kind, mib=4, seed=seed)
            image = cloud.upload(disk.path, disk.disk_format, **properties)
            server = cloud.boot(kind, imageRef=image)
            cloud.wait(server, "ACTIVE")
            cloud.delete(server)
    with step("snapshot, delete, boot from the snapshot"):
        server = cloud.boot("origin")
        cloud.wait(server, "ACTIVE")
        made = cloud.act(server, "createImage", {"name": "snapshot"})["image_id"]
        path = f"{services.images.url}/v2/images/{made}"

        def status() -> str:
            shown: str = call("GET", path, token=services.token())[1]["status"]
            return shown

        until(lambda: status() == "active", "snapshot active")
        cloud.wait(server, "ACTIVE")
        cloud.delete(server)
        again = cloud.boot("again", imageRef=made)
        cloud.wait(again, "ACTIVE")
        cloud.delete(again)


def token(scene: Scene) -> None:
    """The token of a request expires while its image is read, and the connection breaks after that."""
    cloud, services = scene.cloud, scene.services
    with scene.step("token expired and connection broken within an image"):
        disk = make_image(services.folder, "raw", mib=512, seed=99)
        image = cloud.upload(disk.path, disk.disk_format)
        short, end = services.keystone.short_token(SERVICE, "service", TOKEN_SECONDS)
        root = Path(scene.esx["datastore"])
        before = taken(root)
        server = cloud.boot("expiring", token=short, imageRef=image)

        def begun() -> bool:
            return taken(root) > before + 16 * MIB

        until(begun, "the image is read", pause=0.02)
        glance = services.images.process.popen.pid
        os.killpg(glance, signal.SIGSTOP)
        assert time.time() < end, "the token had expired before the image was read"
        time.sleep(max(end - time.time(), 0) + 1)
        for worker in children(services.images.process):
            os.kill(worker, signal.SIGKILL)
        os.killpg(glance, signal.SIGCONT)
        cloud.wait(server, "ACTIVE")
        cloud.delete(server)


def taken(folder: Path) -> int:
    """Return how many bytes the files of a folder take; those that are gone by then count as none."""
    total = 0
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):
            total += path.stat().st_blocks * 512
    return total


def faults(scene: Scene) -> None:
    """Wrong requests: one readable fault each, and nothing left."""
    cloud = scene.cloud
    # Glance looks at the header alone.
    wrong = make_image(scene.services.folder, "monolithicSparse", mib=4, seed=77).path
    os.truncate(wrong, wrong.stat().st_size // 2)
    for name, given, text in (
        (
            "flavor",
            {"flavorRef": cloud.flavors["odd"]},
            "memory_mb must be a multiple of 4, at least 4, got 65",
        ),
        ("image", {"imageRef": cloud.upload(wrong, "vmdk")}, "image refused by rule tables.entry"),
        (
            "network",
            {"networks": [{"uuid": cloud.make_network("flat", "flat", ("10.1.0.0/24",))}]},
            "physnet1",
        ),
    ):
        with scene.step(f"fault: {name}"):
            refused(cloud, name, text, **given)


def refused(cloud: Cloud, name: str, text: str, **given: Any) -> None:
    """Boot a server that cannot be; its fault has a text."""
    server = cloud.boot(f"fault-{name.replace(' ', '-')}", **given)
    fault = cloud.wait(server, "ERROR")["fault"]["message"]
    print("   ", fault)
    cloud.delete(server)
    assert text in fault, fault


def many(scene: Scene) -> None:
    """Servers that are made at once, and deleted at once."""
    with scene.step(f"{scene.boots} boots at once, deleted at once"):
        scene.cloud.delete(*scene.cloud.boot_many("many", scene.boots))


def away(scene: Scene) -> None:
    """A host that stops answering disables its service, and enables it when it answers."""

    def status() -> tuple[str, str]:
        found = scene.cloud.service("esx1")
        return str(found.get("status")), str(found.get("disabled_reason"))

    with scene.step("host away: the service is disabled, with the reason"):
        scene.simulator.popen.send_signal(signal.SIGSTOP)
        until(lambda: status()[0] == "disabled", "disabled")
        print("   ", status()[1])
        assert status()[1].startswith("AUTO: ")
    with scene.step("host back: the service is enabled"):
        scene.simulator.popen.send_signal(signal.SIGCONT)
        until(lambda: status() == ("enabled", "None"), "enabled")


def two(scene: Scene) -> None:
    """Two computes, a host each: a server on each of them, and the broker restarted meanwhile."""
    cloud, services = scene.cloud, scene.services
    with (
        host(services.folder, "esx2") as (second, _),
        scene.step("two computes, and a restart of RabbitMQ"),
    ):
        clean = left(second)
        with services.compute("esx2", second):
            cloud.up("esx1", "esx2")
            places = ("nova:esx1", "nova:esx2")
            servers = [cloud.boot(f"at-{place[5:]}", availability_zone=place) for place in places]
            for server in servers:
                cloud.wait(server, "ACTIVE")
            services.broker.restart()
            # Nova drops a message to a service that has not connected again.
            cloud.up("esx1", "esx2")
            for server in servers:
                cloud.act(server, "os-stop")
                cloud.wait(server, "SHUTOFF")
            cloud.delete(*servers)
            until(lambda: left(second) == clean, f"nothing left, {left(second)}")


def hosts(scene: Scene) -> None:
    """A service with a wrong configuration has one readable reason."""
    cloud, services, step = scene.cloud, scene.services, scene.step

    def reason(name: str, text: str = "") -> str:
        found = str(cloud.service(name).get("disabled_reason") or "")
        return found if text in found else ""

    if not cloud.service("esx1"):
        # Nova does not register a service before it has seen that the host has no machines of nova.
        with step("compute registered"), services.compute("esx1", scene.esx):
            cloud.up("esx1")
    for name, options, text in (
        ("unreachable host", {"url": "https://127.0.0.1:9/sdk"}, "127.0.0.1"),
        ("pin", {"pin": ":".join(["00"] * 32)}, "pin"),
    ):
        with (
            step(f"fault: {name} at start"),
            services.compute("esx1", {**scene.esx, **options}),
        ):
            print("   ", until(partial(reason, "esx1", text), f"disabled for {text}"))
    with step("the right configuration again"), services.compute("esx1", scene.esx):
        until(lambda: not reason("esx1"), "enabled")
    with (
        host(services.folder, "esx3") as (third, _),
        step("fault: datastore pattern"),
        services.compute("esx3", third, datastores="other.*"),
    ):
        print("   ", until(partial(reason, "esx3", "'other.*'"), "disabled for the pattern"))


def kills(scene: Scene) -> None:
    """SIGKILL the compute at points of a spawn, each of an image of its own; DELETE leaves nothing."""
    cloud, services, step = scene.cloud, scene.services, scene.step
    with host(services.folder, "esx4", "--latency-ms", "20") as (esx, _), ExitStack() as running:
        compute = running.enter_context(services.compute("esx4", esx))
        place = {"availability_zone": "nova:esx4"}
        with step("a whole spawn, its calls counted"):
            cloud.up("esx4")
            # The first one makes the port group of the network too.
            for seed in (99, 100):
                calls = Calls(esx)
                server = cloud.boot("whole", imageRef=image_of(cloud, seed), **place)
                cloud.wait(server, "ACTIVE")
                total = len(calls.spawn())
                cloud.delete(server)
            clean = left(esx)
        for at in range(scene.kills):
            point = 1 + at * (total - 1) // max(scene.kills - 1, 1)
            image = image_of(cloud, 101 + at)
            with step(f"kill -9 at call {point} of a spawn, restart, delete"):
                calls = Calls(esx)
                server = cloud.boot(f"killed-{at}", imageRef=image, **place)
                until(partial(reached, calls, point), f"call {point}", pause=0.002)
                compute.popen.kill()
                running.close()
                made, status = calls.spawn(), cloud.show(server)["status"]
                print(f"    after {len(made)} of {total}, {made[-1]}, {status}")
                compute = running.enter_context(services.compute("esx4", esx))
                cloud.up("esx4")
                cloud.delete(server)
                until(lambda: left(esx) == clean, f"nothing left, {left(esx)}")


def image_of(cloud: Cloud, seed: int, mib: int = 4) -> str:
    """Upload an image that no other step has, so that no cache has it either; return its id."""
    disk = make_image(cloud.services.folder, "raw", mib=mib, seed=seed)
    return cloud.upload(disk.path, disk.disk_format)


def reached(calls: Calls, point: int) -> bool:
    """Return whether the host has seen some calls of a spawn."""
    return len(calls.spawn()) >= point


def cost(scene: Scene) -> None:
    """The CPU time of a compute for many boots, with our driver and with nova's own fake."""
    cloud, boots = scene.cloud, scene.measured
    spent = {}
    for name, driver in (("fake", "fake.FakeDriver"), ("esx1", "esx.ESXNovaDriver")):
        with (
            scene.step(f"{boots} boots by {driver}"),
            scene.services.compute(name, scene.esx, driver=driver) as compute,
        ):
            cloud.up(name)
            before = cpu_seconds(compute)
            servers = cloud.boot_many(name, boots, availability_zone=f"nova:{name}")
            spent[name] = cpu_seconds(compute) - before
            cloud.delete(*servers)
    if len(spent) == 2:
        print("    CPU seconds:", spent, f"ratio {spent['esx1'] / spent['fake']:.2f}")


def transfer(scene: Scene) -> None:
    """The CPU time and the reads of an image through nova, against `vimctl image push` from Glance.

    Of each the difference between a large image and a small one counts, so that what a boot or the start
    of a command costs does not.
    """
    cloud, services = scene.cloud, scene.services
    (worker,) = children(services.images.process)
    spent: dict[str, list[float]] = {"nova": [], "vimctl": []}
    with scene.step("an image through nova and through vimctl"):
        with services.compute("esx1", scene.esx) as compute:
            cloud.up("esx1")
            ways: tuple[tuple[str, Callable[[], float], Callable[[str], None]], ...] = (
                ("nova", partial(cpu_seconds, compute), partial(booted, cloud)),
                ("vimctl", lambda: sum(os.times()[2:4]), partial(pushed, scene)),
            )
            for at in range(3):
                for way, used, bring in ways:
                    cpu, read = [], []
                    for mib in (4, 260):
                        image = image_of(cloud, 1000 + 2 * at + (way == "nova"), mib)
                        before = used(), bytes_read(worker)
                        bring(image)
                        cpu.append(used() - before[0])
                        read.append(bytes_read(worker) - before[1])
                    spent[way].append(cpu[1] - cpu[0])
                    print(f"    {way}: {spent[way][-1]:.2f} s, {(read[1] - read[0]) / MIB:.0f} MiB")
        ours, theirs = (min(spent[way]) for way in ("nova", "vimctl"))
        print(
            f"    CPU seconds for 256 MiB: {ours:.2f} and {theirs:.2f}, ratio {ours / theirs:.2f}"
        )
        vimctl(scene, "datastore", "rm", "--recursive", "[datastore1] pushed")


def booted(cloud: Cloud, image: str) -> None:
    """Boot a server from an image, and delete it."""
    server = cloud.boot("transfer", imageRef=image)
    cloud.wait(server, "ACTIVE")
    cloud.delete(server)


def pushed(scene: Scene, image: str) -> None:
    """Push an image from Glance into a folder of the datastore, which the caller removes."""
    source = [image, "--glance", scene.services.images.url]
    vimctl(scene, "image", "push", *source, "--datastore", "datastore1", "--to", "pushed")


def vimctl(scene: Scene, *words: str) -> None:
    """Run `vimctl` on the host of the service `esx1`."""
    environment = {
        "VIMLIB_URL": scene.esx["url"],
        "VIMLIB_USERNAME": scene.esx["username"],
        "VIMLIB_PASSWORD_FILE": scene.esx["password_file"],
        "VIMLIB_PIN": scene.esx["pin"],
        "OS_TOKEN": scene.services.token(),
    }
    program = Path(sys.executable).with_name("vimctl")
    run("vimctl", [program, *words], env=environment, deadline=300)


def children(process: Process) -> list[int]:
    """Return the ids of the processes that a process has started."""
    name = f"/proc/{process.popen.pid}/task/{process.popen.pid}/children"
    return [int(word) for word in Path(name).read_text().split()]


def bytes_read(process: int) -> int:
    """Return how many bytes a process has read from files."""
    return int(Path(f"/proc/{process}/io").read_text().split()[1])


def cpu_seconds(process: Process) -> float:
    """Return the CPU time that a process has used."""
    fields = Path(f"/proc/{process.popen.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# The parts that share one compute, and those that start their own; in their order.
SHARED: tuple[Callable[[Scene], None], ...] = (life, images, token, faults, many, away, two)
OWN: tuple[Callable[[Scene], None], ...] = (hosts, kills, cost, transfer)


@contextmanager
def scene(kills: int, boots: int, measured: int) -> Iterator[Scene]:
    """Start everything but the computes, and make what the servers need."""
    with tempfile.TemporaryDirectory(prefix="nova-") as name:
        folder = Path(name)
        step = Steps()
        with ExitStack() as running:
            with step("services are up"):
                services = running.enter_context(stack(folder))
                esx, process = running.enter_context(host(folder, "esx1"))
                cloud = Cloud(services)
                cloud.prepare()
            yield Scene(cloud, services, esx, process, step, kills, boots, measured)


def main() -> None:
    """Start everything, run the parts, tear everything down."""
    parser = argparse.ArgumentParser(description=__doc__)
    every = [part.__name__ for part in (*SHARED, *OWN)]
    parser.add_argument("part", nargs="*", help=f"of {', '.join(every)}; all by default")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--boots", type=int, default=20)
    parser.add_argument("--measured", type=int, default=64)
    given = parser.parse_args()
    wanted = given.part or every
    if unknown := set(wanted) - set(every):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    with scene(given.kills, given.boots, given.measured) as one:
        clean = left(one.esx)
        shared = [part for part in SHARED if part.__name__ in wanted]
        if shared:
            with one.services.compute("esx1", one.esx):
                with one.step("compute registered"):
                    one.cloud.up("esx1")
                for part in shared:
                    part(one)
        for part in OWN:
            if part.__name__ in wanted:
                part(one)
        with one.step("nothing is left on the host"):
            assert left(one.esx) == clean, left(one.esx)
    if one.step.failed:
        sys.exit(f"failed: {', '.join(one.step.failed)}")


if __name__ == "__main__":
    main()
