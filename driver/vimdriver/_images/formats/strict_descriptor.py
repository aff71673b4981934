"""The text descriptor inside a sparse extent that reaches a host unchanged: a strict grammar and an
allow-list.

The host's own parser is unknown, so every ambiguity is refused: two assignments of one key, keys
that differ in case, text after the first NUL.
"""

from __future__ import annotations

import re
from typing import Final

from vimdriver._images.formats.descriptor import ADAPTERS
from vimdriver.errors import ImageUnacceptableError

_FIRST_LINE: Final = "# Disk DescriptorFile"
_ASSIGNMENT: Final = re.compile(
    r"""\s*(?P<key>[A-Za-z][A-Za-z0-9_.]*)\s*=\s*(?:"(?P<quoted>[^"]*)"|(?P<bare>[A-Za-z0-9_.-]+))\s*"""
)
_EXTENT_LIKE: Final = re.compile(r"\s*(?:RW|RDONLY|NOACCESS)\b", re.IGNORECASE)
_EXTENT: Final = re.compile(
    r"(?P<access>RW|RDONLY|NOACCESS)[ ]+(?P<sectors>[0-9]{1,19})[ ]+(?P<type>[A-Z]+)"
    r'(?:[ ]+"(?P<name>[^"]*)")?(?P<rest>[^"]*)'
)
_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._ ()+@,=-]{0,254}")
"""Wider than the names that we generate, since users' files have names like "Windows 7 (2).vmdk".
No path separator of any system, no drive letter, no leading dot. The name itself is never used.
"""
_PLAIN: Final = re.compile(r"[A-Za-z0-9 ._:+-]*")
_CID: Final = re.compile(r"[0-9a-fA-F]{1,8}")
_LONGEST_REST: Final = 6

_TOP: Final = frozenset(
    {"version", "encoding", "cid", "parentcid", "isnativesnapshot", "createtype"}
)
_DDB: Final = frozenset(
    (
        "adaptertype",
        "comment",
        "encoding",
        "longcontentid",
        "thinprovisioned",
        "toolsinstalltype",
        "toolsversion",
        "virtualhwversion",
        "geometry.cylinders",
        "geometry.heads",
        "geometry.sectors",
        "geometry.bioscylinders",
        "geometry.biosheads",
        "geometry.biossectors",
        "uuid",
        "uuid.image",
        "uuid.modification",
        "uuid.parent",
        "uuid.parentmodification",
    )
)


def _refuse(rule: str, detail: str) -> ImageUnacceptableError:
    return ImageUnacceptableError(rule=rule, detail=detail)


def check_strict_descriptor(raw: bytes, *, compressed: bool, capacity: int) -> None:
    """Check the descriptor; `compressed` and `capacity` (sectors) come from the header.

    Raises:
        ImageUnacceptableError: A `descriptor.*` or `extent.*` rule is broken.
    """
    keys: dict[str, str] = {}
    extents: list[str] = []
    for line in _lines(raw):
        if _EXTENT_LIKE.match(line):
            extents.append(line)
        elif match := _ASSIGNMENT.fullmatch(line):
            _assign(keys, match)
        else:
            raise _refuse("descriptor.grammar", line)
    _check_keys(keys, compressed=compressed)
    _check_extents(extents, compressed=compressed, capacity=capacity)


def _lines(raw: bytes) -> list[str]:
    text, _, rest = raw.partition(b"\0")
    if not _is_left_over(rest.rstrip(b"\0"), text):
        raise _refuse("descriptor.ascii", "bytes after the first NUL")
    if any(byte not in b"\t\n\r" and not 0x20 <= byte <= 0x7E for byte in text):
        raise _refuse("descriptor.ascii", "bytes that are not printable ASCII")
    lines = text.decode("ascii").replace("\r\n", "\n").split("\n")
    if lines[0].rstrip() != _FIRST_LINE:
        raise _refuse("descriptor.first_line", lines[0])
    if any("\r" in line for line in lines):
        raise _refuse("descriptor.grammar", "a carriage return inside a line")
    return [line for line in lines if line.strip() and not line.lstrip().startswith("#")]


def _is_left_over(rest: bytes, text: bytes) -> bool:
    """Whether the bytes behind the text are the end of a longer text that was overwritten.

    qemu-img writes a new CID over the old one without padding and leaves the end of the old text in
    place, in one image of 250. If the CID shrinks from 8 digits to 1, 6 bytes are left.
    """
    return not rest or (len(rest) <= _LONGEST_REST and text.endswith(rest) and b"=" not in rest)


def _assign(keys: dict[str, str], match: re.Match[str]) -> None:
    key = match["key"].lower()
    if key in keys:
        raise _refuse("descriptor.duplicate", match["key"])
    if key == "parentfilenamehint":
        raise _refuse("descriptor.parent", "parentFileNameHint")
    if key == "changetrackpath":
        raise _refuse("descriptor.change_track", "changeTrackPath")
    if "encrypt" in key or "keysafe" in key or "crypto" in key:
        raise _refuse("descriptor.encryption", match["key"])
    value = match["bare"] if match["quoted"] is None else match["quoted"]
    if key.startswith("ddb."):
        if key[4:] not in _DDB or not _PLAIN.fullmatch(value):
            raise _refuse("descriptor.ddb", match["key"])
    elif key not in _TOP:
        raise _refuse("descriptor.unknown_key", match["key"])
    keys[key] = value


def _check_keys(keys: dict[str, str], *, compressed: bool) -> None:
    if keys.get("version") not in ("1", "2", "3"):
        raise _refuse("descriptor.version", f"version {keys.get('version')}")
    if not _CID.fullmatch(keys.get("cid", "")):
        raise _refuse("descriptor.cid", f"CID {keys.get('cid')}")
    if keys.get("parentcid", "").lower() != "ffffffff":
        raise _refuse("descriptor.parent", f"parentCID {keys.get('parentcid')}")
    if keys.get("isnativesnapshot", "no").lower() != "no":
        raise _refuse("descriptor.parent", "isNativeSnapshot")
    wanted = "streamOptimized" if compressed else "monolithicSparse"
    if keys.get("createtype") != wanted:
        raise _refuse(
            "descriptor.create_type",
            f"must be {wanted} as in the header, got {keys.get('createtype')}",
        )
    if keys.get("ddb.adaptertype", "ide").lower() not in ADAPTERS:
        raise _refuse("descriptor.ddb", f"adapterType {keys['ddb.adaptertype']}")


def _check_extents(extents: list[str], *, compressed: bool, capacity: int) -> None:
    if len(extents) != 1:
        raise _refuse("extent.count", f"{len(extents)} extents")
    match = _EXTENT.fullmatch(extents[0].strip())
    if match is None:
        raise _refuse("descriptor.grammar", extents[0])
    # Exporters mark a stream read-only, which it is; the extent of a writable disk must be RW.
    if match["access"] not in (("RW", "RDONLY") if compressed else ("RW",)):
        raise _refuse("extent.access", match["access"])
    if match["type"] != "SPARSE":
        raise _refuse("extent.type", match["type"])
    name = match["name"] or ""
    if not _NAME.fullmatch(name) or match["rest"].strip():
        raise _refuse("extent.name", f"{name!r}{match['rest']}")
    if int(match["sectors"]) != capacity:
        raise _refuse(
            "extent.sectors", f"must be {capacity} sectors as in the header, got {match['sectors']}"
        )
