"""The mechanism driver."""

from __future__ import annotations

import logging
from typing import Any, Final

from neutron_lib import constants
from neutron_lib.api.definitions import portbindings
from neutron_lib.plugins.ml2 import api
from oslo_config import cfg

from vimdriver.neutron._binding import bind, obstacle

log = logging.getLogger("vimdriver.neutron")

OPTIONS: Final = (
    cfg.ListOpt(
        "hosts",
        default=[],
        help="Compute services that the ESX driver runs, by [DEFAULT] host. Empty: all; then let this "
        "driver be the last of mechanism_drivers.",
    ),
    cfg.BoolOpt(
        "allow_unfiltered",
        default=False,
        help="Bind ports with security groups too, which have no effect: a standard virtual switch "
        "filters nothing.",
    ),
)


class ESXMechanismDriver(api.MechanismDriver):  # type: ignore[misc]  # neutron-lib has no annotations
    """Binds flat and VLAN segments to port groups of standard virtual switches."""

    def initialize(self) -> None:
        """Register the options."""
        cfg.CONF.register_opts(OPTIONS, group="esx")

    @property
    def connectivity(self) -> str:
        """A port group is layer 2."""
        return str(portbindings.CONNECTIVITY_L2)

    def bind_port(self, context: Any) -> None:
        """Bind a port to a flat or VLAN segment, as active: no agent will report it.

        A port that is not bound stays so, with a line in the log; nova then fails with
        `PortBindingFailed`.
        """
        options, port = cfg.CONF.esx, context.current
        why = obstacle(
            port, context.host, hosts=options.hosts, allow_unfiltered=options.allow_unfiltered
        )
        if why is not None:
            log.error("port %s is not bound: %s", port["id"], why)
            return
        found = bind(context.segments_to_bind)
        if found is None:
            log.error("port %s is not bound: its network has no flat or VLAN segment", port["id"])
            return
        context.set_binding(
            found.segment,
            portbindings.VIF_TYPE_OTHER,
            found.details,
            status=constants.PORT_STATUS_ACTIVE,
        )


def list_opts() -> list[tuple[str, list[Any]]]:
    """Return the options, for `oslo-config-generator --namespace vimdriver.neutron`."""
    return [("esx", list(OPTIONS))]
