"""The methods that change nothing on the server, so that they may be sent again.

Kept by hand: a verb in a name promises nothing. `ReadNextEvents` moves its collector's cursor,
`ContinueRetrievePropertiesEx` uses up its token, `QueryNext` advances, `ExportVm` opens a lease,
`Check...` may start a task that others see: none of them is here. What is not here is never sent
twice, so a new method of the API is safe until somebody has looked at it. `WaitForUpdatesEx` is
here since the server keeps a version's changes until a later version is asked for.
"""

from __future__ import annotations

from typing import Final

__all__ = ["READ_ONLY"]

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
