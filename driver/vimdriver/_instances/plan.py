"""A machine to spawn, in the API's terms: checked and computed from its specification. No I/O."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from vimdriver import _guestinfo as guestinfo
from vimdriver._instances.devices import ADAPTERS, disk_type_adapter, nic, video_card
from vimdriver._instances.extra_config import check_extra_config
from vimdriver._instances.machine import MAKING_KEY, OWNER_KEY, SPAWN_KEY
from vimdriver._instances.package_defaults import CPUS, MEMORY_MB
from vimlib import vim25
from vimlib._inventory import escape
from vimlib.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vimdriver._config import DriverConfig
    from vimdriver._instances.image_properties import ImageDefaults
    from vimdriver._instances.types import InstanceSpec, NICSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class SpawnPlan:
    """The machine, without its disk."""

    config: vim25.VirtualMachineConfigSpec
    adapter: str
    disk_adapter: str
    """The adapter as a disk's descriptor calls it."""


def guest_config(
    spec: InstanceSpec, macs: Sequence[str | None] | None = None
) -> guestinfo.GuestConfig:
    """Return the guest's network configuration.

    `macs` are the addresses of all cards, where the host has chosen some. Without them a NIC
    without a MAC is left out, since the guest finds cards by MAC.
    """
    cards = list(spec.nics)
    if macs is not None:
        cards = [replace(card, mac=mac) for card, mac in zip(cards, macs, strict=True)]
    return guestinfo.GuestConfig(
        hostname=spec.hostname,
        nics=[guest_nic(card) for card in cards if card.mac is not None],
        search=spec.search,
    )


def guest_settings(
    spec: InstanceSpec, config: DriverConfig, macs: Sequence[str | None] | None = None
) -> dict[str, str]:
    """Return the extraConfig keys for the guest; those of `InstanceSpec.extra_config` are the caller's.

    Raises:
        UsageError: A value is not valid, or the form cannot express the configuration.
    """
    guest = guest_config(spec, macs)
    if not (guest.nics or guest.hostname or guest.search):
        return {}
    settings = guestinfo.extra_config(guest, config.guest_form, instance_id=spec.uuid)
    given = dict(spec.extra_config)
    # A name alone is nothing in nova's form.
    return {key: value for key, value in settings.items() if value and key not in given}


def guest_nic(card: NICSpec) -> guestinfo.NIC:
    """Return the guest's configuration of one card.

    Raises:
        UsageError: The card has no MAC, or a value is not valid.
    """
    if card.mac is None:
        raise UsageError(
            f"the NIC on {card.network!r} requires a MAC address"
            if card.network
            else "the NIC requires a MAC address",
            hint="Give mac=00:50:56:.., by which the guest finds the card.",
        )
    own = [address.partition("/")[0] for address in card.addresses]
    for gateway in (card.gateway, card.gateway6):
        if gateway in own:
            # nova writes that for a router machine; who writes it by hand has mistyped.
            raise UsageError(
                f"the gateway {gateway} is the NIC's own address",
                field="gateway",
                hint="Give the address of the router.",
            )
    return guestinfo.NIC(
        mac=card.mac,
        addresses=card.addresses,
        gateway4=card.gateway,
        gateway6=card.gateway6,
        dns=card.dns,
        search=card.search,
        dhcp4=card.dhcp4,
        dhcp6=card.dhcp6,
        routes=card.routes,
        mtu=card.mtu,
    )


def _extra_config(
    spec: InstanceSpec, config: DriverConfig, token: str, making: str
) -> list[vim25.OptionValue]:
    pairs = guest_settings(spec, config) | dict(spec.extra_config)
    # Last: nothing that a caller gives may stand in for the marks.
    marks = {OWNER_KEY: config.mark(), SPAWN_KEY: token, MAKING_KEY: making}
    check_extra_config(
        (key for key, _ in spec.extra_config if key not in marks), config.extra_config
    )
    pairs = {key: value for key, value in pairs.items() if key not in marks}
    pairs |= {key: value for key, value in marks.items() if value}
    return [vim25.OptionValue(key=key, value=value) for key, value in pairs.items()]


def plan_spawn(
    spec: InstanceSpec,
    defaults: ImageDefaults,
    config: DriverConfig,
    *,
    api_version: str,
    token: str = "",
    making: str = "",
) -> SpawnPlan:
    """Return the machine to spawn.

    `defaults` are the image's, for all that the spec leaves open. `token` and `making` become the
    machine's `SPAWN_KEY` and `MAKING_KEY`.

    Raises:
        UsageError: The adapter does not exist.
        VersionError: The host is too old for a NIC model, or for the allocation of disks.
    """
    spec.hardware.check_version(api_version)
    adapter = spec.adapter or defaults.adapter or "lsiLogic"
    adapter = next((a for a in ADAPTERS if a.lower() == adapter.lower()), adapter)
    limits = spec.hardware.network
    cards = [replace(card, model=card.model or defaults.nic_model) for card in spec.nics]
    changes = [nic(card, i, api_version=api_version, limits=limits) for i, card in enumerate(cards)]
    if spec.hardware.video_ram_mb is not None:
        changes.append(video_card(spec.hardware.video_ram_mb))
    return SpawnPlan(
        config=vim25.VirtualMachineConfigSpec(
            name=escape(spec.name),
            annotation=spec.notes or None,
            instanceUuid=spec.uuid,
            guestId=spec.guest_id or defaults.guest_id or "otherGuest",
            files=vim25.VirtualMachineFileInfo(vmPathName=f"[{spec.datastore}]"),
            numCPUs=spec.cpus or CPUS,
            memoryMB=spec.memory_mb or MEMORY_MB,
            tools=vim25.ToolsConfigInfo(
                afterPowerOn=True,
                afterResume=True,
                beforeGuestStandby=True,
                beforeGuestShutdown=True,
                beforeGuestReboot=True,
            ),
            deviceChange=changes,
            extraConfig=_extra_config(spec, config, token, making),
            **{"firmware": defaults.firmware} | spec.hardware.fields(),
        ),
        adapter=adapter,
        disk_adapter=disk_type_adapter(adapter),
    )
