"""Where the simulated host and vcsim 0.24.2 differ, and who is right by what source.

`docs/appendix/simulator.md` shows this as a table (`python -m tests.simulator.page` writes it).
"""

from __future__ import annotations

from tests.simulator.outcome import Outcome

DIFFERENT: dict[str, Outcome] = {
    "logs_in_and_reads_about": Outcome(
        here="HostAgent",
        vpx="VirtualCenter",
        right="both: AboutInfo.apiType is `HostAgent` of a host, `VirtualCenter` of a vCenter",
    ),
    "reports_its_api_version": Outcome(
        here="8.0.3.0", vcsim="6.5", right="both: AboutInfo.apiVersion is the release's own"
    ),
    "asks_whether_a_session_is_active": Outcome(
        here="NotImplemented",
        vpx="ok",
        right="both: a vCenter implements it; a host does not, by the tests of govmomi and by the answer to root on one (seen, vmware/pyvmomi#749)",
    ),
    "takes_over_a_session_by_a_ticket": Outcome(
        here="InvalidLogin",
        vcsim="ok",
        right="not known: the reference has CloneSession called before a login (AcquireCloneTicket) and is silent on a call after a login; here it gives the fault of Login",
    ),
    "asks_for_a_local_ticket": Outcome(
        here="InvalidRequest",
        vcsim="MethodNotFound",
        right="here: the reference has InvalidRequest for who is not on the host (AcquireLocalTicket)",
    ),
    "sets_a_locale": Outcome(
        here="ok",
        vcsim="MethodNotFound",
        right="here: SetLocale is of API 2.0",
    ),
    "reads_without_a_session": Outcome(
        here="NotAuthenticated",
        vcsim="ok",
        right="here: RetrieveProperties itself asks for no privilege, ManagedEntity.name for System.View, which a session gives",
    ),
    "checks_whether_its_session_is_active": Outcome(
        here=False,
        vpx=True,
        right="both: only a vCenter implements it, and a host's fault counts as no",
    ),
    "pages_through_a_read": Outcome(
        here=True,
        vcsim=False,
        right="here: RetrieveOptions.maxObjects, the most that one answer has",
    ),
    "continues_with_an_unknown_token": Outcome(
        here="InvalidArgument",
        vcsim="MethodNotFound",
        right="here: ContinueRetrievePropertiesEx is of API 4.1, and the reference has InvalidArgument for another token than the last",
    ),
    "cancels_a_read": Outcome(
        here="ok", vcsim="MethodNotFound", right="here: CancelRetrievePropertiesEx is of API 4.1"
    ),
    "reads_an_unknown_property": Outcome(
        here="InvalidProperty",
        vcsim="ok",
        right="here: RetrieveProperties declares InvalidProperty; vcsim reports it in ObjectContent.missingSet",
    ),
    "reads_a_device_by_its_key": Outcome(
        here="VirtualDisk",
        vcsim="InvalidProperty",
        right="here: the reference names an element of a list by its key in brackets (PropertyChange.name)",
    ),
    "makes_an_inventory_view": Outcome(
        here="NotImplemented",
        vcsim="MethodNotFound",
        right="neither: CreateInventoryView is of API 2.5, and the reference knows no server without it",
    ),
    "fetches_a_property_that_is_not_set": Outcome(
        here=None,
        vcsim="no answer",
        right="here: pyVmomi, whose call `Fetch` is, takes a reply without a value for an unset property; vcsim closes the connection",
    ),
    "receives_a_changed_annotation": Outcome(
        here=["config.annotation"],
        vcsim=[],
        right="here: PropertySpec.pathSet, the properties of which a filter reports",
    ),
    "waits_from_an_unknown_version": Outcome(
        here="InvalidCollectorVersion",
        vcsim="ok",
        right="here: WaitForUpdatesEx declares InvalidCollectorVersion",
    ),
    "asks_for_updates_without_waiting": Outcome(
        here="ok", vcsim="MethodNotFound", right="here: CheckForUpdates is of API 2.0"
    ),
    "receives_truncated_updates": Outcome(
        here=True,
        vcsim=False,
        right="here: WaitOptions.maxObjectUpdates, and UpdateSet.truncated where there is more",
    ),
    "finds_all_by_a_uuid": Outcome(
        here=True, vcsim="MethodNotFound", right="here: FindAllByUuid is of API 4.0"
    ),
    "shows_a_name_with_a_slash": Outcome(
        here="c%2fd%25",
        vcsim="c/d%",
        right="here: ManagedEntity.name has `/`, the backslash and a `%` that begins no escape sequence escaped",
    ),
    "asks_a_datacenter_for_its_datastores": Outcome(
        here=["ok"],
        vcsim=["ManagedObjectNotFound", "ok"],
        vpx=["ok"],
        right="here: Datacenter.datastore, of which vcsim's names one that it does not have",
    ),
    "makes_the_same_name_twice": Outcome(
        here="DuplicateName", vcsim="ok", right="here: CreateVM_Task declares DuplicateName"
    ),
    "starts_a_machine_of_three_megabytes": Outcome(
        here="GenericVmConfigFault",
        vcsim="ok",
        right="here: the vendor's manual has memory in steps of 4 MB; PowerOnVM_Task declares VmConfigFault, an ancestor of GenericVmConfigFault, which a vCenter gave (seen, OpenNebula/one#1105)",
    ),
    "makes_a_machine_without_a_processor": Outcome(
        here="InvalidArgument",
        vcsim="ok",
        right="here: VirtualHardwareOption.numCPU lists the valid counts, without 0; which fault is our choice",
    ),
    "makes_a_machine_on_an_unknown_datastore": Outcome(
        here="InvalidDatastore",
        vcsim="no answer",
        alone=True,
        right="here: CreateVM_Task declares InvalidDatastore; vcsim's handler panics",
    ),
    "makes_a_machine_on_an_unknown_network": Outcome(
        here="InvalidDeviceBacking",
        vcsim="no answer",
        alone=True,
        right="here: CreateVM_Task declares VmConfigFault, an ancestor of InvalidDeviceBacking; which of its kind is our choice; vcsim's handler panics",
    ),
    "clones_a_machine": Outcome(
        here="NotSupported",
        vcsim="ok",
        right="here: the reference has NotSupported where an agent cannot (CloneVM_Task), and hosts answer so (seen, pdellaert/vSphere-Python#8)",
    ),
    "suspends_while_off": Outcome(
        here="InvalidPowerState",
        vcsim="ok",
        right="here: SuspendVM_Task declares InvalidState, an ancestor of InvalidPowerState, which the reference has for this",
    ),
    "resets_while_suspended": Outcome(
        here="InvalidPowerState",
        vcsim="ok",
        right="here: ResetVM_Task declares InvalidState, an ancestor of InvalidPowerState, which the reference has for a suspended machine too",
    ),
    "shuts_down_a_guest_without_tools": Outcome(
        here="ToolsUnavailable",
        vcsim="ok",
        right="here: ShutdownGuest declares ToolsUnavailable; vcsim powers off",
    ),
    "reboots_a_guest_without_tools": Outcome(
        here="ToolsUnavailable",
        vcsim="MethodNotFound",
        right="here: RebootGuest declares ToolsUnavailable",
    ),
    "puts_a_guest_to_sleep_without_tools": Outcome(
        here="ToolsUnavailable",
        vcsim="MethodNotFound",
        right="here: StandbyGuest declares ToolsUnavailable",
    ),
    "unregisters_and_registers_again": Outcome(
        here=256,
        vcsim=32,
        right="here: RegisterVM_Task reads the machine's configuration file; vcsim does not",
    ),
    "renames_to_a_name_in_use": Outcome(
        here="DuplicateName",
        vcsim="InvalidArgument",
        right="here: Rename_Task declares DuplicateName",
    ),
    "makes_a_folder_of_machines": Outcome(
        here="NotSupported",
        vpx="ok",
        right="both: a vCenter has folders of machines; for a host NotSupported is vcsim's word and ours, the reference names no fault (CreateFolder)",
    ),
    "sends_a_stale_change_version": Outcome(
        here="ConcurrentAccess",
        vcsim="ok",
        right="here: ReconfigVM_Task declares ConcurrentAccess; VirtualMachineConfigSpec.changeVersion is there for it",
    ),
    "clears_an_extra_option": Outcome(
        here=0,
        vcsim=2,
        right="here: the reference removes keys with empty values (VirtualMachineConfigSpec.extraConfig); vcsim has the key twice",
    ),
    "shrinks_a_disk": Outcome(
        here="InvalidDeviceOperation",
        vcsim="ok",
        right="here: ReconfigVM_Task declares VmConfigFault, an ancestor of InvalidDeviceOperation, which a vCenter gave (seen, kubernetes-sigs/cluster-api-provider-vsphere#1030)",
    ),
    "adds_a_disk_to_an_unknown_controller": Outcome(
        here="InvalidController",
        vcsim="ok",
        right="here: ReconfigVM_Task declares VmConfigFault, an ancestor of InvalidController, which the reference has for this",
    ),
    "removes_an_unknown_device": Outcome(
        here="InvalidDeviceSpec",
        vcsim="ok",
        right="here: the reference wants the server's own key of who removes (VirtualDevice.key); ReconfigVM_Task declares VmConfigFault, an ancestor of InvalidDeviceSpec; which of its kind is our choice",
    ),
    "adds_an_adapter": Outcome(
        here=4000,
        vcsim=202,
        right="here: no reference has it; recorded of a host, in vcsim's own esx model, an adapter has the key 4000",
    ),
    "adds_a_cd_drive": Outcome(
        here=[3000],
        vcsim=[202],
        right="here: no reference has it; usage, `cdrom-3000` in the manual of govc",
    ),
    "adds_a_serial_port": Outcome(
        here=[9000],
        vcsim=[202],
        right="here: no reference has it; usage, `serialport-9000` in scripts that drive govc",
    ),
    "asks_for_a_console_ticket": Outcome(
        here="ok",
        vcsim="MethodNotFound",
        right="here: AcquireTicket is of API 4.1; as far as a ticket without a screen is one",
    ),
    "asks_for_an_mks_ticket": Outcome(
        here="ok",
        vcsim="MethodNotFound",
        right="here: AcquireMksTicket is of API 2.0; as far as a ticket without a screen is one",
    ),
    "takes_a_picture_of_the_screen": Outcome(
        here="ok",
        vcsim="MethodNotFound",
        right="here: CreateScreenshot_Task is of API 4.0; the picture is black",
    ),
    "answers_an_unknown_question": Outcome(
        here="InvalidArgument",
        vcsim="MethodNotFound",
        right="here: AnswerVM is of API 2.0, and the reference has InvalidArgument for a question that is not the machine's",
    ),
    "asks_for_changed_areas": Outcome(
        here="NotImplemented",
        vcsim="MethodNotFound",
        right="neither: QueryChangedDiskAreas is of API 4.0, and the reference has InvalidArgument for a disk whose changes are not tracked",
    ),
    "mounts_the_tools": Outcome(
        here="InvalidState",
        vcsim="MethodNotFound",
        right="here: MountToolsInstaller declares InvalidState, which the reference has for a machine that does not run",
    ),
    "removes_the_current_root_that_has_a_child": Outcome(
        here=[["two"]],
        vcsim="no answer",
        alone=True,
        right="here: RemoveSnapshot_Task.removeChildren is for the snapshots below, and is not set; vcsim's handler panics",
    ),
    "reverts_a_changed_annotation": Outcome(
        here="before",
        vcsim="after",
        right="here: a snapshot has a configuration, VirtualMachineSnapshot.config, and RevertToSnapshot_Task goes back to the snapshot",
    ),
    "reverts_a_running_machine_to_when_it_was_off": Outcome(
        here="poweredOff",
        vcsim="poweredOn",
        right="here: a snapshot has a power state, VirtualMachineSnapshotTree.state, and RevertToSnapshot_Task goes back to the snapshot",
    ),
    "writes_to_a_delta_after_a_snapshot": Outcome(
        here=True,
        vcsim=False,
        right="here: VirtualDiskFlatVer2BackingInfo.parent, to whose delta a snapshot sends the writes",
    ),
    "renames_a_snapshot": Outcome(
        here="ok", vcsim="MethodNotFound", right="here: RenameSnapshot is of API 2.0"
    ),
    "takes_a_snapshot_the_newer_way": Outcome(
        here="ok",
        vcsim="MethodNotFound",
        right="here: CreateSnapshotEx_Task is of API 6.5, which vcsim claims to have",
    ),
    "consolidates_disks": Outcome(
        here="ok", vcsim="MethodNotFound", right="here: ConsolidateVMDisks_Task is of API 5.0"
    ),
    "makes_a_disk_as_large_as_asked_for": Outcome(
        here=1048576,
        vcsim=0,
        right="here: FileBackedVirtualDiskSpec.capacityKb; vcsim's extents are empty",
    ),
    "makes_a_disk_of_an_unknown_type": Outcome(
        here="InvalidArgument",
        vcsim="ok",
        right="here: VirtualDiskSpec.diskType, one of VirtualDiskType; which fault is our choice",
    ),
    "makes_a_disk_larger_than_the_datastore": Outcome(
        here="NoDiskSpace",
        vcsim="ok",
        right="here: CreateVirtualDisk_Task declares FileFault, an ancestor of NoDiskSpace; vcsim's disks have no bytes",
    ),
    "copies_a_disk_to_another_type": Outcome(
        here="ok",
        vpx="NotImplemented",
        unread={("vpx", "oslo"): "Text"},
        right="both: the reference has CopyVirtualDisk_Task.destSpec for all servers, but only hosts take it (by the authors of govmomi, vmware/govmomi#1036)",
    ),
    "deletes_the_disk_of_a_running_machine": Outcome(
        here="FileLocked",
        vcsim="ok",
        right="here: the reference forbids it, and DeleteVirtualDisk_Task declares FileFault, an ancestor of FileLocked; which of its kind is our choice; vcsim has no locks",
    ),
    "extends_a_disk": Outcome(
        here="ok", vcsim="MethodNotFound", right="here: ExtendVirtualDisk_Task is of API 2.5"
    ),
    "inflates_a_disk": Outcome(
        here="ok", vcsim="MethodNotFound", right="here: InflateVirtualDisk_Task is of API 2.5"
    ),
    "gives_a_disk_another_uuid": Outcome(
        here=True,
        vcsim=False,
        right="here: SetVirtualDiskUuid is of API 2.5; vcsim makes one up from the name",
    ),
    "asks_for_the_geometry_of_a_disk": Outcome(
        here="ok", vcsim="MethodNotFound", right="here: QueryVirtualDiskGeometry is of API 2.5"
    ),
    "leaves_the_datacenter_out": Outcome(
        here="ok",
        vpx="InvalidArgument",
        right="both: MakeDirectory.datacenter is optional, which the reference grants to hosts; a vCenter wants it",
    ),
    "searches_without_a_pattern": Outcome(
        here=["a"],
        vcsim=[],
        right="here: HostDatastoreBrowserSearchSpec.matchPattern is optional, and only limits",
    ),
    "searches_without_a_spec": Outcome(
        here=["a"],
        vcsim="no answer",
        alone=True,
        right="here: SearchDatastore_Task.searchSpec is optional; vcsim's handler panics",
    ),
    "refreshes_a_datastore": Outcome(
        here="ok",
        vcsim="no answer",
        unread={(kind, "oslo"): "ok" for kind in ("vcsim", "vpx")},
        right="here: a reply is an envelope (SOAP 1.1, 4); vcsim's is empty",
    ),
    "puts_a_new_file": Outcome(
        here=201, vcsim=200, right="here: 201 for a created resource (RFC 9110, 9.3.4)"
    ),
    "puts_without_a_session": Outcome(here=401, vcsim=200, right="here: 401 (RFC 9110, 15.5.2)"),
    "gets_without_a_session": Outcome(here=401, vcsim=200, right="here: 401 (RFC 9110, 15.5.2)"),
    "deletes_over_http": Outcome(
        here=404,
        vcsim=200,
        right="here: DELETE removes (RFC 9110, 9.3.5); vcsim deletes nothing",
    ),
    "asks_for_the_status_of_a_deletion_over_http": Outcome(
        here=204,
        vcsim=200,
        right="here: 204 is what the author of a client took from hosts (ansible-collections/community.vmware, `vsphere_file`)",
    ),
    "puts_a_new_file_by_a_ticket": Outcome(
        here=201, vcsim=200, right="here: 201 for a created resource (RFC 9110, 9.3.4)"
    ),
    "adds_a_port_group_twice": Outcome(
        here="AlreadyExists",
        vcsim="DuplicateName",
        right="here: AddPortGroup declares AlreadyExists",
    ),
    "adds_a_port_group_of_vlan_5000": Outcome(
        here="InvalidArgument",
        vcsim="ok",
        right="here: HostPortGroupSpec.vlanId is 0 to 4095, and the reference has InvalidArgument for others (AddPortGroup)",
    ),
    "changes_a_port_group": Outcome(
        here="ok", vcsim="MethodNotFound", right="here: UpdatePortGroup is of API 2.0"
    ),
    "removes_a_port_group_in_use": Outcome(
        here="ResourceInUse", vcsim="ok", right="here: RemovePortGroup declares ResourceInUse"
    ),
    "sees_a_port_group_in_the_hosts_configuration": Outcome(
        here=True,
        vcsim=False,
        right="here: HostConfigInfo.network is a HostNetworkInfo, as HostNetworkSystem.networkInfo is",
    ),
    "sees_a_port_group_among_the_hosts_networks": Outcome(
        here=True,
        vcsim=False,
        right="here: HostSystem.network, the datacenter's networks that the host has",
    ),
    "adds_a_switch": Outcome(
        here=[64], vcsim=[0], right="here: HostVirtualSwitchSpec.numPorts; vcsim forgets the spec"
    ),
    "changes_a_switch": Outcome(
        here="ok", vcsim="MethodNotFound", right="here: UpdateVirtualSwitch is of API 2.0"
    ),
    "adds_an_adapter_of_the_kernel": Outcome(
        here="ok",
        vcsim="MethodNotFound",
        right="here: AddVirtualNic is of API 2.0, and HostNetworkSystem a host's own",
    ),
    "changes_the_network_as_a_whole": Outcome(
        here=True,
        vcsim=False,
        right="here: UpdateNetworkConfig is of API 2.0, and the reference has it add the given items in the mode `modify`; vcsim answers and changes nothing",
    ),
    "keeps_what_was_imported": Outcome(
        here=True,
        vcsim=False,
        right="here: an HttpNfcLease is there to bring disks; vcsim throws them away",
    ),
    "aborts_an_import": Outcome(
        here=False,
        vcsim=True,
        right="here: the reference removes an imported machine when its HttpNfcLease is aborted",
    ),
    "exports_a_machine": Outcome(
        here="ok", vcsim="MethodNotFound", right="here: ExportVm is of API 4.0"
    ),
    "asks_for_events_at_once": Outcome(
        here="NotImplemented",
        vpx="ok",
        right="both: a vCenter answers; who asked from a shell of a host was answered so (seen, vmware/pyvmomi#268); hosts have CreateCollectorForEvents",
    ),
    "reads_the_latest_event": Outcome(
        here=True,
        vcsim=False,
        right="here: EventManager.latestEvent, which vcsim as a vCenter leaves out too; the reference speaks of vCenters alone",
    ),
    "logs_an_event_of_its_own": Outcome(
        here="ok", vcsim="MethodNotFound", right="here: LogUserEvent is of API 2.0"
    ),
    "reads_the_task_of_a_disk": Outcome(
        here=None,
        vcsim="VirtualDiskManager",
        unread={(kind, "pyvmomi"): "a task that it cannot read" for kind in ("vcsim", "vpx")},
        right="here: TaskInfo.entity is a ManagedEntity, which a VirtualDiskManager is not; pyVmomi cannot read vcsim's task",
    ),
    "cancels_a_finished_task": Outcome(
        here="InvalidState", vcsim="MethodNotFound", right="here: CancelTask declares InvalidState"
    ),
    "creates_a_task_collector": Outcome(
        here="NotSupported",
        vcsim="MethodNotFound",
        right="here: the reference has NotSupported for a host (CreateCollectorForTasks), and an ESXi 4.1 gave it (seen, argos83/pysphere#25)",
    ),
    "queries_a_counter": Outcome(
        here="ok",
        vcsim="no answer",
        alone=True,
        right="here: QueryPerfCounter is of API 2.0; vcsim's handler panics",
    ),
    "lists_files_in_a_guest": Outcome(
        here="GuestOperationsUnavailable",
        vcsim="MethodNotFound",
        right="here: ListFilesInGuest is of API 5.0; ListFilesInGuest declares GuestOperationsFault, an ancestor of GuestOperationsUnavailable, which the reference has for a machine whose tools do not run",
    ),
    "reboots_the_host": Outcome(
        here="ok", vcsim="MethodNotFound", alone=True, right="here: RebootHost_Task is of API 2.0"
    ),
}
