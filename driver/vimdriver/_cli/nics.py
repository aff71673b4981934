"""NICs in command-line syntax: `network=PG,model=vmxnet3,mac=..,ip=..,gw=..,dns=a+b`.

`ip`, `gw`, `dns`, `search`, `dhcp` and `route` take several values separated by `+`, IPv4 and IPv6
alike: `ip=10.0.0.2/24+2001:db8::2/64,gw=10.0.0.1+2001:db8::1`. A route is
`NETWORK@GATEWAY[@METRIC]`. `vlan=42` creates the port group if it is missing, on the switch of
`interface=vmnic0`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias, cast

from vimdriver._guestinfo import Route
from vimdriver._instances.plan import guest_nic as nic_of
from vimdriver._instances.types import NICSpec
from vimlib._text import printable
from vimlib.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vimdriver._guestinfo import NIC
    from vimdriver._instances.types import NICModel

_Parts: TypeAlias = "Mapping[str, str]"

_GUEST_KEYS: Final = {
    "mac": "00:50:56:..",
    "ip": "10.0.0.2/24+fd00::2/64",
    "gw": "10.0.0.1+fd00::1",
    "dns": "A+B",
    "search": "A+B",
    "dhcp": "4+6",
    "route": "10.9.0.0/16@10.0.0.254",
    "mtu": "9000",
}
_HOST_KEYS: Final = {"network": "PG", "model": "vmxnet3", "vlan": "42", "interface": "vmnic0"}
_SEVERAL: Final = ("ip", "gw", "dns", "search", "dhcp", "route")
_GUEST_OPTIONS: Final = "".join(f"[,{k}={v}]" for k, v in _GUEST_KEYS.items() if k != "mac")

GUEST_FORM: Final = f"mac={_GUEST_KEYS['mac']}{_GUEST_OPTIONS}"
FORM: Final = (
    f"network=PG[,model=vmxnet3][,mac={_GUEST_KEYS['mac']}]{_GUEST_OPTIONS}"
    "[,vlan=42[,interface=vmnic0]]"
)


def parse_nic(text: str) -> NICSpec:
    """Parse one NIC.

    Raises:
        UsageError: A part is invalid, or the network is missing.
    """
    parts = _parts(text, FORM)
    if "network" not in parts:
        raise UsageError("a NIC requires network=PG", hint=f"Write --nic {FORM}.")
    return _spec(parts)


def guest_nic(text: str) -> NIC:
    """Parse the guest configuration of one NIC: as `parse_nic`, but only the MAC is required.

    The syntax of a spawn is accepted too; settings that only the host uses are ignored.

    Raises:
        UsageError: A part is invalid, or the MAC is missing.
    """
    parts = _parts(text, GUEST_FORM)
    if "mac" not in parts:
        raise UsageError("a NIC requires mac=ADDRESS", hint=f"Write --nic {GUEST_FORM}.")
    return nic_of(_spec({"network": ""} | {k: v for k, v in parts.items() if k in _GUEST_KEYS}))


def all_nics(
    network: str | None, mac: str | None, ip: str | None, nics: Sequence[str]
) -> tuple[NICSpec, ...]:
    """Return all NICs of a command: that of `--network`, `--mac` and `--ip` first, then each
    `--nic`.

    Raises:
        UsageError: `--mac` or `--ip` without `--network`, or an invalid NIC.
    """
    if network is None and (mac or ip):
        raise UsageError("--mac and --ip require --network", hint="Give --network PG too.")
    given = {"network": network, "mac": mac, "ip": ip}
    first = () if network is None else (_spec({k: v for k, v in given.items() if v}),)
    if ip and "/" not in ip:
        raise UsageError(
            f"--ip must be an address with a prefix length, got {printable(ip, 80)!r}",
            hint=f"Write --ip {printable(ip, 80)}/24 for a network of 24 bits.",
        )
    return (*first, *map(parse_nic, nics))


def _parts(text: str, form: str) -> dict[str, str]:
    parts: dict[str, str] = {}
    for part in text.split(","):
        key, equals, value = part.partition("=")
        if not equals or key not in _GUEST_KEYS | _HOST_KEYS or not value:
            raise UsageError(
                f"invalid part of a NIC: {printable(part, 80)!r}", hint=f"Write --nic {form}."
            )
        if key in parts:
            hint = (
                f"Write {key}=A+B for several values."
                if key in _SEVERAL
                else f"Write --nic {form}."
            )
            raise UsageError(f"{key} must be given once per NIC", hint=hint)
        parts[key] = value
    return parts


def _spec(parts: _Parts) -> NICSpec:
    """Build a NIC from its parsed parts."""
    gateway, gateway6 = _gateways(parts)
    dhcp4, dhcp6 = _dhcp(parts)
    mac = parts.get("mac")
    if "interface" in parts and "vlan" not in parts:
        raise UsageError("interface requires vlan", hint="Give vlan=ID too.")
    return NICSpec(
        network=parts["network"],
        model=cast("NICModel | None", parts.get("model")),
        mac=mac.lower().replace("-", ":") if mac else None,
        addresses=_several(parts, "ip"),
        gateway=gateway,
        gateway6=gateway6,
        dns=_several(parts, "dns"),
        search=_several(parts, "search"),
        dhcp4=dhcp4,
        dhcp6=dhcp6,
        routes=tuple(_route(one) for one in _several(parts, "route")),
        mtu=_number(parts, "mtu", "576 to 9216"),
        vlan=_number(parts, "vlan", "0 to 4094"),
        interface=parts.get("interface", "vmnic0"),
    )


def _several(parts: _Parts, key: str) -> tuple[str, ...]:
    if key not in parts:
        return ()
    found = tuple(parts[key].split("+"))
    if "" in found:
        raise UsageError(
            f"{key} must not have empty values, got {printable(parts[key], 80)!r}",
            hint=f"Write {key}=A, or {key}=A+B for several values.",
        )
    return found


def _gateways(parts: _Parts) -> tuple[str | None, str | None]:
    """Return the IPv4 gateway and the IPv6 gateway."""
    given = _several(parts, "gw")
    four = [one for one in given if ":" not in one]
    six = [one for one in given if ":" in one]
    if len(four) > 1 or len(six) > 1:
        raise UsageError(
            f"gw must be at most one IPv4 and one IPv6 gateway, got {printable(parts['gw'], 80)!r}"
        )
    return (four[0] if four else None), (six[0] if six else None)


def _dhcp(parts: _Parts) -> tuple[bool, bool]:
    """Return whether DHCP is used for IPv4, and for IPv6."""
    given = _several(parts, "dhcp")
    if not set(given) <= {"4", "6"}:
        raise UsageError(f"dhcp must be 4, 6 or 4+6, got {printable(parts['dhcp'], 40)!r}")
    return "4" in given, "6" in given


def _route(text: str) -> Route:
    to, *rest = text.split("@")
    if len(rest) not in (1, 2):
        raise UsageError(f"route must be NETWORK@GATEWAY[@METRIC], got {printable(text, 80)!r}")
    metric = {"metric": rest[1]} if len(rest) == 2 else {}
    number = _number(metric, "metric", "1 to 4294967295")
    return Route(to, rest[0], number)


def _number(parts: _Parts, key: str, wanted: str) -> int | None:
    """Return the integer of a key, None if the key is absent; its range is checked later."""
    text = parts.get(key)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 10):
        raise UsageError(f"{key} must be {wanted}, got {printable(text, 40)!r}")
    return int(text)
