"""The compute driver: images, machines and networks of an ESX host, over `vimlib`.

`from vimdriver import ...` has what programs use; `vimdriver.errors` has every error that this
package adds to the tree of `vimlib.errors`. Modules whose names begin with an underscore are
private: `_cli` (the command `vimctl`), `_driver`, `_instances`, `_images`, `_networks`,
`_guestinfo`, `_journal`, `_sweep`, `_verbs` (the shape of every verb that writes), `_host`, `_config`.

Stands on `vimlib`, which imports nothing of it. Names load on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vimdriver import errors
    from vimdriver._config import DriverConfig
    from vimdriver._driver import ESXDriver
    from vimdriver._guestinfo import NIC, GuestConfig, Route
    from vimdriver._host import HostInfo
    from vimdriver._images import (
        Glance,
        HttpClient,
        HttpImages,
        ImageInfo,
        ImageSource,
        ImageStore,
        LocalImages,
    )
    from vimdriver._images.openstack import open_cloud
    from vimdriver._images.push import PushEvent, PushResult, push_images
    from vimdriver._instances.diagnostics import Diagnostics
    from vimdriver._instances.screen import Console
    from vimdriver._instances.snapshots import Snapshot
    from vimdriver._instances.types import Instance, InstanceSpec, NICSpec, PowerChange
    from vimdriver._journal import FileJournal, MemoryJournal
    from vimdriver._networks import PortGroup, ensure_vlan, list_port_groups, remove_vlan
    from vimdriver._sweep import SweepReport

__all__ = [
    "NIC",
    "Console",
    "Diagnostics",
    "DriverConfig",
    "ESXDriver",
    "FileJournal",
    "Glance",
    "GuestConfig",
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
    "Route",
    "Snapshot",
    "SweepReport",
    "ensure_vlan",
    "errors",
    "list_port_groups",
    "open_cloud",
    "push_images",
    "remove_vlan",
]

_HOMES = {
    "ESXDriver": "_driver",
    "DriverConfig": "_config",
    "InstanceSpec": "_instances.types",
    "NICSpec": "_instances.types",
    "Instance": "_instances.types",
    "PowerChange": "_instances.types",
    "Console": "_instances.screen",
    "Diagnostics": "_instances.diagnostics",
    "Snapshot": "_instances.snapshots",
    "HostInfo": "_host",
    "PortGroup": "_networks",
    "ensure_vlan": "_networks",
    "list_port_groups": "_networks",
    "remove_vlan": "_networks",
    "GuestConfig": "_guestinfo",
    "NIC": "_guestinfo",
    "Route": "_guestinfo",
    "Glance": "_images",
    "HttpClient": "_images",
    "HttpImages": "_images",
    "LocalImages": "_images",
    "ImageInfo": "_images",
    "ImageSource": "_images",
    "ImageStore": "_images",
    "PushEvent": "_images.push",
    "PushResult": "_images.push",
    "push_images": "_images.push",
    "open_cloud": "_images.openstack",
    "FileJournal": "_journal",
    "MemoryJournal": "_journal",
    "SweepReport": "_sweep",
}


def __getattr__(name: str) -> Any:
    if name == "errors":
        return import_module("vimdriver.errors")
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'vimdriver' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"vimdriver.{home}"), name)
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
