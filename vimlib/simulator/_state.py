"""The state file, which outlives a restart or a kill of the host.

One JSON file, readable by its owner alone (it holds the password and the key of the certificate),
replaced as a whole, with a line for each machine. Machines have their own configuration files; the
state has the registered ones, their ids, power states and snapshots.

A save costs as much as the change: only the lines of changed machines are rendered again, and saves
that wait for the disk share the next write.
"""

from __future__ import annotations

import asyncio
import json
import os
import threading
from datetime import datetime
from typing import TYPE_CHECKING, Any

from vimlib.simulator._core.certificate import Certificate
from vimlib.simulator._core.objects import Watcher
from vimlib.simulator._host.host_system import HostSystem
from vimlib.simulator._host.network import NetworkSystem, PortGroup, Switch
from vimlib.simulator._host.resources import root_pool
from vimlib.simulator._managers.datastore_system import DatastoreSystem, local_folder
from vimlib.simulator._service.sessions import SessionManager
from vimlib.simulator._storage.datastore import Datastore, by_name
from vimlib.simulator._vm import vmx
from vimlib.simulator._vm.lifecycle import capacities_of, hold_files, read_vmx
from vimlib.simulator._vm.reconfigure import blank_config
from vimlib.simulator._vm.virtual_machine import Snapshot, VirtualMachine

if TYPE_CHECKING:
    from pathlib import Path

    from vimlib.simulator._core.objects import SimObject
    from vimlib.simulator._core.registry import Registry

_FORMAT = 2


def read(path: Path) -> dict[str, Any] | None:
    """Return a saved state, None if the file does not exist. Raises `ValueError` for another file."""
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        return None
    found = json.loads(text)
    if not isinstance(found, dict) or found.get("format") != _FORMAT:
        raise ValueError(
            f"{path} is not the state of a simulated host; remove it to start with an empty host"
        )
    return found


def certificate_of(state: dict[str, Any]) -> Certificate:
    """Return the certificate that the host had."""
    kept = state["certificate"]
    return Certificate(kept["pem"].encode(), kept["key"].encode(), kept["sha256"], kept["sha1"])


def kept_names(state: dict[str, Any]) -> dict[str, tuple[str, str | None] | None]:
    """Return name and UUID of each datastore by the name that it was given; None for removed ones."""
    kept: dict[str, tuple[str, str | None] | None] = dict.fromkeys(state["removed"])
    for store in state["datastores"]:
        if store["given"] is not None:
            kept[store["given"]] = store["name"], store["uuid"]
    return kept


def _host(registry: Registry) -> dict[str, Any]:
    """Return the state, short of the machines and of the next serial number."""
    certificate = registry.certificate
    assert certificate is not None
    return {
        "format": _FORMAT,
        "version": registry.release.name,
        "username": registry.one(SessionManager).username,
        "password": registry.one(SessionManager).password,
        "certificate": {
            "pem": certificate.pem.decode(),
            "key": certificate.key.decode(),
            "sha256": certificate.sha256,
            "sha1": certificate.sha1,
        },
        "host": {
            "uuid": registry.one(HostSystem).uuid,
            "maintenance": registry.one(HostSystem).maintenance,
        },
        "datastores": [
            {
                "given": s.given,
                "name": s.name,
                "uuid": s.uuid,
                "local": s.local_path,
                "remote": s.remote,
            }
            for s in registry.all(Datastore).values()
        ],
        "removed": sorted(
            set(registry.one(DatastoreSystem).given)
            - {s.given for s in registry.all(Datastore).values() if s.given}
        ),
        "switches": [
            {"name": s.name, "pnics": s.pnics, "ports": s.ports, "mtu": s.mtu}
            for s in registry.one(NetworkSystem).switches.values()
        ],
        "groups": [
            {
                "name": g.name,
                "switch": g.switch,
                "vlan": g.vlan,
                "network": g.name in registry.one(NetworkSystem).networks,
            }
            for g in registry.one(NetworkSystem).groups.values()
        ],
    }


def _machine(machine: VirtualMachine) -> dict[str, Any]:
    return {
        "id": machine.moid,
        "name": machine.name,
        "path": machine.config.files.vmPathName,
        "power": machine.power,
        "guest": {
            "tools_installed": machine.guest.tools_installed,
            "host_name": machine.guest.host_name,
            "ip_address": machine.guest.ip_address,
        },
        "change": machine.config.changeVersion,
        "last_snapshot": machine.last_snapshot_id,
        "current": machine.current.number if machine.current else None,
        "snapshots": [_snapshot(snapshot) for snapshot in machine.snapshots],
    }


def _snapshot(snapshot: Snapshot) -> dict[str, Any]:
    return {
        "id": snapshot.number,
        "name": snapshot.name,
        "description": snapshot.description,
        "power": snapshot.power,
        "quiesced": snapshot.quiesced,
        "created": snapshot.created.isoformat(),
        "vmx": vmx.render(snapshot.registry, snapshot.config),
        "children": [_snapshot(child) for child in snapshot.children],
    }


async def load(registry: Registry, state: dict[str, Any]) -> None:
    """Load a saved state into a fresh registry with its datastores. Machines whose file is missing are left out."""
    registry.skip_serials(int(state["serial"]))
    registry.one(HostSystem).uuid = state["host"]["uuid"]
    registry.one(HostSystem).maintenance = state["host"]["maintenance"]
    await _load_local(registry, state)
    networks = registry.one(NetworkSystem)
    for kept in state["switches"]:
        old = networks.switches.get(kept["name"])
        networks.switches[kept["name"]] = Switch(
            kept["name"], kept["pnics"], kept["ports"], kept["mtu"], old.given if old else None
        )
    for kept in state["groups"]:
        if kept["name"] not in networks.groups:
            networks.add_group(
                PortGroup(kept["name"], kept["switch"], kept["vlan"]), network=kept["network"]
            )
    for kept in state["machines"]:
        await _load_machine(registry, kept)


async def _load_local(registry: Registry, state: dict[str, Any]) -> None:
    """Load the datastores that calls made, if their folders still exist and are allowed."""
    system = registry.one(DatastoreSystem)
    for kept in state["datastores"]:
        if kept.get("remote"):
            server, path = kept["remote"]
            folder = system.exports.get(f"{server}:{path}")
            if folder is not None:
                mounted = Datastore(
                    registry, kept["name"], folder, system.capacity, uuid=kept["uuid"],
                    remote=(server, path),
                )  # fmt: skip
                await mounted.recount()
        elif kept["given"] is None and system.local_folders is not None:
            place = await registry.io(local_folder, system.local_folders, kept["local"])
            if place is not None:
                store = Datastore(
                    registry,
                    kept["name"],
                    place,
                    system.capacity,
                    uuid=kept["uuid"],
                    local=kept["local"],
                )
                await store.recount()


async def _load_machine(registry: Registry, kept: dict[str, Any]) -> None:
    name, _, path = kept["path"][1:].partition("]")
    store = by_name(registry).get(name)
    if store is None:
        return
    try:
        values = await read_vmx(store, path.strip())
    except (OSError, vmx.VmxError):
        return
    config = vmx.read_config(
        registry,
        blank_config(registry, kept["name"], kept["path"]),
        values,
        await capacities_of(registry, values, kept["path"]),
    )
    config.changeVersion = kept["change"]
    machine = VirtualMachine(registry, kept["id"], config, store, root_pool(registry))
    for key, value in kept["guest"].items():
        setattr(machine.guest, key, value)
    machine.last_snapshot_id = kept["last_snapshot"]
    for each in kept["snapshots"]:
        machine.snapshots.append(await _load_snapshot(machine, each, None))
    machine.current = next(
        (s for s in machine.all_snapshots() if s.number == kept["current"]), None
    )
    if kept["power"] != "poweredOff":
        machine.set_power(kept["power"])
        machine.guest.tools_running = kept["power"] == "poweredOn" and machine.guest.tools_installed
    if machine.power == "poweredOn":
        hold_files(machine)


async def _load_snapshot(
    machine: VirtualMachine, kept: dict[str, Any], parent: Snapshot | None
) -> Snapshot:
    registry = machine.registry
    values = vmx.parse(kept["vmx"].encode())
    snapshot = Snapshot(
        machine,
        kept["id"],
        kept["name"],
        kept["description"],
        power=kept["power"],
        quiesced=kept["quiesced"],
        parent=parent,
    )
    snapshot.created = datetime.fromisoformat(kept["created"])
    shown = machine.config.files.vmPathName
    base = blank_config(registry, machine.name, shown)
    snapshot.config = vmx.read_config(
        registry, base, values, await capacities_of(registry, values, shown)
    )
    for each in kept["children"]:
        snapshot.children.append(await _load_snapshot(machine, each, snapshot))
    return snapshot


class StateFile(Watcher):
    """Writes the state after each change, before the reply to the call."""

    def __init__(self, registry: Registry, path: Path) -> None:
        self.registry = registry
        self.path = path
        self._host = ""
        """The text of the host, without the machines."""
        self._lines: dict[VirtualMachine, str] = {}
        """The line of each machine."""
        self._changed: dict[VirtualMachine, None] = {}
        """Machines whose line may be old."""
        self._unsaved = True
        """Whether the file is out of date."""
        self._asked = 0
        self._kept = 0
        """Saves that were asked for, and those that are done."""
        self._turn = asyncio.Lock()
        self._file = threading.Lock()
        self._texts = 0
        """Texts that were given to a thread to write."""
        self._written = 0
        """The newest text in the file. A cancelled save may leave its thread writing."""

    def object_changed(self, obj: SimObject, names: tuple[str, ...]) -> None:
        """Mark a machine as changed."""
        if isinstance(obj, VirtualMachine):
            self._changed[obj] = None

    async def save(self) -> None:
        """Return when the state as it is now is in the file. Raises `OSError`.

        Cancelling it leaves the file as it was or as it was to be.
        """
        self._asked += 1
        asked = self._asked
        async with self._turn:
            if self._kept >= asked:
                return  # the previous save began after this request and covers it
            covers = self._asked
            self._collect()
            if self._unsaved:
                self._texts += 1
                await self.registry.io(self._write, self._texts, self._text())
                self._unsaved = False
            self._kept = covers

    def _collect(self) -> None:
        """Render the changed parts."""
        host = json.dumps(_host(self.registry))
        if host != self._host:
            self._host, self._unsaved = host, True
        machines = self.registry.all(VirtualMachine)
        for machine in machines.values():
            if machine not in self._lines:
                machine.watchers[self] = None
                self._changed[machine] = None
        for machine in self._changed:
            if machines.get(machine.moid) is machine:
                line = json.dumps(_machine(machine))
                self._unsaved |= line != self._lines.get(machine)
                self._lines[machine] = line
            elif self._lines.pop(machine, None) is not None:
                self._unsaved = True
        self._changed.clear()

    def _text(self) -> str:
        machines = ",\n".join(self._lines.values())
        return f'{self._host[:-1]}, "serial": {self.registry.serial()}, "machines": [\n{machines}\n]}}\n'

    def _write(self, number: int, text: str) -> None:
        with self._file:
            if number < self._written:
                return  # a newer text is in the file
            part = self.path.with_name(self.path.name + ".part")
            with open(
                os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8"
            ) as file:
                file.write(text)
            os.replace(part, self.path)
            self._written = number
