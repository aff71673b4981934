"""Nova 34 and Neutron 29 from PyPI, with their own tests: both wheels ship them.

`VIMLIB_NOVA_RELEASE` names another release of Nova, such as 33.0.2, which has long support.
SQLAlchemy stays below 2.1: with it a deprecation becomes an error in nova's fixtures.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from tests.integration.peers.environment import environment
from tests.integration.peers.openstack import GUNICORN

CONSTRAINTS = Path(__file__).with_name("constraints.txt")
RELEASE = os.environ.get("VIMLIB_NOVA_RELEASE", "34.0.0")
REQUIREMENTS = (
    f"nova=={RELEASE}",
    "neutron==29.0.0",
    "openstack-placement==16.0.0",
    "oslotest",
    *("wsgi-intercept", "webtest"),
    "pymysql",
    GUNICORN,
    # Ours, without the package itself: the tests run it from the sources.
    *("aiohttp", "aiohappyeyeballs", "lxml", "msgspec", "pycdlib"),
)


def nova_environment() -> Path:
    """Return the environment; install it if it is not cached.

    Raises:
        PeerError: It could not be installed.
    """
    lines = CONSTRAINTS.read_text().splitlines(keepends=True)
    if f"nova=={RELEASE}\n" in lines:
        return environment("nova", *REQUIREMENTS, constraints=CONSTRAINTS)
    with tempfile.TemporaryDirectory() as name:
        others = Path(name) / "constraints.txt"
        others.write_text("".join(line for line in lines if not line.startswith("nova==")))
        return environment("lts-nova", *REQUIREMENTS, constraints=others)
