"""The text of a `.vmx` file: keys in any case with values, in their order."""

from __future__ import annotations

import codecs
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# Hosts quote every value; tools that edit by hand may not.
_LINE = re.compile(r'\s*([^=\s]+)\s*=\s*(?:"(.*)"|([^"\s]\S*)?)\s*')
_ENCODING = re.compile(rb'^\s*\.encoding\s*=\s*"([^"\n]*)"', re.MULTILINE | re.IGNORECASE)
_ESCAPED = re.compile(r"\|([0-9A-Fa-f]{2})")

LARGEST = 1 << 20
"""Bytes of a file that is read; hosts write a few KiB."""


class VmxError(Exception):
    """A file is not a machine's configuration."""


def escape(text: str) -> str:
    """Write a value: a pipe and two hexadecimal digits for quotes, pipes and control characters."""
    return "".join(f"|{ord(c):02X}" if c in '"|' or ord(c) < 32 else c for c in text)


class Values:
    """Keys with values. Keys compare in any case, and keep the one in which they were first given."""

    def __init__(self, pairs: Iterable[tuple[str, str]] = ()) -> None:
        self._found: dict[str, tuple[str, str]] = {}
        for key, value in pairs:
            self[key] = value

    def __setitem__(self, key: str, value: str) -> None:
        known, _ = self._found.get(key.lower(), (key, ""))
        self._found[key.lower()] = known, value

    def __getitem__(self, key: str) -> str:
        return self._found[key.lower()][1]

    def __contains__(self, key: str) -> bool:
        return key.lower() in self._found

    def get(self, key: str, default: str = "") -> str:
        """Return the value of a key."""
        return self._found.get(key.lower(), ("", default))[1]

    def items(self) -> Iterator[tuple[str, str]]:
        """Yield each key with its value."""
        yield from self._found.values()

    def text(self) -> str:
        """Return the text of a file."""
        return "".join(f'{key} = "{escape(value)}"\n' for key, value in self.items())


def parse(data: bytes) -> Values:
    """Return the values of a `.vmx` file, in the encoding that it declares. Raises `VmxError`."""
    if len(data) > LARGEST:
        raise VmxError(f"a configuration file must have at most {LARGEST} bytes, got {len(data)}")
    named = _ENCODING.search(data)
    try:
        encoding = codecs.lookup(named[1].decode("ascii") if named else "utf-8").name
        text = data.decode(encoding)
    except (LookupError, UnicodeError):
        raise VmxError("the text is not in the encoding of its .encoding") from None
    values = Values()
    # Not `splitlines`, which splits at more characters than the format.
    for line in text.removeprefix("\ufeff").split("\n"):
        match = _LINE.fullmatch(line)
        if match is not None:
            value = match[2] if match[2] is not None else match[3] or ""
            values[match[1]] = _ESCAPED.sub(lambda m: chr(int(m[1], 16)), value)
        elif line.strip() and not line.lstrip().startswith("#"):
            raise VmxError(f"invalid configuration line: {line[:40]!r}")
    if "config.version" not in values and "virtualHW.version" not in values:
        raise VmxError("not a configuration file")
    return values


class VmxReader:
    """Reads values, and knows those that nobody asked for: the extra options of a machine."""

    def __init__(self, values: Values) -> None:
        self.values = values
        self._taken: set[str] = set()

    def text(self, key: str, default: str = "") -> str:
        """Return a value."""
        self._taken.add(key.lower())
        return self.values.get(key, default)

    def given(self, key: str) -> str | None:
        """Return a value, None if it is absent or empty."""
        return self.text(key) or None

    def flag(self, key: str, default: bool = False) -> bool:
        """Return a boolean: `true` or `TRUE`, or another text for false."""
        text = self.text(key).lower()
        return text in ("true", "yes", "1", "on") if text else default

    def number(self, key: str, default: int, least: int = 0) -> int:
        """Return a number. Raises `VmxError`."""
        text = self.text(key) or str(default)
        try:
            found = int(text) if len(text) < 12 else None
        except ValueError:
            found = None
        if found is None or not least <= found < 1 << 31:
            raise VmxError(f"{key} must be a number of at least {least}, got {text[:40]!r}")
        return found

    def names(self, prefix: str) -> bool:
        """Whether any key begins so."""
        return any(key.lower().startswith(prefix) for key, _ in self.values.items())

    def rest(self) -> list[tuple[str, str]]:
        """Return the keys and values that were not read."""
        return [pair for pair in self.values.items() if pair[0].lower() not in self._taken]


def written_uuid(uuid: str) -> str:
    """Return a UUID as hosts write it: `56 4d .. ..-.. .. ..`. Other texts stay."""
    digits = uuid.replace("-", "")
    if len(digits) != 32:
        return uuid
    pairs = [digits[at : at + 2] for at in range(0, 32, 2)]
    return f"{' '.join(pairs[:8])}-{' '.join(pairs[8:])}"


def read_uuid(text: str) -> str | None:
    """Return the UUID of a text of 32 hexadecimal digits between blanks and dashes, None for another."""
    digits = re.sub(r"[\s-]", "", text).lower()
    if not re.fullmatch("[0-9a-f]{32}", digits):
        return None
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def flag(value: object) -> str:
    """Write a boolean."""
    return "TRUE" if value else "FALSE"
