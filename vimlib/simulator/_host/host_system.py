"""The host itself: hardware, runtime, configuration, maintenance."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from vimlib import vim25
from vimlib.model import wire_fields
from vimlib.simulator._core.handlers import handles
from vimlib.simulator._core.messages import invalid_state, with_message
from vimlib.simulator._core.objects import Entity, prop
from vimlib.simulator._host.network import NetworkSystem
from vimlib.simulator._service.service_instance import about
from vimlib.simulator._service.tasks import start_task

if TYPE_CHECKING:
    from vimlib.simulator._core.call import Call
    from vimlib.simulator._core.registry import Registry
    from vimlib.simulator._service.tasks import Task


_SUPPORTED = frozenset(
    {
        "recursiveResourcePoolsSupported",
        "cpuMemoryResourceConfigurationSupported",
        "rebootSupported",
        "shutdownSupported",
        "vlanTaggingSupported",
        "nicTeamingSupported",
        "highGuestMemSupported",
        "maintenanceModeSupported",
        "preAssignedPCIUnitNumbersSupported",
        "screenshotSupported",
    }
)


# CPUID of a Xeon E5-2600 v3: level, then eax, ebx, ecx, edx. Hosts list these levels for each package
# (recorded of an ESX 4.1 and an ESXi 8.0.3: resources/esx-4.1.0-1 of fusioninventory-agent,
# tests/fixtures/test_json_host_explode.yaml of pyVmomi); libvirt connects to no host without them.
_CPUID = (
    (0x00000000, 0x0000000F, 0x756E6547, 0x6C65746E, 0x49656E69),
    (0x00000001, 0x000306F2, 0x00100800, 0x7FFEFBFF, 0xBFEBFBFF),
    (0x80000000, 0x80000008, 0x00000000, 0x00000000, 0x00000000),
    (0x80000001, 0x00000000, 0x00000000, 0x00000021, 0x2C100800),
    (0x80000008, 0x0000302E, 0x00000000, 0x00000000, 0x00000000),
)


def _cpu_features() -> list[Any]:
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


@dataclass(frozen=True)
class HostShape:
    """The size of the host."""

    cores: int = 16
    threads: int = 32
    mhz: int = 2600
    memory: int = 128 << 30
    """Bytes."""
    model: str = "Simulated Host"


class HostSystem(Entity):
    """The host."""

    kind = "HostSystem"

    def __init__(self, registry: Registry, parent: Entity) -> None:
        self.shape = HostShape()
        self.maintenance = False
        self.booted = registry.clock.now() - timedelta(days=1)
        self.uuid = registry.new_uuid()
        super().__init__(registry, "ha-host", "localhost.localdomain", parent)

    @prop("runtime")
    def runtime(self) -> Any:
        """Return the runtime state."""
        return vim25.HostRuntimeInfo(
            connectionState="connected",
            powerState="poweredOn",
            standbyMode="none",
            inMaintenanceMode=self.maintenance,
            bootTime=self.booted,
        )

    @prop("summary", cached=False)
    def _summary(self) -> Any:
        shape = self.shape
        running = [
            m for m in self.registry.all("VirtualMachine").values() if m.power == "poweredOn"
        ]
        memory = sum(m.config.hardware.memoryMB for m in running)
        uptime = int((self.registry.clock.now() - self.booted).total_seconds())
        certificate = self.registry.certificate
        return vim25.HostListSummary(
            host=self.ref,
            hardware=vim25.HostHardwareSummary(
                vendor="VMware, Inc.",
                model=shape.model,
                uuid=self.uuid,
                memorySize=shape.memory,
                cpuModel="Simulated CPU @ 2.60GHz",
                cpuMhz=shape.mhz,
                numCpuPkgs=2,
                numCpuCores=shape.cores,
                numCpuThreads=shape.threads,
                numNics=len(self.registry.one(NetworkSystem).pnics),
                numHBAs=1,
            ),
            runtime=self.runtime(),
            config=vim25.HostConfigSummary(
                name=self.name,
                port=443,
                sslThumbprint=certificate.sha1 if certificate else None,
                product=about(self.registry),
                vmotionEnabled=False,
                faultToleranceEnabled=False,
            ),
            quickStats=vim25.HostListSummaryQuickStats(
                overallCpuUsage=50 + 20 * len(running),
                overallMemoryUsage=1024 + memory // 4,
                uptime=uptime,
            ),
            overallStatus="green",
            rebootRequired=False,
            managementServerIp=None,
        )

    @prop("hardware")
    def _hardware(self) -> Any:
        shape = self.shape
        per = shape.threads // 2
        return vim25.HostHardwareInfo(
            systemInfo=vim25.HostSystemInfo(
                vendor="VMware, Inc.", model=shape.model, uuid=self.uuid
            ),
            cpuInfo=vim25.HostCpuInfo(
                numCpuPackages=2,
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
                    description="Simulated CPU @ 2.60GHz",
                    threadId=list(range(number * per, (number + 1) * per)),
                    cpuFeature=_cpu_features(),
                )
                for number in range(2)
            ],
            memorySize=shape.memory,
            cpuFeature=_cpu_features(),
            biosInfo=vim25.HostBIOSInfo(biosVersion="1.0"),
        )

    @prop("config", cached=False)
    def _config(self) -> Any:
        return vim25.HostConfigInfo(
            host=self.ref,
            product=about(self.registry),
            network=self.registry.one(NetworkSystem).info(),
            fileSystemVolume=vim25.HostFileSystemVolumeInfo(
                volumeTypeList=["VMFS"],
                mountInfo=[store.mount() for store in self.registry.all("Datastore").values()],
            ),
            option=[],
        )

    @prop("capability")
    def _capability(self) -> Any:
        # The required flags, set for the simulated features. No shared storage, no other host.
        fields: dict[str, Any] = {
            field.attribute: field.name in _SUPPORTED
            for field in wire_fields(vim25.HostCapability)
            if field.type == "boolean" and field.required
        }
        return vim25.HostCapability(
            **fields,
            maxSupportedVcpus=self.shape.threads,
            storageVMotionSupported=False,
            cloneFromSnapshotSupported=False,
            recordReplaySupported=False,
            ftSupported=False,
            tpmSupported=False,
            supportedVmfsMajorVersion=[self.registry.release.vmfs],
        )

    @prop("configManager")
    def _managers(self) -> Any:
        registry = self.registry
        return vim25.HostConfigManager(
            networkSystem=registry.one(NetworkSystem).ref,
            datastoreSystem=registry.one("HostDatastoreSystem").ref,
            storageSystem=registry.one("HostStorageSystem").ref,
            advancedOption=registry.all("OptionManager")["ha-adv-options"].ref,
            licenseManager=registry.one("LicenseManager").ref,
        )

    @prop("vm", cached=False)
    def _machines(self) -> list[Any]:
        return [machine.ref for machine in self.registry.all("VirtualMachine").values()]

    @prop("datastore", cached=False)
    def _datastores(self) -> list[Any]:
        return [store.ref for store in self.registry.all("Datastore").values()]

    @prop("network", cached=False)
    def _networks(self) -> list[Any]:
        return [net.ref for net in self.registry.one(NetworkSystem).networks.values()]

    @prop("datastoreBrowser")
    def _browser(self) -> Any:
        return self.registry.one("HostDatastoreBrowser").ref

    def contents(self) -> list[Entity]:
        """Return the objects that a container view of the host shows."""
        return [
            *self.registry.all("VirtualMachine").values(),
            *self.registry.all("Datastore").values(),
            *self.registry.one(NetworkSystem).networks.values(),
        ]


@handles(HostSystem, "EnterMaintenanceMode_Task")
def enter_maintenance(host: HostSystem, call: Call) -> Any:
    """Enter maintenance mode once no machine runs, within the timeout."""

    async def work(task: Task) -> None:
        if host.maintenance:
            raise invalid_state()
        timeout = call.args["timeout"]
        clock = host.registry.clock
        end = clock.monotonic() + timeout if timeout > 0 else None
        while any(
            machine.power == "poweredOn" for machine in host.registry.all("VirtualMachine").values()
        ):
            if end is not None and clock.monotonic() >= end:
                raise with_message(vim25.Timedout(), "Operation timed out.")
            await clock.sleep(0.1)
        host.maintenance = True
        host.changed("runtime", "summary")

    return start_task(call, host, work, cancelable=True)


@handles(HostSystem, "ExitMaintenanceMode_Task")
def exit_maintenance(host: HostSystem, call: Call) -> Any:
    """Exit maintenance mode."""

    async def work(task: Task) -> None:
        if not host.maintenance:
            raise invalid_state()
        host.maintenance = False
        host.changed("runtime", "summary")

    return start_task(call, host, work)


@handles(HostSystem, "RetrieveHardwareUptime")
def uptime(host: HostSystem, call: Call) -> int:
    """Return the seconds since boot."""
    return int((host.registry.clock.now() - host.booted).total_seconds())
