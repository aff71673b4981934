"""The addresses that a guest reports: read, waited for, and never trusted."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.driver.hosted import Hosted, spec
from vimdriver._driver import ESXDriver
from vimdriver._guestinfo import record_digest
from vimdriver._gueststatus import STATUS_KEY
from vimdriver._instances.machine import find
from vimdriver._instances.types import NICSpec
from vimlib import vim25
from vimlib.errors import DeadlineError, HostStateError, NotFoundError, UsageError

PROBLEM = {
    "mac": "00:50:56:00:00:01",
    "what": "address",
    "wanted": "10.0.0.2/24",
    "found": "192.168.7.7/24",
    "file": "/etc/systemd/network/01-all.network",
}


def machine_id(host: Hosted) -> str:
    found: str = next(
        o.value for o in host.esx.machine("web").config.extraConfig if o.key == "machine.id"
    )
    return found


def report(record: str, **given: Any) -> str:
    document = {
        "version": 1,
        "status": "unchanged",
        "code": 0,
        "verified": True,
        "record": record_digest(record),
        "nics": [{"mac": "m", "interface": "eth0", "addresses": ["10.0.0.2/24", "fe80::1/64"]}],
    }
    return json.dumps(document | given)


async def sets(driver: ESXDriver, key: str, value: str) -> None:
    """What a guest's `info-set` does to its machine's settings."""
    vm = await find(driver.client, "web")
    options = [vim25.OptionValue(key=f"guestinfo.{key}", value=value)]
    task = await vm.ReconfigVM_Task(vim25.VirtualMachineConfigSpec(extraConfig=options))
    await driver.client.wait(task)


async def test_the_sources_of_addresses(host: Hosted, image: Path) -> None:
    async with host.driver() as driver:
        await driver.spawn(spec(image))
        found = await driver.guest_network("web")
        assert (found.addresses, found.origin, found.status) == ((), "", None)
        host.esx.set_guest("web", tools=True, ip="10.9.9.9")
        assert (await driver.guest_network("web")).origin == "tools"
        await sets(driver, "local-ipv4", "10.0.0.7")
        found = await driver.guest_network("web")
        assert (found.addresses, found.origin) == (("10.0.0.7",), "guestinfo")
        await sets(driver, "vimguest.status", report(machine_id(host)))
        found = await driver.guest_network("web")
        assert found.to_json() == {
            "addresses": ["10.0.0.2"],
            "origin": "helper",
            "verified": True,
            "problems": [],
        }


@pytest.mark.parametrize("text", ["x", "[]", report("another record")])
async def test_a_report_that_is_wrong_or_old_is_as_good_as_none(
    host: Hosted, image: Path, text: str
) -> None:
    async with host.driver() as driver:
        await driver.spawn(spec(image))
        await sets(driver, "vimguest.status", text)
        assert (await driver.guest_network("web")).status is None
        with pytest.raises(DeadlineError, match="has not verified its network"):
            await driver.wait_for_network("web", timeout=0.01)


async def test_a_wait_ends_with_the_report(host: Hosted, image: Path) -> None:
    async with host.driver() as driver:
        await driver.spawn(spec(image))
        wait = asyncio.create_task(driver.wait_for_network("web", timeout=60))
        # An address of the tools is not enough where the machine has a record.
        host.esx.set_guest("web", tools=True, ip="10.9.9.9")
        await sets(driver, "vimguest.status", report(machine_id(host), verified=None))
        assert not wait.done()
        await sets(driver, "vimguest.status", report(machine_id(host)))
        assert (await wait).addresses == ("10.0.0.2",)


async def test_a_wait_names_the_file_that_won(host: Hosted, image: Path) -> None:
    async with host.driver() as driver:
        await driver.spawn(spec(image))
        text = report(machine_id(host), verified=False, code=5, problems=[PROBLEM])
        await sets(driver, "vimguest.status", text)
        with pytest.raises(HostStateError, match=r"01-all\.network won") as caught:
            await driver.wait_for_network("web", timeout=60)
        assert caught.value.outcome == "applied"


async def test_without_a_record_the_first_address_counts(host: Hosted, image: Path) -> None:
    async with host.driver() as driver:
        await driver.spawn(spec(image, nics=(NICSpec(network="VM Network"),)))
        host.esx.set_guest("web", tools=True, ip="10.9.9.9")
        assert (await driver.wait_for_network("web", timeout=60)).addresses == ("10.9.9.9",)


async def test_waits_that_cannot_be(host: Hosted, image: Path) -> None:
    async with host.driver() as driver:
        with pytest.raises(UsageError, match="timeout"):
            await driver.wait_for_network("web", timeout=0)
        with pytest.raises(NotFoundError):
            await driver.guest_network("web")


async def test_the_time_to_wait_includes_the_lookup(host: Hosted, image: Path) -> None:
    async with host.driver() as driver:
        await driver.spawn(spec(image, nics=(NICSpec(network="VM Network"),)))
        host.esx.faults.add("FindByInventoryPath", "delay", seconds=2.0)
        with pytest.raises(DeadlineError) as caught:
            await driver.wait_for_network("web", timeout=0.01)
        assert (caught.value.phase, caught.value.seconds) == ("network", 0.01)
        assert "did not finish the look-up" in str(caught.value.hint)


async def test_a_call_that_exceeds_its_own_deadline_in_a_wait_is_reported_as_that(
    host: Hosted, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = DeadlineError("a read took longer than 1 s", phase="read", seconds=1.0)

    async def late(*_: Any) -> Any:
        raise own

    async with host.driver() as driver:
        monkeypatch.setattr("vimdriver._instances.network.find", late)
        with pytest.raises(DeadlineError) as caught:
            await driver.wait_for_network("web", timeout=60)
        assert caught.value is own


async def test_a_new_instance_is_asked_for(host: Hosted, image: Path) -> None:
    from vimdriver._guestinfo import GuestConfig

    config = GuestConfig(hostname="web")
    async with host.driver() as driver:
        await driver.spawn(spec(image))
        one = await driver.set_guest_info("web", config, form="cloud-init")
        assert one == await driver.set_guest_info("web", config, form="cloud-init")
        new = await driver.set_guest_info("web", config, form="cloud-init", new_instance=True)
        assert new["guestinfo.metadata"] != one["guestinfo.metadata"]
        with pytest.raises(UsageError, match="cloud-init"):
            await driver.set_guest_info("web", config, form="versioned", new_instance=True)


def test_the_key_is_the_helpers() -> None:
    assert STATUS_KEY == "guestinfo.vimguest.status"
