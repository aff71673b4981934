"""A client of a simulated host, logged in as its user with the certificate pinned."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import vimlib
from vimlib.simulator import ESXHost


def connected(
    esx: ESXHost, password: str | Path | None = None, *, url: str | None = None, **how: Any
) -> AbstractAsyncContextManager[vimlib.Client]:
    """Connect to a host, or to what stands before it at `url`; `how` is `vimlib.connect`'s."""
    given = esx.credentials.password if password is None else password
    how.setdefault("tls", vimlib.TLS(pin=esx.thumbprint))
    return vimlib.connect(url or esx.url, esx.credentials.username, given, **how)
