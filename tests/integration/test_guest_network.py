"""A machine's network, from the command that creates the machine to the addresses in its guest.

`vimctl` creates the port group and the machine with two NICs; pyVmomi reads the machine's
configuration for its guest; a Debian guest with the same MAC addresses gets exactly that from
VMware's tools (played by a script), and the test reads the result from the kernel.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pyVim.task import WaitForTask
from pyVmomi import vim

from tests.guest.machine import Machine, eventually
from tests.guest.test_apply import source_snippets
from tests.integration.conftest import Host
from tests.integration.peers.images import DiskImage
from tests.integration.test_spawn import machine as seen_by_pyvmomi
from tests.integration.test_spawn import pyvmomi
from tests.integration.vimctl import vimctl

pytestmark = [
    pytest.mark.needs_chroot,
    pytest.mark.slow,
    pytest.mark.simulator_only("vcsim 0.24.2 has no physical NIC, and so no switch for a VLAN"),
]

# Hosts accept only 00:50:56:00 to 3f of VMware's own MAC addresses from a client.
MAC0, MAC1 = "00:50:56:00:aa:01", "00:50:56:3f:bb:02"
FLAT, VLAN = "VM Network", "blue"
NIC0 = (
    f"network={FLAT},model=vmxnet3,mac={MAC0},ip=10.0.0.2/24+2001:db8::2/64,mtu=9000,"
    "gw=10.0.0.1+2001:db8::1,dns=10.0.0.53,search=example.org,"
    "route=10.9.0.0/16@10.0.0.254+2001:db8:9::/48@2001:db8::9@50"
)
NIC1 = f"network={VLAN},mac={MAC1},ip=10.0.1.2/24+2001:db8:1::2/64,gw=10.0.1.1,mtu=1400"

ROUTES4 = {("default", "10.0.0.1", "eth0"), ("default", "10.0.1.1", "eth1")}
ALL = (
    ["10.0.0.2/24", "2001:db8::2/64"],
    ["10.0.1.2/24", "2001:db8:1::2/64"],
    ROUTES4
    | {
        ("default", "2001:db8::1", "eth0"),
        ("10.9.0.0/16", "10.0.0.254", "eth0"),
        ("2001:db8:9::/48", "2001:db8::9", "eth0"),
    },
    (9000, 1400),
)
# The settings that nova's form cannot express are missing, and vimctl reported them.
NOVA = (["10.0.0.2/24"], ["10.0.1.2/24"], ROUTES4, (1500, 1500))
LOST = {
    "hostname web-1",
    f"{MAC0}: addresses 2001:db8::2/64",
    f"{MAC0}: gateway 2001:db8::1",
    f"{MAC0}: search domains example.org",
    f"{MAC0}: routes 10.9.0.0/16, 2001:db8:9::/48",
    f"{MAC0}: MTU 9000",
    f"{MAC1}: addresses 2001:db8:1::2/64",
    f"{MAC1}: MTU 1400",
}


@pytest.fixture
def guest(chroot: Path, tmp_path: Path) -> Iterator[Machine]:
    """A running guest with the machine's two NICs."""
    folder = tmp_path / "guest"
    folder.mkdir()
    with Machine(chroot, folder, macs=(MAC0, MAC1)) as made:
        yield made


@dataclass(frozen=True)
class Web:
    """The machine on the host."""

    host: Host
    # vimctl's stderr.
    notes: str

    async def carries(self) -> dict[str, str]:
        """The machine's extraConfig, as pyVmomi reads it."""
        found = await asyncio.to_thread(seen_by_pyvmomi, self.host, "web-1")
        assert found is not None
        extra: dict[str, str] = found["extra"]
        return extra


@pytest.fixture
async def spawn(
    host: Host, disk_image: Callable[..., DiskImage]
) -> AsyncIterator[Callable[[str], Any]]:
    """Spawn the machine with a guest form; it and its port group are removed at the end."""
    async with AsyncExitStack() as stack:

        async def undone(*words: str) -> None:
            done = await vimctl(host, *words)
            assert done.code == 0, done.err

        async def make(form: str) -> Web:
            made = await vimctl(host, "network", "ensure-vlan", VLAN, "42", "--json")
            assert made.code == 0, made.err
            assert made.document == {"name": VLAN, "vlan": 42, "vswitch": "vSwitch0"}
            stack.push_async_callback(undone, "network", "remove-vlan", VLAN)
            done = await vimctl(
                host, "instance", "spawn", "--name", "web-1", "--image", str(disk_image("raw").path),
                "--datastore", host.datastore, "--cpus", "1", "--memory-mb", "64", "--hostname", "web-1",
                "--nic", NIC0, "--nic", NIC1, "--guest-form", form, "--json",
            )  # fmt: skip
            assert done.code == 0, done.err
            stack.push_async_callback(undone, "instance", "destroy", "web-1")
            return Web(host, done.err)

        yield make


def vlans(host: Host) -> dict[str, int]:
    """The host's port groups and their VLAN ids, as pyVmomi reads them."""
    with pyvmomi(host) as content:
        (resource,) = content.rootFolder.childEntity[0].hostFolder.childEntity
        (esx,) = resource.host
        groups = esx.configManager.networkSystem.networkInfo.portgroup
        return {group.spec.name: group.spec.vlanId for group in groups}


def assert_up(guest: Machine, expected: tuple[Any, ...]) -> None:
    """Wait until the kernel has those addresses, routes by a gateway, and MTUs."""

    def state() -> tuple[Any, ...]:
        return (
            guest.addresses("eth0"),
            guest.addresses("eth1"),
            guest.routes(),
            (guest.mtu("eth0"), guest.mtu("eth1")),
        )

    eventually(lambda: state() == expected, lambda: (state(), guest.logs))


def boot(guest: Machine, backend: str) -> None:
    """Run the helper as its unit does, then the network service that starts after it."""
    if backend == "ifupdown":
        source_snippets(guest)
    found = guest.helper("--backend", backend)
    assert (found["status"], found["source"]) == ("changed", "machine.id")
    assert [(nic["mac"], nic["interface"], nic["action"]) for nic in found["nics"]] == [
        (MAC0, "eth0", "configured"),
        (MAC1, "eth1", "configured"),
    ]
    match backend:
        case "ifupdown":
            guest.run("ifup", "-a")
        case "networkd":
            guest.networkd()
        case "networkmanager":
            guest.networkmanager()


@pytest.mark.parametrize("backend", ["ifupdown", "networkd", "networkmanager"])
@pytest.mark.parametrize(("form", "expected"), [("nova", NOVA), ("versioned", ALL)])
async def test_the_helper_applies_the_settings_of_spawn(
    guest: Machine,
    host: Host,
    spawn: Callable[[str], Any],
    form: str,
    expected: tuple[Any, ...],
    backend: str,
) -> None:
    web: Web = await spawn(form)
    found = await asyncio.to_thread(seen_by_pyvmomi, host, "web-1")
    assert found is not None
    assert found["nics"] == [("VirtualVmxnet3", MAC0, FLAT), ("VirtualE1000", MAC1, VLAN)]
    assert (await asyncio.to_thread(vlans, host)).items() >= {FLAT: 0, VLAN: 42}.items()
    said = {
        line.partition("cannot express: ")[2] for line in web.notes.splitlines() if "cannot" in line
    }
    assert said == (LOST if form == "nova" else set())
    guest.says((await web.carries())["machine.id"])
    boot(guest, backend)
    assert_up(guest, expected)
    if form == "versioned":
        assert guest.run("hostname").stdout == "web-1\n"


async def test_a_running_guest_applies_new_settings(
    guest: Machine, host: Host, spawn: Callable[[str], Any]
) -> None:
    web: Web = await spawn("nova")
    guest.says((await web.carries())["machine.id"])
    boot(guest, "ifupdown")
    assert_up(guest, NOVA)
    nics = [",".join(nic.split(",")[1:]).replace("model=vmxnet3,", "") for nic in (NIC0, NIC1)]
    words = ["guest", "set", "web-1", "--nic", nics[0], "--nic", nics[1], "--form", "versioned"]
    done = await vimctl(host, *words, "--json")
    assert done.code == 0, done.err
    carried = await web.carries()
    assert carried["machine.id"] == done.document["machine.id"]
    guest.says(carried["machine.id"])
    # No resolver runs in this guest, and the helper reports that.
    for written in (True, False):
        report = guest.helper("--backend", "ifupdown", code=5)
        assert {problem["file"] for problem in report["problems"]} == {"/etc/resolv.conf"}
        assert bool(report["files"]) == written
        assert_up(guest, ALL)


def sent_to_the_host(host: Host, guest: Machine) -> None:
    """Do what `info-set` does on a real host, for all that the helper has sent."""
    keys = ("vimguest.status", "local-ipv4", "local-ipv6")
    found = {f"guestinfo.{key}": guest.text(f"/usr/local/bin/vmtoolsd.guestinfo.{key}") for key in keys}  # fmt: skip
    with pyvmomi(host) as content:
        (vm,) = [one for one in content.rootFolder.childEntity[0].vmFolder.childEntity if one.name == "web-1"]  # fmt: skip
        made: Any = vim
        options = [made.option.OptionValue(key=key, value=value) for key, value in found.items()]
        WaitForTask(vm.ReconfigVM_Task(made.vm.ConfigSpec(extraConfig=options)))


async def test_the_result_of_the_helper_reaches_the_command(
    guest: Machine, host: Host, spawn: Callable[[str], Any]
) -> None:
    web: Web = await spawn("nova")
    guest.says((await web.carries())["machine.id"])
    boot(guest, "networkd")
    assert_up(guest, NOVA)
    guest.run("rm", "-f", "/etc/resolv.conf")
    for server, code in (("9.9.9.9", 5), ("10.0.0.53", 0)):
        guest.put("/etc/resolv.conf", f"nameserver {server}\n")
        guest.helper("--verify", code=code)
        await asyncio.to_thread(sent_to_the_host, host, guest)
        done = await vimctl(host, "instance", "ip", "web-1", "--wait", "60", "--json")
        if code:
            assert done.code == 1
            assert "/etc/resolv.conf won" in done.err
    assert done.document == {
        "addresses": ["10.0.0.2", "10.0.1.2"],
        "origin": "helper",
        "verified": True,
        "problems": [],
    }


async def test_cloud_init_applies_the_settings_of_spawn(
    guest: Machine, spawn: Callable[[str], Any]
) -> None:
    web: Web = await spawn("cloud-init")
    carried = await web.carries()
    assert "machine.id" not in carried
    metadata = guest.cloud_init(carried)
    found = json.loads((await vimctl(web.host, "instance", "show", "web-1", "--json")).out)
    assert (metadata["instance-id"], metadata["local-hostname"]) == (found["uuid"], "web-1")
    guest.networkd()
    assert_up(guest, ALL)
