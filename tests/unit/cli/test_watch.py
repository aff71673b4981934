from __future__ import annotations

from tests.unit.cli.conftest import Vimctl
from vimlib.simulator import ESXHost


def test_what_is_there_comes_first(esx: ESXHost, vimctl: Vimctl) -> None:
    lines = vimctl("watch", "VirtualMachine", "-p", "name", "--count", "2", "--json").lines
    assert {line["kind"] for line in lines} == {"enter"}
    assert sorted(line["changed"]["name"] for line in lines) == ["vm-0", "vm-1"]
    target = f"VirtualMachine:{lines[0]['obj']['value']}"
    text = vimctl("watch", target, "-p", "name", "--count", "1").out
    assert text.split() == ["enter", target, f"name={lines[0]['changed']['name']}"]


def test_a_deadline_ends_it(esx: ESXHost, vimctl: Vimctl) -> None:
    done = vimctl("watch", "VirtualMachine", "-p", "name", "--timeout", "0.5", "--json", code=6)
    assert len(done.lines) == 3


def test_one_object_that_is_not_there_or_goes_ends_it(esx: ESXHost, vimctl: Vimctl) -> None:
    gone = vimctl("watch", "VirtualMachine:gone", "-p", "name", "--timeout", "20", "--json", code=4)
    assert [line["error"]["type"] for line in gone.lines] == ["ManagedObjectNotFound"]


def test_what_cannot_be_watched(esx: ESXHost, vimctl: Vimctl) -> None:
    vimctl("watch", "VirtualMachine", code=2)
    vimctl("watch", "NoSuch", "-p", "name", code=2)
    vimctl("watch", "VirtualMachine", "-p", "name", "--count", "0", code=2)
