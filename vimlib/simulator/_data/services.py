"""Services and the rulesets of the firewall, of ESX 4.1 and of ESXi 6.5.

Every ESXi has the lists of 6.5, whatever its release.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from vimlib import vim25

if TYPE_CHECKING:
    from vimlib.simulator._core.versions import Release


class ServiceSeed(NamedTuple):
    """A service of a fresh host."""

    key: str
    label: str
    running: bool
    policy: str
    """`on`, `off` or `automatic`: as its ports are open."""
    rulesets: list[str]


class RulesetSeed(NamedTuple):
    """A ruleset of a fresh host."""

    key: str
    label: str
    required: bool
    enabled: bool
    service: str | None
    rules: list[Any]
    """`HostFirewallRule`."""


# Key, running, policy, rulesets joined by "+" or "-", label.
_CLASSIC_SERVICES: Final = """\
iked n automatic - iked
lsassd n automatic lsassd Local Security Authentication Server (Active Directory Service)
lwiod n automatic lwiod I/O Redirector (Active Directory Service)
netlogond n automatic netlogond Network Login Server (Active Directory Service)
ntpd y automatic ntpClient NTP Daemon
spmd n automatic - spmd
sshd y automatic sshServer SSH Server
vmware-vpxa n automatic vpxHeartbeats VMware vCenter Agent
vmware-webAccess y automatic webAccess vSphere Web Access
"""
_SERVICES: Final = """\
DCUI y on - Direct Console UI
TSM n off - ESXi Shell
TSM-SSH n off - SSH
lbtd y on - Load-Based Teaming Daemon
lwsmd n off - Active Directory Service
ntpd n off ntpClient NTP Daemon
pcscd n off - PC/SC Smart Card Daemon
sfcbd-watchdog n on CIMHttpServer+CIMHttpsServer CIM Server
snmpd n on snmp SNMP Server
vmsyslogd y on - Syslog Server
vpxa n on vpxHeartbeats VMware vCenter Agent
xorg n on - X.Org Server
"""
_REQUIRED: Final = frozenset({"vmsyslogd"})

# Key, enabled or required, service or "-", rules as direction, port type, protocol, ports; label.
_CLASSIC_RULESETS: Final = """\
CIMHttpServer y - i:d:tcp:5988 CIM Server
CIMHttpsServer y - i:d:tcp:5989 CIM Secure Server
CIMSLP y - i:d:udp:427,o:d:udp:427,i:d:tcp:427,o:d:tcp:427 CIM SLP
LDAP n - o:d:tcp:389,o:d:udp:389 LDAP
LDAPS n - o:d:tcp:636,o:d:udp:636 Secure LDAP
TSM n - i:d:tcp:1500,o:d:tcp:1500 Tivoli Storage Manager Agent
VCB y - o:d:tcp:443,o:d:tcp:902 VMware Consolidated Backup
activeDirectorKerberos n - o:d:udp:464,o:d:tcp:464,o:d:udp:88,o:d:tcp:88 Active Directory Kerberos
caARCserve n - i:d:tcp:6051 CAARC Server
commvaultDynamic n - i:d:tcp:8600-8619,o:d:tcp:8600-8619 CommVault Dynamic
commvaultStatic n - i:d:tcp:8400-8403,o:d:tcp:8400-8403 CommVault Static
esxupdate n - o:d:tcp:80,o:d:tcp:443,o:d:tcp:21 esxupdate
faultTolerance n - o:d:tcp:80 Fault Tolerance
ftpClient n - o:d:tcp:21 FTP Client
ftpServer n - i:d:tcp:21 FTP Server
httpClient n - o:d:tcp:80,o:d:tcp:443 httpClient
kerberos n - o:d:tcp:749,o:d:udp:88 Kerberos
nfsClient y - o:d:udp:111,o:d:udp:2049,o:d:udp:0-65535,o:d:tcp:111,o:d:tcp:2049,o:d:tcp:0-65535 NFS Client
ntpClient y ntpd o:d:udp:123 NTP Client
smbClient n - o:d:tcp:137-139,o:d:udp:137,o:d:tcp:445 SMB Client
snmpd n - i:d:udp:161,o:d:udp:162 SNMP Server
sshClient y - o:d:tcp:22 SSH Client
sshServer y sshd i:d:tcp:22 SSH Server
swISCSIClient n - o:d:tcp:3260 Software iSCSI Client
telnetClient n - o:d:tcp:23 Telnet Client
updateManager n - o:d:tcp:80,o:d:tcp:9000-9100 vCenter Update Manager
vncServer n - i:d:tcp:5900-5964 VNC Server
vpxHeartbeats y - o:d:udp:902 VMware vCenter Agent
webAccess y vmware-webAccess i:d:tcp:80,i:d:tcp:443 vSphere Web Access
"""
_RULESETS: Final = """\
CIMHttpServer y sfcbd-watchdog i:d:tcp:5988 CIM Server
CIMHttpsServer y sfcbd-watchdog i:d:tcp:5989 CIM Secure Server
CIMSLP y - i:d:udp:427,o:d:udp:427,i:d:tcp:427,o:d:tcp:427 CIM SLP
DHCPv6 y - o:d:tcp:547,i:d:tcp:546,o:d:udp:547,i:d:udp:546 DHCPv6
DVFilter n - i:d:tcp:2222 DVFilter
DVSSync y - o:d:udp:8302,i:d:udp:8301,o:d:udp:8301,i:d:udp:8302 DVSSync
HBR y - o:d:tcp:31031,o:d:tcp:44046 HBR
NFC y - i:d:tcp:902,o:d:tcp:902 NFC
WOL y - o:d:udp:9 WOL
activeDirectoryAll n - o:d:udp:88,o:d:tcp:88,o:d:udp:123,o:d:udp:137,o:d:tcp:139,o:d:tcp:389,o:d:udp:389 Active Directory All
cmmds n - i:d:udp:12345,i:d:udp:23451,o:d:udp:12345,o:d:udp:23451 Virtual SAN Clustering Service
dhcp y - i:d:udp:68,o:s:udp:68 DHCP Client
dns y - i:d:udp:53,o:d:udp:53,o:d:tcp:53 DNS Client
esxupdate n - o:d:tcp:443 esxupdate
faultTolerance y - o:d:tcp:80,i:d:tcp:8300,o:d:tcp:8300 Fault Tolerance
ftpClient n - o:d:tcp:21,i:s:tcp:20 FTP Client
gdbserver n - i:d:tcp:1000-9999,i:d:tcp:50000-50999 gdbserver
httpClient n - o:d:tcp:80,o:d:tcp:443 httpClient
iSCSI n - o:d:tcp:3260 Software iSCSI Client
iofiltervp y - i:d:tcp:9080 iofiltervp
ipfam n - i:d:udp:6999,o:d:udp:6999 NSX Distributed Logical Router Service
nfs41Client n - o:d:tcp:0-65535 nfs41Client
nfsClient n - o:d:tcp:0-65535 NFS Client
ntpClient n ntpd o:d:udp:123 NTP Client
pvrdma n - o:d:tcp:28250-28761,i:d:tcp:28250-28761 pvrdma
rabbitmqproxy y - o:d:tcp:5671 rabbitmqproxy
rdt n - i:d:tcp:2233,o:d:tcp:2233 Virtual SAN Transport
remoteSerialPort n - o:d:tcp:0-65535,i:d:tcp:23,i:d:tcp:1024-65535 VM serial port connected over network
snmp y snmpd i:d:udp:161 SNMP Server
sshClient n - o:d:tcp:22 SSH Client
sshServer r - i:d:tcp:22 SSH Server
syslog n - o:d:udp:514,o:d:tcp:514,o:d:tcp:1514 syslog
updateManager y - o:d:tcp:80,o:d:tcp:9000-9100 vCenter Update Manager
vMotion y - i:d:tcp:8000,o:d:tcp:8000 vMotion
vSPC n - o:d:tcp:0-65535 VM serial port connected to vSPC
vSphereClient r - i:d:tcp:902,i:d:tcp:443 vSphere Web Client
vpxHeartbeats y vpxa o:d:udp:902 VMware vCenter Agent
vsanEncryption n - o:d:tcp:0-65535 vsanEncryption
vsanhealth-multicasttest n - o:d:udp:5001,i:d:udp:5001 vsanhealth-multicasttest
vsanvp n - i:d:tcp:8080,o:d:tcp:8080 vsanvp
vvold n - o:d:tcp:0-65535 vvold
webAccess y - i:d:tcp:80 vSphere Web Access
"""
_DIRECTIONS: Final = {"i": "inbound", "o": "outbound"}
_PORT_TYPES: Final = {"d": "dst", "s": "src"}


def services(release: Release) -> list[ServiceSeed]:
    """Return the services of a fresh host."""
    found = []
    for line in (_CLASSIC_SERVICES if release.classic else _SERVICES).splitlines():
        key, running, policy, rulesets, label = line.split(" ", 4)
        names = [] if rulesets == "-" else rulesets.split("+")
        found.append(ServiceSeed(key, label, running == "y", policy, names))
    return found


def service_info(release: Release, seed: ServiceSeed, *, running: bool, policy: str) -> Any:
    """Return a service as data."""
    source = "esx-xserver" if seed.key == "xorg" else "esx-base"
    return vim25.HostService(
        key=seed.key,
        label=seed.label,
        required=seed.key in _REQUIRED,
        uninstallable=False,
        running=running,
        ruleset=seed.rulesets,
        policy=policy,
        sourcePackage=vim25.HostServiceSourcePackage(
            sourcePackageName=source,
            description="This VIB contains all of the base functionality of vSphere ESXi.",
        )
        if release.numbers >= (5,)
        else None,
    )


def _rule(text: str) -> Any:
    direction, port_type, protocol, ports = text.split(":")
    first, _, last = ports.partition("-")
    return vim25.HostFirewallRule(
        port=int(first),
        endPort=int(last) if last else None,
        direction=_DIRECTIONS[direction],
        portType=_PORT_TYPES[port_type],
        protocol=protocol,
    )


def rulesets(release: Release) -> list[RulesetSeed]:
    """Return the rulesets of a fresh host."""
    found = []
    for line in (_CLASSIC_RULESETS if release.classic else _RULESETS).splitlines():
        key, mark, service, rules, label = line.split(" ", 4)
        found.append(
            RulesetSeed(
                key,
                label,
                mark == "r",
                mark != "n",
                None if service == "-" else service,
                [_rule(text) for text in rules.split(",")],
            )
        )
    return found


def ruleset_info(seed: RulesetSeed, *, enabled: bool, allowed: Any) -> Any:
    """Return a ruleset as data; `allowed` is None for any address."""
    return vim25.HostFirewallRuleset(
        key=seed.key,
        label=seed.label,
        required=seed.required,
        rule=seed.rules,
        service=seed.service,
        enabled=enabled,
        allowedHosts=allowed or vim25.HostFirewallRulesetIpList(allIp=True),
        userControllable=True,
        ipListUserConfigurable=True,
    )
