"""Benchmarks against other tools: `python -m bench.NAME`, or `nox -s bench`."""
