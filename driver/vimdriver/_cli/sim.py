"""`vimctl sim`: a simulated ESX host on loopback."""

from __future__ import annotations

import asyncio
import signal
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from vimdriver._cli.flags import within
from vimdriver._cli.output import OUTPUT, Output
from vimdriver.errors import DriverError
from vimlib.errors import UsageError, printable

Release: TypeAlias = Literal["4.0", "4.1", "5.5", "6.7", "7.0", "8.0", "9.0"]
"""The API versions that the simulator supports."""


async def sim(
    *,
    port: Annotated[int, within(0, 65535)] = 0,
    datastore_dir: Path | None = None,
    api_version: Release = "8.0",
    vms: Annotated[int, within(0)] = 0,
    latency_ms: Annotated[float, within(0)] = 0.0,
    output: Output = OUTPUT,
) -> None:
    """Run a simulated ESX host until SIGINT or SIGTERM.

    When the host is ready, one line of JSON is printed: {"url", "username", "password",
    "thumbprint"}. It listens on 127.0.0.1 only; its certificate and password are new for each run.

    Args:
        port: Port to listen on; 0 picks a free port.
        datastore_dir: Root folder of its datastore, `datastore1`; the default is a temporary folder.
        api_version: Release of the simulated host.
        vms: Number of powered-off machines at the start, named `vm-0`, `vm-1` and so on.
        latency_ms: Additional latency of each response in milliseconds.
    """
    from vimlib.simulator import ESXHost, describe

    if datastore_dir is not None and datastore_dir.is_file():  # noqa: ASYNC240 - nothing runs yet
        raise UsageError(
            f"--datastore-dir must be a folder, got {printable(str(datastore_dir))!r}",
            hint="A missing folder is created.",
        )
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
            hint = "Choose another --port, or 0 for any free port."
            if error.filename is not None:
                hint = f"Check --datastore-dir: {printable(str(error.filename))!r}."
            raise DriverError(
                f"cannot start the simulated host: {error.strerror}", hint=hint
            ) from error
        # A signal is the normal way to stop it, so it is neither an error nor a special exit code.
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        output.line(describe(esx))
        output.say(f"the simulated host of API {api_version} is ready; stop it with Ctrl-C")
        await stop.wait()
