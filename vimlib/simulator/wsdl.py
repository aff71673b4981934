"""The WSDL of the simulated release."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vimlib.simulator.versions import Release

__all__ = ["document"]


def document(name: str, release: Release) -> bytes | None:
    """Return a file of the WSDL, None if there is none of that name."""
    return None
