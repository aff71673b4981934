"""What a guest knows, written anew while its machine runs."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.unit.driver.hosted import MAC, Beside, Hosted, hosted, spec, until
from vimdriver._guestinfo import NIC, GuestConfig
from vimdriver._instances.machine import OWNER_KEY
from vimlib.errors import NotFoundError, UsageError

NEW = GuestConfig(
    hostname="web", nics=[NIC(mac=MAC, addresses=["10.0.0.9/16"], gateway4="10.0.0.1")]
)


def extra(host: Hosted) -> dict[str, str]:
    return {o.key: o.value for o in host.esx.machine("web").config.extraConfig}


@pytest.mark.parametrize(("version", "legacy"), [("4.1", True), ("6.7", False), ("8.0", False)])
async def test_a_running_machine(
    version: str, legacy: bool, beside: Beside, tmp_path: Path, image: Path
) -> None:
    with hosted(beside, tmp_path / "s", version, legacy_tls=legacy) as host:
        async with host.driver() as driver:
            made = await driver.spawn(spec(image))
            before = extra(host)
            set_ = await driver.set_guest_info(made.uuid, NEW)
            assert set_ == {"machine.id": f"{MAC};10.0.0.9;255.255.0.0;10.0.0.1;10.0.255.255;#"}
            # All else stays.
            assert extra(host) == before | set_
            assert extra(host)[OWNER_KEY] == "tests"
            versioned = await driver.set_guest_info("web", NEW, form="versioned")
            assert versioned["machine.id"].startswith("v1:")
            assert extra(host) == before | versioned
            assert (await driver.info("web")).power_state == "poweredOn"


async def test_cloud_init_takes_it_for_the_same_machine(host: Hosted, image: Path) -> None:
    async with host.driver() as driver:
        await driver.spawn(spec(image))
        one = await driver.set_guest_info("web", NEW, form="cloud-init")
        two = await driver.set_guest_info("web", NEW, form="cloud-init")
    assert one == two
    assert one.items() <= extra(host).items()


async def test_nothing_more_to_say(host: Hosted, image: Path) -> None:
    async with host.driver() as driver:
        await driver.spawn(spec(image))
        await driver.set_guest_info("web", GuestConfig())
    assert not extra(host).get("machine.id")


async def test_what_cannot_be(host: Hosted, image: Path) -> None:
    async with host.driver() as driver:
        await driver.spawn(spec(image))
        calls = len(host.esx.calls("ReconfigVM_Task"))
        with pytest.raises(UsageError, match=MAC):
            await driver.set_guest_info("web", GuestConfig(nics=[NIC(mac="00:50:56:00:00:99")]))
        with pytest.raises(NotFoundError):
            await driver.set_guest_info("nobody", NEW)
        # nova's form has no host name: all that came of it would be that the addresses are gone.
        with pytest.raises(UsageError, match="form nova") as caught:
            await driver.set_guest_info("web", GuestConfig(hostname="web-2"))
        assert "versioned" in (caught.value.hint or "")
    assert len(host.esx.calls("ReconfigVM_Task")) == calls


async def test_an_answer_that_is_lost_and_a_machine_that_is_busy(
    beside: Beside, tmp_path: Path, image: Path
) -> None:
    with hosted(beside, tmp_path / "s", task_seconds=0.05) as host:
        async with host.driver() as driver:
            await driver.spawn(spec(image))
            calls = len(host.esx.calls("ReconfigVM_Task"))
            host.esx.faults.add("ReconfigVM_Task", "lose")
            set_ = await driver.set_guest_info("web", NEW)
            assert len(host.esx.calls("ReconfigVM_Task")) == calls + 1
            assert set_.items() <= extra(host).items()
            await asyncio.gather(
                driver.set_guest_info("web", NEW), driver.set_guest_info("web", NEW)
            )


async def test_cancelling_waits_for_the_task(beside: Beside, tmp_path: Path, image: Path) -> None:
    with hosted(beside, tmp_path / "s") as host:
        async with host.driver() as driver:
            await driver.spawn(spec(image))
            calls = len(host.esx.calls("ReconfigVM_Task"))
            beside.call(lambda: host.esx.faults.hold_task("ReconfigVM_Task"))
            work = asyncio.ensure_future(driver.set_guest_info("web", NEW))
            await until(lambda: len(host.esx.calls("ReconfigVM_Task")) > calls)
            work.cancel()
            await asyncio.sleep(0)
            assert not work.done()
            beside.call(lambda: host.esx.faults.release_task("ReconfigVM_Task"))
            with pytest.raises(asyncio.CancelledError):
                await work
        assert "10.0.0.9" in extra(host)["machine.id"]
