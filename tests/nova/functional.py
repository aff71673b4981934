"""Level 2: the life of a server over nova's REST API, our driver below. A program for nova's environment."""

# ruff: noqa: I001

from __future__ import annotations

import sys
import tempfile
import unittest
from typing import Any
from unittest import mock

import tests.nova.threads  # noqa: F401  # first

import fixtures
import vimdriver.nova
from nova.tests.functional import test_instance_actions, test_servers
from nova.virt import fake
from tests.nova.inside import Stage, keep_in_glance, run
from vimdriver.nova._loading import name_module

name_module()

STAGE = Stage.read()
# Seconds for a build that a test leaves behind, and for the undoing of one; seldom more than two.
SHUTDOWN = 120
# Times that a server is waited for as long as nova's own tests do.
PATIENCE = 12
_FAKE = "nova.virt.fake.FakeDriver."


class WithESX:
    """Nova's fixtures with our driver; counts the calls that reach the host."""

    _host_calls = 0

    def setUp(self: Any) -> None:
        keep_in_glance(self, STAGE.glance)
        super().setUp()  # type: ignore[misc]

    def _setup_services(self: Any) -> None:
        vimdriver.nova.ESXNovaDriver(fake.FakeVirtAPI())  # registers the options
        self.flags(group="esx", **STAGE.options())
        self.flags(
            compute_driver="esx.ESXNovaDriver",
            state_path=self.useFixture(fixtures.TempDir()).path,
            vif_plugging_is_fatal=False,
            vif_plugging_timeout=0,
            # Some tests end during a build. Nova ends its services in a thread, which its fixture does
            # not wait for by default; what that thread does after the test ends the pools of all others.
            manager_shutdown_timeout=SHUTDOWN,
        )
        self.flags(api_servers=[STAGE.glance], group="glance")
        # The wheel puts it into the environment's root; nova's fixture looks next to the package.
        self.flags(api_paste_config=f"{sys.prefix}/etc/nova/api-paste.ini", group="wsgi")
        # Runs when the services have stopped and before the options are reset.
        self.addCleanup(self._finish, STAGE.calls())
        super()._setup_services()  # type: ignore[misc]

    def _start_compute(self: Any, host: str, *args: Any, **given: Any) -> Any:
        """Give a second service an ESX host, and an identity, of its own."""
        if host == "host2":
            self.flags(group="esx", **STAGE.options(second=True))
            self.flags(state_path=self.useFixture(fixtures.TempDir()).path)
        return super()._start_compute(host, *args, **given)  # type: ignore[misc]

    def _wait_for_server_parameter(
        self: Any, server: Any, expected: Any, max_retries: int = 10, **given: Any
    ) -> Any:
        """Wait longer than nova's five seconds, which its fake driver needs on an idle machine."""
        for left in reversed(range(PATIENCE)):
            try:
                return super()._wait_for_server_parameter(  # type: ignore[misc]
                    server, expected, max_retries, **given
                )
            except AssertionError as error:
                if not left or "'status': 'ERROR'" in str(error):
                    raise
        return None

    def stub_out(self: Any, old: str, new: Any) -> None:
        """Replace a method of our driver where nova's test names that of nova's own fake."""
        if old.startswith(_FAKE):
            old = "vimdriver.nova._driver.ESXNovaDriver." + old.removeprefix(_FAKE)
        super().stub_out(old, new)  # type: ignore[misc]

    def _finish(self: Any, before: int) -> None:
        self._host_calls = STAGE.calls() - before
        for host, second in (("compute", False), ("host2", True)):
            self.flags(group="esx", **STAGE.options(second=second))
            with tempfile.TemporaryDirectory() as state:
                self.flags(state_path=state)
                driver = vimdriver.nova.ESXNovaDriver(fake.FakeVirtAPI())
                driver.init_host(host)
                for instance in driver._instances():
                    driver.destroy(None, mock.Mock(uuid=instance.uuid, node=None), None)
                driver.cleanup_host(host)


class ESXServersTest(WithESX, test_servers.ServersTest):  # type: ignore[misc]
    """Nova's cases."""


class ESXInstanceActionsTest(WithESX, test_instance_actions.InstanceActionsTest):  # type: ignore[misc]
    """Nova's cases."""


class ESXInstanceActionsTestV221(WithESX, test_instance_actions.InstanceActionsTestV221):  # type: ignore[misc]
    """Nova's cases."""


if __name__ == "__main__":
    loader = unittest.TestLoader()
    loader.testNamePatterns = [f"*{name}*" for name in sys.argv[1:]] or None
    cases = (ESXServersTest, ESXInstanceActionsTest, ESXInstanceActionsTestV221)
    run(unittest.TestSuite(loader.loadTestsFromTestCase(case) for case in cases))
