"""WSDL in, a typed package like `vimlib.vim25` out.

Stands beside the floors: reads and writes files, talks to no server, is imported by nothing at run
time but the command line.
"""
