"""The host itself: hardware, runtime, configuration, maintenance."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from vimlib import vim25
from vimlib.simulator._core.handlers import handles
from vimlib.simulator._core.messages import invalid_state, with_message
from vimlib.simulator._core.objects import Entity, prop
from vimlib.simulator._data import config, hardware, storage
from vimlib.simulator._data.hardware import HostShape
from vimlib.simulator._data.resources import system_resources
from vimlib.simulator._host.managers import config_manager
from vimlib.simulator._host.network import NetworkSystem
from vimlib.simulator._service.service_instance import about
from vimlib.simulator._service.tasks import start_task

if TYPE_CHECKING:
    from vimlib.simulator._core.call import Call
    from vimlib.simulator._core.registry import Registry
    from vimlib.simulator._service.tasks import Task


class HostSystem(Entity):
    """The host."""

    kind = "HostSystem"

    def __init__(self, registry: Registry, parent: Entity) -> None:
        self.shape = HostShape()
        self.maintenance = False
        self.lockdown = "lockdownDisabled"
        """`HostLockdownMode`."""
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
            inQuarantineMode=False,
            bootTime=self.booted,
            healthSystemRuntime=self.registry.one("HostHealthStatusSystem").read("runtime"),
            vsanRuntimeInfo=vim25.VsanHostRuntimeInfo(accessGenNo=0),
            networkRuntimeInfo=self._network_runtime(),
            hostMaxVirtualDiskCapacity=62 << 40,
            cryptoState="incapable",
        )

    def _network_runtime(self) -> Any:
        return vim25.HostRuntimeInfoNetworkRuntimeInfo(
            netStackInstanceRuntimeInfo=[
                vim25.HostRuntimeInfoNetStackInstanceRuntimeInfo(
                    netStackInstanceKey="defaultTcpipStack",
                    state="active",
                    vmknicKeys=list(self.registry.one(NetworkSystem).vnics),
                    maxNumberOfConnections=11_000,
                    currentIpV6Enabled=True,
                )
            ]
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
                vendor=shape.vendor,
                model=shape.model,
                uuid=self.uuid,
                otherIdentifyingInfo=hardware.identifying(self.uuid),
                memorySize=shape.memory,
                cpuModel=shape.cpu,
                cpuMhz=shape.mhz,
                numCpuPkgs=shape.packages,
                numCpuCores=shape.cores,
                numCpuThreads=shape.threads,
                numNics=len(self.registry.one(NetworkSystem).pnics),
                numHBAs=2,
            ),
            runtime=self.read("runtime"),
            config=vim25.HostConfigSummary(
                name=self.name,
                port=902,  # so on the host itself, too (recorded of an ESX 4.1 and an ESXi 6.7)
                sslThumbprint=certificate.sha1 if certificate else None,
                product=about(self.registry),
                vmotionEnabled=False,
                faultToleranceEnabled=self.registry.release.classic,
                featureVersion=config.feature_versions(self.registry.release),
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
        return hardware.hardware_info(
            self.registry.release, self.shape, self.uuid, self._nic_places()
        )

    def _nic_places(self) -> list[str]:
        """Return the PCI ids of the physical adapters."""
        return [pnic.pci for pnic in self.registry.one(NetworkSystem).pnics]

    def passthrough(self) -> list[Any]:
        """Return for each PCI device whether a machine can own it."""
        return hardware.passthrough(self.registry.release, self._nic_places())

    def diagnostic_partition(self) -> Any:
        """Return the partition for dumps of the kernel."""
        return storage.diagnostic_partition(self.registry.release)

    def swap_caches(self) -> list[Any]:
        """Return how much of each datastore is a cache of swapped memory: nothing."""
        return [
            vim25.HostCacheConfigurationInfo(key=store.ref, swapSize=0)
            for store in self.registry.all("Datastore").values()
        ]

    @prop("systemResources")
    def _resources(self) -> Any:
        return system_resources(self.shape.cores * self.shape.mhz, self.shape.memory >> 20)

    @prop("licensableResource")
    def _licensable(self) -> Any:
        packages = vim25.KeyValue(key="numCpuPackages", value=str(self.shape.packages))
        return vim25.HostLicensableResourceInfo(
            resource=[vim25.KeyAnyValue(key="numCpuPackages", value=packages)]
        )

    @prop("config", cached=False)
    def _config(self) -> Any:
        """Return the configuration: what other objects show of it is read from them."""
        registry, release = self.registry, self.registry.release

        def part(kind: str, name: str) -> Any:
            found = registry.all(kind)
            return next(iter(found.values())).read(name) if found else None

        options = registry.all("OptionManager")["ha-adv-options"]
        return vim25.HostConfigInfo(
            host=self.ref,
            product=about(registry),
            deploymentInfo=vim25.HostDeploymentInfo(bootedFromStatelessCache=False),
            cpuScheduler=part("HostCpuSchedulerSystem", "cpuSchedulerInfo"),
            hyperThread=part("HostCpuSchedulerSystem", "hyperthreadInfo"),
            consoleReservation=part("HostMemorySystem", "consoleReservationInfo"),
            storageDevice=part("HostStorageSystem", "storageDeviceInfo"),
            multipathState=part("HostStorageSystem", "multipathStateInfo"),
            fileSystemVolume=part("HostStorageSystem", "fileSystemVolumeInfo"),
            systemFile=part("HostStorageSystem", "systemFile"),
            network=registry.one(NetworkSystem).info(),
            vmotion=vim25.HostVMotionInfo(netConfig=part("HostVMotionSystem", "netConfig")),
            virtualNicManagerInfo=part("HostVirtualNicManager", "info"),
            capabilities=part("HostNetworkSystem", "capabilities"),
            datastoreCapabilities=part("HostDatastoreSystem", "capabilities"),
            offloadCapabilities=part("HostNetworkSystem", "offloadCapabilities"),
            service=part("HostServiceSystem", "serviceInfo"),
            firewall=part("HostFirewallSystem", "firewallInfo"),
            autoStart=part("HostAutoStartManager", "config"),
            activeDiagnosticPartition=part("HostDiagnosticSystem", "activePartition"),
            option=options.read("setting"),
            optionDef=options.read("supportedOption"),
            datastorePrincipal="root" if release.classic else None,
            systemSwapConfiguration=config.swap_options(),
            systemResources=None if release.classic else self.read("systemResources"),
            dateTimeInfo=part("HostDateTimeSystem", "dateTimeInfo"),
            flags=vim25.HostFlagInfo(),
            adminDisabled=None if release.classic else self.lockdown != "lockdownDisabled",
            lockdownMode=self.lockdown,
            certificate=[] if release.classic else self._certificate(),
            pciPassthruInfo=part("HostPciPassthruSystem", "pciPassthruInfo"),
            authenticationManagerInfo=part("HostAuthenticationManager", "info"),
            featureVersion=config.feature_versions(release),
            powerSystemCapability=part("HostPowerSystem", "capability"),
            powerSystemInfo=part("HostPowerSystem", "info"),
            cacheConfigurationInfo=self.swap_caches(),
            wakeOnLanCapable=False,
            featureCapability=config.feature_capabilities(),
            maskedFeatureCapability=config.feature_capabilities(),
            vFlashConfigInfo=part("HostVFlashManager", "vFlashConfigInfo"),
            vsanHostConfig=part("HostVsanSystem", "config"),
            graphicsConfig=part("HostGraphicsManager", "graphicsConfig"),
            ioFilterInfo=config.io_filters(),
            assignableHardwareConfig=part("HostAssignableHardwareManager", "config"),
        )

    def _certificate(self) -> list[int]:
        """Return the certificate as a host does: PEM, as signed bytes."""
        certificate = self.registry.certificate
        return [] if certificate is None else list(certificate.pem)

    @prop("capability")
    def _capability(self) -> Any:
        return config.capability(self.registry.release, self.shape)

    @prop("configManager")
    def _managers(self) -> Any:
        return config_manager(self.registry)

    @prop("disabledMethod")
    def _disabled(self) -> list[str]:
        """Return the methods that a host alone never allows, and ExitMaintenanceMode_Task or its opposite."""
        mode = "Enter" if self.maintenance else "Exit"
        return [
            "DisconnectHost_Task",
            "ReconnectHost_Task",
            "ReconfigureHostForDAS_Task",
            "PowerUpHostFromStandBy_Task",
            f"{mode}MaintenanceMode_Task",
        ]

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
        host.changed("runtime", "summary", "disabledMethod")

    return start_task(call, host, work, cancelable=True)


@handles(HostSystem, "ExitMaintenanceMode_Task")
def exit_maintenance(host: HostSystem, call: Call) -> Any:
    """Exit maintenance mode."""

    async def work(task: Task) -> None:
        if not host.maintenance:
            raise invalid_state()
        host.maintenance = False
        host.changed("runtime", "summary", "disabledMethod")

    return start_task(call, host, work)


@handles(HostSystem, "RetrieveHardwareUptime")
def uptime(host: HostSystem, call: Call) -> int:
    """Return the seconds since boot."""
    return int((host.registry.clock.now() - host.booted).total_seconds())
