"""Storage of the host: rescan its adapters, mount and unmount NFS datastores."""

from __future__ import annotations

from typing import Any, Final, Literal, TypeAlias

from vimdriver._host.datastores import PATHS, DatastoreInfo, datastore_of
from vimdriver._host.managers import read_manager
from vimdriver._verbs import Host, Plan, Run, Step, returns, verb
from vimlib import vim25
from vimlib._text import printable
from vimlib.errors import HostStateError, NotFoundError, UsageError

# Of a datastore's name (`HostNasVolumeSpec.localPath`).
_LONGEST: Final = 80
NFSKind: TypeAlias = Literal["NFS", "NFS41"]


@verb
async def rescan(host: Host) -> Plan[None]:
    """Rescan all storage adapters, then file systems (`RescanAllHba`, `RescanVmfs`).

    Cancelling waits for the call that runs.
    """
    row = await read_manager(host.client, vim25.HostStorageSystem, "storageSystem")
    system: vim25.HostStorageSystem = host.client.bind(row.obj)
    steps = (
        Step[Any](
            title="rescan all adapters (RescanAllHba)",
            call=lambda run: system.RescanAllHba(),
            idempotent=True,
        ),
        Step[Any](
            title="rescan file systems (RescanVmfs)",
            call=lambda run: system.RescanVmfs(),
            idempotent=True,
        ),
    )
    return Plan("rescan storage", steps, returns(None))


async def _find(host: Host, name: str) -> tuple[vim25.Datastore, DatastoreInfo, int] | None:
    """Return a datastore and the number of its machines."""
    rows = await host.client.gather({vim25.Datastore: (*PATHS, "vm")})
    for row in rows[vim25.Datastore]:
        info = datastore_of(row)
        if info.name == name:
            return row.obj, info, len(row.props.get("vm") or [])
    return None


@verb
async def mount_nfs(
    host: Host,
    name: str,
    server: str,
    path: str,
    *,
    kind: NFSKind = "NFS",
    read_only: bool = False,
) -> Plan[DatastoreInfo]:
    """Mount a folder of an NFS server as a datastore (`CreateNasDatastore`). Cancelling waits for the call.

    Args:
        name: Of the datastore.
        server: Name or address of the server; for NFS41 several, separated by commas.
        path: Exported folder.
        kind: NFS is version 3, NFS41 version 4.1 (API 6.0).
        read_only: Machines cannot write to it.

    Raises:
        UsageError: A name is empty, or the path does not begin with a slash.
        HostStateError: The host has a datastore of that name.
        MethodFault: The host refuses, for instance since it cannot reach the server.
    """
    servers = [one.strip() for one in server.split(",")]
    if not 1 <= len(name) <= _LONGEST or not name.isprintable() or set(name) & set("/\\%"):
        raise UsageError(
            f"name must be 1 to {_LONGEST} printable characters without / \\ and %, "
            f"got {printable(name, 80)!r}",
            field="name",
        )
    if not all(len(one.split()) == 1 for one in servers):
        raise UsageError(
            f"server must be a name or an address, got {printable(server, 80)!r}", field="server"
        )
    if not path.startswith("/"):
        raise UsageError(f"path must begin with /, got {printable(path, 80)!r}", field="path")
    if await _find(host, name) is not None:
        raise HostStateError(
            f"datastore {name!r} already exists", state="exists", hint="Choose another name."
        )
    row = await read_manager(host.client, vim25.HostDatastoreSystem, "datastoreSystem")
    system: vim25.HostDatastoreSystem = host.client.bind(row.obj)
    spec = vim25.HostNasVolumeSpec(
        remoteHost=servers[0],
        remotePath=path,
        localPath=name,
        accessMode="readOnly" if read_only else "readWrite",
        type=kind,
    )
    if kind == "NFS41":
        spec.remoteHostNames = servers

    async def probe(run: Run) -> bool | None:
        return (await _find(run.host, name) is not None) or None

    async def result(run: Run) -> DatastoreInfo:
        found = await _find(run.host, name)
        if found is None:
            raise NotFoundError(f"datastore {name!r} is gone", kind="Datastore", name=name)
        return found[1]

    step = Step[Any](
        title=f"mount {printable(server, 80)}:{printable(path, 80)} (CreateNasDatastore)",
        call=lambda run: system.CreateNasDatastore(spec),
        probe=probe,
    )
    return Plan(f"mount {name}", (step,), result)


@verb
async def unmount_nfs(host: Host, name: str) -> Plan[None]:
    """Unmount an NFS datastore on which no machine is (`RemoveDatastore`); the server keeps its files.

    Cancelling waits for the call.

    Raises:
        NotFoundError: The host has no such datastore.
        UsageError: It is not an NFS datastore: of another kind, the files would be lost.
        HostStateError: Machines are on it.
    """
    found = await _find(host, name)
    if found is None:
        raise NotFoundError(
            f"datastore not found on {host.client.host}: {printable(name, 80)!r}",
            kind="Datastore",
            name=name,
            hint="vimctl host datastores lists them.",
        )
    store, info, machines = found
    if not info.kind.upper().startswith("NFS"):
        raise UsageError(
            f"the datastore must be of kind NFS, {name!r} is {info.kind}", field="name"
        )
    if machines:
        raise HostStateError(
            f"no machine may be on datastore {name!r}, {machines} are",
            state="busy",
            hint="Destroy or unregister them first.",
        )
    row = await read_manager(host.client, vim25.HostDatastoreSystem, "datastoreSystem")
    system: vim25.HostDatastoreSystem = host.client.bind(row.obj)

    async def probe(run: Run) -> bool | None:
        return (await _find(run.host, name) is None) or None

    step = Step[Any](
        title=f"unmount {name} (RemoveDatastore)",
        call=lambda run: system.RemoveDatastore(store),
        probe=probe,
    )
    return Plan(f"unmount {name}", (step,), returns(None))
