"""Services of the host, such as SSH: run them, and choose when they start."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from vimdriver._host.managers import read_manager
from vimdriver._verbs import Host, Plan, Run, Step, query, verb
from vimlib import vim25
from vimlib._text import printable
from vimlib.errors import HostStateError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

Action: TypeAlias = Literal["start", "stop", "restart"]
Policy: TypeAlias = Literal["on", "off", "automatic"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HostService:
    """A service of the host."""

    key: str
    """As `TSM-SSH`."""
    label: str
    running: bool
    policy: str
    """When it starts: `on` with the host, `off` never, `automatic` while its ports are open."""
    required: bool
    """Whether the host needs it."""

    def to_json(self) -> dict[str, Any]:
        """Return its row of `vimctl host services --json`."""
        return {name: getattr(self, name) for name in self.__slots__}


def _service(one: vim25.HostService) -> HostService:
    return HostService(
        key=one.key,
        label=one.label,
        running=one.running,
        policy=one.policy,
        required=one.required,
    )


async def _read(host: Host) -> tuple[vim25.HostServiceSystem, list[HostService]]:
    row = await read_manager(
        host.client, vim25.HostServiceSystem, "serviceSystem", "serviceInfo.service"
    )
    found = row.props.get("serviceInfo.service") or []
    return host.client.bind(row.obj), sorted(map(_service, found), key=lambda one: one.key)


async def _one(host: Host, key: str) -> tuple[vim25.HostServiceSystem, HostService]:
    system, found = await _read(host)
    for one in found:
        if key.casefold() in (one.key.casefold(), one.label.casefold()):
            return system, one
    raise NotFoundError(
        f"service not found on {host.client.host}: {printable(key, 80)!r}",
        kind="HostService",
        name=key,
        hint=f"The host has: {', '.join(one.key for one in found) or 'none'}.",
    )


@query
async def services(host: Host) -> list[HostService]:
    """List the services of the host, by key. Cancelling loses nothing."""
    return (await _read(host))[1]


@verb
async def control_service(host: Host, service: str, action: Action) -> Plan[HostService]:
    """Start, stop or restart a service (`StartService`, `StopService`, `RestartService`).

    One that is in that state already stays so. Cancelling waits for the call.

    Args:
        service: Key or label, as TSM-SSH or SSH.
        action: start, stop or restart.

    Raises:
        NotFoundError: The host has no such service.
        HostStateError: It is not in that state afterwards.
    """
    system, found = await _one(host, service)
    calls: dict[str, tuple[str, Callable[[str], Awaitable[None]]]] = {
        "start": ("StartService", system.StartService),
        "stop": ("StopService", system.StopService),
        "restart": ("RestartService", system.RestartService),
    }
    method, call = calls[action]
    wanted = action != "stop"

    async def probe(run: Run) -> bool | None:
        # A restart shows nothing where it was running before.
        return (
            (await _one(run.host, found.key))[1].running == wanted and action != "restart"
        ) or None

    step = Step[Any](
        title=f"{action} {found.key} ({method})", call=lambda run: call(found.key), probe=probe
    )

    async def result(run: Run) -> HostService:
        now = (await _one(run.host, found.key))[1]
        if now.running != wanted:
            raise HostStateError(
                f"service {found.key} is {'running' if now.running else 'stopped'} after {action}",
                state="running" if now.running else "stopped",
                outcome="applied",
                hint="Check the host's log (vimctl host logs).",
            )
        return now

    done = found.running == wanted and action != "restart"
    return Plan(f"{action} service {found.key}", () if done else (step,), result)


@verb
async def set_service_policy(host: Host, service: str, policy: Policy) -> Plan[HostService]:
    """Choose when a service starts (`UpdateServicePolicy`). Cancelling waits for the call.

    Args:
        service: Key or label, as TSM-SSH or SSH.
        policy: on with the host, off, or automatic while its ports are open.

    Raises:
        NotFoundError: The host has no such service.
    """
    system, found = await _one(host, service)

    async def probe(run: Run) -> bool | None:
        return ((await _one(run.host, found.key))[1].policy == policy) or None

    step = Step[Any](
        title=f"set the policy of {found.key} to {policy} (UpdateServicePolicy)",
        call=lambda run: system.UpdateServicePolicy(found.key, policy),
        probe=probe,
        idempotent=True,
    )

    async def result(run: Run) -> HostService:
        return (await _one(run.host, found.key))[1]

    steps = () if found.policy == policy else (step,)
    return Plan(f"set the policy of service {found.key}", steps, result)
