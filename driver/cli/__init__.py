"""The command `vimctl`: arguments, progress, tables, JSON and exit codes.

Decides nothing about a host itself: all that happens goes through `driver` below.
"""
