"""Networks on the host: flat ones, which must exist, and VLANs, which are made."""
