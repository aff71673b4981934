"""Nova's compute driver: `nova-compute` runs machines on standalone ESX hosts.

`compute_driver = esx.ESXNovaDriver` loads `ESXNovaDriver`. The command
`vimdriver-nova-compute` runs nova's own service with it; ``vimctl nova install-shim`` writes the
file that `nova-compute` itself needs. Extra `nova`; `import vimdriver` never imports nova.

`_driver`       nova's methods, a line of intent each
`_access`       the hosts of a service for nova's threads
`_disks`        an image as a disk in a datastore's cache
`_service_user` the tokens of nova's service user
`_snapshots`    the image that nova has made for a snapshot
`_refusals`     operations that are not supported, and why
`_hosts`        from the configuration to clients, connected in the background
`_map`          nova's objects to ours, the meaning of our errors; no I/O, nothing of nova
`_faults`       nova's errors in place of ours
`_resources`    inventory, traits and the host's figures; no I/O
`_diagnostics`  a machine's figures in nova's forms; no I/O
`_events`       changes on the hosts to nova's lifecycle events, and whether a host is away
`_options`      the group `[esx]`
`_loading`      the command, and the module's name below `nova.virt`
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vimlib._lazy import lazy

if TYPE_CHECKING:
    from vimdriver.nova._driver import ESXNovaDriver

__all__ = ["ESXNovaDriver"]

__getattr__, __dir__ = lazy(__name__, {"_driver": "ESXNovaDriver"})
