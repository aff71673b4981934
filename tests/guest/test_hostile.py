"""Trees, files and users that mean harm."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from guest import vimguest

from .test_records import KEY
from .tree import HELPER, MAC0, MAC1, NOVA, Guest

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


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes devices")
def test_a_device_is_not_even_opened(image: Guest, monkeypatch: pytest.MonkeyPatch) -> None:
    """To open a watchdog starts it."""
    (image.root / "etc").mkdir()
    os.mknod(image.root / "etc/hosts", 0o600 | stat.S_IFCHR, os.makedev(1, 3))
    opened: list[object] = []
    real = os.open

    def record(name: str, flags: int, *rest: int, **kwargs: int) -> int:
        opened.extend([] if flags & os.O_PATH else [name])
        return real(name, flags, *rest, **kwargs)

    monkeypatch.setattr(os, "open", record)
    image.says('v1:{"hostname":"web-1"}')
    found = image.report()
    assert (found["code"], found["status"]) == (0, "changed")
    assert "/etc/hosts is not a plain file" in found["notes"][0]
    assert "hosts" not in opened


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


def test_a_second_name_of_another_file_is_not_read(accounts: Guest) -> None:
    """A user may link a file of root's into ~/.ssh where the kernel does not forbid it."""
    secret = accounts.put("etc/shadow", "root:secret\n")
    path = accounts.root / AUTHORIZED[1:]
    path.parent.mkdir()
    path.hardlink_to(secret)
    keys_for(accounts, KEY)
    found = accounts.report()
    assert (found["code"], path.read_text()) == (5, "root:secret\n")
    assert "belongs to somebody else" in found["problems"][0]["found"]


def test_a_file_moved_into_the_place_of_a_new_folder_keeps_its_owner(
    accounts: Guest, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = accounts.put("etc/shadow", "root:secret\n")
    accounts.put("etc/passwd", "debian:x:4242:4242::/srv/debian:/bin/sh\n")
    keys_for(accounts, KEY)
    real = os.mkdir

    def swap(name: str, *rest: int, **kwargs: int) -> None:
        real(name, *rest, **kwargs)
        if name == ".ssh":
            (accounts.root / "srv/debian/.ssh").rmdir()
            (accounts.root / "srv/debian/.ssh").hardlink_to(secret)

    monkeypatch.setattr(os, "mkdir", swap)
    owner = secret.stat().st_uid
    assert accounts.report()["code"] == 5
    assert secret.stat().st_uid == owner


@pytest.mark.parametrize(
    "row",
    [
        "debian:x:zero:0::/srv/debian:/bin/sh",
        "debian:x:4294967295:0::/srv/debian:/bin/sh",
        "debian:x:99999999999999999999:0::/srv/debian:/bin/sh",
        "debian:x:-1:0::/srv/debian:/bin/sh",
        "debian:x:0:0::srv/debian:/bin/sh",
        "debian:x:0:0::/srv/\0debian:/bin/sh",
        f"debian:x:0:0::/{'x' * 300}:/bin/sh",
        "# \x0cdebian:x:0:0::/srv/debian:/bin/sh",
    ],
)
def test_odd_accounts_are_a_problem(accounts: Guest, row: str) -> None:
    accounts.put("etc/passwd", row + "\n")
    keys_for(accounts, KEY)
    found = accounts.report()
    assert (found["code"], found["problems"][0]["what"]) == (5, "SSH keys of debian")


def test_keys_in_any_encoding_stay_as_they_are(accounts: Guest) -> None:
    """The second byte of some letters is a line break to str.splitlines()."""
    theirs = f"# \u00c5sa's, revoked\x0c {KEY}\n# \u2028{KEY}\n".encode() + b"# \x85" + b"\xff\r\n"
    path = accounts.put(AUTHORIZED)
    path.write_bytes(theirs)
    keys_for(accounts, KEY)
    accounts.run()
    assert path.read_bytes().startswith(theirs + vimguest.KEYS_BEGIN.encode())
    accounts.run("--clean")
    assert path.read_bytes() == theirs


def test_a_block_without_an_end_belongs_to_the_user(accounts: Guest) -> None:
    theirs = f"{vimguest.KEYS_BEGIN}\nssh-rsa theirs\n"
    accounts.put(AUTHORIZED, theirs)
    keys_for(accounts, KEY)
    accounts.run()
    assert accounts.text(AUTHORIZED).startswith(theirs)
    assert accounts.text(AUTHORIZED).count(KEY) == 1
    accounts.run("--clean")
    assert accounts.text(AUTHORIZED) == theirs


def test_a_user_whom_the_record_no_longer_names_loses_its_keys(accounts: Guest) -> None:
    keys_for(accounts, KEY)
    accounts.run()
    # This form cannot have keys.
    accounts.says(NOVA)
    accounts.run("--backend", "networkd")
    assert KEY in accounts.text(AUTHORIZED)
    accounts.says('v1:{"hostname":"web-1"}')
    assert accounts.run("--check").returncode == 1
    accounts.run()
    assert accounts.text(AUTHORIZED) == ""


def test_a_guest_process_cannot_remove_the_keys_of_the_record(accounts: Guest) -> None:
    keys_for(accounts, KEY)
    accounts.run()
    accounts.says(None)
    accounts.says('v1:{"ssh_keys":{},"hostname":"web-1"}', "guestinfo.vimguest")
    found = accounts.report("--allow-guestinfo")
    assert (found["code"], found["source"]) == (0, "guestinfo.vimguest")
    assert KEY in accounts.text(AUTHORIZED)


# --- what takes too long ------------------------------------------------------

BLANKS = "\n" * 150_000


@pytest.mark.parametrize(
    ("name", "text", "backend"),
    [
        ("etc/cloud/cloud.cfg.d/a.cfg", f"network:{BLANKS}x\n", "netplan"),
        ("etc/network/interfaces", f"{BLANKS}source-directory interfaces.d\n", "ifupdown"),
        ("etc/netplan/a.yaml", f"network:{BLANKS}x\n", "netplan"),
        ("etc/hosts", "127.0.0.1 localhost\n" + "\n".join(f"x{at % 150}" for at in range(200_000)), "netplan"),
    ],
)  # fmt: skip
def test_long_files_are_read_in_linear_time(
    image: Guest, name: str, text: str, backend: str
) -> None:
    image.put("sbin/ifup").unlink()
    (image.root / "sbin/ifup").symlink_to("/bin/busybox")
    image.put("etc/cloud/cloud-init.disabled")
    image.put(name, text)
    image.says("v1:" + json.dumps({"hostname": "web-1", "nics": [{"mac": MAC0, "addresses": ["10.0.0.2/24"]}]}))  # fmt: skip
    ran = run_apart(image, "--backend", backend, "--dry-run")
    assert ran.returncode == 0, ran


def test_a_pattern_that_matches_without_end_is_refused(image: Guest) -> None:
    for at in range(9):
        (image.root / f"l{at}").symlink_to("/")
    image.put("etc/network/interfaces", f"source {'/*' * 30}\n")
    ran = run_apart(image, "--backend", "ifupdown")
    assert ran.returncode == 3
    assert "matches more than" in json.loads(ran.stdout)["error"]["message"]


# --- what is kept between runs ------------------------------------------------


def test_a_long_hosts_file_does_not_lock_out_the_next_run(image: Guest) -> None:
    """The state keeps it in base64: that is longer than a file may be."""
    hosts = "127.0.0.1 localhost\n" + "0.0.0.0 ads.example\n" * 47_000
    image.put("etc/hosts", hosts)
    image.says('v1:{"hostname":"web-1"}')
    assert image.run().returncode == 0
    assert image.report()["status"] == "nothing"
    assert image.run("--clean").returncode == 0
    assert image.text("/etc/hosts") == hosts


def test_hosts_in_any_encoding_stay_as_they_are(image: Guest) -> None:
    theirs = "# \u00c5lesund 10.9.9.9 evil\x0b\n10.0.0.7 x \u2028\n".encode() + b"\xff\x85\n"
    path = image.put("etc/hosts")
    path.write_bytes(theirs)
    image.says('v1:{"hostname":"web-1"}')
    image.run()
    assert path.read_bytes().startswith(theirs + b"127.0.1.1\tweb-1")
    image.run("--clean")
    assert path.read_bytes() == theirs


def test_name_servers_that_meet_on_one_nic_can_be_read_back(image: Guest) -> None:
    image.nic("eth1", MAC1)
    servers = [[f"10.{net}.0.{at}" for at in range(1, 65)] for net in (1, 2)]
    nics = [
        {"mac": MAC0, "addresses": ["10.0.0.2/24"], "dns": servers[0]},
        {"mac": MAC1, "addresses": ["2001:db8::2/64"], "dns": servers[1]},
    ]
    image.says("v1:" + json.dumps({"nics": nics}))
    found = image.report("--backend", "networkd")
    assert len(found["notes"]) == 64
    assert image.report("--backend", "networkd")["status"] == "unchanged"


@pytest.mark.parametrize("mode", ["1e999", "-1", '"x"', "null", "9" * 5000])
def test_a_state_with_odd_numbers_is_refused(image: Guest, mode: str) -> None:
    image.says(NOVA)
    image.run("--backend", "networkd")
    row = f'"previous": {{"/etc/hosts": {{"data": "", "mode": {mode}}}}}, "x": {{'
    image.put(STATE, image.text(STATE).replace('"previous": {', row))
    ran = image.run("--rollback")
    # A number out of range is cut to the bits of a mode.
    assert ran.returncode == (0 if mode == "-1" else 3), ran
    assert "Traceback" not in ran.stderr


def test_users_of_former_records_are_bounded(accounts: Guest) -> None:
    keys_for(accounts, KEY)
    accounts.run()
    state = json.loads(accounts.text(STATE))
    former = [f"a{at}" for at in range(vimguest.MAX_KEPT_USERS)]
    accounts.put(STATE, json.dumps(state | {"users": former}))
    accounts.run()
    users = json.loads(accounts.text(STATE))["users"]
    assert len(users) == vimguest.MAX_KEPT_USERS
    assert "debian" in users
    accounts.put(STATE, json.dumps(state | {"users": [*former, "debian"]}))
    assert accounts.report()["code"] == 3


def test_a_folder_with_the_name_of_a_file_is_named(image: Guest) -> None:
    image.says(NOVA)
    (image.root / "etc/netplan/90-vimguest.yaml").mkdir(parents=True)
    (image.root / "etc/netplan/.vimguest.x.tmp").mkdir()
    before = len(os.listdir("/proc/self/fd"))
    found = image.report("--backend", "netplan")
    assert found["code"] == 3
    assert "/etc/netplan/90-vimguest.yaml is not a plain file" in found["error"]["message"]
    assert len(os.listdir("/proc/self/fd")) == before


# --- files of the image -------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        "source /etc/network/\0x",
        f"source {'x' * 300}",
        "source \u00e4\ud7ff*",
        "# \x0c iface eth0 inet dhcp",
        "# \u2028iface eth0 inet dhcp",
    ],
)
def test_odd_lines_of_ifupdown_cost_nothing(image: Guest, line: str) -> None:
    image.put("etc/network/interfaces", f"{line}\nsource /etc/network/interfaces.d/*\n")
    found = image.report("--backend", "ifupdown")
    assert (found["code"], found["notes"]) == (0, [])


def test_ifupdown_reads_plain_names_of_a_folder_only(image: Guest) -> None:
    image.put("etc/network/interfaces", "source-directory /etc/network/interfaces.d\n")
    image.put("etc/network/interfaces.d/eth0.dpkg-old", "iface eth0 inet dhcp\n")
    assert image.report("--backend", "ifupdown")["code"] == 0
    # busybox reads them all.
    image.put("sbin/x").with_name("ifup").symlink_to("/bin/busybox")
    assert "eth0.dpkg-old" in image.report("--backend", "ifupdown")["error"]["message"]


# --- a shared file in the way --------------------------------------------------

WITH_NAME = "v1:" + json.dumps(
    {"hostname": "web-1", "nics": [{"mac": MAC0, "addresses": ["10.0.0.2/24"]}]}
)


@pytest.mark.parametrize("kind", ["folder", "link", "huge"])
def test_an_odd_host_name_file_does_not_cost_the_network(image: Guest, kind: str) -> None:
    path = image.put("etc/hostname", "theirs\n")
    if kind == "huge":
        os.truncate(path, 3 << 30)
    else:
        path.unlink()
        path.mkdir() if kind == "folder" else path.symlink_to("/run/hostname")
    image.says(WITH_NAME)
    found = image.report("--backend", "networkd")
    assert (found["code"], found["status"]) == (5, "changed")
    assert [row["file"] for row in found["problems"]] == ["/etc/hostname"]
    assert (image.root / "etc/systemd/network/05-vimguest-005056aabb01.network").exists()


@pytest.mark.parametrize("code", [errno.EPERM, errno.EBUSY])
def test_an_immutable_or_mounted_shared_file_does_not_cost_the_network(
    image: Guest, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    real = os.rename

    def rename(old: str, new: str, **folders: int) -> None:
        if new == "hosts":
            raise OSError(code, os.strerror(code))
        real(old, new, **folders)

    monkeypatch.setattr(os, "rename", rename)
    image.put("etc/hosts", "127.0.0.1 localhost\n")
    image.says(WITH_NAME)
    found = image.report("--backend", "networkd")
    assert (found["code"], found["status"]) == (5, "changed")
    assert [row["file"] for row in found["problems"]] == ["/etc/hosts"]
    assert image.text("/etc/hostname") == "web-1\n"
    assert image.text("/etc/hosts") == "127.0.0.1 localhost\n"
    assert image.report("--rollback")["code"] == 0
    assert image.text("/etc/hosts") == "127.0.0.1 localhost\n"


def test_a_report_that_nobody_can_read_does_not_change_the_exit_code(image: Guest) -> None:
    image.says(WITH_NAME)
    words = [sys.executable, str(HELPER), "--root", str(image.root), "--backend", "networkd"]
    with open("/dev/full", "w") as full:
        ran = subprocess.run(
            [*words, "--dry-run"],
            env={"PATH": f"{image.bin}:{os.defpath}"},
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
        )
    assert (ran.returncode, ran.stderr) == (0, b"")


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
