"""NetworkManager with the settings plugin ifcfg-rh, as RHEL 8 and 9 have it.

Debian's package leaves the plugin out, and its daemon exports only the symbols that the packaged
plugins need. Both are therefore built of Debian's sources, in a chroot of the same release.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.integration.peers import cache, source_package

from .machine import Machine

BUILD_PACKAGES = (
    "gcc",
    "libc6-dev",
    "libdbus-1-dev",
    "libglib2.0-dev",
    "libndp-dev",
    "libsystemd-dev",
    "libudev-dev",
    "meson",
    "pkgconf",
    "uuid-dev",
    "xsltproc",
)
# RHEL has its plugins there, and cloud-init looks for this one.
PLUGINS = "/usr/lib64/NetworkManager/rhel"
# The daemon without the kinds of devices and the tools that a virtual machine does not use.
OPTIONS = (
    *("--buildtype=plain", "-Dc_args=-O0", "-Db_lto=false"),
    *("--prefix=/usr", "--libdir=lib64", "--sysconfdir=/etc", "--localstatedir=/var"),
    *("-Ddist_version=rhel", "-Difcfg_rh=true", "-Difupdown=false"),
    *("-Dcrypto=null", "-Debpf=false", "-Dudev_dir=no"),
    *("-Dsystemdsystemunitdir=no", "-Dsession_tracking=no", "-Dreadline=none", "-Dtests=no"),
    *("-Dlibaudit=no", "-Dqt=false", "-Dvapi=false", "-Dmore_asserts=0", "-Dmore_logging=false"),
)
LEFT_OUT = (
    *("concheck", "firewalld_zone", "introspection", "libpsl", "modem_manager", "nm_cloud_setup"),
    *("nmcli", "nmtui", "ovs", "polkit", "ppp", "selinux", "session_tracking_consolekit"),
    *("wext", "wifi"),
)
DAEMON = "src/core/NetworkManager"
PLUGIN = "src/core/settings/plugins/ifcfg-rh/libnm-settings-plugin-ifcfg-rh.so"


def make_network_manager(release: str) -> Path:
    """A folder with the daemon and the plugin for a Debian release, built where it is missing."""
    sources = source_package.files_of(
        "network-manager",
        lambda name: True,
        folders=True,
        label=f"sources-{release}",
        release=release,
    )
    options = [*OPTIONS, *(f"-D{name}=false" for name in LEFT_OUT)]
    build_script = (
        f"cd /usr/src && meson setup build {' '.join(options)} && ninja -C build {DAEMON} {PLUGIN}"
    )

    def build(folder: Path) -> None:
        words = ["--format=null", "--variant=minbase", f"--include={','.join(BUILD_PACKAGES)}"]
        words += [f"--customize-hook=sync-in {sources} /usr/src"]
        words += [f'--customize-hook=chroot "$1" sh -c "{build_script}"']
        words += [
            f"--customize-hook=copy-out /usr/src/build/{each} {folder}" for each in (DAEMON, PLUGIN)
        ]
        try:
            subprocess.run(
                ["mmdebstrap", *words, release, "-"], check=True, capture_output=True, timeout=900
            )
        except subprocess.CalledProcessError as exc:
            raise RuntimeError(exc.stderr.decode(errors="replace")[-2000:]) from None

    inputs = [release, sources.name, build_script, *BUILD_PACKAGES]
    return cache.built(f"guest-networkmanager-{release}", inputs, build)


def become_red_hat(machine: Machine, release: str) -> None:
    """Make a machine, whose Debian has that release, one that cloud-init takes for RHEL."""
    built = make_network_manager(release)
    machine.copy(built / Path(DAEMON).name, f"/usr/sbin/{Path(DAEMON).name}")
    machine.copy(built / Path(PLUGIN).name, f"{PLUGINS}/{Path(PLUGIN).name}")
    machine.put("/etc/os-release", 'ID="rhel"\nVERSION_ID="9.6"\nNAME="Red Hat Enterprise Linux"\n')
    machine.put("/etc/NetworkManager/conf.d/rhel.conf", "[main]\nplugins=ifcfg-rh,keyfile\n")
    # A link to the one of a resolver that RHEL does not have.
    machine.run("rm", "-f", "/etc/resolv.conf")
    machine.put("/etc/resolv.conf", "")
