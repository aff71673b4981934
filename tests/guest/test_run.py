"""The helper as a program on a tree: exit codes, reports, and which files it touches."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from guest import vimguest

from .tree import FULL, MAC0, MAC1, NOVA, NOVA2, Guest

STATE = "/var/lib/vimguest/state.json"
KEYFILE0 = "/etc/NetworkManager/system-connections/vimguest-005056aabb01.nmconnection"
KEYFILE1 = KEYFILE0.replace("bb01", "bb02")
NETWORK0 = "/etc/systemd/network/05-vimguest-005056aabb01.network"
NETWORK1 = NETWORK0.replace("bb01", "bb02")
SNIPPET = "/etc/network/interfaces.d/vimguest"
NETPLAN = "/etc/netplan/90-vimguest.yaml"

FILES = {
    "netplan": {NETPLAN: 0o600},
    "networkmanager": {KEYFILE0: 0o600, KEYFILE1: 0o600},
    "networkd": {NETWORK0: 0o644, NETWORK1: 0o644},
    "ifupdown": {SNIPPET: 0o644},
    "ifupdown-ng": {SNIPPET: 0o644},
}


@pytest.mark.parametrize("backend", vimguest.BACKENDS)
def test_files_and_modes(guest: Guest, backend: str) -> None:
    guest.says(NOVA2)
    found = guest.report("--backend", backend)
    assert found["code"] == 0
    assert found["status"] == "changed"
    assert found["source"] == "machine.id"
    assert found["form"] == "nova"
    assert found["nics"] == [
        {"mac": MAC0, "interface": "eth0", "action": "configured"},
        {"mac": MAC1, "interface": "eth1", "action": "configured"},
    ]
    assert found["files"] == [{"path": name, "action": "write"} for name in FILES[backend]]
    assert found["commands"] == []
    modes = {name: mode for name, (mode, _) in guest.files().items()}
    assert modes == FILES[backend] | {STATE: 0o600}
    for name in FILES[backend]:
        assert "\t" not in guest.text(name)


@pytest.mark.parametrize("backend", vimguest.BACKENDS)
def test_twice_is_once(guest: Guest, backend: str) -> None:
    guest.says(FULL)
    assert guest.run("--backend", backend, "--check").returncode == 1
    assert guest.run("--backend", backend).returncode == 0
    before = {path: path.stat().st_mtime_ns for path in guest.root.rglob("*")}
    again = guest.report("--backend", backend)
    assert (again["status"], again["code"], again["files"]) == ("unchanged", 0, [])
    assert guest.run("--backend", backend, "--check").returncode == 0
    assert before == {path: path.stat().st_mtime_ns for path in guest.root.rglob("*")}
    # A file that somebody edited, or whose mode somebody changed, is put right.
    target = guest.root / next(iter(FILES[backend]))[1:]
    target.chmod(0o666)
    assert guest.run("--backend", backend, "--check").returncode == 1
    assert guest.run("--backend", backend).returncode == 0
    assert target.stat().st_mode & 0o777 == next(iter(FILES[backend].values()))


@pytest.mark.parametrize("option", ["--dry-run", "--check"])
def test_looking_writes_nothing(guest: Guest, option: str) -> None:
    guest.says(NOVA)
    found = guest.report("--backend", "netplan", option)
    assert found["status"] == "would-change"
    assert found["code"] == (1 if option == "--check" else 0)
    assert ("diff" in found["files"][0]) == (option == "--dry-run")
    assert guest.files() == {}
    assert not (guest.root / "var").exists()
    assert not (guest.root / "etc").exists()


def test_dry_run_shows_the_difference(guest: Guest) -> None:
    guest.says(NOVA)
    guest.run("--backend", "networkd")
    guest.says(NOVA.replace(";10.0.0.2;", ";10.0.0.3;"))
    ran = guest.run("--backend", "networkd", "--dry-run")
    assert "-Address=10.0.0.2/24\n+Address=10.0.0.3/24\n" in ran.stdout


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (f"{MAC1};10.0.1.2;0.0.0.255;;;#", "InvalidRecordError"),
        ('v1:{"nics":[{"mac":"' + MAC0 + '"},{}]}', "InvalidRecordError"),
        ("v2:{}", "UnknownVersionError"),
        ('v1:{"ssh_keys":[]}', "InvalidRecordError"),
        (b"\xff\xfe", "ToolsError"),
        ("v1:{" + " " * 70000 + "}", "ToolsError"),
    ],
)
def test_what_is_refused_leaves_no_trace(guest: Guest, text: str | bytes, error: str) -> None:
    guest.says(text)
    found = guest.report("--backend", "netplan")
    assert found["code"] == 3
    assert found["status"] == "refused"
    assert found["error"]["type"] == error
    assert guest.files() == {}


def test_a_refused_record_keeps_what_is_there(guest: Guest) -> None:
    guest.says(NOVA)
    guest.run("--backend", "netplan")
    before = guest.files()
    guest.says("v1:{")
    assert guest.run("--backend", "netplan").returncode == 3
    assert before == guest.files()


def test_a_record_without_a_nic_is_skipped(guest: Guest) -> None:
    guest.says(NOVA + "00:50:56:00:00:09;10.9.0.2;255.255.255.0;;;#")
    found = guest.report("--backend", "netplan")
    assert found["code"] == 0
    assert found["nics"][1] == {"mac": "00:50:56:00:00:09", "interface": None, "action": "no-nic"}
    assert any("00:50:56:00:00:09" in note for note in found["notes"])
    ethernets = json.loads(guest.text(NETPLAN))["network"]["ethernets"]
    assert [one["match"]["macaddress"] for one in ethernets.values()] == [MAC0]


def test_an_empty_address_leaves_its_nic_alone(guest: Guest) -> None:
    guest.says(f"{MAC0};;;;;#")
    found = guest.report("--backend", "netplan")
    assert (found["code"], found["status"]) == (0, "nothing")
    assert found["nics"][0]["action"] == "left-alone"
    assert guest.files() == {}


@pytest.mark.parametrize("backend", vimguest.BACKENDS)
def test_a_nic_left_alone_keeps_what_it_had(guest: Guest, backend: str) -> None:
    guest.says(NOVA2)
    guest.run("--backend", backend)
    before = guest.files()
    guest.says(f"{MAC0};;;;;#{MAC1};;;;;#")
    assert guest.run("--backend", backend).returncode == 0
    assert guest.files() == before
    guest.says(NOVA2.replace(";10.0.0.2;", ";;"))
    found = guest.report("--backend", backend)
    assert found["nics"][0]["action"] == "left-alone"
    # Its default route stays the first one too, though the record names one gateway only.
    assert (found["status"], guest.files()) == ("unchanged", before)


def test_what_a_nic_keeps_cannot_be_given_to_another(guest: Guest) -> None:
    guest.says(NOVA2)
    guest.run("--backend", "networkd")
    before = guest.files()
    guest.says(f"{MAC0};;;;;#{MAC1};10.0.0.2;255.255.255.0;;;#")
    found = guest.report("--backend", "networkd")
    assert (found["code"], found["error"]["type"]) == (3, "InvalidRecordError")
    assert guest.files() == before


def test_two_isolated_networks_may_number_alike_beside_a_nic_that_is_left_alone(
    guest: Guest,
) -> None:
    guest.nic("eth2", "00:50:56:aa:bb:03")
    guest.says("00:50:56:aa:bb:03;10.0.3.2;255.255.255.0;;;#")
    guest.run("--backend", "networkd")
    alike = NOVA + NOVA.replace(MAC0, MAC1)
    guest.says(alike + "00:50:56:aa:bb:03;;;;;#")
    found = guest.report("--backend", "networkd")
    assert (found["code"], found["status"]) == (0, "changed")


def test_time_servers_that_the_record_no_longer_names_are_removed(guest: Guest) -> None:
    guest.put("etc/chrony/sources.d/theirs.sources", "server 10.0.0.1\n")
    guest.says('v1:{"ntp":["10.0.0.7"]}')
    guest.run()
    assert "10.0.0.7" in guest.text("/etc/chrony/sources.d/vimguest.sources")
    guest.says('v1:{"hostname":"web-1"}')
    guest.run()
    assert [name for name in guest.files() if "chrony" in name] == [
        "/etc/chrony/sources.d/theirs.sources"
    ]


def test_what_the_record_no_longer_names_is_removed(guest: Guest) -> None:
    guest.says(NOVA2)
    guest.run("--backend", "networkd")
    guest.says(NOVA)
    found = guest.report("--backend", "networkd")
    assert found["files"] == [{"path": NETWORK1, "action": "remove"}]
    assert set(guest.files()) == {NETWORK0, STATE}


def test_another_back_end_takes_the_place_of_the_last(guest: Guest) -> None:
    guest.says(NOVA)
    for backend in vimguest.BACKENDS:
        assert guest.run("--backend", backend).returncode == 0
        assert len(guest.files()) == 2
    assert SNIPPET in guest.files()


def test_somebody_elses_files_are_never_touched(guest: Guest) -> None:
    others = {
        guest.put(name, "theirs\n")
        for name in (
            "etc/netplan/01-installer.yaml",
            "etc/NetworkManager/system-connections/eth0.nmconnection",
            "etc/NetworkManager/system-connections/vimguest-mine.nmconnection",
            "etc/systemd/network/05-vimguest-x.network",
            "etc/systemd/network/20-wired.network",
            "etc/network/interfaces.d/other",
            "etc/resolv.conf",
            "etc/hosts",
            "etc/hostname",
        )
    }
    guest.says(NOVA2)
    for backend in vimguest.BACKENDS:
        assert guest.run("--backend", backend).returncode == 0
        assert all(path.read_text() == "theirs\n" for path in others)
    assert guest.run("--rollback").returncode == 0
    assert all(path.read_text() == "theirs\n" for path in others)


def test_rollback_brings_back_every_byte(guest: Guest) -> None:
    guest.put("etc/hostname", "before\n").chmod(0o640)
    start = guest.files()
    guest.says(FULL)
    guest.run("--backend", "networkd")
    assert guest.text("/etc/hostname") == "web-1\n"
    dry = guest.report("--rollback", "--dry-run")
    assert [row["action"] for row in dry["files"]] == ["write", "remove", "remove", "remove"]
    assert guest.run("--rollback", "--check").returncode == 1
    found = guest.report("--rollback")
    assert (found["status"], found["code"]) == ("rolled-back", 0)
    after = guest.files()
    after.pop(STATE)
    assert after == start
    again = guest.report("--rollback")
    assert (again["status"], again["code"]) == ("nothing", 0)


def test_rollback_to_the_config_before(guest: Guest) -> None:
    guest.says(NOVA)
    guest.run("--backend", "netplan")
    first = guest.files()[NETPLAN]
    guest.says(NOVA.replace(";10.0.0.2;", ";10.0.0.3;"))
    guest.run("--backend", "netplan")
    assert guest.files()[NETPLAN] != first
    # A run that changes nothing does not forget what to go back to.
    guest.run("--backend", "netplan")
    assert guest.run("--rollback").returncode == 0
    assert guest.files()[NETPLAN] == first


def test_rollback_asks_the_host_nothing(guest: Guest) -> None:
    guest.run("--rollback")
    assert guest.calls == []


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"version":2}', '{"version":1,"nics":[1]}'])
def test_a_damaged_state_is_refused(guest: Guest, damage: str) -> None:
    guest.put(STATE, damage)
    guest.says(NOVA)
    assert guest.report("--backend", "netplan")["error"]["type"] == "RefusedError"
    assert set(guest.files()) == {STATE}


def test_a_state_that_names_other_files_is_refused(guest: Guest) -> None:
    guest.says(NOVA)
    guest.run("--backend", "netplan")
    guest.put(STATE, guest.text(STATE).replace(NETPLAN, "/etc/passwd"))
    assert guest.run("--rollback").returncode == 3
    assert "/etc/passwd" not in guest.files()


def test_two_records_of_one_mac_on_two_nics(guest: Guest) -> None:
    guest.nic("eth9", MAC0)
    guest.says(NOVA)
    found = guest.report("--backend", "netplan")
    assert found["code"] == 3
    assert "eth0, eth9" in found["error"]["message"]


def test_a_mac_of_two_nics_costs_the_others_nothing(guest: Guest) -> None:
    guest.nic("eth9", MAC0)
    guest.says(NOVA2)
    found = guest.report("--backend", "networkd")
    assert (found["code"], found["status"]) == (0, "changed")
    assert [nic["action"] for nic in found["nics"]] == ["ambiguous", "configured"]
    assert any(MAC0 in note for note in found["notes"])
    assert NETWORK0 not in guest.files()


def test_what_is_stacked_on_a_nic_is_not_the_nic(guest: Guest) -> None:
    guest.nic("eth0.5", MAC0, uevent="DEVTYPE=vlan\nINTERFACE=eth0.5")
    guest.nic("bond0", MAC0, bonding="")
    guest.nic("br0", MAC0, bridge="")
    guest.nic("slave0", MAC0, master="")
    guest.nic("macvlan0", MAC0, lower_eth0="")
    guest.nic("lo", MAC0, type="772")
    guest.nic("bad name", MAC0)
    guest.nic("-bad", MAC0)
    guest.nic("noaddress", "")
    guest.put("sys/class/net/bonding_masters", "bond0")
    guest.says(NOVA)
    assert guest.report("--backend", "netplan")["nics"][0]["interface"] == "eth0"


def test_a_record_without_a_mac_is_for_the_only_nic(guest: Guest, tmp_path: Path) -> None:
    text = "ip=10.0.0.2&netmask=255.255.255.0&gateway=10.0.0.1&computerName=web-1"
    guest.says(text)
    assert guest.report("--backend", "netplan")["code"] == 3
    one = Guest(tmp_path / "one", python=guest.python)
    one.says(text)
    (one.root / "sys/class/net").mkdir(parents=True)
    found = one.report("--backend", "netplan")
    assert found["nics"] == [{"mac": None, "interface": None, "action": "no-nic"}]
    one.nic("ens3", MAC1)
    assert one.report("--backend", "netplan")["nics"][0]["interface"] == "ens3"
    assert one.text("/etc/hostname") == "web-1\n"


def test_a_record_without_a_mac_may_name_the_host_alone(guest: Guest) -> None:
    guest.says("computerName=web-1")
    found = guest.report("--backend", "netplan")
    assert found["code"] == 0
    assert found["nics"] == [{"mac": None, "interface": None, "action": "left-alone"}]
    assert set(guest.files()) == {"/etc/hostname", "/etc/hosts", STATE}


def test_host_name_alone(guest: Guest) -> None:
    guest.says('v1:{"hostname":"web-1"}')
    found = guest.report()
    assert (found["status"], found["hostname"], found["backend"]) == ("changed", "web-1", None)
    assert set(guest.files()) == {"/etc/hostname", "/etc/hosts", STATE}


# --- nothing outside the tree -------------------------------------------------


def test_a_link_that_leads_out_is_refused(guest: Guest) -> None:
    outside = guest.folder / "outside"
    outside.mkdir()
    (guest.root / "etc").mkdir()
    (guest.root / "etc/netplan").symlink_to(outside)
    guest.says(NOVA)
    assert guest.report("--backend", "netplan")["code"] == 3
    assert list(outside.iterdir()) == []


def test_a_link_in_the_place_of_our_file_is_refused(guest: Guest) -> None:
    outside = guest.folder / "outside"
    outside.write_text("theirs\n")
    (guest.root / "etc/netplan").mkdir(parents=True)
    (guest.root / NETPLAN[1:]).symlink_to(outside)
    guest.says(NOVA)
    assert guest.report("--backend", "netplan")["code"] == 3
    assert outside.read_text() == "theirs\n"


def test_a_link_inside_the_tree_is_followed(guest: Guest) -> None:
    (guest.root / "etc").mkdir()
    (guest.root / "data").mkdir()
    (guest.root / "etc/netplan").symlink_to("../data")
    guest.says(NOVA)
    assert guest.report("--backend", "netplan")["code"] == 0
    assert "/data/90-vimguest.yaml" in guest.files()


def test_left_overs_of_a_killed_run_are_swept(guest: Guest) -> None:
    guest.put("etc/netplan/.vimguest.abc.tmp", "half")
    guest.put("etc/netplan/.vimguest.abc.other", "theirs")
    guest.says(NOVA)
    guest.run("--backend", "netplan")
    assert set(guest.files()) == {STATE, NETPLAN, "/etc/netplan/.vimguest.abc.other"}


# --- the command line ---------------------------------------------------------


@pytest.mark.parametrize("argv", [["--backend", "ifcfg"], ["--root", "/nonexistent"], ["x"]])
def test_usage_errors(guest: Guest, argv: list[str]) -> None:
    assert guest.run(*argv).returncode == 2


def test_report_for_people(guest: Guest) -> None:
    guest.says(NOVA)
    ran = guest.run("--backend", "netplan")
    assert ran.stdout == (
        "vimguest: changed from machine.id (nova) by netplan\n"
        f"  {MAC0} eth0: configured\n"
        f"  write {NETPLAN}\n"
    )
    guest.says("x")
    ran = guest.run()
    assert ran.stdout == ""
    assert ran.stderr.startswith("vimguest: refused: 'x' has an unknown form")


@pytest.mark.slow
def test_two_runs_at_once_take_turns(guest: Guest) -> None:
    guest.says(NOVA)
    argv = [guest.python or sys.executable, str(vimguest.__file__), "--root", str(guest.root)]
    argv += ["--backend", "netplan"]
    runs = [
        subprocess.Popen(argv, env={"PATH": f"{guest.bin}:/usr/bin:/bin"}, stdout=subprocess.PIPE)
        for _ in range(4)
    ]
    said = [run.communicate(timeout=100)[0].split()[1] for run in runs]
    assert sorted(said) == [b"changed", b"unchanged", b"unchanged", b"unchanged"]
    assert {run.returncode for run in runs} == {0}


def test_differences_of_any_bytes_can_be_shown(guest: Guest) -> None:
    # Without a locale, Python 3.6 prints ASCII alone.
    (guest.root / "etc").mkdir()
    (guest.root / "etc/hostname").write_bytes(b"h\xc3\xb6st\xff\x1b[2J\n")
    guest.says(FULL)
    ran = guest.run("--backend", "networkd", "--dry-run")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert r"-h\xc3\xb6st\xff" in ran.stdout
    assert "\x1b" not in ran.stdout


def test_a_file_that_cannot_be_looked_at_is_not_taken_for_absent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = os.open

    def denied(path: str, *args: Any, **kwargs: Any) -> int:
        if path == Path(NETPLAN).name:
            raise PermissionError(13, "Permission denied", path)
        return opened(path, *args, **kwargs)

    guest = Guest(tmp_path / "guest")
    guest.nic("eth0", MAC0)
    guest.put("etc/netplan/x")
    guest.says(NOVA)
    monkeypatch.setattr(os, "open", denied)
    found = guest.report("--backend", "netplan", "--check")
    assert (found["code"], found["status"]) == (3, "refused")
    assert found["error"]["message"].endswith("Run it as root.")


def test_what_could_not_be_written_needs_no_undoing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = os.rename

    def full(old: str, new: str, **kwargs: int) -> None:
        if new == "hostname":
            raise OSError(errno.ENOSPC, "No space left on device")
        rename(old, new, **kwargs)

    guest = Guest(tmp_path / "guest")
    guest.nic("eth0", MAC0)
    guest.put("etc/hostname", "before\n")
    before = guest.files()
    guest.says(FULL)
    monkeypatch.setattr(os, "rename", full)
    found = guest.report("--backend", "networkd")
    assert (found["code"], found["status"]) == (4, "failed")
    assert found["error"]["message"].endswith("rolled back")
    assert guest.files() == before


# --- commands -----------------------------------------------------------------


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder with commands; systemd-networkd is active there."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(vimguest, "SYSTEM_PATH", "")
    folder = tmp_path / "bin"
    folder.mkdir()
    put_tool(folder, "systemctl", '[ "$2" != systemd-networkd ] || echo active')
    return folder


def put_tool(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


FILE = vimguest.File(b"x", 0o600)


def test_nobody_is_told_of_a_file_that_outlives_netplan(tools: Path) -> None:
    gone = [vimguest.Change(NETPLAN, FILE, None)]
    assert vimguest.commands(vimguest.Root(None), gone) == ([], [])
    put_tool(tools, "netplan", "")
    expected = [["netplan", "generate"], ["netplan", "apply"]]
    assert vimguest.commands(vimguest.Root(None), gone) == ([], expected)


@pytest.mark.parametrize(
    ("says", "command"),
    [
        ("systemd 243 (243)", ["systemctl", "restart", "systemd-networkd"]),
        ("systemd 244 (244)", ["networkctl", "reload"]),
        ("systemd 257 (257.9-1~deb13u1)", ["networkctl", "reload"]),
    ],
)
def test_an_old_networkd_is_restarted(tools: Path, says: str, command: list[str]) -> None:
    put_tool(tools, "networkctl", f"echo '{says}'")
    changes = [vimguest.Change(NETWORK0, None, FILE)]
    assert vimguest.commands(vimguest.Root(None), changes) == ([], [command])


def test_a_nic_without_carrier_is_left_to_networkmanager(
    tools: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`nmcli connection up` would fail, and cost the other NICs their settings."""
    put_tool(tools, "nmcli", "echo running")
    monkeypatch.setattr(vimguest, "without_carrier", lambda _: [MAC1])
    names = [f"{vimguest.KEYFILES}/vimguest-{vimguest.bare(mac)}.nmconnection" for mac in (MAC0, MAC1)]  # fmt: skip
    changes = [vimguest.Change(name, None, FILE) for name in names]
    _, after = vimguest.commands(vimguest.Root(None), changes)
    key = vimguest.connection_uuid(vimguest.connection_label(vimguest.Nic(MAC0)))
    assert [argv[-1] for argv in after] == ["reload", key]


def test_what_a_killed_run_may_not_have_applied_is_applied_again() -> None:
    one = vimguest.Change(NETWORK0, None, FILE)
    both = {NETWORK0: FILE, NETWORK1: FILE}
    assert vimguest.again([one], both) == [one, vimguest.Change(NETWORK1, FILE, FILE)]
    assert vimguest.again([], both) == [vimguest.Change(name, FILE, FILE) for name in both]
    assert vimguest.again([one], {}) == [one]


@pytest.mark.parametrize("enforced", [True, False])
def test_a_new_file_gets_the_label_of_the_policy(
    tools: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, enforced: bool
) -> None:
    """A replaced file keeps its label; a new one has that of its folder."""
    put_tool(tools, "restorecon", f'echo "$1" >> {tmp_path}/labelled')
    monkeypatch.setattr(vimguest, "commands", lambda *_: ([], []))
    guest = Guest(tmp_path / "guest")
    if enforced:
        guest.put("sys/fs/selinux/enforce", "1")
    run = vimguest.Run(vimguest.parse_args(["--root", str(guest.root)]))
    run.root.live = True
    run.write([vimguest.Change(NETWORK0, None, FILE), vimguest.Change(NETWORK1, FILE, FILE)])
    labelled = tmp_path / "labelled"
    assert labelled.exists() is enforced
    assert not enforced or labelled.read_text() == NETWORK0 + "\n"


def test_undoing_goes_on_where_a_command_fails(
    tools: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_tool(tools, "up", f'echo "$1" >> {tmp_path}/up; [ "$1" != eth0 ]')
    both = [["up", "eth0"], ["up", "eth1"]]
    monkeypatch.setattr(vimguest, "commands", lambda *_: ([], both))
    run = vimguest.Run(vimguest.parse_args(["--root", str(tmp_path)]))
    run.root.live = True
    with pytest.raises(vimguest.CommandError, match="eth0"):
        run.write([], undo=True)
    assert (tmp_path / "up").read_text() == "eth0\neth1\n"
    # On the way there the first failure ends it.
    with pytest.raises(vimguest.CommandError, match="eth0"):
        run.write([])
    assert (tmp_path / "up").read_text() == "eth0\neth1\neth0\n"


def test_windows_is_not_there_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    assert vimguest.main(["--root", str(tmp_path)]) == 3
