"""A machine's configuration for its guest, changed while it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

from vimdriver import _guestinfo as guestinfo
from vimdriver._instances.machine import claim, marks_of
from vimdriver._verbs import Host, Plan, Run, Step, returns, verb
from vimlib import vim25
from vimlib.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vimdriver._guestinfo import Form, GuestConfig


def check_cards(guest: GuestConfig, devices: Iterable[vim25.VirtualDevice], machine: str) -> None:
    """Check that each NIC has a card of its MAC, by which the guest finds it.

    Raises:
        UsageError: One has none; names the cards of the machine.
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


@verb
async def set_guest_info(
    host: Host,
    ref: str,
    config: GuestConfig,
    *,
    form: Form | None = None,
    new_instance: bool = False,
    foreign: bool = False,
) -> Plan[dict[str, str]]:
    """Write a guest's configuration into a machine's extraConfig (`ReconfigVM_Task`), running or not.

    Returns the keys that were set. The guest's helper, or cloud-init, reads them at the next boot.
    The keys of other forms stay as they are. Cancelling waits for the task.

    Args:
        ref: uuid, name or moref's value.
        config: The guest's configuration.
        form: See `vimdriver._guestinfo`; None takes `DriverConfig.guest_form`.
        new_instance: Make cloud-init treat the machine as another one: it runs everything again,
            and replaces the SSH host keys.
        foreign: Act on a machine of another owner too.

    Raises:
        NotFoundError: The machine does not exist.
        ForeignInstanceError: Another made the machine, and `foreign` is false.
        UsageError: The machine has no card of a NIC's MAC, or the form cannot express the
            configuration, or any of it, so that it would only remove the guest's present one.
    """
    form = form or host.config.guest_form
    row = await claim(host, ref, "config.hardware.device", foreign=foreign)
    vm = row.obj
    check_cards(config, row.props.get("config.hardware.device") or [], ref)
    wanted = guestinfo.extra_config(
        config,
        form,
        # The same for ever: to cloud-init another one is another machine.
        instance_id=str(uuid4()) if new_instance else row.props.get("config.instanceUuid"),
    )
    if new_instance and form != "cloud-init":
        raise UsageError(f"new_instance requires the form cloud-init, got {form}", field="form")
    if config != guestinfo.GuestConfig() and not any(wanted.values()):
        raise UsageError(
            f"the form {form} requires a NIC",
            hint="Give the machine's NICs too, or use the form versioned.",
        )
    change = vim25.VirtualMachineConfigSpec(
        extraConfig=[vim25.OptionValue(key=key, value=value) for key, value in wanted.items()]
    )

    async def probe(run: Run) -> bool | None:
        there = marks_of(await run.host.client.get(vm, "config.extraConfig"))
        # A host drops a key whose value is empty.
        return all(there.get(key, "") == value for key, value in wanted.items()) or None

    step = Step[Any](
        title=f"set {', '.join(sorted(wanted))} (ReconfigVM_Task)",
        call=lambda run: vm.ReconfigVM_Task(change),
        probe=probe,
        of=lambda run: vm,
    )
    return Plan(f"set guest info of {ref}", (step,), returns(wanted))
