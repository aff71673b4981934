"""The shipped scripts under a real OpenRC, with ifupdown-ng or busybox as on Alpine."""

from __future__ import annotations

import json

import pytest

from .machine import Machine, eventually
from .test_apply import NOVA, ROUTES4, alpine
from .tree import HELPER

pytestmark = [
    pytest.mark.integration,
    pytest.mark.needs_chroot,
    pytest.mark.slow,
    # The first test makes the chroot.
    pytest.mark.timeout(900),
]

# As Alpine has it, without its options. lo has a service of its own.
NETWORKING = """#!/sbin/openrc-run
depend() {
	after localmount bootmisc hwdrivers modules
	provide net
}
start() {
	for iface in eth0 eth1; do ifup "$iface" || return; done
}
"""
INTERFACES = "source-directory /etc/network/interfaces.d\n"
STATUS = "/usr/local/bin/vmtoolsd.guestinfo.vimguest.status"


def busybox(machine: Machine) -> None:
    machine.unpack("busybox-static")
    machine.run("mkdir", "-p", "/run/network")
    for name in ("ifup", "ifdown"):
        machine.run("ln", "-sf", "/usr/bin/busybox", f"/usr/sbin/{name}")


@pytest.mark.parametrize("backend", ["ifupdown-ng", "ifupdown"])
def test_openrc_configures_the_network_and_compares_it(machine: Machine, backend: str) -> None:
    machine.unpack("openrc", "librc1*", "libeinfo1")
    machine.run("ldconfig")
    (alpine if backend == "ifupdown-ng" else busybox)(machine)
    machine.put("/etc/network/interfaces", INTERFACES)
    machine.put("/etc/init.d/networking", NETWORKING, 0o755)
    machine.run("rc-update", "add", "networking", "boot")
    machine.run("rm", "/usr/local/sbin/vimguest")
    for path in HELPER.parent.iterdir():
        if path.is_file():
            machine.copy(path, f"/tmp/guest/{path.name}")
    machine.run("sh", "/tmp/guest/install.sh")
    # The scripts of Debian's packages are for another init.
    machine.run("sh", "-c", "cd /etc/init.d && rm -f cloud-* dbus procps")
    machine.says(NOVA)
    for level in ("sysinit", "boot", "default"):
        ran = machine.run("openrc", level, ok=False)
        assert "ERROR" not in ran.stdout + ran.stderr, ran
    assert machine.addresses("eth0") == ["10.0.0.2/24"]
    assert machine.routes() == ROUTES4
    eventually(
        lambda: json.loads(machine.text(STATUS))["verified"] is not None,
        lambda: machine.text(STATUS),
    )
    found = json.loads(machine.text(STATUS))
    assert (found["verified"], found["backend"]) == (True, backend), found
    services = machine.run("rc-status", "--all").stdout
    assert "crashed" not in services
    machine.run("sh", "/tmp/guest/install.sh", "--uninstall")
    assert "vimguest" not in machine.run("rc-update", "show").stdout
