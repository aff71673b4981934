"""The log of a machine's serial console: the file that its serial port writes to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from vimdriver._instances.change import find_state
from vimdriver._instances.device_list import file_of
from vimlib import vim25
from vimlib._datastore import DatastorePath
from vimlib.errors import NotFoundError, UsageError

if TYPE_CHECKING:
    from vimdriver._verbs import Host

TAIL: Final = 100 << 10
"""Bytes that are read by default, as many as nova shows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsoleLog:
    """The end of a machine's output to its serial port."""

    path: str
    """Datastore path of the file."""
    size: int
    """Bytes of the whole file; 0 where the machine has not written yet."""
    data: bytes
    """The last bytes of it. A guest may write anything."""

    @property
    def text(self) -> str:
        """The bytes as text, with replacements for those that are not UTF-8."""
        return self.data.decode(errors="replace")

    def to_json(self) -> dict[str, Any]:
        """Return the document that `vimctl instance console-log --json` prints."""
        return {"path": self.path, "size": self.size, "text": self.text}


async def console_log(host: Host, ref: str, *, tail: int = TAIL) -> ConsoleLog:
    """Return the last `tail` bytes that a machine wrote to its serial port. Cancelling loses nothing.

    Raises:
        NotFoundError: The machine does not exist, or has no serial port that writes to a file.
        UsageError: `tail` is below 1.
    """
    if tail < 1:
        raise UsageError(f"tail must be at least 1, got {tail}", field="tail")
    machine = await find_state(host.client, ref)
    ports = [one for one in machine.devices if isinstance(one, vim25.VirtualSerialPort)]
    path = next(filter(None, map(file_of, ports)), "")
    if not path:
        raise NotFoundError(
            f"machine {ref} has no serial port that writes to a file",
            kind="VirtualSerialPort",
            hint="Spawn it with serial_log=True (--serial-log).",
        )
    file = DatastorePath.parse(path)
    store = host.datastore(file.datastore)
    try:
        size = (await store.stat(file)).size
    except NotFoundError:
        return ConsoleLog(path=path, size=0, data=b"")  # the host makes it at power on
    data = b""
    if size:
        async with store.download(file, (max(size - tail, 0), size), growing=True) as body:
            data = b"".join([chunk async for chunk in body])
    return ConsoleLog(path=path, size=size, data=data)
