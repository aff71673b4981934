from __future__ import annotations

from vimdriver._instances.devices import nic, root_disk
from vimdriver._instances.machine import device_files, who_uses
from vimdriver._instances.types import NICSpec
from vimlib import vim25
from vimlib._datastore import DatastorePath


def test_a_disk_stands_on_all_that_it_grew_from() -> None:
    (_, change) = root_disk("[ds] clone/clone.vmdk", 4, "lsiLogic")
    disk = change.device
    assert isinstance(disk, vim25.VirtualDisk)
    assert isinstance(disk.backing, vim25.VirtualDiskFlatVer2BackingInfo)
    disk.backing.parent = vim25.VirtualDiskFlatVer2BackingInfo(
        fileName="[ds] web/web.vmdk", diskMode="persistent"
    )
    drive = vim25.VirtualCdrom(
        key=1, backing=vim25.VirtualCdromIsoBackingInfo(fileName="[iso] a.iso")
    )
    card = nic(NICSpec(network="VM Network"), 0, api_version="8.0").device
    assert list(device_files([card, disk, drive])) == [
        "[ds] clone/clone.vmdk",
        "[ds] web/web.vmdk",
        "[iso] a.iso",
    ]


def test_a_folder_is_no_other_that_begins_like_it() -> None:
    used = {"[ds] web2/a.vmdk": "two", "[other] web/a.vmdk": "other", "[ds] web": "odd"}
    assert who_uses(DatastorePath("ds", "web"), used) == ""
    used["[ds] web/a/b\n.vmdk"] = "one"
    assert who_uses(DatastorePath("ds", "web"), used) == r"machine 'one' uses [ds] web/a/b\n.vmdk"
