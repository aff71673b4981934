from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.simulator.conftest import Caller
from vimlib import vim25
from vimlib.simulator import ESXHost
from vimlib.soap import encode_response

KINDS: dict[str, tuple[str, ...]] = {
    "ServiceInstance": ("content",),
    "Datastore": ("name", "summary"),
    "HostNetworkSystem": ("networkInfo",),
    "VirtualMachine": ("name", "config", "runtime", "guest"),
}


XSI = b' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'


async def save(call: Caller, folder: Path) -> None:
    """Save an inventory as `govc object.save` does: a file for each object, `ObjectContent` at its root."""
    folder.mkdir()
    number = 0
    for kind, paths in KINDS.items():
        for obj in call.esx.registry.all(kind).values():
            found = await call.read(obj.ref, *paths)
            content = vim25.ObjectContent(
                obj=obj.ref,
                propSet=[vim25.DynamicProperty(name=k, val=v) for k, v in found.items()],
            )
            method: Any = vim25.PropertyCollector.RetrieveProperties
            text = encode_response(method, [content])
            [inside] = re.findall(rb"<returnval>(.*)</returnval>", text, re.DOTALL)
            name = f"{number:04d}-{kind}-{obj.moid}.xml"
            (folder / name).write_bytes(
                b"<ObjectContent" + XSI + b">" + inside + b"</ObjectContent>"
            )
            number += 1


async def test_a_host_is_made_of_a_saved_inventory(
    make: Callable[..., Awaitable[Caller]], tmp_path: Path
) -> None:
    one = await make(vms=2, datastores={"fast": None, "slow": None})
    spec = vim25.HostPortGroupSpec(
        name="pg7", vlanId=7, vswitchName="vSwitch0", policy=vim25.HostNetworkPolicy()
    )
    network = vim25.HostNetworkSystem("networkSystem")
    await one(vim25.HostNetworkSystem.AddPortGroup, network, portgrp=spec)
    await one.done(vim25.VirtualMachine.PowerOnVM_Task, one.esx.machine("vm-1").ref)
    one.esx.set_guest("vm-1", ip="10.0.0.7", host_name="seven")
    await save(one, tmp_path / "saved")

    two = await make(load=tmp_path / "saved")
    assert list(two.esx.datastores) == ["fast", "slow"]
    assert two.esx.networks.groups["pg7"].vlan == 7
    for name in ("vm-0", "vm-1"):
        old, new = one.esx.machine(name), two.esx.machine(name)
        assert (new.moid, new.power) == (old.moid, old.power)
        assert await two.read(new.ref, "config") == await one.read(old.ref, "config")
        assert (two.esx.datastore_path("fast") / name / f"{name}.vmx").exists()
    assert two.esx.machine("vm-1").guest.ip_address == "10.0.0.7"
    # It is a machine like any other.
    await two.done(vim25.VirtualMachine.PowerOnVM_Task, two.esx.machine("vm-0").ref)
    await two.done(vim25.VirtualMachine.PowerOffVM_Task, two.esx.machine("vm-0").ref)
    await two.done(vim25.VirtualMachine.Destroy_Task, two.esx.machine("vm-0").ref)
    assert [machine.name for machine in two.esx.machines.values()] == ["vm-1"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "must be a folder that `govc object.save` wrote"),
        ("<Other/>", "must have an ObjectContent at its root"),
        (
            "<ObjectContent><obj>x</obj><propSet>1</propSet></ObjectContent>",
            "must have an ObjectContent at its root",
        ),
        ("<!DOCTYPE a><ObjectContent></ObjectContent>", "must have an ObjectContent at its root"),
    ],
)
async def test_another_folder_is_refused(tmp_path: Path, text: str | None, message: str) -> None:
    if text is not None:
        (tmp_path / "0000.xml").write_text(text)
    with pytest.raises(ValueError, match=message):
        async with ESXHost(load=tmp_path):
            pass


async def test_a_vcenter_is_refused(make: Callable[..., Awaitable[Caller]], tmp_path: Path) -> None:
    call = await make()
    await save(call, tmp_path / "saved")
    [file] = (tmp_path / "saved").glob("*-ServiceInstance-*.xml")
    file.write_bytes(file.read_bytes().replace(b"HostAgent", b"VirtualCenter"))
    with pytest.raises(ValueError, match="vCenter"):
        async with ESXHost(load=tmp_path / "saved"):
            pass
