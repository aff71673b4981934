"""What a host's licence forbids, told in our words."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from vimdriver.errors import HostReadOnlyError
from vimlib import vim25

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vimlib._client import Client

__all__ = ["licensed"]


@contextmanager
def licensed(client: Client) -> Iterator[None]:
    """Turn the fault RestrictedVersion, with which a free licence answers writes, into our error.

    Raises:
        HostReadOnlyError: The block met it.
    """
    try:
        yield
    except vim25.RestrictedVersion as fault:
        raise HostReadOnlyError(host=client.host) from fault
