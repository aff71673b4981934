#!/usr/bin/env python3
"""Configure a guest from the record that its ESX host holds for it.

The host sets ``machine.id`` on the virtual machine. This program reads it
through VMware's tools, checks every byte, writes the files of the network
service in use, has that service apply them, compares the kernel with the
record, and reports the result to the host. ``guest/README.md`` specifies the
forms of a record and lists the files.

One file, standard library only, Python 3.6 or newer. Top to bottom: errors,
values, the forms of a record, transport, files, state, NICs, back ends,
detection, competing files, the kernel, the run. Everything above "transport"
is pure.

Errors, and the exit code of each::

    VimguestError
    +-- RefusedError             3  nothing was written
    |   +-- InvalidRecordError      the record breaks the rules of its form
    |   +-- UnknownVersionError     an unknown form or version
    |   +-- ToolsError              the tools gave no usable answer
    |   +-- NotSupportedError       the feature is missing
    +-- ApplyError               4  writing or applying failed; rolled back

0: done and verified, or nothing to do. 1: ``--check`` would change something.
2: usage error. 5: applied, but the kernel, the resolver or a shared file differs
from the record; the report names the file that won.
"""

import argparse
import base64
import binascii
import contextlib
import difflib
import errno
import fnmatch
import hashlib
import ipaddress
import json
import os
import re
import selectors
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
import time
import traceback
import uuid
import zlib
from typing import (
    Any,
    Callable,
    Dict,
    Iterable,
    Iterator,
    List,
    Match,
    NamedTuple,
    NoReturn,
    Optional,
    Sequence,
    Set,
    Tuple,
    Union,
)

__version__ = "2.0"

TOOLS = ("vmtoolsd", "vmware-rpctool", "vmware-guestd")
BACKENDS = ("netplan", "networkmanager", "networkd", "ifupdown", "ifupdown-ng")
# Searched after PATH: the PATH of a plain user lacks sbin.
SYSTEM_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"

# A record for vSphere's ten NICs is below 4 KiB; a guestinfo value ends at 64 KiB.
MAX_RECORD = 64 * 1024
MAX_JSON = 256 * 1024
MAX_NICS = 32
MAX_LIST = 64
MAX_USERS = 16
# Users of all the records before, of which the state keeps track.
MAX_KEPT_USERS = 256
MAX_KEY = 16 * 1024
# Configuration files of a guest are far smaller; an image may hold anything.
MAX_FILE = 1024 * 1024
# The state holds such files in base64.
MAX_STATE = 8 * MAX_FILE
# Names that one glob pattern may match: `/*/*/*` with links to / would match without end.
MAX_NAMES = 4096
# Comparing two texts takes time that grows with the square of their lines.
MAX_DIFF = 64 * 1024
MAX_STATUS = 4096
# One RPC to the host takes milliseconds. A boot must not wait for a stuck tool.
READ_SECONDS = 10.0
READ_PAUSE = 0.5
READ_DEADLINE = 20.0
# Reserved for the second source where the first one keeps failing.
READ_RESERVE = 8.0
COMMAND_SECONDS = 90.0
COMMAND_OUTPUT = 1024 * 1024
NIC_WAIT = 5.0
# Covers duplicate address detection (1 s) and a DHCP exchange.
VERIFY_SECONDS = 20.0
# At boot a service may wait longer for carrier and leases; nothing waits for us.
VERIFY_BOOT_SECONDS = 60.0
VERIFY_PAUSE = 0.25
# `netplan apply` returns before the service that it restarts is active again.
VERIFY_RESTART_SECONDS = 10.0
NETPLAN_APPLY = ["netplan", "apply"]
# A service writes name servers as soon as it has addresses.
VERIFY_RESOLVER_SECONDS = 5.0
# The kernel's default metric is 0 for IPv4 and 1024 for IPv6: the second default
# route gets a higher metric than either.
SECOND_GATEWAY_METRIC = 1124
# Below the metric of a route that a router announcement brings (1024).
STATIC_METRIC = 100

STATE = "/var/lib/vimguest/state.json"
VOLATILE_STATE = "/run/vimguest/state.json"
LOCK = "/run/vimguest/lock"
HOSTNAME = "/etc/hostname"
HOSTS = "/etc/hosts"
RESOLV = "/etc/resolv.conf"
NETPLAN = "/etc/netplan/90-vimguest.yaml"
KEYFILES = "/etc/NetworkManager/system-connections"
NETWORKD = "/etc/systemd/network"
INTERFACES = "/etc/network/interfaces"
IFUPDOWN = "/etc/network/interfaces.d/vimguest"
TIMESYNCD = "/etc/systemd/timesyncd.conf.d/90-vimguest.conf"
CHRONY = "/etc/chrony/sources.d/vimguest.sources"
# networkd applies the first file that matches: the second prefix is for images
# whose own files sort before the first one.
NETWORKD_PREFIXES = ("05-vimguest-", "00-0-vimguest-")
# The network files that belong to this program.
OWNED = (
    re.escape(NETPLAN),
    KEYFILES + r"/vimguest-[0-9a-f]{12}\.nmconnection",
    NETWORKD + r"/(?:05|00-0)-vimguest-[0-9a-f]{12}\.network",
    re.escape(IFUPDOWN),
)
TIME_FILES = (TIMESYNCD, CHRONY)
# Where /etc is read-only: the same files for this boot only, by their prefixes.
VOLATILE = (
    (NETPLAN, "/run/netplan/90-vimguest.yaml"),
    (KEYFILES + "/vimguest-", "/run/NetworkManager/system-connections/vimguest-"),
    (NETWORKD + "/05-vimguest-", "/run/systemd/network/05-vimguest-"),
    (NETWORKD + "/00-0-vimguest-", "/run/systemd/network/00-0-vimguest-"),
    (STATE, VOLATILE_STATE),
)
# Shared files: only their previous content or marked lines are ours.
SHARED = (HOSTNAME, HOSTS)
MARK = "# Written by vimguest from the host's record. Changes are lost."
LINE_MARK = "# vimguest"
KEYS_BEGIN = "# vimguest: keys from the host's record"
KEYS_END = "# vimguest: end"

IPv4 = ipaddress.IPv4Address
IPv6 = ipaddress.IPv6Address
Address = Union[ipaddress.IPv4Address, ipaddress.IPv6Address]
Interface = Union[ipaddress.IPv4Interface, ipaddress.IPv6Interface]
Network = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]
# The destination of a default route, by IP version.
EVERYWHERE: Dict[int, Network] = {
    4: ipaddress.IPv4Network("0.0.0.0/0"),
    6: ipaddress.IPv6Network("::/0"),
}


# --- errors -------------------------------------------------------------------


class VimguestError(Exception):
    """Base class of every declared error of this program."""

    code = 3


class RefusedError(VimguestError):
    """Nothing was written."""


class InvalidRecordError(RefusedError):
    """The record breaks the rules of its form."""


class UnknownVersionError(RefusedError):
    """The record has an unknown form or version."""


class ToolsError(RefusedError):
    """VMware's tools are installed, but gave no usable answer."""


class NotSupportedError(RefusedError):
    """The feature is missing."""


class ApplyError(VimguestError):
    """Writing or applying failed; the previous files are back."""

    code = 4


def shown(text: str) -> str:
    """Untrusted text for a message: ASCII, quoted, short."""
    quoted = ascii(text)
    return quoted if len(quoted) <= 80 else quoted[:76] + "...'"


def plain(text: str) -> str:
    """Text for a terminal: names of files may hold escape sequences and newlines."""
    return re.sub(r"[^ -~]", lambda found: ascii(found.group())[1:-1], text)


# --- values -------------------------------------------------------------------
# Text of a record never reaches a file. Each value is parsed into an object, and
# files hold the printed object.


class Route(NamedTuple):
    """A route to ``to`` through ``via``; metric None is the system's default."""

    to: Network
    via: Address
    metric: Optional[int] = None


class Nic(NamedTuple):
    """The settings of one NIC. A mac of None stands for the machine's only NIC."""

    mac: Optional[str]
    addresses: Tuple[Interface, ...] = ()
    gateway4: Optional[ipaddress.IPv4Address] = None
    gateway6: Optional[ipaddress.IPv6Address] = None
    dhcp4: bool = False
    dhcp6: bool = False
    routes: Tuple[Route, ...] = ()
    mtu: Optional[int] = None
    dns: Tuple[Address, ...] = ()
    search: Tuple[str, ...] = ()

    @property
    def silent(self) -> bool:
        """Whether the record leaves this NIC alone: no address and no DHCP."""
        return not (self.addresses or self.dhcp4 or self.dhcp6)


class Config(NamedTuple):
    """One whole record; ``notes`` name the values that were ignored.

    None stands for what the record's form cannot express.
    """

    hostname: Optional[str]
    nics: Tuple[Nic, ...]
    notes: Tuple[str, ...] = ()
    #: Authorized keys by user name.
    ssh_keys: Optional[Tuple[Tuple[str, Tuple[str, ...]], ...]] = None
    #: Addresses or names of time servers.
    ntp: Optional[Tuple[str, ...]] = None


def parse_mac(text: str) -> str:
    """``00-50-56-AA-BB-CC`` or with colons, as lower case with colons."""
    if not re.fullmatch(r"[0-9A-Fa-f]{2}([:-])(?:[0-9A-Fa-f]{2}\1){4}[0-9A-Fa-f]{2}", text):
        raise InvalidRecordError("{} is not a MAC address".format(shown(text)))
    return text.lower().replace("-", ":")


def parse_address(text: str) -> Address:
    """A host's address, canonical IPv4 or any spelling of IPv6, without a zone."""
    # ipaddress accepts zones on IPv6 (a way in for any text), and, up to 3.9,
    # leading zeros on IPv4, which other readers take for octal.
    if not re.fullmatch(r"[0-9A-Fa-f:.]{2,45}", text):
        raise InvalidRecordError("{} is not an IP address".format(shown(text)))
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise InvalidRecordError("{} is not an IP address".format(shown(text))) from None
    if isinstance(address, IPv4) and str(address) != text:
        raise InvalidRecordError("{} has leading zeros".format(shown(text)))
    odd = address.is_unspecified or address.is_loopback or address.is_multicast
    if isinstance(address, IPv4):
        odd = odd or address == IPv4("255.255.255.255")
    else:
        odd = odd or address.ipv4_mapped is not None
    if odd:
        raise InvalidRecordError("{} cannot be the address of a host".format(shown(text)))
    return address


def parse_ipv4(text: str) -> ipaddress.IPv4Address:
    """A host's IPv4 address."""
    address = parse_address(text)
    if not isinstance(address, IPv4):
        raise InvalidRecordError("{} is not an IPv4 address".format(shown(text)))
    return address


def parse_ipv6(text: str) -> ipaddress.IPv6Address:
    """A host's IPv6 address."""
    address = parse_address(text)
    if not isinstance(address, IPv6):
        raise InvalidRecordError("{} is not an IPv6 address".format(shown(text)))
    return address


def parse_prefix(text: str, bits: int) -> int:
    """A prefix length from 1 to ``bits``."""
    if not re.fullmatch(r"[1-9][0-9]{0,2}", text) or int(text) > bits:
        raise InvalidRecordError("{} is not a prefix length up to {}".format(shown(text), bits))
    return int(text)


NETMASKS = {str(ipaddress.IPv4Network((0, bits)).netmask): bits for bits in range(1, 33)}


def parse_netmask(text: str) -> int:
    """The prefix length of a dotted netmask; ipaddress would accept a hostmask too."""
    if text not in NETMASKS:
        raise InvalidRecordError("{} is not a netmask".format(shown(text)))
    return NETMASKS[text]


def is_end(address: Address, network: Network) -> bool:
    """Whether an IPv4 address is the network or broadcast address of its network."""
    if network.version != 4 or network.prefixlen >= 31:
        return False
    return address in (network.network_address, network.broadcast_address)


def make_interface(address: Address, prefix: int) -> Interface:
    """An address in its network; the network and broadcast addresses are refused."""
    made = ipaddress.ip_interface("{}/{}".format(address, prefix))
    if is_end(made.ip, made.network):
        raise InvalidRecordError("{} is a network or broadcast address".format(made))
    return made


def parse_interface(text: str) -> Interface:
    """``10.0.0.2/24`` or ``2001:db8::2/64``."""
    head, slash, tail = text.partition("/")
    if not slash:
        raise InvalidRecordError("{} has no prefix length, as in 10.0.0.2/24".format(shown(text)))
    address = parse_address(head)
    return make_interface(address, parse_prefix(tail, address.max_prefixlen))


def parse_network(text: str) -> Network:
    """The destination of a route. The default route is given as a gateway."""
    head, slash, tail = text.partition("/")
    if not slash or not re.fullmatch(r"[0-9A-Fa-f:.]{2,45}", head):
        raise InvalidRecordError("{} is not a network, as in 10.9.0.0/16".format(shown(text)))
    try:
        address = ipaddress.ip_address(head)
        network = ipaddress.ip_network(
            "{}/{}".format(address, parse_prefix(tail, address.max_prefixlen))
        )
    except ValueError:
        raise InvalidRecordError("{} is not a network".format(shown(text))) from None
    if isinstance(address, IPv4) and str(address) != head:
        raise InvalidRecordError("{} has leading zeros".format(shown(text)))
    return network


def parse_hostname(text: str) -> str:
    """A host name of RFC 1123, at most the 64 characters that Linux keeps."""
    if len(text) > 64 or text.replace(".", "").isdigit():
        raise InvalidRecordError("{} is not a host name".format(shown(text)))
    return parse_domain(text)


def parse_domain(text: str) -> str:
    """A DNS name of letters, digits and inner hyphens."""
    label = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
    if len(text) > 253 or not re.fullmatch(label + r"(?:\." + label + ")*", text):
        raise InvalidRecordError("{} is not a DNS name".format(shown(text)))
    return text


def parse_server(text: str) -> str:
    """An address or a name of a server, as it is written into a file."""
    if ":" in text or text.replace(".", "").isdigit():
        return str(parse_address(text))
    return parse_domain(text)


def parse_user(text: str) -> str:
    """A user name of useradd(8)."""
    if not re.fullmatch(r"[a-z_][a-z0-9_-]{0,31}", text):
        raise InvalidRecordError("{} is not a user name".format(shown(text)))
    return text


KEY_TYPES = (
    r"ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(?:256|384|521)"
    r"|sk-ssh-ed25519@openssh\.com|sk-ecdsa-sha2-nistp256@openssh\.com"
)


def parse_key(text: str) -> str:
    """One line of authorized_keys without options, whose blob names the same type."""
    found = re.fullmatch("({}) ([A-Za-z0-9+/]+={{0,2}})(?: ([ -~]*))?".format(KEY_TYPES), text)
    if len(text) > MAX_KEY or not found:
        raise InvalidRecordError("{} is not a public SSH key".format(shown(text)))
    kind = found.group(1).encode("ascii")
    if not unbase64(found.group(2)).startswith(struct.pack(">I", len(kind)) + kind):
        raise InvalidRecordError("{} holds a key of another type".format(shown(text)))
    return text


def gateway_error(nic: Nic, gateway: Address) -> Optional[str]:
    """The reason why an address cannot be a gateway of that NIC, None if it can."""
    for interface in nic.addresses:
        if gateway == interface.ip:
            return "{} is both gateway and own address".format(gateway)
        if gateway.version == interface.version and is_end(gateway, interface.network):
            return "gateway {} is the network or broadcast address of {}".format(
                gateway, interface.network
            )
    if not any(interface.version == gateway.version for interface in nic.addresses):
        return "gateway {} needs an IPv{} address".format(gateway, gateway.version)
    return None


def check_nic(nic: Nic) -> Nic:
    """Refuse values that contradict each other; returns the NIC."""
    own = [interface.ip for interface in nic.addresses]
    if len(set(own)) != len(own):
        raise InvalidRecordError("NIC {} has one address twice".format(nic.mac))
    if nic.silent and (nic.gateway4 or nic.gateway6 or nic.routes or nic.mtu):
        raise InvalidRecordError("NIC {} has settings but no address and no DHCP".format(nic.mac))
    for gateway in (nic.gateway4, nic.gateway6):
        error = None if gateway is None else gateway_error(nic, gateway)
        if error:
            raise InvalidRecordError(error)
    for route in nic.routes:
        if route.to.version != route.via.version:
            raise InvalidRecordError("route to {} through {}".format(route.to, route.via))
        if not has_family(nic, route.to.version):
            raise InvalidRecordError("route to {} needs an address to leave from".format(route.to))
        ends = any(is_end(route.via, interface.network) for interface in nic.addresses)
        if route.via in own or ends:
            raise InvalidRecordError("{} cannot be the gateway of a route".format(route.via))
    if len({(route.to, route.metric) for route in nic.routes}) != len(nic.routes):
        raise InvalidRecordError("NIC {} has two routes to one network".format(nic.mac))
    if nic.mtu is not None and nic.mtu < 1280 and has_family(nic, 6):
        raise InvalidRecordError("IPv6 needs an MTU of 1280 or more, got {}".format(nic.mtu))
    return nic


def has_family(nic: Nic, version: int) -> bool:
    """Whether the NIC gets an address of that IP version."""
    if nic.dhcp4 if version == 4 else nic.dhcp6:
        return True
    return any(interface.version == version for interface in nic.addresses)


def shared_addresses(nics: Iterable[Nic]) -> List[Address]:
    """The addresses that more than one NIC has; a link-local one is unique to its link only."""
    every = [interface.ip for nic in nics for interface in nic.addresses]
    routable = [address for address in every if not address.is_link_local]
    return sorted({one for one in routable if routable.count(one) > 1}, key=str)


def check_config(config: Config) -> Config:
    """Refuse NICs that contradict each other; returns the config."""
    if len(config.nics) > MAX_NICS:
        raise InvalidRecordError("{} NICs; {} is the limit".format(len(config.nics), MAX_NICS))
    macs = [nic.mac for nic in config.nics]
    if len(set(macs)) != len(macs):
        raise InvalidRecordError("two records for one MAC address")
    if shared_addresses(config.nics):
        raise InvalidRecordError("two NICs with one address")
    return config


def place_dns(nics: Sequence[Nic]) -> Tuple[List[Nic], List[str]]:
    """Move each name server to a NIC that has addresses of its IP version.

    NetworkManager refuses an IPv4 server on a NIC without IPv4. A server that
    no NIC can reach is dropped with a note, by every back end alike.
    """
    moved: List[List[Address]] = [[] for _ in nics]
    notes = []
    for at, nic in enumerate(nics):
        for server in nic.dns:
            homes = [at] + list(range(len(nics)))
            home = next((one for one in homes if has_family(nics[one], server.version)), None)
            if home is None:
                notes.append(
                    "name server {} ignored: no NIC has an IPv{} address".format(
                        server, server.version
                    )
                )
            elif server not in moved[home] and len(moved[home]) == MAX_LIST:
                notes.append("name server {} ignored: {} are the limit".format(server, MAX_LIST))
            elif server not in moved[home]:
                moved[home].append(server)
    return [nic._replace(dns=tuple(dns)) for nic, dns in zip(nics, moved)], notes


# --- the forms of a record ----------------------------------------------------


def parse(text: str) -> Tuple[str, Config]:
    """Read a record of any known form.

    Returns the form's name (``nova``, ``original``, ``labmanager`` or ``v1``)
    and its content.

    Raises:
        InvalidRecordError: The record breaks its form's rules.
        UnknownVersionError: An unknown form or a newer version.
        NotSupportedError: The record asks for a missing feature.
    """
    text = text.strip(" \t\r\n\0")
    if len(text) > MAX_RECORD:
        raise InvalidRecordError("a record of {} characters".format(len(text)))
    version = re.match(r"v([0-9]+):", text)
    if version:
        if version.group(1) != "1":
            raise UnknownVersionError(
                "version {} of the record; this program reads v1. "
                "Update vimguest in this image.".format(shown(version.group(1)))
            )
        return "v1", parse_v1(text[version.end() :])
    if ";" in text:
        return parse_records(text)
    if "=" in text:
        return "labmanager", parse_labmanager(text)
    raise UnknownVersionError(
        "{} has an unknown form. README.md lists the known ones.".format(shown(text))
    )


def parse_records(text: str) -> Tuple[str, Config]:
    """Nova's records, each ``mac;ip;netmask;gateway;broadcast;dns#``, or the first ones.

    The driver of 2011 sent one record of the first four fields. Fields may be
    empty; dns may be several, separated by commas. A bad value costs itself,
    a bad record its NIC, each with a note.

    Raises:
        InvalidRecordError: No record is usable.
    """
    rows = text.split("#")
    if rows[-1] == "" and len(rows) > 1:
        rows.pop()
    if len(rows) == 1 and rows[0].count(";") == 3:
        return "original", check_config(Config(None, (parse_record(rows[0].split(";"), None),)))
    notes: List[str] = []
    nics: Dict[str, Nic] = {}
    for number, row in enumerate(rows[:MAX_NICS], 1):
        try:
            nic = parse_record(row.split(";"), notes)
        except InvalidRecordError as exc:
            notes.append("record {} ignored: {}".format(number, exc))
            continue
        if nic.mac in nics:
            notes.append("record {} ignored: a second one for {}".format(number, nic.mac))
        else:
            nics[str(nic.mac)] = nic
    if len(rows) > MAX_NICS:
        notes.append("{} records; those after {} ignored".format(len(rows), MAX_NICS))
    if not nics:
        raise InvalidRecordError("no usable record: {}".format(notes[0]))
    for address in shared_addresses(nics.values()):
        # Two isolated networks may number their machines alike.
        notes.append("{} is on two NICs".format(address))
    return "nova", Config(None, tuple(nics.values()), tuple(notes))


def parse_record(fields: Sequence[str], notes: Optional[List[str]]) -> Nic:
    """One NIC of nova's records; without ``notes`` a bad value is an error.

    Raises:
        InvalidRecordError: MAC address, IP address or netmask are bad.
    """
    if len(fields) != (4 if notes is None and len(fields) == 4 else 6):
        raise InvalidRecordError("{} fields; six are the rule".format(len(fields)))
    mac, ip, netmask, gateway, broadcast, dns = tuple(fields) + ("",) * (6 - len(fields))
    nic = Nic(parse_mac(mac))
    if not ip:
        # nova names the subnet of a NIC that has no address in it.
        return nic
    if not netmask:
        raise InvalidRecordError("{} has no netmask".format(shown(ip)))
    nic = nic._replace(addresses=(make_interface(parse_ipv4(ip), parse_netmask(netmask)),))
    if gateway:
        with lenient(nic, "gateway", notes):
            via = parse_ipv4(gateway)
            error = gateway_error(nic, via)
            if error:
                raise InvalidRecordError(error)
            nic = nic._replace(gateway4=via)
    # nova prints Python's None for a network too small to have a broadcast
    # address. The services derive it from the network; here it is only checked.
    if broadcast not in ("", "None"):
        with lenient(nic, "broadcast address", notes):
            parse_dotted(broadcast)
    servers = dns.split(",") if dns else []
    for server in servers[:MAX_LIST]:
        with lenient(nic, "name server", notes):
            address = parse_address(server)
            if address not in nic.dns:
                nic = nic._replace(dns=nic.dns + (address,))
    if len(servers) > MAX_LIST:
        with lenient(nic, "name servers", notes):
            raise InvalidRecordError("{} dns; {} is the limit".format(len(servers), MAX_LIST))
    return check_nic(nic)


@contextlib.contextmanager
def lenient(nic: Nic, what: str, notes: Optional[List[str]]) -> Iterator[None]:
    """Turn a bad value into a note; without ``notes`` it stays an error."""
    try:
        yield
    except InvalidRecordError as exc:
        if notes is None:
            raise
        notes.append("{}: {} ignored: {}".format(nic.mac, what, exc))


def parse_dotted(text: str) -> None:
    """Accept four decimal numbers, the broadcast address of all ones included."""
    try:
        if str(ipaddress.IPv4Address(text)) == text:
            return
    except ValueError:
        pass
    raise InvalidRecordError("{} is not an IPv4 address".format(shown(text)))


def parse_labmanager(text: str) -> Config:
    """Lab Manager's ``ip=..&netmask=..&gateway=..&dns1=..&computerName=..``.

    It carries no MAC address, so it is for a machine with one NIC. Other keys
    (Lab Manager sent several about itself) are ignored.
    """
    if not all(0x20 <= ord(character) < 0x7F for character in text):
        raise InvalidRecordError("control or non-ASCII characters in the record")
    pairs: Dict[str, str] = {}
    for item in text.split("&"):
        key, equals, value = item.partition("=")
        key = key.lower()
        if not equals or not re.fullmatch(r"[a-z][a-z0-9_.]{0,31}", key) or key in pairs:
            raise InvalidRecordError("{} is not key=value, once".format(shown(item)))
        pairs[key] = value
    name = pairs.get("computername")
    hostname = parse_hostname(name) if name else None
    servers = [pairs[key] for key in sorted(pairs) if re.fullmatch(r"dns[0-9]*", key)]
    mac = pairs.get("mac") or pairs.get("macaddress")
    fields = [pairs.get(key, "") for key in ("ip", "netmask", "gateway")]
    # A MAC of zeros stands in for the one that the form lacks.
    filled = [mac or "00:00:00:00:00:00"] + fields + ["", ",".join(filter(None, servers))]
    nic = parse_record(filled, None)
    return Config(hostname, (nic if mac else nic._replace(mac=None),))


def parse_v1(text: str) -> Config:
    """The versioned form, behind its ``v1:``. README.md specifies it."""
    for name, decode in (("gzip+base64:", inflate), ("base64:", unbase64)):
        if text.startswith(name):
            raw = decode(text[len(name) :])
            break
    else:
        if not text.startswith("{"):
            raise UnknownVersionError("v1 with an encoding other than base64 or gzip+base64")
        try:
            raw = text.encode("utf-8")
        except UnicodeEncodeError:
            raise InvalidRecordError("the record is not UTF-8") from None
    if len(raw) > MAX_JSON:
        raise InvalidRecordError("more than {} bytes of JSON".format(MAX_JSON))
    try:
        document = json.loads(
            raw.decode("utf-8"), object_pairs_hook=once, parse_constant=no_constant
        )
    except RecursionError:
        raise InvalidRecordError("the JSON is nested too deep") from None
    except ValueError as exc:
        raise InvalidRecordError("not JSON: {}".format(shown(str(exc)))) from None
    return config_from(document)


def unbase64(text: str) -> bytes:
    """Decode base64, strictly."""
    try:
        return base64.b64decode(text.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error):
        raise InvalidRecordError("not base64") from None


def inflate(text: str) -> bytes:
    """Base64 of one gzip member, at most MAX_JSON bytes of content."""
    decoder = zlib.decompressobj(16 + zlib.MAX_WBITS)
    try:
        data = decoder.decompress(unbase64(text), MAX_JSON + 1)
    except zlib.error:
        raise InvalidRecordError("not gzip") from None
    if len(data) > MAX_JSON:
        raise InvalidRecordError("more than {} bytes of JSON".format(MAX_JSON))
    if not decoder.eof or decoder.unused_data:
        raise InvalidRecordError("not one whole gzip member")
    return data


def once(pairs: List[Tuple[str, Any]]) -> Dict[str, Any]:
    """A JSON object in which no key stands twice."""
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a key stands twice")
    return made


def no_constant(name: str) -> NoReturn:
    """Refuse NaN and Infinity, which are not JSON."""
    raise ValueError(name)


def take(value: Any, kind: type, name: str) -> Any:
    """A JSON value of that type exactly (a bool is not a number)."""
    if type(value) is not kind:
        raise InvalidRecordError("{} is not {}".format(name, JSON_NAMES[kind]))
    return value


JSON_NAMES = {
    str: "a string",
    bool: "true or false",
    int: "a whole number",
    list: "a list",
    dict: "an object",
}


def take_object(value: Any, name: str, keys: Sequence[str]) -> Dict[str, Any]:
    """A JSON object with these keys only; null counts as absent."""
    found = take(value, dict, name)
    for key in found:
        if key not in keys:
            raise InvalidRecordError("{} has no key {} in v1".format(name, shown(key)))
    return {key: item for key, item in found.items() if item is not None}


def take_list(item: Dict[str, Any], key: str, parse_one: Callable[[str], Any]) -> Tuple[Any, ...]:
    """A list of strings, each through its parser."""
    found = take(item.get(key, []), list, key)
    if len(found) > MAX_LIST:
        raise InvalidRecordError("{} {}; {} is the limit".format(len(found), key, MAX_LIST))
    return tuple(parse_one(take(one, str, key)) for one in found)


def take_number(item: Dict[str, Any], key: str, low: int, high: int) -> Optional[int]:
    """A number in a range, or None where the key is absent."""
    if key not in item:
        return None
    number: int = take(item[key], int, key)
    if not low <= number <= high:
        raise InvalidRecordError("{} must be {} to {}".format(key, low, high))
    return number


def config_from(document: Any) -> Config:
    """The JSON document of v1."""
    top = take_object(document, "the record", ("hostname", "search", "nics", "ssh_keys", "ntp"))
    hostname = None
    if "hostname" in top:
        hostname = parse_hostname(take(top["hostname"], str, "hostname"))
    search = take_list(top, "search", parse_domain)
    rows = take(top.get("nics", []), list, "nics")
    if len(rows) > MAX_NICS:
        raise InvalidRecordError("{} NICs; {} is the limit".format(len(rows), MAX_NICS))
    users = take(top.get("ssh_keys", {}), dict, "ssh_keys")
    if len(users) > MAX_USERS:
        raise InvalidRecordError("{} users; {} is the limit".format(len(users), MAX_USERS))
    keys = tuple((parse_user(user), take_list(users, user, parse_key)) for user in sorted(users))
    nics = tuple(nic_from(row, search) for row in rows)
    ntp = take_list(top, "ntp", parse_server)
    return check_config(Config(hostname, nics, ssh_keys=keys, ntp=ntp))


def nic_from(value: Any, search: Tuple[str, ...]) -> Nic:
    """One NIC of v1; a NIC without search domains has the record's."""
    row = take_object(value, "a NIC", Nic._fields)
    if "mac" not in row:
        raise InvalidRecordError("a NIC without mac")
    gateway4, gateway6 = row.get("gateway4"), row.get("gateway6")
    routes = take(row.get("routes", []), list, "routes")
    if len(routes) > MAX_LIST:
        raise InvalidRecordError("{} routes; {} is the limit".format(len(routes), MAX_LIST))
    nic = Nic(
        mac=parse_mac(take(row["mac"], str, "mac")),
        addresses=take_list(row, "addresses", parse_interface),
        gateway4=None if gateway4 is None else parse_ipv4(take(gateway4, str, "gateway4")),
        gateway6=None if gateway6 is None else parse_ipv6(take(gateway6, str, "gateway6")),
        dhcp4=take(row.get("dhcp4", False), bool, "dhcp4"),
        dhcp6=take(row.get("dhcp6", False), bool, "dhcp6"),
        routes=tuple(route_from(route) for route in routes),
        mtu=take_number(row, "mtu", 576, 9216),
        dns=take_list(row, "dns", parse_address),
        search=take_list(row, "search", parse_domain) or search,
    )
    return check_nic(nic)


def route_from(value: Any) -> Route:
    """One route of v1."""
    row = take_object(value, "a route", Route._fields)
    if "to" not in row or "via" not in row:
        raise InvalidRecordError("a route needs to and via")
    return Route(
        parse_network(take(row["to"], str, "to")),
        parse_address(take(row["via"], str, "via")),
        take_number(row, "metric", 1, 2**32 - 1),
    )


def to_document(nic: Nic) -> Dict[str, Any]:
    """A NIC in the words of v1, for the state file."""
    return {
        "mac": nic.mac,
        "addresses": [str(interface) for interface in nic.addresses],
        "gateway4": None if nic.gateway4 is None else str(nic.gateway4),
        "gateway6": None if nic.gateway6 is None else str(nic.gateway6),
        "dhcp4": nic.dhcp4,
        "dhcp6": nic.dhcp6,
        "routes": [
            {"to": str(route.to), "via": str(route.via), "metric": route.metric}
            for route in nic.routes
        ],
        "mtu": nic.mtu,
        "dns": [str(server) for server in nic.dns],
        "search": list(nic.search),
    }


# --- transport ----------------------------------------------------------------


class Ran(NamedTuple):
    """Exit code and output of a command."""

    code: int
    out: bytes
    err: bytes


class CommandError(Exception):
    """A command did not start, exceeded its output limit, or did not end in time."""


class TooMuchError(CommandError):
    """A command exceeded its output limit; it would the next time."""


def run_command(argv: Sequence[str], seconds: float, limit: int) -> Ran:
    """Run a command without a shell, for so many seconds and bytes at most.

    Past either limit its process group is killed.
    """
    environment = dict(os.environ, LC_ALL="C", PATH=search_path())
    program = find_program(argv[0])
    if program is None:
        raise CommandError("{}: not found".format(argv[0]))
    try:
        process = subprocess.Popen(
            [program] + list(argv[1:]),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            start_new_session=True,
        )
    except OSError as exc:
        raise CommandError("{}: {}".format(argv[0], exc.strerror)) from None
    ended = False
    try:
        output = collect(process, argv[0], time.monotonic() + seconds, limit)
        ended = True
    finally:
        if not ended:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
    return Ran(process.returncode, output[0], output[1])


def collect(
    process: "subprocess.Popen[bytes]", name: str, deadline: float, limit: int
) -> Tuple[bytes, bytes]:
    """Read both pipes until the command has ended."""
    assert process.stdout is not None
    assert process.stderr is not None
    chunks: Tuple[List[bytes], List[bytes]] = ([], [])
    size = 0
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ, chunks[0])
        selector.register(process.stderr, selectors.EVENT_READ, chunks[1])
        while selector.get_map():
            # The exit is polled before the pipes are read, so the last output is
            # never missed. A daemon may keep the pipes open: it is not awaited.
            over = process.poll() is not None
            left = deadline - time.monotonic()
            if left <= 0:
                raise CommandError("{} did not end in time".format(name))
            events = selector.select(0 if over else min(left, 0.2))
            if over and not events:
                break
            for key, _ in events:
                data = os.read(key.fd, 65536)
                if not data:
                    selector.unregister(key.fileobj)
                key.data.append(data)
                size += len(data)
                if size > limit:
                    raise TooMuchError("{} printed more than {} bytes".format(name, limit))
    try:
        process.wait(timeout=max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        raise CommandError("{} did not end in time".format(name)) from None
    return b"".join(chunks[0]), b"".join(chunks[1])


def output_of(*argv: str) -> bytes:
    """The output of a short command, empty where it does not run."""
    try:
        return run_command(argv, 10, 65536).out.strip()
    except CommandError:
        return b""


def search_path() -> str:
    """The folders of commands: PATH, then the system's own."""
    return ":".join(filter(None, (os.environ.get("PATH"), SYSTEM_PATH)))


def find_program(name: str) -> Optional[str]:
    """The path of a command, None where it is not installed."""
    return shutil.which(name, path=search_path())


def find_tools() -> List[List[str]]:
    """VMware's tools that are installed: the words that precede a request."""
    found = [(name, find_program(name)) for name in TOOLS]
    return [[path] if name == "vmware-rpctool" else [path, "--cmd"] for name, path in found if path]


NO_VALUE = re.compile(rb"(?:No machine id|No value found)\.?", re.IGNORECASE)
DISABLED = re.compile(rb"unknown command|disabled", re.IGNORECASE)

# What an answer means.
VALUE, NOTHING, SILENT, BARRED, FAILED = "value", "nothing", "silent", "disabled", "failed"


def value_of(out: bytes) -> bytes:
    """A tool's answer without the lines of its log, as ``[ warning] [vmsvc] ...``, before it.

    No form of a record begins with a bracket.
    """
    return re.sub(rb"\A(?:\[[^\n]*\n)+", b"", out).strip(b" \t\r\n\0")


def classify(ran: Ran) -> str:
    """The meaning of one answer of a tool."""
    if ran.code == 0:
        out = value_of(ran.out)
        return NOTHING if not out or NO_VALUE.fullmatch(out) else VALUE
    if ran.code < 0:
        # A signal ended it, perhaps in the middle of its output.
        return FAILED
    text = ran.out + b"\n" + ran.err
    # Warnings may surround that sentence.
    if any(NO_VALUE.fullmatch(line.strip()) for line in text.splitlines()):
        return NOTHING
    if b"must be run inside a virtual machine" in text:
        return NOTHING
    # Outside VMware vmtoolsd exits with 1 silently; very old tools print a bare 1.
    if text.strip() == b"1" or (ran.code == 1 and not text.strip()):
        return SILENT
    return BARRED if DISABLED.search(text) else FAILED


class Host:
    """The host, through VMware's tools; all reads share READ_DEADLINE seconds."""

    def __init__(self, tools: Sequence[Sequence[str]]) -> None:
        self.tools = [list(tool) for tool in tools]
        self.deadline = time.monotonic() + READ_DEADLINE

    def ask(self, request: str, reserve: float = 0.0) -> Optional[str]:
        """One value, None where the host has none.

        Every tool is tried, again and again until the deadline: one may crash
        where the other works, and the host limits the rate of requests.
        ``reserve`` seconds are left to the next request.

        Raises:
            ToolsError: No tool gave a usable answer.
        """
        why, pause = "no time left", READ_PAUSE
        while True:
            meanings = []
            for tool in list(self.tools):
                left = self.deadline - reserve - time.monotonic()
                if left <= 0:
                    break
                meaning, text = self.attempt(tool, request, min(left, READ_SECONDS))
                if meaning == VALUE:
                    return text
                if meaning == NOTHING:
                    return None
                meanings.append(meaning)
                if meaning != SILENT:
                    why = text
                    # The next request begins with another tool.
                    self.tools.remove(tool)
                    self.tools.append(tool)
            if meanings and all(meaning == SILENT for meaning in meanings):
                return None
            left = self.deadline - reserve - time.monotonic()
            if left <= pause or all(meaning == BARRED for meaning in meanings):
                raise ToolsError("cannot read {} from the host: {}".format(request, why))
            time.sleep(pause)
            pause = min(2 * pause, 3.0)

    @staticmethod
    def attempt(tool: Sequence[str], request: str, seconds: float) -> Tuple[str, str]:
        """One request through one tool: the meaning, and the value or the reason.

        Raises:
            ToolsError: The value is not UTF-8.
        """
        try:
            ran = run_command(list(tool) + [request], seconds, MAX_RECORD)
        except TooMuchError as exc:
            return BARRED, str(exc)
        except CommandError as exc:
            return FAILED, str(exc)
        meaning = classify(ran)
        if meaning != VALUE:
            text = (ran.err or ran.out).decode("ascii", "replace").strip()
            return meaning, "exit code {}: {}".format(ran.code, shown(text))
        try:
            return meaning, value_of(ran.out).decode("utf-8")
        except UnicodeDecodeError:
            raise ToolsError("the host's record is not UTF-8") from None

    def tell(self, key: str, value: str) -> bool:
        """Set a guestinfo value; whether a tool accepted it."""
        for tool in self.tools:
            request = "info-set {} {}".format(key, value)
            with contextlib.suppress(CommandError):
                if run_command(tool + [request], READ_SECONDS / 2, MAX_RECORD).code == 0:
                    return True
        return False


def read_record(host: Host, guestinfo: bool, notes: List[str]) -> Optional[Tuple[str, str]]:
    """The record and its source: ``machine.id``, else ``guestinfo.vimguest`` if allowed.

    No process in the guest can set machine.id; any process can set the other.

    Raises:
        ToolsError: No source gave a usable answer.
    """
    try:
        text = host.ask("machine.id.get", READ_RESERVE if guestinfo else 0.0)
    except ToolsError as exc:
        if not guestinfo:
            raise
        notes.append(str(exc))
        text = None
    if text is not None:
        return "machine.id", text
    text = host.ask("info-get guestinfo.vimguest") if guestinfo else None
    return None if text is None else ("guestinfo.vimguest", text)


# --- files --------------------------------------------------------------------


class File(NamedTuple):
    """The content and mode of a file."""

    data: bytes
    mode: int


MAX_LINKS = 40


def open_flags(*names: str) -> int:
    """Flags of open(2); Windows, which is refused later, lacks some."""
    flags = 0
    for name in names:
        flags |= int(getattr(os, name, 0))
    return flags


FOLDER_FLAGS = open_flags("O_RDONLY", "O_DIRECTORY", "O_NOFOLLOW", "O_CLOEXEC")
LOOK_FLAGS = open_flags("O_PATH", "O_NOFOLLOW", "O_CLOEXEC")
READ_FLAGS = open_flags("O_RDONLY", "O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC")
WRITE_FLAGS = open_flags("O_WRONLY", "O_CREAT", "O_EXCL", "O_NOFOLLOW", "O_CLOEXEC")
MISSING = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG)


class Root:
    """A tree that is read and written: the machine's own, or an image's below a folder.

    Names are absolute as the guest sees them. Symbolic links are resolved one
    component at a time as the guest would resolve them, on open directories, so
    nothing outside the tree is read or written, even if links change during it.
    """

    def __init__(self, folder: Optional[str]) -> None:
        #: Whether this is the running machine, on which commands may be run.
        self.live = folder is None
        self.folder = os.path.realpath(folder or "/")
        #: Whether our files go below /run, since /etc is read-only.
        self.volatile = self.live and is_read_only("/etc")

    def placed(self, name: str) -> str:
        """The place of a file of ours: /run where /etc is read-only."""
        for kept, volatile in VOLATILE if self.volatile else ():
            if name.startswith(kept):
                return volatile + name[len(kept) :]
        return name

    @staticmethod
    def unplaced(name: str) -> str:
        """The name of a file of ours below /run."""
        for kept, volatile in VOLATILE:
            if name.startswith(volatile):
                return kept + name[len(volatile) :]
        return name

    @contextlib.contextmanager
    def parent(
        self, name: str, make: bool = False, follow: bool = False, links: bool = True
    ) -> Iterator[Tuple[int, str]]:
        """Open the folder that holds a name: its descriptor, and the name in it.

        ``make`` creates missing folders, ``follow`` resolves the last component
        too, ``links`` False refuses symbolic links.

        Raises:
            RefusedError: A component is neither folder nor link, a link leads
                to a missing folder, or no file can have that name.
            FileNotFoundError: A folder is missing.
        """
        name = self.placed(name)
        if "\0" in name or not is_encodable(name):
            raise RefusedError("no file can have the name {}".format(shown(name)))
        # The folders from the top down to the present one: ".." pops one.
        opened = [os.open(self.folder, FOLDER_FLAGS)]
        # Components still to resolve, the next one last; whether a link brought it.
        todo = [(part, False) for part in reversed(name.split("/")) if part not in ("", ".")]
        left = MAX_LINKS
        try:
            while True:
                part, linked = todo.pop()
                if part == "..":
                    if len(opened) > 1:
                        os.close(opened.pop())
                    if not todo:
                        todo.append((".", False))
                    continue
                if todo or follow:
                    target = self.link(opened[-1], part)
                    if target is not None:
                        left -= 1
                        if left < 0 or not links:
                            raise RefusedError("{} has a symbolic link in it".format(name))
                        if target.startswith("/"):
                            while len(opened) > 1:
                                os.close(opened.pop())
                        parts = [one for one in target.split("/") if one not in ("", ".")]
                        todo += [(one, True) for one in reversed(parts or ["."])]
                        continue
                if not todo:
                    yield opened[-1], part
                    return
                opened.append(self.enter(opened[-1], part, name, make, linked))
        finally:
            for handle in opened:
                os.close(handle)

    @staticmethod
    def link(folder: int, part: str) -> Optional[str]:
        """The target of a symbolic link, None for anything else."""
        try:
            return os.readlink(part, dir_fd=folder)
        except OSError as exc:
            if exc.errno in (errno.EINVAL,) + MISSING:
                return None
            raise

    @staticmethod
    def enter(folder: int, part: str, name: str, make: bool, linked: bool) -> int:
        """Open a folder inside another one, made first where it is missing."""
        try:
            return os.open(part, FOLDER_FLAGS, dir_fd=folder)
        except FileNotFoundError:
            if linked:
                raise RefusedError("{} leads through a link out of the tree".format(name)) from None
            if not make:
                raise
        except OSError as exc:
            if exc.errno in (errno.ENOTDIR, errno.ELOOP):
                raise RefusedError("{}: {} is not a folder".format(name, shown(part))) from None
            raise
        mode = 0o700 if part == "vimguest" else 0o755
        with contextlib.suppress(FileExistsError):
            os.mkdir(part, mode, dir_fd=folder)
        handle = os.open(part, FOLDER_FLAGS, dir_fd=folder)
        # Whatever the umask is.
        os.fchmod(handle, mode)
        return handle

    def status(self, name: str) -> Optional[os.stat_result]:
        """The status of a file or link, None where it is missing."""
        try:
            with self.parent(name) as (folder, last):
                return os.stat(last, dir_fd=folder, follow_symlinks=False)
        except OSError as exc:
            if exc.errno in MISSING:
                return None
            raise
        except RefusedError:
            return None

    def exists(self, name: str) -> bool:
        """Whether the name exists, a dangling link included."""
        return self.status(name) is not None

    def target(self, name: str) -> Optional[str]:
        """The target of a symbolic link, None for anything else."""
        try:
            with self.parent(name) as (folder, last):
                return self.link(folder, last)
        except (OSError, RefusedError):
            return None

    def names(self, folder: str) -> List[str]:
        """The sorted names in a folder, empty where it is missing."""
        try:
            with self.parent(folder + "/x") as (handle, _):
                return sorted(os.listdir(handle))
        except (OSError, RefusedError):
            return []

    def listed(self, pattern: str) -> List[str]:
        """The names that match a glob pattern, sorted.

        Raises:
            RefusedError: More than MAX_NAMES match.
        """
        found = [""]
        for part in pattern.strip("/").split("/"):
            if not any(character in part for character in "*?["):
                found = ["{}/{}".format(base, part) for base in found]
                continue
            bases, found = found, []
            for base in bases:
                found += [
                    "{}/{}".format(base, name)
                    for name in self.names(base)
                    if fnmatch.fnmatchcase(name, part) and (part[0] == "." or name[0] != ".")
                ]
                if len(found) > MAX_NAMES:
                    raise RefusedError(
                        "{} matches more than {} names".format(shown(pattern), MAX_NAMES)
                    )
        return sorted(name for name in found if self.exists(name))

    def text(self, name: str) -> str:
        """The text of a file of the guest, empty where it is missing or not a plain file."""
        try:
            with self.parent(name, follow=True) as (folder, last):
                file = read_file(folder, last, MAX_FILE, cut=True)
        except (OSError, RefusedError):
            return ""
        return file.data.decode("utf-8", "replace")

    def lines(self, name: str) -> List[str]:
        """The lines of a file of the guest; str.splitlines() knows other ends than a newline."""
        return self.text(name).split("\n")

    def load(self, name: str) -> Optional[File]:
        """A file that this program writes, None where it is missing.

        Raises:
            RefusedError: The name belongs to something other than a plain
                file, or to a file larger than MAX_FILE (MAX_STATE for the state).
        """
        limit = MAX_STATE if name == STATE else MAX_FILE
        try:
            with self.parent(name) as (folder, last):
                return read_file(folder, last, limit)
        except FileNotFoundError:
            return None
        except NotPlainError:
            raise RefusedError("{} is not a plain file; move it away".format(name)) from None

    def save(self, name: str, file: Optional[File]) -> None:
        """Replace a file, or remove it (None), atomically.

        A reader, also after a crash at any point, finds the old bytes or the
        new ones. The mode and the security label are set before the rename.
        """
        if file is None:
            try:
                with self.parent(name) as (folder, last):
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(last, dir_fd=folder)
                    sync_folder(folder)
            except FileNotFoundError:
                pass
            return
        with self.parent(name, make=True) as (folder, last):
            replace_file(folder, last, file)

    def ensure(self, name: str, file: Optional[File]) -> None:
        """Save, unless the file is so already: a failed write needs no undoing."""
        if self.load(name) != file:
            self.save(name, file)

    def sweep(self) -> None:
        """Remove the half-written files of a killed run."""
        for folder in sorted({os.path.dirname(name) for name in WRITTEN}):
            for left in self.listed(folder + TEMPORARY.format("*")):
                status = self.status(left)
                if status is not None and stat.S_ISREG(status.st_mode):
                    self.save(left, None)


def is_read_only(folder: str) -> bool:
    """Whether a folder is on a file system that is mounted read-only."""
    try:
        return bool(os.statvfs(folder).f_flag & os.ST_RDONLY)
    except OSError:
        return False


WRITTEN = (NETPLAN, KEYFILES + "/x", NETWORKD + "/x", IFUPDOWN, HOSTNAME, STATE) + TIME_FILES


# Hidden, and with a suffix that no network service reads.
TEMPORARY = "/.vimguest.{}.tmp"


class NotPlainError(RefusedError):
    """The name belongs to something other than a plain file."""


def is_encodable(name: str) -> bool:
    """Whether the locale has all characters of a name; Python 3.6 has ASCII alone at boot."""
    try:
        os.fsencode(name)
    except UnicodeEncodeError:
        return False
    return True


def read_file(
    folder: int, name: str, limit: int, cut: bool = False, owner: Optional[int] = None
) -> File:
    """Read a plain file in an open folder; ``cut`` reads only the start of a long one.

    In a folder of the user ``owner`` it must be the user's or root's, and have no
    second name: a hard link may lead to a file that only root can read.

    Raises:
        NotPlainError: A link, FIFO, device or folder.
        RefusedError: The file is longer than the limit, or somebody else's.
    """
    # First without access to it: a device of an image acts on the machine that opens it.
    handle = os.open(name, LOOK_FLAGS, dir_fd=folder)
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise NotPlainError("{} is not a plain file".format(shown(name)))
    finally:
        os.close(handle)
    try:
        # A FIFO that comes in between opens at once with O_NONBLOCK; fstat refuses it.
        handle = os.open(name, READ_FLAGS, dir_fd=folder)
    except OSError as exc:
        if exc.errno in (errno.ELOOP, errno.ENXIO):
            raise NotPlainError("{} is not a plain file".format(shown(name))) from None
        raise
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise NotPlainError("{} is not a plain file".format(shown(name)))
        if status.st_size > limit and not cut:
            raise RefusedError("{} is larger than {} bytes".format(shown(name), limit))
        if owner is not None and (status.st_nlink > 1 or status.st_uid not in (0, owner)):
            raise RefusedError("{} belongs to somebody else".format(shown(name)))
        with open(handle, "rb", closefd=False) as file:
            # Files of /proc have a size of 0.
            return File(file.read(limit), stat.S_IMODE(status.st_mode))
    finally:
        os.close(handle)


def replace_file(
    folder: int, name: str, file: File, owner: Optional[Tuple[int, int]] = None
) -> None:
    """Put a file into an open folder: temporary file, label, mode, fsync, rename, fsync."""
    temporary = TEMPORARY.format(uuid.uuid4().hex[:8])[1:]
    handle = os.open(temporary, WRITE_FLAGS, 0o600, dir_fd=folder)
    try:
        try:
            data = memoryview(file.data)
            while data:
                data = data[os.write(handle, data) :]
            copy_labels(folder, name, handle)
            if owner is not None:
                os.fchown(handle, owner[0], owner[1])
            os.fchmod(handle, file.mode)
            os.fsync(handle)
        finally:
            os.close(handle)
        os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary, dir_fd=folder)
        raise
    sync_folder(folder)


def copy_labels(folder: int, name: str, handle: int) -> None:
    """Give an open file the security labels (SELinux, Smack) of the one it replaces."""
    try:
        source = os.open(name, READ_FLAGS, dir_fd=folder)
    except FileNotFoundError:
        return
    try:
        for key in os.listxattr(source):
            if key in ("security.selinux", "security.SMACK64"):
                os.setxattr(handle, key, os.getxattr(source, key))
    except OSError as exc:
        # File systems without labels, and users who may not set them.
        if exc.errno not in (errno.ENOTSUP, errno.EPERM):
            raise
    finally:
        os.close(source)


def sync_folder(handle: int) -> None:
    """Make a rename or a removal durable."""
    try:
        os.fsync(handle)
    except OSError as exc:
        # Some file systems cannot sync a folder.
        if exc.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise


# --- state --------------------------------------------------------------------


class Identity(NamedTuple):
    """The machine that a configuration was written on: its UUID and its MAC addresses."""

    uuid: Optional[str]
    macs: Tuple[str, ...]

    def is_other(self, other: "Identity") -> bool:
        """Whether both certainly describe different machines.

        The UUID decides where both have one, except that a machine whose NICs
        were all replaced counts as another: the record is for those MACs.
        """
        if self.uuid and other.uuid and self.uuid not in (other.uuid, swapped(other.uuid)):
            return True
        return bool(self.macs and other.macs and not set(self.macs) & set(other.macs))


def swapped(text: str) -> str:
    """A UUID with its first three fields byte-swapped: newer virtual hardware shows it so."""
    return str(uuid.UUID(bytes=uuid.UUID(text).bytes_le))


def find_identity(root: Root, nics: Dict[str, List[str]]) -> Identity:
    """The identity of this machine."""
    text = root.text("/sys/class/dmi/id/product_uuid").strip().lower()
    return Identity(text if re.fullmatch(UUID, text) else None, tuple(sorted(nics)))


UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"


class State(NamedTuple):
    """The file that is kept between runs: the last record and the files before it.

    ``previous`` maps each file that the last run changed to its old content,
    None for no file; ``origin`` does the same for the shared files as they were
    before the first run. ``pending`` means that the last run did not end.
    """

    nics: Tuple[Nic, ...]
    previous: Dict[str, Optional[File]]
    previous_nics: Tuple[Nic, ...] = ()
    pending: bool = False
    identity: Optional[Identity] = None
    origin: Optional[Dict[str, Optional[File]]] = None
    #: The users in whose authorized_keys there is a block of ours.
    users: Tuple[str, ...] = ()
    #: The back end, for a later verification.
    backend: Optional[str] = None

    def pack(self) -> File:
        """The state as a file.

        Raises:
            RefusedError: It would be longer than the next run reads.
        """
        document = {
            "version": 2,
            "nics": [to_document(nic) for nic in self.nics],
            "previous": pack_files(self.previous),
            "previous_nics": [to_document(nic) for nic in self.previous_nics],
            "pending": self.pending,
            "identity": None
            if self.identity is None
            else {"uuid": self.identity.uuid, "macs": list(self.identity.macs)},
            "origin": pack_files(self.origin or {}),
            "users": list(self.users),
            "backend": self.backend,
        }
        data = json.dumps(document, indent=1, sort_keys=True).encode("ascii") + b"\n"
        if len(data) > MAX_STATE:
            raise RefusedError("the files to replace are too large to be kept for --rollback")
        return File(data, 0o600)

    @staticmethod
    def unpack(data: bytes) -> "State":
        """Read a packed state, of version 1 too.

        Raises:
            RefusedError: The file was not made by ``pack``.
        """
        try:
            document = json.loads(data.decode("ascii"))
            machine = document.get("identity")
            backend = document.get("backend")
            found = State(
                tuple(nic_from(row, ()) for row in document["nics"]),
                unpack_files(document["previous"]),
                tuple(nic_from(row, ()) for row in document["previous_nics"]),
                bool(document["pending"]),
                None
                if machine is None
                else Identity(
                    None if machine["uuid"] is None else str(uuid.UUID(machine["uuid"])),
                    tuple(parse_mac(mac) for mac in machine["macs"]),
                ),
                unpack_files(document.get("origin", {})),
                tuple(parse_user(user) for user in document.get("users", [])),
                backend if backend in BACKENDS else None,
            )
            known = document["version"] in (1, 2)
        except (LookupError, ValueError, TypeError, AttributeError, OverflowError):
            raise RefusedError("{} is damaged; remove it".format(STATE)) from None
        except (RecursionError, RefusedError):
            raise RefusedError("{} is damaged; remove it".format(STATE)) from None
        known = known and len(found.users) <= MAX_KEPT_USERS
        names = list(found.previous) + list(found.origin or {})
        if not known or not all(is_owned(name) or name in SHARED + TIME_FILES for name in names):
            raise RefusedError("{} is not of this version; remove it".format(STATE))
        return found

    @property
    def machine(self) -> Optional[Identity]:
        """The identity; a state of version 1 has only the MAC addresses of its record."""
        if self.identity is None and self.nics:
            return Identity(None, tuple(str(nic.mac) for nic in self.nics))
        return self.identity


def merged(new: Sequence[str], old: Sequence[str]) -> Tuple[str, ...]:
    """The users to keep track of, sorted; the new ones come first where there are too many."""
    rest = [user for user in old if user not in new]
    return tuple(sorted((list(new) + rest)[:MAX_KEPT_USERS]))


def pack_files(files: Dict[str, Optional[File]]) -> Dict[str, Any]:
    """Files for JSON."""
    return {
        name: None
        if file is None
        else {"mode": file.mode, "data": base64.b64encode(file.data).decode("ascii")}
        for name, file in files.items()
    }


def unpack_files(document: Dict[str, Any]) -> Dict[str, Optional[File]]:
    """Packed files."""
    return {
        name: None
        if kept is None
        else File(base64.b64decode(kept["data"], validate=True), int(kept["mode"]) & 0o777)
        for name, kept in document.items()
    }


def is_owned(name: str) -> bool:
    """Whether a network file belongs to this program."""
    return any(re.fullmatch(pattern, name) for pattern in OWNED)


# --- NICs ---------------------------------------------------------------------

SYSFS = "/sys/class/net"


def find_nics(root: Root) -> Dict[str, List[str]]:
    """The names of the plain NICs by MAC address.

    Bonds, bridges, VLANs and their parts often share an address with a NIC and
    are skipped.
    """
    where = root if root.live or root.exists(SYSFS) else Root(None)
    found: Dict[str, List[str]] = {}
    for name in where.names(SYSFS):
        # A name goes into ifupdown's file; the kernel would allow nearly any.
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,14}", name):
            continue
        entry = "{}/{}".format(SYSFS, name)
        if not is_plain(where, entry):
            continue
        try:
            mac = parse_mac(first_line(where, entry + "/address"))
        except InvalidRecordError:
            continue
        found.setdefault(mac, []).append(name)
    return found


def is_plain(root: Root, entry: str) -> bool:
    """Whether a folder of /sys/class/net is an Ethernet NIC of its own."""
    if first_line(root, entry + "/type") not in ("", "1"):
        return False
    # A link of sysfs: its parts are below the target.
    names = root.names(entry)
    if any(part in names for part in ("master", "bonding", "bridge")):
        return False
    if any(name.startswith("lower_") for name in names):
        return False
    lines = root.lines(entry + "/uevent")
    return not any(line.startswith("DEVTYPE=") for line in lines)


def first_line(root: Root, name: str) -> str:
    """The first line of a file of sysfs, empty where it is missing."""
    return root.text(name)[:256].partition("\n")[0].strip()


class Bound(NamedTuple):
    """A NIC of the record, with its name on this machine."""

    name: str
    nic: Nic


def bind(config: Config, nics: Dict[str, List[str]]) -> Tuple[List[Bound], List[Dict[str, Any]]]:
    """Match the record's NICs with the machine's; a report row for each.

    A record that matches more than one NIC costs the others nothing.

    Raises:
        RefusedError: Such a record is the only one that matches.
    """
    bound, rows = [], []
    ambiguous = None
    for nic in config.nics:
        mac = nic.mac
        if mac is None:
            if len(nics) > 1 and nic.silent:
                rows.append({"mac": None, "interface": None, "action": "left-alone"})
                continue
            if len(nics) > 1:
                raise RefusedError(
                    "the record names no MAC address and the machine has {} NICs".format(len(nics))
                )
            mac = next(iter(nics), None)
        names = nics.get(mac, []) if mac else []
        if len(names) > 1:
            ambiguous = "NICs {} all have the address {}".format(", ".join(names), mac)
            rows.append({"mac": mac, "interface": None, "action": "ambiguous"})
            continue
        if not names or mac is None:
            rows.append({"mac": mac, "interface": None, "action": "no-nic"})
            continue
        bound.append(Bound(names[0], nic._replace(mac=mac)))
        action = "left-alone" if nic.silent else "configured"
        rows.append({"mac": mac, "interface": names[0], "action": action})
    if ambiguous and not bound:
        raise RefusedError(ambiguous)
    return bound, rows


# --- back ends ----------------------------------------------------------------
# Each is a pure function from NICs to files.


class WrittenRoute(NamedTuple):
    """A route as every back end writes it; to None is the default route."""

    to: Optional[Network]
    via: Address
    metric: Optional[int]
    onlink: bool


Metrics = Dict[int, Optional[int]]


def default_metrics(nics: Sequence[Nic]) -> List[Metrics]:
    """For each NIC the metric of its default route by IP version, None for the system's own.

    nova repeats the gateway on each NIC, DHCP and router announcements bring
    further default routes, and the services prefer different ones. The order of
    the record decides: the first NIC keeps the lowest metric.
    """
    found: List[Metrics] = [{} for _ in nics]
    for version in (4, 6):
        sources = [
            (metrics, nic.gateway4 if version == 4 else nic.gateway6)
            for metrics, nic in zip(found, nics)
            if (nic.gateway4 or nic.dhcp4 if version == 4 else nic.gateway6 or nic.dhcp6)
        ]
        for at, (metrics, gateway) in enumerate(sources):
            first = STATIC_METRIC if version == 6 and gateway and sources[1:] else None
            metrics[version] = SECOND_GATEWAY_METRIC + 100 * (at - 1) if at else first
    return found


def written_routes(nic: Nic, metrics: Metrics) -> List[WrittenRoute]:
    """The routes of a NIC, the default ones first."""
    found = [
        WrittenRoute(None, gateway, metrics.get(gateway.version), is_onlink(nic, gateway))
        for gateway in (nic.gateway4, nic.gateway6)
        if gateway is not None
    ]
    return found + [
        WrittenRoute(route.to, route.via, route.metric, is_onlink(nic, route.via))
        for route in nic.routes
    ]


def with_metrics(bound: Sequence[Bound]) -> Iterator[Tuple[str, Nic, Metrics]]:
    """The NICs with the metrics of their default routes."""
    for one, metrics in zip(bound, default_metrics([one.nic for one in bound])):
        yield one.name, one.nic, metrics


def is_onlink(nic: Nic, via: Address) -> bool:
    """Whether a gateway is outside the NIC's networks: the kernel needs a flag then."""
    if isinstance(via, IPv6) and via.is_link_local:
        return False
    if nic.dhcp4 if via.version == 4 else nic.dhcp6:
        return False
    return not any(via in interface.network for interface in nic.addresses)


def of_version(nic: Nic, version: int) -> List[Interface]:
    """The NIC's addresses of that IP version."""
    return [interface for interface in nic.addresses if interface.version == version]


def netplan_id(nic: Nic) -> str:
    """The name of a NIC's definition.

    A name of its own, since netplan adds up the lists of definitions with one
    name, and one that sorts first: networkd applies the first generated file
    that matches a NIC.
    """
    return "00-vimguest-" + bare(nic.mac)


def render_netplan(bound: Sequence[Bound], renderer: str = "networkd") -> Dict[str, File]:
    """Netplan's YAML, written as JSON, which is a subset of it."""
    ethernets: Dict[str, Any] = {}
    for _, nic, metrics in with_metrics(bound):
        item: Dict[str, Any] = {
            "match": {"macaddress": nic.mac},
            "dhcp4": nic.dhcp4,
            "dhcp6": nic.dhcp6,
        }
        if nic.addresses:
            item["addresses"] = [str(interface) for interface in nic.addresses]
        if of_version(nic, 6) and not nic.dhcp6:
            item["accept-ra"] = False
        for key, on, metric in (
            ("dhcp4-overrides", nic.dhcp4, metrics.get(4)),
            ("dhcp6-overrides", nic.dhcp6, metrics.get(6)),
        ):
            if on and metric is not None:
                item[key] = {"route-metric": metric}
        routes = []
        for route in written_routes(nic, metrics):
            # netplan before 0.103 does not know the word "default".
            default = "0.0.0.0/0" if route.via.version == 4 else "::/0"
            entry: Dict[str, Any] = {"to": str(route.to or default), "via": str(route.via)}
            if route.metric is not None:
                entry["metric"] = route.metric
            if route.onlink:
                entry["on-link"] = True
            routes.append(entry)
        if routes:
            item["routes"] = routes
        if nic.mtu is not None:
            item["mtu"] = nic.mtu
        servers = {"addresses": [str(server) for server in nic.dns], "search": list(nic.search)}
        if nic.dns or nic.search:
            item["nameservers"] = {key: value for key, value in servers.items() if value}
        if renderer == "NetworkManager":
            # Above the connections of other definitions that match this NIC.
            item["networkmanager"] = {"passthrough": {"connection.autoconnect-priority": "999"}}
        ethernets[netplan_id(nic)] = item
    document = {"network": {"version": 2, "ethernets": ethernets}}
    data = json.dumps(document, indent=2).encode("ascii") + b"\n"
    return {NETPLAN: File(data, 0o600)}


def lines_file(lines: Sequence[str], mode: int) -> File:
    """A text file behind our mark."""
    return File("\n".join([MARK] + list(lines) + [""]).encode("ascii"), mode)


def bare(mac: Optional[str]) -> str:
    """A MAC address as part of a file name."""
    return (mac or "").replace(":", "")


def connection_label(nic: Nic) -> str:
    """The name of a NIC's NetworkManager connection."""
    return "vimguest-" + bare(nic.mac)


def connection_uuid(label: str) -> str:
    """The UUID of a NetworkManager connection of ours."""
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, label))


def render_networkmanager(bound: Sequence[Bound]) -> Dict[str, File]:
    """NetworkManager's keyfiles; it ignores one that other users may read."""
    files = {}
    for _, nic, metrics in with_metrics(bound):
        label = connection_label(nic)
        lines = [
            "[connection]",
            "id=" + label,
            "uuid=" + connection_uuid(label),
            "type=ethernet",
            # Above the connections that an installer has left for this NIC.
            "autoconnect-priority=999",
            "",
            "[ethernet]",
            "mac-address=" + (nic.mac or "").upper(),
        ]
        if nic.mtu is not None:
            lines.append("mtu={}".format(nic.mtu))
        for version in (4, 6):
            lines += ["", "[ipv{}]".format(version)] + keyfile_section(nic, version, metrics)
        files["{}/{}.nmconnection".format(KEYFILES, label)] = lines_file(lines, 0o600)
    return files


def keyfile_section(nic: Nic, version: int, metrics: Metrics) -> List[str]:
    """The [ipv4] or [ipv6] section of a keyfile."""
    addresses = of_version(nic, version)
    servers = [str(server) for server in nic.dns if server.version == version]
    if nic.dhcp4 if version == 4 else nic.dhcp6:
        method = "auto"
    elif addresses:
        method = "manual"
    else:
        # Where the record has no IPv6, router announcements are accepted as usual.
        method = "disabled" if version == 4 else "auto"
    lines = ["method=" + method]
    lines += ["address{}={}".format(at, one) for at, one in enumerate(addresses, 1)]
    every = [route for route in written_routes(nic, metrics) if route.via.version == version]
    # It adds a route to a gateway outside the networks by itself.
    lines += ["gateway={}".format(route.via) for route in every if route.to is None]
    if metrics.get(version) is not None:
        lines.append("route-metric={}".format(metrics[version]))
    for at, route in enumerate((route for route in every if route.to is not None), 1):
        metric = "" if route.metric is None else ",{}".format(route.metric)
        lines.append("route{}={},{}{}".format(at, route.to, route.via, metric))
        if route.onlink:
            lines.append("route{}_options=onlink=true".format(at))
    if servers and method != "disabled":
        lines.append("dns={};".format(";".join(servers)))
    if nic.search and method != "disabled":
        lines.append("dns-search={};".format(";".join(nic.search)))
    return lines


def render_networkd(bound: Sequence[Bound], prefix: str = NETWORKD_PREFIXES[0]) -> Dict[str, File]:
    """systemd-networkd's .network files; it applies the first one that matches."""
    files = {}
    for _, nic, metrics in with_metrics(bound):
        lines = ["[Match]", "MACAddress={}".format(nic.mac), "Type=ether"]
        # A bond or bridge may have the NIC's address. (Ignored before 251.)
        lines += ["Kind=!bond bridge vlan macvlan team"]
        if nic.mtu is not None:
            lines += ["", "[Link]", "MTUBytes={}".format(nic.mtu)]
        dhcp = {(False, False): "no", (True, False): "ipv4", (False, True): "ipv6"}
        lines += ["", "[Network]", "DHCP=" + dhcp.get((nic.dhcp4, nic.dhcp6), "yes")]
        lines += ["Address={}".format(interface) for interface in nic.addresses]
        if of_version(nic, 6) and not nic.dhcp6:
            lines.append("IPv6AcceptRA=no")
        lines += ["DNS={}".format(server) for server in nic.dns]
        if nic.search:
            lines.append("Domains=" + " ".join(nic.search))
        for section, on, metric in (
            ("DHCPv4", nic.dhcp4, metrics.get(4)),
            ("IPv6AcceptRA", nic.dhcp6, metrics.get(6)),
        ):
            if on and metric is not None:
                lines += ["", "[{}]".format(section), "RouteMetric={}".format(metric)]
        for route in written_routes(nic, metrics):
            lines += ["", "[Route]", "Gateway={}".format(route.via)]
            if route.to is not None:
                lines.append("Destination={}".format(route.to))
            if route.metric is not None:
                lines.append("Metric={}".format(route.metric))
            if route.onlink:
                lines.append("GatewayOnLink=yes")
        name = "{}/{}{}.network".format(NETWORKD, prefix, bare(nic.mac))
        files[name] = lines_file(lines, 0o644)
    return files


def render_ifupdown(bound: Sequence[Bound]) -> Dict[str, File]:
    """A snippet for /etc/network/interfaces.d; ifupdown identifies a NIC by name only."""
    lines: List[str] = []
    for name, nic, metrics in with_metrics(bound):
        lines += ["", "auto " + name]
        for at, stanza in enumerate(stanzas(name, nic, metrics)):
            if at == 0:
                if nic.dns:
                    stanza.append("dns-nameservers " + " ".join(map(str, nic.dns)))
                if nic.search:
                    stanza.append("dns-search " + " ".join(nic.search))
            lines += [stanza[0]] + ["    " + option for option in stanza[1:]]
    return {IFUPDOWN: lines_file(lines[1:], 0o644)}


def stanzas(name: str, nic: Nic, metrics: Metrics) -> List[List[str]]:
    """The iface stanzas of a NIC: one for each address, and one for DHCP."""
    found = []
    mtu = [] if nic.mtu is None else ["pre-up ip link set dev {} mtu {}".format(name, nic.mtu)]
    for version, family, dhcp in ((4, "inet", nic.dhcp4), (6, "inet6", nic.dhcp6)):
        mine = [route for route in written_routes(nic, metrics) if route.via.version == version]
        if dhcp:
            stanza = ["iface {} {} dhcp".format(name, family)] + mtu
            if version == 4 and metrics.get(4) is not None:
                stanza.append("metric {}".format(metrics[4]))
            found.append(stanza)
            mtu = []
        for interface in of_version(nic, version):
            stanza = ["iface {} {} static".format(name, family), "address {}".format(interface)]
            if mtu:
                stanza.append("mtu {}".format(nic.mtu))
                mtu = []
            if version == 6:
                stanza.append("accept_ra {}".format(1 if dhcp else 0))
            found.append(stanza)
        if mine:
            # The last stanza of its family: by then every address is up.
            found[-1] += [option for route in mine for option in route_options(name, route)]
    return found


def route_options(name: str, route: WrittenRoute) -> List[str]:
    """A route in a stanza, as its gateway where possible."""
    metric = [] if route.metric is None else ["metric {}".format(route.metric)]
    if route.to is None and not route.onlink:
        return ["gateway {}".format(route.via)] + metric
    return [route_command(name, route)]


def route_command(name: str, route: WrittenRoute) -> str:
    """An option that adds a route by ip(8)."""
    words = ["up ip -{} route add".format(route.via.version), str(route.to or "default")]
    words += ["via {} dev {}".format(route.via, name)]
    words += [] if route.metric is None else ["metric {}".format(route.metric)]
    return " ".join(words + ["onlink"] * route.onlink)


def render_ifupdown_ng(bound: Sequence[Bound]) -> Dict[str, File]:
    """The same snippet for ifupdown-ng: one stanza for each NIC, and every route a command.

    It gives the default route the metric 1, has no executor for name servers
    and none that switches router announcements off.
    """
    lines: List[str] = []
    for name, nic, metrics in with_metrics(bound):
        lines += ["", "auto " + name, "iface " + name]
        if nic.dhcp4 or nic.dhcp6:
            lines.append("    use dhcp")
        lines += ["    address {}".format(interface) for interface in nic.addresses]
        if nic.mtu is not None:
            lines.append("    pre-up ip link set dev {} mtu {}".format(name, nic.mtu))
        if of_version(nic, 6):
            switch = "/proc/sys/net/ipv6/conf/{}/accept_ra".format(name)
            lines.append("    pre-up echo {} > {}".format(1 if nic.dhcp6 else 0, switch))
        routes = written_routes(nic, metrics)
        lines += ["    " + route_command(name, route) for route in routes]
        settings = ["nameserver {}".format(server) for server in nic.dns]
        settings += ["search " + " ".join(nic.search)] if nic.search else []
        if settings:
            # The words are parsed values: letters, digits and ".:- ".
            text = "".join(setting + "\\n" for setting in settings)
            lines.append("    up printf '{}' | resolvconf -a {}".format(text, name))
            lines.append("    down resolvconf -d {}".format(name))
    return {IFUPDOWN: lines_file(lines[1:], 0o644)}


RENDER: Dict[str, Callable[[Sequence[Bound]], Dict[str, File]]] = {
    "netplan": render_netplan,
    "networkmanager": render_networkmanager,
    "networkd": render_networkd,
    "ifupdown": render_ifupdown,
    "ifupdown-ng": render_ifupdown_ng,
}


def render(root: Root, backend: str, bound: Sequence[Bound]) -> Dict[str, File]:
    """The files of a back end, named and worded so that they win over the image's own."""
    if backend == "netplan":
        return render_netplan(bound, netplan_renderer(root))
    if backend == "networkd":
        first = min(NETWORKD_PREFIXES[0] + bare(one.nic.mac) for one in bound)
        rivals = [name for name, _ in networkd_files(root) if name < first]
        return render_networkd(bound, NETWORKD_PREFIXES[1 if rivals else 0])
    files = RENDER[backend](bound)
    if backend == "ifupdown" and "busybox" in ifup_targets(root):
        # busybox wants address and netmask apart.
        text = files[IFUPDOWN].data.decode("ascii")
        text = re.sub(r"(?m)^( +)address (\S+)$", split_address, text)
        files[IFUPDOWN] = files[IFUPDOWN]._replace(data=text.encode("ascii"))
    return files


def split_address(found: Match[str]) -> str:
    """An address line with its prefix as a netmask, dotted for IPv4."""
    interface = ipaddress.ip_interface(found.group(2))
    mask = interface.netmask if interface.version == 4 else interface.network.prefixlen
    return "{0}address {1}\n{0}netmask {2}".format(found.group(1), interface.ip, mask)


# --- detection ----------------------------------------------------------------

UNIT_FOLDERS = (
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
)


def find_backend(root: Root) -> str:
    """The back end that this machine uses.

    Raises:
        NotSupportedError: The machine uses a service without a back end.
        RefusedError: No network service was found.
    """
    # netplan's files may outlive the package; without it they have no effect.
    there = not root.live or find_program("netplan")
    if there and any(name != NETPLAN for name in root.listed("/etc/netplan/*.yaml")):
        return "netplan"
    if root.live:
        for backend, unit in SERVICES:
            if is_active(unit):
                return flavor(root, backend)
    for backend, unit in SERVICES:
        if is_enabled(root, unit) and (backend != "ifupdown" or root.exists(INTERFACES)):
            return flavor(root, backend)
    # No service is enabled (an unfinished image, another init): look for files.
    for backend, evidence in (
        ("netplan", "/etc/netplan"),
        ("networkmanager", KEYFILES),
        ("ifupdown", INTERFACES),
    ):
        masked = any(is_masked(root, unit) for known, unit in SERVICES if known == backend)
        if root.exists(evidence) and not masked:
            return flavor(root, backend)
    if root.listed("/etc/sysconfig/network-scripts/ifcfg-*"):
        raise NotSupportedError("ifcfg files are not supported: install NetworkManager")
    if root.exists(NETWORKD):
        return "networkd"
    raise RefusedError("no network service found; name one with --backend")


def flavor(root: Root, backend: str) -> str:
    """ifupdown-ng where `ifup` is one of its links, as on Alpine; any other back end unchanged."""
    found = ifup_targets(root) & {"ifupdown", "ifupdown-ng"}
    return "ifupdown-ng" if backend == "ifupdown" and found else backend


def ifup_targets(root: Root) -> Set[str]:
    """The names of the programs that `ifup` is a link to."""
    targets = [root.target(name) for name in ("/sbin/ifup", "/usr/sbin/ifup")]
    return {os.path.basename(target) for target in targets if target}


SERVICES = (
    ("networkmanager", "NetworkManager"),
    ("networkd", "systemd-networkd"),
    ("ifupdown", "networking"),
)


def is_enabled(root: Root, unit: str) -> bool:
    """Whether systemd will start that unit at boot (wanted, installed and not masked), or OpenRC."""
    if root.exists("/sbin/openrc-run") and not root.exists("/run/systemd/system"):
        return bool(root.listed("/etc/runlevels/*/" + unit.lower()))
    service = unit + ".service"
    wanted = any(root.listed("{}/*.wants/{}".format(at, service)) for at in UNIT_FOLDERS)
    return wanted and not is_masked(root, unit)


def is_masked(root: Root, unit: str) -> bool:
    """Whether the first unit file of that name is empty or a link to /dev/null."""
    for folder in UNIT_FOLDERS:
        name = "{}/{}.service".format(folder, unit)
        status = root.status(name)
        if status is not None:
            return root.target(name) == "/dev/null" or (
                stat.S_ISREG(status.st_mode) and status.st_size == 0
            )
    return False


def is_active(unit: str, *others: bytes) -> bool:
    """Whether systemd runs that unit, or has it in one of the other states."""
    # In a chroot it does nothing and ends with 0: only the word counts.
    return output_of("systemctl", "is-active", unit) in (b"active", *others)


def cloud_init_reason(root: Root) -> Optional[str]:
    """The reason why cloud-init owns the network, None where it does not.

    It does where it is installed, enabled, and not configured to leave the
    network alone; and where it was removed, but one of its files still
    configures the network. The host's ``guestinfo.metadata`` does not matter:
    without cloud-init nobody reads it.
    """
    settings = ["/etc/cloud/cloud.cfg"] + root.listed("/etc/cloud/cloud.cfg.d/*.cfg")
    if any(disables_network(root.text(name)) for name in settings):
        return None
    off = ["/etc/cloud/cloud-init.disabled"]
    off += ["/run/cloud-init/disabled"] if root.live else []
    if any(root.exists(name) for name in off):
        return None
    words = root.text("/proc/cmdline").split() if root.live else []
    if "cloud-init=disabled" in words or "network-config=disabled" in words:
        return None
    for name in ("/usr/bin/cloud-init", "/etc/cloud/cloud.cfg"):
        if root.exists(name):
            return "cloud-init is installed ({})".format(name)
    for pattern in (
        "/etc/netplan/50-cloud-init.yaml",
        "/etc/network/interfaces.d/50-cloud-init*",
        KEYFILES + "/cloud-init-*.nmconnection",
        NETWORKD + "/10-cloud-init-*.network",
    ):
        for name in root.listed(pattern):
            return "{} is cloud-init's".format(name)
    return None


def disables_network(text: str) -> bool:
    """Whether a settings file of cloud-init has ``network: {config: disabled}``."""
    lines = [line.split(" #")[0] for line in text.splitlines() if not line.startswith("#")]
    # No two runs of blanks side by side: that takes quadratic time.
    pattern = r"^network:\s*(?:\{\s*)?['\"]?config['\"]?:\s*['\"]?disabled"
    return re.search(pattern, "\n".join(lines), re.MULTILINE) is not None


# --- competing files ----------------------------------------------------------
# Each network service has its own rule about which file wins.


# A file in a later folder replaces one of the same name in an earlier one.
NETPLAN_FOLDERS = ("/usr/lib/netplan", "/lib/netplan", "/etc/netplan", "/run/netplan")


def netplan_renderer(root: Root) -> str:
    """The service that netplan's files are for; the last file that names one counts."""
    found = "networkd"
    names = {
        os.path.basename(name): name
        for folder in NETPLAN_FOLDERS
        for name in root.listed(folder + "/*.yaml")
    }
    for _, name in sorted(names.items()):
        lines = [line.partition("#")[0] for line in root.text(name).splitlines()]
        # Four blanks at most: a deeper one is of a single definition.
        pattern = r"^(?: {1,4}|network:\s*\{.*?)[\"']?renderer[\"']?:\s*[\"']?(\w+)"
        for word in re.findall(pattern, "\n".join(lines), re.MULTILINE):
            found = word
    return found


def networkd_files(root: Root) -> List[Tuple[str, str]]:
    """Other people's .network files, base name and path, in the order of networkd.

    One in /etc hides one of the same name in /run or /usr/lib; a link to
    /dev/null masks it.
    """
    found: Dict[str, str] = {}
    for folder in ("/usr/lib/systemd/network", "/run/systemd/network", NETWORKD):
        for name in root.listed(folder + "/*.network"):
            found[os.path.basename(name)] = name
    return [
        (base, name)
        for base, name in sorted(found.items())
        if not is_owned(root.unplaced(name)) and root.target(name) != "/dev/null"
    ]


def joined(text: str) -> List[str]:
    """The lines of a file of ifupdown: a backslash continues one, but no comment."""
    lines: List[str] = []
    parts: List[str] = []
    for line in text.split("\n"):
        more = line.endswith("\\") and (parts or not line.lstrip().startswith("#"))
        parts.append(line[:-1] if more else line)
        if not more:
            lines.append(" ".join(parts))
            parts = []
    return lines + [" ".join(parts)] if parts else lines


def sourced(text: str) -> List[Tuple[str, bool]]:
    """The glob patterns of the files that a file of ifupdown includes.

    Each with whether it is a folder's, of which Debian's ifupdown reads plain names only.
    """
    found: List[Tuple[str, bool]] = []
    for words in (line.split() for line in joined(text)):
        # A relative one starts at the folder of the file that names it.
        paths = [os.path.join(os.path.dirname(INTERFACES), word) for word in words[1:]]
        if words[:1] == ["source"]:
            found += [(os.path.normpath(path), False) for path in paths]
        elif words[:1] == ["source-directory"]:
            found += [(os.path.normpath(os.path.join(path, "*")), True) for path in paths]
    return found


def is_match(name: str, pattern: str) -> bool:
    """Whether a glob pattern matches a file name: ``*`` stops at a slash."""
    names, patterns = name.split("/"), pattern.split("/")
    return len(names) == len(patterns) and all(map(fnmatch.fnmatchcase, names, patterns))


def ifupdown_rivals(root: Root) -> Iterator[Tuple[str, str]]:
    """The other files of ifupdown that configure NICs: path and name of the NIC."""
    # The others have `ifup` as a link to their program.
    plain_only = not ifup_targets(root)
    others = {
        other
        for pattern, folder in sourced(root.text(INTERFACES))
        for other in root.listed(pattern)
        if not (folder and plain_only) or re.fullmatch(r"[A-Za-z0-9_-]+", os.path.basename(other))
    }
    for name in [INTERFACES] + sorted(others - {IFUPDOWN}):
        for words in (line.split() for line in joined(root.text(name))):
            if words[:1] == ["iface"] and "manual" not in words[3:4]:
                yield name, "".join(words[1:2])


def check_ifupdown(root: Root, bound: Sequence[Bound], notes: List[str]) -> None:
    """Refuse where ifupdown would not read our snippet, or would add others to it."""
    text, line = root.text(INTERFACES), "source {}/*".format(os.path.dirname(IFUPDOWN))
    if "busybox" in ifup_targets(root):
        # Its `source` takes the name of one file, not a pattern.
        text = re.sub(r"^[ \t]*source[ \t].*[*?\[].*$", "", text, flags=re.MULTILINE)
        line = "source-directory {}".format(os.path.dirname(IFUPDOWN))
    if not any(is_match(IFUPDOWN, pattern) for pattern, _ in sourced(text)):
        what = "{} does not source {}; add the line: {}".format(INTERFACES, IFUPDOWN, line)
        if root.live:
            raise RefusedError(what)
        notes.append(what)
    for name, nic in ifupdown_rivals(root):
        if any(nic == one.name for one in bound):
            raise RefusedError("{} already configures {}; remove it there".format(name, nic))


def resolver_note(root: Root, backend: str, bound: Sequence[Bound]) -> Optional[str]:
    """A warning where the back end hands name servers to a program that is missing."""
    servers = sorted({str(server) for one in bound for server in one.nic.dns})
    if not servers:
        return None
    if backend in ("ifupdown", "ifupdown-ng"):
        programs, package = ("/sbin/resolvconf", "/usr/sbin/resolvconf"), "resolvconf"
    elif backend == "networkd" or (backend == "netplan" and netplan_renderer(root) == "networkd"):
        programs = ("/usr/lib/systemd/systemd-resolved", "/lib/systemd/systemd-resolved")
        package = "systemd-resolved"
    else:
        return None
    if any(root.exists(name) for name in programs) and not (
        package == "systemd-resolved" and is_masked(root, package)
    ):
        return None
    return "name servers {} need the package {}, which is missing: {} stays as it is".format(
        ", ".join(servers), package, RESOLV
    )


def winner(root: Root, backend: Optional[str], name: str, nic: Nic) -> Optional[str]:
    """The file that a service applied to a NIC instead of ours, None if it applied ours.

    networkd and NetworkManager name it in /run; ifupdown leaves no such trace.
    """
    index = first_line(root, "{}/{}/ifindex".format(SYSFS, name))
    applied = networkd_applied(root, index)
    if applied is not None and backend in ("networkd", "netplan"):
        ours = "{}/10-netplan-{}.network".format("/run/systemd/network", netplan_id(nic))
        if applied == ours or is_owned(root.unplaced(applied)):
            return None
        source = netplan_source(root, applied)
        return applied if source is None else "{} ({})".format(source, applied)
    if backend in ("networkmanager", "netplan"):
        lines = root.lines("/run/NetworkManager/devices/" + index)
        key = "".join(line[16:] for line in lines if line.startswith("connection-uuid="))
        labels = [connection_label(nic)]
        if key and key not in [connection_uuid(label) for label in labels]:
            return connection_file(root, key, nic)
        if "managed=false" in lines or is_unmanaged(root, name):
            rivals = [path for path, one in ifupdown_rivals(root) if one == name]
            return next(iter(rivals + unmanaging(root)), None)
    if backend in ("ifupdown", "ifupdown-ng"):
        return next((path for path, one in ifupdown_rivals(root) if one == name), None)
    return None


def unmanaging(root: Root) -> List[str]:
    """The files that keep NetworkManager off some NICs, the one that counts first."""
    folders = ("/usr/lib", "/run", "/etc")
    names = ["/etc/NetworkManager/NetworkManager.conf"]
    names += [n for at in folders for n in root.listed(at + "/NetworkManager/conf.d/*.conf")]
    return [
        name
        for name in reversed(names)
        if any(line.lstrip().startswith("unmanaged-devices") for line in root.lines(name))
    ]


def is_unmanaged(root: Root, name: str) -> bool:
    """Whether NetworkManager has started and leaves a NIC alone."""
    if not (root.live and root.exists("/run/NetworkManager")):
        return False
    if output_of("nmcli", "--terse", "--fields", "STARTUP", "general") != b"started":
        return False
    rows = output_of("nmcli", "--terse", "--fields", "DEVICE,STATE", "device").split(b"\n")
    return "{}:unmanaged".format(name).encode("ascii") in rows


def networkd_applied(root: Root, index: str) -> Optional[str]:
    """The file that networkd applied to the NIC of that index."""
    for line in root.lines("/run/systemd/netif/links/" + index):
        if line.startswith("NETWORK_FILE="):
            return line.partition("=")[2]
    return None


def netplan_source(root: Root, applied: str) -> Optional[str]:
    """The YAML file that defines what netplan generated a file from."""
    found = re.match(r"/run/systemd/network/10-netplan-(.+)\.network", applied)
    if not found:
        return None
    pattern = r"^[ \t]*[\"']?{}[\"']?[ \t]*:".format(re.escape(found.group(1)))
    names = [name for folder in NETPLAN_FOLDERS for name in root.listed(folder + "/*.yaml")]
    return next((one for one in names if re.search(pattern, root.text(one), re.MULTILINE)), None)


def connection_file(root: Root, key: str, nic: Nic) -> Optional[str]:
    """The keyfile of that UUID; None where it is netplan's of our definition."""
    for folder in (KEYFILES, "/run/NetworkManager/system-connections"):
        for name in root.listed(folder + "/*"):
            if "uuid=" + key in root.lines(name):
                return None if netplan_id(nic) in name else name
    return "NetworkManager's connection {}".format(shown(key))


# --- the kernel ---------------------------------------------------------------

NETLINK_REQUEST = 0x301  # NLM_F_REQUEST | NLM_F_DUMP
RTM_NEWADDR, RTM_GETADDR, RTM_NEWROUTE, RTM_GETROUTE = 20, 22, 24, 26
# IFA_F_DADFAILED and IFA_F_TENTATIVE: the address is not usable (yet).
UNUSABLE = 0x08 | 0x40
MAIN_TABLE = 254


class KernelAddress(NamedTuple):
    """An address of the NIC of that index, and whether it is usable."""

    link: int
    interface: Interface
    usable: bool
    is_global: bool


class KernelRoute(NamedTuple):
    """A unicast route of the main table."""

    to: Network
    via: Optional[Address]
    link: int
    metric: int


class Kernel(NamedTuple):
    """Addresses and routes of the running kernel."""

    addresses: List[KernelAddress]
    routes: List[KernelRoute]


def read_kernel() -> Kernel:
    """Ask the kernel by rtnetlink(7); no command has to be installed.

    Raises:
        OSError: The kernel refused, or did not answer within five seconds.
    """
    addresses = [kernel_address(body) for kind, body in dump(RTM_GETADDR) if kind == RTM_NEWADDR]
    routes = [
        route
        for kind, body in dump(RTM_GETROUTE)
        if kind == RTM_NEWROUTE
        for route in kernel_routes(body)
    ]
    return Kernel([one for one in addresses if one is not None], routes)


def dump(request: int) -> List[Tuple[int, bytes]]:
    """The messages of one dump: type and body of each."""
    found: List[Tuple[int, bytes]] = []
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as netlink:
        netlink.settimeout(5)
        body = bytes(12)
        netlink.send(struct.pack("=LHHLL", 16 + len(body), request, NETLINK_REQUEST, 1, 0) + body)
        while True:
            data = netlink.recv(1 << 18)
            while len(data) >= 16:
                length, kind, _, _, _ = struct.unpack_from("=LHHLL", data)
                if kind == 3:  # NLMSG_DONE
                    return found
                if kind == 2:  # NLMSG_ERROR
                    code = -struct.unpack_from("=i", data, 16)[0]
                    raise OSError(code, "rtnetlink: {}".format(os.strerror(code)))
                found.append((kind, data[16:length]))
                data = data[(length + 3) & ~3 :]


def attributes(data: bytes) -> Dict[int, bytes]:
    """The attributes behind the head of a message."""
    found = {}
    while len(data) >= 4:
        length, kind = struct.unpack_from("=HH", data)
        if length < 4:
            break
        found[kind & 0x3FFF] = data[4:length]
        data = data[(length + 3) & ~3 :]
    return found


def kernel_address(body: bytes) -> Optional[KernelAddress]:
    """One RTM_NEWADDR message."""
    family, prefix, flags, scope, index = struct.unpack_from("=BBBBL", body)
    found = attributes(body[8:])
    # IFA_LOCAL is the own one where IFA_ADDRESS is the far end's.
    raw = found.get(2, found.get(1))
    if family not in (socket.AF_INET, socket.AF_INET6) or raw is None:
        return None
    if 8 in found:  # IFA_FLAGS
        flags = struct.unpack_from("=L", found[8])[0]
    interface = ipaddress.ip_interface("{}/{}".format(ipaddress.ip_address(raw), prefix))
    return KernelAddress(index, interface, not flags & UNUSABLE, scope == 0)


def kernel_routes(body: bytes) -> List[KernelRoute]:
    """One RTM_NEWROUTE message: a route for each of its next hops."""
    family, length, _, _, table, _, _, kind, flags = struct.unpack_from("=BBBBBBBBL", body)
    found = attributes(body[12:])
    if 15 in found:  # RTA_TABLE
        table = struct.unpack_from("=L", found[15])[0]
    # Unicast (1) only, without the cache of exceptions (RTM_F_CLONED).
    if family not in (socket.AF_INET, socket.AF_INET6) or table != MAIN_TABLE or kind != 1:
        return []
    if flags & 0x200:
        return []
    empty = bytes(4 if family == socket.AF_INET else 16)
    to = ipaddress.ip_network("{}/{}".format(ipaddress.ip_address(found.get(1, empty)), length))
    metric = struct.unpack_from("=L", found[6])[0] if 6 in found else 0
    nexthops = [(struct.unpack_from("=L", found[4])[0], found.get(5))] if 4 in found else []
    several = found.get(9, b"")  # RTA_MULTIPATH
    while len(several) >= 8:
        size, _, _, index = struct.unpack_from("=HBBL", several)
        nexthops.append((index, attributes(several[8:size]).get(5)))
        several = several[max(8, (size + 3) & ~3) :]
    return [
        KernelRoute(to, None if via is None else ipaddress.ip_address(via), index, metric)
        for index, via in nexthops
    ]


class Problem(NamedTuple):
    """A difference between the record and the machine, and the file that won, if known."""

    mac: Optional[str]
    what: str
    wanted: str
    found: str
    file: Optional[str]

    def __str__(self) -> str:
        text = "{}: {} is {}, not {}".format(
            self.mac, self.what, self.found or "missing", self.wanted
        )
        return text if self.file is None else "{}; {} won".format(text, self.file)


def compare(root: Root, bound: Sequence[Bound], kernel: Kernel) -> List[Problem]:
    """The differences between the record and the machine; no file is named yet."""
    found: List[Problem] = []
    indexes = {}
    for name, nic in bound:
        entry = "{}/{}".format(SYSFS, name)
        index = first_line(root, entry + "/ifindex")
        if not index.isdigit():
            found.append(Problem(nic.mac, "NIC", name, "", None))
            continue
        indexes[nic.mac] = int(index)
        missing = compare_nic(nic, int(index), kernel)
        mtu = first_line(root, entry + "/mtu")
        if nic.mtu is not None and mtu != str(nic.mtu):
            missing.append(Problem(nic.mac, "MTU", str(nic.mtu), mtu, None))
        if first_line(root, entry + "/carrier") == "0":
            missing = [one._replace(found="without carrier") for one in missing]
        found += missing
    nics = [one.nic for one in bound]
    return found + compare_defaults(nics, indexes, kernel) + compare_resolver(root, nics)


def compare_nic(nic: Nic, index: int, kernel: Kernel) -> List[Problem]:
    """The addresses and routes of one NIC."""
    found = []
    own = [one for one in kernel.addresses if one.link == index]
    ready = [one.interface for one in own if one.usable]
    for interface in nic.addresses:
        if interface not in ready:
            others = ", ".join(str(one) for one in ready if one.version == interface.version)
            found.append(Problem(nic.mac, "address", str(interface), others, None))
    for version, on in ((4, nic.dhcp4), (6, nic.dhcp6)):
        leased = [
            one
            for one in own
            if one.usable
            and one.is_global
            and one.interface.version == version
            and one.interface not in nic.addresses
        ]
        if on and not leased:
            found.append(Problem(nic.mac, "IPv{} address".format(version), "from DHCP", "", None))
    for route in written_routes(nic, {}):
        to = EVERYWHERE[route.via.version] if route.to is None else route.to
        vias = [one.via for one in kernel.routes if one.to == to and one.link == index]
        if route.via not in vias:
            others = ", ".join(str(via) for via in vias if via is not None)
            what = "default route" if route.to is None else "route to {}".format(route.to)
            found.append(Problem(nic.mac, what, "through {}".format(route.via), others, None))
    return found


def compare_defaults(
    nics: Sequence[Nic], indexes: Dict[Optional[str], int], kernel: Kernel
) -> List[Problem]:
    """Whether the best default route is the one of the first NIC that has a gateway."""
    found = []
    for version, everywhere in EVERYWHERE.items():
        sources = [nic for nic in nics if default_metrics([nic])[0].keys() & {version}]
        if not sources:
            continue
        gateway = sources[0].gateway4 if version == 4 else sources[0].gateway6
        routes = [one for one in kernel.routes if one.to == everywhere]
        mine = [(gateway, indexes.get(sources[0].mac))]
        if gateway is None or (mine[0] not in [(one.via, one.link) for one in routes]):
            # DHCP decides, or compare_nic has found it missing.
            continue
        best = min(one.metric for one in routes)
        others = [one for one in routes if one.metric == best and (one.via, one.link) not in mine]
        if others:
            what = "through {}".format(", ".join(str(one.via) for one in others))
            found.append(
                Problem(
                    sources[0].mac, "best default route", "through {}".format(gateway), what, None
                )
            )
    return found


def compare_resolver(root: Root, nics: Sequence[Nic]) -> List[Problem]:
    """Whether the resolver has the name servers and search domains."""
    servers, domains = resolver(root)
    found = []
    wanted = [server for nic in nics for server in nic.dns]
    # Some services write three servers at most, since glibc uses no more.
    limit = wanted[:3] if len(servers) >= 3 else wanted
    for server in limit:
        if server not in servers:
            macs = [nic.mac for nic in nics if server in nic.dns]
            others = ", ".join(map(str, servers))
            found.append(Problem(macs[0], "name server", str(server), others, RESOLV))
    for nic in nics:
        for domain in nic.search:
            if domain.lower() not in domains:
                others = ", ".join(domains)
                found.append(Problem(nic.mac, "search domain", domain, others, RESOLV))
    return found


def resolver(root: Root) -> Tuple[List[Address], List[str]]:
    """The name servers and search domains in use, through a local stub if there is one."""
    servers: List[Address] = []
    domains: List[str] = []
    for name in (RESOLV, "/run/systemd/resolve/resolv.conf", "/run/NetworkManager/resolv.conf"):
        for words in (line.split() for line in root.lines(name)):
            if words[:1] == ["nameserver"]:
                with contextlib.suppress(ValueError):
                    servers.append(ipaddress.ip_address("".join(words[1:2]).partition("%")[0]))
            elif words[:1] in (["search"], ["domain"]):
                domains += [word.rstrip(".").lower() for word in words[1:]]
        if any(not server.is_loopback for server in servers):
            break
    return [server for server in servers if not server.is_loopback], domains


# --- the run ------------------------------------------------------------------


class Change(NamedTuple):
    """A file with its old and its new content; None means no file."""

    name: str
    old: Optional[File]
    new: Optional[File]


def owned_files(root: Root) -> List[str]:
    """The network files of ours that exist."""
    patterns = [NETPLAN, KEYFILES + "/vimguest-*", IFUPDOWN]
    patterns += ["{}/{}*".format(NETWORKD, prefix) for prefix in NETWORKD_PREFIXES]
    found = [name for pattern in patterns for name in root.listed(pattern)]
    if root.volatile:
        found += [root.unplaced(name) for _, run in VOLATILE for name in root.listed(run + "*")]
    return [name for name in found if is_owned(name)]


def plan(
    root: Root,
    wanted: Dict[str, File],
    config: Config,
    stale: Optional[State],
    notes: List[str],
) -> Tuple[List[Change], List[Problem]]:
    """The changes after which the files are as the record has them.

    Without a wanted file the network is left as it is. ``stale`` is the state
    of another machine, whose files go first. A shared file that is not a plain
    one is a problem: it must not cost the network.
    """
    goal: Dict[str, Optional[File]] = {}
    hostname = config.hostname
    if stale is not None:
        goal.update(leftovers(root, stale, notes))
    if wanted:
        goal.update((name, None) for name in owned_files(root))
    goal.update(wanted)
    if hostname is not None:
        goal[HOSTNAME] = File(hostname.encode("ascii") + b"\n", 0o644)
    if hostname is not None or stale is not None:
        with noted(notes):
            goal[HOSTS] = hosts_file(root, hostname)
    if config.ntp:
        goal.update(time_file(root, config.ntp, notes))
    elif config.ntp is not None:
        goal.update((name, None) for name in TIME_FILES if is_ours(root, name))
    if root.volatile:
        shared = sorted(name for name in goal if not is_owned(name))
        if shared:
            notes.append("/etc is read-only: {} not written".format(", ".join(shared)))
        goal = {name: file for name, file in goal.items() if is_owned(name)}
    found: List[Change] = []
    problems: List[Problem] = []
    for name, file in sorted(goal.items()):
        try:
            found.append(Change(name, root.load(name), file))
        except RefusedError as exc:  # noqa: PERF203
            if is_owned(name) or not (wanted or stale):
                raise
            problems.append(unwritten(name, exc))
    return [change for change in found if change.old != change.new], problems


def unwritten(name: str, why: Exception) -> Problem:
    """A shared file that could not be written."""
    return Problem(None, name, "written", str(why), name)


def leftovers(root: Root, state: State, notes: List[str]) -> Dict[str, Optional[File]]:
    """The files as they would be, had the machine of that state never been configured."""
    goal: Dict[str, Optional[File]] = dict.fromkeys(owned_files(root))
    goal.update((name, None) for name in TIME_FILES if is_ours(root, name))
    goal.update((name, file) for name, file in (state.origin or {}).items() if name == HOSTNAME)
    with noted(notes):
        goal[HOSTS] = hosts_file(root, None)
    return goal


@contextlib.contextmanager
def noted(notes: List[str]) -> Iterator[None]:
    """Turn a refusal into a note: a file in the way must not cost the network."""
    try:
        yield
    except RefusedError as exc:
        notes.append(str(exc))


def is_ours(root: Root, name: str) -> bool:
    """Whether a file begins with our mark."""
    return root.text(name).startswith(MARK)


def lines_of(data: bytes) -> List[str]:
    """The lines of a file of any encoding, byte by byte.

    Only a newline ends one: str.splitlines() would split UTF-8 within a letter,
    and bring the rest of a comment into effect.
    """
    lines = data.decode("latin-1").split("\n")
    return lines if lines[-1] else lines[:-1]


def hosts_file(root: Root, hostname: Optional[str]) -> Optional[File]:
    """/etc/hosts with one line of ours for the host name, without it for None."""
    old = root.load(HOSTS)
    lines = [] if old is None else lines_of(old.data)
    if hostname is None and not any(line.endswith(LINE_MARK) for line in lines):
        return old
    lines = [line for line in lines if not line.endswith(LINE_MARK)]
    if hostname is not None:
        lines = lines or ["127.0.0.1\tlocalhost", "::1\tlocalhost ip6-localhost ip6-loopback"]
        names = [hostname] + [hostname.partition(".")[0]] * ("." in hostname)
        lines.append("127.0.1.1\t{}\t{}".format(" ".join(names), LINE_MARK))
    return File(("\n".join(lines) + "\n").encode("latin-1"), 0o644 if old is None else old.mode)


def time_file(root: Root, servers: Sequence[str], notes: List[str]) -> Dict[str, Optional[File]]:
    """The time servers for chrony or systemd-timesyncd, the one that is installed."""
    if root.exists("/etc/chrony/sources.d"):
        lines = ["server {} iburst".format(server) for server in servers]
        return {CHRONY: lines_file(lines, 0o644)}
    if any(root.exists(folder + "/systemd-timesyncd.service") for folder in UNIT_FOLDERS):
        return {TIMESYNCD: lines_file(["[Time]", "NTP=" + " ".join(servers)], 0o644)}
    notes.append("time servers ignored: neither chrony nor systemd-timesyncd is installed")
    return {}


def again(changes: Sequence[Change], wanted: Dict[str, File]) -> List[Change]:
    """Those changes, and each file that a killed run may have written without applying it."""
    names = [change.name for change in changes]
    rest = [Change(name, file, file) for name, file in wanted.items() if name not in names]
    return sorted(list(changes) + rest, key=lambda change: change.name)


def invert(changes: Sequence[Change]) -> List[Change]:
    """The changes that undo those."""
    return [Change(change.name, change.new, change.old) for change in reversed(changes)]


def commands(
    root: Root, changes: Sequence[Change], undo: bool = False
) -> Tuple[List[List[str]], List[List[str]]]:
    """The commands to run on this machine before and after the changes.

    A service that does not run yet reads the files when it starts, so it gets
    no command: the rule at boot. netplan's files are read by a generator that
    has run already.
    """
    before: List[List[str]] = []
    after: List[List[str]] = []
    changed = {change.name: change for change in changes}
    # Our file may outlive netplan; its removal then needs no command.
    if NETPLAN in changed and (changed[NETPLAN].new is not None or find_program("netplan")):
        after.append(["netplan", "generate"])
        if is_active("systemd-networkd") or is_active("NetworkManager"):
            after.append(NETPLAN_APPLY)
    keyfiles = [change for change in changes if change.name.startswith(KEYFILES)]
    if keyfiles and manager_runs():
        after.append(["nmcli", "connection", "reload"])
        down = [connection_label(Nic(mac)) for mac in without_carrier(root)]
        for change in keyfiles:
            label = os.path.basename(change.name)[: -len(".nmconnection")]
            # NetworkManager activates that one as soon as its cable is plugged in.
            if change.new is not None and label not in down:
                key = connection_uuid(label)
                after.append(["nmcli", "--wait", "60", "connection", "up", "uuid", key])
    networks = [change.name for change in changes if change.name.startswith(NETWORKD)]
    if networks and is_active("systemd-networkd") and not can_reload():
        after.append(["systemctl", "restart", "systemd-networkd"])
    elif networks and is_active("systemd-networkd"):
        after.append(["networkctl", "reload"])
        for mac, names in sorted(find_nics(root).items()):
            if any(bare(mac) in name for name in networks):
                after += [["networkctl", "reconfigure", name] for name in names]
    if IFUPDOWN in changed:
        more = ifupdown_commands(root, changed[IFUPDOWN], undo)
        before, after = more[0], after + more[1]
    if TIMESYNCD in changed and is_active("systemd-timesyncd"):
        after.append(["systemctl", "restart", "systemd-timesyncd"])
    if CHRONY in changed and (is_active("chrony") or is_active("chronyd")):
        after.append(["chronyc", "reload", "sources"])
    return before, after


def without_carrier(root: Root) -> List[str]:
    """The MAC addresses of the NICs that are up, but not connected."""
    return [
        mac
        for mac, names in find_nics(root).items()
        if any(first_line(root, "{}/{}/carrier".format(SYSFS, name)) == "0" for name in names)
    ]


def ifupdown_commands(
    root: Root, change: Change, undo: bool
) -> Tuple[List[List[str]], List[List[str]]]:
    """The commands of ifupdown and ifupdown2."""
    old, new = autos(change.old), autos(change.new)
    if find_program("ifreload"):
        # ifupdown2: ifup changes a running NIC, and ifstate is not a text file.
        if not is_active("networking"):
            return [], []
        gone = [["ifdown", name] for name in old if name not in new]
        return gone, [["ifup", name] for name in new]
    # The state of ifupdown, and that of ifupdown-ng and busybox.
    lines = root.text("/run/network/ifstate") + root.text("/run/ifstate")
    up = [line.split("=")[0] for line in lines.split("\n") if line]
    names = old + [name for name in new if name not in old]
    # A NIC that came up by half counts as down, and would stay so.
    down = [name for name in names if name in up or (undo and up)]
    # Where not even lo is up, the service has yet to start.
    return [["ifdown", "--force", name] for name in down], [["ifup", name] for name in new if up]


def can_reload() -> bool:
    """Whether networkctl has ``reload`` and ``reconfigure``: since systemd 244."""
    version = re.match(rb"systemd ([0-9]{1,4})\b", output_of("networkctl", "--version"))
    return version is None or int(version.group(1)) >= 244


def autos(file: Optional[File]) -> List[str]:
    """The NICs that a snippet for ifupdown brings up."""
    text = file.data.decode("ascii", "replace") if file else ""
    return re.findall(r"^auto ([A-Za-z0-9._-]+)$", text, re.MULTILINE)


def manager_runs() -> bool:
    """Whether NetworkManager runs and accepts commands."""
    return output_of("nmcli", "--terse", "--fields", "RUNNING", "general") == b"running"


def service_runs(root: Root, backend: Optional[str]) -> bool:
    """Whether the network service runs, so that the kernel can be compared."""
    if backend == "networkd":
        return is_active("systemd-networkd")
    if backend == "networkmanager":
        return manager_runs()
    if backend == "netplan":
        services = ("systemd-networkd", "NetworkManager")
        return any(is_active(one, b"activating") for one in services)
    states = root.text("/run/network/ifstate") + root.text("/run/ifstate")
    return bool(states.strip()) or is_active("networking")


class Account(NamedTuple):
    """A user of the guest, from /etc/passwd."""

    name: str
    owner: Tuple[int, int]
    home: str


def find_account(root: Root, user: str) -> Account:
    """A user of the guest.

    Raises:
        RefusedError: The guest has no such user, or one without a home.
    """
    pattern = user + r":[^:]*:([0-9]{1,10}):([0-9]{1,10}):[^:]*:(/[^:]*):[^:]*"
    for line in root.lines("/etc/passwd"):
        found = re.fullmatch(pattern, line)
        # The highest number stands for "unchanged" in chown(2).
        if found and max(int(found.group(1)), int(found.group(2))) < 2**32 - 1:
            return Account(user, (int(found.group(1)), int(found.group(2))), found.group(3))
    raise RefusedError("no user {} with a home in /etc/passwd".format(user))


def with_keys(lines: Sequence[str], keys: Sequence[str]) -> List[str]:
    """Return authorized_keys with these keys as the helper's block; without keys, with no block."""
    kept: List[str] = []
    # Lines since the beginning of a block. Without an end of it they are the user's.
    block: List[str] = []
    for line in lines:
        if line == KEYS_BEGIN:
            kept += block
            block = [line]
        elif not block:
            kept.append(line)
        else:
            block.append(line)
            block = [] if line == KEYS_END else block
    return kept + block + ([KEYS_BEGIN] + list(keys) + [KEYS_END] if keys else [])


def save_keys(root: Root, user: str, keys: Sequence[str], write: bool) -> bool:
    """Put the keys into the user's authorized_keys; whether that changes it.

    The user may have put links there to have root read or write elsewhere:
    links are refused, and the file goes to the user.

    Raises:
        RefusedError: No such user, a link, or something other than a plain file.
    """
    account = find_account(root, user)
    folder = account.home.rstrip("/") + "/.ssh"
    name = folder + "/authorized_keys"
    try:
        with root.parent(name, links=False) as (handle, last):
            old: Optional[File] = read_file(handle, last, MAX_FILE, owner=account.owner[0])
    except FileNotFoundError:
        old = None
    before = [] if old is None else lines_of(old.data)
    after = with_keys(before, keys)
    if before == after:
        return False
    if not write:
        return True
    with root.parent(folder, links=False) as (handle, last):
        make_folder(handle, last, account.owner)
    with root.parent(name, links=False) as (handle, last):
        text = "".join(line + "\n" for line in after)
        mode = 0o600 if old is None else old.mode
        replace_file(handle, last, File(text.encode("latin-1"), mode), account.owner)
    return True


def make_folder(parent: int, name: str, owner: Tuple[int, int]) -> None:
    """Make a private folder in a user's folder, unless something has that name."""
    try:
        os.mkdir(name, 0o700, dir_fd=parent)
    except FileExistsError:
        return
    # By its descriptor: the user may move a file of root's into its place. One that is
    # not root's is another one than ours.
    handle = os.open(name, FOLDER_FLAGS, dir_fd=parent)
    try:
        if os.fstat(handle).st_uid == os.geteuid():
            os.fchown(handle, owner[0], owner[1])
    finally:
        os.close(handle)


class Run:
    """One run of the program: its options and the report that it fills."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.root = Root(args.root)
        if args.verify:
            # The sandbox of its unit mounts /etc read-only too: the last run decided.
            self.root.volatile = self.root.volatile and os.path.exists(VOLATILE_STATE)
        self.writes = not (args.dry_run or args.check or args.verify)
        #: The host, once it was asked for a record; it gets the result.
        self.host: Optional[Host] = None
        #: The NICs whose settings are compared with the kernel.
        self.bound: List[Bound] = []
        #: The document that --json prints.
        self.report: Dict[str, Any] = {
            "status": "nothing",
            "source": None,
            "form": None,
            "backend": None,
            "hostname": None,
            "nics": [],
            "files": [],
            "commands": [],
            "verified": None,
            "problems": [],
            "notes": [],
            "error": None,
        }

    @property
    def notes(self) -> List[str]:
        """The remarks of the report."""
        found: List[str] = self.report["notes"]
        return found

    def go(self) -> int:
        """Do the action of the command line; returns the exit code."""
        if sys.platform.startswith("win"):
            raise NotSupportedError("Windows is not supported: cloudbase-init reads the host there")
        if self.args.verify:
            act = self.verify_last
        elif self.args.clean:
            act = self.clean
        else:
            act = self.roll_back if self.args.rollback else self.configure
        if not self.writes:
            return act()
        with locked(self.root):
            self.root.sweep()
            return act()

    def configure(self) -> int:
        """Read the record, write its files, and compare the kernel with it."""
        reason = cloud_init_reason(self.root)
        if reason:
            self.report["status"] = "stood-aside"
            self.notes.append(reason + ": cloud-init configures the network, vimguest does not")
            return 0
        if self.root.exists("/usr/bin/cloud-init"):
            self.notes.append(
                "cloud-init is installed, but disabled or configured to leave the network alone:"
                " vimguest configures it"
            )
        state = self.load_state()
        owner, stale = self.identify(state)
        config = self.read()
        if config is None and stale is None:
            return 0
        config = config or Config(None, ())
        if stale is not None:
            self.notes.append("the files of another machine (a captured image) are removed first")
            state = State((), {})
        bound = self.bind(config, state)
        self.report["hostname"] = config.hostname
        wanted: Dict[str, File] = {}
        if bound:
            backend = self.args.backend or find_backend(self.root)
            self.report["backend"] = backend
            if backend in ("ifupdown", "ifupdown-ng"):
                if self.root.volatile:
                    raise RefusedError("/etc is read-only, and ifupdown reads no other folder")
                check_ifupdown(self.root, bound, self.notes)
            note = resolver_note(self.root, backend, bound)
            if note and self.root.live:
                self.notes.append(note)
            wanted = render(self.root, backend, bound)
        self.bound = bound
        changes, problems = plan(self.root, wanted, config, stale, self.notes)
        for problem in problems:
            self.problem(problem)
        if state.pending and self.root.live:
            changes = again(changes, wanted)
        after = state._replace(
            nics=tuple(one.nic for one in bound) or state.nics,
            identity=owner,
            backend=self.report["backend"] or state.backend,
            users=merged([user for user, _ in config.ssh_keys or ()], state.users),
        )
        code = self.finish(changes, state, after, "unchanged" if wanted else "nothing", stale)
        code = max(code, self.grant(config, state, stale))
        if code == 0 and self.writes and bound:
            code = self.verify(VERIFY_SECONDS)
        return 5 if code == 0 and self.writes and self.report["problems"] else code

    def identify(self, state: State) -> Tuple[Identity, Optional[State]]:
        """The identity of this machine, and the state if it is of another one.

        Early in a boot some NICs may be missing: another identity has to last.
        """
        deadline = time.monotonic() + (NIC_WAIT if self.root.live and self.writes else 0)
        while True:
            owner = find_identity(self.root, find_nics(self.root))
            if state.machine is None or not state.machine.is_other(owner):
                return owner, None
            if time.monotonic() >= deadline or state.machine.uuid != owner.uuid:
                return owner, state
            time.sleep(0.25)

    #: The start of the record's SHA-256: it lets the host see which record was applied.
    digest: Optional[str] = None

    def read(self) -> Optional[Config]:
        """The host's record, None where it has none."""
        tools = find_tools()
        if not tools:
            self.notes.append("none of {} is on PATH".format(", ".join(TOOLS)))
            return None
        host = Host(tools)
        record = read_record(host, self.args.allow_guestinfo, self.notes)
        self.host = host
        if record is None:
            sources = "machine.id" + " or guestinfo.vimguest" * self.args.allow_guestinfo
            self.notes.append("the host has no record in {}".format(sources))
            return None
        self.report["source"], text = record
        self.digest = hashlib.sha256(text.strip(" \t\r\n\0").encode("utf-8")).hexdigest()[:16]
        self.report["form"], config = parse(text)
        if self.report["source"] != "machine.id":
            if config.ssh_keys:
                raise RefusedError(
                    "ssh_keys are accepted from machine.id only: no guest process sets it"
                )
            # Nor may a guest process remove those that machine.id brought.
            config = config._replace(ssh_keys=None)
        nics, notes = place_dns(config.nics)
        self.notes.extend(list(config.notes) + notes)
        return config._replace(nics=tuple(nics))

    def bind(self, config: Config, state: State) -> List[Bound]:
        """The NICs to configure, waiting a little for those that are missing.

        A NIC that the record leaves alone keeps the settings of the last run.
        """
        deadline = time.monotonic() + (NIC_WAIT if self.root.live and self.writes else 0)
        while True:
            bound, rows = bind(config, find_nics(self.root))
            missing = [row for row in rows if row["action"] == "no-nic"]
            if not missing or time.monotonic() >= deadline:
                break
            time.sleep(0.25)
        self.report["nics"] = rows
        for row in missing:
            self.notes.append("no NIC has the address {}; its record is skipped".format(row["mac"]))
        for mac in (row["mac"] for row in rows if row["action"] == "ambiguous"):
            self.notes.append("several NICs have the address {}; it is skipped".format(mac))
        if all(one.nic.silent for one in bound):
            # Not even our own files are touched.
            return []
        last = {nic.mac: nic for nic in state.nics}
        # In the record's order: it decides the metrics of the default routes.
        found = [
            one._replace(nic=last.get(one.nic.mac, one.nic)) if one.nic.silent else one
            for one in bound
        ]
        kept = [one.nic for one, new in zip(found, bound) if new.nic.silent]
        named = [one.nic for one in bound]
        # The record may give an address to another NIC that a kept one has.
        if set(shared_addresses(kept + named)) - set(
            shared_addresses(kept) + shared_addresses(named)
        ):
            raise InvalidRecordError("two NICs with one address")
        return [one for one in found if not one.nic.silent]

    def load_state(self) -> State:
        """The state of the last run."""
        file = self.root.load(STATE)
        return State((), {}) if file is None else State.unpack(file.data)

    def roll_back(self) -> int:
        """Restore the files as they were before the last run."""
        state = self.load_state()
        found = [
            Change(name, self.root.load(name), file)
            for name, file in sorted(state.previous.items())
        ]
        changes = [change for change in found if change.old != change.new]
        after = state._replace(
            nics=state.previous_nics, previous={}, previous_nics=(), pending=False
        )
        code = self.finish(changes, state, after, "nothing", None, keep=False)
        if not changes:
            self.notes.append("there is nothing to roll back")
        elif self.writes:
            self.report["status"] = "rolled-back"
        return code

    def clean(self) -> int:
        """Remove everything that was ever written, for the capture of an image.

        No command is run: the running network stays as it is.
        """
        state = self.load_state()
        goal = leftovers(self.root, state, self.notes)
        found = [Change(name, self.root.load(name), file) for name, file in sorted(goal.items())]
        changes = [change for change in found if change.old != change.new]
        last = self.root.load(STATE)
        if last is not None:
            changes.append(Change(STATE, last, None))
        self.list_files(changes)
        rows = self.revoke(state.users)
        if not changes and not rows:
            return 0
        if not self.writes:
            return self.would_change(changes)
        for change in changes:
            self.root.ensure(change.name, change.new)
        self.report["status"] = "cleaned"
        return 0

    def list_files(self, changes: Sequence[Change]) -> None:
        """Put the changes into the report."""
        self.report["files"] += [
            {"path": change.name, "action": "remove" if change.new is None else "write"}
            for change in changes
        ]

    def would_change(self, changes: Sequence[Change]) -> int:
        """End a run that writes nothing; returns the exit code."""
        self.report["status"] = "would-change"
        if self.args.dry_run:
            for row, change in zip(self.report["files"], changes):
                row["diff"] = diff(change)
        return 1 if self.args.check else 0

    def finish(
        self,
        changes: List[Change],
        state: State,
        after: State,
        same: str,
        stale: Optional[State],
        keep: bool = True,
    ) -> int:
        """Make the changes, or list them; returns the exit code."""
        self.list_files(changes)
        if not changes:
            self.report["status"] = same
            # The last run may have been killed before it marked its end.
            done = after._replace(pending=False)
            begun = same == "unchanged" or state.pending or after.users != state.users
            if self.writes and begun and done != state:
                self.root.save(STATE, done.pack())
            return 0
        if not self.writes:
            return self.would_change(changes)
        previous = {change.name: change.old for change in changes} if keep else {}
        if stale is not None:
            # A rollback leads to the image, not to the other machine.
            image = leftovers(self.root, stale, [])
            previous = {name: image.get(name, file) for name, file in previous.items()}
        elif keep and state.pending:
            # The files before the killed run, not those that it left half done.
            previous.update(state.previous)
        before_nics = state.previous_nics if state.pending else state.nics
        origin_files = dict(after.origin or {})
        for change in changes:
            if change.name == HOSTNAME and stale is None and keep:
                origin_files.setdefault(HOSTNAME, change.old)
            elif change.name == HOSTNAME and stale is not None:
                origin_files[HOSTNAME] = (stale.origin or {}).get(HOSTNAME)
        after = after._replace(
            previous=previous, previous_nics=before_nics, pending=True, origin=origin_files
        )
        self.make(changes, state, after)
        self.report["status"] = "changed"
        return 0

    def make(self, changes: List[Change], state: State, after: State) -> None:
        """Write, apply, and save the state; on failure undo all of it.

        Raises:
            ApplyError: With the failure, and whether undoing failed too.
        """
        old_state = self.root.load(STATE)
        name = socket.gethostname()
        # A rollback that is killed must still find the files that it restores.
        during = after if after.previous else state._replace(pending=True)
        try:
            self.root.save(STATE, during.pack())
            self.write(changes)
            self.root.save(STATE, after._replace(pending=False).pack())
        except (OSError, CommandError, RefusedError) as exc:
            try:
                self.write(invert(changes), undo=True)
                if self.root.live and socket.gethostname() != name:
                    # The old file may have held another name than the one in use.
                    socket.sethostname(name)
                self.root.ensure(STATE, old_state)
            except (OSError, CommandError, RefusedError) as second:
                raise ApplyError(
                    "{}; and undoing that failed: {}. Try --rollback.".format(exc, second)
                ) from None
            raise ApplyError("{}; rolled back".format(exc)) from None

    def write(self, changes: Sequence[Change], undo: bool = False) -> None:
        """Write the files and apply them."""
        before, after = commands(self.root, changes, undo) if self.root.live else ([], [])
        for argv in before:
            # A NIC may fail to go down; it is configured all the same.
            self.command(argv, must=False)
        for change in changes:
            try:
                self.root.ensure(change.name, change.new)
            except OSError as exc:  # noqa: PERF203
                # Immutable, or a file system of its own is mounted on it.
                if undo or is_owned(change.name) or exc.errno not in (errno.EPERM, errno.EBUSY):
                    raise
                self.problem(unwritten(change.name, exc))
        for change in changes:
            if self.root.live and change.name == HOSTNAME and change.new is not None:
                socket.sethostname(change.new.data.decode("ascii").strip())
            if (
                self.root.live
                and change.old is None
                and self.root.exists("/sys/fs/selinux/enforce")
            ):
                # A new file has the label of its folder; the policy may want another.
                with contextlib.suppress(CommandError):
                    self.command(["restorecon", change.name], must=False)
        if undo:
            # The other NICs come back, whichever command fails.
            failed = [exc for exc in map(self.failure, after) if exc is not None]
            if failed:
                raise failed[0]
            return
        for argv in after:
            self.command(argv, must=True)

    def failure(self, argv: List[str]) -> Optional[CommandError]:
        """Run one command and report it; returns its failure, None where it succeeded."""
        try:
            self.command(argv, must=True)
        except CommandError as exc:
            return exc
        return None

    def command(self, argv: List[str], must: bool) -> None:
        """Run one command and report it."""
        ran = run_command(argv, COMMAND_SECONDS, COMMAND_OUTPUT)
        self.report["commands"].append({"argv": argv, "code": ran.code})
        if ran.code and must:
            text = (ran.err or ran.out).decode("ascii", "replace").strip()
            raise CommandError("{} failed: {}".format(" ".join(argv), shown(text[-70:])))

    def grant(self, config: Config, state: State, stale: Optional[State]) -> int:
        """Write the SSH keys of the record; returns the exit code.

        Only our own JSON form can have keys: there, a user whom the record no
        longer names loses those of the last one.
        """
        keys = dict(config.ssh_keys or ())
        last = state.users if stale is None else stale.users
        if config.ssh_keys is None and stale is None:
            last = ()
        gone = self.revoke([user for user in last if user not in keys])
        rows: List[Dict[str, str]] = []
        code = 0
        for user, lines in keys.items():
            try:
                if save_keys(self.root, user, lines, self.writes):
                    rows.append({"path": "authorized_keys of " + user, "action": "write"})
            except (RefusedError, OSError) as exc:  # noqa: PERF203
                self.problem(Problem(None, "SSH keys of " + user, "written", str(exc), None))
                code = 5
        self.report["files"] += rows
        rows += gone
        if rows and self.report["status"] in ("unchanged", "nothing"):
            self.report["status"] = "changed" if self.writes else "would-change"
        if rows and self.args.check:
            return 1
        return code

    def revoke(self, users: Sequence[str]) -> List[Dict[str, str]]:
        """Remove the SSH keys that an earlier record brought; a report row for each user."""
        rows = []
        for user in users:
            try:
                if save_keys(self.root, user, (), self.writes):
                    rows.append({"path": "authorized_keys of " + user, "action": "write"})
            except (RefusedError, OSError) as exc:  # noqa: PERF203
                self.notes.append("SSH keys of {} stay: {}".format(user, exc))
        self.report["files"] += rows
        return rows

    def problem(self, problem: Problem) -> None:
        """Put a difference into the report."""
        self.report["problems"].append(dict(problem._asdict()))

    def verify_last(self) -> int:
        """Compare the machine with the last record that was applied."""
        while True:
            self.kept = self.root.load(STATE)
            code = self.verify_state(self.load_state())
            if not self.outdated():
                return code
            # The host shall have the result of the newer record.
            self.report.update(problems=[], verified=None, notes=[])

    #: The state that --verify compares with.
    kept: Optional[File] = None

    def outdated(self) -> bool:
        """Whether another run has applied a record since --verify has read the state."""
        return self.args.verify and self.root.load(STATE) != self.kept

    def verify_state(self, state: State) -> int:
        """Compare the machine with the record of a state."""
        config = self.read()
        self.report["backend"] = state.backend
        nics = find_nics(self.root)
        self.bound, self.report["nics"] = bind(Config(None, state.nics), nics)
        if not state.nics:
            self.notes.append("no record was applied on this machine")
            return 0
        known = {nic.mac for nic in state.nics}
        for nic in () if config is None else config.nics:
            if not nic.silent and nic.mac not in known and nic.mac is not None:
                self.notes.append("the record for {} was not applied yet".format(nic.mac))
        self.report["status"] = "unchanged"
        return self.verify(VERIFY_BOOT_SECONDS)

    def awaits_service(self, backend: Optional[str]) -> bool:
        """Whether the network service runs, after waiting for one that was restarted.

        `netplan apply` stops the service that runs and starts it again in a job of its own: in
        between the service is inactive.
        """
        restarts = any(row["argv"] == NETPLAN_APPLY for row in self.report["commands"])
        deadline = time.monotonic() + (VERIFY_RESTART_SECONDS if restarts else 0)
        while not service_runs(self.root, backend):
            if time.monotonic() >= deadline:
                return False
            time.sleep(VERIFY_PAUSE)
        return True

    def verify(self, seconds: float) -> int:
        """Compare the machine with the record until they agree or time is up.

        Returns 0 where they agree, or where no service runs yet and a later
        run has to compare; 5 where they differ.
        """
        backend = self.report["backend"]
        if not self.root.live or not (self.args.verify or self.awaits_service(backend)):
            return 0
        deadline = time.monotonic() + seconds
        patience = time.monotonic() + VERIFY_RESOLVER_SECONDS
        while True:
            found = compare(self.root, self.bound, read_kernel())
            names = {one.nic.mac: one for one in self.bound}
            blamed = [
                one
                if one.file is not None or one.mac not in names
                else one._replace(
                    file=winner(self.root, backend, names[one.mac].name, names[one.mac].nic)
                )
                for one in found
            ]
            # Where another file was applied, waiting does not help.
            known = [None] if time.monotonic() > patience else [None, RESOLV]
            settled = blamed and all(one.file not in known for one in blamed)
            if not found or settled or time.monotonic() >= deadline or self.outdated():
                break
            time.sleep(VERIFY_PAUSE)
        for one in blamed:
            self.problem(one)
        self.report["verified"] = not blamed
        if blamed:
            self.report["status"] = "overruled"
        return 5 if blamed else 0

    def publish(self, code: int) -> None:
        """Send the result to the host, where it was asked and this is its guest."""
        if self.host is None or not self.root.live or self.args.dry_run or self.args.check:
            return
        if not self.host.tell("guestinfo.vimguest.status", status_text(self.report, self, code)):
            self.notes.append("the host did not accept guestinfo.vimguest.status")
            return
        if self.report["verified"] is None:
            return
        for key, address in zip(("local-ipv4", "local-ipv6"), local_addresses(read_kernel())):
            self.host.tell("guestinfo." + key, "" if address is None else str(address))


def local_addresses(kernel: Kernel) -> List[Optional[Address]]:
    """An IPv4 and an IPv6 address of the NIC with the best default route, as cloud-init has them."""
    found: List[Optional[Address]] = []
    for version, everywhere in EVERYWHERE.items():
        routes = [one for one in kernel.routes if one.to == everywhere]
        best = min(routes, key=lambda one: one.metric) if routes else None
        own = [
            one.interface.ip
            for one in kernel.addresses
            if one.is_global
            and one.usable
            and one.interface.version == version
            and not one.interface.ip.is_loopback
            and (best is None or one.link == best.link)
        ]
        found.append(own[0] if own else None)
    return found


def status_text(report: Dict[str, Any], run: Run, code: int) -> str:
    """The document of ``guestinfo.vimguest.status``: JSON, version 1, at most 4 KiB.

    Lists are cut from their ends until it fits; ``cut`` marks that.
    """
    nics = []
    for name, nic in run.bound:
        own = [str(interface) for interface in nic.addresses]
        nics.append({"mac": nic.mac, "interface": name, "addresses": own})
    if report["verified"] is not None:
        found = read_kernel().addresses
        for row in nics:
            index = first_line(run.root, "{}/{}/ifindex".format(SYSFS, row["interface"]))
            row["addresses"] = [
                str(one.interface) for one in found if str(one.link) == index and one.usable
            ]
    document: Dict[str, Any] = {
        "version": 1,
        "program": __version__,
        "boot": run.root.text("/proc/sys/kernel/random/boot_id").strip() or None,
        "record": run.digest,
        "status": report["status"],
        "code": code,
        "verified": report["verified"],
        "backend": report["backend"],
        "nics": nics,
        "problems": [
            {key: None if value is None else shorten(value) for key, value in row.items()}
            for row in report["problems"][:MAX_LIST]
        ],
        "notes": [shorten(note) for note in report["notes"][:MAX_LIST]],
        "error": None
        if report["error"] is None
        else {key: shorten(value) for key, value in report["error"].items()},
    }
    if max(len(report["problems"]), len(report["notes"])) > MAX_LIST:
        document["cut"] = True
    while True:
        text = json.dumps(document, separators=(",", ":"))
        if len(text) <= MAX_STATUS:
            return text
        document["cut"] = True
        longest = max(("notes", "problems", "nics"), key=lambda key: len(str(document[key])))
        document[longest] = document[longest][:-1]


def shorten(text: str) -> str:
    """At most 200 printable characters."""
    clean = plain(text)
    return clean if len(clean) <= 200 else clean[:197] + "..."


def diff(change: Change) -> str:
    """A unified diff of a change; of long files only their lengths."""
    sizes = [len(file.data) if file else 0 for file in (change.old, change.new)]
    if max(sizes) > MAX_DIFF:
        return "{}: {} bytes become {}\n".format(change.name, sizes[0], sizes[1])
    sides = [
        escaped(file.data).splitlines(True) if file else [] for file in (change.old, change.new)
    ]
    names = ["/dev/null" if file is None else change.name for file in (change.old, change.new)]
    return "".join(difflib.unified_diff(sides[0], sides[1], names[0], names[1]))


def escaped(data: bytes) -> str:
    """Bytes of a foreign file for a terminal: printable ASCII, all else by its number."""
    return re.sub(
        r"[^\n -~]", lambda found: "\\x{:02x}".format(ord(found.group())), data.decode("latin-1")
    )


@contextlib.contextmanager
def locked(root: Root) -> Iterator[None]:
    """One run at a time on one tree.

    On the running machine the lock is a file in a folder that only root can
    open: any user could hold a lock on a public one. In an image's tree it is
    the folder itself, so nothing is made there.

    Raises:
        RefusedError: Another run has held it for a minute.
    """
    import fcntl  # missing on Windows

    handle = open_lock(LOCK) if root.live else os.open(root.folder, FOLDER_FLAGS)
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as exc:
                if exc.errno not in (errno.EAGAIN, errno.EACCES):
                    raise
                if time.monotonic() >= deadline:
                    raise RefusedError("another run of vimguest has not ended; try again") from None
                time.sleep(0.2)
        yield
    finally:
        os.close(handle)


def open_lock(name: str) -> int:
    """Open the lock file, in a folder that belongs to us and is closed to others.

    Raises:
        RefusedError: Somebody else has made the folder.
    """
    folder = os.path.dirname(name)
    with contextlib.suppress(FileExistsError):
        os.mkdir(folder, 0o700)
    status = os.lstat(folder)
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o077:
        raise RefusedError("{} is not a private folder; remove it".format(folder))
    return os.open(name, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def print_report(report: Dict[str, Any]) -> None:
    """The report for people."""
    where = " from {} ({})".format(report["source"], report["form"]) if report["source"] else ""
    backend = " by {}".format(report["backend"]) if report["backend"] else ""
    print("vimguest: {}{}{}".format(report["status"], where, backend))
    for row in report["nics"]:
        print(plain("  {} {}: {}".format(row["mac"], row["interface"] or "-", row["action"])))
    for row in report["files"]:
        print(plain("  {} {}".format(row["action"], row["path"])))
        if "diff" in row:
            print(row["diff"], end="")
    for row in report["commands"]:
        print(plain("  ran {} ({})".format(" ".join(row["argv"]), row["code"])))
    if report["verified"]:
        print("  verified: the kernel and the resolver are as the record has them")
    for row in report["problems"]:
        print(plain("  problem: {}".format(Problem(**row))))
    for text in report["notes"]:
        print(plain("  {}".format(text)))


def parse_args(argv: Optional[Sequence[str]]) -> argparse.Namespace:
    """The command line; a wrong one ends the program with 2."""
    parser = argparse.ArgumentParser(
        prog="vimguest", description="Configure this guest's network from its ESX host's record."
    )
    parser.add_argument("--backend", choices=BACKENDS, help="the network service to write for")
    parser.add_argument("--root", metavar="DIR", help="an image's tree to write below")
    parser.add_argument("--dry-run", action="store_true", help="print diffs, write nothing")
    parser.add_argument("--check", action="store_true", help="exit 1 if something would change")
    act = parser.add_mutually_exclusive_group()
    act.add_argument(
        "--rollback", action="store_true", help="restore the files before the last run"
    )
    act.add_argument("--clean", action="store_true", help="remove every trace, before a capture")
    act.add_argument("--verify", action="store_true", help="compare the kernel with the record")
    parser.add_argument(
        "--allow-guestinfo",
        action="store_true",
        help="read guestinfo.vimguest too, which any process in the guest can set",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--version", action="version", version=__version__)
    args = parser.parse_args(argv)
    if args.root is not None and not os.path.isdir(args.root):
        parser.error("--root {} is not a folder".format(ascii(args.root)))
    if args.verify and (args.root is not None or args.dry_run or args.check):
        parser.error("--verify reads the running kernel: use it without --root and --check")
    return args


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run the program; returns the exit code."""
    args = parse_args(argv)
    run = Run(args)
    try:
        code = run.go()
    except (VimguestError, OSError) as exc:
        code = exc.code if isinstance(exc, VimguestError) else RefusedError.code
        text = "{}. Run it as root.".format(exc) if isinstance(exc, PermissionError) else str(exc)
        fail(run.report, exc, plain(text))
    except Exception as exc:  # noqa: BLE001
        # Python's own exit code for it is 1, which means "would change" here.
        traceback.print_exc()
        code = RefusedError.code
        fail(run.report, exc, "internal error: {}".format(shown(str(exc))))
    with contextlib.suppress(OSError):
        run.publish(code)
    try:
        if args.json:
            print(json.dumps(run.report))
        elif run.report["error"] is None:
            print_report(run.report)
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        # Nobody reads it, or the disk is full: the exit code counts, and Python would replace it.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.close(nowhere)
    return code


def fail(report: Dict[str, Any], exc: Exception, text: str) -> None:
    """Put an error into the report and on stderr."""
    report["status"] = "failed" if isinstance(exc, ApplyError) else "refused"
    report["error"] = {"type": type(exc).__name__, "message": text}
    print("vimguest: {}: {}".format(report["status"], text), file=sys.stderr)


def script() -> None:
    """The entry point of the zipapp, which drops the value that ``main`` returns."""
    sys.exit(main())


if __name__ == "__main__":
    script()
