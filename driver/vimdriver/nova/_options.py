"""The group `[esx]` of nova's configuration, and the flags of the driver of 2011 that still map."""

from __future__ import annotations

from typing import Any, Final

from oslo_config import cfg

GROUP: Final = "esx"


def _from_2011(*names: str) -> list[Any]:
    """Return the earlier names of an option: flags of 2011, and those of the group `[vmware]`."""
    flags = [cfg.DeprecatedOpt(f"vmwareapi_{name}", group="DEFAULT") for name in names]
    return flags + [cfg.DeprecatedOpt(name, group="vmware") for name in names]


OPTIONS: Final = (
    cfg.StrOpt(
        "url",
        deprecated_opts=_from_2011("host_ip"),
        help="The host: https://HOST/sdk, or just HOST. Leave it unset with hosts_file.",
    ),
    cfg.StrOpt(
        "username", deprecated_opts=_from_2011("host_username"), help="User name on the host."
    ),
    cfg.StrOpt(
        "password_file",
        help="File whose first line is the password. It is read for each login, so a changed file is "
        "used. The flag vmwareapi_host_password of 2011 has no successor: put it into a file.",
    ),
    cfg.StrOpt(
        "pin",
        help="Fingerprint of the host's certificate (SHA-256, or SHA-512), as the error about an "
        "unknown certificate prints it. It replaces the check of the chain.",
    ),
    cfg.StrOpt("ca", help="PEM file with the authority of the host's certificate."),
    cfg.StrOpt(
        "datastore_regex",
        deprecated_opts=[cfg.DeprecatedOpt("datastore_regex", group="vmware")],
        help="Use only datastores whose whole name matches. Unset: all that are accessible. The one "
        "with the most free space takes a machine.",
    ),
    cfg.StrOpt(
        "owner",
        help="Mark on all that this service makes on its hosts; machines without it are left alone. "
        "It must stay the same, and be another one for each service. Unset: nova-HOST, by [DEFAULT] host.",
    ),
    cfg.DictOpt(
        "port_groups",
        default={},
        help="Physical network of neutron to the port group of its flat network: "
        "physnet1:VM Network.",
    ),
    cfg.DictOpt(
        "uplinks",
        default={},
        help="Physical network of neutron to the physical NIC whose virtual switch carries it, for "
        "the port groups that are made for VLANs: physnet1:vmnic1.",
    ),
    cfg.StrOpt(
        "vlan_interface",
        default="vmnic0",
        deprecated_opts=[cfg.DeprecatedOpt("vmwareapi_vlan_interface", group="DEFAULT")],
        help="The physical NIC of networks that uplinks does not name.",
    ),
    cfg.BoolOpt(
        "config_drive",
        default=True,
        help="Give each machine a config drive: there is no metadata service on a host. False: only "
        "where a server or its image asks for one.",
    ),
    cfg.StrOpt(
        "hosts_file",
        help="TOML file with several hosts, each a node of this service: [[host]] with name, url, "
        "username, password_file, and pin or ca.",
    ),
    cfg.IntOpt(
        "concurrency",
        default=4,
        min=1,
        help="Images that are transferred to or from a host at once.",
    ),
    cfg.BoolOpt(
        "allow_unfiltered",
        default=False,
        help="Accept ports whose binding promises a packet filter. A standard virtual switch has "
        "none: security groups have no effect.",
    ),
)


def register(conf: Any) -> Any:
    """Register the options, once or again, and return their values."""
    conf.register_opts(OPTIONS, group=GROUP)
    return conf[GROUP]


def list_opts() -> list[tuple[str, list[Any]]]:
    """Return the options, for `oslo-config-generator --namespace vimdriver.nova`."""
    return [(GROUP, list(OPTIONS))]
