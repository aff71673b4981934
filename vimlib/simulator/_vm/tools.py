"""The installer of VMware Tools, keys that are typed on a console, and newer virtual hardware."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from msgspec.structs import replace

from vimlib import vim25
from vimlib.simulator._core.handlers import handles
from vimlib.simulator._core.messages import invalid_argument, invalid_state, with_message
from vimlib.simulator._service.tasks import start_task
from vimlib.simulator._vm.hardware import hardware_of
from vimlib.simulator._vm.lifecycle import (
    require_connected,
    require_idle,
    require_power,
    store_config,
)
from vimlib.simulator._vm.virtual_machine import VirtualMachine

if TYPE_CHECKING:
    from vimlib.simulator._core.call import Call
    from vimlib.simulator._service.tasks import Task

_MOST_KEYS: Final = 10_000
"""Keys of a machine that are kept for a test to look at."""
_PRESS: Final = 7
"""Low half of a code of `PutUsbScanCodes`: the page of the keyboard (govmomi, `vm.keystrokes`)."""


@handles(VirtualMachine, "MountToolsInstaller")
def mount_tools(machine: VirtualMachine, call: Call) -> None:
    """Put the image with the tools into the CD-ROM drive of a running machine."""
    require_connected(machine)
    if machine.power != "poweredOn" or machine.tools_mounted:
        raise invalid_state()
    if not machine.devices(vim25.VirtualCdrom):
        raise with_message(
            vim25.GenericVmConfigFault(reason="no CD-ROM drive"),
            "The virtual machine has no CD-ROM drive.",
        )
    machine.tools_mounted = True
    machine.changed("runtime", "summary")


@handles(VirtualMachine, "UnmountToolsInstaller")
def unmount_tools(machine: VirtualMachine, call: Call) -> None:
    """Take the image with the tools out of the drive."""
    if machine.power != "poweredOn" or not machine.tools_mounted:
        raise invalid_state()
    machine.tools_mounted = False
    machine.changed("runtime", "summary")


@handles(VirtualMachine, "PutUsbScanCodes")
def put_scan_codes(machine: VirtualMachine, call: Call) -> int:
    """Type keys on the console of a running machine; return how many there were."""
    require_power(machine, "poweredOn")
    events = call.args["spec"].keyEvents
    for event in events:
        if event.usbHidCode & 0xFFFF != _PRESS or not 0 <= event.usbHidCode >> 16 <= 0xFF:
            raise invalid_argument("spec.keyEvents.usbHidCode", str(event.usbHidCode))
    machine.typed.extend(events)
    del machine.typed[:-_MOST_KEYS]
    return len(events)


@handles(VirtualMachine, "UpgradeVM_Task")
def upgrade(machine: VirtualMachine, call: Call) -> Any:
    """Give a machine that is off a newer version of the virtual hardware, by default the newest."""
    registry = machine.registry
    registry.require_licence()
    require_connected(machine)
    require_idle(machine)
    version = call.get("version") or registry.release.hardware
    if version not in hardware_of(registry.release):
        raise invalid_argument("version", version)

    async def work(task: Task) -> None:
        require_power(machine, "poweredOff")
        if version <= machine.config.version:
            raise with_message(
                vim25.AlreadyUpgraded(), "The virtual machine is already up to date."
            )
        machine.set_config(replace(machine.config, version=version))
        await store_config(machine)

    return start_task(call, machine, work)
