from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.simulator.conftest import Host, adapter, disk
from tests.simulator.vmomi import vim, vmodl

pytestmark = pytest.mark.slow
Change = vim.vm.device.VirtualDeviceSpec


def test_a_new_machine_has_the_default_devices(shared: Host) -> None:
    vm = shared.create("shape", disk_kb=2048, nic=True, memoryMB=512, numCPUs=2)
    assert vm.config.files.vmPathName == "[datastore1] shape/shape.vmx"
    assert (vm.config.hardware.numCPU, vm.config.hardware.memoryMB) == (2, 512)
    by_key = {device.key: device for device in vm.config.hardware.device}
    assert {100, 200, 201, 300, 400, 500, 600, 700, 1000, 2000, 4000, 12000} == set(by_key)
    assert by_key[1000].device == [2000]
    assert by_key[2000].deviceInfo.label == "Hard disk 1"
    assert by_key[2000].backing.fileName == "[datastore1] shape/shape.vmdk"
    assert by_key[4000].macAddress.startswith("00:0c:29:")
    assert by_key[4000].backing.network == shared.datacenter.network[0]
    assert vm.resourcePool == shared.pool
    assert vm.runtime.host == shared.system
    assert vm.summary.config.numVirtualDisks == 1
    assert {"shape.vmx", "shape.vmdk", "shape-flat.vmdk"} == set(shared.files("[datastore1] shape"))


def test_a_name_is_used_once(shared: Host) -> None:
    vm = shared.create("twice")
    with pytest.raises(vim.fault.DuplicateName) as caught:
        shared.create("twice")
    assert caught.value.object == vm
    assert caught.value.name == "twice"


@pytest.mark.parametrize("size", [3, 1023])
def test_odd_memory_is_found_when_the_machine_starts(shared: Host, size: int) -> None:
    vm = shared.create(memoryMB=size)
    with pytest.raises(vim.fault.GenericVmConfigFault) as caught:
        shared.done(vm.PowerOnVM_Task())
    assert str(size) in caught.value.reason
    assert vm.runtime.powerState == "poweredOff"
    shared.done(vm.ReconfigVM_Task(vim.vm.ConfigSpec(memoryMB=size + 1)))
    shared.done(vm.PowerOnVM_Task())


@pytest.mark.parametrize(
    ("wrong", "fault"),
    [
        ({"name": ""}, vim.fault.InvalidVmConfig),
        ({"memoryMB": 0}, vmodl.fault.InvalidArgument),
        ({"numCPUs": 0}, vmodl.fault.InvalidArgument),
        ({"guestId": ""}, vmodl.fault.InvalidArgument),
        ({"version": "vmx-99"}, vim.fault.VirtualHardwareVersionNotSupported),
        ({"files": vim.vm.FileInfo(vmPathName="[nowhere]")}, vim.fault.InvalidDatastore),
        ({"files": vim.vm.FileInfo(vmPathName="datastore1")}, vim.fault.InvalidDatastorePath),
        ({"files": None}, vim.fault.InvalidVmConfig),
        ({"uuid": "no-uuid"}, vmodl.fault.InvalidArgument),
    ],
)
def test_an_invalid_spec_is_refused(
    shared: Host, wrong: dict[str, Any], fault: type[Exception]
) -> None:
    before = len(shared.datacenter.vmFolder.childEntity)
    folders = set(shared.files("[datastore1]"))
    spec = shared.spec()
    for key, value in wrong.items():
        setattr(spec, key, value)
    with pytest.raises(fault):
        shared.done(shared.datacenter.vmFolder.CreateVM_Task(spec, shared.pool))
    assert len(shared.datacenter.vmFolder.childEntity) == before
    assert set(shared.files("[datastore1]")) == folders


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ([adapter("no such network")], vim.fault.InvalidDeviceBacking),
        ([adapter(addressType="manual", macAddress="nonsense")], vim.fault.InvalidDeviceSpec),
        ([disk(1024)[1]], vim.fault.InvalidController),
        (disk(0), vim.fault.InvalidDeviceSpec),
        (disk(1024, file="[datastore1] no/such.vmdk", operation=None), vim.fault.FileNotFound),
        (disk(1024, file="[datastore1] no/such.vmdk"), vim.fault.FileNotFound),
        (disk(2 << 30, thin=False), vim.fault.NoDiskSpace),
    ],
)
def test_an_invalid_device_is_refused(
    shared: Host, changes: list[Any], fault: type[Exception]
) -> None:
    with pytest.raises(fault):
        shared.create("bad-device", deviceChange=changes)
    assert shared.content.searchIndex.FindByInventoryPath("ha-datacenter/vm/bad-device") is None
    assert "bad-device" not in shared.files("[datastore1]")


def test_a_left_over_folder_makes_the_host_choose_another_name(shared: Host) -> None:
    shared.content.fileManager.MakeDirectory("[datastore1] taken", shared.datacenter, False)
    vm = shared.create("taken")
    assert vm.config.files.vmPathName == "[datastore1] taken_1/taken.vmx"


def test_a_power_fault_has_the_state_and_a_boot_its_time(shared: Host) -> None:
    vm = shared.create(disk_kb=1024)
    with pytest.raises(vim.fault.InvalidPowerState) as caught:
        shared.done(vm.PowerOffVM_Task())
    assert caught.value.existingState == "poweredOff"
    shared.done(vm.PowerOnVM_Task())
    assert vm.runtime.bootTime is not None
    shared.done(vm.PowerOffVM_Task())
    assert vm.runtime.bootTime is None


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline


def test_reconfigured_fields_are_read_back(shared: Host) -> None:
    vm = shared.create()
    old = vm.config.changeVersion
    spec = vim.vm.ConfigSpec(
        annotation="a\nb",
        memoryMB=1024,
        numCPUs=4,
        numCoresPerSocket=2,
        tools=vim.vm.ToolsConfigInfo(afterPowerOn=False),
        cpuAllocation=vim.ResourceAllocationInfo(limit=1000),
        managedBy=vim.ext.ManagedByInfo(extensionKey="org.example", type="instance"),
        bootOptions=vim.vm.BootOptions(bootDelay=5000),
        firmware="efi",
    )
    shared.done(vm.ReconfigVM_Task(spec))
    config = vm.config
    assert config.annotation == "a\nb"
    assert (
        config.hardware.memoryMB,
        config.hardware.numCPU,
        config.hardware.numCoresPerSocket,
    ) == (1024, 4, 2)
    assert config.tools.afterPowerOn is False
    assert config.tools.beforeGuestReboot is None or config.tools.beforeGuestReboot
    assert config.cpuAllocation.limit == 1000
    assert config.cpuAllocation.shares.level == "normal"
    assert config.managedBy.extensionKey == "org.example"
    assert config.bootOptions.bootDelay == 5000
    assert config.firmware == "efi"
    assert config.changeVersion != old


def test_memory_cannot_change_while_it_runs(shared: Host) -> None:
    vm = shared.create()
    shared.done(vm.PowerOnVM_Task())
    with pytest.raises(vim.fault.InvalidPowerState):
        shared.done(vm.ReconfigVM_Task(vim.vm.ConfigSpec(memoryMB=512)))
    shared.done(vm.PowerOffVM_Task())


def test_a_removed_disk_keeps_or_loses_its_file(shared: Host) -> None:
    vm = shared.create("drop", disk_kb=1024)
    device = next(d for d in vm.config.hardware.device if d.key == 2000)
    shared.done(
        vm.ReconfigVM_Task(
            vim.vm.ConfigSpec(deviceChange=[Change(operation="remove", device=device)])
        )
    )
    assert "drop-flat.vmdk" in shared.files("[datastore1] drop")
    changes = [
        Change(
            operation="add",
            device=vim.vm.device.VirtualDisk(
                key=-1,
                controllerKey=1000,
                unitNumber=1,
                backing=vim.vm.device.VirtualDisk.FlatVer2BackingInfo(
                    fileName="[datastore1] drop/drop.vmdk", diskMode="persistent"
                ),
                capacityInKB=0,
            ),
        )
    ]
    shared.done(vm.ReconfigVM_Task(vim.vm.ConfigSpec(deviceChange=changes)))
    device = next(d for d in vm.config.hardware.device if d.key == 2001)
    assert device.capacityInKB == 1024
    gone = Change(operation="remove", fileOperation="destroy", device=device)
    shared.done(vm.ReconfigVM_Task(vim.vm.ConfigSpec(deviceChange=[gone])))
    assert "drop.vmdk" not in shared.files("[datastore1] drop")


def test_an_adapter_changes_networks(shared: Host) -> None:
    system = shared.system.configManager.networkSystem
    spec = vim.host.PortGroup.Specification(
        name="other net", vlanId=0, vswitchName="vSwitch0", policy=vim.host.NetworkPolicy()
    )
    system.AddPortGroup(spec)
    vm = shared.create(nic=True)
    nic = next(d for d in vm.config.hardware.device if d.key == 4000)
    nic.backing = vim.vm.device.VirtualEthernetCard.NetworkBackingInfo(deviceName="other net")
    shared.done(
        vm.ReconfigVM_Task(vim.vm.ConfigSpec(deviceChange=[Change(operation="edit", device=nic)]))
    )
    assert [net.name for net in vm.network] == ["other net"]
    with pytest.raises(vim.fault.ResourceInUse):
        system.RemovePortGroup("other net")
    shared.done(vm.Destroy_Task())
    system.RemovePortGroup("other net")


def test_a_machine_is_not_renamed_to_nothing(shared: Host) -> None:
    with pytest.raises(vim.fault.InvalidName):
        shared.done(shared.create().Rename_Task(""))


def test_unregistered_and_registered_again(shared: Host) -> None:
    vm = shared.create("again", disk_kb=2048, nic=True, annotation="kept", numCPUs=2)
    path, uuid, mac = (
        vm.config.files.vmPathName,
        vm.config.uuid,
        vm.config.hardware.device[-1].macAddress,
    )
    folder = shared.datacenter.vmFolder
    vm.UnregisterVM()
    with pytest.raises(vmodl.fault.ManagedObjectNotFound):
        print(vm.name)
    back = shared.done(folder.RegisterVM_Task(path, "renamed", False, shared.pool, None))
    assert back.name == "renamed"
    assert (back.config.uuid, back.config.annotation, back.config.hardware.numCPU) == (
        uuid,
        "kept",
        2,
    )
    assert next(d for d in back.config.hardware.device if d.key == 2000).capacityInKB == 2048
    assert next(d for d in back.config.hardware.device if d.key == 4000).macAddress == mac
    shared.done(back.PowerOnVM_Task())
    shared.done(back.PowerOffVM_Task())


def test_a_file_that_is_not_a_configuration_is_not_registered(shared: Host) -> None:
    shared.esx.datastore_path().joinpath("bad.vmx").write_text("not a configuration\n")
    task = shared.datacenter.vmFolder.RegisterVM_Task(
        "[datastore1] bad.vmx", None, False, shared.pool, None
    )
    with pytest.raises(vim.fault.InvalidVmConfig):
        shared.done(task)


def test_destroying_a_machine_spares_other_files(shared: Host) -> None:
    vm = shared.create("spares")
    shared.esx.datastore_path().joinpath("spares", "notes.txt").write_text("mine")
    shared.done(vm.Destroy_Task())
    assert shared.files("[datastore1] spares") == {"notes.txt": 4}


@pytest.mark.parametrize("broken", ["missing", "short", "no descriptor", "sparse"])
def test_a_machine_with_a_broken_disk_is_not_powered_on(shared: Host, broken: str) -> None:
    vm = shared.create(f"broken {broken}", disk_kb=1024)
    folder = (
        shared.esx.datastore_path()
        / vm.config.files.vmPathName.partition("] ")[2].partition("/")[0]
    )
    [descriptor] = [file for file in folder.glob("*.vmdk") if not file.name.endswith("-flat.vmdk")]
    [extent] = folder.glob("*-flat.vmdk")
    fault: type[Exception] = vim.fault.InvalidDiskFormat
    if broken == "missing":
        extent.unlink()
        fault = vim.fault.FileNotFound
    elif broken == "short":
        extent.write_bytes(b"x")
    elif broken == "no descriptor":
        descriptor.write_bytes(b"nonsense")
    else:
        descriptor.write_bytes(b"KDMV" + bytes(2000))
    with pytest.raises(fault):
        shared.done(vm.PowerOnVM_Task())
    assert vm.runtime.powerState == "poweredOff"


def test_a_disk_in_use_is_locked(shared: Host) -> None:
    first = shared.create("holder", disk_kb=1024)
    shared.done(first.PowerOnVM_Task())
    file = "[datastore1] holder/holder.vmdk"
    with pytest.raises(vim.fault.FileLocked):
        shared.create("taker", deviceChange=disk(0, file=file, operation=None))
    for locked in (
        shared.content.virtualDiskManager.DeleteVirtualDisk_Task(file, shared.datacenter),
        shared.content.fileManager.DeleteDatastoreFile_Task(
            "[datastore1] holder", shared.datacenter
        ),
        shared.content.virtualDiskManager.ExtendVirtualDisk_Task(
            file, shared.datacenter, 4096, False
        ),
    ):
        with pytest.raises(vim.fault.FileLocked):
            shared.done(locked)
    shared.done(first.PowerOffVM_Task())
    shared.done(
        shared.content.virtualDiskManager.ExtendVirtualDisk_Task(
            file, shared.datacenter, 4096, False
        )
    )
    assert next(d for d in first.config.hardware.device if d.key == 2000).capacityInKB == 4096


def test_one_task_at_a_time(connect: Callable[..., Host]) -> None:
    host = connect(vms=1)
    vm = host.datacenter.vmFolder.childEntity[0]
    host.esx.threadsafe(host.esx.faults.hold_task, "ReconfigVM_Task")
    first = vm.ReconfigVM_Task(vim.vm.ConfigSpec(annotation="slow"))
    for other in (vm.PowerOnVM_Task, vm.Destroy_Task, vm.UnregisterVM):
        with pytest.raises(vim.fault.TaskInProgress) as caught:
            host.done(other())
        assert caught.value.task == first
    host.esx.threadsafe(host.esx.faults.release_task, "ReconfigVM_Task")
    host.done(first)
    assert vm.config.annotation == "slow"


def test_tasks_take_time_and_show_progress(connect: Callable[..., Host]) -> None:
    host = connect(vms=1, task_seconds=1.5)
    vm = host.datacenter.vmFolder.childEntity[0]
    task = vm.PowerOnVM_Task()
    seen = []
    while task.info.state not in ("success", "error"):
        seen.append((task.info.state, task.info.progress))
    assert any(state == "running" and progress for state, progress in seen)
    info = task.info
    assert info.state == "success"
    assert info.entity == vm
    assert info.descriptionId == "VirtualMachine.powerOn"
    assert info.startTime <= info.completeTime
    assert task in host.content.taskManager.recentTask
    assert task in vm.recentTask


def test_a_search_can_be_cancelled_and_a_power_on_cannot(connect: Callable[..., Host]) -> None:
    host = connect(vms=1)
    for method in ("SearchDatastore_Task", "PowerOnVM_Task"):
        host.esx.threadsafe(host.esx.faults.hold_task, method)
    search = host.datacenter.datastore[0].browser.SearchDatastore_Task("[datastore1]", None)
    until(lambda: search.info.state == "running")
    search.CancelTask()
    until(lambda: search.info.state == "error")
    assert isinstance(search.info.error, vmodl.fault.RequestCanceled)
    assert search.info.cancelled
    power = host.datacenter.vmFolder.childEntity[0].PowerOnVM_Task()
    with pytest.raises(vmodl.fault.NotSupported):
        power.CancelTask()
    host.esx.threadsafe(host.esx.faults.release_task, "PowerOnVM_Task")
    host.done(power)
    with pytest.raises(vim.fault.InvalidState):
        power.CancelTask()


def test_a_question_stops_the_task_until_it_is_answered(host: Host) -> None:
    vm = host.datacenter.vmFolder.childEntity[0]
    number = host.esx.threadsafe(
        host.esx.ask, "vm-0", "Did you move it or copy it?", {"0": "Moved", "1": "Copied"}
    )
    task = vm.PowerOnVM_Task()
    question = vm.runtime.question
    assert question.id == number
    assert [choice.key for choice in question.choice.choiceInfo] == ["0", "1"]
    assert task.info.state == "running"
    with pytest.raises(vmodl.fault.InvalidArgument):
        vm.AnswerVM(number, "7")
    vm.AnswerVM(number, "1")
    host.done(task)
    assert vm.runtime.question is None
    assert host.esx.machine("vm-0").answers == ["1"]


def test_an_unsimulated_method_answers_not_implemented(shared: Host) -> None:
    with pytest.raises(vmodl.fault.NotImplemented):
        shared.create().QueryUnownedFiles()


def test_resource_pools(shared: Host) -> None:
    share = vim.SharesInfo(shares=100, level="normal")
    amount = vim.ResourceAllocationInfo(
        reservation=0, expandableReservation=True, limit=-1, shares=share
    )
    spec = vim.ResourceConfigSpec(cpuAllocation=amount, memoryAllocation=amount)
    pool = shared.pool.CreateResourcePool("tenants", spec)
    vm = shared.done(shared.datacenter.vmFolder.CreateVM_Task(shared.spec("pooled"), pool))
    assert pool.vm == [vm]
    assert vm.resourcePool == pool
    with pytest.raises(vim.fault.DuplicateName):
        shared.pool.CreateResourcePool("tenants", spec)
    shared.done(pool.Destroy_Task())
    assert vm.resourcePool == shared.pool


def test_tickets_and_screens(shared: Host) -> None:
    vm = shared.create("screened")
    with pytest.raises(vim.fault.InvalidState):
        vm.AcquireTicket("mks")
    shared.done(vm.PowerOnVM_Task())
    ticket = vm.AcquireTicket("webmks")
    assert ticket.url.startswith("wss://127.0.0.1:")
    assert vm.AcquireMksTicket().ticket
    with pytest.raises(vmodl.fault.InvalidArgument):
        vm.AcquireTicket("nonsense")
    path = shared.done(vm.CreateScreenshot_Task())
    picture = shared.esx.datastore_path() / path.partition("] ")[2]
    assert picture.read_bytes().startswith(b"\x89PNG")
    shared.done(vm.PowerOffVM_Task())


def test_maintenance_waits_for_machines_and_gives_up(host: Host) -> None:
    host.done(host.datacenter.vmFolder.childEntity[0].PowerOnVM_Task())
    with pytest.raises(vim.fault.Timedout):
        host.done(host.system.EnterMaintenanceMode_Task(1, False))
