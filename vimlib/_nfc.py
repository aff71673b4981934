"""NFC leases: the disks of an import or an export, kept alive by a heartbeat, aborted on any
failure.

The host ends a lease without progress reports after `leaseTimeout`, some minutes. A separate task
therefore reports progress four times as often as needed, timed by the loop's monotonic clock and
independent of the transfer. Leaving the context manager completes the lease; any exception or
cancellation aborts it, shielded, and the host then removes partial objects.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from math import isinf
from typing import TYPE_CHECKING, Any, Final

from vimlib import vim25
from vimlib._arguments import check_argument
from vimlib._collector import get
from vimlib._collector.watch import wait_for
from vimlib._datastore.source import opened_any
from vimlib._repr import robust
from vimlib._shield import finish
from vimlib._text import printable
from vimlib._tls import Pin, blind_trust, parse_pin
from vimlib._transport.address import parse_address
from vimlib._transport.budget import urgent
from vimlib._transport.http import HTTPRequest
from vimlib._transport.pace import Breach, Deadline
from vimlib.errors import (
    LeaseError,
    OutcomeUnknownError,
    ProtocolError,
    TransferCorruptError,
    TransferRejectedError,
    UsageError,
    VersionError,
    VimlibError,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from vimlib._collector import Context
    from vimlib._datastore.source import Source
    from vimlib._progress import Progress
    from vimlib._session.session import Session
    from vimlib._tls import Trust
    from vimlib._transport.address import Address
    from vimlib._transport.http import Header
    from vimlib._transport.network import HTTPTransport

log = logging.getLogger("vimlib.nfc")

STREAM_OPTIMIZED: Final = "application/x-vnd.vmware-streamVmdk"
# Upper bound of the interval, normally a quarter of the lease timeout so that three may be lost.
_MAX_INTERVAL: Final = 30.0
# Lower bound of the interval, for any timeout that the host reports.
_MIN_INTERVAL: Final = 0.5
_CLOSE_SECONDS: Final = 15.0
_DONE: Final = frozenset({200, 201, 204})


@dataclass(frozen=True, slots=True)
class LeaseDevice:
    """One file of a lease, with the URL of its transfer."""

    key: str
    import_key: str
    """In an import: the key of the item in the spec, as the descriptor names it."""
    address: Address
    target: str
    trust: Trust | None
    is_disk: bool
    size: int | None
    """Bytes; in an export, if the host knows them."""

    @property
    def ours(self) -> bool:
        """Whether the file is on the connected server, which its own certificate identifies."""
        return self.trust is None

    def __str__(self) -> str:
        return f"{self.key} at {self.address.netloc}"


class Lease:
    """A lease that is ready; valid within `client.lease(...)`."""

    def __init__(
        self,
        lease: vim25.HttpNfcLease,
        info: vim25.HttpNfcLeaseInfo,
        devices: tuple[LeaseDevice, ...],
        session: Session,
        transport: HTTPTransport,
    ) -> None:
        self.lease = lease
        self.info = info
        """The host's lease info: `entity` is the machine, `totalDiskCapacityInKB` its size."""
        self.devices = devices
        self.percent = 0
        """The percentage that the heartbeat reports; set it, 0 to 100, during the transfer."""
        self._session = session
        self._transport = transport

    def device(self, key: str) -> LeaseDevice:
        """Return the device with that key or import key. Raises `UsageError`."""
        for device in self.devices:
            if key in {device.key, device.import_key}:
                return device
        raise UsageError(
            f"the lease has no device {key!r}; it has: {', '.join(d.key for d in self.devices)}"
        )

    async def upload(
        self,
        device: LeaseDevice,
        source: Source,
        *,
        size: int | None = None,
        progress: Progress | None = None,
        create: bool = False,
        timeout: float | None = None,
    ) -> None:
        """Upload one device: a streamOptimized disk, or with `create` any other file.

        An iterable without `size` (bytes) is sent chunked, as for a disk that is compressed on the way.
        `progress` is called after each piece with the bytes just sent (`vimlib.Progress`).
        `timeout` is in seconds, `Timeouts.transfer` if None; the body must keep to `Timeouts.rate`
        while the host is awaited, and the answer to it has `Timeouts.call`. The lease's manifest
        must then have the device with as many bytes, on hosts that have one (API 4.1 and newer).

        Raises `TransferRejectedError`, `TransferCorruptError`, `SourceError`, `DeadlineError`
        (`rule` names the limit, `bytes` is how many had left), `TransportError`. Cancelling aborts
        the connection.
        """
        end = self._end(timeout)
        body, length = await opened_any(source, size)
        sent = 0

        def count(number: int) -> None:
            nonlocal sent
            sent += number
            if progress is not None:
                progress(number)

        headers: dict[str, Header] = {
            **self._credentials(device),
            "Content-Type": "application/octet-stream" if create else STREAM_OPTIMIZED,
        }
        if create:
            headers["Overwrite"] = "t"
        request = HTTPRequest(
            method="PUT" if create else "POST",
            target=device.target,
            headers=headers,
            body=body,
            length=length,
            on_sent=count,
            end=end,
        )
        try:
            async with asyncio.timeout_at(None if isinf(end.until) else end.until):
                async with self._transport.http(
                    request, address=device.address, trust=device.trust
                ) as reply:
                    if reply.status not in _DONE:
                        raise _rejected("take", device, reply.status, await reply.excerpt())
                sizes = await self._sizes()
        except TimeoutError as error:
            if isinstance(error, VimlibError):
                raise
            # The source was awaited; the host's part has its own end.
            raise Breach(end.rule, end.seconds, sent).error(
                "upload", device.address.netloc
            ) from None
        if sizes is not None and sizes.get(device.key) != sent:
            raise TransferCorruptError(
                f"the host accepted {device} but has {sizes.get(device.key)} of {sent} bytes",
                hint="Start the transfer again.",
                path=device.key,
                expected=sent,
                actual=sizes.get(device.key),
                outcome="unknown",
            )

    async def download(
        self, device: LeaseDevice, *, timeout: float | None = None
    ) -> AsyncIterator[bytes]:
        """Iterate over the bytes of one device, a disk as streamOptimized; close it if you stop
        early.

        The host generates the bytes of a disk during the download, so the size is unknown in
        advance and a broken transfer restarts from the beginning. At the end it must be that of
        the lease's manifest, on hosts that have one (API 4.1 and newer), and of any file but a
        disk that of the lease. `timeout` is in seconds, `Timeouts.transfer` if None, and includes
        the caller's own work in the block.

        Raises `TransferRejectedError`, `TransferCorruptError` for another size, `ProtocolError`
        for a web page, `DeadlineError` (`rule` names the limit, `bytes` is how many had come),
        `TransportError`.
        """
        request = HTTPRequest(
            method="GET",
            target=device.target,
            headers=self._credentials(device),
            end=self._end(timeout),
        )
        received = 0
        async with self._transport.http(
            request, address=device.address, trust=device.trust
        ) as reply:
            if reply.status != 200:
                raise _rejected("send", device, reply.status, await reply.excerpt())
            if (reply.header("content-type") or "").startswith("text/html"):
                raise ProtocolError(
                    f"the host sent a page as {device}",
                    hint="Check for a proxy or a login page between here and the host.",
                    excerpt=await reply.excerpt(),
                )
            async for chunk in reply.chunks():
                received += len(chunk)
                yield chunk
        sizes = await self._sizes()
        # Of files that are no disks the lease itself has the size, and the manifest may not.
        size = (sizes or {}).get(device.key, None if device.is_disk else device.size)
        if size != received and (size is not None or (sizes is not None and device.is_disk)):
            raise TransferCorruptError(
                f"the host sent {received} bytes of {device}, which has {size}",
                hint="Start the transfer again.",
                path=device.key,
                expected=size,
                actual=received,
                outcome="not_sent",
                retryable=True,
            )

    async def _sizes(self) -> dict[str, int] | None:
        """Return the sizes of the files that were transferred, by device key, from the manifest.

        None if the host keeps none: its API is older than 4.1.
        """
        try:
            manifest = await self.lease.HttpNfcLeaseGetManifest()
        except (VersionError, vim25.MethodNotFound, vim25.NotSupported):
            return None
        return {entry.key: entry.size for entry in manifest or ()}

    def _end(self, timeout: float | None) -> Deadline:
        now = asyncio.get_running_loop().time()
        return Deadline.of(timeout, self._transport.timeouts.transfer, "transfer", now)

    def _credentials(self, device: LeaseDevice) -> dict[str, Header]:
        # The cookie is sent to its origin only; other hosts recognise the lease by the secret in
        # the URL.
        return {"Cookie": self._session.cookie_header} if device.ours else {}

    @robust
    def __repr__(self) -> str:
        return f"<Lease {self.lease.moref[1]}, {len(self.devices)} devices, {self.percent} %>"


@asynccontextmanager
async def open_lease(
    context: Context,
    session: Session,
    transport: HTTPTransport,
    start: Awaitable[vim25.HttpNfcLease] | vim25.HttpNfcLease,
    *,
    timeout: float = 300.0,
) -> AsyncIterator[Lease]:
    """Hold a lease: ``async with client.lease(pool.ImportVApp(spec)) as lease:``.

    At most `Limits.leases` are held at once; the others wait in turn, and `start` with them. `start` is a lease, or the not yet awaited call that returns one, so that a cancellation cannot
    lose the lease. Leaving without an exception completes it; an exception or a cancellation aborts
    it, shielded.

    Raises:
        LeaseError: The lease was not ready within `timeout` seconds, failed, or ended early.
        MethodFault: The fault of the call that starts it.
    """
    async with _turn(transport, start):
        handle = await _acquire(context, start)
        async with _held(context, session, transport, handle, timeout) as lease:
            yield lease


@asynccontextmanager
async def _turn(
    transport: HTTPTransport, start: Awaitable[vim25.HttpNfcLease] | vim25.HttpNfcLease
) -> AsyncIterator[None]:
    """Hold the right to one more lease. If it is not given, `start` is never awaited."""
    try:
        await transport.leases.acquire()
    except BaseException:
        if isinstance(start, Coroutine):
            start.close()
        raise
    try:
        yield
    finally:
        transport.leases.release()


@asynccontextmanager
async def _held(
    context: Context,
    session: Session,
    transport: HTTPTransport,
    handle: vim25.HttpNfcLease,
    timeout: float,
) -> AsyncIterator[Lease]:
    completed = False

    async def complete() -> None:
        nonlocal completed
        with urgent():
            await _complete(context, handle)
        completed = True

    try:
        info = await _ready(context, handle, timeout)
        lease = Lease(handle, info, _devices(info, transport), session, transport)
        async with _heartbeat(lease, float(info.leaseTimeout or 300)):
            yield lease
        # Shielded: after a cancellation it is unknown whether the completion was sent.
        await finish(complete(), what="completing a lease", grace=_CLOSE_SECONDS)
    except BaseException as exc:
        if not completed:
            await finish(_abort(handle, exc), what="aborting a lease")
        raise


async def _acquire(
    context: Context, start: Awaitable[vim25.HttpNfcLease] | vim25.HttpNfcLease
) -> vim25.HttpNfcLease:
    if isinstance(start, vim25.HttpNfcLease):
        return context.bind(start)
    check_argument("start", start, Awaitable, "a lease, or the call that returns one")

    async def abort(lease: vim25.HttpNfcLease) -> None:
        await _abort(context.bind(lease), asyncio.CancelledError())

    return context.bind(await finish(start, what="starting a lease", undo=abort))


async def _ready(
    context: Context, lease: vim25.HttpNfcLease, seconds: float
) -> vim25.HttpNfcLeaseInfo:
    def over(state: Any) -> bool:
        return state in {"ready", "error", "done"}

    # Most are ready within the first round trip, and following one takes five.
    row = await get(context, lease, "state", "info", "error")
    state = row.get("state")
    if not over(state):
        try:
            state = await wait_for(context, lease, "state", over, seconds)
        except TimeoutError as exc:
            raise LeaseError(
                f"{lease!r} did not become ready within {seconds:g} s",
                hint="The host is busy: try again later.",
            ) from exc
        row = await get(context, lease, "info", "error")
    if state != "ready":
        failed = row.known("error")
        cause = failed.fault.copy() if failed is not None else None
        said = printable(failed.localizedMessage or "") if failed is not None else ""
        raise LeaseError(
            f"{lease!r} is {state}" + (f": {said or cause!r}" if cause else ""), outcome="refused"
        ) from cause
    info: vim25.HttpNfcLeaseInfo | None = row.known("info")
    if info is None:
        raise ProtocolError(f"{lease!r} is ready but has no info")
    return info


def _devices(info: vim25.HttpNfcLeaseInfo, transport: HTTPTransport) -> tuple[LeaseDevice, ...]:
    """Read the lease's URLs. A host other than the connected one must come with its digest."""
    found = []
    for item in info.deviceUrl or ():
        try:
            found.append(_device(item, transport))
        except UsageError as exc:  # the invalid value is the host's, not the caller's
            raise ProtocolError(
                f"invalid address or certificate digest in the lease: {exc}"
            ) from None
    return tuple(found)


def _device(item: vim25.HttpNfcLeaseDeviceUrl, transport: HTTPTransport) -> LeaseDevice:
    match = re.fullmatch(r"(https?)://([^/]+)(/[!-~]*)", item.url or "")
    if match is None:
        raise ProtocolError(f"invalid URL in the lease: {printable(item.url or '', 80)!r}")
    scheme, where, target = match[1], match[2], match[3]
    host = where.rpartition(":")[0] if re.search(r"[^\]]:\d+\Z", where) else where
    address, trust = transport.address, None
    if host != "*":  # which means the connected host
        named = parse_address(f"{scheme}://{where}", path="/nfc")
        if (named.netloc, named.scheme) != (address.netloc, address.scheme):
            if not named.tls or not (item.sslThumbprint or item.sslCertificate):
                raise ProtocolError(
                    f"the lease refers to {named.netloc} without its certificate digest"
                )
            # The digest came over a verified channel, so SHA-1 is acceptable.
            pin = (
                Pin.of_pem(item.sslCertificate)
                if item.sslCertificate
                else parse_pin(item.sslThumbprint)
            )
            address = named
            trust = blind_trust(named.netloc, (pin,), legacy=transport.tls.legacy)
    return LeaseDevice(
        item.key,
        item.importKey,
        address,
        target,
        trust,
        bool(item.disk),
        item.fileSize or None,
    )


@asynccontextmanager
async def _heartbeat(lease: Lease, patience: float) -> AsyncIterator[None]:
    """Report progress until the block ends. If the lease ends early, raise `LeaseError` in the
    block.
    """
    try:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(
                _send_heartbeats(lease, patience), name="vimlib lease heartbeat"
            )
            yield
            task.cancel()
    except BaseExceptionGroup as exc:
        # Raise the block's own exception, or the heartbeat's, without the group around it.
        raise exc.exceptions[0] from exc.exceptions[0].__cause__


async def _send_heartbeats(lease: Lease, patience: float) -> None:
    loop = asyncio.get_running_loop()
    pause = max(_MIN_INTERVAL, min(_MAX_INTERVAL, patience / 4))
    last = loop.time()
    while True:
        try:
            with urgent():
                async with asyncio.timeout(max(pause, 1.0)):
                    await lease.lease.HttpNfcLeaseProgress(max(0, min(100, int(lease.percent))))
            last = loop.time()
        except (vim25.ManagedObjectNotFound, vim25.InvalidState, vim25.Timedout) as exc:
            raise LeaseError(f"the host ended {lease!r}", hint="Start the transfer again.") from exc
        except (VimlibError, TimeoutError) as exc:
            silent = loop.time() - last
            if silent >= patience:
                raise LeaseError(
                    f"{lease!r} expired: no heartbeat reached the host for {silent:.0f} s",
                    hint="Start the transfer again.",
                ) from exc
            log.warning("%r: heartbeat failed, %.0f s left: %r", lease, patience - silent, exc)
        await asyncio.sleep(pause)


async def _complete(context: Context, lease: vim25.HttpNfcLease) -> None:
    try:
        await lease.HttpNfcLeaseComplete()
    except OutcomeUnknownError:
        # The reply was lost; the lease's state shows whether the call was executed.
        if (await get(context, lease, "state")).get("state") != "done":
            raise


async def _abort(lease: vim25.HttpNfcLease, reason: BaseException) -> None:
    try:
        with urgent():
            async with asyncio.timeout(_CLOSE_SECONDS):
                await lease.HttpNfcLeaseAbort(fault=_as_fault(reason))
    except vim25.ManagedObjectNotFound:
        log.debug("%r no longer exists", lease)
    except (VimlibError, TimeoutError) as exc:
        log.warning("cannot abort %r, which expires on the host: %r", lease, exc)
    else:
        log.info("aborted %r", lease)


def _as_fault(reason: BaseException) -> vim25.LocalizedMethodFault:
    fault: Any = vim25.SystemError(reason=type(reason).__name__)
    return vim25.LocalizedMethodFault(fault=fault, localizedMessage=type(reason).__name__)


def _rejected(verb: str, device: LeaseDevice, status: int, excerpt: str) -> TransferRejectedError:
    return TransferRejectedError(
        f"the host refused to {verb} {device}: HTTP {status}" + (f": {excerpt}" if excerpt else ""),
        path=device.key,
        status=status,
        excerpt=excerpt,
        outcome="unknown" if status >= 500 else "refused",
    )
