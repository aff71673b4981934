"""A Debian guest for tests: a chroot under an overlay, in namespaces of its own.

mmdebstrap makes the chroot once, into the cache of built peers; nothing of it is installed on this
machine. Each `Machine` sees it through an overlay that is thrown away, with its own processes,
mounts, host name and network: two NICs, each the one end of a veth pair. Ending the first process
of the namespaces ends all.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

from tests.integration.peers.cache import built

from .tree import HELPER, MAC0, MAC1, TOOL

SUITE = "trixie"
# The release of the second boot matrix.
SECOND_SUITE = "bookworm"
PACKAGES = (
    "cloud-init",
    "dbus",
    "dbus-daemon",
    "ifupdown",
    "iproute2",
    "netplan.io",
    "network-manager",
    "python3",
    "systemd",
    "systemd-resolved",
    "systemd-sysv",
    "udev",
)
# They conflict with the others: tests unpack them into a machine of their own.
ARCHIVES = (
    *("busybox-static", "ifupdown-ng", "ifupdown2", "openresolv", "openrc", "libeinfo1"),
    # The library of openrc: virtual packages have the name that the other release gave it.
    "?and(?name(^librc1),?not(?virtual))",
)
TOOLS = ("mmdebstrap", "unshare", "nsenter", "ip", "mount", "pivot_root")
APT_LINE = (
    "apt-get install --no-install-recommends "
    "mmdebstrap debian-archive-keyring iproute2 util-linux mount"
)

# Runs as the first process of the namespaces.
SETUP = """
set -e
mount --make-rprivate /
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$2/root"
mount -t proc proc "$2/root/proc"
# Read-only, as in a container: without udev, networkd would wait for it on a writable one.
mount -t sysfs -o ro sysfs "$2/root/sys"
mount -t tmpfs -o mode=755 tmpfs "$2/root/run"
ip link set lo up
n=0
for mac in "$3" "$4"; do
  ip link add "eth$n" address "$mac" type veth peer name "peer$n"
  ip link set "peer$n" up
  n=$((n + 1))
done
hostname before
if [ "$5" = boot ]; then
  mount -t cgroup2 cgroup2 "$2/root/sys/fs/cgroup"
  mount -t tmpfs -o mode=755 tmpfs "$2/root/dev"
  for device in null zero full random urandom tty; do
    touch "$2/root/dev/$device"
    mount --bind "/dev/$device" "$2/root/dev/$device"
  done
  mkdir "$2/root/dev/shm" "$2/root/dev/pts"
  mount -t devpts -o newinstance,ptmxmode=0666 devpts "$2/root/dev/pts"
  ln -s pts/ptmx "$2/root/dev/ptmx"
  # systemd reads this; the variable `container` would keep cloud-init from VMware's tools.
  mkdir "$2/root/run/host"
  echo other > "$2/root/run/host/container-manager"
fi
# No chroot: in one, systemd's tools do nothing and report success.
cd "$2/root"
mkdir -p .old
pivot_root . .old
umount -l /.old
echo ready
[ "$5" = boot ] || exec sleep infinity
# The test writes its files first.
read -r _
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin /usr/lib/systemd/systemd
"""

DMIDECODE = """#!/bin/sh
case "$2" in
system-product-name) echo "VMware Virtual Platform";;
system-manufacturer) echo "VMware, Inc.";;
system-uuid) echo 564d0000-0000-0000-0000-000000000001;;
esac
"""

# Runs in the guest. cloud-init's transport is its other one, environment variables: the one by
# VMware's tools wants the hardware to be VMware's. What is behind it is the same.
CLOUD_INIT = """
import json
from cloudinit import helpers
from cloudinit.sources.DataSourceVMware import DataSourceVMware
source = DataSourceVMware({}, None, helpers.Paths({"run_dir": "/run/cloud"}))
assert source._get_data()
print(json.dumps([source.metadata, source.network_config]))
"""


def missing() -> str | None:
    """What keeps these tests from running here, None where nothing does."""
    if os.geteuid() != 0:
        return "not root"
    absent = [tool for tool in TOOLS if shutil.which(tool) is None]
    if absent:
        return f"not installed: {', '.join(absent)}; {APT_LINE}"
    probe = ["unshare", "--mount", "--net", "--pid", "--uts", "--fork", "true"]
    ran = subprocess.run(probe, capture_output=True, text=True, check=False)
    return f"no namespaces here: {ran.stderr.strip()}" if ran.returncode else None


def make_chroot(suite: str = SUITE) -> Path:
    """The chroot of a Debian release in the cache of built peers, made where it is missing."""

    def build(folder: Path) -> None:
        target = folder / "root"
        # By the configuration of the chroot's own apt: hooks run without it, and this machine's
        # would fetch the packages of its own release.
        apt = 'APT_CONFIG="$MMDEBSTRAP_APT_CONFIG" apt-get'
        fetch = f'cd "$1/var/archives" && {apt} download {shlex.join(ARCHIVES)}'
        words = ["--variant=minbase", f"--include={','.join(PACKAGES)}"]
        words += [f'--customize-hook=mkdir "$1/var/archives" && {fetch}', suite, str(target)]
        try:
            subprocess.run(["mmdebstrap", *words], check=True, capture_output=True, timeout=600)
        except subprocess.CalledProcessError as exc:
            raise RuntimeError(exc.stderr.decode(errors="replace")[-2000:]) from None

    return built(f"guest-debian-{suite}", [suite, *PACKAGES, *ARCHIVES], build) / "root"


# Which of them start is up to each test.
SERVICES = (
    "NetworkManager",
    "NetworkManager-wait-online",
    "networking",
    "systemd-networkd",
    "systemd-networkd-wait-online",
    "systemd-resolved",
    "cloud-config",
    "cloud-final",
    # It runs where nothing else does: on a busy machine no boot would end.
    "e2scrub_reap",
)

NETPLAN_WRAPPER = r"""
for generate in /usr/libexec/netplan/generate /lib/netplan/generate; do
  [ -f "$generate" ] && [ ! -L "$generate" ] || continue
  mv "$generate" "$generate.real"
  cat > "$generate" <<EOF
#!/bin/bash
(exec -a "\$0" $generate.real "\$@"); code=\$?
sed -i s/PermanentMACAddress=/MACAddress=/ /run/systemd/network/*.network 2>/dev/null
exit \$code
EOF
  chmod 755 "$generate"
done
"""


def cgroups() -> Path:
    """The folder of this machine's control groups of version 2."""
    for folder in ("/sys/fs/cgroup", "/sys/fs/cgroup/unified"):
        if Path(folder, "cgroup.procs").exists() and Path(folder, "cgroup.controllers").exists():
            return Path(folder)
    raise RuntimeError("no cgroup2 file system is mounted on this machine")


def remove_cgroups(folder: Path) -> bool:
    """Remove a tree of control groups; False while processes in it are still ending."""
    for path in [*sorted(folder.rglob("*"), reverse=True), folder]:
        if path.is_dir():
            try:
                path.rmdir()
            except OSError:
                return False
    return True


def eventually(check: Callable[[], bool], what: Callable[[], Any], seconds: float = 30) -> None:
    """Wait for a service that tells nobody when it is ready."""
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, what()
        time.sleep(0.05)


class Machine:
    """One guest, its NICs with those MAC addresses; use as a context manager."""

    def __init__(
        self,
        chroot: Path,
        folder: Path,
        macs: tuple[str, str] = (MAC0, MAC1),
        *,
        boots: bool = False,
    ) -> None:
        self.chroot = chroot
        self.macs = macs
        #: Whether its first process is systemd, started by `boot`.
        self.boots = boots
        self.folder = folder
        self.root = folder / "root"
        for name in ("upper", "work", "root"):
            (folder / name).mkdir()

    def __enter__(self) -> Self:
        namespaces = ["--mount", "--net", "--pid", "--uts", "--ipc", "--fork", "--kill-child"]
        namespaces += ["--cgroup"] if self.boots else []
        words = ["sh", str(self.chroot), str(self.folder), *self.macs, "boot" * self.boots]
        argv = ["unshare", *namespaces, "sh", "-c", SETUP, *words]
        if self.boots:
            # systemd wants a subtree of control groups of its own.
            self.cgroup = cgroups() / f"vimguest-{os.getpid()}-{id(self)}"
            self.cgroup.mkdir()
            enter = f'echo $$ > {self.cgroup}/cgroup.procs; exec "$@"'
            argv = ["sh", "-c", enter, "sh", *argv]
        self.first = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.first.stdout is not None
        assert self.first.stdout.readline() == "ready\n"
        children = f"/proc/{self.first.pid}/task/{self.first.pid}/children"
        self.inside = Path(children).read_text().split()[0]
        self.daemons: list[subprocess.Popen[bytes]] = []
        # It is there for the tests that ask it; elsewhere it would own the network.
        self.put("/etc/cloud/cloud-init.disabled", "")
        self.put("/usr/local/sbin/vimguest", HELPER.read_text(), 0o755)
        self.put("/usr/local/bin/vmtoolsd", TOOL, 0o755)
        self.run("ip", "link", "set", "lo", "up")
        if self.boots:
            self.prepare_boot()
        return self

    def unpack(self, *names: str) -> None:
        """Unpack Debian's packages over those of the chroot."""
        for name in names:
            # `dpkg -x` of Debian 12 replaces the link /bin where a package has a folder of that name.
            untar = "tar --extract --keep-directory-symlink --directory /"
            self.run("sh", "-c", f"dpkg-deb --fsys-tarfile /var/archives/{name}_*.deb | {untar}")

    def copy(self, path: Path, name: str) -> None:
        """Copy a file of this machine into the guest."""
        argv = self.argv("sh", "-c", 'mkdir -p "${1%/*}" && cat > "$1"', "sh", name)
        subprocess.run(argv, input=path.read_bytes(), check=True, timeout=100)

    def __exit__(self, *_: object) -> None:
        # --kill-child: the first process inside dies with it, and all others with that.
        self.first.kill()
        self.first.wait()
        assert self.first.stdin is not None
        assert self.first.stdout is not None
        self.first.stdin.close()
        self.first.stdout.close()
        for daemon in self.daemons:
            daemon.wait(timeout=30)
        if self.boots:
            eventually(lambda: remove_cgroups(self.cgroup), lambda: list(self.cgroup.rglob("*")))

    def prepare_boot(self) -> None:
        """Install the units as an image builder does, and adapt the machine to veth NICs."""
        for unit in ("vimguest.service", "vimguest-verify.service"):
            self.put(f"/etc/systemd/system/{unit}", HELPER.with_name(unit).read_text())
            # The namespaces run on any machine, and the tool's answers lie in its folder.
            self.put(
                f"/etc/systemd/system/{unit}.d/test.conf",
                "[Unit]\nConditionVirtualization=\n[Service]\nReadWritePaths=/usr/local/bin\n",
            )
            self.run("systemctl", "enable", unit)
        for unit in SERVICES:
            self.run("systemctl", "disable", unit, ok=False)
        # A veth has no permanent address, by which netplan matches; a real NIC has.
        self.run("sh", "-c", NETPLAN_WRAPPER)
        # No udev runs in a container, but `netplan apply` asks it to reload.
        self.put("/usr/bin/udevadm", "#!/bin/sh\nexit 0\n", 0o755)
        self.put(
            "/etc/NetworkManager/conf.d/00-test.conf",
            "[main]\nno-auto-default=*\n[keyfile]\nunmanaged-devices=interface-name:peer*\n"
            "[device]\nmatch-device=interface-name:eth*\nmanaged=1\n",
        )

    def boot(self, *services: str) -> None:
        """Start systemd with these services enabled, and wait until it has booted."""
        for unit in services:
            self.run("systemctl", "enable", unit)
        assert self.first.stdin is not None
        self.first.stdin.write("\n")
        self.first.stdin.flush()

        def state() -> str:
            return self.run("systemctl", "is-system-running", ok=False).stdout.strip()

        eventually(lambda: state() in ("running", "degraded"), state, 90)

    def cloud_init_boots(
        self, settings: Mapping[str, str], renderer: str, distro: str = "debian"
    ) -> None:
        """Have cloud-init configure this machine at boot, from these settings by its datasource."""
        self.run("rm", "/etc/cloud/cloud-init.disabled")
        self.put("/etc/cloud/ds-identify.cfg", "policy: enabled\n")
        self.put(
            "/etc/cloud/cloud.cfg.d/99-test.cfg",
            "datasource_list: [VMware, None]\n"
            f"system_info: {{distro: {distro}, network: {{renderers: [{renderer}]}}}}\n",
        )
        # The hardware's name is VMware's, and a container has none.
        self.run("sh", "-c", "[ ! -e /sys/class/dmi ] || mount -t tmpfs tmpfs /sys/class/dmi")
        self.put("/usr/sbin/dmidecode", DMIDECODE, 0o755)
        self.put("/usr/bin/systemd-detect-virt", "#!/bin/sh\nexit 1\n", 0o755)
        self.put("/usr/local/bin/vmware-rpctool", TOOL, 0o755)
        self.guestinfo(settings)

    def guestinfo(self, settings: Mapping[str, str]) -> None:
        """Set the machine's settings, as its guest reads them by vmware-rpctool."""
        for key, value in settings.items():
            self.put(f"/usr/local/bin/vmware-rpctool.{key}", value)

    def verified(self) -> dict[str, Any]:
        """Wait for the result that the second unit sends to the host."""
        name = "/usr/local/bin/vmtoolsd.guestinfo.vimguest.status"
        found: dict[str, Any] = {}

        def arrived() -> bool:
            if self.exists(name):
                found.update(json.loads(self.text(name)))
            return found.get("verified") is not None

        eventually(arrived, lambda: (found, self.journal("vimguest-verify")), 90)
        return found

    def journal(self, unit: str) -> str:
        """The output of a unit."""
        return self.run("journalctl", "-b", "-u", unit, "--no-pager", "-o", "cat", ok=False).stdout

    def argv(self, *words: str) -> list[str]:
        """A command line that runs those words in the guest."""
        enter = ["nsenter", "--target", self.inside, "--mount", "--net", "--pid", "--uts", "--ipc"]
        path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        return [*enter, "--", "/usr/bin/env", "-i", path, *words]

    def run(self, *words: str, ok: bool = True, text: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command in the guest to its end, with that text to read."""
        ran = subprocess.run(
            self.argv(*words),
            input=text,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert not ok or ran.returncode == 0, ran
        return ran

    def daemon(self, *words: str) -> None:
        """Start a service in the guest; it ends with the guest."""
        log = (self.folder / f"daemon{len(self.daemons)}.log").open("wb")
        with log:
            self.daemons.append(
                subprocess.Popen(
                    self.argv(*words), stdin=subprocess.DEVNULL, stdout=log, stderr=log
                )
            )

    @property
    def logs(self) -> str:
        """What the services said, for a message."""
        return "".join(path.read_text()[-3000:] for path in sorted(self.folder.glob("*.log")))

    def put(self, name: str, text: str, mode: int = 0o644) -> None:
        """Write a file in the guest."""
        script = 'mkdir -p "${1%/*}" && cat > "$1" && chmod "$2" "$1"'
        argv = self.argv("sh", "-c", script, "sh", name, f"{mode:o}")
        subprocess.run(argv, input=text.encode(), check=True, timeout=100)

    def text(self, name: str) -> str:
        """Read a file of the guest."""
        return self.run("cat", name).stdout

    def exists(self, name: str) -> bool:
        """Whether the guest has that file."""
        return self.run("test", "-e", name, ok=False).returncode == 0

    def says(self, text: str, key: str = "machine.id") -> None:
        """Set what the host says under that key."""
        self.put(f"/usr/local/bin/vmtoolsd.{key}", text)

    def helper(self, *words: str, code: int = 0) -> dict[str, Any]:
        """Run the helper as the unit does, on the running guest; its report."""
        ran = self.run("vimguest", "--json", *words, ok=False)
        assert ran.returncode == code, ran
        found: dict[str, Any] = json.loads(ran.stdout)
        return found

    def cloud_init(self, settings: Mapping[str, str]) -> dict[str, Any]:
        """Let cloud-init read the machine's settings and write files of networkd; its metadata."""
        text, encoding = (settings[f"guestinfo.metadata{key}"] for key in ("", ".encoding"))
        words = ["env", "VMX_GUESTINFO=1", f"VMX_GUESTINFO_METADATA={text}"]
        words.append(f"VMX_GUESTINFO_METADATA_ENCODING={encoding}")
        metadata, network = json.loads(self.run(*words, "python3", "-c", CLOUD_INIT).stdout)
        self.put("/run/network.json", json.dumps(network))
        macs = [word for n, mac in enumerate(self.macs) for word in ("--mac", f"eth{n},{mac}")]
        self.run(
            *["cloud-init", "devel", "net-convert", "--network-data", "/run/network.json"],
            *["--kind", "yaml", "--output-kind", "networkd", "--distro", "debian"],
            *["--directory", "/", *macs],
        )
        found: dict[str, Any] = metadata
        return found

    def addresses(self, name: str) -> list[str]:
        """A NIC's addresses, the link-local one left out."""
        (found,) = json.loads(self.run("ip", "-j", "addr", "show", "dev", name).stdout)
        return sorted(
            f"{one['local']}/{one['prefixlen']}"
            for one in found["addr_info"]
            if one["scope"] == "global" and not one.get("tentative")
        )

    def mtu(self, name: str) -> int:
        """A NIC's MTU in bytes."""
        (found,) = json.loads(self.run("ip", "-j", "link", "show", "dev", name).stdout)
        return int(found["mtu"])

    def routes(self) -> set[tuple[str, str, str]]:
        """Every route by way of a gateway: destination, gateway, NIC."""
        found = set()
        for version in ("-4", "-6"):
            for one in json.loads(self.run("ip", version, "-j", "route").stdout):
                if "gateway" in one:
                    found.add((one["dst"], one["gateway"], one["dev"]))
        return found

    def far_end(self, name: str, address: str) -> None:
        """Move the other end of a NIC into a network of its own, `far`, with that address."""
        peer = name.replace("eth", "peer")
        self.run("ip", "netns", "add", "far")
        self.run("ip", "link", "set", peer, "netns", "far")
        self.run("ip", "-n", "far", "addr", "add", address, "dev", peer)
        self.run("ip", "-n", "far", "link", "set", peer, "up")

    def bus(self) -> None:
        """Start D-Bus, which NetworkManager and networkctl speak."""
        self.run("mkdir", "-p", "/run/dbus")
        self.daemon("dbus-daemon", "--system", "--nofork", "--nopidfile")
        eventually(lambda: self.exists("/run/dbus/system_bus_socket"), lambda: self.logs)

    def networkd(self) -> None:
        """Start systemd-networkd, with the folders that systemd would make for it."""
        self.put("/etc/machine-id", "0123456789abcdef0123456789abcdef\n")
        self.run(
            "install", "-d", "-o", "systemd-network", "-g", "systemd-network", "/run/systemd/netif"
        )
        self.daemon("/usr/lib/systemd/systemd-networkd")

    def networkmanager(self) -> None:
        """Start NetworkManager; it is to keep off the far ends of the NICs."""
        self.put(
            "/etc/NetworkManager/conf.d/00-test.conf",
            "[main]\nno-auto-default=*\ndns=none\n[keyfile]\nunmanaged-devices=interface-name:peer*\n"
            "[device]\nmatch-device=interface-name:eth*\nmanaged=1\n",
        )
        self.bus()
        self.daemon("NetworkManager", "--no-daemon")
        eventually(
            lambda: (
                "running" in self.run("nmcli", "-t", "-f", "RUNNING", "general", ok=False).stdout
            ),
            lambda: self.logs,
        )


__all__ = ["MAC0", "MAC1", "Machine", "eventually", "make_chroot", "missing"]
