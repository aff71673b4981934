"""A machine's screen, and the host."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.rig.cancel import cancel_everywhere
from tests.unit.driver.hosted import Beside, Hosted, hosted
from vimdriver.errors import InstanceStateError
from vimlib import vim25
from vimlib.errors import NotFoundError, VimlibError


@pytest.fixture
def host(beside: Beside, tmp_path: Path) -> Iterator[Hosted]:
    with hosted(beside, tmp_path / "s", owned=True, vms=1) as found:
        yield found


@pytest.mark.parametrize(
    ("version", "kind"), [("4.1", "mks"), ("5.5", "mks"), ("6.7", "webmks"), ("8.0", "webmks")]
)
async def test_a_console_as_the_host_knows_it(
    version: str, kind: str, beside: Beside, tmp_path: Path
) -> None:
    with hosted(beside, tmp_path / "t", version, owned=True, vms=1) as host:
        async with host.driver() as driver:
            with pytest.raises(InstanceStateError):
                await driver.console("vm-0")
            with pytest.raises(NotFoundError):
                await driver.console("nobody")
            await driver.power_on("vm-0")
            found = await driver.console("vm-0")
            assert found.kind == kind
            assert (found.url is not None) == (kind == "webmks")
            assert found.ticket.reveal() not in repr(found)
            assert (await driver.screenshot("vm-0")).startswith(b"\x89PNG")
            info = await driver.host_info()
            assert info.api_version == driver.client.api_version
            assert [s.name for s in info.datastores] == ["datastore1"]


async def test_no_picture_stays_whatever_happens(host: Hosted) -> None:
    async with host.driver() as driver:
        await driver.power_on("vm-0")
    clean = host.state()

    async def attempt() -> None:
        async with host.driver() as driver:
            await driver.screenshot("vm-0")

    async def check(at: int) -> None:
        await host.settled(clean)

    report = await cancel_everywhere(attempt, check, every=11)
    print(f"screenshot: cancelled at each 11. await, {report}")
    async with host.driver() as driver:
        host.esx.faults.add("CreateScreenshot_Task", "fault", fault=vim25.SystemError(reason="x"))
        with pytest.raises(VimlibError):
            await driver.screenshot("vm-0")
        host.esx.faults.add("GET", "status", status=500)
        with pytest.raises(VimlibError):
            await driver.screenshot("vm-0")
        await asyncio.gather(*(driver.screenshot("vm-0") for _ in range(2)), return_exceptions=True)
    await host.settled(clean)
