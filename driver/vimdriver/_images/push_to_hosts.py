"""Push images to many hosts: each image is read once, and each host finishes or fails alone."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

from vimdriver._images.fan import Bandwidth, Fan, FanLimits
from vimdriver._images.push import PushEvent, PushResult, push_images
from vimdriver._images.uploader import Uploader
from vimlib._client import Client
from vimlib._secret import forget_locals
from vimlib.errors import UsageError, VimlibError

if TYPE_CHECKING:
    from collections.abc import Callable

    from vimdriver._images.fan import Member
    from vimdriver._images.source import ImageStore

Host: TypeAlias = Client | AbstractAsyncContextManager[Client]


async def push_to_hosts(
    clients: Sequence[Client] | Mapping[str, Host],
    images: ImageStore,
    refs: Sequence[str],
    *,
    datastore: str,
    bandwidth: float | None = None,
    host_bandwidth: float | None = None,
    limits: FanLimits | None = None,
    uploader: Uploader | None = None,
    events: Callable[[PushEvent], None] | None = None,
    **how: Any,
) -> list[PushResult]:
    """Push `refs` to several hosts as `push_images` does to one; return a result for each host and image.

    The source of an image is read once for all hosts, and where it is deflated for them, that is done once too.
    One that keeps the others waiting for
    `limits.patience` seconds, with `limits.window` bytes read ahead of it, is cut loose: it gets the rest
    by a read of its own. A host that fails as a whole, for example because it cannot be reached, has
    that error in the result of each image. Cancelling stops all hosts as it stops one.

    Args:
        clients: Logged in, or by names of the caller's: clients, or what `vimlib.connect` returns,
            which is entered and left here, for each host by itself.
        images: Finds the images.
        refs: As `images` takes them.
        datastore: Name of the datastore, the same on each host.
        bandwidth: Bytes a second to all hosts together; None does not limit them.
        host_bandwidth: Bytes a second to each host; None does not limit them.
        limits: How long hosts wait for each other.
        uploader: Uploads bodies; None opens one.
        events: Called with the events of each host and image.
        how: More arguments of `push_images`; `concurrency` counts for each host.

    Raises:
        UsageError: An argument is invalid; nothing was sent.
    """
    hosts: Mapping[str, Host] = (
        clients if isinstance(clients, Mapping) else {client.host: client for client in clients}
    )
    if not hosts or len(hosts) != len(clients):
        raise UsageError(
            f"clients must be one or more, each of another host, got {len(clients)} of {len(hosts)} hosts"
        )
    total = None if bandwidth is None else Bandwidth(bandwidth)
    each = [None if host_bandwidth is None else Bandwidth(host_bandwidth) for _ in hosts]
    tell = events or (lambda event: None)
    async with (
        Fan(images, len(hosts), limits=limits, total=total) as fan,
        nullcontext(uploader) if uploader else Uploader(streams=len(hosts), shared=True) as opened,
        asyncio.TaskGroup() as group,
    ):
        ends = [
            group.create_task(
                _push(
                    name,
                    host,
                    fan.member(number, each[number]),
                    refs,
                    tell,
                    {"datastore": datastore, "uploader": opened, **how},
                )
            )
            for number, (name, host) in enumerate(hosts.items())
        ]
    found = [end.result() for end in ends]
    refused = [mine for mine in found if isinstance(mine, UsageError)]
    if len(refused) == len(found):
        raise refused[0]
    results: list[PushResult] = []
    for name, mine in zip(hosts, found, strict=True):
        results += _failed(name, mine, refs, tell) if isinstance(mine, VimlibError) else mine
    return results


async def _push(
    name: str,
    host: Host,
    images: Member,
    refs: Sequence[str],
    tell: Callable[[PushEvent], None],
    how: Mapping[str, Any],
) -> list[PushResult] | VimlibError:
    """Push to one host; return the error of one that fails as a whole."""

    def on_event(event: PushEvent) -> None:
        result = None if event.result is None else replace(event.result, host=name)
        tell(replace(event, host=name, result=result))

    try:
        async with nullcontext(host) if isinstance(host, Client) else host as client:
            results = await push_images(client, images, refs, events=on_event, **how)
        return [replace(result, host=name) for result in results]
    except VimlibError as error:
        forget_locals(error)
        return error
    finally:
        images.leave()


def _failed(
    name: str, error: VimlibError, refs: Sequence[str], tell: Callable[[PushEvent], None]
) -> list[PushResult]:
    failed = [PushResult(image=ref, host=name, error=error) for ref in refs]
    for result in failed:
        tell(PushEvent("failed", result.image, result=result, host=name))
    return failed
