"""A spawn from an OVA: its machine is the default of whatever the caller leaves open."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.rig.cancel import cancel_everywhere
from tests.unit.driver.hosted import Beside, Hosted, glance, hosted, spec, store
from tests.unit.driver.images.corpus import RAW
from tests.unit.driver.images.packages import (
    HARDWARE,
    attached,
    disk_ref,
    file_ref,
    item,
    ova,
    ovf,
)
from vimdriver._images.embedded import EmbeddedImage
from vimdriver._images.local import LocalImages
from vimdriver._instances.types import InstanceSpec, NICSpec
from vimdriver.errors import ImageUnacceptableError, NetworkNotFoundError
from vimlib import vim25

TWO = ovf(
    file_ref() + file_ref("b.img", "file2"),
    disk_ref() + disk_ref("b", "file2") + disk_ref("swap", None, 3 << 20),
    HARDWARE
    + item(InstanceID=4, ResourceSubType="lsilogic", ResourceType=6)
    + attached()
    + attached("b", 1)
    + attached("swap", 0, Parent=4),
)


def wanted(**given: Any) -> InstanceSpec:
    settings: dict[str, Any] = {"name": "web", "datastore": "datastore1", "power_on": False}
    return InstanceSpec(**settings | given)


def config_of(host: Hosted, name: str = "web") -> Any:
    return host.esx.machine(name).config


def devices(host: Hosted, kind: type[Any], name: str = "web") -> list[Any]:
    return [d for d in config_of(host, name).hardware.device if isinstance(d, kind)]


@pytest.fixture
def package(tmp_path: Path) -> Path:
    path = tmp_path / "web.ova"
    path.write_bytes(ova(TWO, more={"b.img": RAW[::-1]}))
    return path


def stored(host: Hosted, file: str) -> bytes:
    return (host.folder / file).read_bytes()


@pytest.mark.parametrize("version", ["5.5", "8.0"])
async def test_the_machine_is_that_of_the_descriptor(
    version: str, beside: Beside, tmp_path: Path, package: Path
) -> None:
    ignored: list[str] = []
    with hosted(beside, tmp_path / "store", version) as host:
        async with host.driver(LocalImages()) as driver:
            made = await driver.spawn(wanted(image=str(package)), on_ignored=ignored.append)
        assert (made.cpus, made.memory_mb) == (2, 1024)
        config = config_of(host)
        assert (config.guestId, config.firmware) == ("ubuntu64Guest", "efi")
        (card,) = devices(host, vim25.VirtualVmxnet3)
        assert card.backing.deviceName == "VM Network"
        disks = devices(host, vim25.VirtualDisk)
        assert [disk.capacityInKB for disk in disks] == [2048, 3072, 2048]
        kinds = {type(one) for one in devices(host, vim25.VirtualSCSIController)}
        assert kinds == {vim25.ParaVirtualSCSIController, vim25.VirtualLsiLogicController}
        assert stored(host, "web/web-flat.vmdk") == RAW
        assert stored(host, "web/web_1-flat.vmdk") == RAW[::-1]
        assert not any(stored(host, "web/web_2-flat.vmdk"))
        assert host.state().machines == {"web"}
    assert ignored == []


async def test_what_the_caller_gives_comes_first(host: Hosted, package: Path) -> None:
    async with host.driver(LocalImages()) as driver:
        made = await driver.spawn(
            wanted(
                image=str(package),
                cpus=1,
                memory_mb=64,
                guest_id="otherGuest",
                adapter="lsiLogic",
                nics=(NICSpec(network="VM Network", model="e1000"),),
            )
        )
    assert (made.cpus, made.memory_mb) == (1, 64)
    assert config_of(host).guestId == "otherGuest"
    assert isinstance(devices(host, vim25.VirtualEthernetCard)[0], vim25.VirtualE1000)


async def test_what_the_host_lacks_is_named(host: Hosted, tmp_path: Path) -> None:
    path = tmp_path / "web.ova"
    hardware = HARDWARE.replace("VM Network", "nat").replace(
        "VirtualSCSI", "vmware.nvme.controller"
    )
    hardware = hardware.replace("<rasd:ResourceType>6<", "<rasd:ResourceType>20<")
    path.write_bytes(
        ova(ovf(hardware=hardware + attached() + item(ElementName="floppy", ResourceType=14)))
    )
    ignored: list[str] = []
    async with host.driver(LocalImages()) as driver:
        await driver.spawn(wanted(image=str(path)), on_ignored=ignored.append)
    assert len(ignored) == 3
    assert "OVF network 'nat'" in " ".join(ignored)
    assert not devices(host, vim25.VirtualEthernetCard)


async def test_an_ova_of_glance_is_cached_and_described(beside: Beside, host: Hosted) -> None:
    data = ova()
    image = EmbeddedImage(
        name="appliance",
        chunks=lambda: iter([data]),
        disk_format="vmdk",
        container_format="ova",
        properties={"vmware_ostype": "debian10_64Guest"},
    )
    with glance(beside, image) as service:
        async with store(service) as images, host.driver(images) as driver:
            for name in ("web", "again"):
                made = await driver.spawn(wanted(image="appliance", name=name))
                assert (made.cpus, made.memory_mb) == (2, 1024)
                assert stored(host, f"{name}/{name}-flat.vmdk") == RAW
    # Glance's property is its owner's word.
    assert config_of(host).guestId == "debian10_64Guest"
    assert host.methods().count("ImportVApp") == 1


@pytest.mark.parametrize("at", ["second", "manifest"])
async def test_a_bad_disk_leaves_nothing(at: str, host: Hosted, tmp_path: Path) -> None:
    path = tmp_path / "web.ova"
    if at == "second":
        path.write_bytes(ova(TWO, more={"b.img": b"vhdxfile".ljust(len(RAW), b"\0")}))
    else:
        data = bytearray(ova(TWO, more={"b.img": RAW[::-1]}))
        data[data.index(RAW[::-1][-64:])] ^= 1
        path.write_bytes(data)
    before = host.state()
    async with host.driver(LocalImages()) as driver:
        with pytest.raises(ImageUnacceptableError):
            await driver.spawn(wanted(image=str(path)))
    await host.settled(before)


async def test_a_network_that_the_caller_names_must_be_there(host: Hosted, package: Path) -> None:
    async with host.driver(LocalImages()) as driver:
        with pytest.raises(NetworkNotFoundError):
            await driver.spawn(spec(package, nics=(NICSpec(network="nat"),)))


@pytest.mark.torture
async def test_a_spawn_of_several_disks_is_cancelled_anywhere(
    beside: Beside, tmp_path: Path, package: Path
) -> None:
    with hosted(beside, tmp_path / "store") as host:
        before = host.state()

        async def attempt() -> None:
            async with host.driver(LocalImages()) as driver:
                await driver.spawn(wanted(image=str(package)))

        async def check(at: int) -> None:
            if "web" in host.state().machines:
                async with host.driver() as driver:
                    await driver.destroy("web")  # the last call was made by then
            await host.settled(before)

        report = await cancel_everywhere(attempt, check, every=5)
        assert report.cancelled > 10
