"""Managers that need machines, datastores and the host: search, disks, counters, reboot."""
