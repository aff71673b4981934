"""Hardware in command-line syntax: `--disk size=10,adapter=paraVirtual`, `--allocation cpu,limit=2000`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

from vimdriver._instances.disk_spec import DiskSpec
from vimdriver._instances.hardware import Allocation
from vimlib._text import printable
from vimlib.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vimdriver._instances.hardware import Level

DISK_FORM: Final = "size=GIB[,adapter=lsiLogic][,mode=persistent][,type=thin]"
ALLOCATION_FORM: Final = (
    "cpu|memory|network|disk[,reservation=N][,limit=N][,shares=low|normal|high|N]"
)
_DISK_KEYS: Final = {"adapter": "adapter", "mode": "mode", "type": "disk_type"}
_RESOURCES: Final = ("cpu", "memory", "network", "disk")


def pairs(option: str, texts: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Return the names and values of an option that takes NAME=VALUE. Raises `UsageError`."""
    found = [text.partition("=") for text in texts]
    for text, (name, sign, _) in zip(texts, found, strict=True):
        if not name or not sign:
            raise UsageError(f"{option} must be NAME=VALUE, got {printable(text, 80)!r}")
    return tuple((name, value) for name, _, value in found)


def parse_disk(text: str) -> DiskSpec:
    """Return a further disk. Raises `UsageError`."""
    given = _parts("--disk", text.split(","), ("size", *_DISK_KEYS), DISK_FORM)
    if "size" not in given:
        raise UsageError("a disk requires size=GIB", hint=f"Write --disk {DISK_FORM}.")
    size = _number("size", given.pop("size"))
    # `DiskSpec` checks the words.
    return DiskSpec(size_gb=size, **cast("Any", {_DISK_KEYS[key]: v for key, v in given.items()}))


def parse_allocations(texts: Sequence[str]) -> dict[str, Allocation]:
    """Return the allocations by resource. Raises `UsageError`."""
    found: dict[str, Allocation] = {}
    for text in texts:
        resource, *parts = text.split(",")
        if resource not in _RESOURCES or resource in found or not parts:
            raise UsageError(
                f"--allocation must begin with cpu, memory, network or disk, each once, got {printable(text, 80)!r}",
                hint=f"Write --allocation {ALLOCATION_FORM}.",
            )
        given = _parts("--allocation", parts, ("reservation", "limit", "shares"), ALLOCATION_FORM)
        shares = given.pop("shares", None)
        numbers = {key: _number(key, value) for key, value in given.items()}
        is_number = shares is not None and shares.removeprefix("-").isdecimal()
        weight = _number("shares", shares) if is_number and shares else cast("Level | None", shares)
        found[resource] = Allocation(shares=weight, **numbers)
    return found


def _parts(option: str, parts: Sequence[str], known: Sequence[str], form: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in parts:
        key, sign, value = part.partition("=")
        if key not in known or not sign or not value or key in found:
            raise UsageError(
                f"invalid part of {option}: {printable(part, 80)!r}", hint=f"Write {option} {form}."
            )
        found[key] = value
    return found


def _number(key: str, text: str) -> int:
    if not (text.isascii() and text.removeprefix("-").isdecimal() and len(text) < 16):
        raise UsageError(f"{key} must be a whole number, got {printable(text, 80)!r}")
    return int(text)
