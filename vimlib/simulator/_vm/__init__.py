"""Virtual machines: their configuration, devices, power, snapshots, leases."""
