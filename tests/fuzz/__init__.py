"""Programs that look for trouble for as long as they are let: `nox -s fuzz`, or `python -m tests.fuzz.NAME`."""
