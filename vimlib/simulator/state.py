"""State on disk: what a host remembers over a restart, or over a kill.

One JSON file, readable by its owner alone (it holds the password and the key of the certificate),
replaced as a whole. Machines are in their own configuration files; the state says which are
registered, under which ids, how they are powered, and what their snapshots were.
"""

from __future__ import annotations

import json
import os
from datetime import datetime
from typing import TYPE_CHECKING, Any

from vimlib.simulator import vmx
from vimlib.simulator.certificate import Certificate
from vimlib.simulator.lifecycle import capacities_of, hold_files
from vimlib.simulator.machine import VirtualMachine
from vimlib.simulator.network import PortGroup, Switch
from vimlib.simulator.reconfigure import blank_config
from vimlib.simulator.snapshots import Snapshot

if TYPE_CHECKING:
    from pathlib import Path

    from vimlib.simulator.world import World

__all__ = ["Keeper", "certificate_of", "dump", "load", "read"]

_FORMAT = 1


def read(path: Path) -> dict[str, Any] | None:
    """Return a saved state, None if there is none. Raises `ValueError` for a file that is no state."""
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        return None
    found = json.loads(text)
    if not isinstance(found, dict) or found.get("format") != _FORMAT:
        raise ValueError(f"{path} is no state of a simulated host; remove it to start afresh")
    return found


def certificate_of(state: dict[str, Any]) -> Certificate:
    """Return the certificate that the host had."""
    kept = state["certificate"]
    return Certificate(kept["pem"].encode(), kept["key"].encode(), kept["sha256"], kept["sha1"])


def dump(world: World) -> dict[str, Any]:
    """Return the state."""
    certificate = world.certificate
    assert certificate is not None
    return {
        "format": _FORMAT,
        "version": world.release.name,
        "username": world.sessions.username,
        "password": world.sessions.password,
        "certificate": {
            "pem": certificate.pem.decode(),
            "key": certificate.key.decode(),
            "sha256": certificate.sha256,
            "sha1": certificate.sha1,
        },
        "serial": world.serial(),
        "host": {"uuid": world.host.uuid, "maintenance": world.host.maintenance},
        "datastores": {store.name: store.uuid for store in world.datastores.values()},
        "switches": [
            {"name": s.name, "pnics": s.pnics, "ports": s.ports, "mtu": s.mtu}
            for s in world.networks.switches.values()
        ],
        "groups": [
            {
                "name": g.name,
                "switch": g.switch,
                "vlan": g.vlan,
                "network": g.name in world.networks.networks,
            }
            for g in world.networks.groups.values()
        ],
        "machines": [_machine(machine) for machine in world.machines.values()],
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
        "vmx": vmx.render(snapshot.config),
        "children": [_snapshot(child) for child in snapshot.children],
    }


async def load(world: World, state: dict[str, Any]) -> None:
    """Bring back what `dump` saved into a fresh world with its datastores. Machines whose file is gone stay out."""
    world.skip_serials(int(state["serial"]))
    world.host.uuid = state["host"]["uuid"]
    world.host.maintenance = state["host"]["maintenance"]
    networks = world.networks
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
        await _load_machine(world, kept)


async def _load_machine(world: World, kept: dict[str, Any]) -> None:
    name, _, path = kept["path"][1:].partition("]")
    store = world.datastores.get(name)
    if store is None:
        return
    place = store.local(path.strip())
    try:
        values = vmx.parse(await world.io(place.read_text, "utf-8"))
    except (OSError, vmx.VmxError):
        return
    config = vmx.read_config(
        world,
        blank_config(world, kept["name"], kept["path"]),
        values,
        await capacities_of(world, store, values, path),
    )
    config.changeVersion = kept["change"]
    machine = VirtualMachine(world, kept["id"], config, store, world.pool)
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
    world = machine.world
    values = vmx.parse(kept["vmx"])
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
    base = blank_config(world, machine.name, machine.config.files.vmPathName)
    snapshot.config = vmx.read_config(
        world, base, values, await capacities_of(world, machine.store, values, machine.vmx)
    )
    for each in kept["children"]:
        snapshot.children.append(await _load_snapshot(machine, each, snapshot))
    return snapshot


class Keeper:
    """Writes the state whenever it changed, before the caller hears that it did."""

    def __init__(self, world: World, path: Path) -> None:
        self.world = world
        self.path = path
        self._saved = ""

    async def save(self) -> None:
        """Write the state if it is not the one that was written last."""
        state = dump(self.world)
        text = json.dumps({**state, "serial": 0}, sort_keys=True)
        if text == self._saved:
            return
        self._saved = text
        await self.world.io(self._write, json.dumps(state, indent=1))

    def _write(self, text: str) -> None:
        part = self.path.with_name(self.path.name + ".part")
        with open(
            os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8"
        ) as file:
            file.write(text)
        os.replace(part, self.path)
