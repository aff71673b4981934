"""Machines: one module a verb or noun.

`types`, `plan` and `devices` are pure: specifications, and the API's objects made from them.
`machine` finds and reads machines. `spawn`, `destroy`, `power`, `snapshots`, `guest` and `screen`
are the verbs that write, in the shape of `vimdriver._verbs`; `diagnostics` and `events` only read.
"""
