"""Privileges and roles of a host: names, ids and privileges as recorded of ESXi 6.5."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final

from vimlib import vim25

if TYPE_CHECKING:
    from vimlib.simulator._core.versions import Release

ADMIN, READ_ONLY, VIEW, ANONYMOUS, NO_ACCESS, NO_CRYPTO = -1, -2, -3, -4, -5, -6

# Group, then its privileges.
_PRIVILEGES: Final = """\
Alarm: Acknowledge Create Delete DisableActions Edit SetStatus
Authorization: ModifyPermissions ModifyRoles ReassignRolePermissions
Certificate: Manage
Cryptographer: Access AddDisk Clone Decrypt Encrypt EncryptNew ManageEncryptionPolicy ManageKeyServers ManageKeys Migrate Recrypt RegisterHost RegisterVM
DVPortgroup: Create Delete Modify PolicyOp ScopeOp
DVSwitch: Create Delete HostOp Modify Move PolicyOp PortConfig PortSetting ResourceManagement Vspan
Datacenter: Create Delete IpPoolConfig IpPoolQueryAllocations IpPoolReleaseIp Move Reconfigure Rename
Datastore: AllocateSpace Browse Config Delete DeleteFile FileManagement Move Rename UpdateVirtualMachineFiles UpdateVirtualMachineMetadata
EAM: Config Modify View
Extension: Register Unregister Update
ExternalStatsProvider: Register Unregister Update
Folder: Create Delete Move Rename
Global: CancelTask CapacityPlanning Diagnostics DisableMethods EnableMethods GlobalTag Health Licenses LogEvent ManageCustomFields Proxy ScriptAction ServiceManagers SetCustomField Settings SystemTag VCServer
HealthUpdateProvider: Register Unregister Update
Host.Cim: CimInteraction
Host.Config: AdvancedConfig AuthenticationStore AutoStart Connection DateTime Firmware HyperThreading Image Maintenance Memory NetService Network Patch PciPassthru Power Quarantine Resources Settings Snmp Storage SystemManagement
Host.Hbr: HbrManagement
Host.Inventory: AddHostToCluster AddStandaloneHost CreateCluster DeleteCluster EditCluster MoveCluster MoveHost RemoveHostFromCluster RenameCluster
Host.Local: CreateVM DeleteVM InstallAgent ManageUserGroups ReconfigVM
Network: Assign Config Delete Move
Performance: ModifyIntervals
Profile: Clear Create Delete Edit Export View
Resource: ApplyRecommendation AssignVAppToPool AssignVMToPool ColdMigrate CreatePool DeletePool EditPool HotMigrate MovePool QueryVMotion RenamePool
ScheduledTask: Create Delete Edit Run
Sessions: GlobalMessage ImpersonateUser TerminateSession ValidateSession
StoragePod: Config
System: Anonymous Read View
Task: Create Update
VApp: ApplicationConfig AssignResourcePool AssignVApp AssignVM Clone Create Delete Export ExtractOvfEnvironment Import InstanceConfig ManagedByConfig Move PowerOff PowerOn Rename ResourceConfig Suspend Unregister
VRMPolicy: Query Update
VirtualMachine.Config: AddExistingDisk AddNewDisk AddRemoveDevice AdvancedConfig Annotation CPUCount ChangeTracking DiskExtend DiskLease EditDevice HostUSBDevice ManagedBy Memory MksControl QueryFTCompatibility QueryUnownedFiles RawDevice ReloadFromPath RemoveDisk Rename ResetGuestInfo Resource Settings SwapPlacement ToggleForkParent Unlock UpgradeVirtualHardware
VirtualMachine.GuestOperations: Execute Modify ModifyAliases Query QueryAliases
VirtualMachine.Hbr: ConfigureReplication MonitorReplication ReplicaManagement
VirtualMachine.Interact: AnswerQuestion Backup ConsoleInteract CreateScreenshot CreateSecondary DefragmentAllDisks DeviceConnection DisableSecondary DnD EnableSecondary GuestControl MakePrimary Pause PowerOff PowerOn PutUsbScanCodes Record Replay Reset SESparseMaintenance SetCDMedia SetFloppyMedia Suspend TerminateFaultTolerantVM ToolsInstall TurnOffFaultTolerance
VirtualMachine.Inventory: Create CreateFromExisting Delete Move Register Unregister
VirtualMachine.Namespace: Event EventNotify Management ModifyContent Query ReadContent
VirtualMachine.Provisioning: Clone CloneTemplate CreateTemplateFromVM Customize DeployTemplate DiskRandomAccess DiskRandomRead FileRandomAccess GetVmFiles MarkAsTemplate MarkAsVM ModifyCustSpecs PromoteDisks PutVmFiles ReadCustSpecs
VirtualMachine.State: CreateSnapshot RemoveSnapshot RenameSnapshot RevertToSnapshot
"""
_CRYPTO: Final = frozenset(
    {
        "Global.Diagnostics",
        "Host.Inventory.AddHostToCluster",
        "Host.Inventory.AddStandaloneHost",
        "Host.Local.ManageUserGroups",
        "VirtualMachine.Interact.GuestControl",
    }
)
"""With those of Cryptographer, what NoCryptoAdmin lacks."""


@cache
def privileges() -> tuple[str, ...]:
    """Return the ids of all privileges."""
    return tuple(
        f"{group}.{name}"
        for line in _PRIVILEGES.splitlines()
        for group, names in [line.split(": ")]
        for name in names.split()
    )


def roles(release: Release) -> dict[int, Any]:
    """Return the roles that every host has, by id."""
    every = list(privileges())
    rows = [
        (NO_CRYPTO, "NoCryptoAdmin", "No cryptography administrator",
         "Full access without Cryptographic operations privileges",
         [p for p in every if not p.startswith("Cryptographer.") and p not in _CRYPTO]),
        (NO_ACCESS, "NoAccess", "No access", "Used for restricting granted access",
         ["System.Anonymous"]),
        (ANONYMOUS, "Anonymous", "Anonymous", "Not logged-in user (cannot be granted)",
         ["System.Anonymous"]),
        (VIEW, "View", "View", "Visibility access (cannot be granted)",
         ["System.Anonymous", "System.View"]),
        (READ_ONLY, "ReadOnly", "Read-only", "See details of objects, but not make changes",
         ["System.Anonymous", "System.Read", "System.View"]),
        (ADMIN, "Admin", "Administrator", "Full access rights", every),
    ]  # fmt: skip
    return {
        id_: vim25.AuthorizationRole(
            roleId=id_,
            system=True,
            name=name,
            info=vim25.Description(label=label, summary=summary),
            privilege=granted,
        )
        for id_, name, label, summary, granted in rows
        if id_ != NO_CRYPTO or release.numbers >= (6, 5)
    }


def privilege_list() -> list[Any]:
    """Return the privileges as data."""
    return [
        vim25.AuthorizationPrivilege(
            privId=id_,
            onParent=id_.rpartition(".")[2] in ("Create", "Delete"),
            name=id_.rpartition(".")[2],
            privGroupName=id_.rpartition(".")[0],
        )
        for id_ in privileges()
    ]


def description() -> Any:
    """Return the privileges and their groups with labels."""

    def element(id_: str) -> Any:
        return vim25.ElementDescription(label=id_.rpartition(".")[2], summary=id_, key=id_)

    groups = dict.fromkeys(id_.rpartition(".")[0] for id_ in privileges())
    return vim25.AuthorizationDescription(
        privilege=[element(id_) for id_ in privileges()],
        privilegeGroup=[element(group) for group in groups],
    )
