"""A real Glance as the source of several hosts, and as the target of captures; exports of what came from it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import pytest

from tests.integration.peers.disk_readers import qemu_img
from tests.integration.peers.glance import Glance
from tests.integration.peers.openstack import call
from tests.unit.driver.hosted import CONFIG, Beside, Hosted, hosted, spec
from tests.unit.driver.images import foreign
from vimdriver import Glance as GlanceStore
from vimdriver import HttpClient
from vimdriver._driver import ESXDriver
from vimdriver._images.push_to_hosts import push_to_hosts
from vimdriver.errors import SourceRefusedError

pytestmark = pytest.mark.filterwarnings("ignore:Support for InfluxDB")
DISK = foreign.disk(5 << 20)


@pytest.fixture
def kept(glance: Glance, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """The id of a qcow2 in the Glance, and the raw disk that it was made of."""
    disk, image = tmp_path / "disk.img", tmp_path / "disk.qcow2"
    disk.write_bytes(DISK)
    qemu_img("convert", "-f", "raw", "-O", "qcow2", "-c", disk, image)
    identity = glance.upload(image, "qcow2")["id"]
    yield identity, disk
    glance.delete(identity)


@pytest.fixture
def host_of(beside: Beside, tmp_path: Path) -> Iterator[Callable[..., Hosted]]:
    with ExitStack() as stack:

        def make(version: str = "8.0", name: str = "datastore1") -> Hosted:
            return stack.enter_context(hosted(beside, tmp_path / name, version))

        yield make


@asynccontextmanager
async def driver_of(host: Hosted, glance: Glance) -> AsyncIterator[ESXDriver]:
    async with HttpClient() as http, host.driver(GlanceStore(http, glance.url)) as driver:
        yield driver


@pytest.mark.parametrize("transfer", ["nfc", "put"])
async def test_two_hosts_get_an_image_at_once(
    transfer: str, kept: tuple[str, Path], glance: Glance, host_of: Callable[..., Hosted]
) -> None:
    identity, disk = kept
    hosts = [host_of(name="one"), host_of(name="two")]
    async with HttpClient() as http:
        results = await push_to_hosts(
            {str(number): host.client() for number, host in enumerate(hosts)},
            GlanceStore(http, glance.url),
            [identity],
            datastore="datastore1",
            transfer=transfer,
            config=CONFIG,
        )
    shown = glance.show(identity)
    assert [(r.host, r.error, r.verified, r.hash) for r in results] == [
        (name, None, True, shown["os_hash_value"]) for name in ("0", "1")
    ]
    for host in hosts:
        stored = host.folder / f"images/{identity}-flat.vmdk"
        qemu_img("compare", "-f", "raw", "-F", "raw", stored, disk)


@pytest.mark.parametrize("power_on", [True, False])
@pytest.mark.parametrize("version", ["4.1", "8.0"])
async def test_a_captured_image_is_whole_in_glance_and_boots_again(
    version: str,
    power_on: bool,
    kept: tuple[str, Path],
    glance: Glance,
    host_of: Callable[..., Hosted],
    tmp_path: Path,
) -> None:
    identity, disk = kept
    host = host_of(version)
    async with driver_of(host, glance) as driver:
        await driver.spawn(spec(identity, nics=(), power_on=power_on))
        made = await driver.capture("web", "golden", properties={"os_distro": "debian"})
        try:
            shown, bytes_of = glance.show(made.id), glance.store / made.id
            assert (shown["status"], shown["visibility"]) == ("active", "private")
            assert (shown["disk_format"], shown["container_format"]) == ("vmdk", "bare")
            assert (shown["vmware_disktype"], shown["os_distro"]) == ("streamOptimized", "debian")
            assert (shown["os_hash_algo"], shown["os_hash_value"]) == ("sha512", made.hash)
            assert shown["size"] == made.bytes == bytes_of.stat().st_size < len(DISK)
            # Glance reads the capacity from the header of what it got.
            assert shown["virtual_size"] == made.capacity == len(DISK)
            image = tmp_path / "captured.vmdk"
            image.write_bytes(bytes_of.read_bytes())
            qemu_img("check", "-f", "vmdk", image)
            qemu_img("compare", "-f", "vmdk", "-F", "raw", image, disk)
            again = await driver.spawn(spec(made.id, "again", nics=()))
        finally:
            glance.delete(made.id)
    assert again.power_state == "poweredOn"
    qemu_img("compare", "-f", "raw", "-F", "raw", host.folder / "again/again-flat.vmdk", disk)
    assert not host.esx.machine("web").all_snapshots()


def named(glance: Glance, name: str) -> list[str]:
    _, found = call("GET", f"{glance.url}/v2/images?name={name}")
    return [image["id"] for image in found["images"]]


async def test_a_cancelled_capture_leaves_no_image_in_glance(
    kept: tuple[str, Path], glance: Glance, host_of: Callable[..., Hosted]
) -> None:
    host = host_of()
    async with driver_of(host, glance) as driver:
        await driver.spawn(spec(kept[0], nics=()))
        before = host.state()
        started = asyncio.Event()
        capture = asyncio.create_task(
            driver.capture("web", "half", on_progress=lambda count: started.set())
        )
        await started.wait()
        assert len(named(glance, "half")) == 1
        capture.cancel()
        with pytest.raises(asyncio.CancelledError):
            await capture
        assert named(glance, "half") == []
        assert not host.esx.machine("web").all_snapshots()
        assert host.state().machines == before.machines


async def test_a_capture_that_glance_refuses_leaves_nothing(
    kept: tuple[str, Path], glance: Glance, host_of: Callable[..., Hosted]
) -> None:
    host = host_of()
    async with driver_of(host, glance) as driver:
        await driver.spawn(spec(kept[0], nics=()))
        with pytest.raises(SourceRefusedError) as refused:
            await driver.capture("web", "refused", properties={"os_hidden": "perhaps"})
        assert refused.value.status == 400
        assert named(glance, "refused") == []
        assert not host.esx.machine("web").all_snapshots()


@pytest.mark.parametrize("form", ["qcow2", "raw", "vmdk", "ova"])
async def test_what_came_from_glance_leaves_as_a_file(
    form: str,
    kept: tuple[str, Path],
    glance: Glance,
    host_of: Callable[..., Hosted],
    tmp_path: Path,
) -> None:
    identity, disk = kept
    file = tmp_path / f"out.{form}"
    async with driver_of(host_of(), glance) as driver:
        await driver.spawn(spec(identity, nics=(), power_on=False))
        await driver.export("web", file)
        if form == "ova":
            record = glance.upload(file, "vmdk", container_format="ova")
            try:
                await driver.spawn(spec(record["id"], "again", nics=(), power_on=False))
            finally:
                glance.delete(record["id"])
            file, form = tmp_path / "datastore1/again/again-flat.vmdk", "raw"
    qemu_img("compare", "-f", "raw", "-F", form, disk, file)
