"""How blocking clients come to trust the host's own certificate."""

from __future__ import annotations

import ssl

from vimlib.simulator import ESXHost


def context(esx: ESXHost) -> ssl.SSLContext:
    """Return a verifying context that trusts the host's certificate alone."""
    return ssl.create_default_context(cadata=esx.certificate_pem.decode())
