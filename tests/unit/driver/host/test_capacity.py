"""The resources of a host, and those promised to machines."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.driver.hosted import Beside, Hosted, hosted
from vimdriver._host.capacity import _numa
from vimdriver._host.cpuid import features
from vimlib import vim25
from vimlib.errors import UsageError


@pytest.mark.parametrize("version", ["4.0", "4.1", "8.0"])
async def test_one_call_reads_capacity_and_promises(
    version: str, beside: Beside, tmp_path: Path
) -> None:
    with hosted(beside, tmp_path / "s", version, owned=True, vms=3) as host:
        async with host.driver() as driver:
            await driver.power_on("vm-1")
            before = len(host.methods())
            found = await driver.host_capacity()
            calls = host.methods()[before:]
    assert calls == ["RetrieveProperties" if version == "4.0" else "RetrievePropertiesEx"]
    shape = host.esx.registry.one("HostSystem").shape
    machine = host.esx.machine("vm-0").config.hardware
    assert (found.cpu.cores, found.cpu.threads, found.cpu.mhz) == (
        shape.cores,
        shape.threads,
        shape.mhz,
    )
    assert found.cpu.vendor == "intel"
    assert found.memory.total_mb == shape.memory >> 20
    assert (found.promised.machines, found.promised.running) == (3, 1)
    assert found.promised.cpus == 3 * machine.numCPU
    assert found.promised.running_memory_mb == machine.memoryMB
    assert [store.name for store in found.datastores] == ["datastore1"]
    document = found.to_json()
    assert document["identity"]["hardware_uuid"] == found.identity.uuid
    assert document["cpu"]["features"] == list(found.cpu.features)


async def test_features_have_the_names_of_linux(host: Hosted) -> None:
    async with host.driver() as driver:
        found = set((await driver.host_capacity()).cpu.features)
    # A Xeon E5-2600 v3 by its recorded levels.
    assert {"vmx", "aes", "avx", "sse4_2", "nx", "lm", "rdtscp", "abm"} <= found
    assert not {"svm", "avx512f", "-"} & found


def test_a_level_that_is_cut_has_no_features() -> None:
    level = vim25.HostCpuIdInfo(level=1, ecx="1111:1111", edx=None)
    assert features([level]) == ()


def test_nodes_list_their_threads_in_order() -> None:
    node = vim25.HostNumaNode(
        typeId=1, cpuID=[7, 6, 5, 4], memoryRangeBegin=0, memoryRangeLength=64 << 30, pciId=[]
    )
    info = vim25.HostNumaInfo(type="NUMA", numNodes=2, numaNode=[node])
    assert [(one.number, one.cpus, one.memory_mb) for one in _numa(info)] == [
        (1, (4, 5, 6, 7), 65536)
    ]
    assert _numa(None) == ()


async def test_datastores_by_pattern_type_and_state(beside: Beside, tmp_path: Path) -> None:
    stores = {"fast-1": None, "fast-2": None, "slow": None}
    with hosted(beside, tmp_path / "s", datastores=stores) as host:
        by_name = {store.name: store for store in host.esx.registry.all("Datastore").values()}
        by_name["fast-2"].accessible = False
        by_name["fast-2"].changed("summary")
        async with host.driver() as driver:

            async def names(pattern: str = "", **how: object) -> list[str]:
                return [store.name for store in await driver.datastores(pattern, **how)]  # type: ignore[arg-type]

            assert await names("fast") == ["fast-1", "fast-2"]
            assert await names("fast-[12]", usable=True) == ["fast-1"]
            assert await names(kinds=("vmfs",)) == ["fast-1", "fast-2", "slow"]
            assert await names(kinds=("NFS",)) == []
            with pytest.raises(UsageError, match="regular expression"):
                await names("fast-(")


def test_available_is_free_less_promised_space() -> None:
    from vimdriver._host.datastores import DatastoreInfo

    store = DatastoreInfo(
        name="a",
        kind="VMFS",
        capacity=100,
        free=40,
        uncommitted=50,
        accessible=True,
        maintenance="normal",
        shared=False,
        moref="1",
        url="",
    )
    assert store.available == -10
    assert store.usable
    for mode in ("enteringMaintenance", "inMaintenance"):
        values = {name: getattr(store, name) for name in store.__slots__} | {"maintenance": mode}
        assert not DatastoreInfo(**values).usable
