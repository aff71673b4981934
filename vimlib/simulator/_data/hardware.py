"""Hardware: the machine, its processors, memory nodes and PCI devices.

Forms are those of ESX 4.1 and ESXi 6.5; the machine itself is ours, so that nothing depends on one that was
recorded. Its PCI devices are those of a virtual machine, as those of ESXi 6.5 are.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from vimlib import vim25

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vimlib.simulator._core.versions import Release


@dataclass(frozen=True)
class HostShape:
    """The size of the host."""

    cores: int = 16
    threads: int = 32
    mhz: int = 2600
    memory: int = 128 << 30
    """Bytes."""
    vendor: str = "VMware, Inc."
    model: str = "Simulated Host"
    cpu: str = "Simulated CPU @ 2.60GHz"
    packages: int = 2


# CPUID of a Xeon E5-2600 v3: level, then eax, ebx, ecx, edx. Hosts list these levels for each package
# (ESX 4.1, ESXi 8.0); libvirt connects to no host without them.
_CPUID: Final = (
    (0x00000000, 0x0000000F, 0x756E6547, 0x6C65746E, 0x49656E69),
    (0x00000001, 0x000306F2, 0x00100800, 0x7FFEFBFF, 0xBFEBFBFF),
    (0x80000000, 0x80000008, 0x00000000, 0x00000000, 0x00000000),
    (0x80000001, 0x00000000, 0x00000000, 0x00000021, 0x2C100800),
    (0x80000008, 0x0000302E, 0x00000000, 0x00000000, 0x00000000),
)
# Id without the domain, class, vendor, subsystem vendor, device, subsystem device, name of the device.
_PCI: Final = """\
00:00.0 0600 8086 15ad 7190 1976 Virtual Machine Chipset
00:01.0 0604 8086 0000 7191 0000 440BX/ZX/DX - 82443BX/ZX/DX AGP bridge
00:07.0 0601 8086 15ad 7110 1976 Virtual Machine Chipset
00:07.1 0101 8086 15ad 7111 1976 PIIX4 for 430TX/440BX/MX IDE Controller
00:07.3 0680 8086 15ad 7113 1976 Virtual Machine Chipset
00:07.7 0880 15ad 15ad 0740 0740 Virtual Machine Communication Interface
00:0f.0 0300 15ad 15ad 0405 0405 SVGA II Adapter
00:11.0 0604 15ad 0000 0790 0000 PCI bridge
00:15.0 0604 15ad 0000 07a0 0000 PCI Express Root Port
03:00.0 0107 15ad 15ad 07c0 07c0 PVSCSI SCSI Controller
"""
_VENDORS: Final = {"8086": "Intel Corporation", "15ad": "VMware"}


def cpu_features() -> list[Any]:
    """Return the CPUID levels as hosts show them: a signed level, registers in groups of four bits."""

    def bits(register: int) -> str:
        text = f"{register:032b}"
        return ":".join(text[at : at + 4] for at in range(0, 32, 4))

    return [
        vim25.HostCpuIdInfo(
            level=level - (1 << 32) if level >> 31 else level,
            eax=bits(eax),
            ebx=bits(ebx),
            ecx=bits(ecx),
            edx=bits(edx),
        )
        for level, eax, ebx, ecx, edx in _CPUID
    ]


def _signed(text: str) -> int:
    """Return the 16 bits of a PCI id as the API's `short`, which is signed (ESXi 6.5: -32634 is 8086)."""
    value = int(text, 16)
    return value - (1 << 16) if value >> 15 else value


def pci_id(release: Release, short: str) -> str:
    """Return a PCI id as a host of `release` writes it: with its domain from 6.0 on (ESX 4.1, ESXi 6.5)."""
    return short if release.numbers < (6,) else f"0000:{short}"


def pci_devices(release: Release, nics: Sequence[str]) -> list[Any]:
    """Return the PCI devices; `nics` are the ids of the network adapters, each behind a root port."""
    rows = [line.split(" ", 6) for line in _PCI.splitlines()]
    rows += [[n.removeprefix("0000:"), "0200", "15ad", "15ad", "07b0", "07b0", "vmxnet3 Virtual Ethernet Controller"]
             for n in nics]  # fmt: skip
    found = []
    for short, kind, vendor, sub_vendor, device, sub_device, name in rows:
        bus, _, rest = short.partition(":")
        slot, _, function = rest.partition(".")
        found.append(
            vim25.HostPciDevice(
                id=pci_id(release, short),
                classId=_signed(kind),
                bus=int(bus, 16),
                slot=int(slot, 16),
                function=int(function),
                vendorId=_signed(vendor),
                subVendorId=_signed(sub_vendor),
                vendorName=_VENDORS[vendor],
                deviceId=_signed(device),
                subDeviceId=_signed(sub_device),
                parentBridge=pci_id(release, "00:15.0") if bus != "00" else None,
                deviceName=name,
            )
        )
    return found


def passthrough(release: Release, nics: Sequence[str]) -> list[Any]:
    """Return for each PCI device whether machines can own it: none can."""
    return [
        vim25.HostPciPassthruInfo(
            id=device.id,
            dependentDevice=device.id if release.numbers >= (5,) else "",
            passthruEnabled=False,
            passthruCapable=False,
            passthruActive=False,
        )
        for device in pci_devices(release, nics)
    ]


def identifying(uuid: str) -> list[Any]:
    """Return the tags of the machine (ESX 4.1, ESXi 6.5)."""
    tags = {
        "AssetTag": (" No Asset Tag", "Asset Tag", "Asset tag of the system"),
        "ServiceTag": (f"SIM-{uuid[:8]}", "Service tag", "Service tag of the system"),
    }
    return [
        vim25.HostSystemIdentificationInfo(
            identifierValue=value,
            identifierType=vim25.ElementDescription(label=label, summary=summary, key=key),
        )
        for key, (value, label, summary) in tags.items()
    ]


def _numa(shape: HostShape) -> Any:
    """Return a node for each package, its memory side by side."""
    per = shape.threads // shape.packages
    part = shape.memory // shape.packages
    return vim25.HostNumaInfo(
        type="NUMA",
        numNodes=shape.packages,
        numaNode=[
            vim25.HostNumaNode(
                typeId=number,
                cpuID=list(range((number + 1) * per - 1, number * per - 1, -1)),
                memoryRangeBegin=number * part,
                memoryRangeLength=part,
                pciId=[],
            )
            for number in range(shape.packages)
        ],
    )


def hardware_info(release: Release, shape: HostShape, uuid: str, nics: Sequence[str]) -> Any:
    """Return the hardware of a host."""
    per = shape.threads // shape.packages
    features = cpu_features()
    return vim25.HostHardwareInfo(
        systemInfo=vim25.HostSystemInfo(
            vendor=shape.vendor,
            model=shape.model,
            uuid=uuid,
            otherIdentifyingInfo=identifying(uuid),
            serialNumber=f"SIM-{uuid[:8]}",
        ),
        cpuPowerManagementInfo=vim25.HostCpuPowerManagementInfo(
            currentPolicy="Not supported" if release.numbers < (5,) else "Balanced",
            hardwareSupport="Not available" if release.numbers < (5,) else "",
        ),
        cpuInfo=vim25.HostCpuInfo(
            numCpuPackages=shape.packages,
            numCpuCores=shape.cores,
            numCpuThreads=shape.threads,
            hz=shape.mhz * 1_000_000,
        ),
        cpuPkg=[
            vim25.HostCpuPackage(
                index=number,
                vendor="intel",
                hz=shape.mhz * 1_000_000,
                busHz=100_000_000,
                description=shape.cpu,
                threadId=list(range(number * per, (number + 1) * per)),
                cpuFeature=features,
                family=6,
                model=63,
                stepping=2,
            )
            for number in range(shape.packages)
        ],
        memorySize=shape.memory,
        numaInfo=_numa(shape),
        smcPresent=False,
        pciDevice=pci_devices(release, nics),
        cpuFeature=features,
        biosInfo=vim25.HostBIOSInfo(
            biosVersion="1.0",
            releaseDate=datetime(2020, 7, 22, tzinfo=UTC),
            vendor=shape.vendor,
            majorRelease=4,
            minorRelease=6,
            firmwareMajorRelease=0,
            firmwareMinorRelease=0,
            firmwareType="BIOS",
        ),
        reliableMemoryInfo=vim25.HostReliableMemoryInfo(memorySize=0),
        persistentMemoryInfo=vim25.HostPersistentMemoryInfo(capacityInMB=0, volumeUUID=""),
        sgxInfo=vim25.HostSgxInfo(
            sgxState="notPresent", totalEpcMemory=0, flcMode="off", lePubKeyHash=""
        ),
        sevInfo=vim25.HostSevInfo(sevState="uninitialized", maxSevEsGuests=0),
        memoryTieringType="noTiering",
        memoryTierInfo=[
            vim25.HostMemoryTierInfo(
                name="DRAM", type="DRAM", flags=["memoryTier"], size=shape.memory
            )
        ],
    )
