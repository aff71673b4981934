"""ServiceInstance: where a client starts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vimlib import vim25
from vimlib.model import ManagedObject
from vimlib.simulator._core.handlers import handles
from vimlib.simulator._core.objects import SimObject, prop

if TYPE_CHECKING:
    from vimlib.simulator._core.call import Call
    from vimlib.simulator._core.registry import Registry


def about(registry: Registry) -> Any:
    """Return the host's AboutInfo."""
    release = registry.release
    return vim25.AboutInfo(
        name=release.product,
        fullName=release.full_name,
        vendor="VMware, Inc.",
        version=release.version,
        build=release.build,
        localeVersion="INTL",
        localeBuild="000",
        osType="vmnix-x86",
        productLineId="esx" if release.classic else "embeddedEsx",
        apiType="HostAgent",
        apiVersion=release.api,
        licenseProductName="VMware ESX Server",
        licenseProductVersion=f"{release.licence}.0",
    )


class ServiceInstance(SimObject):
    """The root object of the service."""

    kind = "ServiceInstance"

    def __init__(self, registry: Registry) -> None:
        super().__init__(registry, "ServiceInstance")

    @prop("content")
    def content(self) -> Any:
        """Return the service content: the existing managers."""
        found = self.registry.objects
        # Untyped references: this is the first call, and a type would load its area of the API.
        refs: dict[str, Any] = {
            name: ManagedObject(moid, kind=kind)
            for name, kind, moid in _CONTENT
            if (kind, moid) in found
        }
        return vim25.ServiceContent(about=about(self.registry), **refs)

    @prop("serverClock", cached=False)
    def _clock(self) -> Any:
        return self.registry.clock.now()

    @prop("capability")
    def _capability(self) -> Any:
        return vim25.Capability(
            provisioningSupported=False,
            multiHostSupported=False,
            userShellAccessSupported=True,
            supportedEVCMode=[],
        )


_CONTENT = [
    ("rootFolder", "Folder", "ha-folder-root"),
    ("propertyCollector", "PropertyCollector", "ha-property-collector"),
    ("viewManager", "ViewManager", "ViewManager"),
    ("setting", "OptionManager", "HostAgentSettings"),
    ("userDirectory", "UserDirectory", "ha-user-directory"),
    ("sessionManager", "SessionManager", "ha-sessionmgr"),
    ("authorizationManager", "AuthorizationManager", "ha-authmgr"),
    ("perfManager", "PerformanceManager", "ha-perfmgr"),
    ("eventManager", "EventManager", "ha-eventmgr"),
    ("taskManager", "TaskManager", "ha-taskmgr"),
    ("licenseManager", "LicenseManager", "ha-license-manager"),
    ("searchIndex", "SearchIndex", "ha-searchindex"),
    ("fileManager", "FileManager", "ha-nfc-file-manager"),
    ("virtualDiskManager", "VirtualDiskManager", "ha-vdiskmanager"),
    ("ovfManager", "OvfManager", "ha-ovf-manager"),
    ("accountManager", "HostLocalAccountManager", "ha-localacctmgr"),
    ("diagnosticManager", "DiagnosticManager", "ha-diagnosticmgr"),
    ("dvSwitchManager", "DistributedVirtualSwitchManager", "ha-dvsmanager"),
    ("storageResourceManager", "StorageResourceManager", "ha-storage-resource-manager"),
    ("serviceManager", "ServiceManager", "ha-servicemanager"),
    ("localizationManager", "LocalizationManager", "ha-l10n-manager"),
    ("datastoreNamespaceManager", "DatastoreNamespaceManager", "ha-datastore-namespace-manager"),
    ("vStorageObjectManager", "HostVStorageObjectManager", "ha-vstorage-object-manager"),
    ("cryptoManager", "CryptoManagerHostKMS", "ha-crypto-manager"),
    ("guestOperationsManager", "GuestOperationsManager", "ha-guest-operations-manager"),
]


@handles(ServiceInstance, "RetrieveServiceContent")
def retrieve_service_content(instance: ServiceInstance, call: Call) -> Any:
    """Return the service content; needs no session."""
    return instance.content()


@handles(ServiceInstance, "CurrentTime")
def current_time(instance: ServiceInstance, call: Call) -> Any:
    """Return the host's time."""
    return instance.registry.clock.now()
