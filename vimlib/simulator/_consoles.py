"""Consoles: tickets to a machine's screen, and pictures of it."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from vimlib import vim25
from vimlib.simulator._lifecycle import require_idle
from vimlib.simulator._machine import VirtualMachine
from vimlib.simulator._objects import serves
from vimlib.simulator._screens import picture
from vimlib.simulator._tasks import start_task
from vimlib.simulator._world import say

if TYPE_CHECKING:
    from vimlib.simulator._call import Call
    from vimlib.simulator._tasks import Task

__all__: list[str] = []

# VirtualMachineTicketType, with the path of those that are web sockets.
_TYPES = {
    "mks": None,
    "webmks": "/ticket/",
    "device": None,
    "guestControl": None,
    "webRemoteDevice": "/ticket/",
}


def _require_running(machine: VirtualMachine) -> None:
    if machine.power != "poweredOn":
        raise say(
            vim25.InvalidPowerState(requestedState="poweredOn", existingState=machine.power),
            "The attempted operation cannot be performed in the current state.",
        )


def _facts(machine: VirtualMachine) -> dict[str, Any]:
    world = machine.world
    certificate = world.certificate
    return {
        "ticket": secrets.token_hex(20),
        "cfgFile": f"/vmfs/volumes/{machine.store.uuid}/{machine.vmx}",
        "host": world.address,
        "port": 902,
        "sslThumbprint": certificate.sha1 if certificate else None,
    }


@serves(VirtualMachine, "AcquireTicket")
def acquire_ticket(machine: VirtualMachine, call: Call) -> Any:
    """Give a ticket. Nothing listens behind it: the machine has no screen."""
    kind = call.args["ticketType"]
    if kind not in _TYPES:
        raise say(
            vim25.InvalidArgument(invalidProperty="ticketType"),
            "A specified parameter was not correct: ticketType",
        )
    _require_running(machine)
    facts = _facts(machine)
    path = _TYPES[kind]
    if path is not None:
        facts["port"] = machine.world.port
        facts["url"] = f"wss://{machine.world.address}:{machine.world.port}{path}{facts['ticket']}"
    return vim25.VirtualMachineTicket(**facts)


@serves(VirtualMachine, "AcquireMksTicket")
def acquire_mks_ticket(machine: VirtualMachine, call: Call) -> Any:
    """Give a ticket of the old kind."""
    _require_running(machine)
    return vim25.VirtualMachineMksTicket(**_facts(machine))


@serves(VirtualMachine, "CreateScreenshot_Task")
def create_screenshot(machine: VirtualMachine, call: Call) -> Any:
    """Write a picture of the screen beside the machine; the result is its path."""
    require_idle(machine)
    _require_running(machine)

    async def work(task: Task) -> str:
        number = machine.world.serial()
        stem = machine.vmx.rpartition("/")[2].removesuffix(".vmx")
        path = f"{machine.folder}/{stem}-{number}.png".lstrip("/")
        place = machine.store.local(path)
        await machine.store.work(
            lambda: place.write_bytes(picture(640, 480, (0, 0, 0))), touched=[path]
        )
        return machine.store.shown(path)

    return start_task(call, machine, work)
