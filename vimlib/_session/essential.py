"""The fields that every reply must have, for any caller. No I/O.

A host may leave out a field that the API requires, and None then stands for it. That will not do for
what the code here reads: where one of these is absent, the reply is refused with
`InvalidFieldError`, for any caller. The same holds for the result of a method that has one.
A field counts for subtypes too. `tests/fuzz/client.py` drops every element of every reply in turn,
and so finds the field that is missing from this list.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from vimlib.errors import InvalidFieldError
from vimlib.model import ManagedObject

if TYPE_CHECKING:
    from vimlib.model import Method

_FIELDS = """
AboutInfo apiType apiVersion fullName
AutoStartPowerInfo key startAction startDelay startOrder stopAction stopDelay
DatastoreHostMount key mountInfo
DatastoreSummary accessible capacity freeSpace name type
DynamicProperty name
FileInfo path
HostCpuIdInfo level
HostDateTimeInfo timeZone
HostFirewallRuleset enabled key label
HostHardwareSummary cpuMhz cpuModel memorySize numCpuCores numCpuThreads
HostListSummary quickStats
HostMountInfo accessMode
HostNumaNode memoryRangeLength typeId
HostPortGroup spec
HostPortGroupSpec name vlanId vswitchName
HostRuntimeInfo connectionState
HostService key label policy running
HostSystemIdentificationInfo identifierType identifierValue
HostSystemInfo uuid
HostVirtualNic device spec
HostVirtualSwitch name spec
HttpNfcLeaseDeviceUrl importKey key sslThumbprint url
LocalizedMethodFault fault
MissingObject fault obj
MissingProperty fault path
ObjectContent obj
ObjectUpdate kind obj
OptionValue key
PhysicalNic device
PropertyChange name op
PropertyFilterUpdate filter
ResourcePoolResourceUsage reservationUsed unreservedForVm
ResourcePoolRuntimeInfo cpu memory
ServiceContent about propertyCollector rootFolder
SessionManagerGenericServiceTicket id
SessionManagerHttpServiceRequestSpec url
TaskInfo queueTime
UserSession key
VirtualDevice key
VirtualMachineConfigSummary name
VirtualMachineFileLayoutExFileInfo name
VirtualMachineMksTicket ticket
VirtualMachineRuntimeInfo connectionState powerState
VirtualMachineSnapshotTree createTime description name snapshot state
VirtualMachineSummary config quickStats runtime
VirtualMachineTicket ticket
"""

ESSENTIAL: Final = {
    name: frozenset(fields) for name, *fields in map(str.split, _FIELDS.strip().splitlines())
}
"""Wire names of required fields by the type that declares them."""


def check_result(method: Method[..., Any], result: Any) -> None:
    """Refuse a result that refers to an object of another kind than the method declares.

    Raises:
        InvalidFieldError: It does. A kind that only a newer host has is accepted.
    """
    if not isinstance(result, ManagedObject):
        return
    declared = method.returns
    wanted = method.binding.find(declared.referent) if declared is not None else None
    kind = method.binding.find(result.moref[0])
    if wanted is not None and kind is not None and not issubclass(kind, wanted):
        raise InvalidFieldError(
            type=method.name,
            field="returnval",
            wanted=wanted.__name__,
            actual=kind.__name__,
            path="returnval",
        )
