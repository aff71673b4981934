"""The compute driver: images, machines and networks of an ESX host, over `vimlib`.

`from vimdriver import ...` has what programs use; `vimdriver.errors` has every error that this
package adds to the tree of `vimlib.errors`. Modules whose names begin with an underscore are
private: `_cli` (the command `vimctl`), `_driver`, `_instances`, `_images`, `_networks`,
`_guestinfo`, `_journal`, `_sweep`, `_verbs` (the shape of every verb that writes), `_host`, `_config`.

Stands on `vimlib`, which imports nothing of it. Names load on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vimlib._lazy import lazy

if TYPE_CHECKING:
    from vimdriver import errors
    from vimdriver._config import DriverConfig
    from vimdriver._disks.cache import CacheEntry
    from vimdriver._driver import ESXDriver
    from vimdriver._guestinfo import NIC, GuestConfig, Route
    from vimdriver._host import (
        DatastoreInfo,
        HostCapacity,
        HostIdentity,
        HostInfo,
        check_identities,
    )
    from vimdriver._images import (
        Glance,
        GlanceV1,
        HttpClient,
        HttpImages,
        ImageInfo,
        ImageSource,
        ImageStore,
        LocalImages,
    )
    from vimdriver._images.fan import FanLimits
    from vimdriver._images.openstack import open_cloud
    from vimdriver._images.push import PushEvent, PushResult, push_images
    from vimdriver._images.push_to_hosts import push_to_hosts
    from vimdriver._images.stored import DatastoreImages
    from vimdriver._instances.config_drive import ConfigDrive
    from vimdriver._instances.device_list import DeviceInfo
    from vimdriver._instances.diagnostics import Diagnostics
    from vimdriver._instances.disk_spec import DiskSpec
    from vimdriver._instances.hardware import Allocation, HardwareSpec
    from vimdriver._instances.programs import GuestLogin, GuestProgram, GuestResult
    from vimdriver._instances.questions import Question
    from vimdriver._instances.registering import UnregisteredInstance
    from vimdriver._instances.screen import Console
    from vimdriver._instances.serial import ConsoleLog
    from vimdriver._instances.snapshots import Snapshot
    from vimdriver._instances.types import Instance, InstanceSpec, NICSpec, PowerChange
    from vimdriver._journal import FileJournal, MemoryJournal
    from vimdriver._networks import PortGroup, ensure_vlan, list_port_groups, remove_vlan
    from vimdriver._sweep import SweepReport
    from vimdriver._verbs.many import for_each

__all__ = [
    "NIC",
    "Allocation",
    "CacheEntry",
    "ConfigDrive",
    "Console",
    "ConsoleLog",
    "DatastoreImages",
    "DatastoreInfo",
    "DeviceInfo",
    "Diagnostics",
    "DiskSpec",
    "DriverConfig",
    "ESXDriver",
    "FanLimits",
    "FileJournal",
    "Glance",
    "GlanceV1",
    "GuestConfig",
    "GuestLogin",
    "GuestProgram",
    "GuestResult",
    "HardwareSpec",
    "HostCapacity",
    "HostIdentity",
    "HostInfo",
    "HttpClient",
    "HttpImages",
    "ImageInfo",
    "ImageSource",
    "ImageStore",
    "Instance",
    "InstanceSpec",
    "LocalImages",
    "MemoryJournal",
    "NICSpec",
    "PortGroup",
    "PowerChange",
    "PushEvent",
    "PushResult",
    "Question",
    "Route",
    "Snapshot",
    "SweepReport",
    "UnregisteredInstance",
    "check_identities",
    "ensure_vlan",
    "errors",
    "for_each",
    "list_port_groups",
    "open_cloud",
    "push_images",
    "push_to_hosts",
    "remove_vlan",
]

__getattr__, __dir__ = lazy(
    __name__,
    {
        "_config": "DriverConfig",
        "_disks.cache": "CacheEntry",
        "_driver": "ESXDriver",
        "_guestinfo": "GuestConfig NIC Route",
        "_host": "DatastoreInfo HostCapacity HostIdentity HostInfo check_identities",
        "_images": "Glance GlanceV1 HttpClient HttpImages ImageInfo ImageSource ImageStore LocalImages",
        "_images.fan": "FanLimits",
        "_images.stored": "DatastoreImages",
        "_images.openstack": "open_cloud",
        "_images.push": "PushEvent PushResult push_images",
        "_images.push_to_hosts": "push_to_hosts",
        "_instances.config_drive": "ConfigDrive",
        "_instances.device_list": "DeviceInfo",
        "_instances.diagnostics": "Diagnostics",
        "_instances.disk_spec": "DiskSpec",
        "_instances.hardware": "Allocation HardwareSpec",
        "_instances.registering": "UnregisteredInstance",
        "_instances.programs": "GuestLogin GuestProgram GuestResult",
        "_instances.questions": "Question",
        "_instances.screen": "Console",
        "_instances.serial": "ConsoleLog",
        "_instances.snapshots": "Snapshot",
        "_instances.types": "Instance InstanceSpec NICSpec PowerChange",
        "_journal": "FileJournal MemoryJournal",
        "_networks": "PortGroup ensure_vlan list_port_groups remove_vlan",
        "_sweep": "SweepReport",
        "_verbs.many": "for_each",
    },
    ("errors",),
)
