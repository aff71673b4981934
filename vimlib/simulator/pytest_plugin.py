"""Fixtures for tests against the simulator.

Every pytest run of an environment with vimlib loads this module, so it imports nothing of vimlib
until a fixture is used.

`esx_options`   a dictionary of arguments for `ESXHost`; override it in a module or a class
`esx_host`      a running host for one test, in the test's own event loop (needs pytest-asyncio or
                anything that runs asynchronous fixtures)
`esx_thread`    the same for tests without an event loop: the host runs in a thread of its own
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from vimlib.simulator import ESXHost

__all__ = ["esx_host", "esx_options", "esx_thread"]


@pytest.fixture
def esx_options() -> dict[str, Any]:
    """Arguments for the host; override it to have another one."""
    return {}


async def _esx_host(esx_options: dict[str, Any]) -> AsyncIterator[ESXHost]:
    """Yield a running host."""
    from vimlib.simulator import ESXHost

    async with ESXHost(**esx_options) as esx:
        yield esx


def _fixture() -> Any:
    """Return the decorator of asynchronous fixtures."""
    try:
        import pytest_asyncio
    except ImportError:  # other plugins run those that pytest itself declares
        return pytest.fixture
    return pytest_asyncio.fixture


esx_host = _fixture()(_esx_host, name="esx_host")


@pytest.fixture
def esx_thread(esx_options: dict[str, Any]) -> Iterator[ESXHost]:
    """Yield a host that runs in a thread, for blocking clients.

    Its attributes may be read; call `esx.threadsafe(function, *args)` to change it.
    """
    from vimlib.simulator._run import in_thread

    with in_thread(**esx_options) as esx:
        yield esx
