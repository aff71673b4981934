"""Licences: the full one and the free one, and the features that each has.

Names and forms are those that `govc license.ls` and `vim-cmd vimsvc/license` print of hosts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from vimlib import vim25

if TYPE_CHECKING:
    from vimlib.simulator._core.versions import Release

_KEY: Final = "00000-00000-00000-00000-00000"
_FEATURES: Final = {
    "vsmp:0": "Unlimited virtual SMP",
    "h264": "H.264 for Remote Console Connections",
    "vimapi": "vSphere API",
    "storageapi": "Storage APIs",
    "vmotion": "vSphere vMotion",
    "das": "vSphere HA",
    "drs": "vSphere DRS",
    "dvs": "vSphere Distributed Switch",
    "rsspc": "Remote virtual Serial Port Concentrator",
    "hotplug": "Hot-Pluggable virtual HW",
}
_FREE: Final = {"vsmp:8": "Up to 8-way virtual SMP"}


def _pair(key: str, value: Any) -> Any:
    return vim25.KeyAnyValue(key=key, value=value)


def _product(release: Release) -> list[Any]:
    return [
        _pair("ProductName", "VMware ESX Server"),
        _pair("ProductVersion", f"{release.licence}.0"),
    ]


def licence(release: Release, *, free: bool) -> Any:
    """Return the licence of the host."""
    features = _FREE if free else _FEATURES
    edition = "esxBasic" if release.numbers < (7,) else "esx.hypervisor.cpuPackageCoreLimited"
    name = f"vSphere {release.licence} Hypervisor"
    return vim25.LicenseManagerLicenseInfo(
        licenseKey=_KEY,
        editionKey=edition if free else "esx.enterprisePlus.cpuPackage",
        name=name if free else f"VMware vSphere {release.licence} Enterprise Plus",
        total=0,
        used=2,
        costUnit="cpuPackage",
        properties=[
            *_product(release),
            *(
                _pair("feature", vim25.KeyValue(key=key, value=label))
                for key, label in features.items()
            ),
        ],
    )


def evaluation(release: Release) -> list[Any]:
    """Return the properties of an evaluation licence that has expired."""
    return [*_product(release), _pair("expirationHours", 0), _pair("expirationMinutes", 0)]


def feature_infos(*, free: bool) -> list[Any]:
    """Return the features in the older form."""
    features = _FREE if free else _FEATURES
    return [
        vim25.LicenseFeatureInfo(
            key=key.partition(":")[0],
            featureName=label,
            state="enabled",
            costUnit="cpuPackage",
            edition=False,
        )
        for key, label in features.items()
    ]
