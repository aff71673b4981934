"""Which privilege a method needs, and where: the API reference names one for each.

Reading needs System.View. A method without a line here is one that changes the host's settings.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from vimlib.simulator._core.messages import no_permission
from vimlib.simulator._core.objects import Entity
from vimlib.simulator._service.accounts import AuthorizationManager

if TYPE_CHECKING:
    from vimlib.simulator._core.call import Call
    from vimlib.simulator._core.registry import Registry

_VIEW: Final = "System.View"
_READING: Final = re.compile(
    r"(Retrieve|Query|Fetch|Find|Check|WaitFor|Current|Acquire|Search|Read|List|Has|Continue|Refresh|"
    r"Validate|Login|Logout|Clone(Session)|Session|Open|Parse|Rewind|Cancel(Wait|Retrieve)|"
    r"Create(Filter|Container|List|Inventory|PropertyC|Collector)|Destroy(View|Property|Collector)|"
    r"ModifyListView|ResetList|ResetCollector|SetLocale|SetCollector|CreateImportSpec)"
)
# Privilege, then the methods that need it.
_NEEDS: Final = """\
VirtualMachine.Interact.PowerOn PowerOnVM_Task
VirtualMachine.Interact.PowerOff PowerOffVM_Task ShutdownGuest TerminateVM
VirtualMachine.Interact.Suspend SuspendVM_Task StandbyGuest
VirtualMachine.Interact.Reset ResetVM_Task RebootGuest
VirtualMachine.Interact.AnswerQuestion AnswerVM
VirtualMachine.Interact.GuestControl SendNMI
VirtualMachine.Interact.ConsoleInteract AcquireMksTicket AcquireTicket
VirtualMachine.Interact.CreateScreenshot CreateScreenshot_Task
VirtualMachine.Interact.ToolsInstall MountToolsInstaller UnmountToolsInstaller UpgradeTools_Task
VirtualMachine.Interact.PutUsbScanCodes PutUsbScanCodes
VirtualMachine.Config.UpgradeVirtualHardware UpgradeVM_Task
VirtualMachine.Config.Rename Rename_Task
VirtualMachine.Config.Settings ReconfigVM_Task
VirtualMachine.Inventory.Create CreateVM_Task
VirtualMachine.Inventory.Register RegisterVM_Task
VirtualMachine.Inventory.Unregister UnregisterVM
VirtualMachine.Inventory.Delete Destroy_Task
VirtualMachine.State.CreateSnapshot CreateSnapshot_Task CreateSnapshotEx_Task
VirtualMachine.State.RemoveSnapshot RemoveSnapshot_Task RemoveAllSnapshots_Task
VirtualMachine.State.RevertToSnapshot RevertToSnapshot_Task RevertToCurrentSnapshot_Task
VirtualMachine.State.RenameSnapshot RenameSnapshot
VirtualMachine.GuestOperations.Execute StartProgramInGuest TerminateProcessInGuest
VirtualMachine.GuestOperations.Modify MakeDirectoryInGuest DeleteFileInGuest DeleteDirectoryInGuest MoveFileInGuest MoveDirectoryInGuest CreateTemporaryFileInGuest CreateTemporaryDirectoryInGuest ChangeFileAttributesInGuest InitiateFileTransferToGuest
VirtualMachine.GuestOperations.Query ListFilesInGuest ListProcessesInGuest ReadEnvironmentVariableInGuest ValidateCredentialsInGuest InitiateFileTransferFromGuest
VApp.Export ExportVm ExportSnapshot CreateDescriptor
VApp.Import ImportVApp
Datastore.Rename RenameDatastore
Datastore.Delete DestroyDatastore RemoveDatastore
Datastore.Browse SearchDatastore_Task SearchDatastoreSubFolders_Task
Datastore.FileManagement MakeDirectory DeleteDatastoreFile_Task MoveDatastoreFile_Task CopyDatastoreFile_Task DeleteFile CreateVirtualDisk_Task DeleteVirtualDisk_Task MoveVirtualDisk_Task CopyVirtualDisk_Task ExtendVirtualDisk_Task InflateVirtualDisk_Task SetVirtualDiskUuid
Host.Config.Maintenance EnterMaintenanceMode_Task ExitMaintenanceMode_Task RebootHost_Task ShutdownHost_Task
Host.Config.Network AddPortGroup UpdatePortGroup RemovePortGroup AddVirtualSwitch UpdateVirtualSwitch RemoveVirtualSwitch UpdateNetworkConfig AddVirtualNic UpdateVirtualNic RemoveVirtualNic UpdateDnsConfig UpdateIpRouteConfig SelectVnicForNicType DeselectVnicForNicType SelectVnic DeselectVnic
Host.Config.NetService StartService StopService RestartService UpdateServicePolicy EnableRuleset DisableRuleset UpdateRuleset UpdateDefaultPolicy
Host.Config.DateTime UpdateDateTimeConfig UpdateDateTime
Host.Config.AutoStart ReconfigureAutostart AutoStartPowerOn AutoStartPowerOff
Host.Config.Storage RescanHba RescanAllHba RescanVmfs UpdateSoftwareInternetScsiEnabled CreateLocalDatastore CreateNasDatastore
Host.Local.ManageUserGroups CreateUser UpdateUser RemoveUser CreateGroup RemoveGroup
Authorization.ModifyRoles AddAuthorizationRole UpdateAuthorizationRole RemoveAuthorizationRole
Authorization.ModifyPermissions SetEntityPermissions ResetEntityPermissions RemoveEntityPermission
Global.Settings UpdateOptions
Global.CancelTask CancelTask
Global.LogEvent LogUserEvent
Sessions.TerminateSession TerminateSession
Resource.CreatePool CreateResourcePool
Resource.EditPool UpdateConfig UpdateChildResourceConfiguration
Resource.MovePool MoveIntoResourcePool
Resource.DeletePool DestroyChildren
"""
_SETTINGS: Final = "Host.Config.AdvancedConfig"
_OWN: Final = frozenset({"ChangePassword"})
"""Methods that any user may call: their arguments prove the right to it."""


@cache
def privilege_table() -> dict[str, str]:
    rows = (line.split() for line in _NEEDS.splitlines())
    return {method: privilege for privilege, *methods in rows for method in methods}


def privilege_of(method: str) -> str:
    """Return the privilege that a method needs."""
    found = privilege_table().get(method)
    if found is not None:
        return found
    return _VIEW if method in _OWN or _READING.match(method) else _SETTINGS


def _entity(registry: Registry, obj: Any, call: Call) -> Entity:
    """Return the entity on which a call needs its privilege."""
    if obj.kind.startswith("Guest") and "vm" in call.args:
        obj = registry.find(call.args["vm"])
    owner = getattr(obj, "machine", None) or obj
    if isinstance(owner, Entity):
        return owner
    if obj.kind.startswith("Host"):
        found: Entity = registry.one("HostSystem")
        return found
    root: Entity = registry.all("Folder")["ha-folder-root"]
    return root


def require_privilege(call: Call, obj: Any) -> None:
    """Raise `NoPermission` if the caller's user must not call a method of an object."""
    registry = call.registry
    manager = registry.one(AuthorizationManager)
    if call.session is None or not manager.changed_by_calls:
        return  # everybody who can log in administers the host
    entity, privilege = _entity(registry, obj, call), privilege_of(call.method)
    if not manager.allows(call.session.user_name, entity, privilege):
        raise no_permission(entity.ref, privilege)


def may_write_files(registry: Registry, user: str) -> bool:
    """Whether a user may change files of datastores over HTTP."""
    manager = registry.one(AuthorizationManager)
    entity = registry.one("Datacenter")
    return not manager.changed_by_calls or manager.allows(user, entity, "Datastore.FileManagement")
