"""The argument of every verb: a host, and the settings under which the driver works on it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, TypeVar

from vimdriver.errors import DatastoreUnusableError
from vimlib import vim25
from vimlib.errors import NotFoundError
from vimlib.model import parse_version

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from vimdriver._config import DriverConfig
    from vimdriver._images.source import ImageStore
    from vimdriver._images.uploader import BodyUploader
    from vimdriver._journal import Journal
    from vimlib._client import Client
    from vimlib._datastore import Datastore, DatastorePath

T = TypeVar("T")

_FORM: Final = "%Y-%m-%dT%H:%M:%SZ"


class Host:
    """One host for the length of one verb.

    Args:
        client: Logged in; stays the caller's.
        config: Owner and deadlines.
        journal: Where a step is written before it begins.
        images: Where images come from, for verbs that need one.
        uploader: Uploads image bodies; None opens one for each transfer.
    """

    def __init__(
        self,
        client: Client,
        config: DriverConfig,
        journal: Journal,
        *,
        images: ImageStore | None = None,
        uploader: BodyUploader | None = None,
    ) -> None:
        self.client = client
        self.config = config
        self.journal = journal
        self.images = images
        self.uploader = uploader
        self._datastores: dict[str, Datastore] = {}

    @property
    def owner(self) -> str:
        """See `DriverConfig.mark`."""
        return self.config.mark()

    def datastore(self, name: str) -> Datastore:
        """Return the files of a datastore, whose location is looked up once."""
        if name not in self._datastores:
            self._datastores[name] = self.client.datastore(name, settle=self.config.settle_seconds)
        return self._datastores[name]

    async def exists(self, path: DatastorePath) -> bool:
        """Return whether there is such a file or folder. Cancelling loses nothing."""
        return await self.datastore(path.datastore).exists(path)

    async def delete(self, path: DatastorePath) -> None:
        """Delete a file, or a folder with its contents. A missing one is not an error.

        Cancelling leaves the task running: shield it.

        Raises:
            MethodFault: The host refused.
            OutcomeUnknownError: The host did not answer, and the file is still there.
        """
        store = self.datastore(path.datastore)
        await store.delete(path, missing_ok=True, timeout=self.config.task_seconds)

    async def time(self) -> datetime:
        """Return the host's time (`ServiceInstance.CurrentTime`). Cancelling loses nothing.

        The ages of its objects are measured by its own clock alone.
        """
        return await self.client.bind(vim25.ServiceInstance("ServiceInstance")).CurrentTime()

    async def idle(self, *, method: str = "", of: vim25.ManagedEntity | None = None) -> None:
        """Wait until no task of `method` runs, or none `of` a machine; see `TaskWaiter.idle`."""
        await self.client.tasks.idle(method=method, of=of, timeout=self.config.task_seconds)

    async def settled(
        self,
        probe: Callable[[], Awaitable[T | None]],
        *,
        method: str = "",
        of: Any = None,
    ) -> T | None:
        """Return what `probe` finds once the host is done with a call; see `TaskWaiter.settled`."""
        return await self.client.tasks.settled(
            probe,
            method=method,
            of=of,
            timeout=self.config.task_seconds,
            settle=self.config.settle_seconds,
        )

    def __repr__(self) -> str:
        return f"<Host {self.client.host} of {self.config.owner or 'this installation'}>"


def stamp(moment: datetime) -> str:
    """Return a moment as it is written on the host, in UTC and whole seconds."""
    return moment.astimezone(UTC).strftime(_FORM)


def read_stamp(text: str) -> datetime | None:
    """Return the moment that `stamp` wrote; None for anything else."""
    try:
        return datetime.strptime(text, _FORM).replace(tzinfo=UTC)
    except ValueError:
        return None


async def free_space(
    client: Client, datastore: str, among: Iterable[vim25.Datastore] | None = None
) -> int:
    """Return the free bytes of a datastore that can take files now.

    `among` are the host's datastores where they are known already.

    Raises:
        NotFoundError: It does not exist; names the others.
        DatastoreUnusableError: It is not accessible or in maintenance.
    """
    names = []
    # The summary's name is the one in paths; the entity's has a `%` escaped.
    paths = ["summary.name", "summary.accessible", "summary.freeSpace"]
    if parse_version(client.api_version) >= (5,):
        paths.append("summary.maintenanceMode")  # datastores have no such mode before 5.0
    # All at once: a loop that is left early would end its retrieval some time later.
    for row in await client.collect(vim25.Datastore, *paths, source=among).all():
        names.append(str(row.props.get("summary.name")))
        if names[-1] != datastore:
            continue
        if not row.props.get("summary.accessible", True):
            raise DatastoreUnusableError(datastore=datastore, state="inaccessible")
        mode = row.props.get("summary.maintenanceMode") or "normal"
        if mode != "normal":
            raise DatastoreUnusableError(datastore=datastore, state=mode)
        return int(row["summary.freeSpace"])
    raise NotFoundError(
        f"datastore not found on {client.host}: {datastore!r}",
        kind="Datastore",
        name=datastore,
        hint=f"The host has: {', '.join(sorted(names)) or 'none'}.",
    )
