"""A client that is closed is freed, with all that it held: control planes connect for months."""

from __future__ import annotations

import gc
import weakref

from tests.rig.login import connected
from vimlib import vim25
from vimlib.simulator import ESXHost


async def test_a_closed_client_is_freed() -> None:
    seen: list[weakref.ref[object]] = []

    async def once(esx: ESXHost) -> None:
        async with connected(esx) as client:
            await client.collect(vim25.VirtualMachine, "name", "config", "parent").all()
            seen.extend((weakref.ref(client), weakref.ref(client._session)))

    async with ESXHost(vms=2) as esx:
        await once(esx)
        gc.collect()
        assert [ref() for ref in seen] == [None, None]
