"""Machines that are there from the start."""

from __future__ import annotations

import asyncio
import contextlib
import os
from itertools import chain
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from vimlib import vim25
from vimlib.simulator import _vmdk as vmdk
from vimlib.simulator import _vmx as vmx
from vimlib.simulator._datastore import Datastore
from vimlib.simulator._devices import DeviceList, generated_mac
from vimlib.simulator._disk_manager import disk_uuid
from vimlib.simulator._machine import VirtualMachine
from vimlib.simulator._reconfigure import blank_config

if TYPE_CHECKING:
    from vimlib.simulator._world import World

__all__ = ["make_machines"]

_CAPACITY = 1 << 30
"""Bytes of the disk of a made machine; it is thin, so it takes none."""


async def make_machines(world: World, count: int) -> None:
    """Make powered-off machines `vm-0` and on, each with a thin disk and an adapter on `VM Network`.

    Those that a loaded state brought already are not made again.
    """
    store = next(iter(world.datastores.values()))
    present = {machine.name for machine in world.machines.values()}
    names = [name for number in range(count) if (name := f"vm-{number}") not in present]
    made = [(name, _config(world, store, name)) for name in names]
    # File systems wait more than they work, so all threads write.
    size = max(-(-len(made) // 4), 1)
    shares = [made[at : at + size] for at in range(0, len(made), size)]
    taken = await asyncio.gather(*(world.io(_write, store, share) for share in shares))
    for (_, config), committed in zip(made, chain.from_iterable(taken), strict=True):
        machine = VirtualMachine(world, str(world.serial()), config, store, world.pool)
        machine.committed = committed
        store.grow(committed)


def _config(world: World, store: Datastore, name: str) -> Any:
    config = blank_config(world, name, store.shown(f"{name}/{name}.vmx"))
    devices = DeviceList(config.hardware.device)

    def mac() -> str:
        return generated_mac(world.random.getrandbits(24))

    scsi = devices.add(
        vim25.VirtualLsiLogicController(key=-1, busNumber=0, sharedBus="noSharing"), 0, mac
    )
    devices.add(
        vim25.VirtualDisk(
            key=-2,
            controllerKey=scsi.key,
            unitNumber=0,
            capacityInKB=_CAPACITY // 1024,
            capacityInBytes=_CAPACITY,
            shares=vim25.SharesInfo(shares=1000, level="normal"),
            backing=vim25.VirtualDiskFlatVer2BackingInfo(
                fileName=store.shown(f"{name}/{name}.vmdk"),
                datastore=store.ref,
                diskMode="persistent",
                split=False,
                writeThrough=False,
                thinProvisioned=True,
                uuid=world.new_uuid(),
            ),
        ),
        0,
        mac,
    )
    devices.add(
        vim25.VirtualE1000(
            key=-3,
            addressType="generated",
            backing=vim25.VirtualEthernetCardNetworkBackingInfo(
                deviceName="VM Network",
                network=world.networks.networks["VM Network"].ref,
                useAutoDetect=False,
            ),
        ),
        0,
        mac,
    )
    return replace(config, hardware=replace(config.hardware, device=devices.result()))


def _write(store: Datastore, made: list[tuple[str, Any]]) -> list[int]:
    """Write the files of machines; return the bytes that each takes."""
    taken = []
    for name, config in made:
        folder = os.path.join(store.root, name)
        with contextlib.suppress(FileExistsError):
            os.mkdir(folder)
        text = vmx.render(config).encode()
        with open(os.path.join(folder, f"{name}.vmx"), "wb") as file:
            file.write(text)
        place = store.local(f"{name}/{name}.vmdk")
        with contextlib.suppress(FileExistsError):
            vmdk.create(
                place, _CAPACITY, adapter="lsilogic", thin=True, uuid=disk_uuid(config.uuid)
            )
        # The extent is thin and was never written.
        taken.append(len(text) + os.stat(place).st_size)
    return taken
