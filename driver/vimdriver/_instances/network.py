"""The addresses that a guest reports, and the wait for them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from vimdriver._gueststatus import STATUS_KEY, GuestStatus, local_addresses, parse_status
from vimdriver._instances.machine import find, look, marks_of
from vimlib import vim25
from vimlib.errors import DeadlineError, HostStateError, UnexpectedReplyError, UsageError

if TYPE_CHECKING:
    from vimlib._client import Client
    from vimlib._collector import Row

Origin: TypeAlias = Literal["helper", "guestinfo", "tools", ""]

_PATHS: Final = ("config.extraConfig", "guest.net")


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestNetwork:
    """The addresses of a guest, and their origin. A guest may report anything."""

    addresses: tuple[str, ...]
    """Without prefix length, the helper's order; link-local ones are left out."""
    origin: Origin
    """`helper`: the guest helper's report; `guestinfo`: cloud-init's `guestinfo.local-ipv4` and
    `-ipv6`; `tools`: VMware Tools; "" where nothing was reported."""
    status: GuestStatus | None
    """The helper's report; None where there is none, or where it is not about the present record."""

    def to_json(self) -> dict[str, Any]:
        """Return the document that `vimctl instance ip --json` prints."""
        status = self.status
        return {
            "addresses": list(self.addresses),
            "origin": self.origin,
            "verified": None if status is None else status.verified,
            "problems": [_sentence(one) for one in status.problems] if status else [],
        }


def _sentence(problem: Any) -> str:
    won = f"; {problem.file} won" if problem.file else ""
    found = problem.found or "missing"
    return f"{problem.mac or 'guest'}: {problem.what} is {found}, not {problem.wanted}{won}"


async def guest_network(client: Client, ref: str) -> GuestNetwork:
    """Return the addresses that a machine's guest reports. Cancelling loses nothing.

    Raises:
        NotFoundError: The machine does not exist.
    """
    return _reported(await look(client, ref, *_PATHS))


async def wait_for_network(client: Client, ref: str, *, timeout: float) -> GuestNetwork:
    """Wait until the guest has verified its network, at most `timeout` seconds.

    A machine with a record in ``machine.id`` must report on that record; for any other one the
    first address that is reported counts. Cancelling loses nothing.

    Raises:
        UsageError: `timeout` is not positive.
        NotFoundError: The machine does not exist.
        HostStateError: The guest's network differs from its record; names each difference.
        DeadlineError: The guest did not report in time.
    """
    if not timeout > 0:
        raise UsageError(f"timeout must be greater than 0 s, got {timeout:g}", field="timeout")
    vm: vim25.VirtualMachine | None = None
    found: GuestNetwork | None = None
    try:
        async with asyncio.timeout(timeout) as limit:
            # In the timeout too: a host can answer page after page.
            vm = await find(client, ref)
            async with client.watch(type(vm), *_PATHS, source=vm) as changes:
                async for change in changes:
                    found = _reported(change.row)
                    if found.status is not None and found.status.verified is False:
                        raise HostStateError(
                            f"the network of {ref} differs from its record: "
                            + ". ".join(found.to_json()["problems"]),
                            state="overruled",
                            outcome="applied",
                            hint="Change the named file in the image.",
                        )
                    recorded = bool(marks_of(change.row).get("machine.id"))
                    if (found.status is not None and found.status.verified) or (
                        found.addresses and not recorded
                    ):
                        return found
    except TimeoutError:
        # A call's own deadline is another error.
        if not limit.expired():
            raise
        reported = ", ".join(found.addresses) if found else ""
        hint = f"It reports {reported or 'no address'}; the helper must be in its image."
        if vm is None:
            hint = "The host did not finish the look-up of the machine: check it, or wait longer."
        raise DeadlineError(
            f"{ref} has not verified its network after {timeout:g} s",
            phase="network",
            seconds=timeout,
            hint=hint,
        ) from None
    raise DeadlineError(f"{ref} is gone", phase="network", seconds=timeout)


def _reported(row: Row[vim25.VirtualMachine]) -> GuestNetwork:
    settings = marks_of(row)
    status = None
    if STATUS_KEY in settings:
        try:
            status = parse_status(settings[STATUS_KEY])
        except UnexpectedReplyError:
            # Any process in the guest can set it: it is as good as none.
            status = None
    if status is not None and not status.is_for(settings.get("machine.id", "")):
        status = None
    nics = status.nics if status is not None and status.verified is not None else ()
    helper = tuple(one.partition("/")[0] for nic in nics for one in nic.addresses)
    tools = tuple(
        address for nic in row.props.get("guest.net") or [] for address in nic.ipAddress or []
    )
    for origin, addresses in (
        ("helper", helper),
        ("guestinfo", local_addresses(settings)),
        ("tools", tools),
    ):
        routable = tuple(one for one in addresses if not _is_link_local(one))
        if routable:
            return GuestNetwork(addresses=routable, origin=origin, status=status)  # type: ignore[arg-type]
    return GuestNetwork(addresses=(), origin="", status=status)


def _is_link_local(address: str) -> bool:
    return address.lower().startswith(("fe80:", "169.254."))
