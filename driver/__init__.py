"""The compute driver: images, instances and networks of an ESX host.

Stands on `vimlib`. Nothing in `vimlib` may import it.
"""
