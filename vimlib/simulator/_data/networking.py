"""Networking that does not change: capabilities, kinds of VMkernel adapters, TCP/IP stacks.

Recorded of ESX 4.1 and ESXi 6.5.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from msgspec.structs import replace

from vimlib import vim25

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vimlib.simulator._core.versions import Release

# Kind of traffic, whether several adapters may carry it, and the release that brought it.
_KINDS: Final = (
    ("faultToleranceLogging", False, (4,)),
    ("management", True, (4, 1)),
    ("vmotion", False, (4,)),
    ("vSphereReplication", True, (5, 1)),
    ("vSphereReplicationNFC", True, (6,)),
    ("vSphereProvisioning", True, (6,)),
    ("vsan", True, (5, 5)),
    ("vsanWitness", True, (6, 5)),
    ("vSphereBackupNFC", True, (7,)),  # community.vmware asks each host since 7.0 for it
)
_STACKS: Final = ("vSphereProvisioning", "vmotion")


def net_capabilities(release: Release) -> Any:
    """Return the capabilities of a host's networking."""
    return vim25.HostNetCapabilities(
        canSetPhysicalNicLinkSpeed=True,
        supportsNicTeaming=True,
        nicTeamingPolicy=[
            "loadbalance_ip",
            "loadbalance_srcmac",
            "loadbalance_srcid",
            "failover_explicit",
        ],
        supportsVlan=True,
        usesServiceConsoleNic=release.classic,
        supportsNetworkHints=True,
        vswitchConfigSupported=True,
        vnicConfigSupported=True,
        ipRouteConfigSupported=True,
        dnsConfigSupported=True,
        dhcpOnVnicSupported=True,
        ipV6Supported=True,
        backupNfcNiocSupported=True,
    )


def offload() -> Any:
    """Return what adapters do for the processor."""
    return vim25.HostNetOffloadCapabilities(
        csumOffload=True, tcpSegmentation=True, zeroCopyXmit=True
    )


def kinds_of_traffic(release: Release) -> list[str]:
    """Return the kinds of traffic that a VMkernel adapter can carry."""
    names = [name for name, _, since in _KINDS if release.numbers >= since]
    # The recorded ESX 4.1 has two; a service console does the management there.
    return [name for name in names if not (release.classic and name == "management")]


def _candidate(prefix: str, vnic: Any) -> Any:
    return replace(vnic, key=f"{prefix}.{vnic.key}", port=None)


def nic_manager_info(
    release: Release, vnics: Sequence[Any], selected: dict[str, dict[str, None]]
) -> Any:
    """Return which adapters carry which traffic; `selected` has device names by kind."""
    several = {name: many for name, many, _ in _KINDS}
    return vim25.HostVirtualNicManagerInfo(
        netConfig=[
            vim25.VirtualNicManagerNetConfig(
                nicType=kind,
                multiSelectAllowed=several[kind] or release.numbers >= (5,),
                candidateVnic=[_candidate(kind, vnic) for vnic in vnics],
                selectedVnic=[
                    f"{kind}.{vnic.key}" for vnic in vnics if vnic.device in selected.get(kind, ())
                ],
            )
            for kind in kinds_of_traffic(release)
        ]
    )


def vmotion_net_config(vnics: Sequence[Any], selected: dict[str, dict[str, None]]) -> Any:
    """Return the adapters that may carry vMotion, and the one that does."""
    chosen = [vnic for vnic in vnics if vnic.device in selected.get("vmotion", ())]
    return vim25.HostVMotionNetConfig(
        candidateVnic=[_candidate("VMotionConfig.vmotion", vnic) for vnic in vnics],
        selectedVnic=f"VMotionConfig.vmotion.{chosen[0].key}" if chosen else None,
    )


def stacks(dns: Any, route: Any, routes: Sequence[Any]) -> list[Any]:
    """Return the TCP/IP stacks; all but the default one are unused."""
    common: dict[str, Any] = {
        "requestedMaxNumberOfConnections": 11_000,
        "congestionControlAlgorithm": "newreno",
        "ipV6Enabled": True,
    }
    unused = [
        vim25.HostNetStackInstance(
            key=key,
            name="",
            dnsConfig=vim25.HostDnsConfig(dhcp=False, hostName="", domainName=""),
            ipRouteConfig=vim25.HostIpRouteConfig(),
            **common,
        )
        for key in _STACKS
    ]
    default = vim25.HostNetStackInstance(
        key="defaultTcpipStack",
        name="defaultTcpipStack",
        dnsConfig=dns,
        ipRouteConfig=route,
        routeTableConfig=vim25.HostIpRouteTableConfig(
            ipRoute=[vim25.HostIpRouteOp(changeOperation="ignore", route=each) for each in routes]
        ),
        **common,
    )
    return [*unused, default]


def physical_nic(
    release: Release, device: str, key: str, pci: str, mac: str, speed: int | None
) -> Any:
    """Return a physical adapter; `speed` is in Mbit/s, None for one without a link."""
    link = vim25.PhysicalNicLinkInfo(speedMb=speed, duplex=True) if speed else None
    return vim25.PhysicalNic(
        key=key,
        device=device,
        pci=pci,
        driver="nvmxnet3",
        driverVersion="2.0.0.31",
        firmwareVersion="NA",
        linkSpeed=link,
        validLinkSpecification=[vim25.PhysicalNicLinkInfo(speedMb=10_000, duplex=True)],
        spec=vim25.PhysicalNicSpec(
            ip=vim25.HostIpConfig(dhcp=False, ipAddress="", subnetMask=""), linkSpeed=link
        ),
        wakeOnLanSupported=True,
        mac=mac,
        fcoeConfiguration=vim25.FcoeConfig(
            priorityClass=3,
            sourceMac=mac,
            vlanRange=[vim25.FcoeConfigVlanRange(vlanLow=0, vlanHigh=0)],
            capabilities=vim25.FcoeConfigFcoeCapabilities(
                priorityClass=False, sourceMacAddress=False, vlanRange=True
            ),
            fcoeActive=False,
        ),
        vmDirectPathGen2Supported=False,
        resourcePoolSchedulerAllowed=True,
        autoNegotiateSupported=release.numbers < (5,),
        enhancedNetworkingStackSupported=False,
        ensInterruptSupported=False,
    )
