"""Reboot and shutdown of the host, with the machines that stop and start with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vimlib.simulator._core.handlers import handles
from vimlib.simulator._core.messages import invalid_state
from vimlib.simulator._host.autostart import AutoStartManager
from vimlib.simulator._host.host_system import HostSystem
from vimlib.simulator._managers.auto_power import start_machines, stop_machines
from vimlib.simulator._service.sessions import SessionManager
from vimlib.simulator._service.tasks import start_task
from vimlib.simulator._vm.power import power_off
from vimlib.simulator._vm.virtual_machine import VirtualMachine

if TYPE_CHECKING:
    from vimlib.simulator._core.call import Call
    from vimlib.simulator._core.registry import Registry
    from vimlib.simulator._service.tasks import Task


async def reboot(registry: Registry, *, shutdown: bool = False, seconds: float = 0.0) -> None:
    """Take the host down and, unless `shutdown`, up again `seconds` later.

    Machines lose power and sessions end; those that start with the host do so. Cancelling it may leave
    the host without its service.
    """
    for machine in registry.all(VirtualMachine).values():
        if machine.power == "poweredOn":
            power_off(machine)
    registry.one(SessionManager).expire()
    host = registry.one(HostSystem)
    host.booted = registry.clock.now()
    host.changed("runtime", "summary")
    await registry.persist()
    if registry.restart is not None:
        await registry.restart(-1.0 if shutdown else seconds)
    if not shutdown:
        manager = registry.one(AutoStartManager)
        manager.sequence = registry.spawn(start_machines(registry), "simulated autostart")


@handles(HostSystem, "RebootHost_Task", "ShutdownHost_Task")
def reboot_host(host: HostSystem, call: Call) -> Any:
    """Reboot: in maintenance, or by force; machines are stopped or lose power, sessions end."""
    shutdown = call.method.startswith("Shutdown")

    async def work(task: Task) -> None:
        if not host.maintenance and not call.args["force"]:
            raise invalid_state()
        await stop_machines(host.registry)
        host.registry.spawn(reboot(host.registry, shutdown=shutdown), "simulated reboot")

    return start_task(call, host, work)
