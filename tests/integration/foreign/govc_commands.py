"""The commands of govc that are run on a host, in this order, and what each prints and does.

They are played on the simulator, whose state is looked at after each, and on vcsim, of which only the
output is. A command that no host carries out is in the list too: it must be refused, and by the fault
of the API.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vimlib import vim25
from vimlib.simulator._host.resources import ResourcePool

if TYPE_CHECKING:
    from vimlib.simulator import ESXHost

Holds = Callable[["ESXHost"], bool]


@dataclass(frozen=True)
class Command:
    """A command.

    `{ds}` stands for the name of the datastore, in the line and in the expression.
    """

    line: str
    prints: str = ""
    """A regular expression that its output matches somewhere."""
    holds: Holds | None = None
    """True of the host afterwards."""
    fails: bool = False
    """No host carries it out: the exit code is 1."""
    since: str = "2.5"
    """The API version that brought a method or field that govc uses in it."""
    missing: str | None = None
    """Why the simulator cannot do it yet; None if it can."""

    def words(self, datastore: str) -> list[str]:
        """Return the words of the line."""
        return shlex.split(self.line.replace("{ds}", datastore))

    def outcome(self, code: int, output: str, datastore: str) -> str:
        """Return `ok`, `refused`, `wrong answer` or `crash`."""
        if code not in (0, 1):
            return "crash"
        if (code == 1) != self.fails:
            return "wrong answer" if self.fails else "refused"
        expected = self.prints.replace("{ds}", re.escape(datastore))
        return "ok" if re.search(expected, output, re.MULTILINE) else "wrong answer"


C = Command


def config(esx: ESXHost, name: str = "n1") -> Any:
    return esx.machine(name).config


def named(esx: ESXHost) -> set[str]:
    return {machine.name for machine in esx.machines.values()}


def kinds(esx: ESXHost, name: str = "n1") -> set[str]:
    return {type(device).__name__ for device in config(esx, name).hardware.device}


def file(esx: ESXHost, path: str) -> Path:
    return esx.datastore_path() / path


def option(esx: ESXHost, key: str) -> Any:
    return {each.key: each.value for each in config(esx).extraConfig}.get(key)


def snapshots(esx: ESXHost) -> list[str]:
    return [each.name for each in esx.machine("n1").all_snapshots()]


def current(esx: ESXHost) -> str | None:
    found = esx.machine("n1").current
    return found.name if found else None


CONTENT = "line one\nline two\n"
"""Of the file `upload.txt` in the folder in which the commands run."""

LOOK = (
    C("version", r"^govc 0\.\d+"),
    C("about", r"API type:\s+HostAgent"),
    C("about -json", r'"ProductLineId": "e'),
    C("about.cert -k", r"SHA-256 Thumbprint:\s+([0-9A-F]{2}:){31}"),
    C("about.cert -k -thumbprint", r"^127\.0\.0\.1:\d+ [0-9A-F]{2}:"),
    C("env", r"^GOVC_USERNAME=\w+"),
    C("datacenter.info", r"Name:\s+ha-datacenter\n(.*\n)*\s+Hosts:\s+1\n"),
    C("datastore.info", r"Name:\s+{ds}\n"),
    C("datastore.info -json {ds}", r'"MaintenanceMode": "'),
    C("ls", r"^/ha-datacenter/vm\n/ha-datacenter/host\n"),
    C("ls -l", r"^/ha-datacenter/network/$"),
    C("ls -i", r"^Folder:ha-folder-vm$"),
    C("ls -l host/*", r"ResourcePool|Resources/"),
    C("ls network", r"VM Network"),
    C("ls datastore", r"/{ds}$"),
    C("find", r"^/ha-datacenter/host/localhost\.localdomain"),
    C("find / -type h", r"localhost\.localdomain/localhost\.localdomain$"),
    C("find . -type s", r"/{ds}$"),
    C("find . -type n -name VM*", r"/VM Network$"),
    C("folder.info /", r"Types:\s+Datacenter\n\s+Children:\s+1"),
    C("host.info", r"Name:\s+localhost\.localdomain\n(.*\n)*\s+State:\s+connected"),
    C("host.info -json", r'"BootTime": "2'),
    C(
        "host.info -host.ipath /ha-datacenter/host/localhost.localdomain/localhost.localdomain",
        r"Logical CPUs:\s+\d+",
    ),
    C("pool.info *", r"Path:\s+/ha-datacenter/host/localhost\.localdomain/Resources"),
    C("object.collect -s / name", r"^ha-folder-root$|^root$"),
    C("object.collect -type h / name", r"localhost\.localdomain"),
    C("object.collect -json host/*/localhost* summary.hardware", r"NumCpuThreads"),
    C("object.collect -s network/* name", r"VM Network"),
    C("object.save -d inventory", r"^Saved \d\d+ total objects", lambda esx: True),
    C("session.ls", r"^[-0-9a-f]{36}\s+\w+\s+2"),
    C("session.login", r"^$"),
    C("session.logout", r"^$"),
    C("license.ls", r"^00000-00000-00000-00000-00000"),
    C("role.ls", r"^Admin "),
    C("role.ls Admin", r"^System\.View$"),
    C("metric.interval.info", r"Interval:\s+5m0s"),
    C("option.ls Config.", r"^Config\."),
    C("host.option.ls", r"^[A-Z]\w+\.\w+.*\s"),
    C("vm.option.info", r"^debian\d*_?64Guest\s+Debian", since="6.0"),
    C("vm.option.info -json", r'"GuestOSDescriptor"', since="6.0"),
)

NETWORK = (
    C("host.vswitch.info", r"Name:\s+vSwitch0\n"),
    C(
        "host.vswitch.add -mtu 9000 -ports 64 sw1",
        holds=lambda esx: esx.networks.switches["sw1"].mtu == 9000,
    ),
    C("host.vswitch.info", r"Name:\s+sw1\n(.*\n)*.*MTU:\s+9000"),
    C("host.vswitch.add sw1", r"already exists|AlreadyExists", fails=True),
    C(
        "host.portgroup.add -vswitch sw1 -vlan 100 pg1",
        holds=lambda esx: esx.networks.groups["pg1"].vlan == 100,
    ),
    C("ls network/pg1", r"/pg1$"),
    C(
        "host.portgroup.change -vlan-id 200 -name pg2 pg1",
        holds=lambda esx: (
            esx.networks.groups["pg2"].vlan == 200 and "pg1" not in esx.networks.groups
        ),
    ),
    C("host.portgroup.info", r"Name:\s+pg2\nVirtual switch:\s+sw1\nVLAN ID:\s+200"),
    C("host.portgroup.info -json", r'"VlanId": 200'),
    C("host.portgroup.remove pg2", holds=lambda esx: "pg2" not in esx.networks.groups),
    C("host.portgroup.remove pg2", r"not (be )?found|NotFound", fails=True),
    C("host.vswitch.remove sw1", holds=lambda esx: "sw1" not in esx.networks.switches),
)

FILES = (
    C("datastore.mkdir d1", holds=lambda esx: file(esx, "d1").is_dir()),
    C("datastore.mkdir d1", r"exists", fails=True),
    C("datastore.mkdir -p d1/a/b", holds=lambda esx: file(esx, "d1/a/b").is_dir()),
    C(
        "datastore.upload upload.txt d1/up.txt",
        "OK",
        lambda esx: file(esx, "d1/up.txt").read_text() == CONTENT,
    ),
    C(
        "datastore.upload upload.txt made/here/up.txt",
        "OK",
        lambda esx: file(esx, "made/here/up.txt").read_text() == CONTENT,
    ),
    C("datastore.ls d1", r"^up\.txt$"),
    C("datastore.ls -l d1", r"18B.*up\.txt$"),
    C("datastore.ls -R d1", r"^\[{ds}\] d1/a/?:\nb$"),
    C("datastore.ls -l -json d1", r'"FileSize": 18'),
    C("datastore.ls nowhere", r"not found|No such", fails=True),
    C("datastore.download d1/up.txt -", r"^line one\nline two$"),
    C("datastore.download d1/nowhere -", r"404|No such", fails=True),
    C("datastore.tail -n 1 d1/up.txt", r"^line two$"),
    C(
        "datastore.cp d1/up.txt d1/copy.txt",
        "OK",
        lambda esx: file(esx, "d1/copy.txt").read_text() == CONTENT,
    ),
    C("datastore.cp d1/nowhere d1/x", r"not found|No such|FileNotFound", fails=True),
    C(
        "datastore.mv d1/copy.txt d1/moved.txt",
        "OK",
        lambda esx: not file(esx, "d1/copy.txt").exists() and file(esx, "d1/moved.txt").exists(),
    ),
    C("datastore.mv d1/moved.txt d1/up.txt", r"exists", fails=True),
    C("datastore.mv -f d1/moved.txt d1/up.txt", "OK", lambda esx: file(esx, "d1/up.txt").exists()),
    C("datastore.rm d1/up.txt", holds=lambda esx: not file(esx, "d1/up.txt").exists()),
    C("datastore.rm d1/up.txt", r"not found|No such|FileNotFound", fails=True),
    C("datastore.rm -f d1/up.txt"),
    C(
        "datastore.disk.create -size 4M d1/disk.vmdk",
        "OK",
        lambda esx: file(esx, "d1/disk-flat.vmdk").stat().st_size == 4 << 20,
    ),
    C("datastore.disk.create -size 4M d1/disk.vmdk", r"exists", fails=True),
    C(
        "datastore.disk.inflate d1/disk.vmdk",
        "OK",
        lambda esx: "thinProvisioned" not in file(esx, "d1/disk.vmdk").read_text(),
    ),
    C(
        "datastore.cp d1/disk.vmdk d1/other.vmdk",
        "OK",
        lambda esx: file(esx, "d1/other-flat.vmdk").stat().st_size == 4 << 20,
    ),
    C("datastore.rm d1/other.vmdk", holds=lambda esx: not file(esx, "d1/other-flat.vmdk").exists()),
)

MACHINES = (
    C(
        "vm.create -firmware= -m 64 -c 2 -on=false -disk 10M -net.adapter e1000 -g otherGuest64 n1",
        holds=lambda esx: (
            (config(esx).hardware.memoryMB, config(esx).hardware.numCPU) == (64, 2)
            and [disk.capacityInKB for disk in esx.machine("n1").disks()] == [10240]
            and [type(nic) for nic in esx.machine("n1").nics()] == [vim25.VirtualE1000]
        ),
    ),
    C("vm.create -firmware= -on=false n1", r"exist", fails=True),
    C(
        "vm.create -firmware= -on=false -disk.controller pvscsi -net.adapter vmxnet3 -disk 10M n2",
        holds=lambda esx: kinds(esx, "n2") >= {"ParaVirtualSCSIController", "VirtualVmxnet3"},
    ),
    C(
        "vm.create -firmware= -on=false -disk.controller ide -disk 10M n3",
        holds=lambda esx: esx.machine("n3").disks()[0].controllerKey in (200, 201),
    ),
    C(
        "vm.create -on=false -firmware efi -disk.controller nvme -disk 10M n4",
        holds=lambda esx: (
            config(esx, "n4").firmware == "efi" and "VirtualNVMEController" in kinds(esx, "n4")
        ),
        since="6.5",
    ),
    C(
        "vm.create -firmware= -on=false -disk.controller nonsense -disk 10M n5",
        r"unknown|invalid",
        lambda esx: "n5" not in named(esx),
        fails=True,
    ),
    C(
        "vm.create -firmware= -on=true -m 32 -disk 1M n6",
        holds=lambda esx: esx.machine("n6").power == "poweredOn",
    ),
    C("ls vm", r"^/ha-datacenter/vm/n1$"),
    C("find . -type m -runtime.powerState poweredOn", r"^/ha-datacenter/vm/n6$"),
    C("vm.info n1", r"Memory:\s+64MB\n\s+CPU:\s+2 vCPU"),
    C("vm.info -json n1", r'"NumCPU": 2'),
    C("vm.info -r n1", r"Storage uncommitted:"),
    C("vm.info -e n1", r"ExtraConfig:"),
    C("vm.info -waitip=false -g n1", r"Guest name:\s+Other \(64-bit\)|Guest name:\s+otherGuest64"),
    C("vm.info n?", r"Name:\s+n2\n"),
    C("vm.info nowhere", r"^$"),
    C("object.collect -s vm/n1 config.hardware.memoryMB", r"^64$"),
    C("object.collect -s -type m / runtime.powerState", r"^poweredOn$"),
    C("object.collect -s vm/n1 nowhere", r"not found|InvalidProperty|Invalid property", fails=True),
    C(
        "vm.change -vm n1 -m 128 -c 4 -e guestinfo.a=b",
        holds=lambda esx: (
            (config(esx).hardware.memoryMB, config(esx).hardware.numCPU) == (128, 4)
            and option(esx, "guestinfo.a") == "b"
        ),
    ),
    C("vm.info -e n1", r"guestinfo\.a:\s+b"),
    C(
        "vm.change -vm n1 -sync-time-with-host=true -annotation two\\ words",
        holds=lambda esx: (
            config(esx).annotation == "two words" and config(esx).tools.syncTimeWithHost
        ),
    ),
    C(
        "vm.change -vm n1 -nested-hv-enabled=true",
        holds=lambda esx: config(esx).nestedHVEnabled is True,
        since="5.1",
    ),
    C(
        "vm.change -vm n1 -cpu.limit 1000 -mem.reservation 32",
        holds=lambda esx: (
            config(esx).cpuAllocation.limit == 1000
            and config(esx).memoryAllocation.reservation == 32
        ),
    ),
    C("vm.change -vm n1 -name n1b", holds=lambda esx: "n1b" in named(esx)),
    C("object.rename vm/n1b n1", holds=lambda esx: named(esx) >= {"n1", "n2"}),
    C("object.reload vm/n1"),
    C("vm.upgrade -vm n1", r"^$|already up to date"),
    C("vm.unregister n3", holds=lambda esx: "n3" not in named(esx)),
    C("vm.register n3/n3.vmx", holds=lambda esx: len(esx.machine("n3").disks()) == 1),
    C("vm.register nowhere/n.vmx", r"not.*found|not exist", fails=True),
)

DEVICES = (
    C("device.ls -vm n1", r"^disk-1000-0\s+VirtualDisk\s"),
    C("device.ls -vm n1 -json", r'"Type": "VirtualE1000"'),
    C("device.info -vm n1", r"^Name:\s+ide-200\n"),
    C("device.info -vm n1 ethernet-0", r"MAC Address:\s+00:0c:29:"),
    C("device.info -vm n1 disk-*", r"File:\s+\[{ds}\] n1/n1\.vmdk"),
    C("device.info -vm n1 nowhere-0", r"not found", fails=True),
    C(
        "vm.disk.create -vm n1 -name n1/second -size 5M",
        r"^Creating disk$|^$",
        lambda esx: [disk.capacityInKB for disk in esx.machine("n1").disks()] == [10240, 5120],
    ),
    C(
        "vm.disk.change -vm n1 -disk.label Hard\\ disk\\ 1 -size 20M",
        holds=lambda esx: esx.machine("n1").disks()[0].capacityInKB == 20480,
    ),
    C(
        "vm.disk.change -vm n1 -disk.label Hard\\ disk\\ 1 -size 5M",
        r"[Ii]nvalid",
        lambda esx: esx.machine("n1").disks()[0].capacityInKB == 20480,
        fails=True,
    ),
    C(
        "vm.disk.attach -vm n1 -link=false -disk d1/disk.vmdk",
        holds=lambda esx: "d1/disk.vmdk" in esx.machine("n1").disks()[2].backing.fileName,
    ),
    C("vm.disk.attach -vm n1 -link=false -disk d1/nowhere.vmdk", r"not found", fails=True),
    C(
        "device.remove -vm n1 -keep disk-1000-2",
        holds=lambda esx: file(esx, "d1/disk.vmdk").exists(),
    ),
    C(
        "device.remove -vm n1 disk-1000-1",
        holds=lambda esx: not file(esx, "n1/second.vmdk").exists(),
    ),
    C(
        "vm.network.add -vm n1 -net VM\\ Network -net.adapter vmxnet3 -net.address 00:50:56:00:00:07",
        holds=lambda esx: esx.machine("n1").nics()[1].macAddress == "00:50:56:00:00:07",
    ),
    C("device.ls -vm n1", r"^ethernet-1\s+VirtualVmxnet3\s+VM Network"),
    C(
        "vm.network.change -vm n1 -net VM\\ Network -net.address 00:50:56:00:00:08 ethernet-1",
        holds=lambda esx: esx.machine("n1").nics()[1].macAddress == "00:50:56:00:00:08",
    ),
    C(
        "device.disconnect -vm n1 ethernet-1",
        holds=lambda esx: not esx.machine("n1").nics()[1].connectable.connected,
    ),
    C("device.connect -vm n1 ethernet-1"),
    C("device.remove -vm n1 ethernet-1", holds=lambda esx: len(esx.machine("n1").nics()) == 1),
    C("device.cdrom.add -vm n1", r"^cdrom-\d+$", lambda esx: "VirtualCdrom" in kinds(esx)),
    C("datastore.upload upload.txt isos/a.iso", "OK"),
    C(
        "device.cdrom.insert -vm n1 isos/a.iso",
        holds=lambda esx: any(
            getattr(device.backing, "fileName", "") == "[datastore1] isos/a.iso"
            for device in config(esx).hardware.device
        ),
    ),
    C("device.info -vm n1 cdrom-*", r"ISO \[{ds}\] isos/a\.iso"),
    C(
        "device.cdrom.eject -vm n1",
        holds=lambda esx: (
            not any(
                getattr(device.backing, "fileName", "") == "[datastore1] isos/a.iso"
                for device in config(esx).hardware.device
            )
        ),
    ),
    C("device.floppy.add -vm n1", r"^floppy-8000$", lambda esx: "VirtualFloppy" in kinds(esx)),
    C("datastore.upload upload.txt isos/a.img", "OK"),
    C("device.floppy.insert -vm n1 isos/a.img"),
    C("device.info -vm n1 floppy-*", r"Image \[{ds}\] isos/a\.img"),
    C("device.floppy.eject -vm n1"),
    C(
        "device.serial.add -vm n1",
        r"^serialport-9000$",
        lambda esx: "VirtualSerialPort" in kinds(esx),
    ),
    C("device.serial.connect -vm n1 [{ds}]\\ n1/console.log"),
    C("device.info -vm n1 serialport-*", r"File \[{ds}\] n1/console\.log"),
    C("device.serial.connect -vm n1 telnet://:33233"),
    C("device.info -vm n1 serialport-*", r"Remote telnet://:33233"),
    C("device.serial.disconnect -vm n1"),
    C("device.usb.add -vm n1", r"^usb-7000$", lambda esx: "VirtualUSBController" in kinds(esx)),
    C(
        "device.scsi.add -vm n1 -type pvscsi",
        r"^pvscsi-1001$",
        lambda esx: "ParaVirtualSCSIController" in kinds(esx),
    ),
    C(
        "device.remove -vm n1 pvscsi-1001",
        holds=lambda esx: "ParaVirtualSCSIController" not in kinds(esx),
    ),
    C(
        "device.boot -vm n1 -setup -delay 1000 -order disk,ethernet",
        holds=lambda esx: (
            config(esx).bootOptions.enterBIOSSetup and config(esx).bootOptions.bootDelay == 1000
        ),
        since="5.0",
    ),
    C("device.ls -vm n1 -boot", r"^disk-1000-0 .*\nethernet-0 ", since="5.0"),
    C("device.pci.ls -vm n1", r"System ID\s+Address"),
    C("vm.rdm.ls -vm n1", r"^$"),
)

POWER = (
    C("vm.power -on n1", "OK", lambda esx: esx.machine("n1").power == "poweredOn"),
    C("vm.info n1", r"Power state:\s+poweredOn"),
    C("vm.power -suspend n1", "OK", lambda esx: esx.machine("n1").power == "suspended"),
    C("vm.power -reset n1", r"current state|InvalidPowerState", fails=True),
    C("vm.power -on n1", "OK", lambda esx: esx.machine("n1").power == "poweredOn"),
    C("vm.power -reset n1", "OK", lambda esx: esx.machine("n1").power == "poweredOn"),
    C("vm.power -s n1", r"Tools", lambda esx: esx.machine("n1").power == "poweredOn", fails=True),
    C("vm.power -r n1", r"Tools", fails=True),
    C("vm.console n1", r"^vmrc://clone:[-\w]+@127\.0\.0\.1:?\d*/\?moid=\w+"),
    C("vm.console -capture shot.png n1", r"^$"),
    C("vm.question -vm n1", r"No pending question"),
    C("vm.ip -wait 1s n1", r"^$"),
    C("metric.ls vm/n1", r"^cpu\.usage\.average$"),
    C("metric.info vm/n1 cpu.usage.average", r"Unit:\s+%\n\s+Rollup type:\s+average"),
    C("metric.sample -n 1 host/*/localhost* mem.usage.average", r"mem\.usage\.average +[\d.]+"),
    C("vm.power -off n1", "OK", lambda esx: esx.machine("n1").power == "poweredOff"),
    C("vm.power -off n1", r"current state|InvalidPowerState", fails=True),
    C("vm.power -off -force n1"),
    C("tasks", r"PowerOn.*\sn1\s.*success"),
    C("events vm/n1", r"n1 on .* is powered off"),
    C("events -type VmPoweredOnEvent vm/n1", r"is powered on"),
    C("events -n 1 -json vm/n1", r'"Message": "n1 on '),
)

SNAPSHOTS = (
    C("snapshot.create -vm n1 s1", holds=lambda esx: snapshots(esx) == ["s1"]),
    C("snapshot.create -vm n1 -d described s2", holds=lambda esx: current(esx) == "s2"),
    C("snapshot.tree -vm n1", r"^s1\n  s2\n"),
    C("snapshot.tree -vm n1 -D -i", r"s2"),
    C("snapshot.tree -vm n1 -d", r"described"),
    C("snapshot.revert -vm n1 s1", holds=lambda esx: current(esx) == "s1"),
    C("snapshot.revert -vm n1", holds=lambda esx: current(esx) == "s1"),
    C("snapshot.revert -vm n1 nowhere", r"not found", fails=True),
    C("snapshot.remove -vm n1 s2", holds=lambda esx: snapshots(esx) == ["s1"]),
    C("snapshot.create -vm n1 s3"),
    C("snapshot.remove -vm n1 *", holds=lambda esx: snapshots(esx) == []),
    C("snapshot.tree -vm n1", r"^$"),
)

POOL = "/ha-datacenter/host/localhost.localdomain/Resources"


def pools(esx: ESXHost) -> dict[str, Any]:
    return {pool.name: pool for pool in esx.registry.all(ResourcePool).values()}


HOST = (
    C("host.service.ls", r"^ntpd\s+(on|off|automatic)\s+(Running|Stopped)\s"),
    C("host.service stop ntpd"),
    C("host.service status ntpd", r"^Stopped$"),
    C("host.service start ntpd"),
    C("host.service status ntpd", r"^Running$"),
    C("host.date.info", r"Current date and time:\s+\w+"),
    C("host.date.change -server 0.pool.ntp.org"),
    C("host.date.info", r"0\.pool\.ntp\.org"),
    C("host.autostart.configure -enabled=true -start-delay 77"),
    C("host.autostart.add n1"),
    C("host.autostart.info", r"/n1\s+powerOn\s"),
    C("host.autostart.remove n1"),
    C("host.account.create -id u1 -password Pw12345-ab", since="6.0"),
    C("host.account.create -id u1 -password Pw12345-ab", r"exist", fails=True, since="6.0"),
    C("host.account.update -id u1 -password Pw12345-ac", since="6.0"),
    C("permissions.ls", r"^Admin .*root"),
    C("role.create r1 System.View"),
    C("role.ls r1", r"^System\.View$"),
    C("role.update r1 System.Read"),
    C("role.ls r1", r"^System\.Read$"),
    C("permissions.set -principal u1 -role r1", since="6.0"),
    C("permissions.ls", r"^r1 .*u1", since="6.0"),
    C("permissions.remove -principal u1", since="6.0"),
    C("host.account.remove -id u1", since="6.0"),
    C("role.remove r1"),
    C("role.ls r1", r"not found", fails=True),
    C("host.storage.info -t hba", r"^vmhba0\s"),
    C("host.storage.info -t lun", r"^/vmfs/devices/disks/\S+\s+disk\s"),
    C("host.storage.info -rescan -t hba", r"^vmhba0\s"),
    C("host.cert.info", r"Common Name \(CN\):\s+localhost\.localdomain", since="6.0"),
    C("host.vnic.info", r"^Device:\s+vmk0\n"),
    C("host.vnic.service -enable vmotion vmk0"),
    C("host.vnic.info", r"(?s)Device:\s+vmk0\n.*vmotion"),
    C("host.option.ls Disk.MaxLUN", r"Disk\.MaxLUN:\s+\d+$"),
    C("host.option.set Disk.MaxLUN 128"),
    C("host.option.ls Disk.MaxLUN", r"Disk\.MaxLUN:\s+128$"),
    C("host.option.ls Nowhere.To", r"not valid", fails=True),
    C(f"pool.create -cpu.limit 900 {POOL}/p1", holds=lambda esx: "p1" in pools(esx)),
    C(f"pool.info {POOL}/p1", r"CPU Limit:\s+900MHz"),
    C(f"pool.change -cpu.limit 1000 -name p2 {POOL}/p1", holds=lambda esx: "p2" in pools(esx)),
    C(f"pool.info {POOL}/p2", r"CPU Limit:\s+1000MHz"),
    C(f"pool.destroy {POOL}/p2", holds=lambda esx: len(pools(esx)) == 1),
    C("vm.keystrokes -vm n6 -s hello", since="6.5"),
    C("vm.vnc -enable -port 5901 -password secret n1", r"^n1: vnc://:secret@"),
    C("vm.vnc -disable n1", holds=lambda esx: option(esx, "RemoteDisplay.vnc.enabled") != "true"),
    C("firewall.ruleset.find -direction inbound -port 22", r"^sshServer$", since="5.0"),
    C("host.esxcli system version get", r"Product:\s+VMware ESX", since="5.0"),
    C("logs.ls", r"hostd"),
    C("logs -n 3", r"\w"),
    C("license.decode 00000-00000-00000-00000-00000", r"^00000"),
    C("datastore.disk.info d1/disk.vmdk", r"Type:\s+preallocated"),
    C("datastore.disk.shrink d1/disk.vmdk", "OK", missing="ShrinkVirtualDisk_Task"),
    C("export.ovf -vm n1 exported", r"OK"),
    C(
        "import.vmdk exported/n1/n1-disk-0.vmdk imported",
        "OK",
        lambda esx: any(file(esx, "imported").glob("*-flat.vmdk")),
    ),
    C("import.spec exported/n1/n1.ovf", r'"DiskProvisioning"'),
    C(
        "import.ovf -name n8 exported/n1/n1.ovf",
        "OK",
        lambda esx: (
            esx.machine("n8").disks()[0].capacityInKB == esx.machine("n1").disks()[0].capacityInKB
        ),
    ),
    C("vm.destroy n8", holds=lambda esx: "n8" not in named(esx)),
    C("vm.destroy n6", holds=lambda esx: "n6" not in named(esx)),
    C("host.maintenance.enter localhost.localdomain", "OK", lambda esx: esx.host.maintenance),
    C("vm.power -on n1", r"current state|not allowed", fails=True),
    C("host.maintenance.exit localhost.localdomain", "OK", lambda esx: not esx.host.maintenance),
    C("vm.destroy n1", holds=lambda esx: not file(esx, "n1/n1.vmdk").exists()),
    C("vm.destroy n1", r"not found", fails=True),
)

# Those that vcsim carries out change the names of the machines.
REFUSED = (
    C("object.rename vm/n3 n2", r"already exists|in use|not correct", fails=True),
    C("vm.clone -on=false -vm n3 n9", r"not supported", fails=True, since="6.0"),
    C("vm.markastemplate n3", r"not supported", fails=True),
    C("vm.migrate -host localhost.localdomain n3", r"not supported", fails=True),
    C("folder.create /ha-datacenter/vm/f1", r"not supported", fails=True),
    C("cluster.create c1", r"not supported", fails=True),
    C("datacenter.create dc2", r"not supported|NotSupported", fails=True),
    C("object.destroy vm/n2", holds=lambda esx: "n2" not in named(esx)),
)

COMMANDS = (*LOOK, *NETWORK, *FILES, *MACHINES, *DEVICES, *POWER, *SNAPSHOTS, *HOST, *REFUSED)
