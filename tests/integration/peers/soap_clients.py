"""Two SOAP libraries that read the WSDL of a host, and an exporter of statistics: from PyPI."""

from __future__ import annotations

from pathlib import Path

from tests.integration.peers.environment import environment

# The exporter sets an attribute that newer releases of Twisted made read-only.
REQUIREMENTS = (
    *("zeep==4.3.3", "suds==1.2.0", "requests>=2.32"),
    *("vmware-exporter==0.18.4", "pyvmomi==9.1.1.0", "twisted==23.10.0"),
)


def installed() -> Path:
    """Return the folder with their commands; install them if they are not cached.

    Raises:
        PeerError: They could not be installed.
    """
    return environment("soap-clients", *REQUIREMENTS) / "bin"
