"""What a host offers, as nova and placement count it."""

from __future__ import annotations

import json

import pytest

from vimdriver._host import DatastoreInfo, HostInfo
from vimdriver.nova._resources import (
    Reserved,
    available,
    datastore_pattern,
    inventory,
    usable,
    version_number,
)
from vimlib.errors import UsageError

GIB = 1 << 30
RATIOS = {"VCPU": 4.0, "MEMORY_MB": 1.0, "DISK_GB": 1.0}


def store(name: str, capacity: int, free: int, accessible: bool = True) -> DatastoreInfo:
    return DatastoreInfo(name=name, kind="VMFS", capacity=capacity * GIB, free=free * GIB,
                         accessible=accessible)  # fmt: skip


STORES = (store("ds1", 100, 10), store("ds2", 50, 40), store("ds3", 900, 800, accessible=False),
          store("iso", 500, 400))  # fmt: skip
INFO = HostInfo(
    name="esx", product="p", api_version="8.0.3.0", model="m", cpu_model="c", cpu_cores=8,
    cpu_threads=16, cpu_mhz=2000, cpu_used_mhz=0, memory_mb=65536, memory_used_mb=4096, uptime=1,
    connection_state="connected", power_state="poweredOn", maintenance=False, datastores=STORES,
)  # fmt: skip


def test_datastores_by_pattern_the_emptiest_first() -> None:
    assert [s.name for s in usable(STORES, datastore_pattern("ds."))] == ["ds2", "ds1"]
    assert [s.name for s in usable(STORES, datastore_pattern(None))] == ["iso", "ds2", "ds1"]
    assert usable(STORES, datastore_pattern("ds")) == []


def test_a_pattern_must_be_one() -> None:
    with pytest.raises(UsageError, match="datastore_regex must be a regular expression, got '\\['"):
        datastore_pattern("[")


@pytest.mark.parametrize(
    ("text", "number"),
    [("8.0.3.0", 8000003), ("4.1", 4001000), ("6.7", 6007000), ("9.0.0.0", 9000000), ("x", 0)],
)
def test_versions_as_nova_counts(text: str, number: int) -> None:
    assert version_number(text) == number


def test_what_get_available_resource_reports() -> None:
    found = available(INFO, usable(STORES, datastore_pattern("ds.")), nodename="n", uuid=None)
    assert (found["vcpus"], found["memory_mb"], found["local_gb"]) == (16, 65536, 150)
    assert (found["local_gb_used"], found["disk_available_least"]) == (100, 40)
    assert (found["hypervisor_hostname"], found["hypervisor_version"]) == ("n", 8000003)
    assert json.loads(found["cpu_info"])["topology"] == {"cores": 8, "threads": 16}
    assert "uuid" not in found
    assert available(INFO, (), nodename="n", uuid="u")["uuid"] == "u"


def test_an_inventory_offers_the_largest_free_space() -> None:
    stores = usable(STORES, datastore_pattern("ds."))
    found = inventory(INFO, stores, ratios=RATIOS, reserved=Reserved(1, 512, 5))
    assert found["DISK_GB"] == {"total": 150, "reserved": 5, "min_unit": 1, "max_unit": 40,
                                "step_size": 1, "allocation_ratio": 1.0}  # fmt: skip
    assert (found["VCPU"]["total"], found["VCPU"]["reserved"]) == (16, 1)
    assert (found["MEMORY_MB"]["total"], found["MEMORY_MB"]["max_unit"]) == (65536, 65536)


def test_a_host_without_a_datastore_offers_no_disk() -> None:
    assert "DISK_GB" not in inventory(INFO, (), ratios=RATIOS, reserved=Reserved())
