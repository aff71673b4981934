"""pyVmomi reads every property of every object of a host, and uses guest operations and accounts."""

from __future__ import annotations

from collections.abc import Callable
from urllib.request import urlopen

import pytest

from tests.simulator import trust
from tests.simulator.conftest import Host, leave, login
from tests.simulator.vmomi import GetWsdlType, vim, vmodl
from vimlib.simulator._core.versions import RELEASES
from vimlib.simulator._managers.esxcli_types import Unlisted

pytestmark = pytest.mark.slow
Collector = vmodl.query.PropertyCollector


@pytest.mark.parametrize("version", list(RELEASES))
def test_every_property_of_every_object_is_decoded(
    connect: Callable[..., Host], version: str
) -> None:
    host = connect(version=version, vms=1)
    stub = host.si._stub
    read = 0
    for (kind, moid), obj in sorted(host.esx.registry.objects.items()):
        if isinstance(
            obj, Unlisted
        ):  # of a type that pyVmomi does not have, and without properties
            continue
        cls = GetWsdlType("urn:vim25", kind)
        spec = Collector.FilterSpec(
            objectSet=[Collector.ObjectSpec(obj=cls(moid, stub))],
            propSet=[Collector.PropertySpec(type=cls, all=True)],
        )
        [found] = host.content.propertyCollector.RetrieveContents([spec])
        assert not found.missingSet
        read += len(found.propSet)
    assert read > 250


def test_a_program_runs_in_a_guest(connect: Callable[..., Host]) -> None:
    host = connect(version="8.0", vms=1)
    host.esx.threadsafe(lambda: host.esx.set_guest("vm-0", accounts={"root": "secret"}))
    vm = host.datacenter.vmFolder.childEntity[0]
    host.done(vm.PowerOnVM_Task())
    guests = host.content.guestOperationsManager
    auth = vim.vm.guest.NamePasswordAuthentication(
        username="root", password="secret", interactiveSession=False
    )
    spec = vim.vm.guest.ProcessManager.ProgramSpec(
        programPath="/bin/echo", arguments="hello > /tmp/out"
    )
    pid = guests.processManager.StartProgramInGuest(vm, auth, spec)
    [process] = guests.processManager.ListProcessesInGuest(vm, auth, [pid])
    assert (process.pid, process.exitCode) == (pid, 0)
    info = guests.fileManager.InitiateFileTransferFromGuest(vm, auth, "/tmp/out")
    url = info.url.replace("*", "127.0.0.1")
    with urlopen(url, context=trust.context(host.esx), timeout=30) as reply:
        assert (reply.status, reply.read(), info.size) == (200, b"hello\n", 6)
    wrong = vim.vm.guest.NamePasswordAuthentication(
        username="root", password="wrong", interactiveSession=False
    )
    with pytest.raises(vim.fault.InvalidGuestLogin):
        guests.authManager.ValidateCredentialsInGuest(vm, wrong)


def test_a_read_only_user_gets_no_permission(connect: Callable[..., Host]) -> None:
    host = connect(version="8.0", vms=1)
    account = vim.host.LocalAccountManager.AccountSpecification(id="ann", password="Secret-1")
    host.content.accountManager.CreateUser(account)
    root = host.content.rootFolder
    permission = vim.AuthorizationManager.Permission(
        entity=root, principal="ann", group=False, roleId=-2, propagate=True
    )
    host.content.authorizationManager.SetEntityPermissions(root, [permission])
    other = login(host.esx, "Secret-1", "ann")
    try:
        vm = other.content.rootFolder.childEntity[0].vmFolder.childEntity[0]
        assert vm.name == "vm-0"
        with pytest.raises(vim.fault.NoPermission) as caught:
            vm.PowerOnVM_Task()
        assert caught.value.privilegeId == "VirtualMachine.Interact.PowerOn"
    finally:
        leave(other)
