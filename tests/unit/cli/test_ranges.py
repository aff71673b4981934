"""Arguments out of range: each message states the rule and the value, before anything is sent."""

from __future__ import annotations

import re
import types
from pathlib import Path
from typing import Any, Union, get_args, get_origin

import pytest

from vimdriver._cli.app import COMMANDS, resolved
from vimlib.simulator import ESXHost

from .conftest import Vimctl

SPAWN = "instance spawn --name a --image ./a --datastore datastore1"
NIC = "mac=00:50:56:00:00:01"
# Required arguments of each command, before the one under test.
REQUIRED = {
    "get": "VirtualMachine",
    "watch": "VirtualMachine -p name",
    "ls": "/",
    "call": "VirtualMachine:1 PowerOnVM_Task",
    "image push": "./a --datastore datastore1",
    "image inspect": "./a",
    "image cache ls": "--datastore datastore1",
    "image cache rm": "a --datastore datastore1",
    "image cache prune": "--datastore datastore1",
    "image capture": "vm-0 --name a",
    "instance spawn": SPAWN.removeprefix("instance spawn "),
    "instance snapshot": "vm-0 s",
    "instance revert": "vm-0 s",
    "instance remove-snapshot": "vm-0 s",
    "instance clone": "vm-0 n",
    "instance export": "vm-0 a.raw",
    "instance import": "a.raw --datastore datastore1",
    "instance register": "[datastore1]a.vmx",
    "instance rename": "vm-0 n",
    "instance annotate": "vm-0 n",
    "instance rescue": "vm-0 [datastore1]a.vmdk",
    "instance rebuild": "vm-0 [datastore1]a.vmdk",
    "instance grow-disk": "vm-0 d",
    "instance detach-disk": "vm-0 d",
    "instance insert-cdrom": "vm-0 [datastore1]a.iso",
    "instance attach-interface": "vm-0 n",
    "instance change-interface": "vm-0 n",
    "instance detach-interface": "vm-0 n",
    "instance screenshot": "vm-0 shot.png",
    "instance exec": "vm-0 /bin/true",
    "instance autostarts": "",
    "network switches": "",
    "network policies": "",
    "network vmkernel": "",
    "host service": "TSM-SSH start",
    "host service-policy": "TSM-SSH on",
    "host ruleset": "sshServer open",
    "host time-servers": "--servers ntp1",
    "host set-option": "UserVars.A 1",
    "host mount": "nas filer /a",
    "host unmount": "nas",
    "host reboot": "esx1",
    "host shutdown": "esx1",
    "network create-switch": "lab",
    "network remove-switch": "lab",
    "network set-mtu": "vSwitch0",
    "network set": "lab",
    "instance cp": "./a vm-0:/tmp/a",
    "datastore put": "./a [datastore1]",
    "datastore mv": "[datastore1] [datastore1]",
    "network ensure-vlan": "lab",
    "network remove-vlan": "lab",
    "guest set": "vm-0",
}
# Option to values with the rule that they break; the same in every command with the option.
RULES = {
    "--timeout": [("0", "must be above 0, got 0"), ("-5", "must be above 0, got -5"),
                  ("nan", "must be a finite number, got nan"), ("inf", "must be a finite number, got inf")],
    "--wait": [("0", "must be above 0, got 0"), ("-1", "must be above 0, got -1")],
    "--wait-network": [("0", "must be above 0, got 0"), ("-1", "must be above 0, got -1")],
    "--stall-timeout": [("0", "must be above 0, got 0"), ("-1.5", "must be above 0, got -1.5")],
    "--bandwidth": [("0", "must be above 0, got 0"), ("-1", "must be above 0, got -1")],
    "--host-bandwidth": [("0", "must be above 0, got 0"), ("-1", "must be above 0, got -1")],
    "--concurrency": [("0", "must be at least 1, got 0"), ("-4", "must be at least 1, got -4")],
    "--limit": [("-1", "must be at least 0, got -1")],
    "--count": [("0", "must be at least 1, got 0")],
    "--grace": [("0", "must be above 0, got 0"), ("nan", "must be a finite number, got nan")],
    "--older-than": [("-1", "must be at least 0, got -1"), ("nan", "must be a finite number, got nan"),
                     ("inf", "must be a finite number, got inf")],
    "--days": [("-1", "must be at least 0, got -1"), ("nan", "must be a finite number, got nan")],
    "--image-mib": [("0", "must be at least 1, got 0")],
    "--port": [("-1", "must be 0 to 65535, got -1"), ("65536", "must be 0 to 65535, got 65536")],
    "--vms": [("-1", "must be at least 0, got -1")],
    "--latency-ms": [("-1", "must be at least 0, got -1")],
    "--task-ms": [("-1", "must be at least 0, got -1"), ("inf", "must be a finite number, got inf")],
    "--lines": [("0", "must be at least 1, got 0")],
    "--samples": [("0", "must be 1 to 180, got 0"), ("181", "must be 1 to 180, got 181")],
    "--drain": [("-1", "must be at least 0, got -1")],
    "--order": [("-2", "must be at least -1, got -2")],
    "--start-delay": [("-2", "must be at least -1, got -2")],
    "--stop-delay": [("-2", "must be at least -1, got -2")],
    "--mtu": [("1279", "must be 1280 to 9000, got 1279"), ("9001", "must be 1280 to 9000, got 9001")],
    "MTU": [("1279", "must be 1280 to 9000, got 1279"), ("9001", "must be 1280 to 9000, got 9001")],
    "--vlan": [("-1", "must be 0 to 4094, got -1"), ("4095", "must be 0 to 4094, got 4095")],
    "--parallel": [("0", "must be at least 1, got 0")],
    "--update-ms": [("-1", "must be at least 0, got -1")],
    "--seed": [("-1", "must be at least 0, got -1")],
    "--capacity-gb": [("0", "must be at least 1, got 0")],
    "--max-objects": [("0", "must be at least 1, got 0")],
    "--session-limit": [("0", "must be at least 1, got 0")],
    "--call-log-limit": [("-1", "must be at least 0, got -1")],
    "--session-timeout": [("0", "must be above 0, got 0"), ("nan", "must be a finite number, got nan")],
    "--cpus": [("0", "must be at least 1, got 0")],
    "--memory-mb": [("3", "must be a multiple of 4, at least 4, got 3"),
                    ("0", "must be a multiple of 4, at least 4, got 0"),
                    ("513", "must be a multiple of 4, at least 4, got 513")],
    "--cores-per-socket": [("0", "must be at least 1, got 0")],
    "--video-ram-mb": [("0", "must be 1 to 128, got 0"), ("129", "must be 1 to 128, got 129")],
    "--tail": [("0", "must be at least 1, got 0")],
    "--disk-gb": [("0", "must be at least 1, got 0")],
    "--size-gb": [("0", "must be 1 to 63488, got 0"), ("63489", "must be 1 to 63488, got 63489")],
    "SIZE_GB": [("0", "must be 1 to 63488, got 0"), ("63489", "must be 1 to 63488, got 63489")],
    "VLAN": [("-1", "must be 0 to 4094, got -1"), ("4095", "must be 0 to 4094, got 4095")],
}  # fmt: skip
# Values that are not numbers: the command line, and the full message.
TEXTS = [
    (f"{SPAWN} --uuid zz", "invalid UUID: 'zz'. Omit it to generate one."),
    (f"{SPAWN.replace('--name a', '--name ../a')}",
     ("--name must be 1 to 80 printable characters without spaces at the ends, got '../a'. "
      "The first character must not be a dot.")),
    (f"{SPAWN} --disk size=0", "size_gb must be 1 to 63488, got 0"),
    (f"{SPAWN} --disk size=x", "size must be a whole number, got 'x'"),
    (f"{SPAWN} --disk size=--5", "size must be a whole number, got '--5'"),
    (f"{SPAWN} --disk adapter=nvme", "a disk requires size=GIB. Write --disk size=GIB"),
    (f"{SPAWN} --disk size=1,speed=2", "invalid part of --disk: 'speed=2'. Write --disk size=GIB"),
    (f"{SPAWN} --disk size=1,type=fat", "disk_type must be one of thin, thick, eagerZeroedThick, got 'fat'"),
    (f"{SPAWN} --allocation gpu,limit=1", "--allocation must begin with cpu, memory, network or disk, each once, got 'gpu,limit=1'."),
    (f"{SPAWN} --allocation cpu,limit=0", "limit must be at least 1, or -1 for none, got 0"),
    (f"{SPAWN} --allocation cpu,shares=much", "shares must be low, normal, high or a number, got 'much'"),
    (f"{SPAWN} --metadata a", "--metadata must be NAME=VALUE, got 'a'"),
    (f"{SPAWN} --hardware-version 13", "the hardware version must be like vmx-13, got '13'"),
    (f"{SPAWN} --secure-boot", "--secure-boot requires the firmware efi."),
    (f"{SPAWN} --cpus 3 --cores-per-socket 2", "--cpus must be a multiple of 2, the cores per socket, got 3"),
    (f"{SPAWN} --user-data ./a", "--user-data requires --config-drive."),
    (f"{SPAWN} --config-drive cidata --user-data ./none", "cannot read --user-data 'none': No such file or directory"),
    (f"{SPAWN} --mac xx --network n", "invalid MAC address: 'xx'. Write it as 00:50:56:00:00:01."),
    (f"{SPAWN} --mac {NIC[4:]}", "--mac and --ip require --network. Give --network PG too."),
    (f"{SPAWN} --nic network=n,model=ne2000", "model must be one of e1000, e1000e, vmxnet3, pcnet32, got 'ne2000'"),
    (f"{SPAWN} --nic network=n,vlan=4095", "vlan must be 0 (untagged) to 4094, got 4095"),
    (f"{SPAWN} --nic network=n,vlan=x", "vlan must be 0 to 4094, got 'x'"),
    (f"{SPAWN} --nic network=n,interface=vmnic1", "interface requires vlan. Give vlan=ID too."),
    (f"{SPAWN} --nic network=n,network=m", "network must be given once per NIC."),
    (f"{SPAWN} --nic speed=1", "invalid part of a NIC: 'speed=1'."),
    (f"{SPAWN} --owner {'x' * 256}", f"--owner must be 1 to 255 printable characters, got '{'x' * 80}'"),
    (f"{SPAWN} --hostname a_b", "--hostname must be a DNS name of letters, digits and inner hyphens, got 'a_b'"),
    (f"guest render --nic {NIC},mtu=100", "mtu must be a whole number from 576 to 9216, got '100'"),
    (f"guest render --nic {NIC},mtu=big", "mtu must be 576 to 9216, got 'big'"),
    (f"guest render --nic {NIC},dhcp=5", "dhcp must be 4, 6 or 4+6, got '5'"),
    (f"guest render --nic {NIC},ip=10.0.0.2", "addresses must be an address with a prefix length, as 10.0.0.2/24, got '10.0.0.2'"),
    (f"guest render --nic {NIC},gw=1.1.1.1+2.2.2.2", "gw must be at most one IPv4 and one IPv6 gateway, got '1.1.1.1+2.2.2.2'"),
    (f"guest render --nic {NIC},route=10.9.0.0/16", "route must be NETWORK@GATEWAY[@METRIC], got '10.9.0.0/16'"),
    (f"guest render --nic {NIC},dhcp=4,route=10.9.0.0/16@10.0.0.9@0",
     "metric must be a whole number from 1 to 4294967295, got '0'"),
    (f"guest render --nic {NIC},dns=+", "dns must not have empty values, got '+'."),
    ("guest render --nic network=n", "a NIC requires mac=ADDRESS."),
    (f"guest render --nic {NIC} --form cloud-init",
     "the form cloud-init requires an instance id. Give instance_id (--instance-id on the command line)."),
    (f"guest render --nic {NIC} --form cloud-init --instance-id a/b",
     "--instance-id must be 1 to 128 letters, digits and ._:-, got 'a/b'"),
    (f"instance snapshot vm-0 {'s' * 81}", "the name of a snapshot must have 1 to 80 characters, got 81"),
    ("instance attach-interface vm-0 n --mac xx", "invalid MAC address: 'xx'. Write it as 00:50:56:00:00:01."),
    ("instance attach-interface vm-0 n --model ne2000", 'Invalid value "ne2000" for --model.'),
    ("instance register [datastore1]a.vmdk", "path must name a machine's configuration file (.vmx), got '[datastore1]a.vmdk'"),
    (f"instance rename vm-0 {'n' * 81}", "name must be 1 to 80 printable characters without spaces at the ends, got '"),
    ("instance clone vm-0 n --uuid zz", "invalid UUID: 'zz'. Omit it to generate one."),
    ("instance rescue vm-0 [datastore1]a.iso", "disk must name a disk's descriptor (.vmdk), got '[datastore1]a.iso'"),
    ("instance attach-disk vm-0", "exactly one of size_gb and path is required. Give the size of a new disk, or the path of an existing one."),
    ("instance attach-disk vm-0 --path a.vmdk", "invalid datastore path: a.vmdk:"),
    ("instance attach-disk vm-0 --path [datastore1]a.iso", "--path must name a disk's descriptor (.vmdk), got '[datastore1]a.iso'"),
    ("instance attach-disk vm-0 --size-gb 1 --mode x", 'Invalid value "x" for --mode.'),
    ("instance change-interface vm-0 n", "a network or a state is required. Give network (--network) or connected."),
    (f"network ensure-vlan {'n' * 81} 5", f"the name of a port group must be 1 to 80 printable characters, got '{'n' * 81}'"),
    ("image push a.img", "--datastore is required. Try: vimctl image push --help"),
    ("image push a.img --datastore", "--datastore requires a value. Try: vimctl image push --help"),
    ("instance spawn", "--name and --datastore are required. Try: vimctl instance spawn --help"),
    ("instance spawn --image=a.img", "--name and --datastore are required. Try: vimctl instance spawn --help"),
    ("call ServiceInstance:ServiceInstance", "METHOD is required. Try: vimctl call --help"),
    ("image push --datastore datastore1", "at least one image is required. Give an id, a name, a URL or a file."),
    ("image push ./a ./a --datastore datastore1", "each image must be given once, got ./a several times"),
    ("image push ./a --datastore datastore1 --glance http://g --os-cloud c", "--glance and --os-cloud are mutually exclusive. Give one of them."),
    ("instance destroy", "at least one machine is required. List machines: vimctl instance list"),
    ("datastore rm", "at least one path is required. List paths: vimctl datastore ls"),
    ("datastore rm a", "the path must name a datastore, got 'a'."),
    ("datastore get [datastore1]", "the path must name a file, got a datastore: [datastore1]."),
    ("datastore ls [datastore1]/..", "invalid datastore path: [datastore1] /..:"),
    ("get VirtualMachine:1", "at least one --path is required. Try: vimctl get VirtualMachine:1 -p name"),
    ("get VirtualMachine: -p name", "a reference must be VirtualMachine:ID, got 'VirtualMachine:'"),
    ("get Machine", "unknown managed type: 'Machine'."),
    ("watch VirtualMachine", "at least one --path is required. Try: vimctl watch VirtualMachine -p name"),
    ("call VirtualMachine:1 PowerOn", "VirtualMachine has no method 'PowerOn'. Did you mean PowerOnVM_Task"),
    ("call VirtualMachine:1 PowerOnVM_Task [", "the arguments must be JSON: "),
    ("about --pin zz", "a pin must be the SHA-256, SHA-512 or SHA-1 of a certificate in hex, got 'zz'. Give the SHA-256: 64 hex digits, with or without colons."),
    ("about --insecure --ca x", "--insecure and --ca are mutually exclusive. Give one of them."),
    ("about --url https://u:p@h/", "the server URL must not contain a user name or password. Give username and password as separate arguments."),
    ("about --url https://h:99999", "invalid server address 'https://h:99999': malformed URL. Write https://HOST/sdk or just HOST."),
    ("about --url ftp://h", "invalid server address 'ftp://h': the scheme must be https."),
]  # fmt: skip


def _numbers(hint: Any) -> set[type]:
    """Return the numeric types that a parameter takes."""
    if get_origin(hint) in (Union, types.UnionType):
        return set().union(*map(_numbers, get_args(hint)))
    return {hint} & {int, float}


def numeric(path: str) -> list[str]:
    """Return the numeric arguments and options of a command."""
    _, apps, _ = resolved(path.split()).parse_commands(path.split())
    return [a.name for a in apps[-1].assemble_argument_collection() if _numbers(a.hint)]


CASES = [
    (path, name, value, rule)
    for path in COMMANDS
    for name in numeric(path)
    for value, rule in RULES.get(name, [])
]


def test_every_numeric_argument_of_every_command_has_its_rule_here() -> None:
    assert {name for path in COMMANDS for name in numeric(path)} == set(RULES)


@pytest.fixture
def anywhere(vimctl: Vimctl, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Vimctl:
    """The command in an empty folder, with a login for a host that must receive no request."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VIMLIB_URL", "https://127.0.0.1:1/sdk")
    monkeypatch.setenv("VIMLIB_USERNAME", "u")
    monkeypatch.setenv("VIMLIB_PASSWORD", "p")
    return vimctl


@pytest.mark.parametrize(("path", "name", "value", "rule"), CASES)
def test_a_number_out_of_range_is_refused(
    anywhere: Vimctl, path: str, name: str, value: str, rule: str
) -> None:
    required = REQUIRED.get(path, "vm-0" if path.startswith("instance ") else "[datastore1]")
    if path not in REQUIRED and (
        path.startswith(
            ("instance list", "instance events", "host", "network ls", "about", "sweep")
        )
        or path in {"sim", "demo"}
    ):
        required = ""
    if path == "network set-mtu" and name != "MTU":
        required += " 1500"
    if path == "network ensure-vlan" and name != "VLAN":
        required += " 5"
    if path == "instance grow-disk" and name != "SIZE_GB":
        required += " 5"
    given = [f"{name}={value}"] if name.startswith("-") else ["--", value]
    done = anywhere(*path.split(), *required.split(), *given, code=2)
    assert done.out == ""
    assert re.match(
        rf"vimctl: {name} {re.escape(rule)}(\. Try: vimctl {path} --help)?\n\Z", done.err
    )


@pytest.mark.parametrize(("words", "message"), TEXTS)
def test_a_text_that_is_not_a_number_is_refused(
    esx: ESXHost,
    vimctl: Vimctl,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    words: str,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    done = vimctl(*words.split(), code=2)
    assert done.out == ""
    assert done.err.startswith(f"vimctl: {message}"), done.err
    assert done.err.count("\n") == 1
