"""The names of files in a `.vmx`, and in the API."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vimlib.simulator._storage.datastore import Datastore, by_name

if TYPE_CHECKING:
    from vimlib.simulator._core.registry import Registry

_VOLUMES = "/vmfs/volumes/"


@dataclass(frozen=True)
class DiskInfo:
    """The values of a disk's descriptor."""

    file: str
    store: Datastore
    capacity: int
    thin: bool
    uuid: str
    parent: DiskInfo | None


class FileNames:
    """Turns names of files of one configuration file into those of the API and back.

    A file of the machine's own folder has no path, so that the configuration stays valid when its
    folder is copied or its datastore renamed. Others are below `/vmfs/volumes`, by the datastore's
    UUID or, as the command line of a host takes it too, its name.
    """

    def __init__(self, registry: Registry, vmx: str) -> None:
        self._registry = registry
        head, slash, _ = vmx.rpartition("/")
        self._folder = head + "/" if slash else vmx.partition("]")[0] + "] "
        """`[ds] folder/`, or `[ds] ` at the root."""

    def shown(self, name: str) -> str:
        """Return `[ds] path`, or `[] /path` for a file of the host outside of its datastores."""
        if not name or name.startswith("["):
            return name
        if name.startswith(_VOLUMES):
            volume, _, path = name.removeprefix(_VOLUMES).partition("/")
            for store in self._registry.all(Datastore).values():
                if volume in (store.uuid, store.name):
                    return store.shown(path)
        return f"[] {name}" if name.startswith("/") else self._folder + name

    def written(self, shown: str) -> str:
        """Return the name for the file."""
        name = shown.removeprefix(self._folder)
        if "/" not in name and name != shown:
            return name
        volume, _, path = shown.removeprefix("[").partition("]")
        store = by_name(self._registry).get(volume)
        if store is not None:
            return f"{_VOLUMES}{store.uuid}/{path.strip()}"
        return shown if volume or not shown.startswith("[") else path.strip()

    def store(self, shown: str) -> Datastore | None:
        """Return the datastore of `[ds] path`."""
        return by_name(self._registry).get(shown.removeprefix("[").partition("]")[0])
