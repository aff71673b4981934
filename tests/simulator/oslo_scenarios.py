# mypy: disable-error-code="import-not-found,attr-defined"
"""Scenarios that oslo.vmware plays on a simulated host, run by its own interpreter.

`test_oslo_vmware.py` starts this file in an environment that has oslo.vmware and none of ours. It
reads one JSON object with the host's address from standard input and writes a line for each scenario.
"""

from __future__ import annotations

import base64
import itertools
import json
import ssl
import sys
import time
import traceback
import urllib.request
from collections.abc import Callable
from typing import Any

SCENARIOS: dict[str, Callable[[Any], None]] = {}
_numbers = itertools.count(1)


def scenario(function: Callable[[Any], None]) -> Callable[[Any], None]:
    SCENARIOS[function.__name__] = function
    return function


class Stage:
    """A host and a session on it."""

    def __init__(self, given: dict[str, Any]) -> None:
        from oslo_vmware import api

        self.host, self.port = "127.0.0.1", given["port"]
        self.user, self.password, self.pem, self.folder = (
            given["user"],
            given["password"],
            given["pem"],
            given["folder"],
        )
        self.api = api
        self.session = self.connect()
        self.vim = self.session.vim
        self.factory = self.vim.client.factory

    def connect(self, password: str | None = None) -> Any:
        return self.api.VMwareAPISession(
            self.host,
            self.user,
            password or self.password,
            2,
            0.05,
            port=self.port,
            cacert=self.pem,
            insecure=False,
        )

    def control(self, verb: str, **body: Any) -> Any:
        token = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        request = urllib.request.Request(
            f"https://{self.host}:{self.port}/_ctl/{verb}",
            data=json.dumps(body).encode(),
            headers={"Authorization": f"Basic {token}"},
            method="POST",
        )
        context = ssl.create_default_context(cafile=self.pem)
        with urllib.request.urlopen(request, context=context) as answer:
            return json.load(answer)

    def call(self, method: str, this: Any, **args: Any) -> Any:
        return self.session.invoke_api(self.vim, method, this, **args)

    def done(self, method: str, this: Any, **args: Any) -> Any:
        info = self.session.wait_for_task(self.call(method, this, **args))
        return getattr(info, "result", None)

    def read(self, ref: Any, path: str) -> Any:
        from oslo_vmware import vim_util

        return self.session.invoke_api(vim_util, "get_object_property", self.vim, ref, path)

    def all(self, kind: str, *paths: str) -> dict[Any, Any]:
        from oslo_vmware import vim_util

        found = self.session.invoke_api(
            vim_util, "get_objects", self.vim, kind, 100, list(paths) or ["name"]
        )
        with vim_util.WithRetrieval(self.vim, found) as objects:
            return {obj.propSet[0].val: obj.obj for obj in objects}

    def new(self, kind: str, **fields: Any) -> Any:
        made = self.factory.create(f"ns0:{kind}")
        for name, value in fields.items():
            setattr(made, name, value)
        return made

    @property
    def vm_folder(self) -> Any:
        return self.read(self.datacenter, "vmFolder")

    @property
    def datacenter(self) -> Any:
        return self.all("Datacenter")["ha-datacenter"]

    @property
    def pool(self) -> Any:
        return self.all("ResourcePool")["Resources"]

    def spec(self, name: str, **more: Any) -> Any:
        files = self.new("VirtualMachineFileInfo", vmPathName="[datastore1]")
        return self.new(
            "VirtualMachineConfigSpec",
            name=name,
            memoryMB=256,
            numCPUs=1,
            guestId="otherGuest64",
            files=files,
            **more,
        )

    def disk(self, kb: int) -> list[Any]:
        controller = self.new(
            "VirtualLsiLogicController", key=-101, busNumber=0, sharedBus="noSharing"
        )
        backing = self.new(
            "VirtualDiskFlatVer2BackingInfo",
            diskMode="persistent",
            fileName="",
            thinProvisioned=True,
        )
        disk = self.new(
            "VirtualDisk",
            key=-100,
            controllerKey=-101,
            unitNumber=0,
            capacityInKB=kb,
            backing=backing,
        )
        return [
            self.new("VirtualDeviceConfigSpec", operation="add", device=controller),
            self.new(
                "VirtualDeviceConfigSpec", operation="add", fileOperation="create", device=disk
            ),
        ]

    def create(self, name: str = "", kb: int = 0) -> Any:
        spec = self.spec(
            name or f"oslo-{next(_numbers)}", **({"deviceChange": self.disk(kb)} if kb else {})
        )
        return self.done("CreateVM_Task", self.vm_folder, config=spec, pool=self.pool)


def raises(
    kind: type[BaseException], function: Callable[..., Any], *args: Any, **kwargs: Any
) -> BaseException:
    try:
        function(*args, **kwargs)
    except kind as error:
        return error
    raise AssertionError(f"{kind.__name__} was not raised")


class Images:
    """What oslo.vmware takes for an image service."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def show(self, context: Any, image_id: str) -> dict[str, Any]:
        return {"id": image_id, "container_format": "bare"}

    def download(self, context: Any, image_id: str) -> Any:
        return (self.content[at : at + 65536] for at in range(0, len(self.content), 65536))


def content() -> bytes:
    return b"A" * 65536 + bytes(65536 * 3) + bytes(range(256)) * 256 + bytes(65536 * 11)


def stream_optimized(raw: bytes) -> bytes:
    import struct
    import zlib

    out = bytearray(
        struct.pack(
            "<IIIQQQQIQQQBccccH",
            0x564D444B,
            3,
            0x30001,
            len(raw) // 512,
            128,
            1,
            20,
            512,
            0,
            (1 << 64) - 1,
            128,
            0,
            b"\n",
            b" ",
            b"\r",
            b"\n",
            1,
        ).ljust(512, b"\0")
        + b'# Disk DescriptorFile\ncreateType="streamOptimized"\nRW 1 SPARSE "x"\n'.ljust(
            127 * 512, b"\0"
        )
    )
    for at in range(0, len(raw), 65536):
        packed = zlib.compress(raw[at : at + 65536])
        piece = struct.pack("<QI", at // 512, len(packed)) + packed
        out += piece + bytes(-len(piece) % 512)
    return bytes(out + bytes(512))


# Sessions


@scenario
def logs_in_and_reads_about(stage: Stage) -> None:
    assert stage.vim.service_content.about.apiType == "HostAgent"
    assert stage.vim.service_content.about.apiVersion == "8.0.3.0"


@scenario
def a_wrong_password_is_refused(stage: Stage) -> None:
    from oslo_vmware import exceptions

    error = raises(exceptions.VimFaultException, stage.connect, "wrong")
    assert "InvalidLogin" in error.fault_list


@scenario
def logs_out(stage: Stage) -> None:
    other = stage.connect()
    other.logout()
    assert stage.control("calls", method="Logout")["calls"][-1]["fault"] is None


@scenario
def logs_in_again_after_a_fault(stage: Stage) -> None:
    before = len(stage.control("calls", method="Login")["calls"])
    stage.control("expire", face="fault")
    assert "Resources" in stage.all("ResourcePool")
    assert len(stage.control("calls", method="Login")["calls"]) == before + 1


@scenario
def logs_in_again_after_an_empty_reply(stage: Stage) -> None:
    stage.control("expire", face="empty")
    assert "Resources" in stage.all("ResourcePool")


@scenario
def logs_in_again_after_a_missing_set(stage: Stage) -> None:
    host = next(iter(stage.all("HostSystem").values()))
    stage.control("expire", face="missing")
    assert stage.read(host, "name") == "localhost.localdomain"


# Reading


@scenario
def walks_from_the_root_to_machines(stage: Stage) -> None:
    assert "vm-0" in stage.all("VirtualMachine")


@scenario
def pages_through_objects(stage: Stage) -> None:
    from oslo_vmware import vim_util

    found = stage.session.invoke_api(
        vim_util, "get_objects", stage.vim, "VirtualMachine", 1, ["name"]
    )
    assert len(found.objects) == 1
    with vim_util.WithRetrieval(stage.vim, found) as objects:
        names = [obj.propSet[0].val for obj in objects]
    assert len(names) == len(set(names)) >= 2


@scenario
def gives_up_paging(stage: Stage) -> None:
    from oslo_vmware import vim_util

    found = stage.session.invoke_api(
        vim_util, "get_objects", stage.vim, "VirtualMachine", 1, ["name"]
    )
    vim_util.cancel_retrieval(stage.vim, found)
    assert stage.control("calls", method="CancelRetrievePropertiesEx")["calls"][-1]["fault"] is None


@scenario
def reads_properties_as_a_dictionary(stage: Stage) -> None:
    from oslo_vmware import vim_util

    vm = stage.all("VirtualMachine")["vm-0"]
    found = stage.session.invoke_api(
        vim_util,
        "get_object_properties_dict",
        stage.vim,
        vm,
        ["name", "runtime.powerState", "config.hardware.memoryMB"],
    )
    assert found == {
        "name": "vm-0",
        "runtime.powerState": "poweredOff",
        "config.hardware.memoryMB": 128,
    }


@scenario
def reads_the_inventory_path(stage: Stage) -> None:
    from oslo_vmware import vim_util

    vm = stage.all("VirtualMachine")["vm-0"]
    path = stage.session.invoke_api(vim_util, "get_inventory_path", stage.vim, vm)
    assert path.strip("/") == "ha-datacenter/vm/vm-0", path


@scenario
def an_object_that_is_gone(stage: Stage) -> None:
    from oslo_vmware import exceptions, vim_util

    ghost = vim_util.get_moref("no-such", "VirtualMachine")
    raises(exceptions.ManagedObjectNotFoundException, stage.read, ghost, "name")


# Machines


@scenario
def makes_and_destroys_a_machine(stage: Stage) -> None:
    vm = stage.create("made", 1024)
    assert stage.read(vm, "config.files.vmPathName") == "[datastore1] made/made.vmx"
    stage.done("Destroy_Task", vm)
    assert "made" not in stage.all("VirtualMachine")


@scenario
def a_name_in_use(stage: Stage) -> None:
    from oslo_vmware import exceptions

    stage.create("named")
    raises(exceptions.DuplicateName, stage.create, "named")


@scenario
def changes_power(stage: Stage) -> None:
    vm = stage.create()
    for method, state in (
        ("PowerOnVM_Task", "poweredOn"),
        ("SuspendVM_Task", "suspended"),
        ("PowerOnVM_Task", "poweredOn"),
        ("ResetVM_Task", "poweredOn"),
        ("PowerOffVM_Task", "poweredOff"),
    ):
        stage.done(method, vm)
        assert stage.read(vm, "runtime.powerState") == state


@scenario
def a_wrong_power_state(stage: Stage) -> None:
    from oslo_vmware import exceptions

    raises(exceptions.InvalidPowerStateException, stage.done, "PowerOffVM_Task", stage.create())


@scenario
def no_tools_in_the_guest(stage: Stage) -> None:
    from oslo_vmware import exceptions

    vm = stage.create()
    stage.done("PowerOnVM_Task", vm)
    raises(exceptions.ToolsUnavailableException, stage.call, "ShutdownGuest", vm)
    stage.done("PowerOffVM_Task", vm)


@scenario
def sets_the_machine_id(stage: Stage) -> None:
    vm = stage.create()
    text = "DE:AD:BE:EF:00:00;10.0.0.2;255.255.255.0;10.0.0.1;10.0.0.255;10.0.0.1#"
    option = stage.new("OptionValue", key="machine.id", value=text)
    stage.done(
        "ReconfigVM_Task", vm, spec=stage.new("VirtualMachineConfigSpec", extraConfig=[option])
    )
    options = stage.read(vm, "config.extraConfig")
    assert [o.value for o in options[0] if o.key == "machine.id"] == [text]


@scenario
def another_task_is_in_progress(stage: Stage) -> None:
    from oslo_vmware import exceptions

    vm = stage.create()
    stage.control(
        "order",
        method="PowerOnVM_Task",
        what="fault",
        fault="TaskInProgress",
        fields={"task": "Task:haTask-1"},
    )
    raises(exceptions.TaskInProgress, stage.call, "PowerOnVM_Task", vm)


@scenario
def snapshots_and_back(stage: Stage) -> None:
    vm = stage.create("snapped", 1024)
    snapshot = stage.done(
        "CreateSnapshot_Task", vm, name="one", description="", memory=False, quiesce=False
    )
    devices = stage.read(vm, "config.hardware.device")
    device = next(d for d in devices.VirtualDevice if d.__class__.__name__ == "VirtualDisk")
    assert device.backing.parent.fileName == "[datastore1] snapped/snapped.vmdk"
    stage.done("RevertToSnapshot_Task", snapshot)
    stage.done("RemoveSnapshot_Task", snapshot, removeChildren=False)
    assert stage.read(vm, "snapshot") is None


# Disks and files


def new_disk(stage: Stage, path: str, kb: int = 1024) -> Any:
    spec = stage.new(
        "FileBackedVirtualDiskSpec", diskType="thin", adapterType="lsiLogic", capacityKb=kb
    )
    manager = stage.vim.service_content.virtualDiskManager
    return stage.done(
        "CreateVirtualDisk_Task",
        manager,
        name=f"[datastore1] {path}",
        datacenter=stage.datacenter,
        spec=spec,
    )


@scenario
def makes_copies_extends_and_deletes_a_disk(stage: Stage) -> None:
    manager = stage.vim.service_content.virtualDiskManager
    new_disk(stage, "oslo.vmdk")
    spec = stage.new("VirtualDiskSpec", diskType="thick", adapterType="lsiLogic")
    stage.done(
        "CopyVirtualDisk_Task",
        manager,
        sourceName="[datastore1] oslo.vmdk",
        sourceDatacenter=stage.datacenter,
        destName="[datastore1] oslo2.vmdk",
        destDatacenter=stage.datacenter,
        destSpec=spec,
        force=False,
    )
    stage.done(
        "ExtendVirtualDisk_Task",
        manager,
        name="[datastore1] oslo2.vmdk",
        datacenter=stage.datacenter,
        newCapacityKb=2048,
        eagerZero=False,
    )
    for name in ("oslo", "oslo2"):
        stage.done(
            "DeleteVirtualDisk_Task",
            manager,
            name=f"[datastore1] {name}.vmdk",
            datacenter=stage.datacenter,
        )


@scenario
def a_disk_that_is_there_already(stage: Stage) -> None:
    from oslo_vmware import exceptions

    new_disk(stage, "present.vmdk")
    raises(exceptions.FileAlreadyExistsException, new_disk, stage, "present.vmdk")


@scenario
def a_file_that_is_not_there(stage: Stage) -> None:
    from oslo_vmware import exceptions

    manager = stage.vim.service_content.fileManager
    raises(
        exceptions.FileNotFoundException,
        stage.done,
        "DeleteDatastoreFile_Task",
        manager,
        name="[datastore1] nobody",
        datacenter=stage.datacenter,
    )


@scenario
def no_space_is_left(stage: Stage) -> None:
    from oslo_vmware import exceptions

    spec = stage.new(
        "FileBackedVirtualDiskSpec", diskType="thick", adapterType="lsiLogic", capacityKb=2 << 30
    )
    raises(
        exceptions.NoDiskSpaceException,
        stage.done,
        "CreateVirtualDisk_Task",
        stage.vim.service_content.virtualDiskManager,
        name="[datastore1] huge.vmdk",
        datacenter=stage.datacenter,
        spec=spec,
    )


@scenario
def a_locked_file(stage: Stage) -> None:
    from oslo_vmware import exceptions

    vm = stage.create("keeper", 1024)
    stage.done("PowerOnVM_Task", vm)
    raises(
        exceptions.FileLockedException,
        stage.done,
        "DeleteVirtualDisk_Task",
        stage.vim.service_content.virtualDiskManager,
        name="[datastore1] keeper/keeper.vmdk",
        datacenter=stage.datacenter,
    )
    stage.done("PowerOffVM_Task", vm)


@scenario
def finds_files(stage: Stage) -> None:
    from oslo_vmware.objects import datastore

    store = datastore.get_datastore_by_ref(stage.session, stage.all("Datastore")["datastore1"])
    assert store.capacity > store.freespace > 0
    browser = stage.read(store.ref, "browser")
    found = stage.done("SearchDatastore_Task", browser, datastorePath="[datastore1] vm-0")
    assert "vm-0.vmx" in [file.path for file in found.file]


# Transfers


@scenario
def uploads_a_flat_image(stage: Stage) -> None:
    from oslo_vmware import image_transfer

    raw = content()
    image_transfer.download_flat_image(
        None,
        60,
        Images(raw),
        "image",
        image_size=len(raw),
        host=stage.host,
        port=stage.port,
        data_center_name="ha-datacenter",
        datastore_name="datastore1",
        cookies=stage.vim.client.cookiejar,
        file_path="flat.bin",
        cacerts=stage.pem,
    )
    with open(f"{stage.folder}/flat.bin", "rb") as file:
        assert file.read() == raw


@scenario
def reads_a_file(stage: Stage) -> None:
    from oslo_vmware import rw_handles

    with open(f"{stage.folder}/readable.bin", "wb") as file:
        file.write(content())
    handle = rw_handles.FileReadHandle(
        stage.host,
        stage.port,
        "ha-datacenter",
        "datastore1",
        stage.vim.client.cookiejar,
        "readable.bin",
        cacerts=stage.pem,
    )
    assert int(handle.get_size()) == len(content())
    found = b""
    while data := handle.read(65536):
        found += data
    assert found == content()
    handle.close()


@scenario
def imports_a_stream_optimized_image(stage: Stage) -> None:
    from oslo_vmware import image_transfer

    image = stream_optimized(content())
    spec = stage.new(
        "VirtualMachineImportSpec",
        configSpec=stage.spec("streamed", deviceChange=stage.disk(len(content()) // 1024)),
    )
    vm = image_transfer.download_stream_optimized_image(
        None,
        60,
        Images(image),
        "image",
        image_size=len(image),
        session=stage.session,
        host=stage.host,
        port=stage.port,
        resource_pool=stage.pool,
        vm_folder=stage.vm_folder,
        vm_import_spec=spec,
    )
    assert stage.read(vm, "name") == "streamed"
    with open(f"{stage.folder}/streamed/streamed-flat.vmdk", "rb") as file:
        assert file.read() == content()


@scenario
def exports_a_disk(stage: Stage) -> None:
    from oslo_vmware import image_transfer

    vm = stage.create("outbound", len(content()) // 1024)
    with open(f"{stage.folder}/outbound/outbound-flat.vmdk", "wb") as file:
        file.write(content())
    out = open(f"{stage.folder}/exported.bin", "w+b")  # noqa: SIM115 - oslo.vmware closes it
    image_transfer.copy_stream_optimized_disk(
        None,
        60,
        out,
        session=stage.session,
        host=stage.host,
        port=stage.port,
        vm=vm,
        vmdk_file_path="[datastore1] outbound/outbound.vmdk",
        vmdk_size=len(content()),
    )
    with open(f"{stage.folder}/exported.bin", "rb") as file:
        assert file.read(4) == b"KDMV"


@scenario
def uploads_by_a_ticket(stage: Stage) -> None:
    from oslo_vmware.objects import datastore

    url = datastore.DatastoreURL(
        "https", f"{stage.host}:{stage.port}", "ticketed.bin", "ha-datacenter", "datastore1"
    )
    ticket = url.get_transfer_ticket(stage.session, "PUT")
    request = urllib.request.Request(
        str(url), data=b"by ticket", headers={"Cookie": ticket}, method="PUT"
    )
    with urllib.request.urlopen(
        request, context=ssl.create_default_context(cafile=stage.pem)
    ) as answer:
        assert answer.status == 201


# The rest


@scenario
def adds_a_port_group(stage: Stage) -> None:
    from oslo_vmware import exceptions

    host = next(iter(stage.all("HostSystem").values()))
    system = stage.read(host, "configManager.networkSystem")
    policy = stage.new(
        "HostNetworkPolicy", nicTeaming=stage.new("HostNicTeamingPolicy", notifySwitches=True)
    )
    spec = stage.new(
        "HostPortGroupSpec", name="vlan 5", vlanId=5, vswitchName="vSwitch0", policy=policy
    )
    stage.call("AddPortGroup", system, portgrp=spec)
    raises(exceptions.AlreadyExistsException, stage.call, "AddPortGroup", system, portgrp=spec)
    assert "vlan 5" in [group.spec.name for group in stage.read(system, "networkInfo").portgroup]


@scenario
def hears_of_changes(stage: Stage) -> None:
    vm = stage.create()
    collector = stage.call("CreatePropertyCollector", stage.vim.service_content.propertyCollector)
    spec = stage.new(
        "PropertyFilterSpec",
        propSet=[
            stage.new(
                "PropertySpec", type="VirtualMachine", all=False, pathSet=["runtime.powerState"]
            )
        ],
        objectSet=[stage.new("ObjectSpec", obj=vm, skip=False)],
    )
    stage.call("CreateFilter", collector, spec=spec, partialUpdates=False)
    options = stage.new("WaitOptions", maxWaitSeconds=10)
    first = stage.call("WaitForUpdatesEx", collector, version="", options=options)
    stage.done("PowerOnVM_Task", vm)
    second = stage.call("WaitForUpdatesEx", collector, version=first.version, options=options)
    assert second.filterSet[0].objectSet[0].changeSet[0].val == "poweredOn"
    stage.call("DestroyPropertyCollector", collector)
    stage.done("PowerOffVM_Task", vm)


@scenario
def reads_events(stage: Stage) -> None:
    vm = stage.create()
    entity = stage.new("EventFilterSpecByEntity", entity=vm, recursion="self")
    events = stage.call(
        "QueryEvents",
        stage.vim.service_content.eventManager,
        filter=stage.new("EventFilterSpec", entity=entity),
    )
    assert [event.__class__.__name__ for event in events] == ["VmCreatedEvent"]


@scenario
def a_fault_that_it_does_not_know(stage: Stage) -> None:
    from oslo_vmware import exceptions

    vm = stage.create()
    stage.control(
        "order",
        method="PowerOnVM_Task",
        what="task",
        fault="InsufficientMemoryResourcesFault",
        fields={"unreserved": 1, "requested": 2},
    )
    error = raises(exceptions.VimFaultException, stage.done, "PowerOnVM_Task", vm)
    assert "InsufficientMemoryResourcesFault" in error.fault_list


# What a fault must have beside its name.
FIELDS: dict[str, dict[str, Any]] = {
    "DuplicateName": {"name": "x", "object": "VirtualMachine:1"},
    "InvalidPowerState": {"requestedState": "poweredOn", "existingState": "poweredOn"},
    "InvalidProperty": {"name": "no.such"},
    "ManagedObjectNotFound": {"obj": "VirtualMachine:1"},
    "NoDiskSpace": {"file": "[datastore1] x", "datastore": "datastore1"},
    "NoPermission": {"object": "VirtualMachine:1", "privilegeId": "System.View"},
    "TaskInProgress": {"task": "Task:haTask-1"},
    "ToolsUnavailable": {},
    "AlreadyExists": {"name": "x"},
}


@scenario
def every_fault_that_it_knows(stage: Stage) -> None:
    from oslo_vmware import exceptions

    vm = stage.create()
    # An expired session it does not raise: it logs in again.
    known = set(exceptions._fault_classes_registry) - {"NotAuthenticated"}
    for name in sorted(known):
        fields = FIELDS.get(name, {"file": "[datastore1] x"})
        # A fault without fields in a task it takes for a text: its SOAP library looks at children alone.
        for what in ("fault", "task") if fields else ("fault",):
            stage.control("order", method="PowerOnVM_Task", what=what, fault=name, fields=fields)
            raises(exceptions.get_fault_class(name), stage.done, "PowerOnVM_Task", vm)
    assert len(known) >= 14
    assert stage.read(vm, "runtime.powerState") == "poweredOff"


@scenario
def a_missing_permission_says_which(stage: Stage) -> None:
    from oslo_vmware import exceptions

    vm = stage.create()
    fields = {"object": "VirtualMachine:1", "privilegeId": "VirtualMachine.Interact.PowerOn"}
    stage.control(
        "order", method="PowerOnVM_Task", what="fault", fault="NoPermission", fields=fields
    )
    error: Any = raises(exceptions.NoPermissionException, stage.call, "PowerOnVM_Task", vm)
    assert error.details["privilegeId"] == "VirtualMachine.Interact.PowerOn"


@scenario
def a_lease_that_is_given_up(stage: Stage) -> None:
    from oslo_vmware import rw_handles

    image = stream_optimized(content())
    spec = stage.new(
        "VirtualMachineImportSpec",
        configSpec=stage.spec("given-up", deviceChange=stage.disk(len(content()) // 1024)),
    )
    handle = rw_handles.VmdkWriteHandle(
        stage.session, stage.host, stage.port, stage.pool, stage.vm_folder, spec, len(image)
    )
    handle.write(image[: len(image) // 2])
    handle.close()
    assert stage.control("calls", method="HttpNfcLeaseAbort")["calls"][-1]["fault"] is None
    assert "given-up" not in stage.all("VirtualMachine")


@scenario
def hosts_that_reach_a_datastore(stage: Stage) -> None:
    from oslo_vmware import vim_util
    from oslo_vmware.objects import datastore

    store = datastore.get_datastore_by_ref(stage.session, stage.all("Datastore")["datastore1"])
    hosts = store.get_connected_hosts(stage.session)
    chosen = datastore.Datastore.choose_host(hosts)
    assert vim_util.get_moref_value(chosen) in [
        vim_util.get_moref_value(host) for host in stage.all("HostSystem").values()
    ]
    assert store.get_summary(stage.session).accessible
    url = store.build_url("https", f"{stage.host}:{stage.port}", "a/b.bin", "ha-datacenter")
    assert url.datastore_name == "datastore1"


@scenario
def reads_a_property_of_many_objects(stage: Stage) -> None:
    from oslo_vmware import vim_util

    machines = [stage.create(), stage.create()]
    found = stage.session.invoke_api(
        vim_util,
        "get_properties_for_a_collection_of_objects",
        stage.vim,
        "VirtualMachine",
        machines,
        ["runtime.powerState"],
    )
    assert [item.propSet[0].val for item in found.objects] == ["poweredOff", "poweredOff"]


@scenario
def the_session_of_a_host_cannot_be_asked_for(stage: Stage) -> None:
    # SessionIsActive is a vCenter's; oslo.vmware takes the fault for a no.
    assert stage.session.is_current_session_active() is False


@scenario
def a_page_instead_of_a_reply(stage: Stage) -> None:
    from oslo_vmware import exceptions, vim_util

    stage.control("order", method="CurrentTime", what="html", times=None)
    service = vim_util.get_moref("ServiceInstance", "ServiceInstance")
    raises(exceptions.VMwareDriverException, stage.vim.CurrentTime, service)
    stage.control("clear")


def main() -> None:
    stage = Stage(json.load(sys.stdin))
    for name, play in SCENARIOS.items():
        start = time.monotonic()
        try:
            play(stage)
            result: dict[str, Any] = {"name": name, "ok": True}
        except Exception:  # noqa: BLE001 - each scenario reports, whatever happened
            result = {"name": name, "ok": False, "error": traceback.format_exc()[-4000:]}
        print(json.dumps({**result, "seconds": round(time.monotonic() - start, 3)}), flush=True)


if __name__ == "__main__":
    main()
