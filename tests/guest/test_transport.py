"""VMware's tools in all the ways in which they fail."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from guest import vimguest

from .machine import eventually
from .test_records import KEY
from .tree import NOVA, TOOL, Guest

NOTHING = {
    "silent, as outside VMware": "exit 1",
    "no machine id": "echo 'No machine id' >&2; exit 1",
    "no machine id on stdout": "echo 'No machine id'; exit 1",
    "no machine id and success": "echo 'No machine id'",
    "no value": "echo 'No value found' >&2; exit 1",
    "no value on stdout": "echo 'No value found'; exit 1",
    "no virtual machine": "echo 'vmware-rpctool must be run inside a virtual machine.' >&2; exit 1",
    "a bare 1, as very old tools": "echo 1 >&2; exit 1",
    "a warning beside it": "echo 'cannot open the log' >&2; echo 'No value found' >&2; exit 1",
    "its log before it": "echo '[ warning] [vmsvc] error 97'; echo 'No value found'",
    "its log alone": "echo '[ warning] [vmsvc] error 97'",
    "empty": "exit 0",
    "a newline": "echo",
}


@pytest.mark.parametrize("script", NOTHING.values(), ids=NOTHING.keys())
def test_nothing_found_is_no_error(guest: Guest, script: str) -> None:
    guest.script(f"#!/bin/sh\n{script}\n")
    found = guest.report("--backend", "netplan")
    assert (found["code"], found["status"]) == (0, "nothing")
    assert guest.files() == {}


def test_the_log_of_a_tool_is_no_part_of_the_value(guest: Guest) -> None:
    log = "[ warning] [vmsvc] SOCKET failed to create socket, error 97: x;y#z"
    guest.says(f"{log}\n{log}\n{NOVA}\n")
    found = guest.report("--backend", "netplan")
    assert (found["status"], found["notes"]) == ("changed", [])


def test_no_tool_is_no_error(guest: Guest) -> None:
    (guest.bin / "vmtoolsd").unlink()
    found = guest.report("--backend", "netplan")
    assert (found["code"], found["status"]) == (0, "nothing")
    assert "vmtoolsd" in found["notes"][0]


@pytest.mark.parametrize("tool", vimguest.TOOLS)
def test_each_tool_is_spoken_to_in_its_own_way(tmp_path: Path, tool: str) -> None:
    guest = Guest(tmp_path / "guest", tool=tool)
    guest.says(NOVA)
    assert guest.report("--backend", "netplan")["source"] == "machine.id"
    option = "" if tool == "vmware-rpctool" else "--cmd "
    assert guest.calls == [option + "machine.id.get"]


def test_vmtoolsd_goes_first(guest: Guest) -> None:
    other = guest.bin / "vmware-rpctool"
    other.write_text("#!/bin/sh\nexit 99\n")
    other.chmod(0o755)
    guest.says(NOVA)
    assert guest.report("--backend", "netplan")["status"] == "changed"


def test_guestinfo_is_read_only_where_it_is_allowed(guest: Guest) -> None:
    # Any process in the guest can set it.
    guest.says(NOVA, "guestinfo.vimguest")
    found = guest.report("--backend", "netplan")
    assert (found["code"], found["status"], found["source"]) == (0, "nothing", None)
    assert guest.calls == ["--cmd machine.id.get"]
    found = guest.report("--backend", "netplan", "--allow-guestinfo")
    assert found["source"] == "guestinfo.vimguest"
    assert guest.calls[1:] == ["--cmd machine.id.get", "--cmd info-get guestinfo.vimguest"]
    guest.says(NOVA)
    assert guest.report("--backend", "netplan", "--allow-guestinfo")["source"] == "machine.id"


def test_keys_are_not_taken_from_guestinfo(guest: Guest) -> None:
    guest.says(f'v1:{{"ssh_keys":{{"root":["{KEY}"]}}}}', "guestinfo.vimguest")
    found = guest.report("--allow-guestinfo")
    assert (found["code"], found["error"]["type"]) == (3, "RefusedError")


FAILING = {
    "fails for a reason": "echo 'Permission denied' >&2; exit 1",
    "crashes without a word": "kill -SEGV $$",
    "crashes in a shell, without a word": "exit 139",
    "crashes after that word": "echo 'No machine id'; kill -SEGV $$",
    "garbage": "head -c 4096 /dev/urandom; printf '\\377'",
    "huge": "exec head -c 200000 /dev/zero",
    "without end": "exec yes",
    "huge complaint": "yes >&2",
}


@pytest.mark.slow
@pytest.mark.parametrize("script", FAILING.values(), ids=FAILING.keys())
def test_no_clear_answer_is_refused(impatient: Guest, script: str) -> None:
    impatient.script(f"#!/bin/sh\n{script}\n")
    found = impatient.report("--backend", "netplan")
    assert found["code"] == 3
    assert found["error"]["type"] == "ToolsError"
    assert found["error"]["message"].isprintable()
    assert impatient.files() == {}


@pytest.mark.slow
def test_a_passing_fault_is_tried_again(guest: Guest) -> None:
    guest.says(NOVA)
    text = (guest.bin / "vmtoolsd").read_text().replace("#!/bin/sh\n", "")
    guest.script(
        '#!/bin/sh\nif [ ! -e "$0.once" ]; then : > "$0.once"; echo busy >&2; exit 1; fi\n' + text
    )
    assert guest.report("--backend", "netplan")["status"] == "changed"


CRASHES = {
    "crashes": "kill -SEGV $$",
    "lacks a library": "echo 'error while loading shared libraries: libvmtools.so.0' >&2; exit 127",
    "is denied": "echo 'Permission denied'; exit 1",
    "is stuck": "sleep 600",
}


@pytest.mark.parametrize("script", CRASHES.values(), ids=CRASHES.keys())
def test_a_tool_that_works_stands_in_for_one_that_fails(impatient: Guest, script: str) -> None:
    impatient.nic("eth0", NOVA[:17])
    impatient.script(f"#!/bin/sh\n{script}\n")
    other = impatient.bin / "vmware-rpctool"
    other.write_text(TOOL)
    other.chmod(0o755)
    (impatient.bin / "vmware-rpctool.machine.id").write_text(NOVA)
    assert impatient.report("--backend", "netplan")["status"] == "changed"


DENIES_TWICE = """#!/bin/sh
echo x >> "$0.count"
[ $(wc -l < "$0.count") -gt 2 ] || { echo "Permission denied"; exit 1; }
cat "$0.machine.id"
"""


def test_a_host_that_limits_requests_is_asked_again(impatient: Guest) -> None:
    impatient.nic("eth0", NOVA[:17])
    impatient.script(DENIES_TWICE)
    impatient.says(NOVA)
    assert impatient.report("--backend", "netplan")["status"] == "changed"


DISABLED = """#!/bin/sh
case "$2" in machine.id.get) echo "Unknown command"; exit 1;; *) cat "$0.guestinfo.vimguest";; esac
"""


def test_a_disabled_machine_id_does_not_hide_guestinfo(impatient: Guest) -> None:
    impatient.nic("eth0", NOVA[:17])
    impatient.script(DISABLED)
    impatient.says(NOVA, "guestinfo.vimguest")
    assert impatient.report("--backend", "netplan")["code"] == 3
    found = impatient.report("--backend", "netplan", "--allow-guestinfo")
    assert (found["status"], found["source"]) == ("changed", "guestinfo.vimguest")
    assert "Unknown command" in found["notes"][0]


def test_a_silent_tool_does_not_hide_one_with_a_value(impatient: Guest) -> None:
    impatient.nic("eth0", NOVA[:17])
    impatient.script("#!/bin/sh\nexit 1\n")
    other = impatient.bin / "vmware-rpctool"
    other.write_text(TOOL)
    other.chmod(0o755)
    (impatient.bin / "vmware-rpctool.machine.id").write_text(NOVA)
    assert impatient.report("--backend", "netplan")["status"] == "changed"


@pytest.fixture
def impatient(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Guest:
    """A guest for runs in this process, with short deadlines."""
    guest = Guest(tmp_path / "guest")
    monkeypatch.setattr(vimguest, "READ_SECONDS", 0.3)
    monkeypatch.setattr(vimguest, "READ_DEADLINE", 1.5)
    monkeypatch.setattr(vimguest, "READ_RESERVE", 0.5)
    monkeypatch.setattr(vimguest, "READ_PAUSE", 0.01)
    monkeypatch.setenv("PATH", f"{guest.bin}:{os.environ['PATH']}")
    return guest


def alive(guest: Guest) -> bool:
    """Whether what the tool left behind still runs (a zombie does not)."""
    try:
        number = (guest.bin / "pid").read_text().strip()
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


SLOW = {
    "says nothing": "sleep 600",
    "keeps the pipes open": "sleep 600 & echo $! > PID; wait",
    "goes on in the background": "trap '' TERM; sleep 600 & echo $! > PID; wait; wait",
    "drips": "while :; do printf x; sleep 0.05; done",
    "ignores signals": "trap '' TERM INT HUP; while :; do sleep 1; done",
}


@pytest.mark.slow
@pytest.mark.parametrize("script", SLOW.values(), ids=SLOW.keys())
def test_a_stuck_tool_is_given_up(impatient: Guest, script: str) -> None:
    impatient.script("#!/bin/sh\n" + script.replace("PID", f"{impatient.bin}/pid") + "\n")
    assert vimguest.main(["--root", str(impatient.root), "--backend", "netplan"]) == 3
    eventually(lambda: not alive(impatient), lambda: "it still runs")
    assert impatient.files() == {}


@pytest.mark.slow
def test_an_answer_counts_though_a_daemon_keeps_the_pipe(impatient: Guest) -> None:
    impatient.script(f"#!/bin/sh\nsleep 5 &\necho $! > {impatient.bin}/pid\nprintf '%s' '{NOVA}'\n")
    impatient.nic("eth0", NOVA[:17])
    try:
        assert vimguest.main(["--root", str(impatient.root), "--backend", "netplan"]) == 0
    finally:
        os.kill(int((impatient.bin / "pid").read_text()), 9)


def test_deadlines_are_of_a_boot() -> None:
    assert vimguest.READ_DEADLINE <= 20
    assert vimguest.READ_SECONDS * 2 <= vimguest.READ_DEADLINE
