"""Property values in an anyType, encoded with the type that the API declares."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from vimlib import vim25
from vimlib.model import Enumeration
from vimlib.soap._names import REFERENCE, array_name
from vimlib.soap._typed import Typed

if TYPE_CHECKING:
    from vimlib.model import Field

# Simple types that the encoder infers.
_OBVIOUS = frozenset({"string", "boolean", "dateTime", "int", "anyType", "ref"})


def as_any(value: Any, field: Field) -> Any:
    """Return `value` so that the encoder writes it as the declared type of `field`."""
    wanted = _type(field)
    return Typed(wanted, value) if wanted else value


@lru_cache(maxsize=4096)
def _type(field: Field) -> str:
    if field.array:
        return array_name(REFERENCE if field.type == "ref" else field.type)
    if field.type in _OBVIOUS:
        return ""
    found = vim25.BINDING.find(field.type)
    if found is None:
        return f"xsd:{field.type}"
    return field.type if issubclass(found, Enumeration) else ""
