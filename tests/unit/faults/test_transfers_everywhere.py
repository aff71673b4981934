"""Every fault of a proxy over every verb that transfers or changes files.

One request of the verb (the transfer itself, the call that changes something, or the look at the
listing) is met by one fault, once or each time. The verb ends within its deadlines; it succeeds and
the host shows it, or raises an error of our own whose `outcome` the host does not contradict; and
nothing is left: no session, lease, socket, task or temporary file.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.rig.between import drip, drip_body, interim, run_between
from tests.rig.relay import HTML, Act, Relay, Turn, answer, cut, edit, lose, silence
from tests.unit.nfc.test_nfc import CONTENT, IMAGE, import_spec
from vimdriver._config import DriverConfig
from vimdriver._images.local import LocalImages
from vimdriver._images.push import push_images
from vimlib import vim25
from vimlib._client import Client
from vimlib._datastore import Datastore
from vimlib.errors import VimlibError
from vimlib.simulator import ESXHost

DATA = bytes(range(256)) * 40
DIGEST = hashlib.sha256(DATA).hexdigest()
PAGE = b"<html>please log in</html>"
LATE = ("Retry-After", "999999")
LONGEST = 700.0
"""Seconds that a verb may take by its limits: four looks and tries of a call at most, and one task."""


# -- faults --------------------------------------------------------------------------------------------


async def reset(turn: Turn) -> None:
    turn.conn.reset()


async def close(turn: Turn) -> None:
    turn.conn.close()


async def garbage(turn: Turn) -> None:
    await turn.conn.send(b"SSH-2.0-OpenSSH_9\r\n\r\n")
    turn.conn.close()


async def twice(turn: Turn) -> None:
    """Two contradictory lengths."""
    raw = (await turn.forward()).raw()
    await turn.conn.send(raw.replace(b"\r\n", b"\r\nContent-Length: 1\r\n", 1))


async def chunked(turn: Turn) -> None:
    reply = await turn.forward()
    kept = "".join(f"{name}: {value}\r\n" for name, value in reply.headers)
    head = f"HTTP/1.1 {reply.status} X\r\nTransfer-Encoding: chunked\r\n{kept}\r\n".encode()
    body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(reply.body), reply.body) if reply.body else b"0\r\n\r\n"
    await turn.conn.send(head + body)


def changed(change: Callable[[bytes], bytes]) -> Act:
    def apply(reply: Any) -> Any:
        reply.body = change(reply.body)
        return reply

    return edit(apply)


def encoded(reply: Any) -> Any:
    reply.headers.append(("Content-Encoding", "gzip"))
    return reply


STATUSES = (401, 403, 404, 408, 409, 413, 429, 500, 502, 503, 504, 507)
FAULTS: dict[str, Act] = {
    "reset": reset,
    "close": close,
    "silence": silence,
    "lost": lose,
    "garbage": garbage,
    "redirect": answer(302, b"", ("Location", "https://127.0.0.1:9/")),
    "page": answer(200, PAGE, HTML),
    "page as bytes": answer(200, PAGE, ("Content-Type", "application/octet-stream")),
    "empty": answer(200, b"", ("Content-Type", "application/octet-stream")),
    "done, then a page": answer(200, PAGE, HTML, forward=True),
    "half, cut": cut(0.5),
    "half, no length": cut(0.5, length=False),
    "shorter": changed(lambda body: body[:-10]),
    "longer": changed(lambda body: body + bytes(10)),
    "two lengths": twice,
    "chunked": chunked,
    "encoded": edit(encoded),
    "drip": drip,
    "drip of the body": drip_body,
    "interim": interim,
    **{f"{status}": answer(status, b"sorry", HTML, LATE) for status in STATUSES},
    **{f"done, then {s}": answer(s, b"sorry", HTML, LATE, forward=True) for s in (500, 502, 503)},
}


# -- verbs ---------------------------------------------------------------------------------------------


@dataclass
class Place:
    """A client of a host that has the files `x` and `there/y`."""

    client: Client
    esx: ESXHost

    @property
    def store(self) -> Datastore:
        return self.client.datastore("datastore1", settle=0.05)

    def data(self, name: str) -> bytes | None:
        """Return the content of a file; None if there is none."""
        file = self.esx.datastore_path() / name
        return file.read_bytes() if file.is_file() else None


@dataclass(frozen=True)
class Verb:
    """A verb, the requests of it that are met by faults, and what the host shows when it is done."""

    requests: tuple[str, ...]
    act: Callable[[Place], Awaitable[object]]
    done: Callable[[Place], bool]
    undone: Callable[[Place], bool]


async def get(place: Place) -> None:
    async with place.store.download("x") as body:
        assert await body.read() == DATA, "other bytes"


async def do_import(place: Place) -> None:
    pool, spec = await import_spec(place.client, "imported")
    async with place.client.lease(pool.ImportVApp(spec)) as lease:
        await lease.upload(lease.devices[0], IMAGE)


async def do_export(place: Place) -> None:
    machine = next(iter(place.esx.machines.values()))
    vm = place.client.bind(vim25.VirtualMachine(machine.moid))
    async with place.client.lease(vm.ExportVm()) as lease:
        got = b"".join([chunk async for chunk in lease.download(lease.devices[0])])
    assert got.startswith(b"KDMV"), "no disk"
    assert got.endswith(bytes(512)), "no end of a disk"


async def push(place: Place) -> None:
    image = place.esx.datastore_path().parent / "image.img"
    (result,) = await push_images(
        place.client,
        LocalImages(),
        [str(image)],
        datastore="datastore1",
        config=DriverConfig(owner="tests", settle_seconds=0.05, task_seconds=30),
    )
    if result.error is not None:
        raise result.error


def imported(place: Place) -> bool:
    return place.data("imported/imported-flat.vmdk") == CONTENT


def nothing_imported(place: Place) -> bool:
    return not (place.esx.datastore_path() / "imported").exists()


SEARCH = "SearchDatastore_Task"
VERBS: dict[str, Verb] = {
    "put": Verb(
        ("PUT", SEARCH),
        lambda place: place.store.upload("new", DATA),
        lambda place: place.data("new") == DATA,
        lambda place: place.data("new") is None,
    ),
    "put, hashed": Verb(
        ("GET",),
        lambda place: place.store.upload("new", DATA, verify="hash"),
        lambda place: place.data("new") == DATA,
        lambda place: place.data("new") is None,
    ),
    "get": Verb(("GET", SEARCH), get, lambda place: True, lambda place: True),
    "compare": Verb(
        ("GET",),
        lambda place: place.store.compare("x", DIGEST),
        lambda place: True,
        lambda place: True,
    ),
    "delete": Verb(
        ("DeleteDatastoreFile_Task",),
        lambda place: place.store.delete("x"),
        lambda place: place.data("x") is None,
        lambda place: place.data("x") == DATA,
    ),
    "move": Verb(
        ("MoveDatastoreFile_Task",),
        lambda place: place.store.move("x", "new"),
        lambda place: (place.data("x"), place.data("new")) == (None, DATA),
        lambda place: (place.data("x"), place.data("new")) == (DATA, None),
    ),
    "copy": Verb(
        ("CopyDatastoreFile_Task",),
        lambda place: place.store.copy("x", "new"),
        lambda place: place.data("new") == DATA,
        lambda place: place.data("new") is None,
    ),
    "mkdir": Verb(
        ("MakeDirectory",),
        lambda place: place.store.mkdir("folder"),
        lambda place: (place.esx.datastore_path() / "folder").is_dir(),
        lambda place: not (place.esx.datastore_path() / "folder").exists(),
    ),
    "import": Verb(("POST", "HttpNfcLeaseComplete"), do_import, imported, nothing_imported),
    "export": Verb(("GET", "HttpNfcLeaseGetManifest"), do_export, lambda p: True, lambda p: True),
    "push": Verb(
        ("PUT", "MoveVirtualDisk_Task"),
        push,
        lambda place: place.data("images/image-flat.vmdk") == DATA,
        lambda place: place.data("images/image-flat.vmdk") is None,
    ),
}
CASES = [(name, request) for name, verb in VERBS.items() for request in verb.requests]


async def judged(place: Place, verb: Verb) -> BaseException | None:
    """Run a verb; return its error. It ends in time, and the host does not contradict its outcome."""
    loop = asyncio.get_running_loop()
    began, error = loop.time(), None
    try:
        await verb.act(place)
    except VimlibError as failure:
        error = failure
    assert loop.time() - began < LONGEST
    if error is None:
        assert verb.done(place), "success, and the host does not show it"
    elif error.outcome in {"refused", "not_sent"}:
        assert verb.undone(place), f"{error!r}, and the host shows it done"
    return error


def left(place: Place) -> list[str]:
    """Return the names of what a transfer may not leave, whatever happened."""
    folder = place.esx.datastore_path()
    leases = place.esx.registry.all("HttpNfcLease").values()
    return [
        *(str(file) for file in folder.rglob("*.part")),
        *(lease.id for lease in leases if lease.state in {"initializing", "ready"}),
    ]


@pytest.mark.parametrize(("name", "request_"), CASES, ids=lambda value: value)
@pytest.mark.parametrize(
    "times",
    [
        pytest.param(1, id="once", marks=pytest.mark.slow),
        pytest.param(None, id="always", marks=[pytest.mark.torture, pytest.mark.timeout(600)]),
    ],
)
def test_row_86_every_fault_over_every_transfer(
    name: str,
    request_: str,
    times: int | None,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    verb = VERBS[name]
    ended: dict[str, int] = {}

    def one(fault: str) -> None:
        folder = tmp_path / fault.replace(" ", "-")
        (folder / "store").mkdir(parents=True)
        (folder / "store" / "x").write_bytes(DATA)
        (folder / "image.img").write_bytes(DATA)

        async def work(client: Client, esx: ESXHost, between: Relay) -> None:
            place = Place(client, esx)
            between.on(request_, FAULTS[fault], times=times)
            error = await judged(place, verb)
            between.rules.clear()
            kind = "done" if error is None else type(error).__name__
            ended[kind] = ended.get(kind, 0) + 1
            # A host that is not reached for the clean-up keeps what a note names.
            notes = getattr(error, "__notes__", [])
            assert not left(place) or any("Left behind" in note for note in notes), left(place)

        try:
            run_between(work, datastores={"datastore1": folder / "store"}, vms=1)
        except AssertionError as wrong:
            raise AssertionError(f"{name}, {request_}, {fault}: {wrong}") from wrong

    for fault in FAULTS:
        one(fault)
    record_property("ended", str(ended))
    assert len(ended) > 1
