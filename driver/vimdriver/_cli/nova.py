"""`vimctl nova`: what nova's own programs need of us."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from vimdriver._cli.flags import Flag
from vimdriver._cli.output import OUTPUT, Output
from vimdriver.errors import DriverError, MissingNovaError
from vimlib._text import printable

# Nova imports `nova.virt.NAME` alone, and a wheel cannot put a file there because of an extra.
_SHIM: Final = """\
# Written by `vimctl nova install-shim`: compute_driver = esx.ESXNovaDriver
from vimdriver.nova import ESXNovaDriver  # noqa: F401
"""


async def install_shim(*, remove: Flag = False, output: Output = OUTPUT) -> None:
    """Write `nova/virt/esx.py`, which `compute_driver = esx.ESXNovaDriver` of nova.conf names.

    Only for those who start nova-compute themselves: `vimdriver-nova-compute` needs no file. The
    file belongs to the environment of this command; upgrading nova may remove it.

    Args:
        remove: Remove the file instead.
    """
    path = _place()
    try:
        there = path.read_text(encoding="utf-8") if path.exists() else None
        if there is not None and there != _SHIM:
            raise DriverError(
                f"{printable(str(path))} was not written by this command",
                hint="Move it away first, or use vimdriver-nova-compute.",
            )
        if remove:
            path.unlink(missing_ok=True)
        elif there is None:
            path.write_text(_SHIM, encoding="utf-8")
    except OSError as error:
        raise DriverError(
            f"cannot write {printable(str(path))}: {error.strerror}",
            hint="Run it as the user who owns nova's environment, or use vimdriver-nova-compute.",
        ) from error
    document = {"path": str(path), "installed": not remove}
    output.document(document, f"{'removed' if remove else 'installed'}: {path}")


def _place() -> Path:
    # Nova's package is found without being imported.
    found = find_spec("nova")
    for folder in (found.submodule_search_locations or ()) if found else ():
        virt = Path(folder, "virt")
        if virt.is_dir():
            return virt / "esx.py"
    raise MissingNovaError(python=sys.executable)
