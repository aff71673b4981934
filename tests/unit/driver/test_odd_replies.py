"""Replies that lack a property which the API requires; `nox -s fuzz_client` found these."""

from __future__ import annotations

import re

import pytest

from tests.fuzz.flows import Taken
from tests.rig.between import run_between
from tests.rig.relay import Relay, Reply, edit
from vimdriver import DriverConfig, ESXDriver, LocalImages
from vimlib._client import Client
from vimlib.errors import InvalidFieldError
from vimlib.simulator import ESXHost

pytestmark = pytest.mark.slow


def hide(relay: Relay, path: str) -> None:
    """Drop a property from all replies."""
    pattern = rf"<(propSet|changeSet)>(?:(?!</\1>).)*?<name>{re.escape(path)}</name>.*?</\1>"

    def change(reply: Reply) -> Reply:
        reply.body = re.sub(pattern.encode(), b"", reply.body, flags=re.DOTALL)
        return reply

    relay.on("RetrievePropertiesEx", edit(change), times=None)


def test_a_datacenter_without_machine_folder_is_refused() -> None:
    async def clone(client: Client, esx: ESXHost, relay: Relay) -> None:
        hide(relay, "vmFolder")
        with pytest.raises(InvalidFieldError, match="vmFolder"):
            await ESXDriver(client, LocalImages()).clone("vm-0", "copy")
        assert [machine.name for machine in esx.machines.values()] == ["vm-0"]

    run_between(clone, vms=1)


def test_a_snapshot_task_without_result_is_resolved_by_name() -> None:
    async def capture(client: Client, esx: ESXHost, relay: Relay) -> None:
        hide(relay, "info.result")
        config = DriverConfig(settle_seconds=1)
        taken = Taken()
        await ESXDriver(client, LocalImages(), config).capture(
            "vm-0", "image", target=taken, foreign=True
        )
        assert taken.data
        assert not esx.machine("vm-0").snapshots

    run_between(capture, vms=1)
