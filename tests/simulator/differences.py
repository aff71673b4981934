"""Where the simulated host and vcsim 0.24.2 differ, and who is right by what source.

`docs/simulator.md` shows this as a table (`python -m tests.simulator.page` writes it).
"""

from __future__ import annotations

from tests.simulator.outcome import Outcome

DIFFERENT: dict[str, Outcome] = {
    "logs_in_and_reads_about": Outcome(
        here="HostAgent", vpx="VirtualCenter", right="both: one is a host, the other a vCenter"
    ),
    "asks_whether_a_session_is_active": Outcome(
        here="NotSupported",
        vcsim="NotImplemented",
        vpx="ok",
        right="here: SessionIsActive is a call of vCenter's, NotSupported is what a host has for those",
    ),
    "takes_over_a_session_by_a_ticket": Outcome(
        here="InvalidLogin",
        vcsim="ok",
        right="not known: CloneSession names only a bad ticket as a reason for InvalidLogin, Login a session that is there too",
    ),
    "asks_for_a_local_ticket": Outcome(
        here="NotImplemented",
        vcsim="MethodNotFound",
        right="neither: AcquireLocalTicket is a call of hosts, for programs on them",
    ),
    "sets_a_locale": Outcome(
        here="NotImplemented",
        vcsim="MethodNotFound",
        right="neither: SetLocale is a call of hosts and vCenters",
    ),
    "reads_without_a_session": Outcome(
        here="NotAuthenticated",
        vcsim="ok",
        right="here: every call but RetrieveServiceContent and Login needs a session (NotAuthenticated)",
    ),
    "is_told_whether_its_session_is_active": Outcome(
        here=False,
        vpx=True,
        right="both: only a vCenter can tell, and a host's fault is taken for a no",
    ),
    "pages_through_a_read": Outcome(
        here=True, vcsim=False, right="here: RetrieveOptions.maxObjects"
    ),
    "goes_on_with_a_token_that_is_none": Outcome(
        here="InvalidArgument",
        vcsim="MethodNotFound",
        right="here: ContinueRetrievePropertiesEx is of API 4.1",
    ),
    "gives_up_a_read": Outcome(
        here="ok", vcsim="MethodNotFound", right="here: CancelRetrievePropertiesEx is of API 4.1"
    ),
    "reads_a_property_that_is_none": Outcome(
        here="InvalidProperty",
        vcsim="ok",
        right="here: RetrieveProperties declares InvalidProperty; vcsim tells of it in missingSet",
    ),
    "reads_a_device_by_its_key": Outcome(
        here="VirtualDisk",
        vcsim="InvalidProperty",
        right="here: PropertySpec.pathSet, a key in brackets names an element",
    ),
    "makes_an_inventory_view": Outcome(
        here="NotImplemented",
        vcsim="MethodNotFound",
        right="neither: CreateInventoryView is a call of hosts",
    ),
    "fetches_a_property_that_is_not_set": Outcome(
        here=None,
        vcsim="no answer",
        right="here: an unset property is a reply without a value; vcsim closes the connection",
    ),
    "hears_of_a_changed_annotation": Outcome(
        here=["config.annotation"],
        vcsim=[],
        right="here: a filter reports every property of its pathSet",
    ),
    "waits_from_a_version_that_is_none": Outcome(
        here="InvalidCollectorVersion",
        vcsim="ok",
        right="here: WaitForUpdatesEx declares InvalidCollectorVersion",
    ),
    "asks_for_updates_without_waiting": Outcome(
        here="ok", vcsim="MethodNotFound", right="here: CheckForUpdates is of API 2.0"
    ),
    "takes_updates_in_portions": Outcome(
        here=True, vcsim=False, right="here: WaitOptions.maxObjectUpdates, UpdateSet.truncated"
    ),
    "finds_all_by_a_uuid": Outcome(
        here=True, vcsim="MethodNotFound", right="here: FindAllByUuid is of API 4.1"
    ),
    "shows_a_name_with_a_slash": Outcome(
        here="c%2fd%25",
        vcsim="c/d%",
        right="here: ManagedEntity.name has `%`, `/` and `\\\\` escaped",
    ),
    "asks_a_datacenter_for_its_datastores": Outcome(
        here=["ok"],
        vcsim=["ManagedObjectNotFound", "ok"],
        vpx=["ok"],
        right="here: vcsim's datacenter names one that it does not have",
    ),
    "makes_the_same_name_twice": Outcome(
        here="DuplicateName", vcsim="ok", right="here: CreateVM_Task declares DuplicateName"
    ),
    "makes_a_machine_of_three_megabytes": Outcome(
        here="InvalidArgument",
        vcsim="ok",
        right="here: VirtualMachineConfigSpec.memoryMB, a multiple of 4",
    ),
    "makes_a_machine_without_a_processor": Outcome(
        here="InvalidArgument", vcsim="ok", right="here: a machine has a processor"
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
        right="here: InvalidDeviceBacking, of VmConfigFault; vcsim's handler panics",
    ),
    "clones_a_machine": Outcome(
        here="NotSupported", vcsim="ok", right="here: CloneVM_Task is a call of vCenter's"
    ),
    "suspends_while_off": Outcome(
        here="InvalidPowerState",
        vcsim="ok",
        right="here: SuspendVM_Task declares InvalidPowerState",
    ),
    "resets_while_suspended": Outcome(
        here="InvalidPowerState",
        vcsim="ok",
        right="here: ResetVM_Task declares InvalidPowerState, for a suspended machine too",
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
        here=256, vcsim=32, right="here: the `.vmx` says so; vcsim does not read it"
    ),
    "renames_to_a_name_in_use": Outcome(
        here="DuplicateName",
        vcsim="InvalidArgument",
        right="here: Rename_Task declares DuplicateName",
    ),
    "makes_a_folder_of_machines": Outcome(
        here="NotSupported",
        vpx="ok",
        right="both: folders of machines are vCenter's (CreateFolder, NotSupported)",
    ),
    "sends_a_stale_change_version": Outcome(
        here="ConcurrentAccess", vcsim="ok", right="here: ReconfigVM_Task declares ConcurrentAccess"
    ),
    "clears_an_extra_option": Outcome(
        here=0,
        vcsim=2,
        right="here: VirtualMachineConfigSpec.extraConfig, an empty value removes; vcsim has the key twice",
    ),
    "shrinks_a_disk": Outcome(
        here="InvalidDeviceOperation",
        vcsim="ok",
        right="here: a disk cannot shrink (InvalidDeviceOperation)",
    ),
    "puts_a_disk_on_no_controller": Outcome(
        here="InvalidController", vcsim="ok", right="here: InvalidController, of InvalidDeviceSpec"
    ),
    "removes_a_device_that_is_none": Outcome(
        here="InvalidDeviceSpec",
        vcsim="ok",
        right="here: VirtualDeviceConfigSpec.device, a key that exists",
    ),
    "adds_an_adapter": Outcome(
        here=4000, vcsim=202, right="here: keys of adapters begin with 4000 on hosts"
    ),
    "adds_a_cd_drive": Outcome(
        here=[3000], vcsim=[202], right="here: keys of drives on IDE begin with 3000 on hosts"
    ),
    "adds_a_serial_port": Outcome(
        here=[9000], vcsim=[202], right="here: keys of serial ports begin with 9000 on hosts"
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
        right="here: CreateScreenshot_Task is of API 2.5; the picture is black",
    ),
    "answers_a_question_that_is_none": Outcome(
        here="InvalidArgument",
        vcsim="MethodNotFound",
        right="here: AnswerVM is of API 2.0; which fault is our choice",
    ),
    "asks_for_changed_areas": Outcome(
        here="NotImplemented",
        vcsim="MethodNotFound",
        right="neither: QueryChangedDiskAreas is a call of hosts",
    ),
    "mounts_the_tools": Outcome(
        here="NotImplemented",
        vcsim="MethodNotFound",
        right="neither: MountToolsInstaller is a call of hosts",
    ),
    "removes_the_current_root_that_has_a_child": Outcome(
        here=[["two"]],
        vcsim="no answer",
        alone=True,
        right="here: RemoveSnapshot_Task without removeChildren; vcsim's handler panics",
    ),
    "reverts_a_changed_annotation": Outcome(
        here="before", vcsim="after", right="here: RevertToSnapshot_Task restores the configuration"
    ),
    "reverts_a_running_machine_to_when_it_was_off": Outcome(
        here="poweredOff",
        vcsim="poweredOn",
        right="here: RevertToSnapshot_Task restores the power state",
    ),
    "writes_to_a_delta_after_a_snapshot": Outcome(
        here=True, vcsim=False, right="here: VirtualDiskFlatVer2BackingInfo.parent"
    ),
    "renames_a_snapshot": Outcome(
        here="ok", vcsim="MethodNotFound", right="here: RenameSnapshot is of API 2.0"
    ),
    "takes_a_snapshot_the_newer_way": Outcome(
        here="ok",
        vcsim="MethodNotFound",
        right="here: CreateSnapshotEx_Task is of API 6.5, which vcsim says it has",
    ),
    "consolidates_disks": Outcome(
        here="ok", vcsim="MethodNotFound", right="here: ConsolidateVMDisks_Task is of API 5.0"
    ),
    "makes_a_disk_as_large_as_asked_for": Outcome(
        here=1048576, vcsim=0, right="here: an extent has the size of its disk"
    ),
    "makes_a_disk_of_no_known_type": Outcome(
        here="InvalidArgument",
        vcsim="ok",
        right="here: VirtualDiskSpec.diskType, one of VirtualDiskType",
    ),
    "makes_a_disk_larger_than_the_datastore": Outcome(
        here="NoDiskSpace",
        vcsim="ok",
        right="here: NoDiskSpace, of FileFault; vcsim's disks have no bytes",
    ),
    "copies_a_disk_to_another_type": Outcome(
        here="ok",
        vpx="NotImplemented",
        unread={("vpx", "oslo"): "Text"},
        right="here: CopyVirtualDisk_Task on a host; of a vCenter the reference says that destSpec is not supported",
    ),
    "deletes_the_disk_of_a_running_machine": Outcome(
        here="FileLocked", vcsim="ok", right="here: FileLocked, of FileFault; vcsim has no locks"
    ),
    "extends_a_disk": Outcome(
        here="ok", vcsim="MethodNotFound", right="here: ExtendVirtualDisk_Task is of API 2.5"
    ),
    "inflates_a_disk": Outcome(
        here="ok", vcsim="MethodNotFound", right="here: InflateVirtualDisk_Task is of API 2.5"
    ),
    "gives_a_disk_another_uuid": Outcome(
        here=True, vcsim=False, right="here: SetVirtualDiskUuid; vcsim makes one up from the name"
    ),
    "asks_for_the_geometry_of_a_disk": Outcome(
        here="ok", vcsim="MethodNotFound", right="here: QueryVirtualDiskGeometry is of API 2.5"
    ),
    "leaves_the_datacenter_out": Outcome(
        here="ok",
        vpx="InvalidArgument",
        right="both: a host has only one; a vCenter wants it (MakeDirectory)",
    ),
    "searches_without_a_pattern": Outcome(
        here=["a"], vcsim=[], right="here: HostDatastoreBrowserSearchSpec.matchPattern is optional"
    ),
    "searches_without_a_spec": Outcome(
        here=["a"],
        vcsim="no answer",
        alone=True,
        right="here: SearchDatastore_Task's searchSpec is optional; vcsim's handler panics",
    ),
    "refreshes_a_datastore": Outcome(
        here="ok",
        vcsim="no answer",
        right="here: a reply is an envelope (SOAP 1.1, 4); vcsim's is empty",
    ),
    "uploads_into_no_folder": Outcome(
        here="HTTP 404", vcsim="ok", right="not known: see above; vcsim makes the folder"
    ),
    "puts_a_new_file": Outcome(
        here=201, vcsim=200, right="here: 201 for what was created (RFC 9110, 9.3.4)"
    ),
    "puts_without_a_session": Outcome(here=401, vcsim=200, right="here: 401 (RFC 9110, 15.5.2)"),
    "gets_without_a_session": Outcome(here=401, vcsim=200, right="here: 401 (RFC 9110, 15.5.2)"),
    "deletes_over_http": Outcome(
        here=404,
        vcsim=200,
        right="here: DELETE removes (RFC 9110, 9.3.5); vcsim deletes nothing",
    ),
    "puts_a_new_file_by_a_ticket": Outcome(
        here=201, vcsim=200, right="here: 201 for what was created (RFC 9110, 9.3.4)"
    ),
    "adds_a_port_group_twice": Outcome(
        here="AlreadyExists",
        vcsim="DuplicateName",
        right="here: AddPortGroup declares AlreadyExists",
    ),
    "adds_a_port_group_of_vlan_5000": Outcome(
        here="InvalidArgument", vcsim="ok", right="here: HostPortGroupSpec.vlanId is 0 to 4095"
    ),
    "changes_a_port_group": Outcome(
        here="ok", vcsim="MethodNotFound", right="here: UpdatePortGroup is of API 2.0"
    ),
    "removes_a_port_group_in_use": Outcome(
        here="ResourceInUse", vcsim="ok", right="here: RemovePortGroup declares ResourceInUse"
    ),
    "sees_a_port_group_in_the_hosts_configuration": Outcome(
        here=True, vcsim=False, right="here: HostConfigInfo.network is what the host has"
    ),
    "sees_a_port_group_among_the_hosts_networks": Outcome(
        here=True, vcsim=False, right="here: HostSystem.network"
    ),
    "adds_a_switch": Outcome(
        here=[64], vcsim=[0], right="here: HostVirtualSwitchSpec.numPorts; vcsim forgets the spec"
    ),
    "changes_a_switch": Outcome(
        here="ok", vcsim="MethodNotFound", right="here: UpdateVirtualSwitch is of API 2.0"
    ),
    "adds_an_adapter_of_the_kernel": Outcome(
        here="NotImplemented",
        vcsim="MethodNotFound",
        right="neither: AddVirtualNic is a call of hosts",
    ),
    "changes_the_network_as_a_whole": Outcome(
        here=True,
        vcsim=False,
        right="here: UpdateNetworkConfig, in the mode modify; vcsim answers and changes nothing",
    ),
    "keeps_what_was_imported": Outcome(
        here=True, vcsim=False, right="here: an upload becomes the disk; vcsim throws it away"
    ),
    "gives_up_an_import": Outcome(
        here=False, vcsim=True, right="here: HttpNfcLeaseAbort undoes the import"
    ),
    "exports_a_machine": Outcome(
        here="ok", vcsim="MethodNotFound", right="here: ExportVm is of API 4.0"
    ),
    "asks_for_events_at_once": Outcome(
        here="ok",
        vcsim="NotImplemented",
        vpx="ok",
        right="here: QueryEvents is a call of hosts too",
    ),
    "reads_the_latest_event": Outcome(
        here=True, vcsim=False, right="here: EventManager.latestEvent"
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
    "calls_off_a_task_that_is_done": Outcome(
        here="InvalidState", vcsim="MethodNotFound", right="here: CancelTask declares InvalidState"
    ),
    "makes_a_history_of_tasks": Outcome(
        here="ok", vcsim="MethodNotFound", right="here: CreateCollectorForTasks is of API 2.0"
    ),
    "asks_what_a_counter_means": Outcome(
        here="InvalidArgument",
        vcsim="no answer",
        alone=True,
        right="here: QueryPerfCounter declares InvalidArgument; vcsim's handler panics",
    ),
    "asks_what_is_in_a_guest": Outcome(
        here="no such manager",
        vcsim="MethodNotFound",
        right="neither: a host has guest operations (GuestFileManager)",
    ),
    "reboots_the_host": Outcome(
        here="ok", vcsim="MethodNotFound", alone=True, right="here: RebootHost_Task is of API 2.0"
    ),
}
