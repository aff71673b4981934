"""A machine as read before a change, and the step that reconfigures it.

Every verb that changes a machine gathers one `MachineState`, decides by it, and makes a plan of
`reconfigure` steps. Probe and undo read the machine again: changes of another process stay.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from vimdriver._instances import machine
from vimdriver._instances.devices import revised
from vimdriver._instances.machine import MAKING_KEY, OWNER_KEY, claim, marks_of
from vimdriver._verbs import Host, Plan, Run, Step, execute, returns
from vimdriver.errors import InstanceStateError
from vimlib import vim25
from vimlib._datastore import DatastorePath
from vimlib._inventory import unescape
from vimlib.errors import HostStateError

if TYPE_CHECKING:
    from collections.abc import Callable

    from vimdriver._journal import Entry
    from vimlib._client import Client
    from vimlib._collector import Row

ON: Final = str(vim25.VirtualMachinePowerState.poweredOn)
OFF: Final = str(vim25.VirtualMachinePowerState.poweredOff)

STATE_PATHS: Final = (
    "name",
    "snapshot",
    "runtime.powerState",
    "runtime.connectionState",
    "config.annotation",
    "config.changeVersion",
    "config.cpuHotAddEnabled",
    "config.extraConfig",
    "config.files.vmPathName",
    "config.hardware",
    "config.instanceUuid",
    "config.memoryHotAddEnabled",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineState:
    """A machine as read at one moment, in one call."""

    vm: vim25.VirtualMachine
    ref: str
    """As the caller names it."""
    version: str
    """Of its configuration: the host gives it another one with each change."""
    name: str
    uuid: str
    power_state: str
    vmx: DatastorePath
    """Its configuration file."""
    cpus: int
    cores_per_socket: int
    memory_mb: int
    cpu_hot_add: bool
    memory_hot_add: bool
    annotation: str
    devices: tuple[vim25.VirtualDevice, ...]
    marks: dict[str, str] = field(repr=False)
    """Its extraConfig, which may hold secrets of others."""
    has_snapshots: bool

    @property
    def owner(self) -> str:
        """Its owner mark; "" if it has none."""
        return self.marks.get(OWNER_KEY, "")

    def with_key(self, key: int) -> vim25.VirtualDevice | None:
        """Return the device of a key; None if it has none."""
        return next((device for device in self.devices if device.key == key), None)


def require_whole(machine: MachineState) -> None:
    """Raise `HostStateError` for a machine that a spawn or clone is making, or has left half-made."""
    if MAKING_KEY in machine.marks:
        raise HostStateError(
            f"machine {machine.ref!r} is being made, or was left half-made",
            state="making",
            hint="Wait for its spawn, or let its owner run vimctl sweep.",
        )


async def look(client: Client, vm: vim25.VirtualMachine, ref: str) -> MachineState:
    """Return a machine as it is now. One call; cancelling loses nothing.

    Raises:
        ManagedObjectNotFound: It is gone.
        InstanceStateError: The host cannot reach its files, so it has no configuration.
    """
    return state_of(await client.get(vm, *STATE_PATHS), ref)


def state_of(row: Row[vim25.VirtualMachine], ref: str) -> MachineState:
    """Return a row of `STATE_PATHS`. Raises `InstanceStateError`: see `look`."""
    props = row.props
    connection = props.get("runtime.connectionState") or "connected"
    hardware: vim25.VirtualHardware | None = row.known("config.hardware")
    vmx = props.get("config.files.vmPathName")
    if connection != "connected" or hardware is None or not vmx:
        raise InstanceStateError(name=ref, state=str(connection), needed="connected")
    return MachineState(
        vm=row.obj,
        ref=ref,
        version=str(props.get("config.changeVersion") or ""),
        name=unescape(props.get("name") or ""),
        uuid=str(props.get("config.instanceUuid") or ""),
        power_state=str(row.require("runtime.powerState")),
        vmx=DatastorePath.parse(vmx),
        cpus=hardware.numCPU,
        cores_per_socket=hardware.numCoresPerSocket or 1,
        memory_mb=hardware.memoryMB,
        cpu_hot_add=bool(props.get("config.cpuHotAddEnabled")),
        memory_hot_add=bool(props.get("config.memoryHotAddEnabled")),
        annotation=str(props.get("config.annotation") or ""),
        devices=tuple(hardware.device),
        marks=marks_of(row),
        has_snapshots=props.get("snapshot") is not None,
    )


async def find_state(client: Client, ref: str) -> MachineState:
    """Return the machine that `ref` names, as it is now: one call once its reference is known.

    Cancelling loses nothing. Raises as `machine.find`, and `InstanceStateError` as `look`.
    """
    return state_of(await machine.look(client, ref, *STATE_PATHS), ref)


async def gather(host: Host, ref: str, *allowed: str, foreign: bool = False) -> MachineState:
    """Return the machine that a verb changes. Cancelling loses nothing.

    Args:
        host: The host.
        ref: uuid, name or moref's value.
        *allowed: Power states in which it may be changed; none stands for all.
        foreign: Whether it may be another's.

    Raises as `machine.claim`, and:
        InstanceStateError: Its state does not allow the change.
    """
    found = state_of(await claim(host, ref, *STATE_PATHS, foreign=foreign), ref)
    require(found, *allowed)
    return found


def require(found: MachineState, *allowed: str) -> None:
    """Raise `InstanceStateError` unless the machine is in one of the power states; none stands for all."""
    if allowed and found.power_state not in allowed:
        raise InstanceStateError(
            name=found.ref, state=found.power_state, needed=" or ".join(allowed)
        )


def reconfigure(
    before: MachineState,
    title: str,
    spec: Callable[[Run], vim25.VirtualMachineConfigSpec],
    shows: Callable[[Run, MachineState], bool],
    *,
    exclusive: bool = False,
    still: Callable[[MachineState], None] | None = None,
    undo: Callable[[Run, MachineState], vim25.VirtualMachineConfigSpec | None] | None = None,
    entry: Callable[[Run], Entry] | None = None,
    makes: str = "",
    refused: Callable[[Run, vim25.MethodFault], Any] | None = None,
) -> Step[Any]:
    """Return the step that changes a machine by one `ReconfigVM_Task`.

    Args:
        before: The machine.
        title: Its effect, without the method.
        spec: Returns the change.
        shows: Whether the machine as read now has the change.
        exclusive: Whether the host is to refuse it (`ConcurrentAccess`) where another process has changed
            the machine since `before` was read. Not for a step that follows another change of its plan.
        still: For such a step: raises unless the machine, read right before the change, still allows it; the
            host is to refuse the change where another process has changed the machine since then. One call more.
        undo: Returns the change that takes it back from the machine as read now; None if nothing is
            left to take back. Without it the step stays done.
        entry: See `Step.entry`.
        makes: See `Step.makes`.
        refused: See `Step.refused`.
    """
    vm, ref = before.vm, before.ref

    async def change(run: Run) -> vim25.Task[None]:
        made, known = spec(run), before if exclusive else None
        if still is not None:
            known = await look(run.host.client, vm, ref)
            still(known)
        if known is not None:
            made = revised(made, changeVersion=known.version or None)
        return await vm.ReconfigVM_Task(made)

    async def probe(run: Run) -> bool | None:
        return shows(run, await look(run.host.client, vm, ref)) or None

    async def take_back(run: Run, result: Any) -> None:
        outer = run

        async def rest() -> vim25.VirtualMachineConfigSpec | None:
            assert undo is not None, "it is given as the undo only then"
            try:
                return undo(outer, await look(outer.host.client, vm, ref))
            except vim25.ManagedObjectNotFound:
                return None  # gone, with all that it had

        async def is_back(run: Run) -> bool | None:
            return await rest() is None or None

        back = await rest()
        if back is None:
            return
        step = Step[Any](
            title=f"take back: {title} (ReconfigVM_Task)",
            call=lambda run: vm.ReconfigVM_Task(back),
            probe=is_back,
            of=lambda run: vm,
        )
        await execute(outer.host, Plan(f"take back a change of {ref}", (step,), returns(None)))

    return Step[Any](
        title=f"{title} (ReconfigVM_Task)",
        makes=makes,
        call=change,
        probe=probe,
        undo=None if undo is None else take_back,
        refused=refused,
        entry=entry,
        of=lambda run: vm,
    )


def devices_changed(
    *changes: vim25.VirtualDeviceConfigSpec, **fields: Any
) -> vim25.VirtualMachineConfigSpec:
    """Return the spec with these changes of devices, and further fields."""
    return vim25.VirtualMachineConfigSpec(deviceChange=list(changes), **fields)


def added(before: MachineState, now: MachineState) -> list[vim25.VirtualDevice]:
    """Return the devices that a machine has now and had not before."""
    keys = {device.key for device in before.devices}
    return [device for device in now.devices if device.key not in keys]
