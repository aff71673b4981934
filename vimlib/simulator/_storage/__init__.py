"""Datastores, their files, and virtual disks as files."""
