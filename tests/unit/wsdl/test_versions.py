"""The releases form a chain, and every tag of the tables has its place in it."""

import pytest

from wsdl.typeinfo import TypeInfoError, Version, VmodlTables
from wsdl.versions import Versions


@pytest.fixture(scope="module")
def versions(tables: VmodlTables) -> Versions:
    return Versions(tables)


def test_releases_oldest_first(versions: Versions) -> None:
    ids = [release.id for release in versions.releases]
    assert ids[:9] == ["2.0", "2.5", "2.5u2", "2.5u2server", "4.0", "4.1", "5.0", "5.1", "5.5"]
    assert ids[-3:] == ["9.0.0.0", "9.1.0.0", "9.1.1.0"]
    assert len(ids) == 36
    assert "m5CA1EF4D" not in ids


@pytest.mark.parametrize(
    ("tag", "since"),
    [
        ("vmodl.version.version0", "2.0"),
        ("vmodl.version.version1", "4.0"),
        ("vmodl.version.version2", "5.0"),
        ("vmodl.version.version3", "9.1.0.0"),
        ("vmodl.query.version.version1", "2.0"),
        ("vmodl.query.version.version2", "4.0"),
        ("vmodl.query.version.version3", "4.1"),
        ("vmodl.query.version.version4", "5.0"),
        ("vmodl.query.version.version5", "9.1.0.0"),
        ("vim.version.version6", "4.1"),
        ("vim.version.version9", "5.5"),
        ("vim.version.v7_0", "7.0.0.0"),
        ("vim.version.v9_1_1_0", "9.1.1.0"),
    ],
)
def test_since(versions: Versions, tag: str, since: str) -> None:
    assert versions.since(tag) == since


def test_younger_counts_from_the_first_release_of_urn_vim25(versions: Versions) -> None:
    v2_0, v2_5, v4_1 = (f"vim.version.version{n}" for n in (1, 2, 6))
    assert not versions.younger(v2_5, than=v2_0)
    assert versions.younger(v4_1, than=v2_0)
    assert not versions.younger(v4_1, than=v4_1)


def test_a_tag_of_no_release_is_refused(versions: Versions) -> None:
    with pytest.raises(TypeInfoError):
        versions.since("vim.version.version99")


def small(parents: dict[str, set[str]], ids: dict[str, str]) -> VmodlTables:
    tables = VmodlTables(parents=parents)
    for name, id_ in ids.items():
        tables.versions[name] = Version(name, "vim25", id_, False, "vim25")
    return tables


def test_a_fork_is_refused() -> None:
    old, left, right = (f"vim.version.{name}" for name in ("old", "left", "right"))
    parents = {old: {old}, left: {old, left}, right: {old, right}}
    with pytest.raises(TypeInfoError):
        Versions(small(parents, {old: "2.5", left: "4.0", right: "4.1"}))


def test_two_releases_of_one_id_are_refused() -> None:
    old, new = "vim.version.old", "vim.version.new"
    with pytest.raises(TypeInfoError):
        Versions(small({old: {old}, new: {old, new}}, {old: "2.5", new: "2.5"}))
