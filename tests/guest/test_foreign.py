"""What other people's programs write for a guest and read in one: nova and cloudbase-init."""

from __future__ import annotations

import base64
import ipaddress
import json
import random
import subprocess
from pathlib import Path
from typing import Any

import pytest

from guest import vimguest
from tests.integration.peers.environment import environment
from vimdriver import _guestinfo as guestinfo
from vimdriver._guestinfo import NIC, GuestConfig, Route

from .test_records import KEY

pytestmark = [
    pytest.mark.integration,
    pytest.mark.slow,
    # The first test installs the program.
    pytest.mark.timeout(900),
]

RECORDS = 600
CONFIGS = 250


def ask(python: Path, script: str, question: Any, folder: Path) -> Any:
    """Run a script there with a JSON document to read; the JSON document that it prints last."""
    ran = subprocess.run(
        [python, "-c", script],
        input=json.dumps(question),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        cwd=folder,
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    return json.loads(ran.stdout.splitlines()[-1])


# --- nova ---------------------------------------------------------------------

# nova's own model of a network, and its own function.
NOVA = """
import json, sys
from nova.network import model
from nova.virt.vmwareapi import vmops
def ip(address, kind=model.IP):
    return kind(address=address, version=6 if ":" in address else 4)
found = []
for nics in json.load(sys.stdin):
    info = model.NetworkInfo()
    for nic in nics:
        subnets = [
            model.Subnet(
                cidr=subnet["cidr"],
                dns=[ip(one) for one in subnet["dns"]],
                gateway=ip(subnet["gateway"]) if subnet["gateway"] else model.IP(address=None),
                ips=[ip(one, model.FixedIP) for one in subnet["ips"]],
                version=6 if ":" in subnet["cidr"] else 4,
            )
            for subnet in nic["subnets"]
        ]
        network = model.Network(id="n", bridge="b", label="l", subnets=subnets)
        info.append(model.VIF(id="v", address=nic["mac"], network=network))
    found.append(vmops.VMwareVMOps._get_machine_id_str(info))
print(json.dumps(found))
"""


def random_subnet(rng: random.Random, at: int) -> dict[str, Any]:
    """An IPv4 subnet as neutron allows it, odd ones included."""
    bits = rng.choice([8, 16, 20, 24, 24, 24, 28, 29, 30, 31, 32])
    network = ipaddress.ip_network((rng.choice([0x0A000000, 0x0A000000 + (at << 16)]), bits), False)
    hosts = [str(network[at]) for at in range(1, min(network.num_addresses - 1, 6))]
    hosts = hosts or [str(one) for one in network]
    gateway = rng.choice([hosts[0], hosts[0], hosts[-1], None, "169.254.0.1", "192.0.2.1"])
    servers = ["10.0.0.53", "192.0.2.53", "2001:db8::53", "fd00::53"]
    return {
        "cidr": str(network),
        "gateway": gateway,
        "ips": rng.sample(hosts, rng.choice([0, 1, 1, 1, min(2, len(hosts))])),
        "dns": rng.sample(servers, rng.choice([0, 1, 1, 2, 3])),
    }


def random_nics(rng: random.Random) -> list[dict[str, Any]]:
    """The NICs of one machine."""
    six = {
        "cidr": "2001:db8::/64",
        "gateway": "2001:db8::1",
        "ips": ["2001:db8::2"],
        "dns": ["2001:db8::53"],
    }
    nics = []
    for at in range(rng.choice([1, 1, 2, 3, 10])):
        subnets = [random_subnet(rng, at + 1) for _ in range(rng.choice([0, 1, 1, 1, 2]))]
        subnets += [six] * rng.choice([0, 0, 1])
        mac = f"fa:16:3e:{rng.randrange(256):02x}:{rng.randrange(256):02x}:{at:02x}"
        nics.append({"mac": rng.choice([mac, mac.upper()]), "subnets": subnets})
    return nics


def driver_nic(nic: dict[str, Any]) -> NIC:
    """The same NIC as the driver has it: the first address and servers of its first IPv4 subnet."""
    first = next((one for one in nic["subnets"] if ":" not in one["cidr"]), None)
    if first is None or not first["ips"]:
        return NIC(nic["mac"])
    bits = first["cidr"].partition("/")[2]
    return NIC(nic["mac"], [f"{first['ips'][0]}/{bits}"], first["gateway"], dns=first["dns"][:1])


@pytest.fixture(scope="module")
def nova() -> Path:
    return environment("guest-nova", "nova==34.0.0", "oslo.vmware==4.10.1") / "bin/python"


def test_nova_driver_and_helper_agree_on_each_record(nova: Path, tmp_path: Path) -> None:
    rng = random.Random(19)
    machines = [random_nics(rng) for _ in range(RECORDS)]
    texts = ask(nova, NOVA, machines, tmp_path)
    odd = set()
    for nics, text in zip(machines, texts, strict=True):
        ours = [driver_nic(nic) for nic in nics]
        rows = guestinfo.machine_id(ours).split("#")
        for sent, row, theirs in zip(ours, rows, text.split("#"), strict=False):
            # nova names the subnet of a NIC that has no address in it; the driver does not.
            assert row == theirs if sent.addresses else row.startswith(theirs.partition(";")[0])
        read = vimguest.parse(text)[1]
        # No NIC loses its network to an odd value, its own or another's.
        assert [nic.mac for nic in read.nics] == [nic.mac.lower() for nic in ours]
        for found, sent in zip(read.nics, ours, strict=True):
            assert [str(one) for one in found.addresses] == list(sent.addresses)
            assert [str(one) for one in found.dns] == list(sent.dns)
            own = [one.partition("/")[0] for one in sent.addresses]
            usable = None if sent.gateway4 in own else sent.gateway4
            assert (None if found.gateway4 is None else str(found.gateway4)) == usable
        odd |= {note.partition(": ")[2][:20] for note in read.notes} | {
            note[-14:] for note in read.notes if "two NICs" in note
        }
    # The generator does make those that used to be refused.
    assert any("gateway ignored" in one for one in odd)
    assert "is on two NICs" in odd
    assert any("2001:db8::53" in text for text in texts)


# --- cloudbase-init -----------------------------------------------------------

# Its class with a vmware-rpctool and osutils that are played; all else is its own.
CLOUDBASE = """
import json, sys, tempfile
from unittest import mock
from cloudbaseinit.osutils import factory
utils = mock.Mock()
factory.get_os_utils = lambda: utils
from cloudbaseinit.metadata.services import vmwareguestinfoservice as module
found = []
for settings in json.load(sys.stdin):
    def run(argv, settings=settings):
        key = argv[1].partition(" ")[2]
        value = settings.get(key)
        return (b"", b"No value found", 1) if value is None else (value.encode(), b"", 0)
    utils.execute_process = run
    module.CONF.set_override("vmware_rpctool_path", sys.executable, "vmwareguestinfo")
    service = module.VMwareGuestInfoService()
    assert service.load()
    network = service.get_network_details_v2()
    user = service.get_user_data()
    found.append({
        "instance": service.get_instance_id(),
        "host": service.get_host_name(),
        "keys": sorted(service.get_public_keys()),
        "admin": service.get_admin_username(),
        "user": None if user is None else user.decode(),
        "links": [[one.mac_address, one.mtu] for one in network.links] if network else [],
        "networks": [
            [one.link, one.address_cidr, one.dns_nameservers,
             [[route.network_cidr, route.gateway] for route in one.routes]]
            for one in network.networks
        ] if network else [],
    })
print(json.dumps(found))
"""


def random_config(rng: random.Random) -> GuestConfig:
    """A configuration of the driver for a Windows guest."""
    nics = []
    for at in range(rng.choice([0, 1, 1, 2, 10])):
        four = [f"10.{at}.0.{host}/24" for host in rng.sample(range(2, 99), rng.choice([0, 1, 2]))]
        six = [f"2001:db8:{at}::{rng.randrange(2, 99):x}/64"] * rng.choice([0, 1])
        routes = [Route("10.99.0.0/16", f"10.{at}.0.254")] * (rng.choice([0, 1]) if four else 0)
        nics.append(
            NIC(
                f"00:50:56:00:00:{at:02x}",
                [*four, *six],
                f"10.{at}.0.1" if four and rng.random() < 0.8 else None,
                f"2001:db8:{at}::1" if six and rng.random() < 0.8 else None,
                rng.sample(["10.0.0.53", "2001:db8::53"], rng.choice([0, 1, 2])),
                [f"{'x' * 60}.example"] * rng.choice([0, 1, 30]),
                dhcp4=not (four or six),
                routes=routes,
                mtu=rng.choice([None, 1400]),
            )
        )
    return GuestConfig(
        rng.choice([None, "win-1"]),
        nics,
        ssh_keys={"admin": [KEY, KEY + " two"][: rng.choice([1, 2])]} if rng.random() < 0.5 else {},
        user_data=rng.choice([None, "#ps1_sysnative\nexit 0\n", "rem " + "x" * 5000]),
    )


@pytest.fixture(scope="module")
def cloudbase() -> Path:
    return environment("guest-cloudbase-init", "cloudbase-init==1.1.9") / "bin/python"


def test_cloudbase_init_reads_what_the_driver_writes(cloudbase: Path, tmp_path: Path) -> None:
    rng = random.Random(19)
    configs = [random_config(rng) for _ in range(CONFIGS)]
    sent = [guestinfo.extra_config(one, "cloud-init", instance_id="i-1") for one in configs]
    encodings = {settings["guestinfo.metadata.encoding"] for settings in sent}
    assert encodings == {"base64", "gzip+base64"}
    read = ask(cloudbase, CLOUDBASE, sent, tmp_path)
    for config, found in zip(configs, read, strict=True):
        assert (found["instance"], found["host"]) == ("i-1", config.hostname)
        assert found["user"] == config.user_data
        keys = [key for keys in config.ssh_keys.values() for key in keys]
        assert found["keys"] == sorted(keys)
        assert found["admin"] == next(iter(config.ssh_keys), None)
        assert found["links"] == [[nic.mac, nic.mtu] for nic in config.nics]
        lost = guestinfo.left_out(config, "cloud-init")
        networks = iter(found["networks"])
        seen: set[str] = set()
        for nic in config.nics:
            versions = {ipaddress.ip_interface(address).version for address in nic.addresses}
            ways = [next(networks) for _ in nic.addresses]
            assert sorted(cidr for _, cidr, _, _ in ways) == sorted(nic.addresses)
            for _, _, servers, routes in ways:
                seen.update(servers)
                # A name server is asked by way of a NIC that has an address of its version.
                assert {ipaddress.ip_address(server).version for server in servers} <= versions
                assert {
                    one for one in nic.dns if ipaddress.ip_address(one).version in versions
                } <= {*servers}
                for gateway, everywhere in ((nic.gateway4, "0.0.0.0/0"), (nic.gateway6, "::/0")):
                    kept = gateway is not None and f"{nic.mac}: gateway {gateway}" not in lost
                    assert kept == (everywhere in dict(routes)), (nic, routes)
                    assert not kept or [everywhere, gateway] in routes
        wanted = {
            server for nic in config.nics for server in nic.dns if f"DNS {server}" not in lost
        }
        assert seen == wanted or any(nic.dhcp4 for nic in config.nics)


def test_metadata_of_cloudbase_init_holds_no_password() -> None:
    config = GuestConfig("win-1", [NIC("00:50:56:00:00:01", dhcp4=True)], ssh_keys={"admin": [KEY]})
    text = guestinfo.metadata(config, "i-1")["guestinfo.metadata"]
    assert "password" not in base64.b64decode(text).decode()
