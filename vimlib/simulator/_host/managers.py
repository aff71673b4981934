"""The managers of a host that show fixed values, and the table of all its managers by release."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from vimlib import vim25
from vimlib.model import ManagedObject
from vimlib.simulator._core.handlers import handles
from vimlib.simulator._core.messages import invalid_argument
from vimlib.simulator._core.objects import SimObject, prop
from vimlib.simulator._data import config, health

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from vimlib.simulator._core.call import Call
    from vimlib.simulator._core.registry import Registry

# Field of HostConfigManager, managed type, id, first release that has it. Recorded of an ESX 4.1
# (`resources/esx-4.1.0-1` of fusioninventory-agent), an ESXi 6.5 (`simulator/esx` of govmomi) and an
# ESXi 8.0.3 (`test_json_host_explode.yaml` of pyVmomi); in between, the release that brought the type.
_MANAGERS: Final = """\
cpuScheduler HostCpuSchedulerSystem cpuSchedulerSystem 2.0
datastoreSystem HostDatastoreSystem ha-datastoresystem 2.0
memoryManager HostMemorySystem memoryManagerSystem 2.0
storageSystem HostStorageSystem storageSystem 2.0
networkSystem HostNetworkSystem networkSystem 2.0
vmotionSystem HostVMotionSystem ha-vmotion-system 2.0
virtualNicManager HostVirtualNicManager ha-vnic-mgr 4.0
serviceSystem HostServiceSystem serviceSystem 2.0
firewallSystem HostFirewallSystem firewallSystem 2.0
advancedOption OptionManager ha-adv-options 2.0
diagnosticSystem HostDiagnosticSystem diagnosticsystem 2.0
autoStartManager HostAutoStartManager ha-autostart-mgr 2.0
snmpSystem HostSnmpSystem ha-snmp-agent 2.0
dateTimeSystem HostDateTimeSystem dateTimeSystem 2.5
patchManager HostPatchManager ha-host-patch-manager 2.5
imageConfigManager HostImageConfigManager ha-image-config-manager 5.0
firmwareSystem HostFirmwareSystem ha-firmwareSystem 5.0
healthStatusSystem HostHealthStatusSystem healthStatusSystem 2.5
pciPassthruSystem HostPciPassthruSystem ha-pcipassthrusystem 4.0
licenseManager LicenseManager ha-license-manager 4.0
kernelModuleSystem HostKernelModuleSystem kernelModuleSystem 4.0
authenticationManager HostAuthenticationManager ha-auth-manager 4.1
powerSystem HostPowerSystem ha-power-system 4.1
cacheConfigurationManager HostCacheConfigurationManager ha-cache-configuration-manager 5.0
iscsiManager IscsiManager iscsiManager 5.0
vFlashManager HostVFlashManager ha-vflash-manager 5.5
vsanSystem HostVsanSystem vsanSystem 5.5
messageBusProxy MessageBusProxy messageBusProxy 6.0
userDirectory UserDirectory ha-user-directory 6.0
accountManager HostLocalAccountManager ha-localacctmgr 6.0
hostAccessManager HostAccessManager ha-host-access-manager 6.0
graphicsManager HostGraphicsManager ha-graphics-manager 5.5
vsanInternalSystem HostVsanInternalSystem ha-vsan-internal-system 5.5
certificateManager HostCertificateManager ha-certificate-manager 6.0
cryptoManager CryptoManagerHostKMS ha-crypto-manager 6.7
nvdimmSystem HostNvdimmSystem ha-nvdimm-system 6.7
assignableHardwareManager HostAssignableHardwareManager assignableHardwareManager 7.0.0.0
"""


def manager_table() -> list[tuple[str, str, str, str]]:
    """Return field, managed type, id and first release of each manager of a host."""
    return [tuple(line.split()) for line in _MANAGERS.splitlines()]  # type: ignore[misc]


class StaticManager(SimObject):
    """A manager that shows fixed values; its methods are not simulated."""

    def __init__(
        self, registry: Registry, kind: str, moid: str, shown: Mapping[str, Callable[[], Any]]
    ) -> None:
        self.kind = kind  # type: ignore[misc] # of this object, not of all
        self._shown = shown
        super().__init__(registry, moid)

    def read(self, name: str) -> Any:
        """Return the value of a property, made when it is first asked for."""
        if name in self._shown and name not in self._cache:
            self._cache[name] = self._shown[name]()
        return super().read(name)


class PowerSystem(SimObject):
    """The policy of processor power."""

    kind = "HostPowerSystem"

    def __init__(self, registry: Registry) -> None:
        self.chosen: int | None = None
        super().__init__(registry, "ha-power-system")

    @prop("capability")
    def capability(self) -> Any:
        """Return the policies."""
        return vim25.PowerSystemCapability(
            availablePolicy=config.power_policies(self.registry.release)
        )

    @prop("info")
    def _info(self) -> Any:
        policies = config.power_policies(self.registry.release)
        default = next((p for p in policies if p.shortName == "dynamic"), policies[0])
        return vim25.PowerSystemInfo(
            currentPolicy=next((p for p in policies if p.key == self.chosen), default)
        )


@handles(PowerSystem, "ConfigurePowerPolicy")
def configure_power_policy(system: PowerSystem, call: Call) -> None:
    """Choose a policy."""
    key = call.args["key"]
    if all(policy.key != key for policy in system.capability().availablePolicy):
        raise invalid_argument("key", str(key))
    system.chosen = key
    system.changed_in_host("info")


class CacheConfigurationManager(SimObject):
    """How much of each datastore is a cache of swapped memory."""

    kind = "HostCacheConfigurationManager"

    def __init__(self, registry: Registry) -> None:
        super().__init__(registry, "ha-cache-configuration-manager")

    @prop("cacheConfigurationInfo", cached=False)
    def _info(self) -> Any:
        return self.registry.one("HostSystem").swap_caches()


class VsanSystem(SimObject):
    """vSAN, which the host has not joined."""

    kind = "HostVsanSystem"

    def __init__(self, registry: Registry) -> None:
        super().__init__(registry, "vsanSystem")

    @prop("config", cached=False)
    def _config(self) -> Any:
        return config.vsan(self.registry.one("HostSystem").ref)


@handles(VsanSystem, "QueryHostStatus")
def query_host_status(system: VsanSystem, call: Call) -> Any:
    """Return the status of a host without a cluster; community.vmware asks each host for it."""
    state = vim25.VsanHostClusterStatusState(state="error")
    return vim25.VsanHostClusterStatus(health="unknown", nodeState=state)


def make_static_managers(registry: Registry) -> None:
    """Make the managers of the host's release that no module of their own makes."""
    release = registry.release
    host = registry.one("HostSystem")
    shown: dict[str, dict[str, Callable[[], Any]]] = {
        "HostCpuSchedulerSystem": {
            "hyperthreadInfo": lambda: config.hyper_threading(host.shape),
            "cpuSchedulerInfo": lambda: vim25.HostCpuSchedulerInfo(policy="systemDefault"),
        },
        "HostMemorySystem": {
            "consoleReservationInfo": lambda: config.console_reservation(release, host.shape),
        },
        "HostHealthStatusSystem": {"runtime": lambda: health.health(host.shape.packages)},
        "HostPciPassthruSystem": {"pciPassthruInfo": host.passthrough},
        "HostDiagnosticSystem": {"activePartition": host.diagnostic_partition},
        "HostAuthenticationManager": {
            "info": lambda: config.authentication(release),
            "supportedStore": lambda: [
                registry.one("HostLocalAuthentication").ref,
                registry.one("HostActiveDirectoryAuthentication").ref,
            ],
        },
        "HostLocalAuthentication": {"info": lambda: config.authentication(release).authConfig[0]},
        "HostActiveDirectoryAuthentication": {
            "info": lambda: config.authentication(release).authConfig[1]
        },
        "HostVFlashManager": {"vFlashConfigInfo": _flash_cache},
        "HostGraphicsManager": {"graphicsConfig": config.graphics},
        "HostSnmpSystem": {"configuration": _snmp, "limits": _snmp_limits},
        "HostCertificateManager": {"certificateInfo": _certificate},
        "CryptoManagerHostKMS": {"enabled": lambda: False},
        "CryptoManager": {"enabled": lambda: False},
        "HostNvdimmSystem": {"nvdimmSystemInfo": _nvdimm},
        "HostAssignableHardwareManager": {"config": _assignable},
    }
    rows = [(kind, moid, since) for _, kind, moid, since in manager_table()]
    # Stores of users, with ids of ours; the others are in the content of the service, from the release of
    # the recording or of the type on.
    rows += [
        ("HostLocalAuthentication", "ha-local-auth-store", "4.1"),
        ("HostActiveDirectoryAuthentication", "ha-ad-auth-store", "4.1"),
        ("DistributedVirtualSwitchManager", "ha-dvsmanager", "4.0"),
        ("StorageResourceManager", "ha-storage-resource-manager", "4.1"),
        ("LocalizationManager", "ha-l10n-manager", "5.0"),
        ("ServiceManager", "ha-servicemanager", "5.1"),
        ("DatastoreNamespaceManager", "ha-datastore-namespace-manager", "5.5"),
        ("HostVStorageObjectManager", "ha-vstorage-object-manager", "6.5"),
    ]
    if release.has("4.1"):
        PowerSystem(registry)
    if release.has("5.0"):
        CacheConfigurationManager(registry)
    if release.has("5.5"):
        VsanSystem(registry)
    for kind, moid, since in rows:
        if (kind, moid) not in registry.objects and release.has(since):
            StaticManager(registry, kind, moid, shown.get(kind, {}))


def config_manager(registry: Registry) -> Any:
    """Return the references to the managers of the host."""
    found: dict[str, Any] = {
        field: ManagedObject(moid, kind=kind)
        for field, kind, moid, _ in manager_table()
        if (kind, moid) in registry.objects
    }
    if not registry.release.has("6.0"):
        for field in ("userDirectory", "accountManager"):
            found.pop(field, None)
    return vim25.HostConfigManager(**found)


def _flash_cache() -> Any:
    return vim25.HostVFlashManagerVFlashConfigInfo()


def _assignable() -> Any:
    return vim25.HostAssignableHardwareConfig()


def _snmp() -> Any:
    return vim25.HostSnmpConfigSpec(enabled=False, port=161)


def _snmp_limits() -> Any:
    return vim25.HostSnmpSystemAgentLimits(
        maxReadOnlyCommunities=10,
        maxTrapDestinations=3,
        maxCommunityLength=64,
        maxBufferSize=4096,
        capability="COMPLETE",
    )


def _certificate() -> Any:
    subject = "CN=localhost.localdomain"  # it signs itself; see `make_certificate`
    return vim25.HostCertificateManagerCertificateInfo(
        kind="Machine", issuer=subject, subject=subject, status="good"
    )


def _nvdimm() -> Any:
    return vim25.NvdimmSystemInfo(
        summary=vim25.NvdimmSummary(
            numDimms=0,
            healthStatus="normal",
            totalCapacity=0,
            persistentCapacity=0,
            blockCapacity=0,
            availableCapacity=0,
            numInterleavesets=0,
            numNamespaces=0,
        )
    )
