from __future__ import annotations

from tests.unit.cli.conftest import Vimctl
from vimlib.simulator import ESXHost


def test_existing_objects_come_first(esx: ESXHost, vimctl: Vimctl) -> None:
    lines = vimctl("watch", "VirtualMachine", "-p", "name", "--count", "2", "--json").lines
    assert {line["kind"] for line in lines} == {"enter"}
    assert sorted(line["changed"]["name"] for line in lines) == ["vm-0", "vm-1"]
    target = f"VirtualMachine:{lines[0]['obj']['value']}"
    text = vimctl("watch", target, "-p", "name", "--count", "1").out
    assert text.split() == ["enter", target, f"name={lines[0]['changed']['name']}"]


def test_the_deadline_ends_a_watch(esx: ESXHost, vimctl: Vimctl) -> None:
    done = vimctl("watch", "VirtualMachine", "-p", "name", "--timeout", "0.5", "--json", code=6)
    assert len(done.lines) == 3


def test_a_missing_or_deleted_object_ends_its_watch(esx: ESXHost, vimctl: Vimctl) -> None:
    gone = vimctl("watch", "VirtualMachine:gone", "-p", "name", "--timeout", "20", "--json", code=4)
    assert [line["error"]["type"] for line in gone.lines] == ["ManagedObjectNotFound"]


def test_an_invalid_watch_is_refused(esx: ESXHost, vimctl: Vimctl) -> None:
    vimctl("watch", "VirtualMachine", code=2)
    vimctl("watch", "NoSuch", "-p", "name", code=2)
    vimctl("watch", "VirtualMachine", "-p", "name", "--count", "0", code=2)
