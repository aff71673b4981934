"""Commands that show and change the devices of a machine."""

from __future__ import annotations

from tests.unit.cli.conftest import Vimctl
from vimlib.simulator import ESXHost

MAC = "00:50:56:00:00:09"


def test_a_nic_is_added_changed_listed_and_removed(esx: ESXHost, vimctl: Vimctl) -> None:
    change = ("--foreign",)  # the host made it
    made = vimctl.json("instance", "attach-interface", "vm-0", "VM Network", "--mac", MAC, *change)
    assert (made["mac"], made["network"], made["kind"]) == (MAC, "VM Network", "nic")
    off = vimctl.json("instance", "change-interface", "vm-0", MAC, "--no-connected", *change)
    assert off["connected"] is False
    devices = vimctl.json("instance", "devices", "vm-0")
    assert off in devices
    assert {"controller", "nic", "disk"} <= {one["kind"] for one in devices}
    assert MAC in vimctl("instance", "devices", "vm-0").out
    done = vimctl.json("instance", "detach-interface", "vm-0", MAC, *change)
    assert done == {"instance": "vm-0", "nic": MAC, "removed": True}


def test_a_machine_of_another_is_shown_and_not_changed(esx: ESXHost, vimctl: Vimctl) -> None:
    assert vimctl.json("instance", "devices", "vm-0")
    done = vimctl("instance", "attach-interface", "vm-0", "VM Network", code=1)
    assert done.err.endswith("To operate on it anyway, give --foreign.\n")
    assert not esx.calls("ReconfigVM_Task")
