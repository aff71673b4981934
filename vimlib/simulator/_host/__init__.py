"""The host in the inventory: folders, the host system, its network, its resources."""
