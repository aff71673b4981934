#!/usr/bin/env python3
"""Configure a guest's network from what its ESX host says about it.

The host's side sets ``machine.id`` (or ``guestinfo.vimguest``) on the virtual
machine; this reads it through VMware's tools, checks every byte of it, writes
the files of the network service in use, and has that service take them up.
``guest/README.md`` holds the forms that are understood and what goes where.

One file, standard library only, Python 3.6 and on. Top to bottom: errors,
values, the forms of a record, transport, files, NICs, back ends, detection,
the run. Everything down to "transport" is pure.

Errors, and the exit code that each one leads to::

    VimguestError
    +-- RefusedError             3  nothing was written
    |   +-- InvalidRecordError      the record breaks its form's rules
    |   +-- UnknownVersionError     a form that this version does not know
    |   +-- TransportError          the tools are there but gave no clear answer
    |   +-- NotSupportedError       asked for something that is not there yet
    +-- ApplyError               4  writing or applying failed; rolled back

0 is done or nothing to do, 1 is ``--check`` that would change something, 2 is
a usage error.
"""

import argparse
import base64
import binascii
import contextlib
import difflib
import errno
import fnmatch
import glob
import ipaddress
import json
import os
import re
import selectors
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
import uuid
import zlib
from typing import (
    Any,
    Callable,
    Dict,
    Iterator,
    List,
    NamedTuple,
    NoReturn,
    Optional,
    Sequence,
    Tuple,
    Union,
)

__version__ = "1.0"

TOOLS = ("vmtoolsd", "vmware-rpctool", "vmware-guestd")
BACKENDS = ("netplan", "networkmanager", "networkd", "ifupdown")
# Searched after PATH: a shell of a plain user has no sbin in it.
SYSTEM_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"

# A record for vSphere's ten NICs is below 4 KiB; guestinfo itself ends at 64 KiB.
MAX_RECORD = 64 * 1024
MAX_JSON = 256 * 1024
MAX_NICS = 32
MAX_LIST = 64
# One RPC to the host takes milliseconds; a tool that has not said a word by
# then is stuck, and a boot must not be.
READ_SECONDS = 10.0
READ_ATTEMPTS = 3
READ_PAUSE = 0.5
READ_DEADLINE = 20.0
COMMAND_SECONDS = 90.0
COMMAND_OUTPUT = 1024 * 1024
NIC_WAIT = 5.0
# The kernel's default metric is 0 for IPv4 and 1024 for IPv6: a second default
# route stands behind the first in both.
SECOND_GATEWAY_METRIC = 1124

STATE = "/var/lib/vimguest/state.json"
HOSTNAME = "/etc/hostname"
NETPLAN = "/etc/netplan/90-vimguest.yaml"
KEYFILES = "/etc/NetworkManager/system-connections"
NETWORKD = "/etc/systemd/network"
INTERFACES = "/etc/network/interfaces"
IFUPDOWN = "/etc/network/interfaces.d/vimguest"
# The only files that are ever written or removed (and STATE).
OWNED = (
    re.escape(NETPLAN),
    KEYFILES + r"/vimguest-[0-9a-f]{12}\.nmconnection",
    NETWORKD + r"/05-vimguest-[0-9a-f]{12}\.network",
    re.escape(IFUPDOWN),
)
MARK = "# Written by vimguest from the host's record. Changes are lost."

IPv4 = ipaddress.IPv4Address
IPv6 = ipaddress.IPv6Address
Address = Union[ipaddress.IPv4Address, ipaddress.IPv6Address]
Interface = Union[ipaddress.IPv4Interface, ipaddress.IPv6Interface]
Network = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]


# --- errors -------------------------------------------------------------------


class VimguestError(Exception):
    """What every declared error of this program is."""

    code = 3


class RefusedError(VimguestError):
    """Nothing was written."""


class InvalidRecordError(RefusedError):
    """The record breaks the rules of its form."""


class UnknownVersionError(RefusedError):
    """The record is of a form or version that this program does not know."""


class TransportError(RefusedError):
    """VMware's tools are there, but gave no clear answer."""


class NotSupportedError(RefusedError):
    """Something that is not there yet was asked for."""


class ApplyError(VimguestError):
    """Writing or applying failed; what was there before is back."""

    code = 4


def shown(text: str) -> str:
    """Untrusted text for a message: ASCII, quoted, short."""
    quoted = ascii(text)
    return quoted if len(quoted) <= 80 else quoted[:76] + "...'"


# --- values -------------------------------------------------------------------
# Nothing of a record reaches a file as it came: each value becomes an object
# here, and what is written is that object printed.


class Route(NamedTuple):
    """A route to ``to`` by way of ``via``; metric None is the system's own."""

    to: Network
    via: Address
    metric: Optional[int] = None


class Nic(NamedTuple):
    """What the host says about one NIC. A mac of None means the only NIC."""

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
        """Whether nothing is said of its addresses, so that it is left alone."""
        return not (self.addresses or self.dhcp4 or self.dhcp6)


class Config(NamedTuple):
    """One whole record."""

    hostname: Optional[str]
    nics: Tuple[Nic, ...]


def parse_mac(text: str) -> str:
    """``00-50-56-AA-BB-CC`` or with colons, as lower case with colons."""
    if not re.fullmatch(r"[0-9A-Fa-f]{2}([:-])(?:[0-9A-Fa-f]{2}\1){4}[0-9A-Fa-f]{2}", text):
        raise InvalidRecordError("{} is not a MAC address".format(shown(text)))
    return text.lower().replace("-", ":")


def parse_address(text: str) -> Address:
    """A host's address, canonical IPv4 or any spelling of IPv6, without a zone."""
    # ipaddress takes zones on IPv6 (a way in for any text), and, up to 3.9,
    # leading zeros on IPv4 that other readers take for octal.
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


def parse_netmask(text: str) -> int:
    """The prefix length of a dotted netmask; ipaddress would take a hostmask too."""
    for bits in range(1, 33):
        if text == str(ipaddress.IPv4Network((0, bits)).netmask):
            return bits
    raise InvalidRecordError("{} is not a netmask".format(shown(text)))


def make_interface(address: Address, prefix: int) -> Interface:
    """An address in its network, refused where it is the network's own name."""
    made = ipaddress.ip_interface("{}/{}".format(address, prefix))
    ends = (made.network.network_address, made.network.broadcast_address)
    if made.version == 4 and prefix < 31 and made.ip in ends:
        raise InvalidRecordError("{} is its network's own or broadcast address".format(made))
    return made


def parse_interface(text: str) -> Interface:
    """``10.0.0.2/24`` or ``2001:db8::2/64``."""
    head, slash, tail = text.partition("/")
    if not slash:
        raise InvalidRecordError("{} has no prefix length, as in 10.0.0.2/24".format(shown(text)))
    address = parse_address(head)
    return make_interface(address, parse_prefix(tail, address.max_prefixlen))


def parse_network(text: str) -> Network:
    """The destination of a route; the default route is a gateway, not this."""
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


def check_nic(nic: Nic) -> Nic:
    """Refuse what does not hold together; returns the NIC."""
    own = [interface.ip for interface in nic.addresses]
    if len(set(own)) != len(own):
        raise InvalidRecordError("NIC {} has one address twice".format(nic.mac))
    if nic.silent and (nic.gateway4 or nic.gateway6 or nic.routes or nic.mtu):
        raise InvalidRecordError("NIC {} has settings but no address and no DHCP".format(nic.mac))
    for version, gateway in ((4, nic.gateway4), (6, nic.gateway6)):
        if gateway is None:
            continue
        if not any(address.version == version for address in own):
            raise InvalidRecordError("gateway {} needs an IPv{} address".format(gateway, version))
    vias = [route.via for route in nic.routes]
    for via in [gateway for gateway in (nic.gateway4, nic.gateway6) if gateway] + vias:
        if via in own:
            raise InvalidRecordError("{} is both gateway and own address".format(via))
    for route in nic.routes:
        if route.to.version != route.via.version:
            raise InvalidRecordError("route to {} by way of {}".format(route.to, route.via))
        if not has_family(nic, route.to.version):
            raise InvalidRecordError("route to {} needs an address to leave from".format(route.to))
    if nic.mtu is not None and nic.mtu < 1280 and has_family(nic, 6):
        raise InvalidRecordError("IPv6 needs an MTU of 1280 or more, not {}".format(nic.mtu))
    return nic


def has_family(nic: Nic, version: int) -> bool:
    """Whether the NIC is given an address of that IP version."""
    if nic.dhcp4 if version == 4 else nic.dhcp6:
        return True
    return any(interface.version == version for interface in nic.addresses)


def check_config(config: Config) -> Config:
    """Refuse what does not hold together between NICs; returns the config."""
    if len(config.nics) > MAX_NICS:
        raise InvalidRecordError("{} NICs; {} is the limit".format(len(config.nics), MAX_NICS))
    macs = [nic.mac for nic in config.nics]
    if len(set(macs)) != len(macs):
        raise InvalidRecordError("two records for one MAC address")
    addresses = [interface.ip for nic in config.nics for interface in nic.addresses]
    # A link-local address is unique to its link only.
    routable = [address for address in addresses if not address.is_link_local]
    if len(set(routable)) != len(routable):
        raise InvalidRecordError("two NICs with one address")
    return config


# --- the forms of a record ----------------------------------------------------


def parse(text: str) -> Tuple[str, Config]:
    """Read a record of any known form.

    Returns the form's name (``nova``, ``original``, ``labmanager`` or ``v1``)
    and what it says.

    Raises:
        InvalidRecordError: It breaks its form's rules; nothing of it may be used.
        UnknownVersionError: A newer version, or no form that is known.
        NotSupportedError: It asks for something that is not there yet.
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
    if not all(0x20 <= ord(character) < 0x7F for character in text):
        raise InvalidRecordError("control or non-ASCII characters in the record")
    if ";" in text:
        return parse_records(text)
    if "=" in text:
        return "labmanager", parse_labmanager(text)
    raise UnknownVersionError(
        "{} is in no form that is known. See README.md for those.".format(shown(text))
    )


def parse_records(text: str) -> Tuple[str, Config]:
    """Nova's records, each ``mac;ip;netmask;gateway;broadcast;dns#``, or the first ones.

    The driver of 2011 sent one record of the first four fields. Fields may be
    empty; dns may be several, by commas.
    """
    rows = text.split("#")
    if rows[-1] == "" and len(rows) > 1:
        rows.pop()
    widths = {len(row.split(";")) for row in rows}
    if widths == {6}:
        form = "nova"
    elif widths == {4}:
        form = "original"
    else:
        raise InvalidRecordError("a record must have six fields, or four as in 2011")
    nics = tuple(parse_record(row.split(";")) for row in rows)
    return form, check_config(Config(None, nics))


def parse_record(fields: Sequence[str]) -> Nic:
    """One NIC of nova's records."""
    mac, ip, netmask, gateway, broadcast, dns = tuple(fields) + ("",) * (6 - len(fields))
    servers = dns.split(",") if dns else []
    if len(servers) > MAX_LIST:
        raise InvalidRecordError("{} dns; {} is the limit".format(len(servers), MAX_LIST))
    nic = Nic(
        parse_mac(mac),
        gateway4=parse_ipv4(gateway) if gateway else None,
        dns=tuple(parse_ipv4(server) for server in servers),
    )
    prefix = parse_netmask(netmask) if netmask else None
    # nova prints Python's None for a network too small to have a broadcast
    # address. Every service derives it from the network; it is only checked.
    if broadcast not in ("", "None"):
        parse_dotted(broadcast)
    if not ip:
        # nova still names the subnet of a NIC that has no address in it.
        return Nic(nic.mac)
    if prefix is None:
        raise InvalidRecordError("{} has no netmask".format(shown(ip)))
    return check_nic(nic._replace(addresses=(make_interface(parse_ipv4(ip), prefix),)))


def parse_dotted(text: str) -> None:
    """Refuse what is not four decimal numbers, the broadcast address of all ones included."""
    try:
        if str(ipaddress.IPv4Address(text)) == text:
            return
    except ValueError:
        pass
    raise InvalidRecordError("{} is not an IPv4 address".format(shown(text)))


def parse_labmanager(text: str) -> Config:
    """Lab Manager's ``ip=..&netmask=..&gateway=..&dns1=..&computerName=..``.

    It says no MAC address, so it is for a machine with one NIC. Other keys
    (Lab Manager sent several about itself) are passed over.
    """
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
    # A MAC of zeros stands in for the one that the form does not have.
    filled = [mac or "00:00:00:00:00:00"] + fields + ["", ",".join(filter(None, servers))]
    nic = parse_record(filled)
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
    """Strict base64."""
    try:
        return base64.b64decode(text.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error):
        raise InvalidRecordError("not base64") from None


def inflate(text: str) -> bytes:
    """Base64 of one gzip member, not a byte more than a record may have."""
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
    """A JSON object with none but these keys; a null is as good as absent."""
    found = take(value, dict, name)
    for key in found:
        if key in ("ssh_keys", "ssh_authorized_keys"):
            raise NotSupportedError("SSH keys are not supported yet: drop {}".format(shown(key)))
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
    """A number in a range, or None where there is none."""
    if key not in item:
        return None
    number: int = take(item[key], int, key)
    if not low <= number <= high:
        raise InvalidRecordError("{} must be {} to {}".format(key, low, high))
    return number


def config_from(document: Any) -> Config:
    """The JSON document of v1."""
    top = take_object(document, "the record", ("hostname", "search", "nics"))
    hostname = None
    if "hostname" in top:
        hostname = parse_hostname(take(top["hostname"], str, "hostname"))
    search = take_list(top, "search", parse_domain)
    rows = take(top.get("nics", []), list, "nics")
    if len(rows) > MAX_NICS:
        raise InvalidRecordError("{} NICs; {} is the limit".format(len(rows), MAX_NICS))
    return check_config(Config(hostname, tuple(nic_from(row, search) for row in rows)))


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
    """A NIC as v1 says it: what is kept of the last run."""
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
    """What a command left behind."""

    code: int
    out: bytes
    err: bytes


class CommandError(Exception):
    """A command could not be started, said too much, or did not end in time."""


class TooMuchError(CommandError):
    """A command said more than was allowed; it would the next time."""


def run_command(argv: Sequence[str], seconds: float, limit: int) -> Ran:
    """Run a command, no shell, for so many seconds and bytes at most.

    Past either, it and what it started (its process group) are killed.
    """
    environment = dict(os.environ, LC_ALL="C", PATH=search_path())
    program = shutil.which(argv[0], path=search_path())
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
            # Whether it has ended is asked before what it said is looked for,
            # so the last words are never missed. A daemon that it left behind
            # may keep the pipes open: they are not waited for.
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
                    raise TooMuchError("{} said more than {} bytes".format(name, limit))
    try:
        process.wait(timeout=max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        raise CommandError("{} did not end in time".format(name)) from None
    return b"".join(chunks[0]), b"".join(chunks[1])


def search_path() -> str:
    """Where commands are: PATH, then the system's own folders."""
    return ":".join(filter(None, (os.environ.get("PATH"), SYSTEM_PATH)))


def find_tool() -> Optional[List[str]]:
    """The first of VMware's tools: what to put before the words of a request."""
    for name in TOOLS:
        found = shutil.which(name, path=search_path())
        if found:
            return [found] if name == "vmware-rpctool" else [found, "--cmd"]
    return None


NO_VALUE = re.compile(rb"(?:No machine id|No value found)\.?", re.IGNORECASE)


def is_nothing(ran: Ran) -> bool:
    """Whether that answer means that the host says nothing."""
    if ran.code == 0:
        out = ran.out.strip(b" \t\r\n\0")
        return not out or NO_VALUE.fullmatch(out) is not None
    if ran.code < 0:
        # A signal ended it: whatever it said, it had more to say.
        return False
    said = ran.out + b"\n" + ran.err
    # Beside that sentence there may be warnings.
    if any(NO_VALUE.fullmatch(line.strip()) for line in said.splitlines()):
        return True
    # Outside VMware: vmtoolsd ends with 1 silently, the others say why; very
    # old tools print a bare 1.
    if said.strip() == b"1" or (ran.code == 1 and not said.strip()):
        return True
    return b"must be run inside a virtual machine" in said


class Reader:
    """Asks VMware's tools; every answer together has READ_DEADLINE seconds."""

    def __init__(self, tool: Sequence[str]) -> None:
        self.tool = list(tool)
        self.deadline = time.monotonic() + READ_DEADLINE

    def ask(self, request: str) -> Optional[str]:
        """One value, None where the host has none.

        Raises:
            TransportError: Every attempt failed, or what came is too long or
                no UTF-8.
        """
        why = "no time left"
        for attempt in range(READ_ATTEMPTS):
            left = self.deadline - time.monotonic()
            if left <= 0:
                break
            try:
                ran = run_command(self.tool + [request], min(left, READ_SECONDS), MAX_RECORD)
            except TooMuchError as exc:
                why = str(exc)
                break
            except CommandError as exc:
                why = str(exc)
            else:
                if is_nothing(ran):
                    return None
                if ran.code == 0:
                    return self.decode(ran.out)
                said = (ran.err or ran.out).decode("ascii", "replace").strip()
                why = "exit code {}: {}".format(ran.code, shown(said))
            if attempt + 1 < READ_ATTEMPTS:
                time.sleep(max(0.0, min(READ_PAUSE, self.deadline - time.monotonic())))
        raise TransportError("cannot read {} from the host: {}".format(request, why))

    @staticmethod
    def decode(raw: bytes) -> str:
        """The text of an answer."""
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError:
            raise TransportError("the host's record is not UTF-8") from None


def read_record(reader: Reader) -> Optional[Tuple[str, str]]:
    """The record and where it was: ``machine.id``, else ``guestinfo.vimguest``.

    machine.id goes first because no process in the guest can set it.
    """
    for name, request in (
        ("machine.id", "machine.id.get"),
        ("guestinfo.vimguest", "info-get guestinfo.vimguest"),
    ):
        text = reader.ask(request)
        if text is not None:
            return name, text
    return None


# --- files --------------------------------------------------------------------


class File(NamedTuple):
    """A file as it is, or as it shall be."""

    data: bytes
    mode: int


class Root:
    """The tree that is read and written: the machine's own, or an image's below a folder.

    Names are absolute as the guest sees them. Nothing outside the folder is
    ever written: a folder that a link leads out of it is refused.
    """

    def __init__(self, folder: Optional[str]) -> None:
        #: Whether this is the running machine, on which commands may be run.
        self.live = folder is None
        self.folder = os.path.realpath(folder or "/")

    def path(self, name: str) -> str:
        """Where that name is from here."""
        return os.path.join(self.folder, name.lstrip("/"))

    def exists(self, name: str) -> bool:
        """Whether it is there, be it a link that leads nowhere from here."""
        return os.path.lexists(self.path(name))

    def listed(self, pattern: str) -> List[str]:
        """The names that match a glob pattern, sorted."""
        start = len(self.folder.rstrip("/"))
        found = glob.glob(os.path.join(glob.escape(self.folder), pattern.lstrip("/")))
        return [path[start:] for path in sorted(found)]

    def text(self, name: str) -> str:
        """The text of somebody else's file, empty where there is none."""
        try:
            with open(self.path(name), encoding="utf-8", errors="replace") as file:
                return file.read(COMMAND_OUTPUT)
        except OSError:
            return ""

    def load(self, name: str) -> Optional[File]:
        """One of our own files, None where there is none.

        Raises:
            RefusedError: Something else than a plain file has its name.
        """
        self.folder_of(name, make=False)
        path = self.path(name)
        try:
            status = os.lstat(path)
        except FileNotFoundError:
            return None
        if not stat.S_ISREG(status.st_mode):
            raise RefusedError("{} is no plain file; move it away".format(name))
        with open(path, "rb") as file:
            return File(file.read(), stat.S_IMODE(status.st_mode))

    def folder_of(self, name: str, make: bool) -> str:
        """The folder of a file of ours, made where it is missing."""
        folder = os.path.dirname(self.path(name))
        there = folder
        while not os.path.lexists(there):
            there = os.path.dirname(there)
        real = os.path.realpath(there)
        if os.path.commonpath([real, self.folder]) != self.folder:
            raise RefusedError("{} leads out of {}".format(there, self.folder))
        if not os.path.isdir(real):
            raise RefusedError("{} is no folder".format(there))
        if make:
            make_folders(folder, 0o700 if name == STATE else 0o755)
        return folder

    def save(self, name: str, file: Optional[File]) -> None:
        """Put that file there, or take it away (None): whole or not at all.

        A reader, and whoever comes after a crash at any point, finds the old
        bytes or the new ones. The mode is on the file before its name is.
        """
        folder = self.folder_of(name, make=file is not None)
        path = self.path(name)
        if file is None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            with contextlib.suppress(FileNotFoundError):
                sync_folder(folder)
            return
        # Hidden, and with a suffix that no network service reads.
        handle, temporary = tempfile.mkstemp(".tmp", ".vimguest.", folder)
        try:
            try:
                data = memoryview(file.data)
                while data:
                    data = data[os.write(handle, data) :]
                os.fchmod(handle, file.mode)
                os.fsync(handle)
            finally:
                os.close(handle)
            os.rename(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
        sync_folder(folder)

    def ensure(self, name: str, file: Optional[File]) -> None:
        """Save, unless it is so already: what could not be written needs no undoing."""
        if self.load(name) != file:
            self.save(name, file)

    def sweep(self) -> None:
        """Remove the half-written files that a killed run has left."""
        for name in (NETPLAN, KEYFILES + "/x", NETWORKD + "/x", IFUPDOWN, HOSTNAME, STATE):
            for left in self.listed(os.path.dirname(name) + "/.vimguest.*.tmp"):
                self.save(left, None)


def make_folders(folder: str, mode: int) -> None:
    """Make a folder and those above it, of that mode whatever the umask is."""
    if os.path.isdir(folder):
        return
    make_folders(os.path.dirname(folder), 0o755)
    with contextlib.suppress(FileExistsError):
        os.mkdir(folder)
        os.chmod(folder, mode)


def sync_folder(folder: str) -> None:
    """Make a rename or a removal last."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    except OSError as exc:
        # Some file systems cannot sync a folder; they say so this way.
        if exc.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(handle)


class State(NamedTuple):
    """What is kept between runs, in one file: the last record and what was before.

    ``previous`` maps each file that the last run changed to what it held, None
    for no file. ``pending`` means that run has not come to its end.
    """

    nics: Tuple[Nic, ...]
    previous: Dict[str, Optional[File]]
    previous_nics: Tuple[Nic, ...]
    pending: bool

    def pack(self) -> File:
        """This as a file."""
        previous = {
            name: None
            if file is None
            else {"mode": file.mode, "data": base64.b64encode(file.data).decode("ascii")}
            for name, file in self.previous.items()
        }
        document = {
            "version": 1,
            "nics": [to_document(nic) for nic in self.nics],
            "previous": previous,
            "previous_nics": [to_document(nic) for nic in self.previous_nics],
            "pending": self.pending,
        }
        return File(json.dumps(document, indent=1, sort_keys=True).encode("ascii") + b"\n", 0o600)

    @staticmethod
    def unpack(data: bytes) -> "State":
        """That file read back.

        Raises:
            RefusedError: It is not a file that ``pack`` has made.
        """
        try:
            document = json.loads(data.decode("ascii"))
            previous: Dict[str, Optional[File]] = {}
            for name, kept in document["previous"].items():
                previous[name] = (
                    None
                    if kept is None
                    else File(base64.b64decode(kept["data"], validate=True), int(kept["mode"]))
                )
            found = State(
                tuple(nic_from(row, ()) for row in document["nics"]),
                previous,
                tuple(nic_from(row, ()) for row in document["previous_nics"]),
                bool(document["pending"]),
            )
            known = document["version"] == 1
        except (ValueError, TypeError, KeyError, AttributeError, VimguestError, RecursionError):
            raise RefusedError("{} is damaged; remove it".format(STATE)) from None
        if not known or not all(is_owned(name) or name == HOSTNAME for name in previous):
            raise RefusedError("{} is not of this version; remove it".format(STATE))
        return found


def is_owned(name: str) -> bool:
    """Whether a network file is this program's own."""
    return any(re.fullmatch(pattern, name) for pattern in OWNED)


# --- NICs ---------------------------------------------------------------------


def find_nics(root: Root) -> Dict[str, List[str]]:
    """The names of the plain NICs by MAC address.

    What is stacked on others (bonds, bridges, VLANs) or part of them often
    has the same address and is not meant.
    """
    base = "/sys/class/net" if root.live or not root.exists("/sys/class/net") else None
    folder = base or root.path("/sys/class/net")
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return {}
    found: Dict[str, List[str]] = {}
    for name in names:
        entry = os.path.join(folder, name)
        # A name goes into ifupdown's file; the kernel would allow nearly any.
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,14}", name) or not is_plain(entry):
            continue
        try:
            mac = parse_mac(first_line(os.path.join(entry, "address")))
        except (OSError, InvalidRecordError):
            continue
        found.setdefault(mac, []).append(name)
    return found


def is_plain(entry: str) -> bool:
    """Whether a folder of /sys/class/net is an Ethernet NIC of its own."""
    try:
        if first_line(os.path.join(entry, "type")) != "1":
            return False
    except OSError:
        pass
    if any(os.path.lexists(os.path.join(entry, part)) for part in ("master", "bonding", "bridge")):
        return False
    if glob.glob(os.path.join(glob.escape(entry), "lower_*")):
        return False
    try:
        with open(os.path.join(entry, "uevent"), encoding="ascii", errors="replace") as file:
            return not any(line.startswith("DEVTYPE=") for line in file)
    except OSError:
        return True


def first_line(path: str) -> str:
    """The first line of a file of sysfs."""
    with open(path, encoding="ascii", errors="replace") as file:
        return file.readline(256).strip()


class Bound(NamedTuple):
    """A NIC of the record, with the name of the one of this machine that it is."""

    name: str
    nic: Nic


def bind(config: Config, nics: Dict[str, List[str]]) -> Tuple[List[Bound], List[Dict[str, Any]]]:
    """Match the record's NICs with the machine's; a report row for each.

    Raises:
        RefusedError: A record means more than one NIC.
    """
    bound, rows = [], []
    for nic in config.nics:
        mac = nic.mac
        if mac is None:
            if len(nics) > 1 and nic.silent:
                rows.append({"mac": None, "interface": None, "action": "left-alone"})
                continue
            if len(nics) > 1:
                raise RefusedError(
                    "the record names no MAC address and there are {} NICs".format(len(nics))
                )
            mac = next(iter(nics), None)
        names = nics.get(mac, []) if mac else []
        if len(names) > 1:
            raise RefusedError("NICs {} all have the address {}".format(", ".join(names), mac))
        if not names or mac is None:
            rows.append({"mac": mac, "interface": None, "action": "no-nic"})
            continue
        bound.append(Bound(names[0], nic._replace(mac=mac)))
        action = "left-alone" if nic.silent else "configured"
        rows.append({"mac": mac, "interface": names[0], "action": action})
    return bound, rows


# --- back ends ----------------------------------------------------------------
# Each is a pure function from NICs to files.


class Hop(NamedTuple):
    """A route as every back end writes it; to None is the default route."""

    to: Optional[Network]
    via: Address
    metric: Optional[int]
    onlink: bool


def hops(nic: Nic, gateways: Dict[int, int]) -> List[Hop]:
    """The routes of a NIC, the default ones first.

    ``gateways`` counts the default routes so far by IP version: nova repeats
    the gateway on each NIC, and without a metric the kernel refuses the second.
    """
    found = []
    for gateway in (nic.gateway4, nic.gateway6):
        if gateway is not None:
            behind = gateways.get(gateway.version, 0)
            gateways[gateway.version] = behind + 1
            metric = SECOND_GATEWAY_METRIC + 100 * (behind - 1) if behind else None
            found.append(Hop(None, gateway, metric, is_onlink(nic, gateway)))
    return found + [
        Hop(route.to, route.via, route.metric, is_onlink(nic, route.via)) for route in nic.routes
    ]


def is_onlink(nic: Nic, via: Address) -> bool:
    """Whether a gateway is in none of the NIC's networks, so that the kernel must be told."""
    if isinstance(via, IPv6) and via.is_link_local:
        return False
    if nic.dhcp4 if via.version == 4 else nic.dhcp6:
        return False
    return not any(via in interface.network for interface in nic.addresses)


def of_version(nic: Nic, version: int) -> List[Interface]:
    """The NIC's addresses of that IP version."""
    return [interface for interface in nic.addresses if interface.version == version]


def render_netplan(bound: Sequence[Bound]) -> Dict[str, File]:
    """Netplan's YAML, written as JSON, which YAML contains.

    The definition is called as the NIC is, so that it merges over what the
    image's own files say of that NIC instead of standing beside it.
    """
    gateways: Dict[int, int] = {}
    ethernets: Dict[str, Any] = {}
    for name, nic in bound:
        item: Dict[str, Any] = {
            "match": {"macaddress": nic.mac},
            "dhcp4": nic.dhcp4,
            "dhcp6": nic.dhcp6,
        }
        if nic.addresses:
            item["addresses"] = [str(interface) for interface in nic.addresses]
        if of_version(nic, 6) and not nic.dhcp6:
            item["accept-ra"] = False
        routes = []
        for hop in hops(nic, gateways):
            # netplan before 0.103 does not know the word "default".
            default = "0.0.0.0/0" if hop.via.version == 4 else "::/0"
            route: Dict[str, Any] = {"to": str(hop.to or default), "via": str(hop.via)}
            if hop.metric is not None:
                route["metric"] = hop.metric
            if hop.onlink:
                route["on-link"] = True
            routes.append(route)
        if routes:
            item["routes"] = routes
        if nic.mtu is not None:
            item["mtu"] = nic.mtu
        servers = {"addresses": [str(server) for server in nic.dns], "search": list(nic.search)}
        if nic.dns or nic.search:
            item["nameservers"] = {key: value for key, value in servers.items() if value}
        ethernets[name] = item
    document = {"network": {"version": 2, "ethernets": ethernets}}
    data = json.dumps(document, indent=2).encode("ascii") + b"\n"
    return {NETPLAN: File(data, 0o600)}


def lines_file(lines: Sequence[str], mode: int) -> File:
    """A text file behind our mark."""
    return File("\n".join([MARK] + list(lines) + [""]).encode("ascii"), mode)


def bare(mac: Optional[str]) -> str:
    """A MAC address as part of a file name."""
    return (mac or "").replace(":", "")


def render_networkmanager(bound: Sequence[Bound]) -> Dict[str, File]:
    """NetworkManager's keyfiles; it ignores one that others may read."""
    gateways: Dict[int, int] = {}
    files = {}
    for _, nic in bound:
        label = "vimguest-" + bare(nic.mac)
        lines = [
            "[connection]",
            "id=" + label,
            "uuid={}".format(uuid.uuid5(uuid.NAMESPACE_DNS, label)),
            "type=ethernet",
            # Above the profiles that an installer has left for this NIC.
            "autoconnect-priority=999",
            "",
            "[ethernet]",
            "mac-address=" + (nic.mac or "").upper(),
        ]
        if nic.mtu is not None:
            lines.append("mtu={}".format(nic.mtu))
        every = hops(nic, gateways)
        for version in (4, 6):
            mine = [hop for hop in every if hop.via.version == version]
            lines += ["", "[ipv{}]".format(version)] + keyfile_section(nic, version, mine)
        files["{}/{}.nmconnection".format(KEYFILES, label)] = lines_file(lines, 0o600)
    return files


def keyfile_section(nic: Nic, version: int, every: Sequence[Hop]) -> List[str]:
    """The [ipv4] or [ipv6] of a keyfile."""
    addresses = of_version(nic, version)
    servers = [str(server) for server in nic.dns if server.version == version]
    if nic.dhcp4 if version == 4 else nic.dhcp6:
        method = "auto"
    elif addresses:
        method = "manual"
    else:
        # Without a word about IPv6, routers' announcements are taken as everywhere.
        method = "disabled" if version == 4 else "auto"
    if method == "disabled" and servers:
        raise RefusedError(
            "NetworkManager takes IPv4 name servers only beside an IPv4 address. "
            "Drop {} or give the NIC one.".format(", ".join(servers))
        )
    lines = ["method=" + method]
    lines += ["address{}={}".format(at, one) for at, one in enumerate(addresses, 1)]
    at = 0
    for hop in every:
        if hop.to is None:
            # It adds a route to a gateway outside the networks by itself.
            lines.append("gateway={}".format(hop.via))
            if hop.metric is not None:
                lines.append("route-metric={}".format(hop.metric))
            continue
        at += 1
        metric = "" if hop.metric is None else ",{}".format(hop.metric)
        lines.append("route{}={},{}{}".format(at, hop.to, hop.via, metric))
        if hop.onlink:
            lines.append("route{}_options=onlink=true".format(at))
    if servers:
        lines.append("dns={};".format(";".join(servers)))
    if nic.search and method != "disabled":
        lines.append("dns-search={};".format(";".join(nic.search)))
    return lines


def render_networkd(bound: Sequence[Bound]) -> Dict[str, File]:
    """systemd-networkd's .network files; the first that matches counts, so 05."""
    gateways: Dict[int, int] = {}
    files = {}
    for _, nic in bound:
        lines = ["[Match]", "MACAddress={}".format(nic.mac), "Type=ether"]
        # What is stacked on the NIC may have its address. (Ignored before 251.)
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
        for hop in hops(nic, gateways):
            lines += ["", "[Route]", "Gateway={}".format(hop.via)]
            if hop.to is not None:
                lines.append("Destination={}".format(hop.to))
            if hop.metric is not None:
                lines.append("Metric={}".format(hop.metric))
            if hop.onlink:
                lines.append("GatewayOnLink=yes")
        name = "{}/05-vimguest-{}.network".format(NETWORKD, bare(nic.mac))
        files[name] = lines_file(lines, 0o644)
    return files


def render_ifupdown(bound: Sequence[Bound]) -> Dict[str, File]:
    """A snippet for /etc/network/interfaces.d; ifupdown knows a NIC by name only."""
    gateways: Dict[int, int] = {}
    lines: List[str] = []
    for name, nic in bound:
        lines += ["", "auto " + name]
        for at, stanza in enumerate(stanzas(name, nic, hops(nic, gateways))):
            if at == 0:
                if nic.dns:
                    stanza.append("dns-nameservers " + " ".join(map(str, nic.dns)))
                if nic.search:
                    stanza.append("dns-search " + " ".join(nic.search))
            lines += [stanza[0]] + ["    " + option for option in stanza[1:]]
    return {IFUPDOWN: lines_file(lines[1:], 0o644)}


def stanzas(name: str, nic: Nic, every: Sequence[Hop]) -> List[List[str]]:
    """The iface stanzas of a NIC: one an address, and one for DHCP."""
    found = []
    mtu = [] if nic.mtu is None else ["pre-up ip link set dev {} mtu {}".format(name, nic.mtu)]
    for version, family, dhcp in ((4, "inet", nic.dhcp4), (6, "inet6", nic.dhcp6)):
        mine = [hop for hop in every if hop.via.version == version]
        if dhcp:
            found.append(["iface {} {} dhcp".format(name, family)] + mtu)
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
            found[-1] += [option for hop in mine for option in hop_options(name, hop)]
    return found


def hop_options(name: str, hop: Hop) -> List[str]:
    """A route in a stanza, as its own gateway where that can say it."""
    metric = [] if hop.metric is None else ["metric {}".format(hop.metric)]
    if hop.to is None and not hop.onlink:
        return ["gateway {}".format(hop.via)] + metric
    words = ["up ip", "-{}".format(hop.via.version), "route add", str(hop.to or "default")]
    words += ["via {} dev {}".format(hop.via, name)] + metric
    return [" ".join(words + (["onlink"] if hop.onlink else []))]


RENDER: Dict[str, Callable[[Sequence[Bound]], Dict[str, File]]] = {
    "netplan": render_netplan,
    "networkmanager": render_networkmanager,
    "networkd": render_networkd,
    "ifupdown": render_ifupdown,
}


# --- detection ----------------------------------------------------------------


def find_backend(root: Root) -> str:
    """The back end that this machine uses.

    Raises:
        NotSupportedError: It is one that cannot be written yet.
        RefusedError: None was found.
    """
    # netplan's files may outlive it; nobody reads them then.
    there = not root.live or shutil.which("netplan", path=search_path())
    if there and any(name != NETPLAN for name in root.listed("/etc/netplan/*.yaml")):
        return "netplan"
    if root.live:
        for backend, unit in (
            ("networkmanager", "NetworkManager"),
            ("networkd", "systemd-networkd"),
            ("ifupdown", "networking"),
        ):
            if is_active(unit):
                return backend
    if is_enabled(root, "NetworkManager"):
        return "networkmanager"
    if is_enabled(root, "systemd-networkd"):
        return "networkd"
    if is_enabled(root, "networking") and root.exists(INTERFACES):
        return "ifupdown"
    # Nothing is switched on (an image half built, another init): what is there.
    for backend, evidence in (
        ("netplan", "/etc/netplan"),
        ("networkmanager", KEYFILES),
        ("ifupdown", INTERFACES),
    ):
        if root.exists(evidence):
            return backend
    if root.listed("/etc/sysconfig/network-scripts/ifcfg-*"):
        raise NotSupportedError("ifcfg files are not supported yet: install NetworkManager")
    if root.exists(NETWORKD):
        return "networkd"
    raise RefusedError("no network service found; name one with --backend")


def is_enabled(root: Root, unit: str) -> bool:
    """Whether that unit will be started at boot."""
    places = ("/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system")
    wants = "multi-user.target.wants"
    return any(root.exists("{}/{}/{}.service".format(at, wants, unit)) for at in places)


def is_active(unit: str) -> bool:
    """Whether systemd has that unit running."""
    try:
        ran = run_command(["systemctl", "is-active", unit], 10, 65536)
        # In a chroot it does nothing and ends with 0: only the word tells.
        return ran.out.strip() == b"active"
    except CommandError:
        return False


def cloud_init_reason(root: Root) -> Optional[str]:
    """Why cloud-init owns the network here, None where it does not.

    It does where it is installed, on, and not told to leave the network alone;
    and where it was taken out, but a file of its making still configures the
    network. What the host offers to it (``guestinfo.metadata``) says nothing
    about who is here to read it.
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
    """Whether a file of cloud-init's settings says ``network: {config: disabled}``."""
    lines = [line.split(" #")[0] for line in text.splitlines() if not line.startswith("#")]
    pattern = r"^network:\s*\{?\s*['\"]?config['\"]?:\s*['\"]?disabled"
    return re.search(pattern, "\n".join(lines), re.MULTILINE) is not None


def sourced(text: str) -> List[str]:
    """The glob patterns of the files that a file of ifupdown takes in."""
    found = []
    for words in (line.split() for line in text.splitlines()):
        # A relative one starts at the folder of the file that names it.
        paths = [os.path.join(os.path.dirname(INTERFACES), word) for word in words[1:]]
        if words[:1] == ["source"]:
            found += paths
        elif words[:1] == ["source-directory"]:
            found += [os.path.join(path, "*") for path in paths]
    return [os.path.normpath(pattern) for pattern in found]


def is_match(name: str, pattern: str) -> bool:
    """Whether a glob pattern takes in a file of that name: ``*`` stops at a slash."""
    names, patterns = name.split("/"), pattern.split("/")
    return len(names) == len(patterns) and all(map(fnmatch.fnmatchcase, names, patterns))


def check_ifupdown(root: Root, bound: Sequence[Bound], notes: List[str]) -> None:
    """Refuse where ifupdown would not read our snippet, or read others for the same NIC."""
    patterns = sourced(root.text(INTERFACES))
    if not any(is_match(IFUPDOWN, pattern) for pattern in patterns):
        what = "{} does not source {}; add the line: source {}/*".format(
            INTERFACES, IFUPDOWN, os.path.dirname(IFUPDOWN)
        )
        if root.live:
            raise RefusedError(what)
        notes.append(what)
    others = {other for pattern in patterns for other in root.listed(pattern)}
    for name in [INTERFACES] + sorted(others - {IFUPDOWN}):
        for words in (line.split() for line in root.text(name).splitlines()):
            if words[:1] != ["iface"] or "manual" in words[3:4]:
                continue
            found = "".join(words[1:2])
            if any(found == one.name for one in bound):
                raise RefusedError("{} already configures {}; remove it there".format(name, found))


# --- the run ------------------------------------------------------------------


class Change(NamedTuple):
    """A file that is not as it shall be; None is no file."""

    name: str
    old: Optional[File]
    new: Optional[File]


def plan(root: Root, wanted: Dict[str, File], hostname: Optional[str]) -> List[Change]:
    """What has to change so that our files are those and no others.

    Without a wanted file the network is left as it is.
    """
    goal: Dict[str, Optional[File]] = {}
    if wanted:
        for pattern in (NETPLAN, KEYFILES + "/vimguest-*", NETWORKD + "/05-vimguest-*", IFUPDOWN):
            goal.update((name, None) for name in root.listed(pattern) if is_owned(name))
    goal.update(wanted)
    if hostname is not None:
        goal[HOSTNAME] = File(hostname.encode("ascii") + b"\n", 0o644)
    found = [Change(name, root.load(name), file) for name, file in sorted(goal.items())]
    return [change for change in found if change.old != change.new]


def again(changes: Sequence[Change], wanted: Dict[str, File]) -> List[Change]:
    """Those changes, and each file that a run which was killed may have written, not applied."""
    names = [change.name for change in changes]
    rest = [Change(name, file, file) for name, file in wanted.items() if name not in names]
    return sorted(list(changes) + rest, key=lambda change: change.name)


def invert(changes: Sequence[Change]) -> List[Change]:
    """The changes that undo those."""
    return [Change(change.name, change.new, change.old) for change in reversed(changes)]


def commands(
    root: Root, changes: Sequence[Change], undo: bool = False
) -> Tuple[List[List[str]], List[List[str]]]:
    """What to run on this machine before and after the changes.

    A service that does not run yet will read the files when it starts, so it
    gets no command: at boot that is the rule. netplan's files are read by a
    generator that has run already.
    """
    before: List[List[str]] = []
    after: List[List[str]] = []
    changed = {change.name: change for change in changes}
    # Our file may outlive netplan, and is taken away then: nobody has to be told.
    there = shutil.which("netplan", path=search_path())
    if NETPLAN in changed and (changed[NETPLAN].new is not None or there):
        after.append(["netplan", "generate"])
        if is_active("systemd-networkd") or is_active("NetworkManager"):
            after.append(["netplan", "apply"])
    keyfiles = [change for change in changes if change.name.startswith(KEYFILES)]
    if keyfiles and manager_runs():
        after.append(["nmcli", "connection", "reload"])
        for change in keyfiles:
            if change.new is not None:
                label = os.path.basename(change.name)[: -len(".nmconnection")]
                key = str(uuid.uuid5(uuid.NAMESPACE_DNS, label))
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
        up = [line.split("=")[0] for line in root.text("/run/network/ifstate").split()]
        old, new = changed[IFUPDOWN].old, changed[IFUPDOWN].new
        names = autos(old) + [name for name in autos(new) if name not in autos(old)]
        # One that came up by half counts as down, and would stay as it is.
        down = [name for name in names if name in up or (undo and up)]
        before += [["ifdown", "--force", name] for name in down]
        # Where not even lo is up, the service has yet to start.
        after += [["ifup", name] for name in autos(new) if up]
    return before, after


def can_reload() -> bool:
    """Whether networkctl knows ``reload`` and ``reconfigure``: it does since systemd 244."""
    try:
        ran = run_command(["networkctl", "--version"], 10, 65536)
    except CommandError:
        return True
    version = re.match(rb"systemd ([0-9]{1,4})\b", ran.out)
    return version is None or int(version.group(1)) >= 244


def autos(file: Optional[File]) -> List[str]:
    """The NICs that a snippet for ifupdown brings up."""
    text = file.data.decode("ascii", "replace") if file else ""
    return re.findall(r"^auto ([A-Za-z0-9._-]+)$", text, re.MULTILINE)


def manager_runs() -> bool:
    """Whether NetworkManager is there to be told."""
    try:
        ran = run_command(["nmcli", "--terse", "--fields", "RUNNING", "general"], 10, 65536)
    except CommandError:
        return False
    return ran.code == 0 and ran.out.strip() == b"running"


class Run:
    """One run of the program: its options and the report that it fills."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.root = Root(args.root)
        self.writes = not (args.dry_run or args.check)
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
            "notes": [],
            "error": None,
        }

    def go(self) -> int:
        """Do what was asked; returns the exit code."""
        if sys.platform.startswith("win"):
            raise NotSupportedError("Windows is not supported yet")
        act = self.roll_back if self.args.rollback else self.configure
        if not self.writes:
            return act()
        with locked(self.root):
            self.root.sweep()
            return act()

    def note(self, text: str) -> None:
        """Say something that is no error."""
        self.report["notes"].append(text)

    def configure(self) -> int:
        """Read the record and make the files say what it says."""
        reason = cloud_init_reason(self.root)
        if reason:
            self.report["status"] = "stood-aside"
            self.note(reason + ": the network is its business")
            return 0
        config = self.read()
        if config is None:
            return 0
        state = self.load_state()
        bound = self.bind(config, state)
        self.report["hostname"] = config.hostname
        wanted: Dict[str, File] = {}
        if bound:
            backend = self.args.backend or find_backend(self.root)
            self.report["backend"] = backend
            if backend == "ifupdown":
                check_ifupdown(self.root, bound, self.report["notes"])
            wanted = RENDER[backend](bound)
        changes = plan(self.root, wanted, config.hostname)
        if state.pending and self.root.live:
            changes = again(changes, wanted)
        after = state._replace(nics=tuple(one.nic for one in bound) or state.nics)
        return self.finish(changes, state, after, "unchanged" if wanted else "nothing")

    def read(self) -> Optional[Config]:
        """The host's record, None where it says nothing."""
        tool = find_tool()
        if tool is None:
            self.note("none of {} is on PATH".format(", ".join(TOOLS)))
            return None
        record = read_record(Reader(tool))
        if record is None:
            self.note("the host says nothing in machine.id or guestinfo.vimguest")
            return None
        self.report["source"], text = record
        self.report["form"], config = parse(text)
        return config

    def bind(self, config: Config, state: State) -> List[Bound]:
        """The NICs to configure, waiting a little for those that are not there yet.

        One that the record is silent about keeps what the last run gave it.
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
            self.note("no NIC has the address {}; its record is skipped".format(row["mac"]))
        if all(one.nic.silent for one in bound):
            # Not even our own files are touched.
            return []
        last = {nic.mac: nic for nic in state.nics}
        # In the record's order, as the last run had it: the default routes' metrics hang on that.
        found = [
            one._replace(nic=last.get(one.nic.mac, one.nic)) if one.nic.silent else one
            for one in bound
        ]
        found = [one for one in found if not one.nic.silent]
        # What one NIC keeps, the record may give to another.
        check_config(Config(None, tuple(one.nic for one in found)))
        return found

    def load_state(self) -> State:
        """What the last run left."""
        file = self.root.load(STATE)
        return State((), {}, (), False) if file is None else State.unpack(file.data)

    def roll_back(self) -> int:
        """Bring back what the last run changed."""
        state = self.load_state()
        found = [
            Change(name, self.root.load(name), file)
            for name, file in sorted(state.previous.items())
        ]
        changes = [change for change in found if change.old != change.new]
        after = State(state.previous_nics, {}, (), False)
        code = self.finish(changes, state, after, "nothing", keep=False)
        if not changes:
            self.note("there is nothing to roll back")
        elif self.writes:
            self.report["status"] = "rolled-back"
        return code

    def finish(
        self, changes: List[Change], state: State, after: State, same: str, keep: bool = True
    ) -> int:
        """Make the changes, or say what they would be; returns the exit code."""
        self.report["files"] = [
            {"path": change.name, "action": "remove" if change.new is None else "write"}
            for change in changes
        ]
        if not changes:
            if self.writes and state.pending:
                # The last run was killed when all was done but saying so.
                done = state if keep else after
                done = done._replace(nics=after.nics, pending=False)
                self.root.save(STATE, done.pack())
            self.report["status"] = same
            return 0
        if not self.writes:
            self.report["status"] = "would-change"
            if self.args.dry_run:
                for row, change in zip(self.report["files"], changes):
                    row["diff"] = diff(change)
            return 1 if self.args.check else 0
        previous = {change.name: change.old for change in changes} if keep else {}
        if keep and state.pending:
            # What was before the run that was killed, not what it left half done.
            previous.update(state.previous)
        before_nics = state.previous_nics if state.pending else state.nics
        after = after._replace(previous=previous, previous_nics=before_nics, pending=True)
        self.make(changes, state, after)
        self.report["status"] = "changed"
        return 0

    def make(self, changes: List[Change], state: State, after: State) -> None:
        """Write, apply, and remember; on failure undo all of it.

        Raises:
            ApplyError: With what failed, and whether undoing did too.
        """
        old_state = self.root.load(STATE)
        name = socket.gethostname()
        # A rollback that is killed must still find what it was to bring back.
        during = after if after.previous else state._replace(pending=True)
        try:
            self.root.save(STATE, during.pack())
            self.write(changes)
            self.root.save(STATE, after._replace(pending=False).pack())
        except (OSError, CommandError, RefusedError) as exc:
            try:
                self.write(invert(changes), undo=True)
                if self.root.live and socket.gethostname() != name:
                    # Its file may not have said the name that was in use.
                    socket.sethostname(name)
                self.root.ensure(STATE, old_state)
            except (OSError, CommandError, RefusedError) as second:
                raise ApplyError(
                    "{}; and undoing that failed: {}. Try --rollback.".format(exc, second)
                ) from None
            raise ApplyError("{}; rolled back".format(exc)) from None

    def write(self, changes: Sequence[Change], undo: bool = False) -> None:
        """Write the files and have them applied."""
        before, after = commands(self.root, changes, undo) if self.root.live else ([], [])
        for argv in before:
            # What a NIC cannot let go of is no reason to leave it as it is.
            self.command(argv, must=False)
        for change in changes:
            self.root.ensure(change.name, change.new)
        for change in changes:
            if self.root.live and change.name == HOSTNAME and change.new is not None:
                socket.sethostname(change.new.data.decode("ascii").strip())
        if undo:
            # The other NICs shall come back, whichever command fails.
            failed = [exc for exc in map(self.failure, after) if exc is not None]
            if failed:
                raise failed[0]
            return
        for argv in after:
            self.command(argv, must=True)

    def failure(self, argv: List[str]) -> Optional[CommandError]:
        """Run one command and report it; why it failed, None where it did not."""
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
            said = (ran.err or ran.out).decode("ascii", "replace").strip()
            raise CommandError("{} failed: {}".format(" ".join(argv), shown(said[-70:])))


def diff(change: Change) -> str:
    """A unified diff of a change."""
    sides = [
        escaped(file.data).splitlines(True) if file else [] for file in (change.old, change.new)
    ]
    names = ["/dev/null" if file is None else change.name for file in (change.old, change.new)]
    return "".join(difflib.unified_diff(sides[0], sides[1], names[0], names[1]))


def escaped(data: bytes) -> str:
    """Somebody else's bytes for a terminal: lines of printable ASCII, all else by its number."""
    return re.sub(
        r"[^\n -~]", lambda found: "\\x{:02x}".format(ord(found.group())), data.decode("latin-1")
    )


@contextlib.contextmanager
def locked(root: Root) -> Iterator[None]:
    """One run at a time on one tree; the lock is on the folder, so nothing is made.

    Raises:
        RefusedError: Another run has held it for a minute.
    """
    import fcntl  # not on Windows

    handle = os.open(root.folder, os.O_RDONLY | os.O_DIRECTORY)
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


def print_report(report: Dict[str, Any]) -> None:
    """The report for people."""
    where = " from {} ({})".format(report["source"], report["form"]) if report["source"] else ""
    backend = " by {}".format(report["backend"]) if report["backend"] else ""
    print("vimguest: {}{}{}".format(report["status"], where, backend))
    for row in report["nics"]:
        print("  {} {}: {}".format(row["mac"], row["interface"] or "-", row["action"]))
    for row in report["files"]:
        print("  {} {}".format(row["action"], row["path"]))
        if "diff" in row:
            print(row["diff"], end="")
    for row in report["commands"]:
        print("  ran {} ({})".format(" ".join(row["argv"]), row["code"]))
    for text in report["notes"]:
        print("  {}".format(text))


def parse_args(argv: Optional[Sequence[str]]) -> argparse.Namespace:
    """The command line; a wrong one ends the program with 2."""
    parser = argparse.ArgumentParser(
        prog="vimguest", description="Configure this guest's network from its ESX host's record."
    )
    parser.add_argument("--backend", choices=BACKENDS, help="the network service to write for")
    parser.add_argument("--root", metavar="DIR", help="an image's tree to write below")
    parser.add_argument("--dry-run", action="store_true", help="print diffs, write nothing")
    parser.add_argument("--check", action="store_true", help="exit 1 if something would change")
    parser.add_argument("--rollback", action="store_true", help="bring back what was before")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--version", action="version", version=__version__)
    args = parser.parse_args(argv)
    if args.root is not None and not os.path.isdir(args.root):
        parser.error("--root {} is no folder".format(args.root))
    return args


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run the program; returns the exit code."""
    args = parse_args(argv)
    run = Run(args)
    try:
        code = run.go()
    except (VimguestError, OSError) as exc:
        failed = isinstance(exc, ApplyError)
        code = exc.code if isinstance(exc, VimguestError) else RefusedError.code
        run.report["status"] = "failed" if failed else "refused"
        said = "{}. Run it as root.".format(exc) if isinstance(exc, PermissionError) else str(exc)
        run.report["error"] = {"type": type(exc).__name__, "message": said}
        print("vimguest: {}: {}".format(run.report["status"], said), file=sys.stderr)
    if args.json:
        print(json.dumps(run.report))
    elif run.report["error"] is None:
        print_report(run.report)
    return code


def script() -> None:
    """The zipapp's way in, which does not pass on what ``main`` returns."""
    sys.exit(main())


if __name__ == "__main__":
    script()
