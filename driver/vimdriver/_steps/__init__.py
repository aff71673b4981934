"""What every verb that writes is made of, whether on machines, images or networks.

`outcome` brings a task of the host to a known end, `files` deletes and moves by it, `room` asks
whether a datastore can take more, `clock` what time the host has, `undo` is how acting is taken
back. Nothing in here knows of
machines, images or networks; `vimdriver._instances`, `vimdriver._images` and `vimdriver._networks` stand on it.
"""
