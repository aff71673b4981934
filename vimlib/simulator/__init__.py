"""An ESX host in a process, from the other side of the wire.

Uses `vimlib.soap` and `vimlib.vim25` to serve what a client calls, on loopback, over TLS. May
import nothing of the client side: no session, no transport, no driver.
"""
