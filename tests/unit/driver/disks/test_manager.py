"""Copies of disks on the host whose answer gets lost."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.unit.driver.hosted import Hosted, host_of
from vimdriver._disks.manager import copy_disk, disk_manager
from vimdriver._verbs import Host
from vimlib import vim25
from vimlib._datastore import DatastorePath
from vimlib.errors import OutcomeUnknownError

COPY = DatastorePath.parse("[datastore1] a/copy.vmdk")
SPEC = vim25.VirtualDiskSpec(adapterType="lsiLogic", diskType="thin")


async def base(host: Host) -> str:
    """Make a disk, and return its path."""
    await host.datastore("datastore1").mkdir(COPY.parent)
    path = str(COPY.with_name("base.vmdk"))
    spec = vim25.FileBackedVirtualDiskSpec(adapterType="lsiLogic", diskType="thin", capacityKb=2048)
    await host.client.wait(await disk_manager(host).CreateVirtualDisk_Task(path, spec=spec))
    return path


async def failed(host: Host, path: str) -> None:
    """Let a copy of somebody else's fail."""
    task = await disk_manager(host).CopyVirtualDisk_Task(path, destName="[datastore1] none/a.vmdk")
    with pytest.raises(vim25.FileFault):
        await host.client.wait(task)


async def nothing(host: Host, path: str) -> None:
    pass


# What is lost, and what happened before: whether the copy counts, and whether its file is there.
CASES: dict[str, tuple[Any, Callable[[Host, str], Awaitable[None]], bool, bool]] = {
    "the answer": ("lose", nothing, True, True),
    "half of the answer": ("truncate", nothing, True, True),
    "the call": ("drop", nothing, False, False),
    "the answer, where a copy failed": ("lose", failed, False, True),
}


@pytest.mark.parametrize("case", CASES)
async def test_a_copy_counts_only_if_the_host_shows_its_success(case: str, host: Hosted) -> None:
    fault, before, counts, there = CASES[case]
    async with host.client() as client:
        verb = host_of(client)
        path = await base(verb)
        await before(verb, path)
        seen = len(host.esx.calls("CopyVirtualDisk_Task"))
        host.esx.faults.add("CopyVirtualDisk_Task", fault)
        if counts:
            await copy_disk(verb, path, COPY, SPEC)
        else:
            with pytest.raises(OutcomeUnknownError):
                await copy_disk(verb, path, COPY, SPEC)
        assert len(host.esx.calls("CopyVirtualDisk_Task")) == seen + 1
        assert await verb.exists(COPY) is there


async def test_a_copy_that_fails_where_the_answer_is_lost_does_not_count(host: Hosted) -> None:
    async with host.client() as client:
        verb = host_of(client)
        path = await base(verb)
        host.esx.faults.add("CopyVirtualDisk_Task", "lose")
        host.esx.faults.fail_task(
            "CopyVirtualDisk_Task", vim25.NoDiskSpace(file="copy", datastore="datastore1")
        )
        with pytest.raises(OutcomeUnknownError):
            await copy_disk(verb, path, COPY, SPEC)
        assert not await verb.exists(COPY)
