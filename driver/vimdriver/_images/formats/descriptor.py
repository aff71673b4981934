"""The text descriptor inside a sparse extent, read leniently: nothing of it is copied.

Whatever has no meaning for the disk's bytes is ignored: names, encodings, `ddb` entries, comments,
lines of unknown kinds.
"""

from __future__ import annotations

import re
from typing import Final

from vimdriver.errors import ImageUnacceptableError

ADAPTERS: Final = frozenset({"ide", "buslogic", "lsilogic", "legacyesx", "pvscsi", "lsisas1068"})
"""`ddb.adapterType`, in lower case."""
_FIRST_LINE: Final = "# disk descriptorfile"
_EXTENT: Final = re.compile(
    r'\s*(?P<access>RW|RDONLY|NOACCESS)\s+(?P<sectors>[0-9]{1,19})\s+(?P<type>\w+)(?:\s+"(?P<name>[^"]*)")?',
    re.IGNORECASE,
)
_EXTENT_LIKE: Final = re.compile(r"\s*(?:RW|RDONLY|NOACCESS)\b", re.IGNORECASE)
_ENCODING: Final = re.compile(rb'(?im)^[ \t]*encoding[ \t]*=[ \t]*"?([A-Za-z0-9_-]{1,20})')
_ENCODINGS: Final = re.compile(
    r"utf-?8|us-?ascii|gbk|gb2312|gb18030|big5|shift[_-]?jis|euc[_-](?:jp|kr)"
    r"|(?:windows|iso-8859|cp)-?[0-9]{1,4}(?:-[0-9]+)?"
)
_PATH: Final = re.compile(r"[/\\]|\A[A-Za-z]:|\A\[|\A\.\.?\Z")
_KINDS: Final = frozenset({"monolithicsparse", "streamoptimized"})
_SPLIT: Final = "twogbmaxextent"

FLATTEN: Final = (
    "Convert it, with its other files in place, with: "
    "qemu-img convert -f vmdk -O vmdk -o subformat=streamOptimized IN.vmdk OUT.vmdk"
)
DECRYPT: Final = (
    "Remove its encryption with the program that encrypted it, or export the machine as OVF."
)


def _refuse(rule: str, detail: str, hint: str | None = None) -> ImageUnacceptableError:
    return ImageUnacceptableError(rule=rule, detail=detail, hint=hint)


def read_descriptor(raw: bytes, *, capacity: int, grain: int) -> str | None:
    """Check the descriptor of a disk that is converted; return its adapter type in lower case.

    Args:
        raw: The descriptor's sectors.
        capacity: Sectors of the disk, from the header.
        grain: Sectors of a grain.

    Raises:
        ImageUnacceptableError: A `descriptor.*` or `extent.*` rule is broken: the disk has a parent
            or more than one extent, is encrypted, or contradicts its header.
    """
    lines = _decode(raw.partition(b"\0")[0]).splitlines()
    if not _is_first(next((line for line in lines if line.strip()), "")):
        raise _refuse("descriptor.first_line", lines[0][:80] if lines else "no text")
    extents = []
    keys: list[tuple[str, str]] = []
    for line in lines:
        if _EXTENT_LIKE.match(line):
            extents.append(line)
        elif "=" in line and not line.lstrip().startswith("#"):
            key, _, value = line.partition("=")
            keys.append((key.strip().lower(), value.strip().strip('"')))
    for key, value in keys:
        _check_key(key, value)
    _check_extent(extents, capacity, grain)
    adapters = [value.lower() for key, value in keys if key == "ddb.adaptertype"]
    return adapters[0] if adapters and adapters[0] in ADAPTERS else None


def _is_first(line: str) -> bool:
    return line.lstrip("\ufeff \t").lower().startswith(_FIRST_LINE)


def _decode(text: bytes) -> str:
    """Decode the text: a trailing byte of an Asian character may look like a path separator."""
    stated = _ENCODING.search(text)
    names = ["utf-8", "gbk"]
    if stated and _ENCODINGS.fullmatch(name := stated[1].decode("ascii").lower()):
        names.insert(0, name)
    for name in names:
        try:
            return text.decode(name)
        except (UnicodeDecodeError, LookupError):
            continue
    return text.decode("latin-1")


def _check_key(key: str, value: str) -> None:
    # Keys of equal names are all checked, so that it does not matter which one a reader takes.
    if (key == "parentcid" and value.lower() != "ffffffff") or (
        key == "parentfilenamehint" and value
    ):
        raise _refuse("descriptor.parent", f"{key} {value[:80]}", FLATTEN)
    if key == "isnativesnapshot" and value.lower() == "yes":
        raise _refuse("descriptor.parent", f"{key} {value}", FLATTEN)
    if key.startswith("encryption.") or any(
        word in key for word in ("encrypt", "keysafe", "crypto")
    ):
        raise _refuse("descriptor.encryption", key[:80], DECRYPT)
    if key == "createtype" and value.lower() not in _KINDS:
        split = value.lower().startswith(_SPLIT)
        raise _refuse("descriptor.create_type", value[:80], FLATTEN if split else None)


def _check_extent(extents: list[str], capacity: int, grain: int) -> None:
    if len(extents) != 1:
        raise _refuse("extent.count", f"{len(extents)} extents", FLATTEN)
    match = _EXTENT.match(extents[0])
    if match is None:
        raise _refuse("descriptor.grammar", extents[0][:80])
    if match["access"].upper() == "NOACCESS":
        raise _refuse("extent.access", match["access"])
    if match["type"].upper() != "SPARSE":
        raise _refuse("extent.type", match["type"][:80])
    if _PATH.search(match["name"] or ""):
        raise _refuse("extent.name", match["name"][:80], FLATTEN)
    # VirtualBox rounds up the header's capacity to a grain, and not that of the extent.
    if not capacity - grain < int(match["sectors"]) <= capacity:
        raise _refuse(
            "extent.sectors",
            f"must be {capacity} sectors as in the header, got {match['sectors']}",
        )
