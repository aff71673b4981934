"""EnvironmentBrowser: the options of machines for each version of the virtual hardware."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vimlib import vim25
from vimlib.model import parse_version
from vimlib.simulator._core.handlers import handles
from vimlib.simulator._core.messages import invalid_argument
from vimlib.simulator._core.objects import SimObject, prop
from vimlib.simulator._host.host_system import HostSystem
from vimlib.simulator._host.network import NetworkSystem
from vimlib.simulator._host.resources import root_pool
from vimlib.simulator._storage.datastore import Datastore
from vimlib.simulator._vm.devices import default_devices
from vimlib.simulator._vm.guests import GuestSystem, guests_of
from vimlib.simulator._vm.hardware import Hardware, hardware_of
from vimlib.simulator._vm.virtual_machine import capability

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vimlib.simulator._core.call import Call

_LARGEST_DISK = 62 << 30
"""KiB of a disk, 62 TiB."""
_LARGEST_OLD_DISK = (2 << 30) - 1
"""The same before 5.5: 2 TiB less a sector."""


class EnvironmentBrowser(SimObject):
    """The options of machines on this host."""

    kind = "EnvironmentBrowser"

    @prop("datastoreBrowser")
    def _browser(self) -> Any:
        return self.registry.one("HostDatastoreBrowser").ref

    def hardware(self, key: str | None) -> Hardware:
        """Return the hardware of a key, the newest for none. Raises `InvalidArgument`."""
        offered = hardware_of(self.registry.release)
        try:
            return offered[key or self.registry.release.hardware]
        except KeyError:
            raise invalid_argument("key") from None


def _yes(value: bool = True, *, supported: bool = True) -> Any:
    return vim25.BoolOption(supported=supported, defaultValue=value)


def _range(least: int, most: int, default: int | None = None) -> Any:
    return vim25.IntOption(min=least, max=most, defaultValue=least if default is None else default)


def _choice(*words: str) -> Any:
    return vim25.ChoiceOption(
        choiceInfo=[vim25.ElementDescription(label=w, summary=w, key=w) for w in words],
        defaultIndex=0,
    )


# Class of a controller and the hardware that brought it.
_SCSI = (
    ("VirtualBusLogicController", 4),
    ("VirtualLsiLogicController", 4),
    ("VirtualLsiLogicSASController", 7),
    ("ParaVirtualSCSIController", 7),
)
_OTHER_CONTROLLERS = (("VirtualAHCIController", 10), ("VirtualNVMEController", 13))
_NICS = (
    ("VirtualPCNet32", 4),
    ("VirtualVmxnet2", 4),
    ("VirtualE1000", 4),
    ("VirtualVmxnet3", 7),
    ("VirtualE1000e", 8),
)


def _named(table: tuple[tuple[str, int], ...], hardware: Hardware) -> list[str]:
    return [name for name, since in table if hardware.number >= since]


def _connect() -> Any:
    return vim25.VirtualDeviceConnectOption(startConnected=_yes(), allowGuestControl=_yes())


def _device_options(hardware: Hardware) -> Iterator[Any]:
    """Yield the device options. `devices` has the number of devices of a controller."""
    common: dict[str, Any] = {"deprecated": False, "plugAndPlay": False, "hotRemoveSupported": True}
    for name in _named(_SCSI, hardware):
        yield getattr(vim25, name + "Option")(
            type=name,
            **common,
            devices=_range(0, 15),
            supportedDevice=["VirtualDisk", "VirtualCdrom"],
            numSCSIDisks=_range(0, 15),
            numSCSICdroms=_range(0, 15),
            numSCSIPassthrough=_range(0, 0),
            sharing=["noSharing", "virtualSharing", "physicalSharing"],
            defaultSharedIndex=0,
            hotAddRemove=_yes(),
            scsiCtlrUnitNumber=7,
        )
    yield vim25.VirtualIDEControllerOption(
        type="VirtualIDEController",
        **common,
        devices=_range(0, 2),
        supportedDevice=["VirtualDisk", "VirtualCdrom"],
        numIDEDisks=_range(0, 2),
        numIDECdroms=_range(0, 2),
    )
    controllers = [*_named(_SCSI, hardware), "VirtualIDEController"]
    newer = _named(_OTHER_CONTROLLERS, hardware)
    if "VirtualAHCIController" in newer:
        yield vim25.VirtualAHCIControllerOption(
            type="VirtualAHCIController",
            **common,
            devices=_range(0, 30),
            supportedDevice=["VirtualDisk", "VirtualCdrom"],
            numSATADisks=_range(0, 30),
            numSATACdroms=_range(0, 30),
        )
    if "VirtualNVMEController" in newer:
        yield vim25.VirtualNVMEControllerOption(
            type="VirtualNVMEController",
            **common,
            devices=_range(0, 15),
            supportedDevice=["VirtualDisk"],
            numNVMEDisks=_range(0, 15),
        )
    controllers += newer
    for controller in controllers:
        yield _disk_option(hardware, controller, common)
    for controller in controllers:
        if controller != "VirtualNVMEController":
            yield vim25.VirtualCdromOption(
                type="VirtualCdrom",
                **common,
                connectOption=_connect(),
                controllerType=controller,
                backingOption=[
                    vim25.VirtualCdromIsoBackingOption(
                        type="VirtualCdromIsoBackingInfo", fileNameExtensions=_choice("iso")
                    )
                ],
                defaultBackingOptionIndex=0,
            )
    for name in _named(_NICS, hardware):
        yield getattr(vim25, name + "Option")(
            type=name,
            **common,
            connectOption=_connect(),
            controllerType="VirtualPCIController",
            backingOption=[
                vim25.VirtualEthernetCardNetworkBackingOption(
                    type="VirtualEthernetCardNetworkBackingInfo", autoDetectAvailable=_yes(False)
                )
            ],
            defaultBackingOptionIndex=0,
            supportedOUI=_choice("00:50:56", "00:0c:29"),
            macType=_choice("generated", "manual", "assigned"),
            wakeOnLanEnabled=_yes(),
            vmDirectPathGen2Supported=False,
            **({"supportsMorphing": True} if name == "VirtualPCNet32" else {}),
        )


def _disk_option(hardware: Hardware, controller: str, common: dict[str, Any]) -> Any:
    most = _LARGEST_DISK if hardware.number >= 10 else _LARGEST_OLD_DISK
    return vim25.VirtualDiskOption(
        type="VirtualDisk",
        **common,
        controllerType=controller,
        capacityInKB=vim25.LongOption(min=1024, max=most, defaultValue=8 << 20),
        backingOption=[
            vim25.VirtualDiskFlatVer2BackingOption(
                type="VirtualDiskFlatVer2BackingInfo",
                fileNameExtensions=_choice("vmdk"),
                diskMode=_choice(
                    "persistent", "independent_persistent", "independent_nonpersistent"
                ),
                split=_yes(False, supported=False),
                writeThrough=_yes(False, supported=False),
                growable=True,
                hotGrowable=True,
                uuid=True,
                thinProvisioned=_yes(False),
                eagerlyScrub=_yes(False),
            )
        ],
        defaultBackingOptionIndex=0,
    )


def _hardware_option(hardware: Hardware, threads: int) -> Any:
    most = min(hardware.cpus, threads)
    return vim25.VirtualHardwareOption(
        hwVersion=hardware.number,
        virtualDeviceOption=list(_device_options(hardware)),
        deviceListReadonly=False,
        numCPU=list(range(1, most + 1)),
        numCoresPerSocket=_range(1, most),
        numCpuReadonly=False,
        memoryMB=vim25.LongOption(min=4, max=hardware.memory, defaultValue=128),
        numPCIControllers=_range(1, 1),
        numIDEControllers=_range(2, 2),
        numUSBControllers=_range(0, 1),
        numUSBXHCIControllers=_range(0, 1 if hardware.number >= 8 else 0),
        numSIOControllers=_range(1, 1),
        numPS2Controllers=_range(1, 1),
    )


def _guest(guest: GuestSystem, hardware: Hardware, threads: int) -> Any:
    """Return the supported and recommended values of a guest system."""
    windows = guest.family == "windowsGuest"
    modern = guest.wide and parse_version(guest.since) >= (4,)
    memory = hardware.memory if guest.wide else min(hardware.memory, 65_536)
    scsi = _named(_SCSI, hardware)
    nics = _named(_NICS, hardware)
    best_scsi = "VirtualLsiLogicController"
    if modern and "ParaVirtualSCSIController" in scsi:
        best_scsi = "VirtualLsiLogicSASController" if windows else "ParaVirtualSCSIController"
    best_nic = "VirtualE1000"
    if modern and "VirtualVmxnet3" in nics and not windows:
        best_nic = "VirtualVmxnet3"
    elif modern and "VirtualE1000e" in nics:
        best_nic = "VirtualE1000e"
    efi = guest.wide and hardware.number >= 8
    return vim25.GuestOsDescriptor(
        id=guest.id,
        family=guest.family,
        fullName=guest.name,
        supportedMaxCPUs=min(hardware.cpus, threads),
        supportedMinMemMB=4,
        supportedMaxMemMB=memory,
        recommendedMemMB=min(memory, 4096 if windows and modern else 2048 if modern else 256),
        recommendedColorDepth=24,
        supportedDiskControllerList=[
            *scsi,
            "VirtualIDEController",
            *_named(_OTHER_CONTROLLERS, hardware),
        ],
        recommendedSCSIController=best_scsi,
        recommendedDiskController=best_scsi,
        supportedNumDisks=16,
        recommendedDiskSizeMB=40_960 if windows and modern else 16_384 if modern else 8192,
        recommendedCdromController="VirtualIDEController",
        supportedEthernetCard=nics,
        recommendedEthernetCard=best_nic,
        supportsSlaveDisk=True,
        smcRequired=guest.family == "darwinGuestFamily",
        supportsWakeOnLan=True,
        supportsVMI=False,
        supportsMemoryHotAdd=modern,
        supportsCpuHotAdd=modern,
        supportsCpuHotRemove=False,
        supportedFirmware=["bios", "efi"] if efi else ["bios"],
        recommendedFirmware="efi" if efi and hardware.number >= 13 and modern else "bios",
        supportLevel="supported" if modern or guest.family == "otherGuestFamily" else "legacy",
        supportedForCreate=True,
    )


def _config_option(browser: EnvironmentBrowser, hardware: Hardware, wanted: list[str]) -> Any:
    registry = browser.registry
    known = guests_of(min(registry.version, parse_version(hardware.since)))
    if wanted:
        known = [guest for guest in known if guest.id in wanted]
        if not known:
            raise invalid_argument("spec.guestId")
    threads = registry.one(HostSystem).shape.threads
    ids = [guest.id for guest in known]
    return vim25.VirtualMachineConfigOption(
        version=hardware.key,
        description=hardware.description,
        guestOSDescriptor=[_guest(guest, hardware, threads) for guest in known],
        guestOSDefaultIndex=ids.index("otherGuest") if "otherGuest" in ids else 0,
        hardwareOptions=_hardware_option(hardware, threads),
        capabilities=capability(),
        datastore=vim25.DatastoreOption(unsupportedVolumes=[]),
        defaultDevice=default_devices(),
        supportedMonitorType=["release", "debug", "stats"],
        supportedOvfEnvironmentTransport=["iso", "com.vmware.guestInfo"],
        supportedOvfInstallTransport=["iso"],
    )


@handles(EnvironmentBrowser, "QueryConfigOptionDescriptor")
def query_config_option_descriptor(browser: EnvironmentBrowser, call: Call) -> list[Any]:
    """Return the keys of the hardware versions, oldest first."""
    release = browser.registry.release
    return [
        vim25.VirtualMachineConfigOptionDescriptor(
            key=hardware.key,
            description=hardware.description,
            host=[browser.registry.one(HostSystem).ref],
            createSupported=True,
            defaultConfigOption=hardware.key == release.hardware,
            runSupported=True,
            upgradeSupported=True,
        )
        for hardware in hardware_of(release).values()
    ]


def _require_host(browser: EnvironmentBrowser, host: Any) -> None:
    """Raise `ManagedObjectNotFound` for a host that is not this one."""
    if host is not None:
        browser.registry.find(host)


@handles(EnvironmentBrowser, "QueryConfigOption")
def query_config_option(browser: EnvironmentBrowser, call: Call) -> Any:
    """Return the options of a hardware version, by default the newest."""
    _require_host(browser, call.get("host"))
    return _config_option(browser, browser.hardware(call.get("key")), [])


@handles(EnvironmentBrowser, "QueryConfigOptionEx")
def query_config_option_ex(browser: EnvironmentBrowser, call: Call) -> Any:
    """Return the same for the guest systems that are asked for."""
    spec = call.get("spec") or vim25.EnvironmentBrowserConfigOptionQuerySpec()
    _require_host(browser, spec.host)
    return _config_option(browser, browser.hardware(spec.key), spec.guestId)


@handles(EnvironmentBrowser, "QueryConfigTarget")
def query_config_target(browser: EnvironmentBrowser, call: Call) -> Any:
    """Return the targets of devices, such as datastores and networks, and the host's limits."""
    _require_host(browser, call.get("host"))
    registry = browser.registry
    shape = registry.one(HostSystem).shape
    networks = registry.one(NetworkSystem)
    return vim25.ConfigTarget(
        numCpus=shape.threads,
        numCpuCores=shape.cores,
        numNumaNodes=2,
        maxCpusPerHost=shape.threads,
        smcPresent=False,
        datastore=[_target(store) for store in registry.all(Datastore).values()],
        network=[
            vim25.VirtualMachineNetworkInfo(
                name=network.name,
                network=network.read("summary"),
                vswitch=networks.groups[network.name].switch,
            )
            for network in networks.networks.values()
        ],
        maxMemMBOptimalPerf=shape.memory >> 20,
        supportedMaxMemMB=hardware_of(registry.release)[registry.release.hardware].memory,
        resourcePool=root_pool(registry).read("runtime"),
        autoVmotion=False,
        sevSupported=False,
    )


@handles(EnvironmentBrowser, "QueryTargetCapabilities")
def query_target_capabilities(browser: EnvironmentBrowser, call: Call) -> Any:
    """Return the host's capabilities."""
    _require_host(browser, call.get("host"))
    return browser.registry.one(HostSystem).read("capability")


def _target(store: Datastore) -> Any:
    summary = store.read("summary")
    old = store.registry.release.vmfs < 5
    return vim25.VirtualMachineDatastoreInfo(
        name=store.name,
        datastore=summary,
        capability=store.read("capability"),
        maxFileSize=store.read("info").maxFileSize,
        maxVirtualDiskCapacity=(_LARGEST_OLD_DISK if old else _LARGEST_DISK) << 10,
        mode="readWrite",
        vStorageSupport="vStorageUnsupported",
    )
