"""`vimctl guest`: the guest configuration of a machine."""

from __future__ import annotations

import asyncio
import hashlib
import sys
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cyclopts import Parameter

from vimdriver._cli.connection import CONNECTION, ConnectionOptions
from vimdriver._cli.flags import Flag, Strings
from vimdriver._cli.instance import Ref, opened
from vimdriver._cli.output import OUTPUT, Output
from vimdriver._cli.ownership import OWNERSHIP, Ownership
from vimdriver._guestinfo import MAX_JSON, Form
from vimlib.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from importlib.resources.abc import Traversable

    from vimdriver._guestinfo import GuestConfig

_HELPER: Final = "vimguest.py"


@Parameter(name="*", group="Guest")
@dataclass(frozen=True, kw_only=True)
class GuestOptions:
    """The configuration of a guest."""

    nic: Strings = ()
    """NIC as mac=..[,ip=10.0.0.2/24+fd00::2/64][,gw=..][,dns=a+b][,search=..][,dhcp=4+6][,route=NETWORK@GATEWAY][,mtu=9000]; repeatable. `set` needs a MAC address of the machine's."""

    hostname: str | None = None
    """Host name of the guest."""

    search: Strings = ()
    """DNS search domain; repeatable."""

    ssh_key: Strings = ()
    """USER=FILE with public keys for an existing user of the guest; repeatable."""

    ntp: Strings = ()
    """Address or name of a time server; repeatable."""

    user_data: Path | None = None
    """File of user-data for cloud-init or cloudbase-init."""

    vendor_data: Path | None = None
    """File of vendor-data for cloud-init, in place of the settings that have it apply a changed network."""

    form: Form = "nova"
    """Format of the settings: `nova` and `original` write machine.id, `versioned` the format of the guest helper, `cloud-init` guestinfo.metadata."""

    def config(self) -> GuestConfig:
        """Return the configuration that these options describe; reads their files.

        Raises:
            UsageError: An option has an invalid value, or names a file that cannot be read; or
                there are no settings, which would delete those of the machine.
        """
        from vimdriver._cli.nics import GUEST_FORM, guest_nic
        from vimdriver._guestinfo import GuestConfig

        keys: dict[str, list[str]] = {}
        for one in self.ssh_key:
            user, equals, name = one.partition("=")
            if not equals:
                raise UsageError(f"--ssh-key must be USER=FILE, got {one!r}")
            lines = [line.strip() for line in _text(Path(name)).splitlines()]
            keys.setdefault(user, []).extend(
                line for line in lines if line and not line.startswith("#")
            )
        config = GuestConfig(
            hostname=self.hostname,
            nics=[guest_nic(one) for one in self.nic],
            search=self.search,
            ssh_keys=keys,
            ntp=self.ntp,
            user_data=None if self.user_data is None else _text(self.user_data),
            vendor_data=None if self.vendor_data is None else _text(self.vendor_data),
        )
        others = (config.hostname, config.search, config.ssh_keys, config.ntp)
        other = any(others) or config.user_data or config.vendor_data
        # The first two forms hold NICs only.
        if not config.nics and (self.form in ("nova", "original") or not other):
            raise UsageError("--nic is required", hint=f"Give --nic {GUEST_FORM}.")
        return config


GUEST = GuestOptions()


def render(
    *, guest: GuestOptions = GUEST, instance_id: str | None = None, output: Output = OUTPUT
) -> None:
    """Print the settings that configure a guest's network, without a host.

    Values that the form cannot express are reported on stderr.

    Args:
        instance_id: Instance id for cloud-init, which runs again when the id changes.
    """
    from vimdriver._guestinfo import extra_config

    config = guest.config()
    settings = extra_config(config, guest.form, instance_id=instance_id)
    _show(settings, config, guest.form, output)


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(MAX_JSON + 1).decode()
    except (OSError, UnicodeDecodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "not UTF-8"
        raise UsageError(f"cannot read {path}: {reason}") from None


def _show(settings: Mapping[str, str], config: GuestConfig, form: Form, output: Output) -> None:
    from vimdriver._guestinfo import left_out

    for lost in left_out(config, form):
        output.say(f"the form {form} cannot express: {lost}")
    text = "\n".join(f'{key} = "{value}"' for key, value in settings.items())
    output.document(settings, text)


async def set_(
    instance: Ref,
    /,
    *,
    guest: GuestOptions = GUEST,
    new_instance: Flag = False,
    foreign: Flag = False,
    ownership: Ownership = OWNERSHIP,
    connection: ConnectionOptions = CONNECTION,
    output: Output = OUTPUT,
) -> None:
    """Set the guest configuration of a machine, running or not.

    The guest reads it at its next boot. Values that the form cannot express are reported on stderr.

    Args:
        new_instance: With cloud-init: give it a new instance id, so that it runs everything again and
            replaces the SSH host keys.
        foreign: Change a machine of another owner too.
    """
    config = await asyncio.to_thread(guest.config)
    async with opened(connection, ownership) as driver:
        settings = await driver.set_guest_info(
            instance, config, form=guest.form, new_instance=new_instance, foreign=foreign
        )
    _show(settings, config, guest.form, output)


def helper(*, output: Output = OUTPUT) -> None:
    """Print the guest helper, a Python file that applies the guest configuration in a Linux guest.

    It requires Python 3.6 and VMware's tools, and runs at each boot. `--json` prints
    {"file", "sha256", "text"}.
    """
    source = _helper().read_bytes()
    if output.json:
        digest = hashlib.sha256(source).hexdigest()
        output.line({"file": _HELPER, "sha256": digest, "text": source.decode()})
        return
    # Bytes, so that the output equals the file in any terminal encoding and line-end mode.
    sys.stdout.buffer.write(source)
    sys.stdout.buffer.flush()


def _helper() -> Traversable:
    """Return the helper: package data if installed, else the file of the source tree."""
    package = files("vimdriver")
    shipped = package / "_data" / _HELPER
    if shipped.is_file():
        return shipped
    return Path(str(package)).parents[1] / "guest" / _HELPER
