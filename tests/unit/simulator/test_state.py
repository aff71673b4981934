from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vimlib import vim25
from vimlib.simulator import ESXHost
from vimlib.simulator._state import StateFile

VM = vim25.VirtualMachine


def spec(name: str, **fields: Any) -> Any:
    files = vim25.VirtualMachineFileInfo(vmPathName="[datastore1]")
    return vim25.VirtualMachineConfigSpec(name=name, memoryMB=64, files=files, **fields)


@pytest.fixture
async def call(make: Callable[..., Any], tmp_path: Path) -> Any:
    return await make(
        vms=3, datastores={"datastore1": tmp_path / "ds"}, state=tmp_path / "state.json"
    )


async def done(call: Any, method: Any, this: Any, **args: Any) -> Any:
    """Call a method and return its task's result once a client could read it."""
    ref = await call(method, this, **args)
    task = call.esx.registry.find(ref)
    await asyncio.wait([task.work])
    assert task.error is None, task.error
    return task.result


async def kept(call: Any, tmp_path: Path) -> list[Any]:
    """Return the machines that the file has, which must equal those that a fresh writer writes."""
    path = tmp_path / "whole.json"
    await StateFile(call.esx.registry, path).save()
    whole, found = json.loads(path.read_text()), json.loads((tmp_path / "state.json").read_text())
    del whole["serial"], found["serial"]
    assert found == whole
    machines: list[Any] = found["machines"]
    return machines


async def test_the_state_is_saved_before_the_reply(call: Any, tmp_path: Path) -> None:
    esx = call.esx
    pool, folder = vim25.ResourcePool("ha-root-pool"), vim25.Folder("ha-folder-vm")
    assert [m["name"] for m in await kept(call, tmp_path)] == ["vm-0", "vm-1", "vm-2"]
    made = await done(call, vim25.Folder.CreateVM_Task, folder, config=spec("made"), pool=pool)
    assert (await kept(call, tmp_path))[-1]["name"] == "made"
    await done(call, VM.PowerOnVM_Task, made)
    assert (await kept(call, tmp_path))[-1]["power"] == "poweredOn"
    for name in ("one", "two", "three"):
        await done(call, VM.CreateSnapshot_Task, made, name=name, memory=False, quiesce=False)
        assert name in json.dumps(await kept(call, tmp_path))
    one, two, _ = esx.machine("made").all_snapshots()
    await call(vim25.VirtualMachineSnapshot.RenameSnapshot, two.ref, name="zwei")
    assert "zwei" in json.dumps(await kept(call, tmp_path))
    await done(call, vim25.VirtualMachineSnapshot.RevertToSnapshot_Task, one.ref)
    assert (await kept(call, tmp_path))[-1]["current"] == 1
    await done(
        call, vim25.VirtualMachineSnapshot.RemoveSnapshot_Task, two.ref, removeChildren=False
    )
    assert "zwei" not in json.dumps(await kept(call, tmp_path))
    await done(call, VM.RemoveAllSnapshots_Task, made)
    assert (await kept(call, tmp_path))[-1]["snapshots"] == []
    await done(call, VM.ReconfigVM_Task, made, spec=vim25.VirtualMachineConfigSpec(numCPUs=2))
    await done(call, VM.Rename_Task, made, newName="renamed")
    assert (await kept(call, tmp_path))[-1]["name"] == "renamed"
    esx.set_guest("renamed", ip="192.0.2.7")
    await call(VM.UnregisterVM, esx.machine("vm-1").ref)
    assert [m["name"] for m in await kept(call, tmp_path)] == ["vm-0", "vm-2", "renamed"]
    assert (await kept(call, tmp_path))[-1]["guest"]["ip_address"] == "192.0.2.7"
    await call(
        vim25.HostNetworkSystem.AddPortGroup,
        vim25.HostNetworkSystem("networkSystem"),
        portgrp=vim25.HostPortGroupSpec(
            name="blue", vlanId=7, vswitchName="vSwitch0", policy=vim25.HostNetworkPolicy()
        ),
    )
    assert "blue" in (tmp_path / "state.json").read_text()
    await kept(call, tmp_path)


async def test_a_restart_brings_back_the_file(call: Any, tmp_path: Path) -> None:
    await done(call, VM.PowerOnVM_Task, call.esx.machine("vm-2").ref)
    before = (tmp_path / "state.json").read_bytes()
    await call.esx.aclose()
    async with ESXHost(
        datastores={"datastore1": tmp_path / "ds"}, state=tmp_path / "state.json"
    ) as again:
        assert again.machine("vm-2").power == "poweredOn"
        assert again.machine("vm-1").power == "poweredOff"
        assert again.credentials == call.esx.credentials
    assert len((tmp_path / "state.json").read_bytes()) == len(before)


async def test_saves_at_once_share_writes(call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = call.esx.registry
    keeper, written = registry.save.__self__, []
    real = keeper._write

    def write(number: int, text: str) -> None:
        real(number, text)
        written.append(text)

    monkeypatch.setattr(keeper, "_write", write)

    async def turn(name: str) -> None:
        call.esx.machine(name).set_power("poweredOn")
        await registry.persist()
        assert sum(m["power"] == "poweredOn" for m in json.loads(written[-1])["machines"]) >= 1

    await asyncio.gather(*(turn(f"vm-{n}") for n in range(3)))
    assert 1 <= len(written) <= 2
    assert written[-1].count("poweredOn") == 3
    await registry.persist()
    assert len(written) <= 2


async def test_a_failed_save_is_repeated(
    call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = call.esx.registry
    call.esx.machine("vm-0").set_power("poweredOn")
    with monkeypatch.context() as patch:
        patch.setattr("os.replace", lambda *names: (_ for _ in ()).throw(OSError("no")))
        with pytest.raises(OSError, match="no"):
            await registry.persist()
    await registry.persist()
    assert (await kept(call, tmp_path))[0]["power"] == "poweredOn"


async def test_a_cancelled_save_does_not_undo_a_newer_one(call: Any, tmp_path: Path) -> None:
    registry = call.esx.registry
    for state in ("poweredOn", "suspended"):
        call.esx.machine("vm-0").set_power(state)
        save = asyncio.ensure_future(registry.persist())
        await asyncio.sleep(0)
        save.cancel()
        await asyncio.gather(save, return_exceptions=True)
    call.esx.machine("vm-0").set_power("poweredOff")
    await registry.persist()
    assert (await kept(call, tmp_path))[0]["power"] == "poweredOff"


async def test_a_cancelled_save_does_not_undo_one_that_waited_for_it(
    call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry, jobs = call.esx.registry, []
    gates = [asyncio.Event() for _ in range(3)]

    async def slow(function: Callable[..., None], *args: Any) -> None:
        jobs.append((function, args))
        await gates[len(jobs) - 1].wait()

    async def turns() -> None:
        for _ in range(5):
            await asyncio.sleep(0)

    monkeypatch.setattr(registry, "io", slow)
    saves = []
    for state in ("poweredOn", "suspended", "suspended"):
        call.esx.machine("vm-0").set_power(state)
        saves.append(asyncio.ensure_future(registry.persist()))
        await turns()
    gates[0].set()  # the second goes to its thread, and covers the request of the third
    await turns()
    call.esx.machine("vm-0").set_power("poweredOff")
    gates[2].set()
    saves[1].cancel()
    await asyncio.gather(*saves, return_exceptions=True)
    monkeypatch.undo()
    assert len(jobs) == 3
    for number in (0, 2, 1):  # the thread of the cancelled one is the last
        function, args = jobs[number]
        function(*args)
    assert (await kept(call, tmp_path))[0]["power"] == "poweredOff"
