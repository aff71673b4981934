"""Scripted guests: files, programs and processes inside machines, and the guest operations of the API."""
