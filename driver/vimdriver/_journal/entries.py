"""What can be begun: an entry for each kind. Plain values, no I/O, no secrets."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import TypeAlias

from msgspec import Struct, field

__all__ = [
    "AddingPortGroup",
    "Destroying",
    "Entry",
    "Spawning",
    "Uploading",
    "new_token",
]


def new_token() -> str:
    """Return a name that nothing else has: 64 random bits."""
    return secrets.token_hex(8)


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


class _Begun(Struct, frozen=True, kw_only=True, tag_field="what"):
    """What all entries have."""

    host: str
    """`host:port`, as its client was connected: another host's entries are not this one's."""
    owner: str
    """`DriverConfig.owner`."""
    token: str = field(default_factory=new_token)
    """Names the entry; what is written again under it replaces it."""
    began: datetime = field(default_factory=_now)
    """By this machine's clock. For people: nothing is decided by it."""


class Spawning(_Begun, frozen=True, kw_only=True, tag="spawn"):
    """A machine is being made; `token` is its `vimlib.spawn`."""

    uuid: str
    name: str
    folder: str = ""
    """Datastore path of its folder, once the host has named it."""
    power_on: bool = False
    """Whether it is to run in the end."""


class Destroying(_Begun, frozen=True, kw_only=True, tag="destroy"):
    """A machine of ours is being removed, then what is left of its folder."""

    name: str
    folder: str


class Uploading(_Begun, frozen=True, kw_only=True, tag="upload"):
    """A file goes to a temporary path, to be moved from there."""

    path: str


class AddingPortGroup(_Begun, frozen=True, kw_only=True, tag="port group"):
    """A port group is being made."""

    name: str
    note: str
    """Datastore path of the note that says it is ours; see `vimdriver._networks.ownership`."""
    spawn: str = ""
    """Token of the spawn that it is made for, and goes with; "" if for itself."""


Entry: TypeAlias = Spawning | Destroying | Uploading | AddingPortGroup
