"""Logging in, staying in, and logging in again once for everyone who waits.

`policy` decides what may be repeated and does no I/O; the rest acts. Stands on the transport, and
may import nothing from the helpers or the client above.
"""
