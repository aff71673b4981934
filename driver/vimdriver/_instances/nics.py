"""Network cards of a machine that exists: attach, detach, connect, move to another port group."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vimdriver._instances import devices as builders
from vimdriver._instances.change import (
    OFF,
    ON,
    MachineState,
    added,
    devices_changed,
    gather,
    look,
    reconfigure,
)
from vimdriver._instances.device_list import DeviceInfo, choose, describe, is_card
from vimdriver._instances.types import NICModel, NICSpec
from vimdriver._verbs import Host, Plan, Run, returns, verb
from vimdriver.errors import NetworkNotFoundError
from vimlib import vim25
from vimlib._inventory import unescape
from vimlib.errors import NotFoundError, UsageError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from vimlib.errors import VimlibError


@verb
async def attach_interface(
    host: Host,
    ref: str,
    network: str,
    *,
    model: NICModel = "e1000",
    mac: str | None = None,
    foreign: bool = False,
) -> Plan[DeviceInfo]:
    """Add a network card to a machine (`ReconfigVM_Task`), running or not, and return the card.

    Cancelling waits for the task, then removes the card.

    Args:
        ref: uuid, name or moref's value.
        network: Name of the port group, which must exist.
        model: e1000, e1000e, vmxnet3 or pcnet32.
        mac: MAC address, lower case with colons; the default is chosen by the host.
        foreign: Change a machine of another owner too.

    Raises:
        NotFoundError: The machine does not exist.
        NetworkNotFoundError: The port group does not exist; nothing was changed.
        UsageError: The MAC address is invalid, or another card of the machine has it.
        VersionError: The host is too old for the model.
        ForeignInstanceError: Another made the machine, and `foreign` is false.
        InstanceStateError: The machine is suspended.
    """
    spec = NICSpec(network=network, model=model, mac=mac)
    change = builders.nic(spec, 0, api_version=host.client.api_version)
    machine = await gather(host, ref, ON, OFF, foreign=foreign)
    if mac is not None and any(is_card(device, mac) for device in machine.devices):
        raise UsageError(
            f"machine {ref} has a network card with MAC address {mac} already", field="mac"
        )

    def card(now: MachineState) -> vim25.VirtualDevice | None:
        """Return the card that was added: only ours was not there before, unless two are added at once."""
        found = [
            device
            for device in added(machine, now)
            if type(device) is type(change.device)
            and getattr(device.backing, "deviceName", None) == network
            and (mac is None or is_card(device, mac))
        ]
        return found[0] if len(found) == 1 else None

    step = reconfigure(
        machine,
        f"add a {model} card on {network!r}",
        lambda run: devices_changed(change),
        lambda run, now: card(now) is not None,
        undo=lambda run, now: _removal(card(now)),
        makes=f"network card of {ref}",
    )

    async def result(run: Run) -> DeviceInfo:
        now = await look(run.host.client, machine.vm, ref)
        found = card(now)
        if found is None:
            raise NotFoundError(
                f"the new network card of {ref} is gone, or another was added at the same time",
                kind="VirtualEthernetCard",
                hint="vimctl instance devices lists the cards.",
                outcome="applied",
            )
        return describe(found, now.devices)

    return Plan(f"attach a card to {ref}", (step,), result, explain=_explain(network))


def _removal(device: vim25.VirtualDevice | None) -> vim25.VirtualMachineConfigSpec | None:
    return None if device is None else devices_changed(builders.remove(device))


def _explain(network: str) -> Callable[[Host, VimlibError], Awaitable[VimlibError]]:
    """Return the function that names the port group behind the fault of a step."""

    async def explain(host: Host, error: VimlibError) -> VimlibError:
        if not isinstance(error, vim25.InvalidVmConfig | vim25.InvalidArgument | vim25.NotFound):
            return error
        rows = await host.client.gather({vim25.Network: ("name",)})
        known = {unescape(str(row.props.get("name", ""))) for row in rows[vim25.Network]}
        return (
            error if network in known else NetworkNotFoundError(name=network, known=sorted(known))
        )

    return explain


@verb
async def detach_interface(host: Host, ref: str, nic: str, *, foreign: bool = False) -> Plan[None]:
    """Remove a network card from a machine (`ReconfigVM_Task`), running or not.

    Cancelling waits for the task.

    Args:
        ref: uuid, name or moref's value.
        nic: The card's MAC address, label or key.
        foreign: Change a machine of another owner too.

    Raises:
        NotFoundError: The machine does not exist, or has no such card.
        ForeignInstanceError: Another made the machine, and `foreign` is false.
        InstanceStateError: The machine is suspended.
    """
    machine = await gather(host, ref, ON, OFF, foreign=foreign)
    card = _card(machine, nic)

    def is_gone(run: Run, now: MachineState) -> bool:
        found = now.with_key(card.key)
        return found is None or not is_card(found, card.macAddress or "")

    step = reconfigure(
        machine,
        f"remove the card {card.macAddress}",
        lambda run: devices_changed(builders.remove(card)),
        is_gone,
    )
    return Plan(f"detach a card from {ref}", (step,), returns(None))


def _card(machine: MachineState, which: str) -> vim25.VirtualEthernetCard:
    return choose(
        machine.devices,
        vim25.VirtualEthernetCard,
        which,
        noun="network card",
        machine=machine.ref,
    )


@verb
async def change_interface(
    host: Host,
    ref: str,
    nic: str,
    *,
    network: str | None = None,
    connected: bool | None = None,
    foreign: bool = False,
) -> Plan[DeviceInfo]:
    """Move a network card to another port group, connect or disconnect it (`ReconfigVM_Task`).

    The card stays as it is where that is so already. Cancelling waits for the task, then changes the
    card back.

    Args:
        ref: uuid, name or moref's value.
        nic: The card's MAC address, label or key.
        network: Name of the port group to move it to.
        connected: Whether it is connected, now and at power on.
        foreign: Change a machine of another owner too.

    Raises:
        NotFoundError: The machine does not exist, or has no such card.
        NetworkNotFoundError: The port group does not exist; nothing was changed.
        UsageError: Neither a port group nor a state is given.
        ForeignInstanceError: Another made the machine, and `foreign` is false.
        InstanceStateError: The machine is suspended.
    """
    if network is None and connected is None:
        raise UsageError(
            "a network or a state is required", hint="Give network (--network) or connected."
        )
    machine = await gather(host, ref, ON, OFF, foreign=foreign)
    card = _card(machine, nic)
    live = machine.power_state == ON
    wanted = _wanted(card, network, connected, live=live)

    def differs(now: MachineState) -> bool:
        found: Any = now.with_key(card.key)
        if found is None:
            return True
        return ("backing" in wanted and found.backing.deviceName != network) or (
            "connectable" in wanted
            and (
                found.connectable.startConnected != connected
                or (live and found.connectable.connected != connected)
            )
        )

    def back(run: Run, now: MachineState) -> vim25.VirtualMachineConfigSpec | None:
        """Return the former values, where the new ones are still there."""
        found = now.with_key(card.key)
        if found is None or differs(now):
            return None
        return devices_changed(builders.edit(_with(found, card, wanted)))

    step = reconfigure(
        machine,
        f"change the card {card.macAddress}: {', '.join(_words(network, connected, wanted))}",
        lambda run: devices_changed(builders.edit(builders.revised(card, **wanted))),
        lambda run, now: not differs(now),
        undo=back,
    )

    async def result(run: Run) -> DeviceInfo:
        now = await look(run.host.client, machine.vm, ref)
        found = _card(now, str(card.key))
        return describe(found, now.devices)

    return Plan(
        f"change a card of {ref}",
        (step,) if wanted else (),
        result,
        explain=None if network is None else _explain(network),
    )


def _wanted(
    card: vim25.VirtualEthernetCard, network: str | None, connected: bool | None, *, live: bool
) -> dict[str, Any]:
    """Return the fields of a card that are to change, with their new values."""
    wanted: dict[str, Any] = {}
    if network is not None and getattr(card.backing, "deviceName", None) != network:
        wanted["backing"] = vim25.VirtualEthernetCardNetworkBackingInfo(deviceName=network)
    before = card.connectable or vim25.VirtualDeviceConnectInfo(
        startConnected=False, allowGuestControl=True, connected=False
    )
    if connected is not None and (
        before.startConnected != connected or (live and before.connected != connected)
    ):
        wanted["connectable"] = builders.revised(
            before, startConnected=connected, connected=connected
        )
    return wanted


def _with(
    now: vim25.VirtualDevice, before: vim25.VirtualDevice, names: dict[str, Any]
) -> vim25.VirtualDevice:
    return builders.revised(now, **{name: getattr(before, name) for name in names})


def _words(network: str | None, connected: bool | None, wanted: dict[str, Any]) -> list[str]:
    words = [f"network {network!r}"] if "backing" in wanted else []
    return words + (
        ["connected" if connected else "disconnected"] if "connectable" in wanted else []
    )
