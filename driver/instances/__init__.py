"""Machines: one module a verb or noun.

`types` and `plan` and `devices` are pure: what a caller says, what will be done, the API's specs.
`lookup`, `place`, `spawn`, `removal`, `power`, `snapshots`, `screen`, `guest`, `files` act. `outcome` brings a task of the
host to a known end; `undo` is how acting is taken back.
"""
