"""Nova 34 and Neutron 29 from PyPI, with their own tests: both wheels ship them.

SQLAlchemy stays below 2.1: with it a deprecation becomes an error in nova's fixtures.
"""

from __future__ import annotations

from pathlib import Path

from tests.integration.peers.environment import environment

CONSTRAINTS = Path(__file__).with_name("constraints.txt")
REQUIREMENTS = (
    "nova==34.0.0",
    "neutron==29.0.0",
    "openstack-placement==16.0.0",
    "oslotest",
    *("wsgi-intercept", "webtest"),
    "pymysql",
    # Ours, without the package itself: the tests run it from the sources.
    *("aiohttp", "aiohappyeyeballs", "lxml", "msgspec", "pycdlib"),
)


def nova_environment() -> Path:
    """Return the environment; install it if it is not cached.

    Raises:
        PeerError: It could not be installed.
    """
    return environment("nova", *REQUIREMENTS, constraints=CONSTRAINTS)
