"""The client that `connect` yields: a session with all operations on it.

Each method imports its helper when it is called, and `connect` imports the modules of a connection
when it is entered, so a command that fails on its arguments or only builds objects loads neither
asyncio nor ssl.
"""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from vimlib._repr import robust
from vimlib._secret import Secret
from vimlib.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager
    from datetime import datetime

    from msgspec import Struct

    from vimlib import vim25
    from vimlib._collector import Collection, Context, Row, Source, Walk
    from vimlib._collector.watch import Watch
    from vimlib._datastore.store import Datastore
    from vimlib._events import Events
    from vimlib._guest import GuestSession
    from vimlib._inventory import Found, InventoryPath
    from vimlib._nfc import Lease
    from vimlib._progress import TaskProgress
    from vimlib._session.policy import RetryPolicy
    from vimlib._session.session import Session
    from vimlib._tasks import TaskWaiter
    from vimlib._tls import TLS
    from vimlib._transport.base import Middleware, Timeouts
    from vimlib._transport.network import HTTPTransport
    from vimlib.model import ManagedObject, Method
    from vimlib.soap import Limits

    S = TypeVar("S", bound=Struct)

M = TypeVar("M", bound="ManagedObject")
T = TypeVar("T")


class Client:
    """A logged-in host, created by `connect`; after its block every call raises `ClosedError`."""

    def __init__(
        self, session: Session, transport: HTTPTransport, context: Context, tasks: TaskWaiter
    ) -> None:
        self._session = session
        self._transport = transport
        self._context = context
        self._tasks = tasks

    @property
    def host(self) -> str:
        """`host:port` of the server."""
        return self._session.host

    @property
    def timeouts(self) -> Timeouts:
        """The deadlines of calls and transfers, for code that transfers bytes over its own
        sockets.
        """
        return self._transport.timeouts

    @property
    def session_digest(self) -> str:
        """SHA-256 in hex that names the session, which a new login replaces; "" if unknown.

        It is made of `UserSession.key`, which some hosts also use as the cookie, so that a session
        can be written down and found in `SessionManager.sessionList` later.
        """
        return self._session.digest

    @property
    def content(self) -> vim25.ServiceContent:
        """The root objects of the host, bound: root folder, managers, property collector."""
        return self._session.content

    @property
    def about(self) -> vim25.AboutInfo:
        """Product, version and build of the host."""
        return self._session.content.about

    @property
    def api_version(self) -> str:
        """The API version in use with the host, as `"8.0.3.0"`."""
        return self._session.api_version

    def bind(self, proxy: M) -> M:
        """Return a proxy of the same object that calls through this client."""
        return self._session.bind(proxy)

    async def invoke(
        self, method: Method[..., Any], this: ManagedObject, args: Mapping[str, Any]
    ) -> Any:
        """Make a call by its description and wire names; `await vm.PowerOnVM_Task()` uses it too.

        Raises the server's fault, `TransportError`, `OutcomeUnknownError` if the server may have
        executed the call, and `VersionError` if the host is too old for it. Cancelling closes the
        connection of the call; whether the server executed it is then unknown.
        """
        try:
            return await self._session.invoke(method, this, args)
        finally:
            del args  # they may hold a password, and tracebacks keep frames

    # -- properties ----------------------------------------------------------------------------

    @overload
    def collect(
        self,
        kind: type[M],
        /,
        *paths: str,
        source: Source = None,
        limit: int | None = None,
        page: int = ...,
        timeout: float | None = None,
    ) -> Collection[Row[M]]: ...
    @overload
    def collect(
        self,
        kind: type[ManagedObject],
        shape: type[S],
        /,
        *,
        source: Source = None,
        limit: int | None = None,
        page: int = ...,
        timeout: float | None = None,
    ) -> Collection[S]: ...
    def collect(self, kind: Any, /, *what: Any, **how: Any) -> Collection[Any]:
        """Read properties of all objects of type `kind`, subtypes included.

        ``async for row in client.collect(vim25.VirtualMachine, "name")``. Nothing is sent before
        the first row is requested; leaving the loop early or being cancelled ends the retrieval on
        the host.

        Args:
            kind: Managed type, as `vim25.VirtualMachine`.
            what: Property paths, each row then a `Row`; or one Struct class whose fields name
                paths.
            how: `source`: the objects to search: None for the whole inventory, a container, a view,
                objects, or a traversal. `limit`: maximum number of rows. `page`: objects per reply.
                `timeout`: seconds for each pass, checked while the host is awaited.

        Raises:
            UsageError: A path that the type does not have, a `limit` below 0, a `page` below 1.
            VersionError: The host is older than the type or a path.
            DeadlineError: While iterating: `timeout` has passed; the rest is cancelled on the host.
            ProtocolError: While iterating: the host's pages get nowhere, or (`LimitError`) have more
                than `Limits.objects` objects.
            ManagedObjectNotFound: While iterating: the object of `source` is gone.
        """
        from vimlib._collector import collect

        return collect(self._context, kind, *what, **how)

    @overload
    async def get(self, obj: M, /, *paths: str, timeout: float | None = None) -> Row[M]: ...
    @overload
    async def get(
        self, obj: ManagedObject, shape: type[S], /, *, timeout: float | None = None
    ) -> S: ...
    @overload
    async def get(
        self, obj: Iterable[M], /, *paths: str, timeout: float | None = None
    ) -> list[Row[M]]: ...
    @overload
    async def get(
        self, obj: Iterable[ManagedObject], shape: type[S], /, *, timeout: float | None = None
    ) -> list[S]: ...
    async def get(self, obj: Any, /, *what: Any, timeout: float | None = None) -> Any:
        """Read properties of one object, or of many in one call.

        Returns one result for one object, and a list in the same order for an iterable. `what` is as
        in `collect`, `timeout` is in seconds for all of it. Cancelling leaves nothing behind.

        Raises:
            DeadlineError: `timeout` has passed.
            ProtocolError: The host's pages get nowhere.
            ManagedObjectNotFound: The one object is gone. Of many, one that is gone has this fault
                at every path of its `missing`.
            UsageError: A path that the type does not have.
            VersionError: The host is older than a path.
        """
        from vimlib._collector import get

        return await get(self._context, obj, *what, timeout=timeout)

    async def gather(
        self,
        wanted: Mapping[type[M], Sequence[str]],
        *,
        source: Walk | None = None,
        timeout: float | None = None,
    ) -> dict[type[vim25.ManagedObject], list[Row[Any]]]:
        """Read properties of objects of several types in one call, without a view on the host.

        ``rows = await client.gather({vim25.HostSystem: ["summary"], vim25.Datastore: ["name"]})``.
        `wanted` maps types to property paths. `source` is a traversal from somewhere; None leads from
        the root folder to datacenters, compute resources, hosts, root resource pools, datastores and
        networks, and not to machines. `timeout` is in seconds for all of it. Cancelling leaves nothing
        behind.

        Raises:
            UsageError: A path that a type does not have, or a type that is the base of another.
            VersionError: The host is older than a type or a path.
            DeadlineError: `timeout` has passed.
            ManagedObjectNotFound: The start of the traversal is gone.
        """
        from vimlib._collector import gather

        given: Mapping[Any, Sequence[str]] = wanted
        return await gather(self._context, given, source=source, timeout=timeout)

    @overload
    def watch(
        self, kind: type[M], /, *paths: str, source: Source = None, batch: int = ...
    ) -> Watch[Row[M]]: ...
    @overload
    def watch(
        self,
        kind: type[ManagedObject],
        shape: type[S],
        /,
        *,
        source: Source = None,
        batch: int = ...,
    ) -> Watch[S]: ...
    def watch(self, kind: Any, /, *what: Any, **how: Any) -> Watch[Any]:
        """Iterate over changes of properties as they happen: first an `enter` for each object.

        ``async with client.watch(vim25.VirtualMachine, "name") as changes:``. Arguments are as in
        `collect`, and `batch`, the number of objects in an update. Survives lost connections and
        sessions. Leaving the loop or being cancelled releases its objects on the host.

        Raises:
            UsageError: A path that the type does not have.
            VersionError: The host is older than the type or a path.
            ManagedObjectNotFound: While iterating: the object of `source` is gone.
            TransportError: While iterating: the host was away for longer than `Timeouts.outage`.
        """
        from vimlib._collector.watch import watch

        return watch(self._context, kind, *what, **how)

    async def find(
        self,
        pattern: str,
        kind: type[vim25.ManagedObject] | None = None,
        *,
        timeout: float | None = None,
    ) -> list[Found]:
        r"""Return the objects whose inventory path matches: an exact `InventoryPath`, or a pattern.

        ``find("/*/vm/web-*")`` reads a `str` as a pattern. In a level of the path `*` matches any
        text, `?` one character, `[a-c]` and `[^a-c]` one of these or none of them, and a backslash
        takes the next character as it is; `**` as a level matches any number of levels. A pattern
        without a leading `/` begins where each datacenter keeps objects of `kind`, a bare name at all
        levels below. A `/` in a name is `%2f`. A path that `paths` or `find` returned leads back to
        its own object, also where a name has `*` or `[`.

        Raises `InvalidPathError` for an empty level or an unclosed bracket, `DeadlineError` after
        `timeout` seconds. Cancelling leaves nothing behind.
        """
        from vimlib._inventory import find

        return await find(
            self._context, pattern, *(() if kind is None else (kind,)), timeout=timeout
        )

    async def paths(
        self, objects: Iterable[vim25.ManagedObject], *, timeout: float | None = None
    ) -> list[InventoryPath | None]:
        """Return the inventory path of each object; the number of calls is independent of their
        number.

        The path is None for an object that is gone or not readable. Raises `DeadlineError` after
        `timeout` seconds. Cancelling leaves nothing behind.
        """
        from vimlib._inventory import paths_of

        return await paths_of(self._context, objects, timeout=timeout)

    def events(
        self,
        spec: vim25.EventFilterSpec | None = None,
        *,
        since: datetime | None = None,
        follow: bool = True,
        timeout: float | None = None,
    ) -> Events:
        """Iterate over the host's events, oldest first, and then over new ones, each once.

        Leaving the loop or being cancelled releases its objects on the host.

        Args:
            spec: Filter of the events; None selects all.
            since: Events from that time on, by the host's clock, with a time zone.
            follow: Whether to wait for new events.
            timeout: Seconds for each pass, checked while the host is awaited.

        Raises:
            UsageError: `since` has no time zone.
            DeadlineError: While iterating: `timeout` has passed.
            ProtocolError: While iterating: the host repeats its events without end.
            NotFoundError: While iterating: the host keeps no events.
            TransportError: While iterating: the host was away for longer than `Timeouts.outage`.
        """
        from vimlib._events import events

        return events(self._context, spec, since=since, follow=follow, timeout=timeout)

    async def wait_for(
        self,
        obj: vim25.ManagedObject,
        path: str,
        predicate: Callable[[Any], bool],
        timeout: float | None = None,
    ) -> Any:
        """Wait until `predicate` holds for a property's value, and return the value.

        Raises `DeadlineError` after `timeout` seconds, `ManagedObjectNotFound` if the object is
        deleted. Cancelling releases its objects on the host.
        """
        from vimlib._collector.watch import wait_for

        return await wait_for(self._context, obj, path, predicate, timeout)

    # -- tasks ---------------------------------------------------------------------------------

    @property
    def tasks(self) -> TaskWaiter:
        """The waiter that all waits of this client share."""
        return self._tasks

    async def wait(
        self,
        task: vim25.Task[T],
        timeout: float | None = None,
        on_progress: TaskProgress | None = None,
        *,
        cancel: bool = False,
    ) -> T:
        """Wait until a task has ended and return its result.

        Args:
            task: The result of a method whose name ends in `_Task`. Several callers may wait for
                it.
            timeout: Seconds; None waits without a limit.
            on_progress: Called with the percentage, or None if the host reports none.
            cancel: Cancel the task on the host when the wait is cancelled or times out. Without it
                the task goes on.

        Raises:
            MethodFault: The task failed: a copy of the fault that it ended in, with `.task`.
            TaskTimeoutError: It did not end in time.
            TaskVanishedError: The host deleted the task before its end was read.
            TaskQuestionError: Its machine has a pending question.
            TransportError: The host was away for longer than `Timeouts.outage`.
        """
        return await self._tasks.wait(task, timeout, on_progress, cancel=cancel)

    async def run(
        self,
        start: Callable[[], Awaitable[vim25.Task[T]]],
        timeout: float | None = None,
        on_progress: TaskProgress | None = None,
        *,
        attempts: int = 10,
        probe: Callable[[], Awaitable[T | None]] | None = None,
        **how: Any,
    ) -> T:
        """Start a task and wait for its result; retry while another task holds the object.

        ``await client.run(vm.PowerOnVM_Task)``. A call that the host refused (TaskInProgress,
        ConcurrentAccess, ResourceInUse) is made up to `attempts` times, with growing pauses. If the
        reply is lost, the result is that of `probe`, if given, which reads the host's state.
        `timeout`, errors and cancellation are as in `wait`; for `how` see `TaskWaiter.run`.
        """
        return await self._tasks.run(
            start, timeout, on_progress, attempts=attempts, probe=probe, **how
        )

    # -- files ---------------------------------------------------------------------------------

    def datastore(
        self,
        name: str,
        *,
        datacenter: str | Found | vim25.Datacenter | None = None,
        settle: float = 5.0,
        timeouts: Timeouts | None = None,
    ) -> Datastore:
        """Return the files of a datastore, without I/O.

        `datacenter` selects one if several of a vCenter have a datastore of that name: its
        inventory path (with or without the leading `/`), its name, or a result of `find`. `settle`
        is how many seconds the host is probed after a change whose reply was lost. `timeouts` are
        the deadlines and the minimum rate of its verbs, those of the client if None.
        """
        from vimlib._datastore.store import Datastore

        return Datastore(
            name,
            context=self._context,
            session=self._session,
            transport=self._transport,
            tasks=self._tasks,
            datacenter=datacenter,
            settle=settle,
            timeouts=timeouts,
        )

    def lease(
        self, start: Awaitable[vim25.HttpNfcLease] | vim25.HttpNfcLease, *, timeout: float = 300.0
    ) -> AbstractAsyncContextManager[Lease]:
        """Hold an NFC lease: ``async with client.lease(pool.ImportVApp(spec)) as lease:``.

        Pass the call that returns the lease without awaiting it. Leaving the block completes the
        lease; any exception or cancellation aborts it.

        Raises:
            LeaseError: The lease was not ready within `timeout` seconds, failed, or ended early.
            MethodFault: The fault of the call that starts it.
        """
        from vimlib._nfc import open_lease

        return open_lease(self._context, self._session, self._transport, start, timeout=timeout)

    # -- guests --------------------------------------------------------------------------------

    def guest(
        self, vm: vim25.VirtualMachine, username: str, password: str | Secret
    ) -> GuestSession:
        """Return a machine's guest as one of its users, without I/O: its programs and files.

        ``await client.guest(vm, "root", password).upload("/etc/motd", b"hello")``. VMware Tools must
        run in the guest (API 5.0).
        """
        from vimlib._guest import GuestSession

        return GuestSession(self._context, self._transport, vm, username, password)

    @robust
    def __repr__(self) -> str:
        return f"<Client {self.host} API {self.api_version}>"


def _given(password: str | Secret | Path) -> Secret | Path:
    # None would be sent as the text "None", and failed logins lock an account.
    if not isinstance(password, str | Secret | Path):
        raise UsageError(
            f"the password must be str or Secret, got {type(password).__name__}",
            hint="Check that the variable it comes from is set.",
        )
    return password if isinstance(password, Path) else Secret(password)


@asynccontextmanager
async def connect(
    url: str,
    username: str,
    password: str | Secret | Path,
    *,
    tls: TLS | None = None,
    timeouts: Timeouts | None = None,
    limits: Limits | None = None,
    newer: Literal["refuse", "drop"] = "refuse",
    strict: bool = False,
    retries: RetryPolicy | None = None,
    keepalive: float | None = 300.0,
    proxy: str | None = None,
    connections: int = 32,
    locale: str | None = None,
    retry_login: bool = False,
    middleware: Sequence[Middleware] = (),
) -> AsyncIterator[Client]:
    """Log in to an ESX host or a vCenter; log out on leaving.

    ``async with vimlib.connect("esx1", "root", password, tls=TLS(pin="AB:..")) as client:``

    Args:
        url: `https://HOST[:PORT]/sdk`, or just the host.
        username: User name on the host.
        password: A `str` or a `Secret`; or a `Path`, whose first line is read for each login, so
            that a changed file is used when the session has to be renewed.
        tls: Trusted certificates; None means the system's CAs.
        timeouts: Deadlines in seconds.
        limits: Maximum sizes of a reply; a larger one is refused. `Limits.leases` is the number of
            NFC leases that are held at once.
        newer: How to treat a value that the host is too old for: `refuse` or `drop` it.
        strict: Raise `ProtocolError` for a required field that a reply lacks, instead of None, and for
            an integer beyond its range, instead of the integer. Faults are read as without it.
        retries: How often a repeatable call is repeated.
        keepalive: Seconds of idleness after which the session is kept alive; None switches it off.
        proxy: `http://[user:password@]host:port`, or `"environment"`.
        connections: Maximum number of sockets to the host, at least 3: those of calls, of transfers
            and of long polls (one for each watch, one for all task waits) together. The longest
            wait is served first; what destroys or cleans up goes before. With more watches than
            half of them, watches take turns, and see changes some seconds later.
        locale: Language of the host's messages, as `"en"`.
        retry_login: Send the password even if the host refused it less than 900 s ago. Without it
            no process of this user repeats a refused login within that time, since hosts lock an
            account after five. (`$XDG_STATE_HOME/vimlib/refused-logins` has salted hashes.)
        middleware: Wraps every exchange: tracing, metrics, pacing. The first is the outermost.

    Raises:
        UsageError: An argument is invalid.
        ConnectError: No connection; nothing was sent.
        CertificateError: The certificate was not accepted; `sha256` identifies it.
        LoginError: The host refused the login; `reason` is why.
        ProtocolError: The server is not a vSphere host.

    Cancelling during the login logs out again; cancelling the block logs out, shielded, within
    `Timeouts.logout`.
    """
    from vimlib._collector import Context
    from vimlib._session.credentials import Credentials
    from vimlib._session.refusals import shared_refusals
    from vimlib._session.session import Session
    from vimlib._tasks import TaskWaiter
    from vimlib._transport.address import parse_address
    from vimlib._transport.base import Timeouts
    from vimlib._transport.network import HTTPTransport

    # This frame lasts as long as the client, and tracebacks keep frames.
    hidden = None if proxy is None else Secret(proxy)
    try:
        secret = _given(password)
        address = parse_address(url)
    finally:
        del password, url, proxy
    credentials = Credentials(username, secret, locale)
    timeouts = timeouts or Timeouts()
    async with AsyncExitStack() as stack:
        transport = await stack.enter_async_context(
            HTTPTransport(
                address,
                tls=tls,
                timeouts=timeouts,
                limits=limits,
                proxy=hidden,
                connections=connections,
            )
        )
        session = await stack.enter_async_context(
            Session(
                transport,
                credentials,
                timeouts=timeouts,
                limits=limits,
                newer=newer,
                strict=strict,
                retries=retries,
                keepalive=keepalive,
                middleware=middleware,
                refusals=shared_refusals(),
                retry_login=retry_login,
            )
        )
        context = Context(
            session,
            session.content,
            session.api_version,
            patience=timeouts.outage,
            most_objects=transport.limits.objects,
        )
        tasks = await stack.enter_async_context(TaskWaiter(context))
        yield Client(session, transport, context, tasks)
