"""What tests break things with, on loopback only.

`stage`   a TCP or TLS server whose every connection plays a script
`proxy`   a proxy before a real peer that delays, cuts, resets, throttles, flips and replaces
`relay`   the same by call: loses, cuts, trickles or replaces the reply to one method
`host`    a small vSphere host on a stage: sessions, a call log, faults on demand
`certs`   throw-away certificates, good and bad ones
`cancel`  a coroutine cancelled, or let down, at each of its awaits
`line`    a line to a server that is cut at a chosen moment
`clock`   event loops whose clocks run when nobody is busy
`leaks`   descriptors and tasks before and after
`differential`  the same faults for pyVmomi and oslo.vmware: a program
`canary`  secrets, looked for in logs, reprs and tracebacks
"""
