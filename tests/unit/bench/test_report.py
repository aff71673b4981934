from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.page import BEGIN, END, claims, curve_svg, table, write
from bench.report import Row, at_least, at_most, beside, cells, emit, figure, markdown, text

RUN = {
    "began": "2026-11-24T08:00:00+00:00",
    "quick": False,
    "machine": {
        "processor": "one",
        "cores": 2,
        "memory_gib": 4.0,
        "system": "Linux",
        "load": [0.1, 0.2, 0.3],
        "backend": "pure",
        "versions": {"vimlib": "0.1.0"},
    },
    "benches": {
        "codec": {
            "details": {
                "curve": [
                    {"machines": 1, "bytes": 8000, "decode, pure": 0.001, "decode, zeep": 0.01},
                    {"machines": 9, "bytes": 72000, "decode, pure": 0.009, "decode, zeep": 0.09},
                ]
            }
        }
    },
}


@pytest.mark.parametrize(
    ("ours", "peer", "more", "ratio", "met"),
    [
        (2.0, 5.0, False, 2.5, True),
        (2.0, 3.9, False, 1.95, False),
        (2.0, 4.0, False, 2.0, True),
        (5.0, 2.0, True, 2.5, True),
        (2.0, 5.0, True, 0.4, False),
        (0.0, 5.0, False, float("inf"), True),
        (5.0, 0.0, True, float("inf"), True),
    ],
)
def test_a_ratio_says_how_many_times_better_ours_is(
    ours: float, peer: float, more: bool, ratio: float, met: bool
) -> None:
    row = beside("a", ours, "s", "other", peer, 2, more_is_better=more)
    assert (row.ratio, row.met, row.wanted) == (ratio, met, "2x")


def test_what_nobody_asked_for_is_neither_met_nor_missed() -> None:
    assert beside("a", 1, "s", "other", 2).met is None
    assert at_most("a", 1, "s").met is None


@pytest.mark.parametrize(("value", "met"), [(3.9, True), (4.0, True), (4.1, False)])
def test_a_bound_is_kept_up_to_itself(value: float, met: bool) -> None:
    assert at_most("a", value, "MiB", 4).met is met
    assert at_least("a", -value, "MiB", -4).met is met


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.0, "0"),
        (1.0, "1"),
        (0.04213, "0.0421"),
        (3.14159, "3.14"),
        (12.34, "12.3"),
        (123.4, "123"),
        (12345.6, "12,346"),
        (float("inf"), "inf"),
    ],
)
def test_figures_have_three_digits_that_count(value: float, shown: str) -> None:
    assert figure(value) == shown


def test_a_miss_is_seen_in_both_tables() -> None:
    missed, met = at_most("slow", 9, "s", 1), at_most("fine", 1, "s", 1)
    assert cells(missed)[-1] == "MISSED"
    assert text([missed, met]).count("MISSED") == 1
    assert markdown([missed, met]).count("**missed**") == 1
    assert "Missed: slow." in table(RUN, [missed, met])


def test_a_page_says_when_its_run_was_a_quick_one() -> None:
    assert "quick run" not in table(RUN, [])
    assert "quick run" in table({**RUN, "quick": True}, [])


def test_a_document_brings_its_rows_back(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [beside("a", 1.5, "s", "other", 3.0, 2), at_most("b", 1, "MiB")]
    emit("codec", rows, {"x": 1}, as_json=True)
    document = json.loads(capsys.readouterr().out)
    assert [Row(**row) for row in document["rows"]] == rows


def test_readme_claims_what_the_page_has() -> None:
    rows = [beside(f"row {n}", 1, "s", "other", n, 1) for n in range(1, 20)]
    shown = [line for line in claims(RUN, rows).splitlines() if "| row" in line]
    assert len(shown) < len(rows)
    assert all(line in table(RUN, rows) for line in shown)


def test_readme_shows_each_row_that_is_lost_or_missed() -> None:
    rows = [beside(f"won {n}", 1, "s", "other", n, 1) for n in range(2, 20)]
    lost, missed = beside("lost", 2, "s", "other", 1), at_most("missed", 3, "MiB", 2)
    shown = claims(RUN, [*rows, lost, missed])
    _, _, lesser = shown.partition("What we lose or miss:")
    assert [line.split(" | ")[0] for line in lesser.splitlines() if line.startswith("| ")] == [
        "| ",
        "| lost",
        "| missed",
    ]


def test_readme_shows_what_connecting_costs_however_small_the_ratio() -> None:
    rows = [beside(f"row {n}", 1, "s", "other", n, 1) for n in range(2, 20)]
    shown = claims(RUN, [*rows, beside("vimlib.connect: CPU", 10, "ms", "other", 11, 1)])
    assert "vimlib.connect" in shown.partition("What we lose or miss:")[0]


def test_only_what_is_between_the_marks_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.page.ROOT", tmp_path)
    page, readme = tmp_path / "benchmarks.md", tmp_path / "README.md"
    page.write_text(f"above\n{BEGIN.format('table')}\nold\n{END}\nbelow\n")
    readme.write_text(f"above\n{BEGIN.format('measured')}\nold\n{END}\nbelow\n")
    rows = [beside("a", 1, "s", "other", 2, 1)]
    for _ in range(2):  # a second run finds the marks again
        assert write(page, RUN, rows) == [page, tmp_path / "decode.svg", readme]
    for path in (page, readme):
        content = path.read_text()
        assert content.startswith("above\n")
        assert content.endswith("\nbelow\n")
        assert "old" not in content
        assert content.count("| a |") == 1


def test_a_page_without_marks_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.page.ROOT", tmp_path)
    page = tmp_path / "benchmarks.md"
    page.write_text("all mine\n")
    with pytest.raises(SystemExit, match="has no lines"):
        write(page, RUN, [])
    assert page.read_text() == "all mine\n"


def test_the_plot_has_a_line_for_each_reader_inside_its_frame() -> None:
    svg = curve_svg(RUN["benches"]["codec"]["details"]["curve"])  # type: ignore[index]
    assert svg.count('<path class="line"') == 2
    assert "vimlib, pure" in svg
    for mark in ("nan", "inf", '="-'):
        assert mark not in svg
