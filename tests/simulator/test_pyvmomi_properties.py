from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.simulator.conftest import Host
from tests.simulator.vmomi import GetWsdlType, vim, vmodl

pytestmark = pytest.mark.slow
Collector = vmodl.query.PropertyCollector
LONG = GetWsdlType("http://www.w3.org/2001/XMLSchema", "long")


def spec_for(obj: Any, cls: Any, *paths: str, **more: Any) -> Any:
    return Collector.FilterSpec(
        objectSet=[Collector.ObjectSpec(obj=obj, **more)],
        propSet=[Collector.PropertySpec(type=cls, pathSet=list(paths))],
    )


def view_spec(view: Any, cls: Any, *paths: str) -> Any:
    walk = Collector.TraversalSpec(name="view", type=type(view), path="view", skip=False)
    return spec_for(view, cls, *paths, skip=True, selectSet=[walk])


def test_the_tree_from_root_to_everything(shared: Host) -> None:
    datacenter = shared.datacenter
    assert datacenter.name == "ha-datacenter"
    assert datacenter.vmFolder.parent == datacenter
    assert shared.pool.owner == datacenter.hostFolder.childEntity[0]
    assert shared.pool.name == "Resources"
    assert [net.name for net in datacenter.network] == ["VM Network"]
    assert [store.name for store in datacenter.datastore] == ["datastore1"]
    assert {vm.name for vm in shared.system.vm} >= {"vm-0", "vm-1", "vm-2"}


def test_a_container_view_shows_a_type(shared: Host) -> None:
    manager = shared.content.viewManager
    for cls, count in (
        (vim.HostSystem, 1),
        (vim.Datastore, 1),
        (vim.Network, 1),
        (vim.Folder, 4),
        (vim.ResourcePool, 1),
    ):
        view = manager.CreateContainerView(shared.content.rootFolder, [cls], True)
        assert len(view.view) == count, cls
        view.Destroy()


def test_a_destroyed_view_is_not_found(shared: Host) -> None:
    view = shared.content.viewManager.CreateContainerView(
        shared.content.rootFolder, [vim.VirtualMachine], True
    )
    view.Destroy()
    with pytest.raises(vmodl.fault.ManagedObjectNotFound):
        print(view.view)


def test_a_machine_is_not_a_container(shared: Host) -> None:
    vm = shared.datacenter.vmFolder.childEntity[0]
    with pytest.raises(vmodl.fault.InvalidArgument):
        shared.content.viewManager.CreateContainerView(vm, [], True)


def test_pages_of_a_read(shared: Host) -> None:
    view = shared.content.viewManager.CreateContainerView(
        shared.datacenter.vmFolder, [vim.VirtualMachine], True
    )
    collector = shared.content.propertyCollector
    total = len(view.view)
    page = collector.RetrievePropertiesEx(
        [view_spec(view, vim.VirtualMachine, "name")], Collector.RetrieveOptions(maxObjects=2)
    )
    names = [content.propSet[0].val for content in page.objects]
    assert len(names) == 2
    tokens = [page.token]
    while page.token:
        page = collector.ContinueRetrievePropertiesEx(page.token)
        names += [content.propSet[0].val for content in page.objects]
        tokens.append(page.token)
    assert len(names) == total
    with pytest.raises(vmodl.fault.InvalidArgument):
        collector.ContinueRetrievePropertiesEx(tokens[0])
    view.Destroy()


def test_the_rest_of_a_read_can_be_cancelled(shared: Host) -> None:
    collector = shared.content.propertyCollector
    view = shared.content.viewManager.CreateContainerView(
        shared.datacenter.vmFolder, [vim.VirtualMachine], True
    )
    page = collector.RetrievePropertiesEx(
        [view_spec(view, vim.VirtualMachine, "name")], Collector.RetrieveOptions(maxObjects=1)
    )
    collector.CancelRetrievePropertiesEx(page.token)
    with pytest.raises(vmodl.fault.InvalidArgument):
        collector.ContinueRetrievePropertiesEx(page.token)
    view.Destroy()


def test_the_hosts_own_page_limit(connect: Callable[..., Host]) -> None:
    host = connect(vms=5, max_objects=2)
    view = host.content.viewManager.CreateContainerView(
        host.datacenter.vmFolder, [vim.VirtualMachine], True
    )
    page = host.content.propertyCollector.RetrievePropertiesEx(
        [view_spec(view, vim.VirtualMachine, "name")], Collector.RetrieveOptions()
    )
    assert len(page.objects) == 2
    assert page.token


def test_no_objects_a_page_are_refused(shared: Host) -> None:
    with pytest.raises(vmodl.fault.InvalidArgument):
        shared.content.propertyCollector.RetrievePropertiesEx(
            [spec_for(shared.system, vim.HostSystem, "name")],
            Collector.RetrieveOptions(maxObjects=0),
        )


def test_nothing_selected_is_no_result(shared: Host) -> None:
    found = shared.content.propertyCollector.RetrievePropertiesEx(
        [spec_for(shared.system, vim.VirtualMachine, "name")], Collector.RetrieveOptions()
    )
    assert found is None


def test_one_element_of_an_array(shared: Host) -> None:
    vm = shared.create(nic=True)
    found = shared.content.propertyCollector.RetrieveContents(
        [
            spec_for(
                vm,
                vim.VirtualMachine,
                "config.hardware.device[4000].macAddress",
                "config.hardware.device[9999]",
            )
        ]
    )
    [prop] = found[0].propSet
    assert prop.val.startswith("00:0c:29:")


def test_all_properties(shared: Host) -> None:
    spec = Collector.FilterSpec(
        objectSet=[Collector.ObjectSpec(obj=shared.datacenter.vmFolder.childEntity[0])],
        propSet=[Collector.PropertySpec(type=vim.VirtualMachine, all=True)],
    )
    [found] = shared.content.propertyCollector.RetrieveContents([spec])
    assert {"name", "config", "runtime", "guest", "summary", "layoutEx", "capability"} <= {
        p.name for p in found.propSet
    }


def test_updates_are_cut_into_sets(connect: Callable[..., Host]) -> None:
    host = connect(vms=5)
    view = host.content.viewManager.CreateContainerView(
        host.datacenter.vmFolder, [vim.VirtualMachine], True
    )
    collector = host.content.propertyCollector.CreatePropertyCollector()
    collector.CreateFilter(view_spec(view, vim.VirtualMachine, "name"), False)
    version, seen, cut = "", [], []
    while True:
        found = collector.WaitForUpdatesEx(
            version, Collector.WaitOptions(maxWaitSeconds=1, maxObjectUpdates=2)
        )
        seen += [update.obj for update in found.filterSet[0].objectSet]
        cut.append(bool(found.truncated))
        version = found.version
        if not found.truncated:
            break
    assert len(seen) == 5
    assert cut == [True, True, False]


def test_a_list_view_is_edited(shared: Host) -> None:
    machines = shared.datacenter.vmFolder.childEntity[:2]
    view = shared.content.viewManager.CreateListView(machines[:1])
    assert view.ModifyListView(machines[1:], None) == []
    assert list(view.view) == machines
    ghost = vim.VirtualMachine("no-such", shared.si._stub)
    assert view.ModifyListView([ghost], None) == [ghost]
    view.ResetListView([])
    assert list(view.view) == []
    view.Destroy()


def test_the_search_index_finds_by_instance_uuid(shared: Host) -> None:
    index = shared.content.searchIndex
    vm = shared.create("seek")
    assert index.FindByUuid(None, vm.config.instanceUuid, True, True) == vm
    assert index.FindAllByUuid(None, vm.config.instanceUuid, True, True) == [vm]


def test_a_guest_is_found_by_its_address(host: Host) -> None:
    vm = host.datacenter.vmFolder.childEntity[0]
    host.done(vm.PowerOnVM_Task())
    host.esx.threadsafe(host.esx.set_guest, "vm-0", ip="192.0.2.7", host_name="web")
    assert host.content.searchIndex.FindByIp(None, "192.0.2.7", True) == vm
    assert host.content.searchIndex.FindAllByDnsName(None, "web", True) == [vm]
    assert vm.guest.toolsRunningStatus == "guestToolsRunning"
    assert vm.summary.guest.ipAddress == "192.0.2.7"


def test_options(shared: Host) -> None:
    settings = shared.content.setting
    [option] = settings.QueryOptions("vpxd.stats.maxQueryMetrics")
    assert option.value == 64
    with pytest.raises(vim.fault.InvalidName):
        settings.QueryOptions("no.such.option")


def test_an_option_is_updated_as_its_own_type_alone(host: Host) -> None:
    options = host.system.configManager.advancedOption
    [option] = options.QueryOptions("UserVars.DcuiTimeOut")
    assert type(option.value) is LONG
    option.value = 300
    with pytest.raises(vmodl.fault.InvalidArgument):
        options.UpdateOptions([option])
    option.value = LONG(300)
    options.UpdateOptions([option])
    assert options.QueryOptions("UserVars.DcuiTimeOut")[0].value == 300
