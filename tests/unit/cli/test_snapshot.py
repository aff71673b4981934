from __future__ import annotations

from tests.unit.cli.conftest import Vimctl
from vimlib.simulator import ESXHost


def test_a_snapshot_is_taken_listed_reverted_to_and_removed(esx: ESXHost, vimctl: Vimctl) -> None:
    assert vimctl.json("instance", "snapshots", "vm-0") == []
    one = vimctl.json("instance", "snapshot", "vm-0", "one", "--description", "first")
    two = vimctl.json("instance", "snapshot", "vm-0", "two")
    assert (two["parent"], two["current"]) == (one["moref"], True)
    assert vimctl.json("instance", "snapshots", "vm-0") == [one | {"current": False}, two]
    assert vimctl.json("instance", "revert", "vm-0", "one") == one
    assert "two" in vimctl("instance", "revert", "vm-0", "three", code=4).err
    done = vimctl.json("instance", "remove-snapshot", "vm-0", "one", "--children")
    assert done == {"instance": "vm-0", "snapshot": "one", "removed": True}
    assert vimctl.json("instance", "snapshots", "vm-0") == []
    assert len(esx.calls("RemoveSnapshot_Task")) == 1
