"""The host itself: hardware, runtime, configuration, maintenance, reboot."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from vimlib import vim25
from vimlib.model import wire_fields
from vimlib.simulator._objects import Entity, prop, serves
from vimlib.simulator._tasks import start_task
from vimlib.simulator._world import say

if TYPE_CHECKING:
    from vimlib.simulator._call import Call
    from vimlib.simulator._inventory import ComputeResource
    from vimlib.simulator._tasks import Task
    from vimlib.simulator._world import World

__all__ = ["HostShape", "HostSystem", "about"]


def about(world: World) -> Any:
    """Return what the host says about itself."""
    release = world.release
    return vim25.AboutInfo(
        name=release.product,
        fullName=release.full_name,
        vendor="VMware, Inc.",
        version=release.version,
        build=release.build,
        localeVersion="INTL",
        localeBuild="000",
        osType="vmnix-x86",
        productLineId="esx" if release.product == "VMware ESX" else "embeddedEsx",
        apiType="HostAgent",
        apiVersion=release.api,
        licenseProductName="VMware ESX Server",
        licenseProductVersion=f"{release.licence}.0",
    )


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


@dataclass(frozen=True)
class HostShape:
    """How big the host is."""

    cores: int = 16
    threads: int = 32
    mhz: int = 2600
    memory: int = 128 << 30
    """Bytes."""
    model: str = "Simulated Host"


class HostSystem(Entity):
    """The host."""

    kind = "HostSystem"

    def __init__(self, world: World, parent: ComputeResource) -> None:
        self.shape = HostShape()
        self.maintenance = False
        self.booted = world.clock.now() - timedelta(days=1)
        self.uuid = world.new_uuid()
        super().__init__(world, "ha-host", "localhost.localdomain", parent)

    @prop("runtime")
    def runtime(self) -> Any:
        """Return what changes while it runs."""
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
        running = [m for m in self.world.machines.values() if m.power == "poweredOn"]
        memory = sum(m.config.hardware.memoryMB for m in running)
        uptime = int((self.world.clock.now() - self.booted).total_seconds())
        certificate = self.world.certificate
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
                numNics=len(self.world.networks.pnics),
                numHBAs=1,
            ),
            runtime=self.runtime(),
            config=vim25.HostConfigSummary(
                name=self.name,
                port=443,
                sslThumbprint=certificate.sha1 if certificate else None,
                product=about(self.world),
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
                )
                for number in range(2)
            ],
            memorySize=shape.memory,
            biosInfo=vim25.HostBIOSInfo(biosVersion="1.0"),
        )

    @prop("config", cached=False)
    def _config(self) -> Any:
        return vim25.HostConfigInfo(
            host=self.ref,
            product=about(self.world),
            network=self.world.networks.info(),
            fileSystemVolume=vim25.HostFileSystemVolumeInfo(
                volumeTypeList=["VMFS"],
                mountInfo=[store.mount() for store in self.world.datastores.values()],
            ),
            option=[],
        )

    @prop("capability")
    def _capability(self) -> Any:
        # Of what the API asks about every host: what is simulated. No shared storage, no other host.
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
            supportedVmfsMajorVersion=[self.world.release.vmfs],
        )

    @prop("configManager")
    def _managers(self) -> Any:
        find = self.world.objects
        return vim25.HostConfigManager(
            networkSystem=self.world.networks.ref,
            datastoreSystem=find["HostDatastoreSystem", "ha-datastoresystem"].ref,
            storageSystem=find["HostStorageSystem", "storageSystem"].ref,
            advancedOption=find["OptionManager", "ha-adv-options"].ref,
            licenseManager=find["LicenseManager", "ha-license-manager"].ref,
        )

    @prop("vm", cached=False)
    def _machines(self) -> list[Any]:
        return [machine.ref for machine in self.world.machines.values()]

    @prop("datastore", cached=False)
    def _datastores(self) -> list[Any]:
        return [store.ref for store in self.world.datastores.values()]

    @prop("network", cached=False)
    def _networks(self) -> list[Any]:
        return [net.ref for net in self.world.networks.networks.values()]

    @prop("datastoreBrowser")
    def _browser(self) -> Any:
        return self.world.objects["HostDatastoreBrowser", "ha-host-datastorebrowser"].ref

    def contents(self) -> list[Entity]:
        """Return what a container view of the host shows."""
        return [
            *self.world.machines.values(),
            *self.world.datastores.values(),
            *self.world.networks.networks.values(),
        ]


@serves(HostSystem, "EnterMaintenanceMode_Task")
def enter_maintenance(host: HostSystem, call: Call) -> Any:
    """Go into maintenance once no machine runs, within the timeout."""

    async def work(task: Task) -> None:
        if host.maintenance:
            raise say(vim25.InvalidState(), "The operation is not allowed in the current state.")
        timeout = call.args["timeout"]
        clock = host.world.clock
        end = clock.monotonic() + timeout if timeout > 0 else None
        while any(machine.power == "poweredOn" for machine in host.world.machines.values()):
            if end is not None and clock.monotonic() >= end:
                raise say(vim25.Timedout(), "Operation timed out.")
            await clock.sleep(0.1)
        host.maintenance = True
        host.changed("runtime", "summary")

    return start_task(call, host, work, cancelable=True)


@serves(HostSystem, "ExitMaintenanceMode_Task")
def exit_maintenance(host: HostSystem, call: Call) -> Any:
    """Come back from maintenance."""

    async def work(task: Task) -> None:
        if not host.maintenance:
            raise say(vim25.InvalidState(), "The operation is not allowed in the current state.")
        host.maintenance = False
        host.changed("runtime", "summary")

    return start_task(call, host, work)


@serves(HostSystem, "RebootHost_Task", "ShutdownHost_Task")
def reboot_host(host: HostSystem, call: Call) -> Any:
    """Reboot: in maintenance, or by force; machines lose power, sessions end."""
    shutdown = call.method.startswith("Shutdown")

    async def work(task: Task) -> None:
        if not host.maintenance and not call.args["force"]:
            raise say(vim25.InvalidState(), "The operation is not allowed in the current state.")
        host.world.spawn(host.world.reboot(shutdown=shutdown), "simulated reboot")

    return start_task(call, host, work)


@serves(HostSystem, "RetrieveHardwareUptime")
def uptime(host: HostSystem, call: Call) -> int:
    """Return the seconds since boot."""
    return int((host.world.clock.now() - host.booted).total_seconds())
