"""The methods that may be sent again though the server may have executed them.

`READ_ONLY` change nothing. Kept by hand: a verb in a name promises nothing. `ReadNextEvents` moves its collector's cursor,
`ContinueRetrievePropertiesEx` uses up its token, `QueryNext` advances, `ExportVm` opens a lease,
`Check...` may start a task that others see: they are not listed here. Methods not listed are never sent
twice, so a new method of the API is safe until somebody has looked at it. `WaitForUpdatesEx` is
here since the server keeps a version's changes until a later version is asked for.

`HARMLESS` change nothing but what belongs to the caller's session alone, and nothing is the worse
for a second time. What makes a view or a collector leaves, the second time, one that nobody knows
and that asks nothing of the host until it goes with the session. What destroys one finds it gone
(`ENDING`), and what sets a view's members sets them again. `CreateFilter` is not here: a second
filter in the same collector would report everything twice. After a lost reply, make a new
collector and destroys the old one, filters and all; `vimlib._collector` does.
"""

from __future__ import annotations

from typing import Final

READ_ONLY: Final = frozenset(
    """
    CurrentTime RetrieveServiceContent SessionIsActive
    RetrieveProperties RetrievePropertiesEx CheckForUpdates WaitForUpdates WaitForUpdatesEx
    CancelWaitForUpdates CancelRetrievePropertiesEx

    FindAllByDnsName FindAllByIp FindAllByUuid FindByDatastorePath FindByDnsName FindByInventoryPath
    FindByIp FindByUuid FindChild FindExtension

    BrowseDiagnosticLog QueryDescriptions FetchSystemEventLog FetchAuditRecords
    FetchUserPrivilegeOnEntities HasPrivilegeOnEntities HasPrivilegeOnEntity
    HasUserPrivilegeOnEntities RetrieveAllPermissions RetrieveEntityPermissions
    RetrieveRolePermissions RetrieveUserGroups RetrieveHostAccessControlEntries QuerySystemUsers
    QueryLockdownExceptions

    QueryOptions QueryServiceList QuerySupportedFeatures QueryLicenseUsage
    QueryLicenseSourceAvailability QueryAssignedLicenses CheckLicenseFeature DecodeLicense

    QueryConfigOption QueryConfigOptionDescriptor QueryConfigOptionEx QueryConfigTarget
    QueryTargetCapabilities QueryMemoryOverhead QueryMemoryOverheadEx QueryConnectionInfo
    QueryHostConnectionInfo QueryConnections QueryHostStatus QueryNetworkHint QueryNetConfig
    QueryPnicStatus QueryVnicStatus QueryCandidateNics QueryBootDevices QueryAvailableTimeZones
    QueryDateTime QueryFirmwareConfigUploadURL QueryModules QueryConfiguredModuleOptionString
    QueryTpmAttestationReport RetrieveHardwareUptime RetrieveFreeEpcMemory LookupVmOverheadMemory
    QueryProductLockerLocation QueryMaxQueueDepth

    QueryAvailableDisksForVmfs QueryAvailablePartition QueryAvailableSsds QueryNFSUser
    QueryPartitionCreateDesc QueryPartitionCreateOptions QueryPathSelectionPolicyOptions
    QueryStorageArrayTypePolicyOptions QueryUnresolvedVmfsVolume QueryUnresolvedVmfsVolumes
    QueryVmfsConfigOption QueryVmfsDatastoreCreateOptions QueryVmfsDatastoreExpandOptions
    QueryVmfsDatastoreExtendOptions RetrieveDiskPartitionInfo ComputeDiskPartitionInfo
    ComputeDiskPartitionInfoForResize

    QueryVirtualDiskFragmentation QueryVirtualDiskGeometry QueryVirtualDiskUuid
    QueryVirtualDiskUuidEx QueryChangedDiskAreas QueryUnownedFiles QueryFileLockInfo
    QueryDirectoryInfo SearchDatastore_Task SearchDatastoreSubFolders_Task
    QueryDatastorePerformanceSummary

    QueryAvailablePerfMetric QueryPerf QueryPerfComposite QueryPerfCounter QueryPerfCounterByLevel
    QueryPerfProviderSummary

    QueryEvents GetAlarm GetAlarmState AreAlarmActionsEnabled RetrieveArgumentDescription
    RetrieveEntityScheduledTask RetrieveObjectScheduledTask

    QueryDvsByUuid FetchDVPortKeys FetchDVPorts LookupDvPortGroup QueryUsedVlanIdInDvs QueryIpPools
    QueryIPAllocations QueryAvailableDvsSpec

    QueryVMotionCompatibility QueryFaultToleranceCompatibility QueryFaultToleranceCompatibilityEx
    GetCustomizationSpec QueryHostsWithAttachedLun RetrieveDasAdvancedRuntimeInfo
    RetrieveSnapshotInfo

    ListFilesInGuest ListProcessesInGuest ReadEnvironmentVariableInGuest ListGuestAliases
    ListGuestMappedAliases ListRegistryKeysInGuest ListRegistryValuesInGuest
    """.split()
)
"""Wire names."""

ENDING: Final = frozenset(
    "DestroyView DestroyPropertyFilter DestroyPropertyCollector DestroyCollector".split()
)
"""Wire names. Sent again, they are done when the host no longer knows the object."""

HARMLESS: Final = ENDING | frozenset(
    """
    CreateContainerView CreateListView CreateListViewFromView CreateInventoryView ModifyListView
    ResetListView CreatePropertyCollector CreateCollectorForEvents CreateCollectorForTasks
    RewindCollector ResetCollector SetCollectorPageSize
    """.split()
)
"""Wire names."""
