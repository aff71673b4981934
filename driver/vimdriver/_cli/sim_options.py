"""The options of `vimctl sim`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from cyclopts import Parameter

from vimdriver._cli.flags import ABOVE_0, Flag, Strings, within
from vimlib._text import printable
from vimlib.errors import UsageError

Release: TypeAlias = Literal["4.0", "4.1", "5.5", "6.7", "7.0", "8.0", "9.0"]
"""The API versions that the simulator supports."""


@Parameter(name="*", group="Server")
@dataclass(frozen=True, kw_only=True)
class Serving:
    """Where and to whom the host is served."""

    port: Annotated[int, within(0, 65535)] = 0
    """Port to listen on; 0 picks a free port."""

    listen: str = "127.0.0.1"
    """Address to listen on. Beyond loopback, the password is all that protects the host."""

    username: str = "root"
    """The user that may log in."""

    password_file: Path | None = None
    """File with the password in its first line; by default it is generated."""

    certificate: Path | None = None
    """PEM file with the certificate to serve; by default one is made."""

    key: Path | None = None
    """PEM file with its key, without a passphrase."""

    legacy_tls: Flag = False
    """Speak TLS 1.0 alone, as ESX 4.1 did."""

    control_token_file: Path | None = None
    """Serve the control endpoint to clients with the token in this file's first line."""


SERVING = Serving()
"""The default of a command's parameter."""


@Parameter(name="*", group="Host")
@dataclass(frozen=True, kw_only=True)
class Simulated:
    """Options of the simulated host."""

    api_version: Release = "8.0"
    """Release of the simulated host."""

    vms: Annotated[int, within(0)] = 0
    """Number of powered-off machines at the start, named `vm-0`, `vm-1` and so on."""

    datastore_dir: Path | None = None
    """Root folder of its datastore, `datastore1`; the default is a temporary folder."""

    datastore: Strings = ()
    """A datastore, as NAME or NAME=FOLDER; may be repeated. Instead of --datastore-dir."""

    capacity_gb: Annotated[int, within(1)] = 1024
    """GiB that each datastore holds."""

    local_folders: Path | None = None
    """A folder below which clients may make datastores (CreateLocalDatastore)."""

    export: Strings = ()
    """An NFS volume that the host can reach, as SERVER:/PATH or SERVER:/PATH=FOLDER; may be repeated."""

    state: Path | None = None
    """A file that keeps the state, the password too, across runs; use it with named folders."""

    load: Path | None = None
    """A folder that `govc object.save` wrote of a host: its datastores, networks and machines."""

    seed: Annotated[int | None, within(0)] = None
    """Makes UUIDs and MAC addresses the same in each run."""

    free_licence: Flag = False
    """Refuse changes, as the free licence does."""

    latency_ms: Annotated[float, within(0)] = 0.0
    """Additional latency of each response in milliseconds."""

    task_ms: Annotated[float, within(0)] = 0.0
    """Duration of each task in milliseconds, file work apart."""

    update_ms: Annotated[float, within(0)] = 0.0
    """Report changes to waiting calls at intervals of so many milliseconds; 0: each at once."""

    max_objects: Annotated[int | None, within(1)] = None
    """Most objects in a page of a property read."""

    session_limit: Annotated[int, within(1)] = 1000
    """Most sessions at once; a further login gets HTTP 503."""

    session_timeout: Annotated[float, ABOVE_0] = 1800.0
    """Seconds of silence after which a session ends."""

    call_log_limit: Annotated[int, within(0)] = 100_000
    """Most calls that the control endpoint's `calls` returns; the oldest are forgotten."""

    refusals: Literal["task", "call"] = "task"
    """Refuse a method that returns a task by a failed task, as hosts do, or by a fault of the call."""

    refuse_missing_folders: Flag = False
    """Answer 404 to a PUT into a missing folder instead of creating it."""

    def datastores(self) -> dict[str, Path | None] | None:
        """Return the folders of the datastores by name, None for those of --load. Raises `UsageError`."""
        if self.datastore_dir is not None and self.datastore:
            raise UsageError("--datastore-dir and --datastore must not be given together")
        if self.load is not None and self.datastore_dir is None and not self.datastore:
            return None
        found = _folders("--datastore", "NAME", self.datastore)
        if not self.datastore:
            found = {"datastore1": self.datastore_dir}
        _check_folders("--datastore" if self.datastore else "--datastore-dir", found)
        return found

    def exports(self) -> dict[str, Path | None]:
        """Return the folders of the NFS volumes by `SERVER:/PATH`. Raises `UsageError`."""
        found = _folders("--export", "SERVER:/PATH", self.export)
        for place in found:
            server, colon, path = place.partition(":")
            if not server or not colon or not path.startswith("/"):
                raise UsageError(f"--export must be SERVER:/PATH, got {printable(place)!r}")
        _check_folders("--export", found)
        return found


def _folders(option: str, name: str, texts: Strings) -> dict[str, Path | None]:
    """Return the folder of each name, None for those without one. Raises `UsageError`."""
    found: dict[str, Path | None] = {}
    for text in texts:
        key, equals, path = text.partition("=")
        if not key or (equals and not path) or key in found:
            raise UsageError(
                f"{option} must be {name} or {name}=FOLDER, each name once, got {printable(text)!r}"
            )
        found[key] = Path(path) if path else None
    return found


def _check_folders(option: str, found: dict[str, Path | None]) -> None:
    """Raise `UsageError` for a folder that is a file."""
    for folder in found.values():
        if folder is not None and folder.is_file():
            raise UsageError(
                f"{option} must be a folder, got {printable(str(folder))!r}",
                hint="A missing folder is created.",
            )


SIMULATED = Simulated()
"""The default of a command's parameter."""
