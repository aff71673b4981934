"""A config drive: an ISO image with the settings of a guest, in the layouts that cloud-init reads.

Layouts: cloud-init's documentation, "Config Drive" (label `config-2`, `openstack/latest/`) and
"NoCloud" (label `cidata`). The image is small and made in memory, by `pycdlib` (extra `configdrive`).
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from vimlib._distribution import missing_extra
from vimlib._text import is_line, printable
from vimlib.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

Layout: TypeAlias = Literal["openstack", "cidata"]
LAYOUTS: Final = ("openstack", "cidata")
_LABELS: Final = {"openstack": "config-2", "cidata": "cidata"}
LARGEST: Final = 64 << 20
"""Bytes of all files together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigDrive:
    """The contents of a config drive. Raises `UsageError` if it is none."""

    layout: Layout = "openstack"
    user_data: bytes | None = field(default=None, repr=False)
    metadata: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """Further metadata: `meta` of the guest's metadata, in both layouts."""
    public_keys: tuple[str, ...] = ()
    """SSH keys, one line each."""
    files: tuple[tuple[str, bytes], ...] = field(default=(), repr=False)
    """Further files by path, as `openstack/latest/network_data.json`; one of the same path replaces
    that of the layout."""

    def __post_init__(self) -> None:
        if self.layout not in LAYOUTS:
            raise UsageError(
                f"config_drive must be one of {', '.join(LAYOUTS)}, got {self.layout!r}",
                field="config_drive",
            )
        for path, _ in self.files:
            if not path or any(part in ("", ".", "..") for part in path.split("/")):
                raise UsageError(f"invalid path in a config drive: {path!r}", field="files")
            if not is_line(path) or any(len(part.encode()) > 64 for part in path.split("/")):
                raise UsageError(
                    "names in a config drive must have at most 64 bytes, as Joliet has, and no control "
                    f"characters, got {printable(path, 100)!r}",
                    field="files",
                )
        size = len(self.user_data or b"") + sum(len(data) for _, data in self.files)
        if size > LARGEST:
            raise UsageError(
                f"a config drive must have at most {LARGEST} bytes, got {size}", field="files"
            )

    def contents(self, uuid: str, name: str, hostname: str) -> dict[str, bytes]:
        """Return the files of the drive by path."""
        if self.layout == "cidata":
            meta: dict[str, Any] = {"instance-id": uuid, "local-hostname": hostname}
            if self.public_keys:
                meta["public-keys"] = list(self.public_keys)
            if self.metadata:
                meta["meta"] = dict(self.metadata)
            # JSON is YAML.
            found = {
                "meta-data": _json(meta),
                "user-data": self.user_data or b"#cloud-config\n{}\n",
            }
        else:
            meta = {"uuid": uuid, "name": name, "hostname": hostname, "meta": dict(self.metadata)}
            if self.public_keys:
                keys = {f"key-{n}": key for n, key in enumerate(self.public_keys)}
                meta["public_keys"] = keys
            found = {"openstack/latest/meta_data.json": _json(meta)}
            if self.user_data is not None:
                found["openstack/latest/user_data"] = self.user_data
        return found | dict(self.files)

    def image(self, uuid: str, name: str, hostname: str) -> bytes:
        """Return the ISO image. Takes milliseconds for settings, and blocks while it is made.

        Raises:
            MissingExtraError: `pycdlib` is not installed.
        """
        return iso_image(_LABELS[self.layout], self.contents(uuid, name, hostname))


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, sort_keys=True).encode()


def iso_library() -> Any:
    """Return the module that makes ISO images. Raises `MissingExtraError`."""
    try:
        import pycdlib
    except ImportError as error:
        raise missing_extra("a config drive", package="pycdlib", extra="configdrive") from error
    return pycdlib


def iso_image(label: str, files: Mapping[str, bytes]) -> bytes:
    """Return an ISO 9660 image with Joliet and Rock Ridge names. Raises `MissingExtraError`."""
    iso = iso_library().PyCdlib()
    iso.new(interchange_level=3, joliet=3, rock_ridge="1.09", vol_ident=label)
    folders: dict[str, str] = {"": ""}
    for number, (path, data) in enumerate(sorted(files.items())):
        parent, _, name = path.rpartition("/")
        built = ""
        for part in parent.split("/") if parent else ():
            above, built = built, f"{built}/{part}"
            if built not in folders:
                # ISO 9660 names are short and upper case; the others are what systems show.
                folders[built] = f"{folders[above]}/D{len(folders)}"
                iso.add_directory(folders[built], rr_name=part, joliet_path=built)
        iso.add_fp(
            io.BytesIO(data),
            len(data),
            f"{folders[built]}/F{number}.;1",
            rr_name=name,
            joliet_path=f"{built}/{name}",
        )
    found = io.BytesIO()
    iso.write_fp(found)
    iso.close()
    return found.getvalue()
