"""Small parts of a host's configuration that do not change while it runs (ESX 4.1, ESXi 6.5 and 8.0)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from vimlib import vim25
from vimlib.model import wire_fields

if TYPE_CHECKING:
    from vimlib.simulator._core.versions import Release
    from vimlib.simulator._data.hardware import HostShape

# Flags of HostCapability that are true of the simulated host. No shared storage, no other host.
_SUPPORTED: Final = frozenset(
    {
        "recursiveResourcePoolsSupported",
        "cpuMemoryResourceConfigurationSupported",
        "rebootSupported",
        "shutdownSupported",
        "vlanTaggingSupported",
        "nicTeamingSupported",
        "highGuestMemSupported",
        "maintenanceModeSupported",
        "preAssignedPCIUnitNumbersSupported",
        "screenshotSupported",
        "nfsSupported",
        "hostAccessManagerSupported",
        "multipleNetworkStackInstanceSupported",
        "loginBySSLThumbprintSupported",
        "virtualExecUsageSupported",
        "featureCapabilitiesSupported",
        "servicePackageInfoSupported",
        "firewallIpRulesSupported",
        "vmCreateDateSupported",
        "vmfs3EOLSupported",
        "timeConfigSupported",
    }
)


def capability(release: Release, shape: HostShape) -> Any:
    """Return the capability of a host."""
    fields: dict[str, Any] = {
        field.attribute: field.name in _SUPPORTED
        for field in wire_fields(vim25.HostCapability)
        if field.type == "boolean"
    }
    old = release.numbers < (5,)
    return vim25.HostCapability(
        **fields,
        maxSupportedVMs=1200 if old else None,
        maxRunningVMs=0,
        maxSupportedVcpus=shape.threads,
        maxRegisteredVMs=None if old else 1200,
        replayUnsupportedReason="incompatibleCpu",
        ftCompatibilityIssues=["incompatibleCpu"] if old else ["missingVMotionNic"],
        vmDirectPathGen2UnsupportedReason=["hostNptIncompatibleHardware"],
        supportedVmfsMajorVersion=[release.vmfs],
        maxHostRunningVms=1024,
        maxHostSupportedVcpus=4096,
        tpmVersion="",
        maxNumDisksSVMotion=64,
        maxVcpusPerFtVm=4,
        unmapMethodSupported="dynamic",
        maxSupportedVmMemory=24 << 20,
        maxSupportedSimultaneousThreads=1,
    )


def hyper_threading(shape: HostShape) -> Any:
    """Return whether cores have several threads."""
    several = shape.threads > shape.cores
    return vim25.HostHyperThreadScheduleInfo(available=several, active=several, config=True)


def console_reservation(release: Release, shape: HostShape) -> Any:
    """Return the memory of the service console, which only a classic ESX has."""
    if not release.classic:
        return None
    mine = 300 << 20
    return vim25.ServiceConsoleReservationInfo(
        serviceConsoleReservedCfg=mine,
        serviceConsoleReserved=mine,
        unreserved=shape.memory - mine,
    )


def power_policies(release: Release) -> list[Any]:
    """Return the policies of processor power."""
    if release.numbers < (5,):
        rows = [(0, "off")]
    else:
        rows = [(1, "static"), (2, "dynamic"), (3, "low"), (4, "custom")]
    return [
        vim25.HostPowerPolicy(
            key=key,
            name=f"PowerPolicy.{name}.name",
            shortName=name,
            description=f"PowerPolicy.{name}.description",
        )
        for key, name in rows
    ]


def authentication(release: Release) -> Any:
    """Return the stores that know users: the host's own alone."""
    domain = vim25.HostActiveDirectoryInfo(enabled=False, smartCardAuthenticationEnabled=False)
    return vim25.HostAuthenticationManagerInfo(
        authConfig=[vim25.HostLocalAuthenticationInfo(enabled=True), domain]
    )


def feature_versions(release: Release) -> list[Any]:
    """Return the versions of features that hosts compare with one another; ESXi has none."""
    if not release.classic:
        return []
    return [vim25.HostFeatureVersionInfo(key="faultTolerance", value="2.0.1-2.0.0-2.0.0")]


def vsan(host: Any) -> Any:
    """Return the configuration of vSAN, which is off."""
    return vim25.VsanHostConfigInfo(
        enabled=False,
        hostSystem=host,
        clusterInfo=vim25.VsanHostConfigInfoClusterInfo(),
        storageInfo=vim25.VsanHostConfigInfoStorageInfo(autoClaimStorage=False),
        networkInfo=vim25.VsanHostConfigInfoNetworkInfo(),
        faultDomainInfo=vim25.VsanHostFaultDomainInfo(name=""),
        vsanEsaEnabled=False,
    )


def graphics() -> Any:
    """Return how graphics devices are shared; there are none."""
    return vim25.HostGraphicsConfig(
        hostDefaultGraphicsType="shared", sharedPassthruAssignmentPolicy="performance"
    )


def io_filters() -> list[Any]:
    """Return the filters of disks."""
    rows = (
        ("VMW_spm_1.0.0", "spm", "datastoreIoControl", "VMware Storage I/O Control"),
        ("VMW_vmwarevmcrypt_1.0.0", "vmwarevmcrypt", "encryption", "VMcrypt IO Filter"),
    )
    return [
        vim25.HostIoFilterInfo(
            id=id_,
            name=name,
            vendor="VMW",
            version="1.0.0",
            type=kind,
            summary=summary,
            releaseDate="2016-07-21",
            available=True,
        )
        for id_, name, kind, summary in rows
    ]


def feature_capabilities() -> list[Any]:
    """Return what virtual hardware may use of the processor; a few of some hundred (ESXi 8.0)."""
    names = "aes avx avx2 cmpxchg16b f16c fma mwait nx pclmulqdq popcnt rdrand sse3 sse41 sse42 ssse3 xsave"
    return [
        vim25.HostFeatureCapability(key=f"cpuid.{name}", featureName=f"cpuid.{name}", value="1")
        for name in names.split()
    ]


def swap_options() -> Any:
    """Return where the host's own programs may be swapped to (ESXi 8.0)."""
    return vim25.HostSystemSwapConfiguration(
        option=[
            vim25.HostSystemSwapConfigurationHostCacheOption(key=0),
            vim25.HostSystemSwapConfigurationHostLocalSwapOption(key=1),
        ]
    )


def time_zone(name: str) -> Any:
    """Return a time zone; hosts keep UTC."""
    return vim25.HostDateTimeSystemTimeZone(key=name, name=name, description=name, gmtOffset=0)
