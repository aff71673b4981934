"""The operations of a test on a running host: inspect objects, inject faults, set guest data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, get_args

from vimlib import vim25
from vimlib.model import MethodFault
from vimlib.simulator._core.injection import What
from vimlib.simulator._guest.scripted import ScriptedGuest, guest_of
from vimlib.simulator._host.access import set_lockdown
from vimlib.simulator._host.host_system import HostSystem
from vimlib.simulator._host.network import NetworkSystem
from vimlib.simulator._properties.paths import fields_of
from vimlib.simulator._service.sessions import SessionManager
from vimlib.simulator._storage.datastore import Datastore, by_name
from vimlib.simulator._vm import power
from vimlib.simulator._vm.virtual_machine import VirtualMachine

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from vimlib.simulator._core.call import CallLog, CallRecord
    from vimlib.simulator._core.injection import Faults
    from vimlib.simulator._core.registry import Registry
    from vimlib.simulator._core.session import Face


class HostOperations:
    """The operations of `ESXHost` that need the host's objects alone."""

    def __init__(self, registry: Registry, call_log: CallLog) -> None:
        self.registry = registry
        self.call_log = call_log
        """The calls that came, failed ones too, oldest first; the last `call_log_limit` of them."""

    @property
    def sessions(self) -> SessionManager:
        """The session manager."""
        return self.registry.one(SessionManager)

    @property
    def host(self) -> HostSystem:
        """The host system."""
        return self.registry.one(HostSystem)

    @property
    def machines(self) -> dict[str, VirtualMachine]:
        """The machines by id."""
        return self.registry.all(VirtualMachine)

    @property
    def datastores(self) -> dict[str, Datastore]:
        """The datastores by name."""
        return by_name(self.registry)

    @property
    def networks(self) -> NetworkSystem:
        """The host's networking."""
        return self.registry.one(NetworkSystem)

    @property
    def port(self) -> int:
        """The port on which it listens."""
        return self.registry.port

    @property
    def faults(self) -> Faults:
        """Fault injection."""
        return self.registry.faults

    def order(
        self,
        method: str,
        what: What | Literal["task"],
        *,
        fault: str | None = None,
        fields: Mapping[str, Any] | None = None,
        **details: Any,
    ) -> None:
        """Inject a failure that is given in plain values, as of JSON.

        Args:
            method: Wire name, `*` for any call, `GET`, `PUT`, `HEAD` or `DELETE` for `/folder`.
            what: As of `Rule`, or `task`: the next tasks of the method end with `fault`.
            fault: Name of a fault.
            fields: Its fields; a reference is written `TYPE:ID`.
            details: As of `Rule`: `nth`, `times`, `seconds`, `status`, `headers`, `after`.

        Raises:
            ValueError: The fault is not known, lacks a field, or is needed and not given.
            TypeError: A detail is not known.
        """
        made = _fault(fault, fields or {}) if fault is not None else None
        if made is None and what in ("task", "fault"):
            raise ValueError(f"{what!r} requires a fault")
        if what == "task":
            assert made is not None
            self.faults.fail_task(method, made, **details)
        elif what not in get_args(What):
            raise ValueError(f"what must be one of {', '.join(get_args(What))}, task, got {what!r}")
        else:
            self.faults.add(method, what, fault=made, **details)

    def expire_sessions(self, face: Face = "fault") -> int:
        """End all sessions, as idleness does; return how many there were.

        `face` is how a property read with an ended session's cookie is answered from then on: by
        the fault NotAuthenticated, by an empty reply, or by NotAuthenticated inside missingSet.
        """
        return self.sessions.expire(face)

    def calls(self, method: str) -> list[CallRecord]:
        """Return the entries of the call log for one method."""
        return [record for record in self.call_log if record.method == method]

    def machine(self, name: str) -> VirtualMachine:
        """Return the state of a machine by name. Raises `LookupError`."""
        for machine in self.machines.values():
            if machine.name == name:
                return machine
        raise LookupError(f"no machine named {name!r}")

    def datastore_path(self, name: str = "datastore1") -> Path:
        """Return the folder of a datastore."""
        return self.datastores[name].root

    def guest(self, name: str) -> ScriptedGuest:
        """Return the scripted guest of a machine: its accounts, files and programs. Raises `LookupError`."""
        return guest_of(self.machine(name))

    def script(self, name: str, path: str, **program: Any) -> None:
        """Install a program in the guest of a machine; see `ScriptedGuest.script`."""
        self.guest(name).script(path, **program)

    def set_guest(
        self,
        name: str,
        *,
        tools: bool = True,
        ip: str | None = None,
        host_name: str | None = None,
        accounts: Mapping[str, str] | None = None,
    ) -> None:
        """Set the guest of a machine: whether its tools are installed (and run while it is on), its address.

        `accounts` are user names and their passwords, for guest operations.
        """
        for user, password in (accounts or {}).items():
            self.guest(name).add_account(user, password)
        machine = self.machine(name)
        guest = machine.guest
        guest.tools_installed = tools
        guest.tools_running = tools and machine.power == "poweredOn"
        guest.ip_address, guest.host_name = ip, host_name
        machine.changed("guest", "summary", "guestHeartbeatStatus")

    def lock_out(self, failures: int, *, seconds: float = 900.0) -> None:
        """Lock an account for `seconds` after so many failed logins in a row; 0 locks none, as at the start."""
        self.sessions.lockout = (failures, seconds) if failures else None

    def lock_down(self, mode: str, *, exceptions: Iterable[str] = ()) -> None:
        """Set the lockdown mode (`HostLockdownMode`): logins are refused to all users but `exceptions`.

        Raises `ValueError` for an unknown mode.
        """
        set_lockdown(self.registry, mode)
        self.sessions.exceptions = set(exceptions)

    def fill(self, name: str, *, free: int = 0) -> None:
        """Set the free bytes of a datastore, as if other files took the rest."""
        store = self.datastores[name]
        store.used = max(store.capacity - free, 0)
        store.changed("summary", "info")

    def lie(self, name: str, path: str, size: int | None) -> None:
        """Report a wrong size for a file of a datastore; None reports the true size again."""
        store = self.datastores[name]
        if size is None:
            store.sizes.pop(path, None)
        else:
            store.sizes[path] = size

    def ask(self, name: str, text: str, choices: Mapping[str, str]) -> str:
        """Raise a question of a machine, for which its tasks wait; return the question's id."""
        return power.ask(self.machine(name), text, dict(choices))


def _fault(name: str, fields: Mapping[str, Any]) -> MethodFault:
    cls = vim25.BINDING.find(name)
    if cls is None or not issubclass(cls, MethodFault):
        raise ValueError(f"unknown fault: {name!r}")
    known = fields_of(cls)
    given = {}
    for key, value in fields.items():
        field = known.get(key)
        if field is not None and field.type == "ref" and isinstance(value, str):
            kind, _, moid = value.partition(":")
            managed = vim25.BINDING.find(kind)
            if managed is None:
                raise ValueError(f"unknown managed type: {kind!r}; write a reference as TYPE:ID")
            value = managed(moid)
        given[field.attribute if field else key] = value
    absent = [
        name
        for name, field in known.items()
        if field.required and given.get(field.attribute) is None
    ]
    if absent:
        raise ValueError(f"{name} needs {', '.join(absent)}")
    made: MethodFault = cls(**given)
    return made
