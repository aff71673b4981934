"""The base of every other package: the registry, managed objects, handlers, calls, sessions as
values, the clock, releases, fault injection. Must not name a managed type.
"""
