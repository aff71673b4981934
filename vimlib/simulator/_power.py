"""Power: on, off, suspend, reset, and what the guest's tools do; questions that a machine asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from vimlib import vim25
from vimlib.simulator import _vmdk as vmdk
from vimlib.simulator._disk_manager import disk_fault
from vimlib.simulator._lifecycle import (
    free_files,
    hold_files,
    require_connected,
    require_idle,
    require_power,
)
from vimlib.simulator._machine import VirtualMachine
from vimlib.simulator._objects import serves
from vimlib.simulator._tasks import start_task
from vimlib.simulator._world import say

if TYPE_CHECKING:
    from vimlib.simulator._call import Call
    from vimlib.simulator._tasks import Task

__all__ = ["ask", "power_off", "power_on"]


async def power_on(machine: VirtualMachine) -> None:
    """Start a machine. Raises what a host raises: a disk that is missing, broken or in use, memory that is odd or not there."""
    world = machine.world
    require_power(machine, "poweredOff", "suspended", requested="poweredOn")
    if world.host.maintenance:
        raise say(
            vim25.InvalidState(), "The operation is not allowed in the current state of the host."
        )
    hardware = machine.config.hardware
    if hardware.memoryMB % 4:
        # As a vCenter gave it: OpenNebula/one#1105.
        words = f"Memory (RAM) size ({hardware.memoryMB}) is invalid."
        raise say(vim25.GenericVmConfigFault(reason=words), words)
    used = sum(
        m.config.hardware.memoryMB for m in world.machines.values() if m.power == "poweredOn"
    )
    if (used + hardware.memoryMB) << 20 > world.host.shape.memory * 4:
        raise say(
            vim25.InsufficientMemoryResourcesFault(unreserved=0, requested=hardware.memoryMB << 20),
            "The host does not have sufficient memory resources to satisfy the reservation.",
        )
    for store, path in machine.disk_files():
        shown = store.shown(path)
        holder = store.locks.get(path)
        if holder is not None and holder != machine.name:
            raise say(
                vim25.FileLocked(file=shown), f"Unable to access file {shown} since it is locked"
            )
        try:
            disk = await world.io(vmdk.verify, store.local(path))
        except (OSError, vmdk.DiskError) as error:
            raise disk_fault(error, shown) from None
        wanted = next(
            (d.capacityInKB for d in machine.disks() if d.backing.fileName == shown), None
        )
        if wanted is not None and wanted != disk.capacity // 1024:
            raise disk_fault(
                vmdk.DiskError(f"its size is {disk.capacity // 1024} KB, not {wanted}"), shown
            )
    await wait_for_answer(machine)
    hold_files(machine)
    try:
        await machine.store.work(
            _boot_files, machine, touched=[f"{machine.folder}/vmware.log".lstrip("/")]
        )
    except BaseException:
        free_files(machine)
        raise
    _connect(machine, True)
    machine.set_power("poweredOn")
    if machine.guest.tools_installed:
        machine.guest.tools_running = True
        machine.changed("guest", "summary", "guestHeartbeatStatus")


def _boot_files(machine: VirtualMachine) -> None:
    folder = machine.store.local(machine.folder)
    with folder.joinpath("vmware.log").open("a", encoding="utf-8") as log:
        log.write(f"{machine.world.clock.now().isoformat()} vmx: powered on {machine.name}\n")


def _connect(machine: VirtualMachine, on: bool) -> None:
    """Connect what starts connected, or disconnect everything."""
    devices = []
    for device in machine.config.hardware.device:
        connect = device.connectable
        if connect is not None:
            wanted = on and connect.startConnected
            if connect.connected != wanted:
                device = replace(
                    device,
                    connectable=replace(
                        connect, connected=wanted, status="ok" if on else "untried"
                    ),
                )
        devices.append(device)
    config = machine.config
    machine.config = replace(config, hardware=replace(config.hardware, device=devices))


def power_off(machine: VirtualMachine) -> None:
    """Stop a machine at once."""
    free_files(machine)
    _connect(machine, False)
    machine.question = None
    machine.answered.set()
    machine.set_power("poweredOff")
    machine.changed("config")


@serves(VirtualMachine, "PowerOnVM_Task")
def power_on_vm(machine: VirtualMachine, call: Call) -> Any:
    """Power on, or resume."""
    machine.world.require_licence()
    require_connected(machine)
    require_idle(machine)
    require_power(machine, "poweredOff", "suspended", requested="poweredOn")

    async def work(task: Task) -> None:
        resumed = machine.power == "suspended"
        await power_on(machine)
        _event(
            machine,
            call,
            task,
            "VmResumingEvent" if resumed else "VmPoweredOnEvent",
            "is powered on",
        )

    return start_task(call, machine, work)


@serves(VirtualMachine, "PowerOffVM_Task")
def power_off_vm(machine: VirtualMachine, call: Call) -> Any:
    """Power off; a suspended machine loses its state."""
    machine.world.require_licence()
    require_idle_but_asked(machine)
    require_power(machine, "poweredOn", "suspended", requested="poweredOff")

    async def work(task: Task) -> None:
        require_power(machine, "poweredOn", "suspended", requested="poweredOff")
        power_off(machine)
        _event(machine, call, task, "VmPoweredOffEvent", "is powered off")

    return start_task(call, machine, work)


def require_idle_but_asked(machine: VirtualMachine) -> None:
    """Raise `TaskInProgress`, unless the task that runs only waits for an answer."""
    if machine.question is None:
        require_idle(machine)


@serves(VirtualMachine, "SuspendVM_Task")
def suspend_vm(machine: VirtualMachine, call: Call) -> Any:
    """Suspend."""
    machine.world.require_licence()
    require_idle(machine)
    require_power(machine, "poweredOn", requested="suspended")

    async def work(task: Task) -> None:
        require_power(machine, "poweredOn", requested="suspended")
        folder = machine.store.local(machine.folder)
        name = machine.vmx.rpartition("/")[2].removesuffix(".vmx") + ".vmss"
        await machine.store.work(
            lambda: folder.joinpath(name).write_bytes(b"suspended\n"),
            touched=[f"{machine.folder}/{name}".lstrip("/")],
        )
        free_files(machine)
        machine.set_power("suspended")
        _event(machine, call, task, "VmSuspendedEvent", "is suspended")

    return start_task(call, machine, work)


@serves(VirtualMachine, "ResetVM_Task")
def reset_vm(machine: VirtualMachine, call: Call) -> Any:
    """Reset."""
    machine.world.require_licence()
    require_idle(machine)
    require_power(machine, "poweredOn")

    async def work(task: Task) -> None:
        require_power(machine, "poweredOn")
        machine.booted = machine.world.clock.now()
        machine.set_power("poweredOn")
        machine.guest.tools_running = machine.guest.tools_installed
        machine.changed("guest", "summary", "guestHeartbeatStatus")
        _event(machine, call, task, "VmResettingEvent", "is reset")

    return start_task(call, machine, work)


def _event(machine: VirtualMachine, call: Call, task: Task, name: str, text: str) -> None:
    machine.world.events.post(
        name,
        f"{machine.name} on {machine.world.host.name} {text}",
        machine=machine,
        user=call.user,
        chain=task.chain,
    )


def _require_tools(machine: VirtualMachine) -> None:
    require_power(machine, "poweredOn")
    if not machine.guest.tools_running:
        raise say(
            vim25.ToolsUnavailable(),
            "Cannot complete operation because VMware Tools is not running in this virtual machine.",
        )


@serves(VirtualMachine, "ShutdownGuest", "StandbyGuest")
def shutdown_guest(machine: VirtualMachine, call: Call) -> None:
    """Ask the guest to shut down or to sleep; it does so a little later."""
    machine.world.require_licence()
    require_idle(machine)
    _require_tools(machine)
    world = machine.world
    standby = call.method == "StandbyGuest"
    name = "VmGuestStandbyEvent" if standby else "VmGuestShutdownEvent"
    world.events.post(
        name,
        f"Guest OS shut down for {machine.name} on {world.host.name}",
        machine=machine,
        user=call.user,
    )

    async def later() -> None:
        await world.clock.sleep(world.guest_seconds)
        if machine.alive and machine.power == "poweredOn":
            if standby:
                free_files(machine)
                machine.set_power("suspended")
            else:
                power_off(machine)

    world.spawn(later(), f"simulated shutdown of {machine.moid}")


@serves(VirtualMachine, "RebootGuest")
def reboot_guest(machine: VirtualMachine, call: Call) -> None:
    """Ask the guest to reboot; its tools are away for a while."""
    machine.world.require_licence()
    require_idle(machine)
    _require_tools(machine)
    world = machine.world
    world.events.post(
        "VmGuestRebootEvent",
        f"Guest OS reboot for {machine.name} on {world.host.name}",
        machine=machine,
        user=call.user,
    )
    machine.guest.tools_running = False
    machine.changed("guest", "summary", "guestHeartbeatStatus")

    async def later() -> None:
        await world.clock.sleep(world.guest_seconds)
        if machine.alive and machine.power == "poweredOn":
            machine.booted = world.clock.now()
            machine.guest.tools_running = True
            machine.changed("runtime", "guest", "summary", "guestHeartbeatStatus")

    world.spawn(later(), f"simulated reboot of {machine.moid}")


async def wait_for_answer(machine: VirtualMachine) -> None:
    """Wait while the machine asks something; its task stands still meanwhile."""
    while machine.question is not None:
        machine.answered.clear()
        await machine.answered.wait()


def ask(machine: VirtualMachine, text: str, choices: dict[str, str], default: int = 0) -> str:
    """Let a machine ask a question; return its id. `AnswerVM` takes it away."""
    number = str(machine.world.serial())
    machine.question = vim25.VirtualMachineQuestionInfo(
        id=number,
        text=text,
        choice=vim25.ChoiceOption(
            choiceInfo=[
                vim25.ElementDescription(label=label, summary=label, key=key)
                for key, label in choices.items()
            ],
            defaultIndex=default,
        ),
        message=[vim25.VirtualMachineMessage(id="msg.question", text=text)],
    )
    machine.changed("runtime", "summary")
    return number


@serves(VirtualMachine, "AnswerVM")
def answer(machine: VirtualMachine, call: Call) -> None:
    """Answer the question that a machine asks."""
    question = machine.question
    if question is None or question.id != call.args["questionId"]:
        raise say(
            vim25.InvalidArgument(invalidProperty="questionId"),
            "A specified parameter was not correct: questionId",
        )
    choice = call.args["answerChoice"]
    if choice not in {option.key for option in question.choice.choiceInfo}:
        raise say(
            vim25.InvalidArgument(invalidProperty="answerChoice"),
            "A specified parameter was not correct: answerChoice",
        )
    machine.question = None
    machine.answers.append(choice)
    machine.changed("runtime", "summary")
    machine.answered.set()
