"""A machine is spawned from an image, and pyVmomi reads it from the host."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
from pyVim import connect

from tests.integration.conftest import Host
from tests.integration.peers.images import DiskImage, Kind, sha512
from tests.integration.vimctl import vimctl

MAC = "00:50:56:00:00:09"


@contextmanager
def pyvmomi(host: Host) -> Iterator[Any]:
    """Log in with the vendor's own client."""
    where = urlsplit(host.url)
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    instance = connect.SmartConnect(
        host=where.hostname, port=where.port, user=host.username, pwd=host.password,
        sslContext=context, disableSslCertValidation=True,
    )  # fmt: skip
    try:
        yield instance.content
    finally:
        connect.Disconnect(instance)


def machine(host: Host, name: str) -> dict[str, Any] | None:
    with pyvmomi(host) as content:
        for vm in content.rootFolder.childEntity[0].vmFolder.childEntity:
            if vm.name != name:
                continue
            devices = vm.config.hardware.device
            disks = [d for d in devices if type(d).__name__.endswith("VirtualDisk")]
            nics = [d for d in devices if hasattr(d, "macAddress")]
            by_key = {d.key: type(d).__name__.rpartition(".")[2] for d in devices}
            return {
                "power": str(vm.runtime.powerState),
                "cpus": vm.config.hardware.numCPU,
                "memory": vm.config.hardware.memoryMB,
                "uuid": vm.config.instanceUuid,
                "disks": [(d.backing.fileName, d.capacityInKB, by_key[d.controllerKey]) for d in disks],
                "nics": [(type(n).__name__.rpartition(".")[2], n.macAddress, n.backing.deviceName) for n in nics],
                "extra": {o.key: o.value for o in vm.config.extraConfig},
            }  # fmt: skip
    return None


def leftovers(host: Host) -> set[str]:
    return {str(p.relative_to(host.folder)) for p in host.folder.rglob("*")}


async def test_a_machine_is_spawned_shown_listed_and_destroyed(
    host: Host, disk_image: Callable[..., DiskImage]
) -> None:
    image = disk_image("raw", mib=64, seed=1)
    before = leftovers(host)
    made = await vimctl(
        host, "instance", "spawn", "--name", "web-1", "--image", str(image.path),
        "--datastore", host.datastore, "--network", "VM Network", "--cpus", "2", "--memory-mb", "256",
        "--mac", MAC, "--ip", "10.0.0.2/24", "--json",
    )  # fmt: skip
    assert made.code == 0, made.err
    said = made.document
    assert said | {"uuid": "", "moref": ""} == {
        "uuid": "", "name": "web-1", "power_state": "poweredOn", "cpus": 2, "memory_mb": 256, "moref": "",
    }  # fmt: skip
    seen = await asyncio.to_thread(machine, host, "web-1")
    assert seen is not None
    assert (seen["power"], seen["cpus"], seen["memory"], seen["uuid"]) == (
        "poweredOn", 2, 256, said["uuid"],
    )  # fmt: skip
    ((file, capacity, controller),) = seen["disks"]
    assert file == f"[{host.datastore}] web-1/web-1.vmdk"
    assert capacity == 64 * 1024
    assert controller == "VirtualLsiLogicController"
    assert seen["nics"] == [("VirtualE1000", MAC, "VM Network")]
    assert seen["extra"]["machine.id"] == f"{MAC};10.0.0.2;255.255.255.0;;10.0.0.255;#"
    assert sha512(host.folder / "web-1/web-1-flat.vmdk") == image.sha512
    listed = await vimctl(host, "instance", "list", "--json")
    assert [row for row in listed.document if row["name"] == "web-1"] == [said]
    shown = await vimctl(host, "instance", "show", said["uuid"], "--json")
    assert shown.document == said
    gone = await vimctl(host, "instance", "destroy", said["uuid"], "--json")
    assert gone.code == 0, gone.err
    assert await asyncio.to_thread(machine, host, "web-1") is None
    assert leftovers(host) == before


async def test_a_missing_port_group_error_lists_the_existing_ones(
    host: Host, disk_image: Callable[..., DiskImage]
) -> None:
    before = leftovers(host)
    done = await vimctl(
        host, "instance", "spawn", "--name", "web-2", "--image", str(disk_image("raw").path),
        "--datastore", host.datastore, "--network", "no such", "--cpus", "1", "--memory-mb", "64", "--json",
    )  # fmt: skip
    assert done.code == 4
    error = json.loads(done.out)["error"]
    assert error["type"] == "NetworkNotFoundError"
    assert "VM Network" in error["message"]
    assert leftovers(host) == before
    assert await asyncio.to_thread(machine, host, "web-2") is None


@pytest.mark.simulator_only("vcsim 0.24.2 has no ExtendVirtualDisk_Task")
async def test_the_disk_may_be_larger_than_the_image(
    host: Host, disk_image: Callable[..., DiskImage]
) -> None:
    done = await vimctl(
        host, "instance", "spawn", "--name", "web-3", "--image", str(disk_image("raw").path),
        "--datastore", host.datastore, "--network", "VM Network", "--cpus", "1", "--memory-mb", "64",
        "--disk-gb", "1", "--json",
    )  # fmt: skip
    assert done.code == 0, done.err
    seen = await asyncio.to_thread(machine, host, "web-3")
    assert seen is not None
    assert seen["disks"][0][1] == 1 << 20
    assert (host.folder / "web-3/web-3-flat.vmdk").stat().st_size == 1 << 30


@pytest.mark.vcsim_only("shows the same failure half-way: vcsim cannot extend a disk")
async def test_a_failed_step_is_rolled_back(
    host: Host, disk_image: Callable[..., DiskImage]
) -> None:
    before = leftovers(host)
    done = await vimctl(
        host, "instance", "spawn", "--name", "web-4", "--image", str(disk_image("raw").path),
        "--datastore", host.datastore, "--network", "VM Network", "--cpus", "1", "--memory-mb", "64",
        "--disk-gb", "1", "--json",
    )  # fmt: skip
    assert done.code == 1
    assert await asyncio.to_thread(machine, host, "web-4") is None
    assert leftovers(host) == before


@pytest.mark.simulator_only("vcsim keeps no bytes of an imported disk")
@pytest.mark.parametrize("transfer", ["nfc", "put"])
@pytest.mark.parametrize("kind", ["monolithicSparse", "streamOptimized"])
async def test_a_machine_boots_from_an_image_of_qemu_img(
    kind: Kind, transfer: str, host: Host, disk_image: Callable[..., DiskImage]
) -> None:
    image = disk_image(kind, mib=8)
    done = await vimctl(
        host, "instance", "spawn", "--name", "web-5", "--image", str(image.path), "--transfer", transfer,
        "--datastore", host.datastore, "--memory-mb", "64", "--json",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert json.loads(done.out)["power_state"] == "poweredOn"
    # As qemu-img sees the disk.
    assert sha512(host.folder / "web-5/web-5-flat.vmdk") == image.virtual_sha512
    assert (await vimctl(host, "instance", "destroy", "web-5")).code == 0
