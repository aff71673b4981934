"""The manifest of an OVF package: the digests of its files (DMTF DSP0243, 6.1)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from vimdriver.errors import ImageUnacceptableError
from vimlib._text import printable

LARGEST: Final = 1 << 20
"""Bytes of a manifest."""
ALGORITHMS: Final[Mapping[str, int]] = {"sha1": 40, "sha256": 64, "sha512": 128}
"""Those of manifests, with the hex digits of their digests."""
_LINE: Final = re.compile(
    r"(SHA-?(?:1|256|512))\s*\((.{1,4096})\)\s*=\s*([0-9a-fA-F]+)", re.IGNORECASE
)


class FileDigest(NamedTuple):
    """The digest of a file."""

    algorithm: str
    """A `hashlib` name."""
    value: str
    """Lower-case hex."""


def read_manifest(data: bytes) -> dict[str, FileDigest]:
    """Return the digests of a manifest, by file name.

    Raises:
        ImageUnacceptableError: It has a line of another form, or two digests of a file.
    """
    try:
        lines = data.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise _refuse("syntax", "it is not UTF-8") from None
    found: dict[str, FileDigest] = {}
    for number, line in enumerate(lines, 1):
        text = line.strip(" \t\0")
        if not text:
            continue
        match = _LINE.fullmatch(text)
        algorithm = "" if match is None else match[1].lower().replace("-", "")
        if match is None or len(match[3]) != ALGORITHMS[algorithm]:
            raise _refuse(
                "syntax", f"line {number} must be SHA256(FILE)= HEX, got {printable(text, 80)!r}"
            )
        name = match[2].removeprefix("./")
        if name in found:
            raise _refuse("syntax", f"line {number}: {printable(name, 80)} comes twice")
        found[name] = FileDigest(algorithm, match[3].lower())
    return found


def write_manifest(digests: Iterable[tuple[str, FileDigest]]) -> bytes:
    """Return the manifest of files: names and digests."""
    return "".join(f"{d.algorithm.upper()}({name})= {d.value}\n" for name, d in digests).encode()


def check_digest(name: str, stated: FileDigest | None, actual: str) -> None:
    """Compare a file with its manifest.

    Raises:
        ImageUnacceptableError: The manifest lacks it, or has another digest.
    """
    if stated is None:
        raise _refuse("missing", f"it has no digest of {printable(name, 80)}")
    if stated.value != actual:
        raise _refuse(
            "digest",
            f"{printable(name, 80)} must have {stated.algorithm} {stated.value}, got {actual}",
        )


def _refuse(rule: str, detail: str) -> ImageUnacceptableError:
    return ImageUnacceptableError(
        rule=f"manifest.{rule}",
        detail=f"the manifest: {detail}",
        hint="Copy the package again, or export it again. If a file was changed on purpose, "
        "remove the manifest (.mf).",
    )
