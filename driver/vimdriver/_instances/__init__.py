"""Machines: one module a verb or noun.

`types`, `plan` and `devices` are pure: what a caller says, what will be done, the API's specs.
`lookup`, `place`, `spawn`, `removal`, `power`, `snapshots`, `screen`, `guest` act, in steps of
`vimdriver._steps`.
"""
