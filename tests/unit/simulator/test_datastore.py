from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vimlib import vim25
from vimlib.simulator import ESXHost
from vimlib.simulator._storage import browser
from vimlib.simulator._storage.datastore import parts, split_path, usage


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("[ds] a/b.vmdk", ("ds", "a/b.vmdk")),
        ("[ds]", ("ds", "")),
        ("[ds] ", ("ds", "")),
        ("[ds]a", ("ds", "a")),
        ("[a b] c d/e", ("a b", "c d/e")),
        ("[ds] a//b/./c/", ("ds", "a/b/c")),
        ("[ds] /a", ("ds", "a")),
    ],
)
def test_paths(text: str, found: tuple[str, str]) -> None:
    assert split_path(text) == found


@pytest.mark.parametrize(
    "text", ["", "a/b", "[ds", "ds] a", "[ds] ..", "[ds] a/../b", "[ds] a\0b", "[ds] " + "x" * 300]
)
def test_invalid_paths_are_refused(text: str) -> None:
    with pytest.raises(vim25.InvalidDatastorePath):
        split_path(text)


@given(st.text(max_size=60))
def test_no_path_leaves_the_root(text: str) -> None:
    try:
        found = parts(text)
    except vim25.InvalidDatastorePath:
        return
    root = Path("/root-of/ds")
    assert root in [root.joinpath(*found), *root.joinpath(*found).parents]
    assert ".." not in found


def test_usage_counts_files_and_allocated_blocks(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    (tmp_path / "thick.vmdk").write_text("# Disk DescriptorFile\n")
    with (tmp_path / "thick-flat.vmdk").open("wb") as file:
        file.truncate(1 << 20)
    (tmp_path / "thin.vmdk").write_text('# Disk DescriptorFile\nddb.thinProvisioned = "1"\n')
    with (tmp_path / "thin-flat.vmdk").open("wb") as file:
        file.truncate(1 << 20)
    assert usage(tmp_path / "file") == 5
    assert usage(tmp_path / "thick-flat.vmdk") == 1 << 20
    assert usage(tmp_path / "thin-flat.vmdk") == 0
    assert usage(tmp_path / "nobody") == 0
    descriptors = sum((tmp_path / name).stat().st_size for name in ("thick.vmdk", "thin.vmdk"))
    assert usage(tmp_path) == 5 + descriptors + (1 << 20)


async def test_a_search_leaves_out_what_is_deleted_or_renamed_meanwhile() -> None:
    """The rest of the folder is listed, as it would be without that file."""
    async with ESXHost() as esx:
        (store,) = esx.registry.all("Datastore").values()
        place = store.local("")
        for name in ("a", "b", "c"):
            (place / name).write_text(name)
        search = browser._Search(store, None)
        entries = sorted(os.scandir(place), key=lambda entry: entry.name)
        (place / "b").rename(place / "d")
        found = [search._info(entry) for entry in entries]
    assert [None if info is None else info.path for info in found] == ["a", None, "c"]
