"""A machine's screen: a picture of it, or a ticket to its console."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from vimdriver._instances.machine import find
from vimdriver._verbs import Host, Plan, Run, Step, verb
from vimdriver.errors import InstanceStateError
from vimlib import vim25
from vimlib._datastore import DatastorePath
from vimlib._secret import Secret
from vimlib.errors import LimitError, VimlibError
from vimlib.model import parse_version

if TYPE_CHECKING:
    from vimlib._client import Client

# A screen of 8K without compression; a longer file cannot be a picture.
_LARGEST: Final = 128 << 20
# `VirtualMachineTicketType.webmks` came with API 6.0.
_WEB_SINCE: Final = "6.0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Console:
    """A ticket to a machine's console, valid for one connection within the host's few minutes."""

    kind: str
    """`webmks`: a web socket at `url`; `mks`: VMware's own protocol at `host` and `port`."""
    host: str
    port: int
    ticket: Secret
    """Whoever has it has the console."""
    url: Secret | None = None
    """Holds the ticket."""
    thumbprint: str = ""
    """SHA-1 of the certificate that the console's host will show; "" if it says none."""

    def to_json(self) -> dict[str, Any]:
        """Return what `vimctl instance console --json` prints, the ticket with it."""
        return {
            "kind": self.kind,
            "host": self.host,
            "port": self.port,
            "ticket": self.ticket.reveal(),
            "url": None if self.url is None else self.url.reveal(),
            "thumbprint": self.thumbprint,
        }


async def console(client: Client, ref: str) -> Console:
    """Return a ticket to a running machine's console (`VirtualMachine.AcquireTicket`).

    Cancelling may leave a ticket that nobody has; it ends by itself.

    Raises:
        NotFoundError: The machine does not exist.
        InstanceStateError: It does not run.
    """
    vm = await find(client, ref)
    web = parse_version(client.api_version) >= parse_version(_WEB_SINCE)
    kind = "webmks" if web else "mks"
    try:
        found = await vm.AcquireTicket(kind)
    except vim25.InvalidPowerState as fault:
        raise _not_running(ref, fault) from None
    ours, _, our_port = client.host.rpartition(":")
    host, port = found.host or ours, found.port or int(our_port)
    url = found.url
    if web and url is None:
        # Before API 7.0 the ticket names no address; it is served at this one.
        netloc = f"[{host}]" if ":" in host and "[" not in host else host
        url = f"wss://{netloc}:{port}/ticket/{found.ticket}"
    return Console(
        kind=kind,
        host=host,
        port=port,
        ticket=Secret(found.ticket),
        url=None if url is None else Secret(url),
        thumbprint=found.sslThumbprint or "",
    )


@verb
async def screenshot(host: Host, ref: str) -> Plan[bytes]:
    """Return a picture (PNG) of a running machine's screen.

    The host writes it into the machine's folder (`CreateScreenshot_Task`); it is downloaded and deleted
    there, also when this is cancelled.

    Raises:
        NotFoundError: The machine does not exist.
        InstanceStateError: It is not running.
        LimitError: The file is too large for a picture.
    """
    vm = await find(host.client, ref)

    def refused(run: Run, fault: vim25.MethodFault) -> str:
        raise _not_running(ref, fault) from None

    async def delete(run: Run, path: str | None) -> None:
        if path is not None:
            await run.host.delete(DatastorePath.parse(path))

    async def download(run: Run) -> bytes:
        file = DatastorePath.parse(run[taken])
        picture = bytearray()
        async with run.host.datastore(file.datastore).download(file) as body:
            async for chunk in body:
                picture += chunk
                if len(picture) > _LARGEST:
                    raise LimitError(f"{file} must have at most {_LARGEST} bytes", allowed=_LARGEST)
        return bytes(picture)

    taken = Step[str](
        title="write a picture of its screen (CreateScreenshot_Task)",
        makes="the screenshot",
        call=lambda run: vm.CreateScreenshot_Task(),
        refused=refused,
        undo=delete,
    )
    return Plan(f"screenshot of {ref}", (taken,), download, keep=False)


def _not_running(ref: str, fault: vim25.MethodFault) -> VimlibError:
    if not isinstance(fault, vim25.InvalidPowerState):
        return fault
    return InstanceStateError(
        name=ref, state=str(fault.existingState), needed=str(fault.requestedState)
    )
