"""Start the real programs that the integration tests, the demo's tests and the bench use.

Each starter is a context manager that returns when its peer answers, within a deadline; on exit it
ends the peer and removes its files. Expensive parts (a compiled vcsim, a virtual environment for
Glance) are built once into `cache.root()`. Nothing here imports pytest or vimlib: the fixtures are
in `tests/integration/conftest.py`.
"""
