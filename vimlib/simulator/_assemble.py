"""Assembles a host: imports the handlers, and makes the objects of a fresh host.

The packages in `PACKAGES` hold a module for each noun of the API. Their modules are found by
scanning, so that a new one is in the table of handlers without being listed.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING

from vimlib.simulator._data.options import advanced_options, agent_options
from vimlib.simulator._guest.operations import make_guest_operations
from vimlib.simulator._host.access import HostAccessManager
from vimlib.simulator._host.autostart import AutoStartManager
from vimlib.simulator._host.date_time import DateTimeSystem
from vimlib.simulator._host.folders import Datacenter, Folder
from vimlib.simulator._host.host_system import HostSystem
from vimlib.simulator._host.managers import make_static_managers
from vimlib.simulator._host.network import NetworkSystem
from vimlib.simulator._host.resources import ComputeResource, ResourcePool
from vimlib.simulator._host.services import FirewallSystem, ServiceSystem
from vimlib.simulator._host.vmkernel import VirtualNicManager, VMotionSystem
from vimlib.simulator._managers.datastore_system import DatastoreSystem
from vimlib.simulator._managers.disk_manager import DiskManager
from vimlib.simulator._managers.esxcli_types import make_esxcli
from vimlib.simulator._managers.performance import PerformanceManager
from vimlib.simulator._managers.search import SearchIndex
from vimlib.simulator._properties.collector import DefaultCollector
from vimlib.simulator._properties.views import ViewManager
from vimlib.simulator._service.accounts import (
    AuthorizationManager,
    LocalAccountManager,
    UserDirectory,
)
from vimlib.simulator._service.events import EventManager
from vimlib.simulator._service.logs import DiagnosticManager
from vimlib.simulator._service.service_instance import ServiceInstance
from vimlib.simulator._service.sessions import SessionManager
from vimlib.simulator._service.settings import (
    LicenseManager,
    OptionManager,
)
from vimlib.simulator._service.tasks import TaskManager
from vimlib.simulator._storage.browser import DatastoreBrowser
from vimlib.simulator._storage.file_manager import FileManager
from vimlib.simulator._storage.storage_system import StorageSystem
from vimlib.simulator._vm.environment import EnvironmentBrowser
from vimlib.simulator._vm.ovf import OvfManager

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from vimlib.simulator._core.registry import Registry

PACKAGES = ("_service", "_properties", "_host", "_storage", "_vm", "_guest", "_managers")
"""The packages whose modules have handlers."""


@cache
def load_handlers() -> None:
    """Import the modules of `PACKAGES`, which enter their handlers into the table."""
    for name in PACKAGES:
        package = import_module(f"vimlib.simulator.{name}")
        for module in iter_modules(package.__path__):
            import_module(f"{package.__name__}.{module.name}")


def build(
    registry: Registry,
    *,
    username: str,
    password: str,
    session_limit: int,
    session_timeout: float,
    given_datastores: tuple[str, ...],
    capacity: int,
    local_folders: Path | None,
    exports: Mapping[str, Path],
) -> None:
    """Make the objects of a fresh host, except datastores and machines."""
    load_handlers()
    ServiceInstance(registry)
    DefaultCollector(registry)
    ViewManager(registry)
    TaskManager(registry)
    SessionManager(registry, username, password, limit=session_limit, idle=session_timeout)
    root = Folder(registry, "ha-folder-root", "ha-folder-root", None, ["Datacenter"])
    datacenter = Datacenter(registry, root)
    resource = ComputeResource(registry, datacenter.hosts, "localhost.localdomain")
    resource.pool = ResourcePool(registry, "ha-root-pool", "Resources", resource, resource)
    resource.host = host = HostSystem(registry, resource)
    EventManager(registry, host, datacenter)
    NetworkSystem(registry, datacenter.networks)
    SearchIndex(registry, "ha-searchindex")
    LicenseManager(registry, "ha-license-manager")
    OptionManager(registry, "HostAgentSettings", agent_options)
    OptionManager(registry, "ha-adv-options", lambda: advanced_options(registry.release))
    DatastoreSystem(
        registry,
        given=given_datastores,
        capacity=capacity,
        local_folders=local_folders,
        exports=exports,
    )
    StorageSystem(registry, "storageSystem")
    EnvironmentBrowser(registry, "envbrowser-ha-compute-res")
    LocalAccountManager(registry)
    UserDirectory(registry, "ha-user-directory")
    AuthorizationManager(registry, "ha-authmgr")
    PerformanceManager(registry, "ha-perfmgr")
    DatastoreBrowser(registry, "ha-host-datastorebrowser")
    DiskManager(registry, "ha-vdiskmanager")
    FileManager(registry, "ha-nfc-file-manager")
    OvfManager(registry, "ha-ovf-manager")
    DiagnosticManager(registry, "ha-diagnosticmgr")
    make_guest_operations(registry)
    VirtualNicManager(registry)
    VMotionSystem(registry)
    ServiceSystem(registry)
    FirewallSystem(registry)
    DateTimeSystem(registry)
    AutoStartManager(registry)
    if registry.release.has("6.0"):
        HostAccessManager(registry)
    make_static_managers(registry)
    make_esxcli(registry)
