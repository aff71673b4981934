from __future__ import annotations

import subprocess
import sys

import pytest

from vimlib import vim25
from vimlib.model import DataObject, Enumeration, MethodFault, required
from vimlib.soap._tables import DATA, LAZY, LEAF, Tables, tables_of


def test_tables_live_with_the_binding() -> None:
    assert tables_of(vim25.BINDING) is tables_of(vim25.BINDING)


def test_every_type_compiles_and_its_fields_are_those_of_its_line() -> None:
    tables = Tables(vim25.BINDING)
    shapes = 0
    for name in vim25.BINDING.names():
        cls = vim25.BINDING.find(name)
        assert cls is not None
        if not issubclass(cls, DataObject | MethodFault):
            continue
        shape = tables.shape(cls)
        shapes += 1
        for item in shape.items:
            if item.kind == LAZY:
                tables.settle(item)
        assert shape.cls is cls
        assert [item.index for item in shape.items] == list(range(len(shape.items)))
    assert shapes > 3000


def test_every_method_compiles() -> None:
    tables = Tables(vim25.BINDING)
    for name in vim25.BINDING.method_names():
        method = vim25.BINDING.method(name)
        assert method is not None
        assert tables.request(method).items[0].name == "_this"
        assert len(tables.reply(method).items) <= 1


def test_what_a_lazy_field_holds() -> None:
    tables = Tables(vim25.BINDING)
    items = {item.name: item for item in tables.shape(vim25.VirtualMachineRuntimeInfo).items}
    for name, kind in (("powerState", LEAF), ("device", DATA)):
        tables.settle(items[name])
        assert items[name].kind == kind


def test_arrays() -> None:
    tables = Tables(vim25.BINDING)
    for name in (
        "ArrayOfInt",
        "ArrayOfString",
        "ArrayOfVirtualDevice",
        "ArrayOfAnyType",
        "ArrayOfManagedObjectReference",
        "ArrayOfMethodFault",
        "ArrayOfHostSystemPowerState",
    ):
        shape = tables.array(name)
        assert shape is not None
        assert shape is tables.array(name)
    for name in (
        "ArrayOf",
        "ArrayOfNonesuch",
        "ArrayOfVirtualMachine",
        "VirtualDevice",
        "ArrayOfArrayOfInt",
    ):
        assert tables.array(name) is None


def test_a_class_of_another_binding() -> None:
    class Stranger(DataObject):
        _wire_ = "a:string!"
        a: str = required()

    with pytest.raises(LookupError):
        Tables(vim25.BINDING).shape(Stranger)


def test_a_class_whose_fields_are_not_its_line_s() -> None:
    class Wrong(DataObject):
        _wire_ = "a:string! b:int!"
        a: str = required()

    with pytest.raises(TypeError, match="Wrong"):
        Tables._compile(Tables(vim25.BINDING), Wrong)


def test_areas_are_loaded_when_met() -> None:
    code = (
        "import sys; from vimlib import vim25; from vimlib.soap import encode_request, decode_response;"
        "encode_request(vim25.ServiceInstance.CurrentTime, ('ServiceInstance', 's'), {});"
        "print(*(m for m in sys.modules if m.startswith('vimlib.vim25.')), *(m for m in ('asyncio', 'aiohttp', 'ssl', 'socket') if m in sys.modules))"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert set(loaded) == {"vimlib.vim25._binding", "vimlib.vim25._vim", "vimlib.vim25._vmodl"}


def test_enumerations_are_the_binding_s() -> None:
    found = vim25.BINDING.find("VirtualMachinePowerState")
    assert found is not None
    assert issubclass(found, Enumeration)
