"""Random trees in which anything may stand in the place of each file that the helper uses."""

from __future__ import annotations

import json
import os
import random
import shutil
import stat
from pathlib import Path

import pytest

from guest import vimguest

from .test_records import KEY
from .tree import FULL, MAC0, MAC1, NOVA2, Guest

TREES = 100

NAMES = [
    *(name[1:] for name in (vimguest.STATE, vimguest.HOSTNAME, vimguest.HOSTS, vimguest.RESOLV)),
    *(name[1:] for name in (vimguest.NETPLAN, vimguest.IFUPDOWN, vimguest.INTERFACES)),
    *(name[1:] for name in vimguest.TIME_FILES),
    "etc/systemd/network/05-vimguest-005056aabb01.network",
    "etc/NetworkManager/system-connections/vimguest-005056aabb02.nmconnection",
    "etc/systemd/network/.vimguest.12345678.tmp",
    "etc/systemd/network/01-all.network",
    "etc/netplan/00-base.yaml",
    "etc/cloud/cloud.cfg.d/99.cfg",
    "etc/cloud/cloud-init.disabled",
    "etc/network/interfaces.d/eth0",
    "etc/passwd",
    "etc/runlevels/boot/networking",
    "etc/systemd/system/NetworkManager.service",
    "sbin/ifup",
    "sbin/openrc-run",
    "srv/debian/.ssh/authorized_keys",
    "sys/class/dmi/id/product_uuid",
    "sys/class/net/eth0/carrier",
    "sys/class/net/eth1/address",
    "usr/lib/systemd/system/systemd-timesyncd.service",
]
WORDS = [
    b"source /etc/network/interfaces.d/*\n",
    b"source-directory /etc/network/interfaces.d\n",
    b"source /*/*/\0\n",
    b"iface eth0 inet dhcp\n",
    b"debian:x:0:0::/srv/debian:/bin/sh\n",
    b"debian:x:-5:0::/srv/debian\n",
    b"network: {config: disabled}\n",
    b"network:\n  version: 2\n  renderer: NetworkManager\n",
    b"renderer: \xff\x85\n",
    b'{"version": 2, "nics": [], "previous": {}, "previous_nics": [], "pending": 1}\n',
    b'{"version": 2, "nics": 1e999}',
    b"nameserver\n",
    b"00:50:56:aa:bb:02\n",
    b"564d1234-0000-0000-0000-000000000001\n",
    vimguest.KEYS_BEGIN.encode() + b"\n",
    b"x # vimguest\n",
    b"\x1b[2J\n",
    b"\0",
]
LINKS = ["/dev/null", "/", "..", "loop", "/etc", "../../../../etc/hosts", "/bin/busybox", "x" * 300]
RECORDS = [
    NOVA2,
    FULL,
    f"{MAC0};;;;;#",
    "v1:" + json.dumps({"ssh_keys": {"debian": [KEY]}, "ntp": ["10.0.0.7"], "hostname": "web-1"}),
    "v1:{}",
]


def put_anything(rng: random.Random, path: Path, outside: Path) -> None:
    """Put a file, folder, link, FIFO or device there, or nothing."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        kind = rng.randrange(12)
        if kind < 6:
            path.write_bytes(b"".join(rng.choices(WORDS, k=rng.randrange(5))))
            path.chmod(rng.choice([0o644, 0o600, 0o000, 0o4777]))
        elif kind == 6:
            path.mkdir()
        elif kind == 7:
            path.symlink_to(rng.choice([*LINKS, str(outside), str(outside / "file")]))
        elif kind == 8:
            os.mkfifo(path)
        elif kind == 9 and os.geteuid() == 0:
            os.mknod(path, 0o600 | stat.S_IFCHR, os.makedev(1, rng.choice([3, 5, 9])))
        elif kind == 10:
            path.touch()
            os.truncate(path, rng.choice([1 << 20, (1 << 20) + 1, 1 << 40]))
    except OSError:
        # Something else stands in the way already.
        return


def snapshot(folder: Path) -> dict[str, tuple[int, int, int]]:
    """The folder and all in it: mode, size and time of each."""
    every = {path: path.lstat() for path in (folder, *folder.rglob("*"))}
    return {
        str(path): (found.st_mode, found.st_size, found.st_mtime_ns)
        for path, found in every.items()
    }


@pytest.mark.slow
def test_any_tree_ends_in_a_report_and_nothing_outside_it_is_touched(tmp_path: Path) -> None:
    rng = random.Random(19)
    codes = set()
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("theirs\n")
    before = snapshot(outside)
    for at in range(TREES):
        guest = Guest(tmp_path / "guest")
        for name in rng.sample(NAMES, rng.randrange(1, 12)):
            put_anything(rng, guest.root / name, outside)
        for nic, mac in (("eth0", MAC0), ("eth1", MAC1)):
            if not (guest.root / f"sys/class/net/{nic}").exists():
                guest.nic(nic, mac)
        for action in rng.choices(["", "--check", "--dry-run", "--rollback", "--clean"], k=4):
            guest.says(rng.choice(RECORDS))
            words = rng.choice([[], ["--backend", rng.choice(vimguest.BACKENDS)]])
            ran = guest.run("--json", *words, *[action] * bool(action))
            where = (at, action, words, ran.stdout, ran.stderr)
            assert ran.returncode in (0, 1, 3, 4, 5), where
            assert "Traceback" not in ran.stderr, where
            report = json.loads(ran.stdout)
            assert report["error"] is None or report["error"]["message"].isprintable(), where
            codes.add(ran.returncode)
        shutil.rmtree(guest.folder)
    assert snapshot(outside) == before
    # The trees are not all refused.
    assert codes >= {0, 1, 3}
