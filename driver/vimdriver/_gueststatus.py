"""The report of the guest helper: ``guestinfo.vimguest.status``, as ``guest/README.md`` specifies it.

No I/O. Any process in the guest can set these keys, so nothing of them is trusted: sizes are
bounded, types checked, addresses parsed, and texts made printable.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from vimdriver._guestinfo import record_digest
from vimlib.errors import UnexpectedReplyError

STATUS_KEY: Final = "guestinfo.vimguest.status"
LOCAL_KEYS: Final = ("guestinfo.local-ipv4", "guestinfo.local-ipv6")

# The limits of the helper, and of vSphere's ten NICs with some room.
MAX_STATUS: Final = 4096
MAX_ROWS: Final = 64
MAX_TEXT: Final = 256

_T = TypeVar("_T")


@dataclass(frozen=True)
class GuestNIC:
    """A NIC as the guest reports it: MAC address, name, and addresses with prefix length."""

    mac: str
    interface: str
    addresses: tuple[str, ...]


@dataclass(frozen=True)
class GuestProblem:
    """A difference between the record and the guest; `file` is the configuration that won."""

    mac: str | None
    what: str
    wanted: str
    found: str
    file: str | None


@dataclass(frozen=True)
class GuestStatus:
    """The helper's last report.

    `code` is its exit code, `verified` None where it compared nothing; `boot` identifies the boot and
    `record` the record that it read (`GuestStatus.is_for`); `cut` means that rows were left out.
    """

    status: str
    code: int
    verified: bool | None
    backend: str | None
    boot: str | None
    record: str | None
    nics: tuple[GuestNIC, ...]
    problems: tuple[GuestProblem, ...]
    notes: tuple[str, ...]
    error: str | None
    cut: bool

    def is_for(self, machine_id: str) -> bool:
        """Whether the report is about this text of ``machine.id``."""
        return self.record == record_digest(machine_id)


def parse_status(text: str) -> GuestStatus:
    """Read a report.

    Raises:
        UnexpectedReplyError: It is not a report of version 1.
    """
    if len(text) > MAX_STATUS:
        raise _bad(f"{len(text)} characters; {MAX_STATUS} is the limit")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise _bad("not JSON") from None
    if not isinstance(document, dict) or document.get("version") != 1:
        raise _bad("not an object of version 1")
    error = _take(document, "error", dict)
    return GuestStatus(
        status=_text(document, "status") or "",
        code=_take(document, "code", int) or 0,
        verified=_take(document, "verified", bool),
        backend=_text(document, "backend"),
        boot=_text(document, "boot"),
        record=_text(document, "record"),
        nics=tuple(_nic(row) for row in _rows(document, "nics")),
        problems=tuple(_problem(row) for row in _rows(document, "problems")),
        notes=tuple(_printable(note) for note in _list(document, "notes")),
        error=None if error is None else _text(error, "message"),
        cut=_take(document, "cut", bool) or False,
    )


def local_addresses(settings: Mapping[str, str]) -> tuple[str, ...]:
    """The addresses in ``guestinfo.local-ipv4`` and ``-ipv6``; texts that are no addresses are dropped."""
    found = []
    for key in LOCAL_KEYS:
        address = _address(settings.get(key, ""), ipaddress.ip_address)
        found += [] if address is None else [address]
    return tuple(found)


def _bad(why: str) -> UnexpectedReplyError:
    return UnexpectedReplyError(f"invalid {STATUS_KEY}: {why}")


def _take(document: Mapping[str, Any], key: str, kind: type[_T]) -> _T | None:
    value = document.get(key)
    if value is None:
        return None
    # A bool is not a number.
    if type(value) is not kind:
        raise _bad(f"{key} is not of type {kind.__name__}")
    return value


def _text(document: Mapping[str, Any], key: str) -> str | None:
    value = _take(document, key, str)
    return None if value is None else _printable(value)


def _printable(value: object) -> str:
    if not isinstance(value, str):
        raise _bad("a text is not of type str")
    clean = value if value.isascii() and value.isprintable() else ascii(value)[1:-1]
    return clean[:MAX_TEXT]


def _list(document: Mapping[str, Any], key: str) -> list[Any]:
    found: list[Any] = _take(document, key, list) or []
    if len(found) > MAX_ROWS:
        raise _bad(f"{len(found)} {key}; {MAX_ROWS} is the limit")
    return found


def _rows(document: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    found = _list(document, key)
    if not all(isinstance(row, dict) for row in found):
        raise _bad(f"{key} has a row that is not an object")
    return found


def _address(text: object, parse: Any) -> str | None:
    # A zone may hold any text.
    if not isinstance(text, str) or len(text) > MAX_TEXT or "%" in text:
        return None
    try:
        return str(parse(text))
    except ValueError:
        return None


def _nic(row: Mapping[str, Any]) -> GuestNIC:
    addresses = [_address(one, ipaddress.ip_interface) for one in _list(row, "addresses")]
    if None in addresses:
        raise _bad("an address is not an IP address with prefix length")
    return GuestNIC(
        _text(row, "mac") or "",
        _text(row, "interface") or "",
        tuple(one for one in addresses if one is not None),
    )


def _problem(row: Mapping[str, Any]) -> GuestProblem:
    return GuestProblem(
        _text(row, "mac"),
        _text(row, "what") or "",
        _text(row, "wanted") or "",
        _text(row, "found") or "",
        _text(row, "file"),
    )
