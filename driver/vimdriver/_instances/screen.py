"""See a machine's screen: a picture of it, or a ticket to its console."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from vimdriver._instances import lookup
from vimdriver._steps import files
from vimdriver._steps.undo import Undo
from vimdriver.errors import InstanceStateError
from vimlib import vim25
from vimlib._datastore import DatastorePath
from vimlib._secret import Secret
from vimlib._session.shield import finish
from vimlib.errors import LimitError
from vimlib.model import parse_version

if TYPE_CHECKING:
    from vimdriver._config import DriverConfig
    from vimlib._client import Client

__all__ = ["Console", "console", "screenshot"]

# A screen of 8K without compression; a file that is longer is no picture.
_LARGEST: Final = 128 << 20
# `VirtualMachineTicketType.webmks` came with API 6.0.
_WEB_SINCE: Final = "6.0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Console:
    """A way to a machine's console, good for one connection within the host's few minutes."""

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
        NotFoundError: There is no such machine.
        InstanceStateError: It does not run.
    """
    vm = await lookup.find(client, ref)
    web = parse_version(client.api_version) >= parse_version(_WEB_SINCE)
    kind = "webmks" if web else "mks"
    try:
        found = await vm.AcquireTicket(kind)
    except vim25.InvalidPowerState as fault:
        raise InstanceStateError(
            name=ref, state=str(fault.existingState), needed=str(fault.requestedState)
        ) from None
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


async def screenshot(client: Client, ref: str, config: DriverConfig) -> bytes:
    """Return a picture (PNG) of a running machine's screen.

    The host writes it beside the machine (`CreateScreenshot_Task`); it is fetched and deleted
    there, also when this is cancelled.

    Raises:
        NotFoundError: There is no such machine.
        InstanceStateError: It does not run.
        LimitError: What the host wrote is too large for a picture.
    """
    vm = await lookup.find(client, ref)
    made: list[DatastorePath] = []

    async def take() -> None:
        try:
            path = await client.wait(await vm.CreateScreenshot_Task(), timeout=config.task_seconds)
        except vim25.InvalidPowerState as fault:
            raise InstanceStateError(
                name=ref, state=str(fault.existingState), needed=str(fault.requestedState)
            ) from None
        made.append(DatastorePath.parse(path))

    async def remove() -> None:
        for path in made:
            await files.delete(client, path, config)

    async with Undo(seconds=config.cleanup_seconds) as undo:
        # Never kept: the way back is taken on every way out.
        undo.push("the screenshot", remove)
        await finish(take(), what=f"screenshot of {ref}")
        picture = bytearray()
        async with client.datastore(made[0].datastore).download(made[0]) as body:
            async for chunk in body:
                picture += chunk
                if len(picture) > _LARGEST:
                    raise LimitError(
                        f"{made[0]} must have at most {_LARGEST} bytes", allowed=_LARGEST
                    )
    return bytes(picture)
