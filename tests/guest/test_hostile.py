"""Trees, files and users that mean harm."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from guest import vimguest

from .test_records import KEY
from .tree import HELPER, MAC0, NOVA, Guest

STATE = "/var/lib/vimguest/state.json"
SNIPPET = "/etc/network/interfaces.d/vimguest"


@pytest.fixture
def image(tmp_path: Path) -> Guest:
    """An image's tree with one NIC and a record for it."""
    made = Guest(tmp_path / "guest")
    made.nic("eth0", MAC0)
    made.says(NOVA)
    return made


def run_apart(
    guest: Guest, *argv: str, limit: str = "unlimited"
) -> subprocess.CompletedProcess[str]:
    """Run the helper in a process of its own, with a limit of its address space in KiB."""
    words = [sys.executable, str(HELPER), "--root", str(guest.root), "--json", *argv]
    return subprocess.run(
        ["sh", "-c", f'ulimit -v {limit}; exec "$@"', "sh", *words],
        env={"PATH": f"{guest.bin}:{os.defpath}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


# --- files that are no files --------------------------------------------------

READ = ["etc/cloud/cloud.cfg", "etc/network/interfaces", "etc/hosts", "etc/hostname", STATE[1:]]


@pytest.mark.parametrize("name", [*READ, "etc/netplan/90-vimguest.yaml", "etc/netplan/01.yaml"])
def test_a_fifo_does_not_hang_it(image: Guest, name: str) -> None:
    (image.root / name).parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(image.root / name)
    image.says('v1:{"hostname":"web-1"}')
    ran = run_apart(image, "--backend", "netplan")
    assert ran.returncode in (0, 3), ran


@pytest.mark.parametrize("name", READ)
def test_a_socket_or_folder_is_not_read(image: Guest, name: str) -> None:
    path = image.root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    image.says('v1:{"hostname":"web-1"}')
    before = Path.cwd()
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)
    finally:
        os.chdir(before)
    assert image.run().returncode in (0, 3)
    path.unlink()
    path.mkdir()
    assert image.run().returncode in (0, 3)


def test_a_huge_file_is_refused(image: Guest) -> None:
    image.says('v1:{"hostname":"web-1"}')
    path = image.put("etc/hostname")
    os.truncate(path, 3 << 30)
    ran = run_apart(image, limit="1500000")
    # 1 is for --check, which would change something.
    assert ran.returncode == 3, ran
    assert "Traceback" not in ran.stderr
    assert "larger than" in json.loads(ran.stdout)["error"]["message"]


# --- links --------------------------------------------------------------------


def test_an_absolute_link_is_resolved_in_the_tree(image: Guest) -> None:
    outside = image.folder / "interfaces"
    outside.write_text("source /etc/network/interfaces.d/*\niface eth0 inet dhcp\n")
    (image.root / "etc/network").mkdir(parents=True)
    (image.root / "etc/network/interfaces").symlink_to(outside)
    found = image.report("--backend", "ifupdown")
    # The builder's file would be in the way.
    assert (found["code"], found["status"]) == (0, "changed")
    assert "does not source" in found["notes"][-1]
    inside = image.root / str(outside)[1:]
    inside.parent.mkdir(parents=True)
    inside.write_text("source /etc/network/interfaces.d/*\n")
    assert image.report("--backend", "ifupdown")["notes"] == []


@pytest.mark.parametrize("target", ["/", "..", "../../../../../..", "/etc/../..", "."])
def test_links_to_the_top_stay_in_the_tree(image: Guest, target: str) -> None:
    (image.root / "etc").mkdir()
    (image.root / "etc/netplan").symlink_to(target)
    assert image.report("--backend", "netplan")["code"] == 0
    written = [name for name in image.files() if name.endswith("90-vimguest.yaml")]
    assert len(written) == 1
    assert not Path("/90-vimguest.yaml").exists()


def test_a_circle_of_links_is_refused(image: Guest) -> None:
    (image.root / "etc").mkdir()
    (image.root / "etc/netplan").symlink_to("netplan")
    found = image.report("--backend", "netplan")
    assert (found["code"], found["error"]["type"]) == (3, "RefusedError")


def test_a_link_swapped_in_during_the_run_is_not_followed(
    image: Guest, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = image.folder / "secret"
    secret.write_text("TOP SECRET\n")
    target = image.put(SNIPPET, "x\n")
    image.put("etc/network/interfaces", "source interfaces.d/*\n")
    real = os.readlink

    def swap(path: str, **kwargs: int) -> str:
        if path == target.name and not target.is_symlink():
            target.unlink()
            target.symlink_to(secret)
        return real(path, **kwargs)

    monkeypatch.setattr(os, "readlink", swap)
    image.run("--backend", "ifupdown")
    assert secret.read_text() == "TOP SECRET\n"
    assert not [data for _, data in image.files().values() if b"VE9QIFNFQ1JFVA" in data]


# --- names and messages -------------------------------------------------------


@pytest.mark.parametrize(
    "name", [b"x\x1b[2J\nvimguest: changed from machine.id", b"bad\xff\xfe", b"a\tb"]
)
def test_names_reach_a_terminal_as_printable_text(image: Guest, name: bytes) -> None:
    image.put("etc/network/interfaces", "source /etc/network/interfaces.d/*\n")
    folder = image.root / "etc/network/interfaces.d"
    folder.mkdir()
    with Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).open("w") as file:
        file.write("iface eth0 inet dhcp\n")
    ran = run_apart(image, "--backend", "ifupdown")
    assert ran.returncode == 3
    assert ran.stderr.count("\n") == 1
    assert ran.stderr.strip().isprintable()
    assert json.loads(ran.stdout)["error"]["message"].isprintable()


# --- the lock -----------------------------------------------------------------


def test_the_lock_of_a_running_machine_is_private(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = tmp_path / "run/lock"
    monkeypatch.setattr(vimguest, "LOCK", str(name))
    root = vimguest.Root(None)
    # Any user can do this.
    handle = os.open("/", os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        with vimguest.locked(root):
            assert name.parent.stat().st_mode & 0o777 == 0o700
            assert name.stat().st_mode & 0o777 == 0o600
    finally:
        os.close(handle)


def test_a_lock_folder_of_somebody_else_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vimguest, "LOCK", str(tmp_path / "run/lock"))
    (tmp_path / "run").mkdir(mode=0o777)
    (tmp_path / "run").chmod(0o777)
    with (
        pytest.raises(vimguest.RefusedError, match="private"),
        vimguest.locked(vimguest.Root(None)),
    ):
        pass
    (tmp_path / "run").rmdir()
    (tmp_path / "run").symlink_to(tmp_path)
    with (
        pytest.raises(vimguest.RefusedError, match="private"),
        vimguest.locked(vimguest.Root(None)),
    ):
        pass


# --- labels -------------------------------------------------------------------


@pytest.mark.skipif(os.geteuid() != 0, reason="only root sets security labels")
def test_security_labels_of_replaced_files_are_kept(image: Guest) -> None:
    image.says('v1:{"hostname":"web-1"}')
    path = image.put("etc/hostname", "before\n")
    label = b"system_u:object_r:hostname_etc_t:s0\0"
    os.setxattr(path, "security.selinux", label)
    assert image.run().returncode == 0
    assert path.read_text() == "web-1\n"
    assert os.getxattr(path, "security.selinux") == label
    assert image.run("--rollback").returncode == 0
    assert os.getxattr(path, "security.selinux") == label


# --- SSH keys -----------------------------------------------------------------


def keys_for(guest: Guest, *keys: str, user: str = "debian") -> None:
    guest.says("v1:" + json.dumps({"ssh_keys": {user: list(keys)}}))


@pytest.fixture
def accounts(image: Guest) -> Guest:
    """An image with the user debian."""
    uid, gid = os.geteuid(), os.getegid()
    image.put("etc/passwd", f"debian:x:{uid}:{gid}::/srv/debian:/bin/sh\n")
    (image.root / "srv/debian").mkdir(parents=True)
    return image


AUTHORIZED = "/srv/debian/.ssh/authorized_keys"


def test_keys_are_added_to_those_of_the_user(accounts: Guest) -> None:
    accounts.put(AUTHORIZED, "ssh-rsa theirs\n").chmod(0o600)
    keys_for(accounts, KEY + " a")
    assert accounts.report()["status"] == "changed"
    assert accounts.text(AUTHORIZED).splitlines()[0] == "ssh-rsa theirs"
    assert KEY + " a" in accounts.text(AUTHORIZED).splitlines()
    assert accounts.report()["status"] == "nothing"
    keys_for(accounts, KEY + " b")
    assert accounts.run("--check").returncode == 1
    accounts.run()
    assert KEY + " a" not in accounts.text(AUTHORIZED)
    assert accounts.run("--clean").returncode == 0
    assert accounts.text(AUTHORIZED) == "ssh-rsa theirs\n"


def test_a_new_key_file_is_private(accounts: Guest) -> None:
    keys_for(accounts, KEY)
    accounts.run()
    path = accounts.root / AUTHORIZED[1:]
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


VICTIMS = {
    "srv/debian/.ssh": "/var/victim",
    "srv/debian/.ssh/authorized_keys": "/var/victim/authorized_keys",
    "srv/debian": "/var",
}


@pytest.mark.parametrize("where", VICTIMS)
def test_links_of_a_user_are_not_followed(accounts: Guest, where: str) -> None:
    victim = accounts.root / "var/victim"
    victim.mkdir(parents=True)
    (victim / "authorized_keys").write_text("roots\n")
    path = accounts.root / where
    if where == "srv/debian":
        path.rmdir()
    path.parent.mkdir(exist_ok=True)
    path.symlink_to(VICTIMS[where])
    keys_for(accounts, KEY)
    found = accounts.report()
    assert found["code"] == 5
    assert found["problems"][0]["what"] == "SSH keys of debian"
    assert (victim / "authorized_keys").read_text() == "roots\n"


def test_a_user_who_is_missing_is_a_problem(accounts: Guest) -> None:
    keys_for(accounts, KEY, user="nobody-here")
    assert accounts.report()["code"] == 5


# --- a bug of ours ------------------------------------------------------------


def test_an_unexpected_error_is_not_mistaken_for_a_change(
    image: Guest, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("x")

    monkeypatch.setattr(vimguest, "parse", broken)
    ran = image.run("--check", "--json", "--backend", "netplan")
    assert ran.returncode == 3
    assert "Traceback" in ran.stderr
