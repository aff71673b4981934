"""The name under which this project is installed, which is not its import name.

`vimlib` and `driver` on the public index belong to other projects, so every hint that tells a
reader what to install takes the name from here.
"""

from __future__ import annotations

from typing import Final

from vimlib.errors import MissingExtraError

DISTRIBUTION: Final = "vimlib-esx"
"""Name in `pyproject.toml`, to be given to pip."""


def install_command(extra: str) -> str:
    """Return the command that installs this distribution with one of its extras."""
    return f"pip install '{DISTRIBUTION}[{extra}]'"


def missing_extra(feature: str, *, package: str, extra: str) -> MissingExtraError:
    """Return the error for a feature whose optional package is not installed."""
    return MissingExtraError(
        f"{feature} needs the package {package}",
        hint=f"Install it with: {install_command(extra)}",
        package=package,
        extra=extra,
    )
