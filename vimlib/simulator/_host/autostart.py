"""Which machines start and stop with the host, and in which order."""

from __future__ import annotations

import asyncio
from functools import cached_property
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from vimlib import vim25
from vimlib.simulator._core.handlers import handles
from vimlib.simulator._core.messages import invalid_argument
from vimlib.simulator._core.objects import SimObject, prop

if TYPE_CHECKING:
    from vimlib.simulator._core.call import Call
    from vimlib.simulator._core.registry import Registry

_START = ("none", "powerOn")
_STOP = ("none", "systemDefault", "powerOff", "suspend", "guestShutdown")


class AutoStartManager(SimObject):
    """The defaults and an entry for each configured machine.

    A fresh host shows the defaults without `enabled` and no entries: recorded of an ESX 4.1
    (`resources/esx-4.1.0-1` of fusioninventory-agent) and an ESXi 6.5 (`simulator/esx` of govmomi).
    """

    kind = "HostAutoStartManager"

    def __init__(self, registry: Registry) -> None:
        self.entries: dict[Any, Any] = {}
        """`AutoStartPowerInfo` by the machine's reference."""
        self.sequence: asyncio.Task[None] | None = None
        """The start or stop of machines that was begun last."""
        super().__init__(registry, "ha-autostart-mgr")

    @cached_property
    def defaults(self) -> Any:
        """`AutoStartDefaults`."""
        return vim25.AutoStartDefaults(
            startDelay=120, stopDelay=120, waitForHeartbeat=False, stopAction="PowerOff"
        )

    @prop("config", cached=False)
    def config(self) -> Any:
        """Return it as data: machines in their order, then those without one."""
        alive = [e for e in self.entries.values() if e.key.moref in self.registry.objects]
        ordered = sorted(alive, key=lambda e: (e.startOrder < 0, e.startOrder))
        return vim25.HostAutoStartManagerConfig(defaults=self.defaults, powerInfo=ordered)

    def place(self, entry: Any) -> None:
        """Put a machine's entry in; others at or behind its place move back by one."""
        self.entries.pop(entry.key, None)
        if entry.startOrder > 0:
            for key, other in self.entries.items():
                if other.startOrder >= entry.startOrder:
                    self.entries[key] = replace(other, startOrder=other.startOrder + 1)
        self.entries[entry.key] = entry
        order = 1
        for other in self.config().powerInfo:
            if other.startOrder > 0:
                self.entries[other.key] = replace(other, startOrder=order)
                order += 1

    def to_start(self) -> list[Any]:
        """Return the entries of the machines to start, in their order."""
        return [e for e in self.config().powerInfo if e.startAction.lower() == "poweron"]

    def to_stop(self) -> list[Any]:
        """Return the entries of the machines to stop: in reverse order, those without an order last again."""
        entries = sorted(self.config().powerInfo, key=lambda e: (e.startOrder < 0, -e.startOrder))
        return [e for e in entries if e.stopAction.lower() != "none"]


def _check(manager: AutoStartManager, entry: Any) -> None:
    manager.registry.find(entry.key)
    if entry.startAction.lower() not in {name.lower() for name in _START}:
        raise invalid_argument("spec.powerInfo.startAction", entry.startAction)
    if entry.stopAction.lower() not in {name.lower() for name in _STOP}:
        raise invalid_argument("spec.powerInfo.stopAction", entry.stopAction)
    if entry.startDelay < -1 or entry.stopDelay < -1:
        raise invalid_argument("spec.powerInfo.startDelay")
    others = sum(e.startOrder > 0 and e.key != entry.key for e in manager.config().powerInfo)
    if entry.startOrder != -1 and not 1 <= entry.startOrder <= others + 1:
        # 0 and a number that leaves a gap are refused (ansible-collections/community.vmware#1903).
        raise invalid_argument("spec.powerInfo.startOrder", str(entry.startOrder))


@handles(AutoStartManager, "ReconfigureAutostart")
def reconfigure_autostart(manager: AutoStartManager, call: Call) -> None:
    """Change the defaults, and the entries in the order of the spec; others stay."""
    spec = call.args["spec"]
    if spec.defaults is not None:
        given = {
            name: value
            for name in ("enabled", "startDelay", "stopDelay", "waitForHeartbeat", "stopAction")
            if (value := getattr(spec.defaults, name)) is not None
        }
        manager.defaults = replace(manager.defaults, **given)
    for entry in spec.powerInfo:
        _check(manager, entry)
        manager.place(entry)
    manager.changed_in_host("config")
