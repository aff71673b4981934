from __future__ import annotations

import io
import json
import sys
from typing import Any

import pytest

from vimdriver._cli.output import Output, colour, shown, to_text
from vimdriver._cli.progress import Lines, meter
from vimdriver.errors import size_text

ROWS: list[dict[str, Any]] = [{"a": "x", "b": 1}, {"a": "\x1b[31m", "b": None}]


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def test_a_table_off_a_terminal_is_plain(capsys: pytest.CaptureFixture[str]) -> None:
    Output().table(("a", "b"), ROWS)
    assert capsys.readouterr().out == "A         B\nx         1\n\\x1b[31m  -\n"


def test_a_table_without_rows_has_its_head(capsys: pytest.CaptureFixture[str]) -> None:
    Output().table(("a", "b"), [])
    assert capsys.readouterr().out == "A  B\n"
    Output(json=True).table(("a", "b"), [])
    assert capsys.readouterr().out == "[]\n"


def test_rows_as_json_are_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    Output(json=True).table(("a",), ROWS)
    assert json.loads(capsys.readouterr().out) == ROWS


def test_markup_is_not_interpreted_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("NO_COLOR", "1")
    Output().table(("a",), [{"a": "[red]x[/] \x1b[31m"}])
    assert "[red]x[/] \\x1b[31m" in terminal.getvalue()


@pytest.mark.parametrize(
    ("environ", "expected"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True), ({"TERM": "dumb"}, False)],
)
def test_colours_need_a_terminal_that_allows_them(
    monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], expected: bool
) -> None:
    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert colour(Terminal()) is expected
    assert colour(io.StringIO()) is False


def test_a_stream_that_is_not_utf8_gets_ascii(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    Output().line({"name": "\N{SNOWMAN}"})
    assert raw.getvalue() == b'{"name": "\\u2603"}\n'


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), (True, "yes"), (5, "5"), ("a\nb", "a\\nb"), ({"a": [1]}, '{"a": [1]}')],
)
def test_values_have_a_text_form(value: object, text: str) -> None:
    assert to_text(value) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (64 << 20, "64.0 MiB"), (3 << 40, "3.0 TiB")],
)
def test_sizes_have_binary_units(count: int, text: str) -> None:
    assert size_text(count) == text


def test_lines_are_printed_at_both_ends_and_every_ten_seconds() -> None:
    said: list[str] = []
    now = 0.0
    progress = Lines(said.append, lambda: now)
    progress.start("a", 2 << 20)
    progress.start("b\x1b", None)
    progress.advance("a", 1 << 20)
    now = 10.0
    progress.advance("b\x1b", 1024)
    progress.end("a")
    progress.end("b\x1b", ValueError("broke"))
    assert said == [
        "a: 2.0 MiB",
        "b\\x1b: size unknown",
        "a: 1.0 MiB of 2.0 MiB (50%); b\\x1b: 1.0 KiB",
        "a: done, 1.0 MiB in 10.0 s, 102.4 KiB/s",
        "b\\x1b: failed: broke",
    ]


@pytest.mark.parametrize("output", [Output(json=True), Output(quiet=True)])
def test_json_and_quiet_disable_progress(
    output: Output, capsys: pytest.CaptureFixture[str]
) -> None:
    with meter(output) as progress:
        progress.start("a", 1)
        progress.advance("a", 1)
        progress.end("a")
    assert capsys.readouterr().err == ""


def test_quiet_still_prints_errors(capsys: pytest.CaptureFixture[str]) -> None:
    with meter(Output(quiet=True)) as progress:
        progress.start("a", 1)
        progress.end("a", ValueError("broke"))
    assert capsys.readouterr().err == "a: failed: broke\n"


def test_a_file_name_that_is_not_utf8_is_valid_json(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="utf-8"))
    Output().line({"name": "\udcff\N{SNOWMAN}"})
    assert json.loads(raw.getvalue()) == {"name": "\udcff\N{SNOWMAN}"}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("https://bob:canary@h/a.img?sig=canary#sha256=ab", "https://h/a.img?...#sha256=ab"),
        ("HTTP://canary@h", "HTTP://h"),
        ("a@b?c", "a@b?c"),
        ("x\n", "x\\n"),
    ],
)
def test_no_secret_of_a_url_is_shown(name: str, text: str) -> None:
    assert shown(name) == text
    said: list[str] = []
    progress = Lines(said.append, lambda: 0.0)
    progress.start(name, 1)
    progress.advance(name, 1)
    progress.end(name)
    progress.end(name, ValueError("broke"))
    assert "canary" not in "".join(said)


def test_a_terminal_shows_a_bar_per_transfer_and_a_total(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("NO_COLOR", "1")
    with meter(Output()) as progress:
        progress.start("[b]one[/b]", 100)
        progress.advance("[b]one[/b]", 50)
        progress.start("two", 300)
        progress.advance("two", 300)
        progress.end("two")
        progress.end("[b]one[/b]", ValueError("broke [red]x[/]"))
    drawn = terminal.getvalue()
    assert "[b]one[/b] failed" in drawn
    assert "[b]one[/b]: failed: broke [red]x[/]\n" in drawn
    assert "350/400 bytes" in drawn


def test_other_streams_get_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with meter(Output()) as progress:
        progress.start("a", 1)
    assert capsys.readouterr().err == "a: 1 B\n"
