"""A guest's network configuration, as the text that a virtual machine carries.

Values in (`GuestConfig`, `NIC`, `Route`), extraConfig keys and texts out; no I/O. Four forms:

``nova``
    ``machine.id`` as OpenStack's vmwareapi driver writes it (``_get_machine_id_str`` in
    nova/virt/vmwareapi/vmops.py): ``mac;ip;netmask;gateway;broadcast;dns#`` for each NIC
``original``
    the four fields of that driver's first release (Cactus, 2011), one NIC
``versioned``
    ``v1:`` and JSON, for values that the others cannot express; ``guest/README.md`` specifies it
``cloud-init``
    ``guestinfo.metadata``, ``.vendordata`` and ``.userdata`` as cloud-init's DataSourceVMware and
    cloudbase-init's VMwareGuestInfoService read them, in place of ``machine.id``

Values are checked when they are built, so that nothing which a reader could take for a separator,
a second line or another address ever leaves here.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import ipaddress
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from vimlib.errors import UsageError

Form = Literal["nova", "original", "versioned", "cloud-init"]
FORMS: tuple[Form, ...] = ("nova", "original", "versioned", "cloud-init")

# vSphere has ten NICs a machine; the reader in the guest takes 32 and lists of 64.
MAX_NICS = 32
MAX_LIST = 64
# Above this many characters a text is compressed; guestinfo values end at 64 KiB.
MAX_PLAIN = 2048
MAX_TEXT = 64 * 1024
# The limit of the reader in the guest, unpacked.
MAX_JSON = 256 * 1024
MAX_USERS = 16
MAX_KEY = 16 * 1024
# A second default route stands behind the first, whose metric the kernel sets to 0 or 1024.
SECOND_GATEWAY_METRIC = 1124

_MAC = re.compile(r"[0-9A-Fa-f]{2}([:-])(?:[0-9A-Fa-f]{2}\1){4}[0-9A-Fa-f]{2}")
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_IP = re.compile(r"[0-9A-Fa-f:.]{2,45}")
_INSTANCE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
_USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
_KEY = re.compile(
    r"(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(?:256|384|521)|sk-ssh-ed25519@openssh\.com"
    r"|sk-ecdsa-sha2-nistp256@openssh\.com) ([A-Za-z0-9+/]+={0,2})(?: [ -~]*)?"
)

_T = TypeVar("_T")
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Interface = ipaddress.IPv4Interface | ipaddress.IPv6Interface


@dataclass(frozen=True)
class Route:
    """A route to the network ``to`` (``10.9.0.0/16``) by way of the address ``via``.

    A ``metric`` of None leaves it to the guest. The default route is a NIC's gateway, not this.

    Raises:
        UsageError: A value is not valid.
    """

    to: str
    via: str
    metric: int | None = None

    def __post_init__(self) -> None:
        via = _address("via", self.via)
        network = _network("to", self.to)
        if network.version != via.version:
            raise _wrong(
                "via", self.via, f"an IPv{network.version} address like the network {self.to}"
            )
        if self.metric is not None:
            _number("metric", self.metric, 1, 2**32 - 1)
        _set(self, to=str(network), via=str(via))


@dataclass(frozen=True)
class NIC:
    """The configuration of one NIC of the guest. Without addresses and DHCP the NIC is left as it is.

    ``addresses`` have a prefix length (``10.0.0.2/24``, ``2001:db8::2/64``); ``mtu`` is in bytes;
    ``search`` are DNS domains; if empty, those of the configuration.

    Raises:
        UsageError: A value is not valid, or does not fit the others.
    """

    mac: str
    addresses: Sequence[str] = ()
    gateway4: str | None = None
    gateway6: str | None = None
    dns: Sequence[str] = ()
    search: Sequence[str] = ()
    dhcp4: bool = False
    dhcp6: bool = False
    routes: Sequence[Route] = ()
    mtu: int | None = None

    def __post_init__(self) -> None:
        if not _MAC.fullmatch(self.mac):
            raise _wrong("mac", self.mac, "six pairs of hexadecimal digits, as 00:50:56:aa:bb:cc")
        interfaces = _each("addresses", self.addresses, _interface)
        servers = _each("dns", self.dns, _address)
        domains = _each("search", self.search, _domain)
        if self.mtu is not None:
            _number("mtu", self.mtu, 576, 9216)
        for name, on in (("dhcp4", self.dhcp4), ("dhcp6", self.dhcp6)):
            if type(on) is not bool:
                raise _wrong(name, str(on), "True or False")
        if len(self.routes) > MAX_LIST:
            raise _wrong("routes", f"{len(self.routes)} routes", f"at most {MAX_LIST} routes")
        _set(
            self,
            # nova writes the address as it is stored: its letters keep their case.
            mac=self.mac.replace("-", ":"),
            addresses=tuple(map(str, interfaces)),
            gateway4=_gateway("gateway4", self.gateway4, 4, interfaces),
            gateway6=_gateway("gateway6", self.gateway6, 6, interfaces),
            dns=tuple(map(str, servers)),
            search=tuple(domains),
            routes=tuple(self.routes),
        )
        self._check(interfaces)

    def _check(self, interfaces: Sequence[_Interface]) -> None:
        own = {str(interface.ip) for interface in interfaces}
        versions: set[int] = {interface.version for interface in interfaces}
        versions |= {version for version, on in ((4, self.dhcp4), (6, self.dhcp6)) if on}
        if len(own) != len(interfaces):
            raise _wrong("addresses", ", ".join(self.addresses), "different addresses")
        if self.mtu is not None and not versions:
            raise _wrong("mtu", str(self.mtu), "given with an address or DHCP")
        if self.mtu is not None and self.mtu < 1280 and 6 in versions:
            raise _wrong("mtu", str(self.mtu), "at least 1280 for IPv6")
        for route in self.routes:
            if route.via in own:
                raise _wrong("via", route.via, "another address than the NIC's own")
            if sum((one.to, one.metric) == (route.to, route.metric) for one in self.routes) > 1:
                raise _wrong("routes", route.to, "one route to a network with one metric")
            if _address("via", route.via).version not in versions:
                raise _wrong("routes", route.to, "networks of the NIC's own IP versions")


@dataclass(frozen=True)
class GuestConfig:
    """The settings of one guest: its name, its NICs, and the search domains of NICs without own.

    ``ssh_keys`` maps names of users to lines of authorized_keys without options; ``ntp`` are
    addresses or names of time servers. ``user_data`` and ``vendor_data`` go to cloud-init
    unchanged; a ``vendor_data`` takes the place of the one that `vendordata` makes.

    Raises:
        UsageError: A value is invalid, or two records have one MAC address.
    """

    hostname: str | None = None
    nics: Sequence[NIC] = ()
    search: Sequence[str] = ()
    ssh_keys: Mapping[str, Sequence[str]] = field(default_factory=dict)
    ntp: Sequence[str] = ()
    user_data: str | None = field(default=None, repr=False)
    vendor_data: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.hostname is not None:
            _domain("hostname", self.hostname)
            if len(self.hostname) > 64 or self.hostname.replace(".", "").isdigit():
                raise _wrong(
                    "hostname", self.hostname, "a name of at most 64 characters, not all digits"
                )
        if len(self.ssh_keys) > MAX_USERS:
            raise _wrong("ssh_keys", f"{len(self.ssh_keys)} users", f"at most {MAX_USERS} users")
        _set(
            self,
            nics=tuple(self.nics),
            search=tuple(_each("search", self.search, _domain)),
            ssh_keys={
                _user(user): tuple(_each("ssh_keys", keys, _key))
                for user, keys in self.ssh_keys.items()
            },
            ntp=tuple(_each("ntp", self.ntp, _server)),
        )
        _distinct(self.nics)


def machine_id(nics: Iterable[NIC], style: Literal["nova", "original"] = "nova") -> str:
    """The text of ``machine.id``, byte for byte as the OpenStack drivers write it.

    Like those it has a NIC's first IPv4 address and first name server and nothing else of IPv6,
    DHCP, routes, MTU or search domains; `left_out` names the rest.

    Raises:
        UsageError: The original form with any other number of NICs than one.
    """
    rows = tuple(nics)
    _distinct(rows)
    records = [_record(nic) for nic in rows]
    if style == "nova":
        return "".join(";".join(record) + "#" for record in records)
    if len(records) != 1:
        raise _wrong("nics", f"{len(records)} NICs", "exactly one NIC in the original form")
    return ";".join(records[0][:4])


def versioned(config: GuestConfig) -> str:
    """The versioned form: ``v1:`` and JSON, or ``v1:gzip+base64:`` where that is long.

    The same config always makes the same text.

    Raises:
        UsageError: It is longer than a machine's settings may be.
    """
    document: dict[str, Any] = {}
    if config.hostname is not None:
        document["hostname"] = config.hostname
    if config.search:
        document["search"] = list(config.search)
    document["nics"] = [_nic_document(nic) for nic in config.nics]
    if config.ssh_keys:
        document["ssh_keys"] = {user: list(keys) for user, keys in sorted(config.ssh_keys.items())}
    if config.ntp:
        document["ntp"] = list(config.ntp)
    _one_nic_an_address(config.nics)
    text, encoding = _encoded(document)
    return _bounded(f"v1:{text}" if encoding is None else f"v1:{encoding}:{text}")


def metadata(config: GuestConfig, instance_id: str) -> dict[str, str]:
    """cloud-init's ``guestinfo.metadata`` and ``guestinfo.metadata.encoding``.

    The network is in it as version 2 of cloud-init's network config. NICs are matched by MAC
    address and keep their names. A default route is a ``gateway4`` or ``gateway6``: every renderer
    of cloud-init makes a working route of it, while a route of the list needs net-tools on Debian
    with ifupdown and loses ``on-link`` in most renderers. A name server goes to a NIC that has an
    address of its IP version. `left_out` names what the renderers have no common form for.
    cloud-init treats another ``instance_id`` as another machine: it makes new SSH host keys, among
    others.

    Raises:
        UsageError: ``instance_id`` is not of letters, digits and ``._:-``, or the text is too long.
    """
    if not _INSTANCE_ID.fullmatch(instance_id):
        raise _wrong("instance_id", instance_id, "1 to 128 letters, digits and ._:-")
    document: dict[str, Any] = {"instance-id": instance_id}
    if config.hostname is not None:
        document["local-hostname"] = config.hostname
    if len(config.ssh_keys) == 1:
        # cloud-init gives them to its default user, cloudbase-init to the user named here.
        ((user, keys),) = config.ssh_keys.items()
        document |= {"public-keys-data": "\n".join(keys), "admin-username": user}
    metrics = _metrics(config.nics)
    servers, _ = _placed_servers(config.nics)
    ethernets = {
        f"id{index}": _ethernet(nic, servers[index], config.search, metrics[index])
        for index, nic in enumerate(config.nics)
        # A NIC that is left alone is not mentioned.
        if nic.addresses or nic.dhcp4 or nic.dhcp6
    }
    if ethernets:
        document["network"] = {"version": 2, "ethernets": ethernets}
    text, encoding = _encoded(document)
    if encoding is None:
        # Plain text is allowed, but a layer between here and the guest may not keep it.
        text, encoding = base64.b64encode(text.encode("ascii")).decode("ascii"), "base64"
    return {"guestinfo.metadata": _bounded(text), "guestinfo.metadata.encoding": encoding}


def vendordata(config: GuestConfig) -> str:
    """The cloud-config that goes with `metadata`: JSON behind ``#cloud-config``.

    It has cloud-init apply a changed network at each boot, which it does not do by itself; the
    keys of named users and the time servers are in it too.
    """
    document: dict[str, Any] = {"updates": {"network": {"when": ["boot-new-instance", "boot"]}}}
    if config.ssh_keys:
        users = [
            {"name": user, "ssh_authorized_keys": list(keys)}
            for user, keys in sorted(config.ssh_keys.items())
        ]
        document["users"] = ["default", *users]
    if config.ntp:
        document["ntp"] = {"enabled": True, "servers": list(config.ntp)}
    return "#cloud-config\n" + json.dumps(document, separators=(",", ":")) + "\n"


def record_digest(text: str) -> str:
    """The digest of a record by which a guest's status refers to it (SHA-256, 16 digits)."""
    return hashlib.sha256(text.strip(" \t\r\n\0").encode()).hexdigest()[:16]


def extra_config(
    config: GuestConfig, form: Form, *, instance_id: str | None = None
) -> dict[str, str]:
    """The extraConfig keys and values of ``config`` in that form.

    The keys of two forms may be set on one machine where they differ: ``nova`` (or ``versioned``)
    for an image with vimguest, together with ``cloud-init`` for one with that.

    Raises:
        UsageError: An unknown form, ``cloud-init`` without ``instance_id``, or a value that the
            form's own function refuses.
    """
    match form:
        case "nova" | "original":
            return {"machine.id": machine_id(config.nics, form)}
        case "versioned":
            return {"machine.id": versioned(config)}
        case "cloud-init":
            if instance_id is None:
                raise UsageError(
                    "the form cloud-init requires an instance id",
                    hint="Give instance_id (--instance-id on the command line).",
                )
            vendor = vendordata(config) if config.vendor_data is None else config.vendor_data
            found = metadata(config, instance_id) | _packed("vendordata", vendor)
            return (
                found if config.user_data is None else found | _packed("userdata", config.user_data)
            )
    raise _wrong("form", str(form), "one of " + ", ".join(FORMS))


def left_out(config: GuestConfig, form: Form) -> tuple[str, ...]:
    """The values of ``config`` that the form cannot express, in words; empty if nothing is lost."""
    ours = [name for name in ("user_data", "vendor_data") if getattr(config, name) is not None]
    if form == "cloud-init":
        metrics = _metrics(config.nics)
        gateways = [
            f"{nic.mac}: gateway {gateway}"
            for nic, metric in zip(config.nics, metrics, strict=True)
            for version, gateway in ((4, nic.gateway4), (6, nic.gateway6))
            if gateway not in (None, *_own(nic)) and not _has_default(nic, version, metric)
        ]
        return (*gateways, *(f"DNS {server}" for server in _placed_servers(config.nics)[1]))
    lost = [name.replace("_", "-") for name in ours]
    if form == "versioned":
        return tuple(lost)
    lost += [f"hostname {config.hostname}"] if config.hostname is not None else []
    lost += [f"SSH keys of {', '.join(config.ssh_keys)}"] if config.ssh_keys else []
    lost += [f"time servers {', '.join(config.ntp)}"] if config.ntp else []
    lost += [f"search domains {', '.join(config.search)}"] if config.search else []
    for nic in config.nics:
        _, ip, _, _, _, dns = _record(nic)
        rest = [one for one in nic.addresses if one.partition("/")[0] != ip]
        servers = [one for one in nic.dns if one != dns or form == "original"]
        found = {
            "addresses": rest,
            "gateway": [nic.gateway6] if nic.gateway6 else [],
            "DNS": servers,
            "search domains": nic.search,
            "DHCP": [name for name, on in (("IPv4", nic.dhcp4), ("IPv6", nic.dhcp6)) if on],
            "routes": [route.to for route in nic.routes],
            "MTU": [] if nic.mtu is None else [str(nic.mtu)],
        }
        lost += [f"{nic.mac}: {what} {', '.join(those)}" for what, those in found.items() if those]
    return tuple(lost)


def _record(nic: NIC) -> tuple[str, str, str, str, str, str]:
    """The six fields of one of nova's records."""
    found = (ipaddress.ip_interface(address) for address in nic.addresses)
    first = next((one for one in found if isinstance(one, ipaddress.IPv4Interface)), None)
    if first is None:
        return nic.mac, "", "", "", "", ""
    # netaddr, with which nova reckons, has no broadcast address for two hosts or one, and nova
    # prints its None. A reader of nova's records has to know that word.
    wide = first.network.prefixlen < 31
    broadcast = str(first.network.broadcast_address) if wide else "None"
    dns = nic.dns[0] if nic.dns else ""
    return nic.mac, str(first.ip), str(first.netmask), nic.gateway4 or "", broadcast, dns


def _nic_document(nic: NIC) -> dict[str, Any]:
    """One NIC of the versioned form, without the values that are not set."""
    routes = [
        {"to": route.to, "via": route.via}
        | ({} if route.metric is None else {"metric": route.metric})
        for route in nic.routes
    ]
    every = {
        "mac": nic.mac.lower(),
        "dhcp4": nic.dhcp4,
        "dhcp6": nic.dhcp6,
        "addresses": list(nic.addresses),
        "gateway4": None if nic.gateway4 in _own(nic) else nic.gateway4,
        "gateway6": None if nic.gateway6 in _own(nic) else nic.gateway6,
        "routes": routes,
        "mtu": nic.mtu,
        "dns": list(nic.dns),
        "search": list(nic.search),
    }
    return {name: value for name, value in every.items() if value}


def _metrics(nics: Sequence[NIC]) -> list[dict[int, int | None]]:
    """For each NIC the metric of its default route by IP version, None for the system's own.

    The order decides: the first NIC with a gateway or DHCP keeps the lowest metric.
    """
    found: list[dict[int, int | None]] = [{} for _ in nics]
    for version in (4, 6):
        sources = [
            metrics
            for metrics, nic in zip(found, nics, strict=True)
            if (nic.gateway4 or nic.dhcp4 if version == 4 else nic.gateway6 or nic.dhcp6)
        ]
        for at, metrics in enumerate(sources):
            metrics[version] = SECOND_GATEWAY_METRIC + 100 * (at - 1) if at else None
    return found


def _has_default(nic: NIC, version: int, metrics: Mapping[int, int | None]) -> bool:
    """Whether cloud-init's network config has a default route by that gateway of a NIC.

    A router machine, whose networks have it as their gateway, needs none. A metric takes a route of
    the list. cloud-init adds all routes to the first entry of a NIC, and its renderer for
    NetworkManager (25.1) fails at a default route of the other IP version.
    """
    if (nic.gateway4 if version == 4 else nic.gateway6) in _own(nic):
        return False
    return metrics.get(version) is None or version == _first_version(nic)


def _first_version(nic: NIC) -> int:
    """The IP version of the first entry that cloud-init makes of a NIC with routes."""
    if nic.dhcp4 or nic.dhcp6:
        return 4 if nic.dhcp4 else 6
    gateways = (nic.gateway4, *(route.via for route in nic.routes))
    return 4 if any(one is not None and ":" not in one for one in gateways) else 6


def _placed_servers(nics: Sequence[NIC]) -> tuple[list[list[str]], list[str]]:
    """The name servers of each NIC, and those of an IP version that no NIC has.

    NetworkManager refuses a connection with a name server of a version that is disabled there.
    """
    versions = [
        {ipaddress.ip_interface(one).version for one in nic.addresses}
        | ({4} if nic.dhcp4 else set())
        | ({6} if nic.dhcp6 else set())
        for nic in nics
    ]
    placed: list[list[str]] = [[] for _ in nics]
    lost = []
    for at, nic in enumerate(nics):
        for server in nic.dns:
            version = ipaddress.ip_address(server).version
            homes = (home for home in (at, *range(len(nics))) if version in versions[home])
            home = next(homes, None)
            if home is None:
                lost.append(server)
            elif server not in placed[home]:
                placed[home].append(server)
    return placed, lost


def _ethernet(
    nic: NIC, servers: Sequence[str], search: Sequence[str], metrics: Mapping[int, int | None]
) -> dict[str, Any]:
    """One NIC of cloud-init's network config."""
    item: dict[str, Any] = {
        "match": {"macaddress": nic.mac.lower()},
        "dhcp4": nic.dhcp4,
        "dhcp6": nic.dhcp6,
    }
    routes: list[dict[str, Any]] = []
    for version, gateway in ((4, nic.gateway4), (6, nic.gateway6)):
        metric = metrics.get(version)
        if (nic.dhcp4 if version == 4 else nic.dhcp6) and metric is not None:
            item[f"dhcp{version}-overrides"] = {"route-metric": metric}
        if gateway is None or not _has_default(nic, version, metrics):
            continue
        if metric is None:
            item[f"gateway{version}"] = gateway
        else:
            everywhere = "0.0.0.0/0" if version == 4 else "::/0"
            routes.append({"to": everywhere, "via": gateway, "metric": metric})
    if item.get("gateway4") and item.get("gateway6") and not _on_link(nic, item["gateway4"]):
        # cloudbase-init ignores gateway4 where there is a gateway6; the others drop a duplicate.
        routes.append({"to": "0.0.0.0/0", "via": item["gateway4"]})
    for one in nic.routes:
        own = {} if one.metric is None else {"metric": one.metric}
        routes.append({"to": one.to, "via": one.via} | own)
    routes = [_link_route(via) for via in _gateways_off_link(nic, item, routes)] + [
        route | _on_link(nic, route["via"]) for route in routes
    ]
    nameservers = {"addresses": list(servers), "search": list(nic.search or search)}
    item["nameservers"] = {name: value for name, value in nameservers.items() if value}
    # The IP version of the routes first: cloud-init adds all of them to the first address.
    first = min((ipaddress.ip_network(route["to"]).version for route in routes), default=0)
    versions = {one: ipaddress.ip_interface(one).version for one in nic.addresses}
    addresses = sorted(nic.addresses, key=lambda one: first not in (0, versions[one]))
    item |= {"addresses": addresses, "routes": routes, "mtu": nic.mtu}
    return {name: value for name, value in item.items() if value or value is False}


def _gateways_off_link(
    nic: NIC, item: Mapping[str, Any], routes: Sequence[Mapping[str, Any]]
) -> list[str]:
    """Each gateway of a NIC's network config that is in none of the NIC's networks, once."""
    ends = [item.get("gateway4"), item.get("gateway6"), *(route["via"] for route in routes)]
    return [via for via in dict.fromkeys(filter(None, ends)) if _on_link(nic, via)]


def _link_route(via: str) -> dict[str, Any]:
    """The route to a gateway off the link.

    netplan's gateway4 has no on-link flag, and the other renderers ignore the flag of a route. They
    need a `via` too, of which zero means none.
    """
    address = ipaddress.ip_address(via)
    none = str(ipaddress.ip_address(bytes(len(address.packed))))
    return {"to": f"{via}/{address.max_prefixlen}", "via": none, "scope": "link"}


def _on_link(nic: NIC, via: str) -> dict[str, bool]:
    """The mark of a gateway that is in none of the NIC's networks."""
    address = _address("via", via)
    # Every NIC has a link-local IPv6 network; an IPv4 one only where it is given an address of it.
    if address.version == 6 and address.is_link_local:
        return {}
    if nic.dhcp4 if address.version == 4 else nic.dhcp6:
        return {}
    inside = any(address in ipaddress.ip_interface(one).network for one in nic.addresses)
    return {} if inside else {"on-link": True}


def _encoded(document: dict[str, Any]) -> tuple[str, str | None]:
    """ASCII JSON and no encoding, or where that is long, compressed and how."""
    text = _bounded(json.dumps(document, separators=(",", ":")), MAX_JSON)
    if len(text) <= MAX_PLAIN:
        return text, None
    packed = gzip.compress(text.encode("ascii"), mtime=0)
    return base64.b64encode(packed).decode("ascii"), "gzip+base64"


def _packed(name: str, text: str) -> dict[str, str]:
    """A guestinfo value of any text, in base64, compressed where it is long."""
    raw = text.encode()
    if len(raw) > MAX_JSON:
        raise _wrong(name, f"{len(raw)} bytes", f"at most {MAX_JSON}")
    long = len(raw) > MAX_PLAIN
    body = base64.b64encode(gzip.compress(raw, mtime=0) if long else raw).decode("ascii")
    encoding = "gzip+base64" if long else "base64"
    return {f"guestinfo.{name}": _bounded(body), f"guestinfo.{name}.encoding": encoding}


def _bounded(text: str, limit: int = MAX_TEXT) -> str:
    if len(text) > limit:
        raise _wrong("config", f"{len(text)} characters", f"at most {limit} characters")
    return text


def _set(instance: object, **values: Any) -> None:
    """Put canonical values on a frozen instance that is being built."""
    for name, value in values.items():
        object.__setattr__(instance, name, value)


def _wrong(field: str, value: str, wanted: str) -> UsageError:
    shown = ascii(value)
    cut = shown if len(shown) <= 80 else shown[:76] + "...'"
    return UsageError(f"{field} must be {wanted}, got {cut}", field=field, wanted=wanted)


def _distinct(nics: Sequence[NIC]) -> None:
    """Refuse two records for one NIC, and one address on two NICs."""
    if len(nics) > MAX_NICS:
        raise _wrong("nics", f"{len(nics)} NICs", f"at most {MAX_NICS} NICs")
    macs = [nic.mac.lower() for nic in nics]
    if len(set(macs)) != len(macs):
        raise _wrong("nics", ", ".join(macs), "NICs with different MAC addresses")


def _one_nic_an_address(nics: Sequence[NIC]) -> None:
    """Refuse two NICs with one address, which only isolated networks of nova's may have."""
    addresses = [ipaddress.ip_interface(one).ip for nic in nics for one in nic.addresses]
    # A link-local address is unique to its link only.
    routable = [str(address) for address in addresses if not address.is_link_local]
    if len(set(routable)) != len(routable):
        raise _wrong("addresses", ", ".join(routable), "different on each NIC")


def _each(field: str, values: Sequence[str], parse: Callable[[str, str], _T]) -> list[_T]:
    if isinstance(values, str) or len(values) > MAX_LIST:
        raise _wrong(field, str(values), f"a sequence of at most {MAX_LIST} strings")
    return [parse(field, value) for value in values]


def _number(field: str, value: int, low: int, high: int) -> None:
    if type(value) is not int or not low <= value <= high:
        raise _wrong(field, str(value), f"a whole number from {low} to {high}")


def _domain(field: str, text: str) -> str:
    if len(text) > 253 or not _DOMAIN.fullmatch(text):
        raise _wrong(field, text, "a DNS name of letters, digits and inner hyphens")
    return text


def _server(field: str, text: str) -> str:
    if ":" in text or text.replace(".", "").isdigit():
        return str(_address(field, text))
    return _domain(field, text)


def _user(text: str) -> str:
    if not _USER.fullmatch(text):
        raise _wrong("ssh_keys", text, "the name of a user, as useradd takes it")
    return text


def _key(field: str, text: str) -> str:
    found = _KEY.fullmatch(text)
    if found and len(text) <= MAX_KEY:
        kind = found.group(1).encode("ascii")
        try:
            blob = base64.b64decode(found.group(2), validate=True)
        except ValueError:
            blob = b""
        if blob.startswith(len(kind).to_bytes(4, "big") + kind):
            return text
    raise _wrong(field, text, "a line of authorized_keys without options")


def _own(nic: NIC) -> set[str]:
    return {str(ipaddress.ip_interface(one).ip) for one in nic.addresses}


def _any_address(field: str, text: str) -> _Address:
    # The pattern keeps out IPv6 zones, which ipaddress would take with any text in them.
    try:
        if _IP.fullmatch(text):
            return ipaddress.ip_address(text)
    except ValueError:
        pass
    raise _wrong(field, text, "an IP address")


def _address(field: str, text: str) -> _Address:
    address = _any_address(field, text)
    mapped = isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None
    odd = address.is_unspecified or address.is_loopback or address.is_multicast or mapped
    if odd or str(address) == "255.255.255.255":
        raise _wrong(field, text, "the address of a single host")
    return address


def _is_end(address: _Address, network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> bool:
    """Whether an IPv4 address is the network or broadcast address of its network."""
    if network.version != 4 or network.prefixlen >= 31:
        return False
    return address in (network.network_address, network.broadcast_address)


def _prefix(field: str, text: str, bits: int) -> int:
    if not re.fullmatch(r"[1-9][0-9]{0,2}", text) or int(text) > bits:
        raise _wrong(field, text, f"a prefix length from 1 to {bits}")
    return int(text)


def _interface(field: str, text: str) -> _Interface:
    head, slash, tail = text.partition("/")
    if not slash:
        raise _wrong(field, text, "an address with a prefix length, as 10.0.0.2/24")
    address = _address(field, head)
    made = ipaddress.ip_interface((str(address), _prefix(field, tail, address.max_prefixlen)))
    if _is_end(made.ip, made.network):
        raise _wrong(field, text, "a host address, not the network or broadcast address")
    return made


def _network(field: str, text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    head, slash, tail = text.partition("/")
    if not slash:
        raise _wrong(field, text, "a network, as 10.9.0.0/16")
    address = _any_address(field, head)
    length = _prefix(field, tail, address.max_prefixlen)
    try:
        return ipaddress.ip_network((str(address), length))
    except ValueError:
        raise _wrong(field, text, "a network without host bits") from None


def _gateway(
    field: str, text: str | None, version: int, interfaces: Sequence[_Interface]
) -> str | None:
    if text is None:
        return None
    address = _address(field, text)
    if address.version != version:
        raise _wrong(field, text, f"an IPv{version} address")
    if not any(interface.version == version for interface in interfaces):
        raise _wrong(field, text, f"given with an IPv{version} address of the NIC")
    if any(_is_end(address, interface.network) for interface in interfaces):
        # The kernel would take it, and drop the default route.
        raise _wrong(field, text, "a host address, not the network or broadcast address")
    return str(address)
