"""Generated attacks on every verb, each case with a verdict that can fail: `nox -s attacks`.

`lies`     a reported success is on the host; a reported refusal changed nothing there
`endless`  every operation ends by its deadline, whatever the peer does
`foreign`  what others made on the host is never changed or removed
`secrets`  no secret is in a message, a log, a frame, a pickle, an output or a file
`lifecycle` two processes work on the same machines: one machine for a uuid, and nothing is left over

Each module makes cases from a seed; `python -m tests.attacks KIND --seed N --case K` repeats one.
`core` runs them; `network` is TCP in memory, and `world` a simulated host behind a proxy on it, so a case takes
milliseconds, and waits take no time. Cases use the public interfaces alone.
"""
