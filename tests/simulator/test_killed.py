"""A host whose process is killed, and its state."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import vimlib
from vimlib import vim25

pytestmark = pytest.mark.slow

SERVE = """
import asyncio, json, sys
from vimlib.simulator import serve
asyncio.run(serve(lambda ready: print(json.dumps(ready), flush=True), **json.loads(sys.argv[1])))
"""


@contextmanager
def served(**options: Any) -> Iterator[dict[str, Any]]:
    """Run a host in a process and kill it in the end."""
    argv = [sys.executable, "-c", SERVE, json.dumps(options)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())
        finally:
            process.send_signal(signal.SIGKILL)


def connect(ready: dict[str, Any]) -> Any:
    trust = vimlib.TLS(pin=ready["thumbprint"])
    return vimlib.connect(ready["url"], ready["username"], ready["password"], tls=trust)


async def test_confirmed_changes_survive_a_kill(tmp_path: Path) -> None:
    options = {
        "datastores": {"datastore1": str(tmp_path / "ds")},
        "state": str(tmp_path / "state.json"),
    }
    with served(**options) as ready:
        async with connect(ready) as client:
            spec = vim25.VirtualMachineConfigSpec(
                name="survivor",
                memoryMB=64,
                files=vim25.VirtualMachineFileInfo(vmPathName="[datastore1]"),
            )
            folder = client.bind(vim25.Folder("ha-folder-vm"))
            task = await folder.CreateVM_Task(spec, vim25.ResourcePool("ha-root-pool"))
            vm = await client.wait(task)
            await client.wait(await vm.PowerOnVM_Task())
            moref = vm.moref
    with served(**options) as again:
        assert (again["password"], again["thumbprint"]) == (ready["password"], ready["thumbprint"])
        async with connect(again) as client:
            row = await client.get(vim25.VirtualMachine(moref[1]), "name", "runtime.powerState")
            assert row.props == {"name": "survivor", "runtime.powerState": "poweredOn"}


async def test_a_file_that_is_not_a_state_is_refused(tmp_path: Path) -> None:
    from vimlib.simulator import ESXHost

    path = tmp_path / "state.json"
    path.write_text('{"something": "else"}')
    with pytest.raises(ValueError, match="remove it to start with an empty host"):
        async with ESXHost(state=path):
            raise AssertionError("it started")
