from __future__ import annotations

from tests.unit.cli.conftest import Vimctl
from vimlib.simulator import ESXHost


def paths(rows: list[dict[str, str]]) -> list[str]:
    return [row["path"] for row in rows]


def test_folders_are_listed_level_by_level(esx: ESXHost, vimctl: Vimctl) -> None:
    (row,) = vimctl.json("ls")
    assert row["type"] == "Datacenter"
    center = row["path"]
    assert paths(vimctl.json("ls", center)) == paths(vimctl.json("ls", f"{center}/"))
    assert f"{center}/vm" in paths(vimctl.json("ls", center))
    assert paths(vimctl.json("ls", f"{center}/vm")) == [f"{center}/vm/vm-0", f"{center}/vm/vm-1"]
    assert paths(vimctl.json("ls", "-d", f"{center}/vm")) == [f"{center}/vm"]
    assert f"VirtualMachine  {center}/vm/vm-0" in vimctl("ls", f"{center}/vm").out


def test_an_object_without_contents_is_shown_itself(esx: ESXHost, vimctl: Vimctl) -> None:
    (row,) = vimctl.json("ls", "/*/vm/vm-0")
    assert paths(vimctl.json("ls", row["path"])) == [row["path"]]
    assert row["obj"]["_typeName"] == "ManagedObjectReference"


def test_patterns_and_types_select_objects(esx: ESXHost, vimctl: Vimctl) -> None:
    assert len(vimctl.json("ls", "/*/vm/vm-[01]")) == 2
    rows = vimctl.json("ls", "/**", "--type", "Datastore")
    assert [row["type"] for row in rows] == ["Datastore"]
    (row,) = vimctl.json("ls", "vm-1", "-t", "VirtualMachine", "-d")
    assert row["path"].endswith("/vm/vm-1")
    assert vimctl.json("ls", "vm-1", "-t", "VirtualMachine") == [row]


def test_a_missing_folder_is_an_error_and_an_empty_one_is_not(esx: ESXHost, vimctl: Vimctl) -> None:
    vimctl("instance", "destroy", "vm-0", "vm-1", "--foreign")
    (folder,) = vimctl.json("ls", "-d", "/*/vm")
    assert vimctl.json("ls", folder["path"]) == []
    vimctl("ls", "/nosuch", code=4)
    vimctl("ls", "/*/vm/nosuch*", code=4)
    vimctl("ls", "/a//b", code=2)
    vimctl("ls", "--type", "NoSuch", code=2)
