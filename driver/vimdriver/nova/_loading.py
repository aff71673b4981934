"""The command `vimdriver-nova-compute`.

Nova imports `nova.virt.NAME` for ``compute_driver = NAME.CLASS`` and nothing else, and a wheel cannot
put a file there because of an extra. The command gives our package that name and runs nova's own
`main`.
"""

from __future__ import annotations

import sys


def name_module() -> None:
    """Give this package the name `nova.virt.esx`."""
    import nova.virt

    import vimdriver.nova

    sys.modules["nova.virt.esx"] = vimdriver.nova
    nova.virt.esx = vimdriver.nova


def main() -> None:
    """Run `nova-compute` with ``esx.ESXNovaDriver`` known to it; the arguments are nova's."""
    # Before anything else of nova: it chooses threads or eventlet, and asyncio needs threads.
    from nova.cmd import compute

    name_module()
    compute.main()
