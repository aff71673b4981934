"""Configuration files: a machine written as `.vmx`, and read back when it is registered.

Keys and forms are those that hosts write (libvirt's `tests/vmx2xmldata/*-in-the-wild-*.vmx`); which
of them the API shows as fields and which as extra options is recorded of an ESX 4.1
(`resources/esx-4.1.0-1` of fusioninventory-agent).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from vimlib import vim25
from vimlib.simulator._vm.devices import DeviceList
from vimlib.simulator._vm.guests import full_name, guest_of_vmx, vmx_guest
from vimlib.simulator._vm.vmx_devices import (
    DeviceReader,
    DeviceWriter,
    read_shares,
    written_shares,
)
from vimlib.simulator._vm.vmx_files import DiskInfo, FileNames
from vimlib.simulator._vm.vmx_text import (
    LARGEST,
    Values,
    VmxError,
    VmxReader,
    flag,
    parse,
    read_uuid,
    written_uuid,
)

if TYPE_CHECKING:
    from vimlib.simulator._core.registry import Registry

__all__ = [
    "LARGEST",
    "DiskInfo",
    "FileNames",
    "Values",
    "VmxError",
    "parse",
    "read_config",
    "render",
]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# Booleans: key, object of the configuration ("": itself), field, and whether hosts always write it.
_FLAGS = (
    ("tools.syncTime", "tools", "syncTimeWithHost", True),
    ("toolScripts.afterPowerOn", "tools", "afterPowerOn", True),
    ("toolScripts.afterResume", "tools", "afterResume", True),
    ("toolScripts.beforeSuspend", "tools", "beforeGuestStandby", True),
    ("toolScripts.beforePowerOff", "tools", "beforeGuestShutdown", True),
    ("bios.forceSetupOnce", "bootOptions", "enterBIOSSetup", False),
    ("bios.bootRetry.enabled", "bootOptions", "bootRetryEnabled", False),
    ("uefi.secureBoot.enabled", "bootOptions", "efiSecureBootEnabled", False),
    ("disable_acceleration", "flags", "disableAcceleration", False),
    ("vcpu.hotadd", "", "cpuHotAddEnabled", False),
    ("vcpu.hotremove", "", "cpuHotRemoveEnabled", False),
    ("mem.hotadd", "", "memoryHotAddEnabled", False),
    ("vhv.enable", "", "nestedHVEnabled", False),
    ("vpmc.enable", "", "vPMCEnabled", False),
    ("ctkEnabled", "", "changeTrackingEnabled", False),
    ("sched.mem.pin", "", "memoryReservationLockedToMax", False),
    ("tools.guest.desktop.autolock", "", "guestAutoLockEnabled", False),
    ("messageBus.tunnelEnabled", "", "messageBusTunnelEnabled", False),
)
# Words: key, object, field, and the file's words with the API's where they differ, those first that
# hosts write.
_POWER = {"default": "preset"}
_EXEC = {"hardware": "hvOn", "software": "hvOff", "automatic": "hvAuto"}
_WORDS: tuple[tuple[str, str, str, dict[str, str]], ...] = (
    ("powerType.powerOff", "defaultPowerOps", "powerOffType", _POWER),
    ("powerType.suspend", "defaultPowerOps", "suspendType", _POWER),
    ("powerType.reset", "defaultPowerOps", "resetType", _POWER),
    (
        "tools.upgrade.policy",
        "tools",
        "toolsUpgradePolicy",
        {"manual": "manual", "useGlobal": "manual"},
    ),
    ("monitor.virtual_mmu", "flags", "virtualMmuUsage", {}),
    ("monitor.virtual_exec", "flags", "virtualExecUsage", _EXEC),
    ("migrate.encryptionMode", "", "migrateEncryption", {}),
)


def render(registry: Registry, config: Any) -> str:
    """Return a configuration as the text of a `.vmx` file."""
    lines = Values()
    release = registry.release
    old = release.numbers < (5,)
    lines[".encoding"] = "UTF-8"
    lines["config.version"] = "8"
    lines["virtualHW.version"] = str(int(config.version.removeprefix("vmx-")))
    lines["displayName"] = config.name
    lines["guestOS"] = vmx_guest(config.guestId)
    if config.alternateGuestName:
        lines["guestOSAltName"] = config.alternateGuestName
    lines["memsize" if old else "memSize"] = str(config.hardware.memoryMB)
    if config.hardware.numCPU != 1:
        lines["numvcpus"] = str(config.hardware.numCPU)
    if (config.hardware.numCoresPerSocket or 1) != 1:
        lines["cpuid.coresPerSocket"] = str(config.hardware.numCoresPerSocket)
    lines["uuid.bios"] = written_uuid(config.uuid)
    lines["uuid.location"] = written_uuid(config.locationId or config.uuid)
    if config.instanceUuid:
        lines["vc.uuid"] = written_uuid(config.instanceUuid)
    if config.annotation:
        lines["annotation"] = config.annotation
    if config.firmware == "efi":  # absent for BIOS
        lines["firmware"] = "efi"
    if release.numbers < (6, 7):
        name = config.files.vmPathName.rpartition("/")[2].rpartition("] ")[2]
        lines["extendedConfigFile"] = f"{name.removesuffix('.vmx')}.vmxf"
    if config.managedBy is not None:
        lines["managedBy.extensionKey"] = config.managedBy.extensionKey
        lines["managedBy.type"] = config.managedBy.type
    if config.maxMksConnections not in (None, 40):
        lines["RemoteDisplay.maxConnections"] = str(config.maxMksConnections)
    if config.createDate is not None and release.numbers >= (6, 7):
        lines["vm.createDate"] = str((config.createDate - _EPOCH) // timedelta(microseconds=1))
    _render_options(lines, config)
    _render_allocation(lines, "cpu", config.cpuAllocation, config.cpuAffinity)
    _render_allocation(lines, "mem", config.memoryAllocation, config.memoryAffinity)
    if config.latencySensitivity is not None:
        lines["sched.cpu.latencySensitivity"] = config.latencySensitivity.level
    DeviceWriter(lines, FileNames(registry, config.files.vmPathName)).write(config.hardware.device)
    for option in config.extraConfig:
        if option.key not in lines:  # a field's own value is newer
            lines[option.key] = str(option.value)
    if config.flags.diskUuidEnabled:
        lines["disk.EnableUUID"] = "TRUE"
    return lines.text()


def _render_options(lines: Values, config: Any) -> None:
    for key, owner, field, always in _FLAGS:
        value = getattr(getattr(config, owner) if owner else config, field, None)
        if value or (always and value is not None):
            lines[key] = flag(value)
    if config.flags.enableLogging is False:
        lines["logging"] = "FALSE"
    for key, owner, field, names in _WORDS:
        value = getattr(getattr(config, owner) if owner else config, field, None)
        if value is not None:
            lines[key] = next((word for word, api in names.items() if api == value), value)
    boot = config.bootOptions
    if boot is not None and boot.bootDelay:
        lines["bios.bootDelay"] = str(boot.bootDelay)
    if boot is not None and boot.bootRetryDelay not in (None, 10000):
        lines["bios.bootRetry.delay"] = str(boot.bootRetryDelay)


def _render_allocation(lines: Values, kind: str, given: Any, affinity: Any) -> None:
    if given is None:
        return
    if kind == "cpu":
        lines["sched.cpu.units"] = "mhz"
    lines[f"sched.{kind}.min"] = str(given.reservation or 0)
    if kind == "mem":
        lines["sched.mem.minSize"] = str(given.reservation or 0)
    if given.limit not in (None, -1):
        lines[f"sched.{kind}.max"] = str(given.limit)
    if given.shares is not None:
        lines[f"sched.{kind}.shares"] = written_shares(given.shares)
    cores = affinity.affinitySet if affinity is not None else []
    if cores or kind == "cpu":
        lines[f"sched.{kind}.affinity"] = ",".join(map(str, cores)) or "all"


def read_config(registry: Registry, base: Any, values: Values, disks: dict[str, DiskInfo]) -> Any:
    """Return `base` with the values of a file; `disks` has the descriptor of each disk by its name there.

    Raises `VmxError`, and the fault of a host for a device at a place that none can have.
    """
    reader = VmxReader(values)
    for key in (".encoding", "config.version", "extendedConfigFile", "sched.cpu.units"):
        reader.text(key)  # of the file, not of the machine
    guest = guest_of_vmx(reader.text("guestOS", "other"), registry.version)
    version = reader.number("virtualHW.version", 4, least=1)
    # An absent size is 32 MiB: libvirt's virVMXParseConfig.
    memory = reader.number("memsize", 32, least=1)
    cpus = reader.number("numvcpus", 1, least=1)
    hardware = replace(
        base.hardware,
        numCPU=cpus,
        numCoresPerSocket=reader.number("cpuid.coresPerSocket", 1, least=1),
        memoryMB=memory,
    )
    devices = DeviceList(hardware.device, wide=version >= 14)
    names = FileNames(registry, base.files.vmPathName)
    DeviceReader(registry, devices, reader, names, disks).read()
    firmware = reader.text("firmware", "bios").lower()
    if firmware not in ("bios", "efi"):
        raise VmxError(f"firmware must be bios or efi, got {firmware[:40]!r}")
    bios = read_uuid(reader.text("uuid.bios")) or base.uuid
    config = replace(
        base,
        name=reader.text("displayName") or base.name,
        guestId=guest,
        guestFullName=full_name(guest, registry.version),
        alternateGuestName=reader.text("guestOSAltName"),
        version=f"vmx-{version:02d}",
        uuid=bios,
        instanceUuid=read_uuid(reader.text("vc.uuid")) or base.instanceUuid,
        locationId=read_uuid(reader.text("uuid.location")) or bios,
        annotation=reader.text("annotation"),
        firmware=firmware,
        managedBy=_managed(reader),
        maxMksConnections=reader.number("RemoteDisplay.maxConnections", 40),
        createDate=_created(reader) or base.createDate,
        hardware=replace(hardware, device=devices.result()),
        cpuAllocation=_allocation(reader, "cpu", base.cpuAllocation, 1000 * cpus),
        memoryAllocation=_allocation(reader, "mem", base.memoryAllocation, 10 * memory),
        cpuAffinity=_affinity(reader, "cpu"),
        memoryAffinity=_affinity(reader, "mem"),
        latencySensitivity=_latency(reader),
    )
    return replace(
        _read_options(reader, config),
        extraConfig=[vim25.OptionValue(key=key, value=value) for key, value in reader.rest()],
    )


def _read_options(reader: VmxReader, config: Any) -> Any:
    """Return the configuration with the values of `_FLAGS` and `_WORDS`."""
    changes: dict[str, dict[str, Any]] = {"": {}}
    for key, owner, field, _ in _FLAGS:
        if reader.given(key) is not None:
            changes.setdefault(owner, {})[field] = reader.flag(key)
    flags = changes.setdefault("flags", {})
    flags["enableLogging"] = reader.flag("logging", True)
    # A flag, and an option too, as hosts show it.
    flags["diskUuidEnabled"] = reader.values.get("disk.EnableUUID").lower() == "true"
    for key, owner, field, names in _WORDS:
        word = reader.given(key)
        if word is not None:
            changes.setdefault(owner, {})[field] = names.get(word, word)
    boot = changes.setdefault("bootOptions", {})
    boot["bootDelay"] = reader.number("bios.bootDelay", 0)
    boot["bootRetryDelay"] = reader.number("bios.bootRetry.delay", 10000)
    parts = {
        owner: replace(getattr(config, owner), **given) for owner, given in changes.items() if owner
    }
    return replace(config, **parts, **changes[""])


def _managed(reader: VmxReader) -> Any:
    extension, kind = reader.given("managedBy.extensionKey"), reader.text("managedBy.type")
    return vim25.ManagedByInfo(extensionKey=extension, type=kind) if extension else None


def _created(reader: VmxReader) -> datetime | None:
    text = reader.text("vm.createDate")
    if not text.isdecimal() or len(text) > 17:
        return None
    return _EPOCH + timedelta(microseconds=int(text))


def _limit(reader: VmxReader, key: str, default: int) -> int:
    text = reader.text(key)
    return default if not text.isdecimal() or len(text) > 15 else int(text)


def _allocation(reader: VmxReader, kind: str, base: Any, normal: int) -> Any:
    smallest = _limit(reader, "sched.mem.minSize", 0) if kind == "mem" else 0
    return replace(
        base,
        reservation=_limit(reader, f"sched.{kind}.min", smallest),
        limit=_limit(reader, f"sched.{kind}.max", -1),
        shares=read_shares(reader.text(f"sched.{kind}.shares"), normal),
    )


def _affinity(reader: VmxReader, kind: str) -> Any:
    text = reader.text(f"sched.{kind}.affinity")
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and len(part) < 5 for part in parts):
        return None  # absent, or `all`
    return vim25.VirtualMachineAffinityInfo(affinitySet=[int(part) for part in parts])


def _latency(reader: VmxReader) -> Any:
    level = reader.given("sched.cpu.latencySensitivity")
    return vim25.LatencySensitivity(level=level) if level else None
