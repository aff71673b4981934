"""Small managers: search, licences, options, storage, users; each with few or fixed facts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vimlib import vim25
from vimlib.simulator._objects import Entity, Served, escape_name, prop, serves
from vimlib.simulator._world import say

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vimlib.simulator._call import Call
    from vimlib.simulator._world import World

__all__ = ["SearchIndex", "build_managers"]


class SearchIndex(Served):
    """Finds entities by path, UUID, address."""

    kind = "SearchIndex"


class LicenseManager(Served):
    """What the host may do."""

    kind = "LicenseManager"

    @prop("licensedEdition")
    def _edition(self) -> str:
        return "esx.enterprisePlus" if self.world.licensed else "esxBasic"

    @prop("sourceAvailable")
    def _available(self) -> bool:
        return True

    @prop("source")
    def _source(self) -> Any:
        return vim25.LocalLicenseSource(licenseKeys="")

    @prop("licenses")
    def _licences(self) -> list[Any]:
        free = not self.world.licensed
        return [
            vim25.LicenseManagerLicenseInfo(
                licenseKey="00000-00000-00000-00000-00000",
                editionKey="esxBasic" if free else "esx.enterprisePlus.cpuPackage",
                name="VMware vSphere Hypervisor" if free else "VMware vSphere Enterprise Plus",
                total=0,
                used=2,
                costUnit="cpuPackage",
            )
        ]


class OptionManager(Served):
    """Advanced options."""

    kind = "OptionManager"

    def __init__(self, world: World, moid: str, options: dict[str, Any]) -> None:
        self.options = options
        super().__init__(world, moid)

    @prop("setting")
    def _setting(self) -> list[Any]:
        return [
            vim25.OptionValue(key=key, value=value) for key, value in sorted(self.options.items())
        ]


class StorageSystem(Served):
    """Volumes."""

    kind = "HostStorageSystem"

    @prop("fileSystemVolumeInfo", cached=False)
    def _volumes(self) -> Any:
        return vim25.HostFileSystemVolumeInfo(
            volumeTypeList=["VMFS"],
            mountInfo=[store.mount() for store in self.world.datastores.values()],
        )


class UserDirectory(Served):
    """Users; nothing is asked of it here."""

    kind = "UserDirectory"


class AuthorizationManager(Served):
    """Roles; everybody who logs in is the administrator."""

    kind = "AuthorizationManager"

    @prop("roleList")
    def _roles(self) -> list[Any]:
        return [
            vim25.AuthorizationRole(
                roleId=-1,
                system=True,
                name="Admin",
                info=vim25.Description(label="Administrator", summary="Full access rights"),
                privilege=["System.Anonymous", "System.Read", "System.View"],
            )
        ]


class OvfManager(Served):
    """Reads and writes OVF descriptors; the simulator knows none."""

    kind = "OvfManager"


def build_managers(world: World) -> None:
    """Make them all."""
    from vimlib.simulator._browser import DatastoreBrowser
    from vimlib.simulator._datastore_system import DatastoreSystem
    from vimlib.simulator._disk_manager import DiskManager
    from vimlib.simulator._file_manager import FileManager
    from vimlib.simulator._options import EnvironmentBrowser
    from vimlib.simulator._performance import PerformanceManager

    SearchIndex(world, "ha-searchindex")
    LicenseManager(world, "ha-license-manager")
    OptionManager(
        world,
        "HostAgentSettings",
        {"Config.HostAgent.log.level": "info", "vpxd.stats.maxQueryMetrics": 64},
    )
    OptionManager(
        world, "ha-adv-options", {"Config.HostAgent.plugins.hostsvc.esxAdminsGroup": "ESX Admins"}
    )
    DatastoreSystem(world, "ha-datastoresystem")
    StorageSystem(world, "storageSystem")
    EnvironmentBrowser(world, "envbrowser-ha-compute-res")
    UserDirectory(world, "ha-user-directory")
    AuthorizationManager(world, "ha-authmgr")
    PerformanceManager(world, "ha-perfmgr")
    DatastoreBrowser(world, "ha-host-datastorebrowser")
    DiskManager(world, "ha-vdiskmanager")
    FileManager(world, "ha-nfc-file-manager")
    OvfManager(world, "ha-ovf-manager")


@serves(SearchIndex, "FindByInventoryPath")
def find_by_path(index: SearchIndex, call: Call) -> Any:
    """Find by a path of names such as `ha-datacenter/vm/web-1`."""
    at: Entity = index.world.root_folder
    for part in call.args["inventoryPath"].strip("/").split("/"):
        found = _child(at, part) if part else at
        if found is None:
            return None
        at = found
    return at.ref


def _child(entity: Entity, name: str) -> Entity | None:
    return next(
        (child for child in entity.children() if name in (child.name, escape_name(child.name))),
        None,
    )


@serves(SearchIndex, "FindChild")
def find_child(index: SearchIndex, call: Call) -> Any:
    """Find right below an entity, by name."""
    entity = index.world.find(call.args["entity"])
    found = _child(entity, call.args["name"])
    return found.ref if found else None


def _by_uuid(index: SearchIndex, call: Call) -> Iterator[Any]:
    wanted = call.args["uuid"].lower()
    if not call.args["vmSearch"]:
        if index.world.host.uuid == wanted:
            yield index.world.host.ref
        return
    instance = bool(call.get("instanceUuid"))
    for machine in index.world.machines.values():
        config = machine.config
        if (config.instanceUuid if instance else config.uuid) == wanted:
            yield machine.ref


@serves(SearchIndex, "FindByUuid")
def find_by_uuid(index: SearchIndex, call: Call) -> Any:
    """Find a machine by BIOS or instance UUID, or the host."""
    return next(_by_uuid(index, call), None)


@serves(SearchIndex, "FindAllByUuid")
def find_all_by_uuid(index: SearchIndex, call: Call) -> list[Any]:
    """Find all of a UUID."""
    return list(_by_uuid(index, call))


@serves(SearchIndex, "FindByDatastorePath")
def find_by_datastore_path(index: SearchIndex, call: Call) -> Any:
    """Find a machine by the path of its configuration file."""
    from vimlib.simulator._datastore import split_path

    name, path = split_path(call.args["path"])
    if name not in index.world.datastores:
        raise say(vim25.InvalidDatastore(name=name), f"Invalid datastore '{name}'.")
    text = f"[{name}] {path}"
    return next(
        (m.ref for m in index.world.machines.values() if m.config.files.vmPathName == text), None
    )


def _by_guest(index: SearchIndex, wanted: str, attribute: str) -> Iterator[Any]:
    for machine in index.world.machines.values():
        if wanted and getattr(machine.read("guest"), attribute) == wanted:
            yield machine.ref


@serves(SearchIndex, "FindByIp")
def find_by_ip(index: SearchIndex, call: Call) -> Any:
    """Find a machine by its guest's address, or the host by its own."""
    if not call.args["vmSearch"]:
        return index.world.host.ref if call.args["ip"] == index.world.address else None
    return next(_by_guest(index, call.args["ip"], "ipAddress"), None)


@serves(SearchIndex, "FindAllByIp")
def find_all_by_ip(index: SearchIndex, call: Call) -> list[Any]:
    """Find all machines of an address."""
    return list(_by_guest(index, call.args["ip"], "ipAddress")) if call.args["vmSearch"] else []


@serves(SearchIndex, "FindByDnsName")
def find_by_dns_name(index: SearchIndex, call: Call) -> Any:
    """Find a machine by its guest's host name, or the host by its own."""
    if not call.args["vmSearch"]:
        return index.world.host.ref if call.args["dnsName"] == index.world.host.name else None
    return next(_by_guest(index, call.args["dnsName"], "hostName"), None)


@serves(SearchIndex, "FindAllByDnsName")
def find_all_by_dns_name(index: SearchIndex, call: Call) -> list[Any]:
    """Find all machines of a host name."""
    return list(_by_guest(index, call.args["dnsName"], "hostName")) if call.args["vmSearch"] else []


@serves(OptionManager, "QueryOptions")
def query_options(manager: OptionManager, call: Call) -> list[Any]:
    """Return the options of a name or, with a dot at its end, below it."""
    name = call.get("name") or ""
    found = [
        vim25.OptionValue(key=key, value=value)
        for key, value in sorted(manager.options.items())
        if not name or key == name or (name.endswith(".") and key.startswith(name))
    ]
    if name and not found:
        raise say(vim25.InvalidName(name=name), f"The name '{name}' is not valid.")
    return found


@serves(OptionManager, "UpdateOptions")
def update_options(manager: OptionManager, call: Call) -> None:
    """Set options that there are."""
    for option in call.args["changedValue"]:
        if option.key not in manager.options:
            raise say(vim25.InvalidName(name=option.key), f"The name '{option.key}' is not valid.")
    for option in call.args["changedValue"]:
        manager.options[option.key] = option.value
    manager.changed("setting")


@serves(StorageSystem, "RefreshStorageSystem", "RescanVmfs", "RescanAllHba", "RescanHba")
def rescan(system: StorageSystem, call: Call) -> None:
    """Do nothing: nothing is stale."""
