from __future__ import annotations

import tracemalloc
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.driver.images.corpus import (
    CASES,
    PATTERN,
    RAW,
    SPARSE,
    STREAM,
    Case,
    head,
    text,
)
from vimdriver._images.formats import header
from vimdriver._images.inspect import RULES, DiskFacts, InspectLimits, Inspector
from vimdriver._images.make import Kind, Pattern, make
from vimdriver.errors import ImageUnacceptableError


def run(inspector: Inspector, data: bytes, step: int) -> DiskFacts:
    for at in range(0, len(data), step):
        inspector.feed(data[at : at + step])
    return inspector.finish()


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c.rule}:{c.name[:40]}")
@pytest.mark.parametrize("step", [4099, 1 << 20])
def test_one_broken_rule_is_named(case: Case, step: int) -> None:
    data = case.build()
    inspectors: list[Inspector] = []
    with pytest.raises(ImageUnacceptableError) as caught:
        judge(case, data, step, inspectors)
    assert caught.value.rule == case.rule, caught.value
    assert caught.value.retryable is False
    assert caught.value.hint
    if case.early:
        assert not any(inspector.decided for inspector in inspectors)


def judge(case: Case, data: bytes, step: int, seen: list[Inspector]) -> None:
    inspector = Inspector(size=len(data), claim=case.claim, disk_type=case.disk_type)
    seen.append(inspector)
    run(inspector, data, step)


def test_the_corpus_breaks_every_rule() -> None:
    assert {case.rule for case in CASES} | {"size.cap", "format.container", "format.name"} == set(
        RULES
    )
    assert len(CASES) >= 60


def test_sizes_beyond_the_limits_are_refused() -> None:
    limits = InspectLimits(max_bytes=100, max_capacity=4096 * 512 - 512)
    with pytest.raises(ImageUnacceptableError) as caught:
        Inspector(size=101, limits=limits)
    assert caught.value.rule == "size.cap"
    with pytest.raises(ImageUnacceptableError) as caught:
        run(Inspector(size=len(SPARSE), limits=replace(limits, max_bytes=1 << 30)), SPARSE, 9999)
    assert caught.value.rule == "header.capacity"
    with pytest.raises(ImageUnacceptableError) as caught:
        run(Inspector(size=len(RAW), limits=replace(limits, max_bytes=1 << 30)), RAW, 9999)
    assert caught.value.rule == "size.cap"


GRAIN = 64 << 10
CAPACITY = PATTERN.capacity

GOOD = [
    ("raw", RAW, "raw", None, DiskFacts(kind="raw", capacity_bytes=CAPACITY)),
    ("raw, unclaimed", RAW, None, None, DiskFacts(kind="raw", capacity_bytes=CAPACITY)),
    ("flat as in 2011", RAW, "vmdk", None, DiskFacts(kind="raw", capacity_bytes=CAPACITY)),
    ("flat", RAW, "vmdk", "preallocated", DiskFacts(kind="raw", capacity_bytes=CAPACITY)),
    ("one byte", b"x", "raw", None, DiskFacts(kind="raw", capacity_bytes=1)),
    *(
        (
            f"{create} {claim} {disk_type}",
            data,
            claim,
            disk_type,
            DiskFacts(
                kind=create,
                capacity_bytes=CAPACITY,
                create_type=create,
                adapter_type="lsilogic",
                grain_bytes=GRAIN,
            ),
        )
        for create, data, disk_types in (
            ("monolithicSparse", SPARSE, (None, "sparse", "monolithicSparse")),
            ("streamOptimized", STREAM, (None, "streamOptimized")),
        )
        for claim in ("vmdk", None)
        for disk_type in disk_types
    ),
]


@pytest.mark.parametrize(
    ("name", "data", "claim", "disk_type", "facts"), GOOD, ids=lambda v: str(v)[:30]
)
@pytest.mark.parametrize("step", [613, 65536, 1 << 24])
def test_good_images_pass(
    name: str, data: bytes, claim: str | None, disk_type: str | None, facts: DiskFacts, step: int
) -> None:
    assert run(Inspector(size=len(data), claim=claim, disk_type=disk_type), data, step) == facts


ISO = bytes(0x8001) + b"CD001" + bytes(60 << 10)
GPT = bytes(512) + b"EFI PART" + bytes(60 << 10)


@pytest.mark.parametrize(
    ("data", "claim", "disk_type", "kind", "extension"),
    [
        (ISO, "iso", None, "iso", "iso"),
        (ISO, None, None, "iso", "iso"),
        (ISO, "raw", None, "raw", "img"),
        (GPT, "raw", None, "raw", "img"),
        (GPT, None, None, "raw", "img"),
        (GPT, "vmdk", "preallocated", "raw", "img"),
        (SPARSE, "vmdk", None, "monolithicSparse", "vmdk"),
    ],
)
def test_the_content_of_a_disk_is_not_checked(
    data: bytes, claim: str, disk_type: str | None, kind: str, extension: str
) -> None:
    facts = run(Inspector(size=len(data), claim=claim, disk_type=disk_type), data, 10000)
    assert (facts.kind, facts.extension) == (kind, extension)


@pytest.mark.parametrize(
    ("data", "old", "new"),
    [
        (STREAM, 'RW 4096 SPARSE "disk.vmdk"', 'RDONLY 4096 SPARSE "generated-stream.vmdk"'),
        (SPARSE, '"disk.vmdk"', '"Windows 7 (2).vmdk"'),
        (SPARSE, "version=1", 'version=1\r\nencoding="windows-1252"\r\nisNativeSnapshot="no"\r'),
        (SPARSE, "#DDB", 'ddb.longContentID = "0123456789abcdef0123456789abcdef"'),
        (SPARSE, "#DDB", 'ddb.uuid = "60 00 C2 9b 3f 6d ea 9e-7a 5b 8f 2c 11 22 33 44"'),
        (SPARSE, "#DDB", 'ddb.comment=""\nddb.toolsInstallType = "4"'),
        (SPARSE, "parentCID=ffffffff", "parentCID=FFFFFFFF"),
    ],
)
def test_images_of_other_writers_pass(data: bytes, old: str, new: str) -> None:
    changed = text(data, old, new)
    assert run(Inspector(size=len(changed), claim="vmdk"), changed, 1 << 20).create_type


def test_nothing_is_decided_before_the_descriptor_is_complete() -> None:
    wide = SPARSE[: 21 * 512] + bytes(400 * 512)
    wide = head(wide, descriptor_size=100, rgd=101, gd=120, overhead=200)
    inspector = Inspector(size=len(wide))
    inspector.feed(wide[: 101 * 512 - 1])
    before = inspector.decided
    inspector.feed(wide[101 * 512 - 1 : 101 * 512])
    assert (before, inspector.decided, inspector.idle) == (False, True, False)


def test_a_flat_image_is_idle_once_decided() -> None:
    inspector = Inspector(size=len(RAW), claim="raw")
    inspector.feed(RAW[: 36 << 10])
    assert inspector.decided
    assert inspector.idle


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["monolithicSparse", "streamOptimized"])
def test_memory_stays_constant(kind: Kind) -> None:
    pattern = Pattern(3, 40 << 20)
    size = sum(len(chunk) for chunk in make(kind, pattern))
    inspector = Inspector(size=size, claim="vmdk")
    chunks = make(kind, pattern)
    inspector.feed(b"".join(next(chunks) for _ in range(9)))
    tracemalloc.start()
    try:
        for chunk in chunks:
            inspector.feed(chunk)
        inspector.finish()
        assert tracemalloc.get_traced_memory()[1] < 2 << 20
    finally:
        tracemalloc.stop()


@settings(max_examples=300, deadline=None)
@given(
    which=st.sampled_from([SPARSE, STREAM]),
    at=st.one_of(st.integers(0, 600), st.integers(0, len(STREAM) - 1)),
    data=st.binary(min_size=1, max_size=12),
    step=st.integers(1000, 1 << 20),
)
def test_a_damaged_image_passes_or_breaks_a_named_rule(
    which: bytes, at: int, data: bytes, step: int
) -> None:
    damaged = (which[:at] + data + which[at + len(data) :])[: len(which)]
    rule, facts = outcome(damaged, step)
    assert rule in RULES or (facts is not None and facts.capacity_bytes > 0)


def outcome(data: bytes, step: int) -> tuple[str | None, DiskFacts | None]:
    try:
        return None, run(Inspector(size=len(data), claim="vmdk"), data, step)
    except ImageUnacceptableError as error:
        return error.rule, None


@settings(max_examples=100, deadline=None)
@given(st.binary(min_size=1, max_size=2000))
def test_any_header_passes_or_breaks_a_named_rule(data: bytes) -> None:
    whole = (b"KDMV" + data).ljust(4096, b"\0")
    with pytest.raises(ImageUnacceptableError):
        run(Inspector(size=len(whole)), whole, 512)


def test_a_header_survives_a_round_trip() -> None:
    for image in (SPARSE, STREAM):
        assert header.pack(header.unpack(image)) == image[:512]
