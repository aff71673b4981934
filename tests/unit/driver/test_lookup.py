"""Finding machines by what people type."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.driver.hosted import CONFIG, Beside, Hosted, hosted, spec
from vimdriver._images.local import LocalImages
from vimdriver._instances.machine import find
from vimlib import vim25
from vimlib.errors import NotFoundError


@pytest.mark.parametrize("version", ["4.1", "6.7", "8.0"])
async def test_by_uuid_name_and_reference(version: str, beside: Beside, tmp_path: Path) -> None:
    with hosted(beside, tmp_path / "s", version, vms=3) as host:
        async with host.driver() as driver:
            listed = await driver.list_instances()
            assert [i.name for i in listed] == ["vm-0", "vm-1", "vm-2"]
            for instance in listed:
                assert set(instance.to_json()) == {"uuid", "name", "power_state", "cpus", "memory_mb", "moref"}  # fmt: skip
                for ref in (instance.uuid, instance.uuid.upper(), instance.name, instance.moref):
                    assert await driver.info(ref) == instance
            for ref in ("vm-3", "", "x" * 36, "5021e9d8-7d2f-4b8c-9f8a-0c5b3d1f2a10"):
                with pytest.raises(NotFoundError):
                    await driver.info(ref)


async def test_a_name_that_the_api_escapes(host: Hosted, image: Path) -> None:
    async with host.driver() as driver:
        made = await driver.spawn(spec(image, "one", power_on=False))
        machine = driver.client.bind(vim25.VirtualMachine(made.moref))
        await driver.client.wait(await machine.Rename_Task(newName="a%2fb%25"))
        for ref in ("a/b%", "a%2fb%25", made.moref):
            assert (await driver.info(ref)).name == "a/b%"
        assert [i.name for i in await driver.list_instances()] == ["a/b%"]


async def test_a_name_counts_more_than_a_reference(host: Hosted, image: Path) -> None:
    async with host.driver() as driver:
        one = await driver.spawn(spec(image, "one", power_on=False))
        two = await driver.spawn(spec(image, one.moref, power_on=False))
        assert await driver.info(one.moref) == two


async def test_one_call_finds_a_uuid(host: Hosted, image: Path) -> None:
    async with host.driver(LocalImages()) as driver:
        made = await driver.spawn(spec(image, power_on=False))
        seen = len(host.esx.call_log)
        await find(driver.client, made.uuid)
    assert host.methods()[seen : seen + 1] == ["FindByUuid"]
    assert "RetrievePropertiesEx" not in host.methods()[seen : seen + 1]


async def test_one_retrieval_lists_the_machines_of_an_owner(
    beside: Beside, tmp_path: Path, image: Path
) -> None:
    with hosted(beside, tmp_path / "s", vms=2) as host:
        async with host.driver(config=replace(CONFIG, owner="another")) as other:
            await other.spawn(spec(image, "theirs", power_on=False))
        async with host.driver() as driver:
            made = await driver.spawn(spec(image))
            seen = len(host.esx.call_log)
            assert await driver.list_instances(owned=True) == [made]
            read = [
                entry for entry in host.esx.call_log[seen:] if entry.method.startswith("Retrieve")
            ]
        assert len(read) == 1


async def test_a_machine_that_the_host_cannot_reach(host: Hosted, image: Path) -> None:
    async with host.driver() as driver:
        made = await driver.spawn(spec(image, power_on=False))
        machine = host.esx.machine("web")
        machine.connection = "inaccessible"
        machine.changed("runtime")
        (found,) = await driver.list_instances()
    assert (found.moref, found.connection_state) == (made.moref, "inaccessible")
