"""A machine's figures in nova's forms. No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nova.objects import diagnostics, fields

from vimdriver.nova._map import state_name

if TYPE_CHECKING:
    from vimdriver._instances.diagnostics import Diagnostics
    from vimdriver._instances.network import GuestNetwork


def all_of(found: Diagnostics, guest: GuestNetwork) -> dict[str, Any]:
    """Return nova's older form, which takes any fields: all figures, and under `guest` the addresses
    that the guest reports, who reports them, and whether they are those that nova gave it.
    """
    return {**found.to_json(), "guest": guest.to_json()}


def shown(found: Diagnostics, *, config_drive: bool) -> Any:
    """Return nova's object for the figures of a machine."""
    shown = diagnostics.Diagnostics(
        state=state_name(found.power_state),
        driver=fields.HypervisorDriver.VMWAREAPI,
        hypervisor="esxi",
        hypervisor_os="esxi",
        uptime=found.uptime,
        config_drive=config_drive,
    )
    for number in range(found.cpu.count):
        shown.add_cpu(id=number)
    for card in found.nics:
        shown.add_nic(mac_address=card.mac)
    for _ in found.disks:
        shown.add_disk()
    shown.memory_details = diagnostics.MemoryDiagnostics(
        maximum=found.memory.size_mb, used=found.memory.active_mb or 0
    )
    return shown


def disks(found: Diagnostics) -> list[dict[str, Any]]:
    """Return the disks of a machine, as nova's JSON has them."""
    return [
        {
            "type": "vmdk",
            "path": disk.path,
            "virt_disk_size": disk.capacity,
            "backing_file": "",
            "disk_size": disk.capacity,
            "over_committed_disk_size": 0,
        }
        for disk in found.disks
    ]
