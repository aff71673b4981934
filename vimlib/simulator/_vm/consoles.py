"""Consoles: tickets to a machine's screen, and pictures of it."""

from __future__ import annotations

import secrets
import struct
import zlib
from typing import TYPE_CHECKING, Any

from vimlib import vim25
from vimlib.simulator._core.handlers import handles
from vimlib.simulator._core.messages import invalid_argument, with_message
from vimlib.simulator._service.tasks import start_task
from vimlib.simulator._vm.lifecycle import require_idle
from vimlib.simulator._vm.virtual_machine import VirtualMachine

if TYPE_CHECKING:
    from vimlib.simulator._core.call import Call
    from vimlib.simulator._service.tasks import Task

# VirtualMachineTicketType, with the path of those that are web sockets.
_TYPES = {
    "mks": None,
    "webmks": "/ticket/",
    "device": None,
    "guestControl": None,
    "webRemoteDevice": "/ticket/",
}


def picture(width: int, height: int, colour: tuple[int, int, int]) -> bytes:
    """Return a PNG of one colour."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    rows = (b"\0" + bytes(colour) * width) * height
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def _require_running(machine: VirtualMachine) -> None:
    if machine.power != "poweredOn":
        raise with_message(
            vim25.InvalidPowerState(requestedState="poweredOn", existingState=machine.power),
            "The attempted operation cannot be performed in the current state.",
        )


def _ticket_fields(machine: VirtualMachine) -> dict[str, Any]:
    registry = machine.registry
    certificate = registry.certificate
    return {
        "ticket": secrets.token_hex(20),
        "cfgFile": f"/vmfs/volumes/{machine.store.uuid}/{machine.vmx}",
        "host": registry.address,
        "port": 902,
        "sslThumbprint": certificate.sha1 if certificate else None,
    }


@handles(VirtualMachine, "AcquireTicket")
def acquire_ticket(machine: VirtualMachine, call: Call) -> Any:
    """Return a ticket. No server listens for it: the machine has no screen."""
    kind = call.args["ticketType"]
    if kind not in _TYPES:
        raise invalid_argument("ticketType")
    _require_running(machine)
    fields = _ticket_fields(machine)
    path = _TYPES[kind]
    if path is not None:
        fields["port"] = machine.registry.port
        fields["url"] = (
            f"wss://{machine.registry.address}:{machine.registry.port}{path}{fields['ticket']}"
        )
    return vim25.VirtualMachineTicket(**fields)


@handles(VirtualMachine, "AcquireMksTicket")
def acquire_mks_ticket(machine: VirtualMachine, call: Call) -> Any:
    """Return a ticket of the old type."""
    _require_running(machine)
    return vim25.VirtualMachineMksTicket(**_ticket_fields(machine))


@handles(VirtualMachine, "CreateScreenshot_Task")
def create_screenshot(machine: VirtualMachine, call: Call) -> Any:
    """Write a picture of the screen to the machine's folder; the result is its path."""
    require_idle(machine)
    _require_running(machine)

    async def work(task: Task) -> str:
        number = machine.registry.serial()
        stem = machine.vmx.rpartition("/")[2].removesuffix(".vmx")
        path = f"{machine.folder}/{stem}-{number}.png".lstrip("/")
        place = machine.store.local(path)
        await machine.store.work(
            lambda: place.write_bytes(picture(640, 480, (0, 0, 0))), touched=[path]
        )
        return machine.store.shown(path)

    return start_task(call, machine, work)
