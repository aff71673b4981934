from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.cli.conftest import Vimctl
from tests.unit.driver.hosted import Beside
from vimlib.simulator import ESXHost

ROW = {"uuid", "name", "power_state", "cpus", "memory_mb", "moref"}
MAC = "00:50:56:00:00:09"


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    path = tmp_path / "disk.img"
    path.write_bytes(b"\x01" * (1 << 20))
    return path


def spawn(disk: Path, *more: str, name: str = "web") -> tuple[str | Path, ...]:
    return (
        "instance",
        "spawn",
        "--name",
        name,
        "--image",
        disk,
        "--datastore",
        "datastore1",
        *more,
    )


def files(esx: ESXHost) -> set[Path]:
    return set(esx.datastore_path().rglob("*"))


def test_machines_are_listed_and_shown(esx: ESXHost, vimctl: Vimctl) -> None:
    rows = vimctl.json("instance", "list")
    assert [row["name"] for row in rows] == ["vm-0", "vm-1"]
    assert set(rows[0]) == ROW
    for ref in (rows[0]["uuid"], "vm-0", rows[0]["moref"]):
        assert vimctl.json("instance", "show", ref) == rows[0]
    assert vimctl("instance", "list").out.splitlines()[0].split() == [
        "UUID", "NAME", "POWER_STATE", "CPUS", "MEMORY_MB", "MOREF",
    ]  # fmt: skip
    assert "poweredOff" in vimctl("instance", "show", "vm-0").out
    vimctl("instance", "show", "nosuch", code=4)


def test_spawn_and_destroy(esx: ESXHost, vimctl: Vimctl, disk: Path) -> None:
    before = files(esx)
    words = spawn(
        disk, "--network", "VM Network", "--mac", MAC, "--ip", "10.0.0.2/24", "--cpus", "2",
        "--memory-mb", "256", "--nic", "network=VM Network,model=vmxnet3",
    )  # fmt: skip
    made = vimctl.json(*words)
    assert made | {"uuid": "", "moref": ""} == {
        "uuid": "", "name": "web", "power_state": "poweredOn", "cpus": 2, "memory_mb": 256, "moref": "",
    }  # fmt: skip
    machine = f"VirtualMachine:{made['moref']}"
    props = vimctl.json("get", machine, "-p", "config.hardware.device", "-p", "config.extraConfig")[
        "props"
    ]
    cards = [d["_typeName"] for d in props["config.hardware.device"] if "macAddress" in d]
    assert cards == ["VirtualE1000", "VirtualVmxnet3"]
    extra = {option["key"]: option["value"] for option in props["config.extraConfig"]}
    assert extra["machine.id"].startswith(f"{MAC};10.0.0.2;255.255.255.0;;10.0.0.255;#")
    assert vimctl.json("instance", "destroy", made["uuid"]) == {
        "instance": made["uuid"],
        "destroyed": True,
    }
    assert files(esx) == before
    vimctl("instance", "destroy", made["uuid"], code=4)
    vimctl("instance", "destroy", made["uuid"], "--missing-ok")


def extra(vimctl: Vimctl, moref: str) -> dict[str, str]:
    props = vimctl.json("get", f"VirtualMachine:{moref}", "-p", "config.extraConfig")["props"]
    return {option["key"]: option["value"] for option in props["config.extraConfig"]}


NIC = f"network=VM Network,mac={MAC},ip=10.0.0.2/24+fd00::2/64,mtu=1400,search=a.example"


def test_the_guest_form_is_selectable(esx: ESXHost, vimctl: Vimctl, disk: Path) -> None:
    done = vimctl(*spawn(disk, "--nic", NIC, name="old"), "--hostname", "old", "--json")
    assert extra(vimctl, done.document["moref"])["machine.id"] == (
        f"{MAC};10.0.0.2;255.255.255.0;;10.0.0.255;#"
    )
    for lost in ("hostname old", "addresses fd00::2/64", "MTU 1400", "search domains a.example"):
        assert f"the form nova cannot express: {lost}" in done.err.replace(f"{MAC}: ", "")
    words = ("--nic", NIC, "--search", "b.example", "--guest-form", "versioned")
    done = vimctl(*spawn(disk, *words, name="new"), "--json")
    assert "cannot express" not in done.err
    said = extra(vimctl, done.document["moref"])["machine.id"]
    assert '"mtu":1400' in said
    assert '"search":["b.example"]' in said
    vimctl(*spawn(disk, "--nic", NIC, "--guest-form", "other", name="none"), code=2)


def test_a_machine_can_be_started_stopped_and_suspended(
    esx: ESXHost, vimctl: Vimctl, disk: Path
) -> None:
    vimctl(*spawn(disk, "--no-power-on"))
    steps = [
        (("start",), "poweredOn"),
        (("suspend",), "suspended"),
        (("resume",), "poweredOn"),
        (("reboot", "--hard"), "poweredOn"),
        (("stop",), "poweredOff"),
        (("start",), "poweredOn"),
        (("shutdown", "--force"), "poweredOff"),
    ]
    for (verb, *options), state in steps:
        assert vimctl.json("instance", verb, "web", *options)["power_state"] == state, verb


def test_a_dry_run_prints_the_steps_and_changes_nothing(esx: ESXHost, vimctl: Vimctl) -> None:
    done = vimctl("instance", "start", "vm-0", "--dry-run")
    assert done.out == "power on vm-0:\n1. power it on (PowerOnVM_Task) [probe]\n"
    plan = vimctl.json("instance", "start", "vm-0", "--dry-run")
    assert (plan["plan"], len(plan["steps"])) == ("power on vm-0", 1)
    assert esx.machine("vm-0").power == "poweredOff"
    assert not esx.calls("PowerOnVM_Task")


@pytest.mark.parametrize(
    ("verb", "by_guest", "by_force", "state"),
    [
        ("shutdown", "guest_shutdown", "power_off", "poweredOff"),
        ("reboot", "guest_reboot", "reset", "poweredOn"),
    ],
)
def test_the_output_names_the_shutdown_or_reboot_action(
    verb: str, by_guest: str, by_force: str, state: str,
    esx: ESXHost, vimctl: Vimctl, beside: Beside,
) -> None:  # fmt: skip
    def tools(*, there: bool) -> None:
        beside.call(lambda: esx.set_guest("vm-0", tools=there))

    words = ("instance", verb, "vm-0")
    vimctl("instance", "start", "vm-0")
    done = vimctl(*words, code=1)
    assert (done.out, "VMware Tools are not running" in done.err) == ("", True)
    assert "--force" in done.err
    error = vimctl.json(*words, code=1)["error"]
    assert (error["type"], error["outcome"]) == ("GuestToolsError", "refused")
    assert vimctl.json("instance", "show", "vm-0")["power_state"] == "poweredOn"

    done = vimctl.json(*words, "--force")
    assert (done["action"], done["power_state"]) == (by_force, state)
    vimctl("instance", "start", "vm-0")
    assert f"action       {by_force}\n" in vimctl(*words, "--force").out

    vimctl("instance", "start", "vm-0")
    tools(there=True)
    done = vimctl.json(*words)
    assert (done["action"], done["power_state"]) == (by_guest, state)
    vimctl("instance", "stop", "vm-0")
    vimctl("instance", "start", "vm-0")
    tools(there=True)
    assert f"action       {by_guest}\n" in vimctl(*words, "--force").out


def test_a_shutdown_timeout_has_exit_code_6(esx: ESXHost, vimctl: Vimctl, beside: Beside) -> None:
    vimctl("instance", "start", "vm-0")
    beside.call(lambda: esx.set_guest("vm-0", tools=True))
    beside.call(lambda: setattr(esx.registry, "guest_seconds", 3600))
    words = ("instance", "shutdown", "vm-0", "--grace", "0.1")
    assert vimctl.json(*words, code=6)["error"]["type"] == "GuestTimeoutError"
    assert vimctl.json("instance", "show", "vm-0")["power_state"] == "poweredOn"
    assert vimctl.json(*words, "--force")["action"] == "power_off"
    vimctl("instance", "shutdown", "vm-0", "--grace", "0", code=2)


def test_a_given_uuid_makes_a_second_spawn_fail(esx: ESXHost, vimctl: Vimctl, disk: Path) -> None:
    uuid = "8D9D4A2E-6F0E-5F5C-9A43-6E1D0D5D7C11"
    assert vimctl.json(*spawn(disk, "--uuid", uuid))["uuid"] == uuid.lower()
    done = vimctl(*spawn(disk, "--uuid", uuid, name="web-2"), "--json", code=1)
    assert done.document["error"]["type"] == "InstanceExistsError"
    assert "web-2" not in {row["name"] for row in vimctl.json("instance", "list")}


@pytest.mark.parametrize(
    ("more", "code"),
    [
        (("--network", "no such"), 4),
        (("--memory-mb", "3"), 2),
        (("--uuid", "x"), 2),
        (("--mac", MAC), 2),
        (("--nic", "model=e1000"), 2),
        (("--nic", f"network=VM Network,mac={MAC},ip=10.0.0.2/24,gw=10.0.0.2"), 2),
        (
            (
                "--guest-form",
                "original",
                "--nic",
                NIC,
                "--nic",
                f"network=VM Network,mac={MAC[:-1]}8",
            ),
            2,
        ),
        (("--cpus", "many"), 2),
    ],
)
def test_a_failed_spawn_leaves_nothing(
    esx: ESXHost, vimctl: Vimctl, disk: Path, more: tuple[str, ...], code: int
) -> None:
    before = files(esx)
    vimctl(*spawn(disk, *more), code=code)
    assert files(esx) == before
    assert len(vimctl.json("instance", "list")) == 2


def test_files_that_are_not_the_machines_are_named(esx: ESXHost, vimctl: Vimctl) -> None:
    theirs = esx.datastore_path() / "vm-0" / "install.iso"
    theirs.write_bytes(b"iso")
    left = ["[datastore1] vm-0/install.iso"]
    assert vimctl.json("instance", "destroy", "vm-0", "--foreign") == {
        "instance": "vm-0", "destroyed": True, "left": left,
    }  # fmt: skip
    (esx.datastore_path() / "vm-1" / "notes.txt").write_bytes(b"notes")
    done = vimctl("instance", "destroy", "vm-1", "--foreign")
    assert done.out == "vm-1: destroyed\n  left: [datastore1] vm-1/notes.txt\n"
    assert theirs.read_bytes() == b"iso"


def test_foreign_machines_are_destroyed_only_on_request(
    esx: ESXHost, vimctl: Vimctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIMLIB_OWNER", "another")
    done = vimctl("instance", "destroy", "vm-0", "--json", code=1)
    assert done.document["error"]["type"] == "ForeignInstanceError"
    done = vimctl("instance", "destroy", "vm-0", "nosuch", "vm-1", "--foreign", "--json", code=7)
    assert [line.get("destroyed") for line in done.lines] == [True, None, True]
    assert vimctl.json("instance", "list") == []
    # Nothing was destroyed, and nothing else is printed.
    words = ("instance", "destroy", "nosuch", "--missing-ok")
    assert vimctl.json(*words) == {"instance": "nosuch", "destroyed": False}
    assert vimctl(*words).out == "nosuch: not found\n"
    vimctl("instance", "destroy", code=2)


def test_power_verbs_take_many_machines(esx: ESXHost, vimctl: Vimctl) -> None:
    rows = vimctl(
        "instance", "start", "vm-0", "vm-1", "nosuch", "--parallel", "2", "--json", code=7
    ).lines
    assert [row.get("power_state") for row in rows[:2]] == ["poweredOn", "poweredOn"]
    assert [row["instance"] for row in rows] == ["vm-0", "vm-1", "nosuch"]
    assert rows[2]["error"]["type"] == "NotFoundError"
    assert "vm-1: done" in vimctl("instance", "stop", "vm-0", "vm-1").out
    plans = vimctl("instance", "start", "vm-0", "vm-1", "--dry-run").out
    assert plans.count("PowerOnVM_Task") == 2
    assert {machine.power for machine in esx.machines.values()} == {"poweredOff"}
    vimctl("instance", "start", code=2)


def test_a_linked_clone_and_its_base(esx: ESXHost, vimctl: Vimctl) -> None:
    made = vimctl.json("instance", "clone", "vm-0", "linked", "--linked")
    assert made["name"] == "linked"
    (base,) = vimctl.json("instance", "snapshots", "vm-0")
    done = vimctl("instance", "remove-snapshot", "vm-0", base["moref"], "--json", code=1)
    assert done.document["error"]["type"] == "DiskSharedError"
    vimctl("instance", "clone", "vm-0", "second", "--linked", "--snapshot", base["name"])
    assert len(vimctl.json("instance", "snapshots", "vm-0")) == 1
    plan = vimctl("instance", "clone", "vm-0", "third", "--linked", "--dry-run").out
    assert "take snapshot vimlib-clone-" in plan
    assert "make and attach 1 linked disks" in plan
