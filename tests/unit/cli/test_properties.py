from __future__ import annotations

from tests.unit.cli.conftest import Vimctl
from vimlib.simulator import ESXHost


def test_all_objects_of_a_type_are_json_lines(esx: ESXHost, vimctl: Vimctl) -> None:
    rows = vimctl("get", "VirtualMachine", "-p", "name", "-p", "runtime.powerState", "--json").lines
    assert [row["props"] for row in rows] == [
        {"name": f"vm-{n}", "runtime.powerState": "poweredOff"} for n in (0, 1)
    ]
    assert rows[0]["obj"]["_typeName"] == "ManagedObjectReference"
    assert rows[0]["missing"] == {}
    text = vimctl("get", "VirtualMachine", "-p", "name").out.splitlines()
    assert text[0].split() == ["OBJECT", "NAME"]
    assert text[1].split()[1] == "vm-0"
    assert len(vimctl("get", "VirtualMachine", "--json", "--limit", "1").lines) == 1


def test_one_object_is_one_json_document(esx: ESXHost, vimctl: Vimctl) -> None:
    (row, _) = vimctl("get", "VirtualMachine", "-p", "name", "--json").lines
    target = f"VirtualMachine:{row['obj']['value']}"
    found = vimctl.json("get", target, "-p", "config.hardware", "-p", "config.files")
    assert found["props"]["config.hardware"]["_typeName"] == "VirtualHardware"
    assert found["props"]["config.files"]["vmPathName"] == "[datastore1] vm-0/vm-0.vmx"
    assert "vm-0.vmx" in vimctl("get", target, "-p", "config.files").out


def test_an_invalid_request_is_refused(esx: ESXHost, vimctl: Vimctl) -> None:
    assert "NoSuch" in vimctl("get", "NoSuch", "-p", "name", code=2).err
    assert "nosuch" in vimctl("get", "VirtualMachine", "-p", "nosuch", code=2).err
    assert "-p name" in vimctl("get", "VirtualMachine:1", code=2).err
    vimctl("get", "VirtualMachine:99999", "-p", "name", code=4)
