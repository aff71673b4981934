"""A host that has stopped is freed: tests and fuzzers start thousands in one process."""

from __future__ import annotations

import gc
import weakref

from tests.unit.simulator.conftest import Caller
from vimlib import vim25
from vimlib.simulator import ESXHost


async def test_a_host_whose_failed_task_was_read_is_freed() -> None:
    async def once() -> weakref.ref[ESXHost]:
        async with ESXHost(vms=1) as esx:
            call = Caller(esx)
            await call.login()
            task = await call(vim25.VirtualMachine.PowerOffVM_Task, vim25.VirtualMachine("1"))
            info = (await call.read(task, "info"))["info"]
            assert isinstance(info.error.fault, vim25.InvalidPowerState)
            return weakref.ref(esx)

    host = await once()
    gc.collect()
    assert host() is None
