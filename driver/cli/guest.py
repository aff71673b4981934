"""`vimctl guest`: what a machine's settings tell its guest."""

from __future__ import annotations

from typing import Literal

from driver.cli.flags import Strings
from driver.cli.output import OUTPUT, Output

__all__ = ["render"]


def render(
    *,
    nic: Strings = (),
    hostname: str | None = None,
    search: Strings = (),
    form: Literal["nova", "original", "versioned", "cloud-init"] = "nova",
    instance_id: str | None = None,
    output: Output = OUTPUT,
) -> None:
    """Print the settings that give a guest its network, without a host.

    What the form cannot say is named on stderr.

    Args:
        nic: A NIC: network=PG,mac=..[,ip=10.0.0.2/24][,gw=..][,dns=a+b]; repeatable.
        hostname: Name of the guest.
        search: DNS search domain; repeatable.
        form: `nova` and `original` are the old machine.id, `versioned` the guest helper's own form,
            `cloud-init` its guestinfo.metadata.
        instance_id: For cloud-init, which starts anew when it changes.
    """
    from driver.cli.nics import parse_nic
    from driver.guestinfo import NIC, GuestConfig, extra_config, left_out
    from vimlib.errors import UsageError

    cards = []
    for text in nic:
        spec = parse_nic(text)
        if spec.mac is None:
            raise UsageError(
                f"the NIC on {spec.network!r} has no MAC", hint="The guest finds its card by it."
            )
        cards.append(
            NIC(
                mac=spec.mac,
                addresses=spec.addresses,
                gateway4=spec.gateway,
                gateway6=spec.gateway6,
                dns=spec.dns,
            )
        )
    config = GuestConfig(hostname=hostname, nics=cards, search=search)
    settings = extra_config(config, form, instance_id=instance_id)
    for lost in left_out(config, form):
        output.say(f"the form {form} cannot say: {lost}")
    text = "\n".join(f'{key} = "{value}"' for key, value in settings.items())
    output.document(settings, text)
