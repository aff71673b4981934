"""The Fault of SOAP 1.1: its fields, and the exception that it becomes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vimlib.model import Field, MethodFault
from vimlib.soap._builder import ObjectBuilder, local_name
from vimlib.soap._names import ENVELOPE, XSI_TYPE
from vimlib.soap._resolve import unknown_subtype
from vimlib.soap._tables import DATA, FieldInfo, TypeInfo

if TYPE_CHECKING:
    from vimlib.soap._tables import Tables


def _items(*fields: Field) -> tuple[FieldInfo, ...]:
    return tuple(FieldInfo(field, index, ()) for index, field in enumerate(fields))


def _only(faults: list[Any]) -> list[Any]:
    return faults


def _values(*values: Any) -> tuple[Any, ...]:
    return values


_DETAIL = TypeInfo("detail", _items(Field("fault", "", "MethodFault", array=True)), _only, "", None)
_DETAIL.by_tag = {}  # its children are named after the faults that they are
_DETAIL.open_ended = True


def fault_shape() -> TypeInfo:
    """Return the shape of a SOAP fault; its object is `(code, string, detail)`."""
    items = _items(
        Field("faultcode", "faultcode", "string"),
        Field("faultstring", "faultstring", "string"),
        Field("detail", "detail", "anyType"),
    )
    items[2].kind, items[2].shape = DATA, _DETAIL
    shape = TypeInfo("Fault", items, _values, ENVELOPE, None)
    # SOAP 1.1, 4.4: they have no namespace.
    shape.by_tag.update({item.name: item for item in items})
    return shape


def fault_item(machine: ObjectBuilder, tag: str, attrs: list[str]) -> FieldInfo:
    """Return how to read a child of the detail: by its `xsi:type`, else by its name.

    That is `<NAMEFault>`, or the binding's element name.

    The nearest known ancestor of an unknown fault is what its element or the beginning of its
    name imply, else the base of all faults.
    """
    tables = machine.tables
    local = local_name(tag)
    type_ = ""
    for name, value in zip(attrs[::2], attrs[1::2], strict=True):
        if name == XSI_TYPE:
            type_ = machine.resolver.resolve(value)[1]
    declared = tables.binding.fault_elements.get(local, "")
    wanted = type_ or declared or local.removesuffix("Fault")
    for name in (wanted, type_.removesuffix("Fault"), declared, local.removesuffix("Fault"), local):
        cls = tables.binding.find(name)
        if cls is not None and issubclass(cls, MethodFault):
            shape = tables.shape(cls)
            if name != wanted:
                shape = unknown_subtype(shape, wanted)
            break
    else:
        shape = unknown_subtype(tables.shape(tables.fault_base), type_ or local)
    return _DETAIL.items[0].like(kind=DATA, shape=shape)


def fault_from(tables: Tables, values: tuple[Any, ...]) -> MethodFault:
    """Return the exception that a SOAP fault stands for."""
    code, string, faults = values
    if faults:
        fault: MethodFault = faults[0]
    else:
        # No detail: the server failed before it could name the fault.
        fault = tables.fault_base()
        fault._raw = ((0, "faultcode", code or ""),)
    fault.localized_message = string or fault.localized_message
    return fault
