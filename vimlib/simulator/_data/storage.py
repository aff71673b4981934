"""Storage devices: adapters, disks, paths and the plug-ins that claim them.

A host has a disk for each VMFS datastore, on one SCSI adapter, and an empty CD-ROM drive on an IDE
adapter. Names and keys are those of ESX 4.1 and ESXi 6.5: a device without an identifier of its own is
`mpx.vmhba0:C0:T0:L0`, its uuid has that name's path in hexadecimal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from vimlib import vim25
from vimlib.simulator._data.hardware import pci_id

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vimlib.simulator._core.versions import Release

_HBA: Final = "key-vim.host.ParallelScsiHba-vmhba0"
_IDE: Final = "key-vim.host.BlockHba-vmhba1"
_TOPOLOGY: Final = "key-vim.host.ScsiTopology."
_MULTIPATH: Final = "key-vim.host.MultipathInfo."
_PLUG: Final = "key-vim.host.PlugStoreTopology."
_BLOCK: Final = 512


class Lun(NamedTuple):
    """A SCSI device: a disk with a size in bytes, or the CD-ROM drive."""

    hba: str
    target: int
    size: int | None

    @property
    def disk(self) -> bool:
        """Whether it is a disk."""
        return self.size is not None

    @property
    def name(self) -> str:
        """Its canonical name."""
        return f"mpx.{self.hba}:C0:T{self.target}:L0"

    @property
    def uuid(self) -> str:
        """Its uuid, which is its vml name short of `vml.`."""
        kind = "00" if self.disk else "05"
        return f"00{kind}000000{f'{self.hba}:{self.target}:0'.encode().hex()}"

    @property
    def key(self) -> str:
        """Its key."""
        return f"key-vim.host.{'ScsiDisk' if self.disk else 'ScsiLun'}-{self.uuid}"

    @property
    def adapter(self) -> str:
        """Key of its adapter."""
        return _HBA if self.disk else _IDE

    @property
    def transport(self) -> Any:
        """How its adapter reaches it."""
        if self.disk:
            return vim25.HostParallelScsiTargetTransport()
        return vim25.HostBlockAdapterTargetTransport()

    def path(self, release: Release) -> str:
        """Return the name of its one path: longer before 5.0 (ESX 4.1, ESXi 6.5)."""
        short = f"{self.hba}:C0:T{self.target}:L0"
        if release.numbers >= (5,):
            return short
        bus = "pscsi" if self.disk else "ide"
        return f"{bus}.{self.hba}-{bus}.0:{self.target}-{self.name}"


def luns(sizes: Mapping[int, int]) -> list[Lun]:
    """Return the devices of a host with disks of these bytes by number."""
    return [
        Lun("vmhba1", 0, None),
        *(Lun("vmhba0", number, size) for number, size in sizes.items()),
    ]


def disk_name(number: int) -> str:
    """Return the canonical name of a disk."""
    return Lun("vmhba0", number, 0).name


def _adapters(release: Release) -> list[Any]:
    modern = release.numbers >= (7,)
    return [
        vim25.HostParallelScsiHba(
            key=_HBA,
            device="vmhba0",
            bus=3,
            status="unknown",
            model="PVSCSI SCSI Controller",
            driver="pvscsi",
            pci=pci_id(release, "03:00.0"),
            storageProtocol="scsi",
        ),
        vim25.HostBlockHba(
            key=_IDE,
            device="vmhba1",
            bus=0,
            status="unknown",
            model="PIIX4 for 430TX/440BX/MX IDE Controller",
            driver="vmkata" if modern else "ata_piix",
            pci=pci_id(release, "00:07.1"),
            storageProtocol="scsi",
        ),
    ]


def _bytes(data: bytes) -> list[int]:
    """Return bytes as the API's signed ones."""
    return [value - 256 if value > 127 else value for value in data]


def _device(release: Release, lun: Lun) -> Any:
    vendor, model = ("VMware", "Virtual disk") if lun.disk else ("NECVMWar", "VMware IDE CDR00")
    kind = "disk" if lun.disk else "cdrom"
    inquiry = bytes([0 if lun.disk else 5, 0 if lun.disk else 128, 2, 2, 31, 0, 0, 114])
    inquiry += f"{vendor:<8}{model:<16}1.0 ".encode()
    common: dict[str, Any] = {
        "deviceName": f"/vmfs/devices/{'disks' if lun.disk else 'cdrom'}/{lun.name}",
        "deviceType": kind,
        "key": lun.key,
        "uuid": lun.uuid,
        "descriptor": [
            vim25.ScsiLunDescriptor(quality="lowQuality", id=name)
            for name in (lun.name, f"vml.{lun.uuid}", lun.uuid)
        ],
        "canonicalName": lun.name,
        "displayName": f"Local {vendor} {'Disk' if lun.disk else 'CD-ROM'} ({lun.name})",
        "lunType": kind,
        "vendor": f"{vendor:<8}",
        "model": f"{model:<16}",
        "revision": "1.0 ",
        "scsiLevel": 2 if lun.disk else 5,
        "serialNumber": "unavailable",
        "durableName": vim25.ScsiLunDurableName(
            namespace="SERIALNUM", namespaceId=4, data=_bytes(lun.name.encode())
        )
        if release.numbers < (5,)
        else None,
        "alternateName": [
            vim25.ScsiLunDurableName(namespace="GENERIC_VPD", namespaceId=5, data=_bytes(data))
            for data in (b"\0\0\0\x04\0\x83\xb0\xb1", b"\0\x83\0\0")
        ],
        "standardInquiry": _bytes(inquiry),
        "queueDepth": 1024 if lun.disk and release.numbers >= (5,) else None,
        "operationalState": ["ok"],
        "capabilities": vim25.ScsiLunCapabilities(updateDisplayNameSupported=False),
        "vStorageSupport": "vStorageUnknown" if release.numbers < (5,) else "vStorageUnsupported",
        "protocolEndpoint": False,
        "perenniallyReserved": False,
        "clusteredVmdkSupported": False,
        "applicationProtocol": "SCSI",
        "dispersedNs": False,
    }
    if lun.size is None:
        return vim25.ScsiLun(**common)
    return vim25.HostScsiDisk(
        **common,
        capacity=vim25.HostDiskDimensionsLba(blockSize=_BLOCK, block=lun.size // _BLOCK),
        devicePath=f"/vmfs/devices/disks/{lun.name}",
        ssd=True,
        localDisk=True,
        emulatedDIXDIFEnabled=False,
        scsiDiskType="native512",
        usedByMemoryTiering=False,
    )


def _scsi_topology(found: Sequence[Lun]) -> Any:
    return vim25.HostScsiTopology(
        adapter=[
            vim25.HostScsiTopologyInterface(
                key=f"{_TOPOLOGY}Interface-{adapter.rpartition('-')[2]}",
                adapter=adapter,
                target=[
                    vim25.HostScsiTopologyTarget(
                        key=f"{_TOPOLOGY}Target-{lun.hba}:0:{lun.target}",
                        target=lun.target,
                        lun=[
                            vim25.HostScsiTopologyLun(
                                key=f"{_TOPOLOGY}Lun-{lun.uuid}", lun=0, scsiLun=lun.key
                            )
                        ],
                        transport=lun.transport,
                    )
                    for lun in found
                    if lun.adapter == adapter
                ],
            )
            for adapter in (_HBA, _IDE)
        ]
    )


def _multipath(release: Release, found: Sequence[Lun]) -> Any:
    return vim25.HostMultipathInfo(
        lun=[
            vim25.HostMultipathInfoLogicalUnit(
                key=f"{_MULTIPATH}LogicalUnit-{lun.uuid}",
                id=lun.uuid,
                lun=lun.key,
                path=[
                    vim25.HostMultipathInfoPath(
                        key=f"{_MULTIPATH}Path-{lun.path(release)}",
                        name=lun.path(release),
                        pathState="active",
                        state="active",
                        isWorkingPath=True,
                        adapter=lun.adapter,
                        lun=f"{_MULTIPATH}LogicalUnit-{lun.uuid}",
                        transport=lun.transport,
                    )
                ],
                policy=vim25.HostMultipathInfoFixedLogicalUnitPolicy(
                    policy="VMW_PSP_FIXED", prefer=lun.path(release)
                ),
                storageArrayTypePolicy=vim25.HostMultipathInfoLogicalUnitStorageArrayTypePolicy(
                    policy="VMW_SATP_LOCAL"
                ),
            )
            for lun in found
        ]
    )


def _plug_store(release: Release, found: Sequence[Lun]) -> Any:
    def path(lun: Lun) -> str:
        return f"{_PLUG}Path-{lun.path(release)}"

    def target(lun: Lun) -> str:
        return f"{_PLUG}Target-{'pscsi' if lun.disk else 'ide'}.0:{lun.target}"

    return vim25.HostPlugStoreTopology(
        adapter=[
            vim25.HostPlugStoreTopologyAdapter(
                key=f"{_PLUG}Adapter-{adapter.rpartition('-')[2]}",
                adapter=adapter,
                path=[path(lun) for lun in found if lun.adapter == adapter],
            )
            for adapter in (_HBA, _IDE)
        ],
        path=[
            vim25.HostPlugStoreTopologyPath(
                key=path(lun),
                name=lun.path(release),
                channelNumber=0,
                targetNumber=lun.target,
                lunNumber=0,
                adapter=f"{_PLUG}Adapter-{lun.hba}",
                target=target(lun),
                device=f"{_PLUG}Device-{lun.uuid}",
            )
            for lun in found
        ],
        target=[
            vim25.HostPlugStoreTopologyTarget(key=target(lun), transport=lun.transport)
            for lun in found
        ],
        device=[
            vim25.HostPlugStoreTopologyDevice(
                key=f"{_PLUG}Device-{lun.uuid}", lun=lun.key, path=[path(lun)]
            )
            for lun in found
        ],
        plugin=[
            vim25.HostPlugStoreTopologyPlugin(
                key=f"{_PLUG}Plugin-NMP",
                name="NMP",
                device=[f"{_PLUG}Device-{lun.uuid}" for lun in found],
                claimedPath=[path(lun) for lun in found],
            )
        ],
    )


def storage_device(release: Release, sizes: Mapping[int, int], *, iscsi: bool = False) -> Any:
    """Return the storage devices of a host with disks of these bytes by number."""
    found = luns(sizes)
    return vim25.HostStorageDeviceInfo(
        hostBusAdapter=_adapters(release),
        scsiLun=[_device(release, lun) for lun in found],
        scsiTopology=_scsi_topology(found),
        multipathInfo=_multipath(release, found),
        plugStoreTopology=_plug_store(release, found),
        softwareInternetScsiEnabled=iscsi,
    )


def multipath_state(release: Release, sizes: Mapping[int, int]) -> Any:
    """Return the state of each path."""
    return vim25.HostMultipathStateInfo(
        path=[
            vim25.HostMultipathStateInfoPath(name=lun.path(release), pathState="active")
            for lun in luns(sizes)
        ]
    )


def diagnostic_partition(release: Release) -> Any:
    """Return the partition for a dump of the kernel: the number of ESX 4.1 and of ESXi 6.5."""
    old = release.numbers < (5,)
    return vim25.HostDiagnosticPartition(
        storageType="directAttached",
        diagnosticType="singleHost",
        slots=1 if old else -15,
        id=vim25.HostScsiDiskPartition(diskName=disk_name(0), partition=2 if old else 9),
    )
