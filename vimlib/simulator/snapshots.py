"""Snapshots: a tree of configurations over chains of delta disks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vimlib import vim25
from vimlib.simulator.objects import Served, prop

if TYPE_CHECKING:
    from datetime import datetime

    from vimlib.simulator.machine import VirtualMachine

__all__ = ["Snapshot"]


class Snapshot(Served):
    """One snapshot of a machine."""

    kind = "VirtualMachineSnapshot"

    def __init__(
        self,
        machine: VirtualMachine,
        number: int,
        name: str,
        description: str,
        *,
        power: str,
        quiesced: bool,
        parent: Snapshot | None,
    ) -> None:
        self.machine = machine
        self.number = number
        self.name = name
        self.description = description
        self.power = power
        """Power state to which a revert goes back."""
        self.quiesced = quiesced
        self.parent = parent
        self.children: list[Snapshot] = []
        self.created: datetime = machine.world.clock.now()
        self.config = machine.config
        """The configuration when it was taken."""
        super().__init__(machine.world, f"{machine.moid}-snapshot-{number}")

    def tree(self) -> Any:
        """Return it and what hangs below as data."""
        return vim25.VirtualMachineSnapshotTree(
            snapshot=self.ref,
            vm=self.machine.ref,
            name=self.name,
            description=self.description,
            id=self.number,
            createTime=self.created,
            state=self.power,
            quiesced=self.quiesced,
            childSnapshotList=[child.tree() for child in self.children],
            replaySupported=False,
        )

    @prop("config")
    def _config(self) -> Any:
        return self.config

    @prop("childSnapshot")
    def _children(self) -> list[Any]:
        return [child.ref for child in self.children]

    @prop("vm")
    def _machine(self) -> Any:
        return self.machine.ref
