"""From the configuration to the hosts, and a client of each, connected in the background."""

from __future__ import annotations

import asyncio
import logging
import tomllib
from contextlib import ExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import vimlib
from vimdriver._driver import ESXDriver
from vimdriver._images import Glance, HttpClient
from vimdriver.nova._events import HostAway, HostBack, PowerStates, Report, pause_until
from vimdriver.nova._map import reason
from vimlib import vim25
from vimlib._session.operation import operation
from vimlib._shield import stopped
from vimlib.blocking import LoopThread
from vimlib.errors import LoginError, UsageError, VimlibError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from vimdriver._config import DriverConfig
    from vimdriver._host import HostIdentity
    from vimdriver._images.tokens import TokenSource

T = TypeVar("T")

log = logging.getLogger("vimdriver.nova")

# Seconds between attempts to reach a host that is away.
_FIRST_PAUSE: Final = 5.0
_LONGEST_PAUSE: Final = 60.0
_FIELDS: Final = ("name", "url", "username", "password_file", "pin", "ca")


@dataclass(frozen=True, slots=True, kw_only=True)
class HostSettings:
    """One host of the configuration."""

    name: str
    """The node's name in nova: `hypervisor_hostname`."""
    url: str
    username: str
    password_file: Path
    pin: str | None = None
    ca: str | None = None


def configured(values: Any, service: str) -> tuple[HostSettings, ...]:
    """Return the hosts of the group `[esx]`; one without `hosts_file`, named as the service.

    Blocking: reads `hosts_file`.

    Raises:
        UsageError: An option is missing or has an invalid value.
    """
    if not values.hosts_file:
        return (_host(dict(values), service, "[esx]"),)
    if values.url:
        raise UsageError("[esx] must have either url or hosts_file, got both", field="hosts_file")
    path = Path(values.hosts_file)
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(
            f"hosts_file cannot be read: {path}: {error.strerror}", field="hosts_file"
        ) from None
    except ValueError as error:
        raise UsageError(f"hosts_file must be TOML: {path}: {error}", field="hosts_file") from None
    rows = found.get("host")
    if set(found) != {"host"} or not isinstance(rows, list) or not rows:
        raise UsageError(
            f"hosts_file must have one or more [[host]] and nothing else: {path}",
            field="hosts_file",
        )
    hosts = tuple(_host(row, None, f"{path}, host {at}") for at, row in enumerate(rows, 1))
    names = [host.name for host in hosts]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(
                f"the names in hosts_file must differ, {name!r} is there twice", field="name"
            )
    return hosts


def _host(row: Mapping[str, Any], name: str | None, where: str) -> HostSettings:
    """Return one host; `name` is that of the service, or None for a row of `hosts_file`."""
    if name is None and (unknown := sorted(set(row) - set(_FIELDS))):
        raise UsageError(f"{where}: unknown {unknown[0]!r}; there are {', '.join(_FIELDS)}")

    def text(field: str) -> str:
        value = row.get(field)
        if not isinstance(value, str) or not value:
            raise UsageError(f"{where}: {field} is required", field=field)
        return value

    return HostSettings(
        name=name or text("name"),
        url=text("url"),
        username=text("username"),
        password_file=Path(text("password_file")),
        pin=row.get("pin"),
        ca=row.get("ca"),
    )


class Node:
    """One host: its connection, which is opened in the background and again after a failure.

    Args:
        settings: The host.
        config: The driver's settings; `concurrency` images are transferred at once.
        folder: Where the host's journal is kept.
        report: Called in the loop with each `Report`; must not block.
    """

    def __init__(
        self,
        settings: HostSettings,
        config: DriverConfig,
        folder: Path,
        report: Callable[[Report], object],
    ) -> None:
        self.settings = settings
        self.name = settings.name
        self.states = PowerStates(config.mark(), report)
        self.transfers = asyncio.Semaphore(config.concurrency)
        self._config = replace(config, journal=folder / f"esx-{settings.name}.journal")
        self._report = report
        self._wanted = asyncio.Event()
        self._outcome: asyncio.Future[ESXDriver] | None = None
        self._identity: HostIdentity | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keep the host connected within the block; leaving logs out."""
        serving = asyncio.create_task(self._serve())
        try:
            yield
        finally:
            await stopped(serving)

    async def driver(self) -> ESXDriver:
        """Return the driver of the host. Cancelling leaves the attempt to connect running.

        Raises:
            VimlibError: The host cannot be reached, or refuses the login. Each call tries again.
        """
        outcome = self._outcome
        if outcome is None or (outcome.done() and outcome.exception() is not None):
            outcome = self._outcome = asyncio.get_running_loop().create_future()
            self._wanted.set()
        await asyncio.wait([outcome])
        return outcome.result()

    @property
    def known(self) -> HostIdentity | None:
        """The identity of the host; None while it was never reached."""
        return self._identity

    async def identity(self) -> HostIdentity:
        """Return the identity of the host, read once. Cancelling loses nothing.

        Raises:
            VimlibError: The host cannot be reached.
        """
        if self._identity is None:
            self._identity = await (await self.driver()).host_identity()
        return self._identity

    async def _serve(self) -> None:
        delay = _FIRST_PAUSE
        while True:
            outcome = self._outcome
            if outcome is None or outcome.done():
                outcome = self._outcome = asyncio.get_running_loop().create_future()
            self._wanted.clear()
            try:
                async with (
                    self._connected() as client,
                    ESXDriver(client, config=self._config) as one,
                ):
                    # The unfinished work of a killed process is finished or removed first.
                    await one.sweep()
                    self._identity = await one.host_identity()
                    self._report(HostBack(self.name))
                    outcome.set_result(one)
                    delay = _FIRST_PAUSE
                    await self._follow(one)
            except VimlibError as error:
                self._report(HostAway(self.name, reason(error)))
                if outcome.done():
                    self._outcome = None  # the driver of the lost session
                else:
                    outcome.set_exception(error)
                    outcome.exception()  # nobody may wait for it
            finally:
                if not outcome.done():
                    outcome.cancel()
            await pause_until(self._wanted, delay)
            delay = min(2 * delay, _LONGEST_PAUSE)

    def _connected(self) -> Any:
        settings = self.settings
        return vimlib.connect(
            settings.url,
            settings.username,
            settings.password_file,
            tls=vimlib.TLS(pin=settings.pin, ca=settings.ca),
        )

    async def _follow(self, driver: ESXDriver) -> None:
        """Report until the session is lost for good; a host that is away is waited for."""
        delay, away = _FIRST_PAUSE, False
        while True:
            try:
                if away:
                    await driver.host_identity()
                    self._report(HostBack(self.name))
                    delay, away = _FIRST_PAUSE, False
                await self.states.follow(driver)
            except LoginError:
                raise
            except VimlibError as error:
                away = True
                self._report(HostAway(self.name, reason(error)))
            self._wanted.clear()
            await pause_until(self._wanted, delay)
            delay = min(2 * delay, _LONGEST_PAUSE)


class Hosts:
    """The hosts of a service, for threads. Nothing is connected before `start`.

    Args:
        settings: The hosts.
        config: The driver's settings, for all of them.
        folder: Where each host's journal is kept.
        report: Called in the loop with each `Report`; must not block.
        glance_ca: PEM file with the authority of Glance's certificate.
    """

    def __init__(
        self,
        settings: tuple[HostSettings, ...],
        config: DriverConfig,
        folder: Path,
        *,
        report: Callable[[Report], object],
        glance_ca: str | None = None,
    ) -> None:
        self._loop = LoopThread("esx-loop")
        self._stack = ExitStack()
        self._http = HttpClient(ca=glance_ca)
        self.nodes = {one.name: Node(one, config, folder, report) for one in settings}

    def start(self) -> None:
        """Begin to connect to all hosts; returns at once."""
        self._stack.enter_context(self._loop.context(self._http))
        for node in self.nodes.values():
            self._stack.enter_context(self._loop.context(node.running()))

    def close(self) -> None:
        """Log out everywhere, and join the loop's thread. Safe to call twice."""
        self._stack.close()
        self._loop.close()

    def node(self, name: str | None) -> Node:
        """Return a node; the only one for any name.

        Raises:
            UsageError: No node has that name.
        """
        if len(self.nodes) == 1:
            return next(iter(self.nodes.values()))
        if name not in self.nodes:
            raise UsageError(f"the node must be one of hosts_file, got {name!r}", field="node")
        return self.nodes[name]

    def run(self, node: Node, work: Callable[[ESXDriver], Awaitable[T]], *, request: str = "") -> T:
        """Run work with the driver of a node, its calls named by the request.

        Raises:
            VimlibError: The host cannot be reached, or the work failed.
        """

        async def call() -> T:
            driver = await node.driver()
            with operation(request) if request else nullcontext():
                return await work(driver)

        return self._loop.run(call())

    def wait(self, work: Awaitable[T]) -> T:
        """Run a coroutine of a node."""
        return self._loop.run(work)

    def glance(self, url: str, token: str | None, service: TokenSource | None) -> Glance:
        """Return Glance as a request's own token sees it, also after it has expired with `service`."""
        return Glance(self._http, url, token=token, service=service)


async def management_address(esx: ESXDriver) -> str:
    """Return the address of the host's management network. Cancelling loses nothing."""
    rows = await esx.client.collect(vim25.HostSystem, "config.network.vnic").all()
    for row in rows:
        for card in row.props.get("config.network.vnic") or ():
            address = card.spec.ip.ipAddress if card.spec.ip else None
            if address:
                return str(address)
    return esx.client.host.rpartition(":")[0].strip("[]")
