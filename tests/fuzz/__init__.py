"""Fuzzers that run for a given number of cases: `nox -s fuzz`, or `python -m tests.fuzz.NAME`."""
