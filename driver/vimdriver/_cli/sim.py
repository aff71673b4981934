"""`vimctl sim`: a simulated ESX host."""

from __future__ import annotations

import asyncio
import json
import signal
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from vimdriver._cli.output import OUTPUT, Output
from vimdriver._cli.sim_options import SERVING, SIMULATED, Serving, Simulated
from vimdriver.errors import DriverError
from vimlib._text import printable
from vimlib.errors import UsageError

if TYPE_CHECKING:
    from vimlib.simulator import ESXHost


async def sim(
    *,
    serving: Serving = SERVING,
    simulated: Simulated = SIMULATED,
    faults: Path | None = None,
    trace: Path | None = None,
    output: Output = OUTPUT,
) -> None:
    """Run a simulated ESX host until SIGINT or SIGTERM.

    When the host is ready, one line of JSON is printed: {"url", "username", "password",
    "thumbprint"}. Certificate and password are new for each run, unless they are given or --state
    has them.

    Args:
        serving: Where and to whom it is served.
        simulated: Options of the simulated host.
        faults: JSON file with an array of failures to inject, each as of the control endpoint's `order`.
        trace: A file to which a line of JSON is appended for each call.
    """
    from vimlib.simulator import ESXHost, describe

    try:
        host = ESXHost(
            simulated.api_version,
            datastores=simulated.datastores(),
            vms=simulated.vms,
            latency=simulated.latency_ms / 1000,
            task_seconds=simulated.task_ms / 1000,
            update_interval=simulated.update_ms / 1000,
            capacity=simulated.capacity_gb << 30,
            local_folders=simulated.local_folders,
            exports=simulated.exports(),
            state=simulated.state,
            load=simulated.load,
            seed=simulated.seed,
            licensed=not simulated.free_licence,
            max_objects=simulated.max_objects,
            session_limit=simulated.session_limit,
            session_timeout=simulated.session_timeout,
            call_log_limit=simulated.call_log_limit,
            refusals=simulated.refusals,
            put_creates_folders=not simulated.refuse_missing_folders,
            port=serving.port,
            address=serving.listen,
            username=serving.username,
            password=_secret(serving.password_file),
            certificate=serving.certificate,
            key=serving.key,
            legacy_tls=serving.legacy_tls,
            control_token=_secret(serving.control_token_file),
            trace=trace,
        )
    except UsageError:
        raise
    except ValueError as error:
        raise UsageError(str(error)) from None
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    async with AsyncExitStack() as stack:
        esx = await _started(host, stack)
        if faults is not None:
            _order(esx, faults)
        # A signal is the normal way to stop it, so it is neither an error nor a special exit code.
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        output.line(describe(esx))
        output.say(
            f"the simulated host of API {simulated.api_version} is ready; stop it with Ctrl-C"
        )
        await stop.wait()


def _secret(file: Path | None) -> str | None:
    """Return the first line of a file, None without one. Raises `UsageError`."""
    from vimlib._session.credentials import read_password

    return None if file is None else read_password(file).reveal()


async def _started(host: ESXHost, stack: AsyncExitStack) -> ESXHost:
    try:
        return await stack.enter_async_context(host)
    except UsageError:
        raise
    except ValueError as error:
        raise UsageError(str(error), hint="Check --certificate and --key, and --load.") from None
    except OSError as error:
        hint = "Choose another --port, or 0 for any free port, and an address of this machine."
        if error.filename is not None:
            hint = f"Check the path {printable(str(error.filename))!r}."
        raise DriverError(
            f"cannot start the simulated host: {error.strerror}", hint=hint
        ) from error


def _order(esx: ESXHost, file: Path) -> None:
    """Inject the failures of a file. Raises `UsageError`."""
    try:
        orders = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(orders, list) or not all(isinstance(each, dict) for each in orders):
            raise UsageError("--faults must be a file with a JSON array of objects")
        for each in orders:
            esx.order(**each)
    except UsageError:
        raise
    except OSError as error:
        raise UsageError(f"--faults cannot be read: {error}") from None
    except (ValueError, TypeError) as error:
        raise UsageError(f"--faults has an invalid order: {error}") from None
