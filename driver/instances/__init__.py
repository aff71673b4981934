"""Virtual machines: one module a verb or noun; spec builders are pure functions."""
