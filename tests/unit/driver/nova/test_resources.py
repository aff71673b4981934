"""The resources of a host, as nova and placement count them."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from vimdriver._host import (
    CPUCapacity,
    DatastoreInfo,
    HostCapacity,
    HostIdentity,
    MachineTotals,
)
from vimdriver._host.capacity import MemoryCapacity
from vimdriver.nova._resources import (
    Reserved,
    available,
    datastore_pattern,
    emptiest,
    inventory,
    traits,
    usable,
    version_number,
)
from vimlib.errors import NotFoundError, UsageError

GIB = 1 << 30
RATIOS = {"VCPU": 4.0, "MEMORY_MB": 1.0, "DISK_GB": 1.0}


def store(name: str, capacity: int, free: int, accessible: bool = True) -> DatastoreInfo:
    return DatastoreInfo(
        name=name, kind="VMFS", capacity=capacity * GIB, free=free * GIB, uncommitted=0,
        accessible=accessible, maintenance="normal", shared=False, moref=name, url="",
    )  # fmt: skip


STORES = (store("ds1", 100, 10), store("ds2", 50, 40), store("ds3", 900, 800, accessible=False),
          store("iso", 500, 400))  # fmt: skip
HOST = HostCapacity(
    identity=HostIdentity(host="esx:443", name="esx", moref="ha-host", hardware_uuid="u",
                          vendor="v", model="m", serial=""),
    product="p", version="8.0.3", connection_state="connected", maintenance=False, most_cpus=8,
    cpu=CPUCapacity(model="c", vendor="intel", mhz=2000, sockets=1, cores=8, threads=16,
                    features=("avx2", "sse4_1", "vmx"), used_mhz=0, reserved_mhz=0,
                    unreserved_mhz=0),
    memory=MemoryCapacity(total_mb=65536, used_mb=4096, reserved_mb=0, unreserved_mb=0),
    numa=(), datastores=STORES,
    promised=MachineTotals(machines=0, running=0, cpus=0, running_cpus=0, memory_mb=0,
                           running_memory_mb=0),
)  # fmt: skip


def test_datastores_by_pattern_the_emptiest_first() -> None:
    assert [s.name for s in usable(STORES, datastore_pattern("ds."))] == ["ds2", "ds1"]
    assert [s.name for s in usable(STORES, datastore_pattern(None))] == ["iso", "ds2", "ds1"]
    assert usable(STORES, datastore_pattern("ds")) == []


def test_the_emptiest_datastore_takes_the_next_machine() -> None:
    assert emptiest(STORES, datastore_pattern(None)).name == "iso"
    with pytest.raises(NotFoundError, match="no accessible datastore matches datastore_regex 'ds'"):
        emptiest(STORES, datastore_pattern("ds"))


def test_a_pattern_must_be_one() -> None:
    with pytest.raises(UsageError, match="datastore_regex must be a regular expression, got '\\['"):
        datastore_pattern("[")


@pytest.mark.parametrize(
    ("text", "number"),
    [("8.0.3", 8000003), ("4.1", 4001000), ("6.7", 6007000), ("9.0.0.0", 9000000), ("x", 0)],
)
def test_versions_as_nova_counts(text: str, number: int) -> None:
    assert version_number(text) == number


def test_available_resources_are_reported() -> None:
    found = available(HOST, usable(STORES, datastore_pattern("ds.")), nodename="n", uuid=None)
    assert (found["vcpus"], found["memory_mb"], found["local_gb"]) == (16, 65536, 150)
    assert (found["local_gb_used"], found["disk_available_least"]) == (100, 40)
    assert (found["hypervisor_hostname"], found["hypervisor_version"]) == ("n", 8000003)
    assert json.loads(found["cpu_info"])["topology"]["threads"] == 16
    assert "uuid" not in found
    assert available(HOST, (), nodename="n", uuid="u")["uuid"] == "u"


def test_an_inventory_offers_the_largest_free_space() -> None:
    stores = usable(STORES, datastore_pattern("ds."))
    found = inventory(HOST, stores, ratios=RATIOS, reserved=Reserved(1, 512, 5))
    assert found["DISK_GB"] == {"total": 150, "reserved": 5, "min_unit": 1, "max_unit": 40,
                                "step_size": 1, "allocation_ratio": 1.0}  # fmt: skip
    assert (found["VCPU"]["total"], found["VCPU"]["reserved"]) == (16, 1)
    assert found["VCPU"]["max_unit"] == 8
    assert (found["MEMORY_MB"]["total"], found["MEMORY_MB"]["max_unit"]) == (65536, 65536)


def test_a_host_without_a_datastore_offers_no_disk() -> None:
    assert "DISK_GB" not in inventory(HOST, (), ratios=RATIOS, reserved=Reserved())


def test_a_host_in_maintenance_offers_no_disk() -> None:
    found = inventory(
        replace(HOST, maintenance=True), STORES[:1], ratios=RATIOS, reserved=Reserved()
    )
    assert "DISK_GB" not in found


def test_traits_are_those_that_placement_knows() -> None:
    known = ["HW_CPU_X86_AVX2", "HW_CPU_X86_SSE41", "HW_CPU_X86_VMX", "HW_CPU_X86_SGX"]
    assert traits(HOST.cpu.features, known) == [
        "HW_ARCH_X86_64", "HW_CPU_X86_AVX2", "HW_CPU_X86_SSE41", "HW_CPU_X86_VMX"]  # fmt: skip
