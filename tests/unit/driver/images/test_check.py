"""Images that are refused because of their reported properties, before a byte is requested."""

from __future__ import annotations

import pytest

from tests.unit.driver.images.corpus import CASES, SPARSE, head
from vimdriver._images.check import BodyCheck
from vimdriver._images.source import ImageInfo
from vimdriver.errors import ImageUnacceptableError


@pytest.mark.parametrize("container", ["docker"])
def test_an_archive_is_not_a_disk(container: str) -> None:
    info = ImageInfo(id="7", name="web", size=10240, disk_format="vmdk", container_format=container)
    with pytest.raises(ImageUnacceptableError) as caught:
        BodyCheck(info)
    assert (caught.value.rule, caught.value.image) == ("format.container", "7")
    assert "bare" in str(caught.value)


@pytest.mark.parametrize("container", [None, "bare", "ovf"])
def test_a_disk_is_accepted(container: str | None) -> None:
    check = BodyCheck(
        ImageInfo(id="7", name="web", size=1024, disk_format="raw", container_format=container)
    )
    check.feed(bytes(1024))
    assert check.finish().bytes == 1024


@pytest.mark.parametrize(
    ("disk_format", "disk_type", "advice"),
    [("raw", None, "--disk-format vmdk"), ("vmdk", "preallocated", "vmware_disktype=sparse")],
)
def test_a_sparse_image_under_another_format_is_refused_with_advice(
    disk_format: str, disk_type: str | None, advice: str
) -> None:
    properties = {} if disk_type is None else {"vmware_disktype": disk_type}
    check = BodyCheck(
        ImageInfo(
            id="7", name="web", size=len(SPARSE), disk_format=disk_format, properties=properties
        )
    )
    with pytest.raises(ImageUnacceptableError) as caught:
        check.feed(SPARSE)
    assert caught.value.image == "7"
    assert advice in str(caught.value)
    assert "convert" not in str(caught.value)


@pytest.mark.parametrize("unchanged", [True, False])
def test_strict_rules_apply_only_to_unchanged_bytes(unchanged: bool) -> None:
    case = next(case for case in CASES if "disk#1" in case.name)
    data = case.build()
    info = ImageInfo(id="7", name="web", size=len(data), disk_format="vmdk")
    check = BodyCheck(info, unchanged=unchanged)
    if unchanged:
        with pytest.raises(ImageUnacceptableError, match=r"extent\.name"):
            check.feed(data)
    else:
        check.feed(data)
        assert check.finish().facts.kind == "monolithicSparse"


def test_nothing_is_decided_before_the_descriptor_is_complete() -> None:
    wide = SPARSE[: 21 * 512] + bytes(400 * 512)
    wide = head(wide, descriptor_size=200, rgd=201, gd=220, overhead=300)
    check = BodyCheck(ImageInfo(id="7", name="web.vmdk", size=len(wide)))
    check.feed(wide[: 201 * 512 - 1])
    before = check.decided
    check.feed(wide[201 * 512 - 1 : 201 * 512])
    assert (before, check.decided, check.light) == (False, True, False)


def test_a_flat_image_is_decided_by_its_beginning() -> None:
    info = ImageInfo(id="7", name="web", size=1 << 20, disk_format="raw")
    check = BodyCheck(info, hashing=False)
    check.feed(bytes(64 << 10))
    assert check.decided
    assert check.light
