"""Advanced options: names, types, limits and defaults (ESX 4.1; of later releases, ESXi 8.0).

A host has several hundred; these are the ones that clients read or set, and some of each kind. Most
numbers are `long`, a few `int`; a value of another type is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from vimlib import vim25
from vimlib.soap import Typed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vimlib.simulator._core.versions import Release

# Which hosts (c classic, e ESXi, a all), type, least, most, default, name. "~" is the empty text.
_TABLE: Final = """\
c long 0 100 15 BufferCache.SoftMaxDirty
c long 0 100 95 BufferCache.HardMaxDirty
c long 100 3600000 30000 BufferCache.FlushInterval
e long 0 100 15 BufferCache.SoftMaxDirty
a long 192 256 192 COW.COWMaxHeapSizeMB
e bool - - true CBRC.Enable
a string - - disable Config.Defaults.cpuidMask.mode.1.eax
a bool - - true Config.Defaults.security.host.ruissl
a int 0 2147483647 0 Config.GlobalSettings.guest.commands.sharedPolicyRefCount
e string - - info Config.HostAgent.log.level
e string - - ESX_Admins Config.HostAgent.plugins.hostsvc.esxAdminsGroup
e bool - - true Config.HostAgent.plugins.hostsvc.esxAdminsGroupAutoAdd
e bool - - false Config.HostAgent.plugins.solo.enableMob
a int 0 2147483647 1440 Config.HostAgent.plugins.vimsvc.authValidateInterval
a int 0 2147483647 100 Config.HostAgent.plugins.vimsvc.userSearch.maxResults
a int 5 180 20 Config.HostAgent.plugins.vimsvc.userSearch.maxTimeSeconds
a long 0 5000 40 Cpu.HostRebalancePeriod
a long 0 5000 10 Cpu.PackageRebalancePeriod
a long 0 1 1 DataMover.HardwareAcceleratedInit
a long 0 1 1 DataMover.HardwareAcceleratedMove
e string - - ~ DCUI.Access
a long 32 32767 32767 Disk.DiskMaxIOSize
c long 1 256 256 Disk.MaxLUN
e long 1 1024 1024 Disk.MaxLUN
a long 1 256 32 Disk.SchedNumReqOutstanding
a long 1 64 8 Disk.SchedQuantum
a long 0 1 1 Disk.UseDeviceReset
a long 0 1 1 Disk.UseLunReset
a string - - ~ FT.Vmknic
a long 0 2 2 Irq.RoutingPolicy
a long 0 1 1 Mem.AllocGuestLargePage
a long 0 120 15 Mem.BalancePeriod
a long 0 75 65 Mem.CtlMaxPercent
a long 0 99 75 Mem.IdleTax
e long 0 2 2 Mem.ShareForceSalting
a long 0 32 4 Mem.ShareScanGHz
a long 10 600 60 Mem.ShareScanTime
a long 0 1 1 Migrate.Enabled
a long 1 3600 20 Migrate.NetTimeout
a long 0 65535 0 Misc.BlueScreenTimeout
a long 0 1 0 Misc.GuestLibAllowHostInfo
a long 1 86400 60 Misc.HeartbeatTimeout
a long 0 1 1 Misc.LogToFile
a long 0 1 1 Misc.LogToSerial
a long 5 86400 9 NFS.HeartbeatFrequency
a long 3 30 5 NFS.HeartbeatTimeout
c long 8 64 8 NFS.MaxVolumes
e long 8 256 32 NFS.MaxVolumes
a long 0 1 0 Net.FollowHardwareMac
a long 1 1000 100 Net.MaxNetifRxQueueLen
a long 0 1 1 Net.ReversePathFwdCheck
a long 32 128 64 Net.TcpipHeapMax
a long 16 32 16 Net.TcpipHeapSize
a long 0 1 1 Net.UseHwTSO
a long 0 1 1 Numa.RebalanceEnable
a long 0 100 60 Power.MaxCpuLoad
a bool - - true RdmFilter.HbaIsShared
e string - - [] ScratchConfig.ConfiguredScratchLocation
a long 0 1 1 Scsi.LogCmdErrors
e int 0 100 5 Security.AccountLockFailures
e int 1 86400 900 Security.AccountUnlockTime
e int 0 100 0 Security.PasswordHistory
e string - - retry=3_min=disabled,disabled,disabled,7,7 Security.PasswordQualityControl
e string - - []_/scratch/log Syslog.global.logDir
e string - - ~ Syslog.global.logHost
a long 0 1 0 User.PTEDisableNX
c long 0 1 1 UserVars.CIMEnabled
e long 0 1 1 UserVars.CIMEnabled
e long 0 86400 600 UserVars.DcuiTimeOut
e long 0 86400 0 UserVars.ESXiShellInteractiveTimeOut
e long 0 86400 0 UserVars.ESXiShellTimeOut
e long 0 86400 900 UserVars.HostClientSessionTimeout
e long 0 1 0 UserVars.SuppressShellWarning
a long 0 1 1 VMFS3.HardwareAcceleratedLocking
a long 16 640 80 VMFS3.MaxHeapSizeMB
a bool - - true VMkernel.Boot.hyperthreading
"""
_KINDS: Final = {
    "long": "xsd:long",
    "int": "xsd:int",
    "bool": "xsd:boolean",
    "string": "xsd:string",
}


class OptionSeed(NamedTuple):
    """An option and its limits."""

    key: str
    kind: str
    """`long`, `int`, `bool` or `string`."""
    least: int
    most: int
    default: Any

    def typed(self, value: Any) -> Any:
        """Return a value as the API shows it: with the exact type."""
        return Typed("xsd:long", value) if self.kind == "long" else value

    @property
    def wire_type(self) -> str:
        """Its type in XML."""
        return _KINDS[self.kind]

    def allows(self, value: Any) -> bool:
        """Whether a value of the right type is within the limits."""
        return self.kind not in ("long", "int") or self.least <= value <= self.most

    def definition(self) -> Any:
        """Return it as an OptionDef."""
        option: Any
        if self.kind == "bool":
            option = vim25.BoolOption(
                valueIsReadonly=False, supported=True, defaultValue=self.default
            )
        elif self.kind == "string":
            option = vim25.StringOption(
                valueIsReadonly=False, defaultValue=self.default, validCharacters=""
            )
        else:
            cls: Any = vim25.LongOption if self.kind == "long" else vim25.IntOption
            option = cls(
                valueIsReadonly=False, min=self.least, max=self.most, defaultValue=self.default
            )
        label = self.key.rpartition(".")[2]
        return vim25.OptionDef(label=label, summary=label, key=self.key, optionType=option)


def _default(kind: str, text: str) -> Any:
    if kind == "bool":
        return text == "true"
    if kind == "string":
        return "" if text == "~" else text.replace("_", " ")
    return int(text)


def advanced_options(release: Release) -> dict[str, OptionSeed]:
    """Return the advanced options of a host by name."""
    wanted = ("a", "c") if release.classic else ("a", "e")
    found = {}
    for line in _TABLE.splitlines():
        hosts, kind, least, most, default, key = line.split(" ", 5)
        if hosts in wanted:
            limits = (0, 0) if least == "-" else (int(least), int(most))
            found[key] = OptionSeed(key, kind, *limits, _default(kind, default))
    return found


def agent_options() -> dict[str, OptionSeed]:
    """Return the options of the host agent itself, `ServiceContent.setting`."""
    return {
        "Config.HostAgent.log.level": OptionSeed(
            "Config.HostAgent.log.level", "string", 0, 0, "info"
        ),
        "vpxd.stats.maxQueryMetrics": OptionSeed("vpxd.stats.maxQueryMetrics", "int", -1, 1024, 64),
    }


def values(options: Iterable[OptionSeed]) -> dict[str, Any]:
    """Return the defaults by name, each with its type."""
    return {option.key: option.typed(option.default) for option in options}
