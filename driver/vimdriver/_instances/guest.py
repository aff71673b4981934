"""What a machine tells its guest, written anew while it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vimdriver import _guestinfo as guestinfo
from vimdriver._instances import lookup
from vimdriver._steps.outcome import run_task
from vimlib import vim25
from vimlib._session.shield import finish
from vimlib.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vimdriver._config import DriverConfig
    from vimdriver._guestinfo import Form, GuestConfig
    from vimlib._client import Client

__all__ = ["check_cards", "set_guest_info"]


def check_cards(guest: GuestConfig, devices: Iterable[vim25.VirtualDevice], machine: str) -> None:
    """Check that each NIC has a card of its MAC: the guest finds it by nothing else.

    Raises:
        UsageError: One has not; names those that are there.
    """
    there = [
        (device.macAddress or "").lower()
        for device in devices
        if isinstance(device, vim25.VirtualEthernetCard)
    ]
    for nic in guest.nics:
        if nic.mac.lower() not in there:
            raise UsageError(
                f"machine {machine} has no network card with MAC address {nic.mac}",
                hint=f"It has: {', '.join(sorted(filter(None, there))) or 'none'}.",
            )


async def set_guest_info(
    client: Client, ref: str, guest: GuestConfig, config: DriverConfig, *, form: Form | None = None
) -> dict[str, str]:
    """Write `guest` into a machine's extraConfig (`ReconfigVM_Task`), running or not; return what was set.

    The guest sees it when it asks the next time: its helper, or cloud-init, at the next boot. The
    keys of other forms stay as they are. Cancelling waits for the task.

    Args:
        client: The host.
        ref: uuid, name or moref's value.
        guest: What the guest shall be.
        config: Deadlines, and the form where none is given.
        form: See `vimdriver._guestinfo`.

    Raises:
        NotFoundError: There is no such machine.
        UsageError: A NIC's MAC is none of the machine's, the form cannot say it, or can say none of
            it, so that it would only take away what the guest has been told.
    """
    vm = await lookup.find(client, ref)
    row = await client.get(vm, "config.instanceUuid", "config.hardware.device")
    check_cards(guest, row.props.get("config.hardware.device") or [], ref)
    wanted = guestinfo.extra_config(
        guest,
        form or config.guest_form,
        # The same for ever: to cloud-init another one is another machine.
        instance_id=row.props.get("config.instanceUuid"),
    )
    if guest != guestinfo.GuestConfig() and not any(wanted.values()):
        raise UsageError(
            f"the form {form or config.guest_form} requires a NIC",
            hint="Give the machine's NICs too, or use the form versioned.",
        )
    change = vim25.VirtualMachineConfigSpec(
        extraConfig=[vim25.OptionValue(key=key, value=value) for key, value in wanted.items()]
    )

    async def is_set() -> bool | None:
        found = await client.get(vm, "config.extraConfig")
        there = {o.key: o.value for o in found.props.get("config.extraConfig") or []}
        # A host drops a key whose value is empty.
        return all(there.get(key, "") == value for key, value in wanted.items()) or None

    async def work() -> None:
        await run_task(client, lambda: vm.ReconfigVM_Task(change), config, look=is_set, of=vm)

    await finish(work(), what=f"guest info of {ref}")
    return wanted
