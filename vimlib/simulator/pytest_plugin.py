"""Fixtures for tests against the simulator.

Loaded by every pytest run of an environment that has vimlib, so nothing of vimlib is imported until
a fixture is asked for.
"""
