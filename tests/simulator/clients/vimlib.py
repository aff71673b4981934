"""Our own client as a client of the scenarios: its event loop runs in a thread of its own."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager, suppress
from typing import Any, TypeVar

import vimlib
from tests.simulator.clients import base
from tests.simulator.servers import Server
from tests.simulator.values import Entry, Failed, Obj, Ref
from vimlib import vim25
from vimlib._client import Client
from vimlib._collector import INVENTORY
from vimlib.errors import (
    ConnectionLostError,
    LoginError,
    NotFoundError,
    OutcomeUnknownError,
    TransferRejectedError,
    VimlibError,
)
from vimlib.model import DataObject, ManagedObject, MethodFault, wire_fields

T = TypeVar("T")
# Longer than any scenario may take.
LIMIT = 90


def failed(error: VimlibError) -> Failed:
    """Return the words by which scenarios of all clients name an error."""
    match error:
        case MethodFault():
            return Failed(error.fault_name)
        case LoginError():
            return Failed("InvalidLogin")
        case NotFoundError():  # what our helpers make of FileNotFound
            return Failed("FileNotFound")
        case TransferRejectedError():
            return Failed(f"HTTP {error.status}")
        case OutcomeUnknownError() | ConnectionLostError():
            return Failed("no answer")
    raise error


def plain(value: Any) -> Any:
    if isinstance(value, ManagedObject):
        return Ref(*value.moref)
    if isinstance(value, MethodFault | DataObject):
        kind = value.fault_name if isinstance(value, MethodFault) else type(value).__name__
        fields = wire_fields(type(value))
        return Obj(kind, **{f.name: plain(getattr(value, f.attribute)) for f in fields})
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value


class Vimlib(base.Client):
    """A session by vimlib."""

    def __init__(self, server: Server, client: Client, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(server)
        self.client = client
        self.loop = loop

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the client's event loop. Raises `Failed`."""
        future = asyncio.run_coroutine_threadsafe(asyncio.wait_for(work, LIMIT), self.loop)
        try:
            return future.result()
        except VimlibError as error:
            raise failed(error) from None

    def native(self, value: Any) -> Any:
        if isinstance(value, Ref):
            return self.client.bind(vim25.BINDING.find(value.kind)(value.id))  # type: ignore[misc]
        if isinstance(value, Obj):
            cls: Any = vim25.BINDING.find(value._kind)
            names = {field.name: field.attribute for field in wire_fields(cls)}
            return cls(**{names[name]: self.native(v) for name, v in value._fields.items()})
        if isinstance(value, list):
            return [self.native(item) for item in value]
        return value

    @property
    def content(self) -> Obj:
        found: Obj = plain(self.client.content)
        return found

    def call(self, method: str, this: Ref, **args: Any) -> Any:
        async def call() -> Any:
            given = {name: self.native(value) for name, value in args.items()}
            return await getattr(self.native(this), method)(**given)

        return plain(self.run(call()))

    def get(self, ref: Ref, path: str) -> Any:
        return plain(self.run(self.client.get(self.native(ref), path)).get(path))

    def get_many(self, refs: list[Ref], path: str) -> list[Any]:
        rows = self.run(self.client.get(self.native(refs), path))
        return [plain(row[path]) for row in rows]

    def wait(self, task: Ref) -> Any:
        return plain(self.run(self.client.wait(self.native(task))))

    def _collected(self, kind: str, *paths: str, **options: Any) -> list[Ref]:
        async def collect() -> list[Any]:
            return await self.client.collect(vim25.BINDING.find(kind), *paths, **options).all()  # type: ignore[arg-type]

        return [plain(row.obj) for row in self.run(collect())]

    def all(self, kind: str) -> list[Ref]:
        return self._collected(kind, "name") if kind == "VirtualMachine" else self._collected(kind)

    def walk(self) -> list[Ref]:
        source = INVENTORY.start(self.client.content.rootFolder)
        return self._collected("VirtualMachine", "name", source=source)

    def walk_in_pages(self) -> list[Ref]:
        return self._collected("VirtualMachine", "name", page=1)

    def path_of(self, ref: Ref) -> str:
        [path] = self.run(self.client.paths([self.native(ref)]))
        return str(path).removeprefix("/")

    def watch(self, ref: Ref, path: str, change: Callable[[], object]) -> Any:
        async def watch() -> Any:
            obj = self.native(ref)
            async with self.client.watch(type(obj), path, source=[obj]) as watch:
                changes = aiter(watch)
                await anext(changes)
                await asyncio.to_thread(change)
                return (await anext(changes)).row[path]

        return plain(self.run(watch()))

    def events(self, spec: Obj) -> list[str]:
        async def events() -> list[str]:
            found = self.client.events(self.native(spec), follow=False)
            return [type(event).__name__ async for event in found]

        return self.run(events())

    @contextmanager
    def another(self, password: str | None = None) -> Iterator[base.Client]:
        with logged_in(self.server, password) as client:
            yield client

    # Files.

    @property
    def files(self) -> vimlib.Datastore:
        return self.client.datastore(self.server.datastore)

    def entries(self, folder: str, pattern: str = "*") -> list[Entry]:
        found = self.run(self.files.list(folder, pattern))
        return [Entry(item.name, item.size, item.is_dir) for item in found]

    def exists(self, path: str) -> bool:
        return self.run(self.files.exists(path))

    def mkdir(self, path: str, *, parents: bool = False) -> None:
        self.run(self.files.mkdir(path, parents=parents))

    def move(self, path: str, to: str) -> None:
        self.run(self.files.move(path, to))

    def copy(self, path: str, to: str) -> None:
        self.run(self.files.copy(path, to))

    def delete(self, path: str) -> None:
        self.run(self.files.delete(path))

    def upload(self, path: str, data: bytes) -> None:
        stored = self.run(self.files.upload(path, data, overwrite=True))
        assert stored.size == len(data)

    def download(self, path: str, part: tuple[int, int] | None = None) -> bytes:
        async def read() -> bytes:
            async with self.files.download(path, part) as body:
                return await body.read()

        try:
            return self.run(read())
        except Failed as error:  # our word for this status
            raise Failed("HTTP 404" if str(error) == "FileNotFound" else str(error)) from None

    # Leases.

    def import_vm(self, spec: Obj, pool: Ref, folder: Ref, image: bytes) -> None:
        async def send() -> None:
            start = self.native(pool).ImportVApp(self.native(spec), folder=self.native(folder))
            async with self.client.lease(start) as lease:
                for device in lease.devices:
                    await lease.upload(device, image)

        self.run(send())

    def abort_import(self, spec: Obj, pool: Ref, folder: Ref, image: bytes) -> None:
        async def give_up() -> None:
            start = self.native(pool).ImportVApp(self.native(spec), folder=self.native(folder))
            async with self.client.lease(start):
                raise RuntimeError("changed my mind")

        with suppress(RuntimeError):
            self.run(give_up())

    def export_vm(self, vm: Ref) -> bytes:
        async def read() -> bytes:
            async with self.client.lease(self.native(vm).ExportVm()) as lease:
                return b"".join([part async for part in lease.download(lease.devices[0])])

        return self.run(read())


@contextmanager
def logged_in(server: Server, password: str | None = None) -> Iterator[Vimlib]:
    """Log in; the session ends and its event loop with the context. Raises `Failed`."""
    trust = vimlib.TLS(pin=server.thumbprint)
    word = server.password if password is None else password
    with running(server, vimlib.connect(server.url, server.username, word, tls=trust)) as client:
        yield client


@contextmanager
def running(server: Server, connection: AbstractAsyncContextManager[Client]) -> Iterator[Vimlib]:
    """Enter a connection, in a thread with an event loop. Raises `Failed`."""
    ready: concurrent.futures.Future[Vimlib] = concurrent.futures.Future()
    ended = asyncio.Event()

    async def main() -> None:
        async with connection as client:
            ready.set_result(Vimlib(server, client, asyncio.get_running_loop()))
            await ended.wait()

    def run() -> None:
        try:
            asyncio.run(main())
        except BaseException as error:
            if ready.done():
                raise
            ready.set_exception(error)

    thread = threading.Thread(target=run, name="vimlib")
    thread.start()
    try:
        try:
            client = ready.result()
        except VimlibError as error:
            raise failed(error) from None
        try:
            yield client
        finally:
            client.loop.call_soon_threadsafe(ended.set)
    finally:
        thread.join()
