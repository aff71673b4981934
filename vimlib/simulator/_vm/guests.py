"""Guest systems: which ids a host of each release knows, and how it shows them.

The ids and the API version that brought each are those of the API's enumeration
`VirtualMachineGuestOsIdentifier`; a host refuses newer ones.
"""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

from vimlib.model import parse_version


class GuestSystem(NamedTuple):
    """One guest system."""

    id: str
    family: str
    """`VirtualMachineGuestOsFamily`."""
    since: str
    """API version that brought the id."""
    name: str
    """The display name."""

    @property
    def wide(self) -> bool:
        """Whether it has 64 bits."""
        return "64" in self.id or self.id.startswith(("vmkernel", "crx"))


# Family, then a line each: id, API version, name.
_TABLE = """\
windowsGuest
dosGuest 2.0 Microsoft MS-DOS
win31Guest 2.0 Microsoft Windows 3.1
win95Guest 2.0 Microsoft Windows 95
win98Guest 2.0 Microsoft Windows 98
winMeGuest 2.0 Microsoft Windows ME
winNTGuest 2.0 Microsoft Windows NT
win2000ProGuest 2.0 Microsoft Windows 2000 Professional
win2000ServGuest 2.0 Microsoft Windows 2000 Server
win2000AdvServGuest 2.0 Microsoft Windows 2000
winXPHomeGuest 2.0 Microsoft Windows XP Home Edition
winXPProGuest 2.0 Microsoft Windows XP Professional (32-bit)
winXPPro64Guest 2.0 Microsoft Windows XP Professional (64-bit)
winNetWebGuest 2.0 Microsoft Windows Server 2003 Web Edition (32-bit)
winNetStandardGuest 2.0 Microsoft Windows Server 2003 Standard (32-bit)
winNetEnterpriseGuest 2.0 Microsoft Windows Server 2003 (32-bit)
winNetDatacenterGuest 2.5 Microsoft Windows Server 2003 Datacenter (32-bit)
winNetBusinessGuest 2.0 Microsoft Windows Small Business Server 2003
winNetStandard64Guest 2.0 Microsoft Windows Server 2003 Standard (64-bit)
winNetEnterprise64Guest 2.0 Microsoft Windows Server 2003 (64-bit)
winLonghornGuest 2.5 Microsoft Windows Server 2008 (32-bit)
winLonghorn64Guest 2.5 Microsoft Windows Server 2008 (64-bit)
winNetDatacenter64Guest 2.5 Microsoft Windows Server 2003 Datacenter (64-bit)
winVistaGuest 2.0 Microsoft Windows Vista (32-bit)
winVista64Guest 2.0 Microsoft Windows Vista (64-bit)
windows7Guest 4.0 Microsoft Windows 7 (32-bit)
windows7_64Guest 4.0 Microsoft Windows 7 (64-bit)
windows7Server64Guest 4.0 Microsoft Windows Server 2008 R2 (64-bit)
windows8Guest 5.0 Microsoft Windows 8.x (32-bit)
windows8_64Guest 5.0 Microsoft Windows 8.x (64-bit)
windows8Server64Guest 5.0 Microsoft Windows Server 2012 (64-bit)
windows9Guest 6.0 Microsoft Windows 10 (32-bit)
windows9_64Guest 6.0 Microsoft Windows 10 (64-bit)
windows9Server64Guest 6.0 Microsoft Windows Server 2016 (64-bit)
windows11_64Guest 8.0.0.1 Microsoft Windows 11 (64-bit)
windows12_64Guest 8.0.0.1 Microsoft Windows 12 (64-bit)
windowsHyperVGuest 5.5 Microsoft Windows Hyper-V
windows2019srv_64Guest 7.0.0.0 Microsoft Windows Server 2019 (64-bit)
windows2019srvNext_64Guest 7.0.1.0 Microsoft Windows Server 2022 (64-bit)
windows2022srvNext_64Guest 8.0.0.1 Microsoft Windows Server 2025 (64-bit)
otherGuestFamily
freebsdGuest 2.0 FreeBSD Pre-11 versions (32-bit)
freebsd64Guest 2.0 FreeBSD Pre-11 versions (64-bit)
freebsd11Guest 6.7 FreeBSD 11 (32-bit)
freebsd11_64Guest 6.7 FreeBSD 11 (64-bit)
freebsd12Guest 6.7 FreeBSD 12 (32-bit)
freebsd12_64Guest 6.7 FreeBSD 12 (64-bit)
freebsd13Guest 7.0.1.0 FreeBSD 13 (32-bit)
freebsd13_64Guest 7.0.1.0 FreeBSD 13 (64-bit)
freebsd14Guest 8.0.0.1 FreeBSD 14 (32-bit)
freebsd14_64Guest 8.0.0.1 FreeBSD 14 (64-bit)
freebsd15Guest 9.0.0.0 FreeBSD 15 (32-bit)
freebsd15_64Guest 9.0.0.0 FreeBSD 15 (64-bit)
linuxGuest
redhatGuest 2.0 Red Hat Linux 2.1
rhel2Guest 2.0 Red Hat Enterprise Linux 2.1
rhel3Guest 2.0 Red Hat Enterprise Linux 3 (32-bit)
rhel3_64Guest 2.0 Red Hat Enterprise Linux 3 (64-bit)
rhel4Guest 2.0 Red Hat Enterprise Linux 4 (32-bit)
rhel4_64Guest 2.0 Red Hat Enterprise Linux 4 (64-bit)
rhel5Guest 2.5 Red Hat Enterprise Linux 5 (32-bit)
rhel5_64Guest 2.5 Red Hat Enterprise Linux 5 (64-bit)
rhel6Guest 4.0 Red Hat Enterprise Linux 6 (32-bit)
rhel6_64Guest 4.0 Red Hat Enterprise Linux 6 (64-bit)
rhel7Guest 5.5 Red Hat Enterprise Linux 7 (32-bit)
rhel7_64Guest 5.5 Red Hat Enterprise Linux 7 (64-bit)
rhel8_64Guest 6.7 Red Hat Enterprise Linux 8 (64-bit)
rhel9_64Guest 7.0.1.0 Red Hat Enterprise Linux 9 (64-bit)
rhel10_64Guest 9.0.0.0 Red Hat Enterprise Linux 10 (64-bit)
centosGuest 4.1 CentOS 4/5 (32-bit)
centos64Guest 4.1 CentOS 4/5 (64-bit)
centos6Guest 6.5 CentOS 6 (32-bit)
centos6_64Guest 6.5 CentOS 6 (64-bit)
centos7Guest 6.5 CentOS 7 (32-bit)
centos7_64Guest 6.5 CentOS 7 (64-bit)
centos8_64Guest 6.7 CentOS 8 (64-bit)
centos9_64Guest 7.0.1.0 CentOS 9 (64-bit)
oracleLinuxGuest 4.1 Oracle Linux 4/5 (32-bit)
oracleLinux64Guest 4.1 Oracle Linux 4/5 (64-bit)
oracleLinux6Guest 6.5 Oracle Linux 6 (32-bit)
oracleLinux6_64Guest 6.5 Oracle Linux 6 (64-bit)
oracleLinux7Guest 6.5 Oracle Linux 7 (32-bit)
oracleLinux7_64Guest 6.5 Oracle Linux 7 (64-bit)
oracleLinux8_64Guest 6.7 Oracle Linux 8 (64-bit)
oracleLinux9_64Guest 7.0.1.0 Oracle Linux 9 (64-bit)
oracleLinux10_64Guest 9.0.0.0 Oracle Linux 10 (64-bit)
suseGuest 2.0 SUSE Linux (32-bit)
suse64Guest 2.0 SUSE Linux (64-bit)
slesGuest 2.0 SUSE Linux Enterprise 8/9 (32-bit)
sles64Guest 2.0 SUSE Linux Enterprise 8/9 (64-bit)
sles10Guest 2.5 SUSE Linux Enterprise 10 (32-bit)
sles10_64Guest 2.5 SUSE Linux Enterprise 10 (64-bit)
sles11Guest 4.0 SUSE Linux Enterprise 11 (32-bit)
sles11_64Guest 4.0 SUSE Linux Enterprise 11 (64-bit)
sles12Guest 5.5 SUSE Linux Enterprise 12 (32-bit)
sles12_64Guest 5.5 SUSE Linux Enterprise 12 (64-bit)
sles15_64Guest 6.7 SUSE Linux Enterprise 15 (64-bit)
sles16_64Guest 7.0.1.0 SUSE Linux Enterprise 16 (64-bit)
nld9Guest 2.0 Novell Linux Desktop 9
oesGuest 2.0 Novell Open Enterprise Server
sjdsGuest 2.0 Sun Java Desktop System
mandrakeGuest 5.5 Mandrake Linux
mandrivaGuest 2.5u2 Mandriva Linux (32-bit)
mandriva64Guest 2.5u2 Mandriva Linux (64-bit)
turboLinuxGuest 2.0 Turbolinux (32-bit)
turboLinux64Guest 2.5u2 Turbolinux (64-bit)
ubuntuGuest 2.0 Ubuntu Linux (32-bit)
ubuntu64Guest 2.0 Ubuntu Linux (64-bit)
debian4Guest 2.5u2 Debian GNU/Linux 4 (32-bit)
debian4_64Guest 2.5u2 Debian GNU/Linux 4 (64-bit)
debian5Guest 4.0 Debian GNU/Linux 5 (32-bit)
debian5_64Guest 4.0 Debian GNU/Linux 5 (64-bit)
debian6Guest 5.0 Debian GNU/Linux 6 (32-bit)
debian6_64Guest 5.0 Debian GNU/Linux 6 (64-bit)
debian7Guest 5.5 Debian GNU/Linux 7 (32-bit)
debian7_64Guest 5.5 Debian GNU/Linux 7 (64-bit)
debian8Guest 6.0 Debian GNU/Linux 8 (32-bit)
debian8_64Guest 6.0 Debian GNU/Linux 8 (64-bit)
debian9Guest 6.5 Debian GNU/Linux 9 (32-bit)
debian9_64Guest 6.5 Debian GNU/Linux 9 (64-bit)
debian10Guest 6.5 Debian GNU/Linux 10 (32-bit)
debian10_64Guest 6.5 Debian GNU/Linux 10 (64-bit)
debian11Guest 7.0.0.0 Debian GNU/Linux 11 (32-bit)
debian11_64Guest 7.0.0.0 Debian GNU/Linux 11 (64-bit)
debian12Guest 8.0.0.1 Debian GNU/Linux 12 (32-bit)
debian12_64Guest 8.0.0.1 Debian GNU/Linux 12 (64-bit)
debian13Guest 9.0.0.0 Debian GNU/Linux 13 (32-bit)
debian13_64Guest 9.0.0.0 Debian GNU/Linux 13 (64-bit)
asianux3Guest 2.5u2 Asianux 3 (32-bit)
asianux3_64Guest 2.5u2 Asianux 3 (64-bit)
asianux4Guest 4.0 Asianux 4 (32-bit)
asianux4_64Guest 4.0 Asianux 4 (64-bit)
asianux5_64Guest 6.0 Asianux 5 (64-bit)
asianux7_64Guest 6.5 Asianux 7 (64-bit)
asianux8_64Guest 6.7 Asianux 8 (64-bit)
asianux9_64Guest 7.0.1.0 Asianux 9 (64-bit)
miraclelinux_64Guest 9.0.0.0 MIRACLE LINUX (64-bit)
pardus_64Guest 9.0.0.0 Pardus (64-bit)
opensuseGuest 5.1 SUSE openSUSE (32-bit)
opensuse64Guest 5.1 SUSE openSUSE (64-bit)
fedoraGuest 5.1 Red Hat Fedora (32-bit)
fedora64Guest 5.1 Red Hat Fedora (64-bit)
coreos64Guest 6.0 CoreOS Linux (64-bit)
vmwarePhoton64Guest 6.5 VMware Photon OS (64-bit)
other24xLinuxGuest 2.0 Other 2.4.x Linux (32-bit)
other26xLinuxGuest 2.0 Other 2.6.x Linux (32-bit)
otherLinuxGuest 2.0 Other Linux (32-bit)
other3xLinuxGuest 5.5 Other 3.x Linux (32-bit)
other4xLinuxGuest 6.7 Other 4.x Linux (32-bit)
other5xLinuxGuest 7.0.1.0 Other 5.x Linux (32-bit)
other6xLinuxGuest 8.0.0.1 Other 6.x Linux (32-bit)
other7xLinuxGuest 9.0.0.0 Other 7.x Linux (32-bit)
genericLinuxGuest 5.5 Other Linux
other24xLinux64Guest 2.0 Other 2.4.x Linux (64-bit)
other26xLinux64Guest 2.0 Other 2.6.x Linux (64-bit)
other3xLinux64Guest 5.5 Other 3.x Linux (64-bit)
other4xLinux64Guest 6.7 Other 4.x Linux (64-bit)
other5xLinux64Guest 7.0.1.0 Other 5.x Linux (64-bit)
other6xLinux64Guest 8.0.0.1 Other 6.x Linux (64-bit)
other7xLinux64Guest 9.0.0.0 Other 7.x Linux (64-bit)
otherLinux64Guest 2.0 Other Linux (64-bit)
fusionos_64Guest 9.0.0.0 FusionOS (64-bit)
prolinux_64Guest 9.0.0.0 ProLinux (64-bit)
kylinlinux_64Guest 9.0.0.0 Kylin Linux (64-bit)
flatcar_64Guest 9.0.0.0 Flatcar Container Linux (64-bit)
solarisGuest
solaris6Guest 2.0 Sun Microsystems Solaris 6
solaris7Guest 2.0 Sun Microsystems Solaris 7
solaris8Guest 2.0 Sun Microsystems Solaris 8
solaris9Guest 2.0 Sun Microsystems Solaris 9
solaris10Guest 2.0 Oracle Solaris 10 (32-bit)
solaris10_64Guest 2.0 Oracle Solaris 10 (64-bit)
solaris11_64Guest 5.0 Oracle Solaris 11 (64-bit)
otherGuestFamily
os2Guest 2.0 IBM OS/2
eComStationGuest 4.1 Serenity Systems eComStation 1
eComStation2Guest 5.0 Serenity Systems eComStation 2
netwareGuest
netware4Guest 2.0 Novell NetWare 4
netware5Guest 2.0 Novell NetWare 5.1
netware6Guest 2.0 Novell NetWare 6.x
otherGuestFamily
openServer5Guest 2.5u2 SCO OpenServer 5
openServer6Guest 2.5u2 SCO OpenServer 6
unixWare7Guest 2.5u2 SCO UnixWare 7
darwinGuestFamily
darwinGuest 2.0 Apple Mac OS X 10.5 (32-bit)
darwin64Guest 4.0 Apple Mac OS X 10.5 (64-bit)
darwin10Guest 5.0 Apple Mac OS X 10.6 (32-bit)
darwin10_64Guest 5.0 Apple Mac OS X 10.6 (64-bit)
darwin11Guest 5.0 Apple Mac OS X 10.7 (32-bit)
darwin11_64Guest 5.0 Apple Mac OS X 10.7 (64-bit)
darwin12_64Guest 5.5 Apple Mac OS X 10.8 (64-bit)
darwin13_64Guest 5.5 Apple Mac OS X 10.9 (64-bit)
darwin14_64Guest 6.0 Apple Mac OS X 10.10 (64-bit)
darwin15_64Guest 6.5 Apple Mac OS X 10.11 (64-bit)
darwin16_64Guest 6.5 Apple macOS 10.12 (64-bit)
darwin17_64Guest 6.7 Apple macOS 10.13 (64-bit)
darwin18_64Guest 6.7 Apple macOS 10.14 (64-bit)
darwin19_64Guest 7.0.0.0 Apple macOS 10.15 (64-bit)
darwin20_64Guest 7.0.1.0 Apple macOS 11 (64-bit)
darwin21_64Guest 7.0.1.0 Apple macOS 12 (64-bit)
darwin22_64Guest 8.0.0.1 Apple macOS 13 (64-bit)
darwin23_64Guest 8.0.0.1 Apple macOS 14 (64-bit)
otherGuestFamily
vmkernelGuest 5.0 VMware ESX 4.x
vmkernel5Guest 5.0 VMware ESXi 5.x
vmkernel6Guest 6.0 VMware ESXi 6.0
vmkernel65Guest 6.5 VMware ESXi 6.5 or later
vmkernel7Guest 7.0.0.0 VMware ESXi 7.0 or later
vmkernel8Guest 8.0.0.1 VMware ESXi 8.0 or later
vmkernel9Guest 9.0.0.0 VMware ESX 9.0 or later
linuxGuest
amazonlinux2_64Guest 6.7.1 Amazon Linux 2 (64-bit)
amazonlinux3_64Guest 7.0.1.0 Amazon Linux 3 (64-bit)
otherGuestFamily
crxPod1Guest 7.0.0.0 CRX Pod 1 (64-bit)
crxSys1Guest 9.0.0.0 CRX System 1 (64-bit)
linuxGuest
rockylinux_64Guest 8.0.0.1 Rocky Linux (64-bit)
almalinux_64Guest 8.0.0.1 AlmaLinux (64-bit)
otherGuestFamily
otherGuest 2.0 Other (32-bit)
otherGuest64 2.0 Other (64-bit)
"""


@cache
def _guests() -> dict[str, GuestSystem]:
    found = {}
    family = ""
    for line in _TABLE.splitlines():
        id_, _, rest = line.partition(" ")
        if not rest:
            family = id_
            continue
        since, _, name = rest.partition(" ")
        found[id_] = GuestSystem(id_, family, since, name)
    return found


def guests_of(version: tuple[int, ...]) -> list[GuestSystem]:
    """Return the guest systems that API `version` knows."""
    return [
        guest._replace(name=full_name(guest.id, version))
        for guest in _guests().values()
        if parse_version(guest.since) <= version
    ]


def is_known(guest_id: str, version: tuple[int, ...]) -> bool:
    """Whether API `version` knows a guest id."""
    guest = _guests().get(guest_id)
    return guest is not None and parse_version(guest.since) <= version


# Until Oracle had it: recorded of an ESX 4.1 (`resources/esx-4.1.0-1` of fusioninventory-agent).
_OLD_NAMES = {
    "solaris10Guest": "Sun Solaris 10 (32-bit)",
    "solaris10_64Guest": "Sun Solaris 10 (64-bit)",
}


def full_name(guest_id: str, version: tuple[int, ...]) -> str:
    """Return the name of a guest id on a host of API `version`; one that is not listed is shown as its id."""
    if version < (5,) and guest_id in _OLD_NAMES:
        return _OLD_NAMES[guest_id]
    guest = _guests().get(guest_id)
    return guest.name if guest else guest_id


# Names of files that are not their id in lower case: VMware's own older ones.
_VMX_NAMES = {
    "windows7server": "windows7srv",
    "windows8server": "windows8srv",
    "windows9server": "windows9srv",
    "winlonghorn": "longhorn",
    "vmwarephoton": "vmware-photon",
    "windowshyperv": "winhyperv",
    "vmkernel": "vmkernel4",
}
_WIDE = re.compile(r"_?64$")


def vmx_guest(guest_id: str) -> str:
    """Return the name of a guest id in a `.vmx`: `ubuntu64Guest` is `ubuntu-64`."""
    bare = "other64" if guest_id == "otherGuest64" else guest_id.removesuffix("Guest")
    base = _WIDE.sub("", bare)
    name = base.lower()
    return _VMX_NAMES.get(name, name) + ("-64" if base != bare else "")


@cache
def _by_vmx_name() -> dict[str, str]:
    names = {vmx_guest(id_): id_ for id_ in _guests()}
    ids = {id_.lower(): id_ for id_ in _guests()}
    return {"linux": "otherLinuxGuest", "linux-64": "otherLinux64Guest", **ids, **names}


def guest_of_vmx(name: str, version: tuple[int, ...]) -> str:
    """Return the id for the `guestOS` of a `.vmx`, which tools also give as the id.

    One that API `version` does not know is another guest of its width.
    """
    found = _by_vmx_name().get(name.lower())
    if found is not None and is_known(found, version):
        return found
    return "otherGuest64" if "64" in name else "otherGuest"
