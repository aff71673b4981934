"""The bytes that are allowed after the descriptor's text."""

from __future__ import annotations

import pytest

from vimdriver._images.inspect.descriptor import parse
from vimdriver.errors import ImageUnacceptableError

LONG = b"""# Disk DescriptorFile
version=1
CID=8ffdb8e9
parentCID=ffffffff
createType="monolithicSparse"

# Extent description
RW 4096 SPARSE "disk.vmdk"

#DDB

ddb.adapterType = "ide"
ddb.toolsVersion = "2147483647"
"""
PLACE = 10240


def judge(raw: bytes) -> str | None:
    return parse(raw, compressed=False, capacity=4096).adapter_type


@pytest.mark.parametrize("cid", ["8ffdb8e", "8ffdb8", "8ffdb", "8ffd", "8ff", "8f", "8"])
def test_the_rest_of_a_longer_cid_is_accepted(cid: str) -> None:
    """qemu-img, block/vmdk.c: text and NUL are written, the rest stays unchanged."""
    new = LONG.replace(b"8ffdb8e9", cid.encode()) + b"\0"
    assert judge(new + LONG[len(new) :] + bytes(PLACE - len(LONG))) == "ide"


@pytest.mark.parametrize(
    "rest",
    [
        b"x",
        b'648"\n',  # no end of the text
        b'83647"\n',  # longer than any CID can leave
        b"\0\n",  # not at the position of the old text
        b'\nCID=1\nparentCID=1\nRW 4096 FLAT "other.vmdk"\n',
    ],
)
def test_anything_else_is_refused(rest: bytes) -> None:
    with pytest.raises(ImageUnacceptableError) as caught:
        judge((LONG + b"\0" + rest).ljust(PLACE, b"\0"))
    assert caught.value.rule == "descriptor.ascii"


def test_an_assignment_is_never_a_remainder() -> None:
    text = LONG.replace(b'ddb.toolsVersion = "2147483647"\n', b"") + b"CID=1"
    with pytest.raises(ImageUnacceptableError) as caught:
        judge((text + b"\0" + b"CID=1").ljust(PLACE, b"\0"))
    assert caught.value.rule == "descriptor.ascii"
