"""`vimctl sim`: an ESX host on loopback that is not there."""

from __future__ import annotations

import asyncio
import signal
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Literal, TypeAlias

from vimdriver._cli.output import OUTPUT, Output
from vimdriver.errors import DriverError
from vimlib.errors import UsageError, printable

__all__ = ["Release", "sim"]

Release: TypeAlias = Literal["4.0", "4.1", "5.5", "6.7", "7.0", "8.0", "9.0"]
"""What the simulator can be."""


async def sim(
    *,
    port: int = 0,
    datastore_dir: Path | None = None,
    api_version: Release = "8.0",
    vms: int = 0,
    latency_ms: float = 0.0,
    output: Output = OUTPUT,
) -> None:
    """Run a simulated ESX host until SIGINT or SIGTERM.

    When it is ready it prints one line of JSON: {"url", "username", "password", "thumbprint"}.
    It listens on 127.0.0.1 alone; certificate and password are new each time.

    Args:
        port: Where it listens; 0 picks a free port.
        datastore_dir: Root of its one datastore, `datastore1`; a folder that goes away with it if none is given.
        api_version: Which release it is.
        vms: So many powered-off machines are there from the start, `vm-0` and on.
        latency_ms: Milliseconds that each answer takes longer.
    """
    from vimlib.simulator import ESXHost, describe

    if datastore_dir is not None and datastore_dir.is_file():  # noqa: ASYNC240 - nothing runs yet
        raise UsageError(
            f"{printable(str(datastore_dir))!r} is no folder",
            hint="Name a folder; it is made if missing.",
        )
    if vms < 0 or latency_ms < 0 or not 0 <= port <= 65535:
        raise UsageError("--vms and --latency-ms are at least 0, --port at most 65535")
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    host = ESXHost(
        version=api_version,
        datastores={"datastore1": datastore_dir},
        vms=vms,
        latency=latency_ms / 1000,
        port=port,
    )
    async with AsyncExitStack() as stack:
        try:
            esx = await stack.enter_async_context(host)
        except OSError as error:
            raise DriverError(
                f"the simulated host cannot start: {error.strerror}",
                hint="Choose another --port, or 0 for any; look at --datastore-dir.",
            ) from error
        # A signal is how it is meant to end: no error, no exit code of its own.
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        output.line(describe(esx))
        output.say(f"a simulated host of API {api_version} listens; Ctrl-C ends it")
        await stop.wait()
