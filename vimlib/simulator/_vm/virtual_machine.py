"""A virtual machine: its state, and the properties that a host shows of it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from vimlib import vim25
from vimlib.model import wire_fields
from vimlib.simulator._core.objects import Entity, SimObject, prop
from vimlib.simulator._host.folders import Datacenter
from vimlib.simulator._host.host_system import HostSystem
from vimlib.simulator._host.network import NetworkSystem
from vimlib.simulator._storage.datastore import by_name
from vimlib.simulator._vm.shown import disabled_methods, nic_runtime, shown_config

if TYPE_CHECKING:
    from datetime import datetime

    from vimlib.simulator._core.registry import Registry
    from vimlib.simulator._host.resources import ResourcePool
    from vimlib.simulator._storage.datastore import Datastore


@dataclass
class Guest:
    """The guest, as the host sees it."""

    tools_installed: bool = False
    tools_running: bool = False
    host_name: str | None = None
    ip_address: str | None = None


class Snapshot(SimObject):
    """One snapshot of a machine."""

    kind = "VirtualMachineSnapshot"

    def __init__(
        self,
        machine: VirtualMachine,
        number: int,
        name: str,
        description: str,
        *,
        power: str,
        quiesced: bool,
        parent: Snapshot | None,
    ) -> None:
        self.machine = machine
        self.number = number
        self.name = name
        self.description = description
        self.power = power
        """Power state to which a revert goes back."""
        self.quiesced = quiesced
        self.parent = parent
        self.children: list[Snapshot] = []
        self.created: datetime = machine.registry.clock.now()
        self.config = machine.config
        """The configuration when it was taken."""
        super().__init__(machine.registry, f"{machine.moid}-snapshot-{number}")

    def tree(self) -> Any:
        """Return the snapshot with its children as data."""
        return vim25.VirtualMachineSnapshotTree(
            snapshot=self.ref,
            vm=self.machine.ref,
            name=self.name,
            description=self.description,
            id=self.number,
            createTime=self.created,
            state=self.power,
            quiesced=self.quiesced,
            childSnapshotList=[child.tree() for child in self.children],
            replaySupported=False,
        )

    @prop("config")
    def _config(self) -> Any:
        return self.config

    @prop("childSnapshot")
    def _children(self) -> list[Any]:
        return [child.ref for child in self.children]

    @prop("vm")
    def _machine(self) -> Any:
        return self.machine.ref


class VirtualMachine(Entity):
    """One machine."""

    kind = "VirtualMachine"

    def __init__(
        self, registry: Registry, moid: str, config: Any, store: Datastore, pool: ResourcePool
    ) -> None:
        self.config = config
        """`VirtualMachineConfigInfo`; replaced as a whole when it changes."""
        self.store = store
        """Where its configuration file is."""
        self.pool = pool
        self.power = "poweredOff"
        self.connection = "connected"
        self.guest = Guest()
        self.scripted: Any = None
        """Its files and programs, once something asks for them; see `_guest`."""
        self.tools_mounted = False
        """Whether the installer of VMware Tools is in the CD-ROM drive."""
        self.typed: list[Any] = []
        """Keys that were typed on its console, `UsbScanCodeSpecKeyEvent`, oldest first."""
        self.question: Any = None
        """The pending question, `VirtualMachineQuestionInfo`."""
        self.answers: list[str] = []
        """The answers that it was given."""
        self.answered = asyncio.Event()
        self.booted: datetime | None = None
        self.suspended: datetime | None = None
        self.snapshots: list[Snapshot] = []
        """The roots of the snapshot tree."""
        self.current: Snapshot | None = None
        self.last_snapshot_id = 0
        self.consolidation_needed = False
        self.committed = 0
        """Bytes of its files when they were last looked at."""
        super().__init__(registry, moid, config.name, registry.one(Datacenter).vm)
        registry.one(Datacenter).vm.add(self)
        pool.machines[self] = None
        pool.changed("vm")

    @property
    def vmx(self) -> str:
        """Path of its configuration file in its datastore."""
        path: str = self.config.files.vmPathName
        return path.partition("]")[2].strip()

    @property
    def folder(self) -> str:
        """Path of its folder in its datastore."""
        return self.vmx.rpartition("/")[0]

    def set_config(self, config: Any) -> None:
        """Replace the configuration."""
        self.config = config
        renamed = config.name != self.name
        self.name = config.name
        self.changed(
            "config", "summary", "name", "layout", "layoutEx", "datastore", "network", "guest"
        )
        if renamed:
            self.pool.changed()

    def set_power(self, state: str) -> None:
        """Set the power state and the properties that depend on it."""
        self.power = state
        now = self.registry.clock.now()
        self.booted = (self.booted or now) if state == "poweredOn" else None
        self.suspended = now if state == "suspended" else None
        if state != "poweredOn":
            self.guest.tools_running = self.tools_mounted = False
        self.changed(
            "runtime", "summary", "guest", "guestHeartbeatStatus", "config", "disabledMethod"
        )
        self.registry.one(NetworkSystem).changed("networkInfo")

    def devices(self, base: Any) -> list[Any]:
        """Return its devices of a class."""
        return [device for device in self.config.hardware.device if isinstance(device, base)]

    def disks(self) -> list[Any]:
        """Return its disks."""
        return self.devices(vim25.VirtualDisk)

    def nics(self) -> list[Any]:
        """Return its network adapters."""
        return self.devices(vim25.VirtualEthernetCard)

    def network_of(self, nic: Any) -> str | None:
        """Return the name of the network of an adapter."""
        return getattr(nic.backing, "deviceName", None)

    def network_names(self) -> set[str]:
        """Return the names of its networks."""
        return {name for nic in self.nics() if (name := self.network_of(nic))}

    def disk_files(self) -> list[tuple[Datastore, str]]:
        """Return datastore and path of each disk's descriptor, those of parents too."""
        found = []
        for disk in self.disks():
            backing = disk.backing
            while backing is not None and getattr(backing, "fileName", None):
                name, _, path = backing.fileName[1:].partition("]")
                store = by_name(self.registry).get(name)
                if store is not None:
                    found.append((store, path.strip()))
                backing = getattr(backing, "parent", None)
        return found

    def written_files(self) -> list[tuple[Datastore, str]]:
        """Return datastore and path of the disks that it writes to: parents are only read."""
        tops = {disk.backing.fileName for disk in self.disks()}
        return [(store, path) for store, path in self.disk_files() if store.shown(path) in tops]

    def stores(self) -> list[Datastore]:
        """Return the datastores that it has files on."""
        found = {self.store: None}
        for store, _ in self.disk_files():
            found[store] = None
        return list(found)

    def remove(self) -> None:
        """Remove it from the inventory; its files stay."""
        self.pool.machines.pop(self, None)
        for snapshot in self.all_snapshots():
            snapshot.remove()
        super().remove()
        self.registry.one(Datacenter).vm.drop(self)
        self.pool.changed("vm")
        self.registry.one(HostSystem).changed("vm")
        for network in self.registry.one(NetworkSystem).networks.values():
            network.changed("vm")
        for store in self.stores():
            store.changed("vm")

    def all_snapshots(self) -> list[Snapshot]:
        """Return all snapshots of the tree, parents first."""
        found: list[Snapshot] = []
        todo = list(self.snapshots)
        while todo:
            snapshot = todo.pop(0)
            found.append(snapshot)
            todo.extend(snapshot.children)
        return found

    # Properties

    @prop("config")
    def _config(self) -> Any:
        return shown_config(self.config, self.stores(), running=self.power == "poweredOn")

    @prop("runtime")
    def _runtime(self) -> Any:
        hardware = self.config.hardware
        on = self.power == "poweredOn"
        return vim25.VirtualMachineRuntimeInfo(
            device=nic_runtime(self.nics()) if on else [],
            host=self.registry.one(HostSystem).ref,
            connectionState=self.connection,
            powerState=self.power,
            faultToleranceState="notConfigured",
            toolsInstallerMounted=self.tools_mounted,
            suspendTime=self.suspended,
            bootTime=self.booted,
            suspendInterval=0,
            question=self.question,
            memoryOverhead=(30 + hardware.memoryMB // 100) << 20,
            maxCpuUsage=hardware.numCPU * self.registry.one(HostSystem).shape.mhz,
            maxMemoryUsage=hardware.memoryMB,
            numMksConnections=0,
            recordReplayState="inactive",
            cleanPowerOff=True if self.power == "poweredOff" else None,
            onlineStandby=False,
            consolidationNeeded=self.consolidation_needed,
            vFlashCacheAllocation=0,
            paused=False,
            snapshotInBackground=False,
            quiescedForkParent=False,
            instantCloneFrozen=False,
            cryptoState="incapable",
            suspendedToMemory=False,
            opNotificationTimeout=0,
            iommuActive=False,
        )

    @prop("guest")
    def _guest(self) -> Any:
        guest = self.guest
        running = guest.tools_running and self.power == "poweredOn"
        nets = []
        if running and guest.ip_address:
            nets = [
                vim25.GuestNicInfo(
                    network=self.network_of(nic),
                    ipAddress=[guest.ip_address] if number == 0 else [],
                    macAddress=nic.macAddress,
                    connected=True,
                    deviceConfigId=nic.key,
                )
                for number, nic in enumerate(self.nics())
            ]
        return vim25.GuestInfo(
            toolsStatus=self._tools_status(running),
            toolsVersionStatus="guestToolsCurrent"
            if guest.tools_installed
            else "guestToolsNotInstalled",
            toolsVersionStatus2="guestToolsCurrent"
            if guest.tools_installed
            else "guestToolsNotInstalled",
            toolsRunningStatus="guestToolsRunning" if running else "guestToolsNotRunning",
            toolsVersion="12352" if guest.tools_installed else "0",
            hostName=guest.host_name if running else None,
            ipAddress=guest.ip_address if running else None,
            guestState="running" if running else "notRunning",
            net=nets,
            guestOperationsReady=running,
            interactiveGuestOperationsReady=False,
        )

    def _tools_status(self, running: bool) -> str:
        if not self.guest.tools_installed:
            return "toolsNotInstalled"
        return "toolsOk" if running else "toolsNotRunning"

    @prop("guestHeartbeatStatus")
    def _heartbeat(self) -> str:
        return "green" if self.guest.tools_running and self.power == "poweredOn" else "gray"

    @prop("summary")
    def _summary(self) -> Any:
        config = self.config
        guest = self.read("guest")
        on = self.power == "poweredOn"
        uptime = (
            int((self.registry.clock.now() - self.booted).total_seconds())
            if on and self.booted
            else 0
        )
        return vim25.VirtualMachineSummary(
            vm=self.ref,
            runtime=self.read("runtime"),
            guest=vim25.VirtualMachineGuestSummary(
                toolsStatus=guest.toolsStatus,
                toolsVersionStatus=guest.toolsVersionStatus,
                toolsVersionStatus2=guest.toolsVersionStatus2,
                toolsRunningStatus=guest.toolsRunningStatus,
                hostName=guest.hostName,
                ipAddress=guest.ipAddress,
            ),
            config=vim25.VirtualMachineConfigSummary(
                name=config.name,
                template=config.template,
                vmPathName=config.files.vmPathName,
                memorySizeMB=config.hardware.memoryMB,
                cpuReservation=config.cpuAllocation.reservation,
                memoryReservation=config.memoryAllocation.reservation,
                numCpu=config.hardware.numCPU,
                numEthernetCards=len(self.nics()),
                numVirtualDisks=len(self.disks()),
                uuid=config.uuid,
                instanceUuid=config.instanceUuid,
                guestId=config.guestId,
                guestFullName=config.guestFullName,
                annotation=config.annotation,
                managedBy=config.managedBy,
                installBootRequired=False,
            ),
            storage=self._storage_summary(),
            quickStats=vim25.VirtualMachineQuickStats(
                overallCpuUsage=20 if on else 0,
                overallCpuDemand=20 if on else 0,
                guestMemoryUsage=config.hardware.memoryMB // 10 if on else 0,
                hostMemoryUsage=config.hardware.memoryMB // 4 if on else 0,
                guestHeartbeatStatus=self.read("guestHeartbeatStatus"),
                distributedCpuEntitlement=0,
                distributedMemoryEntitlement=0,
                staticCpuEntitlement=0,
                staticMemoryEntitlement=0,
                grantedMemory=config.hardware.memoryMB if on else 0,
                privateMemory=config.hardware.memoryMB // 4 if on else 0,
                sharedMemory=0,
                swappedMemory=0,
                balloonedMemory=0,
                consumedOverheadMemory=30 if on else 0,
                ftLogBandwidth=-1,
                ftSecondaryLatency=-1,
                ftLatencyStatus="gray",
                compressedMemory=0,
                ssdSwappedMemory=0,
                activeMemory=config.hardware.memoryMB // 10 if on else 0,
                uptimeSeconds=uptime,
            ),
            overallStatus="green",
        )

    def _storage_summary(self) -> Any:
        capacity = sum(disk.capacityInKB for disk in self.disks()) * 1024
        return vim25.VirtualMachineStorageSummary(
            committed=self.committed,
            uncommitted=max(capacity - self.committed, 0),
            unshared=self.committed,
            timestamp=self.config.modified,
        )

    @prop("storage")
    def _storage(self) -> Any:
        summary = self._storage_summary()
        return vim25.VirtualMachineStorageInfo(
            perDatastoreUsage=[
                vim25.VirtualMachineUsageOnDatastore(
                    datastore=self.store.ref,
                    committed=summary.committed,
                    uncommitted=summary.uncommitted,
                    unshared=summary.unshared,
                )
            ],
            timestamp=summary.timestamp,
        )

    @prop("layout")
    def _layout(self) -> Any:
        return vim25.VirtualMachineFileLayout(
            configFile=[self.vmx.rpartition("/")[2]],
            logFile=["vmware.log"],
            disk=[
                vim25.VirtualMachineFileLayoutDiskLayout(
                    key=disk.key, diskFile=[disk.backing.fileName]
                )
                for disk in self.disks()
                if getattr(disk.backing, "fileName", None)
            ],
        )

    @prop("layoutEx")
    def _layout_ex(self) -> Any:
        files: list[Any] = []

        def add(name: str, kind: str, size: int = 0) -> int:
            files.append(
                vim25.VirtualMachineFileLayoutExFileInfo(
                    key=len(files),
                    name=name,
                    type=kind,
                    size=size,
                    uniqueSize=size,
                    accessible=True,
                )
            )
            return len(files) - 1

        add(self.config.files.vmPathName, "config", 2048)
        disks = []
        for disk in self.disks():
            chain: list[Any] = []
            backing = disk.backing
            while backing is not None and getattr(backing, "fileName", None):
                name = backing.fileName
                keys = [
                    add(name, "diskDescriptor", 512),
                    add(
                        name.removesuffix(".vmdk") + "-flat.vmdk",
                        "diskExtent",
                        disk.capacityInKB * 1024,
                    ),
                ]
                chain.insert(0, vim25.VirtualMachineFileLayoutExDiskUnit(fileKey=keys))
                backing = getattr(backing, "parent", None)
            disks.append(vim25.VirtualMachineFileLayoutExDiskLayout(key=disk.key, chain=chain))
        return vim25.VirtualMachineFileLayoutEx(
            file=files, disk=disks, timestamp=self.config.modified
        )

    @prop("disabledMethod")
    def _disabled(self) -> list[str]:
        return disabled_methods(
            self.power, tools=self.guest.tools_running, snapshots=bool(self.snapshots)
        )

    @prop("resourcePool")
    def _pool(self) -> Any:
        return self.pool.ref

    @prop("environmentBrowser")
    def _environment(self) -> Any:
        return self.registry.one("EnvironmentBrowser").ref

    @prop("resourceConfig")
    def _resource_config(self) -> Any:
        config = self.config
        return vim25.ResourceConfigSpec(
            entity=self.ref,
            cpuAllocation=config.cpuAllocation,
            memoryAllocation=config.memoryAllocation,
        )

    @prop("datastore")
    def _datastore(self) -> list[Any]:
        return [store.ref for store in self.stores()]

    @prop("network")
    def _network(self) -> list[Any]:
        known = self.registry.one(NetworkSystem).networks
        return [known[name].ref for name in sorted(self.network_names()) if name in known]

    @prop("snapshot")
    def _snapshot(self) -> Any:
        if not self.snapshots:
            return None
        return vim25.VirtualMachineSnapshotInfo(
            currentSnapshot=self.current.ref if self.current else None,
            rootSnapshotList=[snapshot.tree() for snapshot in self.snapshots],
        )

    @prop("rootSnapshot")
    def _roots(self) -> list[Any]:
        return [snapshot.ref for snapshot in self.snapshots]

    @prop("capability")
    def _capability(self) -> Any:
        return capability()


@lru_cache(maxsize=1)
def capability() -> Any:
    """Return the capability of a machine: all flags, except those that need hardware."""
    absent = {
        "vmNpivWwnSupported",
        "npivWwnOnNonRdmVmSupported",
        "recordReplaySupported",
        "s1AcpiManagementSupported",
        "vmNpivWwnDisableSupported",
        "vmNpivWwnUpdateSupported",
        "nestedHVSupported",
        "vPMCSupported",
        "sevSupported",
        "sevSnpSupported",
        "tdxSupported",
        "pmemFailoverSupported",
        "hostBasedReplicationSupported",
        "requireSgxAttestationSupported",
        "suspendToMemorySupported",
        "virtualMmuUsageIgnored",
        "virtualExecUsageIgnored",
    }
    fields = {
        field.attribute: field.name not in absent
        for field in wire_fields(vim25.VirtualMachineCapability)
        if field.type == "boolean"
    }
    return vim25.VirtualMachineCapability(**fields)
