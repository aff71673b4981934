"""Names of guest systems, as a host shows them beside their ids."""

from __future__ import annotations

__all__ = ["full_name"]

_NAMES = {
    "otherGuest": "Other (32-bit)",
    "otherGuest64": "Other (64-bit)",
    "otherLinuxGuest": "Other Linux (32-bit)",
    "otherLinux64Guest": "Other Linux (64-bit)",
    "otherLinux": "Other Linux (32-bit)",
    "ubuntuGuest": "Ubuntu Linux (32-bit)",
    "ubuntu64Guest": "Ubuntu Linux (64-bit)",
    "debian10_64Guest": "Debian GNU/Linux 10 (64-bit)",
    "debian11_64Guest": "Debian GNU/Linux 11 (64-bit)",
    "debian12_64Guest": "Debian GNU/Linux 12 (64-bit)",
    "rhel7_64Guest": "Red Hat Enterprise Linux 7 (64-bit)",
    "rhel8_64Guest": "Red Hat Enterprise Linux 8 (64-bit)",
    "rhel9_64Guest": "Red Hat Enterprise Linux 9 (64-bit)",
    "windows9_64Guest": "Microsoft Windows 10 (64-bit)",
    "windows2019srv_64Guest": "Microsoft Windows Server 2019 (64-bit)",
    "vmkernel65Guest": "VMware ESXi 6.5 or later",
}


def full_name(guest_id: str) -> str:
    """Return the name of a guest id; one that is not listed is shown as its id."""
    return _NAMES.get(guest_id, guest_id)
