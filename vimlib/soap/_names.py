"""Namespaces, and the names that XML Schema and SOAP give to things."""

from __future__ import annotations

from typing import Final

ENVELOPE: Final = "http://schemas.xmlsoap.org/soap/envelope/"
XSD: Final = "http://www.w3.org/2001/XMLSchema"
XSI: Final = "http://www.w3.org/2001/XMLSchema-instance"

# Names as the tokenizer reports them: namespace, a space, the local name.
XSI_TYPE: Final = f"{XSI} type"
XSI_NIL: Final = f"{XSI} nil"

REFERENCE: Final = "ManagedObjectReference"
ARRAY: Final = "ArrayOf"

_PRIMITIVE_ITEMS: Final = {
    "String": "string",
    "Boolean": "boolean",
    "Byte": "byte",
    "Short": "short",
    "Int": "int",
    "Long": "long",
    "Float": "float",
    "Double": "double",
    "DateTime": "dateTime",
    "Base64Binary": "base64Binary",
    "AnyURI": "anyURI",
    "AnyType": "anyType",
}
_ARRAYS: Final = {item: ARRAY + name for name, item in _PRIMITIVE_ITEMS.items()}


def array_name(item: str) -> str:
    """Return the name of the type that holds a list of `item`: `int` gives `ArrayOfInt`."""
    return _ARRAYS.get(item) or ARRAY + item


def item_of_array(name: str) -> str:
    """Return the item's type of an `ArrayOf...` name, which is its element's name too; "" for any other name."""
    if not name.startswith(ARRAY):
        return ""
    item = name[len(ARRAY) :]
    return _PRIMITIVE_ITEMS.get(item, item)
