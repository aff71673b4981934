"""The one judge of images, on the corpus: each image by its rule, unchanged and converted."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.driver.images import corpus, qcow2_corpus
from tests.unit.driver.images.corpus import ISO, RAW, SPARSE, STREAM, Case, Good, head
from tests.unit.driver.images.formats.reading import read_disk, read_extents
from vimdriver._images.formats import PREFIX, header, open_image, prefix_bytes
from vimdriver.errors import ImageUnacceptableError

CASES = [*corpus.CASES, *qcow2_corpus.CASES]
GOOD = [*corpus.GOOD, *qcow2_corpus.GOOD]


def claims(case: Case | Good) -> dict[str, Any]:
    return {
        "claimed": case.claim,
        "disk_type": case.disk_type,
        "container": getattr(case, "container", None),
        "name": getattr(case, "file_name", None),
    }


def outcome(
    data: bytes, *, strict: bool, step: int = 1 << 20, **more: Any
) -> tuple[str | None, bool]:
    """Return the broken rule, and whether the beginning showed it."""
    early = True
    try:
        image = open_image(data[:PREFIX], size=len(data), **more)
        reader = image.reader(strict=strict)
        early = False
        read_extents(reader, data, step=step)
    except ImageUnacceptableError as error:
        return error.rule, early
    return None, early


def test_the_corpus_is_large() -> None:
    assert len(CASES) > 150
    assert len(GOOD) > 50


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.rule}-{case.name}"[:60])
@pytest.mark.parametrize("step", [50_000, 1 << 24])
def test_each_rule_refuses_its_images(case: Case, step: int) -> None:
    data = case.build()
    assert outcome(data, strict=True, step=step, **claims(case)) == (case.rule, case.early)
    assert outcome(data, strict=False, step=step, **claims(case))[0] == case.converted


@pytest.mark.parametrize("good", GOOD, ids=lambda good: good.name[:60])
@pytest.mark.parametrize("strict", [False, True])
def test_good_images_are_read(good: Good, strict: bool) -> None:
    data = good.build()
    image = open_image(data[:PREFIX], size=len(data), **claims(good))
    rule = None if image.refusal is None else image.refusal.rule
    assert (image.kind, rule) == (good.kind, good.unchanged)
    if strict and good.unchanged is not None:
        with pytest.raises(ImageUnacceptableError, match=good.unchanged):
            image.reader(strict=True)
        return
    assert read_disk(data, strict=strict, step=7777, **claims(good)) == good.disk


@pytest.mark.parametrize("case", [case for case in CASES if case.converted is None],
                         ids=lambda case: f"{case.rule}-{case.name}"[:60])  # fmt: skip
def test_images_accepted_only_when_converted_are_read(case: Case) -> None:
    data = case.build()
    assert read_disk(data, step=999, **claims(case)) == RAW
    if case.rule.startswith(("header.", "descriptor.", "extent.")):
        image = open_image(data[:PREFIX], size=len(data))
        assert image.refusal is not None
        assert image.refusal.rule == case.rule
        assert not image.importable


def test_hints_name_a_command_or_an_action() -> None:
    for case in CASES:
        data = case.build()
        with pytest.raises(ImageUnacceptableError) as caught:
            read_disk(data, strict=True, **claims(case))
        assert caught.value.hint, case


@pytest.mark.parametrize(
    ("data", "claimed", "disk_type", "hint"),
    [
        (SPARSE, "raw", None, "--disk-format vmdk --container-format bare --property vmware_disktype=sparse"),
        (STREAM, "iso", None, "--property vmware_disktype=streamOptimized"),
        (RAW, "iso", None, "--disk-format raw --container-format bare --file"),
        (ISO, "raw", None, "--disk-format iso"),
        (SPARSE, "vmdk", "preallocated", "openstack image set --property vmware_disktype=sparse"),
        (RAW, "vmdk", "sparse", "openstack image set --property vmware_disktype=preallocated"),
    ],
)  # fmt: skip
def test_a_wrong_claim_is_corrected_and_not_the_bytes(
    data: bytes, claimed: str, disk_type: str | None, hint: str
) -> None:
    with pytest.raises(ImageUnacceptableError) as caught:
        open_image(data, size=len(data), claimed=claimed, disk_type=disk_type)
    assert hint in str(caught.value)
    assert "convert" not in str(caught.value)


def test_bytes_that_are_not_read_come_before_wrong_claims() -> None:
    # Else the hint would lead from one refusal to the next.
    with pytest.raises(
        ImageUnacceptableError, match=r"format\.unsupported.*qemu-img convert -f vhdx"
    ):
        open_image(b"vhdxfile".ljust(65536, b"\0"), size=65536, claimed="iso")


def test_the_last_bytes_decide_where_they_are_known() -> None:
    footer = b"conectix".ljust(512, b"\0")
    with pytest.raises(ImageUnacceptableError, match=r"VHD.*-f vpc"):
        open_image(RAW, size=len(RAW) + 512, tail=footer)


def test_streams_of_version_3_that_keep_the_strict_rules_are_importable() -> None:
    assert open_image(STREAM, size=len(STREAM)).importable
    older = head(STREAM, version=1)
    assert not open_image(older, size=len(older)).importable
    assert not open_image(SPARSE, size=len(SPARSE)).importable


def test_the_limit_of_the_capacity() -> None:
    for data, rule in ((RAW, "size.capacity"), (SPARSE, "header.capacity")):
        with pytest.raises(ImageUnacceptableError, match=rule):
            open_image(data, size=len(data), max_capacity=len(RAW) - 512)


def test_the_bytes_that_decide() -> None:
    assert prefix_bytes(b"") == prefix_bytes(RAW) == prefix_bytes(STREAM) == 64 << 10
    wide = head(SPARSE, descriptor_size=1000)
    assert prefix_bytes(wide[:512]) == 1001 * 512
    assert prefix_bytes(head(SPARSE, descriptor_size=1 << 60)) == PREFIX


def test_properties() -> None:
    image = open_image(STREAM, size=len(STREAM))
    assert (image.capacity, image.grain_bytes) == (len(RAW), 65536)
    assert (image.adapter_type, image.create_type) == ("lsilogic", "streamOptimized")
    assert [open_image(data, size=len(data)).extension for data in (RAW, ISO, SPARSE)] == [
        "img",
        "iso",
        "vmdk",
    ]


def test_only_streams_have_deflated_grains() -> None:
    with pytest.raises(ValueError, match="streamOptimized"):
        open_image(SPARSE, size=len(SPARSE)).grain_reader()


@settings(max_examples=300, deadline=None)
@given(
    which=st.sampled_from([SPARSE, STREAM]),
    at=st.one_of(st.integers(0, 600), st.integers(0, len(STREAM) - 1)),
    data=st.binary(min_size=1, max_size=12),
    step=st.integers(1000, 1 << 20),
    strict=st.booleans(),
)
def test_a_damaged_image_is_read_or_breaks_a_rule(
    which: bytes, at: int, data: bytes, step: int, strict: bool
) -> None:
    damaged = (which[:at] + data + which[at + len(data) :])[: len(which)]
    rule, _ = outcome(damaged, strict=strict, step=step)
    assert rule is None or "." in rule


@settings(max_examples=100, deadline=None)
@given(st.binary(min_size=1, max_size=2000))
def test_any_header_breaks_a_rule(data: bytes) -> None:
    whole = (b"KDMV" + data).ljust(4096, b"\0")
    with pytest.raises(ImageUnacceptableError):
        open_image(whole, size=len(whole))


def test_a_header_survives_a_round_trip() -> None:
    for image in (SPARSE, STREAM):
        assert header.pack(header.unpack(image)) == image[:512]
