"""Advanced options of the host (`OptionManager`), set with the type that each has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vimdriver._host.managers import read_manager
from vimdriver._verbs import Host, Plan, Run, Step, query, verb
from vimlib import vim25
from vimlib._text import printable
from vimlib.errors import NotFoundError, UsageError
from vimlib.soap import Typed


@dataclass(frozen=True, slots=True, kw_only=True)
class HostOption:
    """An advanced option."""

    key: str
    value: str | int | bool | float

    def to_json(self) -> dict[str, Any]:
        """Return its row of `vimctl host options --json`."""
        return {"key": self.key, "value": self.value}


async def _manager(host: Host) -> vim25.OptionManager:
    row = await read_manager(host.client, vim25.OptionManager, "advancedOption")
    found: vim25.OptionManager = host.client.bind(row.obj)
    return found


def _option(one: vim25.OptionValue) -> HostOption:
    return HostOption(key=one.key, value=_plain(one.value))


def _plain(value: Any) -> str | int | bool | float:
    if isinstance(value, bool | int | float):
        return value if type(value) in (bool, int, float) else type(value).__mro__[-2](value)
    return str(value)


async def _one(manager: vim25.OptionManager, key: str, host: Host) -> vim25.OptionValue:
    try:
        found = await manager.QueryOptions(name=key)
    except vim25.InvalidName:
        found = []
    for one in found:
        if one.key == key:
            return one
    raise NotFoundError(
        f"option not found on {host.client.host}: {printable(key, 80)!r}",
        kind="OptionValue",
        name=key,
        hint="vimctl host options lists them.",
    )


@query
async def host_options(host: Host, prefix: str = "") -> list[HostOption]:
    """List the advanced options of the host, by key. Cancelling loses nothing.

    Args:
        host: The host.
        prefix: Beginning of the keys, such as Net or UserVars.; all if empty.
    """
    manager = await _manager(host)
    found = map(_option, await manager.QueryOptions(name=None))
    return sorted((one for one in found if one.key.startswith(prefix)), key=lambda one: one.key)


@verb
async def set_host_option(host: Host, key: str, value: str) -> Plan[HostOption]:
    """Set an advanced option (`UpdateOptions`), with the type that it has now. Cancelling waits for the call.

    Args:
        key: As UserVars.SuppressShellWarning.
        value: As text: a number, true or false, or any text, as the option's type is.

    Raises:
        NotFoundError: The host has no such option.
        UsageError: The value is not of the option's type, or the host refuses it.
    """
    manager = await _manager(host)
    old = await _one(manager, key, host)
    typed = _as_type_of(old.value, value)

    async def probe(run: Run) -> bool | None:
        now = await _one(manager, key, run.host)
        return (str(now.value) == str(typed)) or None

    def refused(run: Run, fault: vim25.MethodFault) -> None:
        if isinstance(fault, vim25.InvalidArgument):
            raise UsageError(
                f"value must be one that {key} takes, got {printable(value, 80)!r}",
                field="value",
                outcome="refused",
            ) from fault
        raise fault

    step = Step[Any](
        title=f"set {key} to {printable(value, 80)} (UpdateOptions)",
        call=lambda run: manager.UpdateOptions([vim25.OptionValue(key=key, value=typed)]),
        probe=probe,
        refused=refused,
        idempotent=True,
    )

    async def result(run: Run) -> HostOption:
        return _option(await _one(manager, key, run.host))

    return Plan(f"set option {key}", () if str(old.value) == str(typed) else (step,), result)


def _as_type_of(old: Any, text: str) -> Any:
    """Return a text as the type that a value has on the wire. Raises `UsageError`."""
    new: Any = text
    if isinstance(old, bool):
        words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
        if text.casefold() not in words:
            raise UsageError(
                f"value must be true or false, got {printable(text, 80)!r}", field="value"
            )
        new = words[text.casefold()]
    elif isinstance(old, int | float):
        try:
            new = int(text) if isinstance(old, int) else float(text)
        except ValueError:
            raise UsageError(
                f"value must be a number, got {printable(text, 80)!r}", field="value"
            ) from None
    return Typed.like(old, new) if isinstance(old, Typed) else new
