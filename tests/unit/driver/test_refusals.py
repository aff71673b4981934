"""Arguments out of range, unknown, or against the state: one typed sentence, and nothing is changed.

Each parameter of each verb has its rows in `BAD`, or its reason in `FREE`.
"""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.unit.driver.hosted import Beside
from tests.unit.driver.scenarios import (
    CARD,
    DISK,
    LOGIN,
    MIB,
    OTHER,
    ROOT,
    SCENARIOS,
    SECOND,
    UUID,
    VM,
    Act,
    in_rescue,
    on,
    resized,
    shot,
    staged,
    verbs,
    wanted,
)
from vimdriver._driver import ESXDriver
from vimdriver._guestinfo import NIC, GuestConfig
from vimdriver._instances.programs import GuestLogin
from vimdriver._instances.types import NICSpec
from vimdriver.errors import (
    DiskSnapshotError,
    ForeignInstanceError,
    ForeignPortGroupError,
    ImageNotFoundError,
    InstanceExistsError,
    InstanceStateError,
    NetworkNotFoundError,
    PendingChangeError,
    PhysicalNICNotFoundError,
    PortGroupMismatchError,
)
from vimlib import vim25
from vimlib._secret import Secret
from vimlib.errors import (
    EncodeError,
    HostStateError,
    InvalidPathError,
    NotFoundError,
    SourceError,
    UsageError,
    VimlibError,
)

LONG = "a" * 81
WRONG = GuestLogin("root", Secret("wrong"))

RAW = Path("web.img")
"""A file in the folder of the test."""

# The arguments of a verb in its usual case; see `SCENARIOS`.
USUAL: dict[str, dict[str, Any]] = {
    "adopt": {"ref": VM},
    "annotate": {"ref": VM, "text": "text"},
    "answer": {"ref": VM, "choice": "0"},
    "attach_disk": {"ref": VM, "size_gb": 1},
    "attach_interface": {"ref": VM, "network": "VM Network"},
    "capture": {"ref": VM, "name": "golden"},
    "change_hardware": {"ref": VM, "cpus": 2},
    "change_interface": {"ref": VM, "nic": CARD, "connected": False},
    "clone": {"ref": VM, "name": "copy"},
    "control_service": {"service": "TSM-SSH", "action": "start"},
    "create_switch": {"name": "lab"},
    "detach_disk": {"ref": VM, "disk": DISK},
    "export": {"ref": VM, "file": Path("/none/web.ova")},
    "import_instance": {"file": RAW, "datastore": "datastore1"},
    "insert_cdrom": {"ref": VM, "path": SECOND},
    "detach_interface": {"ref": VM, "nic": CARD},
    "ensure_vlan": {"name": "blue", "vlan": 42},
    "grow_disk": {"ref": VM, "disk": DISK, "size_gb": 2},
    "guest_download": {"ref": VM, "login": LOGIN, "path": "/tmp/file"},
    "guest_exec": {"ref": VM, "login": LOGIN, "program": "/bin/true"},
    "guest_ps": {"ref": VM, "login": LOGIN},
    "guest_upload": {"ref": VM, "login": LOGIN, "source": b"text", "path": "/tmp/other"},
    "mount_nfs": {"name": "nas", "server": "filer", "path": "/a"},
    "reboot_host": {"confirm": "localhost.localdomain"},
    "rebuild": {"ref": VM, "disk": ROOT},
    "register": {"path": "[datastore1] vm-0/vm-0.vmx"},
    "remove_snapshot": {"ref": VM, "snapshot": "one"},
    "remove_switch": {"name": "lab"},
    "remove_vlan": {"name": "blue"},
    "rename": {"ref": VM, "name": "renamed"},
    "rescue": {"ref": VM, "disk": ROOT},
    "resize": {"ref": VM, "cpus": 2},
    "revert_snapshot": {"ref": VM, "snapshot": "one"},
    "send_keys": {"ref": VM, "text": "x"},
    "set_guest_info": {"ref": VM, "config": GuestConfig(hostname="web")},
    "set_host_option": {"key": "UserVars.SuppressShellWarning", "value": "1"},
    "set_mtu": {"switch": "vSwitch0", "mtu": 9000},
    "set_port_group": {"name": "VM Network", "vlan": 5},
    "set_switch": {"name": "vSwitch0", "balancing": "loadbalance_ip"},
    "set_ruleset": {"ruleset": "CIMSLP", "state": "closed"},
    "set_service_policy": {"service": "TSM-SSH", "policy": "on"},
    "set_time_servers": {"servers": ("ntp1",)},
    "shutdown_host": {"confirm": "localhost.localdomain"},
    "snapshot": {"ref": VM, "name": "two"},
    "spawn": {"spec": wanted()},
    "unmount_nfs": {"name": "nas"},
}

# What goes with a value of a parameter.
ALONG: dict[tuple[str, str], dict[str, Any]] = {
    ("attach_disk", "path"): {"size_gb": None},
    ("clone", "snapshot"): {"linked": True},
}

Row = tuple[Any, type[VimlibError], str]
"""A value, its error, and what its sentence has."""


def among(name: str, value: str) -> Row:
    return (value, UsageError, rf"{name} must be one of \w+.*, got '{value}'")


NAMES: list[Row] = [
    ("", UsageError, r"name must be 1 to 80 printable characters .*, got ''"),
    (LONG, UsageError, rf"name must be 1 to 80 printable characters .*, got '{LONG}'"),
    ("a\0b", UsageError, r"name must be 1 to 80 printable characters .*, got 'a\\\\x00b'"),
    (OTHER, InstanceExistsError, "machine 'vm-1' already exists"),
]
CPUS: list[Row] = [
    (0, UsageError, "cpus must be at least 1, got 0"),
    (100_000, UsageError, "cpus must be a number that the host supports, got 100000"),
]
MEMORY: list[Row] = [
    (0, UsageError, "memory_mb must be a multiple of 4, at least 4, got 0"),
    (6, UsageError, "memory_mb must be a multiple of 4, at least 4, got 6"),
    (1 << 40, UsageError, "memory_mb must be a number that the host supports, got 1099511627776"),
]
GROUPS: list[Row] = [
    ("", NetworkNotFoundError, "port group not found: ''. The host has: VM Network"),
    ("none", NetworkNotFoundError, "port group not found: 'none'. The host has: VM Network"),
]
CARDS: list[Row] = [("none", NotFoundError, "vm-0 has no network card 'none'. It has: Network")]
DISKS: list[Row] = [("none", NotFoundError, "vm-0 has no disk 'none'. It has: Hard disk 1")]
DRIVES: list[Row] = [("none", NotFoundError, "vm-0 has no CD-ROM drive 'none'")]
SHOTS: list[Row] = [("none", NotFoundError, "no snapshots named 'none'. It has: one")]
PATHS: list[Row] = [
    ("none", InvalidPathError, r"invalid datastore path: none: it must begin with \[datastore\]"),
    ("[datastore1] no/no.vmdk", NotFoundError, r"not found: \[datastore1\] no/no.vmdk"),
    ("[none] a/a.vmdk", NotFoundError, r"not found: \[none\] a/a.vmdk"),
]
SERVICES: list[Row] = [("none", NotFoundError, "service not found on .*: 'none'. The host has:")]
UPLINKS: list[Row] = [
    (("vmnic77",), PhysicalNICNotFoundError, "physical NIC not found: 'vmnic77'. The host has:")
]
VLANS: list[Row] = [
    (-1, UsageError, "vlan must be 0 .* to 4094, got -1"),
    (4095, UsageError, "vlan must be 0 .* to 4094, got 4095"),
]
POLICIES = (
    "balancing", "notify_switches", "failback", "promiscuous", "mac_changes", "forged",
)  # fmt: skip
MTUS: list[Row] = [
    (1279, UsageError, "mtu must be 1280 to 9000, got 1279"),
    (9001, UsageError, "mtu must be 1280 to 9000, got 9001"),
]
SWITCHES: list[Row] = [("none", NetworkNotFoundError, "switch not found: 'none'. The host has:")]
LOGINS: list[Row] = [(WRONG, vim25.InvalidGuestLogin, "Failed to authenticate")]
CONFIRM: list[Row] = [
    ("other", UsageError, "confirm must be the host's name, 'localhost.localdomain', got 'other'")
]

BAD: dict[str, dict[str, list[Row]]] = {
    "annotate": {"text": [("a\0b", UsageError, "text must not have control characters, got")]},
    "answer": {
        "choice": [("7", UsageError, "choice must be one that the machine offers, got '7'")]
    },
    "attach_disk": {
        "size_gb": [
            (0, UsageError, "size_gb must be 1 to 63488, got 0"),
            (63489, UsageError, "size_gb must be 1 to 63488, got 63489"),
            (None, UsageError, "exactly one of size_gb and path"),
        ],
        "path": PATHS,
        "adapter": [among("adapter", "scsi")],
        "mode": [among("mode", "sometimes")],
        "disk_type": [among("disk_type", "fat")],
    },
    "attach_interface": {
        "network": GROUPS,
        "model": [among("model", "ne2000")],
        "mac": [("00:11", UsageError, "invalid MAC address: '00:11'")],
    },
    "capture": {
        "name": [
            ("", UsageError, "name must be 1 to 255 printable characters, got ''"),
            ("a" * 256, UsageError, "name must be 1 to 255 printable characters, got 'aaa"),
        ],
        "visibility": [among("visibility", "secret")],
    },
    "change_hardware": {"cpus": CPUS, "memory_mb": MEMORY},
    "change_interface": {"nic": CARDS, "network": GROUPS},
    "clone": {
        "name": NAMES,
        "datastore": [
            ("", NotFoundError, "datastore not found on .*: ''. The host has: datastore1"),
            ("none", NotFoundError, "datastore not found on .*: 'none'. The host has: datastore1"),
        ],
        "uuid": [("x", UsageError, "invalid UUID: 'x'")],
        "snapshot": [("none", NotFoundError, "vm-0 has no snapshots named 'none'")],
    },
    "console": {"kind": [among("kind", "vnc")]},
    "control_service": {"service": SERVICES, "action": [among("action", "explode")]},
    "create_switch": {
        "name": [
            ("", UsageError, "name of a switch must be 1 to 31 printable characters, got ''"),
            ("a" * 32, UsageError, "name of a switch must be 1 to 31 printable characters, got"),
            ("vSwitch0", HostStateError, "switch 'vSwitch0' already exists"),
        ],
        "uplinks": [
            *UPLINKS,
            (("vmnic0",), HostStateError, "vmnic0 must be free, switch 'vSwitch0'"),
        ],
        "mtu": MTUS,
    },
    "datastores": {
        "pattern": [("[", UsageError, r"pattern must be a regular expression, got '\['")]
    },
    "detach_disk": {"disk": DISKS},
    "eject_cdrom": {"drive": DRIVES},
    "export": {"file": [(Path("/none/web.ova"), VimlibError, "/none")]},
    "import_instance": {
        "file": [(Path("/none/web.ova"), ImageNotFoundError, "image not found: ./none/web.ova")],
        "datastore": [("none", NotFoundError, "datastore not found on .*: 'none'")],
        "name": [("", UsageError, "name must be 1 to 80 printable characters .*, got ''")],
        "network": [("none", VimlibError, "'none'")],
    },
    "insert_cdrom": {
        "path": [
            ("none", InvalidPathError, "invalid datastore path: none"),
            (ROOT, UsageError, r"path must name an ISO image \(.iso\), got '\[datastore1\] vm-0"),
            ("[datastore1] no/no.iso", NotFoundError, r"not found: \[datastore1\] no/no.iso"),
        ],
        "drive": DRIVES,
    },
    "detach_interface": {"nic": CARDS},
    "ensure_vlan": {
        "name": [
            ("", UsageError, "name of a port group must be 1 to 80 printable characters, got ''"),
            (LONG, UsageError, "name of a port group must be 1 to 80 printable characters, got"),
            ("VM Network", PortGroupMismatchError, "'VM Network'.* 42"),
        ],
        "vlan": VLANS,
        "interface": [("vmnic77", PhysicalNICNotFoundError, "physical NIC not found: 'vmnic77'")],
    },
    "enter_maintenance": {"drain": [(-1, UsageError, "drain must be at least 0 s, got -1")]},
    "grow_disk": {
        "disk": DISKS,
        "size_gb": [
            (0, UsageError, "size_gb must be 1 to 63488, got 0"),
            (63489, UsageError, "size_gb must be 1 to 63488, got 63489"),
        ],
    },
    "guest_download": {
        "login": LOGINS,
        "path": [
            ("", UsageError, "path must be a path in the guest, got ''"),
            ("/none", vim25.FileNotFound, "/none was not found"),
        ],
    },
    "guest_exec": {
        "login": LOGINS,
        "program": [
            ("", UsageError, "program must be a path in the guest, got ''"),
            ("/none", vim25.FileNotFound, "/none was not found"),
        ],
        "cwd": [("/none", vim25.FileNotFound, "/none was not found")],
        "timeout": [(0, UsageError, "timeout must be greater than 0 s, got 0")],
    },
    "guest_ps": {"login": LOGINS},
    "guest_upload": {
        "login": LOGINS,
        "source": [(Path("/none/file"), SourceError, "cannot read '/none/file'")],
        "path": [
            ("", UsageError, "path must be a path in the guest, got ''"),
            ("/none/none", vim25.FileNotFound, "/none was not found"),
        ],
        "mode": [(0o10000, UsageError, "mode must be 0 to 0o7777, got 0o10000")],
    },
    "logs": {
        "key": [("none", NotFoundError, "log not found on .*: 'none'. The host has: hostd")],
        "lines": [(0, UsageError, "lines must be at least 1, got 0")],
    },
    "metrics": {
        "counters": [
            (("none",), UsageError, "counters must be names such as cpu.usage.average, got 'none'"),
            ((), UsageError, "counters must be at least one name, got none"),
        ],
        "samples": [
            (0, UsageError, "samples must be 1 to 180, got 0"),
            (181, UsageError, "samples must be 1 to 180, got 181"),
        ],
    },
    "mount_nfs": {
        "name": [
            ("", UsageError, "name must be 1 to 80 printable characters .*, got ''"),
            ("a/b", UsageError, "name must be .* without / .*, got 'a/b'"),
            ("datastore1", HostStateError, "datastore 'datastore1' already exists"),
        ],
        "server": [
            ("", UsageError, "server must be a name or an address, got ''"),
            ("a b", UsageError, "server must be a name or an address, got 'a b'"),
            ("nobody", vim25.HostConfigFault, "nobody:/a"),
        ],
        "path": [("a", UsageError, "path must begin with /, got 'a'")],
        "kind": [among("kind", "SMB")],
    },
    "reboot_host": {"confirm": CONFIRM},
    "shutdown_host": {"confirm": CONFIRM},
    "rebuild": {"disk": PATHS},
    "rescue": {"disk": PATHS},
    "register": {
        "path": [
            ("none", InvalidPathError, "invalid datastore path: none"),
            (
                "[datastore1] a.vmdk",
                UsageError,
                r"must name a .* \(.vmx\), got '\[datastore1\] a.vmdk'",
            ),
            ("[datastore1] no/no.vmx", NotFoundError, r"file not found: \[datastore1\] no/no.vmx"),
            ("[none] a.vmx", vim25.InvalidDatastore, "Invalid datastore 'none'"),
            ("[datastore1] vm-1/vm-1.vmx", InstanceExistsError, r"vm-1/vm-1.vmx' already exists"),
        ],
        "name": NAMES,
    },
    "remove_snapshot": {"snapshot": SHOTS},
    "revert_snapshot": {"snapshot": SHOTS},
    "remove_switch": {
        "name": [*SWITCHES, ("vSwitch0", HostStateError, "'vSwitch0' must have no port groups, it")]
    },
    "remove_vlan": {
        "name": [
            ("none", NetworkNotFoundError, "port group not found: 'none'"),
            ("VM Network", ForeignPortGroupError, "'VM Network' was not made by this driver"),
        ]
    },
    "rename": {"name": NAMES},
    "resize": {
        "cpus": CPUS,
        "memory_mb": MEMORY,
        "disk_gb": [
            (0, UsageError, "disk_gb must be 1 to 63488, got 0"),
            (63489, UsageError, "disk_gb must be 1 to 63488, got 63489"),
        ],
    },
    "send_keys": {
        "text": [
            ("\x01", UsageError, r"text must have characters of a US keyboard only, got '\\\\x01'"),
            ("", UsageError, "text or keys must be given, got neither"),
        ],
        "keys": [(("NONE",), UsageError, "keys must be names such as enter .*, got 'NONE'")],
    },
    "set_autostart": {
        "order": [(-2, UsageError, "order must be -1 or at least 1, got -2")],
        "start_delay": [(-2, UsageError, "start_delay must be at least 0 s, or -1, got -2")],
        "stop_delay": [(-2, UsageError, "stop_delay must be at least 0 s, or -1, got -2")],
        "stop_action": [among("stop_action", "explode")],
    },
    "set_guest_info": {
        "config": [
            (
                GuestConfig(nics=[NIC(mac="00:50:56:00:00:99", addresses=["10.0.0.9/16"])]),
                UsageError,
                "00:50:56:00:00:99",
            )
        ],
        "form": [
            among("form", "xml"),
            ("nova", UsageError, "the form nova requires a NIC"),
        ],
    },
    "set_host_option": {
        "key": [("none", NotFoundError, "option not found on .*: 'none'")],
        "value": [
            ("many", UsageError, "value must be a number, got 'many'"),
            ("99999", UsageError, r"value must be one that UserVars.\w+ takes, got '99999'"),
        ],
    },
    "set_mtu": {"switch": SWITCHES, "mtu": MTUS},
    "set_port_group": {
        "name": [("none", NetworkNotFoundError, "port group not found: 'none'")],
        "vlan": VLANS,
        "active": UPLINKS,
        "standby": UPLINKS,
        **{name: [among(name, "maybe")] for name in POLICIES},
    },
    "set_ruleset": {
        "ruleset": [("none", NotFoundError, "ruleset not found on .*: 'none'")],
        "state": [among("state", "ajar")],
    },
    "set_service_policy": {"service": SERVICES, "policy": [among("policy", "maybe")]},
    "set_switch": {
        "name": SWITCHES,
        "active": UPLINKS,
        "standby": UPLINKS,
        **{name: [among(name, "inherit")] for name in POLICIES},
    },
    "set_time_servers": {
        "servers": [
            ((), UsageError, r"servers must be at least one name or address each, got \(\)"),
            (("a b",), UsageError, r"servers must be at least one .*, got \('a b',\)"),
        ]
    },
    "shutdown": {
        "timeout": [
            (0, UsageError, "timeout must be greater than 0 s, got 0"),
            (float("nan"), UsageError, "timeout must be greater than 0 s, got nan"),
        ]
    },
    "snapshot": {
        "name": [
            ("", UsageError, "name of a snapshot must have 1 to 80 characters, got 0"),
            (LONG, UsageError, "name of a snapshot must have 1 to 80 characters, got 81"),
            ("a\0", EncodeError, r"name: character not allowed in XML: U\+0000"),
        ],
        "description": [
            ("a\0", EncodeError, r"description: character not allowed in XML: U\+0000")
        ],
    },
    "spawn": {
        "spec": [
            (wanted(OTHER), InstanceExistsError, "machine 'vm-1' already exists"),
            (wanted(datastore="none"), NotFoundError, "datastore not found on .*: 'none'"),
            (wanted(nics=(NICSpec(network="none"),)), NetworkNotFoundError, "not found: 'none'"),
            (wanted(guest_id="none"), UsageError, "guest_id must be a guestId .*, got 'none'"),
            (
                wanted(nics=(NICSpec(network="blue", vlan=42, interface="vmnic77"),)),
                PhysicalNICNotFoundError,
                "physical NIC not found: 'vmnic77'",
            ),
        ]
    },
    "unmount_nfs": {
        "name": [
            ("none", NotFoundError, "datastore not found on .*: 'none'"),
            ("datastore1", UsageError, "the datastore must be of kind NFS, 'datastore1' is VMFS"),
        ]
    },
}
# Any value of them is fine.
FREE: dict[str, str] = {
    "arguments": "passed to the program as they are",
    "env": "passed to the program as it is",
    "connected": "true or false",
    "prefix": "selects none",
    "kinds": "a newer host may have others",
    "properties": "passed to the image service",
    "target": "an object of the caller's",
    "source": "an object of the caller's, except for guest_upload",
    "on_left": "a function",
    "on_progress": "a function",
    "on_ignored": "a function",
}


@dataclass(frozen=True)
class Against:
    """A verb against the state of its machine or host."""

    verb: str
    error: type[VimlibError]
    says: str
    before: Act | None = None
    given: dict[str, Any] | None = None


async def off(driver: ESXDriver) -> None:
    await driver.power_off(VM)


async def maintained(driver: ESXDriver) -> None:
    await driver.enter_maintenance()


RUNNING = r"'?vm-0'? is poweredOn, not poweredOff|poweredOn.*poweredOff|poweredOff.*poweredOn"
AGAINST: list[Against] = [
    *(
        Against(verb, InstanceStateError, RUNNING, on)
        for verb in ("clone", "unregister", "resize", "rescue", "rebuild")
    ),
    *(
        Against(verb, InstanceStateError, RUNNING, off)
        for verb in ("suspend", "reboot", "screenshot", "console", "guest_exec", "send_keys")
    ),
    Against("resume", InstanceStateError, "suspended", on),
    Against("power_on", HostStateError, "the host refuses .* vm-0 .* poweredOn", maintained),
    Against("clone", HostStateError, "maintenance", maintained),
    Against("spawn", HostStateError, "maintenance", maintained),
    Against("enter_maintenance", HostStateError, "no machine may run, 1 run: vm-0", on),
    Against("reboot_host", HostStateError, "is not in maintenance mode"),
    Against("shutdown_host", HostStateError, "is not in maintenance mode"),
    Against("confirm_resize", PendingChangeError, "'vm-0' has no resize to end"),
    Against("revert_resize", PendingChangeError, "'vm-0' has no resize to end"),
    Against("unrescue", PendingChangeError, "'vm-0' has no rescue to end"),
    Against("rescue", PendingChangeError, "'vm-0' has a rescue that is not final", in_rescue),
    Against("resize", PendingChangeError, "'vm-0' has a resize that is not final", resized),
    Against("grow_disk", DiskSnapshotError, "'vm-0' has snapshots", shot, {"disk": "Hard disk 1"}),
]


def of(verb: str) -> list[str]:
    return [*inspect.signature(getattr(ESXDriver, verb).function).parameters][1:]


def rows_of(verb: str) -> list[tuple[dict[str, Any], type[VimlibError], str]]:
    """Return the arguments that a verb refuses, each with its error."""
    rows = [
        (ALONG.get((verb, name), {}) | {name: value}, error, says)
        for name, given in BAD.get(verb, {}).items()
        for value, error, says in given
    ]
    if "ref" in of(verb) and verb != "destroy":  # a machine that does not exist is fine for it
        for ref in ("nobody", UUID):
            rows.append(({"ref": ref}, NotFoundError, f"machine not found on .*: '{ref}'"))
    if verb == "clone":  # a copy leaves the other machine as it is
        rows.append(({"ref": OTHER, "linked": True}, ForeignInstanceError, OTHER))
    elif "foreign" in of(verb) and verb != "adopt":
        rows.append(({"ref": OTHER}, ForeignInstanceError, OTHER))
    return rows


def test_each_parameter_of_each_verb_has_its_rows() -> None:
    missing = []
    for verb in sorted(verbs()):
        signature = inspect.signature(getattr(ESXDriver, verb).function)
        for name, one in [*signature.parameters.items()][1:]:
            free = name in FREE or name == "ref" or one.annotation == "bool"
            if not free and name not in BAD.get(verb, {}):
                missing.append(f"{verb}({name})")
    assert not missing
    unknown = [f"{v}({n})" for v, rows in BAD.items() for n in rows if n not in of(v)]
    assert not unknown


def usual(verb: str) -> dict[str, Any]:
    return USUAL.get(verb, {"ref": VM} if "ref" in of(verb) else {})


@pytest.mark.parametrize("verb", sorted(verb for verb in verbs() if rows_of(verb)))
async def test_bad_arguments_are_refused_and_change_nothing(
    verb: str, beside: Beside, tmp_path: Path
) -> None:
    with staged(SCENARIOS[verb], beside, tmp_path / "store") as stage:
        async with stage.driver() as driver:
            await stage.prepare(driver)
            state = stage.kept()
            (tmp_path / RAW).write_bytes(bytes(MIB))
            for given, error, says in rows_of(verb):
                args = {
                    name: tmp_path / RAW if value is RAW else value
                    for name, value in (usual(verb) | given).items()
                }
                with pytest.raises(VimlibError) as caught:
                    await getattr(driver, verb)(**args)
                assert isinstance(caught.value, error), (given, caught.value)
                assert re.search(says, str(caught.value)), (given, caught.value)
                assert stage.kept() == state, given


@pytest.mark.parametrize("row", AGAINST, ids=lambda row: f"{row.verb}-{row.says[:12]}")
async def test_a_verb_against_the_state_is_refused_and_changes_nothing(
    row: Against, beside: Beside, tmp_path: Path
) -> None:
    with staged(SCENARIOS[row.verb], beside, tmp_path / "store") as stage:
        async with stage.driver() as driver:
            if SCENARIOS[row.verb].owned:
                await driver.adopt(VM)
            if row.before is not None:
                await row.before(driver)
            state = stage.kept()
            with pytest.raises(row.error, match=row.says):
                await getattr(driver, row.verb)(**usual(row.verb) | (row.given or {}))
            assert stage.kept() == state
