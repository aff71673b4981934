"""The machines of a fresh host."""

from __future__ import annotations

import asyncio
import contextlib
import os
from itertools import chain
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from vimlib import vim25
from vimlib.simulator._host.network import NetworkSystem
from vimlib.simulator._host.resources import root_pool
from vimlib.simulator._storage import vmdk
from vimlib.simulator._storage.datastore import Datastore
from vimlib.simulator._storage.disks import disk_uuid
from vimlib.simulator._vm import vmx
from vimlib.simulator._vm.devices import DeviceList, generated_mac
from vimlib.simulator._vm.reconfigure import blank_config
from vimlib.simulator._vm.virtual_machine import VirtualMachine

if TYPE_CHECKING:
    from vimlib.simulator._core.registry import Registry

_CAPACITY = 1 << 30
"""Bytes of the disk of a made machine; it is thin, so it takes none."""


async def make_machines(registry: Registry, count: int) -> None:
    """Make powered-off machines `vm-0` and on, each with a thin disk and an adapter on `VM Network`.

    Machines that a loaded state contains are not made again.
    """
    store = next(iter(registry.all(Datastore).values()))
    present = {machine.name for machine in registry.all(VirtualMachine).values()}
    names = [name for number in range(count) if (name := f"vm-{number}") not in present]
    made = [(name, _config(registry, store, name)) for name in names]
    # File systems mostly wait, so all threads write.
    size = max(-(-len(made) // 4), 1)
    shares = [made[at : at + size] for at in range(0, len(made), size)]
    taken = await asyncio.gather(*(registry.io(_write, store, share) for share in shares))
    for (_, config), committed in zip(made, chain.from_iterable(taken), strict=True):
        machine = VirtualMachine(
            registry, str(registry.serial()), config, store, root_pool(registry)
        )
        machine.committed = committed
        store.grow(committed)


def _config(registry: Registry, store: Datastore, name: str) -> Any:
    config = blank_config(registry, name, store.shown(f"{name}/{name}.vmx"))
    devices = DeviceList(config.hardware.device)

    def mac() -> str:
        return generated_mac(registry.random.getrandbits(24))

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
                uuid=registry.new_uuid(),
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
                network=registry.one(NetworkSystem).networks["VM Network"].ref,
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
        text = vmx.render(store.registry, config).encode()
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
