from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vimlib.simulator._storage import vmdk

MIB = 1 << 20


def make(path: Path, size: int = MIB, **more: Any) -> vmdk.Disk:
    given_: dict[str, Any] = {"adapter": "lsilogic", "thin": False, "uuid": "60 00"}
    given_.update(more)
    return vmdk.create(path, size, **given_)


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    made = make(tmp_path / "a.vmdk", thin=True, adapter="buslogic")
    found = vmdk.load(tmp_path / "a.vmdk")
    assert (found.capacity, found.thin, found.adapter, found.uuid) == (
        MIB,
        True,
        "buslogic",
        "60 00",
    )
    assert found.extent == made.extent == tmp_path / "a-flat.vmdk"
    assert vmdk.verify(tmp_path / "a.vmdk").capacity == MIB


def test_creating_never_overwrites(tmp_path: Path) -> None:
    make(tmp_path / "a.vmdk")
    with pytest.raises(FileExistsError):
        make(tmp_path / "a.vmdk")
    (tmp_path / "b-flat.vmdk").write_bytes(b"mine")
    with pytest.raises(FileExistsError):
        make(tmp_path / "b.vmdk")
    assert (tmp_path / "b-flat.vmdk").read_bytes() == b"mine"


def test_a_clone_keeps_holes(tmp_path: Path) -> None:
    make(tmp_path / "a.vmdk", 64 * MIB, thin=True)
    with (tmp_path / "a-flat.vmdk").open("r+b") as file:
        file.seek(32 * MIB)
        file.write(b"data")
    reports: list[int] = []
    vmdk.clone(
        tmp_path / "a.vmdk",
        tmp_path / "b.vmdk",
        adapter="ide",
        thin=True,
        uuid="",
        report=reports.append,
    )
    target = tmp_path / "b-flat.vmdk"
    assert target.stat().st_size == 64 * MIB
    assert target.stat().st_blocks * 512 < MIB
    with target.open("rb") as file:
        file.seek(32 * MIB)
        assert file.read(4) == b"data"
    assert reports == [50]


def test_a_failed_clone_leaves_nothing(tmp_path: Path) -> None:
    make(tmp_path / "a.vmdk")
    (tmp_path / "a-flat.vmdk").write_bytes(b"short")
    with pytest.raises(vmdk.DiskError):
        vmdk.clone(tmp_path / "a.vmdk", tmp_path / "b.vmdk", adapter="ide", thin=True, uuid="")
    assert not (tmp_path / "b.vmdk").exists()
    assert not (tmp_path / "b-flat.vmdk").exists()


def test_a_delta_stands_on_its_parent(tmp_path: Path) -> None:
    base = make(tmp_path / "a.vmdk")
    (tmp_path / "a-flat.vmdk").write_bytes(b"\x07" * MIB)
    vmdk.create_delta(tmp_path / "a-000001.vmdk", base, "60 01")
    found = vmdk.verify(tmp_path / "a-000001.vmdk")
    assert found.parent == "a.vmdk"
    vmdk.clone(tmp_path / "a-000001.vmdk", tmp_path / "b.vmdk", adapter="ide", thin=True, uuid="")
    assert (tmp_path / "b-flat.vmdk").read_bytes() == b"\x07" * MIB
    (tmp_path / "a-flat.vmdk").unlink()
    with pytest.raises(FileNotFoundError):
        vmdk.verify(tmp_path / "a-000001.vmdk")


@pytest.mark.parametrize("spots", [[], [0], [65536 * 3], [0, 65536 * 600, MIB * 64 - 1]])
def test_an_export_is_read_back(tmp_path: Path, spots: list[int]) -> None:
    size = 64 * MIB
    make(tmp_path / "a.vmdk", size, thin=True)
    with (tmp_path / "a-flat.vmdk").open("r+b") as file:
        for spot in spots:
            file.seek(spot)
            file.write(b"\xee")
    image = tmp_path / "image.vmdk"
    with image.open("wb") as file:
        for piece in vmdk.export(tmp_path / "a.vmdk"):
            file.write(piece)
    found = vmdk.load(image)
    assert (found.create_type, found.capacity) == ("streamOptimized", size)
    make(tmp_path / "b.vmdk", size, thin=True)
    vmdk.pour(image, tmp_path / "b.vmdk")
    assert (tmp_path / "b-flat.vmdk").read_bytes() == (tmp_path / "a-flat.vmdk").read_bytes()


def test_an_image_larger_than_the_disk_is_refused(tmp_path: Path) -> None:
    make(tmp_path / "a.vmdk")
    (tmp_path / "flat").write_bytes(bytes(2 * MIB))
    with pytest.raises(vmdk.DiskError):
        vmdk.pour(tmp_path / "flat", tmp_path / "a.vmdk")


def test_a_loop_of_parents_is_refused(tmp_path: Path) -> None:
    base = make(tmp_path / "a.vmdk")
    vmdk.create_delta(tmp_path / "b.vmdk", base, "60 01")
    text = (tmp_path / "b.vmdk").read_text().replace('Hint="a.vmdk"', 'Hint="b.vmdk"')
    (tmp_path / "b.vmdk").write_text(text)
    with pytest.raises(vmdk.DiskError):
        vmdk.verify(tmp_path / "b.vmdk")
    with pytest.raises(vmdk.DiskError):
        vmdk.clone(tmp_path / "b.vmdk", tmp_path / "c.vmdk", adapter="ide", thin=True, uuid="")


@given(st.binary(max_size=2000))
def test_garbage_is_not_a_disk(tmp_path_factory: pytest.TempPathFactory, raw: bytes) -> None:
    path = tmp_path_factory.mktemp("x") / "a.vmdk"
    for data in (raw, b"KDMV" + raw, b"# Disk DescriptorFile\n" + raw):
        path.write_bytes(data)
        try:
            vmdk.verify(path)
        except (vmdk.DiskError, OSError):
            continue
        raise AssertionError(data)


@given(st.integers(0, 400), st.binary(min_size=1, max_size=8))
def test_a_changed_header_does_no_harm(
    tmp_path_factory: pytest.TempPathFactory, at: int, change: bytes
) -> None:
    folder = tmp_path_factory.mktemp("x")
    make(folder / "a.vmdk", thin=True)
    raw = bytearray(b"".join(vmdk.export(folder / "a.vmdk")))
    raw[at : at + len(change)] = change
    (folder / "b.vmdk").write_bytes(raw)
    try:
        vmdk.clone(folder / "b.vmdk", folder / "c.vmdk", adapter="ide", thin=True, uuid="")
    except (vmdk.DiskError, OSError):
        assert not (folder / "c.vmdk").exists()
