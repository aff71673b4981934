"""The argument of every verb: a host, and the settings under which the driver works on it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, TypeVar
from weakref import WeakKeyDictionary

from vimdriver.errors import DatastoreUnusableError
from vimlib import vim25
from vimlib._repr import robust
from vimlib.errors import NotFoundError
from vimlib.model import parse_version

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
    from contextlib import AbstractAsyncContextManager

    from vimdriver._config import DriverConfig
    from vimdriver._images.source import ImageStore
    from vimdriver._images.uploader import Uploader
    from vimdriver._journal import Journal
    from vimdriver._verbs.session import SessionRecord
    from vimlib._client import Client
    from vimlib._collector import Row
    from vimlib._datastore import Datastore, DatastorePath

T = TypeVar("T")


class Turn(Protocol):
    """A turn at a machine."""

    def others_first(self) -> AbstractAsyncContextManager[None]:
        """Let others work on it while the block runs."""


class Holding(Protocol):
    """Holds the machine that a reference names, for one verb at a time."""

    def __call__(
        self, client: Client, ref: str, *, first: bool
    ) -> AbstractAsyncContextManager[Turn | None]:
        """Hold it while the block runs; None if the machine does not exist."""


_FORM: Final = "%Y-%m-%dT%H:%M:%SZ"
# Seconds for which a reading of the host's clock is used.
_RECENT: Final = 600.0


class Moment(NamedTuple):
    """A moment by two clocks: a step of one of them changes no age, see `seconds_since`."""

    host: datetime | None
    """By the host's clock."""
    own: datetime | None
    """By the clock of the computer that the driver runs on; None: made by an earlier version."""

    def seconds_since(self, began: Moment) -> float | None:
        """Return the age of what began then: the smaller one of the two, at least 0; None if unknown.

        Where somebody sets one of the clocks forward, the other one still shows the true age.
        """
        if self.host is None or began.host is None:
            return None
        ages = [(self.host - began.host).total_seconds()]
        if self.own is not None and began.own is not None:
            ages.append((self.own - began.own).total_seconds())
        return max(min(ages), 0.0)


# By client: a reading of the clocks, and the event loop's time of it.
_READ: WeakKeyDictionary[Client, tuple[Moment, float]] = WeakKeyDictionary()


def own_time() -> datetime:
    """Return the time by this computer's clock."""
    return datetime.now(UTC)


class Host:
    """One host for the length of one verb.

    Args:
        client: Logged in; stays the caller's.
        config: Owner and deadlines.
        journal: Where a step is written before it begins.
        images: Where images come from, for verbs that need one.
        uploader: Uploads image bodies; None opens one for each transfer.
        clock: Returns the time by this computer's clock.
        session: Writes the client's session into the journal.
        holding: Holds the machine that a reference names, for one verb at a time.
        dry: Whether the verb only plans.
    """

    def __init__(
        self,
        client: Client,
        config: DriverConfig,
        journal: Journal,
        *,
        images: ImageStore | None = None,
        uploader: Uploader | None = None,
        clock: Callable[[], datetime] = own_time,
        session: SessionRecord | None = None,
        holding: Holding | None = None,
        dry: bool = False,
    ) -> None:
        self.client = client
        self.config = config
        self.journal = journal
        self.images = images
        self.uploader = uploader
        self.clock = clock
        self.session = session
        self.dry = dry
        self._holding = holding
        self._turn: Turn | None = None
        self._datastores: dict[str, Datastore] = {}

    @property
    def owner(self) -> str:
        """See `DriverConfig.mark`."""
        return self.config.mark()

    @asynccontextmanager
    async def held(self, ref: str, *, first: bool = False) -> AsyncIterator[None]:
        """Hold the machine that `ref` names while the block runs: verbs on one machine take turns.

        `first` goes before all that wait. Cancelling gives it up.
        """
        if self._holding is None:
            yield
            return
        async with self._holding(self.client, ref, first=first) as self._turn:
            yield

    def others_first(self) -> AbstractAsyncContextManager[None]:
        """Let other verbs work on the machine that is held while the block runs."""
        return nullcontext() if self._turn is None else self._turn.others_first()

    def datastore(self, name: str) -> Datastore:
        """Return the files of a datastore, whose location is looked up once."""
        if name not in self._datastores:
            self._datastores[name] = self.client.datastore(
                name,
                settle=self.config.settle_seconds,
                timeouts=self.config.timeouts(self.client.timeouts),
            )
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

    async def record_session(self) -> None:
        """Write the client's session into the journal, before the first entry of a verb.

        Cancelling waits until it is written. Raises `JournalError`.
        """
        if self.session is not None:
            await self.session.write()

    async def now(self) -> Moment:
        """Return the time by the host's clock (`ServiceInstance.CurrentTime`) and by our own.

        Cancelling loses nothing.
        """
        service = self.client.bind(vim25.ServiceInstance("ServiceInstance"))
        return Moment(await service.CurrentTime(), self.clock())

    async def about_now(self) -> Moment:
        """Return the time as `now`, by the host's clock as it was read within the last ten minutes.

        For the moment that something is begun at: if somebody sets the host's clock in between, our
        own clock still shows its age. Cancelling loses nothing.
        """
        clock = asyncio.get_running_loop().time
        read = _READ.get(self.client)
        if read is None or clock() - read[1] > _RECENT or read[0].host is None:
            read = _READ[self.client] = (await self.now(), clock())
        since = timedelta(seconds=clock() - read[1])
        return Moment(None if read[0].host is None else read[0].host + since, self.clock())

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

    @robust
    def __repr__(self) -> str:
        return f"<Host {self.client.host} of {self.config.owner or 'this installation'}>"


def stamp(moment: Moment) -> str:
    """Return a moment as it is written on the host: both times, in UTC and whole seconds."""
    return " ".join(when.astimezone(UTC).strftime(_FORM) for when in moment if when is not None)


def read_stamp(text: str) -> Moment:
    """Return the moment that `stamp` wrote, or an earlier version by the host's clock; unknown for all else."""
    host, space, own = text.partition(" ")
    try:
        return Moment(_read(host), _read(own) if space else None)
    except ValueError:
        return Moment(None, None)


def _read(text: str) -> datetime:
    return datetime.strptime(text, _FORM).replace(tzinfo=UTC)


async def free_space(client: Client, datastore: str) -> int:
    """Return the free bytes of a datastore that can take files now, in one call.

    Raises as `free_among`.
    """
    rows = await client.gather({vim25.Datastore: datastore_paths(client)})
    return free_among(client, datastore, rows[vim25.Datastore])


def datastore_paths(client: Client) -> tuple[str, ...]:
    """Return the properties of datastores that `free_among` needs."""
    # The summary's name is the one in paths; the entity's has a `%` escaped.
    paths = ("summary.name", "summary.accessible", "summary.freeSpace")
    # Datastores have no such mode before 5.0.
    new = parse_version(client.api_version) >= (5,)
    return (*paths, "summary.maintenanceMode") if new else paths


def free_among(client: Client, datastore: str, rows: Iterable[Row[vim25.Datastore]]) -> int:
    """Return the free bytes of a datastore among all that were read.

    Raises:
        NotFoundError: It does not exist; names the others.
        DatastoreUnusableError: It is not accessible or in maintenance.
    """
    names = []
    for row in rows:
        names.append(str(row.props.get("summary.name")))
        if names[-1] != datastore:
            continue
        if not row.props.get("summary.accessible", True):
            raise DatastoreUnusableError(datastore=datastore, state="inaccessible")
        mode = row.props.get("summary.maintenanceMode") or "normal"
        if mode != "normal":
            raise DatastoreUnusableError(datastore=datastore, state=mode)
        return int(row.require("summary.freeSpace"))
    raise NotFoundError(
        f"datastore not found on {client.host}: {datastore!r}",
        kind="Datastore",
        name=datastore,
        hint=f"The host has: {', '.join(sorted(names)) or 'none'}.",
    )
