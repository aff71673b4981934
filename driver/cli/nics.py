"""NICs as they are written on a command line: `network=PG,model=vmxnet3,mac=..,ip=..,gw=..,dns=a+b`.

With `vlan=42` the port group is made where it is missing, on the switch of `interface=vmnic0`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from driver.guestinfo import NIC
from driver.instances.types import NICSpec
from vimlib.errors import UsageError, printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from driver.instances.types import NICModel

__all__ = ["FORM", "all_nics", "guest_nic", "parse_nic"]

FORM: Final = (
    "network=PG[,model=vmxnet3][,mac=00:50:56:..][,ip=10.0.0.2/24][,gw=10.0.0.1][,dns=A+B]"
    "[,vlan=42[,interface=vmnic0]]"
)
_KEYS: Final = ("network", "model", "mac", "ip", "gw", "dns", "vlan", "interface")
_GUEST_FORM: Final = "mac=00:50:56:..[,ip=10.0.0.2/24][,gw=10.0.0.1][,dns=A+B]"


def parse_nic(text: str) -> NICSpec:
    """Read one NIC. `ip`, `gw` and `dns` take several with `+` in between.

    Raises:
        UsageError: A part that cannot be, or no network.
    """
    parts = _parts(text, FORM)
    if "network" not in parts:
        raise UsageError("a NIC needs a network", hint=f"Write --nic {FORM}.")
    return make_nic(**parts)


def guest_nic(text: str) -> NIC:
    """Read what a guest shall know of one NIC: as `parse_nic`, and only the MAC must be there.

    Raises:
        UsageError: A part that cannot be, or no MAC.
    """
    parts = _parts(text, _GUEST_FORM)
    spec = make_nic(**{"network": ""} | parts)
    if spec.mac is None:
        where = f" on {spec.network!r}" if spec.network else ""
        raise UsageError(f"the NIC{where} has no MAC", hint="The guest finds its card by it.")
    return NIC(
        mac=spec.mac,
        addresses=spec.addresses,
        gateway4=spec.gateway,
        gateway6=spec.gateway6,
        dns=spec.dns,
    )


def _parts(text: str, form: str) -> dict[str, str]:
    parts: dict[str, str] = {}
    for part in text.split(","):
        key, equals, value = part.partition("=")
        if not equals or key not in _KEYS or not value:
            raise UsageError(
                f"{printable(part, 80)!r} is no part of a NIC", hint=f"Write --nic {form}."
            )
        if key in parts:
            raise UsageError(f"{key} is given twice for one NIC", hint=f"Write --nic {form}.")
        parts[key] = value
    return parts


def make_nic(
    network: str,
    model: str | None = None,
    mac: str | None = None,
    ip: str | None = None,
    gw: str | None = None,
    dns: str | None = None,
    vlan: str | None = None,
    interface: str | None = None,
) -> NICSpec:
    """Make a NIC of the texts of its parts.

    Raises:
        UsageError: One of them cannot be.
    """
    gateways = _several(gw)
    four = [one for one in gateways if ":" not in one]
    six = [one for one in gateways if ":" in one]
    if len(four) > 1 or len(six) > 1:
        raise UsageError(
            f"{printable(gw or '', 80)!r} has two gateways of one kind",
            hint="Give one IPv4 and one IPv6 gateway at most.",
        )
    if vlan is not None and not (vlan.isascii() and vlan.isdigit()):
        raise UsageError(f"{printable(vlan, 40)!r} is no VLAN id", hint="Give 0 to 4094.")
    if interface is not None and vlan is None:
        raise UsageError("interface belongs to vlan", hint="Give vlan=ID too.")
    return NICSpec(
        network=network,
        model=cast("NICModel", model or "e1000"),
        mac=mac.lower().replace("-", ":") if mac else None,
        addresses=_several(ip),
        gateway=four[0] if four else None,
        gateway6=six[0] if six else None,
        dns=_several(dns),
        vlan=int(vlan) if vlan is not None else None,
        interface=interface or "vmnic0",
    )


def all_nics(
    network: str | None, mac: str | None, ip: str | None, nics: Sequence[str]
) -> tuple[NICSpec, ...]:
    """Return the NICs of a command: the one of `--network`, `--mac` and `--ip`, then each `--nic`.

    Raises:
        UsageError: `--mac` or `--ip` without `--network`, or a NIC that cannot be.
    """
    if network is None and (mac or ip):
        raise UsageError("--mac and --ip belong to --network", hint="Give --network PG too.")
    first = () if network is None else (make_nic(network, mac=mac, ip=ip),)
    return (*first, *map(parse_nic, nics))


def _several(text: str | None) -> tuple[str, ...]:
    return tuple(part for part in (text or "").split("+") if part)
