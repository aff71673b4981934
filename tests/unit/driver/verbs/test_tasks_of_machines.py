"""What becomes of a task of the host's."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.driver.hosted import Hosted, spec
from vimlib import vim25


async def test_a_machine_that_went_meanwhile_has_no_tasks(host: Hosted, image: Path) -> None:
    async with host.driver() as driver:
        made = await driver.spawn(spec(image, power_on=False))
        machine = driver.client.bind(vim25.VirtualMachine(made.moref))
        await driver.destroy(made.uuid)
        with pytest.raises(vim25.ManagedObjectNotFound):
            await driver.client.get(machine, "name")
        await driver.client.tasks.idle(of=machine)
