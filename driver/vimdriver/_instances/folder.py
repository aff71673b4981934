"""The files of a machine in its folder: which are its own, and removing those alone.

A folder may hold other things: somebody's ISO, the disks of a machine that is not registered, or all
of another machine that was made under the same name later. So nothing is removed for being in a
folder. A file is the machine's if `layoutEx` lists it or a host writes it under that name
(`is_hosts`), and it is removed only if it is still as it was listed while the machine was there:
same name, size and time.

The names are those of vSphere's documentation ("Virtual Machine Files" of Virtual Machine
Administration and of the Web Services SDK Programming Guide) and of the file types of
`VirtualMachineFileLayoutExFileType` in the API reference.
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Final, NamedTuple

from vimdriver._images.sink import is_temporary, temporary_name
from vimdriver._instances.machine import used_files, who_uses
from vimdriver._journal import SeenFile
from vimlib._text import printable
from vimlib.errors import NotFoundError, VimlibError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from vimdriver._verbs import Host
    from vimlib._datastore import DatastorePath, FileEntry

log = logging.getLogger("vimdriver.instances")

# With `@` for the base name of the configuration file.
_PLAIN: Final = (
    r"@\.(vmx|vmx~|vmx\.lck|vmtx|vmxf|vmsd|nvram|scoreboard)",
    r"nvram",
    r"vmware(-\d+)?\.log",  # the current log, and those of earlier runs
    r"@(-[0-9a-f]+)?\.hlog",  # of vCenter, about files to remove
    r"@(-[0-9a-f]{8})?\.vswp(\.lck)?",
    r"vmx-@-[0-9a-f]+-\d+\.vswp",  # swap of the process that runs the machine
    r"@(-[0-9a-f]{8})?\.(vmss|vmem|std)",  # suspended
    r"@-Snapshot\d+\.(vmsn|vmem|vmsd)",
    r"@-aux\.xml",  # snapshots, up to 5.0
    r"@-serial\.log",  # by this driver: `further.serial_log`
    r"@-config\.iso",  # and `further.config_image`
    r"@-\d+\.png",  # screenshots, by CreateScreenshot_Task
    r"vmware-vmx-zdump\.\d+",  # core dumps
    r"vmware(64)?-core\d*(\.gz)?",
    r"vmmcores?(-\d+)?(\.gz)?",
)
_DISKS: Final = (
    r"@-(resize|rescue|rebuild)-[0-9a-f]{16}(-flat)?\.vmdk",  # by this driver: `pending.disk_for`
    r"@(_\d+)?(-\d{6})?(-(flat|delta|sesparse|ctk|rdm|rdmp|s\d{3}))?\.vmdk",
    r"@(_\d+)?(-\d{6})?\.psf",  # state of replication
)
_CONFIGURATIONS: Final = (".vmx", ".vmtx")
# Hosts hide the extents of a disk behind its descriptor.
_EXTENTS: Final = ("-flat", "-delta", "-sesparse")
# Of a longer one `temporary_name` keeps only a part.
_LONGEST_NAME: Final = 100


def is_hosts(name: str, base: str, *, disks: bool = True) -> bool:
    """Return whether a host gives such a name to a file of a machine.

    `base` is the name of the machine's configuration file without `.vmx`. Without `disks`, disks
    are somebody else's: the machine has none.
    """
    forms = _PLAIN + _DISKS if disks else _PLAIN
    return any(re.fullmatch(form.replace("@", re.escape(base)), name) for form in forms)


def names_of(paths: Sequence[DatastorePath]) -> str:
    """Return the words for files that stay in a machine's folder."""
    names = ", ".join(printable(path.name, 80) for path in paths[:5])
    more = f" and {len(paths) - 5} more" if len(paths) > 5 else ""
    return f"files that are not known to be the machine's: {names}{more}"


class Remains(NamedTuple):
    """What `remove_files` found and did."""

    removed: int = 0
    """Files."""
    left: tuple[DatastorePath, ...] = ()
    """Files and folders that stay."""
    reason: str = ""
    """Why; "" if nothing stays."""


async def own_files(
    host: Host,
    folder: DatastorePath,
    base: str,
    listed: Collection[str],
    *,
    disks: bool = True,
) -> tuple[SeenFile, ...]:
    """Return a machine's own files in its folder, as they are now; () if it is gone.

    `listed` are the paths that `layoutEx` has; see `is_hosts` for `base` and `disks`. Cancelling
    loses nothing.
    """
    try:
        entries = await host.datastore(folder.datastore).list(folder)
    except NotFoundError:
        return ()
    return tuple(
        SeenFile(name=entry.name, size=entry.size, modified=entry.modified)
        for entry in entries
        if not entry.is_dir
        and (str(entry.path) in listed or is_hosts(entry.name, base, disks=disks))
    )


async def remove_files(
    host: Host,
    folder: DatastorePath,
    seen: Iterable[SeenFile],
    *,
    token: str,
    emptied: bool,
    dry_run: bool = False,
) -> Remains:
    """Remove what is left of a machine that is gone; the folder too if nothing else is in it.

    All of it stays if a machine is configured there or uses a file in it. Cancelling leaves a task
    running: shield it.

    Args:
        host: The host.
        folder: The machine's. A missing one is fine.
        seen: The machine's files, as `own_files` returned them. Others stay.
        token: Of the journal's entry about it, by which `settle_renamed` finds the folder again.
        emptied: Whether the folder is known to be the machine's even if no file is left in it.
        dry_run: Only read.
    """
    if not folder.path:
        return Remains(left=(folder,), reason="the root of a datastore")
    store = host.datastore(folder.datastore)
    try:
        entries = await store.list(folder)
    except NotFoundError:
        return Remains()
    everything = tuple(entry.path for entry in entries)
    known = {file.name: (file.size, file.modified) for file in seen}
    own = [e for e in entries if not e.is_dir and known.get(e.name) == (e.size, e.modified)]
    if any(entry.name.endswith(_CONFIGURATIONS) for entry in entries if entry not in own):
        return Remains(left=everything, reason="it contains the configuration of a machine")
    if reason := who_uses(folder, await used_files(host.client)):
        return Remains(left=everything, reason=reason)
    if not dry_run:
        for path in _with_extents(own, {entry.name for entry in entries}):
            await host.delete(path)
    others = tuple(entry.path for entry in entries if entry not in own)
    if others:
        return Remains(len(own), others, f"it contains {names_of(others)}")
    if not dry_run and (own or emptied) and (left := await _remove_empty(host, folder, token)):
        return Remains(len(own), left, f"it contains {names_of(left)}")
    return Remains(len(own))


def _with_extents(files: list[FileEntry], shown: set[str]) -> list[DatastorePath]:
    """Return the paths, before each descriptor the extents that the host may have hidden behind it."""
    found = []
    for entry in files:
        base = entry.name.removesuffix(".vmdk")
        if base != entry.name and not base.endswith(_EXTENTS):
            hidden = (f"{base}{ending}.vmdk" for ending in _EXTENTS)
            found += [entry.path.with_name(name) for name in hidden if name not in shown]
        found.append(entry.path)
    return found


async def _remove_empty(host: Host, folder: DatastorePath, token: str) -> tuple[DatastorePath, ...]:
    """Remove an empty folder; return the files that somebody has put into it by then.

    Hosts delete a folder with all that is in it, whatever that is by then. So it first gets a name
    that nobody else knows.
    """
    if len(folder.name.encode()) > _LONGEST_NAME:
        log.warning("%s is left empty: its name is too long for a temporary one", folder)
        return ()
    away = folder.with_name(temporary_name(folder.name, host.owner, token=token))
    try:
        await host.datastore(folder.datastore).move(folder, away)
    except NotFoundError:
        return ()
    return await settle_folder(host, away)


async def settle_renamed(host: Host, folder: DatastorePath, token: str) -> None:
    """Settle a folder that an ended process may have renamed; see `settle_folder`. Cancelling leaves a task running."""
    try:
        found = await host.datastore(folder.datastore).list(folder.parent, f"*-{token}.part")
    except NotFoundError:
        return
    for entry in found:
        if entry.is_dir and is_temporary(entry.name, host.owner):
            await settle_folder(host, entry.path)


async def settle_folder(host: Host, away: DatastorePath) -> tuple[DatastorePath, ...]:
    """Remove a folder that was renamed in order to be removed; with files in it, give it its name again.

    Return these files. Cancelling leaves a task running: shield it.
    """
    found = await remove_if_empty(host, away)
    if not found:
        return ()
    folder = away.with_name(away.name.rpartition(".part")[0].rpartition(".")[0])
    try:
        await host.datastore(away.datastore).move(away, folder)
    except VimlibError as error:
        log.warning("cannot rename %s to %s again: %s", away, folder, error)
        return found
    return tuple(folder / path.name for path in found)


async def remove_if_empty(
    host: Host, away: DatastorePath, *, dry_run: bool = False
) -> tuple[DatastorePath, ...]:
    """Remove a folder with a temporary name, unless there are files in it; return these.

    A missing one is fine. Cancelling leaves a task running: shield it.
    """
    try:
        found = await host.datastore(away.datastore).list(away)
    except NotFoundError:
        return ()
    if not found and not dry_run:
        await host.delete(away)
    return tuple(entry.path for entry in found)
