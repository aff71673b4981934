"""Disks on a datastore: `ensure_disk` turns an image into one; push, spawn and the cache use it.

An image is judged by its first bytes before anything is made on the host. Then its disk is made under
a name that nobody else uses, and published by a move, which is atomic: of two processes that make the
same disk, one publishes it, and the other finds it there.

`peek`      the first bytes of a source, whose body then continues, and its hash
`stage`     an image's bytes into those of its disk (no I/O); `load` sends them
`transfer`  the way onto the host, chosen by rule (no I/O)
`flat`      the steps of the PUT of a flat extent
`imported`  the steps of an NFC import, by a machine that lives as long as it takes
`record`    the small file next to a disk: the hash of its image
`manager`   calls to the host's VirtualDiskManager
`ensure`    `ensure_disk`: gather, plan, run
"""
