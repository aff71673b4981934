"""Values with an explicit XML type: those sent as anyType, and those of unknown types."""

from __future__ import annotations

from typing import Any

from msgspec import Struct


class Typed(Struct, frozen=True):
    """A value for an anyType field with the type that it is sent as.

    ``Typed("xsd:short", 5)``, ``Typed("ArrayOfString", [])``, ``Typed("HostSystemPowerState", "poweredOn")``.
    Without it the type follows from the Python value.
    """

    type: str
    """`xsd:` and the name of an XSD type, or a name of the binding."""
    value: Any


class Unknown(Struct, frozen=True):
    """An XML element with content of a type that the binding does not have, opaque but kept."""

    type: str
    """Local name of its `xsi:type`; "" if it has none."""
    text: str
    """Its own text, "" if it has children."""
    children: tuple[tuple[str, str | Unknown], ...] = ()
    """Local names of its child elements with the text of each, or its node if it has children itself."""
