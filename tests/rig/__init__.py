"""Fault injection for tests, on loopback only.

`stage`   a TCP or TLS server that plays a script on each connection
`proxy`   a proxy in front of a real peer that delays, cuts, resets, throttles, flips and replaces
`relay`   the same per call: loses, cuts, trickles or replaces the reply to one method
`host`    a small vSphere host on a stage: sessions, a call log, injected faults
`certs`   throw-away certificates, good and bad ones
`cancel`  runs a coroutine that is cancelled, or fails, at each of its awaits
`line`    a TCP forwarder that cuts its connections on command
`clock`   event loops whose clocks advance only when everything is idle
`leaks`   descriptors and tasks before and after
`differential`  the same faults for pyVmomi and oslo.vmware: a program
`canary`  searches logs, reprs and tracebacks for secrets
"""
