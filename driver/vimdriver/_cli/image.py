"""`vimctl image`: push images into datastores, and inspect them."""

from __future__ import annotations

import asyncio
import shlex
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from cyclopts import Parameter

from vimdriver._cli.connection import CONNECTION, ConnectionOptions
from vimdriver._cli.exitcodes import combined
from vimdriver._cli.flags import ABOVE_0, Flag, Strings, within
from vimdriver._cli.output import OUTPUT, Output, shown
from vimdriver._cli.ownership import OWNERSHIP, Ownership
from vimdriver._cli.progress import meter
from vimdriver._cli.sources import SOURCES, Sources
from vimdriver.errors import size_text
from vimlib.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from vimdriver._cli.progress import Meter
    from vimdriver._images.push import PushEvent, PushResult
    from vimdriver._journal import Journal
    from vimlib._client import Client

_MIB: Final = 1 << 20


async def push(
    *images: str,
    datastore: str,
    to: str = "images",
    concurrency: Annotated[int, within(1)] = 4,
    overwrite: Flag = False,
    read_back: Flag = False,
    as_is: Flag = False,
    as_: Annotated[str | None, Parameter(name="--as")] = None,
    transfer: Literal["nfc", "put", "sparse"] | None = None,
    host_file: Path | None = None,
    bandwidth: Annotated[float | None, ABOVE_0] = None,
    host_bandwidth: Annotated[float | None, ABOVE_0] = None,
    sources: Sources = SOURCES,
    ownership: Ownership = OWNERSHIP,
    connection: ConnectionOptions = CONNECTION,
    output: Output = OUTPUT,
) -> int:
    """Push images into a datastore in parallel, and check each one during the transfer.

    Each becomes a disk, NAME.vmdk with its extent, from which `instance spawn` makes machines; an ISO
    becomes NAME.iso. NAME is the id in Glance, or the name of the file without its ending. Images are
    streamed, not stored on the local disk. A failed image leaves no file, and the others continue; the
    exit code is then 7, or that of the failure if all images failed. An image that is there already
    is not sent again.

    Args:
        images: Ids or names in Glance, http(s) URLs, paths of local files, or files of a host as
            `[datastore1] folder/file`. With Glance, write a file of the current folder as ./NAME.
        datastore: Name of the datastore.
        to: Folder in the datastore, created if missing; `[datastore1] folder` is accepted too.
        concurrency: Number of parallel transfers.
        overwrite: Replace a disk or file that was made from other bytes.
        read_back: Read each disk back from the host and compare hashes before it gets its name.
        as_is: Store the bytes unchanged, as a file.
        as_: NAME for the one image.
        transfer: `nfc` imports the disk, without its holes; `put` uploads all of it, `sparse` uploads a sparse or streamOptimized file as it is and has the host convert it. The default is chosen for each image.
        host_file: File with more hosts that get the images too, a line `URL [PIN]` each, with the same user
            and password. Each image is read once for all; a slow or failing host does not stop the others.
        bandwidth: MiB a second to all hosts of --host-file together.
        host_bandwidth: MiB a second to each host of --host-file.
    """
    from vimdriver._images.push import push_images
    from vimdriver._images.push_to_hosts import push_to_hosts
    from vimlib._datastore import DatastorePath

    to = DatastorePath.parse(to).path if to.startswith(f"[{datastore}]") else to
    config = ownership.config()
    limits = {"bandwidth": bandwidth, "host_bandwidth": host_bandwidth}
    more = await _more_hosts(connection, host_file, limits)
    async with sources.open(images, connection=connection) as store, ownership.opened() as journal:
        with meter(output) as progress:
            push_all = partial(
                push_images if more is None else push_to_hosts,
                images=store,
                refs=images,
                datastore=datastore,
                directory=to,
                concurrency=concurrency,
                overwrite=overwrite,
                read_back=read_back,
                as_is=as_is,
                name=as_,
                transfer=transfer,
                events=tell(progress, output),
                config=config,
                journal=journal,
            )
            opened = partial(_opened, journal=journal, mark=config.mark())
            if more is None:
                async with opened(connection) as client:
                    results = await push_all(client)
            else:
                hosts = {connection.address: connection} | more
                results = await push_all(
                    {url: opened(host) for url, host in hosts.items()},
                    **{name: mib and mib * _MIB for name, mib in limits.items()},
                )
    show_results(results, output)
    return combined(result.error for result in results)


async def _more_hosts(
    first: ConnectionOptions, file: Path | None, limits: Mapping[str, float | None]
) -> dict[str, ConnectionOptions] | None:
    """Return the hosts of --host-file by their URLs, with the login of the first; None without the file.

    Raises:
        UsageError: The file is invalid, or a limit was given without it.
    """
    if file is not None:
        pins = await asyncio.to_thread(read_hosts, file)
        return {url: first.to(url, pin) for url, pin in pins.items()}
    if any(limits.values()):
        raise UsageError(
            "--bandwidth and --host-bandwidth need --host-file",
            hint="Give a file of hosts; it may be empty.",
        )
    return None


@asynccontextmanager
async def _opened(host: ConnectionOptions, *, journal: Journal, mark: str) -> AsyncIterator[Client]:
    """Log in to a host for a push; the journal records the session."""
    from vimdriver._verbs.session import session_recorded

    async with host.client() as client, session_recorded(client, journal, mark):
        yield client


def read_hosts(path: Path) -> dict[str, str | None]:
    """Read the pins of hosts by their URLs, a line `URL [PIN]` each. Blocking.

    Raises:
        UsageError: The file cannot be read, or a line is something else.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise UsageError(f"cannot read hosts from {str(path)!r}: {reason}") from None
    found: dict[str, str | None] = {}
    for number, line in enumerate(lines, 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        if len(words) > 2 or words[0] in found:
            raise UsageError(
                f"line {number} of {str(path)!r} must be URL [PIN], and no URL twice",
                hint="Write https://HOST/sdk, and the SHA-256 of its certificate behind it.",
            )
        found[words[0]] = words[1] if len(words) > 1 else None
    return found


def tell(progress: Meter, output: Output | None = None) -> Callable[[PushEvent], None]:
    """Return a callback that reports the events of a push to a meter.

    If `output` is JSON, the callback prints each image's line as soon as the image has ended.
    """

    def on_event(event: PushEvent) -> None:
        name = f"{event.image} to {event.host}" if event.host else event.image
        if event.kind == "started":
            progress.start(name, event.bytes)
        elif event.kind == "progress":
            progress.advance(name, event.bytes)
        else:
            assert event.result is not None, "the event of an end must have its result"
            progress.end(name, event.result.error)
            if output is not None and output.json:
                output.line(event.result.to_json())

    return on_event


def show_results(results: Sequence[PushResult], output: Output) -> None:
    """Print the results as a table; JSON lines and errors were printed during the push."""
    from vimlib._datastore import DatastorePath

    if output.json:
        return
    rows: list[dict[str, Any]] = []
    for result in results:
        if result.error is None:
            row = result.to_json() | {"image": shown(result.image)}
            row["size"] = size_text(result.bytes)
            row["seconds"] = f"{result.seconds:.1f}"
            row["hash"] = f"{result.hash_algo}:{result.hash[:16]}..." if result.hash else None
        else:
            # The full message was printed when the image failed; here it would widen the table.
            row = {
                "image": shown(result.image),
                "host": result.host,
                "datastore_path": f"failed: {type(result.error).__name__}",
            }
        rows.append(row)
    where = ("host",) if any(result.host for result in results) else ()
    columns = ("image", *where, "datastore_path", "size", "verified", "hash", "seconds")
    output.table(columns, rows)
    for result in results:
        if result.error is None and result.datastore_path.endswith((".vmdk", ".iso")):
            path = shlex.quote(result.datastore_path)
            store = shlex.quote(DatastorePath.parse(result.datastore_path).datastore)
            output.say(
                f"To spawn from it: vimctl instance spawn --name NAME --image {path} --datastore {store}"
            )


async def capture(
    instance: Annotated[str, Parameter(help="UUID, name or reference of the machine.")],
    /,
    *,
    name: str,
    properties: Annotated[Strings, Parameter(name="--property")] = (),
    public: Flag = False,
    quiesce: Flag = False,
    foreign: Flag = False,
    sources: Sources = SOURCES,
    ownership: Ownership = OWNERSHIP,
    connection: ConnectionOptions = CONNECTION,
    output: Output = OUTPUT,
) -> None:
    """Capture a machine's root disk into Glance, running or not, and print the image.

    The image is a streamOptimized VMDK without the disk's holes, and private. A failure or Ctrl-C
    removes it, and the snapshot that the disk is read from.

    Args:
        name: Name of the image.
        properties: Property of the image as NAME=VALUE; repeatable.
        public: Let all projects see the image.
        quiesce: Have the guest's tools quiesce its file systems first.
        foreign: Capture a machine of another owner too.
    """
    from vimdriver._cli.hardware import pairs
    from vimdriver._driver import ESXDriver

    given = dict(pairs("--property", properties))
    async with (
        sources.opened_glance() as store,
        connection.client() as client,
        ESXDriver(client, config=ownership.config()) as driver,
    ):
        with meter(output) as progress:
            progress.start(name, 0)
            image = await driver.capture(
                instance,
                name,
                target=store,
                properties=given,
                visibility="public" if public else "private",
                quiesce=quiesce,
                foreign=foreign,
                on_progress=lambda count: progress.advance(name, count),
            )
            progress.end(name)
    output.fields(image.to_json())


async def inspect(image: str, /, *, sources: Sources = SOURCES, output: Output = OUTPUT) -> None:
    """Read a whole image, check it by the rules of `image push`, and show its format.

    Args:
        image: Path of a local file, http(s) URL, or id or name in Glance.
    """
    from vimdriver._images.check import BodyCheck
    from vimdriver._images.source import masked_reference

    async with sources.open([image]) as store:
        source = store.image(image)
        check = BodyCheck(await source.info())
        with meter(output) as progress:
            progress.start(image, check.info.size)
            async with source.open() as body:
                async for chunk in body:
                    # Hashing takes milliseconds per chunk, too long for the event loop.
                    await asyncio.to_thread(check.feed, chunk)
                    progress.advance(image, len(chunk))
            report = check.finish()
            progress.end(image)
    facts = report.facts
    output.fields(
        {
            "image": masked_reference(image),
            "kind": facts.kind,
            "bytes": report.bytes,
            "capacity_bytes": facts.capacity,
            "create_type": facts.create_type,
            "adapter_type": facts.adapter_type,
            "grain_bytes": facts.grain_bytes,
            "hash": report.hash,
            "hash_algo": report.hash_algo,
            "verified": report.verified,
        }
    )
