"""What a spawn makes, on old hosts and new ones, and what it refuses before it makes anything."""

from __future__ import annotations

import asyncio
import base64
import gc
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from guest import vimguest
from tests.unit.driver.hosted import (
    CONFIG,
    MAC,
    OWNER,
    Beside,
    Hosted,
    glance,
    hosted,
    spec,
    store,
    until,
)
from tests.unit.driver.images import foreign
from vimdriver._config import DriverConfig
from vimdriver._driver import ESXDriver
from vimdriver._guestinfo import Form
from vimdriver._images.embedded import Fault, made_image
from vimdriver._images.local import LocalImages
from vimdriver._images.make import Pattern, raw
from vimdriver._images.push import push_images
from vimdriver._images.sink import temporary_name
from vimdriver._instances.machine import OWNER_KEY, SPAWN_KEY
from vimdriver._instances.types import NICSpec
from vimdriver.errors import (
    DatastoreUnusableError,
    HostReadOnlyError,
    ImageNotFoundError,
    ImageSizeError,
    ImageUnacceptableError,
    InstanceExistsError,
    NetworkNotFoundError,
    NoSpaceError,
    SourceReadError,
    SourceUnreachableError,
)
from vimlib import vim25
from vimlib._tls import TLS
from vimlib.errors import (
    ConnectionLostError,
    HostStateError,
    LoginError,
    NotFoundError,
    PinMismatchError,
    TaskQuestionError,
    TransferRejectedError,
    UsageError,
    VimlibError,
)
from vimlib.simulator._vm.power import ask

MODELS = {
    "e1000": "VirtualE1000",
    "e1000e": "VirtualE1000e",
    "vmxnet3": "VirtualVmxnet3",
    "pcnet32": "VirtualPCNet32",
}


def devices(host: Hosted, name: str, kind: type[Any]) -> list[Any]:
    return [d for d in host.esx.machine(name).config.hardware.device if isinstance(d, kind)]


def extra(host: Hosted, name: str) -> dict[str, str]:
    return {o.key: o.value for o in host.esx.machine(name).config.extraConfig}


@pytest.mark.parametrize(("version", "legacy"), [("4.1", True), ("6.7", False), ("8.0", False)])
async def test_a_machine_on_each_host(
    version: str, legacy: bool, beside: Beside, tmp_path: Path, image: Path
) -> None:
    with hosted(beside, tmp_path / "store", version, legacy_tls=legacy) as host:
        async with host.driver() as driver:
            made = await driver.spawn(spec(image, cpus=2, memory_mb=128))
            assert await driver.list_instances() == [made]
            assert await driver.info(made.uuid) == made
        assert (made.name, made.power_state, made.cpus, made.memory_mb) == (
            "web",
            "poweredOn",
            2,
            128,
        )
        marks = extra(host, "web")
        assert marks["machine.id"] == f"{MAC};10.0.0.2;255.255.255.0;;10.0.0.255;#"
        assert marks[OWNER_KEY] == "tests"
        assert len(marks[SPAWN_KEY]) == 16
        (disk,) = devices(host, "web", vim25.VirtualDisk)
        # 1 MiB and 300,001 bytes, up to whole KiB.
        assert disk.capacityInKB == 1317
        assert disk.backing.fileName == "[datastore1] web/web.vmdk"
        extent = (host.folder / "web/web-flat.vmdk").read_bytes()
        whole = image.read_bytes()
        assert extent == whole.ljust(1317 * 1024, b"\0")
        assert len(host.esx.calls("CreateVM_Task")) == 1


async def test_a_source_of_the_callers_own(host: Hosted, image: Path) -> None:
    async with host.client() as client:
        driver = ESXDriver(client, config=CONFIG)
        wanted = spec("as the caller calls it")
        with pytest.raises(UsageError, match="an image source or an image store"):
            await driver.spawn(wanted)
        made = await driver.spawn(wanted, source=LocalImages().image(str(image)))
        assert made.power_state == "poweredOn"
        await driver.destroy(made.uuid)


@pytest.mark.parametrize("name", ["100% & <x>", "ds \N{SNOWMAN} (1)", "a%2fb"])
async def test_a_datastore_of_an_odd_name(
    name: str, beside: Beside, tmp_path: Path, image: Path
) -> None:
    folder = tmp_path / "store"
    with hosted(beside, folder, datastores={name: folder}) as host:
        async with host.driver() as driver:
            (pushed,) = await push_images(
                driver.client, LocalImages(), [str(image)], datastore=name, config=CONFIG
            )
            assert pushed.datastore_path == f"[{name}] images/disk.vmdk"
            made = await driver.spawn(
                spec(image, datastore=name, nics=(NICSpec(network="vlan-7", vlan=7),))
            )
            (folder / temporary_name("x", OWNER)).write_bytes(b"x")
            assert [item.action for item in (await driver.sweep(older_than=0)).items] == ["removed"]
            assert [store.name for store in (await driver.host_info()).datastores] == [name]
            assert await driver.destroy(made.uuid)
            await driver.remove_vlan("vlan-7")
        left = {Path(file).suffix for file in host.state().files}
        assert (len(host.state().files), left) == (3, {".vmdk", ".json"})


@pytest.mark.parametrize("size", [1, 511, 512, 1023, 1024, 1025])
async def test_odd_sizes_are_padded_with_zeros(size: int, host: Hosted, tmp_path: Path) -> None:
    path = tmp_path / "odd.img"
    path.write_bytes(b"\x07" * size)
    async with host.driver() as driver:
        await driver.spawn(spec(path))
    extent = (host.folder / "web/web-flat.vmdk").read_bytes()
    assert extent == (b"\x07" * size).ljust(-(-size // 1024) * 1024, b"\0")


@pytest.mark.parametrize("form", ["nova", "versioned", "cloud-init"])
async def test_a_mac_that_the_host_chose_is_in_the_record_before_power_on(
    form: Form, host: Hosted, image: Path
) -> None:
    nics = (
        NICSpec(network="VM Network", addresses=("10.0.0.2/24",), gateway="10.0.0.1"),
        NICSpec(network="VM Network", mac=MAC, addresses=("10.0.1.2/24",)),
        NICSpec(network="VM Network", dhcp4=True),
    )
    config = replace(CONFIG, guest_form=form)
    async with host.driver(config=config) as driver:
        plan = await driver.spawn.plan(spec(image, nics=nics))
        titles = [step.title for step in plan.steps]
        await driver.spawn(spec(image, nics=nics))
    macs = [card.macAddress for card in devices(host, "web", vim25.VirtualEthernetCard)]
    assert macs[1] == MAC
    assert len(set(macs)) == 3
    settings = extra(host, "web")
    if form == "cloud-init":
        text = base64.b64decode(settings["guestinfo.metadata"]).decode()
        found = [
            one["match"]["macaddress"] for one in json.loads(text)["network"]["ethernets"].values()
        ]
    else:
        read = vimguest.parse(settings["machine.id"])[1]
        found = [str(nic.mac) for nic in read.nics]
        assert str(read.nics[0].addresses[0]) == "10.0.0.2/24"
    assert found == macs
    (written,) = [at for at, title in enumerate(titles) if "with them" in title]
    assert "read the MAC addresses" in titles[written - 1]
    assert "PowerOnVM_Task" in titles[written + 1]


async def test_settings_that_cannot_be_are_refused_before_anything_is_made(
    host: Hosted, image: Path
) -> None:
    nics = (NICSpec(network="VM Network", addresses=("10.0.0.2/24",), gateway="10.0.0.255"),)
    async with host.driver() as driver:
        with pytest.raises(UsageError, match="gateway4"):
            await driver.spawn(spec(image, nics=nics))
    assert host.esx.calls("CreateVM_Task") == []


async def test_several_cards_each_on_its_own_network(host: Hosted, image: Path) -> None:
    nics = tuple(
        NICSpec(network=f"vlan-{i}", model=model, mac=f"00:50:56:00:00:0{i}", addresses=(f"10.0.{i}.2/24",), vlan=i)  # type: ignore[arg-type]
        for i, model in enumerate(MODELS)
    )  # fmt: skip
    async with host.driver() as driver:
        await driver.spawn(spec(image, nics=nics))
    cards = devices(host, "web", vim25.VirtualEthernetCard)
    assert [type(c).__name__ for c in cards] == list(MODELS.values())
    assert [c.macAddress for c in cards] == [n.mac for n in nics]
    assert [c.backing.deviceName for c in cards] == [n.network for n in nics]
    groups = host.esx.networks.groups
    assert {n.network: groups[n.network].vlan for n in nics} == {f"vlan-{i}": i for i in range(4)}
    assert extra(host, "web")["machine.id"].count("#") == 4


async def test_a_disk_larger_than_its_image(host: Hosted, image: Path) -> None:
    async with host.driver() as driver:
        await driver.spawn(spec(image, disk_gb=1, adapter="ide"))
    (disk,) = devices(host, "web", vim25.VirtualDisk)
    assert disk.capacityInKB == 1 << 20
    extent = host.folder / "web/web-flat.vmdk"
    assert extent.stat().st_size == 1 << 30
    with extent.open("rb") as file:
        assert file.read(image.stat().st_size) == image.read_bytes()


async def test_not_powered_on_where_nobody_asked(host: Hosted, image: Path) -> None:
    async with host.driver() as driver:
        made = await driver.spawn(spec(image, power_on=False, nics=()))
    assert made.power_state == "poweredOff"
    assert not host.esx.calls("PowerOnVM_Task")


async def test_cloud_init_knows_the_machine_by_its_uuid(host: Hosted, image: Path) -> None:
    config = replace(CONFIG, guest_form="cloud-init")
    async with host.driver(config=config) as driver:
        await driver.spawn(spec(image))
    assert "guestinfo.metadata" in extra(host, "web")


async def test_a_leftover_folder_stays_as_it_is(host: Hosted, image: Path) -> None:
    left = host.folder / "web" / "precious"
    left.parent.mkdir()
    left.write_text("x")
    async with host.driver() as driver:
        made = await driver.spawn(spec(image))
        (disk,) = devices(host, "web", vim25.VirtualDisk)
        assert disk.backing.fileName == "[datastore1] web_1/web.vmdk"
        assert await driver.destroy(made.uuid)
    assert host.state().files == {"web/precious"}


async def test_marks_cannot_be_given(host: Hosted, image: Path) -> None:
    given = ((OWNER_KEY, "somebody"), (SPAWN_KEY, "x"), ("guestinfo.mine", "1"))
    async with host.driver() as driver:
        await driver.spawn(spec(image, extra_config=given))
    found = extra(host, "web")
    assert (found[OWNER_KEY], found["guestinfo.mine"]) == ("tests", "1")
    assert found[SPAWN_KEY] != "x"


# -- refused before anything is made -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"nics": (NICSpec(network="nowhere"),)}, NetworkNotFoundError),
        ({"datastore": "nowhere"}, NotFoundError),
        ({"image": "/no/such/file"}, ImageNotFoundError),
        ({"image": "/"}, SourceReadError),
        ({"disk_gb": 1 << 20}, NoSpaceError),
        ({"name": "taken"}, InstanceExistsError),
        ({"uuid": "5021e9d8-7d2f-4b8c-9f8a-0c5b3d1f2a10"}, InstanceExistsError),
    ],
)
async def test_what_cannot_be_is_told_before_the_first_write(
    change: dict[str, Any], error: type[VimlibError], host: Hosted, image: Path
) -> None:
    given: dict[str, Any] = {"image": image, "name": "web"} | change
    async with host.driver() as driver:
        await driver.spawn(
            spec(
                image, "taken", uuid="5021e9d8-7d2f-4b8c-9f8a-0c5b3d1f2a10", power_on=False, nics=()
            )
        )
        before, calls = host.state(), len(host.esx.call_log)
        with pytest.raises(error) as caught:
            await driver.spawn(spec(**given))
        assert host.state() == before
    assert caught.value.hint
    assert str(caught.value).endswith(caught.value.hint)
    assert not {m for m in host.methods()[calls:] if m.endswith("_Task") or m == "AddPortGroup"}


@pytest.mark.parametrize(
    ("begin", "rule"),
    [(b"KDMV", "header."), (b"QFI\xfb", "qcow2."), (b"# Disk DescriptorFile", "format.")],
)
async def test_a_file_that_is_not_a_disk_is_refused_before_the_first_write(
    begin: bytes, rule: str, host: Hosted, tmp_path: Path
) -> None:
    path = tmp_path / "disk.img"
    path.write_bytes(begin.ljust(3 << 20, b"\1"))
    clean = host.state()
    async with host.driver() as driver:
        with pytest.raises(ImageUnacceptableError) as caught:
            await driver.spawn(spec(path))
    assert caught.value.rule.startswith(rule)
    assert caught.value.image == "disk.img"
    assert caught.value.hint
    assert not host.esx.calls("CreateVM_Task")
    await host.settled(clean)


async def test_a_host_and_a_datastore_that_are_out_of_service(host: Hosted, image: Path) -> None:
    async with host.driver() as driver:
        host.esx.host.maintenance = True
        with pytest.raises(HostStateError, match="maintenance"):
            await driver.spawn(spec(image))
        host.esx.host.maintenance = False
        host.esx.host.changed("runtime")
        host.esx.datastores["datastore1"].accessible = False
        host.esx.datastores["datastore1"].changed("summary")
        with pytest.raises(DatastoreUnusableError):
            await driver.spawn(spec(image))
    assert not host.esx.calls("CreateVM_Task")


@pytest.mark.parametrize("clone", ["copy", "none"])
@pytest.mark.parametrize("transfer", ["nfc", "put", "sparse"])
@pytest.mark.parametrize("kind", ["monolithicSparse", "streamOptimized"])
async def test_a_machine_boots_from_a_sparse_image(
    kind: Any, transfer: Any, clone: Any, beside: Beside, host: Hosted
) -> None:
    # Hosts convert no disk that is not of whole KiB.
    pattern = Pattern(1, (1 << 20) + (1024 if transfer == "sparse" else 512))
    with glance(beside, made_image("rich", kind, pattern)) as service:
        async with store(service) as images, host.driver(images) as driver:
            made = await driver.spawn(spec("rich", transfer=transfer, clone=clone))
    assert made.power_state == "poweredOn"
    extent = (host.folder / "web/web-flat.vmdk").read_bytes()
    assert extent == b"".join(raw(pattern)).ljust((1 << 20) + 1024, b"\0")


@pytest.mark.parametrize("transfer", ["nfc", "put"])
async def test_a_machine_boots_from_an_image_that_is_read_by_range(
    transfer: Any, host: Hosted, tmp_path: Path
) -> None:
    disk = foreign.disk(1 << 20)
    path = tmp_path / "image"
    path.write_bytes(foreign.sparse(disk, tables_last=True))
    async with host.driver() as driver:
        await driver.spawn(spec(path, transfer=transfer))
    assert (host.folder / "web/web-flat.vmdk").read_bytes() == disk


async def test_a_rich_image_that_calls_itself_raw(beside: Beside, host: Hosted) -> None:
    image = made_image("liar", "streamOptimized", Pattern(1, 1 << 20))
    image.disk_format = "raw"
    image.properties = {}
    clean = host.state()
    with glance(beside, image) as service:
        async with store(service) as images, host.driver(images) as driver:
            with pytest.raises(ImageUnacceptableError):
                await driver.spawn(spec("liar"))
    await host.settled(clean)


async def test_a_licence_that_allows_reading_only(
    beside: Beside, tmp_path: Path, image: Path
) -> None:
    with hosted(beside, tmp_path / "store", licensed=False) as host:
        clean = host.state()
        async with host.driver() as driver:
            with pytest.raises(HostReadOnlyError):
                await driver.spawn(spec(image))
            with pytest.raises(HostReadOnlyError):
                await driver.ensure_vlan("blue", 5)
        await host.settled(clean)


async def test_a_wrong_pin_and_a_wrong_password(host: Hosted, image: Path) -> None:
    with pytest.raises(PinMismatchError):
        async with host.driver(tls=TLS(pin=":".join(["00"] * 32))):
            raise AssertionError("never logged in")
    assert not host.esx.call_log
    with pytest.raises(LoginError) as caught:
        async with host.driver(password="canary-wrong"):
            raise AssertionError("never logged in")
    assert "canary" not in str(caught.value) + repr(caught.value)
    assert len(host.esx.calls("Login")) == 1
    assert host.state().sessions == 0


# -- undone ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "error"),
    [(Fault.KILLED, VimlibError), (Fault.SHORT, ImageSizeError), (Fault.FLIPPED, VimlibError)],
)
async def test_a_source_that_breaks_in_mid_stream(
    fault: Fault, error: type[VimlibError], beside: Beside, host: Hosted
) -> None:
    image = made_image("raw", "raw", Pattern(1, 4 << 20))
    image.fault = fault
    image.hashed = fault is Fault.FLIPPED  # without a hash nothing is resumed
    clean = host.state()
    with glance(beside, image) as service:
        async with store(service) as images, host.driver(images) as driver:
            with pytest.raises(error) as caught:
                await driver.spawn(spec("raw"))
    assert not getattr(caught.value, "__notes__", [])
    await host.settled(clean)


async def test_a_datastore_that_others_fill_meanwhile(host: Hosted, image: Path) -> None:
    clean = host.state()
    full = vim25.NoDiskSpace(file="", datastore="datastore1")
    host.esx.faults.fail_task("CreateVirtualDisk_Task", full)
    async with host.driver() as driver:
        with pytest.raises(NoSpaceError):
            await driver.spawn(spec(image))
        host.esx.faults.add("PUT", "status", status=507)
        with pytest.raises(TransferRejectedError) as caught:
            await driver.spawn(spec(image))
        assert caught.value.status == 507
        host.esx.faults.add("PUT", "status", status=507, after=1 << 20)
        with pytest.raises((TransferRejectedError, ConnectionLostError)):
            await driver.spawn(spec(image))
    await host.settled(clean)


@pytest.mark.parametrize(
    "method",
    ["CreateVM_Task", "CreateVirtualDisk_Task", "DeleteDatastoreFile_Task", "ExtendVirtualDisk_Task", "ReconfigVM_Task", "PowerOnVM_Task"],
)  # fmt: skip
async def test_each_task_that_fails_is_undone(method: str, host: Hosted, image: Path) -> None:
    clean = host.state()
    host.esx.faults.fail_task(method, vim25.SystemError(reason="on order"))
    async with host.driver() as driver:
        with pytest.raises(vim25.SystemError) as caught:
            await driver.spawn(spec(image, disk_gb=1))
    assert not getattr(caught.value, "__notes__", [])
    await host.settled(clean)


@pytest.mark.parametrize(
    "method",
    ["CreateVM_Task", "CreateVirtualDisk_Task", "DeleteDatastoreFile_Task", "ExtendVirtualDisk_Task", "ReconfigVM_Task", "PowerOnVM_Task"],
)  # fmt: skip
async def test_an_answer_that_is_lost_is_found_out(
    method: str, beside: Beside, tmp_path: Path, image: Path
) -> None:
    # The task still runs when the answer is already lost.
    with hosted(beside, tmp_path / "store", task_seconds=0.05) as host:
        host.esx.faults.add(method, "lose")
        async with host.driver() as driver:
            made = await driver.spawn(spec(image, disk_gb=1))
        assert made.power_state == "poweredOn"
        assert len(host.esx.calls(method)) == 1
        assert host.state().machines == {"web"}


async def test_a_create_that_never_came_is_not_made_twice(host: Hosted, image: Path) -> None:
    clean = host.state()
    host.esx.faults.add("CreateVM_Task", "reset")
    async with host.driver() as driver:
        with pytest.raises(VimlibError) as caught:
            await driver.spawn(spec(image))
    assert caught.value.outcome == "unknown"
    assert len(host.esx.calls("CreateVM_Task")) == 1
    await host.settled(clean)


async def test_two_spawns_of_one_uuid_make_one_machine(
    beside: Beside, tmp_path: Path, image: Path
) -> None:
    uuid = "5021e9d8-7d2f-4b8c-9f8a-0c5b3d1f2a10"
    with hosted(beside, tmp_path / "store", task_seconds=0.1) as host:
        async with host.driver() as one, host.driver() as two:
            ended = await asyncio.gather(
                one.spawn(spec(image, uuid=uuid)),
                two.spawn(spec(image, uuid=uuid)),
                return_exceptions=True,
            )
            errors = [e for e in ended if isinstance(e, BaseException)]
            assert [type(e) for e in errors] == [InstanceExistsError]
            # The loser's way back did not take the winner's machine.
            assert [i.uuid for i in await one.list_instances()] == [uuid]
            assert (await one.info(uuid)).power_state == "poweredOn"
        # The winner's folder is web_1 where the loser's was there first.
        (vmx,) = (name for name in host.state().files if name.endswith("/web.vmx"))
        folder = vmx.removesuffix("/web.vmx")
        assert host.state().files >= {f"{folder}/web.vmdk", f"{folder}/web-flat.vmdk"}


async def test_two_spawns_of_one_name_make_one_machine(
    beside: Beside, tmp_path: Path, image: Path
) -> None:
    with hosted(beside, tmp_path / "store", task_seconds=0.1) as host:
        async with host.driver() as driver:
            ended = await asyncio.gather(
                *(driver.spawn(spec(image)) for _ in range(3)), return_exceptions=True
            )
        assert sorted(type(e).__name__ for e in ended) == ["Instance", *["InstanceExistsError"] * 2]
        assert host.state().machines == {"web"}


async def test_a_spawn_whose_machine_is_taken_away_ends_clean(
    beside: Beside, tmp_path: Path, image: Path
) -> None:
    with hosted(beside, tmp_path / "store", task_seconds=0.1) as host:
        clean = host.state()
        async with host.driver() as driver:
            spawning = asyncio.ensure_future(driver.spawn(spec(image)))
            await until(lambda: bool(host.state().machines))
            assert await driver.destroy("web")
            with pytest.raises(VimlibError):
                await spawning
        await host.settled(clean)


async def test_a_clean_up_that_fails_is_told_and_the_reason_stays(
    host: Hosted, image: Path
) -> None:
    host.esx.faults.fail_task("PowerOnVM_Task", vim25.SystemError(reason="the reason"))
    host.esx.faults.fail("Destroy_Task", vim25.NoPermission(privilegeId="x"))
    async with host.driver() as driver:
        with pytest.raises(vim25.SystemError) as caught:
            await driver.spawn(spec(image))
        assert "Left behind: machine web" in caught.value.__notes__[-1]
        assert await driver.destroy("web")
    assert not host.state().machines


@pytest.mark.slow  # a machine is asked for its question after two seconds
async def test_a_question_is_told_and_the_machine_is_removed(host: Hosted, image: Path) -> None:
    clean = host.state()
    host.esx.faults.hold_task("PowerOnVM_Task")

    def answered() -> None:
        machine = host.esx.machine("web")
        machine.question = None
        machine.answered.set()
        host.esx.faults.release_task("PowerOnVM_Task")

    async with host.driver(config=DriverConfig(owner="tests", cleanup_seconds=60)) as driver:
        spawning = asyncio.ensure_future(driver.spawn(spec(image)))
        await until(lambda: "PowerOnVM_Task" in host.state().running)
        host.beside.call(
            lambda: ask(host.esx.machine("web"), "moved or copied?", {"0": "Cancel", "1": "Copied"})
        )
        await asyncio.sleep(5)
        # Somebody answers when the driver has given up and waits to undo.
        host.beside.call(answered)
        with pytest.raises(TaskQuestionError, match="moved or copied"):
            await spawning
    await host.settled(clean)


async def test_an_image_service_that_is_not_there(host: Hosted) -> None:
    from vimdriver._images.glance import Glance
    from vimdriver._images.http import HttpClient

    clean = host.state()
    async with HttpClient() as http, host.driver(Glance(http, "http://127.0.0.1:9")) as driver:
        with pytest.raises(SourceUnreachableError):
            await driver.spawn(spec("5021e9d8-7d2f-4b8c-9f8a-0c5b3d1f2a10"))
    await host.settled(clean)


@pytest.mark.parametrize(
    ("given", "error"),
    [({}, InstanceExistsError), ({"name": "new", "disk_gb": 1 << 20}, NoSpaceError)],
)
async def test_a_refusal_leaves_no_retrieval_open(
    given: dict[str, Any],
    error: type[VimlibError],
    host: Hosted,
    image: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with host.driver() as driver:
        await driver.spawn(spec(image))
    with pytest.raises(error) as caught:
        async with host.driver() as driver:
            await driver.spawn(spec(image, **given))
    del caught
    gc.collect()
    await asyncio.sleep(0)
    assert "cannot release" not in caplog.text
