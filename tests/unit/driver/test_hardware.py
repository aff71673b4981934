"""Machines with hardware beyond the defaults: disks, firmware, limits, serial log, config drive."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pycdlib
import pytest

from tests.unit.driver.hosted import CONFIG, Beside, Hosted, hosted, spec
from tests.unit.driver.sweep.test_sweep import driver_of, told
from tests.unit.driver.test_disks import disks
from vimdriver._driver import ESXDriver
from vimdriver._images.local import LocalImages
from vimdriver._images.push import push_images
from vimdriver._instances.config_drive import ConfigDrive, iso_image
from vimdriver._instances.disk_spec import DiskSpec
from vimdriver._instances.hardware import Allocation, HardwareSpec
from vimdriver._instances.types import InstanceSpec
from vimdriver._verbs import Plan, execute, returns
from vimdriver.errors import NoSpaceError
from vimlib import vim25
from vimlib.errors import NotFoundError, UsageError, VersionError

GIB = 1 << 30


def config(host: Hosted, name: str = "web") -> Any:
    return host.beside.call(lambda: host.esx.machine(name).config)


def contents(image: bytes) -> dict[str, bytes]:
    """Return the files of an ISO image by their Joliet paths."""
    iso = pycdlib.PyCdlib()
    iso.open_fp(io.BytesIO(image))
    found = {}
    for folder, _, names in iso.walk(joliet_path="/"):
        for name in names:
            data = io.BytesIO()
            path = f"{folder.rstrip('/')}/{name}"
            iso.get_file_from_iso_fp(data, joliet_path=path)
            found[path.lstrip("/")] = data.getvalue()
    iso.close()
    return found


async def test_all_of_it_is_in_the_machine(host: Hosted, image: Path) -> None:
    shares = Allocation(reservation=100, limit=2000, shares="high")
    async with host.driver() as driver:
        await driver.spawn(
            spec(
                image,
                cpus=4,
                guest_id="otherLinux64Guest",
                hardware=HardwareSpec(
                    cores_per_socket=2,
                    version="vmx-15",
                    firmware="efi",
                    secure_boot=True,
                    video_ram_mb=16,
                    nested=True,
                    cpu=shares,
                    memory=Allocation(reservation=32, limit=-1, shares=500),
                    network=Allocation(limit=100),
                    disk=Allocation(reservation=50, limit=500, shares="high"),
                ),
                disks=(DiskSpec(size_gb=1),),
                annotation="Größe",
                metadata=(("owner", "me"), ("project", "x")),
            )
        )
        found = config(host)
        assert (found.hardware.numCPU, found.hardware.numCoresPerSocket) == (4, 2)
        assert (found.version, found.firmware, found.nestedHVEnabled) == ("vmx-15", "efi", True)
        assert found.bootOptions.efiSecureBootEnabled is True
        assert found.guestId == "otherLinux64Guest"
        assert (found.cpuAllocation.reservation, found.cpuAllocation.limit) == (100, 2000)
        assert found.cpuAllocation.shares.level == "high"
        assert (found.memoryAllocation.reservation, found.memoryAllocation.limit) == (32, -1)
        assert (found.memoryAllocation.shares.level, found.memoryAllocation.shares.shares) == (
            "custom",
            500,
        )
        assert found.annotation == "Größe\nowner:me\nproject:x"
        by_type = {type(one): one for one in found.hardware.device}
        assert by_type[vim25.VirtualMachineVideoCard].videoRamSizeInKB == 16 << 10
        assert by_type[vim25.VirtualE1000].resourceAllocation.limit == 100
        root, further = await allocations(host, driver)
        assert root == further == (50, 500, "high", 2000)
        # A clone has the same.
        await driver.power_off("web")
        await driver.clone("web", "copy")
        assert await allocations(host, driver, "copy") == [root, further]


async def allocations(host: Hosted, driver: ESXDriver, name: str = "web") -> list[tuple[Any, ...]]:
    """Return reservation, limit and shares of a machine's disks, as the host shows them."""
    vm = driver.client.bind(vim25.VirtualMachine(host.esx.machine(name).moid))
    row = await driver.client.get(vm, "config.hardware.device")
    disks = [
        one for one in row.props["config.hardware.device"] if isinstance(one, vim25.VirtualDisk)
    ]
    found: list[Any] = [disk.storageIOAllocation for disk in disks]
    return [(o.reservation, o.limit, o.shares.level, o.shares.shares) for o in found]


ROOTS: dict[str, dict[str, Any]] = {
    "blank": {"image": None, "disk_gb": 1},
    "uploaded": {"transfer": "put"},
    "imported": {"transfer": "nfc"},
    "copied": {"image": "[datastore1] images/base.vmdk"},
    "linked": {"image": "[datastore1] images/base.vmdk", "clone": "linked"},
    "as it is": {"image": "[datastore1] images/base.vmdk", "clone": "none"},
    "with drives": {"image": None, "disk_gb": 1, "serial_log": True},
}


@pytest.mark.parametrize("root", ROOTS)
async def test_the_limit_of_disks_holds_for_a_root_disk_of_any_origin(
    root: str, host: Hosted, image: Path
) -> None:
    async with host.driver() as driver:
        await push_images(
            driver.client,
            LocalImages(),
            [str(image)],
            datastore="datastore1",
            name="base",
            config=CONFIG,
        )
        given = {"image": image} | ROOTS[root]
        await driver.spawn(
            spec(given.pop("image"), hardware=HardwareSpec(disk=Allocation(limit=500)), **given)
        )
        assert await allocations(host, driver) == [(0, 500, "normal", 1000)]


@pytest.mark.parametrize(
    ("version", "limits", "needs"),
    [
        ("4.0", Allocation(limit=500), "a limit or shares of disks needs API 4.1"),
        ("4.1", Allocation(reservation=5), "a reservation of disks needs API 5.5"),
    ],
)
async def test_a_host_that_is_too_old_for_an_allocation_of_disks_is_refused_first(
    version: str, limits: Allocation, needs: str, beside: Beside, tmp_path: Path, image: Path
) -> None:
    with hosted(beside, tmp_path / "s", version, legacy_tls=True) as host:
        clean = host.state()
        async with host.driver() as driver:
            with pytest.raises(VersionError, match=needs):
                await driver.spawn(spec(image, hardware=HardwareSpec(disk=limits)))
        await host.settled(clean)


async def test_further_disks_on_their_own_controllers(host: Hosted, image: Path) -> None:
    clean = host.state()
    wanted = (
        DiskSpec(size_gb=1),
        DiskSpec(size_gb=2, mode="independent_persistent", disk_type="thick"),
        DiskSpec(size_gb=1, adapter="paraVirtual"),
        DiskSpec(size_gb=1, adapter="nvme"),
    )
    async with host.driver() as driver:
        await driver.spawn(spec(image, disks=wanted))
        root, *found = sorted(await disks(driver), key=lambda disk: disk.path)
        assert root.path == "[datastore1] web/web.vmdk"
        assert [
            (d.path[-9:], d.model, d.unit, (d.capacity or 0) // GIB, d.thin) for d in found
        ] == [
            ("eb_1.vmdk", "lsiLogic", 0, 1, True),
            ("eb_2.vmdk", "lsiLogic", 1, 2, False),
            ("eb_3.vmdk", "paraVirtual", 0, 1, True),
            ("eb_4.vmdk", "nvme", 0, 1, True),
        ]
        assert found[1].mode == "independent_persistent"
        assert await driver.destroy("web")
    await host.settled(clean)


async def test_a_serial_port_writes_a_log_that_is_read(host: Hosted, image: Path) -> None:
    clean = host.state()
    async with host.driver() as driver:
        await driver.spawn(spec(image, serial_log=True))
        assert (await driver.console_log("web")).size == 0
        log = host.folder / "web" / "web-serial.log"
        log.write_bytes(b"\x1b[31mbooting\n" + "Größe\n".encode() + b"\xff")
        found = await driver.console_log("web")
        assert (found.path, found.size) == ("[datastore1] web/web-serial.log", 22)
        assert found.text == "\x1b[31mbooting\nGröße\n\ufffd"
        assert (await driver.console_log("web", tail=3)).data == b"e\n\xff"
        with pytest.raises(UsageError, match="tail must be at least 1, got 0"):
            await driver.console_log("web", tail=0)
        await driver.destroy("web")
        await driver.spawn(spec(image, nics=()))
        with pytest.raises(
            NotFoundError, match="machine web has no serial port that writes to a file"
        ):
            await driver.console_log("web")
        await driver.destroy("web")
    await host.settled(clean)


@pytest.mark.parametrize("layout", ["openstack", "cidata"])
async def test_a_config_drive(layout: Any, host: Hosted, image: Path) -> None:
    clean = host.state()
    drive = ConfigDrive(
        layout=layout,
        user_data=b"#!/bin/sh\n",
        metadata=(("role", "db"),),
        public_keys=("ssh-ed25519 AAAA me",),
        files=(("openstack/content/0000", b"x" * 5000),),
    )
    async with host.driver() as driver:
        made = await driver.spawn(spec(image, config_drive=drive, hostname="web-1"))
        (drive_in,) = [one for one in await driver.devices("web") if one.kind == "cdrom"]
        assert (drive_in.path, drive_in.model) == ("[datastore1] web/web-config.iso", "ide")
        data = (host.folder / "web" / "web-config.iso").read_bytes()
        files = contents(data)
        assert files["openstack/content/0000"] == b"x" * 5000
        if layout == "openstack":
            assert b"config-2" in data
            meta = json.loads(files["openstack/latest/meta_data.json"])
            assert (meta["uuid"], meta["name"], meta["hostname"]) == (made.uuid, "web", "web-1")
            assert meta["meta"] == {"role": "db"}
            assert files["openstack/latest/user_data"] == b"#!/bin/sh\n"
        else:
            assert b"cidata" in data
            meta = json.loads(files["meta-data"])
            assert (meta["local-hostname"], meta["meta"]) == ("web-1", {"role": "db"})
            assert files["user-data"] == b"#!/bin/sh\n"
        await driver.destroy("web")
    await host.settled(clean)


def test_names_in_an_iso_image_are_those_that_were_given() -> None:
    files = {"a/b/c.d": b"1", "a/B": b"2", "meta-data": b"", "x" * 60: b"3"}
    assert contents(iso_image("cidata", files)) == files


@pytest.mark.parametrize("name", ["my web server", "Größe 5/6 100%", "サーバー", "a\\b"])
async def test_names_as_people_write_them(name: str, host: Hosted, image: Path) -> None:
    clean = host.state()
    async with host.driver() as driver:
        wanted = spec(image, name, serial_log=True, disks=(DiskSpec(size_gb=1),))
        assert (await driver.spawn(wanted)).name == name
        assert (await driver.info(name)).power_state == "poweredOn"
        assert await driver.destroy(name)
    await host.settled(clean)


@pytest.mark.parametrize("method", ["CreateVirtualDisk_Task", "ReconfigVM_Task", "PowerOnVM_Task"])
async def test_a_spawn_that_fails_leaves_nothing(method: str, host: Hosted, image: Path) -> None:
    clean = host.state()
    drive = ConfigDrive()
    async with host.driver() as driver:
        host.esx.faults.fail_task(method, vim25.SystemError(reason="on order"))
        with pytest.raises(vim25.SystemError):
            await driver.spawn(
                spec(image, disks=(DiskSpec(size_gb=1),), serial_log=True, config_drive=drive)
            )
    await host.settled(replace(clean, sessions=0), but=lambda s: replace(s, sessions=0))


async def test_a_sweep_removes_a_half_made_machine_with_its_disks(
    host: Hosted, image: Path
) -> None:
    clean = host.state()
    async with host.client() as client:
        driver = driver_of(client)
        wanted = spec(
            image, disks=(DiskSpec(size_gb=1),), serial_log=True, config_drive=ConfigDrive()
        )
        plan = await driver.spawn.plan(wanted)
        for steps in range(1, len(plan.steps)):
            if "attach the disk" in str(plan.steps[steps - 1]):
                break
            await execute(driver.host(), Plan(plan.title, plan.steps[:steps], returns(None)))
            assert told(await driver.sweep(older_than=0)) == [("removed", "machine", "web")]
            await host.settled(clean, but=lambda s: replace(s, sessions=clean.sessions))
        assert steps > 5


def test_values_that_no_host_takes() -> None:
    def made(**given: Any) -> InstanceSpec:
        return InstanceSpec(name="web", image="a", datastore="datastore1", **given)

    for work, rule in (
        (lambda: Allocation(reservation=-1), "reservation must be at least 0, got -1"),
        (lambda: Allocation(limit=0), "limit must be at least 1, or -1 for none, got 0"),
        (lambda: Allocation(limit=5, reservation=6), "limit must be at least the reservation of 6, got 5"),
        (lambda: Allocation(shares="much"), "shares must be low, normal, high or a number, got 'much'"),  # type: ignore[arg-type]
        (lambda: Allocation(shares=-1), "shares must be 0 to 1000000, got -1"),
        (lambda: HardwareSpec(cores_per_socket=0), "cores_per_socket must be at least 1, got 0"),
        (lambda: HardwareSpec(version="13"), "the hardware version must be like vmx-13, got '13'"),
        (lambda: HardwareSpec(firmware="uefi"), "firmware must be bios or efi, got 'uefi'"),  # type: ignore[arg-type]
        (lambda: HardwareSpec(secure_boot=True), "secure_boot requires the firmware efi"),
        (lambda: HardwareSpec(video_ram_mb=0), "video_ram_mb must be 1 to 128, got 0"),
        (lambda: DiskSpec(size_gb=0), "size_gb must be 1 to 63488, got 0"),
        (lambda: DiskSpec(size_gb=1, adapter="ide"), "the adapter of a further disk must not be ide"),
        (lambda: DiskSpec(size_gb=1, mode="x"), "mode must be one of persistent"),  # type: ignore[arg-type]
        (lambda: ConfigDrive(layout="x"), "config_drive must be one of openstack, cidata, got 'x'"),  # type: ignore[arg-type]
        (lambda: ConfigDrive(files=(("../a", b""),)), "invalid path in a config drive: '../a'"),
        (lambda: ConfigDrive(files=(("é" * 33, b""),)), "names in a config drive must have at most 64 bytes"),
        (lambda: ConfigDrive(files=(("a\0", b""),)), "and no control characters, got"),
        (lambda: ConfigDrive(user_data=bytes(65 << 20)), "a config drive must have at most 67108864 bytes"),
        (lambda: made(cpus=3, hardware=HardwareSpec(cores_per_socket=2)), "cpus must be a multiple of 2, the cores per socket, got 3"),
        (lambda: made(memory_mb=64, hardware=HardwareSpec(memory=Allocation(reservation=65))), "reservation of memory must be at most 64 MiB"),
        (lambda: made(annotation="a\0"), "annotation must not have control characters"),
    ):  # fmt: skip
        with pytest.raises(UsageError, match=rule):
            work()


async def test_hardware_that_the_host_lacks_is_refused_before_anything_is_made(
    beside: Beside, tmp_path: Path, image: Path
) -> None:
    with hosted(beside, tmp_path / "s", "4.1", legacy_tls=True) as host:
        async with host.driver() as driver:
            state = host.state()
            for hardware in (HardwareSpec(cores_per_socket=1), HardwareSpec(firmware="efi")):
                with pytest.raises(VersionError):
                    await driver.spawn(spec(image, hardware=hardware))
            assert host.state() == state


async def test_the_console_waits_before_it_repeats_keys(host: Hosted, image: Path) -> None:
    delay = ("keyboard.typematicMinDelay", "2000000")
    async with host.driver() as driver:
        await driver.spawn(spec(image, extra_config=(delay,)))
    assert delay in [(one.key, one.value) for one in config(host).extraConfig]


async def test_a_full_datastore_and_keys_that_are_not_allowed(
    beside: Beside, tmp_path: Path, image: Path
) -> None:
    with hosted(beside, tmp_path / "s", capacity=GIB) as host:
        async with host.driver() as driver:
            state = host.state()
            thick = (DiskSpec(size_gb=2, disk_type="thick"),)
            with pytest.raises(NoSpaceError, match=r"needs 2\.0 GiB free"):
                await driver.spawn(spec(image, disks=thick))
            for key in ("scsi0:0.fileName", "ethernet0.networkName", "RemoteDisplay.vnc.port"):
                with pytest.raises(UsageError, match=f"must have allowed keys only, got '{key}'"):
                    await driver.spawn(spec(image, extra_config=((key, "x"),)))
            assert host.state() == state
        config_ = replace(CONFIG, extra_config=("mine.*",))
        async with host.driver(config=config_) as driver:
            await driver.spawn(spec(image, extra_config=(("MINE.a", "1"),)))
            options = {one.key: one.value for one in config(host).extraConfig}
            assert options["MINE.a"] == "1"
