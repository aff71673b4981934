"""Level 1: nova's tests of a virt driver over ours. A program for nova's environment."""

# ruff: noqa: I001

from __future__ import annotations

import sys
import unittest
from pathlib import Path
from typing import Any
from unittest import mock

import tests.nova.threads  # noqa: F401  # first

import fixtures
from nova import exception, test
from nova.tests.unit.virt import test_virt_drivers
from nova.virt import driver, fake
from vimdriver.nova._loading import name_module
from tests.nova.inside import Stage, run

STAGE = Stage.read()


class ESXConnectionTestCase(test_virt_drivers._VirtDriverTestCase, test.TestCase):  # type: ignore[misc]
    """Nova's cases; what is added counts the calls that reach the host."""

    _host_calls = 0
    _not_implemented = ""

    def setUp(self) -> None:
        self.driver_module = "vimdriver.nova.ESXNovaDriver"
        super().setUp()
        # The instances of these cases lack what nova's metadata of a guest is made of.
        self.flags(group="esx", config_drive=False, **STAGE.options())
        self.flags(state_path=STAGE.state)
        self.flags(api_servers=[STAGE.glance], group="glance")
        self.addCleanup(self._leave_nothing)
        self.useFixture(
            test.fixtures.MonkeyPatch(
                "nova.tests.unit.virt.test_virt_drivers.LOG.error", self._note
            )
        )
        if self._testMethodName != "test_init_host":
            self.connection.list_instances()  # what connecting costs is not the test's
        self._before = STAGE.calls()
        self.addCleanup(self._count)

    def _note(self, text: str, facts: Any) -> None:
        self._not_implemented = facts["method"]

    def _count(self) -> None:
        self._host_calls = STAGE.calls() - self._before

    def _leave_nothing(self) -> None:
        for instance in self.connection._instances():
            self.connection.destroy(self.ctxt, mock.Mock(uuid=instance.uuid, node=None), None)
        self.connection.cleanup_host("myhostname")

    def test_nova_loads_the_driver_by_the_name_in_its_configuration(self) -> None:
        """What `vimdriver-nova-compute` does before it runs nova's own `main`."""
        name_module()
        loaded = driver.load_compute_driver(fake.FakeVirtAPI(), "esx.ESXNovaDriver")
        assert type(loaded) is type(self.connection)

    def test_two_hosts_with_one_uuid_are_refused(self) -> None:
        """Nova could not tell the nodes apart."""
        row = "".join(f'{name} = "{value}"\n' for name, value in STAGE.options().items())
        hosts = Path(self.useFixture(fixtures.TempDir()).path, "hosts.toml")
        hosts.write_text("".join(f'[[host]]\nname = "{name}"\n{row}' for name in "ab"))
        self.flags(group="esx", url=None, hosts_file=str(hosts))
        self.flags(state_path=str(hosts.parent))
        several = type(self.connection)(fake.FakeVirtAPI())
        with self.assertRaises(exception.InvalidConfiguration) as caught:  # noqa: PT027
            several.init_host("service")
        assert "UUID" in str(caught.exception)

    def test_live_migration(self) -> None:
        """As nova's own case for drivers without it."""
        self.skipTest("live migration needs a vCenter")

    def test_live_migration_force_complete(self) -> None:
        """Nova's case puts an entry into an attribute of libvirt's driver first."""
        self.skipTest("live migration needs a vCenter")


if __name__ == "__main__":
    names = sys.argv[1:]
    loader = unittest.TestLoader()
    if names:
        loader.testNamePatterns = [f"*{name}*" for name in names]
    run(loader.loadTestsFromTestCase(ESXConnectionTestCase))
