"""A machine's screen: a picture of it, or a ticket to its console."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from vimdriver._instances.machine import claim, find, look
from vimdriver._verbs import Host, Plan, Run, Step, query, verb
from vimdriver.errors import InstanceStateError
from vimlib import vim25
from vimlib._datastore import DatastorePath
from vimlib._secret import Secret
from vimlib.errors import LimitError, NotFoundError, VersionError, VimlibError
from vimlib.model import parse_version

if TYPE_CHECKING:
    from vimlib._client import Client

# A screen of 8K without compression; a longer file cannot be a picture.
_LARGEST: Final = 128 << 20
# `VirtualMachineTicketType.webmks` came with API 6.0.
_WEB_SINCE: Final = "6.0"
_ON: Final = "poweredOn"
_METHOD: Final = "CreateScreenshot_Task"

Kind: TypeAlias = Literal["mks", "webmks", "vmrc"]
"""Protocols of a console."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Console:
    """A ticket to a machine's console, valid for one connection within the host's few minutes."""

    kind: Kind
    """`webmks`: a web socket at `url`; `mks`: VMware's own protocol at `host` and `port`; `vmrc`: the plug-in
    of ESX 4.1, which takes the ticket as it is."""
    host: str
    port: int
    ticket: Secret
    """Gives access to the console."""
    url: Secret | None = None
    """Holds the ticket."""
    thumbprint: str = ""
    """SHA-1 of the certificate that the console's host will show; "" if the host gives none."""

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


@query
async def console(host: Host, ref: str, *, kind: Kind | None = None) -> Console:
    """Get a ticket for a running machine's console. The output gives access to the console.

    `webmks` is a web socket (API 6.0), `mks` VMware's own protocol at a host and port; None is the
    newer one that the host has. `vmrc` is the form that the plug-in of ESX 4.1 takes: base64 of a JSON
    document with `vm_id`, `username` and `password`, where both of the latter are a ticket for one
    session (`AcquireCloneTicket`) and not the host's password.

    Cancelling may leave a ticket that nobody has; it ends by itself.

    Raises:
        NotFoundError: The machine does not exist.
        InstanceStateError: It does not run.
        VersionError: The host is too old for `webmks`.
    """
    client = host.client
    web = parse_version(client.api_version) >= parse_version(_WEB_SINCE)
    if kind == "vmrc":
        return await _vmrc(client, ref)
    if kind == "webmks" and not web:
        raise VersionError(
            f"webmks needs API {_WEB_SINCE}, {client.host} has {client.api_version}",
            hint="Use the kind mks.",
            item="webmks",
            needs=_WEB_SINCE,
            speaks=client.api_version,
        )
    web = web and kind != "mks"
    vm = await find(client, ref)
    try:
        found = await vm.AcquireTicket("webmks" if web else "mks")
    except vim25.InvalidPowerState as fault:
        raise _not_running(ref, fault) from None
    ours, _, our_port = client.host.rpartition(":")
    name, port = found.host or ours, found.port or int(our_port)
    url = found.url
    if web and url is None:
        # Before API 7.0 the ticket names no address; it is served at this one.
        netloc = f"[{name}]" if ":" in name and "[" not in name else name
        url = f"wss://{netloc}:{port}/ticket/{found.ticket}"
    return Console(
        kind="webmks" if web else "mks",
        host=name,
        port=port,
        ticket=Secret(found.ticket),
        url=None if url is None else Secret(url),
        thumbprint=found.sslThumbprint or "",
    )


async def _vmrc(client: Client, ref: str) -> Console:
    row = await look(client, ref, "runtime.powerState")
    state = str(row.props.get("runtime.powerState"))
    if state != _ON:
        raise InstanceStateError(name=ref, state=state, needed=_ON)
    manager = client.content.sessionManager
    if manager is None:
        raise NotFoundError("the host has no SessionManager", kind="SessionManager")
    ticket = Secret(await client.bind(manager).AcquireCloneTicket())
    document = {
        "vm_id": row.obj.moref[1],
        "username": ticket.reveal(),
        "password": ticket.reveal(),
    }
    blob = base64.b64encode(json.dumps(document).encode()).decode()
    name, _, port = client.host.rpartition(":")
    return Console(kind="vmrc", host=name, port=int(port), ticket=Secret(blob))


@verb
async def screenshot(host: Host, ref: str, *, foreign: bool = False) -> Plan[bytes]:
    """Return a picture (PNG) of a running machine's screen.

    The host writes it into the machine's folder (`CreateScreenshot_Task`); it is downloaded and deleted
    there, also when this is cancelled. A process that is killed before that leaves it in the machine's folder.

    Args:
        ref: uuid, name or moref's value.
        foreign: Write into the folder of a machine of another owner too.

    Raises:
        NotFoundError: The machine does not exist.
        ForeignInstanceError: Another made the machine, and `foreign` is false.
        InstanceStateError: It is not running.
        LimitError: The file is too large for a picture.
    """
    row = await claim(host, ref, "recentTask", foreign=foreign)
    vm, before = row.obj, row.props.get("recentTask") or []

    async def probe(run: Run) -> str | None:
        # The only new one is ours; of several, none is known to be.
        tasks = await run.host.client.tasks.recent(_METHOD, of=vm)
        new = [task.result for task in tasks if task.ref not in before]
        return new[0] if len(new) == 1 and isinstance(new[0], str) else None

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
        probe=probe,
        refused=refused,
        method=_METHOD,
        of=lambda run: vm,
        undo=delete,
    )
    return Plan(f"screenshot of {ref}", (taken,), download, keep=False)


def _not_running(ref: str, fault: vim25.MethodFault) -> VimlibError:
    if not isinstance(fault, vim25.InvalidPowerState):
        return fault
    return InstanceStateError(
        name=ref, state=str(fault.existingState), needed=str(fault.requestedState)
    )
