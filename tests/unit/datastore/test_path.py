from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vimlib._datastore import DatastorePath, folder_target
from vimlib.errors import InvalidPathError

PART = st.text(
    st.characters(blacklist_categories=["Cs", "Cc"], blacklist_characters="/"),
    min_size=1,
    max_size=60,
).filter(lambda part: part not in {".", ".."} and len(part.encode()) <= 255)
NAME = st.text(
    st.characters(blacklist_categories=["Cs", "Cc"], blacklist_characters="[]/"),
    min_size=1,
    max_size=30,
)


@pytest.mark.parametrize(
    ("text", "datastore", "path"),
    [
        ("[datastore1] a/b.vmdk", "datastore1", "a/b.vmdk"),
        ("[datastore1]a/b.vmdk", "datastore1", "a/b.vmdk"),
        ("[datastore1] a/b/", "datastore1", "a/b"),
        ("[datastore1]", "datastore1", ""),
        ("[datastore1] ", "datastore1", ""),
        ("[my store (1)] a b/c%d#e?f.vmdk", "my store (1)", "a b/c%d#e?f.vmdk"),
        ("[ds] a/[x] y", "ds", "a/[x] y"),
        ("[ds]  leading", "ds", " leading"),
    ],
)
def test_parse(text: str, datastore: str, path: str) -> None:
    assert DatastorePath.parse(text) == DatastorePath(datastore, path)


@pytest.mark.parametrize(
    "text",
    ["", "a/b", "datastore1 a", "[] a", "[ds] /a", "[ds] a//b", "[ds] ../a", "[ds] a/./b", "[ds] a/..",
     "[ds] a\0b", "[ds] a\nb", "[d[s]] a", "[d/s] a", "[ds\x1b] a", "[ds] " + "x" * 256, "[ds] a//", "[ds] \ud800"],
)  # fmt: skip
def test_what_is_no_path(text: str) -> None:
    with pytest.raises(InvalidPathError) as caught:
        DatastorePath.parse(text)
    assert "\x1b" not in str(caught.value)


@given(NAME, st.lists(PART, max_size=4))
def test_print_and_parse_are_inverse(name: str, parts: list[str]) -> None:
    path = DatastorePath(name, "/".join(parts))
    assert DatastorePath.parse(str(path)) == path
    assert path.parts == tuple(parts)


@given(st.text(max_size=60))
def test_any_text_is_a_path_or_refused(text: str) -> None:
    try:
        path = DatastorePath.parse(text)
    except InvalidPathError:
        return
    assert DatastorePath.parse(str(path)) == path
    assert ".." not in path.parts


def test_its_pieces() -> None:
    path = DatastorePath("ds", "a/b.c.vmdk")
    assert (path.name, path.suffix, path.parent) == ("b.c.vmdk", ".vmdk", DatastorePath("ds", "a"))
    assert path.parent / "x" / "y" == DatastorePath("ds", "a/x/y")
    assert path.with_name("z") == DatastorePath("ds", "a/z")
    assert DatastorePath("ds").parent == DatastorePath("ds")
    assert (DatastorePath("ds").name, DatastorePath("ds", ".hidden").suffix) == ("", "")
    assert sorted([DatastorePath("b"), DatastorePath("a", "z")])[0].datastore == "a"
    assert str(DatastorePath("ds")) == "[ds]"


@pytest.mark.parametrize("part", ["..", ".", "", "a\0"])
def test_what_cannot_be_appended(part: str) -> None:
    with pytest.raises(InvalidPathError):
        DatastorePath("ds", "a") / part
    with pytest.raises(InvalidPathError):
        DatastorePath("ds").with_name("x")


@given(
    NAME,
    st.lists(PART, min_size=1, max_size=4),
    st.text(min_size=1, max_size=20).filter(lambda t: t.isprintable()),
)
def test_nothing_in_a_name_leaves_the_folder_or_ends_the_path(
    name: str, parts: list[str], center: str
) -> None:
    target = folder_target(DatastorePath(name, "/".join(parts)), center)
    way, question, query = target.partition("?")
    assert target.isascii()
    assert question
    assert way.startswith("/folder/")
    assert len(way.split("/")) == 2 + len(parts)
    assert not set(way.split("/")) & {".", ".."}
    assert len(query.split("&")) == 2
    assert not set(target) & set(' "<>\\^`{|}#\r\n')


def test_a_target() -> None:
    assert (
        folder_target(DatastorePath("my ds", "a b/c#d?.vmdk"), "Top/DC 1")
        == "/folder/a%20b/c%23d%3F.vmdk?dcPath=Top%2FDC%201&dsName=my%20ds"
    )
