"""Neutron's mechanism driver `esx`: binds ports of machines on standalone ESX hosts.

`ESXMechanismDriver` is the entry point `esx` of the group `neutron.ml2.mechanism_drivers`; extra
`neutron`, in the environment of neutron's server. It talks to no host: nova's compute service makes
the port groups that it names.

`_mechanism`  the driver
`_binding`    which segments are bound, and how; no I/O, nothing of neutron
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vimlib._lazy import lazy

if TYPE_CHECKING:
    from vimdriver.neutron._mechanism import ESXMechanismDriver

__all__ = ["ESXMechanismDriver"]

__getattr__, __dir__ = lazy(__name__, {"_mechanism": "ESXMechanismDriver"})
