"""Networks of the host: flat (the port group must exist) and VLAN (it is made where it is missing).

`facts` reads and looks things up in what was read, `vlan` makes and removes, `ownership` remembers
what we made. The guest's side is `vimdriver._guestinfo`.
"""

from vimdriver._networks.facts import PortGroup, check_networks, list_port_groups
from vimdriver._networks.vlan import ensure_vlan, remove_vlan

__all__ = ["PortGroup", "check_networks", "ensure_vlan", "list_port_groups", "remove_vlan"]
