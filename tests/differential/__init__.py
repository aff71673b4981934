"""One script of faults, three clients: which ones duplicate calls, hang, lie, trust or leak.

`scenarios`  the table: the fault, the client's action, and the judge of the result
`verdict`    the words, and the judges, which use only the observations
`servers`    the host behind the relay: our simulator, or vcsim
`cell`       one scenario with one client, in its own process with a deadline
`clients/`   one adapter per client, each written as that client's own documents show it
`report`     the table that `nox -s differential` prints and writes

`python -m tests.differential --help` shows how to run a part of it.
"""
