"""A slice of a long run states where the next one begins."""

from __future__ import annotations

import argparse

import pytest

from tests.rig.slices import add_arguments, numbers


def test_a_slice_ends_at_its_deadline_and_names_the_next_number(
    capsys: pytest.CaptureFixture[str],
) -> None:
    parser = argparse.ArgumentParser()
    add_arguments(parser, "--flows", 100)
    given = parser.parse_args("--flows 9 --first 5 --seconds 30".split())
    times = iter([0.0, 1.0, 25.0, 31.0])
    assert list(numbers(given, lambda: next(times))) == [5, 6]
    assert capsys.readouterr().err == "1 of 9 done, next: 6\n2 of 9 done, next: 7\n"


def test_a_slice_ends_with_its_last_case(capsys: pytest.CaptureFixture[str]) -> None:
    given = argparse.Namespace(cases=3, first=0, seconds=30.0)
    assert list(numbers(given, lambda: 0.0)) == [0, 1, 2]
    assert capsys.readouterr().err == ""
