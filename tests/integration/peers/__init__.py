"""Starters of the real programs that the integration tests, the demo's tests and the bench talk to.

Each starter is a context manager that returns when its peer answers, within a deadline, and that
ends it and removes its files on the way out. What is costly (a compiled vcsim, a virtual
environment for Glance) is built once into `cache.root()`. Nothing here imports pytest or vimlib:
the fixtures over the starters are in `tests/integration/conftest.py`.
"""
