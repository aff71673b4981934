"""Fault injection for tests, on loopback only.

`stage`   a TCP or TLS server that plays a script on each connection
`proxy`   a TCP proxy that cuts, resets, holds or flips after a number of bytes, or on command
`relay`   the same per call: loses, cuts, trickles or replaces the reply to one method
`host`    a small vSphere host on a stage: sessions, a call log, injected faults
`login`   a client of a simulated host
`between` a simulated host behind a relay, with a client, on one fake clock
`certs`   throw-away certificates, good and bad ones
`cancel`  runs a coroutine that is cancelled, or fails, at each of its awaits
`clock`   event loops whose clocks advance only when everything is idle
`leaks`   descriptors and tasks before and after
`differential`  the same faults for pyVmomi and oslo.vmware: a program
`canary`  searches logs, reprs and tracebacks for secrets
"""
