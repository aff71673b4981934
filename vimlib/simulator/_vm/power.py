"""Power on, off, suspend, reset, interrupt; shutdown and reboot of guests; questions of machines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from vimlib import vim25
from vimlib.simulator._core.handlers import handles
from vimlib.simulator._core.messages import invalid_argument, with_message
from vimlib.simulator._host.host_system import HostSystem
from vimlib.simulator._service.events import EventManager
from vimlib.simulator._service.tasks import start_task
from vimlib.simulator._storage import vmdk
from vimlib.simulator._storage.datastore import by_name, no_such_file
from vimlib.simulator._storage.disks import disk_fault
from vimlib.simulator._vm.lifecycle import (
    free_files,
    hold_files,
    require_connected,
    require_idle,
    require_power,
)
from vimlib.simulator._vm.virtual_machine import VirtualMachine

if TYPE_CHECKING:
    from vimlib.simulator._core.call import Call
    from vimlib.simulator._service.tasks import Task


async def power_on(machine: VirtualMachine) -> None:
    """Start a machine. Raises the fault of a host for a missing, broken or locked disk and for wrong or insufficient memory."""
    registry = machine.registry
    require_power(machine, "poweredOff", "suspended", requested="poweredOn")
    if registry.one(HostSystem).maintenance:
        raise with_message(
            vim25.InvalidState(), "The operation is not allowed in the current state of the host."
        )
    hardware = machine.config.hardware
    if hardware.memoryMB % 4:
        # The message of a vCenter: OpenNebula/one#1105.
        words = f"Memory (RAM) size ({hardware.memoryMB}) is invalid."
        raise with_message(vim25.GenericVmConfigFault(reason=words), words)
    used = sum(
        m.config.hardware.memoryMB
        for m in registry.all(VirtualMachine).values()
        if m.power == "poweredOn"
    )
    if (used + hardware.memoryMB) << 20 > registry.one(HostSystem).shape.memory * 4:
        raise with_message(
            vim25.InsufficientMemoryResourcesFault(unreserved=0, requested=hardware.memoryMB << 20),
            "The host does not have sufficient memory resources to satisfy the reservation.",
        )
    files = machine.disk_files()
    known = {store.shown(path) for store, path in files}
    for disk in machine.disks():
        if disk.backing.fileName not in known:  # on a datastore that the host has not got
            raise no_such_file(disk.backing.fileName)
    # Machines share a parent, unless one of them writes to it.
    everyone = registry.all(VirtualMachine).values()
    running = [m for m in everyone if m is not machine and m.power == "poweredOn"]
    held = {file for m in running for file in m.written_files()}
    held |= {file for m in running for file in m.disk_files()} & set(machine.written_files())
    for store, path in files:
        shown = store.shown(path)
        if (store, path) in held:
            raise with_message(vim25.FileLocked(file=shown))
        try:
            disk = await registry.io(vmdk.verify, store.local(path))
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
            _log,
            machine,
            f"powered on {machine.name}",
            touched=[f"{machine.folder}/vmware.log".lstrip("/")],
        )
    except BaseException:
        free_files(machine)
        raise
    _connect(machine, True, await _absent_images(machine))
    machine.set_power("poweredOn")
    if machine.guest.tools_installed:
        machine.guest.tools_running = True
        machine.changed("guest", "summary", "guestHeartbeatStatus")


def _log(machine: VirtualMachine, text: str) -> None:
    folder = machine.store.local(machine.folder)
    with folder.joinpath("vmware.log").open("a", encoding="utf-8") as log:
        log.write(f"{machine.registry.clock.now().isoformat()} vmx: {text}\n")


async def _absent_images(machine: VirtualMachine) -> frozenset[int]:
    """Return the keys of CD-ROM drives whose image does not exist; see `ConfigChange`."""
    found = set()
    stores = by_name(machine.registry)
    for drive in machine.devices(vim25.VirtualCdrom):
        backing = drive.backing
        if isinstance(backing, vim25.VirtualCdromIsoBackingInfo) and backing.fileName:
            name, _, path = backing.fileName.removeprefix("[").partition("]")
            store = stores.get(name)
            # An image of the host itself, as of VMware Tools, is there.
            if name and (
                store is None or not await machine.registry.io(store.local(path.strip()).is_file)
            ):
                found.add(drive.key)
    return frozenset(found)


def _connect(machine: VirtualMachine, on: bool, absent: frozenset[int] = frozenset()) -> None:
    """Connect the devices with `startConnected`, or disconnect all devices.

    Those whose backing is `absent` have an unrecoverable error: VirtualDeviceConnectInfoStatus.
    """
    devices = []
    for device in machine.config.hardware.device:
        connect = device.connectable
        if connect is not None:
            failed = on and connect.startConnected and device.key in absent
            wanted = on and connect.startConnected and not failed
            if connect.connected != wanted or failed:
                status = "unrecoverableError" if failed else "ok" if on else "untried"
                device = replace(
                    device, connectable=replace(connect, connected=wanted, status=status)
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


async def suspend(machine: VirtualMachine) -> None:
    """Suspend a running machine."""
    require_power(machine, "poweredOn", requested="suspended")
    folder = machine.store.local(machine.folder)
    name = machine.vmx.rpartition("/")[2].removesuffix(".vmx") + ".vmss"
    await machine.store.work(
        lambda: folder.joinpath(name).write_bytes(b"suspended\n"),
        touched=[f"{machine.folder}/{name}".lstrip("/")],
    )
    free_files(machine)
    machine.set_power("suspended")


@handles(VirtualMachine, "PowerOnVM_Task")
def power_on_vm(machine: VirtualMachine, call: Call) -> Any:
    """Power on, or resume."""
    machine.registry.require_licence()
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


@handles(VirtualMachine, "PowerOffVM_Task")
def power_off_vm(machine: VirtualMachine, call: Call) -> Any:
    """Power off; a suspended machine loses its state."""
    machine.registry.require_licence()
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


@handles(VirtualMachine, "SuspendVM_Task")
def suspend_vm(machine: VirtualMachine, call: Call) -> Any:
    """Suspend."""
    machine.registry.require_licence()
    require_idle(machine)
    require_power(machine, "poweredOn", requested="suspended")

    async def work(task: Task) -> None:
        await suspend(machine)
        _event(machine, call, task, "VmSuspendedEvent", "is suspended")

    return start_task(call, machine, work)


@handles(VirtualMachine, "ResetVM_Task")
def reset_vm(machine: VirtualMachine, call: Call) -> Any:
    """Reset."""
    machine.registry.require_licence()
    require_idle(machine)
    require_power(machine, "poweredOn")

    async def work(task: Task) -> None:
        require_power(machine, "poweredOn")
        machine.booted = machine.registry.clock.now()
        machine.set_power("poweredOn")
        machine.guest.tools_running = machine.guest.tools_installed
        machine.changed("guest", "summary", "guestHeartbeatStatus")
        _event(machine, call, task, "VmResettingEvent", "is reset")

    return start_task(call, machine, work)


def _event(machine: VirtualMachine, call: Call, task: Task, name: str, text: str) -> None:
    machine.registry.one(EventManager).post(
        name,
        f"{machine.name} on {machine.registry.one(HostSystem).name} {text}",
        machine=machine,
        user=call.user,
        chain=task.chain,
    )


def _require_tools(machine: VirtualMachine) -> None:
    require_power(machine, "poweredOn")
    if not machine.guest.tools_running:
        raise with_message(
            vim25.ToolsUnavailable(),
            "Cannot complete operation because VMware Tools is not running in this virtual machine.",
        )


@handles(VirtualMachine, "ShutdownGuest", "StandbyGuest")
def shutdown_guest(machine: VirtualMachine, call: Call) -> None:
    """Ask the guest to shut down or to sleep, which it does a little later."""
    machine.registry.require_licence()
    end_guest(machine, standby=call.method == "StandbyGuest", user=call.user)


def end_guest(machine: VirtualMachine, *, standby: bool = False, user: str = "") -> None:
    """Have the guest shut down or sleep later. Raises the fault for a machine that is off, busy or without tools."""
    require_idle(machine)
    _require_tools(machine)
    registry = machine.registry
    name = "VmGuestStandbyEvent" if standby else "VmGuestShutdownEvent"
    registry.one(EventManager).post(
        name,
        f"Guest OS shut down for {machine.name} on {registry.one(HostSystem).name}",
        machine=machine,
        user=user,
    )

    async def later() -> None:
        await registry.clock.sleep(registry.guest_seconds)
        if machine.alive and machine.power == "poweredOn":
            if standby:
                free_files(machine)
                machine.set_power("suspended")
            else:
                power_off(machine)

    registry.spawn(later(), f"simulated shutdown of {machine.moid}")


@handles(VirtualMachine, "RebootGuest")
def reboot_guest(machine: VirtualMachine, call: Call) -> None:
    """Ask the guest to reboot; its tools stop for a while."""
    machine.registry.require_licence()
    require_idle(machine)
    _require_tools(machine)
    registry = machine.registry
    registry.one(EventManager).post(
        "VmGuestRebootEvent",
        f"Guest OS reboot for {machine.name} on {registry.one(HostSystem).name}",
        machine=machine,
        user=call.user,
    )
    machine.guest.tools_running = False
    machine.changed("guest", "summary", "guestHeartbeatStatus")

    async def later() -> None:
        await registry.clock.sleep(registry.guest_seconds)
        if machine.alive and machine.power == "poweredOn":
            machine.booted = registry.clock.now()
            machine.guest.tools_running = True
            machine.changed("runtime", "guest", "summary", "guestHeartbeatStatus")

    registry.spawn(later(), f"simulated reboot of {machine.moid}")


@handles(VirtualMachine, "SendNMI")
async def send_nmi(machine: VirtualMachine, call: Call) -> None:
    """Send a non-maskable interrupt, which no simulated guest reacts to; the machine's log has it."""
    machine.registry.require_licence()
    require_power(machine, "poweredOn")
    await machine.store.work(
        _log, machine, "sent an NMI", touched=[f"{machine.folder}/vmware.log".lstrip("/")]
    )


async def wait_for_answer(machine: VirtualMachine) -> None:
    """Wait until the machine's question is answered."""
    while machine.question is not None:
        machine.answered.clear()
        await machine.answered.wait()


def ask(machine: VirtualMachine, text: str, choices: dict[str, str], default: int = 0) -> str:
    """Raise a question of a machine; return its id. `AnswerVM` removes it."""
    number = str(machine.registry.serial())
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


@handles(VirtualMachine, "AnswerVM")
def answer(machine: VirtualMachine, call: Call) -> None:
    """Answer the question of a machine."""
    question = machine.question
    if question is None or question.id != call.args["questionId"]:
        raise invalid_argument("questionId")
    choice = call.args["answerChoice"]
    if choice not in {option.key for option in question.choice.choiceInfo}:
        raise invalid_argument("answerChoice")
    machine.question = None
    machine.answers.append(choice)
    machine.changed("runtime", "summary")
    machine.answered.set()
