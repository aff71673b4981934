from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import pytest

from tests.simulator.conftest import Host
from tests.simulator.images import CONTENT, stream_optimized
from tests.simulator.vmomi import vim, vmodl

pytestmark = pytest.mark.slow
MIB = 1 << 20


def new_disk(
    host: Host, path: str, kb: int = 1024, kind: str = "thick", adapter: str = "lsiLogic"
) -> Any:
    spec = vim.VirtualDiskManager.FileBackedVirtualDiskSpec(
        diskType=kind, adapterType=adapter, capacityKb=kb
    )
    return host.done(
        host.content.virtualDiskManager.CreateVirtualDisk_Task(
            f"[datastore1] {path}", host.datacenter, spec
        )
    )


def copy(
    host: Host, source: str, target: str, kind: str | None = "thin", force: bool = False
) -> Any:
    spec = (
        vim.VirtualDiskManager.VirtualDiskSpec(diskType=kind, adapterType="lsiLogic")
        if kind
        else None
    )
    return host.done(
        host.content.virtualDiskManager.CopyVirtualDisk_Task(
            f"[datastore1] {source}",
            host.datacenter,
            f"[datastore1] {target}",
            host.datacenter,
            spec,
            force,
        )
    )


def free(host: Host) -> int:
    return int(host.datacenter.datastore[0].summary.freeSpace)


def monolithic_sparse(content: bytes) -> bytes:
    grains = len(content) // 65536
    text = f'# Disk DescriptorFile\ncreateType="monolithicSparse"\nRW {len(content) // 512} SPARSE "x.vmdk"\n'.encode()
    out = bytearray(128 * 512)
    out[:512] = struct.pack(
        "<IIIQQQQIQQQBccccH",
        0x564D444B,
        1,
        3,
        len(content) // 512,
        128,
        1,
        20,
        512,
        0,
        26,
        128,
        0,
        b"\n",
        b" ",
        b"\r",
        b"\n",
        0,
    ).ljust(512, b"\0")
    out[512 : 512 + len(text)] = text
    places = []
    for number in range(grains):
        data = content[number * 65536 : (number + 1) * 65536]
        places.append(len(out) // 512 if any(data) else 0)
        out += data if any(data) else b""
    out[26 * 512 : 26 * 512 + 4] = struct.pack("<I", 27)
    out[27 * 512 : 31 * 512] = struct.pack("<512I", *(places + [0] * (512 - grains)))
    return bytes(out)


@pytest.mark.parametrize(
    ("kind", "takes"),
    [("thick", MIB), ("eagerZeroedThick", MIB), ("preallocated", MIB), ("thin", 0)],
)
def test_a_new_disk_has_descriptor_and_extent(shared: Host, kind: str, takes: int) -> None:
    before = free(shared)
    assert new_disk(shared, f"new-{kind}.vmdk", kind=kind) == f"[datastore1] new-{kind}.vmdk"
    folder = shared.esx.datastore_path()
    text = (folder / f"new-{kind}.vmdk").read_text()
    assert 'createType="vmfs"' in text
    assert f'RW 2048 VMFS "new-{kind}-flat.vmdk"' in text
    assert 'ddb.adapterType = "lsilogic"' in text
    assert (folder / f"new-{kind}-flat.vmdk").stat().st_size == MIB
    taken = before - free(shared) - len(text)
    assert taken == takes


@pytest.mark.parametrize("kind", ["flat", "sparse", "streamOptimized"])
def test_a_copy_has_the_same_bytes(shared: Host, kind: str) -> None:
    folder = shared.esx.datastore_path()
    if kind == "flat":
        new_disk(shared, "from-flat.vmdk")
        (folder / "from-flat-flat.vmdk").write_bytes(CONTENT)
    else:
        make = monolithic_sparse if kind == "sparse" else stream_optimized
        (folder / f"from-{kind}.vmdk").write_bytes(make(CONTENT))
    copy(shared, f"from-{kind}.vmdk", f"to-{kind}.vmdk")
    assert (folder / f"to-{kind}-flat.vmdk").read_bytes() == CONTENT
    assert 'ddb.thinProvisioned = "1"' in (folder / f"to-{kind}.vmdk").read_text()


def test_a_copy_without_a_spec_becomes_buslogic_and_thick(shared: Host) -> None:
    new_disk(shared, "plain.vmdk", kind="thin")
    copy(shared, "plain.vmdk", "plain-copy.vmdk", kind=None)
    text = (shared.esx.datastore_path() / "plain-copy.vmdk").read_text()
    assert 'ddb.adapterType = "buslogic"' in text
    assert "thinProvisioned" not in text


def damage(content: bytes, how: str) -> bytes:
    raw = bytearray(stream_optimized(content))
    if how == "cut":
        return bytes(raw[: len(raw) // 2])
    if how == "grain":
        raw[128 * 512 + 20] ^= 0xFF
    if how == "capacity":
        raw[12:20] = struct.pack("<Q", 1 << 62)
    if how == "grain size":
        raw[20:28] = struct.pack("<Q", 3)
    if how == "type":
        return bytes(raw).replace(b"streamOptimized", b"twoGbMaxExtents")
    return bytes(raw)


@pytest.mark.parametrize("how", ["cut", "grain", "capacity", "grain size", "type"])
def test_a_damaged_image_is_refused_and_nothing_is_left(shared: Host, how: str) -> None:
    folder = shared.esx.datastore_path()
    (folder / "damaged.vmdk").write_bytes(damage(CONTENT, how))
    with pytest.raises(vim.fault.InvalidDiskFormat):
        copy(shared, "damaged.vmdk", "never.vmdk")
    assert not list(folder.glob("never*"))


@pytest.mark.parametrize(
    "text",
    [
        "no descriptor at all",
        '# Disk DescriptorFile\ncreateType="vmfs"\nRW 2048 VMFS "../../outside-flat.vmdk"\n',
        '# Disk DescriptorFile\ncreateType="vmfs"\nRW 2048 VMFS "a-flat.vmdk"\nRW 2048 VMFS "b-flat.vmdk"\n',
        '# Disk DescriptorFile\nRW 2048 VMFS "a-flat.vmdk"\n',
        '# Disk DescriptorFile\ncreateType="vmfs"\nRW 0 VMFS "a-flat.vmdk"\n',
    ],
)
def test_a_bad_descriptor_is_refused(shared: Host, text: str) -> None:
    (shared.esx.datastore_path() / "hostile.vmdk").write_text(text)
    with pytest.raises(vim.fault.InvalidDiskFormat):
        copy(shared, "hostile.vmdk", "never2.vmdk")


def test_a_copy_does_not_overwrite_unless_forced(shared: Host) -> None:
    new_disk(shared, "one.vmdk")
    new_disk(shared, "two.vmdk")
    with pytest.raises(vim.fault.FileAlreadyExists):
        copy(shared, "one.vmdk", "two.vmdk")
    copy(shared, "one.vmdk", "two.vmdk", force=True)
    with pytest.raises(vim.fault.FileNotFound):
        copy(shared, "nobody.vmdk", "three.vmdk")


def test_a_full_datastore_refuses_a_copy(connect: Callable[..., Host]) -> None:
    host = connect(capacity=3 * MIB)
    new_disk(host, "source.vmdk", kb=2048)
    with pytest.raises(vim.fault.NoDiskSpace):
        copy(host, "source.vmdk", "target.vmdk", kind="thick")
    copy(host, "source.vmdk", "target.vmdk", kind="thin")


def test_a_disk_is_moved_with_its_extent(shared: Host) -> None:
    new_disk(shared, "here.vmdk")
    manager = shared.content.virtualDiskManager
    args = (
        "[datastore1] here.vmdk",
        shared.datacenter,
        "[datastore1] there.vmdk",
        shared.datacenter,
        False,
        None,
    )
    shared.done(manager.MoveVirtualDisk_Task(*args))
    folder = shared.esx.datastore_path()
    assert not list(folder.glob("here*"))
    assert 'VMFS "there-flat.vmdk"' in (folder / "there.vmdk").read_text()
    assert (folder / "there-flat.vmdk").stat().st_size == MIB
    with pytest.raises(vim.fault.FileNotFound):
        shared.done(manager.MoveVirtualDisk_Task(*args))


def test_a_disk_is_extended_and_deleted(shared: Host) -> None:
    new_disk(shared, "wax.vmdk")
    manager = shared.content.virtualDiskManager
    shared.done(
        manager.ExtendVirtualDisk_Task("[datastore1] wax.vmdk", shared.datacenter, 4096, False)
    )
    folder = shared.esx.datastore_path()
    assert (folder / "wax-flat.vmdk").stat().st_size == 4 * MIB
    assert "RW 8192 VMFS" in (folder / "wax.vmdk").read_text()
    with pytest.raises(vmodl.fault.InvalidArgument):
        shared.done(
            manager.ExtendVirtualDisk_Task("[datastore1] wax.vmdk", shared.datacenter, 1024, False)
        )
    before = free(shared)
    shared.done(manager.DeleteVirtualDisk_Task("[datastore1] wax.vmdk", shared.datacenter))
    assert not list(folder.glob("wax*"))
    assert free(shared) > before + 4 * MIB - 1
    with pytest.raises(vim.fault.FileNotFound):
        shared.done(manager.DeleteVirtualDisk_Task("[datastore1] wax.vmdk", shared.datacenter))


def test_inflating_counts_the_whole_disk(shared: Host) -> None:
    new_disk(shared, "balloon.vmdk", kind="thin", kb=4096)
    before = free(shared)
    shared.done(
        shared.content.virtualDiskManager.InflateVirtualDisk_Task(
            "[datastore1] balloon.vmdk", shared.datacenter
        )
    )
    assert before - free(shared) == pytest.approx(4 * MIB, abs=100)


def test_a_disk_of_no_size_is_refused(shared: Host) -> None:
    with pytest.raises(vmodl.fault.InvalidArgument):
        new_disk(shared, "size.vmdk", kb=0)
