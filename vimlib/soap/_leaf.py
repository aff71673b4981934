"""Leaves of the tree: Python values to XSD text and back.

Both directions are tables from the XSD type to a function. A function raises
`InvalidValueError` with the reason for a value that it cannot convert; its caller knows the path.
"""

from __future__ import annotations

import math
import re
from base64 import b64encode
from binascii import Error as Base64Error
from binascii import a2b_base64
from datetime import UTC, datetime, timedelta
from sys import intern
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable


class InvalidValueError(ValueError):
    """A value does not fit its type; the message is the reason, without a path."""


class OutOfRangeError(InvalidValueError):
    """An integer is beyond the range of its XSD type."""

    def __init__(self, type_: str, value: int) -> None:
        super().__init__(f"out of range for xsd:{type_}: {_show(str(value))}")
        self.type = type_
        self.value = value


RANGES: Final = {
    "byte": (-(2**7), 2**7 - 1),
    "short": (-(2**15), 2**15 - 1),
    "int": (-(2**31), 2**31 - 1),
    "long": (-(2**63), 2**63 - 1),
    # Not used by vim25; they may stand in an anyType of another service.
    "unsignedByte": (0, 2**8 - 1),
    "unsignedShort": (0, 2**16 - 1),
    "unsignedInt": (0, 2**32 - 1),
    "unsignedLong": (0, 2**64 - 1),
    "integer": (-(10**20) + 1, 10**20 - 1),
}
SIGNED: Final = ("byte", "short", "int", "long")  # each one restricts the next
# The largest float that rounds to a number of 32 bits: hosts write the largest of those in short.
FLOAT32_MAX: Final = 3.4028235677973362e38

# What XML 1.0 cannot carry in any form.
_ILLEGAL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_SPECIAL = re.compile("[&<>\r\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")

# Python to text


def _escape(text: str) -> str:
    bad = _ILLEGAL.search(text)
    if bad is not None:
        raise InvalidValueError(
            f"character not allowed in XML: U+{ord(bad.group()):04X} at index {bad.start()}"
        )
    # A bare carriage return would be read as a line feed (XML 1.0, 2.11).
    return (
        text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\r", "&#13;")
    )


def escape_attribute(text: str) -> str:
    """Return `text` fit to stand between double quotes."""
    return _escape(text).replace('"', "&quot;").replace("\t", "&#9;").replace("\n", "&#10;")


def encode_string(value: Any) -> str:
    """Return a str escaped. A str that is an enumeration member goes as its value."""
    if type(value) is not str:
        if not isinstance(value, str):
            raise InvalidValueError(f"must be a str, got {_kind(value)}")
        value = str.__str__(value)
    return _escape(value) if _SPECIAL.search(value) else value


def _kind(value: Any) -> str:
    return type(value).__name__


def _encode_boolean(value: Any) -> str:
    if value is True:
        return "true"
    if value is False:
        return "false"
    raise InvalidValueError(f"must be a bool, got {_kind(value)}")


def _int_encoder(name: str) -> Callable[[Any], str]:
    low, high = RANGES[name]

    def encode(value: Any) -> str:
        if type(value) is not int:
            if not isinstance(value, int) or isinstance(value, bool):
                raise InvalidValueError(f"must be an int, got {_kind(value)}")
            value = int(value)
        if not low <= value <= high:
            raise InvalidValueError(f"xsd:{name} must be {low} to {high}, got {value}")
        return str(value)

    return encode


def _float_encoder(largest: float) -> Callable[[Any], str]:
    def encode(value: Any) -> str:
        if not isinstance(value, float):
            if not isinstance(value, int) or isinstance(value, bool):
                raise InvalidValueError(f"must be a float, got {_kind(value)}")
            try:
                value = float(value)
            except OverflowError:
                raise InvalidValueError("int too large for a float") from None
        if math.isfinite(value):
            if abs(value) > largest:
                raise InvalidValueError(f"out of range for xsd:float: {value!r}")
            return float.__repr__(value)
        # XSD 1.0, 3.2.4: INF, -INF and NaN, in these letters.
        return "NaN" if value != value else "INF" if value > 0 else "-INF"

    return encode


_MAX_OFFSET = timedelta(hours=14)  # XSD 1.0, 3.2.7


def _encode_datetime(value: Any) -> str:
    if not isinstance(value, datetime):
        raise InvalidValueError(f"must be a datetime, got {_kind(value)}")
    offset = value.utcoffset()
    if offset is None:
        raise InvalidValueError(
            "datetime without a time zone; give one: value.replace(tzinfo=timezone.utc)"
        )
    if offset % timedelta(minutes=1) or abs(offset) > _MAX_OFFSET:
        try:
            value = value.astimezone(UTC)
        except OverflowError:
            raise InvalidValueError("datetime out of range in UTC") from None
        offset = timedelta(0)
    text: str = value.replace(tzinfo=None).isoformat() + "Z" if not offset else value.isoformat()
    return text


def _encode_base64(value: Any) -> str:
    if not isinstance(value, bytes | bytearray | memoryview):
        raise InvalidValueError(f"must be bytes, got {_kind(value)}")
    return b64encode(value).decode("ascii")


ENCODE: Final[dict[str, Callable[[Any], str]]] = {
    "string": encode_string,
    "anyURI": encode_string,
    "boolean": _encode_boolean,
    "float": _float_encoder(FLOAT32_MAX),
    "double": _float_encoder(math.inf),
    "dateTime": _encode_datetime,
    "base64Binary": _encode_base64,
    **{name: _int_encoder(name) for name in RANGES},
}

# Text to Python

_SPACE = " \t\n\r"  # XML's white space, and no other
_REMEMBERED = 4096  # texts remembered for each table; a reply repeats few and may hold any number


def _show(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:37] + "...")


class Remembering(dict[str, Any]):
    """Caches the values of texts: `[text]` calls `convert` only for a text that it does not have."""

    def __init__(self, convert: Callable[[str], Any]) -> None:
        super().__init__()
        self.convert = convert

    def __missing__(self, text: str) -> Any:
        value = self.convert(text)
        if len(text) <= 64 and len(self) < _REMEMBERED:
            # Here and nowhere else: what Python 3.12 interns it keeps for good.
            value = self[text] = intern(value) if type(value) is str else value
        return value


_INT = re.compile(r"[+-]?[0-9]{1,1000}")
_FLOAT = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_FLOAT_WORDS = {"INF": math.inf, "+INF": math.inf, "-INF": -math.inf, "NaN": math.nan}
_DATETIME = re.compile(
    r"(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2})T"
    r"(?P<time>(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9])(?P<fraction>\.[0-9]{1,64})?"
    r"(?P<zone>Z|[+-](?:0[0-9]|1[0-3]):[0-5][0-9]|[+-]14:00)?"
)
_MIDNIGHT = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})T24:00:00(?:\.0+)?(Z|[+-][0-9]{2}:[0-9]{2})?")
_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


def _int_decoder(name: str) -> Callable[[str], int]:
    low, high = RANGES[name]

    def decode(text: str) -> int:
        found = text.strip(_SPACE)
        # The length is bounded first: int() of a long text takes quadratic time.
        if _INT.fullmatch(found) is None:
            raise InvalidValueError(f"invalid xsd:{name}: {_show(text)}")
        value = int(found)
        if not low <= value <= high:
            raise OutOfRangeError(name, value)
        return value

    return decode


def _decode_boolean(text: str) -> bool:
    try:
        return _BOOLEANS[text.strip(_SPACE)]
    except KeyError:
        raise InvalidValueError(f"invalid xsd:boolean: {_show(text)}") from None


def _float_decoder(name: str) -> Callable[[str], float]:
    def decode(text: str) -> float:
        found = text.strip(_SPACE)
        if len(found) <= 512 and _FLOAT.fullmatch(found):
            return float(found)
        try:
            return _FLOAT_WORDS[found]
        except KeyError:
            raise InvalidValueError(f"invalid xsd:{name}: {_show(text)}") from None

    return decode


def _decode_datetime(text: str) -> datetime:
    match = _DATETIME.fullmatch(text)
    try:
        if match is not None:
            # Digits beyond microseconds are cut, not rounded: so does fromisoformat.
            return datetime.fromisoformat(text)
        found = text.strip(_SPACE)
        if _DATETIME.fullmatch(found):
            return datetime.fromisoformat(found)
        match = _MIDNIGHT.fullmatch(found)
        if match is not None:  # the end of that day (XSD 1.0, 3.2.7)
            start = datetime.fromisoformat(f"{match[1]}T00:00:00{match[2] or ''}")
            return start + timedelta(days=1)
    except (ValueError, OverflowError):
        pass
    raise InvalidValueError(f"invalid xsd:dateTime: {_show(text)}")


def _decode_base64(text: str) -> bytes:
    try:
        found = b"".join(text.encode("ascii").split())
        # Strict mode takes surplus padding for its own in some versions of Python.
        if len(found) % 4 == 0:
            return a2b_base64(found, strict_mode=True)
    except (Base64Error, UnicodeEncodeError):
        pass
    raise InvalidValueError(f"invalid xsd:base64Binary: {_show(text)}")


def _decode_enum(text: str) -> str | None:
    return text or None


decode_enum: Final = Remembering(_decode_enum).__getitem__
"""Text to the one str object of that text, long and countless ones apart; None for an empty text, which no enumeration has."""

DECODE: Final[dict[str, Callable[[str], Any] | None]] = {
    "string": None,  # the text is the value
    "anyURI": None,
    "boolean": Remembering(_decode_boolean).__getitem__,
    "float": _float_decoder("float"),
    "double": _float_decoder("double"),
    "dateTime": _decode_datetime,
    "base64Binary": _decode_base64,
    **{name: Remembering(_int_decoder(name)).__getitem__ for name in RANGES},
}
