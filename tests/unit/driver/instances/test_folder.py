from __future__ import annotations

import pytest

from vimdriver._instances.folder import is_hosts


@pytest.mark.parametrize(
    "name",
    [
        "web-1.vmx", "web-1.vmx~", "web-1.vmx.lck", "web-1.vmxf", "web-1.vmsd", "web-1.nvram", "nvram",
        "web-1.vmtx", "vmware.log", "vmware-1.log", "vmware-42.log", "web-1-2f4c6a01.vswp", "web-1.vswp",
        "vmx-web-1-123456789-1.vswp", "vmx-web-1-0a1b2c3d-2.vswp", "web-1.vmss", "web-1-2f4c6a01.vmss",
        "web-1-2f4c6a01.vmem", "web-1-Snapshot7.vmsn", "web-1-Snapshot7.vmem", "web-1-aux.xml",
        "web-1-1.png", "vmware-vmx-zdump.000", "vmmcores.gz", "vmmcores-1.gz", "web-1-2ab.hlog",
        "web-1.vmdk", "web-1-flat.vmdk", "web-1_1.vmdk", "web-1_1-flat.vmdk", "web-1-000001.vmdk",
        "web-1-000001-delta.vmdk", "web-1_2-000003-sesparse.vmdk", "web-1-ctk.vmdk", "web-1-000001-ctk.vmdk",
        "web-1-rdm.vmdk", "web-1-rdmp.vmdk", "web-1-s001.vmdk",
    ],
)  # fmt: skip
def test_names_that_hosts_give(name: str) -> None:
    assert is_hosts(name, "web-1")
    disk = name.endswith(".vmdk")
    assert is_hosts(name, "web-1", disks=False) is not disk


@pytest.mark.parametrize(
    "name",
    [
        "customer-db.vmdk", "customer-db-flat.vmdk", "install.iso", "web-1.iso", "web-1.vmdk.bak",
        "web-1-backup.vmdk", "web-10.vmdk", "web-10.vmx", "web.vmx", "Web-1.vmx", "xweb-1.vmx",
        "web-1-notes.txt", "web-1.txt", "vmware.txt", "vmware-tools.log", "vmware.log.bak", "vmwareX.log",
        "other.nvram", "other.vmsd", "other-1.png", "photo.png", "web-1-1.png.bak", "web-1-Snapshot.vmsn",
        "web-1-12.vmdk", "web-1-0000001.vmdk", "web-1\n.vmx", "web-1.vmx\n", "webX1.vmx", "", "web-1",
        "core.dump", "web-1.part",
    ],
)  # fmt: skip
def test_names_that_hosts_do_not_give(name: str) -> None:
    assert not is_hosts(name, "web-1")


@pytest.mark.parametrize("base", ["a.b", "a+b", "[x]", "a(b", "\\d", "web$", "web@home"])
def test_a_base_name_is_taken_as_it_is(base: str) -> None:
    assert is_hosts(f"{base}.vmx", base)
    assert not is_hosts("aXb.vmx", base)
    assert not is_hosts("1.vmx", base)
