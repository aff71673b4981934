from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from vimdriver._config import DriverConfig
from vimdriver._guestinfo import Route
from vimdriver._images.source import ImageInfo
from vimdriver._instances.devices import ADAPTERS, disk_type_adapter, root_disk
from vimdriver._instances.image_properties import ImageDefaults, image_defaults, root_bytes
from vimdriver._instances.machine import OWNER_KEY
from vimdriver._instances.plan import plan_spawn
from vimdriver._instances.types import Instance, InstanceSpec, NICSpec
from vimdriver.errors import ImageUnacceptableError
from vimlib import vim25
from vimlib.errors import UsageError, VersionError

CONFIG = DriverConfig(owner="test")
MAC = "00:50:56:00:00:01"


def spec(**given: Any) -> InstanceSpec:
    return InstanceSpec(**({"name": "web-1", "image": "img", "datastore": "ds1"} | given))


def info(**given: Any) -> ImageInfo:
    usual: dict[str, Any] = {"id": "i", "name": "i", "size": 3 << 20, "disk_format": "raw"}
    return ImageInfo(**(usual | given))


def plan(of: InstanceSpec, image: ImageInfo | None = None, api: str = "8.0") -> Any:
    defaults = image_defaults(image or info(), api_version=api)
    return plan_spawn(of, defaults, CONFIG, api_version=api)


def test_the_machine_is_what_the_spec_says() -> None:
    made = plan(spec(cpus=2, memory_mb=1024, uuid="5021e9d8-7d2f-4b8c-9f8a-0c5b3d1f2a10")).config
    assert (made.name, made.numCPUs, made.memoryMB) == ("web-1", 2, 1024)
    assert made.instanceUuid == "5021e9d8-7d2f-4b8c-9f8a-0c5b3d1f2a10"
    assert made.files.vmPathName == "[ds1]"
    assert made.guestId == "otherGuest"
    assert made.tools.beforeGuestShutdown is True
    assert {o.key: o.value for o in made.extraConfig} == {OWNER_KEY: "test"}


def test_addresses_become_machine_id_as_nova_writes_it() -> None:
    nic = NICSpec(network="VM Network", mac=MAC, addresses=("10.0.0.2/24",), gateway="10.0.0.1", dns=("10.0.0.3",))  # fmt: skip
    made = plan(spec(nics=(nic,))).config
    options = {o.key: o.value for o in made.extraConfig}
    assert options["machine.id"] == f"{MAC};10.0.0.2;255.255.255.0;10.0.0.1;10.0.0.255;10.0.0.3#"


FULL = NICSpec(
    network="a",
    mac=MAC,
    addresses=("10.0.0.2/24", "fd00::2/64"),
    gateway="10.0.0.1",
    gateway6="fd00::1",
    dns=("10.0.0.3",),
    search=("a.example",),
    dhcp6=True,
    routes=(Route("10.9.0.0/16", "10.0.0.254", 50),),
    mtu=1400,
)


def test_the_guest_is_told_all_that_its_form_can_say() -> None:
    of = spec(nics=(FULL, NICSpec(network="b")), hostname="web-1", search=("b.example",))
    config = DriverConfig(owner="test", guest_form="versioned")
    made = plan_spawn(of, ImageDefaults(), config, api_version="8.0").config
    said = {o.key: o.value for o in made.extraConfig or ()}["machine.id"]
    assert json.loads(said.removeprefix("v1:")) == {
        "hostname": "web-1",
        "search": ["b.example"],
        "nics": [
            {
                "mac": MAC,
                "addresses": ["10.0.0.2/24", "fd00::2/64"],
                "gateway4": "10.0.0.1",
                "gateway6": "fd00::1",
                "dns": ["10.0.0.3"],
                "search": ["a.example"],
                "dhcp6": True,
                "routes": [{"to": "10.9.0.0/16", "via": "10.0.0.254", "metric": 50}],
                "mtu": 1400,
            }
        ],
    }


def test_cloud_init_gets_the_machine_s_uuid_as_its_instance() -> None:
    of = spec(nics=(FULL,))
    config = DriverConfig(owner="test", guest_form="cloud-init")
    made = plan_spawn(of, ImageDefaults(), config, api_version="8.0").config
    said = {o.key: o.value for o in made.extraConfig or ()}
    assert json.loads(base64.b64decode(said["guestinfo.metadata"]))["instance-id"] == of.uuid
    assert "machine.id" not in said


def test_a_form_that_cannot_hold_two_nics_refuses_them() -> None:
    two = (FULL, NICSpec(network="b", mac="00:50:56:00:00:02"))
    config = DriverConfig(guest_form="original")
    with pytest.raises(UsageError):
        plan_spawn(spec(nics=two), ImageDefaults(), config, api_version="8.0")


def test_nova_s_form_of_a_name_alone_is_no_key() -> None:
    made = plan(spec(hostname="web-1")).config
    assert [o.key for o in made.extraConfig] == [OWNER_KEY]


GIB = 1 << 30


@pytest.mark.parametrize(
    ("capacity", "disk_gb", "min_disk", "size"),
    [
        (3 << 20, None, 0, 3 << 20),
        ((3 << 20) + 1, None, 0, (3 << 20) + 1024),  # rounded up to whole KiB
        (3 << 20, 1, 0, GIB),
        (GIB, 1, 0, GIB),
        (3 << 20, None, 2, 2 * GIB),
        (3 * GIB, None, 2, 3 * GIB),
    ],
)
def test_the_disk_holds_the_image_and_what_was_asked(
    capacity: int, disk_gb: int | None, min_disk: int, size: int
) -> None:
    assert root_bytes(capacity, spec(disk_gb=disk_gb), info(min_disk=min_disk), "i") == size


def test_an_image_that_is_larger_than_its_disk() -> None:
    with pytest.raises(ImageUnacceptableError) as caught:
        root_bytes(GIB + 1, spec(disk_gb=1), info(), "i")
    assert caught.value.rule == "spawn.size"
    assert "--disk-gb 2" in caught.value.hint


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({"hw_disk_bus": "ide"}, {"adapter": "ide"}),
        ({"hw_disk_bus": "scsi", "hw_scsi_model": "lsisas1068"}, {"adapter": "lsiLogicsas"}),
        ({"hw_disk_bus": "virtio"}, {"ignored": ("hw_disk_bus=virtio",)}),
        ({"hw_vif_model": "virtio"}, {"ignored": ("hw_vif_model=virtio",)}),
        ({"hw_cdrom_bus": "ide"}, {}),
        ({"hw_cdrom_bus": "sata"}, {"ignored": ("hw_cdrom_bus=sata",)}),
        ({"os_distro": "debian"}, {"guest_id": "debian5_64Guest"}),
        ({"os_distro": "plan9", "os_type": "linux"},
         {"guest_id": "otherLinux64Guest", "ignored": ("os_distro=plan9",)}),
        ({"vmware_linked_clone": "true"}, {"linked": True}),
        ({"vmware_disktype": "sparse", "architecture": "x86_64"}, {}),
        ({"vmware_hw_version": "vmx-13"}, {"ignored": ("vmware_hw_version=vmx-13",)}),
    ],
)  # fmt: skip
def test_properties_are_honoured_or_named(given: dict[str, str], found: dict[str, Any]) -> None:
    assert image_defaults(info(properties=given), api_version="8.0") == ImageDefaults(**found)


def test_a_host_without_efi_reports_the_ignored_property() -> None:
    image = info(properties={"hw_firmware_type": "uefi"})
    assert image_defaults(image, api_version="5.0").firmware == "efi"
    assert image_defaults(image, api_version="4.1").ignored == ("hw_firmware_type=uefi",)


def test_image_properties_choose_adapter_and_guest() -> None:
    made = plan(spec(), info(properties={"vmware_adaptertype": "lsilogicsas", "vmware_ostype": "debian12_64Guest"}))  # fmt: skip
    assert (made.adapter, made.disk_adapter) == ("lsiLogicsas", "lsiLogic")
    assert made.config.guestId == "debian12_64Guest"
    with pytest.raises(UsageError):
        plan(spec(adapter="nvme"))


@pytest.mark.parametrize(
    ("model", "cls"),
    [
        ("e1000", vim25.VirtualE1000),
        ("e1000e", vim25.VirtualE1000e),
        ("vmxnet3", vim25.VirtualVmxnet3),
        ("pcnet32", vim25.VirtualPCNet32),
    ],
)
def test_nics_of_each_model(model: Any, cls: Any) -> None:
    made = plan(
        spec(nics=(NICSpec(network="a", model=model), NICSpec(network="b", mac=MAC)))
    ).config
    first, second = (change.device for change in made.deviceChange)
    assert type(first) is cls
    assert first.backing.deviceName == "a"
    assert first.addressType == "generated"
    assert (second.addressType, second.macAddress) == ("manual", MAC)
    assert first.key != second.key
    assert first.key < 0


def test_e1000e_is_younger_than_4_1() -> None:
    nics = (NICSpec(network="a", model="e1000e"),)
    with pytest.raises(VersionError) as caught:
        plan(spec(nics=nics), api="4.1")
    assert (caught.value.needs, caught.value.speaks) == ("5.0", "4.1")
    plan(spec(nics=nics), api="5.0")


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_the_root_disk_sits_on_its_controller(adapter: str) -> None:
    *controllers, last = [c.device for c in root_disk("[ds1] a/a.vmdk", 1024, adapter)]
    assert isinstance(last, vim25.VirtualDisk)
    assert last.backing.fileName == "[ds1] a/a.vmdk"  # type: ignore[union-attr]
    assert last.unitNumber == 0
    if adapter == "ide":
        assert controllers == []
        assert last.controllerKey == 200
    else:
        (controller,) = controllers
        assert isinstance(controller, vim25.VirtualSCSIController)
        assert controller.key == last.controllerKey
    assert disk_type_adapter(adapter) in ("lsiLogic", "busLogic", "ide")


@pytest.mark.parametrize(
    "given",
    [
        {"name": ""},
        {"name": "../x"},
        {"name": ".a"},
        {"name": "a\nb"},
        {"name": ".hidden"},
        {"name": "x" * 81},
        {"cpus": 0},
        {"memory_mb": 510},
        {"memory_mb": 0},
        {"disk_gb": 0},
        {"uuid": "not-one"},
    ],
)
def test_specs_that_cannot_be(given: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        spec(**given)


def test_a_uuid_is_written_as_the_host_writes_it() -> None:
    made = spec(uuid="{5021E9D87D2F4B8C9F8A0C5B3D1F2A10}")
    assert made.uuid == "5021e9d8-7d2f-4b8c-9f8a-0c5b3d1f2a10"


@pytest.mark.parametrize(
    "given",
    [
        {"model": "ne2000"},
        {"mac": "00-50-56-00-00-01"},
        {"mac": "00:50:56:00:00:01;"},
    ],
)
def test_nics_that_cannot_be(given: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        NICSpec(network="a", **given)


def test_an_instance_prints_as_the_contract_says() -> None:
    made = Instance(uuid="u", name="n", power_state="poweredOn", cpus=1, memory_mb=4, moref="12")
    assert list(made.to_json()) == ["uuid", "name", "power_state", "cpus", "memory_mb", "moref"]
