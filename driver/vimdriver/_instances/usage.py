"""Which files machines use: what no other machine's removal may take away."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vimlib import vim25
from vimlib.errors import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Any

    from vimlib._client import Client
    from vimlib._datastore import DatastorePath

__all__ = ["device_files", "used_files", "who_uses"]


def device_files(devices: Iterable[vim25.VirtualDevice]) -> Iterator[str]:
    """Yield the files that devices stand on: disks with those that they grew from, images of CDs."""
    for device in devices:
        backing: Any = device.backing
        while backing is not None:
            if name := getattr(backing, "fileName", None):
                yield name
            backing = getattr(backing, "parent", None)


def _files(props: Mapping[str, Any]) -> Iterator[str]:
    yield props.get("config.files.vmPathName") or ""
    yield from device_files(props.get("config.hardware.device") or [])
    # What only its snapshots use.
    for file in props.get("layoutEx.file") or []:
        yield file.name


async def used_files(client: Client, *, but: vim25.VirtualMachine | None = None) -> dict[str, str]:
    """Return the datastore paths that machines use, each with a machine's name; without those of `but`.

    One retrieval for all. Cancelling loses nothing.
    """
    found: dict[str, str] = {}
    async for row in client.collect(
        vim25.VirtualMachine,
        "name",
        "config.files.vmPathName",
        "config.hardware.device",
        "layoutEx.file",
    ):
        if row.obj != but:
            name = str(row.props.get("name") or row.obj.moref[1])
            found |= dict.fromkeys(filter(None, _files(row.props)), name)
    return found


def who_uses(folder: DatastorePath, used: Mapping[str, str]) -> str:
    """Return which machine uses what in a folder or below it, in words; "" if none does."""
    inside = f"{folder}/"
    return next(
        (
            f"machine {name!r} uses {printable(path)}"
            for path, name in used.items()
            if path.startswith(inside)
        ),
        "",
    )
