"""Images that are refused because of their reported properties, before a byte is requested."""

from __future__ import annotations

import pytest

from vimdriver._images.check import BodyCheck
from vimdriver._images.source import ImageInfo
from vimdriver.errors import ImageUnacceptableError


@pytest.mark.parametrize("container", ["ova", "docker", "compressed"])
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
    [("raw", None, "disk_format vmdk"), ("vmdk", "preallocated", "vmware_disktype sparse")],
)
def test_a_sparse_image_under_another_format_is_refused_with_advice(
    disk_format: str, disk_type: str | None, advice: str
) -> None:
    properties = {} if disk_type is None else {"vmware_disktype": disk_type}
    check = BodyCheck(
        ImageInfo(id="7", name="web", size=1 << 20, disk_format=disk_format, properties=properties)
    )
    with pytest.raises(ImageUnacceptableError) as caught:
        check.feed(b"KDMV".ljust(1 << 20, b"\1"))
    assert caught.value.rule == "format.foreign_magic"
    assert advice in str(caught.value)
    assert "convert" not in str(caught.value)
