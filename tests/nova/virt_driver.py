"""Level 1: nova's tests of a virt driver over ours. A program for nova's environment."""

# ruff: noqa: I001

from __future__ import annotations

import json
import sys
import time
import unittest
from pathlib import Path
from collections.abc import Callable
from typing import Any
from unittest import mock
from urllib.error import HTTPError

import tests.nova.threads  # noqa: F401  # first

import fixtures
import nova.conf
from nova import exception, objects, test
from nova.compute import power_state, task_states
from nova.tests.unit.virt import test_virt_drivers
from nova.virt import driver, fake
from vimdriver._driver import ESXDriver
from vimdriver._guestinfo import record_digest
from vimdriver._gueststatus import STATUS_KEY
from vimdriver._instances.machine import find, look, marks_of
from vimdriver.nova._events import HostAway, HostBack
from vimdriver.nova._loading import name_module
from vimlib import vim25
from tests.integration.peers.openstack import call
from tests.nova.inside import Stage, keep_in_glance, run

STAGE = Stage.read()
CONF = nova.conf.CONF


class ESXConnectionTestCase(test_virt_drivers._VirtDriverTestCase, test.TestCase):  # type: ignore[misc]
    """Nova's cases; what is added counts the calls that reach the host."""

    _host_calls = 0
    _not_implemented = ""

    def setUp(self) -> None:
        self.driver_module = "vimdriver.nova.ESXNovaDriver"
        self._images = keep_in_glance(self, STAGE.glance)
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

    def _several(self, *hosts: dict[str, Any]) -> Any:
        """Return a driver of several hosts, which has not begun."""
        rows = [
            "".join(f'{name} = "{value}"\n' for name, value in {"name": f"n{at}", **host}.items())
            for at, host in enumerate(hosts)
        ]
        file = Path(self.useFixture(fixtures.TempDir()).path, "hosts.toml")
        file.write_text("".join(f"[[host]]\n{row}" for row in rows))
        self.flags(group="esx", url=None, hosts_file=str(file))
        self.flags(state_path=str(file.parent))
        return type(self.connection)(fake.FakeVirtAPI())

    def test_a_service_of_several_hosts_has_no_operations_on_the_host(self) -> None:
        """Nova names no node for them."""
        several = self._several(STAGE.options(), STAGE.options(second=True))
        several.init_host("service")
        self.addCleanup(several.cleanup_host, "service")
        assert several.get_available_nodes() == ["n0", "n1"]
        for ask in (
            several.get_host_ip_addr,
            several.get_host_uptime,
            lambda: several.host_maintenance_mode("service", True),
            lambda: several.host_power_action("reboot"),
        ):
            with self.assertRaises(NotImplementedError) as caught:  # noqa: PT027
                ask()
            assert "must have one ESX host for this, got 2" in str(caught.exception)

    def _service(self) -> tuple[bool, str | None]:
        """Return whether the service is disabled, and why."""
        found = objects.Service.get_by_compute_host(self.ctxt, CONF.host)
        return found.disabled, found.disabled_reason

    def test_a_service_that_an_operator_has_disabled_stays_so(self) -> None:
        """A host that answers again ends only what its absence began."""
        objects.Service(self.ctxt, host=CONF.host, binary="nova-compute", topic="compute").create()
        self.connection.set_host_enabled(False)
        self.connection._react(HostBack("n"))
        assert self._service() == (True, "disabled by set_host_enabled")
        self.connection.set_host_enabled(True)
        assert self._service() == (False, None)
        self.connection._react(HostAway("n", "no route"))
        assert self._service() == (True, "AUTO: no route")
        self.connection._react(HostAway("n", "wrong pin"))
        assert self._service() == (True, "AUTO: wrong pin")
        self.connection._react(HostBack("n"))
        assert self._service() == (False, None)
        service = objects.Service.get_by_compute_host(self.ctxt, CONF.host)
        service.disabled, service.disabled_reason = True, "moving racks"
        service.save()
        self.connection.set_host_enabled(False)
        assert self._service() == (True, "moving racks")

    def test_a_service_whose_host_has_no_datastore_for_machines_is_disabled(self) -> None:
        """Placement has no disk to offer then, and shows no reason."""
        objects.Service(self.ctxt, host=CONF.host, binary="nova-compute", topic="compute").create()
        (name,) = self.connection.get_available_nodes()
        self.flags(group="esx", datastore_regex="other.*")
        self.connection.get_available_resource(name)
        reason = (
            "AUTO: no accessible datastore matches datastore_regex 'other.*'. "
            "The host has: datastore1."
        )
        assert self._service() == (True, reason)
        self.connection._react(HostBack(name))
        assert self._service() == (True, reason)
        self.flags(group="esx", datastore_regex=".*")
        self.connection.get_available_resource(name)
        assert self._service() == (False, None)

    def test_a_service_that_has_ended_opens_no_connection(self) -> None:
        """Nova ends the driver while builds still run, and they go on."""
        self.connection.cleanup_host("myhostname")
        logins = Path(STAGE.trace).read_text().count('"Login"')
        with self.assertRaises(exception.VirtDriverNotReady):  # noqa: PT027
            self.connection.list_instances()
        assert Path(STAGE.trace).read_text().count('"Login"') == logins
        self.connection.init_host("myhostname")

    def test_two_hosts_with_one_uuid_are_refused(self) -> None:
        """Nova could not tell the nodes apart."""
        several = self._several(STAGE.options(), STAGE.options())
        with self.assertRaises(exception.InvalidConfiguration) as caught:  # noqa: PT027
            several.init_host("service")
        assert "UUID" in str(caught.exception)

    def test_snapshot_running(self) -> None:
        """Nova's case, and what Glance then has; nothing of it stays on the host."""
        super().test_snapshot_running()
        (image,) = self._images
        _, shown = call("GET", f"{STAGE.glance}/v2/images/{image}")
        expected = {
            "name": "snap-1",
            "status": "active",
            "disk_format": "vmdk",
            "container_format": "bare",
            "vmware_disktype": "streamOptimized",
            "vmware_adaptertype": "lsiLogic",
            "img_hv_type": "vmware",
        }
        assert {name: shown[name] for name in expected} == expected, shown
        (machine,) = self.connection.list_instance_uuids()
        node = self.connection._node(None)
        assert not self.connection._run(node, lambda esx: esx.snapshots(machine))

    def test_a_snapshot_that_fails_leaves_nothing(self) -> None:
        """Nova's database refuses the state: the server is being deleted."""
        image = self.image_service.create(self.ctxt, {"name": "snap-1"})["id"]
        instance, _ = self._get_running_instance()

        def update(task_state: str, expected_state: str = "") -> None:
            if task_state == "image_uploading":
                raise exception.UnexpectedDeletingTaskStateError(
                    instance_uuid=instance.uuid, expected={}, actual={}
                )

        with self.assertRaises(exception.UnexpectedDeletingTaskStateError):  # noqa: PT027
            self.connection.snapshot(self.ctxt, instance, image, update)
        with self.assertRaises(HTTPError) as caught:  # noqa: PT027
            call("GET", f"{STAGE.glance}/v2/images/{image}")
        assert caught.exception.code == 404
        node = self.connection._node(None)
        assert not self.connection._run(node, lambda esx: esx.snapshots(instance.uuid))

    def test_a_snapshot_into_no_image(self) -> None:
        """Nova's manager has a case for it."""
        instance, _ = self._get_running_instance()
        with self.assertRaises(exception.ImageNotFound):  # noqa: PT027
            self.connection.snapshot(self.ctxt, instance, instance.uuid, lambda **_: None)

    def test_a_machine_is_started_after_the_boot_of_its_host(self) -> None:
        """One that is off; a suspended one stays, since its memory would be lost."""
        instance, network = self._get_running_instance()
        cases: tuple[tuple[Callable[[], object], int], ...] = (
            (lambda: self.connection.power_off(instance), power_state.RUNNING),
            (lambda: self.connection.suspend(self.ctxt, instance), power_state.SUSPENDED),
        )
        for bring, wanted in cases:
            bring()
            self.connection.resume_state_on_host_boot(self.ctxt, instance, network, [])
            assert self.connection.get_info(instance, use_cache=False).state == wanted

    def test_a_machine_stays_while_its_resize_is_reverted(self) -> None:
        """Nova destroys the resized machine then; ours is one machine."""
        instance, network = self._get_running_instance()
        instance.task_state = task_states.RESIZE_REVERTING
        self.connection.destroy(self.ctxt, instance, network)
        assert self.connection.instance_exists(instance)
        instance.task_state = None
        self.connection.destroy(self.ctxt, instance, network)
        assert not self.connection.instance_exists(instance)

    def test_a_capability_that_is_claimed_has_its_methods(self) -> None:
        """Nova's API refuses by the flags what a driver does not have."""
        base = driver.ComputeDriver
        for flag, methods in (
            ("supports_attach_interface", ("attach_interface", "detach_interface")),
            ("has_imagecache", ("manage_image_cache",)),
            ("supports_migrate_to_same_host", ("migrate_disk_and_power_off", "finish_migration")),
        ):
            assert self.connection.capabilities[flag]
            for name in methods:
                assert getattr(type(self.connection), name) is not getattr(base, name)
        assert not self.connection.capabilities["supports_multiattach"]

    def test_diagnostics_have_what_the_guest_reports_of_its_network(self) -> None:
        """The helper in the guest writes its report where any process of the guest may write."""
        instance, _ = self._get_running_instance()
        report = {
            "version": 1,
            "status": "applied",
            "verified": True,
            "nics": [
                {"mac": "00:50:56:00:00:01", "interface": "eth0", "addresses": ["10.0.0.9/24"]}
            ],
        }

        async def write(esx: ESXDriver) -> None:
            machine = await find(esx.client, instance.uuid)
            marks = marks_of(await look(esx.client, instance.uuid, "config.extraConfig"))
            report["record"] = record_digest(marks.get("machine.id", ""))
            value = vim25.OptionValue(key=STATUS_KEY, value=json.dumps(report))
            spec = vim25.VirtualMachineConfigSpec(extraConfig=[value])
            await esx.client.run(lambda: machine.ReconfigVM_Task(spec))

        self.connection._run(self.connection._node(None), write)
        shown = self.connection.get_diagnostics(instance)
        assert shown["guest"] == {
            "addresses": ["10.0.0.9"],
            "origin": "helper",
            "verified": True,
            "problems": [],
        }

    def test_host_power_action_reboot(self) -> None:
        """Nova's case, in maintenance mode; the host then answers again."""
        self.connection.host_maintenance_mode("myhostname", True)
        super().test_host_power_action_reboot()
        assert '"RebootHost_Task"' in Path(STAGE.trace).read_text()
        end = time.monotonic() + 60
        while True:
            try:
                self.connection.host_maintenance_mode("myhostname", False)
                return
            except exception.NovaException:
                if time.monotonic() > end:
                    raise
                time.sleep(0.1)

    def test_host_power_action_shutdown(self) -> None:
        """Refused: nova's case does not put the host into maintenance mode. The others need the host."""
        with self.assertRaises(exception.NovaException) as caught:  # noqa: PT027
            self.connection.host_power_action("shutdown")
        assert "maintenance mode" in str(caught.exception)

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
