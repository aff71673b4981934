"""One script of faults, three clients: who duplicates, hangs, lies, trusts or leaks.

`scenarios`  the table: what is broken, what the client is asked to do, how what came of it is judged
`verdict`    the words, and the judges, which look at what was observed and nothing else
`servers`    the host behind the relay: our simulator, or vcsim
`cell`       one scenario with one client, in a process of its own with a deadline
`clients/`   one adapter a client, each written as that client's own documents show it
`report`     the table that `nox -s differential` prints and writes

`python -m tests.differential --help` says how to run a part of it.
"""
