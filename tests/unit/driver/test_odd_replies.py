"""Replies that `nox -s fuzz_client` and `nox -s attacks` gave, and that were taken for good."""

from __future__ import annotations

import re

import pytest

from tests.fuzz.flows import GUEST, Taken
from tests.rig.between import run_between
from tests.rig.relay import HTML, Relay, Reply, Turn, answer, edit
from vimdriver import DriverConfig, ESXDriver, LocalImages, list_port_groups
from vimlib import vim25
from vimlib._client import Client
from vimlib.errors import InvalidFieldError, ProtocolError, TaskError, TransferCorruptError
from vimlib.simulator import ESXHost

pytestmark = pytest.mark.slow


def hide(relay: Relay, path: str) -> None:
    """Drop a property from all replies."""
    pattern = rf"<(propSet|changeSet)>(?:(?!</\1>).)*?<name>{re.escape(path)}</name>.*?</\1>"

    def change(reply: Reply) -> Reply:
        reply.body = re.sub(pattern.encode(), b"", reply.body, flags=re.DOTALL)
        return reply

    relay.on("RetrievePropertiesEx", edit(change), times=None)


def rename(relay: Relay, kind: str) -> None:
    """Give the objects of a type in all replies one that the binding lacks."""

    def change(reply: Reply) -> Reply:
        reply.body = reply.body.replace(f'"{kind}"'.encode(), b'"SomethingOfOthers"')
        return reply

    relay.on("RetrievePropertiesEx", edit(change), times=None)
    relay.on("WaitForUpdatesEx", edit(change), times=None)


def test_a_datacenter_without_machine_folder_is_refused() -> None:
    async def clone(client: Client, esx: ESXHost, relay: Relay) -> None:
        hide(relay, "vmFolder")
        with pytest.raises(InvalidFieldError, match="vmFolder"):
            await ESXDriver(client, LocalImages()).clone("vm-0", "copy")
        assert [machine.name for machine in esx.machines.values()] == ["vm-0"]

    run_between(clone, vms=1)


def test_an_object_of_a_type_that_was_not_asked_for_is_refused() -> None:
    async def capacity(client: Client, esx: ESXHost, relay: Relay) -> None:
        def change(reply: Reply) -> Reply:
            reply.body = reply.body.replace(b'<obj type="Datastore"', b'<obj type="Folder"')
            return reply

        relay.on("RetrievePropertiesEx", edit(change), times=None)
        with pytest.raises(ProtocolError, match=r"Folder.*whose type was not asked for"):
            await client.gather({vim25.Datastore: ["name"]})

    run_between(capacity, vms=1)


def test_a_network_of_a_type_that_the_binding_lacks_is_refused() -> None:
    async def groups(client: Client, esx: ESXHost, relay: Relay) -> None:
        def change(reply: Reply) -> Reply:
            reply.body = reply.body.replace(b'"HostNetworkInfo"', b'"HostNetworkInfoOfOthers"')
            return reply

        relay.on("RetrievePropertiesEx", edit(change), times=None)
        with pytest.raises(InvalidFieldError, match=r"networkInfo.*HostNetworkInfoOfOthers"):
            await list_port_groups(client)

    run_between(groups, vms=1)


def test_snapshots_of_a_type_that_the_binding_lacks_are_refused() -> None:
    async def snapshots(client: Client, esx: ESXHost, relay: Relay) -> None:
        driver = ESXDriver(client, LocalImages())
        await driver.snapshot("vm-0", "one", foreign=True)
        rename(relay, "VirtualMachineSnapshotInfo")
        with pytest.raises(InvalidFieldError, match=r"snapshot.*SomethingOfOthers"):
            await driver.snapshots("vm-0")

    run_between(snapshots, vms=1)


def test_a_lease_of_a_type_that_the_binding_lacks_is_refused() -> None:
    async def export(client: Client, esx: ESXHost, relay: Relay) -> None:
        rename(relay, "HttpNfcLeaseInfo")
        (vm,) = await client.find("vm-0", vim25.VirtualMachine)
        with pytest.raises(InvalidFieldError, match=r"info.*SomethingOfOthers"):
            async with client.lease(await vm.obj.ExportVm()):
                raise AssertionError("not reached")

    run_between(export, vms=1)


def test_a_fault_of_a_type_that_the_binding_lacks_fails_the_task() -> None:
    async def list_it(client: Client, esx: ESXHost, relay: Relay) -> None:
        rename(relay, "LocalizedMethodFault")
        with pytest.raises(TaskError, match="failed without a readable fault"):
            await client.datastore("datastore1").list("[datastore1] missing")

    run_between(list_it, vms=1)


def test_the_task_of_a_snapshot_may_lack_its_result() -> None:
    async def snapshot(client: Client, esx: ESXHost, relay: Relay) -> None:
        hide(relay, "info.result")
        config = DriverConfig(settle_seconds=1)
        driver = ESXDriver(client, LocalImages(), config)
        made = await driver.snapshot("vm-0", "one", foreign=True)
        assert [made.moref] == [one.moref for one in await driver.snapshots("vm-0")]

    run_between(snapshot, vms=1)


def test_a_snapshot_task_without_result_is_resolved_by_name() -> None:
    async def capture(client: Client, esx: ESXHost, relay: Relay) -> None:
        hide(relay, "info.result")
        config = DriverConfig(settle_seconds=1)
        taken = Taken()
        await ESXDriver(client, LocalImages(), config).capture(
            "vm-0", "image", target=taken, foreign=True
        )
        assert taken.data
        assert not esx.machine("vm-0").snapshots

    run_between(capture, vms=1)


@pytest.mark.parametrize("body", [b"", b"some", b"<html>Log in.</html>", b"the file and more"])
def test_another_body_than_the_guests_file_is_no_success(body: bytes) -> None:
    async def download(client: Client, esx: ESXHost, relay: Relay) -> None:
        esx.set_guest("vm-0", tools=True, accounts={GUEST.username: GUEST.password.reveal()})
        driver = ESXDriver(client, LocalImages())
        await driver.power_on("vm-0", foreign=True)
        await driver.guest_upload("vm-0", GUEST, b"the file", "/tmp/file", foreign=True)
        relay.on("GET", answer(200, body, HTML))
        with pytest.raises(TransferCorruptError) as caught:
            await driver.guest_download("vm-0", GUEST, "/tmp/file")
        assert (caught.value.expected, caught.value.actual) == (8, len(body))
        assert await driver.guest_download("vm-0", GUEST, "/tmp/file") == b"the file"

    run_between(download, vms=1)


def test_a_file_of_a_guest_may_grow_while_it_is_read() -> None:
    async def download(client: Client, esx: ESXHost, relay: Relay) -> None:
        esx.set_guest("vm-0", tools=True, accounts={GUEST.username: GUEST.password.reveal()})
        driver = ESXDriver(client, LocalImages())
        await driver.power_on("vm-0", foreign=True)
        await driver.guest_upload("vm-0", GUEST, b"a log", "/tmp/log", foreign=True)

        async def grow(turn: Turn) -> None:
            reply = await turn.forward()
            esx.guest("vm-0").write("/tmp/log", b"a log that grew")
            await turn.conn.send(reply.raw())

        relay.on("GET", grow)
        assert await driver.guest_download("vm-0", GUEST, "/tmp/log") == b"a log"

    run_between(download, vms=1)


# Verb, and an element that the host leaves out of every reply.
INCOMPLETE = [
    ("host_identity", "identifierType"),
    ("host_identity", "uuid"),
    ("host_capacity", "memoryRangeLength"),
    ("host_capacity", "level"),
    ("host_capacity", "reservationUsed"),
    ("host_capacity", "unreservedForVm"),
    ("host_time", "timeZone"),
    ("services", "key"),
    ("firewall", "key"),
    ("switches", "spec"),
]


def test_a_host_that_leaves_out_a_required_field_is_refused() -> None:
    async def read(client: Client, esx: ESXHost, relay: Relay) -> None:
        driver = ESXDriver(client, LocalImages())
        for verb, element in INCOMPLETE:
            pattern = rf"<{element}>(?:(?!<{element}>).)*?</{element}>".encode()

            def change(reply: Reply, pattern: bytes = pattern) -> Reply:
                reply.body = re.sub(pattern, b"", reply.body, flags=re.DOTALL)
                return reply

            relay.on("RetrievePropertiesEx", edit(change), times=None)
            with pytest.raises(InvalidFieldError):
                await getattr(driver, verb)()
            relay.rules.clear()
            await getattr(driver, verb)()

    run_between(read, vms=1)
