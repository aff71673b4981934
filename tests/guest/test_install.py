"""The install script, the packages, and the units as an image builder gets them."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from guest import vimguest

from .machine import Machine
from .tree import HELPER, MAC0, NOVA, Guest

INSTALL = HELPER.with_name("install.sh")
BUILD = HELPER.with_name("build-packages.sh")


def install(guest: Guest, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", str(INSTALL), "--root", str(guest.root), *words],
        env={"PATH": f"{guest.bin}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def image(tmp_path: Path) -> Guest:
    guest = Guest(tmp_path / "guest")
    guest.nic("eth0", MAC0)
    return guest


WANTS = "/etc/systemd/system/{}.target.wants/{}.service"
INSTALLED = {
    "/usr/local/sbin/vimguest": 0o755,
    "/usr/local/share/doc/vimguest/README.md": 0o644,
    "/etc/systemd/system/vimguest.service": 0o644,
    "/etc/systemd/system/vimguest-verify.service": 0o644,
    WANTS.format("sysinit", "vimguest"): 0o777,
    WANTS.format("multi-user", "vimguest-verify"): 0o777,
}


def test_installing_twice_is_installing_once(image: Guest) -> None:
    before = image.files()
    assert install(image).returncode == 0
    found = image.files()
    new = {name: mode for name, (mode, _) in found.items() if name not in before}
    assert new == INSTALLED
    assert found["/usr/local/sbin/vimguest"][1] == HELPER.read_bytes()
    # The links lead to units that are there.
    link = found[WANTS.format("sysinit", "vimguest")][1].decode()
    assert link in found
    times = {path: path.lstat().st_mtime_ns for path in image.root.rglob("*") if path.is_file()}
    assert install(image).returncode == 0
    assert image.files() == found
    assert times == {path: path.lstat().st_mtime_ns for path in times}


def test_uninstalling_leaves_nothing(image: Guest) -> None:
    before = image.files()
    install(image)
    image.says(NOVA)
    image.run("--backend", "networkd")
    assert vimguest.STATE in image.files()
    for _ in range(2):
        ran = install(image, "--uninstall")
        assert ran.returncode == 0, ran
        assert image.files() == before


def test_alpine_gets_the_init_script(image: Guest) -> None:
    image.put("sbin/openrc-run")
    assert install(image).returncode == 0
    found = image.files()
    assert found["/etc/init.d/vimguest"][0] == 0o755
    assert found["/etc/runlevels/boot/vimguest"][1] == b"/etc/init.d/vimguest"
    assert found["/etc/runlevels/default/vimguest-verify"][1] == b"/etc/init.d/vimguest-verify"
    assert not [name for name in found if "systemd" in name]
    assert install(image, "--uninstall").returncode == 0
    assert not [name for name in image.files() if "vimguest" in name]


def test_the_init_script_runs_the_helper_before_the_network(tmp_path: Path) -> None:
    script = HELPER.with_name("vimguest.initd").read_text()
    program = tmp_path / "vimguest"
    program.write_text('#!/bin/sh\necho "ran $*"\nexit 3\n')
    program.chmod(0o755)
    text = script.replace("/usr/local/sbin/vimguest", str(program))
    stubs = 'ebegin() { :; }; eend() { return "$1"; }; need() { :; }; after() { :; }\n'
    stubs += 'before() { echo "before $*"; }\n'
    ran = subprocess.run(
        [
            "sh",
            "-euc",
            f"{stubs}{text}\ndepend\nVIMGUEST_OPTIONS='--json'\nstart || echo $?\nverify",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.stdout.splitlines() == ["before net networking", "ran --json", "3", "ran --verify"]


@pytest.mark.parametrize("words", [["--root"], ["--root", "/nonexistent"], ["x"]])
def test_wrong_words_are_refused(words: list[str]) -> None:
    ran = subprocess.run(["sh", str(INSTALL), *words], capture_output=True, check=False)
    assert ran.returncode == 2


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    """A folder with both packages; a missing tool skips, but fails in CI."""
    absent = [name for name in ("dpkg-deb", "rpmbuild") if shutil.which(name) is None]
    if absent:
        why = f"not installed: {', '.join(absent)}; apt-get install dpkg rpm"
        if os.environ.get("CI"):
            pytest.fail(why, pytrace=False)
        pytest.skip(why)
    folder = tmp_path / "packages"
    subprocess.run(["sh", str(BUILD), str(folder)], check=True, timeout=100)
    return folder


@pytest.mark.slow
def test_packages_hold_the_helper_and_its_units(packages: Path, tmp_path: Path) -> None:
    (deb,), (rpm,) = packages.glob("*.deb"), packages.glob("*.rpm")
    assert deb.name == f"vimguest_{vimguest.__version__}_all.deb"
    subprocess.run(["dpkg-deb", "--extract", deb, tmp_path / "deb"], check=True)
    files = {
        f"/{path.relative_to(tmp_path / 'deb')}"
        for path in (tmp_path / "deb").rglob("*")
        if path.is_file()
    }
    listed = subprocess.run(["rpm", "-qlp", rpm], capture_output=True, text=True, check=True)
    assert files == set(listed.stdout.split())
    unit = (tmp_path / "deb/usr/lib/systemd/system/vimguest.service").read_text()
    assert "ExecStart=/usr/sbin/vimguest $VIMGUEST_OPTIONS\n" in unit
    # The same sources make the same package.
    again = tmp_path / "again"
    subprocess.run(["sh", str(BUILD), str(again)], check=True, timeout=100)
    digests = [hashlib.sha256(path.read_bytes()).digest() for path in (deb, again / deb.name)]
    assert digests[0] == digests[1]


@pytest.mark.slow
@pytest.mark.integration
@pytest.mark.needs_chroot
@pytest.mark.timeout(900)
def test_the_deb_is_installed_and_removed(machine: Machine, packages: Path) -> None:
    (deb,) = packages.glob("*.deb")
    machine.run("rm", "/usr/local/sbin/vimguest")
    machine.copy(deb, f"/tmp/{deb.name}")
    machine.run("dpkg", "--install", f"/tmp/{deb.name}")
    link = "/etc/systemd/system/sysinit.target.wants/vimguest.service"
    assert machine.run("readlink", link).stdout == "/usr/lib/systemd/system/vimguest.service\n"
    machine.says(NOVA)
    machine.run("vimguest", "--backend", "networkd")
    machine.run("dpkg", "--remove", "vimguest")
    assert not machine.exists(link)
    assert not machine.exists("/var/lib/vimguest/state.json")
    assert "vimguest" not in machine.run("ls", "/etc/systemd/network").stdout


PAGE = Path(__file__).parents[2] / "docs/driver/guest.md"


def recipe(tool: str) -> str:
    """The command line with which that tool would install the helper in an image, from the docs."""
    text = PAGE.read_text()
    if tool == "virt-customize":
        (words,) = [line for line in text.splitlines() if line.startswith(tool)]
        options = shlex.split(words)
        assert options[options.index("--copy-in") + 1] == "guest:/tmp"
        return options[options.index("--run-command") + 1]
    (inline,) = re.findall(r"^  inline = (\[.*\])$", text, re.MULTILINE)
    # packer copies a folder into the destination, which must exist, and runs the lines as one script.
    assert re.search(r'source += "guest"\n +destination = "/tmp"\n', text)
    return "\n".join(json.loads(inline))


@pytest.mark.slow
@pytest.mark.integration
@pytest.mark.needs_chroot
@pytest.mark.timeout(900)
@pytest.mark.parametrize("tool", ["virt-customize", "packer"])
def test_the_recipes_install_the_helper(machine: Machine, tool: str) -> None:
    machine.run("rm", "/usr/local/sbin/vimguest")
    machine.put("/usr/local/bin/sudo", '#!/bin/sh\nexec "$@"\n', 0o755)
    for path in HELPER.parent.iterdir():
        if path.is_file():
            machine.copy(path, f"/tmp/guest/{path.name}")
    machine.run("sh", "-ec", recipe(tool))
    assert machine.run("vimguest", "--version").stdout == vimguest.__version__ + "\n"
    assert machine.exists("/etc/systemd/system/sysinit.target.wants/vimguest.service")
    assert not machine.exists("/tmp/guest")


@pytest.mark.slow
@pytest.mark.integration
@pytest.mark.needs_chroot
@pytest.mark.timeout(900)
@pytest.mark.parametrize("unit", ["vimguest.service", "vimguest-verify.service"])
def test_the_units_are_confined(machine: Machine, unit: str) -> None:
    machine.put(f"/etc/systemd/system/{unit}", HELPER.with_name(unit).read_text())
    words = ["--offline=true", "--threshold=50", f"/etc/systemd/system/{unit}"]
    ran = machine.run("systemd-analyze", "security", "--no-pager", *words, ok=False)
    assert ran.returncode == 0, ran.stdout[-200:]
    assert "Overall exposure" in ran.stdout
    checked = machine.run("systemd-analyze", "verify", f"/etc/systemd/system/{unit}", ok=False)
    assert "vimguest" not in checked.stderr.replace("vimguest.service(8)", ""), checked
